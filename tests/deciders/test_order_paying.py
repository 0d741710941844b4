"""Paying: given an order that waits for its money, when money, no money or the end of the window comes, then this."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order.forward import PAYMENT_WINDOW
from services.order.state import Basket, Paper, Phase, Product
from shared.contracts import inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, NoCell, Refused
from tests.deciders.orders import (
    BASKET,
    CHECKED,
    CLICK,
    DECLINED,
    EXPIRED,
    GIVEN_UP,
    GONE,
    IN_SLOT,
    NO_PLACE,
    REFUSED,
    RELEASED,
    RESTRICTED,
    SHORT,
    SOLD_OUT,
    TAKEN,
    TOTAL,
    VERIFIED,
    WAY_TO,
    acted,
    activities,
    at,
    heard,
    messages,
    only,
    order,
    refunded,
    shop,
)
from tests.deciders.scene import NOON

WINDOW = timedelta(seconds=600)
RELEASE = inventory.ReleaseStock(order_id="o-1", store="s-1")
FREE = logistics.FreeSlot(order_id="o-1", store="s-1")


def cancelled(reason: str) -> ordering.OrderCancelled:
    """The order is over."""
    return ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=reason)


# -- before it is payable ----------------------------------------------------------------------------------------------


def test_rejected_when_the_slot_is_full() -> None:
    """Nothing was taken, so nothing is given back; the reason is the slot's."""
    scene = at(Phase.RESERVING_SLOT)
    assert heard(scene.says(NO_PLACE)) == [
        ordering.OrderRejected(order_id="o-1", store="s-1", account="a-1", reason="slot_full"),
        acted("ended"),
    ]
    assert (order(scene).phase, order(scene).reason) == (Phase.REJECTED, "slot_full")


@pytest.mark.parametrize("phase", [Phase.SCREENING, Phase.IN_REVIEW])
@pytest.mark.parametrize("in_slot", [False, True])
def test_rejected_when_risk_refuses(phase: Phase, in_slot: bool) -> None:
    """Risk says no, at once or after a review; a place in a slot is given back."""
    scene = at(phase, in_slot=in_slot)
    assert heard(scene.says(REFUSED)) == [
        *([FREE] if in_slot else []),
        ordering.OrderRejected(order_id="o-1", store="s-1", account="a-1", reason="refused_by_risk"),
        acted("ended"),
    ]


@pytest.mark.parametrize("in_slot", [False, True])
def test_rejected_with_the_short_lines_named(in_slot: bool) -> None:
    """All lines or none: what is missing is told, and stands on the page."""
    scene = at(Phase.HOLDING, in_slot=in_slot)
    said = scene.says(SHORT)
    assert only(ordering.OrderRejected, said) == ordering.OrderRejected(
        order_id="o-1", store="s-1", account="a-1", reason="out_of_stock", spus=("milk",), missing=(1,)
    )
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 1}]}
    assert only(risk.Activity, said).deed == "ended"
    assert (FREE in said) is in_slot
    assert order(scene).phase is Phase.REJECTED


# -- the window --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_slot", [False, True])
def test_released_and_cancelled_when_nobody_paid(in_slot: bool) -> None:
    """The window is over: stock and slot are given back, then the order ends with its reason."""
    scene = at(Phase.AWAITING_PAYMENT, in_slot=in_slot)
    assert messages(scene.says(EXPIRED)) == [RELEASE, *([FREE] if in_slot else [])]
    assert order(scene).phase is Phase.RELEASING
    assert messages(scene.says(RELEASED)) == [cancelled("payment_expired")]


@pytest.mark.parametrize("phase", [Phase.VERIFYING, Phase.PAYING, Phase.PAYING_CANCEL_WANTED])
def test_expiry_ignored_while_the_answer_is_awaited(phase: Phase) -> None:
    """The click came in time: the end of the window waits for what comes of it."""
    scene = at(phase)
    assert scene.when(EXPIRED) == IGNORED
    assert order(scene).phase is phase


