"""What is new to a shard: repeats and records ahead of their link are dropped, ids are remembered, nothing is twice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shared.contracts.base import Message
from tests.runtime.stand import Stand
from tests.runtime.toy import PointAt, PourOver, Put, Rained, Smash, Snowed, Vanish


def rain(pieces: int = 1) -> Rained:
    """Pieces for the jar."""
    return Rained(jar="a", pieces=pieces)


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_repeat_on_a_link_is_dropped(in_one_batch: bool) -> None:
    """A link number that was seen is a repeat, in the same batch or in a later one."""
    stand = Stand()
    first = stand.log.told(rain())
    second = stand.log.again(first)
    if in_one_batch:
        stand.do(first, second)
    else:
        stand.do(first)
        stand.do(second)
    assert stand.pieces("a") == 1
    assert stand.progress.received == {"sky/0 sky.events": 1}
    assert stand.progress.offsets == {"sky.events": 2}


def test_record_ahead_of_its_link_is_dropped_with_an_alarm() -> None:
    """A gap means that a send was lost: what is behind it waits until the sender goes back, and nothing is skipped."""
    stand = Stand()
    one, two, three = (stand.log.told(rain(n)) for n in (1, 10, 100))
    (commit,) = stand.do(one, three)
    assert commit.gaps == ["sky/0 sky.events: 3 came after 1"]
    assert stand.pieces("a") == 1
    (commit,) = stand.do(stand.log.again(two), stand.log.again(three))
    assert commit.gaps == []
    assert stand.pieces("a") == 111


def test_a_new_record_below_what_was_read_is_an_alarm() -> None:
    """Topics made again and backups restored keep their names: what is new there must not pass for a repeat in silence.
    What was read may come again."""
    stand = Stand()
    one, two, three = (stand.log.told(rain(n)) for n in (1, 10, 100))
    stand.do(one, three)
    (commit,) = stand.do(replace(one, offset=0))
    assert commit.gaps == []
    (commit,) = stand.do(replace(two, offset=1))
    assert commit.gaps == ["sky/0 sky.events: 2 stands at 1, and the log was read up to 3"]
    assert stand.progress.received == {"sky/0 sky.events": 1}
    assert stand.pieces("a") == 1


def test_a_link_may_not_begin_in_the_middle() -> None:
    """The first number of a link is 1."""
    stand = Stand()
    (commit,) = stand.do(stand.log.told(rain(), link=7))
    assert commit.gaps == ["sky/0 sky.events: 7 came after 0"]
    assert stand.progress.received == {}


def test_links_count_apart() -> None:
    """Each sending shard has a link of its own."""
    stand = Stand()
    (commit,) = stand.do(*(stand.log.told(rain(), source=source) for source in ("sky/0", "sky/1", "sky/0")))
    assert not commit.gaps
    assert stand.pieces("a") == 3
    assert stand.progress.received == {"sky/0 sky.events": 2, "sky/1 sky.events": 1}


def test_facts_that_nobody_here_listens_to_hold_their_place_on_the_link() -> None:
    """Skipping them must not look like a gap."""
    stand = Stand()
    (commit,) = stand.tell(Snowed(jar="a"), rain(), Snowed(jar="a"), rain())
    assert not commit.gaps
    assert stand.pieces("a") == 2
    assert stand.progress.received == {"sky/0 sky.events": 4}


@pytest.mark.parametrize("bad", [Smash(jar="a"), Vanish(jar="a")])
def test_parked_messages_hold_their_place_on_the_link(bad: Message) -> None:
    """A message that parks was received: it is not asked for again."""
    stand = Stand()
    told = stand.log.told(bad)
    stand.do(told)
    stand.do(stand.log.again(told))
    assert len(stand.parked) == 1
    assert stand.progress.received == {"sky/0 toy.commands": 1}


# -- offsets -----------------------------------------------------------------------------------------------------------


def test_records_below_the_offset_are_dropped() -> None:
    """What a consumer hands out again after a rebalance was decided already, with or without a link or an id."""
    stand = Stand()
    items = [stand.log.told(rain()), stand.log.asked(Put(jar="a", pieces=1))]
    items.append(replace(stand.log.asked(Put(jar="a", pieces=1)), id=""))
    stand.do(*items)
    stand.do(*items)
    assert stand.pieces("a") == 3
    assert stand.progress.offsets == {"sky.events": 1, "toy.commands": 2}


def test_offsets_never_go_back() -> None:
    """A record from before leaves the offset where it was."""
    stand = Stand()
    early, late = stand.log.told(rain()), stand.log.told(rain())
    stand.do(early, late)
    stand.do(early)
    assert stand.progress.offsets == {"sky.events": 2}


# -- ids ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("in_one_batch", [True, False])
@pytest.mark.parametrize(
    "command",
    [Put(jar="a", pieces=1), Put(jar="a", pieces=0), Put(jar="a", pieces=-1), Vanish(jar="a"), Smash(jar="a")],
)
def test_repeat_of_a_command_is_dropped(command: Message, in_one_batch: bool, restarted: bool) -> None:
    """A person's command is decided once, whether it was carried out, ignored, refused or parked."""
    stand = Stand()
    first = stand.log.asked(command, id="c-1")
    repeat = stand.log.again(first)
    if in_one_batch:
        stand.do(first, repeat)
    else:
        stand.do(first)
        if restarted:
            stand.claim()
        stand.do(repeat)
    assert len(stand.answers) == 1
    assert len(stand.parked) <= 1
    assert stand.pieces("a") in (0, 1)


