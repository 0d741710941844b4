"""The store's work on an order: from the shelf to the door, and back from wherever it is.

Whoever acts first wins: a stop and a hand-over, an intercept and a delivery, two inspections. The other is told, people
by a code, the order by `StopMissed` or `InterceptMissed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.logistics import inner
from services.logistics.inspection import at_most, fields_of, lines_of, not_on_the_list, read_inspection, summed
from services.logistics.state import Found, Fulfilment, Phase, PickList, StepBack, utc
from shared.contracts import logistics
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORE, Cell, Change, NoCell, Table, refuse, to

SLOT_BEGINS = "slot_begins"
"""The timer of an order that waits for its slot."""
INTERCEPTED = "intercepted"
"""Why goods come back that were called back."""
WITH_LIST = frozenset({logistics.ReportPicked, logistics.AmendFulfilment, logistics.InspectGoods})
"""Messages that are read with the pick list."""

# -- the way to the door -----------------------------------------------------------------------------------------------


def queue_now(f: Fulfilment, m: logistics.FulfilOrder, c: Context) -> Change:
    """Pickers may begin at once."""
    changes, said = queue(f, m, c)
    return {**changes, **_kept_of(m)}, (PickList(f.order_id, m.spus, m.quantities, m.delivery), *said)


def wait_for_slot(f: Fulfilment, m: inner.FulfilLater, c: Context) -> Change:
    """Picked too early, fresh goods would not be fresh: wait until the slot begins."""
    pick_list = PickList(f.order_id, m.spus, m.quantities, m.delivery)
    return _kept_of(m), (pick_list, SetTimer(f.order_id, SLOT_BEGINS, utc(m.slot.start)))


def _kept_of(m: logistics.FulfilOrder | inner.FulfilLater) -> dict[str, Any]:
    slot = {"slot_start": utc(m.slot.start), "slot_end": utc(m.slot.end)} if m.slot else {}
    return {**slot, "take_along": m.take_along.ticket_id} if m.take_along else slot


def queue(f: Fulfilment, m: logistics.FulfilOrder | inner.SlotBegins, c: Context) -> Change:
    """Ready to be picked."""
    return {"queued_at": c.now}, (logistics.FulfilmentQueued(order_id=f.order_id, store=f.store),)


def start_picking(f: Fulfilment, m: logistics.StartPicking, c: Context) -> Change:
    """A picker has taken it."""
    return {"picking_at": c.now}, (logistics.PickingStarted(order_id=f.order_id, store=f.store),)


def finish_picking(f: Fulfilment, m: logistics.ReportPicked, c: Context) -> Change:
    """All pieces are in the basket."""
    return {"picked_at": c.now}, (logistics.PickingFinished(order_id=f.order_id, store=f.store),)


def pack(f: Fulfilment, m: logistics.ReportPacked, c: Context) -> Change:
    """The bags are closed."""
    return {"packed_at": c.now}, (logistics.FulfilmentPacked(order_id=f.order_id, store=f.store),)


def hand_over(f: Fulfilment, m: logistics.HandOver, c: Context) -> Change:
    """The courier has the bags."""
    handed_over = logistics.FulfilmentHandedOver(order_id=f.order_id, store=f.store, courier=m.courier)
    return {"handed_over_at": c.now, "courier": m.courier}, (handed_over,)


def deliver(f: Fulfilment, m: logistics.ReportDelivered, c: Context) -> Change:
    """The customer has the bags."""
    return {"delivered_at": c.now}, (logistics.FulfilmentDelivered(order_id=f.order_id, store=f.store),)


# -- short -------------------------------------------------------------------------------------------------------------


def tell_short(f: Fulfilment, m: inner.PiecesMissing, c: Context) -> Change:
    """The picker waits until somebody has decided what is to be done without them."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    step = StepBack(f.order_id, c.now, Phase.SHORT, "", c.actor, spus, missing, (Found.SHORT,) * len(spus))
    return {}, (logistics.PiecesShort(order_id=f.order_id, store=f.store, spus=spus, missing=missing), step)


def amend(f: Fulfilment, m: inner.ListAmended, c: Context) -> Change:
    """The picker goes on with another list."""
    return {}, (m.pick_list,)


# -- stopped, or on the way back ---------------------------------------------------------------------------------------


def stop(f: Fulfilment, m: logistics.StopFulfilment, c: Context) -> Change:
    """The goods never left the store."""
    step = StepBack(f.order_id, c.now, Phase.STOPPED)
    return {"called_off_at": c.now}, (logistics.FulfilmentStopped(order_id=f.order_id, store=f.store), step)


