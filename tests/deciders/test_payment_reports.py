"""Reports of money: given what anybody tells, when the gateway is asked, then only what it says itself is believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment import inner
from services.payment.decider import DECIDER
from services.payment.state import Contradiction, Payment, Phase, Report, ReportPhase, digest_of
from shared.contracts import payment
from shared.runtime.said import Effect
from shared.runtime.table import IGNORED, Moved
from tests.deciders.scene import NOON, Scene

AT = NOON + timedelta(seconds=1)
KEY = "o-1:1"
ATTEMPT = payment.TakePayment(order_id="o-1", attempt=1, amount=649, currency="EUR", method="tok_ok")
TOOK = inner.GatewayTook("o-1", KEY, "cap-1", 649, AT)
TOLD = payment.ReportMoney(order_id="o-1", reference="cap-1", attempt_key=KEY, amount=649, at=AT)


def told(**other: Any) -> payment.ReportMoney:
    """The report, with something about it that is not so."""
    return TOLD.model_copy(update=other)


LIES = [told(amount=1), told(amount=650), told(attempt_key="o-1:2"), told(at=AT + timedelta(seconds=1))]


def found(report: payment.ReportMoney = TOLD, **other: Any) -> inner.GatewayFound:
    """The gateway's word on a report: as TOLD says, but for these."""
    facts = {"key": KEY, "reference": report.reference, "amount": 649, "at": AT, "owner": "o-1", **other}
    return inner.GatewayFound(order_id="o-1", report=digest_of(report), **facts)


def after(*messages: Any) -> Scene:
    """A scene in which all this has happened."""
    scene = Scene(DECIDER)
    for message in messages:
        scene.when(message, "gateway:")
    return scene


def report(scene: Scene, of: payment.ReportMoney = TOLD) -> Report:
    """What became of a report."""
    state = scene.states["report", "o-1", digest_of(of)]
    assert isinstance(state, Report)
    return state


def kept(said: list[object]) -> list[Contradiction]:
    """What a person is shown of it."""
    return [s for s in said if isinstance(s, Contradiction)]


@pytest.mark.parametrize("before", [(), (ATTEMPT,)])
def test_unknown_reference_is_asked_about_first(before: tuple[Any, ...]) -> None:
    """Whatever is told of it, it is only looked up: no money is booked, and nobody is told."""
    scene = after(*before)
    (effect,) = scene.says(TOLD)
    assert isinstance(effect, Effect)
    call = {"order_id": "o-1", "report": digest_of(TOLD), "reference": "cap-1"}
    assert (effect.kind, effect.arguments) == ("look_up", call)
    assert report(scene).phase is ReportPhase.ASKED
    assert "o-1" not in [k[1] for k in scene.states if k[0] == "payment"] or not scene.states["payment", "o-1"].captures
    assert scene.when(TOLD) == IGNORED


def test_confirmed_when_the_gateway_says_the_same() -> None:
    """Then it is money like any other, and told again it is no news."""
    scene = after(ATTEMPT, TOLD)
    said = scene.says(found())
    assert isinstance(said[0], payment.PaymentTaken)
    assert (report(scene).phase, kept(said)) == (ReportPhase.CONFIRMED, [])
    assert scene.when(TOLD) == scene.when(found()) == IGNORED


def test_other_order_s_money_moves_nothing() -> None:
    """The reference is the capture of another order: this one gets no money, and a person is shown whose it is."""
    scene = after(ATTEMPT, TOLD)
    before = scene.states["payment", "o-1"]
    (contradiction,) = scene.says(found(owner="o-2", key="o-2:1"))
    assert isinstance(contradiction, Contradiction)
    assert (contradiction.why, contradiction.told_by, contradiction.known["order_id"]) == (
        "other_order",
        "gateway:",
        "o-2",
    )
    assert contradiction.told == {"order_id": "o-1", "attempt_key": KEY, "amount": 649, "at": AT}
    assert scene.states["payment", "o-1"] == before
    assert report(scene).phase is ReportPhase.CONTRADICTED
    assert isinstance(scene.says(TOOK)[0], payment.PaymentTaken)


@pytest.mark.parametrize("lie", LIES)
def test_gateway_s_own_figures_are_booked(lie: payment.ReportMoney) -> None:
    """A report of this order's money with something wrong about it: what is booked is what the gateway says."""
    scene = after(ATTEMPT, lie)
    said = scene.says(found(lie))
    assert isinstance(said[0], payment.PaymentTaken)
    assert (said[0].amount, said[0].at) == (649, AT)
    assert [c.why for c in kept(said)] == ["other_money"]


