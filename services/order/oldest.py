"""The alarm: every phase that waits for a service has a deadline, and `larder_oldest_seconds{phase}` shows its age."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import asyncpg

from services.order.state import ENDS, RESTING, Phase
from shared.runtime.metrics import OLDEST_SECONDS
from shared.service import Parts

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Beat of the look."""
DEADLINE_S = 60.0
"""A phase that waits for a service should take milliseconds; past this it is an alarm."""

_OLDEST = """select phase, extract(epoch from now() - min(phase_since))::float8 as seconds, count(*) as orders
from orders where not ended group by phase"""
_WATCHED = [phase for phase in Phase if phase not in ENDS and phase is not Phase.NEW]


@contextlib.asynccontextmanager
async def watch_oldest(parts: Parts) -> AsyncIterator[None]:
    """Keeps the metric up to date, and logs an alarm for what waits for a service too long."""
    task = asyncio.create_task(_watch(parts.pool), name="oldest")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(pool: asyncpg.Pool) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            rows = await pool.fetch(_OLDEST)
        except (asyncpg.PostgresError, OSError) as error:
            log.warning("cannot look for the oldest orders: %s", error)
            continue
        ages = {row["phase"]: row["seconds"] for row in rows}
        for phase in _WATCHED:
            OLDEST_SECONDS.labels(phase).set(ages.get(phase, 0))
        for phase, seconds in ages.items():
            if seconds > DEADLINE_S and phase not in RESTING:
                log.error("alarm: an order waits in %s for %.0f s", phase, seconds)
