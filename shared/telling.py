"""Telling levels: what a service has goes to a compacted topic, some of it on every beat. No batch waits for it.

Theory of operation. Whatever a batch changes is only noted, by its key; on a beat some of the noted keys are looked up
in the tables and told as they are then. So a hot cell is told once a beat at most, however often it changes, what is
told was committed, and the cost is bounded whatever the load: under it levels are later, not dearer. Nothing that is
noted is lost: what the broker does not take is noted again, and the table is walked from its beginning when a shard
becomes this worker's (whoever had it may have died with notes untold) and when more is noted than is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.contracts.topics import partition_for
from shared.runtime.commit import Commit
from shared.runtime.envelope import Headers
from shared.runtime.metrics import LEVELS_UNTOLD
from shared.runtime.publisher import make_producer
from shared.runtime.table import Key
from shared.service import Background, Parts

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""So often some levels are told: people read them, and a second is now to people."""
QUIET_BEAT_S = 0.05
"""The same while no batch is decided: a walk through all cells is over soon when nobody waits for the processor."""
TOLD_MAX = 300
"""Most levels of one beat. Each costs about 10 us here, as much in the database, and as much where it is heard: at most
half a percent of two cores, however much changes."""
NOTED_MAX = 100_000
"""Most keys that wait to be told. Beyond, they are forgotten, and the table is walked instead."""


class Told(NamedTuple):
    """A level as a record: its contract's name, its key, and its body, None when it is over."""

    type: str
    key: str
    body: bytes | None


class Levels(Protocol):
    """What a service has to tell. Keys are those of its states, or others that name the store in the same place."""

    @property
    def topic(self) -> str:
        """Where it is told."""
        ...

    def touched(self, states: Collection[Key]) -> Iterable[Key]:
        """The keys of levels that a batch changed, of all that it changed. Called for every batch: cheap."""
        ...

    def first(self, noted: Collection[Key], most: int) -> list[Key]:
        """Which of the keys are to be told now: at most so many, the oldest first."""
        ...

    async def look(self, pool: asyncpg.Pool, keys: Sequence[Key]) -> list[Told]:
        """These levels as they are now, with one query."""
        ...

    async def walk(self, pool: asyncpg.Pool, after: Key | None, most: int) -> list[Key]:
        """The next keys in the order of the table, from the beginning when there is none to go on from."""
        ...


def store_of(key: Key) -> str:
    """The store that a level is about: whoever owns its shard tells it."""
    return str(key[1])


def telling(levels: Levels) -> Background:
    """A background that tells levels for as long as the service runs."""

    @contextlib.asynccontextmanager
    async def tell(parts: Parts) -> AsyncIterator[None]:
        producer = make_producer(
            parts.settings.bootstrap(),
            f"{levels.topic}-{parts.settings.worker}",
            idempotent=parts.settings.kafka_idempotence,
        )
        teller = Teller(levels, parts, producer)
        parts.on_saved.append(teller.note)
        task = asyncio.create_task(teller.run(), name=f"tell {levels.topic}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # Of a broker that is away nothing more is expected, and the next start tells everything.
            await asyncio.gather(asyncio.wait_for(producer.stop(), BEAT_S), return_exceptions=True)

    return tell


class Teller:
    """Notes what batches change, and tells it on a beat. One coroutine tells, so a level is never told before an older
    one of its key."""

    def __init__(self, levels: Levels, parts: Parts, producer: AIOKafkaProducer) -> None:
        self._levels, self._pool, self._owned = levels, parts.pool, parts.owned
        self._shards, self._source = parts.settings.shards, levels.topic.partition(".")[0]
        self._producer = producer
        self._producing = False
        self._noted: dict[Key, None] = {}
        self._sending = False
        self._walking = False
        self._after: Key | None = None
        self._epochs: dict[int, int] = {}
        self._busy = False
        self._failing = False

    def note(self, commit: Commit) -> None:
        """A batch was committed."""
        self._busy = True
        self._noted.update(dict.fromkeys(self._levels.touched(commit.states)))
        if len(self._noted) > NOTED_MAX:
            self._noted.clear()
            self._walk()

    async def run(self) -> None:
        """Tells until it is cancelled. A database or a broker that is away is asked again on the next beat."""
        while True:
            try:
                if not self._producing:
                    await self._producer.start()
                    self._producing = True
                await self.beat()
                self._failing = False
            except (asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError, OSError, TimeoutError) as error:
                if not self._failing:
                    log.warning("%s: nothing is told: %s: %s", self._levels.topic, type(error).__name__, error)
                self._failing = True
            quiet = self.behind and not self._busy and not self._failing
            self._busy = False
            await asyncio.sleep(QUIET_BEAT_S if quiet else BEAT_S)

    @property
    def behind(self) -> bool:
        """Something is still to be told, or on its way to the broker."""
        return bool(self._noted) or self._walking or self._sending

    async def beat(self) -> None:
        """Tells some of what is noted; raises what the database or the broker raises, and then nothing is lost."""
        owned = dict(self._owned())
        if any(self._epochs.get(shard) != epoch for shard, epoch in owned.items()):
            self._walk()
        self._epochs = owned
        if self._walking and len(self._noted) < TOLD_MAX:
            await self._go_on()
        LEVELS_UNTOLD.labels(self._source).set(len(self._noted))
        keys = self._levels.first(self._noted, TOLD_MAX)
        for key in keys:
            del self._noted[key]
        untold, self._sending = dict.fromkeys(keys), True
        try:
            mine = [key for key in keys if self._shard(store_of(key)) in owned]
            if mine:
                await self._send(await self._levels.look(self._pool, mine))
            untold = {}
        finally:
            self._noted.update(untold)
            self._sending = False

    def _walk(self) -> None:
        self._walking, self._after = True, None

    async def _go_on(self) -> None:
        found = await self._levels.walk(self._pool, self._after, TOLD_MAX)
        self._walking, self._after = len(found) == TOLD_MAX, found[-1] if found else None
        self._noted.update(dict.fromkeys(key for key in found if self._shard(store_of(key)) in self._epochs))

    def _shard(self, store: str) -> int:
        return partition_for(store, self._shards)

    async def _send(self, told: Sequence[Told]) -> None:
        """Returns when the broker has all of it."""
        at = datetime.now(UTC).isoformat()
        source, time = ("ce_source", self._source.encode()), ("ce_time", at.encode())
        by_partition: dict[int, list[Told]] = {}
        for one in told:
            by_partition.setdefault(partition_for(one.key, self._shards), []).append(one)
        sent = []
        for partition, some in by_partition.items():
            batch = self._producer.create_batch()
            for type_, key, body in some:
                headers: Headers = [
                    ("ce_specversion", b"1.0"),
                    ("ce_id", f"{key}@{at}".encode()),
                    ("ce_type", type_.encode()),
                    source,
                    time,
                    ("ce_subject", key.encode()),
                ]
                if batch.append(timestamp=None, key=key.encode(), value=body, headers=headers) is None:
                    sent.append(await self._producer.send_batch(batch, self._levels.topic, partition=partition))
                    batch = self._producer.create_batch()
                    batch.append(timestamp=None, key=key.encode(), value=body, headers=headers)
            sent.append(await self._producer.send_batch(batch, self._levels.topic, partition=partition))
        for future in sent:
            await future
