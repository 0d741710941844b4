"""An order's money, as two tables: the payment, and each of its refunds.

Theory of operation. An attempt to take money is charged once; a charge that timed out is asked about, never sent
again. News of money come from three sides (the answer to the charge, the answer to the question, the webhook), in any
order and any number of times, so money is recognised by the gateway's own reference:

- a reference that is known already is no news;
- money under the key of the live attempt is the taking, whoever tells of it first;
- all other money is unasked: it is kept in the books, and the order service is told, which has it refunded.

A refund belongs to one capture and never exceeds what is left of it: one that would is refused here, and the gateway
never hears of it. Several may be under way at once, whatever the phase of the payment. Whoever refuses, the order
service is told, which has a person see to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from services.payment.state import (
    Attempt,
    Capture,
    GatewayDeclined,
    GatewayKnowsNoMoney,
    GatewayRefunded,
    GatewayRefusedRefund,
    GatewayTimedOut,
    GatewayTook,
    JournalEntry,
    Payment,
    Phase,
    Refund,
    RefundPhase,
    attempt_key,
    refund_key,
)
from shared.contracts.payment import (
    MoneyUnasked,
    PaymentDeclined,
    PaymentGivenUp,
    PaymentRefunded,
    PaymentRefundRefused,
    PaymentTaken,
    RefundPayment,
    ReportMoney,
    TakePayment,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import Effect
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, Outcome, Refused, Table, to

CHARGE, ASK, REFUND_EFFECT = "charge", "ask", "refund"
"""The kinds of effect."""
OVER_REST = "refund_over_rest"
"""Why a refund is refused here: less is left of the capture."""


class MoneyMistake(ValueError):
    """Something about money that cannot be: the message parks, and a person has to look at it."""


# What a message turns out to be, seen with the payment. ---------------------------------------------------------------


class AwaitedMoney(Struct, frozen=True):
    """The money of the live attempt."""

    money: ReportMoney | GatewayTook


class StrayMoney(Struct, frozen=True):
    """Money that nobody waits for."""

    money: ReportMoney | GatewayTook


class KnownMoney(Struct, frozen=True):
    """Money that is in the books."""


class LateAnswer(Struct, frozen=True):
    """An answer about an attempt that is over: its money was reported before the answer came."""


class UnansweredLate(Struct, frozen=True):
    """The charge of an attempt that is over got no answer. Money of it was reported meanwhile, but the gateway may have
    taken more than that."""

    key: str


class SameAttempt(Struct, frozen=True):
    """A repeat of a `TakePayment` that is under way or over."""


class RefundOverRest(Struct, frozen=True):
    """A refund of more than is left of its capture."""


# What is said on the way: the payment. --------------------------------------------------------------------------------


def charge(state: Payment, m: TakePayment, context: Context) -> Change:
    """A new attempt: ask the gateway for the money."""
    key = attempt_key(state.order_id, m.attempt)
    call = {
        "order_id": state.order_id,
        "key": key,
        "amount": m.amount,
        "currency": m.currency,
        "method": m.method,
    }
    return {"attempts": (*state.attempts, Attempt(m.attempt, m.amount, m.method))}, (Effect(key, CHARGE, call),)


def ask(state: Payment, m: GatewayTimedOut | UnansweredLate, context: Context) -> Change:
    """The money may have moved: only the gateway knows."""
    return {}, (Effect(f"{m.key}:ask", ASK, {"order_id": state.order_id, "key": m.key}),)


def tell_declined(state: Payment, m: GatewayDeclined, context: Context) -> Change:
    """The customer may try again."""
    attempts, attempt = _ended(state, "declined", m.code)
    return {"attempts": attempts}, (PaymentDeclined(order_id=state.order_id, attempt=attempt.number, code=m.code),)


def give_up(state: Payment, m: GatewayKnowsNoMoney, context: Context) -> Change:
    """This attempt is over. Money that comes of it all the same will be unasked."""
    attempts, attempt = _ended(state, "given_up")
    return {"attempts": attempts}, (PaymentGivenUp(order_id=state.order_id, attempt=attempt.number),)


def take(state: Payment, m: AwaitedMoney, context: Context) -> Change:
    """The money is in."""
    money = m.money
    attempts, attempt = _ended(state, "taken")
    said = PaymentTaken(
        order_id=state.order_id,
        attempt=attempt.number,
        amount=money.amount,
        reference=money.reference,
        at=money.at,
    )
    return {"attempts": attempts, **_booked(state, money)}, (said, _captured(money, "payment"))


def keep_stray(state: Payment, m: StrayMoney, context: Context) -> Change:
    """It is in the books, and somebody has to send it back."""
    money = m.money
    said = MoneyUnasked(order_id=state.order_id, amount=money.amount, reference=money.reference, at=money.at)
    return _booked(state, money), (said, _captured(money, "unasked"))


def _ended(state: Payment, outcome: str, code: str = "") -> tuple[tuple[Attempt, ...], Attempt]:
    *earlier, live = state.attempts
    ended = live._replace(outcome=outcome, code=code)
    return (*earlier, ended), ended


def _booked(state: Payment, money: ReportMoney | GatewayTook) -> dict[str, Any]:
    return {"captures": (*state.captures, Capture(money.reference, money.amount, money.at))}


def _captured(money: ReportMoney | GatewayTook, reason: str) -> JournalEntry:
    return JournalEntry(money.order_id, money.at, "captured", money.amount, money.reference, reason, None)


# What is said on the way: a refund. -----------------------------------------------------------------------------------


def ask_for_refund(state: Refund, m: RefundPayment, context: Context) -> Change:
    """Have the gateway give the money back."""
    key = refund_key(state.order_id, state.number)
    call = {
        "order_id": state.order_id,
        "refund": state.number,
        "key": key,
        "reference": state.capture,
        "amount": state.amount,
        "reason": state.reason,
    }
    return {}, (Effect(key, REFUND_EFFECT, call),)


def tell_refunded(state: Refund, m: GatewayRefunded, context: Context) -> Change:
    """The money is back."""
    if m.amount != state.amount:
        raise MoneyMistake(f"refund {state.number} of {state.order_id} is {state.amount}, the gateway gave {m.amount}")
    said = PaymentRefunded(
        order_id=state.order_id,
        refund=state.number,
        amount=m.amount,
        reference=m.reference,
        reason=state.reason,
        liable=state.liable,
        at=m.at,
    )
    entry = JournalEntry(state.order_id, m.at, "refunded", m.amount, m.reference, state.reason, state.liable)
    return {"reference": m.reference, "at": m.at}, (said, entry)


def tell_refused(state: Refund, m: GatewayRefusedRefund, context: Context) -> Change:
    """A person has to see to it: the order has a ticket raised; here it raises an alarm (refused.py)."""
    return _refused(state, m.code)


def refuse_over_rest(state: Refund, m: RefundOverRest, context: Context) -> Change:
    """No gateway would do it, and the order must not wait for it."""
    return _refused(state, OVER_REST)


def _refused(state: Refund, code: str) -> Change:
    said = PaymentRefundRefused(
        order_id=state.order_id, refund=state.number, amount=state.amount, reference=state.capture, code=code
    )
    return {"code": code}, (said,)


# The tables. ----------------------------------------------------------------------------------------------------------


def _whatever_is_awaited(phase: Phase) -> dict[type, Cell]:
    return {
        StrayMoney: to(phase, keep_stray),
        UnansweredLate: to(phase, ask),
        KnownMoney: IGNORE,
        LateAnswer: IGNORE,
        SameAttempt: IGNORE,
    }


PAYMENT = Table(
    "payment",
    {
        Phase.NEW: {
            TakePayment: to(Phase.CHARGING, charge),
            StrayMoney: to(Phase.OPEN, keep_stray),
        },
        Phase.CHARGING: {
            AwaitedMoney: to(Phase.TAKEN, take),
            GatewayDeclined: to(Phase.OPEN, tell_declined),
            GatewayTimedOut: to(Phase.ASKING, ask),
            GatewayKnowsNoMoney: to(Phase.OPEN, give_up),  # after a restart the charge is asked about, not sent again
            **_whatever_is_awaited(Phase.CHARGING),
        },
        Phase.ASKING: {
            AwaitedMoney: to(Phase.TAKEN, take),
            GatewayDeclined: to(Phase.OPEN, tell_declined),
            GatewayKnowsNoMoney: to(Phase.OPEN, give_up),
            **_whatever_is_awaited(Phase.ASKING),
        },
        Phase.OPEN: {
            TakePayment: to(Phase.CHARGING, charge),
            **_whatever_is_awaited(Phase.OPEN),
        },
        Phase.TAKEN: {
            **_whatever_is_awaited(Phase.TAKEN),
        },
    },
)

REFUND = Table(
    "refund",
    {
        RefundPhase.NEW: {
            RefundPayment: to(RefundPhase.ASKED, ask_for_refund),
            RefundOverRest: to(RefundPhase.REFUSED, refuse_over_rest),
        },
        RefundPhase.ASKED: {
            GatewayRefunded: to(RefundPhase.REFUNDED, tell_refunded),
            GatewayRefusedRefund: to(RefundPhase.REFUSED, tell_refused),
            RefundPayment: IGNORE,
        },
        RefundPhase.REFUNDED: {
            RefundPayment: IGNORE,
            GatewayRefunded: IGNORE,  # asked again after a restart: the key makes it the same refund
        },
        RefundPhase.REFUSED: {
            RefundPayment: IGNORE,
            GatewayRefusedRefund: IGNORE,
        },
    },
)


# Reading: which of the table's messages is it? ------------------------------------------------------------------------


def read(state: Payment, m: Any) -> Any:
    """The message as the payment's table knows it."""
    if isinstance(m, TakePayment):
        return SameAttempt() if any(a.number >= m.attempt for a in state.attempts) else m
    live = state.live
    key = m.attempt_key if isinstance(m, ReportMoney) else m.key
    is_live = live is not None and key == attempt_key(state.order_id, live.number)
    if isinstance(m, ReportMoney | GatewayTook):
        if state.capture(m.reference) is not None:
            return KnownMoney()
        if live is None or not is_live:
            return StrayMoney(m)
        if m.amount != live.amount:
            raise MoneyMistake(f"attempt {key} is about {live.amount}, the gateway took {m.amount} ({m.reference})")
        return AwaitedMoney(m)
    if is_live:
        return m
    return UnansweredLate(m.key) if isinstance(m, GatewayTimedOut) else LateAnswer()


