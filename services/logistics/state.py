"""The store's work as logistics sees it: fulfilments, slots, and the places that orders have in them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from shared.contracts import order as ordering
from shared.runtime.said import Record
from shared.runtime.table import Key


class Phase(StrEnum):
    """The store's work on one order."""

    NEW = "new"
    WAITING_FOR_SLOT = "waiting_for_slot"
    QUEUED = "queued"
    PICKING = "picking"
    SHORT = "short"  # the shelf has less than the list: the picker waits for another list
    PICKED = "picked"
    PACKED = "packed"
    ON_THE_ROAD = "on_the_road"
    DELIVERED = "delivered"
    STOPPED = "stopped"  # the goods never left the store
    RETURNING = "returning"  # called back, or nobody was at the door
    RETURNED = "returned"
    INSPECTED = "inspected"


class SlotPhase(StrEnum):
    """Whether a store has said how many orders the slot takes."""

    NEW = "new"
    SET = "set"


class ReservationPhase(StrEnum):
    """An order's place in a slot."""

    NEW = "new"
    RESERVED = "reserved"
    REFUSED = "refused"
    FREED = "freed"


class ReturnPhase(StrEnum):
    """Goods of a ticket that a customer gives back."""

    NEW = "new"
    ANNOUNCED = "announced"
    COLLECTED = "collected"  # a courier has them
    RETURNED = "returned"  # at the store
    INSPECTED = "inspected"
    OVERDUE = "overdue"  # they did not come in time
    CALLED_OFF = "called_off"  # the goods that they were to be exchanged for do not come


class Fulfilment(Struct, frozen=True, gc=False):
    """One order in one store. Its lines, which seldom change, are apart (`PickList`).

    `called_off_at` is when its work ended without a delivery: stopped, or inspected. `take_along` is the ticket whose
    old goods the courier takes along.
    """

    order_id: str
    store: str
    phase: Phase
    received_at: datetime
    slot_start: datetime | None = None
    slot_end: datetime | None = None
    courier: str | None = None
    queued_at: datetime | None = None
    picking_at: datetime | None = None
    picked_at: datetime | None = None
    packed_at: datetime | None = None
    handed_over_at: datetime | None = None
    delivered_at: datetime | None = None
    called_off_at: datetime | None = None
    take_along: str | None = None


class PickList(Struct, frozen=True):
    """What to pick now, and where to bring it. `spus` and `quantities` (pieces) are parallel."""

    order_id: str
    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    delivery: ordering.Delivery | None


class Found(StrEnum):
    """What was found of pieces, on the shelf or after the road."""

    SHORT = "short"  # the picker did not find them
    RESELLABLE = "resellable"
    DAMAGED = "damaged"
    MISSING = "missing"  # they did not come back


class Return(Struct, frozen=True):
    """Goods of a ticket that a customer gives back; they came with order `order_id`. `spus` and `quantities` (pieces)
    are parallel, `found` are pieces of an SPU. `exchange`: a courier takes them along who brings others for them.

    `announced_at` and `delivery` stay what they were at first, also when the goods are announced again.
    """

    ticket_id: str
    order_id: str
    store: str
    phase: ReturnPhase
    announced_at: datetime
    delivery: ordering.Delivery | None = None
    exchange: bool = False
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    courier: str | None = None
    collected_at: datetime | None = None
    returned_at: datetime | None = None
    inspected_at: datetime | None = None
    overdue_at: datetime | None = None
    called_off_at: datetime | None = None
    found: tuple[tuple[str, int, Found], ...] = ()


class SlotState(Struct, frozen=True):
    """A slot of a store. `reserved` is the number of reservations in phase `reserved`; a store that takes places away
    may leave fewer than that, and then nobody gets one."""

    store: str
    start: datetime
    end: datetime
    phase: SlotPhase
    places: int = 0
    reserved: int = 0


class Reservation(Struct, frozen=True):
    """An order's place in the slot that begins at `start`. `code` says why it got none."""

    order_id: str
    store: str
    phase: ReservationPhase
    start: datetime | None = None
    code: str = ""


def utc(moment: datetime) -> datetime:
    """The same instant in UTC: the offset that somebody wrote it with does not make it another slot."""
    return moment.astimezone(UTC)


def slot_key(store: str, start: datetime) -> Key:
    """A slot is known by its store and the instant at which it begins."""
    return ("slot", store, utc(start).isoformat())


# -- what is written down, never to be changed -------------------------------------------------------------------------


class StepBack(Record, frozen=True):
    """One step of an order that does not go the straight way: the phase it entered, why, who said so (`role:id`, when
    it was a person), and what was found. `spus`, `quantities` (pieces) and `found` are parallel."""

    order_id: str
    at: datetime
    entered: Phase
    reason: str = ""
    actor: str = ""
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    found: tuple[Found, ...] = ()
