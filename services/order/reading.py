"""Reading: a message whose outcome depends on facts becomes one of two, so that every cell has one target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.order import inner
from services.order.claims import NONE_HAD, must_claim, needs_of_account
from services.order.goods import Substitute, is_similar, list_of, lots_of, replaced, without
from services.order.policy import CANCEL_POLICY, Actor, Policy, actor_of, policy_of
from services.order.pricing import TOTAL_MAX, Line, Priced, at_ordinary_prices, priced, summed
from services.order.promotions import Kind, Offers, Promotion, Rush
from services.order.sales import needs_of_sale, on_sale
from services.order.slots import SLOT_OVER, latest_for, too_late_for
from services.order.state import NO_DISCOUNTS, Discounts, Lot, Order, Phase, Product, Replacement, Substitution
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, QUANTITY_MAX, Slot, sales_order_of
from shared.runtime.decider import Context, Look
from shared.runtime.table import Key

OFFERS: Key = ("offers",)
"""The fact that is all automatic promotions that are on or to come."""
RUSHES: Key = ("rushes",)
"""The fact that is all rushes that are on or to come."""
_OF_OTHERS = frozenset({ordering.ClaimPromotions, ordering.ReturnPromotions, ordering.TellSale})
"""Messages that are about no order, but about an account or a flash sale."""
_AT_PRICES_OF_NOW = frozenset({ordering.PayOrder, inventory.StockVerified, ordering.SettleClaim})


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The order; for a basket the catalogue and the store; around the click, and for substitutes, the prices of now."""
    if type(message) in _OF_OTHERS:
        return needs_of_sale(message) if type(message) is ordering.TellSale else needs_of_account(message)
    key = ("order", message.order_id)
    if type(message) is ordering.PlaceOrder:
        return _needs_of_basket(message, look)
    if type(message) is risk.OrderCleared:
        return [key, RUSHES]
    if type(message) in _AT_PRICES_OF_NOW and (order := look(key)):
        coupons = (("coupon", code) for code in order.discounts.coupons)
        return [key, OFFERS, *(("product", spu) for spu in order.spus), *coupons]
    if type(message) is inventory.StockHeld and message.gone and (order := look(key)):
        coupons = (("coupon", code) for code in order.discounts.coupons)
        return [key, OFFERS, *(("product", spu) for spu in order.spus), *coupons]
    if type(message) is inventory.StockShort:
        return [key, OFFERS, *(("product", spu) for spu in message.spus)]
    if type(message) is aftersales.SubstituteChosen:
        return [key, *(("product", spu) for spu in message.substitute_spus)]
    if type(message) is aftersales.TicketAsked or type(message) is aftersales.ReplacementApproved:
        products = [("product", spu) for spu in message.spus]
        return [key, ("order", sales_order_of(message.order_id)), ("order", _about(message)), *products]
    return [key]


def _needs_of_basket(m: ordering.PlaceOrder, look: Look) -> Iterator[Key]:
    """Where it goes, what is in it, what changes its price, and how often the account has had what it may have only so
    often. Each of these tells what the next are: `look` raises where more has to be loaded first."""
    yield ("order", m.order_id)
    yield OFFERS
    yield from (("product", spu) for spu in m.spus)
    yield from (key for code in m.coupons for key in (("coupon", code), ("claims", m.account, code)))
    if m.store:
        yield ("store", m.store)
        if m.delivery:
            yield ("within", m.store, *_point(m))
    else:
        serving: Key = ("serving", *_point(m))
        yield serving
        if store := look(serving):
            yield ("store", store)
    if offers := look(OFFERS):
        products = [(spu, look(("product", spu))) for spu in m.spus]
        limited = offers.limited([(spu, product.category) for spu, product in products if product])
        yield from (("claims", m.account, promotion.id) for promotion in limited)


def read(order: Order, message: Any, look: Look, c: Context) -> Any:
    """The message as the table knows it."""
    reader = _READERS.get(type(message))
    return reader(order, message, look, c) if reader else message


