"""Reading: a message whose outcome depends on facts becomes one of two, so that every cell has one target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.order.goods import Substitute, is_similar, list_of, lots_of, replaced, without
from services.order.policy import CANCEL_POLICY, Actor, Policy, actor_of, policy_of
from services.order.pricing import TOTAL_MAX, summed, total_of
from services.order.slots import SLOT_OVER, latest_for, too_late_for
from services.order.state import (
    BasketPriced,
    BasketPricedForSlot,
    CancelByTicket,
    CancelNeedsTicket,
    CancelRefused,
    CancelWanted,
    ClickedTooLarge,
    ClickedTooLate,
    Lot,
    NothingLeft,
    OldGoodsCame,
    Order,
    OtherCall,
    OutsideEveryArea,
    PaidAtOtherTotal,
    PaymentExpired,
    Phase,
    PlacedAtOtherTotal,
    QuantityTooLarge,
    Replacement,
    ReplacementFits,
    ReplacementUnfit,
    ReturnCame,
    ReturnForgotten,
    ReturnLost,
    ShortageSettled,
    ShortageUnanswered,
    SlotMissed,
    SlotOver,
    StoreNotAccepting,
    StrayMoneyReturned,
    StrayRefundRefused,
    SubstituteFits,
    SubstituteUnfit,
    Substitution,
    TicketFits,
    TicketUnfit,
    TotalChanged,
    TotalHolds,
    TotalOutgrown,
    TotalTooLarge,
    UnknownProduct,
    UnknownStore,
)
from shared.contracts.aftersales import (
    CancelChosen,
    DropChosen,
    InterceptAsked,
    ReplacementApproved,
    SubstituteChosen,
    TicketAsked,
)
from shared.contracts.base import LINES_MAX, QUANTITY_MAX, sales_order_of
from shared.contracts.inventory import StockHeld, StockVerified
from shared.contracts.logistics import ReturnInspected, ReturnOverdue
from shared.contracts.order import CancelOrder, PayOrder, PlaceOrder
from shared.contracts.payment import PaymentRefunded, PaymentRefundRefused
from shared.contracts.risk import OrderCleared, OrderReferred, OrderRestricted
from shared.runtime.decider import Context, Look
from shared.runtime.table import Key

_AT_PRICES_OF_NOW = frozenset({PayOrder, StockVerified})


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The order; for a basket the catalogue and the store; around the click, and for substitutes, the prices of now."""
    key = ("order", message.order_id)
    if type(message) is PlaceOrder:
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
    if type(message) in _AT_PRICES_OF_NOW and (order := look(key)):
        return [key, *(("product", spu) for spu in order.spus)]
    if type(message) is SubstituteChosen:
        return [key, *(("product", spu) for spu in message.substitute_spus)]
    if type(message) is TicketAsked or type(message) is ReplacementApproved:
        products = [("product", spu) for spu in message.spus]
        return [key, ("order", sales_order_of(message.order_id)), *products]
    return [key]


def read(order: Order, message: Any, look: Look, c: Context) -> Any:
    """The message as the table knows it."""
    reader = _READERS.get(type(message))
    return reader(order, message, look, c) if reader else message


def _read_wish(order: Order, m: CancelOrder, look: Look, c: Context) -> Any:
    if order.phase is Phase.NEW:
        return m if sales_order_of(m.order_id) == m.order_id else CancelWanted("")
    actor = actor_of(c.actor)
    policy = policy_of(order.order_id)[order.phase][actor]
    if policy is Policy.ALLOWED:
        return CancelWanted("cancelled_by_customer" if actor is Actor.CUSTOMER else f"cancelled_by_{actor}")
    return CancelNeedsTicket() if policy is Policy.TICKET else CancelRefused()


def _read_intercept(order: Order, m: InterceptAsked, look: Look, c: Context) -> Any:
    """From the road the courier is called back; before that it depends on the policy what the ticket does."""
    if order.replacement or order.phase in (Phase.NEW, Phase.IN_DELIVERY, Phase.DELIVERED):
        return m
    if Policy.TICKET not in CANCEL_POLICY[order.phase].values():
        return m
    return CancelByTicket(m.ticket_id)


def _read_refund(order: Order, m: PaymentRefunded, look: Look, c: Context) -> Any:
    """Is it the refund that the order's end waits for, or another?"""
    if m.refund == order.closing_refund:
        return m
    return StrayMoneyReturned(m.refund, m.amount, m.reference, m.reason, m.liable, m.at)


def _read_refused_refund(order: Order, m: PaymentRefundRefused, look: Look, c: Context) -> Any:
    if m.refund == order.closing_refund:
        return m
    return StrayRefundRefused(m.refund, m.amount, m.reference, m.code, m.reason, m.liable)


