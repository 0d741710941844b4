"""An order as the saga sees it, and the facts that it is decided on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from services.order.pricing import Applied
from shared.contracts import inventory, payment
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.said import Record


class Phase(StrEnum):
    """The rows of the table. A wish or a fact that changes what may come next is a phase, not a flag."""

    NEW = "new"
    RESERVING_SLOT = "reserving_slot"
    SCREENING = "screening"
    IN_REVIEW = "in_review"
    HOLDING = "holding"
    AWAITING_PAYMENT = "awaiting_payment"
    VERIFYING = "verifying"
    PAYING = "paying"
    PAYING_CANCEL_WANTED = "paying_cancel_wanted"
    DEDUCTING = "deducting"
    DEDUCTING_CANCEL_WANTED = "deducting_cancel_wanted"
    AWAITING_PICKING = "awaiting_picking"
    PICKING = "picking"
    SHORT = "short"
    SUBSTITUTING = "substituting"
    AWAITING_SHIPMENT = "awaiting_shipment"
    IN_DELIVERY = "in_delivery"
    DELIVERED = "delivered"
    STOPPING = "stopping"
    INTERCEPTING = "intercepting"
    RETURNING = "returning"
    RELEASING = "releasing"
    REVERSING = "reversing"
    REFUNDING = "refunding"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


ENDS = frozenset({Phase.CLOSED, Phase.CANCELLED, Phase.REJECTED})
"""Nothing but money that comes late can happen to an order here."""
RESTING = ENDS | {
    Phase.IN_REVIEW,
    Phase.AWAITING_PAYMENT,
    Phase.AWAITING_PICKING,
    Phase.PICKING,
    Phase.SHORT,
    Phase.AWAITING_SHIPMENT,
    Phase.IN_DELIVERY,
    Phase.DELIVERED,
    Phase.RETURNING,
}
"""Phases that wait for a person, a timer or nothing; the others wait for a service."""


SALES_ONLY = frozenset(
    {
        Phase.RESERVING_SLOT,
        Phase.SCREENING,
        Phase.IN_REVIEW,
        Phase.AWAITING_PAYMENT,
        Phase.VERIFYING,
        Phase.PAYING,
        Phase.PAYING_CANCEL_WANTED,
        Phase.REFUNDING,
    }
)
"""Phases that a replacement order is never in."""


class Lot(NamedTuple):
    """Pieces of one SPU and what was paid per piece. A substitute also says what it replaces, and its price now."""

    spu: str
    quantity: int
    price: int
    instead_of: str = ""
    list_price: int = 0


class Shortage(NamedTuple):
    """What a picker missed (parallel), the ticket that asks for a call, and until when somebody has to decide."""

    spus: tuple[str, ...]
    missing: tuple[int, ...]
    ticket_id: str = ""
    until: datetime | None = None


class Owed(NamedTuple):
    """A refund that the gateway refused, and the ticket about it; no ticket: it is being tried again."""

    refund: int
    ticket_id: str
    amount: int
    reference: str
    reason: str
    liable: payment.Liable


class Substitution(NamedTuple):
    """What the order will be when inventory has the substitutes: its lots, the money that goes back, and the pieces
    that nothing takes the place of."""

    lots: tuple[Lot, ...]
    given_up: int
    gone: tuple[Lot, ...] = ()


class Replacement(NamedTuple):
    """What a replacement order is for: the sales order that it hangs on, the order whose goods it replaces (the same,
    or another replacement), the ticket, its kind, and what the courier takes along."""

    replaces: str
    about: str
    ticket_id: str
    kind: str
    back_spus: tuple[str, ...] = ()
    back: tuple[int, ...] = ()


class Discounts(NamedTuple):
    """What an order was priced with, and `at` which instant: the promotions that came into its price, the coupons that
    it named, the promotions that were refused to it (for good), and those that it claimed from its account."""

    applied: tuple[Applied, ...] = ()
    coupons: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    at: datetime | None = None


NO_DISCOUNTS = Discounts()


class Order(Struct, frozen=True, gc=False):
    """One order. Money in minor units; `spus`, `quantities` (pieces) and `prices` (per piece, ordinary) are parallel;
    `total` is what they cost less `discounts`. `presale` are the SPUs that could not be had yet when it was placed.

    `attempt` counts clicks on pay, `refunds` the refunds asked for; `closing_refund` is the one that the phase
    `refunding` waits for; `reference` is the gateway's name of the money that was taken for this order, `given_back`
    how much of it was asked back. `lots` is what is to be delivered when that is not the lines any more. `ticket_id` is
    the intercept under way, `tickets` counts the tickets that the order raised. `overdue`: the goods did not come back.
    `replacement` says what a replacement order is for; one has lots from the beginning, and no money.

    `changed_at` is when anything besides the phase changed last, None if that was before it was loaded: it is not kept,
    and tells a batch's writes what has to be written.
    """

    order_id: str
    phase: Phase
    account: str = ""
    store: str = ""
    placed_at: datetime | None = None
    phase_since: datetime | None = None
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    prices: tuple[int, ...] = ()
    total: int = 0
    discounts: Discounts = NO_DISCOUNTS
    presale: tuple[str, ...] = ()
    delivery: ordering.Delivery | None = None
    slot: Slot | None = None
    device: str | None = None
    hold_mode: inventory.HoldMode | None = None
    payable_until: datetime | None = None
    attempt: int = 0
    method: str = ""
    paid: int = 0
    refunded: int = 0
    refunds: int = 0
    closing_refund: int = 0
    reference: str = ""
    reason: str = ""
    given_back: int = 0
    tickets: int = 0
    ticket_id: str = ""
    lots: tuple[Lot, ...] = ()
    shortage: Shortage | None = None
    substitution: Substitution | None = None
    owed: tuple[Owed, ...] = ()
    overdue: bool = False
    replacement: Replacement | None = None
    changed_at: datetime | None = None

    @property
    def kind(self) -> str:
        """What people call it."""
        return "replacement" if self.replacement else "sales"

    def totals(self) -> list[int]:
        """What each line costs after discounts, minor units."""
        totals = [q * p for q, p in zip(self.quantities, self.prices, strict=True)]
        for one in self.discounts.applied:
            totals = [total - off for total, off in zip(totals, one.discounts, strict=True)]
        return totals


class Claims(NamedTuple):
    """How often an account has had a promotion that it may have only so often: units by order. A state of the account's
    shard, and a fact for its orders."""

    units: Mapping[str, int]

    def had(self, but_by: str = "") -> int:
        """Units, but not this order's."""
        return sum(units for order_id, units in self.units.items() if order_id != but_by)