def _read_wish(order: Order, m: ordering.CancelOrder, look: Look, c: Context) -> Any:
    if order.phase is Phase.NEW:
        return m if sales_order_of(m.order_id) == m.order_id else inner.CancelWanted("")
    actor = actor_of(c.actor)
    policy = policy_of(order.order_id)[order.phase][actor]
    if policy is Policy.ALLOWED:
        return inner.CancelWanted("cancelled_by_customer" if actor is Actor.CUSTOMER else f"cancelled_by_{actor}")
    return inner.CancelNeedsTicket() if policy is Policy.TICKET else inner.CancelRefused()


def _read_intercept(order: Order, m: aftersales.InterceptAsked, look: Look, c: Context) -> Any:
    """From the road the courier is called back; before that it depends on the policy what the ticket does."""
    if order.replacement or order.phase in (Phase.NEW, Phase.IN_DELIVERY, Phase.DELIVERED):
        return m
    if Policy.TICKET not in CANCEL_POLICY[order.phase].values():
        return m
    return inner.CancelByTicket(m.ticket_id)


def _read_refund(order: Order, m: payment.PaymentRefunded, look: Look, c: Context) -> Any:
    """Is it the refund that the order's end waits for, or another?"""
    if m.refund == order.closing_refund:
        return m
    return inner.StrayMoneyReturned(m.refund, m.amount, m.reference, m.reason, m.liable, m.at)


def _read_refused_refund(order: Order, m: payment.PaymentRefundRefused, look: Look, c: Context) -> Any:
    if m.refund == order.closing_refund:
        return m
    return inner.StrayRefundRefused(m.refund, m.amount, m.reference, m.code, m.reason, m.liable)


def _read_basket(order: Order, m: ordering.PlaceOrder, look: Look, c: Context) -> Any:
    store = m.store or look(("serving", *_point(m)))
    if store is None:
        return inner.OutsideEveryArea("no store serves this delivery point")
    fact = look(("store", store))
    if fact is None:
        return inner.UnknownStore(f"there is no store {store}")
    if m.store and m.delivery and not look(("within", m.store, *_point(m))):
        return inner.OutsideEveryArea(f"the delivery point is outside the area of store {store}")
    if not fact.accepting:
        return inner.StoreNotAccepting(f"store {store} takes no new orders")
    if fact.paused_until and c.now < fact.paused_until:
        return inner.StoreNotAccepting(
            f"store {store} takes no new orders until {fact.paused_until:%Y-%m-%dT%H:%M:%SZ}"
        )
    demand = summed(m.spus, m.quantities)
    products = {spu: look(("product", spu)) for spu in demand}
    if unknown := [spu for spu, product in products.items() if product is None]:
        return inner.UnknownProduct(f"not in the catalogue: {', '.join(unknown[:10])}")
    if most := [spu for spu, quantity in demand.items() if quantity > QUANTITY_MAX]:
        return inner.QuantityTooLarge(f"more than {QUANTITY_MAX} pieces of {', '.join(most[:10])}")
    presale = {s: p.available_from for s, p in products.items() if p.available_from and p.available_from > c.now}
    if presale and (wrong := _too_early(presale, m.slot)):
        return inner.PresaleNeedsSlot(wrong)
    if m.slot and m.slot.end <= m.slot.start:
        return inner.SlotOver("the slot must end after it begins")
    if m.slot and too_late_for(m.slot, c):
        return inner.SlotOver(f"the slot can be had until {latest_for(m.slot, c):%Y-%m-%dT%H:%M:%SZ}")
    spus, quantities = tuple(demand), tuple(demand.values())
    coupons = [look(("coupon", code)) for code in m.coupons]
    if wrong_coupon := _wrong_coupon(m, coupons, store, look, c):
        return wrong_coupon
    denied: set[str] = set()

    def may_have(promotion: Promotion, units: int) -> bool:
        had = (look(("claims", m.account, promotion.id)) or NONE_HAD).had() if promotion.per_account else 0
        if had + units <= (promotion.per_account or had + units):
            return True
        denied.add(promotion.id)
        return False

    price = _price(spus, quantities, list(products.values()), look(OFFERS), coupons, store, c, may_have)
    names = {one.promotion for one in price.applied}
    if unfit := [code for code in m.coupons if code not in names]:
        return inner.CouponUnfit(f"coupon {unfit[0]} takes nothing off this basket")
    if price.total > TOTAL_MAX:
        return inner.TotalTooLarge(_too_large(price.total))
    if m.expected_total is not None and m.expected_total != price.total:
        return inner.PlacedAtOtherTotal(f"the total is {price.total}, not {m.expected_total}")
    discounts = NO_DISCOUNTS
    if price.applied or denied:
        discounts = Discounts(price.applied, m.coupons, tuple(sorted(denied)), (), c.now)
    kind = inner.BasketPricedForSlot if m.slot else inner.BasketPriced
    return kind(
        *(m.order_id, m.account, store, spus, quantities, price.prices, price.total),
        *(m.delivery, m.slot, m.device, discounts, tuple(presale)),
    )


