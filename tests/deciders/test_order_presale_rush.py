"""Goods that are still to come, rushes, and stores that pause."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.order.promotions import Kind, Rush
from services.order.state import Phase, Product, StoreFact
from shared.contracts import inventory, logistics
from shared.contracts.base import Slot
from shared.runtime.table import Moved, Refused
from tests.deciders.orders import (
    BASKET,
    CHECKED,
    CLEARED,
    CLICK,
    DEDUCTED,
    PICKING,
    REFERRED,
    RESERVED,
    RESTRICTED,
    TAKEN,
    VERIFIED,
    Shop,
    only,
    order,
    shop,
)
from tests.deciders.prices import promotion
from tests.deciders.scene import NOON
from tests.deciders.street import Street

DAY = NOON + timedelta(days=2)
HOUR = timedelta(hours=1)
BREAD_TO_COME = Product(349, "bakery", DAY)


def preorder(start: datetime | None, *, bread: Product = BREAD_TO_COME, oat: Product | None = None) -> object:
    """What becomes of a basket with bread that is still to come, in a slot that begins then."""
    scene = presale_shop(bread)
    if oat:
        scene.states["product", "oat"] = oat
    spus = ("milk", "bread", "oat")
    slot = Slot(start=start, end=start + HOUR) if start else None
    return scene.when(BASKET.model_copy(update={"spus": spus, "quantities": (1, 1, 1), "slot": slot}))


def presale_shop(bread: Product = BREAD_TO_COME) -> Shop:
    """A shop in which bread is still to come."""
    scene = shop()
    scene.states["product", "bread"] = bread
    return scene


@pytest.mark.parametrize(
    ("start", "fits"),
    [(None, False), (DAY - timedelta(seconds=1), False), (NOON + HOUR, False), (DAY, True), (DAY + HOUR, True)],
)
def test_goods_to_come_need_a_slot_on_or_after_their_day(start: datetime | None, fits: bool) -> None:
    """The rest of the basket waits with them; the customer is told from when on."""
    outcome = preorder(start)
    if fits:
        assert isinstance(outcome, Moved)
    else:
        assert isinstance(outcome, Refused)
        assert outcome.code == "presale_needs_slot"
        assert "bread can be had from 2026-11-24T12:00:00Z" in outcome.detail


def test_latest_of_several_days_counts() -> None:
    """The order is never split."""
    outcome = preorder(DAY, oat=Product(140, "dairy", DAY + HOUR))
    assert isinstance(outcome, Refused)
    assert "oat can be had" in outcome.detail
    assert isinstance(preorder(DAY + HOUR, oat=Product(140, "dairy", DAY + HOUR)), Moved)


def test_what_came_today_needs_no_slot() -> None:
    """From its instant on it is goods like any."""
    assert isinstance(preorder(None, bread=Product(349, "bakery", NOON)), Moved)


@pytest.mark.parametrize("verdict", [CLEARED, RESTRICTED])
def test_goods_to_come_are_first_paid_first_served(verdict: object) -> None:
    """Nothing is locked of what is not there; inventory is told which lines may come from what is to come."""
    scene = presale_shop()
    scene.when(BASKET.model_copy(update={"slot": Slot(start=DAY, end=DAY + HOUR)}))
    scene.when(RESERVED)
    hold = only(inventory.HoldStock, scene.says(verdict))
    assert (hold.mode, hold.presale, hold.on_sale) == ("on_payment", ("bread",), None)


def test_goods_that_came_before_the_payment_are_still_of_a_presale() -> None:
    """What the hold said is what it is; the store begins when the slot does."""
    scene = presale_shop()
    slot = Slot(start=DAY, end=DAY + HOUR)
    for message in (BASKET.model_copy(update={"slot": slot}), RESERVED, CLEARED, CHECKED):
        scene.when(message)
    scene.states["product", "bread"] = Product(349)
    for paying in (CLICK, VERIFIED, TAKEN):
        scene.when(paying)
    fulfil = only(logistics.FulfilOrder, scene.says(DEDUCTED))
    assert (fulfil.slot, order(scene).presale) == (slot, ("bread",))


def test_presale_cancelled_gives_its_slot_back() -> None:
    """Like any order in a slot."""
    street = Street()
    street.scene.states["product", "bread"] = BREAD_TO_COME
    slot = Slot(start=DAY, end=DAY + HOUR)
    street.hears(BASKET.model_copy(update={"slot": slot}))
    street.hears(RESERVED)
    street.rests()
    street.cancels("o-1")
    street.rests()
    assert street.order("o-1").phase is Phase.CANCELLED
    assert only(logistics.FreeSlot, street.heard)


def test_presale_at_a_flash_price_is_both() -> None:
    """Each line says where its pieces may come from."""
    street = Street([promotion(Kind.FLASH, "tenth", value=300, spus=frozenset({"bread"}))])
    street.scene.states["product", "bread"] = BREAD_TO_COME
    street.hears(BASKET.model_copy(update={"slot": Slot(start=DAY, end=DAY + HOUR)}))
    street.hears(RESERVED)
    street.rests()
    hold = only(inventory.HoldStock, street.heard)
    assert hold.on_sale is not None
    assert (hold.on_sale.spus, hold.presale) == (("bread",), ("bread",))


# -- rush --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rush", "mode"),
    [
        (Rush("r", "", frozenset(), NOON, NOON + HOUR), "on_payment"),
        (Rush("r", "s-1", frozenset({"milk", "champagne"}), NOON, NOON + HOUR), "on_payment"),
        (Rush("r", "s-2", frozenset(), NOON, NOON + HOUR), "lock"),
        (Rush("r", "s-1", frozenset({"champagne"}), NOON, NOON + HOUR), "lock"),
        (Rush("r", "", frozenset(), NOON - HOUR, NOON), "lock"),
        (Rush("r", "", frozenset(), NOON + HOUR, NOON + 2 * HOUR), "lock"),
    ],
)
@pytest.mark.parametrize("before", [(), (REFERRED,)], ids=["at once", "after a review"])
def test_orders_of_a_rush_are_first_paid_first_served(rush: Rush, mode: str, before: tuple[object, ...]) -> None:
    """From its first instant until its last, in its stores, with its goods; a person's word makes no difference."""
    scene = shop(BASKET, *before)
    scene.states["rushes",] = (rush,)
    assert only(inventory.HoldStock, scene.says(CLEARED)).mode == mode


