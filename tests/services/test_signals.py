"""Risk's stream application against a real broker: what comes is counted and told, whatever else comes, and whoever
dies."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from faust.exceptions import ConsistencyError
from faust.tables import Table
from prometheus_client import REGISTRY

from larder.stack.process import wait_until
from larder.stack.topics import COMPACTED, admin
from services.risk import signals as signals_module
from services.risk.counting import Tally, count_activity
from services.risk.signals import Dropped, Signals
from services.risk.windows import Tallies
from shared.contracts import risk
from shared.contracts.topics import changelogs_of, partition_for
from shared.runtime.envelope import from_outside
from shared.runtime.publisher import make_producer
from shared.runtime.worker import NoShare
from shared.settings import Settings
from tests.parts import RealParts

PATIENCE_S = 150
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
_numbers = itertools.count(1)

pytestmark = pytest.mark.parts


class Stand:
    """A group of its own with topics of its own: what is said to it, and what it told."""

    def __init__(self, settings: Settings, group: str, source: str, target: str) -> None:
        self.settings = settings
        self.group = group
        self.source = source
        self.target = target
        self.told: list[risk.SignalsTold] = []
        self.by: dict[int, str] = {}
        """Who told of a partition last."""
        self.listening: asyncio.Task[None] | None = None

    def known(self) -> dict[str, risk.Conduct]:
        """The newest conduct of each subject."""
        return {one.subject: one for pack in self.told for one in pack.entries}

    @asynccontextmanager
    async def counting(self, worker: int = 0, **more: Any) -> AsyncIterator[Signals]:
        """One process's share, until the context ends."""
        settings = self.settings.model_copy(update={"worker": worker, **more})
        signals = Signals(settings, group=self.group, source=self.source, target=self.target)
        await signals.start()
        try:
            await self.until(lambda: signals.why_not_ready() is None, "it to be ready")
            yield signals
        finally:
            await signals.stop()

    async def say(self, pack: risk.AccountsActed | risk.OrdersSeen) -> None:
        """A record as the runtime would write it."""
        headers = from_outside(
            id=f"p-{next(_numbers)}", type=pack.TYPE, source="order/0", subject="0", actor="", at=datetime.now(UTC)
        )
        await self.write(pack.to_json(), headers, pack.shard)

    async def write(self, body: bytes | None, headers: Any = (), partition: int = 0) -> None:
        """A record of any kind."""
        producer = make_producer(self.settings.bootstrap(), "test")
        await producer.start()
        await producer.send_and_wait(self.source, body, key=b"0", partition=partition, headers=list(headers))
        await producer.stop()

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Waits until it is so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so():
                    if self.listening is not None and self.listening.done():
                        self.listening.result()  # nobody takes down what is told
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
                pack = risk.SignalsTold.from_json(record.value)
                assert (pack.shard, record.key) == (record.partition, pack.key.encode())
                self.told.append(pack)
                self.by[pack.shard] = dict(record.headers)["ce_source"].decode()
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
    stand.listening = asyncio.create_task(stand.listen())
    yield stand
    stand.listening.cancel()
    await asyncio.gather(stand.listening, return_exceptions=True)


async def make_changelogs(stand: Stand) -> None:
    """As `larder up` makes them."""
    names, shards = changelogs_of(stand.group), stand.settings.shards
    async with admin(stand.settings.bootstrap()) as client:
        await client.create_topics([NewTopic(name, shards, 1, topic_configs=COMPACTED) for name in names])

        async def led() -> bool:
            topics = await client.describe_topics(list(names))
            return all(t["error_code"] == 0 and all(p["leader"] >= 0 for p in t["partitions"]) for t in topics)

        await wait_until(led, PATIENCE_S, "the changelogs to have leaders")


def acted(*entries: tuple[str, str, str], shard: int = 0, at: datetime = NOW) -> risk.AccountsActed:
    """A pack of (account, order, deed)."""
    return risk.AccountsActed(
        shard=shard,
        entries=tuple(risk.Activity(account=a, order_id=o, deed=deed, at=at) for a, o, deed in entries),  # type: ignore[arg-type]
    )


def counts(one: risk.Conduct | None) -> dict[str, int]:
    """How many happenings of each signal."""
    return {count.signal: len(count.happenings) for count in one.counts} if one else {}


