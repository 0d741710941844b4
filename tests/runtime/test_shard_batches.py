"""How items are cut into batches, and how much is remembered, never changes what comes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.contracts.base import Message
from shared.runtime.envelope import Delivery
from shared.runtime.shard import EffectAnswered, Item
from tests.runtime.stand import Stand
from tests.runtime.toy import (
    Answered,
    Call,
    Mumble,
    PointAt,
    PourOver,
    Put,
    Rained,
    SetLid,
    Smash,
    Snowed,
    Stumble,
    Vanish,
    Wander,
    Weigh,
)


@dataclass(frozen=True)
class Told:
    """A service's message, `skip` numbers ahead of its link; sent once more when it is a `repeat`."""

    message: Message
    source: str = "sky/0"
    skip: int = 0
    repeat: bool = False


@dataclass(frozen=True)
class Asked:
    """A person's command with one of a few ids: some come twice."""

    message: Message
    id: str


@dataclass(frozen=True)
class Garbage:
    """Bytes that are no message."""

    link: int = 0


@dataclass(frozen=True)
class FromOutside:
    """The answer to the effect that was opened for this jar, if it is open."""

    jar: str
    pieces: int


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: int


Event = Told | Asked | Garbage | FromOutside | Wait

jars = st.sampled_from(["a", "b", "c", "faraway", "d"])  # of two shards, the last is the other's
calm: st.SearchStrategy[Message] = st.one_of(
    st.builds(Put, jar=jars, pieces=st.integers(-3, 3)),
    st.builds(PointAt, jar=jars, other=jars),
    st.builds(PourOver, jar=jars),
    st.builds(SetLid, jar=jars, seconds=st.one_of(st.none(), st.integers(0, 20))),
    st.builds(Weigh, jar=jars),
    st.builds(Call, jar=jars, number=st.integers(1, 3)),
    st.builds(Rained, jar=jars, pieces=st.integers(1, 3)),
    st.builds(Snowed, jar=jars),
)
rough = st.one_of(*(st.builds(kind, jar=jars) for kind in (Smash, Vanish, Mumble, Wander, Stumble)))
messages = st.one_of(calm, calm, calm, calm, rough)
sources = st.sampled_from(["sky/0", "sky/1"])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Told, messages, sources),
    st.builds(Told, messages, sources, skip=st.integers(0, 1), repeat=st.booleans()),
    st.builds(Asked, messages.filter(lambda m: m.TOPIC == "toy.commands"), st.sampled_from(["c-1", "c-2", "c-3"])),
    st.builds(Garbage),
    st.builds(FromOutside, jars, st.integers(-1, 3)),
    st.builds(Wait, st.integers(0, 15)),
)


def items_of(event: Event, stand: Stand) -> list[Item]:
    """What this event puts into the log of the stand."""
    match event:
        case Told(message, source, skip, repeat):
            first = stand.log.told(message, source=source)
            first = replace(first, link=first.link + skip)
            return [first, stand.log.again(first)] if repeat else [first]
        case Asked(message, id_):
            return [stand.log.asked(message, id=id_)]
        case Garbage():
            return [stand.log.raw(b"garbage", type="Put", subject="a")]
    raise AssertionError(event)


def play(story: list[Event], cuts: list[int], **stand_settings: Any) -> dict[str, Any]:
    """Plays a story in batches of these sizes, over and over; what waits for time or an effect ends a batch."""
    stand = Stand(shards=2, **stand_settings)
    sizes = [*cuts]
    ahead: list[Item] = []

    def flush() -> None:
        while ahead:
            size = sizes.pop(0) if sizes else len(ahead)
            batch, ahead[:] = ahead[:size], ahead[size:]
            stand.do(*batch)

    for event in story:
        match event:
            case Wait(seconds):
                flush()
                stand.wait(seconds, page=sizes[0] if sizes else 1_000)
            case FromOutside(jar, pieces):
                flush()
                opened = [e for e in stand.effects if e.startswith(f"{jar}:")]
                ahead += [EffectAnswered(effect, Answered(jar, pieces)) for effect in opened]
            case _:
                ahead += items_of(event, stand)
    flush()
    return stand.outcome()


@settings(max_examples=150, deadline=None)
@given(
    story=st.lists(events, max_size=40),
    cuts=st.lists(st.integers(1, 6), max_size=40),
    cache_max=st.sampled_from([1, 4, 60_000]),
)
@example(  # a neighbour that is named in the batch that pours
    story=[Told(Rained(jar="a")), Told(PointAt(jar="a", other="b")), Told(PourOver(jar="a")), Told(Rained(jar="b"))],
    cuts=[1] * 8,
    cache_max=4,
)
@example(  # a lid that comes off while its jar is blocked
    story=[Told(SetLid(jar="a", seconds=1)), Told(Smash(jar="a")), Wait(2), Told(Rained(jar="a"))],
    cuts=[1] * 8,
    cache_max=60_000,
)
def test_result_is_the_same_however_it_is_cut(story: list[Event], cuts: list[int], cache_max: int) -> None:
    """States, records, timers, effects, answers, what is parked, every body and every link number: all the same."""
    assert play(story, cuts, cache_max=cache_max) == play(story, [])


@settings(max_examples=60, deadline=None)
@given(
    story=st.lists(st.builds(Told, messages, st.just("sky/0")), max_size=20),
    crashes=st.lists(st.integers(0, 19), max_size=5),
    size=st.integers(1, 6),
)
def test_result_is_the_same_when_commits_are_lost(story: list[Told], crashes: list[int], size: int) -> None:
    """A worker dies with a batch decided and not written: whoever is next decides it again, from the database."""
    calm_stand, stand = Stand(), Stand()
    items: list[Delivery] = [stand.log.told(t.message) for t in story]
    calm_stand.do(*items)
    for begin in range(0, len(items), size):
        if begin in crashes:
            stand.decide(*items[begin : begin + size])
            stand.claim()
        stand.do(*items[max(0, begin - 1) : begin + size])
    assert stand.outcome() == calm_stand.outcome()
