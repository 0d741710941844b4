"""Payment: given what is known of an order's money, when news of it come, then this is said and written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment.decider import DECIDER, MoneyMistake
from services.payment.state import (
    GatewayDeclined,
    GatewayKnowsNoMoney,
    GatewayTimedOut,
    GatewayTook,
    JournalEntry,
    Payment,
    Phase,
    attempt_key,
    refund_key,
)
from shared.contracts.payment import (
    MoneyUnasked,
    PaymentDeclined,
    PaymentGivenUp,
    PaymentTaken,
    ReportMoney,
    TakePayment,
)
from shared.runtime.said import Effect
from shared.runtime.table import IGNORED, Moved, NoCell
from tests.deciders.scene import NOON, Scene

AT = NOON + timedelta(seconds=1)
FIRST, SECOND = "o-1:1", "o-1:2"


def attempt(number: int = 1, amount: int = 649) -> TakePayment:
    """The customer's click."""
    return TakePayment(order_id="o-1", attempt=number, amount=amount, currency="EUR", method="tok_ok")


def took(reference: str = "cap-1", key: str = FIRST, amount: int = 649) -> GatewayTook:
    """The gateway's answer: the money is in."""
    return GatewayTook("o-1", key, reference, amount, AT)


def report(reference: str = "cap-1", key: str = FIRST, amount: int = 649) -> ReportMoney:
    """The gateway's webhook: money was taken."""
    return ReportMoney(order_id="o-1", reference=reference, attempt_key=key, amount=amount, at=AT)


def taken(number: int = 1, reference: str = "cap-1") -> PaymentTaken:
    """What the order service waits for."""
    return PaymentTaken(order_id="o-1", attempt=number, amount=649, reference=reference, at=AT)


def unasked(reference: str = "cap-2") -> MoneyUnasked:
    """What the order service has refunded."""
    return MoneyUnasked(order_id="o-1", amount=649, reference=reference, at=AT)


def captured(reference: str, reason: str) -> JournalEntry:
    """The journal's line for money that came."""
    return JournalEntry("o-1", AT, "captured", 649, reference, reason, None)


def after(*messages: Any) -> Scene:
    """A scene in which all this has happened."""
    scene = Scene(DECIDER)
    for message in messages:
        scene.when(message)
    return scene


def payment(scene: Scene) -> Payment:
    """What payment knows by now."""
    state = scene.states["payment", "o-1"]
    assert isinstance(state, Payment)
    return state


GIVEN_UP = (attempt(), GatewayTimedOut("o-1", FIRST), GatewayKnowsNoMoney("o-1", FIRST))


def test_charged_with_a_key_of_its_own() -> None:
    """The click becomes one call to the gateway, whose key is the effect's name."""
    (effect,) = Scene(DECIDER).says(attempt())
    assert effect == Effect(
        FIRST, "charge", {"order_id": "o-1", "key": FIRST, "amount": 649, "currency": "EUR", "method": "tok_ok"}
    )


def test_taken_when_the_gateway_took_it() -> None:
    """Money in: the order hears of it, the journal has it."""
    scene = after(attempt())
    assert scene.says(took()) == [taken(), captured("cap-1", "payment")]
    assert payment(scene).phase is Phase.TAKEN


def test_declined_and_tried_again_with_another_key() -> None:
    """A declined card may be tried again; the gateway must not take the second click for the first."""
    scene = after(attempt())
    assert scene.says(GatewayDeclined("o-1", FIRST, "card_declined")) == [
        PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
    ]
    (effect,) = scene.says(attempt(2))
    assert isinstance(effect, Effect)
    assert effect.id == SECOND
    assert scene.says(took(key=SECOND))[0] == taken(2)


def test_asked_about_once_when_the_charge_timed_out() -> None:
    """A charge without an answer is not sent again: the gateway is asked what became of it."""
    (effect,) = after(attempt()).says(GatewayTimedOut("o-1", FIRST))
    assert effect == Effect(f"{FIRST}:ask", "ask", {"order_id": "o-1", "key": FIRST})


def test_taken_when_asked_about() -> None:
    """The money had been taken, only the answer was lost."""
    scene = after(attempt(), GatewayTimedOut("o-1", FIRST))
    assert scene.says(took())[0] == taken()


def test_declined_when_asked_about() -> None:
    """The gateway had said no, only the answer was lost."""
    scene = after(attempt(), GatewayTimedOut("o-1", FIRST))
    assert scene.says(GatewayDeclined("o-1", FIRST, "card_declined")) == [
        PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
    ]


@pytest.mark.parametrize("before", [(attempt(),), (attempt(), GatewayTimedOut("o-1", FIRST))])
def test_given_up_when_the_gateway_knows_no_money(before: tuple[Any, ...]) -> None:
    """The attempt is over, and the customer may try again. After a restart even a charge is asked about first."""
    scene = after(*before)
    assert scene.says(GatewayKnowsNoMoney("o-1", FIRST)) == [PaymentGivenUp(order_id="o-1", attempt=1)]
    assert isinstance(scene.when(attempt(2)), Moved)


def test_taken_by_the_webhook_when_it_comes_first() -> None:
    """Whoever tells of the money first, it is the taking; the answer that comes after it is no news."""
    scene = after(attempt())
    assert scene.says(report()) == [taken(), captured("cap-1", "payment")]
    assert scene.when(took()) == IGNORED
    assert scene.when(report()) == IGNORED


