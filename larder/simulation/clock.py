"""Virtual time: what is to happen, when, and in which order. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When every evening begins."""
SECOND_US = 1_000_000


class NeverRests(Exception):
    """Something goes on for ever."""


class Clock:
    """The agenda of one evening. What is due at the same microsecond happens in the order of its entry."""

    __slots__ = ("_agenda", "_entries", "_now", "_now_is", "now_us", "steps")

    def __init__(self) -> None:
        self.now_us = 0
        self.steps = 0
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entries = 0
        self._now, self._now_is = NOON, 0

    @property
    def now(self) -> datetime:
        """The clock's reading."""
        if self._now_is != self.now_us:
            self._now, self._now_is = NOON + timedelta(microseconds=self.now_us), self.now_us
        return self._now

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        """Puts something on the agenda, so many seconds from now."""
        self._entries = number = self._entries + 1
        heappush(self._agenda, (self.now_us + int(seconds * SECOND_US), number, act, arguments))

    def at(self, moment: datetime, act: Callable[..., None], *arguments: Any) -> None:
        """Puts something on the agenda; what should have been already happens now."""
        due_us = (moment - NOON) // timedelta(microseconds=1)
        self._entries = number = self._entries + 1
        heappush(self._agenda, (max(due_us, self.now_us), number, act, arguments))

    def run(self, steps_max: int) -> None:
        """Works the agenda off until it is empty; raises NeverRests when that takes too many steps."""
        agenda = self._agenda
        while agenda:
            self.now_us, _, act, arguments = heappop(agenda)
            act(*arguments)
            self.steps += 1
            if self.steps > steps_max:
                raise NeverRests(f"still at work after {steps_max} steps, at {self.now.isoformat()}")
