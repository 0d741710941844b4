"""What a gateway answers, checked before anything is made of it.

A gateway is the outside world like any other: its texts, amounts and instants have the ranges of `ReportMoney`, so that
what is kept can be read back. An answer out of range is no answer: nobody knows what it means, so the gateway is asked
again. A code is only shown, and one that cannot be is replaced.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from services.payment.gateway import Captured, CaptureReported, Declined, GatewayError, Refunded, RefundRefused
from shared.contracts import payment
from shared.contracts.base import Moment

UNREADABLE_CODE = "unreadable_code"
"""Stands for a code that is empty, too long, or not plain text."""
SHOWN_MAX = 300
"""Most characters of an unusable answer that are logged."""

_text: TypeAdapter[Any] = TypeAdapter(payment.GatewayText)
_amount: TypeAdapter[Any] = TypeAdapter(payment.MoneyMoved)
_at: TypeAdapter[Any] = TypeAdapter(Moment)

T = TypeVar("T")


class UnusableAnswer(GatewayError):
    """The gateway answered with a text, an amount or an instant that cannot be meant."""


def usable(answer: T) -> T:
    """The answer, if all that it tells is in range. Raises UnusableAnswer."""
    try:
        match answer:
            case Captured() | Refunded() | CaptureReported():
                _text.validate_python(answer.reference)
                _amount.validate_python(answer.amount)
                _at.validate_python(answer.at)
                if isinstance(answer, CaptureReported):
                    _text.validate_python(answer.order_id)
                    _text.validate_python(answer.key)
            case Declined() | RefundRefused():
                if not _is_text(answer.code):
                    return replace(answer, code=UNREADABLE_CODE)
    except ValidationError as wrong:
        raise UnusableAnswer(f"{wrong.errors()[0]['msg']}: {answer!r}"[:SHOWN_MAX]) from None
    return answer


def _is_text(code: Any) -> bool:
    try:
        _text.validate_python(code)
    except ValidationError:
        return False
    return True