def test_ignored_when_the_webhook_comes_after_the_answer() -> None:
    """The same reference is the same money, however often it is told."""
    scene = after(attempt(), took())
    before = payment(scene)
    assert scene.when(report()) == IGNORED
    assert scene.when(report()) == IGNORED
    assert payment(scene) == before


@pytest.mark.parametrize("answer", [GatewayKnowsNoMoney("o-1", FIRST), GatewayDeclined("o-1", FIRST, "no")])
def test_ignored_when_the_answer_knows_less_than_the_webhook(answer: Any) -> None:
    """Money that was reported is there: an answer under way that knows nothing of it changes nothing."""
    scene = after(attempt(), report())
    assert scene.when(answer) == IGNORED
    assert payment(scene).phase is Phase.TAKEN


def test_asked_about_when_the_webhook_was_faster_than_an_answer_that_never_came() -> None:
    """The money that was reported may be the second of two: only asking finds the first, and it goes back."""
    scene = after(attempt(), report("cap-2"))
    (question,) = scene.says(GatewayTimedOut("o-1", FIRST))
    assert question == Effect(f"{FIRST}:ask", "ask", {"order_id": "o-1", "key": FIRST})
    assert payment(scene).phase is Phase.TAKEN
    assert scene.says(took("cap-1")) == [unasked("cap-1"), captured("cap-1", "unasked")]


def test_unasked_when_money_comes_for_an_attempt_given_up() -> None:
    """Late money revives nothing; it is written down, and goes back."""
    scene = after(*GIVEN_UP)
    assert scene.says(report("cap-2")) == [unasked(), captured("cap-2", "unasked")]
    assert payment(scene).phase is Phase.OPEN


def test_unasked_when_late_money_meets_the_next_attempt() -> None:
    """The money of the first attempt is not that of the second, which goes on waiting for its own."""
    scene = after(*GIVEN_UP, attempt(2))
    assert scene.says(report("cap-2"))[0] == unasked()
    assert payment(scene).phase is Phase.CHARGING
    assert scene.says(took("cap-3", SECOND))[0] == taken(2, "cap-3")


@pytest.mark.parametrize("news", [took("cap-2"), report("cap-2")])
def test_unasked_when_money_comes_twice(news: Any) -> None:
    """A second capture under the same key has another reference: one is kept, the other goes back."""
    scene = after(attempt(), took())
    assert scene.says(news) == [unasked(), captured("cap-2", "unasked")]
    assert payment(scene).phase is Phase.TAKEN
    assert scene.when(news) == IGNORED


def test_unasked_when_nobody_ever_charged() -> None:
    """Money for an order without any attempt is kept and told like any other."""
    scene = Scene(DECIDER)
    assert scene.says(report("cap-2", "somebody-else's"))[0] == unasked()
    assert isinstance(scene.when(attempt()), Moved)


@pytest.mark.parametrize("news", [took(amount=648), report(amount=650)])
def test_parked_when_the_amount_is_another(news: Any) -> None:
    """Money that disagrees with what was asked for is no matter for a machine."""
    with pytest.raises(MoneyMistake, match=r"o-1:1 is about 649"):
        after(attempt()).when(news)


def test_ignored_when_the_same_attempt_is_asked_for_again() -> None:
    """One click, one charge: under way, over, or taken."""
    assert after(attempt()).when(attempt()) == IGNORED
    assert after(*GIVEN_UP).when(attempt()) == IGNORED
    assert after(attempt(), took()).when(attempt()) == IGNORED


@pytest.mark.parametrize("before", [(attempt(),), (attempt(), took())])
def test_parked_when_another_attempt_comes_too_early_or_too_late(before: tuple[Any, ...]) -> None:
    """While one attempt is live, and once the money is in, the order service asks for no other."""
    with pytest.raises(NoCell):
        after(*before).when(attempt(2))


def test_keys_are_never_shared() -> None:
    """Order ids may hold colons: no attempt or refund of one order may look like that of another."""
    ids = ["o-1", "o-1:1", "o-1:refund", "o-1:refund-1", "o-1:ask"]
    keys = [make(id, n) for id in ids for n in (1, 2) for make in (attempt_key, refund_key)]
    keys += [f"{attempt_key(id, n)}:ask" for id in ids for n in (1, 2)]
    assert len(set(keys)) == len(keys)


NEWS = st.sampled_from(
    [took(), report(), took("cap-2"), report("cap-2"), report("cap-3", SECOND), GatewayTimedOut("o-1", FIRST)]
)


@given(st.lists(NEWS, max_size=12))
def test_every_reference_is_told_once(news: list[Any]) -> None:
    """In whatever order and number news come: at most one taking, and each reference is told and booked once."""
    scene = after(attempt())
    said: list[Any] = []
    for message in news:
        if isinstance(message, GatewayTimedOut) and payment(scene).phase is Phase.ASKING:
            continue  # a charge has one answer
        outcome = scene.when(message)
        said += outcome.said if isinstance(outcome, Moved) else ()
    told = [m.reference for m in said if isinstance(m, PaymentTaken | MoneyUnasked)]
    booked = [m.reference for m in said if isinstance(m, JournalEntry)]
    assert sorted(told) == sorted({m.reference for m in news if not isinstance(m, GatewayTimedOut)})
    assert booked == told
    assert sum(isinstance(m, PaymentTaken) for m in said) == (not {"cap-1", "cap-2"}.isdisjoint(told))
