"""What a worker waits for while the brokers do not tell where a log ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from services.aftersales.decider import DECIDER
from services.aftersales.store import AftersalesStore
from shared.runtime import worker as module
from shared.runtime.worker import Worker
from shared.settings import Settings


class Speechless:
    """A consumer whose brokers answer nothing about the ends of shard 0: too few copies in sync, or nobody there."""

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Never answers for shard 0."""
        if partitions[0].partition == 0:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, 0)


class Due:
    """A shard with a timer that is due, and nothing to read."""

    shard = SimpleNamespace(progress=SimpleNamespace(offsets={}))

    def __init__(self) -> None:
        self.next_due: datetime | None = datetime(2020, 1, 1, tzinfo=UTC)


async def fired(before: Mapping[Due, datetime]) -> None:
    """Fires them."""
    for shard in before:
        shard.next_due = None


async def test_silent_brokers_hold_up_only_their_own_shard_and_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would ask for 40 s, and for two shards longer than the watchdog lets a batch take: the worker would be
    ended and started again for as long as the brokers are away."""
    monkeypatch.setattr(module, "ENDS_PATIENCE_S", 0.01)
    monkeypatch.setattr(module, "fire_due", fired)
    worker = Worker(DECIDER, AftersalesStore(), Settings(home=tmp_path, kafka="127.0.0.1:1"), beat_ms=0)
    monkeypatch.setattr(worker, "_consumer", Speechless(), raising=False)
    silent, told = Due(), Due()
    monkeypatch.setattr(worker, "owners", {0: silent, 1: told})
    async with asyncio.timeout(5):
        await worker._fire()
        await worker._fire()
    assert (silent.next_due is None, told.next_due is None) == (False, True)


class Held:
    """A producer whose broker acknowledges nothing by itself."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[object]] = []

    async def send(self, *record: object, **more: object) -> asyncio.Future[object]:
        """Takes it."""
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


async def test_a_record_from_outside_waits_until_the_broker_has_it_also_when_nobody_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People lose patience before the broker's time is over, and that must not make the service look ready."""
    now_s = 100.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now_s))
    worker = Worker(DECIDER, AftersalesStore(), Settings(home=tmp_path, kafka="127.0.0.1:1"), beat_ms=0)
    worker.producer = held = Held()
    first = asyncio.create_task(worker.send("aftersales.commands", 0, b"", b"", []))
    await asyncio.sleep(0)
    now_s += 4
    second = asyncio.create_task(worker.send("aftersales.commands", 0, b"", b"", []))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    now_s += 2
    assert worker.unacknowledged_s == 6
    held.sent[0].set_exception(KafkaTimeoutError())
    await asyncio.sleep(0)
    assert worker.unacknowledged_s == 2
    held.sent[1].set_result(None)
    await second
    assert worker.unacknowledged_s == 0


class Parts:
    """Whatever a worker parts from when it ends."""

    _coordinator: SimpleNamespace

    async def stop(self) -> None:
        """At once."""

    close = stop


@pytest.mark.parametrize(
    ("told_to_stop", "owns", "leaves"), [(True, True, True), (False, True, False), (False, False, True)]
)
async def test_only_a_worker_that_comes_back_for_its_shards_keeps_its_place(
    told_to_stop: bool, owns: bool, leaves: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place with a shard makes its next start quick. One without would give it the same again, nothing: so it is when
    a worker has joined on a broker that came back without topics, and its next start comes after they were made."""
    worker = Worker(DECIDER, AftersalesStore(), Settings(home=tmp_path, kafka="127.0.0.1:1"), beat_ms=0)
    monkeypatch.setattr(Parts, "_coordinator", SimpleNamespace(_group_instance_id="aftersales-0"), raising=False)
    for part in ("_consumer", "producer", "_connection"):
        monkeypatch.setattr(worker, part, Parts(), raising=False)
    monkeypatch.setattr(worker, "owners", {0: Due()} if owns else {})
    if told_to_stop:
        worker.stop()
    await worker._disconnect()
    assert (Parts._coordinator._group_instance_id is None) is leaves
