"""Logistics: slots, and the store's work on an order. Commands are keyed by store."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts import order as ordering
from shared.contracts.base import (
    LINES_MAX,
    Filled,
    Message,
    Moment,
    Name,
    Number,
    OrderId,
    Part,
    Pieces,
    Quantity,
    Slot,
    SomePieces,
    SomeSpus,
    Spus,
    Text,
    TicketId,
    parallel,
)

SLOTS_MAX = 1_000
"""Most slots in one list for a store."""


class LogisticsCommand(Message):
    """About one order in one store."""

    TOPIC = "logistics.commands"
    KEY = "store"
    order_id: OrderId
    store: Name


class ReserveSlot(LogisticsCommand):
    """One place in the slot."""

    slot: Slot


class FreeSlot(LogisticsCommand):
    """The place is given back."""


class Exchange(Part):
    """Old goods that the courier takes along when the new ones are delivered: the ticket's, which came with `about`."""

    ticket_id: TicketId
    about: OrderId
    spus: SomeSpus
    quantities: SomePieces

    _is_whole = parallel("spus", "quantities")


class FulfilOrder(LogisticsCommand):
    """Pick, pack and deliver; an order with a slot waits until it begins."""

    spus: SomeSpus
    quantities: SomePieces
    slot: Slot | None = None
    delivery: ordering.Delivery | None = None
    take_along: Exchange | None = None

    _is_whole = parallel("spus", "quantities")


class AmendFulfilment(LogisticsCommand):
    """The list was short and is another one now: dropped pieces are off it, substitutes are on it."""

    spus: SomeSpus
    quantities: SomePieces

    _is_whole = parallel("spus", "quantities")


class StopFulfilment(LogisticsCommand):
    """The order will not be delivered: stop the work, unless the courier has it already."""


class InterceptDelivery(LogisticsCommand):
    """Call the courier back, unless the customer has the goods already."""


class StartPicking(LogisticsCommand):
    """A picker takes the order."""


class ReportPicked(LogisticsCommand):
    """The picker has all pieces but those that are short: `spus` and `missing` name them."""

    spus: Annotated[tuple[Name, ...], Field(max_length=LINES_MAX)] = ()
    missing: Annotated[tuple[Quantity, ...], Field(max_length=LINES_MAX)] = ()

    _is_whole = parallel("spus", "missing")


class ReportPacked(LogisticsCommand):
    """The bags are closed and wait for a courier."""


class HandOver(LogisticsCommand):
    """A courier takes the bags."""

    courier: Name


class ReportDelivered(LogisticsCommand):
    """The courier's click at the door."""


class ReportUndeliverable(LogisticsCommand):
    """Nobody at the door, or no such door: the courier brings the goods back."""

    reason: Filled


class BringGoodsBack(LogisticsCommand):
    """The courier is back at the store with the goods."""


class InspectGoods(LogisticsCommand):
    """The storekeeper looked at what came back: pieces per line, and whether they can be sold again. An SPU may stand
    twice, once for each."""

    spus: Annotated[tuple[Name, ...], Field(max_length=2 * LINES_MAX)]
    quantities: Annotated[tuple[Quantity, ...], Field(max_length=2 * LINES_MAX)]
    resellable: Annotated[tuple[bool, ...], Field(max_length=2 * LINES_MAX)]

    _is_whole = parallel("spus", "quantities", "resellable")


class ReturnCommand(LogisticsCommand):
    """About goods that a customer gives back, known by the ticket; `order_id` is the order that they came with."""

    ticket_id: TicketId


class AnnounceReturn(ReturnCommand):
    """The customer will give these pieces back: to a courier at the door, or at the store."""

    spus: SomeSpus
    quantities: SomePieces
    delivery: ordering.Delivery | None = None

    _is_whole = parallel("spus", "quantities")


class CollectReturn(ReturnCommand):
    """A courier has them."""

    courier: Name


class BringReturn(ReturnCommand):
    """They are at the store, brought by a courier or by the customer."""


