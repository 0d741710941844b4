"""The runtime's tables on real PostgreSQL: the gate, answers, timers, effects and the outbox."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from shared.runtime import database
from shared.runtime.database import OUTBOX_PAGE, GateShut
from shared.runtime.shard import Due, EffectAnswered
from tests.runtime.ground import CLUSTER, ID_MEMORY_S, OUTBOX_RETENTION_S, Ground
from tests.runtime.toy import LID, Answered, Call, Put, Rained, SetLid, Vanish

pytestmark = pytest.mark.parts
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTHING = msgspec.msgpack.encode(("toy/0", NOW.isoformat(), []))
"""The messages of an outbox row without any."""

# -- the gate ----------------------------------------------------------------------------------------------------------


async def test_first_claim_makes_the_row(ground: Ground) -> None:
    """Epoch 1, nothing read, nothing sent; the cluster's id is kept from the start."""
    progress = (await ground.worker()).shard.progress
    assert (progress.epoch, progress.version, progress.cluster_id) == (1, 0, CLUSTER)
    assert (progress.offsets, progress.received, progress.sent, progress.acked) == ({}, {}, {}, {})


async def test_next_claim_goes_on_from_the_row(ground: Ground) -> None:
    """A new epoch with all that was committed: offsets and links both ways."""
    first = await ground.worker()
    await first.tell(Rained(jar="a", pieces=2))
    first.shard.acked["toy.events/0"] = 1
    await first.tell(Rained(jar="a", pieces=2))
    progress = (await ground.worker()).shard.progress
    assert (progress.epoch, progress.version) == (2, 2)
    assert progress.offsets == {"sky.events": 2}
    assert progress.received == {"sky/0 sky.events": 2}
    assert progress.sent == {"toy.events/0": 2, "sky.commands/0": 2}
    assert progress.acked == {"toy.events/0": 1}


async def test_claim_keeps_the_cluster_that_the_database_goes_with(ground: Ground) -> None:
    """Another broker does not become the right one by being asked."""
    await ground.worker()
    assert (await (await ground.database()).claim(0, "cluster-2")).cluster_id == CLUSTER


async def test_shards_are_claimed_apart(ground: Ground) -> None:
    """Each has its own row and its own gate."""
    one, other = await ground.worker(0), await ground.worker(1)
    await one.tell(Rained(jar="a"))
    await other.do(ground.log.told(Rained(jar="b"), 1, source="sky/1"))
    assert await ground.rows("select shard, epoch, version from progress order by 1") == [(0, 1, 1), (1, 1, 1)]


async def test_second_claim_shuts_out_the_first(ground: Ground) -> None:
    """A zombie that wakes up with a full batch writes nothing of it: no state, no timer, no answer, no message."""
    zombie = await ground.worker()
    await zombie.tell(Rained(jar="a"))
    before = await ground.counts()
    log = ground.log
    commit = await zombie.decide(
        log.told(Rained(jar="a")),
        log.asked(Put(jar="a", pieces=1)),
        log.told(SetLid(jar="a", seconds=1), 1, "sky/9"),
        log.told(Call(jar="a"), 2, "sky/9"),
        log.told(Vanish(jar="a"), 3, "sky/9"),
    )
    assert all((commit.states, commit.records, commit.timers, commit.effects_opened, commit.answers, commit.parked))
    heir = await ground.worker()
    with pytest.raises(GateShut, match=r"0 \(epoch 1\)"):
        await zombie.database.save(commit)
    assert await ground.counts() == before
    assert await ground.pieces("a") == 1
    await heir.tell(Rained(jar="b"))


async def test_gate_is_shut_for_commits_without_a_word(ground: Ground) -> None:
    """Every commit passes it, also one that moves only an offset."""
    zombie = await ground.worker()
    repeat = ground.log.told(Rained(jar="a"), 0)
    commit = await zombie.decide(ground.log.told(Rained(jar="a"), 9), repeat)
    await ground.worker()
    with pytest.raises(GateShut):
        await zombie.database.save(commit)


