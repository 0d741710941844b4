"""Messages that never leave the service: its timers, and what a message of others is read into where its outcome
depends on facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.logistics.state import PickList
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot


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
