"""For whom and why a parked message was closed is kept on it, by whichever way it is."""

from __future__ import annotations

import pytest

from shared.runtime import database, parked
from shared.runtime.parked import Filter, Wish
from tests.runtime.ground import Ground, drained, until
from tests.runtime.ground import parked as parked_now
from tests.runtime.test_owner_requests import answering
from tests.runtime.toy import Call, Put, Rained, Smash, Vanish

pytestmark = pytest.mark.parts

CLOSED = "select id, state, closed_by, closed_because, closed_at is not null from parked order by id"


async def test_each_subject_goes_for_who_asked_for_it(ground: Ground) -> None:
    """Messages of two subjects stand between each other, and two people ask for the first one of each; what is taken
    along is done for the right one."""
    owner, log = await ground.owner(), ground.log
    jars = ["a", "b", "a", "b", "a"]
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Smash(jar="b"), *(Rained(jar=j) for j in jars))])
    for number, wish in ((1, Wish("drop", "x", "1")), (2, Wish("drop", "y", "2"))):
        assert await parked.ask(ground.connection, number, wish)
    await owner.serve_requests()
    await parked.ask(ground.connection, 3, Wish("replay", "jo", "of a"))
    await parked.ask(ground.connection, 4, Wish("replay", "mo", "of b"))
    await owner.serve_requests()
    await drained(owner)
    assert await ground.rows(CLOSED) == [
        (1, "dropped", "x", "1", True),
        (2, "dropped", "y", "2", True),
        (3, "replayed", "jo", "of a", True),
        (4, "replayed", "mo", "of b", True),
        (5, "replayed", "jo", "of a", True),
        (6, "replayed", "mo", "of b", True),
        (7, "replayed", "jo", "of a", True),
    ]


async def test_more_than_a_turn_takes_goes_for_the_same_one(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits further behind is asked for in turns, and each is done for who asked for the first one."""
    monkeypatch.setattr(database, "REQUESTED_MAX", 2)
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), *(Put(jar="a", pieces=1) for _ in range(5)))])
    await parked.ask(ground.connection, 1, Wish("drop", "x"))
    await owner.serve_requests()
    await parked.ask(ground.connection, 2, Wish("replay", "jo", "mended"))
    while await owner.serve_requests():
        await drained(owner)
    assert await ground.pieces("a") == 5
    assert (await ground.rows(CLOSED))[1:] == [(n, "replayed", "jo", "mended", True) for n in range(2, 7)]


async def test_an_effect_that_is_asked_again_is_closed_for_who_asked(ground: Ground) -> None:
    """Its new answer is decided long after the request came; what waited behind the answer goes with it."""
    owner, log = await ground.owner(answering([-1, 7])), ground.log
    await owner.run_batch([log.told(Call(jar="a"))])
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    await owner.run_batch([log.told(Rained(jar="a"))])
    assert await parked_now(ground) == [("a", "decider_raised"), ("a", "behind")]
    await parked.ask(ground.connection, 1, Wish("replay", "jo", "the bank is back"))
    await owner.serve_requests()
    await until(lambda: owner.has_work)
    await owner.run_batch([])
    while await owner.serve_requests():
        await drained(owner)
    assert await ground.rows(CLOSED) == [(n, "replayed", "jo", "the bank is back", True) for n in (1, 2)]


async def test_a_crash_between_the_replay_and_its_end_forgets_nobody(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit that decides a message again keeps for whom: the request may still be there for the next owner."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Smash(jar="a"), Rained(jar="a"), Rained(jar="a"))])
    await ground.connection.execute("update parked set state = 'dropped' where id = 1")
    await parked.ask(ground.connection, 2, Wish("replay", "jo", "mended"))

    async def dies(*_: object) -> None:
        raise ConnectionResetError("killed")

    monkeypatch.setattr(owner.database, "settle_requests", dies)
    with pytest.raises(ConnectionResetError):
        await owner.serve_requests()
    heir = await ground.owner()
    await heir.serve_requests()
    assert await ground.rows("select * from parked_requests") == []
    assert (await ground.rows(CLOSED))[1:] == [(n, "replayed", "jo", "mended", True) for n in (2, 3)]


async def test_who_asks_again_for_the_same_takes_the_request_from_nobody(ground: Ground) -> None:
    """One request, of who asked first; it bears the time of the last, who waits for it. Another wish is another's."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(m) for m in (Vanish(jar="a"), Vanish(jar="b"))])
    first, second, third = Wish("replay", "jo", "1"), Wish("replay", "mo", "2"), Wish("drop", "mo", "3")
    kept = "select parked_id, action, asked_by, asked_because, asked_at from parked_requests order by 1"
    assert await parked.ask(ground.connection, 1, first)
    assert await Filter(code="no_cell").ask(ground.connection, second) == 2
    assert await ground.rows(kept) == [(1, "replay", "jo", "1", second.at), (2, "replay", "mo", "2", second.at)]
    assert await parked.ask(ground.connection, 1, third)
    assert (await ground.rows(kept))[0] == (1, "drop", "mo", "3", third.at)


async def test_nothing_is_asked_of_what_is_closed(ground: Ground) -> None:
    """Nor of a number that there is not."""
    owner, log = await ground.owner(), ground.log
    await owner.run_batch([log.told(Vanish(jar="a"))])
    await ground.connection.execute("update parked set state = 'dropped'")
    assert not await parked.ask(ground.connection, 1, Wish("replay", "jo"))
    assert not await parked.ask(ground.connection, 2, Wish("replay", "jo"))
    assert await ground.rows("select * from parked_requests") == []
