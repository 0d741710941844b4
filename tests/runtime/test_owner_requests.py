"""What operators ask for: parked messages are replayed in their order, dropped, and effects asked again."""

from __future__ import annotations

import pytest

from shared.runtime import database
from shared.runtime.effects import Run
from shared.runtime.owner import Owner
from shared.runtime.said import Effect
from shared.runtime.shard import EFFECTS
from tests.runtime.ground import Ground, drained, parked, until
from tests.runtime.toy import Answered, Call, Put, Rained, Shake, Smash, Vanish

pytestmark = pytest.mark.parts


async def ask(ground: Ground, action: str, *ids: int) -> None:
    """What `larder parked` leaves."""
    sql = "insert into parked_requests (parked_id, action, shard) select unnest($1::bigint[]), $2, 0"
    await ground.connection.execute(sql, ids, action)


async def test_replayed_after_the_first_one_was_dropped(ground: Ground) -> None:
    """The one that raises is given up, those behind it are decided in order, and the jar is free again."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Put(jar="a", pieces=5), Put(jar="a", pieces=-5))])
    await ask(ground, "drop", 1)
    await owner.serve_requests()
    assert owner.shard.blocked == {"a"}
    await ask(ground, "replay", 2)
    await owner.serve_requests()
    await drained(owner)
    assert await ground.rows("select id, state from parked order by id") == [
        (1, "dropped"), (2, "replayed"), (3, "replayed"),
    ]  # fmt: skip
    assert owner.shard.blocked == set()
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]
    await owner.run_batch([log.told(Rained(jar="a"))])
    assert await ground.pieces("a") == 1


async def test_stays_parked_when_it_fails_again(ground: Ground) -> None:
    """The request is done with, the row is still there once, and it can be asked for again."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Smash(jar="a")), log.told(Rained(jar="a"))])
    for _ in range(2):
        await ask(ground, "replay", 1)
        await owner.serve_requests()
    assert await parked(ground) == [("a", "decider_raised"), ("a", "behind")]
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]
    assert await ground.rows("select * from answers") == []


async def test_dropped_is_not_taken_along_by_a_replay(ground: Ground) -> None:
    """It waits behind one that is replayed, and was given up: it is not decided after all."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="b"), Put(jar="b", pieces=5), Put(jar="b", pieces=1))])
    await ask(ground, "replay", 2)
    await ask(ground, "drop", 3)
    await owner.serve_requests()
    await drained(owner)
    assert await ground.rows("select state from parked order by id") == [("parked",), ("replayed",), ("dropped",)]
    assert await ground.pieces("b") == 5


async def test_replay_that_cannot_be_kept_stays_parked(ground: Ground) -> None:
    """The database refuses it now as it did then; others of the same request go on."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Put(jar="a", pieces=1))])
    await owner.run_batch([log.told(Shake(jar="b")), log.told(Vanish(jar="c"))])
    await ask(ground, "drop", 1)
    await ask(ground, "replay", 2, 3, 4)
    await owner.serve_requests()
    await drained(owner)
    assert await parked(ground) == [("b", "unwritable"), ("c", "no_cell")]
    assert await ground.pieces("a") == 1


async def test_effect_whose_answer_parked_is_asked_again_by_a_replay(ground: Ground) -> None:
    """Nonsense came back and parked; the replay calls once more, and the new answer settles it."""
    answers = [-1, 7]
    owner = await ground.owner(answering(answers))
    await owner.run_batch([ground.log.told(Call(jar="a"))])
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    assert await ground.rows("select topic, message_id, code from parked") == [(EFFECTS, "a:1", "decider_raised")]
    await ask(ground, "replay", 1)
    await owner.serve_requests()
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    assert await ground.pieces("a") == 7
    assert await parked(ground) == []
    assert await ground.rows("select * from effects") == []


async def test_effect_whose_answer_parked_waits_for_an_operator_over_restarts(ground: Ground) -> None:
    """Every new owner would ask, and park the answer behind the first one: one row is enough to look at."""
    calls: list[str] = []
    answers = {"a": [-1, 7], "b": [7, 7]}

    async def run(effect: Effect, resumed: bool) -> Answered:
        calls.append(effect.id)
        jar = effect.arguments["jar"]
        return Answered(jar, answers[jar].pop(0))

    owner = await ground.owner(run)
    await owner.run_batch([ground.log.told(Call(jar="a"))])
    await until(lambda: owner.has_work)
    await owner.run_batch([ground.log.told(Call(jar="b"))])
    heir = await ground.owner(run)
    await until(lambda: heir.has_work)
    await heir.run_batch([])
    assert (calls.count("a:1"), await parked(ground)) == (1, [("a", "decider_raised")])
    assert await ground.pieces("b") == 7
    await ask(ground, "replay", 1)
    await heir.serve_requests()
    await until(lambda: heir.has_work)
    await heir.run_batch([])
    assert (await ground.pieces("a"), await parked(ground)) == (7, [])


def answering(answers: list[int]) -> Run:
    """A world that answers with these, one after the other; less than nothing makes no sense."""

    async def run(effect: Effect, resumed: bool) -> Answered:
        return Answered(effect.arguments["jar"], answers.pop(0))

    return run


async def turns(owner: Owner) -> int:
    """Serves until nothing is asked for; how many turns it took."""
    count = 0
    while await owner.serve_requests():
        count += 1
        assert count < 50, "it comes to no end"
    return count