def _too_early(presale: Mapping[str, datetime], slot: Slot | None) -> str:
    """Why goods that are still to come cannot be in this order; empty when they can: the slot is late enough."""
    spu, day = max(presale.items(), key=lambda one: one[1])
    return "" if slot and slot.start >= day else f"{spu} can be had from {day:%Y-%m-%dT%H:%M:%SZ} on: choose a slot"


def _wrong_coupon(
    m: ordering.PlaceOrder, coupons: Sequence[Promotion | None], store: str, look: Look, c: Context
) -> inner.Unplaceable | None:
    for code, coupon in zip(m.coupons, coupons, strict=True):
        if coupon is None or coupon.account not in ("", m.account):
            return inner.CouponUnknown(f"there is no coupon {code}")
        if not coupon.on(store, c.now):
            return inner.CouponNotValid(f"coupon {code} is not valid here now")
        if (look(("claims", m.account, code)) or NONE_HAD).had():
            return inner.CouponUsed(f"coupon {code} was used already")
    return None


_BEFORE_MONEY = frozenset({Phase.SCREENING, Phase.IN_REVIEW, Phase.HOLDING, Phase.AWAITING_PAYMENT})


def _point(m: ordering.PlaceOrder) -> tuple[str, str]:
    assert m.delivery is not None
    return repr(m.delivery.lat), repr(m.delivery.lon)


def _read_click(order: Order, m: ordering.PayOrder, look: Look, c: Context) -> Any:
    """A click on the total that the order shows is fair, even if prices have changed since: then the order comes back
    with the new total. Any other total was never offered. Of an order that cannot be paid, no total is told."""
    if order.reason == SLOT_OVER or (order.phase is Phase.AWAITING_PAYMENT and too_late_for(order.slot, c)):
        return inner.ClickedTooLate("the slot cannot be kept any more")
    if order.phase is not Phase.AWAITING_PAYMENT:
        return m
    if m.expected_total != order.total:
        return inner.PaidAtOtherTotal(f"the total is {order.total}, not {m.expected_total}")
    total = _at_prices_of_now(order, look, c).priced.total
    return inner.ClickedTooLarge(_too_large(total)) if total > TOTAL_MAX else m


def _read_total(order: Order, m: inventory.StockVerified, look: Look, c: Context) -> Any:
    """A total that is still the same stands with all that is in it: it is the price that the customer saw."""
    if order.phase is Phase.NEW:
        return m
    if order.phase is Phase.VERIFYING and too_late_for(order.slot, c):
        return inner.SlotMissed(order.order_id)
    now = _at_prices_of_now(order, look, c, m.gone or ())
    if now.priced.total > TOTAL_MAX:
        return inner.TotalOutgrown()
    if now.priced.total != order.total or m.gone:
        return inner.TotalChanged(*now)
    return inner.TotalToClaim() if must_claim(order) else inner.TotalHolds()


def _read_held(order: Order, m: inventory.StockHeld, look: Look, c: Context) -> Any:
    """An allotment may have been sold out in the meantime."""
    read = _read_in_time(order, m, look, c)
    if read is not m or not m.gone or order.phase is not Phase.HOLDING:
        return read
    now = _at_prices_of_now(order, look, c, m.gone)
    return inner.TotalOutgrown() if now.priced.total > TOTAL_MAX else inner.HeldAtOtherTotal(*now)


