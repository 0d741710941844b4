"""Master data is remembered over batches, and not a batch longer than it holds."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from shared.runtime import shard as module
from shared.runtime.progress import Progress
from shared.runtime.shard import Shard
from shared.runtime.turn import AskKnown, Known, Question, Share, answered, decided
from tests.runtime.stand import NOON, Log
from tests.runtime.toy import SCALE, TOY, Put, Weigh

PEOPLES = replace(TOY, master_data=frozenset({"scale"}))


class Shop:
    """A shard whose scale is master data: `loads` tells what was loaded for each batch, `asked` whether the version was
    asked for."""

    def __init__(self) -> None:
        self.scale, self.version, self.asked = 5, 1, 0
        self.loads: list[set[Any]] = []
        self.log = Log()
        self.shard = Shard(PEOPLES, Progress(0, epoch=1), shards=1)

    def tell(self, *messages: Any, by_people: bool = False) -> list[bytes]:
        """A batch as the owner of a shard does it; answers with the bodies that were said."""
        self.loads.append(set())
        say = self.log.asked if by_people else self.log.told
        works = self.shard.read([say(message) for message in messages])
        [commit] = answered(decided([Share(self.shard, works)], NOON), self._answer)
        self.shard.committed(commit)
        return [body for row in commit.outbox if row.topic == "toy.events" for _, body, _ in row.records]

    def _answer(self, question: Question) -> Any:
        if isinstance(question, AskKnown):
            self.asked += not question.ids
            return Known((), self.version)
        self.loads[-1] |= question.keys
        return {key: self.scale if key == SCALE else None for key in question.keys}


def test_it_is_loaded_once_while_nobody_changes_it() -> None:
    """The version is asked for by each batch that takes master data, the data itself only once."""
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2))
    for _ in range(3):
        assert shop.tell(Weigh(jar="a")) == [b'{"jar":"a","pieces":"10 g"}']
    assert shop.loads[1:] == [{SCALE}, set(), set()]
    assert shop.asked == 3


def test_a_change_is_seen_by_the_next_batch() -> None:
    """A PUT that was answered is seen by the next POST."""
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2), Weigh(jar="a"))
    shop.scale, shop.version = 7, 2
    assert shop.tell(Weigh(jar="a"), Weigh(jar="a")) == [b'{"jar":"a","pieces":"14 g"}'] * 2
    assert shop.loads[-1] == {SCALE}


def test_batches_without_master_data_do_not_ask() -> None:
    """Most batches take none."""
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2))
    shop.tell(Put(jar="a", pieces=2))
    assert shop.asked == 0


def test_a_version_that_came_with_the_ids_is_not_asked_for_again() -> None:
    """Batches with messages from outside get it in the same round trip."""
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2), Weigh(jar="a"), by_people=True)
    shop.scale, shop.version = 7, 2
    assert shop.tell(Weigh(jar="a"), by_people=True) == [b'{"jar":"a","pieces":"14 g"}']
    assert shop.asked == 0


def test_a_change_behind_batches_that_did_not_look_is_seen() -> None:
    """What was remembered stays in doubt until somebody asks."""
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2), Weigh(jar="a"))
    shop.scale, shop.version = 7, 2
    shop.tell(Put(jar="b", pieces=1))
    assert shop.tell(Weigh(jar="a")) == [b'{"jar":"a","pieces":"14 g"}']


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound all of it is forgotten, and loaded again as it is needed."""
    monkeypatch.setattr(module, "MASTER_DATA_MAX", 0)
    shop = Shop()
    shop.tell(Put(jar="a", pieces=2), Weigh(jar="a"))
    shop.tell(Weigh(jar="a"))
    assert shop.loads[-1] == {SCALE}
