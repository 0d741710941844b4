"""The saga: one order's life as a table, and what is said on the way.

Read the table from top to bottom: it is the order's way forward, then back, then its ends. `read` turns a wire message
whose outcome depends on facts into one of two messages, so that every cell has one target.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from services.order.pricing import summed, total_of
from services.order.state import (
    ENDS,
    Basket,
    BasketPriced,
    BasketPricedForSlot,
    Order,
    OutsideEveryArea,
    PaidAtOtherTotal,
    Paper,
    PaymentExpired,
    Phase,
    PlacedAtOtherTotal,
    QuantityTooLarge,
    SlotOver,
    StoreNotAccepting,
    StrayMoneyReturned,
    TimelineEntry,
    TotalChanged,
    TotalHolds,
    UnknownProduct,
    UnknownStore,
)
from shared.contracts.aftersales import OpenWindow, WindowShut
from shared.contracts.base import QUANTITY_MAX
from shared.contracts.inventory import (
    DeductStock,
    HoldMode,
    HoldStock,
    IssueReversed,
    ReleaseStock,
    ReverseIssue,
    StockDeducted,
    StockGone,
    StockHeld,
    StockReleased,
    StockShort,
    StockSoldOut,
    StockVerified,
    VerifyStock,
)
from shared.contracts.logistics import (
    FreeSlot,
    FulfilmentDelivered,
    FulfilmentHandedOver,
    FulfilmentPacked,
    FulfilOrder,
    PickingStarted,
    ReserveSlot,
    SlotRefused,
    SlotReserved,
)
from shared.contracts.order import (
    CancelOrder,
    OrderCancelled,
    OrderClosed,
    OrderDelivered,
    OrderPaid,
    OrderPayable,
    OrderRejected,
    PayOrder,
    PlaceOrder,
)
from shared.contracts.payment import (
    MoneyUnasked,
    PaymentDeclined,
    PaymentGivenUp,
    PaymentRefunded,
    PaymentTaken,
    RefundPayment,
    TakePayment,
)
from shared.contracts.risk import (
    OrderCleared,
    OrderReferred,
    OrderRefused,
    OrderRestricted,
    ScreenOrder,
    WithdrawScreening,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, Outcome, Refused, Table, evolve, refuse, to

PAYMENT_WINDOW = "payment_window"
"""The timer of an order that waits for its money."""

# -- placing -----------------------------------------------------------------------------------------------------------


def place(order: Order, m: BasketPriced, c: Context) -> Change:
    """The basket is priced: look who orders."""
    changes, said = _placed(m, c)
    address = m.delivery.address if m.delivery else None
    return changes, (
        *said,
        ScreenOrder(order_id=m.order_id, account=m.account, device=m.device, address=address, total=m.total),
    )


def place_in_slot(order: Order, m: BasketPriced, c: Context) -> Change:
    """The basket is priced: get a place in the slot before anything else."""
    assert m.slot is not None
    changes, said = _placed(m, c)
    return changes, (*said, ReserveSlot(order_id=m.order_id, store=m.store, slot=m.slot))


def _placed(m: BasketPriced, c: Context) -> Change:
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
    }
    return changes, (Basket(m.order_id, m.spus, m.quantities, m.prices, m.delivery, m.slot, m.device),)


def screen(order: Order, m: SlotReserved, c: Context) -> Change:
    """The place is ours: look who orders."""
    address = order.delivery.address if order.delivery else None
    command = ScreenOrder(
        order_id=order.order_id, account=order.account, device=order.device, address=address, total=order.total
    )
    return {}, (command,)


def hold_locked(order: Order, m: OrderCleared, c: Context) -> Change:
    """Nothing speaks against the order: lock its stock now."""
    return _hold(order, "lock")


def hold_on_payment(order: Order, m: OrderRestricted, c: Context) -> Change:
    """Restricted: only check the stock now, deduct it first paid, first served."""
    return _hold(order, "on_payment")


def _hold(order: Order, mode: HoldMode) -> Change:
    command = HoldStock(
        order_id=order.order_id, store=order.store, mode=mode, spus=order.spus, quantities=order.quantities
    )
    return {"hold_mode": mode}, (command,)


# -- paying ------------------------------------------------------------------------------------------------------------


def open_payment(order: Order, m: StockHeld, c: Context) -> Change:
    """The stock is held: the customer has so long to pay."""
    until = c.now + timedelta(seconds=c.windows.payment_window_s)
    return {"payable_until": until}, _payable(order, order.total, until)


def _payable(order: Order, total: int, until: datetime | None) -> tuple[object, ...]:
    assert until is not None, "the window was opened when the stock was held"
    payable = OrderPayable(
        order_id=order.order_id, store=order.store, account=order.account, total=total, payable_until=until
    )
    return SetTimer(order.order_id, PAYMENT_WINDOW, until), payable


def verify(order: Order, m: PayOrder, c: Context) -> Change:
    """The click: before money moves, look again."""
    return {"method": m.method}, (VerifyStock(order_id=order.order_id, store=order.store),)


def offer_new_total(order: Order, m: TotalChanged, c: Context) -> Change:
    """The customer has to confirm another total, within the same window."""
    basket = Basket(order.order_id, order.spus, order.quantities, m.prices, order.delivery, order.slot, order.device)
    return {"prices": m.prices, "total": m.total}, (basket, *_payable(order, m.total, order.payable_until))


def take_payment(order: Order, m: TotalHolds, c: Context) -> Change:
    """Stock and total hold: ask for the money. The attempt's number makes a new key for each click."""
    attempt = order.attempt + 1
    command = TakePayment(
        order_id=order.order_id, attempt=attempt, amount=order.total, currency=c.currency, method=order.method
    )
    return {"attempt": attempt}, (command,)


