"""Inventory: whatever happens to a store, in whatever order, what was promised adds up and nothing is below zero."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory import inner
from services.inventory.allotments import aside_key
from services.inventory.issues import MoreThanIssued
from services.inventory.state import Allotment, AllotmentPhase, Cell, Hold, Kind, Movement, Phase, parted, sale_cell
from shared.runtime.table import NoCell
from tests.deciders.scene import NOON
from tests.deciders.stock import (
    STORE,
    Stock,
    allot,
    announce,
    buy,
    count,
    deduct,
    drop,
    expect,
    hold,
    receive,
    release,
    reverse,
    verify,
)

SPUS = ("milk", "tea")
PROMOTIONS = ("tenth", "other")
ORDERS = tuple(f"o-{n}" for n in range(8))
FIRST = {"milk": 12, "tea": 3}
"""What is on the shelves at first."""

spus, promotions, orders = st.sampled_from(SPUS), st.sampled_from(PROMOTIONS), st.sampled_from(ORDERS)
few, some = st.integers(1, 4), st.integers(0, 12)
on_sale = st.dictionaries(spus, promotions, max_size=2)
lines = st.dictionaries(spus, few, min_size=1, max_size=2)
early = st.lists(spus, unique=True, max_size=2)


def _holds(order: str, lines: dict[str, int], sale: dict[str, str], early: list[str], lock: bool) -> Any:
    return hold(order, "lock", **lines) if lock else buy(order, sale, early, **lines)


STEPS = st.lists(
    st.one_of(
        st.builds(_holds, orders, lines, on_sale, early, st.booleans()),
        st.builds(verify, orders, on_sale),
        *(st.builds(step, orders) for step in (deduct, deduct, release, reverse)),
        st.builds(lambda order, spu, n: drop(order, **{spu: n}), orders, spus, few),
        st.builds(lambda order, spu, n: reverse(order, **{spu: n}), orders, spus, few),
        st.builds(lambda n, spu, promotion: allot(max(n, 1), spu, promotion), some, spus, promotions),
        st.builds(lambda late, promotion: announce(NOON + timedelta(hours=late), promotion), some, promotions),
        st.builds(lambda promotion: inner.SaleRunsOut(f"{STORE}/{promotion}"), promotions),
        st.builds(lambda spu, n: expect(**{spu: n}), spus, some),
        st.tuples(st.just("receive"), spus, few),
        st.tuples(st.just("count"), spus, st.integers(-5, 5)),
    ),
    max_size=60,
)


class Books:
    """What a stranger adds up of what was said and kept."""

    def __init__(self, stock: Stock) -> None:
        self.cells = {key[2]: cell for key, cell in stock.states.items() if key[0] == "cell" and cell}
        self.allotments: list[Allotment] = [a for key, a in stock.states.items() if key[0] == "allotment" and a]
        self.holds: list[Hold] = [hold for key, hold in stock.states.items() if key[0] == "hold" and hold]
        self.papers: Counter[str] = Counter(FIRST)
        for document in stock.documents:
            sign = -1 if document.kind is Kind.SALES_ISSUE else 1
            for spu, quantity in zip(document.spus, document.quantities, strict=True):
                self.papers[spu] += sign * quantity

    def check(self, stock: Stock) -> None:
        assert all(0 <= cell.locked <= cell.on_hand for cell in self.cells.values())
        assert not any(cell.locked for name, cell in self.cells.items() if parted(name)[1])
        for spu in SPUS:
            there = sum(cell.on_hand for name, cell in self.cells.items() if parted(name)[0] == spu and _is_here(name))
            assert self.papers[spu] == there - stock.to_come(spu)[1], spu
        for allotment in self.allotments:
            self._check_sale(allotment)
        is_open = {a.spu: a.promotion for a in self.allotments if a.phase is AllotmentPhase.OPEN}
        assert {spu: p for spu in SPUS if (p := stock.states.get(aside_key(STORE, spu)))} == is_open
        ledger: Counter[str] = Counter(FIRST)
        for movement in (item for item in stock.said if isinstance(item, Movement)):
            ledger.update(dict(zip(movement.spus, movement.on_hand, strict=True)))
        assert {n: c.on_hand for n, c in self.cells.items() if c.on_hand} == {n: c for n, c in ledger.items() if c}

    def _check_sale(self, a: Allotment) -> None:
        assert 0 <= a.sold <= a.quantity, a
        cell = self.cells.get(sale_cell(a.spu, a.promotion), Cell(0, 0))
        assert cell.on_hand == (a.left if a.phase is AllotmentPhase.OPEN else 0), a
        # Sold are the pieces that orders have now at its price.
        sold = 0
        for one in self.holds:
            if one.sources and one.phase is Phase.DEDUCTED and one.sources.sale.get(a.spu) == a.promotion:
                sold += one.sources.taken.get(a.spu, 0)
        assert a.sold == sold, a


def _is_here(name: str) -> bool:
    of = parted(name)[1]
    return not of.startswith("+")


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_books_of_a_store_add_up(steps: list[Any]) -> None:
    """No cell below zero, an allotment never oversold, documents = shelf + set aside - owed, cells = the ledger."""
    stock = Stock(**FIRST)
    for number, step in enumerate(steps):
        match step:
            case ("receive", spu, pieces):
                step = receive(f"r-{number}", **{spu: pieces})
            case ("count", spu, delta):
                step = count(f"r-{number}", **{spu: delta})
        with suppress(NoCell, MoreThanIssued):  # a step at the wrong time parks, and nothing has changed
            stock.when(step)
        Books(stock).check(stock)
