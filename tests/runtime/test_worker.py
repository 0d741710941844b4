"""The worker on a real broker: what takes the ground away from under it ends it, with its reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from aiokafka import TopicPartition

from services.aftersales.decider import DECIDER
from services.aftersales.store import AftersalesStore
from shared.runtime.broker import WrongBroker
from shared.runtime.database import NameTaken
from shared.runtime.worker import NoShare, Worker
from shared.settings import Settings

pytestmark = pytest.mark.parts
PATIENCE_S = 40
HAND_OVER_S = 2.0
"""It takes half a second; a busy machine has some more."""


@pytest.fixture
async def books(migrated: Settings) -> AsyncIterator[asyncpg.Connection]:
    """The database of the service, without any progress."""
    connection = await asyncpg.connect(migrated.dsn("aftersales"))
    await connection.execute("delete from progress")
    yield connection
    await connection.execute("delete from progress")
    await connection.close()


def worker(settings: Settings) -> Worker:
    """One that has not started."""
    return Worker(DECIDER, AftersalesStore(), settings, beat_ms=0)


async def progress_with(books: asyncpg.Connection, cluster: str) -> None:
    """The shard's progress goes with that cluster."""
    await books.execute("insert into progress values (0, 1, 0, $1, '{}', '{}', '{}', '{}')", cluster)


async def test_progress_of_another_cluster_stops_the_worker_at_once(migrated: Settings, books) -> None:
    """It says which cluster it knows, and never takes the shard."""
    await progress_with(books, "lost-cluster")
    with pytest.raises(WrongBroker, match="lost-cluster"):
        await asyncio.wait_for(worker(migrated).run(), PATIENCE_S)
    assert await books.fetchval("select epoch from progress") == 1


async def test_a_shard_that_cannot_be_claimed_ends_the_worker(migrated: Settings, books) -> None:
    """The Kafka client only logs what its listener raises: without care the worker would live on without a shard."""
    await books.execute("alter table timers rename to timers_gone")
    try:
        with pytest.raises(asyncpg.UndefinedTableError):
            await asyncio.wait_for(worker(migrated).run(), PATIENCE_S)
    finally:
        await books.execute("alter table timers_gone rename to timers")


async def test_a_log_that_is_shorter_than_it_was_read_ends_the_worker(
    migrated: Settings, books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is the same, and its records are gone: a topic made again, a restored backup, a lost volume."""
    monkeypatch.setattr("shared.runtime.worker.HOUSEKEEPING_S", 0.5)
    offsets = {"aftersales.commands": 10_000_000}
    await books.execute("insert into progress values (0, 1, 0, '', $1, '{}', '{}', '{}')", json.dumps(offsets))
    with pytest.raises(WrongBroker, match=r"aftersales.commands/0 ends at offset \d+, but .* up to 10000000.*--adopt"):
        await asyncio.wait_for(worker(migrated).run(), PATIENCE_S)
    assert json.loads(await books.fetchval("select offsets from progress")) == offsets


async def test_a_worker_that_is_told_to_stop_ends_without_an_error(migrated: Settings, books) -> None:
    """And it leaves its shard's row as it was claimed."""
    one = worker(migrated)
    running = asyncio.create_task(one.run())
    await asyncio.wait_for(one.assigned.wait(), PATIENCE_S)
    one.stop()
    await asyncio.wait_for(running, PATIENCE_S)
    assert await books.fetchval("select epoch from progress") == 1


async def test_of_two_workers_of_one_name_the_first_lives_on(
    migrated: Settings, books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second says whose name it has and what to do; it never joins, so the first is not fenced."""
    monkeypatch.setattr("shared.runtime.worker.NAME_PATIENCE_S", 0.2)
    first, second = worker(migrated), worker(migrated)
    running = asyncio.create_task(first.run())
    await asyncio.wait_for(first.assigned.wait(), PATIENCE_S)
    with pytest.raises(NameTaken, match=r"worker 0 of aftersales.*LARDER_WORKER"):
        await asyncio.wait_for(second.run(), PATIENCE_S)
    assert first.owners
    assert not running.done()
    first.stop()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_the_shard_of_a_worker_that_stops_is_another_s_at_once(migrated: Settings, books) -> None:
    """Only one that dies is expected back; whoever is told to stop says so to its group, and another goes on."""
    workers = [worker(migrated.model_copy(update={"worker": number})) for number in (0, 1)]
    running = [asyncio.create_task(one.run()) for one in workers]
    try:
        await until(lambda: bool(workers[0].owners) != bool(workers[1].owners), PATIENCE_S)
        owner = int(bool(workers[1].owners))
        other = workers[1 - owner]
        loop = asyncio.get_running_loop()
        began = loop.time()
        workers[owner].stop()
        await until(lambda: bool(other.owners), HAND_OVER_S)
        print(f"handed over in {loop.time() - began:.3f} s")
    finally:
        for one in workers:
            one.stop()
        await asyncio.wait_for(asyncio.gather(*running), PATIENCE_S)


async def until(true: Callable[[], bool], patience_s: float) -> None:
    """Waits until it is; a TimeoutError when it is not in time."""
    async with asyncio.timeout(patience_s):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_worker_that_is_told_no_share_ends(migrated: Settings, books, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that waits for its group for ever must not look like a worker; its next start joins anew."""
    monkeypatch.setattr("shared.runtime.worker.HOUSEKEEPING_S", 0.2)
    monkeypatch.setattr("shared.runtime.worker.JOIN_PATIENCE_S", 0.5)
    one = worker(migrated)

    async def for_ever(partitions: set[TopicPartition]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(one, "take", for_ever)
    with pytest.raises(NoShare, match="aftersales"):
        await asyncio.wait_for(one.run(), PATIENCE_S)


async def test_a_worker_that_is_going_down_takes_no_shard(migrated: Settings, books) -> None:
    """A rebalance may come while it stops: its claim would only be in the way of whoever is left."""
    one = worker(migrated)
    one._database = one._database_over(books)
    one._consumer = Seeks()
    one.stop()
    await one.take({TopicPartition("aftersales.commands", 0)})
    assert not one.owners
    assert await books.fetchval("select count(*) from progress") == 0


class Seeks:
    """A consumer of which nothing but a place may be asked: everything else would ask the broker."""

    def __init__(self) -> None:
        self.places: dict[TopicPartition, int] = {}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """From there."""
        self.places[tp] = offset


async def test_a_shard_is_taken_without_a_question_to_the_broker(migrated: Settings, books) -> None:
    """The broker answers behind its fetches, half a second for each topic: with many topics that nobody has written to
    the group would lose patience, and begin again and again."""
    await books.execute("insert into progress values (0, 1, 0, '', $1, '{}', '{}', '{}')", '{"order.events": 7}')
    one = worker(migrated)
    one._database = one._database_over(books)
    one._consumer = seeks = Seeks()
    topics = {"order.events", "aftersales.commands"}
    await one.take({TopicPartition(topic, 0) for topic in topics})
    assert {tp.topic: place for tp, place in seeks.places.items()} == {"order.events": 7, "aftersales.commands": 0}
    await one.leave({TopicPartition(topic, 0) for topic in topics})


async def test_a_worker_that_was_assigned_nothing_is_not_ready(migrated: Settings, books) -> None:
    """So it is while the broker starts and does not tell the topics yet; or another worker has all shards."""
    one = worker(migrated)
    await one.take(set())
    assert not one.assigned.is_set()
