"""What a basket costs: integer minor units, no rounding but the ones written here.

The one rule, in its order:

1. *Flash.* A line of which a flash sale is on costs the sale's price; of several the lowest, of equals the one whose id
   comes first. It stands alone: nothing else changes that line, and it counts towards no minimum. A sale with a limit
   is for all the pieces that it would apply to, or for none.
2. *Lines.* Of the `percent` and `buy_n_pay_m` promotions that cover a line, the one that takes most off it applies; of
   equals, the one whose id comes first. A percentage is rounded half up, line by line.
3. *The total.* Of the `amount_off` promotions the one that takes most off applies; of equals, the first by id.
4. *Coupons.* Each coupon of the order, by id.

A minimum is compared with what the lines of a promotion's scope cost when its turn comes. Nothing takes more off than
is left. What is taken off several lines is spread by largest remainder over what they cost then, so the lines' totals
are the total; a line's total is spread over its pieces in the same way, so every piece knows what was paid for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import mul
from typing import NamedTuple

from services.order.promotions import Kind, Offers, Promotion
from shared.contracts.base import MONEY_MAX

TOTAL_MAX = MONEY_MAX
"""Largest total of an order, minor units: what one payment can take, and exact in any reader of JSON."""


class Line(NamedTuple):
    """Pieces of one SPU at their ordinary price."""

    spu: str
    quantity: int
    price: int
    category: str


class Applied(NamedTuple):
    """A promotion that came into a price: what it takes off each line (parallel to the order's), and how often it
    counts towards its limit for the account; `limit` 0: it has none."""

    promotion: str
    revision: int
    kind: str
    discounts: tuple[int, ...]
    units: int = 1
    limit: int = 0


class Priced(NamedTuple):
    """What lines cost: their ordinary prices per piece, the total, and what was taken off."""

    prices: tuple[int, ...]
    total: int
    applied: tuple[Applied, ...] = ()


def summed(spus: Iterable[str], quantities: Iterable[int]) -> dict[str, int]:
    """Pieces per SPU, in the order of first mention: a line that stands twice is one line."""
    demand: dict[str, int] = {}
    for spu, quantity in zip(spus, quantities, strict=True):
        demand[spu] = demand.get(spu, 0) + quantity
    return demand


def total_of(quantities: Sequence[int], prices: Sequence[int]) -> int:
    """The sum of the lines at ordinary prices, in minor units."""
    return sum(map(mul, quantities, prices))


def at_ordinary_prices(quantities: Sequence[int], prices: Sequence[int]) -> Priced:
    """Prices lines of which no promotion can take anything off."""
    return Priced(tuple(prices), total_of(quantities, prices))


def spread(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """An amount in parts like these weights, by largest remainder; of equal remainders the first gets the unit. Of an
    amount up to the sum of the weights no part is more than its weight."""
    whole = sum(weights)
    if not whole:
        return (0,) * len(weights)
    parts = [amount * weight // whole for weight in weights]
    left = amount - sum(parts)
    for n in sorted(range(len(weights)), key=lambda n: (-(amount * weights[n] % whole), n))[:left]:
        parts[n] += 1
    return tuple(parts)


def pieces_of(total: int, quantity: int) -> tuple[tuple[int, int], ...]:
    """A line's total over its pieces: [pieces, price of each], the dearer ones first."""
    price, dearer = divmod(total, quantity)
    return tuple(part for part in ((dearer, price + 1), (quantity - dearer, price)) if part[0])


def priced(
    lines: Sequence[Line],
    offers: Offers,
    coupons: Sequence[Promotion],
    store: str,
    now: datetime,
    may_have: Callable[[Promotion, int], bool],
) -> Priced:
    """Prices lines (each SPU once) with these coupons, which are valid. `may_have` says whether the account may have a
    promotion with a limit once more, or a flash sale for so many pieces."""
    prices = tuple(line.price for line in lines)
    costs = [line.quantity * line.price for line in lines]
    return _Basket(lines, costs, store, now, may_have).priced(offers, coupons, prices)


class _Basket:
    """A basket while it is priced: what its lines cost at this step."""

    def __init__(
        self,
        lines: Sequence[Line],
        costs: list[int],
        store: str,
        now: datetime,
        may_have: Callable[[Promotion, int], bool],
    ) -> None:
        self._lines, self._costs, self._store, self._now, self._may_have = lines, costs, store, now, may_have
        self._ordinary = tuple(costs)
        self._alone: set[int] = set()
        self._taken: dict[str, tuple[Promotion, list[int], int]] = {}

    def priced(self, offers: Offers, coupons: Sequence[Promotion], prices: tuple[int, ...]) -> Priced:
        on_lines = [self._of_line(offers, line) for line in self._lines]
        self._flash(on_lines)
        for n, promotions in enumerate(on_lines):
            if n not in self._alone:
                self._best_of_line(n, promotions)
        self._best_of_total([p for p in offers.amounts_off if p.on(self._store, self._now)])
        for coupon in sorted(coupons, key=lambda p: p.id):
            self._best_of_total([coupon])
        applied = tuple(
            Applied(p.id, p.revision, p.kind.value, tuple(off), units, p.per_account)
            for p, off, units in self._taken.values()
        )
        return Priced(prices, sum(self._costs), applied)

    def _of_line(self, offers: Offers, line: Line) -> list[Promotion]:
        return [p for p in offers.of_line(line.spu, line.category) if p.on(self._store, self._now)]

    def _flash(self, on_lines: Sequence[Sequence[Promotion]]) -> None:
        """The lowest price of the flash sales that are on. An account has a sale for all pieces that it is the best
        for, or for none: refused for one line, it is refused to the order."""
        sales = [
            [p for p in promotions if p.kind is Kind.FLASH and p.value < line.price]
            for promotions, line in zip(on_lines, self._lines, strict=True)
        ]
        while any(sales):
            best = {n: min(some, key=lambda p: (p.value, p.id)) for n, some in enumerate(sales) if some}
            pieces: dict[str, int] = {}
            for n, sale in best.items():
                pieces[sale.id] = pieces.get(sale.id, 0) + self._lines[n].quantity
            refused = {sale.id for sale in best.values() if not self._may_have(sale, pieces[sale.id])}
            if not refused:
                for n, sale in best.items():
                    line = self._lines[n]
                    self._alone.add(n)
                    self._take(sale, n, (line.price - sale.value) * line.quantity, line.quantity)
                return
            sales = [[p for p in some if p.id not in refused] for some in sales]

    def _best_of_line(self, n: int, promotions: Sequence[Promotion]) -> None:
        offs = [(self._off_line(n, p), p) for p in promotions if p.kind is not Kind.FLASH and self._reaches(p)]
        for off, promotion in sorted(offs, key=lambda one: (-one[0], one[1].id)):
            if off and self._may_have(promotion, 1):
                self._take(promotion, n, off, 1)
                return

    def _off_line(self, n: int, p: Promotion) -> int:
        line = self._lines[n]
        if p.kind is Kind.PERCENT:
            return (self._ordinary[n] * p.value * 2 + 100) // 200
        return line.quantity // p.n * (p.n - p.m) * line.price

    def _best_of_total(self, promotions: Sequence[Promotion]) -> None:
        offs = []
        for promotion in promotions:
            scope = self._scope(promotion)
            cost = sum(self._costs[n] for n in scope)
            if cost and cost >= promotion.min_total:
                offs.append((-min(promotion.value, cost), promotion.id, promotion, scope))
        for off, _, promotion, scope in sorted(offs, key=lambda one: one[:2]):
            if off and self._may_have(promotion, 1):
                for n, part in zip(scope, spread(-off, [self._costs[n] for n in scope]), strict=True):
                    self._take(promotion, n, part, 1)
                return

    def _reaches(self, p: Promotion) -> bool:
        return not p.min_total or sum(self._ordinary[n] for n in self._scope(p)) >= p.min_total

    def _scope(self, p: Promotion) -> list[int]:
        return [n for n, line in enumerate(self._lines) if n not in self._alone and p.covers(line.spu, line.category)]

    def _take(self, p: Promotion, n: int, off: int, units: int) -> None:
        _, offs, had = self._taken.setdefault(p.id, (p, [0] * len(self._lines), 0))
        offs[n] += off
        self._costs[n] -= off
        self._taken[p.id] = (p, offs, had + units if p.kind is Kind.FLASH else 1)