def _read_claim(order: Order, m: ordering.SettleClaim, look: Look, c: Context) -> Any:
    if order.phase is not Phase.VERIFYING:
        return m if order.phase is Phase.NEW else inner.ClaimTooLate()
    if too_late_for(order.slot, c):
        return inner.SlotMissed(order.order_id)
    if not m.denied:
        return inner.ClaimGranted()
    now = _at_prices_of_now(order, look, c, m.denied)
    return inner.TotalOutgrown() if now.priced.total > TOTAL_MAX else inner.TotalChanged(*now)


class _Now(NamedTuple):
    """What an order costs at this instant, without what was refused to it."""

    priced: Priced
    denied: tuple[str, ...]


def _at_prices_of_now(order: Order, look: Look, c: Context, gone: Sequence[str] = ()) -> _Now:
    products = [look(("product", spu)) for spu in order.spus]
    coupons = [coupon for code in order.discounts.coupons if (coupon := look(("coupon", code)))]
    denied = order.discounts.denied + tuple([one for one in gone if one not in order.discounts.denied])
    fitting = [p for p in coupons if p.on(order.store, c.now) and p.account in ("", order.account)]
    goods = (order.spus, order.quantities, products)
    price = _price(*goods, look(OFFERS), fitting, order.store, c, lambda p, units: _fits(p, units, denied))
    return _Now(price, denied)


def _price(
    spus: Sequence[str],
    quantities: Sequence[int],
    products: Sequence[Product],
    offers: Offers,
    coupons: Sequence[Promotion],
    store: str,
    c: Context,
    may_have: Callable[[Promotion, int], bool],
) -> Priced:
    if not offers and not coupons:
        return at_ordinary_prices(quantities, [product.price for product in products])
    goods = zip(spus, quantities, products, strict=True)
    lines = [Line(spu, quantity, product.price, product.category) for spu, quantity, product in goods]
    return priced(lines, offers, coupons, store, c.now, may_have)


def _fits(promotion: Promotion, units: int, denied: Sequence[str]) -> bool:
    """On the click: what was refused once is refused for good; for the rest the account is asked."""
    return promotion.id not in denied and units <= (promotion.per_account or units)


def _read_short(order: Order, m: inventory.StockShort, look: Look, c: Context) -> Any:
    """Short of what a flash sale is on: that is told as what it is. A replacement order is in no sale."""
    offers: Offers = look(OFFERS)
    for spu in m.spus if order.phase is Phase.HOLDING and not order.replacement else ():
        product: Product | None = look(("product", spu))
        promotions = offers.of_line(spu, product.category) if product else ()
        if any(p.kind is Kind.FLASH and p.on(order.store, c.now) for p in promotions):
            return inner.FlashSoldOut(m.spus, m.missing)
    return m


def _read_cleared(order: Order, m: risk.OrderCleared, look: Look, c: Context) -> Any:
    """Nothing speaks against the order; but a flash sale, goods that are still to come, and a rush are first paid,
    first served."""
    read = _read_in_time(order, m, look, c)
    if read is not m or order.phase not in (Phase.SCREENING, Phase.IN_REVIEW):
        return read
    rushes: Sequence[Rush] = look(RUSHES)
    in_rush = any(rush.covers(order.store, order.spus, c.now) for rush in rushes)
    return inner.FirstPaidFirst(m) if in_rush or order.presale or on_sale(order) else m


def _too_large(total: int) -> str:
    return f"the total would be {total}, and an order takes at most {TOTAL_MAX}"


def _read_in_time(order: Order, m: Any, look: Look, c: Context) -> Any:
    """What carries an order on towards its payment: a slot that it could be in no more ends it."""
    return inner.SlotMissed(order.order_id) if order.phase in _BEFORE_MONEY and too_late_for(order.slot, c) else m


