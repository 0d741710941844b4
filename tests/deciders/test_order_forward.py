"""An order's way forward: given a basket, when everybody says yes, then it is delivered and closed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order.forward import PAYMENT_WINDOW
from services.order.state import Basket, Paper, Phase, TimelineEntry
from shared.contracts import inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.decider import Windows
from shared.runtime.said import CancelTimer, SetTimer
from tests.deciders.orders import (
    BASKET,
    CHECKED,
    CLEARED,
    CLICK,
    DEDUCTED,
    DELIVERED,
    DOOR,
    HELD,
    IN_SLOT,
    ON_THE_ROAD,
    PACKED,
    PICKING,
    REFERRED,
    RESERVED,
    RESTRICTED,
    SHUT,
    SLOT,
    TAKEN,
    TOTAL,
    VERIFIED,
    WAY_TO,
    WINDOW,
    acted,
    at,
    heard,
    kept,
    messages,
    only,
    order,
    shop,
)
from tests.deciders.scene import NOON

SCREEN = risk.ScreenOrder(order_id="o-1", account="a-1", total=TOTAL)


def test_priced_and_screened_when_placed() -> None:
    """The catalogue prices the basket, its lines are kept, and risk is asked first."""
    scene = shop()
    said = scene.says(BASKET, "customer:a-1")
    assert messages(said) == [SCREEN]
    assert kept(said) == [
        Basket("o-1", ("milk", "bread"), (2, 1), (129, 349), None, None, None),
        TimelineEntry("o-1", NOON, "screening", "PlaceOrder", "customer:a-1"),
    ]
    placed = order(scene)
    assert (placed.phase, placed.total, placed.placed_at, placed.phase_since) == (Phase.SCREENING, TOTAL, NOON, NOON)
    assert (placed.account, placed.store) == ("a-1", "s-1")


def test_place_asked_for_first_when_placed_for_a_slot() -> None:
    """A slot order gets its place before anything else, and is screened when it has it."""
    scene = shop()
    assert messages(scene.says(IN_SLOT)) == [logistics.ReserveSlot(order_id="o-1", store="s-1", slot=SLOT)]
    assert order(scene).phase is Phase.RESERVING_SLOT
    assert messages(scene.says(RESERVED)) == [SCREEN]
    assert order(scene).phase is Phase.SCREENING


@pytest.mark.parametrize("basket", [BASKET, IN_SLOT])
def test_screened_with_all_that_risk_looks_at(basket: Any) -> None:
    """Risk sees device and address, whether or not the order went by way of a slot."""
    basket = basket.model_copy(update={"delivery": DOOR, "device": "d-1"})
    before = (RESERVED,) if basket.slot else ()
    scene = shop()
    said = [m for message in (basket, *before) for m in scene.says(message)]
    assert only(risk.ScreenOrder, said) == SCREEN.model_copy(update={"device": "d-1", "address": "Lane 7"})


def test_locked_when_cleared() -> None:
    """Nothing speaks against it: the stock is locked at once."""
    said = at(Phase.SCREENING).says(CLEARED)
    assert messages(said) == [
        inventory.HoldStock(order_id="o-1", store="s-1", mode="lock", spus=("milk", "bread"), quantities=(2, 1))
    ]


def test_only_checked_when_restricted() -> None:
    """First paid is first served: the stock is looked at, and not locked."""
    said = at(Phase.SCREENING).says(RESTRICTED)
    assert only(inventory.HoldStock, said).mode == "on_payment"


@pytest.mark.parametrize(("verdict", "mode"), [(CLEARED, "lock"), (RESTRICTED, "on_payment")])
def test_held_when_the_review_is_over(verdict: Any, mode: str) -> None:
    """A referred order waits for a person, and goes on by his verdict."""
    scene = shop(BASKET)
    assert messages(scene.says(REFERRED)) == []
    assert order(scene).phase is Phase.IN_REVIEW
    assert only(inventory.HoldStock, scene.says(verdict)).mode == mode
    assert order(scene).hold_mode == mode


def test_payable_for_so_long_when_held() -> None:
    """The customer has the payment window, counted from when the stock was held."""
    scene = at(Phase.HOLDING)
    scene.windows = Windows(payment_window_s=90)
    until = scene.later(5) + timedelta(seconds=90)
    said = scene.says(HELD)
    assert messages(said) == [
        ordering.OrderPayable(order_id="o-1", store="s-1", account="a-1", total=TOTAL, payable_until=until)
    ]
    assert only(SetTimer, said) == SetTimer("o-1", PAYMENT_WINDOW, until)
    assert order(scene).payable_until == until


def test_verified_before_money_moves_when_clicked() -> None:
    """The click asks for the stock once more, and for no money yet."""
    scene = at(Phase.AWAITING_PAYMENT)
    assert messages(scene.says(CLICK)) == [inventory.VerifyStock(order_id="o-1", store="s-1")]
    assert order(scene).phase is Phase.VERIFYING


def test_charged_when_stock_and_total_hold() -> None:
    """Now the money: the first attempt, with the total and the method of the click."""
    scene = at(Phase.VERIFYING)
    assert messages(scene.says(VERIFIED)) == [
        payment.TakePayment(order_id="o-1", attempt=1, amount=TOTAL, currency="EUR", method="tok_ok")
    ]


def test_deducted_when_the_money_is_in() -> None:
    """The money is written down, nobody waits for it any more, and the goods leave the stock."""
    scene = at(Phase.PAYING)
    said = scene.says(TAKEN)
    assert messages(said) == [inventory.DeductStock(order_id="o-1", store="s-1")]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert only(Paper, said).body == {"amount": TOTAL, "reference": "cap-1"}
    assert (order(scene).paid, order(scene).refunded) == (TOTAL, 0)


@pytest.mark.parametrize("slot", [None, SLOT])
def test_given_to_the_store_when_deducted(slot: Any) -> None:
    """The store gets the lines, the slot and the door; the sales issue stands on the order's page."""
    basket = BASKET.model_copy(update={"delivery": DOOR, "slot": slot})
    way = (basket, RESERVED) if slot else (basket,)
    said = shop(*way, CLEARED, HELD, CLICK, VERIFIED, TAKEN).says(DEDUCTED)
    assert messages(said) == [
        logistics.FulfilOrder(
            order_id="o-1", store="s-1", spus=("milk", "bread"), quantities=(2, 1), slot=slot, delivery=DOOR
        ),
        ordering.OrderPaid(order_id="o-1", store="s-1", account="a-1", total=TOTAL),
    ]
    assert only(Paper, said).body == {
        "number": "SI-o-1",
        "kind": "sales_issue",
        "lines": [{"spu": "milk", "quantity": 2}, {"spu": "bread", "quantity": 1}],
    }


