"""What is said on an order's way forward: from the basket to the closed order."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from services.order import inner
from services.order.goods import lots_of
from services.order.papers import issue_paper, screening_papers
from services.order.sales import on_sale
from services.order.slots import SLOT_MISSED, latest_for
from services.order.state import Basket, Order, Paper, basket_of
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import Action, Change

PAYMENT_WINDOW = "payment_window"
"""The timer of an order that waits for its money."""


def acted(order: Order, deed: risk.Deed, c: Context) -> risk.Activity:
    """What risk hears of an order's account."""
    return risk.Activity(account=order.account, order_id=order.order_id, deed=deed, at=c.now)


def heard_by_risk(action: Action, deed: risk.Deed) -> Action:
    """The same, and it counts for or against the account."""

    @wraps(action)
    def tell_risk(order: Order, m: object, c: Context) -> Change:
        changes, said = action(order, m, c)
        return changes, (*said, acted(order, deed, c))

    return tell_risk


# -- placing -----------------------------------------------------------------------------------------------------------


def place(order: Order, m: inner.BasketPriced, c: Context) -> Change:
    """The basket is priced: look who orders."""
    changes, said = _placed(m, c)
    address = m.delivery.address if m.delivery else None
    return changes, (
        *said,
        risk.ScreenOrder(order_id=m.order_id, account=m.account, device=m.device, address=address, total=m.total),
    )


def place_in_slot(order: Order, m: inner.BasketPriced, c: Context) -> Change:
    """The basket is priced: get a place in the slot before anything else."""
    assert m.slot is not None
    changes, said = _placed(m, c)
    return changes, (*said, logistics.ReserveSlot(order_id=m.order_id, store=m.store, slot=m.slot))


def _placed(m: inner.BasketPriced, c: Context) -> Change:
    changes = {
        "account": m.account,
        "store": m.store,
        "placed_at": c.now,
        "spus": m.spus,
        "quantities": m.quantities,
        "prices": m.prices,
        "total": m.total,
        "delivery": m.delivery,
        "slot": m.slot,
        "device": m.device,
        "discounts": m.discounts,
        "presale": m.presale,
    }
    kept = (m.order_id, m.spus, m.quantities, m.prices, m.delivery, m.slot, m.device, m.discounts, m.presale)
    return changes, (Basket(*kept),)


def screen(order: Order, m: logistics.SlotReserved, c: Context) -> Change:
    """The place is ours: look who orders."""
    address = order.delivery.address if order.delivery else None
    command = risk.ScreenOrder(
        order_id=order.order_id, account=order.account, device=order.device, address=address, total=order.total
    )
    return {}, (command,)


def hold_locked(order: Order, m: risk.OrderCleared, c: Context) -> Change:
    """Nothing speaks against the order: lock its stock now."""
    return _hold(order, m, "lock", c)


def hold_first_paid(order: Order, m: inner.FirstPaidFirst, c: Context) -> Change:
    """Nothing speaks against the order, and who pays first is served first."""
    return _hold(order, m.cleared, "on_payment", c)


def hold_on_payment(order: Order, m: risk.OrderRestricted, c: Context) -> Change:
    """Restricted: only check the stock now, deduct it first paid, first served."""
    return _hold(order, m, "on_payment", c)


def await_review(order: Order, m: risk.OrderReferred, c: Context) -> Change:
    """A person looks at it, no longer than the slot can be kept."""
    ends = (SetTimer(order.order_id, SLOT_MISSED, latest_for(order.slot, c)),) if order.slot else ()
    return {}, (*ends, *screening_papers(order, m, c))


def _hold(order: Order, m: risk.OrderCleared | risk.OrderRestricted, mode: inventory.HoldMode, c: Context) -> Change:
    command = inventory.HoldStock(
        order_id=order.order_id,
        store=order.store,
        mode=mode,
        spus=order.spus,
        quantities=order.quantities,
        on_sale=on_sale(order),
        presale=order.presale or None,
    )
    waits_no_more = (CancelTimer(order.order_id, SLOT_MISSED),) if order.slot else ()
    return {"hold_mode": mode}, (*waits_no_more, command, *screening_papers(order, m, c))


# -- paying ------------------------------------------------------------------------------------------------------------


def open_payment(order: Order, m: inventory.StockHeld, c: Context) -> Change:
    """The stock is held: the customer has so long to pay, and no longer than the slot can be kept."""
    return _opened(order, order.total, c)


