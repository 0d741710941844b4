"""Every message that any service listens to is decided under its own key and in its own shard, or parked."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from larder.simulation.world import DECIDERS
from shared.contracts import logistics, risk
from shared.contracts.base import Message, Pack
from shared.contracts.topics import partition_for
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.shard import Item, Replay, Shard, Work
from tests.contracts.controls import CONTROLS

SHARDS = 3
BY_TYPE = {message.TYPE: message for message in CONTROLS}


class Heard(NamedTuple):
    """A message and a service that listens to it."""

    service: str
    message: Message

    def __repr__(self) -> str:
        return f"{self.service} hears {self.message.TYPE}"

    @property
    def home(self) -> int:
        """The shard whose it is."""
        return self.message.shard if isinstance(self.message, Pack) else partition_for(self.message.key, SHARDS)

    def delivery(self, partition: int, key: bytes | None, link: int = 0) -> Delivery:
        """It as a record."""
        m = self.message
        return Delivery(m.TOPIC, partition, 0, key, m.to_json(), "c-1", m.TYPE, "order/0", m.subject, link)

    def read(self, item: Item, shard: int, shards: int = SHARDS) -> Work:
        """What one shard of the service makes of it before it decides."""
        (work,) = Shard(DECIDERS[self.service], Progress(shard, epoch=1), shards=shards).read([item])
        return work


HEARD = [Heard(d.service, BY_TYPE[m.TYPE]) for d in DECIDERS.values() for m in d.listens]
each_heard = pytest.mark.parametrize("heard", HEARD, ids=repr)
from_whom = pytest.mark.parametrize("link", [0, 1], ids=["from outside", "from a shard"])


@each_heard
@from_whom
def test_read_where_it_belongs(heard: Heard, link: int) -> None:
    """Under its key, in its shard, it is decided."""
    work = heard.read(heard.delivery(heard.home, heard.message.key.encode(), link), heard.home)
    assert (work.message, work.code) == (heard.message, "")


@each_heard
@from_whom
@pytest.mark.parametrize("key", [None, b"", b"another"])
def test_parked_under_another_key(heard: Heard, link: int, key: bytes | None) -> None:
    """In its own shard as well, and also where there is one shard only; the reason names the field and its value."""
    for shard, shards in ((heard.home, SHARDS), (0, 1)):
        work = heard.read(heard.delivery(shard, key, link), shard, shards)
        assert (work.message, work.code) == (None, "wrong_key")
        field = {"order_id": "order_id (up to ~)"}.get(heard.message.KEY, heard.message.KEY)
        assert f"its {field}, {heard.message.key!r}, and" in work.reason


@each_heard
@from_whom
def test_parked_in_another_shard(heard: Heard, link: int) -> None:
    """Whichever it is: the reason says where it belongs."""
    for shard in {*range(SHARDS)} - {heard.home}:
        work = heard.read(heard.delivery(shard, heard.message.key.encode(), link), shard)
        assert (work.message, work.code) == (None, "wrong_partition")
        assert f"partition {heard.home} of {SHARDS}" in work.reason


def test_a_replacement_order_lives_with_its_sales_order() -> None:
    """Under one key, so in one shard; each is a subject of its own. Nobody's account is cut."""
    sale, replacement = (logistics.DeliveryFailed(order_id=o, store="s-1", reason="") for o in ("o-1", "o-1~r12"))
    assert (sale.key, replacement.key) == ("o-1", "o-1")
    assert (sale.subject, replacement.subject) == ("o-1", "o-1~r12")
    assert risk.WithdrawScreening(order_id="o-1", account="a~1").key == "a~1"


@each_heard
def test_a_replay_is_read_no_otherwise(heard: Heard) -> None:
    """An operator who replays it does not make it another shard's."""
    home, right = heard.home, heard.message.key.encode()
    elsewhere = (home + 1) % SHARDS
    for key, shard, code in ((right, home, ""), (None, home, "wrong_key"), (right, elsewhere, "wrong_partition")):
        work = heard.read(Replay(1, heard.delivery(shard, key)), shard)
        assert work.code == code
        assert (work.message is None) == bool(code)


@each_heard
def test_malformed_before_it_is_astray(heard: Heard) -> None:
    """What cannot be read names no key, so that is what is told of it; so are keys that no table would keep."""
    for value in (b"", b"[]", b'{"order_id":7}'):
        d = Delivery(heard.message.TOPIC, 0, 0, b"another", value, "c-1", heard.message.TYPE)
        assert heard.read(d, 0).code == "malformed"
    for key in ("", "a\x00b", "a" * 129):
        body = json.dumps({**json.loads(heard.message.to_json()), heard.message.KEY: key}).encode()
        d = Delivery(heard.message.TOPIC, 0, 0, key.encode(), body, "c-1", heard.message.TYPE)
        assert heard.read(d, 0).code == "malformed"