@pytest.mark.parametrize(
    ("news", "phase"),
    [(PICKING, Phase.PICKING), (PACKED, Phase.AWAITING_SHIPMENT), (ON_THE_ROAD, Phase.IN_DELIVERY)],
)
def test_followed_while_the_store_works(news: Any, phase: Phase) -> None:
    """Picking, packing and handing over move the order, and nobody else needs to hear of it from here."""
    scene = shop(*WAY_TO[phase][:-1])
    assert messages(scene.says(news)) == []
    assert order(scene).phase is phase


def test_window_opened_when_delivered() -> None:
    """The courier's click is enough: aftersales keeps the window from here on, and it counts for the account."""
    assert heard(at(Phase.IN_DELIVERY).says(DELIVERED)) == [
        WINDOW,
        ordering.OrderDelivered(order_id="o-1", store="s-1", account="a-1"),
        acted("delivered"),
    ]


def test_closed_when_the_window_is_shut() -> None:
    """The end of a good order."""
    scene = at(Phase.DELIVERED)
    assert messages(scene.says(SHUT)) == [ordering.OrderClosed(order_id="o-1", store="s-1", account="a-1")]
    assert order(scene).phase is Phase.CLOSED


@pytest.mark.parametrize(("verdict", "held"), [(CLEARED, HELD), (RESTRICTED, CHECKED)])
@pytest.mark.parametrize("basket", [BASKET, IN_SLOT])
def test_whole_life_stands_in_the_timeline(basket: Any, verdict: Any, held: Any) -> None:
    """Both hold modes, now and in a slot: every step leaves an entry with the phase entered and the message."""
    reserved = (RESERVED,) if basket.slot else ()
    life = (basket, *reserved, verdict, held, CLICK, VERIFIED, TAKEN, DEDUCTED)
    life += (PICKING, PACKED, ON_THE_ROAD, DELIVERED, SHUT)
    scene = shop()
    entries = []
    for message in life:
        scene.later(1)
        entries.append(only(TimelineEntry, scene.says(message)))
    assert [e.message for e in entries] == [type(m).__name__ for m in life]
    assert entries[-1].phase == "closed"
    assert [e.at for e in entries] == [NOON + timedelta(seconds=n) for n in range(1, len(life) + 1)]
    assert order(scene).phase_since == entries[-1].at