def stop_waiting(f: Fulfilment, m: logistics.StopFulfilment, c: Context) -> Change:
    """As above; and its slot may begin without it."""
    changes, said = stop(f, m, c)
    return changes, (*said, CancelTimer(f.order_id, SLOT_BEGINS))


def tell_stop_missed(f: Fulfilment, m: logistics.StopFulfilment, c: Context) -> Change:
    """The courier was faster."""
    return {}, (logistics.StopMissed(order_id=f.order_id, store=f.store),)


def intercept(f: Fulfilment, m: logistics.InterceptDelivery, c: Context) -> Change:
    """The courier turns round."""
    step = StepBack(f.order_id, c.now, Phase.RETURNING, INTERCEPTED)
    return {}, (logistics.FulfilmentIntercepted(order_id=f.order_id, store=f.store), step)


def tell_intercept_missed(f: Fulfilment, m: logistics.InterceptDelivery, c: Context) -> Change:
    """The customer has the goods, or they are on their way back already."""
    return {}, (logistics.InterceptMissed(order_id=f.order_id, store=f.store),)


def turn_back(f: Fulfilment, m: logistics.ReportUndeliverable, c: Context) -> Change:
    """Nobody at the door, or no such door."""
    step = StepBack(f.order_id, c.now, Phase.RETURNING, m.reason, c.actor)
    return {}, (logistics.DeliveryFailed(order_id=f.order_id, store=f.store, reason=m.reason), step)


def bring_back(f: Fulfilment, m: logistics.BringGoodsBack, c: Context) -> Change:
    """The goods are in the store again, for the storekeeper to look at."""
    return {}, (StepBack(f.order_id, c.now, Phase.RETURNED, "", c.actor),)


def tell_inspected(f: Fulfilment, m: inner.GoodsSorted, c: Context) -> Change:
    """Piece by piece: what can be sold again, what cannot, what did not come back."""
    lines = lines_of(m)
    spus, quantities, found = zip(*lines, strict=True) if lines else ((), (), ())
    inspected = logistics.GoodsInspected(order_id=f.order_id, store=f.store, **fields_of(m))
    step = StepBack(f.order_id, c.now, Phase.INSPECTED, "", c.actor, spus, quantities, found)
    return {"called_off_at": c.now}, (inspected, step)


# -- the table ---------------------------------------------------------------------------------------------------------

_PEOPLES_COMMANDS = (
    logistics.StartPicking,
    logistics.ReportPicked,
    logistics.ReportPacked,
    logistics.HandOver,
    logistics.ReportDelivered,
    logistics.ReportUndeliverable,
    logistics.BringGoodsBack,
    logistics.InspectGoods,
)
_AT_THE_WRONG_TIME: dict[type, Cell] = {
    logistics.StartPicking: refuse("fulfilment_not_queued"),
    logistics.ReportPicked: refuse("fulfilment_not_picking"),
    logistics.ReportPacked: refuse("fulfilment_not_picked"),
    logistics.HandOver: refuse("fulfilment_not_packed"),
    logistics.ReportDelivered: refuse("fulfilment_not_on_the_road"),
    logistics.ReportUndeliverable: refuse("fulfilment_not_on_the_road"),
    logistics.BringGoodsBack: refuse("fulfilment_not_returning"),
    logistics.InspectGoods: refuse("fulfilment_not_returned"),
    inner.AskedInOtherStore: refuse("wrong_store"),
}
_IN_THE_STORE: dict[type, Cell] = {**_AT_THE_WRONG_TIME, logistics.StopFulfilment: to(Phase.STOPPED, stop)}


def _out_of_the_store(phase: Phase) -> dict[type, Cell]:
    """Too late to stop, and to call back what is delivered or comes back already."""
    return {
        **_AT_THE_WRONG_TIME,
        logistics.StopFulfilment: to(phase, tell_stop_missed),
        logistics.InterceptDelivery: to(phase, tell_intercept_missed),
    }


