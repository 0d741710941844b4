"""Parked messages as people see them, and what is asked of them.

Whoever asks leaves a request. The worker that owns the shard carries it out on its beat (`shared.runtime.owner`), and
keeps on the message itself who asked and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg

from shared.runtime.shard import BLOCKING
from shared.runtime.statement import Connection

State = Literal["parked", "replayed", "dropped"]
Action = Literal["replay", "drop"]
LAST = 2**63 - 1
"""A number that none is behind."""

_MATCHES = """($1::text is null or state = $1) and ($2::text is null or code = $2)
    and ($3::text is null or message_type = $3) and ($4::text is null or subject = $4)
    and ($5::timestamptz is null or parked_at >= $5) and ($6::timestamptz is null or parked_at < $6)"""
_COLUMNS = """id, p.shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type, code, reason,
    parked_at, state, closed_at, closed_by, closed_because, r.action as asked, asked_at, asked_by, asked_because"""
_PAGE = f"""
select {_COLUMNS} from parked p left join parked_requests r on r.parked_id = p.id
where {_MATCHES} and id > coalesce($7::bigint, 0) order by id limit $8"""
_COUNT = f"select count(*), coalesce(max(id), 0) from parked where {_MATCHES} and id <= $7"
# Behind a message is what its replay takes along.
_ONE = f"""
select {_COLUMNS}, octet_length(key) as key_bytes, substring(key from 1 for $2) as key, headers,
    octet_length(body) as body_bytes, substring(body from 1 for $2) as body, (
        select count(*) from parked b
        where b.shard = p.shard and b.subject = p.subject and b.state = 'parked' and b.id > p.id
            and b.code = any($3::text[]) and p.state = 'parked' and p.code = any($3::text[])) as behind
from parked p left join parked_requests r on r.parked_id = p.id where id = $1"""
# The worker takes a request away when it has carried it out, so that a message that parks again can be asked for again.
# Until then there is one: who asks for the same once more changes nothing of who asked first and why. All requests of
# one wish bear one time, by which whoever waits knows them again.
_ASK = f"""
insert into parked_requests as r (parked_id, shard, action, asked_at, asked_by, asked_because)
select id, shard, $9, $10, $11, $12 from parked where {_MATCHES} and id between $7 and $8
on conflict (parked_id) do update set action = excluded.action, asked_at = excluded.asked_at,
    asked_by = case r.action when excluded.action then r.asked_by else excluded.asked_by end,
    asked_because = case r.action when excluded.action then r.asked_because else excluded.asked_because end"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of parked messages, who and why."""

    action: Action
    by: str
    because: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Filter:
    """Which parked messages are meant; None asks nothing. Texts without NUL."""

    state: str | None = "parked"
    code: str | None = None
    type: str | None = None
    subject: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def _arguments(self) -> list[Any]:
        return [self.state, self.code, self.type, self.subject, self.since, self.before]

    async def count(self, connection: Connection, last: int = LAST) -> tuple[int, int]:
        """How many match, up to a number, and the last one's number (0: there is none)."""
        (row,) = await connection.fetch(_COUNT, *self._arguments, last)
        return row[0], row[1]

    async def page(
        self, connection: Connection | asyncpg.Pool, after: Sequence[Any], most: int
    ) -> list[asyncpg.Record]:
        """Those that match, the oldest first, behind the number in `after` (None: from the first)."""
        rows: list[asyncpg.Record] = await connection.fetch(_PAGE, *self._arguments, *after, most)
        return rows

    async def ask(self, connection: Connection | asyncpg.Pool, wish: Wish, first: int = 0, last: int = LAST) -> int:
        """Leaves a request for each that matches, from a number to a number; how many these are."""
        told: str = await connection.execute(
            _ASK, *self._arguments, first, last, wish.action, wish.at, wish.by, wish.because
        )
        return int(told.rpartition(" ")[2])


async def ask(connection: Connection | asyncpg.Pool, number: int, wish: Wish) -> bool:
    """Leaves a request for one; False when there is no such message, or it is replayed or dropped already."""
    return await Filter().ask(connection, wish, number, number) > 0


async def one(connection: Connection | asyncpg.Pool, number: int, most_bytes: int) -> asyncpg.Record | None:
    """A message with its headers, key and body, of these two the first bytes."""
    return await connection.fetchrow(_ONE, number, most_bytes, list(BLOCKING))
