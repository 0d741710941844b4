"""What is said on an order's ways back. There is one way to undo each thing, used by all of them:

a place in a slot by FreeSlot, a hold by ReleaseStock, the store's work by StopFulfilment, an issue by ReverseIssue (the
goods never left) or TakeBack (they did), money by RefundPayment.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.order import forward, inner
from services.order.claims import give_promotions_back
from services.order.forward import PAYMENT_WINDOW, acted, book_payment
from services.order.goods import list_of, lots_of
from services.order.papers import document_papers, issue_paper, screening_papers, short_paper, ticket_paper
from services.order.short import amendment, shortage_of
from services.order.slots import SLOT_MISSED, SLOT_OVER
from services.order.state import Order, Owed, Paper
from services.order.tickets import raise_ticket, settle
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import Action, Change

RETURN_WINDOW = "return_window"
"""The timer of goods that are on their way back to the store."""

CANCELLED_BY_CUSTOMER, NOT_REACHABLE = "cancelled_by_customer", "not_reachable"
CANCELLED_BY_SERVICE = "cancelled_by_customer_service"
GOODS_OVERDUE, UNASKED = "goods_overdue", "unasked_money"
PAYMENT_EXPIRED = "payment_expired"
DEEDS: dict[str, risk.Deed] = {NOT_REACHABLE: "unreachable", PAYMENT_EXPIRED: "expired"}
"""Reasons that are the customer's own doing, besides a cancel; whatever else ended an order counts for nobody."""
LIABLE: dict[str, payment.Liable] = {
    CANCELLED_BY_CUSTOMER: "customer",
    NOT_REACHABLE: "customer",
    "intercepted": "customer",
    GOODS_OVERDUE: "courier",
}
"""Who bears a refund, by its reason; the store bears the others."""

# -- before the money --------------------------------------------------------------------------------------------------


def give_slot_back(order: Order) -> tuple[object, ...]:
    """The order's place in its slot, if it has one."""
    if not order.slot:
        return ()
    return CancelTimer(order.order_id, SLOT_MISSED), logistics.FreeSlot(order_id=order.order_id, store=order.store)


def reject(order: Order, m: risk.OrderRefused, c: Context) -> Change:
    """Risk says no; the customer is not told why."""
    changes, said = _reject(order, c, "refused_by_risk")
    return changes, (*said, *screening_papers(order, m, c))


def reject_missed(order: Order, m: inner.SlotMissed, c: Context) -> Change:
    """Looking at it took longer than the slot can be kept; nobody needs to look any more."""
    changes, said = _reject(order, c, SLOT_OVER)
    return changes, (risk.WithdrawScreening(order_id=order.order_id, account=order.account), *said)


def reject_without_slot(order: Order, m: logistics.SlotRefused, c: Context) -> Change:
    """No place in the slot; nothing to give back."""
    rejected = ordering.OrderRejected(order_id=order.order_id, store=order.store, account=order.account, reason=m.code)
    return {"reason": m.code}, (rejected, acted(order, "ended", c))


def reject_short(order: Order, m: inventory.StockShort, c: Context) -> Change:
    """Not enough stock: the short lines are named."""
    changes, said = _reject(order, c, "out_of_stock", m.spus, m.missing)
    return changes, (*said, short_paper(order, m, c))


def reject_flash_sold_out(order: Order, m: inner.FlashSoldOut, c: Context) -> Change:
    """The flash sale is over before its time."""
    changes, said = _reject(order, c, "sold_out", m.spus, m.missing)
    return changes, (*said, short_paper(order, m, c))


def _reject(order: Order, c: Context, reason: str, spus: tuple[str, ...] = (), missing: tuple[int, ...] = ()) -> Change:
    rejected = ordering.OrderRejected(
        order_id=order.order_id, store=order.store, account=order.account, reason=reason, spus=spus, missing=missing
    )
    return {"reason": reason}, (*give_slot_back(order), rejected, acted(order, "ended", c))


