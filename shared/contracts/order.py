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

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if len(self.spus) != len(self.quantities):
            raise ValueError("spus and quantities must have the same length")
        if self.store is None and self.delivery is None:
            raise ValueError("an order names a store or a delivery point")
        return self


class PayOrder(OrderCommand):
    """The customer's click: pay `expected_total` (minor units) with `method`, a token of the gateway."""

    method: Annotated[Filled, Field(max_length=200)]
    expected_total: Money


class CancelOrder(OrderCommand):
    """The wish to end the order; the cancel policy says whether it may still be."""

    reason: Text = ""


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