async def test_same_commit_is_written_once(ground: Ground) -> None:
    """A worker that does not know whether its commit went through cannot write it twice."""
    worker = await ground.worker()
    commit = await worker.decide(ground.log.told(Rained(jar="a")))
    await worker.database.save(commit)
    with pytest.raises(GateShut):
        await worker.database.save(commit)
    assert await ground.pieces("a") == 1


async def test_claim_that_overtakes_a_commit_under_way_wins(ground: Ground) -> None:
    """The commit waits for the row, finds another epoch in it, and is gone."""
    zombie, rival = await ground.worker(), await ground.database()
    commit = await zombie.decide(ground.log.told(Rained(jar="a")))
    async with rival.connection.transaction():
        await rival.claim(0, CLUSTER)
        saving = asyncio.create_task(zombie.database.save(commit))
        await waits_for_a_lock(ground)
    with pytest.raises(GateShut):
        await saving
    assert await ground.counts() == {"progress": 1}


async def test_claim_that_comes_after_a_commit_sees_it(ground: Ground) -> None:
    """Whoever claims while the other one commits goes on behind that commit, and repeats nothing."""
    first, second = await ground.worker(), await ground.database()
    commit = await first.decide(ground.log.told(Rained(jar="a")))
    async with first.database.connection.transaction():
        await first.database.save(commit)
        claiming = asyncio.create_task(second.claim(0, CLUSTER))
        await waits_for_a_lock(ground)
    progress = await claiming
    assert (progress.epoch, progress.version, progress.offsets) == (2, 1, {"sky.events": 1})


async def waits_for_a_lock(ground: Ground) -> None:
    """Until somebody in this database waits for somebody else."""
    sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(10):
        while not await ground.connection.fetchval(sql):
            await asyncio.sleep(0.005)


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_answers_are_remembered(ground: Ground) -> None:
    """Accepted, refused and parked, with code, detail and fingerprint; other ids are not known."""
    worker, log = await ground.worker(), ground.log
    await worker.do(
        log.asked(Put(jar="a", pieces=1), "c-1"),
        log.asked(Put(jar="a", pieces=-5), "c-2"),
        log.asked(Vanish(jar="a"), "c-3"),
    )
    assert await ground.rows("select id, accepted, code, subject, fingerprint, detail from answers order by id") == [
        ("c-1", True, None, "a", "of c-1", ""),
        ("c-2", False, "jar_too_empty", "a", "of c-2", "there are 1 pieces in a"),
        ("c-3", False, "parked", "a", "of c-3", ""),
    ]
    assert sorted((await worker.database.known(["c-1", "c-2", "c-3", "c-4"])).answered) == ["c-1", "c-2", "c-3"]


async def test_repeat_of_an_answered_command_is_dropped(ground: Ground) -> None:
    """By another worker as well."""
    log = ground.log
    first = log.asked(Put(jar="a", pieces=1), "c-1")
    await (await ground.worker()).do(first)
    commit = await (await ground.worker()).do(log.again(first))
    assert commit.is_empty
    assert await ground.pieces("a") == 1


async def test_ids_are_forgotten_after_a_while(ground: Ground) -> None:
    """Memory is bounded by time; the younger ones stay."""
    worker, log = await ground.worker(), ground.log
    await worker.do(log.asked(Put(jar="a", pieces=1), "old"), now=NOW)
    await worker.do(log.asked(Put(jar="a", pieces=1), "young"), now=NOW + timedelta(seconds=10))
    await worker.database.sweep(worker.shard.progress, NOW + timedelta(seconds=ID_MEMORY_S + 5))
    assert await ground.rows("select id from answers") == [("young",)]


