"""The store's work as logistics sees it: fulfilments, slots, and the places that orders have in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
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


# -- messages that never leave the service -----------------------------------------------------------------------------


class FulfilLater(NamedTuple):
    """FulfilOrder, read with the clock: its slot has not begun yet."""

    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    slot: Slot
    delivery: ordering.Delivery | None
    take_along: logistics.Exchange | None


class SlotBegins(NamedTuple):
    """The timer of an order that waits for its slot."""

    subject: str


class PiecesMissing(NamedTuple):
    """ReportPicked with pieces of the list that are not on the shelf. They are summed per SPU."""

    missing: Mapping[str, int]


class MoreShortThanListed(NamedTuple):
    """ReportPicked with more pieces missing than were to be picked. `detail` says of what."""

    detail: str


class ListAmended(NamedTuple):
    """AmendFulfilment, read with the list that it takes the place of."""

    pick_list: PickList


class GoodsSorted(NamedTuple):
    """InspectGoods or InspectReturn, read with what should have come: what came back, and what did not. Pieces are
    summed per SPU."""

    resellable: Mapping[str, int]
    damaged: Mapping[str, int]
    missing: Mapping[str, int]


class MoreThanSent(NamedTuple):
    """InspectGoods with more pieces than went out. `detail` says of what."""

    detail: str


class MoreThanAnnounced(NamedTuple):
    """InspectReturn with more pieces than the customer was to give back. `detail` says of what."""

    detail: str


class LineUnknown(NamedTuple):
    """ReportPicked, InspectGoods or InspectReturn with an SPU that is not on the list. `detail` names it."""

    detail: str


class AskedInOtherStore(NamedTuple):
    """A person's command that names another store than the fulfilment's, or the return's. `detail` says which it is."""

    detail: str


class AnnouncedAlong(NamedTuple):
    """FulfilOrder, as the return hears it that its courier is to take along."""

    spus: tuple[str, ...]
    quantities: tuple[int, ...]


class CollectedAtDelivery(NamedTuple):
    """ReportDelivered, as the return hears it: the courier has the old goods."""

    courier: str


class CalledOff(NamedTuple):
    """Nobody delivers the new goods, and so nobody takes the old ones along."""


class ReturnDue(NamedTuple):
    """The timer of a return: its goods should be at the store by now."""

    ticket_id: str

    @property
    def subject(self) -> str:
        """Returns are known by their tickets."""
        return self.ticket_id


class EndMoved(NamedTuple):
    """SetSlots with another end for a slot that orders have places in. `detail` says how many."""

    detail: str


class PlaceFree(NamedTuple):
    """ReserveSlot, read with the slot: there is a place."""


class NoPlace(NamedTuple):
    """ReserveSlot, read with the slot and the clock: there is none. `code` as in SlotRefused."""

    code: str


class WaitsForDelivery(NamedTuple):
    """CollectReturn or BringReturn of an exchange whose new goods are not there yet: the courier takes the old ones
    along on the same visit."""

    detail: str = "the courier with the new goods takes them along"
