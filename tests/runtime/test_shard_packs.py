"""Packs: what a batch says in entries is one record for each shard, which decides it when it is all its own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from shared.contracts.base import PACKED_MAX
from shared.contracts.topics import partition_for
from shared.runtime import shard as shard_module
from shared.runtime.shard import BLOCKING
from tests.runtime.stand import Stand
from tests.runtime.test_shard_astray import ALSO_OWN, ANOTHERS, OWN, SHARDS
from tests.runtime.toy import Drop, Drops, Put, Smash, Spill, Wander

HOME = partition_for(ANOTHERS, SHARDS)
"""The shard of another one's jar."""


def said(stand: Stand, shard: int) -> list[Drops]:
    """The packs for a shard, as they stand in the outbox."""
    packs = []
    for _, key, body, headers in stand.sent[f"sky.events/{shard}"]:
        packs.append(Drops.from_json(body))
        assert key == str(shard).encode()
        assert (dict(headers)["ce_type"], dict(headers)["ce_subject"]) == (b"Drops", str(shard).encode())
    return packs


def pack(*drops: Drop | str, shard: int = 0) -> Drops:
    """Drops as somebody tells them."""
    return Drops(shard=shard, entries=tuple(Drop(jar=d) if isinstance(d, str) else d for d in drops))


# -- said --------------------------------------------------------------------------------------------------------------


def test_entries_of_one_batch_to_one_shard_are_one_record() -> None:
    """Of all messages of the batch, in the order in which they were said, beside a record for the other shard."""
    stand = Stand(shards=SHARDS)
    stand.ask(Spill(jar=OWN, over=(OWN, ANOTHERS)), Put(jar=OWN, pieces=1), Spill(jar=ALSO_OWN, over=(ALSO_OWN, OWN)))
    assert said(stand, 0) == [pack(OWN, ALSO_OWN, OWN)]
    assert said(stand, HOME) == [pack(ANOTHERS, shard=HOME)]
    stand.ask(Spill(jar=OWN, over=(OWN,)))
    assert said(stand, 0) == [pack(OWN, ALSO_OWN, OWN), pack(OWN)]
    assert [number for number, *_ in stand.sent["sky.events/0"]] == [1, 2]
    assert len(said(stand, HOME)) == 1


def test_with_one_shard_all_entries_are_its_own() -> None:
    """Whatever their keys."""
    stand = Stand()
    stand.ask(Spill(jar=OWN, over=(OWN, ANOTHERS)))
    assert said(stand, 0) == [pack(OWN, ANOTHERS)]


def test_a_full_pack_is_followed_by_another() -> None:
    """No record grows without bound, and nothing is left out."""
    stand = Stand()
    jars = tuple(f"jar-{n}" for n in range(PACKED_MAX))
    stand.ask(Spill(jar=OWN, over=jars), Spill(jar=OWN, over=(OWN,)))
    assert said(stand, 0) == [pack(*jars), pack(OWN)]
    stand.ask(Spill(jar=OWN, over=jars))
    assert said(stand, 0)[2:] == [pack(*jars)]


def test_no_pack_is_larger_than_a_broker_takes() -> None:
    """A record that is refused would stop the stream for good. Nothing is left out, and the order stays."""
    stand = Stand()
    jars = tuple(f"{n:04}-{'x' * 59}" for n in range(PACKED_MAX))
    whole = pack(*jars).to_json()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_module, "PACK_BYTES_MAX", len(whole) - 1)
        stand.ask(Spill(jar=OWN, over=jars))
        patch.setattr(shard_module, "PACK_BYTES_MAX", 10)  # less than one entry has
        stand.ask(Spill(jar=OWN, over=(OWN, ALSO_OWN)))
    *large, one, other = said(stand, 0)
    assert [drop.jar for one in large for drop in one.entries] == list(jars)
    assert len(large) == 2
    assert (one, other) == (pack(OWN), pack(ALSO_OWN))


def test_nothing_is_packed_of_a_message_that_fails() -> None:
    """Its entries are left behind like all that it said."""
    stand = Stand()
    stand.ask(Spill(jar=OWN, over=(OWN,), garbled=True), Smash(jar=ANOTHERS), Spill(jar=ALSO_OWN, over=(ALSO_OWN,)))
    assert [code for _, code in stand.parked_as()] == ["decider_raised"] * 2
    assert said(stand, 0) == [pack(ALSO_OWN)]


def test_entries_of_a_batch_that_is_cut_go_out_once() -> None:
    """What was decided is packed with what was decided; the rest follows in its own batch."""
    stand = Stand()
    stand.ask(Spill(jar=OWN, over=(OWN,)), Wander(jar=ALSO_OWN), Spill(jar=OWN, over=(ANOTHERS,)))
    assert said(stand, 0) == [pack(OWN), pack(ANOTHERS)]


