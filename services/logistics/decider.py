"""What may happen in a store: slots and places in them, and the way of the goods from the shelf to the door.

Three tables: an order's fulfilment, its place in a slot, and the slot itself. A command whose outcome depends on the
clock or on the slot is first *read* into one of the inner messages of `state`. How many places of a slot are reserved
follows from the phases of the reservations: a reservation that enters `reserved` takes one, one that leaves it gives it
back, and nothing else counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from services.logistics.state import (
    AskedInOtherStore,
    FulfilLater,
    Fulfilment,
    NoPlace,
    Phase,
    PickList,
    PlaceFree,
    Reservation,
    ReservationPhase,
    SlotBegins,
    SlotPhase,
    SlotState,
    slot_key,
    utc,
)
from shared.contracts.logistics import (
    FreeSlot,
    FulfilmentDelivered,
    FulfilmentHandedOver,
    FulfilmentPacked,
    FulfilmentQueued,
    FulfilOrder,
    HandOver,
    PickingFinished,
    PickingStarted,
    ReportDelivered,
    ReportPacked,
    ReportPicked,
    ReserveSlot,
    SetSlots,
    SlotPlaces,
    SlotRefused,
    SlotReserved,
    SlotsSet,
    StartPicking,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to

SLOT_BEGINS = "slot_begins"
"""The timer of an order that waits for its slot."""


class PlacesBelowZero(ArithmeticError):
    """A place would be given back that nobody had. The message parks, and the slot stays right."""


# -- the way of the goods ----------------------------------------------------------------------------------------------


def queue_now(f: Fulfilment, m: FulfilOrder, c: Context) -> Change:
    """Pickers may begin at once."""
    changes, said = queue(f, m, c)
    return {**changes, **_slot_of(m)}, (PickList(f.order_id, m.spus, m.quantities, m.delivery), *said)


def wait_for_slot(f: Fulfilment, m: FulfilLater, c: Context) -> Change:
    """Picked too early, fresh goods would not be fresh: wait until the slot begins."""
    pick_list = PickList(f.order_id, m.spus, m.quantities, m.delivery)
    return _slot_of(m), (pick_list, SetTimer(f.order_id, SLOT_BEGINS, utc(m.slot.start)))


def _slot_of(m: FulfilOrder | FulfilLater) -> dict[str, datetime]:
    return {"slot_start": utc(m.slot.start), "slot_end": utc(m.slot.end)} if m.slot else {}


def queue(f: Fulfilment, m: FulfilOrder | SlotBegins, c: Context) -> Change:
    """Ready to be picked."""
    return {"queued_at": c.now}, (FulfilmentQueued(order_id=f.order_id, store=f.store),)


def start_picking(f: Fulfilment, m: StartPicking, c: Context) -> Change:
    """A picker has taken it."""
    return {"picking_at": c.now}, (PickingStarted(order_id=f.order_id, store=f.store),)


def finish_picking(f: Fulfilment, m: ReportPicked, c: Context) -> Change:
    """All pieces are in the basket."""
    return {"picked_at": c.now}, (PickingFinished(order_id=f.order_id, store=f.store),)


def pack(f: Fulfilment, m: ReportPacked, c: Context) -> Change:
    """The bags are closed."""
    return {"packed_at": c.now}, (FulfilmentPacked(order_id=f.order_id, store=f.store),)


def hand_over(f: Fulfilment, m: HandOver, c: Context) -> Change:
    """The courier has the bags."""
    handed_over = FulfilmentHandedOver(order_id=f.order_id, store=f.store, courier=m.courier)
    return {"handed_over_at": c.now, "courier": m.courier}, (handed_over,)


def deliver(f: Fulfilment, m: ReportDelivered, c: Context) -> Change:
    """The customer has the bags."""
    return {"delivered_at": c.now}, (FulfilmentDelivered(order_id=f.order_id, store=f.store),)


_UNKNOWN: dict[type, Cell] = dict.fromkeys(
    (StartPicking, ReportPicked, ReportPacked, HandOver, ReportDelivered), refuse("fulfilment_unknown")
)
_AT_THE_WRONG_TIME: dict[type, Cell] = {
    StartPicking: refuse("fulfilment_not_queued"),
    ReportPicked: refuse("fulfilment_not_picking"),
    ReportPacked: refuse("fulfilment_not_picked"),
    HandOver: refuse("fulfilment_not_packed"),
    ReportDelivered: refuse("fulfilment_not_on_the_road"),
    AskedInOtherStore: refuse("wrong_store"),
}

FULFILMENT = Table(
    "fulfilment",
    {
        Phase.NEW: {
            FulfilOrder: to(Phase.QUEUED, queue_now),
            FulfilLater: to(Phase.WAITING_FOR_SLOT, wait_for_slot),
            **_UNKNOWN,
        },
        Phase.WAITING_FOR_SLOT: {
            **_AT_THE_WRONG_TIME,
            SlotBegins: to(Phase.QUEUED, queue),
        },
        Phase.QUEUED: {
            **_AT_THE_WRONG_TIME,
            StartPicking: to(Phase.PICKING, start_picking),
        },
        Phase.PICKING: {
            **_AT_THE_WRONG_TIME,
            ReportPicked: to(Phase.PICKED, finish_picking),
        },
        Phase.PICKED: {
            **_AT_THE_WRONG_TIME,
            ReportPacked: to(Phase.PACKED, pack),
        },
        Phase.PACKED: {
            **_AT_THE_WRONG_TIME,
            HandOver: to(Phase.ON_THE_ROAD, hand_over),
        },
        Phase.ON_THE_ROAD: {
            **_AT_THE_WRONG_TIME,
            ReportDelivered: to(Phase.DELIVERED, deliver),
        },
        Phase.DELIVERED: _AT_THE_WRONG_TIME,
    },
)

# -- slots and places in them ------------------------------------------------------------------------------------------


def tell_reserved(r: Reservation, m: PlaceFree | ReserveSlot, c: Context) -> Change:
    """The order has its place; asked again, it still has that one."""
    return {}, (SlotReserved(order_id=r.order_id, store=r.store),)


def tell_refused(r: Reservation, m: NoPlace, c: Context) -> Change:
    """There is no place for this order."""
    return {"code": m.code}, (SlotRefused(order_id=r.order_id, store=r.store, code=m.code),)


def tell_refused_again(r: Reservation, m: ReserveSlot, c: Context) -> Change:
    """Asked again, an order gets the answer that it got."""
    return {}, (SlotRefused(order_id=r.order_id, store=r.store, code=r.code),)


RESERVATION = Table(
    "reservation",
    {
        ReservationPhase.NEW: {
            PlaceFree: to(ReservationPhase.RESERVED, tell_reserved),
            NoPlace: to(ReservationPhase.REFUSED, tell_refused),
            FreeSlot: to(ReservationPhase.FREED),
        },
        ReservationPhase.RESERVED: {
            ReserveSlot: to(ReservationPhase.RESERVED, tell_reserved),
            FreeSlot: to(ReservationPhase.FREED),
        },
        ReservationPhase.REFUSED: {
            ReserveSlot: to(ReservationPhase.REFUSED, tell_refused_again),
            FreeSlot: IGNORE,  # it has no place
        },
        ReservationPhase.FREED: {
            ReserveSlot: IGNORE,  # parked, and replayed after its order had been given up: nobody would free it again
            FreeSlot: IGNORE,
        },
    },
)


def set_places(slot: SlotState, m: SetSlots, asked: SlotPlaces) -> Change:
    """The store says how many orders it takes; places that are reserved stay reserved."""
    return {"end": utc(asked.end), "places": asked.places}, ()


SLOT = Table(
    "slot",
    {
        SlotPhase.NEW: {SetSlots: to(SlotPhase.SET, set_places)},
        SlotPhase.SET: {SetSlots: to(SlotPhase.SET, set_places)},
    },
)


def read_for_reservation(
    reservation: Reservation, message: ReserveSlot | FreeSlot, slot: SlotState | None, c: Context
) -> object:
    """The message as the table of reservations knows it."""
    if reservation.phase is not ReservationPhase.NEW or type(message) is not ReserveSlot:
        return message
    if utc(message.slot.start) <= c.now:
        return NoPlace("slot_over")
    if slot is None or slot.end != message.slot.end:
        return NoPlace("slot_unknown")
    return PlaceFree() if slot.reserved < slot.places else NoPlace("slot_full")


# -- the service -------------------------------------------------------------------------------------------------------


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The fulfilment; or the slots that are set; or the reservation and its slot."""
    if type(message) is SetSlots:
        return [slot_key(message.store, asked.start) for asked in message.slots]
    if type(message) is ReserveSlot:
        return [("reservation", message.order_id), slot_key(message.store, message.slot.start)]
    if type(message) is FreeSlot:
        key = ("reservation", message.order_id)
        reservation: Reservation | None = look(key)
        if reservation is None or reservation.start is None:
            return [key]
        return [key, slot_key(reservation.store, reservation.start)]
    return [("fulfilment", message.subject)]


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one order in one store, or about the slots of a store."""
    if type(message) is SetSlots:
        return _set_slots(message, look)
    if type(message) is ReserveSlot or type(message) is FreeSlot:
        return _reserve_or_free(message, look, context)
    key: Key = ("fulfilment", message.subject)
    fulfilment: Fulfilment | None = look(key)
    if fulfilment is None:
        fulfilment = Fulfilment(message.subject, getattr(message, "store", ""), Phase.NEW, context.now)
    answer = FULFILMENT.move(fulfilment, _read_for_fulfilment(fulfilment, message, context), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    return Moved(((key, moved),), said)


def _read_for_fulfilment(f: Fulfilment, message: Any, c: Context) -> object:
    if type(message) is SlotBegins:
        return message
    if type(message) is FulfilOrder:
        if f.phase is Phase.NEW and message.slot and utc(message.slot.start) > c.now:
            return FulfilLater(message.spus, message.quantities, message.slot, message.delivery)
        return message
    if message.store != f.store:
        return AskedInOtherStore(f"order {f.order_id} is fulfilled in {f.store}, not in {message.store}")
    return message


def _reserve_or_free(message: ReserveSlot | FreeSlot, look: Look, context: Context) -> Outcome:
    key: Key = ("reservation", message.order_id)
    before: Reservation = look(key) or Reservation(message.order_id, message.store, ReservationPhase.NEW)
    _check_same_place(before, message)
    if type(message) is ReserveSlot and before.start is None:
        before = replace(before, start=utc(message.slot.start))
    slot: SlotState | None = look(slot_key(before.store, before.start)) if before.start else None
    answer = RESERVATION.move(before, read_for_reservation(before, message, slot, context), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    taken = (moved.phase is ReservationPhase.RESERVED) - (before.phase is ReservationPhase.RESERVED)
    if not taken:
        return Moved(((key, moved),), said)
    assert slot is not None, "a place is taken and given back only in a slot that there is"
    return Moved(((key, moved), (slot_key(slot.store, slot.start), _with_places_taken(slot, taken))), said)


def _check_same_place(reservation: Reservation, message: ReserveSlot | FreeSlot) -> None:
    """Another store may be another shard's: only the shard that made the reservation may write it. And an order that
    has its answer for one slot must not be told that it has another."""
    if reservation.store != message.store:
        raise NoCell("reservation", f"{reservation.phase} in store {reservation.store}", type(message).__name__)
    if type(message) is ReserveSlot and reservation.start not in (None, message.slot.start):
        raise NoCell("reservation", f"{reservation.phase} in the slot of {reservation.start}", "ReserveSlot")


def _with_places_taken(slot: SlotState, taken: int) -> SlotState:
    if slot.reserved + taken < 0:
        raise PlacesBelowZero(f"slot {slot.start} of store {slot.store} has no reserved place to give back")
    return replace(slot, reserved=slot.reserved + taken)


def _set_slots(message: SetSlots, look: Look) -> Outcome:
    slots: dict[Key, SlotState] = {}
    for asked in message.slots:
        key = slot_key(message.store, asked.start)
        slot = slots.get(key) or look(key)
        if slot is None:
            slot = SlotState(message.store, utc(asked.start), utc(asked.end), SlotPhase.NEW)
        answer = SLOT.move(slot, message, asked)
        if isinstance(answer, Refused | Ignored):
            return answer
        slots[key], _ = answer
    return Moved(tuple(slots.items()), (SlotsSet(store=message.store, slots=len(slots)),))


DECIDER = Decider(
    service="logistics",
    listens=(
        ReserveSlot,
        FreeSlot,
        FulfilOrder,
        SetSlots,
        StartPicking,
        ReportPicked,
        ReportPacked,
        HandOver,
        ReportDelivered,
    ),
    needs=needs,
    decide=decide,
    timers={SLOT_BEGINS: SlotBegins},
)
