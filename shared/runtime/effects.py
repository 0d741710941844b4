"""Effects: calls to the outside world, made after the commit that asked for them.

A row is open until the transaction that decides its answer closes it. After a crash the open rows are run again, marked
as resumed: whether the first call went out, nobody knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.runtime.decider import Inner
from shared.runtime.said import Effect
from shared.runtime.shard import EffectAnswered

log = logging.getLogger(__name__)

RUNNING_MAX = 2_000
"""Most calls under way at once."""
RETRY_S = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Pauses between tries of a call that raised; the last one stays."""

Run = Callable[[Effect, bool], Awaitable[Inner]]
"""Makes one call; the flag says that it is resumed after a restart. Answers with a message of the service."""


class EffectRunner:
    """Runs the effects of one shard and hands the answers back as items for its next batch."""

    def __init__(self, run: Run, deliver: Callable[[EffectAnswered], None]) -> None:
        self._run = run
        self._deliver = deliver
        self._places = asyncio.Semaphore(RUNNING_MAX)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, effect: Effect, *, resumed: bool = False) -> None:
        """Makes the call in the background, as soon as there is a place."""
        task = asyncio.create_task(self._make(effect, resumed), name=f"effect {effect.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def running(self) -> int:
        """Calls that have no answer yet."""
        return len(self._tasks)

    async def _make(self, effect: Effect, resumed: bool) -> None:
        async with self._places:
            tries = 0
            while True:
                try:
                    message = await self._run(effect, resumed)
                except Exception:
                    # Every failure that means something is an answer; this one is ours, and must not lose the call.
                    log.exception("effect %s (%s) failed, trying again", effect.id, effect.kind)
                    await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                    tries += 1
                    resumed = True
                else:
                    self._deliver(EffectAnswered(effect.id, message))
                    return

    async def close(self) -> None:
        """Drops what is under way; the rows stay open for the next owner."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
