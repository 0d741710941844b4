"""The alarm for refused refunds: money that may be owed, and that only a person can give back."""

from __future__ import annotations

import asyncpg
from prometheus_client import Gauge

from shared.watch import watching

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


async def _look(pool: asyncpg.Pool) -> None:
    REFUSED.set(await refused(pool))


watch_refused = watching("refused refunds", _look)
"""Keeps the metric up to date."""
