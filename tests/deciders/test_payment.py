"""Payment: given what is known of an order's money, when news of it come, then this is said and written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment import inner
from services.payment.decider import DECIDER
from services.payment.state import Contradiction, JournalEntry, Payment, Phase, attempt_key, digest_of, refund_key
from shared.contracts import payment
from shared.runtime.said import Effect
from shared.runtime.table import IGNORED, Moved, NoCell
from tests.deciders.scene import NOON, Scene

AT = NOON + timedelta(seconds=1)
FIRST, SECOND = "o-1:1", "o-1:2"


def attempt(number: int = 1, amount: int = 649) -> payment.TakePayment:
    """The customer's click."""
    return payment.TakePayment(order_id="o-1", attempt=number, amount=amount, currency="EUR", method="tok_ok")


def took(reference: str = "cap-1", key: str = FIRST, amount: int = 649) -> inner.GatewayTook:
    """The gateway's answer: the money is in."""
    return inner.GatewayTook("o-1", key, reference, amount, AT)


def report(reference: str = "cap-1", key: str = FIRST, amount: int = 649) -> payment.ReportMoney:
    """The gateway's webhook: money was taken."""
    return payment.ReportMoney(order_id="o-1", reference=reference, attempt_key=key, amount=amount, at=AT)


def reported(
    reference: str = "cap-1", key: str = FIRST, amount: int = 649
) -> tuple[payment.ReportMoney, inner.GatewayFound]:
    """A true report, and what the gateway says when it is asked about it."""
    told = report(reference, key, amount)
    return told, inner.GatewayFound("o-1", key, reference, amount, AT, digest_of(told), "o-1")


def hears(scene: Scene, reference: str = "cap-1", key: str = FIRST, amount: int = 649) -> list[object]:
    """Money is reported and looked up: what is said then."""
    told, found = reported(reference, key, amount)
    scene.when(told)
    return scene.says(found)


def taken(number: int = 1, reference: str = "cap-1") -> payment.PaymentTaken:
    """What the order service waits for."""
    return payment.PaymentTaken(order_id="o-1", attempt=number, amount=649, reference=reference, at=AT)


def unasked(reference: str = "cap-2", nth: int = 1, amount: int = 649) -> payment.MoneyUnasked:
    """What the order service has refunded."""
    return payment.MoneyUnasked(order_id="o-1", amount=amount, reference=reference, at=AT, nth=nth)


def captured(reference: str, reason: str) -> JournalEntry:
    """The journal's line for money that came."""
    return JournalEntry("o-1", AT, "captured", 649, reference, reason, None)


def after(*messages: Any) -> Scene:
    """A scene in which all this has happened."""
    scene = Scene(DECIDER)
    for message in messages:
        scene.when(message)
    return scene


def known(scene: Scene) -> Payment:
    """What payment knows by now."""
    state = scene.states["payment", "o-1"]
    assert isinstance(state, Payment)
    return state


GIVEN_UP = (attempt(), inner.GatewayTimedOut("o-1", FIRST), inner.GatewayKnowsNoMoney("o-1", FIRST))


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
    assert known(scene).phase is Phase.TAKEN


def test_nothing_is_taken_at_once() -> None:
    """A price of nothing is paid by the click: no gateway is asked, no book has a line of it, and said twice it is once
    done."""
    scene = Scene(DECIDER)
    free = attempt(amount=0)
    assert scene.says(free) == [payment.PaymentTaken(order_id="o-1", attempt=1, amount=0, reference=FIRST, at=NOON)]
    assert (known(scene).phase, known(scene).captures) == (Phase.TAKEN, ())
    assert scene.when(free) == IGNORED


def test_late_money_is_unasked_after_nothing_was_to_pay() -> None:
    """The first attempt came to nothing in time, then a coupon made the order free: the first's money goes back."""
    scene = after(*GIVEN_UP, attempt(2, 0))
    assert known(scene).phase is Phase.TAKEN
    assert hears(scene)[:2] == [unasked("cap-1"), captured("cap-1", "unasked")]


def test_declined_and_tried_again_with_another_key() -> None:
    """A declined card may be tried again; the gateway must not take the second click for the first."""
    scene = after(attempt())
    assert scene.says(inner.GatewayDeclined("o-1", FIRST, "card_declined")) == [
        payment.PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
    ]
    (effect,) = scene.says(attempt(2))
    assert isinstance(effect, Effect)
    assert effect.id == SECOND
    assert scene.says(took(key=SECOND))[0] == taken(2)


