"""The owner of a shard on real PostgreSQL: what the database refuses, what operators ask for, what a crash leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from shared.runtime.broker import WrongBroker
from shared.runtime.commit import Commit
from shared.runtime.database import GateShut
from shared.runtime.said import Effect
from tests.runtime.fake_producer import FakeProducer, Send
from tests.runtime.ground import Ground, drained, parked, until
from tests.runtime.toy import Answered, Call, PointAt, PourOver, Put, Rained, SetLid, Shake, Smash

pytestmark = pytest.mark.parts
SOON = timedelta(seconds=5)


# -- what the database cannot keep -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 3, 7, 8])
async def test_the_one_message_that_cannot_be_kept_is_parked(ground: Ground, place: int) -> None:
    """The batch is halved until it is found; all others are decided as if it had not been there."""
    owner, log = await ground.owner(), ground.log
    items = []
    for n in range(9):
        items.append(log.told(Rained(jar=f"j-{n % 3}")))
        if n == place:
            items.append(log.told(Shake(jar="j-0")))
    await owner.run_batch(items)
    await drained(owner)
    assert await parked(ground) == [("j-0", "unwritable")]
    assert [await ground.pieces(f"j-{n}") for n in range(3)] == [3, 3, 3]
    assert owner.shard.progress.offsets == {"sky.events": 9, "toy.commands": 1}
    await until(lambda: owner.publisher.waiting == 0)
    assert ground.producer.links("toy.events/0") == list(range(1, 10))


async def test_several_that_cannot_be_kept_are_all_parked(ground: Ground) -> None:
    """And their senders are told."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.asked(Shake(jar=jar), f"c-{jar}") for jar in "abcde"])
    await drained(owner)
    assert [code for _, code in await parked(ground)] == ["unwritable"] * 5
    assert await ground.rows("select distinct code from answers") == [("parked",)]


async def test_left_over_comes_before_the_rest_of_a_halved_batch(ground: Ground) -> None:
    """A batch is cut short and halved at once: nothing is skipped, nothing comes out of order."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Put(jar="b", pieces=2))])
    owner.shard._cache.clear()
    cut = [Put(jar="a", pieces=5), Shake(jar="c"), PointAt(jar="a", other="b"), PourOver(jar="a")]
    await owner.run_batch([log.told(m) for m in (*cut, *[Put(jar="a", pieces=1)] * 4)])
    await drained(owner)
    assert (await ground.pieces("a"), await ground.pieces("b")) == (4, 7)
    assert await parked(ground) == [("c", "unwritable")]
    assert owner.shard.progress.received == {"sky/0 toy.commands": 9}


@pytest.mark.parametrize("headers", [[("ce_id", b"a\x00b")], [("ce_id", b"\xf0\x9f\xa5\x9b" * 2_000)]])
async def test_ids_that_no_index_takes_do_not_stop_the_shard(ground: Ground, headers: Any) -> None:
    """They come from outside, so anything may be in them."""
    from shared.runtime.envelope import read

    owner, log = await ground.owner(), ground.log
    before = log.asked(Put(jar="a", pieces=1))
    odd = log.asked(Put(jar="a", pieces=1))
    odd = read(odd.topic, 0, odd.offset, odd.key, odd.value, [("ce_type", b"Put"), *headers])
    await owner.run_batch([before, odd, log.asked(Put(jar="a", pieces=1))])
    await drained(owner)
    assert await ground.pieces("a") == 2
    assert [code for _, code in await parked(ground)] == ["malformed"]


async def test_a_shard_that_is_somebody_else_s_ends_the_worker(ground: Ground) -> None:
    """Nothing is parked for it, nothing is halved: it just stops."""
    zombie = await ground.owner()
    await ground.owner()
    with pytest.raises(GateShut):
        await zombie.run_batch([ground.log.told(Rained(jar="a")), ground.log.told(Shake(jar="a"))])
    assert await ground.counts() == {"progress": 1}


async def test_another_broker_is_refused(ground: Ground) -> None:
    """This database goes with another log."""
    await ground.worker()
    await ground.connection.execute("update progress set cluster_id = 'another'")
    with pytest.raises(WrongBroker, match="another"):
        await ground.owner()


# -- timers ------------------------------------------------------------------------------------------------------------


async def test_due_timers_fire_and_those_to_come_are_known(ground: Ground) -> None:
    """The owner says when it is next needed."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(SetLid(jar="a", seconds=0)), log.told(SetLid(jar="b", seconds=3600))])
    first_due = owner.next_due
    assert first_due is not None
    await owner.fire_due(datetime.now(UTC))
    assert await ground.pieces("a") == 10
    assert owner.next_due is not None
    assert owner.next_due > first_due + SOON


