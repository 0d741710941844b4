"""Quotes: what a basket would cost now, and whether it can be had. Nothing is kept of one, and nothing is promised.

A basket is read by the very reader of PlaceOrder (`reading.read`) on the same facts, so a quote says what an order
placed now would cost. What only people can wait for is no error here: a store that takes no orders, a point outside its
area, goods that are still to come or sold out are told, and the basket is priced as if they were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from services.order import inner
from services.order.decider import SALES_ORDER
from services.order.facts import Facts
from services.order.levels import LEVELS_HERE, Left, Levels
from services.order.pricing import Applied
from services.order.promotions import Kind, Offers, Promotion
from services.order.reading import OFFERS, read
from services.order.slots import too_late_for
from services.order.state import Order, Phase, StoreFact
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, Account, Filled, Name, Quantity, Text
from shared.contracts.levels import OpenSlot
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.problems import invalid, refusal
from shared.runtime.decider import Context, Look, Windows
from shared.runtime.table import Key, Refuse
from shared.service import Parts

SLOTS_SHOWN = 5
"""Most free slots that a quote names."""
OUT_OF_STOCK = "out_of_stock"
_NO_ORDER = Order("quote", Phase.NEW)
_TOLD = (inner.OutsideEveryArea, inner.StoreNotAccepting, inner.PresaleNeedsSlot)

Buyer = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]


class WantedIn(Body):
    """Pieces of one SPU."""

    spu: Name
    quantity: Quantity


class PointIn(Body):
    """Where the goods would go. Only the point counts; the rest of an order's delivery may stand here."""

    lat: ordering.Latitude
    lon: ordering.Longitude
    address: Filled | None = None
    phone: Text | None = None
    note: Text | None = None


class QuoteIn(Body):
    """A basket to be priced. Staff name the account; a customer's token does for customers."""

    store: Name | None = None
    delivery: PointIn | None = None
    lines: Annotated[list[WantedIn], Field(min_length=1, max_length=LINES_MAX)]
    coupons: Annotated[list[Name], Field(max_length=ordering.COUPONS_MAX)] = []
    account: Account | None = None


class Off(BaseModel):
    """What a promotion takes off, in minor units."""

    id: str
    discount: int


class QuotedLine(BaseModel):
    """An SPU of the basket, all its pieces. `available`: pieces that this line could get at its price, of the shelf or,
    at the price of a flash sale, of its allotment; `incoming`: pieces that are to come and may be promised; both as of
    `as_of`, null when nothing is known of them here."""

    spu: str
    quantity: int
    unit_price: int
    discount: int
    total: int
    promotions: list[Off]
    available: int | None
    incoming: int | None
    as_of: datetime | None


class FreeSlot(BaseModel):
    """A slot that the basket could go in, and the places left in it."""

    start: datetime
    end: datetime
    free: int


class Quote(BaseModel):
    """What the basket would cost now, in minor units. `reason` says why it is not deliverable: `outside_area` (without
    a store there is no price), `store_not_accepting`, `out_of_stock` (a line whose known stock is less than it wants).
    `available_from`: from when on all of it can be had, when something is still to come; it takes a slot from then on.
    `levels_heard_at`: until when all that stores told is in here."""

    store: str | None
    deliverable: bool
    reason: str | None
    detail: str | None
    lines: list[QuotedLine]
    total: int | None
    currency: str
    coupons: list[Off]
    available_from: datetime | None
    slots: list[FreeSlot]
    levels_heard_at: datetime | None


def routes(parts: Parts, levels: Levels = LEVELS_HERE) -> APIRouter:
    """The route of quotes."""
    router = APIRouter(tags=["quotes"])
    facts, currency = Facts(parts.pool), parts.settings.currency
    windows = Windows(slot_lead_s=parts.settings.slot_lead_s)

    @router.post("/quotes", response_model=Quote)
    async def quote(body: QuoteIn, caller: Buyer) -> Response:
        basket = _basket(body, caller)
        now = datetime.now(UTC)
        look = await facts.of(basket, now)
        found = quoted(basket, look, Context(now, windows=windows, currency=currency), levels)
        if isinstance(found, inner.Unplaceable):
            raise refusal(code_of(found), found.detail)
        # As a whole answer: what was made here need not be validated once more.
        return Response(found.model_dump_json(), media_type="application/json")

    return router


