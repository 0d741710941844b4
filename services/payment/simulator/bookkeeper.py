"""Who keeps the gateway simulator's book: the interface, and the one that keeps it in memory.

The one that lasts is in `postgres`; both book by the `rules` and so give the same answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import Struct

from services.payment.simulator import webhook
from services.payment.simulator.book import Answer, Book, Call
from services.payment.simulator.rules import answer_call, make_due_captures

RETRY_FIRST_S = 0.25
RETRY_MOST_S = 10.0
"""A webhook that nobody took is sent again after the first, then after twice as long each time, up to the most."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time that a gateway writes into its book."""
    return datetime.now(UTC)


class Notice(Struct, frozen=True):
    """A webhook to send now; `attempts` counts this time too."""

    id: str
    body: str
    attempts: int


class Bookkeeper(Protocol):
    """Keeps the book. `news` is set when something was booked that will have to be done without being called for."""

    news: asyncio.Event

    async def start(self) -> None:
        """Opens the book."""
        ...

    async def stop(self) -> None:
        """Books what waits and closes the book."""
        ...

    async def book(self, call: Call, within_s: float) -> Answer:
        """Books a call. Raises GatewayUnavailable, KeyReused, and GatewayTimeout when it may yet be booked."""
        ...

    async def make_due_captures(self) -> None:
        """Takes the money of pending captures that are due, and writes the webhooks that tell of it."""
        ...

    async def due_notices(self, most: int) -> list[Notice]:
        """The webhooks to send now; each is due again, later each time, until it is `delivered`."""
        ...

    async def delivered(self, ids: Sequence[str]) -> None:
        """Somebody took these webhooks: they are not sent again."""
        ...

    async def next_due(self) -> datetime | None:
        """When there is next something to do: a capture to make or a webhook to send. None: nothing pending."""
        ...


def retry_after(attempts: int) -> timedelta:
    """How long after an attempt, counted from 1, the next one comes."""
    return timedelta(seconds=min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(attempts - 1, 10)))


class MemoryBookkeeper:
    """Keeps the book in this process, for tests and for a look around: what it knows dies with it."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.news = asyncio.Event()
        self.kept = Book()
        self._clock = clock
        self._notices: dict[str, tuple[Notice, datetime]] = {}

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def book(self, call: Call, within_s: float) -> Answer:
        """Books at once."""
        try:
            return answer_call(self.kept, call, self._clock())
        finally:
            self._keep()

    async def make_due_captures(self) -> None:
        """Makes all that are due."""
        make_due_captures(self.kept, self._clock())
        self._keep()

    async def due_notices(self, most: int) -> list[Notice]:
        """The first of those that are due, in the order in which they were written."""
        now = self._clock()
        due = [notice for notice, at in self._notices.values() if at <= now][:most]
        tried = [Notice(notice.id, notice.body, notice.attempts + 1) for notice in due]
        for notice in tried:
            self._notices[notice.id] = notice, now + retry_after(notice.attempts)
        return tried

    async def delivered(self, ids: Sequence[str]) -> None:
        """Forgets them."""
        for notice_id in ids:
            self._notices.pop(notice_id, None)

    async def next_due(self) -> datetime | None:
        """The earliest of captures and webhooks."""
        due = [at for _, at in self._notices.values()]
        capture = self.kept.next_due()
        return min(due if capture is None else [*due, capture], default=None)

    def _keep(self) -> None:
        changes = self.kept.drain()
        for report in changes.reports:
            notice = Notice(webhook.notice_id(report), webhook.write(report), 0)
            self._notices[notice.id] = notice, self._clock()
        if changes.reports or changes.pending:
            self.news.set()
