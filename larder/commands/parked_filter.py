"""What the options of `larder parked` mean: which messages, and why something is done with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg

from larder.stack.errors import StackError
from shared.runtime.parked import Filter

PAGE = 500
"""Rows that are read at once when parked messages are listed."""
REASON_MAX = 500
"""Most characters of a reason."""

_WAITING = "select count(*) from parked_requests where asked_at = $1"


def narrows(wanted: Filter) -> bool:
    """Whether it asks for anything but the state."""
    return replace(wanted, state=None) != Filter(state=None)


async def rows(connection: asyncpg.Connection, wanted: Filter, most: int) -> AsyncIterator[asyncpg.Record]:
    """At most so many of those that match, the oldest first, read a page at a time."""
    last = 0
    while most > 0 and (page := await wanted.page(connection, [last], min(most, PAGE))):
        for row in page:
            yield row
        last, most = page[-1]["id"], most - len(page)


async def waiting(connection: asyncpg.Connection, asked_at: datetime) -> int:
    """How many of the requests that bear this time are not carried out yet."""
    count: int = await connection.fetchval(_WAITING, asked_at)
    return count


def text(said: str | None) -> str | None:
    """A text of the command line that a message could have."""
    if said is not None and ("\x00" in said or not _is_utf8(said)):
        raise StackError(f"{said!r:.80} is no text that a message could have")
    return said


def reason(said: str | None) -> str | None:
    """Why, in the words of whoever asks."""
    if said is not None and len(said) > REASON_MAX:
        raise StackError(f"the reason has {len(said):,} characters, and must have {REASON_MAX} at most")
    return text(said)


def instant(name: str, said: str | None) -> datetime | None:
    """An instant of the command line, ISO 8601; UTC when it has no zone."""
    if said is None:
        return None
    try:
        read = datetime.fromisoformat(said)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise StackError(f"{name} is {said!r:.80}, and must be an instant like 2026-11-22T18:00:00+01:00") from None


def _is_utf8(said: str) -> bool:
    try:
        said.encode()
    except UnicodeEncodeError:
        return False
    return True
