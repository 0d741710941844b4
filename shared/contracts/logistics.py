"""Logistics: slots, and the store's work on an order. Commands are keyed by store."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.contracts.base import Message, Moment, Name, Part, Slot
from shared.contracts.order import Delivery

SLOTS_MAX = 1_000
"""Most slots in one list for a store."""


class LogisticsCommand(Message):
    """About one order in one store."""

    TOPIC = "logistics.commands"
    KEY = "store"
    order_id: Name
    store: Name


class ReserveSlot(LogisticsCommand):
    """One place in the slot."""

    slot: Slot


class FreeSlot(LogisticsCommand):
    """The place is given back."""


class FulfilOrder(LogisticsCommand):
    """Pick, pack and deliver; an order with a slot waits until it begins."""

    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    slot: Slot | None = None
    delivery: Delivery | None = None


class StartPicking(LogisticsCommand):
    """A picker takes the order."""


class ReportPicked(LogisticsCommand):
    """The picker has all pieces."""


class ReportPacked(LogisticsCommand):
    """The bags are closed and wait for a courier."""


class HandOver(LogisticsCommand):
    """A courier takes the bags."""

    courier: Name


class ReportDelivered(LogisticsCommand):
    """The courier's click at the door."""


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
    order_id: str
    store: str


class SlotReserved(LogisticsEvent):
    """The order has its place."""


class SlotRefused(LogisticsEvent):
    """No place: `code` is `slot_full`, `slot_unknown` or `slot_over`."""

    code: str


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

    courier: str


class FulfilmentDelivered(LogisticsEvent):
    """Handed to the customer."""


class SlotsSet(Message):
    """A store's slots are as asked."""

    TOPIC = "logistics.events"
    KEY = "store"
    SUBJECT = "store"
    store: str
    slots: int
