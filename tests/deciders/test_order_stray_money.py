"""Stray money: given an order anywhere on its way, when money comes that nobody waits for, then it goes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.order.decider import DECIDER
from services.order.state import ENDS, Paper, Phase
from shared.contracts import payment
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED
from tests.deciders.orders import (
    DEDUCTED,
    REVERSED,
    SOLD_OUT,
    STRAY,
    TAKEN,
    TOTAL,
    WAY_TO,
    at,
    messages,
    only,
    order,
    refunded,
)
from tests.deciders.scene import NOON, Scene


@pytest.mark.parametrize("phase", WAY_TO)
def test_given_back_in_every_phase(phase: Phase) -> None:
    """It is written down and refunded by its own reference; the order stays where it is, also after its end."""
    scene = at(phase)
    before = order(scene)
    said = scene.says(STRAY)
    (refund,) = messages(said)
    assert refund == payment.RefundPayment(
        order_id="o-1",
        refund=before.refunds + 1,
        amount=TOTAL,
        reference="cap-9",
        reason="unasked_money",
        liable="store",
    )
    assert only(Paper, said).body == {"amount": TOTAL, "reference": "cap-9"}
    after = order(scene)
    assert (after.phase, after.paid) == (phase, before.paid + TOTAL)
    assert not [m for m in said if isinstance(m, SetTimer | CancelTimer)]

    said = scene.says(refunded(before.refunds + 1, "unasked_money"))
    assert messages(said) == []
    assert only(Paper, said).kind == "refund"
    assert (order(scene).phase, order(scene).refunded) == (phase, before.refunded + TOTAL)


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in ENDS])
def test_alarm_goes_on_counting_when_money_strays_in(phase: Phase) -> None:
    """An order that waits too long is not younger because stray money came and went."""
    scene = at(phase)
    scene.later(120)
    scene.says(STRAY)
    scene.says(refunded(order(scene).refunds, "unasked_money"))
    assert order(scene).phase_since == NOON


def test_every_stray_refund_has_its_number() -> None:
    """Money that comes three times goes back three times."""
    scene = at(Phase.CANCELLED)
    numbers = [
        only(payment.RefundPayment, scene.says(STRAY.model_copy(update={"reference": f"cap-{n}"}))).refund
        for n in (1, 2, 3)
    ]
    assert numbers == [1, 2, 3]


def test_closing_refund_is_told_from_a_stray_one() -> None:
    """Two refunds are under way: only the one of the order's own money ends the order."""
    scene = at(Phase.PAYING_CANCEL_WANTED)
    scene.says(STRAY)
    scene.says(TAKEN)
    assert order(scene).closing_refund == 2
    assert messages(scene.says(refunded(1, "unasked_money"))) == []
    assert order(scene).phase is Phase.REFUNDING
    scene.says(refunded(2))
    assert order(scene).phase is Phase.CANCELLED
    assert order(scene).paid == order(scene).refunded == 2 * TOTAL


def test_stray_refund_that_comes_after_the_end() -> None:
    """The order has ended; the stray money's refund is booked all the same."""
    scene = at(Phase.REFUNDING)
    scene.says(STRAY)
    scene.says(refunded(1))
    assert order(scene).phase is Phase.CANCELLED
    scene.says(refunded(2, "unasked_money"))
    assert (order(scene).phase, order(scene).refunded) == (Phase.CANCELLED, 2 * TOTAL)


@pytest.mark.parametrize("phase", [Phase.DEDUCTING, Phase.DEDUCTING_CANCEL_WANTED])
def test_full_refund_is_of_the_order_s_own_money(phase: Phase) -> None:
    """Stray money before does not change what goes back for the order: its total, by its own reference."""
    scene = at(phase)
    scene.says(STRAY)
    said = scene.says(SOLD_OUT)
    refund = only(payment.RefundPayment, said)
    assert (refund.refund, refund.amount, refund.reference) == (2, TOTAL, "cap-1")


def test_stray_money_while_the_issue_is_reversed() -> None:
    """The way back goes on with the right reference."""
    scene = at(Phase.DEDUCTING_CANCEL_WANTED)
    scene.says(DEDUCTED)
    scene.says(STRAY)
    refund = only(payment.RefundPayment, scene.says(REVERSED))
    assert (refund.refund, refund.reference) == (2, "cap-1")


def test_late_money_is_dated_by_the_gateway() -> None:
    """The page shows when the money came, not when it was heard of."""
    scene = at(Phase.CANCELLED)
    scene.later(3600)
    paper = only(Paper, scene.says(STRAY.model_copy(update={"at": NOON + timedelta(seconds=7)})))
    assert paper.at == NOON + timedelta(seconds=7)


def test_money_for_an_order_that_never_was_goes_back() -> None:
    """Nothing is written down for it, and each money has a refund of its own: told twice it is the same refund."""
    scene = Scene(DECIDER)
    (first,), (second,) = scene.says(STRAY), scene.says(STRAY.model_copy(update={"reference": "cap-10", "nth": 2}))
    assert isinstance(first, payment.RefundPayment)
    assert isinstance(second, payment.RefundPayment)
    assert (first.reference, first.amount, first.reason) == ("cap-9", TOTAL, "unasked_money")
    assert (first.refund, second.refund) == (payment.REFUNDS_MAX, payment.REFUNDS_MAX - 1)
    assert scene.says(STRAY) == [first]
    assert scene.states == {}
    assert scene.when(refunded(first.refund, "unasked_money")) == IGNORED
    refusal = payment.PaymentRefundRefused(
        order_id="o-1", refund=first.refund, amount=TOTAL, reference="cap-9", code="not_refundable"
    )
    assert scene.when(refusal) == IGNORED
