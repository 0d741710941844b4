"""Refunds: given money that was taken, when some of it is to go back, then never more than there is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.payment import inner
from services.payment.decider import DECIDER, MoneyMistake
from services.payment.state import Contradiction, JournalEntry, Payment, Refund, RefundPhase, digest_of
from shared.contracts import payment
from shared.runtime.said import Effect
from shared.runtime.table import IGNORED, Moved
from tests.deciders.scene import NOON, Scene

AT = NOON + timedelta(seconds=1)
FIRST = "o-1:1"
ATTEMPT = payment.TakePayment(order_id="o-1", attempt=1, amount=1000, currency="EUR", method="tok_ok")
TOOK = inner.GatewayTook("o-1", FIRST, "cap-1", 1000, AT)
LATE = payment.ReportMoney(order_id="o-1", reference="cap-1", attempt_key=FIRST, amount=1000, at=AT)
FOUND = inner.GatewayFound("o-1", FIRST, "cap-1", 1000, AT, digest_of(LATE), "o-1")


def back(number: int = 1, amount: int = 1000, reference: str = "cap-1") -> payment.RefundPayment:
    """What the order service asks for."""
    return payment.RefundPayment(
        order_id="o-1", refund=number, amount=amount, reference=reference, reason="sold_out", liable="store"
    )


def given_back(number: int = 1, amount: int = 1000) -> inner.GatewayRefunded:
    """The gateway's answer."""
    return inner.GatewayRefunded("o-1", number, f"ref-{number}", amount, AT)


def refused(number: int, amount: int, code: str) -> payment.PaymentRefundRefused:
    """What the order hears when it will not be done."""
    return payment.PaymentRefundRefused(
        order_id="o-1", refund=number, amount=amount, reference="cap-1", code=code, reason="sold_out"
    )


def after(*messages: Any) -> Scene:
    """A scene in which the money was taken, and then all this happened."""
    scene = Scene(DECIDER)
    for message in (ATTEMPT, TOOK, *messages):
        scene.when(message)
    return scene


def refund(scene: Scene, number: int = 1) -> Refund:
    """What is known of a refund by now."""
    state = scene.states["refund", "o-1", str(number)]
    assert isinstance(state, Refund)
    return state


def left(scene: Scene) -> int:
    """What may still go back."""
    state = scene.states["payment", "o-1"]
    assert isinstance(state, Payment)
    return state.captures[0].remainder


def test_asked_for_with_a_key_of_its_own() -> None:
    """The refund becomes one call to the gateway, about the capture that it belongs to."""
    scene = after()
    (effect,) = scene.says(back())
    assert effect == Effect(
        "o-1:refund-1",
        "refund",
        {
            "order_id": "o-1",
            "refund": 1,
            "key": "o-1:refund-1",
            "reference": "cap-1",
            "amount": 1000,
            "reason": "sold_out",
        },
    )
    assert left(scene) == 0


def test_refunded_when_the_gateway_gave_it_back() -> None:
    """The order hears of it with reason and liable party, and the journal has it."""
    scene = after(back())
    assert scene.says(given_back()) == [
        payment.PaymentRefunded(
            order_id="o-1", refund=1, amount=1000, reference="ref-1", reason="sold_out", liable="store", at=AT
        ),
        JournalEntry("o-1", AT, "refunded", 1000, "ref-1", "sold_out", "store"),
    ]
    assert (refund(scene).phase, refund(scene).reference) == (RefundPhase.REFUNDED, "ref-1")


def test_several_under_way_at_once() -> None:
    """Two partial refunds do not wait for each other, and together may take all there is."""
    scene = after(back(1, 400), back(2, 600))
    assert left(scene) == 0
    assert isinstance(scene.when(given_back(2, 600)), Moved)
    assert isinstance(scene.when(given_back(1, 400)), Moved)


@pytest.mark.parametrize("before", [(back(1, 400),), (back(1, 400), given_back(1, 400))])
def test_refused_when_it_exceeds_what_is_left(before: tuple[Any, ...]) -> None:
    """What is promised to one refund is gone for the next, whether or not the gateway has confirmed it. The order
    hears that a person has to see to it; the gateway hears nothing, and no money moves in the books."""
    scene = after(*before)
    assert scene.says(back(2, 601)) == [refused(2, 601, "refund_over_rest")]
    assert (refund(scene, 2).phase, refund(scene, 2).code) == (RefundPhase.REFUSED, "refund_over_rest")
    assert left(scene) == 600
    assert isinstance(scene.says(back(3, 600))[0], Effect)


def test_refused_once_when_it_exceeds_what_is_left() -> None:
    """A number that was refused stays refused, also when there is enough left by then."""
    scene = after(back(1, 400), back(2, 601))
    scene.says(inner.GatewayRefusedRefund("o-1", 1, "not_refundable"))
    assert left(scene) == 1000
    assert scene.when(back(2, 601)) == IGNORED


def test_parked_when_it_is_no_amount() -> None:
    """Less than nothing cannot be given back; nobody can send such a message."""
    with pytest.raises(MoneyMistake, match="which is no amount"):
        after().when(back().model_copy(update={"amount": -1}))


def nothing_back(number: int = 1) -> payment.PaymentRefunded:
    """What the order hears when nothing was left to give back."""
    key = f"o-1:refund-{number}"
    return payment.PaymentRefunded(
        order_id="o-1", refund=number, amount=0, reference=key, reason="sold_out", liable="store", at=NOON
    )