def cancel_unheld(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """The wish came before any stock was held: there is at most a place in a slot to give back."""
    return {"reason": m.reason}, (*give_slot_back(order), *_told_cancelled(order, m.reason, c))


def cancel_in_review(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """As above; and nobody needs to look at it any more."""
    changes, said = cancel_unheld(order, m, c)
    return changes, (risk.WithdrawScreening(order_id=order.order_id, account=order.account), *said)


def _release(order: Order, reason: str) -> Change:
    return {"reason": reason}, (
        CancelTimer(order.order_id, PAYMENT_WINDOW),
        inventory.ReleaseStock(order_id=order.order_id, store=order.store),
        *give_slot_back(order),
    )


def release(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """Nobody wants it any more, and it is not paid: give the stock back."""
    return _release(order, m.reason)


def expire(order: Order, m: inner.PaymentExpired, c: Context) -> Change:
    """Nobody paid in time."""
    return _release(order, PAYMENT_EXPIRED)


def release_missed(order: Order, m: inner.SlotMissed, c: Context) -> Change:
    """Nobody paid while the slot could be kept."""
    return _release(order, SLOT_OVER)


def release_outgrown(order: Order, m: inner.TotalOutgrown, c: Context) -> Change:
    """No payment could take what it would cost now."""
    return _release(order, "total_too_large")


def release_gone(order: Order, m: inventory.StockGone, c: Context) -> Change:
    """Somebody else was faster; no money has moved."""
    changes, said = _release(order, "sold_out")
    return changes, (short_paper(order, m, c), *said)


def release_lost(order: Order, m: inventory.StockLost, c: Context) -> Change:
    """A count found less than was promised, and this order is one of the newest."""
    changes, said = _release(order, "stock_lost")
    return changes, (short_paper(order, m, c), *said)


# -- while money or goods are under way --------------------------------------------------------------------------------


def keep_wish(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """Money or goods are on their way: the answer settles the wish."""
    return {"reason": m.reason}, ()


def release_as_wished(order: Order, m: payment.PaymentDeclined | payment.PaymentGivenUp, c: Context) -> Change:
    """No money came, and the customer wants out."""
    return _release(order, order.reason)


def refund_as_wished(order: Order, m: payment.PaymentTaken, c: Context) -> Change:
    """The money came after the wish to cancel: everything goes back. The hold is given back on the same link."""
    changes, said = book_payment(order, m)
    refund_changes, refund = _refund_rest(order, order.reason, m.reference)
    _, released = _release(order, order.reason)
    return {**changes, **refund_changes}, (*said, *released, *refund)


def refund_sold_out(order: Order, m: inventory.StockSoldOut, c: Context) -> Change:
    """Paid, but somebody else was faster: all money goes back."""
    changes, refund = _refund_rest(order, "sold_out", order.reference)
    return {"reason": "sold_out", **changes}, (short_paper(order, m, c), *give_slot_back(order), *refund)


def refund_sold_out_as_wished(order: Order, m: inventory.StockSoldOut, c: Context) -> Change:
    """As above, and the customer wanted out anyway."""
    changes, refund = _refund_rest(order, order.reason, order.reference)
    return changes, (short_paper(order, m, c), *give_slot_back(order), *refund)


def reverse_as_wished(order: Order, m: inventory.StockDeducted, c: Context) -> Change:
    """The goods were deducted after the wish to cancel: they go back on the shelf, with a counter-document."""
    return {}, (issue_paper(order, m, c), *_reverse(order))


def _reverse(order: Order) -> tuple[object, ...]:
    short = order.shortage
    command = inventory.ReverseIssue(
        order_id=order.order_id,
        store=order.store,
        short_spus=short.spus if short else (),
        short=short.missing if short else (),
    )
    return command, *give_slot_back(order)


# -- paid, and not handed over -----------------------------------------------------------------------------------------


def stop(order: Order, m: inner.CancelWanted, c: Context) -> Change:
    """Stop the work first: whoever acts first, the picker or the wish, wins."""
    return {"reason": m.reason}, (logistics.StopFulfilment(order_id=order.order_id, store=order.store),)


def note_short(order: Order, m: logistics.PiecesShort, c: Context) -> Change:
    """The picker missed something a moment before the work was stopped: the reversal has to know."""
    shortage = shortage_of(order, m)
    return {"shortage": shortage}, (short_paper(order, m, c), amendment(order, shortage=shortage))


def forget_wish(order: Order, m: logistics.FulfilmentHandedOver, c: Context) -> Change:
    """The courier was faster: the order is on its way, and the wish came too late. A ticket is told so."""
    settled = (settle(order, order.ticket_id, "rejected", "handed_over"),) if order.ticket_id else ()
    return {"reason": "", "ticket_id": ""}, settled


def reverse_stopped(order: Order, m: logistics.FulfilmentStopped, c: Context) -> Change:
    """The goods never left: back on the shelf."""
    settled = (settle(order, order.ticket_id, "resolved", "cancelled"),) if order.ticket_id else ()
    return {"ticket_id": ""}, (*_reverse(order), *settled)


def refund_reversed(order: Order, m: inventory.IssueReversed, c: Context) -> Change:
    """The goods are back: now the money."""
    changes, refund = _refund_rest(order, order.reason, order.reference)
    return changes, (*document_papers(order, m.documents, c), *refund)


# -- by a ticket of customer service's, where the policy wants one -----------------------------------------------------


def by_ticket(cancel: Action) -> Action:
    """The same way back as a cancel's, and the ticket is told at once: nothing stops it any more."""

    def cancel_by_ticket(order: Order, m: inner.CancelByTicket, c: Context) -> Change:
        changes, said = cancel(order, inner.CancelWanted(CANCELLED_BY_SERVICE), c)
        return changes, (*said, settle(order, m.ticket_id, "resolved", "cancelled"))

    return cancel_by_ticket


def stop_by_ticket(stop: Action) -> Action:
    """The same, but the courier may be faster: the ticket waits for the store's answer."""

    def stop_for_ticket(order: Order, m: inner.CancelByTicket, c: Context) -> Change:
        changes, said = stop(order, inner.CancelWanted(CANCELLED_BY_SERVICE), c)
        return {**changes, "ticket_id": m.ticket_id}, said

    return stop_for_ticket


# -- on the road -------------------------------------------------------------------------------------------------------


def intercept(order: Order, m: aftersales.InterceptAsked, c: Context) -> Change:
    """Call the courier back."""
    return {"ticket_id": m.ticket_id}, (logistics.InterceptDelivery(order_id=order.order_id, store=order.store),)


def decline_intercept(order: Order, m: aftersales.InterceptAsked, c: Context) -> Change:
    """There is no courier to call back: before the hand-over the order can be cancelled."""
    return {}, (settle(order, m.ticket_id, "rejected", "not_in_delivery"),)


def decline_unknown(order: Order, m: aftersales.InterceptAsked | aftersales.TicketAsked, c: Context) -> Change:
    """Customer service mistyped the order: nobody else would tell the ticket."""
    return {}, (settle(order, m.ticket_id, "rejected", aftersales.ORDER_UNKNOWN),)


def miss_intercept(order: Order, m: aftersales.InterceptAsked, c: Context) -> Change:
    """The customer has the goods already: the ticket says so, a return is what is left."""
    return {}, (settle(order, m.ticket_id, "resolved", aftersales.TOO_LATE),)


def decline_second_intercept(order: Order, m: aftersales.InterceptAsked, c: Context) -> Change:
    """The courier is being called back, or comes back already."""
    return {}, (settle(order, m.ticket_id, "rejected", "under_way_already"),)


def deliver_too_late(order: Order, m: logistics.FulfilmentDelivered, c: Context) -> Change:
    """The customer opened the door before the call: delivered is delivered."""
    _, said = forward.open_window(order, m, c)
    return {"ticket_id": ""}, (*said, settle(order, order.ticket_id, "resolved", aftersales.TOO_LATE))


def await_intercepted(order: Order, m: logistics.FulfilmentIntercepted, c: Context) -> Change:
    """Caught: the goods come back."""
    settled = settle(order, order.ticket_id, "resolved", "caught")
    return {"reason": "intercepted", "ticket_id": ""}, (settled, _return_timer(order, c))


def await_undelivered(order: Order, m: logistics.DeliveryFailed, c: Context) -> Change:
    """Nobody at the door, or no such door: the goods come back, and it counts as the customer's cancel."""
    settled = (settle(order, order.ticket_id, "resolved", "caught"),) if order.ticket_id else ()
    return {"reason": NOT_REACHABLE, "ticket_id": ""}, (*settled, _return_timer(order, c))


def _return_timer(order: Order, c: Context) -> SetTimer:
    return SetTimer(order.order_id, RETURN_WINDOW, c.now + timedelta(seconds=c.windows.return_window_s))


def take_back(order: Order, m: logistics.GoodsInspected, c: Context) -> Change:
    """The goods are back and inspected: shelf or damage report, and the customer gets the money whatever came back."""
    changes, refund = _refund_rest(order, order.reason, order.reference)
    command = taken_back(order, m, m.missing_spus, m.missing)
    return changes, (CancelTimer(order.order_id, RETURN_WINDOW), command, *refund)


def take_back_late(order: Order, m: logistics.GoodsInspected, c: Context) -> Change:
    """The goods came after they had been written off: what can be sold is restocked, the money is back already."""
    return {}, (taken_back(order, m, (), ()),)


def taken_back(
    order: Order, m: logistics.GoodsInspected, missing_spus: tuple[str, ...], missing: tuple[int, ...]
) -> inventory.TakeBack:
    """What came back is on the shelf or reported damaged, what did not is written off."""
    return inventory.TakeBack(
        order_id=order.order_id,
        store=order.store,
        resellable_spus=m.resellable_spus,
        resellable=m.resellable,
        damaged_spus=m.damaged_spus,
        damaged=m.damaged,
        missing_spus=missing_spus,
        missing=missing,
        reason=order.reason,
    )


def write_off(order: Order, m: inner.GoodsOverdue, c: Context) -> Change:
    """The goods did not come back: a person looks for them, the customer is refunded all the same."""
    changes, refund = _refund_rest(order, GOODS_OVERDUE, order.reference)
    spus, pieces = list_of(lots_of(order))
    command = inventory.TakeBack(
        order_id=order.order_id, store=order.store, missing_spus=spus, missing=pieces, reason=GOODS_OVERDUE
    )
    ticket_changes, ticket = raise_ticket(order, "missing_goods", spus, pieces, GOODS_OVERDUE)
    return {**changes, **ticket_changes, "overdue": True}, (command, ticket, *refund, amendment(order, overdue=True))


# -- money back --------------------------------------------------------------------------------------------------------


def _refund_rest(order: Order, reason: str, reference: str) -> Change:
    """Everything that was paid and not given back; the phase `refunding` waits for it."""
    number, amount = order.refunds + 1, order.total - order.given_back
    command = payment.RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=amount,
        reference=reference,
        reason=reason,
        liable=LIABLE.get(reason, "store"),
    )
    return {"refunds": number, "closing_refund": number, "given_back": order.total}, (command,)


def tell_cancelled(order: Order, m: inventory.StockReleased, c: Context) -> Change:
    """Everything is given back."""
    return {}, _told_cancelled(order, order.reason, c)


def tell_refunded(order: Order, m: payment.PaymentRefunded, c: Context) -> Change:
    """The money is back: the order is over."""
    changes, said = book_refund(order, m, c)
    return changes, (*said, *_told_cancelled(order, order.reason, c))


def tell_refund_failed(order: Order, m: payment.PaymentRefundRefused, c: Context) -> Change:
    """The gateway keeps the money: a person has to see to it, and nothing else waits for that."""
    changes, said = see_to_refund(order, m, c)
    return changes, (*said, *_told_cancelled(order, order.reason, c))


def _told_cancelled(order: Order, reason: str, c: Context) -> tuple[object, ...]:
    told = ordering.OrderCancelled(order_id=order.order_id, store=order.store, account=order.account, reason=reason)
    return told, *give_promotions_back(order), acted(order, _deed(order, reason), c)


def _deed(order: Order, reason: str) -> risk.Deed:
    """What risk hears of an order that ended so."""
    if reason == CANCELLED_BY_CUSTOMER:
        return "cancelled_after_payment" if order.reference else "cancelled"  # stray money is no payment
    if reason == SLOT_OVER and order.payable_until:
        return "expired"  # it could be paid until then
    return DEEDS.get(reason, "ended")


def give_back(order: Order, m: payment.MoneyUnasked, c: Context) -> Change:
    """Money that nobody waits for is returned, and revives nothing."""
    number = order.refunds + 1
    paper = Paper(order.order_id, "payment", m.at, {"amount": m.amount, "reference": m.reference})
    return {"paid": order.paid + m.amount, "refunds": number}, (paper, _return_unasked(m, number))


def give_back_nobodys(order: Order, m: payment.MoneyUnasked, c: Context) -> Change:
    """Money for an order that never was. Nothing counts the refunds of such an order, so they are numbered from the
    other end, by the money that each gives back: told twice it is the same refund."""
    return {}, (_return_unasked(m, payment.REFUNDS_MAX + 1 - m.nth),)


def _return_unasked(m: payment.MoneyUnasked, number: int) -> payment.RefundPayment:
    return payment.RefundPayment(
        order_id=m.order_id, refund=number, amount=m.amount, reference=m.reference, reason=UNASKED, liable="store"
    )


def book_refund(order: Order, m: payment.PaymentRefunded | inner.StrayMoneyReturned, c: Context) -> Change:
    """The gateway confirmed a refund, perhaps one that it had refused before. That nothing was left to give back needs
    no paper."""
    body = {"amount": m.amount, "reason": m.reason, "liable": m.liable, "reference": m.reference}
    changes: dict[str, Any] = {"refunded": order.refunded + m.amount}
    said: list[object] = [Paper(order.order_id, "refund", m.at, body)] if m.amount else []
    owed = tuple(one for one in order.owed if one.refund != m.refund)
    if owed != order.owed:
        changes["owed"] = owed
        said.append(amendment(order, owed=owed))
    return changes, said


def see_to_refund(order: Order, m: payment.PaymentRefundRefused | inner.StrayRefundRefused, c: Context) -> Change:
    """A refund that the gateway refuses for good: customer service gets a ticket, and may have it tried again."""
    changes, ticket = raise_ticket(order, "refund_failed", (), (), m.code)
    reason, liable = _why(order, m)
    refused = Owed(m.refund, ticket.ticket_id, m.amount, m.reference, reason, liable)
    owed = (*(one for one in order.owed if one.refund != m.refund), refused)
    return {**changes, "owed": owed}, (ticket, amendment(order, owed=owed))


def _why(order: Order, m: payment.PaymentRefundRefused | inner.StrayRefundRefused) -> tuple[str, payment.Liable]:
    """Why a refund was asked for, and who bears it."""
    if m.reason:
        return m.reason, m.liable
    if before := next((one for one in order.owed if one.refund == m.refund), None):
        return before.reason, before.liable
    if m.refund == order.closing_refund:
        reason = GOODS_OVERDUE if order.overdue else order.reason
        return reason, LIABLE.get(reason, "store")
    return "short" if m.reference == order.reference else UNASKED, "store"


def refund_again(order: Order, m: aftersales.RefundApproved, c: Context) -> Change:
    """A person wants it tried again: under a number of its own, or the gateway would only repeat its answer."""
    refused = next((one for one in order.owed if one.ticket_id == m.ticket_id), None)
    if refused is None:
        raise ValueError(f"no refund waits for ticket {m.ticket_id} of {order.order_id}")
    number = order.refunds + 1
    again = refused._replace(refund=number, ticket_id="")
    owed = tuple(again if one is refused else one for one in order.owed)
    command = payment.RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=again.amount,
        reference=again.reference,
        reason=again.reason,
        liable=again.liable,
    )
    return {"refunds": number, "owed": owed}, (command, amendment(order, owed=owed))


# -- news that change nothing but the page -----------------------------------------------------------------------------


def file_documents(order: Order, m: inventory.GoodsTakenBack | inventory.ShortDropped, c: Context) -> Change:
    """Inventory has written what it was told to."""
    return {}, document_papers(order, m.documents, c)


def file_ticket(
    order: Order, m: aftersales.TicketOpened | aftersales.TicketMoved | aftersales.TicketEnded, c: Context
) -> Change:
    """Customer service has a ticket about this order."""
    return {}, (ticket_paper(order, m, c),)
