"""The gateway simulator's rules, pure, over its book: no clock, no chance, no I/O.

Methods (a promise, DESIGN §10): `tok_ok`, `tok_declined`, `tok_slow:S` (money at once, the answer after S seconds),
`tok_late:S` (no answer; the money after S seconds, told by webhook), `tok_twice` (two captures, the second told by
webhook). Beside the promised ones: `tok_no_refund` (money at once, and none of it ever goes back). Anything else is
declined.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from services.payment.gateway import (
    Captured,
    Charged,
    Declined,
    Found,
    GivenBack,
    KeyReused,
    Known,
    NoMoney,
    Refunded,
    RefundRefused,
    UnknownKey,
    UnknownReference,
)
from services.payment.simulator.book import (
    Answer,
    Ask,
    Book,
    BookedRefund,
    Call,
    Charge,
    Intent,
    LookUp,
    PendingCapture,
    Refund,
    RefusedRefund,
    Reply,
    as_reported,
    capture_reference,
    refund_reference,
)
from shared.contracts.base import MONEY_MAX

METHOD_MAX = 64
"""Most characters of a method that the book keeps."""
NO_REFUND = "tok_no_refund"
"""The method whose money stays: a closed account, for all that the caller learns."""
MALFORMED = "malformed"
"""What the book keeps of a method that no database would: too long, or not plain text."""

_METHOD = re.compile(r"tok_(?:(ok|declined|twice|no_refund)|(slow|late):([0-9]{1,7}(?:\.[0-9]{1,6})?))")


def simulated_gateway_answer(
    book: Book, call: Call, now: datetime, timeout_s: float
) -> tuple[Charged | Known | GivenBack | Found | None, float]:
    """What a caller hears, and how many seconds after the call. None: the call timed out, ask about it."""
    answer = answer_call(book, call, now)
    return answer.told(timeout_s) if isinstance(answer, Reply) else (answer, 0.0)


def answer_call(book: Book, call: Call, now: datetime) -> Answer:
    """Books a call and answers it; raises KeyReused."""
    match call:
        case Charge():
            return charge(book, call, now)
        case Ask():
            return ask(book, call, now)
        case Refund():
            return refund(book, call, now)
        case LookUp():
            return look_up(book, call)


def charge(book: Book, call: Charge, now: datetime) -> Reply:
    """Takes money as the method says, once per key. An amount that is none is declined and not booked."""
    if not 1 <= call.amount <= MONEY_MAX:
        return Reply(Declined("invalid_amount"))
    call = call if _is_plain(call.method) else Charge(call.key, call.order_id, call.amount, call.currency, MALFORMED)
    intent = book.intents.get(call.key)
    if intent is None:
        intent = _first_charge(book, call, now)
    elif intent.charge != call:
        raise KeyReused(f"charge {call.key} was asked for as {intent.charge}, and now as {call}: take a new key")
    else:
        _settle(book, call.key, now)
    return _reply(book, intent, now)


def ask(book: Book, call: Ask, now: datetime) -> Known:
    """What became of a charge. What was refunded since was captured all the same."""
    intent = book.intents.get(call.key)
    if intent is None:
        return UnknownKey()
    _settle(book, call.key, now)
    return _reply(book, intent, now).answer or NoMoney()


def refund(book: Book, call: Refund, now: datetime) -> GivenBack:
    """Gives back a part or all of what is left of a capture, once per key. An invalid amount is not booked."""
    if not 1 <= call.amount <= MONEY_MAX:
        return RefundRefused("invalid_amount")
    before = book.refunds.get(call.key) or book.refused.get(call.key)
    if before is not None and before.refund != call:
        raise KeyReused(f"refund {call.key} was asked for as {before.refund}, and now as {call}: take a new key")
    if isinstance(before, BookedRefund):
        return Refunded(before.reference, before.refund.amount, before.at)
    if before is not None:
        return RefundRefused(before.code)
    capture = book.captures.get(call.capture)
    if capture is None:
        code = "unknown_capture"
    elif call.amount > capture.amount - book.refunded(call.capture):
        code = "exceeds_capture"
    elif book.intents[capture.key].charge.method == NO_REFUND:
        code = "not_refundable"
    else:
        booked = BookedRefund(call, refund_reference(call.key), capture.order_id, capture.currency, now)
        book.write_refund(booked)
        return Refunded(booked.reference, call.amount, now)
    book.write_refused(RefusedRefund(call, code, now))
    return RefundRefused(code)


def look_up(book: Book, call: LookUp) -> Found:
    """A capture by its reference, also one that was refunded since."""
    capture = book.captures.get(call.reference)
    return UnknownReference() if capture is None else as_reported(capture)


def make_due_captures(book: Book, now: datetime) -> None:
    """Takes the money of pending captures whose time has come, in the order of their times."""
    due = [pending for pending in book.pending.values() if pending.due_at <= now]
    for pending in sorted(due, key=lambda pending: (pending.due_at, pending.key)):
        book.make(pending)


def _first_charge(book: Book, call: Charge, now: datetime) -> Intent:
    kind, seconds = _behaviour(call.method)
    refusal = {"unknown": "unknown_method", "declined": "card_declined"}.get(kind)
    intent = Intent(call, refusal, now)
    book.write_intent(intent)
    if kind == "late":
        book.write_pending(PendingCapture(call.key, now + timedelta(seconds=seconds)))
    elif refusal is None:
        book.write_capture(call, 1, now)
    if kind == "twice":
        book.report(book.write_capture(call, 2, now))
    return intent


def _reply(book: Book, intent: Intent, now: datetime) -> Reply:
    """The answer to a charge, first or repeated, from what stands in the book."""
    if intent.declined is not None:
        return Reply(Declined(intent.declined))
    capture = book.captures.get(capture_reference(intent.charge.key))
    if capture is None:
        return Reply(None)
    kind, seconds = _behaviour(intent.charge.method)
    waited_s = (now - intent.at).total_seconds()
    delay_s = max(0.0, seconds - waited_s) if kind == "slow" else 0.0
    return Reply(Captured(capture.reference, capture.amount, capture.at), delay_s)


def _settle(book: Book, key: str, now: datetime) -> None:
    """A gateway takes money on time, whether or not somebody came to write it down."""
    pending = book.pending.get(key)
    if pending is not None and pending.due_at <= now:
        book.make(pending)


def _behaviour(method: str) -> tuple[str, float]:
    match = _METHOD.fullmatch(method)
    if match is None:
        return "unknown", 0.0
    plain, timed, seconds = match.groups()
    return (plain, 0.0) if plain else (timed, float(seconds))


def _is_plain(method: str) -> bool:
    return len(method) <= METHOD_MAX and method.isascii() and method.isprintable()