async def test_what_comes_is_counted_and_told(stand: Stand) -> None:
    """Deeds of accounts, and orders as account, device and address see them; what was told twice counts once."""
    device, address = "d" * 24, "a" * 24
    seen = risk.OrdersSeen(
        shard=0,
        entries=tuple(
            risk.Sighting(about=about, subject=subject, account="ann", order_id="o-1", at=NOW, total=500, device=device)  # type: ignore[arg-type]
            for about, subject in (("account", "ann"), ("device", device), ("address", address))
        ),
    )
    async with stand.counting():
        await stand.say(seen)
        await stand.say(acted(("ann", "o-1", "delivered"), ("bob", "o-2", "cancelled"), ("bob", "o-3", "ended")))
        await stand.say(seen)
        await stand.until(lambda: counts(stand.known().get("ann")) == {"orders": 1, "deliveries": 1}, "ann's conduct")
        await stand.until(lambda: {"bob", device, address} <= set(stand.known()), "everybody's conduct")
        known = stand.known()
        assert counts(known["bob"]) == {"cancels": 1}
        assert counts(known[device]) == {"device_orders": 1, "device_accounts": 1}
        assert counts(known[address]) == {"address_orders": 1, "address_accounts": 1}
        (earlier,) = known["ann"].earlier
        assert (earlier.order_id, earlier.delivered, earlier.device) == ("o-1", True, device)


async def test_what_cannot_be_counted_is_skipped(stand: Stand) -> None:
    """Garbage, tombstones, strangers, the future and what belongs elsewhere: counted by why, and all else goes on."""
    before = {code: skipped(code) for code in SKIPPED_CODES}
    good = from_outside(id="g", type="AccountsActed", source="x", subject="0", actor="", at=NOW)
    strange = from_outside(id="s", type="OrderPlaced", source="x", subject="0", actor="", at=NOW)
    now = datetime.now(UTC)
    async with stand.counting():
        await stand.write(None)
        await stand.write(b"{}", strange)
        await stand.write(b"{}")
        for body in (
            b"{",
            b"\xff" * 100,
            b"[" * 100_000,
            b'{"shard":0,"entries":[{"account":1}]}',
            b'{"shard":"0"}',
            b"",
        ):
            await stand.write(body, good)
        await stand.write(acted(("eve", "o-1", "cancelled"), shard=7).to_json(), good)
        await stand.say(acted(("eve", "o-2", "cancelled"), at=now + timedelta(minutes=5)))
        await stand.say(
            acted(("eve", "o-3", "cancelled"), at=now - timedelta(seconds=stand.settings.risk_memory_s + 60))
        )
        await stand.say(acted(("eve", "o-4", "cancelled"), at=now + timedelta(seconds=20)))
        await stand.until(lambda: "eve" in stand.known(), "eve's conduct")
    assert counts(stand.known()["eve"]) == {"cancels": 1}
    lives = skipped("tombstone") - before["tombstone"]
    assert lives >= 1, "what a busy machine's group takes from it in between is read once more, all of it"
    assert {code: (skipped(code) - before[code]) / lives for code in SKIPPED_CODES} == {
        "tombstone": 1,
        "unknown_type": 2,
        "malformed": 6,
        "wrong_partition": 1,
        "future": 1,
        "too_old": 1,
    }


SKIPPED_CODES = ("tombstone", "unknown_type", "malformed", "wrong_partition", "future", "too_old")


def skipped(code: str) -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("larder_signals_skipped_total", {"code": code}) or 0.0


@pytest.mark.parametrize(("store", "read_again"), [("rocksdb", 0), ("memory", 20)])
async def test_a_restart_goes_on(stand: Stand, monkeypatch: pytest.MonkeyPatch, store: str, read_again: int) -> None:
    """With what was counted; from RocksDB without reading the changelogs again."""
    async with stand.counting(signals_store=store):
        await stand.say(acted(*((f"a-{n}", f"o-{n}", "cancelled") for n in range(20))))
        await stand.until(lambda: len(stand.known()) == 20, "the first conducts")
    read: list[Any] = []
    apply = Table.apply_changelog_batch

    def noted(table: Any, batch: Any) -> None:
        read.extend(batch)
        apply(table, batch)

    monkeypatch.setattr(Table, "apply_changelog_batch", noted)
    async with stand.counting(signals_store=store):
        await stand.say(acted(("a-7", "o-100", "cancelled")))
        await stand.until(lambda: counts(stand.known()["a-7"]) == {"cancels": 2}, "both cancels")
    assert len(read) == read_again


