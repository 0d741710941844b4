"""Risk's stream application against a real broker: what comes is counted and told, whatever else comes, and whoever
dies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from larder.stack.topics import COMPACTED, admin
from services.risk.signals import Signals
from shared.contracts.risk import AccountsActed, Activity, Conduct, OrdersSeen, Sighting, SignalsTold
from shared.contracts.topics import changelogs_of
from shared.runtime.envelope import from_outside
from shared.runtime.publisher import make_producer
from shared.settings import Settings
from tests.parts import RealParts

PATIENCE_S = 30
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
_numbers = itertools.count(1)


class Stand:
    """A group of its own with topics of its own: what is said to it, and what it told."""

    def __init__(self, settings: Settings, group: str, source: str, target: str) -> None:
        self.settings = settings
        self.group = group
        self.source = source
        self.target = target
        self.told: list[SignalsTold] = []

    def known(self) -> dict[str, Conduct]:
        """The newest conduct of each subject."""
        return {one.subject: one for pack in self.told for one in pack.entries}

    @asynccontextmanager
    async def counting(self, worker: int = 0, **more: Any) -> AsyncIterator[Signals]:
        """One process's share, until the context ends."""
        settings = self.settings.model_copy(update={"worker": worker, **more})
        signals = Signals(settings, group=self.group, source=self.source, target=self.target)
        await signals.start()
        try:
            yield signals
        finally:
            await signals.stop()

    async def say(self, pack: AccountsActed | OrdersSeen) -> None:
        """A record as the runtime would write it."""
        headers = from_outside(
            id=f"p-{next(_numbers)}", type=pack.TYPE, source="order/0", subject="0", actor="", at=datetime.now(UTC)
        )
        await self.write(pack.to_json(), headers, pack.shard)

    async def write(self, body: bytes | None, headers: Any = (), partition: int = 0) -> None:
        """A record of any kind."""
        producer = make_producer(self.settings.bootstrap(), "test")
        await producer.start()
        await producer.send_and_wait(self.source, body, partition=partition, headers=list(headers))
        await producer.stop()

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Waits until it is so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; told: {self.told}") from None

    async def listen(self) -> None:
        """Takes down what is told."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.bootstrap())
        await consumer.start()
        try:
            partitions = [TopicPartition(self.target, n) for n in range(self.settings.shards)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            async for record in consumer:
                pack = SignalsTold.from_json(record.value)
                assert (pack.shard, record.key) == (record.partition, pack.key.encode())
                self.told.append(pack)
        finally:
            await consumer.stop()


@pytest.fixture
async def stand(parts: RealParts, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    """Topics of one test alone; `shards` as its mark says."""
    shards = getattr(request, "param", 1)
    source, target = await parts.fresh_topic(shards), await parts.fresh_topic(shards)
    settings = parts.settings(tmp_path, shards=shards)
    group = f"signals-of-{source}"
    async with admin(parts.bootstrap) as client:
        await client.create_topics(
            [NewTopic(name, shards, 1, topic_configs=COMPACTED) for name in changelogs_of(group)]
        )
    stand = Stand(settings, group, source, target)
    listening = asyncio.create_task(stand.listen())
    yield stand
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


def acted(*entries: tuple[str, str, str], shard: int = 0, at: datetime = NOW) -> AccountsActed:
    """A pack of (account, order, deed)."""
    return AccountsActed(
        shard=shard,
        entries=tuple(Activity(account=a, order_id=o, deed=deed, at=at) for a, o, deed in entries),  # type: ignore[arg-type]
    )


def counts(one: Conduct | None) -> dict[str, int]:
    """How many happenings of each signal."""
    return {count.signal: len(count.happenings) for count in one.counts} if one else {}


async def test_what_comes_is_counted_and_told(stand: Stand) -> None:
    """Deeds of accounts, and orders as account, device and address see them; what was told twice counts once."""
    device, address = "d" * 24, "a" * 24
    seen = OrdersSeen(
        shard=0,
        entries=tuple(
            Sighting(about=about, subject=subject, account="ann", order_id="o-1", at=NOW, total=500, device=device)  # type: ignore[arg-type]
            for about, subject in (("account", "ann"), ("device", device), ("address", address))
        ),
    )
    async with stand.counting():
        await stand.say(seen)
        await stand.say(acted(("ann", "o-1", "delivered"), ("bob", "o-2", "cancelled"), ("bob", "o-3", "ended")))
        await stand.say(seen)
        await stand.until(lambda: counts(stand.known().get("ann")) == {"orders": 1, "deliveries": 1}, "ann's conduct")
        known = stand.known()
        assert counts(known["bob"]) == {"cancels": 1}
        assert counts(known[device]) == {"device_orders": 1, "device_accounts": 1}
        assert counts(known[address]) == {"address_orders": 1, "address_accounts": 1}
        (earlier,) = known["ann"].earlier
        assert (earlier.order_id, earlier.delivered, earlier.device) == ("o-1", True, device)