def _read_basket(order: Order, m: PlaceOrder, look: Look, c: Context) -> Any:
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
    if m.slot and m.slot.end <= m.slot.start:
        return SlotOver("the slot must end after it begins")
    if m.slot and too_late_for(m.slot, c):
        return SlotOver(f"the slot can be had until {latest_for(m.slot, c):%Y-%m-%dT%H:%M:%SZ}")
    spus, quantities = tuple(demand), tuple(demand.values())
    prices = tuple(product.price for product in products.values())
    total = total_of(quantities, prices)
    if total > TOTAL_MAX:
        return TotalTooLarge(_too_large(total))
    if m.expected_total is not None and m.expected_total != total:
        return PlacedAtOtherTotal(f"the total is {total}, not {m.expected_total}")
    priced = BasketPricedForSlot if m.slot else BasketPriced
    return priced(m.order_id, m.account, store, spus, quantities, prices, total, m.delivery, m.slot, m.device)


_BEFORE_MONEY = frozenset({Phase.SCREENING, Phase.IN_REVIEW, Phase.HOLDING, Phase.AWAITING_PAYMENT})


def _point(m: PlaceOrder) -> tuple[str, str]:
    assert m.delivery is not None
    return repr(m.delivery.lat), repr(m.delivery.lon)


def _read_click(order: Order, m: PayOrder, look: Look, c: Context) -> Any:
    """A click on the total that the order shows is fair, even if prices have changed since: then the order comes back
    with the new total. Any other total was never offered. Of an order that cannot be paid, no total is told."""
    if order.reason == SLOT_OVER or (order.phase is Phase.AWAITING_PAYMENT and too_late_for(order.slot, c)):
        return ClickedTooLate("the slot cannot be kept any more")
    if order.phase is not Phase.AWAITING_PAYMENT:
        return m
    if m.expected_total != order.total:
        return PaidAtOtherTotal(f"the total is {order.total}, not {m.expected_total}")
    _, total = _at_prices_of_now(order, look)
    return ClickedTooLarge(_too_large(total)) if total > TOTAL_MAX else m


def _read_total(order: Order, m: StockVerified, look: Look, c: Context) -> Any:
    if order.phase is Phase.VERIFYING and too_late_for(order.slot, c):
        return SlotMissed(order.order_id)
    prices, total = _at_prices_of_now(order, look)
    if total > TOTAL_MAX:
        return TotalOutgrown()
    return TotalHolds() if total == order.total else TotalChanged(prices, total)


def _at_prices_of_now(order: Order, look: Look) -> tuple[tuple[int, ...], int]:
    prices = tuple(look(("product", spu)).price for spu in order.spus)
    return prices, total_of(order.quantities, prices)


def _too_large(total: int) -> str:
    return f"the total would be {total}, and an order takes at most {TOTAL_MAX}"


def _read_in_time(order: Order, m: Any, look: Look, c: Context) -> Any:
    """What carries an order on towards its payment: a slot that it could be in no more ends it."""
    return SlotMissed(order.order_id) if order.phase in _BEFORE_MONEY and too_late_for(order.slot, c) else m


def _read_call(order: Order, m: DropChosen | SubstituteChosen | CancelChosen, look: Look, c: Context) -> Any:
    """What the customer said of the shortage that the order waits with. Each shortage has its own ticket; a deadline
    may have settled an earlier one while somebody was on the phone."""
    if order.phase is not Phase.SHORT or order.shortage is None:
        return m
    if m.ticket_id != order.shortage.ticket_id:
        return OtherCall()
    if type(m) is DropChosen:
        return _read_drop(order, "dropped")
    return _read_substitutes(order, m, look, c) if type(m) is SubstituteChosen else m


def _read_unanswered(order: Order, m: ShortageUnanswered, look: Look, c: Context) -> Any:
    return _read_drop(order, "nobody_called") if order.phase is Phase.SHORT else m


def _read_drop(order: Order, note: str) -> Any:
    assert order.shortage is not None, "the order is short"
    rest = without(lots_of(order), dict(zip(order.shortage.spus, order.shortage.missing, strict=True)))
    return ShortageSettled(rest.lots, rest.given_up, rest.gone, note) if rest.lots else NothingLeft(note)