class InspectReturn(ReturnCommand):
    """The storekeeper looked at them: pieces per line, and whether they can be sold again, as in InspectGoods."""

    spus: Annotated[tuple[Name, ...], Field(max_length=2 * LINES_MAX)]
    quantities: Annotated[tuple[Quantity, ...], Field(max_length=2 * LINES_MAX)]
    resellable: Annotated[tuple[bool, ...], Field(max_length=2 * LINES_MAX)]

    _is_whole = parallel("spus", "quantities", "resellable")


class SlotPlaces(Part):
    """A slot and how many orders it takes."""

    start: Moment
    end: Moment
    places: Annotated[int, Field(ge=0, le=100_000, strict=True)]

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end <= self.start:
            raise ValueError("a slot ends after it starts")
        return self


class SetSlots(Message):
    """The slots of a store, by start; a slot that is not named is left as it is. Places reserved stay reserved."""

    TOPIC = "logistics.commands"
    KEY = "store"
    SUBJECT = "store"
    store: Name
    slots: Annotated[tuple[SlotPlaces, ...], Field(max_length=SLOTS_MAX)]


class LogisticsEvent(Message):
    """A fact about one order in the store."""

    TOPIC = "logistics.events"
    order_id: OrderId
    store: Name


class SlotReserved(LogisticsEvent):
    """The order has its place."""


class SlotRefused(LogisticsEvent):
    """No place: `code` is `slot_full`, `slot_unknown` or `slot_over`."""

    code: Text


class FulfilmentQueued(LogisticsEvent):
    """Ready to be picked (a slot order: its slot has begun). Pickers listen."""


class PickingStarted(LogisticsEvent):
    """A picker has taken the order."""


class PickingFinished(LogisticsEvent):
    """All pieces are in the basket. Packers listen."""


class FulfilmentPacked(LogisticsEvent):
    """Packed, awaiting shipment. Couriers listen."""


class FulfilmentHandedOver(LogisticsEvent):
    """On the road with a courier."""

    courier: Name


class FulfilmentDelivered(LogisticsEvent):
    """Handed to the customer."""


class PiecesShort(LogisticsEvent):
    """The shelf has less than the books said: these pieces are missing, and the picker waits."""

    spus: Spus
    missing: Pieces


class FulfilmentStopped(LogisticsEvent):
    """The work is stopped; the goods never left the store."""


class StopMissed(LogisticsEvent):
    """Too late to stop: the courier has it, or it is delivered."""


class FulfilmentIntercepted(LogisticsEvent):
    """The courier turns round: the goods come back."""


class InterceptMissed(LogisticsEvent):
    """Too late to intercept: delivered, or coming back already."""


class DeliveryFailed(LogisticsEvent):
    """The customer could not be reached: the goods come back."""

    reason: Text


class GoodsInspected(LogisticsEvent):
    """What came back to the store, piece by piece, and what did not."""

    resellable_spus: Spus
    resellable: Pieces
    damaged_spus: Spus
    damaged: Pieces
    missing_spus: Spus
    missing: Pieces


class ReturnEvent(LogisticsEvent):
    """A fact about goods that a customer gives back. `exchange`: others went out for them."""

    ticket_id: TicketId
    exchange: bool


class ReturnAnnounced(ReturnEvent):
    """The customer has goods to give back. Couriers listen."""


class ReturnBrought(ReturnEvent):
    """The goods are at the store, to be inspected. Storekeepers listen."""


class ReturnInspected(ReturnEvent):
    """What came, piece by piece, and what of the announced did not."""

    resellable_spus: Spus
    resellable: Pieces
    damaged_spus: Spus
    damaged: Pieces
    missing_spus: Spus
    missing: Pieces


class ReturnOverdue(ReturnEvent):
    """Nothing came to the store in time. `collected`: a courier had these pieces, so they are lost and not kept."""

    collected: bool
    spus: Spus
    quantities: Pieces


class SlotsSet(Message):
    """A store's slots are as asked."""

    TOPIC = "logistics.events"
    KEY = "store"
    SUBJECT = "store"
    store: Name
    slots: Number