def test_asked_about_once_when_the_charge_timed_out() -> None:
    """A charge without an answer is not sent again: the gateway is asked what became of it."""
    (effect,) = after(attempt()).says(inner.GatewayTimedOut("o-1", FIRST))
    assert effect == Effect(f"{FIRST}:ask", "ask", {"order_id": "o-1", "key": FIRST})


def test_taken_when_asked_about() -> None:
    """The money had been taken, only the answer was lost."""
    scene = after(attempt(), inner.GatewayTimedOut("o-1", FIRST))
    assert scene.says(took())[0] == taken()


def test_declined_when_asked_about() -> None:
    """The gateway had said no, only the answer was lost."""
    scene = after(attempt(), inner.GatewayTimedOut("o-1", FIRST))
    assert scene.says(inner.GatewayDeclined("o-1", FIRST, "card_declined")) == [
        payment.PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
    ]


@pytest.mark.parametrize("before", [(attempt(),), (attempt(), inner.GatewayTimedOut("o-1", FIRST))])
def test_given_up_when_the_gateway_knows_no_money(before: tuple[Any, ...]) -> None:
    """The attempt is over, and the customer may try again. After a restart even a charge is asked about first."""
    scene = after(*before)
    assert scene.says(inner.GatewayKnowsNoMoney("o-1", FIRST)) == [payment.PaymentGivenUp(order_id="o-1", attempt=1)]
    assert isinstance(scene.when(attempt(2)), Moved)


def test_taken_by_the_webhook_when_it_comes_first() -> None:
    """Whoever tells of the money first, it is the taking; the answer that comes after it is no news."""
    scene = after(attempt())
    assert hears(scene) == [taken(), captured("cap-1", "payment")]
    assert scene.when(took()) == IGNORED
    assert scene.when(report()) == IGNORED


def test_ignored_when_the_webhook_comes_after_the_answer() -> None:
    """The same reference is the same money, however often it is told."""
    scene = after(attempt(), took())
    before = known(scene)
    assert scene.when(report()) == IGNORED
    assert scene.when(report()) == IGNORED
    assert known(scene) == before


@pytest.mark.parametrize("answer", [inner.GatewayKnowsNoMoney("o-1", FIRST), inner.GatewayDeclined("o-1", FIRST, "no")])
def test_ignored_when_the_answer_knows_less_than_the_webhook(answer: Any) -> None:
    """Money that was reported is there: an answer under way that knows nothing of it changes nothing."""
    scene = after(attempt(), *reported())
    assert scene.when(answer) == IGNORED
    assert known(scene).phase is Phase.TAKEN


def test_asked_about_when_the_webhook_was_faster_than_an_answer_that_never_came() -> None:
    """The money that was reported may be the second of two: only asking finds the first, and it goes back."""
    scene = after(attempt(), *reported("cap-2"))
    (question,) = scene.says(inner.GatewayTimedOut("o-1", FIRST))
    assert question == Effect(f"{FIRST}:ask", "ask", {"order_id": "o-1", "key": FIRST})
    assert known(scene).phase is Phase.TAKEN
    assert scene.says(took("cap-1")) == [unasked("cap-1", 2), captured("cap-1", "unasked")]


def test_unasked_when_money_comes_for_an_attempt_given_up() -> None:
    """Late money revives nothing; it is written down, and goes back."""
    scene = after(*GIVEN_UP)
    assert hears(scene, "cap-2") == [unasked(), captured("cap-2", "unasked")]
    assert known(scene).phase is Phase.OPEN


def test_unasked_when_late_money_meets_the_next_attempt() -> None:
    """The money of the first attempt is not that of the second, which goes on waiting for its own."""
    scene = after(*GIVEN_UP, attempt(2))
    assert hears(scene, "cap-2")[0] == unasked()
    assert known(scene).phase is Phase.CHARGING
    assert scene.says(took("cap-3", SECOND))[0] == taken(2, "cap-3")


@pytest.mark.parametrize("news", [(took("cap-2"),), reported("cap-2")])
def test_unasked_when_money_comes_twice(news: tuple[Any, ...]) -> None:
    """A second capture under the same key has another reference: one is kept, the other goes back."""
    scene = after(attempt(), took(), *news[:-1])
    assert scene.says(news[-1]) == [unasked(nth=2), captured("cap-2", "unasked")]
    assert known(scene).phase is Phase.TAKEN
    assert scene.when(news[-1]) == IGNORED