@pytest.mark.parametrize("lie", LIES)
def test_known_money_told_otherwise_is_kept_at_once(lie: payment.ReportMoney) -> None:
    """The books know better, so nobody is asked; told once more it is the same contradiction."""
    scene = after(ATTEMPT, TOOK)
    before = scene.states["payment", "o-1"]
    (contradiction,) = scene.says(lie)
    assert isinstance(contradiction, Contradiction)
    assert (contradiction.why, contradiction.known) == ("other_money", {"attempt_key": KEY, "amount": 649, "at": AT})
    assert scene.states["payment", "o-1"] == before
    assert scene.when(lie) == IGNORED
    assert scene.when(TOLD) == IGNORED


def test_unknown_to_the_gateway_is_kept_once_and_asked_about_again() -> None:
    """A gateway may tell of money before its book shows it: told again it is asked again, under another name."""
    scene = after(ATTEMPT)
    (first,) = scene.says(TOLD)
    nothing = inner.GatewayFoundNothing("o-1", digest_of(TOLD))
    assert [c.why for c in kept(scene.says(nothing))] == ["unknown_reference"]
    (second,) = scene.says(TOLD)
    assert isinstance(first, Effect)
    assert isinstance(second, Effect)
    assert first.id != second.id
    assert scene.says(nothing) == []
    scene.says(TOLD)
    assert isinstance(scene.says(found())[0], payment.PaymentTaken)
    assert report(scene).phase is ReportPhase.CONFIRMED


def test_answer_to_the_charge_overtakes_the_look() -> None:
    """Whoever books the money first, the other finds it in the books."""
    scene = after(ATTEMPT, TOLD, TOOK)
    assert scene.says(found()) == []
    state = scene.states["payment", "o-1"]
    assert isinstance(state, Payment)
    assert (state.phase, len(state.captures)) == (Phase.TAKEN, 1)


def test_money_of_a_payment_stored_before_keys_were_kept() -> None:
    """Its key is not known, so no key contradicts it; its amount still does."""
    scene = after(ATTEMPT, TOOK)
    state = scene.states["payment", "o-1"]
    scene.states["payment", "o-1"] = Payment(
        "o-1", state.phase, state.attempts, tuple(c._replace(key="") for c in state.captures)
    )
    assert scene.when(told(attempt_key="o-1:2")) == IGNORED
    assert isinstance(scene.when(told(amount=1)), Moved)


TELLS = st.builds(
    told,
    reference=st.sampled_from(["cap-1", "cap-2", "cap-3"]),
    attempt_key=st.sampled_from([KEY, "o-2:1"]),
    amount=st.sampled_from([1, 649]),
)
BOOK = {"cap-1": ("o-1", KEY, 649), "cap-2": ("o-2", "o-2:1", 649)}
"""What the gateway knows; of cap-3 nothing."""


@given(st.lists(st.one_of(TELLS, st.just(TOOK)), max_size=10), st.randoms(use_true_random=False))
def test_books_never_hold_more_than_the_gateway_says(messages: list[Any], dice: Any) -> None:
    """Whatever is told, in whatever order, and whenever the gateway's words come: the money in the books is the
    gateway's money of this order, each capture once."""
    scene, open_ = after(ATTEMPT), []
    said: list[object] = []
    for message in messages:
        outcome = scene.when(message)
        said += outcome.said if isinstance(outcome, Moved) else ()
        if isinstance(message, payment.ReportMoney) and isinstance(outcome, Moved):
            open_ += [message for s in outcome.said if isinstance(s, Effect)]
        while open_ and (dice.random() < 0.5 or message is messages[-1]):
            asked = open_.pop(dice.randrange(len(open_)))
            owner, key, amount = BOOK.get(asked.reference, ("", "", 0))
            word: Any = inner.GatewayFoundNothing("o-1", digest_of(asked))
            if owner:
                word = found(asked, owner=owner, key=key, amount=amount)
            answered = scene.when(word)
            said += answered.said if isinstance(answered, Moved) else ()
    booked = [(c.reference, c.amount) for c in scene.states["payment", "o-1"].captures]
    assert booked in ([], [("cap-1", 649)])
    assert sum(isinstance(s, payment.PaymentTaken | payment.MoneyUnasked) for s in said) == len(booked)
