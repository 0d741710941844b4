"""A service on a database of its own, without a broker: what is sent to it is decided and committed at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from larder.stack.migrate import migrate_database
from shared import tokens
from shared.contracts.base import Message
from shared.http.app import make_app, refuse_when_behind
from shared.http.commands import CommandDesk
from shared.http.waiting import Bell, RestWatcher
from shared.runtime.commit import Commit
from shared.runtime.database import WORKER_SETTINGS, Database
from shared.runtime.envelope import Delivery, Headers, Wire, read
from shared.runtime.shard import Item, Shard
from shared.service import Parts, Service
from shared.settings import Settings

SETTINGS = Settings(token_secret="a secret of the tests, long enough for HS256", answer_wait_s=5)


@dataclass
class Alone:
    """The service: `tell` is what other services do, `http` what people do; `said` is what it has said so far."""

    service: Service
    database: Database
    shard: Shard
    pool: asyncpg.Pool
    http: httpx.AsyncClient
    commits: list[Commit] = field(default_factory=list)
    time_goes_by_s: float = 0

    async def decide(self, *items: Item) -> Commit:
        """One batch, committed for real; everything is loaded anew, so that what was saved is what is decided on."""
        shard, now = self.shard, datetime.now(UTC) + timedelta(seconds=self.time_goes_by_s)
        shard._cache.clear()
        works = shard.read(items)
        shard.known(await self.database.known(shard.outside_ids(works)))
        while missing := shard.missing(works):
            shard.learn(await self.database.load(missing, now))
        commit = shard.decide(works, now)
        assert commit.decided == len(works)
        await self.database.save(commit)
        shard.committed(commit)
        self.commits.append(commit)
        return commit

    async def tell(self, *messages: Message) -> list[str]:
        """Messages of other services, in one batch; the types of what is said to them. Nothing may park."""
        link = self.shard.progress.received.get(f"order/0 {messages[0].TOPIC}", 0)
        commit = await self.decide(
            *(
                Delivery(
                    m.TOPIC, 0, self._offset(m.TOPIC, n), m.key.encode(), m.to_json(),
                    f"{m.TYPE}-{link + n}", m.TYPE, "order/0", m.subject, link + n + 1,
                )
                for n, m in enumerate(messages)
            )
        )  # fmt: skip
        assert not commit.parked, commit.parked
        assert not commit.gaps, commit.gaps
        return [types(wire) for row in commit.outbox for wire in row.records]

    async def fire(self, after_s: float) -> Commit:
        """Time goes by, and the timers that are due by then fire."""
        self.time_goes_by_s += after_s
        due = await self.database.due(0, datetime.now(UTC) + timedelta(seconds=self.time_goes_by_s))
        return await self.decide(*due)

    async def publish(self, topic: str, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
        """Stands for the broker: what HTTP sends is decided at once."""
        await self.decide(read(topic, partition, self._offset(topic), key, value, headers))

    def _offset(self, topic: str, more: int = 0) -> int:
        return self.shard.progress.offsets.get(topic, 0) + more

    async def get(self, path: str, role: str = "admin", **claims: str) -> httpx.Response:
        return await self.http.get(path, headers=bearer(role, **claims))

    async def post(
        self, path: str, body: Any = None, role: str = "admin", key: str = "", **claims: str
    ) -> httpx.Response:
        headers = bearer(role, **claims) | ({"Idempotency-Key": key} if key else {})
        return await self.http.post(path, json=body, headers=headers)

    async def put(self, path: str, body: Any, role: str = "admin", **claims: str) -> httpx.Response:
        return await self.http.put(path, json=body, headers=bearer(role, **claims))


def types(wire: Wire) -> str:
    """The type of a record."""
    return dict(wire[2])["ce_type"].decode()


def bearer(role: str, **claims: str) -> dict[str, str]:
    """The header of somebody with this role."""
    return {"Authorization": f"Bearer {tokens.create(SETTINGS, role, **claims)}"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer has to be."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


def ok(response: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that has to be good."""
    assert response.status_code == status, response.text
    return json.loads(response.content)


@asynccontextmanager
async def alone(service: Service, dsn: str) -> AsyncIterator[Alone]:
    """The service on an empty database."""
    name = service.decider.service
    await migrate_database(dsn, name, lambda line: None)
    connection = await asyncpg.connect(dsn, server_settings=WORKER_SETTINGS)
    pool = await asyncpg.create_pool(dsn, min_size=1, max_size=3)
    database = Database(connection, service.store, 60, 60)
    shard = Shard(service.decider, await database.claim(0, "no cluster"), shards=1)
    desk = CommandDesk(name, lambda *record: it.publish(*record), pool, SETTINGS)
    parts = Parts(SETTINGS, pool, desk, Bell(), RestWatcher(pool, service.resting), refuse_when_behind(lambda: 0, 1))
    app = make_app(
        name, service.title, service.description, routers=service.routes(parts), ready=lambda: None, settings=SETTINGS
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://alone") as http:
        it = Alone(service, database, shard, pool, http)
        try:
            yield it
        finally:
            await desk.close()
            await parts.rests.close()
            await pool.close()
            await connection.close()