def test_unasked_when_nobody_ever_charged() -> None:
    """Money under a key that is none of ours is kept and told like any other, and a person is shown it."""
    scene = Scene(DECIDER)
    said = hears(scene, "cap-2", "somebody-else's")
    assert said[0] == unasked()
    assert [(c.why, c.known) for c in said if isinstance(c, Contradiction)] == [("never_asked", {})]
    assert isinstance(scene.when(attempt()), Moved)


@pytest.mark.parametrize("before", [(attempt(),), (attempt(), inner.GatewayTimedOut("o-1", FIRST))])
@pytest.mark.parametrize("amount", [1, 648, 650])
def test_given_up_when_the_gateway_took_another_amount(before: tuple[Any, ...], amount: int) -> None:
    """The gateway answers our charge with money that was not asked for so: it goes back, the customer may try again, a
    person is shown it, and nothing parks."""
    scene = after(*before)
    given_up, unasked_, line, kept = scene.says(took(amount=amount))
    assert given_up == payment.PaymentGivenUp(order_id="o-1", attempt=1)
    assert unasked_ == unasked("cap-1", amount=amount)
    assert isinstance(line, JournalEntry)
    assert (line.amount, line.reason) == (amount, "unasked")
    assert isinstance(kept, Contradiction)
    assert kept.why == "other_amount"
    assert (kept.told["amount"], kept.known["amount"]) == (amount, 649)
    assert known(scene).attempts[0].outcome == "given_up"
    scene.says(attempt(2))
    assert scene.says(took("cap-2", SECOND))[0] == taken(2, "cap-2")


def test_true_answer_comes_through_beside_another_amount() -> None:
    """The gateway knows money of another amount under the live key: that is unasked, and the attempt goes on waiting
    for its own answer."""
    scene = after(attempt())
    said = hears(scene, "cap-2", amount=648)
    assert [type(s) for s in said] == [payment.MoneyUnasked, JournalEntry, Contradiction]
    assert known(scene).phase is Phase.CHARGING
    assert scene.says(took())[0] == taken()


def test_given_up_when_the_answer_is_money_that_came_in_unasked() -> None:
    """The answer to the charge names the money of another amount that was found before: no attempt waits for ever."""
    scene = after(attempt(), *reported(amount=648))
    given_up, kept = scene.says(took(amount=648))
    assert given_up == payment.PaymentGivenUp(order_id="o-1", attempt=1)
    assert isinstance(kept, Contradiction)
    assert known(scene).phase is Phase.OPEN


def test_books_stay_when_known_money_is_answered_otherwise() -> None:
    """The same reference, another amount, from the gateway itself: kept for a person, nothing moves."""
    scene = after(attempt(), took())
    before = known(scene)
    (kept,) = scene.says(took(amount=1))
    assert isinstance(kept, Contradiction)
    assert (kept.why, kept.told["amount"], kept.known["amount"]) == ("told_otherwise", 1, 649)
    assert known(scene) == before


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
    [took(), report(), took("cap-2"), report("cap-2"), report("cap-3", SECOND), inner.GatewayTimedOut("o-1", FIRST)]
)
"""A report is looked up as soon as it is heard."""


@given(st.lists(NEWS, max_size=12))
def test_every_reference_is_told_once(news: list[Any]) -> None:
    """In whatever order and number news come: at most one taking, and each reference is told and booked once."""
    scene = after(attempt())
    said: list[Any] = []
    for message in news:
        if isinstance(message, inner.GatewayTimedOut) and known(scene).phase is Phase.ASKING:
            continue  # a charge has one answer
        outcome = scene.when(message)
        if isinstance(message, payment.ReportMoney) and isinstance(outcome, Moved):
            outcome = scene.when(reported(message.reference, message.attempt_key)[1])
        said += outcome.said if isinstance(outcome, Moved) else ()
    told = [m.reference for m in said if isinstance(m, payment.PaymentTaken | payment.MoneyUnasked)]
    booked = [m.reference for m in said if isinstance(m, JournalEntry)]
    assert sorted(told) == sorted({m.reference for m in news if not isinstance(m, inner.GatewayTimedOut)})
    assert booked == told
    assert sum(isinstance(m, payment.PaymentTaken) for m in said) == (not {"cap-1", "cap-2"}.isdisjoint(told))
