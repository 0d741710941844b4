"""Talks to a running stack as people and programs do: over HTTP, on its topics, and with the command line.

Who asks is written `role`, `role:account` or `role@store`; None sends no token at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from shared import tokens
from shared.settings import SERVICES, Settings

LARDER = Path(sys.executable).with_name("larder")
LOOK_S = 0.03
PATIENCE_S = 40.0
"""How long anything may take that has no time of its own, on a busy machine."""

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T | None]], what: str, patience_s: float = PATIENCE_S) -> T:
    """The first answer of `probe` that is something."""
    end = time.monotonic() + patience_s
    while True:
        value = await probe()
        if value:
            return value
        assert time.monotonic() < end, f"waited {patience_s} s for {what}"
        await asyncio.sleep(LOOK_S)


class Told(NamedTuple):
    """How a run of the command line ended."""

    status: int
    out: str
    err: str


class Stack:
    """One stack of its own home, with the ports and windows that it was brought up with."""

    def __init__(self, home: Path, named: Mapping[str, object]) -> None:
        self.home = home
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("LARDER_")}
        self._env |= {"LARDER_HOME": str(home)} | {f"LARDER_{k.upper()}": str(v) for k, v in named.items()}
        self._named = dict(named)
        self._tokens: dict[str, str] = {}
        self._client = httpx.AsyncClient(timeout=60, trust_env=False, limits=httpx.Limits(keepalive_expiry=2))
        self._producer: AIOKafkaProducer | None = None

    # -- its life --------------------------------------------------------------------------------------------------

    async def up(self) -> None:
        """Brings it up and reads what it tells of itself."""
        told = await self.larder("up", "--detach")
        assert told.status == 0, f"larder up: {told.out}{told.err}"
        self.settings = Settings(home=self.home, **self._named)  # type: ignore[arg-type]

    async def down(self) -> None:
        """Stops it."""
        await self._client.aclose()
        if self._producer:
            await self._producer.stop()
        await self.larder("down")

    async def larder(self, *arguments: object) -> Told:
        """Runs the command line."""
        process = await asyncio.create_subprocess_exec(
            LARDER,
            *map(str, arguments),
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Told(process.returncode or 0, out.decode(), err.decode())

    async def larder_json(self, *arguments: object) -> Any:
        """The last line of a command that answers in JSON."""
        told = await self.larder(*arguments, "--json")
        assert told.status == 0, f"larder {arguments}: {told.out}{told.err}"
        return json.loads(told.out.strip().splitlines()[-1])

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def token(self, who: str, *, ttl_s: float = 3600) -> str:
        """A token as `larder token` prints it: `customer:account`, `picker:name@store`, `admin`."""
        kept = self._tokens.get(who)
        if kept and ttl_s == 3600:
            return kept
        role, _, store = who.partition("@")
        role, _, whose = role.partition(":")
        person = {"account" if role == "customer" else "name": whose or None}
        token = tokens.create(self.settings, role, store=store or None, ttl_s=ttl_s, **person)
        return self._tokens.setdefault(who, token) if ttl_s == 3600 else token

    def url(self, service: str, path: str) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self.settings.port(service)}{path}"

    async def ask(
        self,
        method: str,
        service: str,
        path: str,
        body: object = None,
        *,
        by: str | None = "admin",
        key: str | None = "",
        wait: int = 0,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request. `key` is its Idempotency-Key: a fresh one when empty, none when None."""
        sent = dict(headers or {})
        if by is not None:
            sent.setdefault("Authorization", f"Bearer {self.token(by)}")
        if method == "POST" and key is not None:
            sent["Idempotency-Key"] = key or str(uuid4())
        if wait:
            sent["Prefer"] = f"wait={wait}"
        if body is not None:
            content = json.dumps(body).encode()
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        return await self._client.request(method, self.url(service, path), content=content, headers=sent)

    async def get(self, service: str, path: str, by: str | None = "admin") -> Any:
        """The JSON of a GET that goes well."""
        return good(await self.ask("GET", service, path, by=by))

    async def put(self, service: str, path: str, body: object, by: str | None = "admin") -> Any:
        """The JSON of a PUT that goes well."""
        return good(await self.ask("PUT", service, path, body, by=by))

    async def post(self, service: str, path: str, body: object = None, **named: Any) -> httpx.Response:
        """A POST, however it goes."""
        return await self.ask("POST", service, path, body, **named)

    def stream(self, service: str, path: str, by: str) -> Any:
        """A streamed GET."""
        headers = {"Authorization": f"Bearer {self.token(by)}"}
        return self._client.stream("GET", self.url(service, path), headers=headers)

    async def ready(self) -> bool:
        """Whether every service says that it is."""
        answers = await asyncio.gather(*(self.ask("GET", s, "/readyz", by=None) for s in SERVICES))
        return all(answer.status_code == 200 for answer in answers)

    async def parked(self, service: str) -> list[dict[str, Any]]:
        """What is parked, from the service's own table: the command line says the same, and takes a second."""
        connection = await asyncpg.connect(self.settings.dsn(service))
        try:
            rows = await connection.fetch("select * from parked where state = 'parked' order by id")
        finally:
            await connection.close()
        return [{**row, "id": f"{service}:{row['id']}"} for row in rows]

    # -- topics ----------------------------------------------------------------------------------------------------

    async def producer(self) -> AIOKafkaProducer:
        """A producer that takes records of any size that the broker takes."""
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self.settings.bootstrap(), max_request_size=4_000_000, max_batch_size=900_000
            )
            await self._producer.start()
        return self._producer

    async def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: str | None = "nobody",
        headers: list[tuple[str, Any]] | None = None,
        partition: int | None = None,
    ) -> RecordMetadata:
        """Puts one record on a topic: where its key belongs, unless a partition is named."""
        producer = await self.producer()
        wire_key = None if key is None else key.encode()
        return await producer.send_and_wait(topic, value, key=wire_key, headers=headers or [], partition=partition)

    async def consume(self, topic: str) -> list[dict[str, Any]]:
        """The bodies of all that is on a topic by now."""
        place = TopicPartition(topic, 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.bootstrap(), auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            bodies: list[dict[str, Any]] = []
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    bodies += [json.loads(record.value) for record in records]
            return bodies
        finally:
            await consumer.stop()

    async def flood(self, topic: str, key: bytes, value: bytes, type_: str, records: int) -> None:
        """Puts many commands on a topic, faster than anybody can decide them."""
        producer = await self.producer()
        batches = [producer.create_batch()]
        for n in range(records):
            headers = [("ce_id", f"flood-{n}".encode()), ("ce_type", type_.encode())]
            if batches[-1].append(key=key, value=value, timestamp=None, headers=headers) is None:
                batches.append(producer.create_batch())
        for batch in batches:
            batch.close()
        sent = [await producer.send_batch(batch, topic, partition=0) for batch in batches]
        await asyncio.gather(*sent)


def good(answer: httpx.Response) -> Any:
    """The JSON of an answer that is none of the errors."""
    assert answer.status_code < 300, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem that an answer must be."""
    where = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
    assert answer.status_code == status, where
    assert answer.headers["content-type"].startswith("application/problem+json"), where
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status, where
    assert problem["code"], where
    assert problem["title"], where
    if code is not None:
        assert problem["code"] == code, where
    return problem


def envelope(type_: str, **more: bytes | None) -> list[tuple[str, Any]]:
    """The headers of a command from outside, with a fresh id."""
    named = {
        "ce_specversion": b"1.0",
        "ce_id": uuid4().hex.encode(),
        "ce_type": type_.encode(),
        "ce_source": b"tests",
        "ce_actor": b"customer:a-1",
    }
    return [(name, value) for name, value in {**named, **more}.items()]
