"""Cents add up: whatever promotions there are, the lines' totals are the total, and a line's pieces are the line.

Amounts here are integers without a currency: where a unit is a cent, a yen or a fils, the same sums hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.order.pricing import Line, Priced, pieces_of, priced, spread
from services.order.promotions import Kind, Offers, Promotion
from shared.contracts.base import LINES_MAX, MONEY_MAX, QUANTITY_MAX
from tests.deciders.scene import NOON

SPUS = ("milk", "bread", "oat", "tea")
CATEGORIES = {"milk": "dairy", "bread": "bakery", "oat": "dairy", "tea": "other"}
AMOUNTS = st.one_of(st.integers(0, 12), st.integers(0, 700), st.integers(0, 10**9))
"""Of money: few units (yen), some hundreds (cents), many (fils)."""

each = settings(max_examples=150, deadline=None)


scopes = st.sampled_from([frozenset[str](), frozenset({"milk", "bread"}), frozenset({"oat"})])


def promotions(kind: Kind) -> st.SearchStrategy[Promotion]:
    """Any promotion that may be written: of any scope, mostly one that is on; not named yet."""
    amounts = st.one_of(st.integers(0, 3), AMOUNTS)
    return st.builds(
        Promotion,
        id=st.just(""),
        revision=st.just(1),
        kind=st.just(kind),
        starts_at=st.sampled_from([NOON - timedelta(hours=1)] * 5 + [NOON + timedelta(hours=1)]),
        ends_at=st.sampled_from([NOON + timedelta(hours=2)] * 5 + [NOON]),
        value=st.sampled_from([0, 1, 33, 50, 99, 100]) if kind is Kind.PERCENT else amounts,
        n=st.integers(2, 5),
        m=st.integers(0, 2),
        spus=scopes,
        categories=st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"dairy"})]),
        stores=st.sampled_from([frozenset[str](), frozenset({"s-1"}), frozenset({"s-2"})]),
        min_total=st.just(0) if kind is Kind.FLASH else st.one_of(st.just(0), amounts),
        per_account=st.just(1) if kind is Kind.COUPON else st.sampled_from([0, 1, 5]),
    )


class Basket(NamedTuple):
    """Lines, what is on, and what the account has had of each promotion."""

    lines: tuple[Line, ...]
    offers: tuple[Promotion, ...]
    coupons: tuple[Promotion, ...]
    had: Counter[str]

    def priced(self, *, refused: Sequence[str] = ()) -> Priced:
        """What it costs at noon in the first store."""

        def may_have(p: Promotion, units: int) -> bool:
            return p.id not in refused and self.had[p.id] + units <= (p.per_account or self.had[p.id] + units)

        return priced(self.lines, Offers(self.offers), self.coupons, "s-1", NOON, may_have)


AUTOMATIC = [kind for kind in Kind if kind is not Kind.COUPON]
lines_of = {spu: st.builds(Line, st.just(spu), st.integers(1, 5), AMOUNTS, st.just(CATEGORIES[spu])) for spu in SPUS}


@st.composite
def baskets(draw: st.DrawFn) -> Basket:
    """A basket among promotions. Of those that are off, no coupon: whoever asks has looked at that."""
    lines = [draw(lines_of[spu]) for spu in SPUS[: draw(st.integers(1, len(SPUS)))]]
    kinds = draw(st.lists(st.sampled_from(AUTOMATIC), max_size=5))
    offers = [replace(draw(promotions(kind)), id=f"p-{n}") for n, kind in enumerate(kinds)]
    coupons = [replace(draw(promotions(Kind.COUPON)), id=f"c-{n}") for n in range(draw(st.integers(0, 2)))]
    had = Counter({p.id: draw(st.integers(0, 3)) for p in offers if p.per_account})
    return Basket(tuple(lines), tuple(offers), tuple(c for c in coupons if c.on("s-1", NOON)), had)


def totals(basket: Basket, price: Priced) -> list[int]:
    """What each line costs after all that was taken off it."""
    offs = [sum(one.discounts[n] for one in price.applied) for n in range(len(basket.lines))]
    return [line.quantity * line.price - off for line, off in zip(basket.lines, offs, strict=True)]


@each
@given(baskets())
def test_lines_come_to_the_total(basket: Basket) -> None:
    """No line costs less than nothing or more than without promotions; prices are told without them."""
    price = basket.priced()
    event(f"{len(price.applied)} applied")
    after = totals(basket, price)
    assert sum(after) == price.total >= 0
    assert price.prices == tuple(line.price for line in basket.lines)
    for line, total in zip(basket.lines, after, strict=True):
        assert 0 <= total <= line.quantity * line.price
    for one in price.applied:
        assert sum(one.discounts) > 0, "what takes nothing off does not apply"
        assert all(off >= 0 for off in one.discounts)


@each
@given(baskets())
def test_pieces_come_to_the_line(basket: Basket) -> None:
    """At two prices at most, a unit apart, the dearer ones first; no piece costs more than it does without."""
    for line, total in zip(basket.lines, totals(basket, basket.priced()), strict=True):
        pieces = pieces_of(total, line.quantity)
        prices = [price for _, price in pieces]
        assert sum(n for n, _ in pieces) == line.quantity
        assert sum(n * price for n, price in pieces) == total
        assert all(n > 0 and 0 <= price <= line.price for n, price in pieces)
        assert prices in ([prices[0]], [prices[-1] + 1, prices[-1]])


@each
@given(baskets())
def test_price_is_the_same_whoever_asks(basket: Basket) -> None:
    """The order in which promotions and coupons are told changes nothing."""
    turned = Basket(basket.lines, basket.offers[::-1], basket.coupons[::-1], basket.had)
    assert turned.priced() == basket.priced()


@each
@given(baskets())
def test_limits_are_kept(basket: Basket) -> None:
    """What applies is on, for this line, and the account may have it so often; beside a flash sale there is nothing."""
    price = basket.priced()
    known = {p.id: p for p in (*basket.offers, *basket.coupons)}
    for one in price.applied:
        p = known[one.promotion]
        assert p.on("s-1", NOON)
        assert one.limit == p.per_account
        assert not one.limit or basket.had[p.id] + one.units <= one.limit
        covered = [line.quantity for line, off in zip(basket.lines, one.discounts, strict=True) if off]
        assert all(
            p.covers(line.spu, line.category) for line, off in zip(basket.lines, one.discounts, strict=True) if off
        )
        assert one.units == (sum(covered) if p.kind is Kind.FLASH else 1)
        if p.kind is Kind.FLASH:
            for n, off in enumerate(one.discounts):
                assert not off or all(not other.discounts[n] for other in price.applied if other is not one)


@each
@given(baskets(), st.data())
def test_what_was_refused_is_never_in_the_price(basket: Basket, data: st.DataObject) -> None:
    """Without what was refused the basket costs as if that had never been, and what nobody asked for is not refused."""
    names = [p.id for p in (*basket.offers, *basket.coupons)]
    refused = data.draw(st.lists(st.sampled_from(names), unique=True) if names else st.just([]))
    others = basket._replace(
        offers=tuple(p for p in basket.offers if p.id not in refused),
        coupons=tuple(p for p in basket.coupons if p.id not in refused),
    )
    assert basket.priced(refused=refused) == others.priced()


@st.composite
def flash_baskets(draw: st.DrawFn) -> Basket:
    """Many lines in few flash sales, with limits that they come near."""
    lines = [Line(spu, draw(st.integers(1, 4)), 100, CATEGORIES[spu]) for spu in SPUS]
    sales = [
        replace(_promotion(Kind.FLASH, value=draw(st.integers(40, 60)), per_account=draw(st.integers(0, 9))), id=id_)
        for id_ in ("p-1", "p-2")
    ]
    sales[1] = replace(sales[1], spus=draw(scopes))
    return Basket(tuple(lines), tuple(sales), (), Counter({p.id: draw(st.integers(0, 3)) for p in sales}))


@each
@given(st.one_of(baskets(), flash_baskets()))
def test_what_is_asked_about_is_applied_or_refused(basket: Basket) -> None:
    """No promotion is both: an order that was refused one is not priced with it on any of its lines."""
    refused: set[str] = set()

    def may_have(p: Promotion, units: int) -> bool:
        fits = basket.had[p.id] + units <= (p.per_account or basket.had[p.id] + units)
        if not fits:
            refused.add(p.id)
        return fits

    price = priced(basket.lines, Offers(basket.offers), basket.coupons, "s-1", NOON, may_have)
    assert not refused & {one.promotion for one in price.applied}
    # So a click that prices it anew, where only what was refused is known, finds the same.
    again = priced(
        *(basket.lines, Offers(basket.offers), basket.coupons, "s-1", NOON),
        lambda p, units: p.id not in refused and units <= (p.per_account or units),
    )
    assert again == price


@each
@given(st.lists(AMOUNTS, max_size=8), st.data())
def test_spread_is_exact_and_fair(weights: list[int], data: st.DataObject) -> None:
    """The parts are the amount, none is more than its weight, and none is a whole unit from what would be just."""
    amount = data.draw(st.integers(0, sum(weights)))
    parts = spread(amount, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (amount if weights else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part <= weight
        assert not sum(weights) or abs(part - Fraction(amount * weight, sum(weights))) < 1


@given(st.permutations([3, 3, 3, 1]))
def test_equal_lines_get_the_odd_unit_in_their_order(weights: Sequence[int]) -> None:
    """Of equal remainders the first gets it: the same basket is always the same price."""
    parts = spread(5, list(weights))
    of_threes = [part for part, weight in zip(parts, weights, strict=True) if weight == 3]
    assert of_threes == sorted(of_threes, reverse=True)


@each
@given(AMOUNTS, st.integers(1, QUANTITY_MAX), st.integers(0, 100))
@example(price=1, quantity=1, percent=50)
@example(price=1, quantity=1, percent=49)
@example(price=MONEY_MAX, quantity=1, percent=100)
def test_percent_is_rounded_half_up(price: int, quantity: int, percent: int) -> None:
    """Of the line, once; 0 percent is none, 100 percent is everything."""
    line = Line("milk", quantity, price, "dairy")
    off = _promotion(Kind.PERCENT, value=percent)
    total = _total([line], [off])
    exact = Fraction(quantity * price * percent, 100)
    assert quantity * price - total == int(exact + Fraction(1, 2))
    if percent in (0, 100):
        assert total == (quantity * price if percent == 0 else 0)


@given(st.lists(AMOUNTS, min_size=1, max_size=5), st.integers(0, MONEY_MAX), st.sampled_from(["amount_off", "coupon"]))
def test_amount_over_the_total_is_the_total(prices: list[int], value: int, kind: str) -> None:
    """Never below zero, and never a line more than it costs."""
    lines = [Line(f"spu-{n}", 1, price, "other") for n, price in enumerate(prices)]
    assert _total(lines, [_promotion(Kind(kind), value=value)]) == max(0, sum(prices) - value)


@given(st.integers(1, 40), st.integers(2, 6), st.data())
def test_n_for_the_price_of_m(quantity: int, n: int, data: st.DataObject) -> None:
    """Whole bundles only: the pieces beside them cost what they cost."""
    m = data.draw(st.integers(0, n))
    total = _total([Line("milk", quantity, 129, "dairy")], [_promotion(Kind.BUY_N_PAY_M, n=n, m=m)])
    assert total == 129 * (quantity // n * m + quantity % n)


def test_largest_basket_adds_up() -> None:
    """As many lines as there may be, at one unit each, less one: somebody pays it all the same."""
    lines = [Line(f"spu-{n}", QUANTITY_MAX, 1, "other") for n in range(LINES_MAX)]
    offers = Offers([_promotion(Kind.AMOUNT_OFF, value=LINES_MAX * QUANTITY_MAX - 1)])
    price = priced(lines, offers, (), "s-1", NOON, lambda p, units: True)
    assert (price.total, sum(price.applied[0].discounts)) == (1, LINES_MAX * QUANTITY_MAX - 1)


def _promotion(kind: Kind, **fields: Any) -> Promotion:
    ends_at = NOON + timedelta(hours=1)
    return Promotion(id="p", revision=1, kind=kind, starts_at=NOON, ends_at=ends_at, **fields)


def _total(lines: Sequence[Line], promotions: Sequence[Promotion]) -> int:
    automatic = [p for p in promotions if p.kind is not Kind.COUPON]
    coupons = [p for p in promotions if p.kind is Kind.COUPON]
    return priced(lines, Offers(automatic), coupons, "s-1", NOON, lambda p, units: True).total