def code_of(unplaceable: inner.Unplaceable) -> str:
    """The code with which an order would be refused."""
    cell = SALES_ORDER.rows[Phase.NEW][type(unplaceable)]
    assert isinstance(cell, Refuse)
    return cell.code


def quoted(basket: ordering.PlaceOrder, look: Look, c: Context, levels: Levels) -> Quote | inner.Unplaceable:
    """The quote of a basket; or why no order could be placed with it, not even at another time or place."""
    wrong: inner.Unplaceable | None = None
    found = read(_NO_ORDER, basket, look, c)
    if isinstance(found, _TOLD):
        wrong = found if not isinstance(found, inner.PresaleNeedsSlot) else None
        found = read(_NO_ORDER, basket, _as_if_placeable(look), c)
    without: frozenset[str] = frozenset()
    while isinstance(found, inner.BasketPriced) and (gone := _gone(found, levels)):
        without |= gone
        found = _read_again(basket, _as_if_placeable(_without(look, without)), c)
    if isinstance(found, inner.OutsideEveryArea):
        return _nowhere(found, c, levels)
    if isinstance(found, inner.Unplaceable):
        return found
    return _told(found, look, c, levels, wrong)


def _read_again(basket: ordering.PlaceOrder, look: Look, c: Context) -> Any:
    """As an order is priced again once an allotment is gone: a coupon that takes nothing off any more is let go."""
    found = read(_NO_ORDER, basket, look, c)
    if not isinstance(found, inner.CouponUnfit):
        return found
    fit: tuple[str, ...] = ()
    for code in sorted(basket.coupons):
        with_it = read(_NO_ORDER, basket.model_copy(update={"coupons": (*fit, code)}), look, c)
        fit = fit if isinstance(with_it, inner.CouponUnfit) else (*fit, code)
    return read(_NO_ORDER, basket.model_copy(update={"coupons": fit}), look, c)


def _as_if_placeable(look: Look) -> Look:
    """A look at a world in which what people can wait for, or go to, is there."""

    def kindly(key: Key) -> Any:
        fact = look(key)
        if key[0] == "within":
            return True
        if key[0] == "store":
            return fact and StoreFact(True)
        return fact and fact._replace(available_from=None) if key[0] == "product" else fact

    return kindly


def _without(look: Look, gone: frozenset[str]) -> Look:
    """A look at offers without these."""
    left = _Left(look(OFFERS), gone)
    return lambda key: left if key == OFFERS else look(key)


class _Left(Offers):
    """Offers without flash sales whose allotment is gone."""

    __slots__ = ("_gone", "_offers")

    def __init__(self, offers: Offers, gone: frozenset[str]) -> None:
        super().__init__()
        self._offers, self._gone, self.amounts_off = offers, gone, offers.amounts_off

    def __bool__(self) -> bool:
        return True

    def of_line(self, spu: str, category: str) -> list[Promotion]:
        """As of all offers, but for those that are gone."""
        return [p for p in self._offers.of_line(spu, category) if p.id not in self._gone]


def _gone(found: inner.BasketPriced, levels: Levels) -> set[str]:
    """The flash sales that cannot cover a line of theirs: as in inventory, they are then gone with all their lines."""
    return {
        applied.promotion
        for applied in found.discounts.applied
        if applied.kind == Kind.FLASH
        for n, discount in enumerate(applied.discounts)
        if discount and not _covers(_left(found, n, applied, levels), found.quantities[n], levels)
    }


def _left(found: inner.BasketPriced, n: int, applied: Applied, levels: Levels) -> Left | None:
    return levels.left(found.store, found.spus[n], applied.promotion)


def _covers(left: Left | None, quantity: int, levels: Levels) -> bool:
    """Until all that was told is heard, an allotment that is not known may be there."""
    return left.pieces >= quantity if left else levels.heard_at is None


