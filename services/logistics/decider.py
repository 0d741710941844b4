"""What may happen in a store: slots and places in them, and the way of the goods from the shelf to the door.

Four tables: an order's fulfilment (it stands in `fulfilments`), goods that a customer gives back (in `returns`), an
order's place in a slot, and the slot itself. A command whose outcome depends on the clock, the list or the slot is
first *read* into one of the messages of `inner`. How many places of a slot are reserved follows from the phases
of the reservations: a reservation that enters `reserved` takes one, one that leaves it gives it back, and nothing else
counts. A fulfilment that takes old goods along moves their return in the same decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from services.logistics import inner
from services.logistics.fulfilments import FULFILMENT, SLOT_BEGINS, WITH_LIST, read_for_fulfilment
from services.logistics.returns import ABOUT_RETURNS, RETURN, RETURN_DUE, read_for_exchange, read_for_return
from services.logistics.state import (
    Fulfilment,
    Phase,
    PickList,
    Reservation,
    ReservationPhase,
    Return,
    ReturnPhase,
    SlotPhase,
    SlotState,
    slot_key,
    utc,
)
from shared.contracts import logistics
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import IGNORE, Change, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to

__all__ = ["DECIDER", "FULFILMENT", "RESERVATION", "RETURN", "RETURN_DUE", "SLOT", "SLOT_BEGINS"]


class PlacesBelowZero(ArithmeticError):
    """A place would be given back that nobody had. The message parks, and the slot stays right."""


# -- slots and places in them ------------------------------------------------------------------------------------------


def tell_reserved(r: Reservation, m: inner.PlaceFree | logistics.ReserveSlot, c: Context) -> Change:
    """The order has its place; asked again, it still has that one."""
    return {}, (logistics.SlotReserved(order_id=r.order_id, store=r.store),)


def tell_refused(r: Reservation, m: inner.NoPlace, c: Context) -> Change:
    """There is no place for this order."""
    return {"code": m.code}, (logistics.SlotRefused(order_id=r.order_id, store=r.store, code=m.code),)


def tell_refused_again(r: Reservation, m: logistics.ReserveSlot, c: Context) -> Change:
    """Asked again, an order gets the answer that it got."""
    return {}, (logistics.SlotRefused(order_id=r.order_id, store=r.store, code=r.code),)


RESERVATION = Table(
    "reservation",
    {
        ReservationPhase.NEW: {
            inner.PlaceFree: to(ReservationPhase.RESERVED, tell_reserved),
            inner.NoPlace: to(ReservationPhase.REFUSED, tell_refused),
            logistics.FreeSlot: to(ReservationPhase.FREED),
        },
        ReservationPhase.RESERVED: {
            logistics.ReserveSlot: to(ReservationPhase.RESERVED, tell_reserved),
            logistics.FreeSlot: to(ReservationPhase.FREED),
        },
        ReservationPhase.REFUSED: {
            logistics.ReserveSlot: to(ReservationPhase.REFUSED, tell_refused_again),
            logistics.FreeSlot: IGNORE,  # it has no place
        },
        ReservationPhase.FREED: {
            # parked, and replayed after its order had been given up: nobody would free it again
            logistics.ReserveSlot: IGNORE,
            logistics.FreeSlot: IGNORE,
        },
    },
)


def set_places(slot: SlotState, m: logistics.SetSlots, asked: logistics.SlotPlaces) -> Change:
    """The store says how many orders it takes; places that are reserved stay reserved."""
    return {"end": utc(asked.end), "places": asked.places}, ()


SLOT = Table(
    "slot",
    {
        SlotPhase.NEW: {logistics.SetSlots: to(SlotPhase.SET, set_places)},
        SlotPhase.SET: {logistics.SetSlots: to(SlotPhase.SET, set_places), inner.EndMoved: refuse("slot_in_use")},
    },
)


def read_for_slot(slot: SlotState, message: logistics.SetSlots, asked: logistics.SlotPlaces) -> object:
    """The message as the table of slots knows it. Orders carry the slot that they reserved: it stays that one."""
    if slot.reserved and slot.end != utc(asked.end):
        return inner.EndMoved(
            f"{slot.reserved} orders have places in the slot from {slot.start:%Y-%m-%dT%H:%MZ} as it is"
        )
    return message


def read_for_reservation(
    reservation: Reservation, message: logistics.ReserveSlot | logistics.FreeSlot, slot: SlotState | None, c: Context
) -> object:
    """The message as the table of reservations knows it."""
    if reservation.phase is not ReservationPhase.NEW or type(message) is not logistics.ReserveSlot:
        return message
    if utc(message.slot.start) <= c.now:
        return inner.NoPlace("slot_over")
    if slot is None or slot.end != message.slot.end:
        return inner.NoPlace("slot_unknown")
    return inner.PlaceFree() if slot.reserved < slot.places else inner.NoPlace("slot_full")


# -- the service -------------------------------------------------------------------------------------------------------


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The fulfilment, its list where that matters, and the return of what it takes along; or a return by itself; or the
    slots that are set; or the reservation and its slot."""
    if type(message) is logistics.SetSlots:
        return [slot_key(message.store, asked.start) for asked in message.slots]
    if type(message) is logistics.ReserveSlot:
        return [("reservation", message.order_id), slot_key(message.store, message.slot.start)]
    if type(message) is logistics.FreeSlot:
        key = ("reservation", message.order_id)
        reservation: Reservation | None = look(key)
        if reservation is None or reservation.start is None:
            return [key]
        return [key, slot_key(reservation.store, reservation.start)]
    if type(message) in ABOUT_RETURNS:
        return [("return", message.ticket_id)]
    keys: list[Key] = [("fulfilment", message.subject)]
    if _looks_at_list(message):
        keys.append(("pick_list", message.subject))
    # Only replacement orders take something along: for all others, nobody has to look at the fulfilment first.
    if "~" in message.subject and (ticket_id := _takes_along(message, look)):
        keys.append(("return", ticket_id))
    return keys