class Product(NamedTuple):
    """A fact: what an SPU costs now, in minor units, its category, and from when on it can be had at all."""

    price: int
    category: str = "other"
    available_from: datetime | None = None


class StoreFact(NamedTuple):
    """A fact: does the store take orders? A pause ends by itself."""

    accepting: bool
    paused_until: datetime | None = None


class SaleFact(NamedTuple):
    """A fact: until when a flash sale is on, in which stores, and in which it is not any more."""

    ends_at: datetime
    stores: tuple[str, ...]
    left: tuple[str, ...] = ()


# -- what is kept ------------------------------------------------------------------------------------------------------


class TimelineEntry(Record, frozen=True):
    """Something happened to the order: the phase it entered, the message that did it, and who sent it."""

    order_id: str
    at: datetime
    phase: str
    message: str
    actor: str


class Basket(Record, frozen=True):
    """The order's lines as they are priced now; written at placing, and again when the total changes."""

    order_id: str
    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    prices: tuple[int, ...]
    delivery: ordering.Delivery | None
    slot: Slot | None
    device: str | None
    discounts: Discounts = NO_DISCOUNTS
    presale: tuple[str, ...] = ()


def basket_of(order: Order, **changed: Any) -> Basket:
    """What is kept of an order's lines."""
    now: dict[str, Any] = {name: getattr(order, name) for name in Basket.__struct_fields__} | changed
    return Basket(**now)


class ClaimKept(Record, frozen=True):
    """An account's claim on a promotion for an order; units 0: given back."""

    account: str
    promotion: str
    order_id: str
    units: int


class Amendment(Record, frozen=True):
    """What few orders have, as it is now: what is to be delivered, what is short, what is owed; written when one of
    them changes."""

    order_id: str
    lots: tuple[Lot, ...]
    shortage: Shortage | None
    substitution: Substitution | None
    owed: tuple[Owed, ...] = ()
    overdue: bool = False
    replacement: Replacement | None = None


class Paper(Record, frozen=True):
    """Something that the order's page shows: a document, a payment, a refund, a ticket, the short lines, goods that the
    customer gave back, or what he got for goods."""

    order_id: str
    kind: str
    at: datetime
    body: dict[str, Any]
