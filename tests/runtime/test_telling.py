"""Telling levels: what changed is told once a beat, bounded, and nothing that was noted is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaError

from shared import telling
from shared.contracts.topics import partition_for
from shared.runtime.table import Key
from shared.telling import Teller, Told
from tests.runtime.fake_producer import FakeProducer, Send

SHARDS = 3


class Things:
    """A table of levels: what is looked up is what it has then."""

    topic = "inventory.levels"

    def __init__(self, **pieces: int) -> None:
        self.pieces: dict[Key, int] = {("cell", "s-1", spu): count for spu, count in pieces.items()}
        self.looks: list[int] = []
        self.away = False

    def touched(self, states: Collection[Key]) -> Iterable[Key]:
        """Those of cells."""
        return [key for key in states if key[0] == "cell"]

    def first(self, noted: Collection[Key], most: int) -> list[Key]:
        """The oldest."""
        return list(noted)[:most]

    async def look(self, pool: Any, keys: Sequence[Key]) -> list[Told]:
        """As they are now."""
        if self.away:
            raise OSError("the database is away")
        self.looks.append(len(keys))
        return [
            Told("Level", f"{key[1]}|{key[2]}", str(pieces).encode() if (pieces := self.pieces[key]) else None)
            for key in keys
        ]

    async def walk(self, pool: Any, after: Key | None, most: int) -> list[Key]:
        """By name."""
        return [key for key in sorted(self.pieces) if after is None or key > after][:most]


class Stand:
    """A teller with a table, a broker, and the shards that its worker owns."""

    def __init__(self, things: Things, fate: Any = lambda n: Send.ARRIVES, owned: dict[int, int] | None = None) -> None:
        self.things, self.broker = things, FakeProducer(fate)
        self.owned = dict.fromkeys(range(SHARDS), 1) if owned is None else owned
        parts: Any = SimpleNamespace(pool=None, owned=lambda: self.owned, settings=SimpleNamespace(shards=SHARDS))
        self.teller = Teller(things, parts, cast(Any, self.broker))

    def note(self, *spus: str, store: str = "s-1") -> None:
        """A batch changed these, and an order."""
        states: dict[Key, None] = {("hold", "o-1"): None, **{("cell", store, spu): None for spu in spus}}
        self.teller.note(cast(Any, SimpleNamespace(states=states)))

    async def told(self) -> list[tuple[str, str | None]]:
        """What is told on a beat: key and body."""
        before = {n: len(list(self.broker.records(f"inventory.levels/{n}"))) for n in range(SHARDS)}
        await self.teller.beat()
        found = []
        for n, seen in before.items():
            for key, value, headers in list(self.broker.records(f"inventory.levels/{n}"))[seen:]:
                assert partition_for(key.decode(), SHARDS) == n
                assert dict(headers)["ce_subject"] == key
                found.append((key.decode(), value and value.decode()))
        return sorted(found)


@pytest.fixture
async def stand() -> Stand:
    """A shop of which everything was told once."""
    found = Stand(Things(milk=5, bread=3))
    await found.told()
    return found


async def test_at_the_start_everything_is_told_and_then_only_what_changed() -> None:
    """Nobody knows what the worker before this one had told."""
    stand = Stand(Things(milk=5, bread=3))
    assert await stand.told() == [("s-1|bread", "3"), ("s-1|milk", "5")]
    assert await stand.told() == []
    stand.things.pieces["cell", "s-1", "milk"] = 4
    stand.note("milk")
    assert await stand.told() == [("s-1|milk", "4")]
    assert await stand.told() == []
    assert not stand.teller.behind


async def test_a_hot_key_is_told_once_a_beat_as_it_is_then(stand: Stand) -> None:
    """Not as it was when it was noted."""
    for left in range(100):
        stand.things.pieces["cell", "s-1", "milk"] = left
        stand.note("milk")
    assert await stand.told() == [("s-1|milk", "99")]


async def test_what_is_over_is_a_tombstone(stand: Stand) -> None:
    """So the log forgets it in time."""
    stand.things.pieces["cell", "s-1", "milk"] = 0
    stand.note("milk")
    assert await stand.told() == [("s-1|milk", None)]


async def test_a_beat_is_bounded_and_the_rest_comes_with_the_next(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has changed."""
    monkeypatch.setattr(telling, "TOLD_MAX", 2)
    stand.things.pieces |= {("cell", "s-1", spu): 1 for spu in "abcde"}
    stand.note(*"abcde")
    assert [len(await stand.told()) for _ in range(4)] == [2, 2, 1, 0]


async def test_walks_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of any size is told without ever being in memory."""
    monkeypatch.setattr(telling, "TOLD_MAX", 2)
    stand = Stand(Things(a=1, b=2, c=3, d=4, e=5))
    told: list[tuple[str, str | None]] = []
    while stand.teller.behind or not told:
        told += await stand.told()
    assert [key for key, _ in told] == [f"s-1|{spu}" for spu in "abcde"]


async def test_what_the_broker_does_not_take_is_told_on_the_next_beat() -> None:
    """Also when it took some of it."""
    stand = Stand(Things(milk=5, bread=3), lambda n: Send.IS_LOST if n == 0 else Send.ARRIVES)
    with pytest.raises(KafkaError):
        await stand.teller.beat()
    assert await stand.told() == [("s-1|bread", "3"), ("s-1|milk", "5")]


async def test_a_database_that_is_away_loses_nothing(stand: Stand) -> None:
    """What was noted stays noted."""
    stand.note("milk")
    stand.things.away = True
    with pytest.raises(OSError, match="away"):
        await stand.teller.beat()
    stand.things.away = False
    assert await stand.told() == [("s-1|milk", "5")]


async def test_only_stores_of_own_shards_are_told() -> None:
    """Of two workers each tells its own; who takes a shard over tells all of it, once for each epoch."""
    things = Things()
    stores = [f"s-{n}" for n in range(12)]
    things.pieces = {("cell", store, "milk"): 1 for store in stores}
    by_shard = {n: sorted(f"{s}|milk" for s in stores if partition_for(s, SHARDS) == n) for n in range(SHARDS)}
    assert all(by_shard.values())
    one, two = Stand(things, owned={0: 1}), Stand(things, owned={1: 1, 2: 1})
    assert [key for key, _ in await one.told()] == by_shard[0]
    assert [key for key, _ in await two.told()] == sorted(by_shard[1] + by_shard[2])
    one.note("milk", store=by_shard[1][0].partition("|")[0])
    assert await one.told() == []
    del two.owned[1]
    one.owned[1] = 2
    assert await two.told() == []
    assert [key for key, _ in await one.told()] == sorted(by_shard[0] + by_shard[1])
    one.owned[1] = 3  # it lost the shard and got it back between two beats
    assert len(await one.told()) == len(by_shard[0] + by_shard[1])


async def test_more_than_is_kept_is_found_in_the_table(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and yet nothing is left untold."""
    monkeypatch.setattr(telling, "NOTED_MAX", 3)
    stand.things.pieces |= {("cell", "s-1", spu): 1 for spu in "abcde"}
    stand.note(*"ab")
    stand.note(*"cd")
    assert [key for key, _ in await stand.told()] == [
        f"s-1|{spu}" for spu in ("a", "b", "bread", "c", "d", "e", "milk")
    ]