async def test_a_crash_repeats_at_most(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted, but could not be told, is told by the next one, once."""
    with monkeypatch.context() as patch:
        patch.setattr(Signals, "_tell", AsyncMock())
        async with stand.counting() as signals:
            await stand.say(acted(("ann", "o-1", "cancelled")))
            await stand.until(lambda: bool(signals._shards and signals._shards[0].changed), "it to be counted")
    assert not stand.known()
    async with stand.counting():
        await stand.until(lambda: counts(stand.known().get("ann")) == {"cancels": 1}, "ann's conduct")


async def test_it_says_that_it_lives(stand: Stand) -> None:
    """With nothing to count, as before anything ever was, it says until when that is so."""
    async with stand.counting():
        await stand.until(lambda: len(stand.told) >= 2, "two signs of life")
    assert not any(pack.entries for pack in stand.told)
    assert all(timedelta() < datetime.now(UTC) - pack.as_of < timedelta(seconds=30) for pack in stand.told)
    assert stand.told[-1].as_of > stand.told[0].as_of


@asynccontextmanager
async def in_a_process(stand: Stand, worker: int) -> AsyncIterator[None]:
    """Counts as that worker until the context ends, in a process of its own that begins anew when it ends by itself, as
    under the supervisor."""
    program = "import sys; from tests.services.test_signals import count_until_told; count_until_told(*sys.argv[1:])"
    settings = stand.settings.model_copy(update={"worker": worker}).model_dump_json()
    enough = False
    process: asyncio.subprocess.Process | None = None

    async def run() -> None:
        nonlocal process
        while not enough:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program, settings, stand.group, stand.source, stand.target),
                stdin=asyncio.subprocess.PIPE,
            )
            await process.wait()

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        enough = True
        if process is not None and process.stdin is not None:
            process.stdin.close()
        await asyncio.wait_for(running, PATIENCE_S)


def count_until_told(settings: str, group: str, source: str, target: str) -> None:
    """That process: leaves its group, and ends, when its standard input does."""

    async def count() -> None:
        signals = Signals(Settings.model_validate_json(settings), group=group, source=source, target=target)
        await signals.start()
        told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        failed = asyncio.create_task(signals.until_failed())
        await asyncio.wait({told, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            os._exit(1)
        await signals.stop()

    asyncio.run(count())


async def test_who_gets_no_share_ends(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables never come to an end, and nobody knows why: the next start joins anew."""
    monkeypatch.setattr(signals_module, "NO_SHARE_S", 0.5)
    monkeypatch.setattr(signals_module, "BEAT_S", 0.2)
    async with stand.counting() as signals:
        monkeypatch.setattr(signals, "_has_share", lambda: False)
        with pytest.raises(NoShare, match="no share of signals"):
            await asyncio.wait_for(signals.until_failed(), PATIENCE_S)


@pytest.mark.parametrize("more_comes", [False, True], ids=["nothing_more", "more_comes"])
async def test_a_record_that_was_dropped_is_counted_by_the_next_start(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, more_comes: bool
) -> None:
    """Faust fetched it, and did not hand it out, as it does in some rebalances. It is missed, whatever follows."""
    monkeypatch.setattr(signals_module, "DROPPED_S", 60.0 if more_comes else 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Signals, "_tell", AsyncMock())
        async with stand.counting() as signals:
            await stand.say(acted(("ann", "o-1", "cancelled")))
            await stand.until(lambda: bool(signals._shards and signals._shards[0].records), "it to come")
            signals._shards[0].next_offset = 0  # as if it had not come
            signals._shards[0].records.clear()
            if more_comes:
                await stand.say(acted(("bob", "o-2", "cancelled")))
            with pytest.raises(Dropped, match="never came"):
                await asyncio.wait_for(signals.until_failed(), PATIENCE_S)
    async with stand.counting():
        await stand.until(lambda: "ann" in stand.known(), "ann's conduct")


@pytest.mark.parametrize("stand", [2], indirect=True)
async def test_two_processes_share_the_partitions(stand: Stand) -> None:
    """Each tells of its own; when one leaves, the other goes on with what was counted."""
    names = {partition_for(name, 2): name for name in ("ann", "bob", "cat", "dan", "eve")}
    assert set(names) == {0, 1}

    async def cancel(order: str) -> None:
        for shard, name in names.items():
            await stand.say(acted((name, order, "cancelled"), shard=shard))

    def cancels() -> list[int]:
        return [counts(stand.known().get(name)).get("cancels", 0) for name in names.values()]

    async with in_a_process(stand, 0):
        async with in_a_process(stand, 1):
            await stand.until(lambda: set(stand.by.values()) == {"signals/0", "signals/1"}, "both to tell")
            await cancel("o-1")
            await stand.until(lambda: cancels() == [1, 1], "the first cancels")
        await cancel("o-2")
        await stand.until(lambda: cancels() == [2, 2], "the second cancels")
        assert set(stand.by.values()) == {"signals/0"}


@pytest.mark.parametrize("store", ["rocksdb", "memory"])
async def test_what_is_over_goes(stand: Stand, store: str) -> None:
    """Windows that nothing is to be known of any more leave store and changelog, also those of an earlier life."""
    short: dict[str, Any] = {"risk_memory_s": 6.0, "signals_store": store}
    async with stand.counting(**short):
        await stand.say(acted(("ann", "o-1", "cancelled"), at=datetime.now(UTC)))
        await stand.until(lambda: "ann" in stand.known(), "ann's conduct")
    async with stand.counting(**short) as signals, asyncio.timeout(PATIENCE_S):
        assert list(signals.tallies._tables["account"].keys())
        while list(signals.tallies._tables["account"].keys()):
            await signals._expire()
    async with stand.counting(**short, worker=1) as other:
        assert not list(other.tallies._tables["account"].keys())


async def test_another_cluster_is_no_reason_to_forget(stand: Stand) -> None:
    """Its changelogs are others, and shorter than the store has read; what was counted stays."""
    async with stand.counting():
        await stand.say(acted(*((f"a-{n}", f"o-{n}", "cancelled") for n in range(20))))
        await stand.until(lambda: len(stand.known()) == 20, "the first conducts")
    (stand.settings.home / "signals" / "0" / "cluster").write_text("another")
    stand.group += "-elsewhere"
    await make_changelogs(stand)
    async with stand.counting():
        await stand.say(acted(("a-7", "o-100", "cancelled")))
        await stand.until(lambda: counts(stand.known()["a-7"]) == {"cancels": 2}, "both cancels")


async def test_a_log_that_lost_its_end_is_read_anew(stand: Stand) -> None:
    """It cannot be seen before Faust does; that ends one process, and the next one goes on."""
    async with stand.counting():
        await stand.say(acted(*((f"a-{n}", f"o-{n}", "cancelled") for n in range(20))))
        await stand.until(lambda: len(stand.known()) == 20, "the first conducts")
    stand.group += "-lost"
    await make_changelogs(stand)
    signals = Signals(stand.settings, group=stand.group, source=stand.source, target=stand.target)
    await signals.start()
    with pytest.raises(ConsistencyError):
        await asyncio.wait_for(signals.until_failed(), PATIENCE_S)
    await signals.stop()
    async with stand.counting():
        await stand.say(acted(("a-7", "o-100", "cancelled")))
        await stand.until(lambda: counts(stand.known()["a-7"]) == {"cancels": 2}, "both cancels")


async def test_what_raises_is_told_and_the_rest_is_counted(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the counting of one entry would come back with each start: its way is in the log, it is a figure, and
    all others go on."""

    def count(tally: Tally, activity: risk.Activity) -> bool:
        if activity.order_id == "o-2":
            raise ZeroDivisionError("a bug")
        return count_activity(tally, activity)

    monkeypatch.setattr(signals_module, "count_activity", count)
    before = skipped("raised")
    async with stand.counting():
        await stand.say(acted(*((name, f"o-{n}", "cancelled") for n, name in enumerate(("ann", "bob", "cat"), 1))))
        await stand.until(lambda: {"ann", "cat"} <= set(stand.known()), "the others' conducts")
    assert "bob" not in stand.known()
    assert skipped("raised") == before + 1
    assert "ZeroDivisionError: a bug" in caplog.text


async def test_what_breaks_ends_the_process(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be written: Faust alone would begin the agent anew, in silence."""
    monkeypatch.setattr(Tallies, "keep", Mock(side_effect=OSError("no space left on device")))
    async with stand.counting() as signals:
        await stand.say(acted(("ann", "o-1", "cancelled")))
        with pytest.raises(OSError, match="no space"):
            await asyncio.wait_for(signals.until_failed(), PATIENCE_S)
