"""Parking: a message that nobody can handle is kept with its reason, and everything else goes on."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.base import Message, MessageParked
from shared.runtime.envelope import read
from shared.runtime.shard import EFFECTS, REASON_MAX, TIMERS, EffectAnswered
from tests.runtime.stand import Stand
from tests.runtime.toy import (
    Answered,
    Call,
    Mumble,
    Put,
    Rained,
    SetLid,
    Smash,
    Stumble,
    Vanish,
)


def put(jar: str = "a", pieces: int = 1) -> Put:
    """Pieces for a jar."""
    return Put(jar=jar, pieces=pieces)


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "type_", "code"),
    [
        (b"no json", "Put", "malformed"),
        (b"", "Put", "malformed"),
        (b"\xff\xfe\x00", "Put", "malformed"),
        (b"[]", "Put", "malformed"),
        (b"null", "Put", "malformed"),
        (b'{"jar":"a"}', "Put", "malformed"),
        (b'{"jar":"a","pieces":"many"}', "Put", "malformed"),
        (b'{"jar":"a b","pieces":1}', "Put", "malformed"),
        (b'{"jar":"a\\u0000","pieces":1}', "Put", "malformed"),
        (b'{"jar":"' + b"a" * 65 + b'","pieces":1}', "Put", "malformed"),
        (b"{" * 100_000, "Put", "malformed"),
        (b"x" * 1_000_000, "Put", "malformed"),
        (None, "Put", "malformed"),
        (b'{"jar":"a","pieces":1}', "Throw", "unknown_type"),
        (b'{"jar":"a","pieces":1}', "", "unknown_type"),
        (b'{"jar":"a","pieces":1}', "Rained", "unknown_type"),
    ],
)
def test_parked_alone_when_it_cannot_be_read(value: bytes | None, type_: str, code: str) -> None:
    """It parks with its reason, the one who asked is told, and the same jar goes on in the same batch."""
    stand = Stand()
    before = stand.log.asked(put())
    bad = stand.log.raw(value, type=type_, id="c-bad", subject="a", fingerprint="f")
    stand.do(before, bad, stand.log.asked(put()))
    assert stand.pieces("a") == 2
    assert stand.parked_as() == [("a", code)]
    (parked, _) = stand.parked[0]
    assert parked.delivery is bad
    assert 0 < len(parked.reason) <= REASON_MAX
    assert (stand.answers["c-bad"].accepted, stand.answers["c-bad"].code) == (False, "parked")
    stand.ask(put())
    assert stand.pieces("a") == 3


def test_reason_names_the_field() -> None:
    """Whoever looks at it sees what is wrong without the body."""
    stand = Stand()
    stand.do(stand.log.raw(b'{"jar":"a","pieces":"many"}', type="Put"))
    assert stand.parked[0][0].reason.startswith("pieces: ")


@pytest.mark.parametrize("type_", ["Cleared", "Put", "CommandAccepted"])
def test_skipped_when_a_fact_is_none_of_ours(type_: str) -> None:
    """An events topic carries much that this service does not listen to: that is no mistake."""
    stand = Stand()
    stand.do(
        stand.log.raw(b"whatever", "sky.events", type=type_, source="sky/0", link=1), stand.log.told(Rained(jar="a"), 2)
    )
    assert stand.parked == []
    assert stand.pieces("a") == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_type", b"\xff")],
        [("ce_type", b"Put"), ("link", b"seven")],
        [("ce_type", b"Put"), ("link", b"")],
        [("ce_type", None)],
        [("ce_type", b"Put"), ("ce_id", None)],
        [("ce_type", b"Put"), ("ce_id", b"a\x00b")],
        [("ce_type", b"Put"), ("ce_id", b"i" * 5_000)],
        [("ce_type", b"Put"), ("fingerprint", b"\x00")],
        [("ce_type", b"Put"), ("ce_actor", b"\x00")],
        [("ce_type", b"Put"), ("link", b"-5")],
    ],
)
@pytest.mark.parametrize("topic", ["toy.commands", "sky.events"])
def test_parked_when_the_envelope_cannot_be_read(headers: Any, topic: str) -> None:
    """Nothing about a record's headers may stop the shard, or let it vanish."""
    stand = Stand()
    stand.do(read(topic, 0, 0, None, b'{"jar":"a","pieces":1}', headers))
    assert [code for _, code in stand.parked_as()] in (["unknown_type"], ["malformed"])
    assert all("\x00" not in text for a in stand.answers.values() for text in (a.id, a.fingerprint, a.subject))
    assert stand.progress.offsets == {topic: 1}


