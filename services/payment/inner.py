"""Messages that never leave the service: what the gateway answered."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class OfOrder(Struct, frozen=True):
    """About one order's money."""

    order_id: str

    @property
    def subject(self) -> str:
        """Messages of one order park behind each other."""
        return self.order_id


class OfAttempt(OfOrder, frozen=True):
    """About the attempt with this key."""

    key: str


class GatewayTook(OfAttempt, frozen=True):
    """The money was taken."""

    reference: str
    amount: int
    at: datetime


class GatewayFound(GatewayTook, frozen=True):
    """Asked about the reference of a report, the gateway says whose money that is: `key`, amount and time are its own,
    and `owner` is the order that it knows it for, perhaps another."""

    report: str
    owner: str


class GatewayFoundNothing(OfOrder, frozen=True):
    """Asked about the reference of a report, the gateway knows no such money."""

    report: str


class GatewayDeclined(OfAttempt, frozen=True):
    """The gateway said no."""

    code: str


class GatewayTimedOut(OfAttempt, frozen=True):
    """No answer: the money may have moved."""


class GatewayKnowsNoMoney(OfAttempt, frozen=True):
    """Asked about the attempt, the gateway knows of no money."""


class GatewayRefunded(OfOrder, frozen=True):
    """The money of a refund went back."""

    refund: int
    reference: str
    amount: int
    at: datetime


class GatewayRefusedRefund(OfOrder, frozen=True):
    """The gateway will not give this back, however often it is asked."""

    refund: int
    code: str
