"""Logistics: given a store's slots, when orders ask for a place, then no slot has more orders than places."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.logistics.decider import DECIDER, RESERVATION, PlacesBelowZero
from services.logistics.state import Reservation, ReservationPhase, SlotState, slot_key
from shared.contracts import logistics
from shared.contracts.base import Slot
from shared.runtime.table import IGNORED, Moved, NoCell, Refused
from tests.deciders.scene import NOON, Scene

STORE = "s-1"
START, END = NOON + timedelta(hours=1), NOON + timedelta(hours=2)
EVENING = Slot(start=START, end=END)


def open_store(places: int, start: datetime = START, end: datetime = END) -> Scene:
    """A store with one slot."""
    scene = Scene(DECIDER)
    scene.says(set_slots((start, end, places)))
    return scene


def set_slots(*slots: tuple[datetime, datetime, int]) -> logistics.SetSlots:
    return logistics.SetSlots(
        store=STORE, slots=tuple(logistics.SlotPlaces(start=s, end=e, places=p) for s, e, p in slots)
    )


def reserve(order: str = "o-1", slot: Slot = EVENING) -> logistics.ReserveSlot:
    return logistics.ReserveSlot(order_id=order, store=STORE, slot=slot)


def free(order: str = "o-1") -> logistics.FreeSlot:
    return logistics.FreeSlot(order_id=order, store=STORE)


def slot(scene: Scene, start: datetime = START) -> SlotState:
    state: SlotState = scene.states[slot_key(STORE, start)]
    return state


def reserved(order: str = "o-1") -> logistics.SlotReserved:
    return logistics.SlotReserved(order_id=order, store=STORE)


def refused(code: str, order: str = "o-1") -> logistics.SlotRefused:
    return logistics.SlotRefused(order_id=order, store=STORE, code=code)


# -- places ------------------------------------------------------------------------------------------------------------


def test_reserved_until_the_slot_is_full() -> None:
    """Two places are for two orders; the third is told that there is none."""
    scene = open_store(2)
    assert scene.says(reserve("o-1")) == [reserved("o-1")]
    assert scene.says(reserve("o-2")) == [reserved("o-2")]
    assert scene.says(reserve("o-3")) == [refused("slot_full", "o-3")]
    assert slot(scene).reserved == 2


def test_freed_places_are_for_the_next() -> None:
    """Nothing is said, and somebody else may have the place."""
    scene = open_store(1)
    scene.says(reserve("o-1"))
    assert scene.says(free("o-1")) == []
    assert scene.says(reserve("o-2")) == [reserved("o-2")]
    assert slot(scene).reserved == 1


def test_reserved_whatever_zone_it_is_written_in() -> None:
    """The same instants are the same slot."""
    tokyo = timezone(timedelta(hours=9))
    scene = open_store(1, START.astimezone(tokyo), END.astimezone(tokyo))
    assert slot(scene).start == START
    assert slot(scene).start.tzinfo is UTC
    assert scene.says(reserve(slot=Slot(start=START.astimezone(tokyo), end=END))) == [reserved()]


@pytest.mark.parametrize(
    "other",
    [
        Slot(start=START, end=END + timedelta(minutes=1)),
        Slot(start=START, end=START - timedelta(hours=1)),
        Slot(start=START + timedelta(microseconds=1), end=END),
    ],
)
def test_refused_when_no_slot_has_this_start_and_end(other: Slot) -> None:
    """A slot matches exactly or not at all."""
    scene = open_store(1)
    assert scene.says(reserve(slot=other)) == [refused("slot_unknown")]
    assert slot(scene).reserved == 0


@pytest.mark.parametrize("start", [NOON, NOON - timedelta(hours=3)])
def test_refused_when_the_slot_has_begun(start: datetime) -> None:
    """Nobody can be promised an hour that is running or over."""
    end = start + timedelta(hours=1)
    scene = open_store(1, start, end)
    assert scene.says(reserve(slot=Slot(start=start, end=end))) == [refused("slot_over")]
    assert slot(scene, start).reserved == 0


def test_the_same_answer_when_an_order_asks_again() -> None:
    """One order, one place, however often it asks; a refusal stays one though a place has come free since."""
    scene = open_store(1)
    scene.says(reserve("o-1"))
    scene.says(reserve("o-2"))
    assert scene.says(reserve("o-1")) == [reserved("o-1")]
    assert slot(scene).reserved == 1
    scene.says(free("o-1"))
    assert scene.says(reserve("o-2")) == [refused("slot_full", "o-2")]
    assert slot(scene).reserved == 0


def test_parked_when_an_order_asks_for_a_second_slot() -> None:
    """It has one; to be told that it has the other would be a lie."""
    scene = open_store(1)
    scene.says(reserve())
    scene.says(set_slots((END, END + timedelta(hours=1), 1)))
    with pytest.raises(NoCell):
        scene.when(reserve(slot=Slot(start=END, end=END + timedelta(hours=1))))


def test_parked_when_another_store_is_named() -> None:
    """A reservation belongs to the shard of its store."""
    scene = open_store(1)
    scene.says(reserve())
    with pytest.raises(NoCell, match="in store s-1"):
        scene.when(logistics.FreeSlot(order_id="o-1", store="s-2"))
    assert slot(scene).reserved == 1


@pytest.mark.parametrize("before", [[free()], [reserve(), free()]])
def test_ignored_when_the_order_was_given_up(before: list[Any]) -> None:
    """A place taken for an order that is gone would never come back; one given back twice would be one too many."""
    scene = open_store(1)
    for message in before:
        scene.says(message)
    assert scene.when(reserve()) == IGNORED
    assert scene.when(free()) == IGNORED
    assert slot(scene).reserved == 0


def test_ignored_when_a_refused_order_gives_back() -> None:
    """It has nothing to give back."""
    scene = open_store(0)
    scene.says(reserve())
    assert scene.when(free()) == IGNORED


def test_raises_rather_than_go_below_zero() -> None:
    """Should the counter ever be wrong, giving back parks."""
    scene = open_store(1)
    scene.says(reserve())
    scene.states[slot_key(STORE, START)] = SlotState(STORE, START, END, slot(scene).phase, 1, 0)
    with pytest.raises(PlacesBelowZero):
        scene.when(free())


# -- the store's slots -------------------------------------------------------------------------------------------------


def test_set_slots_leave_the_others_alone() -> None:
    """Only what is named changes, and the answer counts it."""
    scene = open_store(1)
    later = END + timedelta(hours=1)
    assert scene.says(set_slots((END, later, 5))) == [logistics.SlotsSet(store=STORE, slots=1)]
    assert (slot(scene).places, slot(scene, END).places) == (1, 5)


def test_places_reserved_stay_reserved() -> None:
    """A store may take places away, also those that are taken: then nobody gets one until enough came back."""
    scene = open_store(3)
    for order in ("o-1", "o-2", "o-3"):
        scene.says(reserve(order))
    scene.says(set_slots((START, END, 2)))
    assert (slot(scene).places, slot(scene).reserved) == (2, 3)
    scene.says(free("o-1"))
    assert scene.says(reserve("o-4")) == [refused("slot_full", "o-4")]
    scene.says(free("o-2"))
    assert scene.says(reserve("o-5")) == [reserved("o-5")]


def test_the_last_counts_when_a_slot_is_named_twice() -> None:
    """As if they had been set one after the other."""
    scene = open_store(1)
    scene.says(reserve())
    assert scene.says(set_slots((START, END, 7), (START, END, 9))) == [logistics.SlotsSet(store=STORE, slots=1)]
    assert (slot(scene).places, slot(scene).reserved) == (9, 1)


def test_malformed_when_a_slot_is_no_span_of_time() -> None:
    """It ends after it starts, in a year that can be counted in every zone."""
    with pytest.raises(ValidationError, match="ends after it starts"):
        logistics.SlotPlaces(start=END, end=START, places=1)
    with pytest.raises(ValidationError, match="greater than or equal"):
        Slot(start=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), end=END)


# -- always ------------------------------------------------------------------------------------------------------------

orders = st.sampled_from(["o-1", "o-2", "o-3", "o-4"])
steps = st.one_of(
    st.builds(reserve, orders),
    st.builds(free, orders),
    st.builds(lambda places: set_slots((START, END, places)), st.integers(0, 3)),
)


@given(st.lists(steps, max_size=25))
def test_reserved_counts_the_reservations(messages: list[Any]) -> None:
    """Whatever comes in whatever order: reserved is the number of orders that have a place, and a place is given only
    where there is one."""
    scene = open_store(2)
    for message in messages:
        outcome = scene.when(message)
        held = [s for s in scene.states.values() if isinstance(s, Reservation) and s.phase is ReservationPhase.RESERVED]
        assert slot(scene).reserved == len(held)
        if isinstance(message, logistics.ReserveSlot) and isinstance(outcome, Moved) and len(outcome.states) == 2:
            assert slot(scene).reserved <= slot(scene).places


def test_every_phase_has_its_row() -> None:
    """A phase without a row would park everything with a riddle."""
    assert set(RESERVATION.rows) == set(ReservationPhase)


# -- another end -------------------------------------------------------------------------------------------------------


def test_end_refused_when_orders_have_places() -> None:
    """They carry the slot as it was: it cannot become another one. Places may change, and the end once all are free."""
    scene = open_store(places=2)
    scene.says(reserve())
    later = END + timedelta(minutes=30)
    outcome = scene.when(set_slots((START, later, 2)))
    assert isinstance(outcome, Refused)
    assert outcome.code == "slot_in_use"
    assert "1 orders" in outcome.detail
    scene.says(set_slots((START, END, 1)))
    assert (slot(scene).end, slot(scene).places) == (END, 1)
    scene.when(free())
    scene.says(set_slots((START, later, 2)))
    assert slot(scene).end == later


def test_no_slot_of_a_list_is_set_when_one_is_refused() -> None:
    """All or none: a half of a list would be a third truth."""
    scene = open_store(places=2)
    scene.says(reserve())
    other = END + timedelta(hours=5)
    outcome = scene.when(set_slots((other, other + timedelta(hours=1), 3), (START, END + timedelta(hours=1), 2)))
    assert isinstance(outcome, Refused)
    assert slot_key(STORE, other) not in scene.states
