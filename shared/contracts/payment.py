"""Payment: money taken and given back, in integer minor units, keyed by order."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.contracts.base import MONEY_MAX, Message, Moment, Money, Name, Number, Text

Liable = Literal["store", "courier", "customer", "supplier"]
"""Who bears the cost of a refund."""
REFUNDS_MAX = 1_000_000
"""Largest number of a refund."""
GATEWAY_TEXT_MAX = 200
"""Most characters of a key or a reference that a gateway tells."""

# What a gateway tells: the same for its webhooks, for its answers, and for whoever reports in its name over Kafka.
GatewayText = Annotated[
    str, StringConstraints(min_length=1, max_length=GATEWAY_TEXT_MAX, pattern=r"^[!-~](?:[ -~]*[!-~])?$")
]
MoneyMoved = Annotated[int, Field(ge=1, le=MONEY_MAX, strict=True)]


class PaymentCommand(Message):
    """About one order's money."""

    TOPIC = "payment.commands"
    order_id: Name


class TakePayment(PaymentCommand):
    """Take `amount` (minor units) with a method; `attempt` numbers the customer's clicks, from 1. Nothing (0) is taken
    at once, and no gateway hears of it."""

    attempt: Number
    amount: Money
    currency: Name
    method: Text


class RefundPayment(PaymentCommand):
    """Give `amount` (minor units) back. `refund` numbers the refunds of the order, from 1; `reference` names the
    capture that it goes back to. Nothing (0) is given back at once, and no gateway hears of it."""

    refund: Annotated[int, Field(ge=1, le=REFUNDS_MAX)]
    amount: Money
    reference: Text
    reason: Text
    liable: Liable


class ReportMoney(PaymentCommand):
    """The gateway's webhook says that it took money under `attempt_key`; `reference` is the gateway's own. Nothing of
    it is believed that the gateway, asked about the reference, does not say too."""

    reference: GatewayText
    attempt_key: GatewayText
    amount: MoneyMoved
    at: Moment


class PaymentEvent(Message):
    """A fact about one order's money."""

    TOPIC = "payment.events"
    order_id: Name


class PaymentTaken(PaymentEvent):
    """The money of the attempt that the order waits for; `reference` is the gateway's, of nothing (0) the attempt's own
    key."""

    attempt: Number
    amount: Money
    reference: Text
    at: Moment


class PaymentDeclined(PaymentEvent):
    """The gateway said no; the customer may try again."""

    attempt: Number
    code: Text


class PaymentGivenUp(PaymentEvent):
    """The gateway did not answer, and asked about it knows of no money: this attempt is over."""

    attempt: Number


class MoneyUnasked(PaymentEvent):
    """Money that nobody waits for: late, twice, for an ended order, or for one that never was. It goes back. `nth`
    counts the money that came for this order, from 1."""

    amount: Money
    reference: Text
    at: Moment
    nth: Number = 1


class PaymentRefunded(PaymentEvent):
    """The gateway gave money back; `reference` is the gateway's, of nothing (0) the refund's own key."""

    refund: Number
    amount: Money
    reference: Text
    reason: Text
    liable: Liable
    at: Moment


class PaymentRefundRefused(PaymentEvent):
    """The gateway refuses a refund for good: a person has to see to it. `code` is the gateway's; `reason` and `liable`
    are as they were asked with."""

    refund: Number
    amount: Money
    reference: Text
    code: Text
    reason: Text = ""
    liable: Liable = "store"
