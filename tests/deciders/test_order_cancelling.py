"""Cancelling before the store works on it: when the customer wants out, then everything taken is given back."""

from __future__ import annotations

from typing import Any

import pytest

from services.order.forward import PAYMENT_WINDOW
from services.order.state import Paper, Phase
from shared.contracts import inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORED, NoCell, Refused
from tests.deciders.orders import (
    CANCEL,
    CLEARED,
    DECLINED,
    DEDUCTED,
    GIVEN_UP,
    GONE,
    HELD,
    NO_PLACE,
    REFERRED,
    REFUSED,
    RELEASED,
    RESERVED,
    RESTRICTED,
    REVERSED,
    SHORT,
    SOLD_OUT,
    TAKEN,
    TOTAL,
    VERIFIED,
    WAY_TO,
    acted,
    at,
    heard,
    messages,
    only,
    order,
    refunded,
)

WISH = "cancelled_by_customer"
TOLD = ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=WISH)
CANCELLED = [TOLD, acted("cancelled")]
CANCELLED_PAID = [TOLD, acted("cancelled_after_payment")]
RELEASE = inventory.ReleaseStock(order_id="o-1", store="s-1")
FREE = logistics.FreeSlot(order_id="o-1", store="s-1")
REFUND = payment.RefundPayment(
    order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", reason=WISH, liable="customer"
)

AT_ONCE = (Phase.RESERVING_SLOT, Phase.SCREENING, Phase.IN_REVIEW)
BY_RELEASE = (Phase.HOLDING, Phase.AWAITING_PAYMENT, Phase.VERIFYING)
KEPT = {Phase.PAYING: Phase.PAYING_CANCEL_WANTED, Phase.DEDUCTING: Phase.DEDUCTING_CANCEL_WANTED}
ASKED_ALREADY = (
    Phase.PAYING_CANCEL_WANTED,
    Phase.DEDUCTING_CANCEL_WANTED,
    Phase.STOPPING,
    Phase.RELEASING,
    Phase.REVERSING,
    Phase.REFUNDING,
)
BY_STOPPING = (Phase.AWAITING_PICKING, Phase.PICKING, Phase.SHORT, Phase.AWAITING_SHIPMENT)
BY_TICKET = (Phase.IN_DELIVERY, Phase.DELIVERED)
TOO_LATE = (
    Phase.SUBSTITUTING,
    Phase.INTERCEPTING,
    Phase.RETURNING,
    Phase.CLOSED,
    Phase.CANCELLED,
    Phase.REJECTED,
)


def test_every_phase_has_its_answer() -> None:
    """What is said below of the customer's wish is said of every phase; of stopping, in test_order_back_stopping."""
    assert {*AT_ONCE, *BY_RELEASE, *KEPT, *ASKED_ALREADY, *BY_STOPPING, *BY_TICKET, *TOO_LATE} == set(WAY_TO)


@pytest.mark.parametrize("in_slot", [False, True])
@pytest.mark.parametrize("phase", AT_ONCE)
def test_cancelled_at_once_before_stock_is_held(phase: Phase, in_slot: bool) -> None:
    """There is at most a place in a slot to give back, and a screening that nobody needs any more."""
    in_slot = in_slot or phase is Phase.RESERVING_SLOT
    scene = at(phase, in_slot=in_slot)
    withdrawn = [risk.WithdrawScreening(order_id="o-1", account="a-1")] if phase is not Phase.RESERVING_SLOT else []
    assert heard(scene.says(CANCEL)) == [*withdrawn, *([FREE] if in_slot else []), *CANCELLED]
    assert (order(scene).phase, order(scene).reason) == (Phase.CANCELLED, WISH)


@pytest.mark.parametrize("in_slot", [False, True])
@pytest.mark.parametrize("phase", BY_RELEASE)
def test_released_then_cancelled_before_payment(phase: Phase, in_slot: bool) -> None:
    """Stock and slot go back; the order has ended when the stock says so."""
    scene = at(phase, in_slot=in_slot)
    said = scene.says(CANCEL)
    assert messages(said) == [RELEASE, *([FREE] if in_slot else [])]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert heard(scene.says(RELEASED)) == CANCELLED
    assert order(scene).phase is Phase.CANCELLED


@pytest.mark.parametrize("phase", KEPT)
def test_wish_kept_while_money_or_goods_are_on_their_way(phase: Phase) -> None:
    """Nothing is said yet: the answer settles the wish."""
    scene = at(phase)
    assert messages(scene.says(CANCEL)) == []
    assert (order(scene).phase, order(scene).reason) == (KEPT[phase], WISH)


@pytest.mark.parametrize("phase", ASKED_ALREADY)
def test_refused_when_it_is_being_cancelled(phase: Phase) -> None:
    """One wish is enough, and the second changes no reason."""
    scene = at(phase)
    before = order(scene)
    assert scene.when(CANCEL) == Refused("cancel_under_way")
    assert order(scene) is before


@pytest.mark.parametrize("phase", TOO_LATE)
def test_refused_when_it_is_too_late(phase: Phase) -> None:
    """Goods are being exchanged or called back, or come back, or it is over."""
    outcome = at(phase).when(CANCEL)
    assert isinstance(outcome, Refused)
    assert (outcome.code, bool(outcome.detail)) == ("cancel_not_allowed", True)


@pytest.mark.parametrize("phase", BY_TICKET)
def test_refused_when_only_customer_service_can(phase: Phase) -> None:
    """The code says which way is left."""
    outcome = at(phase).when(CANCEL)
    assert isinstance(outcome, Refused)
    assert (outcome.code, bool(outcome.detail)) == ("cancel_needs_ticket", True)