BEFORE_THE_WINDOW = (Phase.RESERVING_SLOT, Phase.SCREENING, Phase.IN_REVIEW, Phase.HOLDING)


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in (*BEFORE_THE_WINDOW, Phase.AWAITING_PAYMENT)])
def test_expiry_ignored_when_it_comes_too_late(phase: Phase) -> None:
    """A timer may be parked behind the payment or the wish to cancel, and is replayed after it: it must not park
    again there, or nothing else could be said about the order any more."""
    scene = at(phase)
    before = order(scene)
    assert scene.when(EXPIRED) == IGNORED
    assert order(scene) is before


@pytest.mark.parametrize("phase", BEFORE_THE_WINDOW)
def test_parked_when_a_window_ends_that_was_never_opened(phase: Phase) -> None:
    """That cannot be."""
    with pytest.raises(NoCell):
        at(phase).when(EXPIRED)


@pytest.mark.parametrize("late", [DECLINED, GIVEN_UP])
def test_window_armed_again_when_no_money_came(late: Any) -> None:
    """The customer may try again until the same moment as before. If it has passed, the timer fires at once."""
    scene = at(Phase.PAYING)
    scene.later(700)
    assert scene.when(EXPIRED) == IGNORED
    said = scene.says(late)
    assert only(SetTimer, said) == SetTimer("o-1", PAYMENT_WINDOW, NOON + WINDOW)
    assert only(ordering.OrderPayable, said).payable_until == NOON + WINDOW
    assert order(scene).phase is Phase.AWAITING_PAYMENT
    assert RELEASE in scene.says(EXPIRED)


def test_risk_hears_of_every_declined_card() -> None:
    """Each try, and only of cards: a gateway that gave up says nothing of the customer."""
    scene = at(Phase.PAYING)
    assert activities(scene.says(GIVEN_UP)) == []
    for _ in range(2):
        scene.says(CLICK)
        scene.says(VERIFIED)
        at_ = scene.later(1)
        assert activities(scene.says(DECLINED)) == [acted("declined").model_copy(update={"at": at_})]


def test_paid_with_another_attempt_after_a_declined_card() -> None:
    """Every click has a number of its own, so that the gateway cannot take one for the other."""
    scene = at(Phase.PAYING)
    for attempt in (2, 3):
        scene.says(DECLINED)
        scene.says(CLICK.model_copy(update={"method": f"card-{attempt}"}))
        charge = only(payment.TakePayment, scene.says(VERIFIED))
        assert (charge.attempt, charge.method) == (attempt, f"card-{attempt}")
    scene.says(TAKEN.model_copy(update={"attempt": 3}))
    assert order(scene).phase is Phase.DEDUCTING


# -- the total ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [TOTAL - 1, TOTAL + 1, 0])
def test_refused_at_a_total_that_was_never_offered(total: int) -> None:
    """Nothing happens before the customer has seen the right total."""
    scene = at(Phase.AWAITING_PAYMENT)
    outcome = scene.when(CLICK.model_copy(update={"expected_total": total}))
    assert outcome == Refused("total_changed", f"the total is {TOTAL}, not {total}")
    assert order(scene).phase is Phase.AWAITING_PAYMENT


def test_offered_again_when_the_total_changed() -> None:
    """Prices moved since: no money is asked for, and the new total waits for a new click in the same window."""
    scene = at(Phase.VERIFYING)
    scene.states["product", "milk"] = Product(130)
    scene.later(60)
    said = scene.says(VERIFIED)
    assert messages(said) == [
        ordering.OrderPayable(order_id="o-1", store="s-1", account="a-1", total=TOTAL + 2, payable_until=NOON + WINDOW)
    ]
    assert only(SetTimer, said).due_at == NOON + WINDOW
    assert only(Basket, said).prices == (130, 349)
    assert (order(scene).phase, order(scene).total) == (Phase.AWAITING_PAYMENT, TOTAL + 2)


def test_paid_when_the_new_total_is_confirmed() -> None:
    """The old total is refused, the new one is charged."""
    scene = at(Phase.VERIFYING)
    scene.states["product", "milk"] = Product(130)
    scene.says(VERIFIED)
    assert isinstance(scene.when(CLICK), Refused)
    scene.says(CLICK.model_copy(update={"expected_total": TOTAL + 2}))
    assert only(payment.TakePayment, scene.says(VERIFIED)).amount == TOTAL + 2


