"""An order's money, as two tables: the payment, and each of its refunds.

Theory of operation. An attempt to take money is charged once; a charge that timed out is asked about, never sent
again. News of money come from three sides (the answer to the charge, the answer to the question, and what the gateway
says of a reference that a webhook reported, see reports.py), in any order and any number of times, so money is
recognised by the gateway's own reference:

- a reference that is known already is no news;
- money under the key of the live attempt is the taking, whoever tells of it first;
- all other money is unasked: it is kept in the books, and the order service is told, which has it refunded.

What the gateway says may still disagree with what was asked of it: money of another amount, under a key that is none of
ours, or the same money told otherwise. Nothing stops for that. What moved is booked as it moved, money that was not
asked for so is unasked, an attempt that it answers is given up, and the contradiction is kept for a person.

A refund belongs to one capture and never exceeds what is left of it: one that would is refused here, and the gateway
never hears of it. Several may be under way at once, whatever the phase of the payment. Whoever refuses, the order
service is told, which has a person see to it.

A price may be nothing, and so may what is left to give back. That is answered at once: no gateway moves nothing, and no
book has a line of it. Where the gateway's reference would stand, the key stands that it would have been asked with.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from services.payment import inner
from services.payment.reports import REPORT, KnownMoney, as_known, new_report, read_report
from services.payment.state import (
    Attempt,
    Capture,
    Contradiction,
    JournalEntry,
    Payment,
    Phase,
    Refund,
    RefundPhase,
    attempt_key,
    digest_of,
    refund_key,
)
from shared.contracts import payment
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import Effect
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, Outcome, Refused, Table, to

CHARGE, ASK, REFUND_EFFECT = "charge", "ask", "refund"
"""The kinds of effect."""
OVER_REST = "refund_over_rest"
"""Why a refund is refused here: less is left of the capture."""
GATEWAY = "gateway:"
"""Who tells what the gateway itself answers."""
NEVER_ASKED, OTHER_AMOUNT, TOLD_OTHERWISE = "never_asked", "other_amount", "told_otherwise"
"""Why an answer of the gateway is a contradiction: its key is none of ours; its amount is not the one asked for; it is
about money in the books and does not agree with them."""


class MoneyMistake(ValueError):
    """Something about money that cannot be: the message parks, and a person has to look at it."""


# What a message turns out to be, seen with the payment. ---------------------------------------------------------------


class AwaitedMoney(Struct, frozen=True):
    """The money of the live attempt."""

    money: inner.GatewayTook


class StrayMoney(Struct, frozen=True):
    """Money that nobody waits for; `why` it disagrees with what was asked for, if it does."""

    money: inner.GatewayTook
    why: str = ""


class KnownOtherwise(Struct, frozen=True):
    """Money that is in the books with another key or amount."""

    money: inner.GatewayTook
    known: Capture


class TakenOtherwise(Struct, frozen=True):
    """The answer to the live attempt, and it is money of another amount."""

    money: inner.GatewayTook


class AnsweredWithKnown(Struct, frozen=True):
    """The answer to the live attempt, and it is money that came in before, unasked."""

    money: inner.GatewayTook
    known: Capture


class LateAnswer(Struct, frozen=True):
    """An answer about an attempt that is over: its money was reported before the answer came."""


class UnansweredLate(Struct, frozen=True):
    """The charge of an attempt that is over got no answer. Money of it was reported meanwhile, but the gateway may have
    taken more than that."""

    key: str


class NothingToTake(Struct, frozen=True):
    """A `TakePayment` of nothing."""

    attempt: int
    method: str


class SameAttempt(Struct, frozen=True):
    """A repeat of a `TakePayment` that is under way or over."""


class NothingToRefund(Struct, frozen=True):
    """A `RefundPayment` of nothing."""


class RefundOverRest(Struct, frozen=True):
    """A refund of more than is left of its capture."""


class RefundedOtherwise(Struct, frozen=True):
    """The gateway gave back another amount than it was asked for."""

    given: inner.GatewayRefunded


# What is said on the way: the payment. --------------------------------------------------------------------------------


def charge(state: Payment, m: payment.TakePayment, context: Context) -> Change:
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


def take_nothing(state: Payment, m: NothingToTake, context: Context) -> Change:
    """Paid at once: the click is all that it takes."""
    said = payment.PaymentTaken(
        order_id=state.order_id,
        attempt=m.attempt,
        amount=0,
        reference=attempt_key(state.order_id, m.attempt),
        at=context.now,
    )
    return {"attempts": (*state.attempts, Attempt(m.attempt, 0, m.method, "taken"))}, (said,)


def ask(state: Payment, m: inner.GatewayTimedOut | UnansweredLate, context: Context) -> Change:
    """The money may have moved: only the gateway knows."""
    return {}, (Effect(f"{m.key}:ask", ASK, {"order_id": state.order_id, "key": m.key}),)


def tell_declined(state: Payment, m: inner.GatewayDeclined, context: Context) -> Change:
    """The customer may try again."""
    attempts, attempt = _ended(state, "declined", m.code)
    return {"attempts": attempts}, (
        payment.PaymentDeclined(order_id=state.order_id, attempt=attempt.number, code=m.code),
    )


def give_up(
    state: Payment, m: inner.GatewayKnowsNoMoney | TakenOtherwise | AnsweredWithKnown, context: Context
) -> Change:
    """This attempt is over. Money that comes of it all the same will be unasked."""
    attempts, attempt = _ended(state, "given_up")
    return {"attempts": attempts}, (payment.PaymentGivenUp(order_id=state.order_id, attempt=attempt.number),)


def take(state: Payment, m: AwaitedMoney, context: Context) -> Change:
    """The money is in."""
    money = m.money
    attempts, attempt = _ended(state, "taken")
    said = payment.PaymentTaken(
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
    said = payment.MoneyUnasked(
        order_id=state.order_id,
        amount=money.amount,
        reference=money.reference,
        at=money.at,
        nth=len(state.captures) + 1,
    )
    kept = (_contradiction(money, m.why, context, _asked(state)),) if m.why else ()
    return _booked(state, money), (said, _captured(money, "unasked"), *kept)


def give_up_otherwise(state: Payment, m: TakenOtherwise, context: Context) -> Change:
    """Other money than was asked for is not the payment: it goes back, and the customer may try again."""
    booked, said = keep_stray(state, StrayMoney(m.money, OTHER_AMOUNT), context)
    given_up, told = give_up(state, m, context)
    return {**booked, **given_up}, (*told, *said)


def give_up_known(state: Payment, m: AnsweredWithKnown, context: Context) -> Change:
    """The attempt is over, and its money is on its way back."""
    given_up, told = give_up(state, m, context)
    return given_up, (*told, _contradiction(m.money, TOLD_OTHERWISE, context, as_known(m.known)))


def keep_otherwise(state: Payment, m: KnownOtherwise, context: Context) -> Change:
    """The books stay as they are."""
    return {}, (_contradiction(m.money, TOLD_OTHERWISE, context, as_known(m.known)),)


def _asked(state: Payment) -> dict[str, Any]:
    """What was asked of the gateway last; nothing, where nobody ever did."""
    if not state.attempts:
        return {}
    last = state.attempts[-1]
    return {"attempt_key": attempt_key(state.order_id, last.number), "amount": last.amount}


def _contradiction(money: inner.GatewayTook, why: str, context: Context, known: dict[str, Any]) -> Contradiction:
    told = {"order_id": money.order_id, "attempt_key": money.key, "amount": money.amount, "at": money.at}
    return Contradiction(money.order_id, money.reference, context.now, why, GATEWAY, told, known)


def _ended(state: Payment, outcome: str, code: str = "") -> tuple[tuple[Attempt, ...], Attempt]:
    *earlier, live = state.attempts
    ended = live._replace(outcome=outcome, code=code)
    return (*earlier, ended), ended


def _booked(state: Payment, money: inner.GatewayTook) -> dict[str, Any]:
    return {"captures": (*state.captures, Capture(money.reference, money.amount, money.at, key=money.key))}


def _captured(money: inner.GatewayTook, reason: str) -> JournalEntry:
    return JournalEntry(money.order_id, money.at, "captured", money.amount, money.reference, reason, None)


# What is said on the way: a refund. -----------------------------------------------------------------------------------


def ask_for_refund(state: Refund, m: payment.RefundPayment, context: Context) -> Change:
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


def tell_refunded(state: Refund, m: inner.GatewayRefunded, context: Context) -> Change:
    """The money is back: as much of it as the gateway says."""
    changes, said = _refunded(state, m.amount, m.reference, m.at)
    entry = JournalEntry(state.order_id, m.at, "refunded", m.amount, m.reference, state.reason, state.liable)
    return changes, (*said, entry)


def refund_nothing(state: Refund, m: NothingToRefund, context: Context) -> Change:
    """There was nothing to give back, and the order need not wait."""
    return _refunded(state, 0, refund_key(state.order_id, state.number), context.now)


def _refunded(state: Refund, amount: int, reference: str, at: datetime) -> Change:
    said = payment.PaymentRefunded(
        order_id=state.order_id,
        refund=state.number,
        amount=amount,
        reference=reference,
        reason=state.reason,
        liable=state.liable,
        at=at,
    )
    return {"amount": amount, "reference": reference, "at": at}, (said,)


def tell_refunded_otherwise(state: Refund, m: RefundedOtherwise, context: Context) -> Change:
    """Money moved, and not what was asked for: it is booked as it moved, and a person has to put it right."""
    changes, said = tell_refunded(state, m.given, context)
    told, known = {"order_id": state.order_id, "amount": m.given.amount, "at": m.given.at}, {"amount": state.amount}
    kept = Contradiction(state.order_id, m.given.reference, context.now, OTHER_AMOUNT, GATEWAY, told, known)
    return changes, (*said, kept)


def tell_refused(state: Refund, m: inner.GatewayRefusedRefund, context: Context) -> Change:
    """A person has to see to it: the order has a ticket raised; here it raises an alarm (refused.py)."""
    return _refused(state, m.code)


def refuse_over_rest(state: Refund, m: RefundOverRest, context: Context) -> Change:
    """No gateway would do it, and the order must not wait for it."""
    return _refused(state, OVER_REST)


def _refused(state: Refund, code: str) -> Change:
    said = payment.PaymentRefundRefused(
        order_id=state.order_id,
        refund=state.number,
        amount=state.amount,
        reference=state.capture,
        code=code,
        reason=state.reason,
        liable=state.liable,
    )
    return {"code": code}, (said,)


# The tables. ----------------------------------------------------------------------------------------------------------


def _whatever_is_awaited(phase: Phase) -> dict[type, Cell]:
    return {
        StrayMoney: to(phase, keep_stray),
        UnansweredLate: to(phase, ask),
        KnownMoney: IGNORE,
        KnownOtherwise: to(phase, keep_otherwise),
        LateAnswer: IGNORE,
        SameAttempt: IGNORE,
    }


_ANSWERED: dict[type, Cell] = {
    AwaitedMoney: to(Phase.TAKEN, take),
    TakenOtherwise: to(Phase.OPEN, give_up_otherwise),
    AnsweredWithKnown: to(Phase.OPEN, give_up_known),
    inner.GatewayDeclined: to(Phase.OPEN, tell_declined),
    inner.GatewayKnowsNoMoney: to(Phase.OPEN, give_up),  # after a restart the charge is asked about, not sent again
}

PAYMENT = Table(
    "payment",
    {
        Phase.NEW: {
            payment.TakePayment: to(Phase.CHARGING, charge),
            NothingToTake: to(Phase.TAKEN, take_nothing),
            StrayMoney: to(Phase.OPEN, keep_stray),
        },
        Phase.CHARGING: {
            **_ANSWERED,
            inner.GatewayTimedOut: to(Phase.ASKING, ask),
            **_whatever_is_awaited(Phase.CHARGING),
        },
        Phase.ASKING: {
            **_ANSWERED,
            **_whatever_is_awaited(Phase.ASKING),
        },
        Phase.OPEN: {
            payment.TakePayment: to(Phase.CHARGING, charge),
            NothingToTake: to(Phase.TAKEN, take_nothing),
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
            payment.RefundPayment: to(RefundPhase.ASKED, ask_for_refund),
            NothingToRefund: to(RefundPhase.REFUNDED, refund_nothing),
            RefundOverRest: to(RefundPhase.REFUSED, refuse_over_rest),
        },
        RefundPhase.ASKED: {
            inner.GatewayRefunded: to(RefundPhase.REFUNDED, tell_refunded),
            RefundedOtherwise: to(RefundPhase.REFUNDED, tell_refunded_otherwise),
            inner.GatewayRefusedRefund: to(RefundPhase.REFUSED, tell_refused),
            payment.RefundPayment: IGNORE,
        },
        RefundPhase.REFUNDED: {
            payment.RefundPayment: IGNORE,
            # Asked again after a restart: the key makes it the same refund.
            **dict.fromkeys((inner.GatewayRefunded, RefundedOtherwise), IGNORE),
        },
        RefundPhase.REFUSED: {
            payment.RefundPayment: IGNORE,
            inner.GatewayRefusedRefund: IGNORE,
        },
    },
)


# Reading: which of the table's messages is it? ------------------------------------------------------------------------


def read(state: Payment, m: Any) -> Any:
    """The message as the payment's table knows it."""
    if isinstance(m, payment.TakePayment):
        if any(a.number >= m.attempt for a in state.attempts):
            return SameAttempt()
        return m if m.amount else NothingToTake(m.attempt, m.method)
    live = state.live
    is_live = live is not None and m.key == attempt_key(state.order_id, live.number)
    if isinstance(m, inner.GatewayTook):
        return _read_money(state, live if is_live else None, m)
    if is_live:
        return m
    return UnansweredLate(m.key) if isinstance(m, inner.GatewayTimedOut) else LateAnswer()