def offer_again(order: Order, m: PaymentDeclined | PaymentGivenUp, c: Context) -> Change:
    """No money came: the customer may try again until the window ends. A window that is over ends at once."""
    return {}, _payable(order, order.total, order.payable_until)


def deduct(order: Order, m: PaymentTaken, c: Context) -> Change:
    """The money is in: take the goods off the stock."""
    changes, said = _book_payment(order, m)
    return changes, (
        *said,
        CancelTimer(order.order_id, PAYMENT_WINDOW),
        DeductStock(order_id=order.order_id, store=order.store),
    )


def _book_payment(order: Order, m: PaymentTaken) -> Change:
    paper = Paper(order.order_id, "payment", m.at, {"amount": m.amount, "reference": m.reference})
    return {"paid": order.paid + m.amount, "reference": m.reference}, (paper,)


# -- the store's work --------------------------------------------------------------------------------------------------


def fulfil(order: Order, m: StockDeducted, c: Context) -> Change:
    """Paid and deducted: the store may begin."""
    order_for_store = FulfilOrder(
        order_id=order.order_id,
        store=order.store,
        spus=order.spus,
        quantities=order.quantities,
        slot=order.slot,
        delivery=order.delivery,
    )
    paid = OrderPaid(order_id=order.order_id, store=order.store, account=order.account, total=order.total)
    return {}, (_document(order, m, "sales_issue", c), order_for_store, paid)


def _document(order: Order, m: StockDeducted | IssueReversed, kind: str, c: Context) -> Paper:
    lines = [{"spu": s, "quantity": q} for s, q in zip(m.spus, m.quantities, strict=True)]
    return Paper(order.order_id, "document", c.now, {"number": m.document, "kind": kind, "lines": lines})


def open_window(order: Order, m: FulfilmentDelivered, c: Context) -> Change:
    """Delivered: from here on aftersales keeps the window."""
    window = OpenWindow(order_id=order.order_id, account=order.account, store=order.store)
    delivered = OrderDelivered(order_id=order.order_id, store=order.store, account=order.account)
    return {}, (window, delivered)


