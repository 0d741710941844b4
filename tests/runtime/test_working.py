"""What a worker says it is at: the same to its metrics and to `GET /operations`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from services.aftersales.decider import DECIDER
from services.aftersales.store import AftersalesStore
from shared.runtime.metrics import Working, show
from shared.runtime.worker import Worker
from shared.settings import Settings


class Fetched:
    """A consumer whose logs end at 10, and that has a partition of a shard that is not this worker's any more."""

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition("t", 0), TopicPartition("t", 3), TopicPartition("t", 9)}

    def highwater(self, tp: TopicPartition) -> int:
        return 10


def owned(epoch: int, read: int, cached: int, running: int | None) -> SimpleNamespace:
    """A shard."""
    progress = SimpleNamespace(epoch=epoch, offsets={"t": read})
    runner = None if running is None else SimpleNamespace(running=running)
    return SimpleNamespace(shard=SimpleNamespace(progress=progress, cached=cached), runner=runner)


async def test_a_worker_says_what_it_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it has begun nothing; then the sums of its shards, and each epoch."""
    worker = Worker(DECIDER, AftersalesStore(), Settings(home=tmp_path, kafka="127.0.0.1:1"), beat_ms=0)
    assert worker.working() == Working()
    monkeypatch.setattr(worker, "_consumer", Fetched(), raising=False)
    monkeypatch.setattr(worker, "_publisher", SimpleNamespace(waiting=2, waiting_messages=6))
    monkeypatch.setattr(worker, "owners", {0: owned(5, 4, 30, 2), 3: owned(8, 9, 12, None)})
    assert worker.working() == Working({0: 5, 3: 8}, 7, 42, 2, 6, 2)
    show("one of tests", worker.working())
    names = ("lag_records", "cached_aggregates", "unpublished_rows", "effects_running")
    told = [REGISTRY.get_sample_value(f"larder_{name}", {"service": "one of tests"}) for name in names]
    assert told == [7, 42, 2, 2]
