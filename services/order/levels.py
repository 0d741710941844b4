"""What stores have, as the order service has heard it: nothing is decided on it, quotes are told from it.

A consumer without a group reads the topics of levels from their beginning and follows them. While the broker is away
what is known stays known, and says how old it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from pydantic import ValidationError

from shared.contracts.levels import LEVELS, AllotmentLevel, OpenSlot, SlotsLevel, StockLevel
from shared.contracts.topics import LEVEL_TOPICS
from shared.runtime import envelope
from shared.runtime.envelope import Delivery
from shared.service import Parts

log = logging.getLogger(__name__)

HEARD = Gauge("larder_levels_heard_seconds", "Until when all levels that were told are known, seconds since 1970")
SKIPPED = Counter("larder_levels_skipped_total", "Records on the topics of levels that cannot be read")

STOCK_MAX, ALLOTMENTS_MAX, STORES_MAX = 250_000, 10_000, 1_000
"""Most levels in memory, of each kind. Beyond, those known longest are forgotten: to quotes they are unknown."""
RECORDS_MAX = 500
"""Most records of one turn: reading everything at the start takes turns with the batches of orders."""
POLL_MS = 500
RETRY_S = 1.0
"""Pause before a broker that does not answer is asked again."""


class Stock(NamedTuple):
    """Pieces on the shelf that nobody has, pieces that are to come and may be promised, and when that was so."""

    available: int
    incoming: int
    at: datetime


class Left(NamedTuple):
    """Pieces that are left of an allotment, and when that was so."""

    pieces: int
    at: datetime


class Slots(NamedTuple):
    """The next free slots of a store, by start, and when that was so."""

    slots: tuple[OpenSlot, ...]
    at: datetime


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", Stock, Left, Slots)
_CONTRACTS: dict[str, Any] = {level.TYPE: level for level in LEVELS}


class Levels:
    """The newest level of each store and SPU, allotment and store's slots. None: unknown, or over."""

    def __init__(self) -> None:
        self.heard_at: datetime | None = None
        """Until when all that was told is known here; None: the topics have not been read to their ends yet."""
        self._stock: dict[tuple[str, str], Stock] = {}
        self._left: dict[tuple[str, str, str], Left] = {}
        self._slots: dict[str, Slots] = {}
        self._read: dict[TopicPartition, int] = {}

    def stock(self, store: str, spu: str) -> Stock | None:
        """An SPU's pieces in a store."""
        return self._stock.get((store, spu))

    def left(self, store: str, spu: str, promotion: str) -> Left | None:
        """An allotment's pieces. Once everything was heard, None means that there are none."""
        return self._left.get((store, spu, promotion))

    def slots(self, store: str) -> tuple[OpenSlot, ...]:
        """The next free slots of a store; some may have begun since they were told."""
        known = self._slots.get(store)
        return known.slots if known else ()

    def hear(self, d: Delivery) -> None:
        """A record of one of the topics. One that cannot be read is counted and skipped."""
        try:
            if d.value is None:
                self._forget((d.key or b"").decode().split("|"))
            elif contract := _CONTRACTS.get(d.type):  # a kind from tomorrow is none of ours
                self._keep(contract.from_json(d.value))
        except (ValidationError, ValueError):
            SKIPPED.inc()

    def _forget(self, names: list[str]) -> None:
        match names:
            case [store]:
                self._slots.pop(store, None)
            case [store, spu]:
                self._stock.pop((store, spu), None)
            case [store, spu, promotion]:
                self._left.pop((store, spu, promotion), None)

    def _keep(self, level: StockLevel | AllotmentLevel | SlotsLevel) -> None:
        match level:
            case StockLevel():
                stock = Stock(level.available, level.incoming, level.at)
                _put(self._stock, (level.store, level.spu), stock, STOCK_MAX)
            case AllotmentLevel():
                _put(self._left, (level.store, level.spu, level.promotion), Left(level.left, level.at), ALLOTMENTS_MAX)
            case SlotsLevel():
                _put(self._slots, level.store, Slots(level.slots, level.at), STORES_MAX)

    # -- following -------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def following(self, parts: Parts) -> AsyncIterator[None]:
        """A background of the service: follows the topics as long as it runs."""
        task = asyncio.create_task(self._follow_on(parts.settings.bootstrap(), parts.settings.shards), name="levels")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow_on(self, bootstrap: str, shards: int) -> None:
        while True:
            try:
                await self._follow(bootstrap, [TopicPartition(t, n) for t in LEVEL_TOPICS for n in range(shards)])
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("levels are not heard: %s: %s", type(error).__name__, error)
            await asyncio.sleep(RETRY_S)

    async def _follow(self, bootstrap: str, partitions: list[TopicPartition]) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=POLL_MS,
        )
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while True:
                found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
                for records in found.values():
                    for r in records:
                        self.hear(envelope.read(r.topic, r.partition, r.offset, r.key, r.value, r.headers))
                await self._look_how_far(consumer, partitions)
                await asyncio.sleep(0)
        finally:
            await consumer.stop()

    async def _look_how_far(self, consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
        for tp in partitions:
            end, answered_ms = consumer.highwater(tp), consumer.last_poll_timestamp(tp)
            if end is not None and answered_ms and await consumer.position(tp) >= end:
                self._read[tp] = answered_ms
        if all(tp in self._read for tp in partitions):
            self.heard_at = datetime.fromtimestamp(min(self._read.values()) / 1000, UTC)
            HEARD.set(self.heard_at.timestamp())


def _put(levels: dict[_K, _V], key: _K, level: _V, most: int) -> None:
    known = levels.get(key)
    if known is not None and known.at > level.at:
        return  # read again from the beginning, after the broker was away: what is known is newer
    if known is None and len(levels) >= most:
        del levels[next(iter(levels))]
    levels[key] = level


LEVELS_HERE = Levels()
"""Those of this process: its background fills it, its routes read it."""