def test_charged_when_prices_moved_and_the_total_did_not() -> None:
    """The customer confirmed a total, and it is that total."""
    scene = at(Phase.VERIFYING)
    scene.states |= {("product", "milk"): Product(128), ("product", "bread"): Product(351)}
    assert only(payment.TakePayment, scene.says(VERIFIED)).amount == TOTAL


# -- refusals ----------------------------------------------------------------------------------------------------------

CLICKS = (CLICK, CLICK.model_copy(update={"expected_total": 1}))
UNDER_WAY = (Phase.VERIFYING, Phase.PAYING, Phase.PAYING_CANCEL_WANTED)


@pytest.mark.parametrize("click", CLICKS)
@pytest.mark.parametrize("phase", UNDER_WAY)
def test_refused_while_a_payment_is_under_way(phase: Phase, click: Any) -> None:
    """A second click moves no second money, with whatever total."""
    assert at(phase).when(click) == Refused("payment_under_way")


@pytest.mark.parametrize("click", CLICKS)
@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in (*UNDER_WAY, Phase.AWAITING_PAYMENT)])
def test_refused_when_there_is_nothing_to_pay(phase: Phase, click: Any) -> None:
    """Not payable yet, paid, or over: also after expiry."""
    assert at(phase).when(click) == Refused("order_not_payable")


# -- gone and sold out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_slot", [False, True])
def test_cancelled_without_money_when_the_stock_is_gone_at_the_click(in_slot: bool) -> None:
    """Somebody else was faster: no money was asked for, everything is given back, the short lines are named."""
    scene = at(Phase.VERIFYING, in_slot=in_slot)
    said = scene.says(GONE)
    assert messages(said) == [RELEASE, *([FREE] if in_slot else [])]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 1}]}
    assert messages(scene.says(RELEASED)) == [cancelled("sold_out")]


@pytest.mark.parametrize("in_slot", [False, True])
def test_refunded_in_full_when_sold_out(in_slot: bool) -> None:
    """Paid, and nothing left to deduct: all money goes back on the store's account, then the order ends."""
    scene = at(Phase.DEDUCTING, in_slot=in_slot)
    said = scene.says(SOLD_OUT)
    refund = payment.RefundPayment(
        order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", reason="sold_out", liable="store"
    )
    assert messages(said) == [*([FREE] if in_slot else []), refund]
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 2}]}
    assert order(scene).phase is Phase.REFUNDING
    assert messages(scene.says(refunded(1, "sold_out"))) == [cancelled("sold_out")]
    assert (order(scene).paid, order(scene).refunded) == (TOTAL, TOTAL)


def test_one_of_two_buyers_gets_the_last_piece() -> None:
    """Two orders checked the same piece; inventory tells the second that it is gone. Each ends as it should."""
    first = shop(BASKET, RESTRICTED, CHECKED, CLICK, VERIFIED, TAKEN)
    second = shop(BASKET, RESTRICTED, CHECKED, CLICK, VERIFIED, TAKEN)
    first.says(next(m for m in WAY_TO[Phase.AWAITING_PICKING] if type(m).__name__ == "StockDeducted"))
    second.says(SOLD_OUT)
    assert (order(first).phase, order(second).phase) == (Phase.AWAITING_PICKING, Phase.REFUNDING)


def test_verified_again_on_every_click() -> None:
    """The stock is looked at before each attempt, not only before the first."""
    scene = at(Phase.PAYING)
    scene.says(DECLINED)
    assert messages(scene.says(CLICK)) == [inventory.VerifyStock(order_id="o-1", store="s-1")]


def test_slot_is_kept_while_the_customer_pays() -> None:
    """Nobody loses the place by a declined card."""
    scene = shop(IN_SLOT)
    assert FREE not in at(Phase.PAYING, in_slot=True).says(DECLINED)
    assert order(scene).slot == IN_SLOT.slot
