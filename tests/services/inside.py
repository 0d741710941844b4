"""One service from the inside: its HTTP side, its shard and its real database, with nothing where the broker would be.

What is published is decided and committed at once; what is said is kept for the test to look at.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import asyncpg
import httpx
from fastapi import APIRouter
from msgspec.structs import replace

from larder.stack.migrate import migrate_database
from services.order.state import Order
from services.risk.state import Screening
from shared import tokens
from shared.contracts.base import Message
from shared.contracts.topics import ACTIVITY, commands_of
from shared.http.app import make_app
from shared.http.commands import CommandDesk
from shared.http.waiting import Bell, RestWatcher
from shared.runtime.commit import Commit
from shared.runtime.database import WORKER_SETTINGS, Database
from shared.runtime.decider import Decider, Windows
from shared.runtime.effects import Run
from shared.runtime.envelope import Headers, from_outside, read
from shared.runtime.instants import read_every_instant
from shared.runtime.said import Effect
from shared.runtime.shard import EffectAnswered, Item, Shard
from shared.runtime.statement import Store
from shared.runtime.table import Key
from shared.runtime.turn import Share
from shared.service import Parts, all_routes
from shared.settings import Settings

SETTINGS = Settings(token_secret="a secret of the tests, long enough for HS256", answer_wait_s=5)
PATIENCE_S = 10


class Inside:
    """A running service; `commits` is all that was decided."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        database: Database,
        shard: Shard,
        routes: Callable[[Parts], Sequence[APIRouter]],
        resting: str,
    ) -> None:
        self.pool = pool
        self.commits: list[Commit] = []
        self.run: Run | None = None
        """What calls the outside world; without it, effects stay open."""
        self._database = database
        self._shard = shard
        self._offsets = itertools.count()
        self._one_at_a_time = asyncio.Lock()
        self._committed = asyncio.Event()
        service = shard.decider.service
        self._desk = CommandDesk(service, self._publish, pool, SETTINGS)
        self._rests = RestWatcher(pool, resting)
        parts = Parts(SETTINGS, pool, self._desk, Bell(), self._rests, _never_behind)
        routers = all_routes(service, routes, parts)
        app = make_app(service, service, service, routers=routers, ready=lambda: None, settings=SETTINGS)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://inside")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._desk.close()
        await self._rests.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: str = "admin",
        account: str | None = None,
        name: str | None = None,
        store: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """A request of somebody with a token of this role."""
        token = tokens.create(SETTINGS, role, account, store, name=name)
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self._client.request(method, path, json=body, headers=headers, **more)

    async def post_bytes(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """A request without a token."""
        return await self._client.post(path, content=body, headers=headers)

    async def hear(self, message: Message, actor: str = "order:") -> list[str]:
        """A message comes through the log; answers with the types of what is said."""
        headers = from_outside(
            id=f"test-{next(self._offsets)}",
            type=message.TYPE,
            source="test",
            subject=message.subject,
            actor=actor,
            at=datetime.now(UTC),
        )
        before = len(self.commits)
        await self._publish(message.TOPIC, 0, message.key.encode(), message.to_json(), headers)
        return [said for commit in self.commits[before:] for said in types_said(commit)]

    async def park(self) -> None:
        """A record comes that is no message."""
        await self._publish(commands_of(self._shard.decider.service), 0, b"k", b"no JSON", [])

    async def time_passes(self, seconds: float) -> list[str]:
        """Fires the timers that are due by then; answers with the types of what is said."""
        before = len(self.commits)
        await self._decide((await self._database.due({0: datetime.now(UTC) + timedelta(seconds=seconds)}))[0])
        return [said for commit in self.commits[before:] for said in types_said(commit)]

    async def until_said(self, type_: str) -> None:
        """Waits until something is said that nobody here asked for."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(type_ in types_said(commit) for commit in self.commits):
                self._committed.clear()
                await self._committed.wait()

    async def load(self, keys: Sequence[Key]) -> Mapping[Key, Any]:
        """What the worker would read."""
        return await self._database.load(keys, datetime.now(UTC))

    async def forget(self) -> None:
        """A restart: what is not in the database is gone."""
        self._shard._cache.clear()
        self._shard._older.clear()

    async def _publish(self, topic: str, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
        await self._decide([read(topic, partition, next(self._offsets), key, value, headers)])

    async def _decide(self, items: Sequence[Item]) -> None:
        effects: list[Effect] = []
        async with self._one_at_a_time:
            while items:  # a batch that is cut goes on with the next
                commit = await self._commit(items)
                effects += commit.effects_opened
                items = items[commit.decided :]
        for effect in effects if self.run else ():
            assert self.run
            await self._decide([EffectAnswered(effect.id, await self.run(effect, False))])

    async def _commit(self, items: Sequence[Item]) -> Commit:
        shard, database = self._shard, self._database
        [commit] = await database.decided([Share(shard, shard.read(items))], datetime.now(UTC))
        await database.save(commit)
        shard.committed(commit)
        self.commits.append(commit)
        self._committed.set()
        self._desk.hint([answer.id for answer in commit.answers])
        return commit


def as_kept(state: Any) -> Any:
    """A state without what only its batch has to know: as it comes back from the database."""
    if type(state) is Order:
        return replace(state, changed_at=None)
    if type(state) is Screening:
        return replace(state, seen=None)
    return state


def types_said(commit: Commit) -> list[str]:
    """The types of the messages of a commit, without the answers to people's commands, and what risk learns from."""
    headers = [dict(headers) for row in commit.outbox if row.topic != ACTIVITY for _, _, headers in row.records]
    types = [attributes["ce_type"].decode() for attributes in headers]
    return [type_ for type_ in types if type_ not in ("CommandAccepted", "CommandRefused")]


async def _never_behind() -> None:
    return None


@asynccontextmanager
async def inside(
    decider: Decider,
    store: Store,
    routes: Callable[[Parts], Sequence[APIRouter]],
    fresh_database: Callable[[], Awaitable[str]],
    windows: Windows | None = None,
    resting: str = "select id, true from unnest($1::text[]) u (id)",
) -> AsyncIterator[Inside]:
    """The service over a database of its own."""
    dsn = await fresh_database()
    await migrate_database(dsn, decider.service, lambda line: None)
    connection = await asyncpg.connect(dsn, server_settings=WORKER_SETTINGS)
    await read_every_instant(connection)
    database = Database(connection, store, 120, 86_400)
    try:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2, init=read_every_instant) as pool:
            progress = await database.claim(0, "no broker")
            shard = Shard(decider, progress, shards=1, windows=windows)
            async with Inside(pool, database, shard, routes, resting) as service:
                yield service
    finally:
        await connection.close()
