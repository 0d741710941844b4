"""The toy service on real PostgreSQL: its tables, its store, and an owner of its shard."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from larder.stack.migrate import schema_files
from shared.contracts.base import Message
from shared.runtime.commit import Commit
from shared.runtime.database import WORKER_SETTINGS, Database
from shared.runtime.effects import Run
from shared.runtime.owner import Owner
from shared.runtime.publisher import Publisher
from shared.runtime.shard import Item, Shard
from shared.runtime.statement import Connection, Write
from shared.runtime.table import Key
from shared.runtime.turn import Share
from shared.settings import Settings
from tests.runtime.fake_producer import FakeProducer
from tests.runtime.stand import Log
from tests.runtime.toy import SCALE, TOY, Jar, Note

RUNTIME_SCHEMA = [file for file in schema_files("order") if file.name.startswith("shared/")]
TOY_SCHEMA = """
create table jars (name text primary key, pieces bigint not null, neighbour text not null);
create table notes (seq bigint generated always as identity, jar text, at timestamptz, pieces bigint, actor text,
    text text);
"""
TABLES = ("progress", "outbox", "timers", "effects", "answers", "parked_requests", "parked", "jars", "notes")
OUTBOX_RETENTION_S = 60
ID_MEMORY_S = 3_600
CLUSTER = "cluster-1"

_JARS = """insert into jars (name, pieces, neighbour) select * from unnest($1::text[], $2::bigint[], $3::text[])
on conflict (name) do update set pieces = excluded.pieces, neighbour = excluded.neighbour"""
_NOTES = """insert into notes (jar, at, pieces, actor, text)
select * from unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[])"""


class ToyStore:
    """The toy's `store.py`."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """One query for all jars."""
        found: dict[Key, Any] = dict.fromkeys(keys)
        if SCALE in found:
            found[SCALE] = 5
        names = [key[1] for key in keys if key != SCALE]
        for row in await connection.fetch("select * from jars where name = any($1::text[])", names):
            found["jar", row["name"]] = Jar(row["name"], row["pieces"], row["neighbour"])
        return found

    def save_many(self, commit: Commit) -> list[Write]:
        """Jars as they are, notes as they came."""
        writes = []
        if jars := [(j.name, j.pieces, j.neighbour) for j in commit.states.values()]:
            writes.append(Write("jars", _JARS, [list(c) for c in zip(*jars, strict=True)]))
        if notes := [(n.jar, n.at, n.pieces, n.actor, n.text) for n in commit.records.get(Note, [])]:
            writes.append(Write("notes", _NOTES, [list(c) for c in zip(*notes, strict=True)]))
        return writes


class Ground:
    """An empty database with the runtime's tables and the toy's."""

    def __init__(self, dsn: str, connection: asyncpg.Connection) -> None:
        self.dsn = dsn
        self.connection = connection
        """For the test to look with; workers have their own."""
        self.log = Log()
        self.producer = FakeProducer()
        self._open: list[asyncpg.Connection] = []
        self._owners: list[Owner] = []

    @classmethod
    async def prepare(cls, dsn: str) -> Ground:
        """Makes the tables."""
        connection = await asyncpg.connect(dsn)
        await connection.execute("".join(file.text() for file in RUNTIME_SCHEMA) + TOY_SCHEMA)
        return cls(dsn, connection)

    async def clear(self) -> None:
        """As on the first day."""
        for owner in self._owners:
            if owner.runner:
                await owner.runner.close()
            await owner.publisher.close(0)
        for connection in self._open:
            await connection.close()
        self._owners, self._open, self.log, self.producer = [], [], Log(), FakeProducer()
        await self.connection.execute(f"truncate {', '.join(TABLES)} restart identity")

    async def database(self) -> Database:
        """The shard's side of the database, over a connection of its own, as a worker has it."""
        connection = await asyncpg.connect(self.dsn, server_settings=WORKER_SETTINGS)
        self._open.append(connection)
        return Database(connection, ToyStore(), OUTBOX_RETENTION_S, ID_MEMORY_S)

    async def worker(self, number: int = 0) -> Hand:
        """A claim of the shard, for commits made by hand."""
        database = await self.database()
        return Hand(self, database, Shard(TOY, await database.claim(number, CLUSTER), shards=1))

    async def owner(self, run: Run | None = None) -> Owner:
        """The real owner of shard 0, on a producer that is none."""
        [owner] = await self.owners([0], run)
        return owner

    async def owners(self, shards: Sequence[int], run: Run | None = None) -> list[Owner]:
        """The same for several shards of one worker."""
        database, publisher = await self.database(), Publisher(self.producer)
        settings = Settings(token_secret="only for tests" * 3, shards=max(shards) + 1)
        owners = [
            await Owner.claim(n, TOY, database, publisher, settings, CLUSTER, run, lambda commit: None, lambda: None)
            for n in shards
        ]
        self._owners += owners
        return owners

    async def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return [tuple(row) for row in await self.connection.fetch(sql, *arguments)]

    async def pieces(self, name: str) -> int:
        """How many pieces are in a jar."""
        return await self.connection.fetchval("select pieces from jars where name = $1", name) or 0

    async def counts(self) -> dict[str, int]:
        """How many rows each table holds, empty ones left out."""
        counted = {t: await self.connection.fetchval(f"select count(*) from {t}") for t in TABLES}
        return {table: count for table, count in counted.items() if count}


class Hand:
    """A shard and its database, a step at a time."""

    def __init__(self, ground: Ground, database: Database, shard: Shard) -> None:
        self.ground = ground
        self.database = database
        self.shard = shard

    async def decide(self, *items: Item, now: datetime | None = None) -> Commit:
        """Up to the commit, and no further."""
        share = Share(self.shard, self.shard.read(items))
        [commit] = await self.database.decided([share], now or datetime.now(UTC))
        return commit

    async def do(self, *items: Item, now: datetime | None = None) -> Commit:
        """Decides and writes one batch."""
        commit = await self.decide(*items, now=now)
        await self.database.save(commit)
        self.shard.committed(commit)
        return commit

    async def tell(self, *messages: Message, now: datetime | None = None) -> Commit:
        """The same, for a services' messages."""
        return await self.do(*(self.ground.log.told(m) for m in messages), now=now)


async def until(condition: Any, patience_s: float = 10) -> None:
    """Waits for a condition, and not for time."""
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(0.001)


async def drained(owner: Owner) -> None:
    """Everything that the owner still has to do is done."""
    while owner.has_work:
        await owner.run_batch([])


async def parked(ground: Ground) -> list[tuple[Any, ...]]:
    """Subject and code of all that is parked."""
    return await ground.rows("select subject, code from parked where state = 'parked' order by id")