def test_nothing_is_refunded_at_once() -> None:
    """All that was paid is back already, and the order that ends now need not wait for a gateway that moves nothing."""
    scene = after(back(1, 1000), given_back(1))
    assert scene.says(back(2, 0)) == [nothing_back(2)]
    assert (refund(scene, 2).phase, refund(scene, 2).at) == (RefundPhase.REFUNDED, NOON)
    assert left(scene) == 0
    assert scene.when(back(2, 0)) == IGNORED


def test_what_cost_nothing_is_refunded_at_once() -> None:
    """The reference of a payment of nothing is one that its refund can name, and no book has a line of either."""
    scene = Scene(DECIDER)
    (taken,) = scene.says(ATTEMPT.model_copy(update={"amount": 0}))
    assert isinstance(taken, payment.PaymentTaken)
    assert scene.says(back(1, 0, taken.reference)) == [nothing_back()]
    with pytest.raises(MoneyMistake, match=f"no money came as {FIRST}"):
        scene.when(back(2, 1, taken.reference))


def test_parked_when_no_such_money_came() -> None:
    """A refund belongs to a capture that is in the books."""
    with pytest.raises(MoneyMistake, match="no money came as cap-9"):
        after().when(back(reference="cap-9"))
    with pytest.raises(MoneyMistake, match="no money came as cap-1"):
        Scene(DECIDER).when(back())


def test_refused_for_good_by_the_gateway() -> None:
    """The order hears of it once, with the gateway's code; what was held back is free for another refund."""
    scene = after(back(1, 400))
    refusal = inner.GatewayRefusedRefund("o-1", 1, "unknown_capture")
    assert scene.says(refusal) == [refused(1, 400, "unknown_capture")]
    assert (refund(scene).phase, refund(scene).code) == (RefundPhase.REFUSED, "unknown_capture")
    assert left(scene) == 1000
    assert scene.when(refusal) == IGNORED
    assert isinstance(scene.says(back(2))[0], Effect)


def test_refused_for_good_blocks_no_other() -> None:
    """A refund under way beside it ends as it would have."""
    scene = after(back(1, 400), back(2, 600))
    scene.says(inner.GatewayRefusedRefund("o-1", 1, "not_refundable"))
    assert isinstance(scene.says(given_back(2, 600))[0], payment.PaymentRefunded)
    assert left(scene) == 400


def test_given_back_once_when_the_answer_was_lost() -> None:
    """The answer was lost with a crash, the gateway was asked again under the same key: told once, written once."""
    scene = after(back(1, 400))
    assert [type(said) for said in scene.says(given_back(1, 400))] == [payment.PaymentRefunded, JournalEntry]
    assert scene.when(given_back(1, 400)) == IGNORED
    assert left(scene) == 600


@pytest.mark.parametrize("answer", [given_back(), inner.GatewayRefusedRefund("o-1", 1, "unknown_capture")])
def test_ignored_when_it_comes_again(answer: Any) -> None:
    """One number, one refund: neither the wish nor the answer counts twice."""
    scene = after(back())
    assert scene.when(back()) == IGNORED
    scene.says(answer)
    remainder = left(scene)
    assert scene.when(back()) == IGNORED
    assert scene.when(answer) == IGNORED
    assert left(scene) == remainder


@pytest.mark.parametrize("amount", [1, 399, 401])
def test_booked_as_it_moved_when_the_gateway_gives_another_amount_back(amount: int) -> None:
    """The books say what the gateway says, what is left of the capture counts it, and a person is shown it; nothing
    parks, and nothing waits behind it."""
    scene = after(back(1, 400))
    told, line, kept = scene.says(given_back(1, amount))
    assert isinstance(told, payment.PaymentRefunded)
    assert told.amount == amount
    assert isinstance(line, JournalEntry)
    assert line.amount == amount
    assert isinstance(kept, Contradiction)
    assert (kept.why, kept.told["amount"], kept.known["amount"]) == ("other_amount", amount, 400)
    assert (refund(scene).phase, refund(scene).amount, left(scene)) == (RefundPhase.REFUNDED, amount, 1000 - amount)
    assert scene.when(given_back(1, amount)) == IGNORED


def test_parked_when_nobody_asked_for_it() -> None:
    """An answer without a question cannot be."""
    with pytest.raises(MoneyMistake, match="nobody asked for"):
        after().when(given_back(7))


def test_goes_back_whatever_the_payment_waits_for() -> None:
    """Late money of the first attempt is refunded while the second one is charged, asked about, or over."""
    second = payment.TakePayment(order_id="o-1", attempt=2, amount=1000, currency="EUR", method="tok_ok")
    given_up = (ATTEMPT, inner.GatewayTimedOut("o-1", FIRST), inner.GatewayKnowsNoMoney("o-1", FIRST))
    for later in ((), (second,), (second, inner.GatewayTimedOut("o-1", "o-1:2"))):
        scene = Scene(DECIDER)
        for message in (*given_up, LATE, FOUND, *later):
            scene.when(message)
        phase = scene.states["payment", "o-1"].phase
        scene.says(back())
        assert len(scene.says(given_back())) == 2
        assert scene.states["payment", "o-1"].phase is phase