FULFILMENT = Table(
    "fulfilment",
    {
        Phase.NEW: {
            logistics.FulfilOrder: to(Phase.QUEUED, queue_now),
            inner.FulfilLater: to(Phase.WAITING_FOR_SLOT, wait_for_slot),
            # what was to be stopped is parked: the order must not wait for it
            logistics.StopFulfilment: to(Phase.STOPPED, stop),
            **dict.fromkeys(_PEOPLES_COMMANDS, refuse("fulfilment_unknown")),
        },
        Phase.WAITING_FOR_SLOT: {
            **_IN_THE_STORE,
            inner.SlotBegins: to(Phase.QUEUED, queue),
            logistics.StopFulfilment: to(Phase.STOPPED, stop_waiting),
        },
        Phase.QUEUED: {
            **_IN_THE_STORE,
            logistics.StartPicking: to(Phase.PICKING, start_picking),
        },
        Phase.PICKING: {
            **_IN_THE_STORE,
            logistics.ReportPicked: to(Phase.PICKED, finish_picking),
            inner.PiecesMissing: to(Phase.SHORT, tell_short),
            inner.MoreShortThanListed: refuse("more_short_than_listed"),
            inner.LineUnknown: refuse("line_unknown"),
        },
        Phase.SHORT: {
            **_IN_THE_STORE,
            inner.ListAmended: to(Phase.PICKING, amend),
        },
        Phase.PICKED: {
            **_IN_THE_STORE,
            logistics.ReportPacked: to(Phase.PACKED, pack),
        },
        Phase.PACKED: {
            **_IN_THE_STORE,
            logistics.HandOver: to(Phase.ON_THE_ROAD, hand_over),
        },
        Phase.ON_THE_ROAD: {
            **_out_of_the_store(Phase.ON_THE_ROAD),
            logistics.ReportDelivered: to(Phase.DELIVERED, deliver),
            logistics.ReportUndeliverable: to(Phase.RETURNING, turn_back),
            logistics.InterceptDelivery: to(Phase.RETURNING, intercept),
        },
        Phase.DELIVERED: _out_of_the_store(Phase.DELIVERED),
        Phase.STOPPED: {
            **dict.fromkeys(_PEOPLES_COMMANDS, refuse("fulfilment_stopped")),
            inner.AskedInOtherStore: refuse("wrong_store"),
            logistics.FulfilOrder: IGNORE,  # parked, and replayed after its order had been stopped
            inner.SlotBegins: IGNORE,  # it was due when the order was stopped
        },
        Phase.RETURNING: {
            **_out_of_the_store(Phase.RETURNING),
            logistics.BringGoodsBack: to(Phase.RETURNED, bring_back),
        },
        Phase.RETURNED: {
            **_out_of_the_store(Phase.RETURNED),
            inner.GoodsSorted: to(Phase.INSPECTED, tell_inspected),
            inner.MoreThanSent: refuse("more_than_sent"),
            inner.LineUnknown: refuse("line_unknown"),
        },
        Phase.INSPECTED: {
            **_out_of_the_store(Phase.INSPECTED),
            logistics.InspectGoods: refuse("already_inspected"),
        },
    },
)

# -- reading -----------------------------------------------------------------------------------------------------------


def read_for_fulfilment(f: Fulfilment, message: Any, pick_list: PickList | None, c: Context) -> object:
    """The message as the table of fulfilments knows it. `pick_list` is there for the messages of WITH_LIST."""
    if type(message) is inner.SlotBegins:
        return message
    if type(message) is logistics.FulfilOrder:
        if f.phase is Phase.NEW and message.slot and utc(message.slot.start) > c.now:
            return inner.FulfilLater(
                message.spus, message.quantities, message.slot, message.delivery, message.take_along
            )
        return message
    if message.store != f.store:
        if type(message) not in _PEOPLES_COMMANDS:
            # Another store may be another shard's: only the shard that has the fulfilment may write it.
            raise NoCell("fulfilment", f"{f.phase} in store {f.store}", type(message).__name__)
        return inner.AskedInOtherStore(f"order {f.order_id} is fulfilled in {f.store}, not in {message.store}")
    if pick_list is not None:
        if type(message) is logistics.ReportPicked and f.phase is Phase.PICKING:
            return _read_short(message, _lines(pick_list))
        if type(message) is logistics.AmendFulfilment and f.phase is Phase.SHORT:
            return inner.ListAmended(_amended(pick_list, message))
        if type(message) is logistics.InspectGoods and f.phase is Phase.RETURNED:
            return read_inspection(message, _lines(pick_list), inner.MoreThanSent)
    return message


def _lines(pick_list: PickList) -> dict[str, int]:
    return summed(pick_list.spus, pick_list.quantities)


def _read_short(message: logistics.ReportPicked, listed: Mapping[str, int]) -> object:
    missing = summed(message.spus, message.missing)
    if unknown := [spu for spu in missing if spu not in listed]:
        return inner.LineUnknown(not_on_the_list(unknown))
    if too_many := [spu for spu, quantity in missing.items() if quantity > listed[spu]]:
        return inner.MoreShortThanListed(at_most(too_many, listed))
    return inner.PiecesMissing(missing)


def _amended(pick_list: PickList, message: logistics.AmendFulfilment) -> PickList:
    return PickList(message.order_id, message.spus, message.quantities, pick_list.delivery)