async def test_many_requests_are_served_a_turn_s_worth_at_a_time(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more messages a turn than the bound says, drops and replays, until all are done."""
    monkeypatch.setattr(database, "REQUESTED_MAX", 3)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Vanish(jar=f"j-{n}")) for n in range(10)])
    await ask(ground, "drop", *range(1, 11))
    assert await owner.serve_requests()
    assert await ground.rows("select count(*) from parked where state = 'dropped'") == [(3,)]
    assert await turns(owner) == 3
    assert await parked(ground) == []
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]


async def test_what_waits_behind_is_replayed_in_order_over_turns(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a turn takes along: each is decided once, in its order, what was asked to be dropped is, and nothing
    is left behind."""
    monkeypatch.setattr(database, "REQUESTED_MAX", 3)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), *(Put(jar="a", pieces=n) for n in range(1, 12)))])
    await ask(ground, "drop", 1, 8)
    await owner.serve_requests()
    await ask(ground, "replay", 2)
    assert await turns(owner) == 4
    assert await parked(ground) == []
    assert await ground.rows("select pieces from notes where jar = 'a' order by seq") == [
        (n,) for n in range(1, 12) if n != 7
    ]
    assert owner.shard.blocked == set()


async def test_what_parks_again_holds_back_what_is_behind_it_over_turns(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one of the jar raises once more: none of the others is decided, and the turns come to an end."""
    monkeypatch.setattr(database, "REQUESTED_MAX", 3)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), *(Put(jar="a", pieces=n) for n in range(1, 8)))])
    await ask(ground, "replay", 1)
    await turns(owner)
    assert (len(await parked(ground)), await ground.pieces("a")) == (8, 0)
    await ask(ground, "replay", *range(1, 9))
    await turns(owner)
    assert (len(await parked(ground)), await ground.pieces("a")) == (8, 0)
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]


async def test_one_jar_that_parks_again_holds_back_no_other(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of two jars are asked for at once, more than a turn takes: one raises again, the other one is free."""
    monkeypatch.setattr(database, "REQUESTED_MAX", 2)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for jar in "ab" for m in (Smash(jar=jar), *[Put(jar=jar, pieces=1)] * 3)])
    await ask(ground, "drop", 5)
    await owner.serve_requests()
    await ask(ground, "replay", 1, 2, 3, 4, 6, 7, 8)
    await turns(owner)
    assert (await ground.pieces("a"), await ground.pieces("b")) == (0, 3)
    assert {subject for subject, _ in await parked(ground)} == {"a"}
    assert owner.shard.blocked == {"a"}


async def test_large_bodies_are_replayed_a_few_at_a_time(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one, and no more than the bound of bytes says; a drop reads no body."""
    monkeypatch.setattr(database, "REQUESTED_BYTES", 100)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Vanish(jar="j" * 60)) for _ in range(5)])
    await ask(ground, "replay", 1, 2, 3)
    await ask(ground, "drop", 4, 5)
    rows = await owner.database.parked_requests(0)
    assert [r.id for r in rows] == [1, 2]
    await turns(owner)
    assert await ground.rows("select id from parked where state = 'parked' order by id") == [(1,), (2,), (3,)]


async def test_a_request_for_what_is_settled_is_done_with(ground: Ground) -> None:
    """Two operators asked for the same: the second one's request must not stand in the way of others for ever."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Vanish(jar="a")), log.told(Vanish(jar="b"))])
    await ask(ground, "drop", 1)
    await turns(owner)
    await ask(ground, "replay", 1)
    await ask(ground, "drop", 2)
    await turns(owner)
    assert await ground.rows("select id, state from parked order by id") == [(1, "dropped"), (2, "dropped")]
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]


async def test_what_waits_behind_an_effect_s_answer_is_replayed_after_it(ground: Ground) -> None:
    """Pieces come from outside, then some are taken out: in this order, also when the first answer was nonsense."""
    answers = [-1, 7]
    owner = await ground.owner(answering(answers))
    await owner.run_batch([ground.log.told(Call(jar="a"))])
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    await owner.run_batch([ground.log.told(Put(jar="a", pieces=-5))])
    assert await parked(ground) == [("a", "decider_raised"), ("a", "behind")]
    await ask(ground, "replay", 1)
    assert await turns(owner) == 0  # nothing before the answer is there
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    assert await turns(owner) == 2
    assert await ground.pieces("a") == 2
    assert await parked(ground) == []
    assert await ground.rows("select count(*) from parked_requests") == [(0,)]


async def test_what_waits_behind_an_effect_s_answer_waits_on_when_that_fails_again(ground: Ground) -> None:
    """Nonsense twice: nothing is decided out of order, one row tells of it, and a third try settles all of it."""
    answers = [-1, -2, 7]
    owner = await ground.owner(answering(answers))
    await owner.run_batch([ground.log.told(Call(jar="a"))])
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    await owner.run_batch([ground.log.told(Put(jar="a", pieces=-5))])
    for _ in range(2):
        await ask(ground, "replay", 1)
        await turns(owner)
        await until(lambda: owner.has_work)
        await owner.run_batch([])
        if answers:
            assert await parked(ground) == [("a", "decider_raised"), ("a", "behind")]
        await turns(owner)
        assert await ground.rows("select count(*) from parked_requests") == [(0,)]
    assert (await ground.pieces("a"), await parked(ground)) == (2, [])
