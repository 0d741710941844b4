"""Astray: a shard decides what is its own and nothing else, whoever sends it, and however often it is replayed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shared.contracts.topics import partition_for
from shared.runtime.envelope import Delivery
from shared.runtime.shard import BLOCKING, REASON_MAX
from tests.runtime.stand import Stand
from tests.runtime.toy import Put, Rained, Smash

SHARDS = 3
OWN, ALSO_OWN, ANOTHERS = "f", "g", "a"
"""Jars of shard 0 of three, and one of another shard's."""
MEGABYTE = 1 << 20


def test_the_jars_are_whose_they_are_said_to_be() -> None:
    """Else the tests here would test nothing."""
    assert [partition_for(jar, SHARDS) == 0 for jar in (OWN, ALSO_OWN, ANOTHERS)] == [True, True, False]


def keyed(delivery: Delivery, key: bytes | None) -> Delivery:
    """The same record under another key."""
    return replace(delivery, key=key)


@pytest.mark.parametrize("shards", [1, SHARDS])
@pytest.mark.parametrize("key", [None, b"", b"g", b"F", b"f ", b"\xff", b"f" * MEGABYTE], ids=lambda key: repr(key)[:9])
def test_parked_under_a_key_that_its_body_does_not_name(shards: int, key: bytes | None) -> None:
    """It parks alone and changes nothing; the one who asked is told; the same jar goes on in the same batch."""
    stand = Stand(shards=shards)
    before = stand.log.asked(Put(jar=OWN, pieces=1))
    bad = keyed(stand.log.asked(Put(jar=OWN, pieces=5), id="c-bad"), key)
    stand.do(before, bad, stand.log.asked(Put(jar=OWN, pieces=1)))
    assert stand.parked_as() == [(OWN, "wrong_key")]
    assert stand.pieces(OWN) == 2
    assert (stand.answers["c-bad"].accepted, stand.answers["c-bad"].code) == (False, "parked")
    assert stand.progress.offsets == {"toy.commands": 3}
    stand.ask(Put(jar=OWN, pieces=1))
    assert stand.pieces(OWN) == 3


@pytest.mark.parametrize("key", [None, b"g", b"\xff\x00"])
def test_reason_says_which_key_it_should_have(key: bytes | None) -> None:
    """Whoever sent it can send it again without a look into our code."""
    stand = Stand()
    stand.do(keyed(stand.log.asked(Put(jar=OWN, pieces=5)), key))
    reason = stand.parked[0][0].reason
    assert f"its key must be its jar, {OWN!r}" in reason
    assert ("it has none" if key is None else repr(key)[1:]) in reason
    assert len(reason) <= REASON_MAX


def test_parked_on_a_partition_that_its_key_does_not_belong_to() -> None:
    """Its key is right, its place is not: this shard knows nothing of that jar, so it must not say what is in it."""
    stand = Stand(shards=SHARDS)
    stand.do(
        stand.log.asked(Put(jar=ANOTHERS, pieces=5), id="c-bad"),
        stand.log.told(Rained(jar=ANOTHERS)),
        stand.log.told(Rained(jar=OWN)),
    )
    assert stand.parked_as() == [(ANOTHERS, "wrong_partition")] * 2
    assert (stand.pieces(ANOTHERS), stand.pieces(OWN)) == (0, 1)
    assert (stand.answers["c-bad"].accepted, stand.answers["c-bad"].code) == (False, "parked")
    reason = stand.parked[0][0].reason
    assert f"{ANOTHERS!r} belongs to partition {partition_for(ANOTHERS, SHARDS)} of {SHARDS}" in reason
    assert "this is partition 0" in reason


def test_with_one_shard_every_partition_is_right() -> None:
    """There is no other."""
    stand = Stand()
    stand.tell(*(Rained(jar=jar) for jar in (OWN, ALSO_OWN, ANOTHERS)))
    assert stand.parked == []


def test_the_link_of_a_shard_s_message_goes_on() -> None:
    """Another shard's message parks like any other and counts: sent again it is a repeat, the next one is next."""
    stand = Stand(shards=SHARDS)
    bad = keyed(stand.log.told(Rained(jar=OWN)), b"g")
    stand.do(bad)
    stand.do(stand.log.again(bad), stand.log.told(Rained(jar=ANOTHERS)), stand.log.told(Rained(jar=OWN)))
    assert [code for _, code in stand.parked_as()] == ["wrong_key", "wrong_partition"]
    assert stand.pieces(OWN) == 1
    assert stand.progress.received == {"sky/0 sky.events": 3}
    assert stand.answers == {}


def test_nobody_waits_behind_it() -> None:
    """It was never about what this shard has: its subject goes on, after a restart as well."""
    stand = Stand(shards=SHARDS)
    stand.do(keyed(stand.log.told(Rained(jar=OWN)), b"g"))
    stand.claim()
    stand.tell(Rained(jar=OWN))
    assert stand.pieces(OWN) == 1
    assert not BLOCKING & {"wrong_key", "wrong_partition"}


def test_astray_also_while_its_subject_is_blocked() -> None:
    """It does not wait behind what is not its own, so that no replay takes it along."""
    stand = Stand(shards=SHARDS)
    stand.tell(Smash(jar=OWN), Rained(jar=OWN))
    stand.do(keyed(stand.log.told(Rained(jar=OWN)), b"g"))
    assert [code for _, code in stand.parked_as()] == ["decider_raised", "behind", "wrong_key"]
    stand.parked[0] = (stand.parked[0][0], "dropped")
    assert stand.replay(1).replayed == [1]
    assert stand.parked_as() == [(OWN, "wrong_key")]
    assert stand.pieces(OWN) == 1


def test_a_replay_decides_it_no_more_than_the_log_did() -> None:
    """It stays parked with its reason, until it is dropped: an operator's wish does not make it this shard's."""
    stand = Stand(shards=SHARDS)
    stand.do(keyed(stand.log.told(Rained(jar=OWN)), b"g"), stand.log.told(Rained(jar=ANOTHERS)))
    before = stand.outcome()
    for place in (0, 1):
        assert stand.replay(place).is_empty
    assert stand.outcome() == before
    assert stand.parked_as() == [(OWN, "wrong_key"), (ANOTHERS, "wrong_partition")]


def test_each_message_is_one_shard_s_own() -> None:
    """Of any message, one shard of all decides it and the others park it."""
    jars = [f"jar-{n}" for n in range(20)]
    decided: dict[str, list[int]] = {jar: [] for jar in jars}
    for number in range(SHARDS):
        stand = Stand(shards=SHARDS, number=number)
        stand.tell(*(Rained(jar=jar) for jar in jars))
        for jar in jars:
            decided[jar] += [number] * stand.pieces(jar)
    assert decided == {jar: [partition_for(jar, SHARDS)] for jar in jars}
