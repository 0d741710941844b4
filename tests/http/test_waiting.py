"""Waiting: bounded, set-based, and woken at once by a hint."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from shared.http.waiting import Bell, Lookout, LookoutFull, heard, prefer_wait_s
from tests.http.shop import BASKET, Shop, until


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 0),
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (['wait="7"'], 7),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=5;why=because"], 5),
        (["wait=3, wait=9"], 3),
        (["wait=100000"], 60),
        (["wait=999999999"], 60),
        (["wait=9999999999"], 0),
        (["wait=-1"], 0),
        (["wait=1.5"], 0),
        (["wait=ten"], 0),
        (["wait"], 0),
        (["waiter=5"], 0),
        (["wait=٣"], 0),
        (["wait=x, wait=4"], 4),
        ([",,;=,"], 0),
    ],
)
def test_prefer_wait_is_bounded_and_nonsense_ignored(headers: list[str], seconds: int) -> None:
    """RFC 7240: a preference that makes no sense is as good as none."""
    assert prefer_wait_s(headers) == seconds


async def test_a_post_may_wait_for_the_next_resting_point(shop: Shop) -> None:
    """It answers as soon as the order rests, also when a hint tells so, and without rest after its time."""
    headers = shop.token() | {"Prefer": "wait=30", "Idempotency-Key": "k-1"}
    waits = asyncio.create_task(shop.client.post("/orders", json=BASKET, headers=headers))
    await until(lambda: len(shop.rests._lookout) == 1)
    order_id = shop.shard.sent[0].subject
    assert not waits.done()
    shop.shard.resting.add(order_id)
    shop.rests.hint([order_id])
    assert (await waits).json() == {"order_id": order_id, "rests": True}
    assert (await shop.client.post("/orders", json=BASKET, headers=headers)).json()["rests"]


async def test_who_does_not_rest_in_time_is_answered_all_the_same(shop: Shop) -> None:
    """The command is accepted: no rest is no error, nor is a database that is away, nor a full lookout."""
    assert not await shop.rests.wait("o-1", 0)
    assert shop.shard.asked_for == []
    assert not await shop.rests.wait("o-1", 0.05)
    shop.shard.away = True
    assert not await shop.rests.wait("o-1", 0.05)
    shop.rests._lookout._waiting_max = 0
    assert not await shop.rests.wait("o-1", 60)


class Book:
    """What a lookout looks into."""

    def __init__(self) -> None:
        self.settled: dict[str, int] = {}
        self.asked: list[list[str]] = []

    async def __call__(self, subjects: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(sorted(subjects))
        return {subject: self.settled[subject] for subject in subjects if subject in self.settled}


async def test_a_hint_looks_at_once_and_only_at_the_hinted() -> None:
    """Other subjects wait for the next full look."""
    book = Book()
    lookout = Lookout(book, quick_s=3600)
    with lookout.expecting("a") as a, lookout.expecting("b"):
        book.settled["a"] = 1
        lookout.hint(["a", "nobody waits for this"])
        assert await a == 1
        assert book.asked == [["a"]]
    await lookout.close()


async def test_hints_do_not_starve_the_others() -> None:
    """However often one subject is hinted, the full look comes."""
    book = Book()
    lookout = Lookout(book, quick_s=0.01)
    with lookout.expecting("a"), lookout.expecting("b") as b:
        book.settled["b"] = 2
        while not b.done():
            lookout.hint(["a"])
            await asyncio.sleep(0.001)
        assert await b == 2
    await lookout.close()


async def test_several_may_wait_for_one_subject() -> None:
    """All get the value; one that gives up takes nobody along."""
    book = Book()
    lookout = Lookout(book, quick_s=0.001)
    with lookout.expecting("a") as first:
        with lookout.expecting("a"):
            pass
        assert len(lookout) == 1
        book.settled["a"] = 1
        assert await first == 1
    assert len(lookout) == 0
    await lookout.close()


async def test_nobody_waits_nobody_asks() -> None:
    """The task ends with the last who waits, and begins again with the next."""
    book = Book()
    lookout = Lookout(book, quick_s=0.001)
    for subject in ("a", "b"):
        book.settled[subject] = 1
        with lookout.expecting(subject) as value:
            assert await value == 1
        assert lookout._task is not None
        await lookout._task
    assert book.asked == [["a"], ["b"]]


async def test_a_lookout_is_bounded() -> None:
    """One subject more than the bound raises; one that is waited for already costs nothing more."""
    lookout = Lookout(Book(), waiting_max=1)
    with lookout.expecting("a"), lookout.expecting("a"), pytest.raises(LookoutFull), lookout.expecting("b"):
        pass
    await lookout.close()


async def test_a_bell_wakes_who_listens() -> None:
    """A ring between clearing and waiting is not missed; other subjects stay asleep; nothing is left behind."""
    bell = Bell()
    with bell.listening("o-1") as ear, bell.listening("o-2") as other:
        bell.ring(["o-1", "o-3"])
        assert await heard(ear, 60)
        ear.clear()
        assert not await heard(ear, 0.001)
        assert not other.is_set()
    assert bell._ears == {}