def read_refund(
    refund: Refund, payment: Payment | None, m: RefundPayment | GatewayRefunded | GatewayRefusedRefund
) -> Any:
    """The message as the refund's table knows it."""
    if isinstance(m, RefundPayment) and refund.phase is RefundPhase.NEW:
        return m if refund.amount <= _capture_of(payment, refund).remainder else RefundOverRest()
    return m


# The service. ---------------------------------------------------------------------------------------------------------

_ABOUT_REFUNDS = (RefundPayment, GatewayRefunded, GatewayRefusedRefund)


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The payment; for a refund also the refund."""
    yield ("payment", message.order_id)
    if isinstance(message, _ABOUT_REFUNDS):
        yield ("refund", message.order_id, str(message.refund))


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order's money."""
    if isinstance(message, _ABOUT_REFUNDS):
        return _decide_refund(message, look, context)
    key: Key = ("payment", message.order_id)
    payment: Payment = look(key) or Payment(message.order_id)
    outcome = PAYMENT.move(payment, read(payment, message), context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


def _decide_refund(
    message: RefundPayment | GatewayRefunded | GatewayRefusedRefund, look: Look, context: Context
) -> Outcome:
    key: Key = ("refund", message.order_id, str(message.refund))
    payment_key: Key = ("payment", message.order_id)
    refund: Refund = look(key) or _new_refund(message)
    read = read_refund(refund, look(payment_key), message)
    outcome = REFUND.move(refund, read, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    # What is asked for is gone from the capture at once, so that two refunds under way cannot promise the same money.
    if isinstance(read, RefundPayment):
        changed = _given_back(look(payment_key), refund, refund.amount)
    elif isinstance(read, GatewayRefusedRefund):
        changed = _given_back(look(payment_key), refund, -refund.amount)
    else:
        return Moved(((key, moved),), said)
    return Moved(((payment_key, changed), (key, moved)), said)


def _new_refund(message: RefundPayment | GatewayRefunded | GatewayRefusedRefund) -> Refund:
    if not isinstance(message, RefundPayment):
        raise MoneyMistake(
            f"the gateway answered refund {message.refund} of {message.order_id}, which nobody asked for"
        )
    m = message
    if m.amount < 1:
        raise MoneyMistake(f"refund {m.refund} of {m.order_id} is {m.amount}, which is no amount")
    return Refund(m.order_id, m.refund, RefundPhase.NEW, m.amount, m.reference, m.reason, m.liable)


def _capture_of(payment: Payment | None, refund: Refund) -> Capture:
    """The money that a refund goes back to."""
    capture = payment.capture(refund.capture) if payment else None
    if capture is None:
        raise MoneyMistake(f"refund {refund.number} of {refund.order_id}: no money came as {refund.capture}")
    return capture


def _given_back(payment: Payment, refund: Refund, amount: int) -> Payment:
    """The payment with that much more (or less) given back of the refund's capture."""
    capture = _capture_of(payment, refund)
    changed = capture._replace(given_back=capture.given_back + amount)
    return replace(payment, captures=tuple(changed if c is capture else c for c in payment.captures))


DECIDER = Decider(
    service="payment",
    listens=(TakePayment, RefundPayment, ReportMoney),
    needs=needs,
    decide=decide,
)
