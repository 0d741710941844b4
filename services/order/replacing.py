"""A replacement order: goods that go out for others, without risk and without money. Its table, and what is said.

It hangs on a sales order and goes out for a ticket of it, or of another replacement order of the same chain. Whatever
goes wrong on its way comes back to the ticket (`ReopenTicket`), where a person chooses again; no money moves from here.
The steps that it has in common with a sales order are those of `back`, `forward` and `short`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from services.order import back, forward, goods_back, inner, short
from services.order.goods import list_of, lots_of
from services.order.papers import document_papers, issue_paper, short_paper
from services.order.pricing import summed
from services.order.short import amendment
from services.order.state import Basket, Order, Phase
from services.order.tickets import raise_ticket
from shared.contracts import aftersales, inventory, logistics
from shared.contracts import order as ordering
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORE, Cell, Change, Table, refuse, to

# -- out ---------------------------------------------------------------------------------------------------------------


def hold(order: Order, m: inner.ReplacementFits, c: Context) -> Change:
    """First the stock: what is locked is theirs."""
    demand = summed([lot.spu for lot in m.lots], [lot.quantity for lot in m.lots])
    spus, quantities = tuple(demand), tuple(demand.values())
    lots_price = {lot.spu: lot.list_price for lot in m.lots}
    prices = tuple(lots_price[spu] for spu in spus)
    changes: dict[str, Any] = {
        "account": m.account,
        "store": m.store,
        "placed_at": c.now,
        "spus": spus,
        "quantities": quantities,
        "prices": prices,
        "delivery": m.delivery,
        "hold_mode": "lock",
        "lots": m.lots,
        "replacement": m.replacement,
    }
    return changes, (
        Basket(order.order_id, spus, quantities, prices, m.delivery, None, None),
        amendment(order, lots=m.lots, replacement=m.replacement),
        inventory.HoldStock(order_id=order.order_id, store=m.store, mode="lock", spus=spus, quantities=quantities),
    )


def tell_unfit(order: Order, m: inner.ReplacementUnfit, c: Context) -> Change:
    """There will be no such order: a person chooses other goods."""
    return {}, (aftersales.ReopenTicket(order_id=m.about, ticket_id=m.ticket_id, note=m.code),)


def deduct(order: Order, m: inventory.StockHeld, c: Context) -> Change:
    """Nobody has to pay: take the goods off the stock at once."""
    command = inventory.DeductStock(order_id=order.order_id, store=order.store)
    return {}, (command, aftersales.StartReplacement(**_ticket(order)))


def fulfil(order: Order, m: inventory.StockDeducted, c: Context) -> Change:
    """The store may begin; the courier takes the old goods along."""
    mine = _replacement(order)
    along = mine.back_spus and logistics.Exchange(
        ticket_id=mine.ticket_id, about=mine.about, spus=mine.back_spus, quantities=mine.back
    )
    command = logistics.FulfilOrder(
        order_id=order.order_id,
        store=order.store,
        spus=order.spus,
        quantities=order.quantities,
        delivery=order.delivery,
        take_along=along or None,
    )
    return {}, (issue_paper(order, m, c), command)


def deliver(order: Order, m: logistics.FulfilmentDelivered, c: Context) -> Change:
    """The customer has the goods, and may complain about these as well."""
    _, said = forward.open_window(order, m, c)
    return {}, (*said, aftersales.ConfirmReplacement(**_ticket(order)))


def deliver_too_late(order: Order, m: logistics.FulfilmentDelivered, c: Context) -> Change:
    """The customer opened the door before the call: delivered is delivered."""
    changes, said = back.deliver_too_late(order, m, c)
    return changes, (*said, aftersales.ConfirmReplacement(**_ticket(order)))


# -- and back ----------------------------------------------------------------------------------------------------------


def reject_short(order: Order, m: inventory.StockShort, c: Context) -> Change:
    """There is not enough of the new goods."""
    rejected = ordering.OrderRejected(
        order_id=order.order_id,
        store=order.store,
        account=order.account,
        reason="out_of_stock",
        spus=m.spus,
        missing=m.missing,
    )
    changes = {"reason": "out_of_stock"}
    return changes, (short_paper(order, m, c), rejected, _reopen(order, "out_of_stock"))


def cancel_lost(order: Order, m: inventory.StockSoldOut, c: Context) -> Change:
    """A count took the hold between holding and deducting."""
    return {"reason": "stock_lost"}, (short_paper(order, m, c), *_told_cancelled(order, "stock_lost"))


def release(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """Customer service calls it off."""
    return {"reason": m.reason}, (inventory.ReleaseStock(order_id=order.order_id, store=order.store),)


def tell_cancelled(order: Order, m: inventory.StockReleased | inventory.IssueReversed, c: Context) -> Change:
    """Everything is given back."""
    documents = document_papers(order, m.documents, c) if isinstance(m, inventory.IssueReversed) else []
    return {}, (*documents, *_told_cancelled(order, order.reason))


def take_back(order: Order, m: logistics.GoodsInspected, c: Context) -> Change:
    """The goods are back and inspected: a person decides whether they go out again."""
    command = back.taken_back(order, m, m.missing_spus, m.missing)
    return {}, (CancelTimer(order.order_id, back.RETURN_WINDOW), command, *_told_cancelled(order, order.reason))


def write_off(order: Order, m: inner.GoodsOverdue, c: Context) -> Change:
    """The goods did not come back: a person looks for them, and decides what the customer gets."""
    spus, pieces = list_of(lots_of(order))
    command = inventory.TakeBack(
        order_id=order.order_id, store=order.store, missing_spus=spus, missing=pieces, reason=back.GOODS_OVERDUE
    )
    changes, ticket = raise_ticket(order, "missing_goods", spus, pieces, back.GOODS_OVERDUE)
    return {**changes, "overdue": True}, (
        command,
        ticket,
        amendment(order, overdue=True),
        *_told_cancelled(order, back.GOODS_OVERDUE),
    )


def _told_cancelled(order: Order, reason: str) -> tuple[object, ...]:
    told = ordering.OrderCancelled(order_id=order.order_id, store=order.store, account=order.account, reason=reason)
    return told, _reopen(order, reason)


def _reopen(order: Order, note: str) -> aftersales.ReopenTicket:
    return aftersales.ReopenTicket(**_ticket(order), note=note)


def _ticket(order: Order) -> dict[str, str]:
    mine = _replacement(order)
    return {"order_id": mine.about, "ticket_id": mine.ticket_id}


def _replacement(order: Order) -> Any:
    assert order.replacement is not None, "a replacement order knows what it replaces"
    return order.replacement


# -- the table ---------------------------------------------------------------------------------------------------------


def _late(*messages: type) -> dict[type, Cell]:
    return dict.fromkeys(messages, IGNORE)


def _everywhere(rows: dict[StrEnum, dict[type, Cell]]) -> dict[StrEnum, dict[type, Cell]]:
    """Adds what holds in every phase of an order that there is, unless the phase says otherwise."""
    return {
        phase: cells
        if phase is Phase.NEW
        else {
            ordering.PayOrder: refuse("order_not_payable"),
            inner.CancelRefused: refuse("cancel_not_allowed"),
            inner.CancelNeedsTicket: refuse("cancel_needs_ticket"),
            aftersales.ReplacementApproved: IGNORE,  # parked, and replayed after it was carried out
            aftersales.TicketOpened: to(phase, back.file_ticket),
            aftersales.TicketMoved: to(phase, back.file_ticket),
            aftersales.TicketEnded: to(phase, back.file_ticket),
            inventory.ShortDropped: to(phase, back.file_documents),
            inventory.GoodsTakenBack: to(phase, back.file_documents),
            aftersales.InterceptAsked: to(phase, back.decline_intercept),
            aftersales.TicketAsked: to(phase, goods_back.decline(aftersales.ORDER_NOT_DELIVERED)),
            # What came of a call after its deadline, and the other way round.
            **_late(
                aftersales.DropChosen,
                aftersales.SubstituteChosen,
                aftersales.CancelChosen,
                inner.OtherCall,
                inner.ShortageUnanswered,
            ),
            **cells,
        }
        for phase, cells in rows.items()
    }


_BEING_CANCELLED: dict[type, Cell] = {inner.CancelWanted: refuse("cancel_under_way")}
_TOO_LATE_FOR_STORE = _late(logistics.StopMissed, logistics.InterceptMissed)

REPLACEMENT_ORDER = Table(
    "replacement order",
    _everywhere(
        {
            Phase.NEW: {
                inner.ReplacementFits: to(Phase.HOLDING, hold),
                inner.ReplacementUnfit: to(Phase.NEW, tell_unfit),
                ordering.PayOrder: refuse("order_unknown"),
                inner.CancelWanted: refuse("order_unknown"),
                aftersales.InterceptAsked: to(Phase.NEW, back.decline_unknown),
                aftersales.TicketAsked: to(Phase.NEW, back.decline_unknown),
                **_late(aftersales.TicketOpened, aftersales.TicketMoved, aftersales.TicketEnded),
            },
            Phase.HOLDING: {
                inventory.StockHeld: to(Phase.DEDUCTING, deduct),
                inventory.StockShort: to(Phase.REJECTED, reject_short),
                inner.CancelWanted: to(Phase.RELEASING, release),
            },
            Phase.DEDUCTING: {
                inventory.StockDeducted: to(Phase.AWAITING_PICKING, fulfil),
                inventory.StockSoldOut: to(Phase.CANCELLED, cancel_lost),
                inner.CancelWanted: to(Phase.DEDUCTING_CANCEL_WANTED, back.keep_wish),
                inventory.StockLost: IGNORE,  # inventory says so when it is asked to deduct
            },
            Phase.DEDUCTING_CANCEL_WANTED: {
                inventory.StockDeducted: to(Phase.REVERSING, back.reverse_as_wished),
                inventory.StockSoldOut: to(Phase.CANCELLED, cancel_lost),
                inventory.StockLost: IGNORE,
                **_BEING_CANCELLED,
            },
            Phase.AWAITING_PICKING: {
                logistics.PickingStarted: to(Phase.PICKING),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
            },
            Phase.PICKING: {
                logistics.FulfilmentPacked: to(Phase.AWAITING_SHIPMENT),
                logistics.PiecesShort: to(Phase.SHORT, short.ask_to_call),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
            },
            Phase.SHORT: {
                inner.ShortageSettled: to(Phase.PICKING, short.drop),
                inner.NothingLeft: to(Phase.STOPPING, short.stop_empty),
                inner.SubstituteFits: to(Phase.SUBSTITUTING, short.substitute),
                inner.SubstituteUnfit: to(Phase.SHORT, short.call_again_unfit),
                aftersales.CancelChosen: to(Phase.STOPPING, short.stop_unwanted),
                inner.CancelWanted: to(Phase.STOPPING, short.stop_unwanted),
            },
            Phase.SUBSTITUTING: {
                inventory.StockSubstituted: to(Phase.PICKING, short.amend),
                inventory.SubstituteShort: to(Phase.SHORT, short.call_again),
            },
            Phase.AWAITING_SHIPMENT: {
                logistics.FulfilmentHandedOver: to(Phase.IN_DELIVERY),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
            },
            Phase.IN_DELIVERY: {
                logistics.FulfilmentDelivered: to(Phase.DELIVERED, deliver),
                aftersales.InterceptAsked: to(Phase.INTERCEPTING, back.intercept),
                logistics.DeliveryFailed: to(Phase.RETURNING, back.await_undelivered),
                logistics.StopMissed: IGNORE,
            },
            Phase.DELIVERED: {
                aftersales.WindowShut: to(Phase.CLOSED, forward.tell_closed),
                aftersales.InterceptAsked: to(Phase.DELIVERED, back.miss_intercept),
                **goods_back.AFTER_DELIVERY,
                **_TOO_LATE_FOR_STORE,
            },
            Phase.STOPPING: {
                logistics.FulfilmentStopped: to(Phase.REVERSING, back.reverse_stopped),
                logistics.FulfilmentHandedOver: to(Phase.IN_DELIVERY, back.forget_wish),
                logistics.PickingStarted: to(Phase.STOPPING),
                logistics.FulfilmentPacked: to(Phase.STOPPING),
                logistics.PiecesShort: to(Phase.STOPPING, back.note_short),
                **_BEING_CANCELLED,
            },
            Phase.INTERCEPTING: {
                logistics.FulfilmentIntercepted: to(Phase.RETURNING, back.await_intercepted),
                logistics.FulfilmentDelivered: to(Phase.DELIVERED, deliver_too_late),
                logistics.DeliveryFailed: to(Phase.RETURNING, back.await_undelivered),
                aftersales.InterceptAsked: to(Phase.INTERCEPTING, back.decline_second_intercept),
                logistics.StopMissed: IGNORE,
            },
            Phase.RETURNING: {
                logistics.GoodsInspected: to(Phase.CANCELLED, take_back),
                inner.GoodsOverdue: to(Phase.CANCELLED, write_off),
                aftersales.InterceptAsked: to(Phase.RETURNING, back.decline_second_intercept),
                **_TOO_LATE_FOR_STORE,
            },
            Phase.RELEASING: {
                inventory.StockReleased: to(Phase.CANCELLED, tell_cancelled),
                **_BEING_CANCELLED,
                # What inventory said before it heard that the order wants out.
                **_late(inventory.StockHeld, inventory.StockShort, inventory.StockLost),
            },
            Phase.REVERSING: {
                inventory.IssueReversed: to(Phase.CANCELLED, tell_cancelled),
                **_BEING_CANCELLED,
            },
            Phase.CLOSED: {
                aftersales.TicketAsked: to(Phase.CLOSED, goods_back.decline(aftersales.ORDER_CLOSED)),
                **_TOO_LATE_FOR_STORE,
            },
            Phase.CANCELLED: {
                logistics.GoodsInspected: to(Phase.CANCELLED, back.take_back_late),
                inner.GoodsOverdue: IGNORE,
                inventory.StockLost: IGNORE,
                **_TOO_LATE_FOR_STORE,
            },
            Phase.REJECTED: {},
        }
    ),
)
