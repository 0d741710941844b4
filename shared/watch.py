"""A look at a service's tables on a steady beat: what its metrics and alarms are made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

from shared.service import Background, Parts

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Beat of the look."""


def watching(what: str, look: Callable[[asyncpg.Pool], Awaitable[None]]) -> Background:
    """A background that looks for `what` as long as the service runs. A database that is away is looked at later."""

    @contextlib.asynccontextmanager
    async def watch(parts: Parts) -> AsyncIterator[None]:
        task = asyncio.create_task(_look_on(parts.pool), name=f"watch {what}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look_on(pool: asyncpg.Pool) -> None:
        while True:
            try:
                await look(pool)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("cannot look for %s: %s", what, error)
            await asyncio.sleep(LOOK_S)

    return watch
