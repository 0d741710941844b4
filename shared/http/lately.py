"""A look that is dear, for however many ask: one at a time, and no more often than its beat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Found = TypeVar("Found")


class Lately(Generic[Found]):
    """What `look` found lately: who asks while it lasts, or within `beat_s` seconds of its begin, gets what it finds,
    or what it raises."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, Found]], beat_s: float) -> None:
        self._look = look
        self._beat_s = beat_s
        self._last: asyncio.Task[Found] | None = None
        self._began = 0.0

    async def __call__(self) -> Found:
        """What was found."""
        now = asyncio.get_running_loop().time()
        if self._last is None or (self._last.done() and now - self._began >= self._beat_s):
            self._last, self._began = asyncio.create_task(self._look()), now
        return await asyncio.shield(self._last)  # who asked may go; others wait for the same look
