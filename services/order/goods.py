"""What of an order is to be delivered, and what was paid for it, when lines were short.

A lot is pieces of one SPU at the price that was paid per piece. As long as nothing was amended the lots are the lines.
Substitutes carry the paid price of the pieces that they replace: between similar prices no difference is charged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.order.state import Lot, Order


class Substitute(NamedTuple):
    """Pieces of another SPU instead of as many short pieces; `list_price` is what a piece costs now."""

    spu: str
    quantity: int
    instead_of: str
    list_price: int


class Amended(NamedTuple):
    """The lots after a change, and the money of the pieces that nothing replaces (minor units)."""

    lots: tuple[Lot, ...]
    given_up: int


def lots_of(order: Order) -> tuple[Lot, ...]:
    """The lots of an order as it is now."""
    if order.lots:
        return order.lots
    return tuple(Lot(s, q, p) for s, q, p in zip(order.spus, order.quantities, order.prices, strict=True))


def without(lots: Sequence[Lot], missing: Mapping[str, int]) -> Amended:
    """The lots less missing pieces, substitutes first. Raises ValueError when more is missing than there is."""
    left = dict(missing)
    kept: list[Lot] = []
    money = 0
    for lot in reversed(lots):
        gone = min(lot.quantity, left.get(lot.spu, 0))
        if gone:
            left[lot.spu] -= gone
            money += gone * lot.price
        if lot.quantity > gone:
            kept.append(lot._replace(quantity=lot.quantity - gone))
    if over := {spu: n for spu, n in left.items() if n}:
        raise ValueError(f"more is missing than the order has: {over}")
    return Amended(tuple(reversed(kept)), money)


def replaced(lots: Sequence[Lot], missing: Mapping[str, int], substitutes: Iterable[Substitute]) -> Amended:
    """The lots less missing pieces, plus substitutes at the price that was paid for what they replace."""
    rest = without(lots, missing)
    added, money = [], rest.given_up
    for substitute in substitutes:
        paid = paid_for(lots, substitute.instead_of)
        added.append(Lot(substitute.spu, substitute.quantity, paid, substitute.instead_of, substitute.list_price))
        money -= paid * substitute.quantity
    return Amended((*rest.lots, *added), money)


def paid_for(lots: Sequence[Lot], spu: str) -> int:
    """What was paid per piece of an SPU; of several lots the last one, which is short first."""
    return next(lot.price for lot in reversed(lots) if lot.spu == spu)


def list_of(lots: Iterable[Lot]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """SPUs and pieces, each SPU once: what the picker gets."""
    pieces: dict[str, int] = {}
    for lot in lots:
        pieces[lot.spu] = pieces.get(lot.spu, 0) + lot.quantity
    return tuple(pieces), tuple(pieces.values())


def is_similar(price: int, paid: int, percent: float) -> bool:
    """Is a price near enough to what was paid, that no difference is charged?"""
    return abs(price - paid) * 100 <= percent * paid
