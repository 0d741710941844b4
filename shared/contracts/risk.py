"""Risk: may this order go on, and is its stock locked at placing or deducted at payment?"""

from __future__ import annotations

from typing import Literal

from shared.contracts.base import Account, Device, Message, Moment, Money, Name, Text


class RiskCommand(Message):
    """Keyed by account, so that one writer sees all of an account's orders."""

    TOPIC = "risk.commands"
    KEY = "account"
    order_id: Name
    account: Account


class ScreenOrder(RiskCommand):
    """Look at this order; `total` in minor units."""

    device: Device | None = None
    address: Text | None = None
    total: Money


class WithdrawScreening(RiskCommand):
    """The order ended while it was in review: nobody needs to look at it any more."""


class DecideReview(RiskCommand):
    """A risk analyst's verdict on an order in review."""

    verdict: Literal["clear", "restrict", "refuse"]
    note: Text = ""


class CustomerCancelled(Message):
    """A customer's own doing ended an order: cancelled, or not to be reached at the door. Never said of what was our
    fault."""

    TOPIC = "risk.activity"
    KEY = "account"
    account: Account
    order_id: Name
    reason: Text
    at: Moment


class Verdict(Message):
    """What risk says of an order."""

    TOPIC = "risk.events"
    order_id: Name
    reason: Text = ""


class OrderCleared(Verdict):
    """Nothing speaks against it: its stock is locked at placing."""


class OrderRestricted(Verdict):
    """It may go on, but its stock is deducted only when it is paid."""


class OrderReferred(Verdict):
    """A person decides; nobody deciding in time means restricted."""


class OrderRefused(Verdict):
    """It may not go on."""
