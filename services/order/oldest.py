"""The alarm: every phase that waits for a service has a deadline, and `larder_oldest_seconds{phase}` shows its age."""

from __future__ import annotations

import logging

import asyncpg

from services.order.state import ENDS, RESTING, Phase
from shared.runtime.metrics import OLDEST_SECONDS
from shared.watch import watching

log = logging.getLogger(__name__)

DEADLINE_S = 60.0
"""A phase that waits for a service should take milliseconds; past this it is an alarm."""

_OLDEST = """select phase, extract(epoch from now() - min(phase_since))::float8 as seconds, count(*) as orders
from orders where not ended group by phase"""
_WATCHED = [phase for phase in Phase if phase not in ENDS and phase is not Phase.NEW]


async def look(pool: asyncpg.Pool) -> None:
    """Looks once."""
    ages = {row["phase"]: row["seconds"] for row in await pool.fetch(_OLDEST)}
    for phase in _WATCHED:
        OLDEST_SECONDS.labels(phase).set(ages.get(phase, 0))
    for phase, seconds in ages.items():
        if seconds > DEADLINE_S and phase not in RESTING:
            log.error("alarm: an order waits in %s for %.0f s", phase, seconds)


watch_oldest = watching("the oldest orders", look)
"""Keeps the metric up to date, and logs an alarm for what waits for a service too long."""