def tell_closed(order: Order, m: WindowShut, c: Context) -> Change:
    """The end of a good order."""
    return {}, (OrderClosed(order_id=order.order_id, store=order.store, account=order.account),)


# -- ways back ---------------------------------------------------------------------------------------------------------


def give_slot_back(order: Order) -> tuple[object, ...]:
    """The order's place in its slot, if it has one."""
    return (FreeSlot(order_id=order.order_id, store=order.store),) if order.slot else ()


def reject(order: Order, m: OrderRefused, c: Context) -> Change:
    """Risk says no."""
    return _reject(order, "refused_by_risk")


def reject_without_slot(order: Order, m: SlotRefused, c: Context) -> Change:
    """No place in the slot; nothing to give back."""
    rejected = OrderRejected(order_id=order.order_id, store=order.store, account=order.account, reason=m.code)
    return {"reason": m.code}, (rejected,)


def reject_short(order: Order, m: StockShort, c: Context) -> Change:
    """Not enough stock: the short lines are named."""
    changes, said = _reject(order, "out_of_stock", m.spus, m.missing)
    return changes, (*said, _short(order, m, c))


def _reject(order: Order, reason: str, spus: tuple[str, ...] = (), missing: tuple[int, ...] = ()) -> Change:
    rejected = OrderRejected(
        order_id=order.order_id, store=order.store, account=order.account, reason=reason, spus=spus, missing=missing
    )
    return {"reason": reason}, (*give_slot_back(order), rejected)


def _short(order: Order, m: StockShort | StockGone | StockSoldOut, c: Context) -> Paper:
    lines = [{"spu": s, "missing": q} for s, q in zip(m.spus, m.missing, strict=True)]
    return Paper(order.order_id, "short", c.now, {"lines": lines})


def cancel_unheld(order: Order, m: CancelOrder, c: Context) -> Change:
    """The wish came before any stock was held: there is at most a place in a slot to give back."""
    reason = "cancelled_by_customer"
    return {"reason": reason}, (*give_slot_back(order), _told_cancelled(order, reason))


def cancel_in_review(order: Order, m: CancelOrder, c: Context) -> Change:
    """As above; and nobody needs to look at it any more."""
    changes, said = cancel_unheld(order, m, c)
    return changes, (WithdrawScreening(order_id=order.order_id, account=order.account), *said)


def _told_cancelled(order: Order, reason: str) -> OrderCancelled:
    return OrderCancelled(order_id=order.order_id, store=order.store, account=order.account, reason=reason)


def _release(order: Order, reason: str) -> Change:
    return {"reason": reason}, (
        CancelTimer(order.order_id, PAYMENT_WINDOW),
        ReleaseStock(order_id=order.order_id, store=order.store),
        *give_slot_back(order),
    )


def release(order: Order, m: CancelOrder, c: Context) -> Change:
    """The customer does not want it any more, and has not paid: give the stock back."""
    return _release(order, "cancelled_by_customer")


def expire(order: Order, m: PaymentExpired, c: Context) -> Change:
    """Nobody paid in time."""
    return _release(order, "payment_expired")


def release_gone(order: Order, m: StockGone, c: Context) -> Change:
    """Somebody else was faster; no money has moved."""
    changes, said = _release(order, "sold_out")
    return changes, (_short(order, m, c), *said)


def keep_wish(order: Order, m: CancelOrder, c: Context) -> Change:
    """Money or goods are on their way: the answer settles the wish."""
    return {"reason": "cancelled_by_customer"}, ()


def release_as_wished(order: Order, m: PaymentDeclined | PaymentGivenUp, c: Context) -> Change:
    """No money came, and the customer wants out."""
    return _release(order, order.reason)


def refund_as_wished(order: Order, m: PaymentTaken, c: Context) -> Change:
    """The money came after the wish to cancel: everything goes back. The hold is given back on the same link."""
    changes, said = _book_payment(order, m)
    refund_changes, refund = _refund_all(order, order.reason, m.reference)
    _, released = _release(order, order.reason)
    return {**changes, **refund_changes}, (*said, *released, *refund)