def _read_money(state: Payment, live: Attempt | None, m: inner.GatewayTook) -> Any:
    """`live`: the attempt that the money is for, if that has no answer yet. What is found by its reference is money
    like any other, but no answer to the attempt: that comes for itself."""
    known = state.capture(m.reference)
    is_answer = live is not None and not isinstance(m, inner.GatewayFound)
    if known is not None:
        if is_answer:
            return AnsweredWithKnown(m, known)
        same = known.key in ("", m.key) and known.amount == m.amount
        return KnownMoney() if same else KnownOtherwise(m, known)
    if live is None:
        ours = any(m.key == attempt_key(state.order_id, a.number) for a in state.attempts)
        return StrayMoney(m) if ours else StrayMoney(m, NEVER_ASKED)
    if m.amount != live.amount:
        return TakenOtherwise(m) if is_answer else StrayMoney(m, OTHER_AMOUNT)
    return AwaitedMoney(m)


def read_refund(
    refund: Refund, state: Payment | None, m: payment.RefundPayment | inner.GatewayRefunded | inner.GatewayRefusedRefund
) -> Any:
    """The message as the refund's table knows it."""
    if isinstance(m, inner.GatewayRefunded) and m.amount != refund.amount:
        return RefundedOtherwise(m)
    if isinstance(m, payment.RefundPayment) and refund.phase is RefundPhase.NEW:
        if not refund.amount:
            return NothingToRefund()
        return m if refund.amount <= _capture_of(state, refund).remainder else RefundOverRest()
    return m