def test_rush_that_begins_after_the_hold_changes_nothing() -> None:
    """What is locked is theirs: a mode is frozen when the hold is made."""
    scene = shop(BASKET, CLEARED)
    scene.states["rushes",] = (Rush("r", "", frozenset(), NOON, NOON + HOUR),)
    assert order(scene).hold_mode == "lock"
    for message in (CHECKED, CLICK, VERIFIED, TAKEN, DEDUCTED, PICKING):
        assert isinstance(scene.when(message), Moved)
    assert (order(scene).phase, order(scene).hold_mode) == (Phase.PICKING, "lock")


# -- pauses ------------------------------------------------------------------------------------------------------------


def test_paused_store_says_until_when() -> None:
    """And takes orders again by itself."""
    scene = shop()
    scene.states["store", "s-1"] = StoreFact(True, NOON + HOUR)
    outcome = scene.when(BASKET)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.detail) == (
        "store_not_accepting",
        "store s-1 takes no new orders until 2026-11-22T13:00:00Z",
    )
    scene.later(3600)
    assert isinstance(scene.when(BASKET), Moved)


def test_closed_store_that_is_paused_too_is_closed() -> None:
    """No word of an end that would not be one."""
    scene = shop()
    scene.states["store", "s-1"] = StoreFact(False, NOON + HOUR)
    outcome = scene.when(BASKET)
    assert isinstance(outcome, Refused)
    assert "until" not in outcome.detail