def refund_sold_out(order: Order, m: StockSoldOut, c: Context) -> Change:
    """Paid, but somebody else was faster: all money goes back."""
    changes, refund = _refund_all(order, "sold_out", order.reference)
    return {"reason": "sold_out", **changes}, (_short(order, m, c), *give_slot_back(order), *refund)


def refund_sold_out_as_wished(order: Order, m: StockSoldOut, c: Context) -> Change:
    """As above, and the customer wanted out anyway."""
    changes, refund = _refund_all(order, order.reason, order.reference)
    return changes, (_short(order, m, c), *give_slot_back(order), *refund)


def reverse_issue(order: Order, m: StockDeducted, c: Context) -> Change:
    """The goods were deducted after the wish to cancel: they go back on the shelf, with a counter-document."""
    return {}, (
        _document(order, m, "sales_issue", c),
        ReverseIssue(order_id=order.order_id, store=order.store),
        *give_slot_back(order),
    )


def refund_reversed(order: Order, m: IssueReversed, c: Context) -> Change:
    """The goods are back: now the money."""
    changes, refund = _refund_all(order, order.reason, order.reference)
    return changes, (_document(order, m, "issue_reversal", c), *refund)


def _refund_all(order: Order, reason: str, reference: str) -> Change:
    number = order.refunds + 1
    command = RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=order.total,
        reference=reference,
        reason=reason,
        liable="store" if reason == "sold_out" else "customer",
    )
    return {"refunds": number, "closing_refund": number}, (command,)


def tell_cancelled(order: Order, m: StockReleased, c: Context) -> Change:
    """Everything is given back."""
    return {}, (_told_cancelled(order, order.reason),)


def tell_refunded(order: Order, m: PaymentRefunded, c: Context) -> Change:
    """The money is back: the order is over."""
    changes, said = book_refund(order, m, c)
    return changes, (*said, _told_cancelled(order, order.reason))


def give_back(order: Order, m: MoneyUnasked, c: Context) -> Change:
    """Money that nobody waits for is returned, and revives nothing."""
    number = order.refunds + 1
    paper = Paper(order.order_id, "payment", m.at, {"amount": m.amount, "reference": m.reference})
    command = RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=m.amount,
        reference=m.reference,
        reason="unasked_money",
        liable="store",
    )
    return {"paid": order.paid + m.amount, "refunds": number}, (paper, command)


def book_refund(order: Order, m: PaymentRefunded | StrayMoneyReturned, c: Context) -> Change:
    """The gateway confirmed a refund."""
    body = {"amount": m.amount, "reason": m.reason, "liable": m.liable, "reference": m.reference}
    return {"refunded": order.refunded + m.amount}, (Paper(order.order_id, "refund", m.at, body),)


# -- the table ---------------------------------------------------------------------------------------------------------


def _late(*messages: type) -> dict[type, Cell]:
    return dict.fromkeys(messages, IGNORE)


_NOT_PAYABLE: dict[type, Cell] = {
    PayOrder: refuse("order_not_payable"),
}
_UNDER_WAY: dict[type, Cell] = {
    PayOrder: refuse("payment_under_way"),
    PaymentExpired: IGNORE,  # expiry waits for the answer; when none of the money came, the window is looked at again
}
_PAID: dict[type, Cell] = {
    **_NOT_PAYABLE,
    PaymentExpired: IGNORE,  # parked behind the payment, and replayed after it
}
_GOING_BACK: dict[type, Cell] = {**_PAID, CancelOrder: refuse("cancel_under_way")}
_TOO_LATE_TO_CANCEL: dict[type, Cell] = {**_PAID, CancelOrder: refuse("cancel_not_allowed")}