async def test_ids_are_forgotten_in_portions(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three portions are due, and no transaction holds more than one; time that is up leaves the rest, the oldest went
    first. Another shard's are not touched."""
    monkeypatch.setattr(database, "SWEPT_AT_ONCE", 2)
    worker, log = await ground.worker(), ground.log
    for number in range(5):
        await worker.do(log.asked(Put(jar="a", pieces=1), f"c-{number}"), now=NOW + timedelta(seconds=number))
    await ground.connection.execute(
        "insert into answers select 'other', 1, at, true, null, '', '', '' from answers limit 1"
    )
    late = NOW + timedelta(seconds=ID_MEMORY_S + 60)
    monkeypatch.setattr(database, "monotonic", iter([0.0, 0.0, database.SWEEPING_S]).__next__)
    await worker.database.sweep(worker.shard.progress, late)
    assert await ground.rows("select id from answers order by 1") == [("c-2",), ("c-3",), ("c-4",), ("other",)]
    monkeypatch.setattr(database, "monotonic", lambda: 0.0)
    await worker.database.sweep(worker.shard.progress, late)
    assert await ground.rows("select id from answers") == [("other",)]


# -- timers ------------------------------------------------------------------------------------------------------------


async def test_timers_are_set_moved_and_cancelled_in_one_commit(ground: Ground) -> None:
    """New ones, one that moves and one that goes: one statement."""
    worker = await ground.worker()
    await worker.tell(SetLid(jar="a", seconds=10), SetLid(jar="b", seconds=20), now=NOW)
    await worker.tell(SetLid(jar="a"), SetLid(jar="b", seconds=5), SetLid(jar="c", seconds=7), SetLid(jar="d"), now=NOW)
    assert await ground.rows("select subject, name, shard, due_at from timers order by 1") == [
        ("b", LID, 0, NOW + timedelta(seconds=5)),
        ("c", LID, 0, NOW + timedelta(seconds=7)),
    ]


async def test_timers_are_due_in_their_order(ground: Ground) -> None:
    """First due first, none before its time, none of another shard; a timer that fired is gone."""
    worker, other = await ground.worker(), await ground.worker(1)
    await worker.tell(*(SetLid(jar=jar, seconds=n) for jar, n in (("a", 30), ("b", 10), ("c", 20))), now=NOW)
    await other.do(ground.log.told(SetLid(jar="x", seconds=1), 1, "sky/1"), now=NOW)
    assert (await worker.database.next_due([0]))[0] == NOW + timedelta(seconds=10)
    due = (await worker.database.due({0: NOW + timedelta(seconds=20)}))[0]
    assert due == [Due("b", LID), Due("c", LID)]
    await worker.do(*due)
    assert (await worker.database.next_due([0]))[0] == NOW + timedelta(seconds=30)
    assert await ground.pieces("b") == 10


async def test_no_timer_no_next_one(ground: Ground) -> None:
    """Nothing is due."""
    assert await (await ground.worker()).database.next_due([0]) == {0: None}


# -- effects -----------------------------------------------------------------------------------------------------------


async def test_effects_stay_open_until_their_answer_is_decided(ground: Ground) -> None:
    """Whoever owns the shard then finds them, with their arguments."""
    worker = await ground.worker()
    await worker.tell(Call(jar="a"), Call(jar="b", number=2))
    await worker.do(EffectAnswered("a:1", Answered("a", 3)))
    (left,) = await (await ground.worker()).database.open_effects(0)
    assert (left.id, left.kind, left.arguments) == ("b:2", "call", {"jar": "b"})


async def test_effect_is_opened_once(ground: Ground) -> None:
    """Its id is its name: said twice, in one batch or in two, it is one call."""
    worker = await ground.worker()
    await worker.tell(Call(jar="a"), Call(jar="a"))
    await worker.tell(Call(jar="a"))
    assert await ground.counts() == {"progress": 1, "effects": 1, "jars": 1}


# -- outbox ------------------------------------------------------------------------------------------------------------


async def test_outbox_row_is_what_was_sent(ground: Ground) -> None:
    """Key, body and headers come back byte for byte."""
    worker = await ground.worker()
    commit = await worker.tell(Rained(jar="a", pieces=2), Rained(jar="b", pieces=2))
    for row in commit.outbox:
        (kept,) = await worker.database.outbox_after(0, row.topic, row.partition, 0)
        assert (kept.link, kept.first_link, kept.last_link) == (row.link, row.first_link, row.last_link)
        assert [(k, v, [tuple(h) for h in headers]) for k, v, headers in kept.records] == row.records


async def test_outbox_row_of_an_earlier_version_is_sent_as_it_was(ground: Ground) -> None:
    """It held whole records, headers and all: what was not sent before an update is sent after it, byte for byte."""
    worker = await ground.worker()
    commit = await worker.tell(Rained(jar="a", pieces=2), Rained(jar="b", pieces=2))
    for row in commit.outbox:
        sql = "update outbox set records = $1 where topic = $2 and kafka_partition = $3"
        await ground.connection.execute(sql, msgspec.msgpack.encode(row.records), row.topic, row.partition)
        (kept,) = await worker.database.outbox_after(0, row.topic, row.partition, 0)
        assert kept.records == row.records
        assert (kept.link, kept.first_link, kept.last_link) == (row.link, row.first_link, row.last_link)


async def test_outbox_is_read_in_order_a_page_at_a_time(ground: Ground) -> None:
    """From behind a link number, this link only, in rising order, without a gap between pages."""
    worker = await ground.worker()
    rows = [(0, "sky.commands", 0, n, n, NOW, NOTHING) for n in range(1, OUTBOX_PAGE + 51)]
    rows += [(0, "sky.commands", 1, 1, 9, NOW, NOTHING), (1, "sky.commands", 0, 1, 9, NOW, NOTHING)]
    await ground.connection.copy_records_to_table("outbox", records=reversed(rows))
    first = await worker.database.outbox_after(0, "sky.commands", 0, 30)
    assert [r.first_link for r in first] == list(range(31, 31 + OUTBOX_PAGE))
    rest = await worker.database.outbox_after(0, "sky.commands", 0, first[-1].last_link)
    assert [r.first_link for r in rest] == list(range(31 + OUTBOX_PAGE, OUTBOX_PAGE + 51))


async def test_outbox_row_that_is_acknowledged_in_part_is_read_again(ground: Ground) -> None:
    """A row goes out whole: the receiver drops what it has seen of it."""
    worker = await ground.worker()
    await worker.tell(Rained(jar="a"), Rained(jar="b"), Rained(jar="c"))
    (row,) = await worker.database.outbox_after(0, "toy.events", 0, 2)
    assert (row.first_link, row.last_link) == (1, 3)


async def test_sweep_forgets_what_the_broker_has_for_long_enough(ground: Ground) -> None:
    """Past its retention and acknowledged, in the committed row: only then is a message of no use any more."""
    worker = await ground.worker()
    old, young = NOW, NOW + timedelta(seconds=30)
    for now in (old, old, young):
        await worker.tell(Rained(jar="a", pieces=2), now=now)
    worker.shard.acked |= {"toy.events/0": 1, "sky.commands/0": 3}
    await worker.tell(SetLid(jar="a"), now=young)
    await worker.database.sweep(worker.shard.progress, old + timedelta(seconds=OUTBOX_RETENTION_S + 1))
    assert await ground.rows("select topic, last_link from outbox order by 1, 2") == [
        ("sky.commands", 3),  # young
        ("toy.events", 2),  # old, but the broker may not have it
        ("toy.events", 3),
    ]


async def test_sweep_leaves_no_hole_when_the_clock_jumps(ground: Ground) -> None:
    """A clock two hours back dates later rows before earlier ones: none is forgotten before those that it follows."""
    worker = await ground.worker()
    for now in (NOW, NOW - timedelta(hours=2), NOW):
        await worker.tell(Rained(jar="a", pieces=2), now=now)
    worker.shard.acked["toy.events/0"] = 3
    await worker.tell(SetLid(jar="a"), now=NOW)
    soon, later = (NOW + timedelta(seconds=s) for s in (OUTBOX_RETENTION_S - 1, OUTBOX_RETENTION_S + 1))
    await worker.database.sweep(worker.shard.progress, soon)
    links = "select last_link from outbox where topic = 'toy.events' order by 1"
    assert await ground.rows(links) == [(1,), (2,), (3,)]
    await worker.database.sweep(worker.shard.progress, later)
    assert await ground.rows(links) == []


async def test_sweep_of_another_shard_takes_nothing(ground: Ground) -> None:
    """Links of two shards have the same names."""
    worker, other = await ground.worker(), await ground.worker(1)
    await worker.tell(Rained(jar="a", pieces=2), now=NOW)
    other.shard.progress.acked["toy.events/0"] = 99
    await other.database.sweep(other.shard.progress, NOW + timedelta(days=1))
    assert len(await worker.database.outbox_after(0, "toy.events", 0, 0)) == 1
