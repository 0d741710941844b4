"""What a worker waits for while the brokers do not tell where a log ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

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

    async def fire_due(self, before: datetime) -> None:
        """Fires it."""
        self.next_due = None


async def test_silent_brokers_hold_up_only_their_own_shard_and_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would ask for 40 s, and for two shards longer than the watchdog lets a batch take: the worker would be
    ended and started again for as long as the brokers are away."""
    monkeypatch.setattr(module, "ENDS_PATIENCE_S", 0.01)
    worker = Worker(DECIDER, AftersalesStore(), Settings(home=tmp_path, kafka="127.0.0.1:1"), beat_ms=0)
    monkeypatch.setattr(worker, "_consumer", Speechless(), raising=False)
    silent, told = Due(), Due()
    monkeypatch.setattr(worker, "owners", {0: silent, 1: told})
    async with asyncio.timeout(5):
        await worker._fire()
        await worker._fire()
    assert (silent.next_due is None, told.next_due is None) == (False, True)