async def test_timer_that_another_one_cancels_does_not_fire_after_a_halved_batch(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are due; the first cancels the second. The database refuses them together, so they come one by one."""
    owner, log = await ground.owner(), ground.log
    messages = [PointAt(jar="a", other="b"), SetLid(jar="a", seconds=0), SetLid(jar="b", seconds=1)]
    await owner.run_batch([log.told(m) for m in messages])
    real = owner.database.save

    async def save(commit: Commit) -> None:
        if commit.decided > 1:
            raise asyncpg.DataError("too much at once")
        await real(commit)

    monkeypatch.setattr(owner.database, "save", save)
    while owner.next_due:
        await owner.fire_due(datetime.now(UTC) + SOON)
    assert (await ground.pieces("a"), await ground.pieces("b")) == (10, 0)


async def test_timer_that_cannot_be_decided_does_not_fire_for_ever(ground: Ground) -> None:
    """Its jar is blocked: it parks behind, once."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(SetLid(jar="a", seconds=0)), log.told(Smash(jar="a"))])
    for _ in range(2):
        await owner.fire_due(datetime.now(UTC) + SOON)
    assert await parked(ground) == [("a", "decider_raised"), ("a", "behind")]
    assert owner.next_due is None


# -- what a crash leaves -----------------------------------------------------------------------------------------------


async def test_what_was_not_acknowledged_is_sent_by_the_next_owner(ground: Ground) -> None:
    """The worker died between its commit and the broker's word: nothing of the link is missing in the end."""
    ground.producer = FakeProducer(lambda n: Send.IS_LOST)
    first = await ground.owner()
    for _ in range(3):
        await first.run_batch([ground.log.told(Rained(jar="a", pieces=2))])
    await first.publisher.close(0)
    ground.producer = FakeProducer()
    second = await ground.owner()
    await second.run_batch([ground.log.told(Rained(jar="a", pieces=2))])
    await until(lambda: second.publisher.waiting == 0)
    for link in ("toy.events/0", "sky.commands/0"):
        assert ground.producer.links(link) == [1, 2, 3, 4]
        assert second.shard.acked[link] == 4


async def test_what_was_acknowledged_is_not_sent_again(ground: Ground) -> None:
    """The progress row says so, as of the last commit before the crash."""
    first = await ground.owner()
    for _ in range(2):
        await first.run_batch([ground.log.told(Rained(jar="a"))])
        await until(lambda: first.publisher.waiting == 0)
    ground.producer = FakeProducer()
    second = await ground.owner()
    await until(lambda: second.publisher.waiting == 0)
    assert ground.producer.links("toy.events/0") == [2]


async def test_open_effects_are_resumed_by_the_next_owner(ground: Ground) -> None:
    """Whether the first call went out nobody knows, so it is told that it is a second try."""
    calls: list[tuple[str, bool]] = []

    async def run(effect: Effect, resumed: bool) -> Answered:
        calls.append((effect.id, resumed))
        return Answered(effect.arguments["jar"], 7)

    first = await ground.owner()
    await first.run_batch([ground.log.told(Call(jar="a"))])
    second = await ground.owner(run)
    await until(lambda: second.has_work)
    await second.run_batch([ground.log.told(Call(jar="b"))])
    await until(lambda: second.has_work)
    await second.run_batch([])
    assert calls == [("a:1", True), ("b:1", False)]
    assert await ground.rows("select * from effects") == []
    assert await ground.pieces("b") == 7