def _read_substitutes(order: Order, m: SubstituteChosen, look: Look, c: Context) -> Any:
    """Substitutes must be known, replace only what is missing, and cost about what was paid."""
    assert order.shortage is not None, "the order is short"
    missing = dict(zip(order.shortage.spus, order.shortage.missing, strict=True))
    lots = lots_of(order)
    substitutes = []
    for spu, quantity, instead_of in zip(m.substitute_spus, m.substitutes, m.instead_of, strict=True):
        product = look(("product", spu))
        if product is None:
            return SubstituteUnfit("substitute_unknown")
        if spu in order.shortage.spus:
            return SubstituteUnfit("substitute_is_short")
        if quantity > missing.get(instead_of, 0):
            return SubstituteUnfit("more_than_missing")
        missing[instead_of] -= quantity
        paid = {lot.price for lot in lots if lot.spu == instead_of}
        if any(not is_similar(product.price, price, c.similar_price_percent) for price in paid) or len(paid) != 1:
            return SubstituteUnfit("substitute_price_differs")
        substitutes.append(Substitute(spu, quantity, instead_of, product.price))
    short = dict(zip(order.shortage.spus, order.shortage.missing, strict=True))
    after = replaced(lots, short, substitutes, order.replacement is not None)
    # The store reports on the new list as on any other, and no message of people's can name more than that.
    listed, pieces = list_of(after.lots)
    if len(listed) > LINES_MAX:
        return SubstituteUnfit("too_many_lines")
    if max(pieces) > QUANTITY_MAX:
        return SubstituteUnfit("too_many_pieces")
    spus, quantities = tuple(s.spu for s in substitutes), tuple(s.quantity for s in substitutes)
    return SubstituteFits(Substitution(after.lots, after.given_up, after.gone), *_each_once(spus, quantities))


def _each_once(spus: Sequence[str], quantities: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pieces = summed(spus, quantities)
    return tuple(pieces), tuple(pieces.values())


# -- goods that the customer has ---------------------------------------------------------------------------------------


def _read_asked(order: Order, m: TicketAsked, look: Look, c: Context) -> Any:
    """May there be a ticket about goods of a delivered order, and may these replace them?"""
    if order.phase is not Phase.DELIVERED:
        return m
    code = _unfit(m.spus, m.prices, m.instead_of, look, c)
    return TicketUnfit(m.ticket_id, code) if code else TicketFits(m.ticket_id)


def _read_replacement(order: Order, m: ReplacementApproved, look: Look, c: Context) -> Any:
    if order.phase is not Phase.NEW:
        return m
    master: Order = look(("order", sales_order_of(m.order_id)))
    code = _unfit(m.spus, m.prices, m.instead_of, look, c)
    pieces = summed(m.spus, m.quantities)
    if not code and (len(pieces) > LINES_MAX or max(pieces.values()) > QUANTITY_MAX):
        code = "replacement_does_not_fit"
    if code:
        return ReplacementUnfit(m.about, m.ticket_id, code)
    lots = tuple(
        Lot(spu, quantity, paid, instead_of, look(("product", spu)).price)
        for spu, quantity, instead_of, paid in zip(m.spus, m.quantities, m.instead_of, m.prices, strict=True)
    )
    replacement = Replacement(master.order_id, m.about, m.ticket_id, m.kind, m.back_spus, m.back)
    return ReplacementFits(master.account, master.store, master.delivery, lots, replacement)


def _unfit(spus: Sequence[str], prices: Sequence[int], instead_of: Sequence[str], look: Look, c: Context) -> str:
    """Why goods cannot take the place of others; empty when they can. The same goods always can."""
    for spu, paid, replaced_spu in zip(spus, prices, instead_of, strict=True):
        product = look(("product", spu))
        if product is None:
            return "replacement_unknown"
        if spu != replaced_spu and not is_similar(product.price, paid, c.similar_price_percent):
            return "replacement_price_differs"
    return ""


def _read_inspected(order: Order, m: ReturnInspected, look: Look, c: Context) -> Any:
    resellable, damaged = summed(m.resellable_spus, m.resellable), summed(m.damaged_spus, m.damaged)
    if m.exchange:
        return OldGoodsCame(m.ticket_id, resellable, damaged, summed(m.missing_spus, m.missing))
    return ReturnCame(m.ticket_id, resellable, damaged)


def _read_overdue(order: Order, m: ReturnOverdue, look: Look, c: Context) -> Any:
    return ReturnLost(m.ticket_id, summed(m.spus, m.quantities)) if m.collected else ReturnForgotten(m.ticket_id)


# By type and not by `isinstance`: on models that costs more than the reading.
_READERS: dict[type, Callable[[Order, Any, Look, Context], Any]] = {
    PlaceOrder: _read_basket,
    PayOrder: _read_click,
    OrderCleared: _read_in_time,
    OrderRestricted: _read_in_time,
    OrderReferred: _read_in_time,
    StockHeld: _read_in_time,
    PaymentExpired: _read_in_time,
    StockVerified: _read_total,
    CancelOrder: _read_wish,
    InterceptAsked: _read_intercept,
    PaymentRefunded: _read_refund,
    PaymentRefundRefused: _read_refused_refund,
    DropChosen: _read_call,
    SubstituteChosen: _read_call,
    CancelChosen: _read_call,
    ShortageUnanswered: _read_unanswered,
    TicketAsked: _read_asked,
    ReplacementApproved: _read_replacement,
    ReturnInspected: _read_inspected,
    ReturnOverdue: _read_overdue,
}