SALES_ORDER = Table(
    "sales order",
    {
        Phase.NEW: {
            BasketPriced: to(Phase.SCREENING, place),
            BasketPricedForSlot: to(Phase.RESERVING_SLOT, place_in_slot),
            OutsideEveryArea: refuse("outside_area"),
            UnknownStore: refuse("store_unknown"),
            StoreNotAccepting: refuse("store_not_accepting"),
            UnknownProduct: refuse("product_unknown"),
            QuantityTooLarge: refuse("quantity_too_large"),
            SlotOver: refuse("slot_over"),
            PlacedAtOtherTotal: refuse("total_changed"),
            PayOrder: refuse("order_unknown"),
            CancelOrder: refuse("order_unknown"),
        },
        Phase.RESERVING_SLOT: {
            SlotReserved: to(Phase.SCREENING, screen),
            SlotRefused: to(Phase.REJECTED, reject_without_slot),
            CancelOrder: to(Phase.CANCELLED, cancel_unheld),
            **_NOT_PAYABLE,
        },
        Phase.SCREENING: {
            OrderCleared: to(Phase.HOLDING, hold_locked),
            OrderRestricted: to(Phase.HOLDING, hold_on_payment),
            OrderReferred: to(Phase.IN_REVIEW),
            OrderRefused: to(Phase.REJECTED, reject),
            CancelOrder: to(Phase.CANCELLED, cancel_in_review),
            **_NOT_PAYABLE,
        },
        Phase.IN_REVIEW: {
            OrderCleared: to(Phase.HOLDING, hold_locked),
            OrderRestricted: to(Phase.HOLDING, hold_on_payment),
            OrderRefused: to(Phase.REJECTED, reject),
            CancelOrder: to(Phase.CANCELLED, cancel_in_review),
            **_NOT_PAYABLE,
        },
        Phase.HOLDING: {
            StockHeld: to(Phase.AWAITING_PAYMENT, open_payment),
            StockShort: to(Phase.REJECTED, reject_short),
            CancelOrder: to(Phase.RELEASING, release),
            **_NOT_PAYABLE,
        },
        Phase.AWAITING_PAYMENT: {
            PayOrder: to(Phase.VERIFYING, verify),
            PaidAtOtherTotal: refuse("total_changed"),
            PaymentExpired: to(Phase.RELEASING, expire),
            CancelOrder: to(Phase.RELEASING, release),
        },
        Phase.VERIFYING: {
            TotalHolds: to(Phase.PAYING, take_payment),
            TotalChanged: to(Phase.AWAITING_PAYMENT, offer_new_total),
            StockGone: to(Phase.RELEASING, release_gone),
            CancelOrder: to(Phase.RELEASING, release),
            **_UNDER_WAY,
        },
        Phase.PAYING: {
            PaymentTaken: to(Phase.DEDUCTING, deduct),
            PaymentDeclined: to(Phase.AWAITING_PAYMENT, offer_again),
            PaymentGivenUp: to(Phase.AWAITING_PAYMENT, offer_again),
            CancelOrder: to(Phase.PAYING_CANCEL_WANTED, keep_wish),
            **_UNDER_WAY,
        },
        Phase.PAYING_CANCEL_WANTED: {
            PaymentTaken: to(Phase.REFUNDING, refund_as_wished),
            PaymentDeclined: to(Phase.RELEASING, release_as_wished),
            PaymentGivenUp: to(Phase.RELEASING, release_as_wished),
            CancelOrder: refuse("cancel_under_way"),
            **_UNDER_WAY,
        },
        Phase.DEDUCTING: {
            StockDeducted: to(Phase.AWAITING_PICKING, fulfil),
            StockSoldOut: to(Phase.REFUNDING, refund_sold_out),
            CancelOrder: to(Phase.DEDUCTING_CANCEL_WANTED, keep_wish),
            **_PAID,
        },
        Phase.DEDUCTING_CANCEL_WANTED: {
            StockDeducted: to(Phase.RELEASING, reverse_issue),
            StockSoldOut: to(Phase.REFUNDING, refund_sold_out_as_wished),
            **_GOING_BACK,
        },
        Phase.AWAITING_PICKING: {
            PickingStarted: to(Phase.PICKING),
            **_TOO_LATE_TO_CANCEL,
        },
        Phase.PICKING: {
            FulfilmentPacked: to(Phase.AWAITING_SHIPMENT),
            **_TOO_LATE_TO_CANCEL,
        },
        Phase.AWAITING_SHIPMENT: {
            FulfilmentHandedOver: to(Phase.IN_DELIVERY),
            **_TOO_LATE_TO_CANCEL,
        },
        Phase.IN_DELIVERY: {
            FulfilmentDelivered: to(Phase.DELIVERED, open_window),
            **_TOO_LATE_TO_CANCEL,
        },
        Phase.DELIVERED: {
            WindowShut: to(Phase.CLOSED, tell_closed),
            **_TOO_LATE_TO_CANCEL,
        },
        Phase.RELEASING: {
            StockReleased: to(Phase.CANCELLED, tell_cancelled),
            IssueReversed: to(Phase.REFUNDING, refund_reversed),
            **_GOING_BACK,
            # what inventory said before it heard that the order wants out
            **_late(StockHeld, StockShort, TotalHolds, TotalChanged, StockGone),
        },
        Phase.REFUNDING: {
            PaymentRefunded: to(Phase.CANCELLED, tell_refunded),
            StockReleased: IGNORE,  # a wish while paying: the hold is given back while the money is
            **_GOING_BACK,
        },
        Phase.CLOSED: _TOO_LATE_TO_CANCEL,
        Phase.CANCELLED: {
            **_TOO_LATE_TO_CANCEL,
            # said before it was heard that the order wants out; and the hold, if the money was faster
            **_late(OrderCleared, OrderRestricted, OrderReferred, OrderRefused, SlotReserved, SlotRefused),
            **_late(StockReleased),
        },
        Phase.REJECTED: _TOO_LATE_TO_CANCEL,
    },
)
for _phase, _cells in SALES_ORDER.rows.items():
    if _phase is not Phase.NEW:
        # Wherever the order is: a second order of that id is none, and money that nobody waits for goes back.
        for _placed_again in (
            BasketPriced,
            BasketPricedForSlot,
            OutsideEveryArea,
            UnknownStore,
            StoreNotAccepting,
            UnknownProduct,
            QuantityTooLarge,
            SlotOver,
            PlacedAtOtherTotal,
        ):
            _cells[_placed_again] = refuse("order_exists")
        _cells[MoneyUnasked] = to(_phase, give_back)
        _cells[StrayMoneyReturned] = to(_phase, book_refund)

