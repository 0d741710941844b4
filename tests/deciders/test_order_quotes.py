"""Quotes: what they say is what an order placed now would cost, and why it could not be had."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.order import inner
from services.order.decider import DECIDER
from services.order.levels import Left, Levels, Slots, Stock
from services.order.promotions import Kind, Offers, Promotion
from services.order.quotes import SLOTS_SHOWN, Quote, code_of, quoted
from services.order.reading import OFFERS
from services.order.state import Order, Phase, Product, StoreFact
from shared.contracts import inventory, risk
from shared.contracts import order as ordering
from shared.contracts.levels import OpenSlot
from shared.runtime.decider import Context, Windows
from shared.runtime.table import Key, Moved, Refused
from tests.deciders.orders import BASKET, DOOR, SHOP, Shop, order
from tests.deciders.scene import NOON

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPUS = ("milk", "bread", "oat", "soy")
C = Context(NOON, windows=Windows(slot_lead_s=600))


def levels(*, heard: bool = True, **available: int) -> Levels:
    """What store s-1 has of these on its shelf."""
    known = Levels()
    known.heard_at = NOON if heard else None
    known._stock = {("s-1", spu): Stock(pieces, 0, NOON) for spu, pieces in available.items()}
    return known


def promotion(id_: str, kind: Kind, **fields: Any) -> Promotion:
    """One that is on."""
    return Promotion(id=id_, revision=1, kind=kind, starts_at=NOON - HOUR, ends_at=NOON + HOUR, **fields)


FLASH = promotion("tenth", Kind.FLASH, value=13, spus=frozenset({"milk"}))


def quote(
    basket: ordering.PlaceOrder, known: Levels, *, given: dict[Key, Any] | None = None
) -> Quote | inner.Unplaceable:
    """The quote in the shop."""
    facts = {**SHOP, **(given or {})}
    return quoted(basket, facts.get, C, known)


def fine(basket: ordering.PlaceOrder, known: Levels, **given: Any) -> Quote:
    """A quote that is one."""
    found = quote(basket, known, **given)
    assert isinstance(found, Quote), found
    return found


def test_ordinary_basket_is_priced_and_available() -> None:
    """Lines as an order has them, each with its stock and since when that is known."""
    told = fine(BASKET, levels(milk=5, bread=1))
    assert (told.store, told.deliverable, told.reason, told.total) == ("s-1", True, None, 607)
    milk, bread = told.lines
    assert (milk.unit_price, milk.quantity, milk.total, milk.discount) == (129, 2, 258, 0)
    assert (milk.available, milk.incoming, milk.as_of) == (5, 0, NOON)
    assert (bread.available, told.levels_heard_at) == (1, NOON)


def test_unknown_level_is_null_and_no_reason() -> None:
    """Nobody told of it: that is not the same as none."""
    told = fine(BASKET, levels(heard=False, milk=5))
    assert (told.deliverable, told.lines[1].available, told.lines[1].incoming, told.lines[1].as_of) == (
        True,
        None,
        None,
        None,
    )


def test_too_little_on_the_shelf_is_out_of_stock() -> None:
    """An answer, with the price that it would have."""
    told = fine(BASKET, levels(milk=1, bread=1))
    assert (told.deliverable, told.reason, told.detail, told.total) == (
        False,
        "out_of_stock",
        "not enough of milk",
        607,
    )


def test_store_that_takes_no_orders_is_told_with_the_price() -> None:
    """As the code of the refusal, with its words; a pause says until when."""
    store: Key = ("store", "s-1")
    closed = fine(BASKET, levels(milk=1), given={store: StoreFact(False)})
    assert (closed.deliverable, closed.reason, closed.total) == (False, "store_not_accepting", 607)
    paused = fine(BASKET, levels(), given={store: StoreFact(True, NOON + HOUR)})
    assert (paused.reason, paused.detail) == (
        "store_not_accepting",
        "store s-1 takes no new orders until 2026-11-22T13:00:00Z",
    )
    assert fine(BASKET, levels(), given={store: StoreFact(True, NOON)}).deliverable


def test_outside_the_area() -> None:
    """Of a store that was named the price is known; of nowhere it is not."""
    named = BASKET.model_copy(update={"delivery": DOOR})
    told = fine(named, levels(), given={("within", "s-1", "52.5", "13.4"): False})
    assert (told.store, told.deliverable, told.reason, told.total) == ("s-1", False, "outside_area", 607)
    nowhere = named.model_copy(update={"store": None})
    told = fine(nowhere, levels(), given={("serving", "52.5", "13.4"): None})
    assert (told.store, told.deliverable, told.reason, told.lines, told.total) == (
        None,
        False,
        "outside_area",
        [],
        None,
    )
    assert fine(nowhere, levels()).store == "s-1"


def test_what_can_never_be_ordered_is_the_same_error_as_an_order_s() -> None:
    """Also when the store takes no orders: first it must be a basket."""
    unknown = BASKET.model_copy(update={"spus": ("milk", "caviar")})
    closed: dict[Key, Any] = {("store", "s-1"): StoreFact(False)}
    for facts in ({}, closed):
        found = quote(unknown, levels(), given=facts)
        assert isinstance(found, inner.UnknownProduct)
        assert code_of(found) == "product_unknown"
    found = quote(BASKET.model_copy(update={"coupons": ("WELCOME",)}), levels())
    assert isinstance(found, inner.CouponUnknown)


def test_presale_names_its_day_and_slots_from_then_on() -> None:
    """What is to come counts for a line that may have it; other lines must be on the shelf."""
    known = levels(bread=1)
    known._stock["s-1", "milk"] = Stock(0, 2, NOON)
    days = tuple(OpenSlot(start=NOON + n * DAY, end=NOON + n * DAY + HOUR, free=3) for n in range(1, 9))
    known._slots["s-1"] = Slots(days, NOON)
    given: dict[Key, Any] = {("product", "milk"): Product(129, "other", NOON + 2 * DAY)}
    told = fine(BASKET, known, given=given)
    assert (told.deliverable, told.available_from, told.total) == (True, NOON + 2 * DAY, 607)
    assert [slot.start for slot in told.slots] == [slot.start for slot in days[1 : 1 + SLOTS_SHOWN]]
    known._stock["s-1", "bread"] = Stock(0, 2, NOON)
    assert fine(BASKET, known, given=given).reason == "out_of_stock"


def test_slots_that_cannot_be_kept_any_more_are_left_out() -> None:
    """The lead time counts from now, not from when they were told."""
    known = levels()
    starts = (NOON - HOUR, NOON + timedelta(seconds=600), NOON + timedelta(seconds=601))
    known._slots["s-1"] = Slots(tuple(OpenSlot(start=start, end=start + HOUR, free=1) for start in starts), NOON)
    assert [slot.start for slot in fine(BASKET, known).slots] == [starts[2]]


def test_flash_line_tells_what_is_left_and_is_ordinary_when_that_is_not_enough() -> None:
    """As inventory would: an allotment covers a whole line, or the shelf does at its ordinary price."""
    given: dict[Key, Any] = {OFFERS: Offers([FLASH])}
    known = levels(milk=9, bread=1)
    known._left["s-1", "milk", "tenth"] = Left(2, NOON - HOUR)
    milk = fine(BASKET, known, given=given).lines[0]
    assert (milk.total, milk.discount, milk.available, milk.as_of) == (26, 232, 2, NOON - HOUR)
    assert [(off.id, off.discount) for off in milk.promotions] == [("tenth", 232)]
    known._left["s-1", "milk", "tenth"] = Left(1, NOON)
    milk = fine(BASKET, known, given=given).lines[0]
    assert (milk.total, milk.promotions, milk.available) == (258, [], 9)
    del known._left["s-1", "milk", "tenth"]  # over, and everything was heard
    assert fine(BASKET, known, given=given).lines[0].total == 258
    known.heard_at = None
    milk = fine(BASKET, known, given=given).lines[0]
    assert (milk.total, milk.available) == (26, None)


def test_coupon_that_takes_nothing_off_once_the_sale_is_over_is_let_go() -> None:
    """As an order that is held at another total lets it go: without the sale everything is free."""
    free = promotion("free", Kind.PERCENT, value=100, min_total=500)
    welcome = promotion("WELCOME", Kind.COUPON, value=100, per_account=1)
    given: dict[Key, Any] = {OFFERS: Offers([FLASH, free]), ("coupon", "WELCOME"): welcome}
    known = levels(milk=9, bread=1)
    known._left["s-1", "milk", "tenth"] = Left(2, NOON)
    basket = BASKET.model_copy(update={"coupons": ("WELCOME",)})
    told = fine(basket, known, given=given)
    assert (told.total, [(off.id, off.discount) for off in told.coupons]) == (26 + 249, [("WELCOME", 100)])
    del known._left["s-1", "milk", "tenth"]
    told = fine(basket, known, given=given)
    assert (told.total, told.coupons) == (0, [])
    scene = Shop(DECIDER, {**SHOP, **given})
    scene.when(basket)
    scene.when(risk.OrderCleared(order_id="o-1"))
    scene.when(inventory.StockHeld(order_id="o-1", mode="on_payment", gone=("tenth",)))
    assert order(scene).total == 0


def test_line_that_neither_allotment_nor_shelf_covers_is_out_of_stock() -> None:
    """At its ordinary price."""
    told = fine(BASKET, levels(milk=1, bread=1), given={OFFERS: Offers([FLASH])})
    assert (told.reason, told.lines[0].total) == ("out_of_stock", 258)


# -- what a quote says is what an order costs --------------------------------------------------------------------------

scopes = st.sampled_from([frozenset[str](), frozenset({"milk"}), frozenset({"milk", "oat"}), frozenset({"bread"})])


@st.composite
def promotions(draw: st.DrawFn, kind: Kind, n: int) -> Promotion:
    """Any promotion of a kind."""
    fields: dict[str, Any] = {"spus": draw(scopes), "starts_at": NOON + draw(st.sampled_from([-HOUR, HOUR]))}
    if kind is Kind.PERCENT:
        fields["value"] = draw(st.integers(0, 100))
    elif kind is Kind.BUY_N_PAY_M:
        fields |= {"n": 3, "m": draw(st.integers(1, 2))}
    else:
        fields["value"] = draw(st.integers(1, 700))
    if kind is not Kind.FLASH:
        fields["min_total"] = draw(st.sampled_from([0, 300, 900]))
    per_account = 1 if kind is Kind.COUPON else 0
    base = {"id": f"{kind}-{n}", "revision": 1, "kind": kind, "ends_at": NOON + 2 * HOUR, "per_account": per_account}
    return Promotion(**{**base, **fields})


@st.composite
def offers(draw: st.DrawFn) -> list[Promotion]:
    """Some promotions, coupons among them."""
    kinds = draw(st.lists(st.sampled_from(list(Kind)), max_size=6))
    return [draw(promotions(kind, n)) for n, kind in enumerate(kinds)]


def gone(placed: Order, known: Levels) -> tuple[str, ...] | None:
    """What inventory would answer: the sales of which a line is not covered by its allotment."""
    wanted = [
        (one.promotion, known.left("s-1", spu, one.promotion), quantity)
        for one in placed.discounts.applied
        if one.kind == Kind.FLASH
        for spu, quantity, off in zip(placed.spus, placed.quantities, one.discounts, strict=True)
        if off
    ]
    return tuple({id_ for id_, left, quantity in wanted if left is None or left.pieces < quantity}) or None


baskets = st.lists(st.tuples(st.sampled_from(SPUS), st.integers(1, 7)), min_size=1, max_size=5)
allotted = st.dictionaries(st.tuples(st.sampled_from(SPUS), st.integers(0, 5)), st.integers(1, 9), max_size=5)


@settings(max_examples=400, deadline=None)
@given(lines=baskets, some=offers(), left=allotted, named=st.booleans())
def test_quote_is_what_an_order_placed_now_would_cost(
    lines: list[tuple[str, int]], some: list[Promotion], left: dict[tuple[str, int], int], named: bool
) -> None:
    """The same baskets through the decider on the same facts: placed, cleared, and held by an inventory that has what
    the levels say. The same total, line by line, or the same refusal."""
    coupons = [p for p in some if p.kind is Kind.COUPON] if named else []
    facts: dict[Key, Any] = {
        **SHOP,
        OFFERS: Offers(p for p in some if p.kind is not Kind.COUPON),
        **{("coupon", p.id): p for p in coupons},
    }
    basket = ordering.PlaceOrder(
        order_id="o-1",
        account="a-1",
        store="s-1",
        spus=tuple(spu for spu, _ in lines),
        quantities=tuple(quantity for _, quantity in lines),
        coupons=tuple(p.id for p in coupons),
    )
    known = levels(milk=1_000, bread=1_000, oat=1_000, soy=1_000)
    known._left = {("s-1", spu, f"flash-{n}"): Left(pieces, NOON) for (spu, n), pieces in left.items()}
    quote = quoted(basket, facts.get, C, known)

    scene = Shop(DECIDER, facts)
    outcome = scene.when(basket)
    if isinstance(outcome, Refused):
        assert isinstance(quote, inner.Unplaceable)
        assert (code_of(quote), quote.detail) == (outcome.code, outcome.detail)
        return
    assert isinstance(outcome, Moved)
    scene.when(risk.OrderCleared(order_id="o-1"))
    scene.when(inventory.StockHeld(order_id="o-1", mode="on_payment", gone=gone(order(scene), known)))
    while sold := gone(order(scene), known):
        scene.when(ordering.PayOrder(order_id="o-1", method="tok_ok", expected_total=order(scene).total))
        scene.when(inventory.StockVerified(order_id="o-1", gone=sold))
    placed = order(scene)
    assert placed.phase is Phase.AWAITING_PAYMENT
    assert isinstance(quote, Quote)
    assert (quote.total, [line.total for line in quote.lines]) == (placed.total, placed.totals())
    told = {(off.id, line.spu): off.discount for line in quote.lines for off in line.promotions}
    assert told == {
        (one.promotion, spu): off
        for one in placed.discounts.applied
        for spu, off in zip(placed.spus, one.discounts, strict=True)
        if off
    }
    assert {(off.id, off.discount) for off in quote.coupons} == {
        (one.promotion, sum(one.discounts)) for one in placed.discounts.applied if one.kind == Kind.COUPON
    }
