"""Which parked messages are meant: the filters of `larder parked`, and what is done with all that they match."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from larder.stack.errors import StackError

PAGE = 500
"""Rows that are read at once when parked messages are listed."""

_MATCHES = """($1::text is null or state = $1) and ($2::text is null or code = $2)
    and ($3::text is null or message_type = $3) and ($4::text is null or subject = $4)
    and ($5::timestamptz is null or parked_at >= $5) and ($6::timestamptz is null or parked_at < $6)"""
_PAGE = f"""
select id, shard, subject, topic, kafka_partition, kafka_offset,
    message_id, message_type, code, reason, parked_at, state
from parked where {_MATCHES} and id > $7 order by id limit $8"""
_COUNT = f"select count(*), coalesce(max(id), 0) from parked where {_MATCHES} and id <= $7"
# All requests of one command bear one time, by which the command knows them again.
_ASK = f"""
insert into parked_requests (parked_id, action, shard, asked_at)
select id, $8, shard, $9 from parked where {_MATCHES} and id <= $7
on conflict (parked_id) do update set action = excluded.action, asked_at = excluded.asked_at"""
_WAITING = "select count(*) from parked_requests where asked_at = $1"
LAST = 2**63 - 1
"""An id that none is behind."""


@dataclass(frozen=True)
class Filter:
    """What is asked of parked messages; None asks nothing."""

    state: str | None = "parked"
    code: str | None = None
    type: str | None = None
    subject: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def __post_init__(self) -> None:
        for text in (self.code, self.type, self.subject):
            if text is not None and ("\x00" in text or not _is_utf8(text)):
                raise StackError(f"{text!r:.80} is no text that a message could have")

    @property
    def narrows(self) -> bool:
        """Whether it asks for anything but the state."""
        return replace(self, state=None) != Filter(state=None)

    @property
    def _arguments(self) -> list[Any]:
        return [self.state, self.code, self.type, self.subject, self.since, self.before]

    async def count(self, connection: asyncpg.Connection, last: int = LAST) -> tuple[int, int]:
        """How many match, up to an id, and the last one's id (0: there is none)."""
        (row,) = await connection.fetch(_COUNT, *self._arguments, last)
        return row[0], row[1]

    async def rows(self, connection: asyncpg.Connection, most: int) -> AsyncIterator[asyncpg.Record]:
        """At most so many of those that match, the oldest first, read a page at a time."""
        last = 0
        while most > 0 and (page := await connection.fetch(_PAGE, *self._arguments, last, min(most, PAGE))):
            for row in page:
                yield row
            last, most = page[-1]["id"], most - len(page)

    async def ask(self, connection: asyncpg.Connection, action: str, last: int) -> datetime:
        """Leaves a request for each that matches, up to an id; answers with the time that these requests bear."""
        at = datetime.now(UTC)
        await connection.execute(_ASK, *self._arguments, last, action, at)
        return at


async def waiting(connection: asyncpg.Connection, asked_at: datetime) -> int:
    """How many of the requests that bear this time are not carried out yet."""
    count: int = await connection.fetchval(_WAITING, asked_at)
    return count


def instant(name: str, text: str | None) -> datetime | None:
    """An instant of the command line, ISO 8601; UTC when it has no zone."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise StackError(f"{name} is {text!r:.80}, and must be an instant like 2026-11-22T18:00:00+01:00") from None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