def _opened(order: Order, total: int, c: Context) -> Change:
    until = c.now + timedelta(seconds=c.windows.payment_window_s)
    if order.slot:
        until = min(until, latest_for(order.slot, c))
    return {"payable_until": until}, _payable(order, total, until)


def open_payment_at_other_total(order: Order, m: inner.HeldAtOtherTotal, c: Context) -> Change:
    """The stock is held, and some of it at its ordinary price again: the customer sees the new total."""
    changes, basket = _priced_anew(order, m, c)
    opened, said = _opened(order, m.priced.total, c)
    return {**changes, **opened}, (basket, *said)


def _payable(order: Order, total: int, until: datetime | None) -> tuple[object, ...]:
    assert until is not None, "the window was opened when the stock was held"
    payable = ordering.OrderPayable(
        order_id=order.order_id, store=order.store, account=order.account, total=total, payable_until=until
    )
    return SetTimer(order.order_id, PAYMENT_WINDOW, until), payable


def verify(order: Order, m: ordering.PayOrder, c: Context) -> Change:
    """The click: before money moves, look again."""
    command = inventory.VerifyStock(order_id=order.order_id, store=order.store, on_sale=on_sale(order))
    return {"method": m.method}, (command,)


def offer_new_total(order: Order, m: inner.TotalChanged, c: Context) -> Change:
    """The customer has to confirm another total, within the same window."""
    changes, basket = _priced_anew(order, m, c)
    return changes, (basket, *_payable(order, m.priced.total, order.payable_until))


def _priced_anew(order: Order, m: inner.Repriced, c: Context) -> tuple[dict[str, Any], Basket]:
    discounts = order.discounts._replace(applied=m.priced.applied, denied=m.denied, at=c.now)
    changes = {"prices": m.priced.prices, "discounts": discounts}
    return {**changes, "total": m.priced.total}, basket_of(order, **changes)


def take_payment(order: Order, m: inner.TotalHolds | inner.ClaimGranted, c: Context) -> Change:
    """Stock and total hold: ask for the money. The attempt's number makes a new key for each click."""
    attempt = order.attempt + 1
    command = payment.TakePayment(
        order_id=order.order_id, attempt=attempt, amount=order.total, currency=c.currency, method=order.method
    )
    return {"attempt": attempt}, (command,)


def offer_again(order: Order, m: payment.PaymentDeclined | payment.PaymentGivenUp, c: Context) -> Change:
    """No money came: the customer may try again until the window ends. A window that is over ends at once."""
    return {}, _payable(order, order.total, order.payable_until)


def deduct(order: Order, m: payment.PaymentTaken, c: Context) -> Change:
    """The money is in: take the goods off the stock."""
    changes, said = book_payment(order, m)
    return changes, (
        *said,
        CancelTimer(order.order_id, PAYMENT_WINDOW),
        inventory.DeductStock(order_id=order.order_id, store=order.store),
    )


def book_payment(order: Order, m: payment.PaymentTaken) -> Change:
    """The money for this order is confirmed. That nothing was to be paid needs no paper."""
    paper = Paper(order.order_id, "payment", m.at, {"amount": m.amount, "reference": m.reference})
    return {"paid": order.paid + m.amount, "reference": m.reference}, (paper,) if m.amount else ()


# -- the store's work --------------------------------------------------------------------------------------------------


def fulfil(order: Order, m: inventory.StockDeducted, c: Context) -> Change:
    """Paid and deducted: the store may begin."""
    order_for_store = logistics.FulfilOrder(
        order_id=order.order_id,
        store=order.store,
        spus=order.spus,
        quantities=order.quantities,
        slot=order.slot,
        delivery=order.delivery,
    )
    paid = ordering.OrderPaid(order_id=order.order_id, store=order.store, account=order.account, total=order.total)
    return {}, (issue_paper(order, m, c), order_for_store, paid)


def open_window(order: Order, m: logistics.FulfilmentDelivered, c: Context) -> Change:
    """Delivered: from here on aftersales keeps the window."""
    lots = lots_of(order)
    window = aftersales.OpenWindow(
        order_id=order.order_id,
        account=order.account,
        store=order.store,
        spus=tuple(lot.spu for lot in lots),
        quantities=tuple(lot.quantity for lot in lots),
        prices=tuple(lot.price for lot in lots),
    )
    delivered = ordering.OrderDelivered(order_id=order.order_id, store=order.store, account=order.account)
    return {}, (window, delivered)


def tell_closed(order: Order, m: aftersales.WindowShut, c: Context) -> Change:
    """The end of a good order."""
    return {}, (ordering.OrderClosed(order_id=order.order_id, store=order.store, account=order.account),)