def _takes_along(message: Any, look: Look) -> str | None:
    if type(message) is logistics.FulfilOrder:
        return message.take_along.ticket_id if message.take_along else None
    fulfilment: Fulfilment | None = look(("fulfilment", message.subject))
    return fulfilment.take_along if fulfilment else None


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one order or one return in one store, or about the slots of a store."""
    if type(message) is logistics.SetSlots:
        return _set_slots(message, look)
    if type(message) is logistics.ReserveSlot or type(message) is logistics.FreeSlot:
        return _reserve_or_free(message, look, context)
    if type(message) in ABOUT_RETURNS:
        return _give_back(message, look, context)
    key: Key = ("fulfilment", message.subject)
    fulfilment: Fulfilment | None = look(key)
    if fulfilment is None:
        fulfilment = Fulfilment(message.subject, getattr(message, "store", ""), Phase.NEW, context.now)
    pick_list: PickList | None = look(("pick_list", message.subject)) if _looks_at_list(message) else None
    answer = FULFILMENT.move(fulfilment, read_for_fulfilment(fulfilment, message, pick_list, context), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: tuple[tuple[Key, Any], ...] = ((key, moved),)
    # It comes first, and is a state of its own: what nobody looks at, nobody loads.
    if said and type(said[0]) is PickList:
        states, said = (*states, (("pick_list", message.subject), said[0])), said[1:]
    if moved.take_along is not None and (heard := read_for_exchange(fulfilment, moved, message)) is not None:
        exchange = _exchange(moved, heard, message, look, context)
        return Moved((*states, *exchange.states), (*said, *exchange.said))
    return Moved(states, said)


def _give_back(message: Any, look: Look, context: Context) -> Outcome:
    key: Key = ("return", message.ticket_id)
    before: Return | None = look(key)
    if before is None:
        order_id, store = message.order_id, message.store
        delivery = getattr(message, "delivery", None)
        before = Return(message.ticket_id, order_id, store, ReturnPhase.NEW, context.now, delivery)
    answer = RETURN.move(before, read_for_return(before, message), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    return Moved(((key, moved),), said)


def _exchange(f: Fulfilment, heard: object, message: Any, look: Look, context: Context) -> Moved:
    """What a step of a fulfilment means for the old goods that its courier takes along."""
    key: Key = ("return", str(f.take_along))
    before: Return | None = look(key)
    if before is None:
        asked: logistics.FulfilOrder = message
        assert asked.take_along is not None, "what was taken along was announced with its fulfilment"
        about = asked.take_along.about
        before = Return(key[1], about, f.store, ReturnPhase.NEW, context.now, asked.delivery)
    if before.store != f.store:
        raise NoCell("return", f"{before.phase} in store {before.store}", type(heard).__name__)
    answer = RETURN.move(before, heard, context)
    assert not isinstance(answer, Refused), "people are answered by the fulfilment"
    if isinstance(answer, Ignored):
        return Moved((), ())
    moved, said = answer
    return Moved(((key, moved),), said)


def _looks_at_list(message: Any) -> bool:
    """A picker who found all pieces, as most do, is believed without it."""
    return type(message) in WITH_LIST and not (type(message) is logistics.ReportPicked and not message.spus)


def _reserve_or_free(message: logistics.ReserveSlot | logistics.FreeSlot, look: Look, context: Context) -> Outcome:
    key: Key = ("reservation", message.order_id)
    before: Reservation = look(key) or Reservation(message.order_id, message.store, ReservationPhase.NEW)
    _check_same_place(before, message)
    if type(message) is logistics.ReserveSlot and before.start is None:
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


def _check_same_place(reservation: Reservation, message: logistics.ReserveSlot | logistics.FreeSlot) -> None:
    """Another store may be another shard's: only the shard that made the reservation may write it. And an order that
    has its answer for one slot must not be told that it has another."""
    if reservation.store != message.store:
        raise NoCell("reservation", f"{reservation.phase} in store {reservation.store}", type(message).__name__)
    if type(message) is logistics.ReserveSlot and reservation.start not in (None, message.slot.start):
        raise NoCell("reservation", f"{reservation.phase} in the slot of {reservation.start}", "ReserveSlot")


def _with_places_taken(slot: SlotState, taken: int) -> SlotState:
    if slot.reserved + taken < 0:
        raise PlacesBelowZero(f"slot {slot.start} of store {slot.store} has no reserved place to give back")
    return replace(slot, reserved=slot.reserved + taken)


def _set_slots(message: logistics.SetSlots, look: Look) -> Outcome:
    slots: dict[Key, SlotState] = {}
    for asked in message.slots:
        key = slot_key(message.store, asked.start)
        slot = slots.get(key) or look(key)
        if slot is None:
            slot = SlotState(message.store, utc(asked.start), utc(asked.end), SlotPhase.NEW)
        answer = SLOT.move(slot, read_for_slot(slot, message, asked), asked)
        if isinstance(answer, Refused | Ignored):
            return answer
        slots[key], _ = answer
    return Moved(tuple(slots.items()), (logistics.SlotsSet(store=message.store, slots=len(slots)),))


DECIDER = Decider(
    service="logistics",
    listens=(
        logistics.ReserveSlot,
        logistics.FreeSlot,
        logistics.FulfilOrder,
        logistics.AmendFulfilment,
        logistics.StopFulfilment,
        logistics.InterceptDelivery,
        logistics.SetSlots,
        logistics.StartPicking,
        logistics.ReportPicked,
        logistics.ReportPacked,
        logistics.HandOver,
        logistics.ReportDelivered,
        logistics.ReportUndeliverable,
        logistics.BringGoodsBack,
        logistics.InspectGoods,
        logistics.AnnounceReturn,
        logistics.CollectReturn,
        logistics.BringReturn,
        logistics.InspectReturn,
    ),
    needs=needs,
    decide=decide,
    timers={SLOT_BEGINS: inner.SlotBegins, RETURN_DUE: inner.ReturnDue},
)