# -- reading: a message whose outcome depends on facts becomes one of two ---------------------------------------------


def read(order: Order, message: Any, look: Look, c: Context) -> Any:
    """The message as the table knows it."""
    match message:
        case PlaceOrder():
            return _read_basket(message, look, c)
        case PayOrder():
            return _read_click(order, message, look)
        case StockVerified():
            prices = tuple(look(("product", spu)).price for spu in order.spus)
            total = total_of(order.quantities, prices)
            return TotalHolds() if total == order.total else TotalChanged(prices, total)
        case PaymentRefunded() if message.refund != order.closing_refund:
            return StrayMoneyReturned(
                message.refund, message.amount, message.reference, message.reason, message.liable, message.at
            )
    return message


def _read_basket(m: PlaceOrder, look: Look, c: Context) -> Any:
    store = m.store or look(("serving", *_point(m)))
    if store is None:
        return OutsideEveryArea("no store serves this delivery point")
    fact = look(("store", store))
    if fact is None:
        return UnknownStore(f"there is no store {store}")
    if m.store and m.delivery and not look(("within", m.store, *_point(m))):
        return OutsideEveryArea(f"the delivery point is outside the area of store {store}")
    if not fact.accepting:
        return StoreNotAccepting(f"store {store} takes no new orders")
    demand = summed(m.spus, m.quantities)
    products = {spu: look(("product", spu)) for spu in demand}
    if unknown := [spu for spu, product in products.items() if product is None]:
        return UnknownProduct(f"not in the catalogue: {', '.join(unknown[:10])}")
    if most := [spu for spu, quantity in demand.items() if quantity > QUANTITY_MAX]:
        return QuantityTooLarge(f"more than {QUANTITY_MAX} pieces of {', '.join(most[:10])}")
    if m.slot and (m.slot.start <= c.now or m.slot.end <= m.slot.start):
        return SlotOver("the slot must begin in the future and end after it begins")
    spus, quantities = tuple(demand), tuple(demand.values())
    prices = tuple(product.price for product in products.values())
    total = total_of(quantities, prices)
    if m.expected_total is not None and m.expected_total != total:
        return PlacedAtOtherTotal(f"the total is {total}, not {m.expected_total}")
    priced = BasketPricedForSlot if m.slot else BasketPriced
    return priced(m.order_id, m.account, store, spus, quantities, prices, total, m.delivery, m.slot, m.device)


