"""The alarm: how long the oldest ticket of each kind waits, for a person or for the order."""

from __future__ import annotations

import logging

import asyncpg
from prometheus_client import Gauge

from services.aftersales.state import TicketPhase
from shared.runtime.metrics import OLDEST_SECONDS
from shared.watch import watching

log = logging.getLogger(__name__)

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


watch_oldest = watching("the oldest tickets", look)
"""Keeps the metrics up to date, and logs an alarm for what waits for the order too long."""