def _nowhere(found: inner.OutsideEveryArea, c: Context, levels: Levels) -> Quote:
    return Quote(
        store=None,
        deliverable=False,
        reason=code_of(found),
        detail=found.detail,
        lines=[],
        total=None,
        currency=c.currency,
        coupons=[],
        available_from=None,
        slots=[],
        levels_heard_at=levels.heard_at,
    )


def _told(found: inner.BasketPriced, look: Look, c: Context, levels: Levels, wrong: inner.Unplaceable | None) -> Quote:
    days = {spu: day for spu in found.spus if (day := look(("product", spu)).available_from) and day > c.now}
    lines = [_line(found, n, levels) for n in range(len(found.spus))]
    short = [line.spu for line in lines if _is_short(line, presale=line.spu in days)]
    coming = max(days.values(), default=None)
    return Quote(
        store=found.store,
        deliverable=not (wrong or short),
        reason=code_of(wrong) if wrong else OUT_OF_STOCK if short else None,
        detail=wrong.detail if wrong else f"not enough of {', '.join(short[:10])}" if short else None,
        lines=lines,
        total=found.total,
        currency=c.currency,
        coupons=_coupons(found),
        available_from=coming,
        slots=_slots(levels.slots(found.store), coming, c),
        levels_heard_at=levels.heard_at,
    )


def _line(found: inner.BasketPriced, n: int, levels: Levels) -> QuotedLine:
    spu, quantity, price = found.spus[n], found.quantities[n], found.prices[n]
    applied = [one for one in found.discounts.applied if one.discounts[n]]
    discount = sum(one.discounts[n] for one in applied)
    stock = levels.stock(found.store, spu)
    available, as_of = (stock.available, stock.at) if stock else (None, None)
    if applied and applied[0].kind == Kind.FLASH:
        left = _left(found, n, applied[0], levels)
        available, as_of = (left.pieces, left.at) if left else (None, None)
    return QuotedLine(
        spu=spu,
        quantity=quantity,
        unit_price=price,
        discount=discount,
        total=quantity * price - discount,
        promotions=[Off(id=one.promotion, discount=one.discounts[n]) for one in applied],
        available=available,
        incoming=stock.incoming if stock else None,
        as_of=as_of,
    )


def _is_short(line: QuotedLine, *, presale: bool) -> bool:
    if line.available is None:
        return False
    return line.available + (line.incoming or 0 if presale else 0) < line.quantity


def _coupons(found: inner.BasketPriced) -> list[Off]:
    return [
        Off(id=one.promotion, discount=sum(one.discounts)) for one in found.discounts.applied if one.kind == Kind.COUPON
    ]


def _slots(slots: Sequence[OpenSlot], coming: datetime | None, c: Context) -> list[FreeSlot]:
    free = []
    for slot in slots:
        if (coming is None or slot.start >= coming) and not too_late_for(slot, c):
            free.append(FreeSlot(start=slot.start, end=slot.end, free=slot.free))
            if len(free) == SLOTS_SHOWN:
                break
    return free


def _basket(body: QuoteIn, caller: Caller) -> ordering.PlaceOrder:
    if caller.role is Role.CUSTOMER and body.account not in (None, caller.account):
        raise invalid("body", "account", "a customer asks for no other account")
    account = caller.account if caller.role is Role.CUSTOMER else body.account
    if not account:
        raise invalid("body", "account", "name the account that the quote is for")
    if body.store is None and body.delivery is None:
        raise invalid("body", "store", "name a store or a delivery point")
    if len(set(body.coupons)) != len(body.coupons):
        raise invalid("body", "coupons", "a basket names a coupon once")
    return ordering.PlaceOrder(
        order_id=_NO_ORDER.order_id,
        account=account,
        store=body.store,
        delivery=ordering.Delivery(lat=body.delivery.lat, lon=body.delivery.lon, address="-")
        if body.delivery
        else None,
        spus=tuple(line.spu for line in body.lines),
        quantities=tuple(line.quantity for line in body.lines),
        coupons=tuple(body.coupons),
    )