def _read_call(
    order: Order,
    m: aftersales.DropChosen | aftersales.SubstituteChosen | aftersales.CancelChosen,
    look: Look,
    c: Context,
) -> Any:
    """What the customer said of the shortage that the order waits with. Each shortage has its own ticket; a deadline
    may have settled an earlier one while somebody was on the phone."""
    if order.phase is not Phase.SHORT or order.shortage is None:
        return m
    if m.ticket_id != order.shortage.ticket_id:
        return inner.OtherCall()
    if type(m) is aftersales.DropChosen:
        return _read_drop(order, "dropped")
    return _read_substitutes(order, m, look, c) if type(m) is aftersales.SubstituteChosen else m


def _read_unanswered(order: Order, m: inner.ShortageUnanswered, look: Look, c: Context) -> Any:
    return _read_drop(order, "nobody_called") if order.phase is Phase.SHORT else m


def _read_drop(order: Order, note: str) -> Any:
    assert order.shortage is not None, "the order is short"
    rest = without(lots_of(order), dict(zip(order.shortage.spus, order.shortage.missing, strict=True)))
    return inner.ShortageSettled(rest.lots, rest.given_up, rest.gone, note) if rest.lots else inner.NothingLeft(note)


def _read_substitutes(order: Order, m: aftersales.SubstituteChosen, look: Look, c: Context) -> Any:
    """Substitutes must be known, replace only what is missing, and cost about what was paid."""
    assert order.shortage is not None, "the order is short"
    missing = dict(zip(order.shortage.spus, order.shortage.missing, strict=True))
    lots = lots_of(order)
    substitutes = []
    for spu, quantity, instead_of in zip(m.substitute_spus, m.substitutes, m.instead_of, strict=True):
        product = look(("product", spu))
        if product is None:
            return inner.SubstituteUnfit("substitute_unknown")
        if spu in order.shortage.spus:
            return inner.SubstituteUnfit("substitute_is_short")
        if quantity > missing.get(instead_of, 0):
            return inner.SubstituteUnfit("more_than_missing")
        missing[instead_of] -= quantity
        short_of = [lot for lot in lots if lot.spu == instead_of]
        costs = {_cost(order, lot) for lot in short_of}
        paid = {lot.price for lot in short_of} if order.replacement else set()
        if len(costs) != 1 or not any(
            is_similar(product.price, cost, c.similar_price_percent) for cost in costs | paid
        ):
            return inner.SubstituteUnfit("substitute_price_differs")
        substitutes.append(Substitute(spu, quantity, instead_of, product.price))
    short = dict(zip(order.shortage.spus, order.shortage.missing, strict=True))
    after = replaced(lots, short, substitutes, order.replacement is not None)
    # The store reports on the new list as on any other, and no message of people's can name more than that; nor one to
    # aftersales more lots.
    listed, pieces = list_of(after.lots)
    if len(listed) > LINES_MAX or len(after.lots) > 2 * LINES_MAX:
        return inner.SubstituteUnfit("too_many_lines")
    if max(pieces) > QUANTITY_MAX:
        return inner.SubstituteUnfit("too_many_pieces")
    spus, quantities = tuple(s.spu for s in substitutes), tuple(s.quantity for s in substitutes)
    return inner.SubstituteFits(Substitution(after.lots, after.given_up, after.gone), *_each_once(spus, quantities))


def _cost(order: Order, lot: Lot) -> int:
    """What a piece of an order costs without discounts: what was paid for it, where there are none; else the ordinary
    price of the line, also of one that a substitute stands for. Of what stands for a substitute, and of goods that go
    out as a replacement, nobody knows it any more: what they cost themselves."""
    if not (order.discounts.applied or order.replacement):
        return lot.price
    ordinary = {} if order.replacement else dict(zip(order.spus, order.prices, strict=True))
    return ordinary.get(lot.instead_of or lot.spu, lot.list_price)


