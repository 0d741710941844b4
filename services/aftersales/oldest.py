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

_WAITING = (
    TicketPhase.OPEN,
    TicketPhase.CHECKING,
    TicketPhase.DECIDING,
    TicketPhase.HOLDING,
    TicketPhase.REPLACING,
    TicketPhase.RETURNING,
)
_ON_ORDER = frozenset({TicketPhase.CHECKING, TicketPhase.DECIDING, TicketPhase.HOLDING})
"""They wait for a service."""
# A ticket has waited since its last step; one of a version without steps since it was opened, or since its last call.
_OLDEST = """
select kind, phase, count(*) as tickets,
       extract(epoch from now() - min(coalesce(s.at, (call::json ->> 2)::timestamptz, opened_at)))::float8 as seconds,
       extract(epoch from now() - min(deadline))::float8 as overdue
from tickets t left join lateral (
    select max(at) as at from ticket_steps where ticket_id = t.ticket_id and phase = t.phase) s on true
where ended_at is null group by kind, phase
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
        if phase in _ON_ORDER and seconds > DEADLINE_S:
            log.error("alarm: a ticket waits for its order for %.0f s", seconds)
    OLDEST_SECONDS.labels("ticket_overdue").set(max((0.0, *(row["overdue"] for row in rows))))


watch_oldest = watching("the oldest tickets", look)
"""Keeps the metrics up to date, and logs an alarm for what waits for the order too long."""