# -- what cannot be decided --------------------------------------------------------------------------------------------


def test_parked_alone_without_a_cell() -> None:
    """A phase that does not expect it: the message parks, and its jar goes on."""
    stand = Stand()
    stand.tell(Vanish(jar="a"), Rained(jar="a"))
    assert stand.parked_as() == [("a", "no_cell")]
    assert stand.pieces("a") == 1


@pytest.mark.parametrize("raiser", [Smash, Mumble, Stumble])
@pytest.mark.parametrize("in_one_batch", [True, False])
def test_parked_with_those_behind_it_when_the_decider_raises(raiser: type[Any], in_one_batch: bool) -> None:
    """Later messages of the same jar wait behind it, now and after a restart; other jars go on."""
    stand = Stand()
    items = [
        stand.log.told(m)
        for m in (
            Rained(jar="a"), Rained(jar="b"), raiser(jar="a"), Rained(jar="a"), Rained(jar="b"), raiser(jar="b"),
            Rained(jar="c"),
        )
    ]  # fmt: skip
    if in_one_batch:
        stand.do(*items)
    else:
        for item in items:
            stand.do(item)
            stand.claim()
    assert stand.parked_as() == [("a", "decider_raised"), ("a", "behind"), ("b", "decider_raised")]
    assert (stand.pieces("a"), stand.pieces("b"), stand.pieces("c")) == (1, 2, 1)
    assert stand.progress.received == {"sky/0 sky.events": 5, "sky/0 toy.commands": 2} or not in_one_batch


@pytest.mark.parametrize(
    ("raiser", "reason"),
    [
        (Smash, "ZeroDivisionError: smashed"),
        (Stumble, "OSError: stumbled"),
        (Mumble, "PydanticSerializationError: "),
    ],
)
def test_reason_says_what_was_raised(raiser: type[Any], reason: str) -> None:
    """Kind and words of the error."""
    stand = Stand()
    stand.tell(raiser(jar="a"))
    assert stand.parked[0][0].reason.startswith(reason)


def test_nothing_is_left_of_a_message_whose_words_cannot_be_written() -> None:
    """It moved a jar, kept a note, set a timer, opened an effect; then a body could not be written: all is gone."""
    stand = Stand()
    stand.tell(Rained(jar="a"))
    before = stand.outcome()
    (commit,) = stand.tell(Mumble(jar="a"))
    assert (commit.states, commit.records, commit.timers, commit.effects_opened) == ({}, {}, {}, [])
    assert [row.topic for row in commit.outbox] == ["toy.parked"]
    after = stand.outcome()
    assert {k for k in after if after[k] != before[k]} == {"parked", "offsets", "received", "sent", "links"}


def test_what_is_parked_is_told() -> None:
    """What it was, where it came from and why; its body stays in the database. A replay that fails says it no more."""
    stand = Stand()
    stand.do(stand.log.asked(Smash(jar="a"), id="c-1"), stand.log.raw(b"secret", type="Put", id="c-2", subject="b"))
    (first, second) = (MessageParked.from_json(body) for _, _, body, _ in stand.sent["toy.parked/0"])
    assert first == MessageParked(
        subject_id="a",
        code="decider_raised",
        reason="ZeroDivisionError: smashed",
        message_id="c-1",
        message_type="Smash",
        topic="toy.commands",
        partition=0,
        offset=0,
    )
    assert (second.code, second.subject_id, second.offset) == ("malformed", "b", 1)
    stand.replay(0)
    assert len(stand.sent["toy.parked/0"]) == 2