# -- heard -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, SHARDS])
def test_a_pack_is_decided_whole(shards: int) -> None:
    """All entries, also two about one jar."""
    stand = Stand(shards=shards)
    stand.tell(pack(OWN, ALSO_OWN, Drop(jar=OWN, pieces=2)))
    assert (stand.pieces(OWN), stand.pieces(ALSO_OWN), stand.parked_as()) == (3, 1, [])


@pytest.mark.parametrize("link", [None, 0], ids=["from a shard", "from outside"])
@pytest.mark.parametrize(
    ("drops", "code"),
    [
        (pack(OWN, ANOTHERS, ALSO_OWN), "wrong_partition"),
        (pack(ANOTHERS), "wrong_partition"),
        (pack(OWN, shard=HOME), "wrong_partition"),
        (pack(ANOTHERS, shard=HOME), "wrong_partition"),
        (pack(shard=HOME), "wrong_partition"),
    ],
    ids=["one entry is another's", "all entries are", "named for another", "another's", "another's, and empty"],
)
def test_a_pack_that_is_not_all_its_own_parks_whole(drops: Drops, code: str, link: int | None) -> None:
    """A shard that decided a part of it would write what another one writes. The next pack goes on."""
    stand = Stand(shards=SHARDS)
    told = stand.log.told(drops) if link is None else stand.log.asked(drops)
    stand.do(told)
    assert stand.parked_as() == [(str(drops.shard), code)]
    assert [stand.pieces(jar) for jar in (OWN, ALSO_OWN, ANOTHERS)] == [0, 0, 0]
    assert f"partition {HOME} of {SHARDS}" in stand.parked[0][0].reason
    assert "this is partition 0" in stand.parked[0][0].reason
    stand.tell(pack(OWN))
    assert (stand.pieces(OWN), len(stand.parked)) == (1, 1)


def test_with_one_shard_a_pack_for_another_parks_as_well() -> None:
    """It comes from an installation that has more."""
    stand = Stand()
    stand.tell(pack(OWN, shard=1))
    assert (stand.parked_as(), stand.pieces(OWN)) == ([("1", "wrong_partition")], 0)


@pytest.mark.parametrize("key", [None, b"", b"1", OWN.encode(), b"00"])
def test_a_pack_under_another_key_parks(key: bytes | None) -> None:
    """Its key is its shard, written as a number."""
    stand = Stand(shards=SHARDS)
    stand.do(replace(stand.log.told(pack(OWN)), key=key))
    assert (stand.parked_as(), stand.pieces(OWN)) == ([("0", "wrong_key")], 0)
    assert "its key must be its shard, '0'" in stand.parked[0][0].reason


def test_a_pack_without_a_link_is_not_answered() -> None:
    """Nobody waits for one from outside: it is decided like a service's, and a command beside it is answered."""
    stand = Stand()
    stand.do(stand.log.asked(pack(OWN), id="p-1"), stand.log.asked_for_word(Put(jar=OWN, pieces=1), id="c-1"))
    assert (stand.pieces(OWN), list(stand.answers), stand.types_sent("toy.answers/0")) == (
        2,
        ["c-1"],
        ["CommandAccepted"],
    )
    stand.do(stand.log.asked(pack(Drop(jar=OWN, pieces=-1)), id="p-2"))
    assert (stand.parked_as(), list(stand.answers)) == ([("0", "decider_raised")], ["c-1"])


def test_packs_of_a_shard_wait_behind_one_that_raised() -> None:
    """They are in order, and nothing of the one that raised was kept; a replay takes those behind along."""
    stand = Stand()
    stand.tell(pack(OWN, Drop(jar=OWN, pieces=-1)), pack(ALSO_OWN))
    assert stand.parked_as() == [("0", "decider_raised"), ("0", "behind")]
    assert {"decider_raised", "behind"} <= BLOCKING
    assert (stand.pieces(OWN), stand.pieces(ALSO_OWN)) == (0, 0)
    stand.ask(Put(jar=OWN, pieces=1))
    assert stand.pieces(OWN) == 1


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"shard":0}', b'{"shard":"0","entries":[]}', b'{"shard":-1,"entries":[]}']
)
def test_a_pack_that_cannot_be_read_parks_alone(body: Any) -> None:
    """The next one goes on."""
    stand = Stand()
    stand.do(replace(stand.log.told(pack(OWN)), value=body))
    stand.tell(pack(OWN))
    assert (stand.parked_as(), stand.pieces(OWN)) == ([("0", "malformed")], 1)
