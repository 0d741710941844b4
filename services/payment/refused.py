"""The alarm for refused refunds: money that may be owed, and that only a person can give back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import asyncpg
from prometheus_client import Gauge

from shared.service import Parts

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Beat of the look; the table's index holds refused refunds only."""
REFUSED = Gauge("larder_refunds_refused", "Refunds that will not be done: a person has to see to them")

# One that is asked for again has a new number and is otherwise the same: then that one tells how it went.
_COUNT = """
select count(*) from refunds r where phase = 'refused' and not exists (
    select from refunds l
    where l.order_id = r.order_id and l.number > r.number and l.amount = r.amount and l.reason = r.reason)"""


async def refused(connection: asyncpg.Pool | asyncpg.Connection) -> int:
    """How many refunds were refused and not asked for again."""
    count: int = await connection.fetchval(_COUNT)
    return count


@contextlib.asynccontextmanager
async def watch_refused(parts: Parts) -> AsyncIterator[None]:
    """Keeps the metric up to date."""
    task = asyncio.create_task(_watch(parts.pool), name="refused refunds")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(pool: asyncpg.Pool) -> None:
    while True:
        try:
            REFUSED.set(await refused(pool))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.warning("cannot count the refused refunds: %s", error)
        await asyncio.sleep(LOOK_S)