def _each_once(spus: Sequence[str], quantities: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pieces = summed(spus, quantities)
    return tuple(pieces), tuple(pieces.values())


# -- goods that the customer has ---------------------------------------------------------------------------------------


def _read_asked(order: Order, m: aftersales.TicketAsked, look: Look, c: Context) -> Any:
    """May there be a ticket about goods of a delivered order, and may these replace them?"""
    if order.phase is not Phase.DELIVERED:
        return m
    code = _unfit(m, look, c)
    return inner.TicketUnfit(m.ticket_id, code) if code else inner.TicketFits(m.ticket_id)


def _read_replacement(order: Order, m: aftersales.ReplacementApproved, look: Look, c: Context) -> Any:
    if order.phase is not Phase.NEW:
        return m
    master: Order = look(("order", sales_order_of(m.order_id)))
    code = _unfit(m, look, c)
    pieces = summed(m.spus, m.quantities)
    if not code and (len(pieces) > LINES_MAX or max(pieces.values()) > QUANTITY_MAX):
        code = "replacement_does_not_fit"
    if code:
        return inner.ReplacementUnfit(m.about, m.ticket_id, code)
    lots = tuple(
        Lot(spu, quantity, paid, instead_of, look(("product", spu)).price)
        for spu, quantity, instead_of, paid in zip(m.spus, m.quantities, m.instead_of, m.prices, strict=True)
    )
    replacement = Replacement(master.order_id, m.about, m.ticket_id, m.kind, m.back_spus, m.back)
    return inner.ReplacementFits(master.account, master.store, master.delivery, lots, replacement)


def _unfit(m: aftersales.TicketAsked | aftersales.ReplacementApproved, look: Look, c: Context) -> str:
    """Why goods cannot take the place of others; empty when they can. The same goods always can; others when they cost
    about what was paid for those, or what they cost without discounts."""
    about: Order | None = look(("order", _about(m)))
    lots = lots_of(about) if about else ()
    for spu, paid, replaced_spu in zip(m.spus, m.prices, m.instead_of, strict=True):
        product = look(("product", spu))
        if product is None:
            return "replacement_unknown"
        costs = {paid, *(_cost(about, lot) for lot in lots if about and (lot.spu, lot.price) == (replaced_spu, paid))}
        if spu != replaced_spu and not any(is_similar(product.price, cost, c.similar_price_percent) for cost in costs):
            return "replacement_price_differs"
    return ""


def _about(m: aftersales.TicketAsked | aftersales.ReplacementApproved) -> str:
    """The order that the goods came with."""
    return m.about if type(m) is aftersales.ReplacementApproved else m.order_id


def _read_inspected(order: Order, m: logistics.ReturnInspected, look: Look, c: Context) -> Any:
    resellable, damaged = summed(m.resellable_spus, m.resellable), summed(m.damaged_spus, m.damaged)
    if m.exchange:
        return inner.OldGoodsCame(m.ticket_id, resellable, damaged, summed(m.missing_spus, m.missing))
    return inner.ReturnCame(m.ticket_id, resellable, damaged)


def _read_overdue(order: Order, m: logistics.ReturnOverdue, look: Look, c: Context) -> Any:
    return (
        inner.ReturnLost(m.ticket_id, summed(m.spus, m.quantities))
        if m.collected
        else inner.ReturnForgotten(m.ticket_id)
    )


# By type and not by `isinstance`: on models that costs more than the reading.
_READERS: dict[type, Callable[[Order, Any, Look, Context], Any]] = {
    ordering.PlaceOrder: _read_basket,
    ordering.PayOrder: _read_click,
    risk.OrderCleared: _read_cleared,
    risk.OrderRestricted: _read_in_time,
    risk.OrderReferred: _read_in_time,
    inventory.StockHeld: _read_held,
    inventory.StockShort: _read_short,
    ordering.SettleClaim: _read_claim,
    inner.PaymentExpired: _read_in_time,
    inventory.StockVerified: _read_total,
    ordering.CancelOrder: _read_wish,
    aftersales.InterceptAsked: _read_intercept,
    payment.PaymentRefunded: _read_refund,
    payment.PaymentRefundRefused: _read_refused_refund,
    aftersales.DropChosen: _read_call,
    aftersales.SubstituteChosen: _read_call,
    aftersales.CancelChosen: _read_call,
    inner.ShortageUnanswered: _read_unanswered,
    aftersales.TicketAsked: _read_asked,
    aftersales.ReplacementApproved: _read_replacement,
    logistics.ReturnInspected: _read_inspected,
    logistics.ReturnOverdue: _read_overdue,
}
