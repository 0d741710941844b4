"""The alarm: every phase that waits for a service has a deadline, and `larder_oldest_seconds{phase}` shows its age."""

from __future__ import annotations

import logging

import asyncpg

from services.order.phases import ages
from services.order.state import ENDS, RESTING, Phase
from shared.runtime.metrics import OLDEST_SECONDS
from shared.watch import watching

log = logging.getLogger(__name__)

DEADLINE_S = 60.0
"""A phase that waits for a service should take milliseconds; past this it is an alarm."""

_WATCHED = [phase for phase in Phase if phase not in ENDS and phase is not Phase.NEW]


async def look(pool: asyncpg.Pool) -> None:
    """Looks once."""
    found = await ages(pool)
    for phase in _WATCHED:
        OLDEST_SECONDS.labels(phase).set(found.get(phase, 0))
    for late, seconds in found.items():
        if seconds > DEADLINE_S and late not in RESTING:
            log.error("alarm: an order waits in %s for %.0f s", late, seconds)


watch_oldest = watching("the oldest orders", look)
"""Keeps the metric up to date, and logs an alarm for what waits for a service too long."""
