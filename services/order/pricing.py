"""What a basket costs: integer minor units, no rounding anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contracts.base import MONEY_MAX

TOTAL_MAX = MONEY_MAX
"""Largest total of an order, minor units: what one payment can take, and exact in any reader of JSON."""


def summed(spus: Iterable[str], quantities: Iterable[int]) -> dict[str, int]:
    """Pieces per SPU, in the order of first mention: a line that stands twice is one line."""
    demand: dict[str, int] = {}
    for spu, quantity in zip(spus, quantities, strict=True):
        demand[spu] = demand.get(spu, 0) + quantity
    return demand


def total_of(quantities: Sequence[int], prices: Sequence[int]) -> int:
    """The sum of the lines, in minor units."""
    return sum(q * p for q, p in zip(quantities, prices, strict=True))
