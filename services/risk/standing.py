"""How risk itself stands: whether it is switched on, and how old the signals are that it decides on."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
from prometheus_client import Gauge

from shared.settings import get_settings
from shared.watch import watching

SWITCHED_ON = Gauge("larder_risk_switched_on", "1 while orders are screened, 0 while all are deducted on payment")
SIGNALS_AGE = Gauge("larder_risk_signals_age_seconds", "How far the signals are behind, of the oldest shard")
HEALTH_S = 1.0
"""/healthz waits no longer for the database: the process is alive without it."""
FORGOTTEN_AT_ONCE = 500
"""Most conducts that are forgotten in one transaction."""

_HOW = """
select is_on, changed_at, changed_by, (select min(as_of) from ages) as as_of,
       extract(epoch from now() - (select min(as_of) from ages))::float8 as age_s
from switch
"""
_FORGET = """
with gone as (
    delete from conducts where (about, subject) in (
        select about, subject from conducts where day <= $1::bigint / 86400000 and at < $1::bigint
        order by day limit $2 for update skip locked)
    returning 1)
select count(*) from gone
"""


async def health(pool: asyncpg.Pool) -> dict[str, Any]:
    """The switch, who turned it and when; the signals, until when they are counted, and how many seconds ago that was
    (null: none was ever told). Both are null while the database does not answer."""
    try:
        async with asyncio.timeout(HEALTH_S):
            row = await pool.fetchrow(_HOW)
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        row = None
    if row is None:
        return {"switch": None, "signals": None}
    return {
        "switch": {"on": row["is_on"], "changed_at": row["changed_at"], "changed_by": row["changed_by"]},
        "signals": {
            "as_of": row["as_of"],
            "age_seconds": None if row["age_s"] is None else round(max(0.0, row["age_s"]), 1),
        },
    }


async def look(pool: asyncpg.Pool) -> None:
    """Looks once."""
    row = await pool.fetchrow(_HOW)
    if row is None:
        return
    SWITCHED_ON.set(row["is_on"])
    if row["age_s"] is not None:
        SIGNALS_AGE.set(max(0.0, row["age_s"]))


watch_risk = watching("risk's switch and the age of its signals", look)
"""Keeps the metrics up to date."""


async def forget(pool: asyncpg.Pool) -> None:
    """Lets go of conducts in which nothing happened for so long as risk remembers, a portion at a time."""
    before_ms = int((time.time() - get_settings().risk_memory_s) * 1000)
    while await pool.fetchval(_FORGET, before_ms, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE:
        pass


forget_conducts = watching("conducts to forget", forget)
"""Keeps no more of them than `LARDER_RISK_MEMORY_S` says."""