def _read_click(order: Order, m: PayOrder, look: Look) -> Any:
    """A click on the total that the order shows is fair, even if prices have changed since: then the order comes
    back with the new total. Any other total was never offered. Of an order that cannot be paid, no total is told."""
    if order.phase is not Phase.AWAITING_PAYMENT or m.expected_total == order.total:
        return m
    return PaidAtOtherTotal(f"the total is {order.total}, not {m.expected_total}")


def _point(m: PlaceOrder) -> tuple[str, str]:
    assert m.delivery is not None
    return repr(m.delivery.lat), repr(m.delivery.lon)


# -- the service -------------------------------------------------------------------------------------------------------


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The order; for a new basket the catalogue and the store; at the click the prices as they are now."""
    key = ("order", message.order_id)
    if isinstance(message, PlaceOrder):
        keys: list[Key] = [key, *(("product", spu) for spu in message.spus)]
        if message.store:
            keys.append(("store", message.store))
            if message.delivery:
                keys.append(("within", message.store, *_point(message)))
        else:
            serving: Key = ("serving", *_point(message))
            keys.append(serving)
            if store := look(serving):
                keys.append(("store", store))
        return keys
    if isinstance(message, StockVerified) and (order := look(key)):
        return [key, *(("product", spu) for spu in order.spus)]
    return [key]


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message for one order."""
    key = ("order", message.order_id)
    order = look(key) or Order(message.order_id, Phase.NEW)
    read_as = read(order, message, look, context)
    answer = SALES_ORDER.move(order, read_as, context, phase_since=context.now)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    if moved.phase is order.phase:
        # It has been here since before: stray money must not quiet the alarm of an order that waits too long.
        moved = evolve(moved, {"phase_since": order.phase_since})
    entry = TimelineEntry(message.order_id, context.now, moved.phase, type(message).__name__, context.actor)
    return Moved(((key, moved),), [*said, entry])


DECIDER = Decider(
    service="order",
    listens=(
        PlaceOrder,
        PayOrder,
        CancelOrder,
        OrderCleared,
        OrderRestricted,
        OrderReferred,
        OrderRefused,
        SlotReserved,
        SlotRefused,
        StockHeld,
        StockShort,
        StockVerified,
        StockGone,
        StockDeducted,
        StockSoldOut,
        StockReleased,
        IssueReversed,
        PaymentTaken,
        PaymentDeclined,
        PaymentGivenUp,
        MoneyUnasked,
        PaymentRefunded,
        PickingStarted,
        FulfilmentPacked,
        FulfilmentHandedOver,
        FulfilmentDelivered,
        WindowShut,
    ),
    needs=needs,
    decide=decide,
    timers={PAYMENT_WINDOW: PaymentExpired},
    facts=frozenset({"product", "store", "serving", "within"}),
)

assert ENDS <= set(SALES_ORDER.rows)
