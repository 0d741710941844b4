"""Logistics: given an order for the store, when people do their work, then it goes from the shelf to the door."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.logistics import inner
from services.logistics.decider import DECIDER, FULFILMENT, SLOT_BEGINS
from services.logistics.state import Fulfilment, Phase, PickList
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.said import SetTimer
from shared.runtime.table import NoCell, Refused
from tests.deciders.scene import NOON, Scene

SLOT = Slot(start=NOON + timedelta(hours=1), end=NOON + timedelta(hours=2))
DOOR = ordering.Delivery(lat=52.1, lon=13.1, address="Kastanienallee 1")
OF: dict[str, Any] = {"order_id": "o-1", "store": "s-1"}
STEPS: list[Any] = [
    logistics.StartPicking(**OF),
    logistics.ReportPicked(**OF),
    logistics.ReportPacked(**OF),
    logistics.HandOver(**OF, courier="c-1"),
    logistics.ReportDelivered(**OF),
]
CODES = [
    "fulfilment_not_queued",
    "fulfilment_not_picking",
    "fulfilment_not_picked",
    "fulfilment_not_packed",
    "fulfilment_not_on_the_road",
]


def order(slot: Slot | None = None, delivery: ordering.Delivery | None = None) -> logistics.FulfilOrder:
    return logistics.FulfilOrder(**OF, spus=("apple", "milk"), quantities=(2, 1), slot=slot, delivery=delivery)


def fulfilment(scene: Scene) -> Fulfilment:
    state: Fulfilment = scene.states["fulfilment", "o-1"]
    return state


def after(steps: int) -> Scene:
    """An order that is queued and has gone so many steps."""
    scene = Scene(DECIDER)
    for message in [order(), *STEPS[:steps]]:
        scene.says(message)
    return scene


def test_queued_when_it_is_for_now() -> None:
    """Pickers hear of it at once, and its pick list is written down."""
    scene = Scene(DECIDER)
    assert scene.says(order(delivery=DOOR)) == [logistics.FulfilmentQueued(**OF)]
    assert scene.states["pick_list", "o-1"] == PickList("o-1", ("apple", "milk"), (2, 1), DOOR)
    assert fulfilment(scene) == Fulfilment("o-1", "s-1", Phase.QUEUED, NOON, queued_at=NOON)


def test_waiting_until_its_slot_begins() -> None:
    """A slot order is said to nobody before its time; then it is queued like any other."""
    scene = Scene(DECIDER)
    assert scene.says(order(SLOT)) == [SetTimer("o-1", SLOT_BEGINS, SLOT.start)]
    assert scene.states["pick_list", "o-1"] == PickList("o-1", ("apple", "milk"), (2, 1), None)
    assert fulfilment(scene).phase is Phase.WAITING_FOR_SLOT
    assert scene.when(logistics.StartPicking(**OF)) == Refused("fulfilment_not_queued")
    scene.now = SLOT.start
    assert scene.says(DECIDER.timers[SLOT_BEGINS]("o-1")) == [logistics.FulfilmentQueued(**OF)]
    assert fulfilment(scene) == Fulfilment(
        "o-1", "s-1", Phase.QUEUED, NOON, slot_start=SLOT.start, slot_end=SLOT.end, queued_at=SLOT.start
    )


def test_queued_when_its_slot_has_begun() -> None:
    """Paid at the last moment: the slot is kept, and nobody waits."""
    scene = Scene(DECIDER)
    scene.now = SLOT.start
    assert scene.says(order(SLOT))[-1] == logistics.FulfilmentQueued(**OF)
    assert fulfilment(scene).slot_start == SLOT.start


def test_delivered_step_by_step() -> None:
    """Every step is said, and its time is kept."""
    scene = after(0)
    said = []
    for step in STEPS:
        scene.later(60)
        said += scene.says(step)
    assert said == [
        logistics.PickingStarted(**OF),
        logistics.PickingFinished(**OF),
        logistics.FulfilmentPacked(**OF),
        logistics.FulfilmentHandedOver(**OF, courier="c-1"),
        logistics.FulfilmentDelivered(**OF),
    ]
    minutes: list[Any] = [NOON + timedelta(minutes=n) for n in range(6)]
    assert fulfilment(scene) == Fulfilment("o-1", "s-1", Phase.DELIVERED, NOON, None, None, "c-1", *minutes)


@pytest.mark.parametrize("done", range(6))
@pytest.mark.parametrize("asked", range(5))
def test_refused_when_it_is_not_the_next_step(done: int, asked: int) -> None:
    """Only the next step is carried out: too early, too late or once more is refused with what it would have taken."""
    scene = after(done)
    if asked == done:
        scene.says(STEPS[asked])
    else:
        assert scene.when(STEPS[asked]) == Refused(CODES[asked])


@pytest.mark.parametrize("message", STEPS)
def test_refused_when_the_order_is_unknown(message: Any) -> None:
    """A store has work only on orders that it was given."""
    scene = Scene(DECIDER)
    assert scene.when(message) == Refused("fulfilment_unknown")
    assert not scene.states


@pytest.mark.parametrize("steps", range(6))
def test_refused_when_another_store_asks(steps: int) -> None:
    """In whatever phase: another store's people do not touch it."""
    scene = after(steps)
    before = fulfilment(scene)
    elsewhere = STEPS[min(steps, 4)].model_copy(update={"store": "s-2"})
    refused = scene.when(elsewhere)
    assert isinstance(refused, Refused)
    assert refused.code == "wrong_store"
    assert fulfilment(scene) == before


def test_parked_when_an_order_is_fulfilled_twice() -> None:
    """The order service asks once."""
    scene = after(1)
    with pytest.raises(NoCell):
        scene.when(order())


def test_parked_when_a_slot_begins_for_nobody() -> None:
    """A timer without its order cannot be: it parks."""
    with pytest.raises(NoCell):
        Scene(DECIDER).when(inner.SlotBegins("o-9"))


def test_every_phase_has_its_row() -> None:
    """A phase without a row would park everything with a riddle."""
    assert set(FULFILMENT.rows) == set(Phase)
