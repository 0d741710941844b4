"""Timers and effects: data that a decider says, written with its decision; and what is looked up for a batch."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.runtime.said import Effect
from shared.runtime.shard import Due, EffectAnswered
from tests.runtime.stand import NOON, Stand
from tests.runtime.toy import LID, SCALE, Answered, Call, PointAt, PourOver, Put, Rained, SetLid, Smash, Wander, Weigh

LID_OF_A = ("a", LID)

# -- timers ------------------------------------------------------------------------------------------------------------


def test_timer_fires_once() -> None:
    """Its time comes, its message is decided, and it is gone."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60))
    assert stand.timers == {LID_OF_A: NOON + timedelta(seconds=60)}
    stand.wait(59)
    assert stand.pieces("a") == 0
    stand.wait(1)
    stand.wait(600)
    assert stand.pieces("a") == 10
    assert stand.timers == {}


def test_timer_that_is_set_again_moves() -> None:
    """One timer of a name per subject."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60), SetLid(jar="a", seconds=10), SetLid(jar="a", seconds=30))
    assert stand.timers == {LID_OF_A: NOON + timedelta(seconds=30)}


def test_timer_that_is_cancelled_does_not_fire() -> None:
    """Also when nobody had set it."""
    stand = Stand()
    stand.tell(SetLid(jar="a"), SetLid(jar="a", seconds=60), SetLid(jar="a"))
    stand.wait(61)
    assert stand.pieces("a") == 0


@pytest.mark.parametrize("seconds", [None, 600])
def test_timer_does_not_fire_when_its_batch_cancelled_or_moved_it(seconds: int | None) -> None:
    """Records come first: what is in time beats the timer that is due in the same batch."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60))
    stand.do(stand.log.told(SetLid(jar="a", seconds=seconds)), Due(*LID_OF_A))
    assert stand.pieces("a") == 0
    assert stand.timers == ({} if seconds is None else {LID_OF_A: NOON + timedelta(seconds=600)})


def test_timer_fires_once_when_it_comes_twice_in_a_batch() -> None:
    """It is gone with the first."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60))
    stand.do(Due(*LID_OF_A), Due(*LID_OF_A))
    assert stand.pieces("a") == 10


def test_timer_keeps_its_row_until_it_has_fired() -> None:
    """What the timer needs is not loaded, so the batch is cut before it: a crash now must not lose it."""
    stand = Stand()
    stand.tell(SetLid(jar="b", seconds=60))
    works = stand.shard.read([stand.log.told(Rained(jar="a")), Due("b", LID)])
    stand.shard.learn({("jar", "a"): None})
    stand.shard._cache.pop(("jar", "b"))
    commit = stand.shard.decide(works, stand.now)
    assert commit.decided == 1
    assert commit.timers == {}


def test_timer_that_this_service_does_not_know_parks() -> None:
    """Set by another version of it: its row must not end every worker that looks at it. Others fire."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60))
    stand.timers["a", "alarm"] = stand.now
    stand.wait(61)
    assert stand.parked_as() == [("a", "unknown_type")]
    assert (stand.pieces("a"), stand.timers) == (10, {})
    assert stand.replay(0).is_empty