# The service. ---------------------------------------------------------------------------------------------------------

_ABOUT_REFUNDS = (payment.RefundPayment, inner.GatewayRefunded, inner.GatewayRefusedRefund)
_ABOUT_REPORTS = (payment.ReportMoney, inner.GatewayFound, inner.GatewayFoundNothing)


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The payment; for a refund also the refund, for a report also the report."""
    yield ("payment", message.order_id)
    if isinstance(message, _ABOUT_REPORTS):
        yield ("report", message.order_id, _digest(message))
    if isinstance(message, _ABOUT_REFUNDS):
        yield ("refund", message.order_id, str(message.refund))


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order's money."""
    if isinstance(message, _ABOUT_REFUNDS):
        return _decide_refund(message, look, context)
    if isinstance(message, _ABOUT_REPORTS):
        return _decide_report(message, look, context)
    return _decide_payment(message, look, context)


def _decide_payment(message: Any, look: Look, context: Context) -> Outcome:
    key: Key = ("payment", message.order_id)
    state: Payment = look(key) or Payment(message.order_id)
    outcome = PAYMENT.move(state, read(state, message), context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


def _decide_report(
    message: payment.ReportMoney | inner.GatewayFound | inner.GatewayFoundNothing, look: Look, context: Context
) -> Outcome:
    """The report, and with it the money that the gateway knows for this order, whatever the report said of it."""
    key: Key = ("report", message.order_id, _digest(message))
    report = look(key) or _new_report(message, context)
    state = look(("payment", message.order_id)) or Payment(message.order_id)
    outcome = REPORT.move(report, read_report(report, state, message), context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    states: tuple[tuple[Key, Any], ...] = ((key, moved),)
    if isinstance(message, inner.GatewayFound) and message.owner == message.order_id:
        booked = _decide_payment(message, look, context)
        if isinstance(booked, Moved):
            states, said = (*states, *booked.states), (*booked.said, *said)
    return Moved(states, said)


def _digest(message: payment.ReportMoney | inner.GatewayFound | inner.GatewayFoundNothing) -> str:
    return digest_of(message) if isinstance(message, payment.ReportMoney) else message.report


def _new_report(message: payment.ReportMoney | inner.GatewayFound | inner.GatewayFoundNothing, context: Context) -> Any:
    if not isinstance(message, payment.ReportMoney):
        raise MoneyMistake(f"the gateway was asked about a report of {message.order_id} that nobody made")
    return new_report(message, context.actor)


def _decide_refund(
    message: payment.RefundPayment | inner.GatewayRefunded | inner.GatewayRefusedRefund, look: Look, context: Context
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
    if isinstance(read, payment.RefundPayment):
        changed = _given_back(look(payment_key), refund, refund.amount)
    elif isinstance(read, RefundedOtherwise):
        changed = _given_back(look(payment_key), refund, read.given.amount - refund.amount)
    elif isinstance(read, inner.GatewayRefusedRefund):
        changed = _given_back(look(payment_key), refund, -refund.amount)
    else:
        return Moved(((key, moved),), said)
    return Moved(((payment_key, changed), (key, moved)), said)


def _new_refund(message: payment.RefundPayment | inner.GatewayRefunded | inner.GatewayRefusedRefund) -> Refund:
    if not isinstance(message, payment.RefundPayment):
        raise MoneyMistake(
            f"the gateway answered refund {message.refund} of {message.order_id}, which nobody asked for"
        )
    m = message
    if m.amount < 0:
        raise MoneyMistake(f"refund {m.refund} of {m.order_id} is {m.amount}, which is no amount")
    return Refund(m.order_id, m.refund, RefundPhase.NEW, m.amount, m.reference, m.reason, m.liable)


def _capture_of(state: Payment | None, refund: Refund) -> Capture:
    """The money that a refund goes back to."""
    capture = state.capture(refund.capture) if state else None
    if capture is None:
        raise MoneyMistake(f"refund {refund.number} of {refund.order_id}: no money came as {refund.capture}")
    return capture


def _given_back(state: Payment, refund: Refund, amount: int) -> Payment:
    """The payment with that much more (or less) given back of the refund's capture."""
    capture = _capture_of(state, refund)
    changed = capture._replace(given_back=capture.given_back + amount)
    return replace(state, captures=tuple(changed if c is capture else c for c in state.captures))


DECIDER = Decider(
    service="payment",
    listens=(payment.TakePayment, payment.RefundPayment, payment.ReportMoney),
    needs=needs,
    decide=decide,
)
