"""Placing: given the catalogue and the stores, when a basket cannot be an order, then it is refused with a code."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order.decider import DECIDER
from services.order.state import Phase, StoreFact
from shared.contracts import order as ordering
from shared.contracts.base import QUANTITY_MAX, Slot
from shared.runtime.table import Key, NoCell, Refused
from tests.deciders.orders import (
    BASKET,
    CANCEL,
    CHECKED,
    CLICK,
    DOOR,
    IN_SLOT,
    SHOP,
    TAKEN,
    TOTAL,
    WAY_TO,
    at,
    order,
    shop,
)
from tests.deciders.scene import NOON, Scene

NOWHERE = DOOR.model_copy(update={"lat": 0.0, "lon": 0.0})


def basket(**changes: Any) -> ordering.PlaceOrder:
    """The usual basket with something else in it."""
    return BASKET.model_copy(update=changes)


def refusal(message: Any, facts: dict[Key, Any] | None = None) -> Refused:
    """The refusal that a first message meets."""
    scene = Scene(DECIDER, {**SHOP, **(facts or {})})
    outcome = scene.when(message)
    assert isinstance(outcome, Refused), outcome
    assert ("order", "o-1") not in scene.states
    return outcome


def test_placed_in_the_store_that_serves_the_point() -> None:
    """Who names no store is served by the one whose area holds the point."""
    assert order(shop(basket(store=None, delivery=DOOR))).store == "s-1"


def test_placed_with_the_lines_summed() -> None:
    """An SPU that stands twice is one line, in the place of its first mention."""
    placed = order(shop(basket(spus=("milk", "bread", "milk"), quantities=(1, 1, 1))))
    assert (placed.spus, placed.quantities, placed.total) == (("milk", "bread"), (2, 1), TOTAL)


@pytest.mark.parametrize("expected", [None, TOTAL])
def test_placed_at_the_expected_total(expected: int | None) -> None:
    """A total that is right, or none, is no reason to refuse."""
    assert order(shop(basket(expected_total=expected))).total == TOTAL


def test_refused_outside_every_area() -> None:
    """No store serves the point."""
    assert refusal(basket(store=None, delivery=NOWHERE)).code == "outside_area"


def test_refused_outside_the_area_of_the_store_asked_for() -> None:
    """A store that was named does not deliver beyond its area; it is named in the answer."""
    answer = refusal(basket(delivery=NOWHERE))
    assert answer == Refused("outside_area", "the delivery point is outside the area of store s-1")


def test_refused_in_an_unknown_store() -> None:
    """There is no such store."""
    assert refusal(basket(store="s-9")) == Refused("store_unknown", "there is no store s-9")


@pytest.mark.parametrize("where", [{"store": "s-1"}, {"store": None, "delivery": DOOR}])
def test_refused_while_the_store_takes_no_orders(where: dict[str, Any]) -> None:
    """A store that is closed for new orders takes none, however it was found."""
    assert refusal(basket(**where), {("store", "s-1"): StoreFact(False)}).code == "store_not_accepting"


def test_refused_with_an_unknown_product() -> None:
    """Every unknown SPU is named, up to ten."""
    assert refusal(basket(spus=("milk", "caviar"))) == Refused("product_unknown", "not in the catalogue: caviar")
    many = refusal(basket(spus=tuple(f"x-{n}" for n in range(12)), quantities=(1,) * 12))
    assert many.detail.count("x-") == 10


def test_refused_when_the_lines_sum_to_too_much() -> None:
    """No way around the bound by writing a line twice."""
    answer = refusal(basket(spus=("milk", "milk"), quantities=(QUANTITY_MAX, 1)))
    assert answer == Refused("quantity_too_large", f"more than {QUANTITY_MAX} pieces of milk")
    assert order(shop(basket(spus=("milk",), quantities=(QUANTITY_MAX,)))).quantities == (QUANTITY_MAX,)


@pytest.mark.parametrize(
    "slot",
    [
        Slot(start=NOON, end=NOON + timedelta(hours=1)),
        Slot(start=NOON - timedelta(hours=1), end=NOON + timedelta(hours=1)),
        Slot(start=NOON + timedelta(hours=2), end=NOON + timedelta(hours=2)),
        Slot(start=NOON + timedelta(hours=2), end=NOON + timedelta(hours=1)),
    ],
)
def test_refused_for_a_slot_that_is_over_or_none(slot: Slot) -> None:
    """A slot begins in the future, and ends after it begins."""
    assert refusal(basket(slot=slot)).code == "slot_over"


def test_refused_at_another_total() -> None:
    """The customer saw another total: no order comes of it, and the right total is told."""
    assert refusal(basket(expected_total=1)) == Refused("total_changed", f"the total is {TOTAL}, not 1")


@pytest.mark.parametrize("message", [CLICK, CLICK.model_copy(update={"expected_total": 0}), CANCEL])
def test_refused_when_nobody_knows_the_order(message: Any) -> None:
    """A person who asks about an order that is not there is told so."""
    assert refusal(message) == Refused("order_unknown")


@pytest.mark.parametrize("message", [CHECKED, TAKEN])
def test_parked_when_a_service_speaks_of_an_unknown_order(message: Any) -> None:
    """That cannot be: the message is kept for somebody to look at."""
    with pytest.raises(NoCell):
        shop().when(message)


SECOND_BASKETS = [
    BASKET,
    IN_SLOT,
    basket(store="s-9"),
    basket(delivery=NOWHERE),
    basket(spus=("caviar", "milk")),
    basket(spus=("milk", "milk"), quantities=(QUANTITY_MAX, 1)),
    basket(slot=Slot(start=NOON, end=NOON)),
    basket(expected_total=1),
]


@pytest.mark.parametrize("phase", WAY_TO)
def test_refused_when_the_order_exists(phase: Phase) -> None:
    """Whatever a second basket of the same id holds, and wherever the first one is, it is the first that counts."""
    scene = at(phase)
    before = order(scene)
    for second in SECOND_BASKETS:
        outcome = scene.when(second)
        assert isinstance(outcome, Refused), second
        assert outcome.code == "order_exists"
    scene.states["store", "s-1"] = StoreFact(False)
    assert isinstance(scene.when(BASKET), Refused)
    assert order(scene) is before