def test_different_ids_are_different_commands() -> None:
    """The same words twice are two wishes."""
    stand = Stand()
    stand.ask(Put(jar="a", pieces=1), Put(jar="a", pieces=1))
    assert stand.pieces("a") == 2


def test_ids_are_asked_for_once_a_batch() -> None:
    """Only messages from outside are looked up: a link is enough for a service's."""
    stand = Stand()
    works = stand.shard.read([stand.log.told(rain()), stand.log.asked(Put(jar="a", pieces=1), id="c-1")])
    assert stand.shard.outside_ids(works) == ["c-1"]


# -- answers -----------------------------------------------------------------------------------------------------------


def test_command_is_answered_with_a_row_and_who_asks_for_it_with_a_message() -> None:
    """Who waits reads the row; a refusal, and what was accepted of those who want word, is heard on the topic of
    answers, apart from the facts."""
    stand = Stand()
    stand.do(stand.log.asked(Put(jar="b", pieces=2), id="c-0"))
    assert (stand.answers["c-0"].accepted, stand.types_sent("toy.answers/0")) == (True, [])
    stand.do(
        stand.log.asked_for_word(Put(jar="a", pieces=2), id="c-1"), stand.log.asked(Put(jar="a", pieces=-9), id="c-2")
    )
    yes, no = stand.answers["c-1"], stand.answers["c-2"]
    assert (yes.accepted, yes.code, yes.subject, yes.fingerprint) == (True, None, "a", "of c-1")
    assert (no.accepted, no.code, no.detail) == (False, "jar_too_empty", "there are 2 pieces in a")
    assert stand.types_sent() == ["JarChanged", "JarChanged"]
    assert stand.types_sent("toy.answers/0") == ["CommandAccepted", "CommandRefused"]
    assert stand.sent["toy.answers/0"][-1][2] == (
        b'{"command_id":"c-2","command":"Put","subject_id":"a","code":"jar_too_empty"}'
    )


def test_command_without_an_id_is_answered_by_its_place_in_the_log() -> None:
    """It has no idempotency, but the answer has a name."""
    stand = Stand()
    stand.do(replace(stand.log.asked(Put(jar="a", pieces=1)), id=""))
    assert list(stand.answers) == ["toy.commands/0@0"]


def test_service_messages_are_not_answered() -> None:
    """Services hear events, not answers."""
    stand = Stand()
    stand.tell(rain())
    assert stand.answers == {}
    assert stand.types_sent() == ["JarChanged"]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_messages_of_a_batch_are_numbered_on_their_links() -> None:
    """Each partition of each topic is a link of its own, counted on from batch to batch without a gap."""
    stand = Stand(shards=3)
    for _ in range(3):
        stand.tell(*(Rained(jar=jar, pieces=n) for jar in "fg" for n in (1, 2)))  # these two are shard 0's
        stand.tell(*(m for other in "abf" for m in (PointAt(jar="g", other=other), PourOver(jar="g"))))
    assert {link.split("/")[0] for link in stand.sent} == {"toy.events", "sky.commands"}
    assert len(stand.sent) > 3
    for link, sent in stand.sent.items():
        assert [number for number, *_ in sent] == list(range(1, len(sent) + 1))
        assert stand.progress.sent[link] == len(sent)


def test_envelope_of_what_is_sent() -> None:
    """A CloudEvent whose id is made of source and link; the trace of what caused it goes along."""
    stand = Stand()
    stand.do(replace(stand.log.told(rain(2)), traceparent=b"00-abc"))
    number, key, body, headers = stand.sent["sky.commands/0"][0]
    assert (number, key, body) == (1, b"cloud-2", b'{"cloud":"cloud-2","jar":"a"}')
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"toy/0:sky.commands/0:1"),
        ("ce_type", b"Thank"),
        ("ce_source", b"toy/0"),
        ("ce_time", stand.now.isoformat().encode()),
        ("ce_subject", b"a"),
        ("link", b"1"),
        ("traceparent", b"00-abc"),
    ]
