"""The alarm: how long the oldest ticket of each kind waits, for a person or for the order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import asyncpg
from prometheus_client import Gauge

from services.aftersales.state import TicketPhase
from shared.runtime.metrics import OLDEST_SECONDS
from shared.service import Parts

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Beat of the look."""
DEADLINE_S = 60.0
"""The order answers in milliseconds; past this an alarm is logged."""
TICKETS = Gauge("larder_tickets", "Tickets that have not ended", ["kind", "phase"])

_WAITING = (TicketPhase.OPEN, TicketPhase.DECIDING)
# A ticket that is deciding has waited for the order since somebody asked: when it was opened, or since its last call.
_OLDEST = """
select kind, phase, count(*) as tickets,
       extract(epoch from now() - min(coalesce((call::json ->> 2)::timestamptz, opened_at)))::float8 as seconds
from tickets where ended_at is null group by kind, phase
"""


@contextlib.asynccontextmanager
async def watch_oldest(parts: Parts) -> AsyncIterator[None]:
    """Keeps the metrics up to date, and logs an alarm for what waits for the order too long."""
    task = asyncio.create_task(_watch(parts.pool), name="oldest tickets")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(pool: asyncpg.Pool) -> None:
    while True:
        try:
            await look(pool)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.warning("cannot look for the oldest tickets: %s", error)
        await asyncio.sleep(LOOK_S)


async def look(pool: asyncpg.Pool) -> None:
    """Looks once."""
    rows = await pool.fetch(_OLDEST)
    TICKETS.clear()
    for row in rows:
        TICKETS.labels(row["kind"], row["phase"]).set(row["tickets"])
    for phase in _WAITING:
        seconds = max((row["seconds"] for row in rows if row["phase"] == phase), default=0.0)
        OLDEST_SECONDS.labels(f"ticket_{phase}").set(seconds)
        if phase is TicketPhase.DECIDING and seconds > DEADLINE_S:
            log.error("alarm: a ticket waits for its order for %.0f s", seconds)
