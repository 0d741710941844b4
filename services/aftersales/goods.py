"""Delivered pieces: claimed by one ticket at a time, and what was paid for them.

Goods are kept as lots, pieces of an SPU at one price; an SPU may have several. Claiming takes from the first lot that
has some, so that the same decision always takes the same pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.aftersales.state import Good, Replacing


def pieces_of(goods: Iterable[Good]) -> dict[str, int]:
    """Pieces per SPU."""
    pieces: dict[str, int] = {}
    for good in goods:
        pieces[good.spu] = pieces.get(good.spu, 0) + good.quantity
    return pieces


def summed(spus: Sequence[str], quantities: Sequence[int]) -> dict[str, int]:
    """Pieces per SPU, of parallel lines."""
    return pieces_of(Good(spu, quantity, 0) for spu, quantity in zip(spus, quantities, strict=True))


def worth(goods: Iterable[Good]) -> int:
    """What was paid for these, minor units."""
    return sum(good.quantity * good.price for good in goods)


def taken(goods: Iterable[Good], wanted: Mapping[str, int]) -> tuple[tuple[Good, ...], tuple[Good, ...]]:
    """The wanted pieces, and the others; raises ValueError when there are not so many."""
    left = dict(wanted)
    got, rest = [], []
    for good in goods:
        quantity = min(good.quantity, left.get(good.spu, 0))
        if quantity:
            left[good.spu] -= quantity
            got.append(good._replace(quantity=quantity))
        if good.quantity > quantity:
            rest.append(good._replace(quantity=good.quantity - quantity))
    if lacking := {spu: pieces for spu, pieces in left.items() if pieces}:
        raise ValueError(f"there is less than was claimed: {lacking}")
    return tuple(got), tuple(rest)


def exchanged(goods: Iterable[Good], back: Iterable[Good], away: Iterable[Good]) -> tuple[Good, ...]:
    """The goods with some given back and others taken away: those of a ticket as it was, and as it is now. A lot of
    which nothing is left stays, so that it is known to have been delivered. Raises ValueError when that takes more than
    there is."""
    lots: dict[tuple[str, int], int] = {}
    for sign, some in ((1, goods), (1, back), (-1, away)):
        for good in some:
            lot = (good.spu, good.price)
            lots[lot] = lots.get(lot, 0) + sign * good.quantity
    if below := [lot for lot, pieces in lots.items() if pieces < 0]:
        raise ValueError(f"more is claimed than was delivered: {below}")
    return tuple(Good(spu, pieces, price) for (spu, price), pieces in lots.items())


def some(goods: Iterable[Good]) -> tuple[Good, ...]:
    """The lots of which something is left."""
    return tuple(good for good in goods if good.quantity)


def same_again(claims: Iterable[Good]) -> tuple[Replacing, ...]:
    """The same goods once more."""
    return tuple(Replacing(good.spu, good.quantity, good.spu, good.price) for good in claims)


def matched(claims: Sequence[Good], lines: Sequence[tuple[str, int, str]]) -> tuple[Replacing, ...] | None:
    """A piece for a piece: lines of [spu, quantity, instead of which SPU, or empty] over all claimed pieces; None when
    they do not come out even. Lines that name what they replace choose first."""
    left = claims
    found: list[Replacing] = []
    for spu, quantity, instead_of in sorted(lines, key=lambda line: not line[2]):
        needed = quantity
        rest: list[Good] = []
        for good in left:
            pieces = min(needed, good.quantity) if instead_of in ("", good.spu) else 0
            if pieces:
                found.append(Replacing(spu, pieces, good.spu, good.price))
                needed -= pieces
            if good.quantity > pieces:
                rest.append(good._replace(quantity=good.quantity - pieces))
        if needed:
            return None
        left = tuple(rest)
    return None if left else tuple(found)