def test_timer_of_a_decider_that_raises_parks_and_is_gone() -> None:
    """It is kept with its subject and its name, so that it can be replayed; it does not fire again and again."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60), Smash(jar="a"))
    stand.wait(61)
    delivery = stand.parked[-1][0].delivery
    assert (delivery.type, delivery.subject, stand.timers) == (LID, "a", {})


# -- effects -----------------------------------------------------------------------------------------------------------


def test_effect_is_opened_with_the_decision() -> None:
    """It is data, like everything that a decider says."""
    stand = Stand()
    stand.tell(Call(jar="a"))
    assert stand.effects == {"a:1": Effect("a:1", "call", {"jar": "a"})}


def test_effect_is_closed_by_the_commit_that_decides_its_answer() -> None:
    """The answer moves the jar and closes the row, in one transaction."""
    stand = Stand()
    stand.tell(Call(jar="a"), Call(jar="a", number=2))
    (commit,) = stand.do(EffectAnswered("a:1", Answered("a", 7)))
    assert commit.effects_closed == ["a:1"]
    assert stand.pieces("a") == 7
    assert list(stand.effects) == ["a:2"]


def test_effect_stays_open_when_its_answer_parks() -> None:
    """A replay asks once more: the answer that raised is not the last word."""
    stand = Stand()
    stand.tell(Call(jar="a"))
    (commit,) = stand.do(EffectAnswered("a:1", Answered("a", -1)))
    assert commit.effects_closed == []
    assert list(stand.effects) == ["a:1"]
    assert stand.parked_as() == [("a", "decider_raised")]
    assert stand.parked[0][0].delivery.id == "a:1"


def test_effect_stays_open_when_the_batch_is_cut_before_its_answer() -> None:
    """Only what was decided is closed."""
    stand = Stand()
    stand.tell(Call(jar="b"))
    works = stand.shard.read([stand.log.told(Rained(jar="a")), EffectAnswered("b:1", Answered("b", 7))])
    stand.shard.learn({("jar", "a"): None})
    stand.shard._cache.pop(("jar", "b"))
    commit = stand.shard.decide(works, stand.now)
    assert (commit.decided, commit.effects_closed) == (1, [])


# -- what is looked up -------------------------------------------------------------------------------------------------


def test_batch_is_cut_where_something_is_not_loaded() -> None:
    """The neighbour is named in this very batch, so nobody had loaded it: the rest is decided in the next one."""
    stand = Stand()
    stand.tell(Put(jar="a", pieces=5))
    stand.rows["jar", "b"] = None
    first, second = stand.tell(PointAt(jar="a", other="b"), PourOver(jar="a"), Put(jar="a", pieces=1))
    assert (first.decided, second.decided) == (1, 2)
    assert (stand.pieces("a"), stand.pieces("b")) == (1, 5)
    assert first.progress.offsets["toy.commands"] == 2
    assert second.progress.offsets["toy.commands"] == 4


def test_what_was_not_named_is_loaded_when_it_is_looked_at() -> None:
    """A decider that needs more than it names costs a load, not the shard."""
    stand = Stand()
    stand.tell(Rained(jar="faraway", pieces=3))
    stand.claim()
    first, second = stand.tell(Rained(jar="a"), Wander(jar="a"))
    assert (first.decided, second.decided) == (1, 1)
    assert stand.loaded[-1] == {("jar", "faraway")}
    assert stand.pieces("a") == 4


def test_states_are_loaded_once_and_remembered() -> None:
    """One load for a batch, none for what is in memory."""
    stand = Stand()
    stand.tell(*(Rained(jar=jar) for jar in "abc"))
    assert stand.loaded == [{("jar", "a"), ("jar", "b"), ("jar", "c")}]
    stand.tell(*(Rained(jar=jar) for jar in "abcd"))
    assert stand.loaded[1:] == [{("jar", "d")}]


def test_facts_are_loaded_afresh_for_every_batch() -> None:
    """What somebody else writes is seen by the next batch: "a PUT that was answered is seen by the next POST"."""
    stand = Stand(scale=5)
    stand.tell(Put(jar="a", pieces=2), Weigh(jar="a"))
    stand.rows[SCALE] = 7
    stand.tell(Weigh(jar="a"), Weigh(jar="a"))
    weights = [body for _, _, body, _ in stand.sent["toy.events/0"][1:]]
    assert weights == [b'{"jar":"a","pieces":"%d g"}' % n for n in (10, 14, 14)]


def test_memory_is_bounded() -> None:
    """The jars changed longest ago are forgotten, and loaded again when they are needed."""
    stand = Stand(cache_max=8)
    for n in range(50):
        stand.tell(Rained(jar=f"j-{n}"))
        assert stand.shard.cached <= 8
    assert stand.loaded[-1] == {("jar", "j-49")}
    stand.tell(Rained(jar="j-0"), Rained(jar="j-49"))
    assert stand.loaded[-1] == {("jar", "j-0")}
    assert stand.pieces("j-0") == 2


def test_memory_keeps_what_changed_last() -> None:
    """The first jar of all has just changed: others are forgotten before it."""
    stand = Stand(cache_max=8)
    stand.tell(*(Rained(jar=f"j-{n}") for n in range(8)))
    stand.tell(Rained(jar="j-0"))
    stand.tell(Rained(jar="j-8"))
    loads = len(stand.loaded)
    stand.tell(Rained(jar="j-0"))
    assert len(stand.loaded) == loads


def test_deciding_changes_nothing_until_it_is_committed() -> None:
    """A batch that the database refuses can be decided again, whole or in halves, with the same result."""
    stand = Stand()
    stand.tell(Put(jar="a", pieces=1))
    items = [
        stand.log.told(m) for m in (Put(jar="a", pieces=2), SetLid(jar="a", seconds=9), Smash(jar="b"), Call(jar="c"))
    ]
    once = stand.decide(*items)
    again = stand.decide(*items)
    assert once == again
    assert stand.shard.progress is stand.progress
    assert stand.shard.blocked == set()
    stand.do(*items)
    assert stand.pieces("a") == 3
