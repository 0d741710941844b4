"""Order: what people ask of an order, and what the order service tells of its life."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts.base import (
    LINES_MAX,
    Account,
    Device,
    Filled,
    Message,
    Moment,
    Money,
    Name,
    OrderId,
    Part,
    Pieces,
    Quantity,
    Slot,
    Spus,
    Text,
)

Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


COUPONS_MAX = 20
"""Most coupons of one order."""
CLAIMS_MAX = COUPONS_MAX + 2 * LINES_MAX + 1
"""Most promotions with a limit in one order: its coupons, at most one for each line and one for the total, twice the
lines for those that it had before."""
PER_ACCOUNT_MAX = 1_000
"""Largest limit of a promotion for one account."""
Coupons = Annotated[tuple[Name, ...], Field(max_length=COUPONS_MAX)]
Limit = Annotated[int, Field(ge=1, le=PER_ACCOUNT_MAX, strict=True)]
"""How many orders of an account may have a promotion; of a flash sale, how many pieces."""


class Delivery(Part):
    """Where the goods go: a point (WGS 84 degrees) and what the courier needs to find the door."""

    lat: Latitude
    lon: Longitude
    address: Filled
    phone: Text | None = None
    note: Text | None = None


class OrderCommand(Message):
    """Keyed and about an order."""

    TOPIC = "order.commands"
    order_id: OrderId


class PlaceOrder(OrderCommand):
    """A basket for a store, or for a delivery point inside a store's area; now, or in a slot.

    `spus` and `quantities` (pieces) are parallel; an SPU that stands twice is summed. `expected_total` is in minor
    units: the order is refused when larder computes another one.
    """

    order_id: Name
    account: Account
    store: Name | None = None
    delivery: Delivery | None = None
    spus: Annotated[tuple[Name, ...], Field(min_length=1, max_length=LINES_MAX)]
    quantities: Annotated[tuple[Quantity, ...], Field(min_length=1, max_length=LINES_MAX)]
    slot: Slot | None = None
    expected_total: Money | None = None
    device: Device | None = None
    coupons: Coupons = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len(self.spus) != len(self.quantities):
            raise ValueError("spus and quantities must have the same length")
        if self.store is None and self.delivery is None:
            raise ValueError("an order names a store or a delivery point")
        if len(set(self.coupons)) != len(self.coupons):
            raise ValueError("an order names a coupon once")
        return self


class PayOrder(OrderCommand):
    """The customer's click: pay `expected_total` (minor units) with `method`, a token of the gateway."""

    method: Annotated[Filled, Field(max_length=200)]
    expected_total: Money


class CancelOrder(OrderCommand):
    """The wish to end the order; the cancel policy says whether it may still be."""

    reason: Text = ""


class Claim(Part):
    """A promotion that an account may have so often: `limit` as the order read it, `units` of it for this order."""

    promotion: Name
    units: Quantity
    limit: Limit


class AccountCommand(Message):
    """From an order to its account, which counts what it may have only so often. Keyed by account: one writer each."""

    TOPIC = "order.commands"
    KEY = "account"
    order_id: Name
    account: Account


class ClaimPromotions(AccountCommand):
    """The customer clicked on a price with these in it: all of them or none. What the order had claimed before, and
    names no more (`dropped`), it gives back."""

    claims: Annotated[tuple[Claim, ...], Field(max_length=CLAIMS_MAX)]
    dropped: Annotated[tuple[Name, ...], Field(max_length=CLAIMS_MAX)] = ()


class ReturnPromotions(AccountCommand):
    """The order ended before its goods were delivered: others of the account may have these now."""

    promotions: Annotated[tuple[Name, ...], Field(min_length=1, max_length=CLAIMS_MAX)]


class SettleClaim(OrderCommand):
    """The account's answer to ClaimPromotions: `denied` are those that it has had as often as it may; none: granted."""

    denied: Annotated[tuple[Name, ...], Field(max_length=CLAIMS_MAX)] = ()


class TellSale(Message):
    """A flash sale was written or ended: the stores are to know until when it is on."""

    TOPIC = "order.commands"
    KEY = "promotion"
    SUBJECT = "promotion"
    promotion: Name


class OrderEvent(Message):
    """A fact in an order's life."""

    TOPIC = "order.events"
    order_id: OrderId
    store: Name
    account: Account


class OrderPayable(OrderEvent):
    """Stock is held, the customer may pay `total` until `payable_until`. Said again when a payment came to nothing."""

    total: Money
    payable_until: Moment


class OrderPaid(OrderEvent):
    """Money is in and stock is deducted: the store may begin."""

    total: Money


class OrderDelivered(OrderEvent):
    """The courier handed the goods over."""


class OrderClosed(OrderEvent):
    """The after-sales window is shut: nothing can be done to this order any more."""


class OrderCancelled(OrderEvent):
    """The order ended without delivery; whatever was paid has been given back."""

    reason: Text


class OrderRejected(OrderEvent):
    """The order ended before it could be paid; `reason` says why, `spus` and `missing` name the short lines."""

    reason: Text
    spus: Spus = ()
    missing: Pieces = ()