# -- the wish and the answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_slot", [False, True])
@pytest.mark.parametrize("answer", [DECLINED, GIVEN_UP])
def test_released_when_no_money_came(answer: Any, in_slot: bool) -> None:
    """No money to give back: as before payment."""
    scene = at(Phase.PAYING_CANCEL_WANTED, in_slot=in_slot)
    said = scene.says(answer)
    assert messages(said) == [RELEASE, *([FREE] if in_slot else [])]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert heard(scene.says(RELEASED)) == CANCELLED


@pytest.mark.parametrize("in_slot", [False, True])
def test_refunded_and_released_when_the_money_came(in_slot: bool) -> None:
    """The money is booked and goes back in full; the stock was not deducted, so its hold is released."""
    scene = at(Phase.PAYING_CANCEL_WANTED, in_slot=in_slot)
    said = scene.says(TAKEN)
    assert messages(said) == [RELEASE, *([FREE] if in_slot else []), REFUND]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert only(Paper, said).kind == "payment"
    assert (order(scene).phase, order(scene).paid) == (Phase.REFUNDING, TOTAL)


@pytest.mark.parametrize("answers", [(RELEASED, refunded(1)), (refunded(1), RELEASED)])
def test_cancelled_when_the_money_is_back_whichever_came_first(answers: tuple[Any, ...]) -> None:
    """Refund and release come over two links, in any order; the order ends once, with the refund."""
    scene = at(Phase.REFUNDING)
    told = []
    for answer in answers:
        outcome = scene.when(answer)
        told += heard(getattr(outcome, "said", ()))
    assert told == CANCELLED_PAID
    assert (order(scene).phase, order(scene).refunded) == (Phase.CANCELLED, TOTAL)


@pytest.mark.parametrize("in_slot", [False, True])
def test_reversed_then_refunded_when_the_goods_were_deducted(in_slot: bool) -> None:
    """Both documents stand on the page, the store never starts, and the money goes back when the goods are."""
    scene = at(Phase.DEDUCTING_CANCEL_WANTED, in_slot=in_slot)
    said = scene.says(DEDUCTED)
    assert messages(said) == [inventory.ReverseIssue(order_id="o-1", store="s-1"), *([FREE] if in_slot else [])]
    assert not [m for m in said if isinstance(m, logistics.FulfilOrder)]
    assert only(Paper, said).body["kind"] == "sales_issue"
    said = scene.says(REVERSED)
    assert messages(said) == [REFUND]
    assert only(Paper, said).body["kind"] == "issue_reversal"
    assert heard(scene.says(refunded(1))) == CANCELLED_PAID


@pytest.mark.parametrize("in_slot", [False, True])
def test_refunded_when_sold_out_and_unwanted(in_slot: bool) -> None:
    """Nothing was deducted; the wish was first, and is the reason."""
    scene = at(Phase.DEDUCTING_CANCEL_WANTED, in_slot=in_slot)
    assert messages(scene.says(SOLD_OUT)) == [*([FREE] if in_slot else []), REFUND]
    assert heard(scene.says(refunded(1))) == CANCELLED_PAID


# -- what was on its way when the wish came ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "late"),
    [
        *((Phase.RESERVING_SLOT, m) for m in (RESERVED, NO_PLACE)),
        *((Phase.SCREENING, m) for m in (CLEARED, RESTRICTED, REFERRED, REFUSED)),
        *((Phase.IN_REVIEW, m) for m in (CLEARED, RESTRICTED, REFUSED)),
        *((Phase.HOLDING, m) for m in (HELD, SHORT)),
        *((Phase.VERIFYING, m) for m in (VERIFIED, GONE)),
    ],
)
def test_ignored_when_the_answer_comes_after_the_wish(phase: Phase, late: Any) -> None:
    """Everything it could have led to has been given back already."""
    scene = at(phase)
    scene.says(CANCEL)
    before = order(scene)
    assert scene.when(late) == IGNORED
    assert order(scene) is before


def test_ignored_when_the_verified_stock_would_cost_another_total() -> None:
    """Prices moved and the customer left: the late answer offers nothing."""
    scene = at(Phase.VERIFYING)
    scene.says(CANCEL)
    scene.states.pop(("product", "milk"))
    scene.states["product", "milk"] = type(scene.states["product", "bread"])(1)
    assert scene.when(VERIFIED) == IGNORED


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        *((phase, CLEARED) for phase in (Phase.HOLDING, Phase.RELEASING, Phase.CLOSED)),
        *((phase, RESERVED) for phase in (Phase.SCREENING, Phase.RELEASING, Phase.CLOSED, Phase.REJECTED)),
        *((phase, RELEASED) for phase in (Phase.AWAITING_PICKING, Phase.DELIVERED, Phase.CLOSED, Phase.REJECTED)),
        (Phase.REVERSING, RELEASED),
        *((phase, REVERSED) for phase in (Phase.RELEASING, Phase.STOPPING, Phase.REFUNDING, Phase.CANCELLED)),
        *(
            (phase, message)
            for phase in (Phase.REVERSING, Phase.REFUNDING, Phase.CANCELLED)
            for message in (HELD, SHORT, VERIFIED, GONE)
        ),
        *((phase, TAKEN) for phase in (Phase.AWAITING_PAYMENT, Phase.RELEASING, Phase.REFUNDING, Phase.CANCELLED)),
    ],
)
def test_parked_when_it_cannot_be_late(phase: Phase, message: Any) -> None:
    """Links keep their order, so this was never on its way: somebody has to look at it, and nothing is swallowed."""
    with pytest.raises(NoCell):
        at(phase).when(message)