def test_timers_and_answers_from_outside_wait_behind_as_well() -> None:
    """Nothing about a parked jar is decided out of order, wherever it comes from; the effect stays open."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60), Call(jar="a"), Smash(jar="a"))
    stand.wait(61)
    stand.do(EffectAnswered("a:1", Answered("a", 7)))
    assert stand.parked_as() == [("a", "decider_raised"), ("a", "behind"), ("a", "behind")]
    assert [p.delivery.topic for p, _ in stand.parked] == ["toy.commands", TIMERS, EFFECTS]
    assert stand.timers == {}
    assert list(stand.effects) == ["a:1"]
    assert stand.pieces("a") == 0


# -- replay ------------------------------------------------------------------------------------------------------------


def smashed(*after: Message) -> Stand:
    """A stand on which jar a is blocked, with these behind."""
    stand = Stand()
    stand.tell(Smash(jar="a"), *after)
    return stand


def test_replayed_in_order_with_those_behind() -> None:
    """A message is replayed with those of its subject that wait behind it, in the order in which they came."""
    stand = smashed(Rained(jar="a", pieces=5), Rained(jar="b"), Put(jar="a", pieces=-5), SetLid(jar="a", seconds=1))
    commit = stand.replay(1)
    assert commit.replayed == [1, 2, 3]
    assert stand.pieces("a") == 0
    assert stand.timers != {}
    assert stand.parked_as() == [("a", "decider_raised")]


def test_stuck_when_it_fails_again() -> None:
    """It stays parked, and so do those behind it, each still once; another jar's replay goes on."""
    stand = smashed(Rained(jar="a"))
    commit = stand.replay(0)
    assert commit.is_empty
    assert commit.parked == []
    assert stand.parked_as() == [("a", "decider_raised"), ("a", "behind")]
    stand.tell(Rained(jar="a"))
    assert len(stand.parked) == 3
    assert stand.pieces("a") == 0


def test_goes_on_when_nothing_is_parked_any_more() -> None:
    """The last one that waited is replayed: from then on the jar is as any other."""
    stand = smashed(Rained(jar="a"))
    stand.parked[0] = (stand.parked[0][0], "dropped")
    stand.replay(1)
    assert stand.parked_as() == []
    stand.tell(Rained(jar="a"))
    assert stand.pieces("a") == 2


def test_replayed_whatever_its_link_number() -> None:
    """Its link has gone on long since: a replay is not held against it, and moves no link."""
    stand = smashed(*(Rained(jar="a") for _ in range(3)))
    received = dict(stand.progress.received)
    stand.replay(2)
    assert stand.pieces("a") == 2
    assert stand.progress.received == received


def test_replayed_timer_fires() -> None:
    """A timer that was parked behind something is a message like any other."""
    stand = Stand()
    stand.tell(SetLid(jar="a", seconds=60), Smash(jar="a"))
    stand.wait(61)
    stand.replay(1)
    assert stand.pieces("a") == 10


def test_replay_of_what_cannot_be_read_changes_nothing() -> None:
    """It stays parked, until it is dropped or this service learns to read it."""
    stand = Stand()
    stand.do(stand.log.raw(b"no json", type="Put", subject="a"), stand.log.raw(b"{}", type="Throw", subject="a"))
    assert stand.replay(0).is_empty
    assert stand.replay(1).is_empty
    assert stand.parked_as() == [("a", "malformed"), ("a", "unknown_type")]


def test_parked_command_answers_once() -> None:
    """The answer was 'parked'; replaying it does not answer again."""
    stand = Stand()
    stand.do(stand.log.asked(Vanish(jar="a"), id="c-1"))
    stand.replay(0)
    assert [a.code for a in stand.answers.values()] == ["parked"]
