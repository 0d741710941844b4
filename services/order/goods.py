"""What of an order is to be delivered, and what was paid for it, when lines were short.

A lot is pieces of one SPU at the price that was paid per piece. As long as nothing was amended the lots are the lines.
Substitutes carry the paid price of the pieces that they replace: between similar prices no difference is charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.order.pricing import pieces_of
from services.order.state import Lot, Order


class Substitute(NamedTuple):
    """Pieces of another SPU instead of as many short pieces; `list_price` is what a piece costs now."""

    spu: str
    quantity: int
    instead_of: str
    list_price: int


class Amended(NamedTuple):
    """The lots after a change, and the pieces that nothing takes the place of."""

    lots: tuple[Lot, ...]
    gone: tuple[Lot, ...]

    @property
    def given_up(self) -> int:
        """The money of the pieces that are gone."""
        return sum(lot.quantity * lot.price for lot in self.gone)


def lots_of(order: Order) -> tuple[Lot, ...]:
    """The lots of an order as it is now. What a line cost after discounts is spread over its pieces."""
    if order.lots:
        return order.lots
    if not order.discounts.applied:
        return tuple(Lot(s, q, p) for s, q, p in zip(order.spus, order.quantities, order.prices, strict=True))
    lines = zip(order.spus, order.quantities, order.totals(), strict=True)
    return tuple(Lot(spu, pieces, price) for spu, q, total in lines for pieces, price in pieces_of(total, q))


def without(lots: Sequence[Lot], missing: Mapping[str, int]) -> Amended:
    """The lots less missing pieces, substitutes first. Raises ValueError when more is missing than there is."""
    left = dict(missing)
    kept: list[Lot] = []
    gone: list[Lot] = []
    for lot in reversed(lots):
        pieces = min(lot.quantity, left.get(lot.spu, 0))
        if pieces:
            left[lot.spu] -= pieces
            gone.append(lot._replace(quantity=pieces))
        if lot.quantity > pieces:
            kept.append(lot._replace(quantity=lot.quantity - pieces))
    if over := {spu: n for spu, n in left.items() if n}:
        raise ValueError(f"more is missing than the order has: {over}")
    return Amended(tuple(reversed(kept)), tuple(gone))


def replaced(
    lots: Sequence[Lot],
    missing: Mapping[str, int],
    substitutes: Iterable[Substitute],
    of_replacement: bool = False,
) -> Amended:
    """The lots less missing pieces, plus substitutes at the price that was paid for what they replace. Of a replacement
    order, a substitute stands for what the short piece stood for."""
    rest = without(lots, missing)
    gone, added = list(rest.gone), []
    for substitute in substitutes:
        needed = substitute.quantity
        for n, lot in enumerate(gone):
            pieces = min(needed, lot.quantity) if lot.spu == substitute.instead_of else 0
            if pieces:
                needed -= pieces
                gone[n] = lot._replace(quantity=lot.quantity - pieces)
                stands_for = lot.instead_of if of_replacement else substitute.instead_of
                added.append(Lot(substitute.spu, pieces, lot.price, stands_for, substitute.list_price))
    return Amended((*rest.lots, *added), tuple(lot for lot in gone if lot.quantity))


def list_of(lots: Iterable[Lot]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """SPUs and pieces, each SPU once: what the picker gets."""
    pieces: dict[str, int] = {}
    for lot in lots:
        pieces[lot.spu] = pieces.get(lot.spu, 0) + lot.quantity
    return tuple(pieces), tuple(pieces.values())


def is_similar(price: int, paid: int, percent: float) -> bool:
    """Is a price near enough to what was paid, that no difference is charged?"""
    return abs(price - paid) * 100 <= percent * paid
