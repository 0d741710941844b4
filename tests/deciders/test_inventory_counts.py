"""Inventory: given locked pieces, when a count finds less than that, then the newest orders give theirs up, and no
number is ever negative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.cells import StockBelowZero
from services.inventory.state import Cell, Document, Hold, Kind, Movement, Phase
from shared.contracts import inventory
from shared.contracts.base import Message
from shared.runtime.table import Refused
from tests.deciders.scene import NOON
from tests.deciders.stock import (
    STORE,
    Shelves,
    Stock,
    count,
    deduct,
    drop,
    hold,
    release,
    reverse,
    take_back,
    verify,
)


def promised() -> Stock:
    """Ten apples, of which o-1 has four locked, o-2 three and o-3 two, one after the other."""
    return Stock(apple=10, milk=9).given(
        hold("o-1", apple=4), hold("o-2", apple=3, milk=5), hold("o-3", apple=2, milk=1)
    )


def lost(order: str, **missing: int) -> inventory.StockLost:
    return inventory.StockLost(order_id=order, spus=tuple(missing), missing=tuple(missing.values()))


def test_the_newest_hold_is_lost_when_less_than_the_locked_is_there() -> None:
    """Its pieces of all lines are given back first, then the books follow the count; the others keep theirs."""
    stock = promised()
    assert stock.says(count(apple=-2), "storekeeper:") == [
        Movement(STORE, NOON, "unlock", "o-3", None, ("apple", "milk"), (0, 0), (-2, -1)),
        lost("o-3", apple=1),
        Document("AD-r-1", Kind.ADJUSTMENT, STORE, None, NOON, ("apple",), (-2,), None, "counted", "storekeeper:"),
        Movement(STORE, NOON, "adjustment", None, "AD-r-1", ("apple",), (-2,), (0,)),
        inventory.StockAdjusted(store=STORE, document="AD-r-1", at=NOON),
    ]
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(8, 7), Cell(9, 5))
    assert [stock.phase(f"o-{n}") for n in (1, 2, 3)] == [Phase.LOCKED, Phase.LOCKED, Phase.LOST]


def test_as_many_are_lost_as_it_takes() -> None:
    """The newest first, until the rest fits; each is told the pieces of it that are not there."""
    stock = promised()
    said = stock.says(count(apple=-6))
    assert [m for m in said if isinstance(m, inventory.StockLost)] == [lost("o-3", apple=2), lost("o-2", apple=3)]
    assert stock.cell("apple") == Cell(4, 4)
    assert stock.says(verify("o-1")) == [inventory.StockVerified(order_id="o-1")]


def test_all_are_lost_when_nothing_is_there() -> None:
    """An empty shelf: nobody has anything, and nothing is negative."""
    stock = promised()
    stock.says(count(apple=-10))
    assert {stock.phase(f"o-{n}") for n in (1, 2, 3)} == {Phase.LOST}
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(0, 0), Cell(9, 0))


def test_nobody_loses_more_when_one_gives_up_several_lines() -> None:
    """A count of two SPUs: who is lost by the first makes room in the second as well."""
    stock = promised()
    said = stock.says(count(apple=-2, milk=-4))
    assert [m for m in said if isinstance(m, inventory.StockLost)] == [lost("o-3", apple=1, milk=1)]
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(8, 7), Cell(5, 5))


def test_nobody_loses_when_the_free_pieces_are_enough() -> None:
    """Down to what is locked, no hold is touched."""
    stock = promised()
    assert not [m for m in stock.says(count(apple=-1)) if isinstance(m, inventory.StockLost)]
    assert stock.cell("apple") == Cell(9, 9)


def test_holds_that_are_gone_are_passed_over() -> None:
    """Released, deducted and lost ones have nothing to give up."""
    stock = promised().given(release("o-3"), hold("o-4", apple=2), deduct("o-2"))
    assert stock.cell("apple") == Cell(7, 6)
    said = stock.says(count(apple=-2))
    assert [m for m in said if isinstance(m, inventory.StockLost)] == [lost("o-4", apple=1)]
    said = stock.says(count("r-2", apple=-4))
    assert [m for m in said if isinstance(m, inventory.StockLost)] == [lost("o-1", apple=3)]
    assert stock.cell("apple") == Cell(1, 0)


def test_refused_when_less_than_nothing_would_be_left() -> None:
    """Nobody loses anything by a count that cannot be."""
    stock = promised()
    assert stock.when(count(milk=-9, apple=-11)) == Refused("adjustment_below_zero", "there are 10 apple on hand")
    assert stock.phase("o-3") is Phase.LOCKED


# -- what a lost hold answers ------------------------------------------------------------------------------------------


def test_gone_when_verified_after_it_was_lost() -> None:
    """The customer clicks to pay a moment too late: no money moves."""
    stock = promised().given(count(apple=-3))
    assert stock.says(verify("o-3")) == [inventory.StockGone(order_id="o-3", spus=("apple",), missing=(2,))]
    assert stock.says(release("o-3")) == [inventory.StockReleased(order_id="o-3")]
    assert stock.phase("o-3") is Phase.RELEASED
    assert stock.cell("apple") == Cell(7, 7)


def test_sold_out_when_deducted_after_it_was_lost() -> None:
    """The money was under way: it goes back, and other orders keep what is theirs."""
    stock = promised().given(count(apple=-3))
    assert stock.says(deduct("o-3")) == [inventory.StockSoldOut(order_id="o-3", spus=("apple",), missing=(2,))]
    assert stock.phase("o-3") is Phase.LOST
    assert stock.cell("apple") == Cell(7, 7)


@pytest.mark.parametrize(
    ("message", "answer"), [(verify("o-3"), inventory.StockGone), (deduct("o-3"), inventory.StockSoldOut)]
)
def test_lost_stays_lost_when_goods_come_in(message: Any, answer: Any) -> None:
    """The order was told that it has lost its hold; all its lines are named, since it has none of them."""
    stock = promised().given(count(apple=-3), count("r-2", apple=9))
    assert stock.says(message) == [answer(order_id="o-3", spus=("apple", "milk"), missing=(2, 1))]


def test_released_pieces_are_for_others() -> None:
    """What a lost order gave up of its other lines, somebody else may have."""
    stock = promised().given(count(apple=-10))
    assert stock.says(hold("o-4", milk=9))[-1] == inventory.StockHeld(order_id="o-4", mode="lock")


# -- in one batch ------------------------------------------------------------------------------------------------------


def test_holds_of_the_same_batch_are_the_newest() -> None:
    """A hold made just before the count, in its very batch, is found all the same: the batch is cut there."""
    shelves = Shelves(apple=5)
    shelves.play(hold("o-1", apple=2))
    shelves.batches = 0
    said = shelves.play(hold("o-2", apple=1), hold("o-3", apple=2), count(apple=-2), verify("o-3"), verify("o-2"))
    assert said == [
        "StockHeld o-2",
        "StockHeld o-3",
        "StockLost o-3",
        "StockAdjusted s-1",
        "StockGone o-3",
        "StockVerified o-2",
    ]
    assert (shelves.batches, shelves.parked) == (2, [])


def test_a_hold_that_took_the_place_of_another_is_found() -> None:
    """As many pieces locked as before, but by somebody else: counting pieces alone would not tell."""
    shelves = Shelves(apple=4)
    shelves.play(hold("o-1", apple=1), hold("o-2", apple=3))
    said = shelves.play(release("o-2"), hold("o-3", apple=3), count(apple=-1))
    assert said == ["StockReleased o-2", "StockHeld o-3", "StockLost o-3", "StockAdjusted s-1"]


def test_a_batch_is_not_cut_without_need() -> None:
    """Releases and deductions of the same batch are seen without another load."""
    shelves = Shelves(apple=6)
    shelves.play(hold("o-1", apple=2), hold("o-2", apple=2), hold("o-3", apple=2))
    shelves.batches = 0
    assert shelves.play(release("o-3"), deduct("o-1"), count(apple=-3)) == [
        "StockReleased o-3",
        "StockDeducted o-1",
        "StockLost o-2",
        "StockAdjusted s-1",
    ]
    assert shelves.batches == 1


def test_parked_when_the_holds_do_not_come_to_what_is_locked() -> None:
    """Should the books ever be wrong, or the shard be somebody else's who has written since, the count parks; it must
    not ask for the same fact for ever."""
    shelves = Shelves(apple=5)
    shelves.play(hold("o-1", apple=2))
    shelves._shard._cache.clear()
    shelves.states["cell", STORE, "apple"] = Cell(5, 4)
    assert shelves.play(count(apple=-4)) == []
    assert shelves.parked
    assert "do not come to the 4 pieces" in shelves.parked[0]
    stock = Stock(apple=5).given(hold("o-1", apple=2))
    stock.states["cell", STORE, "apple"] = Cell(5, 3)
    with pytest.raises(StockBelowZero):
        stock.when(count(apple=-4))


# -- always ------------------------------------------------------------------------------------------------------------

orders = st.sampled_from(["o-1", "o-2", "o-3", "o-4"])
lines = st.dictionaries(st.sampled_from(["apple", "milk"]), st.integers(1, 3), min_size=1)
deltas = st.dictionaries(st.sampled_from(["apple", "milk"]), st.integers(-5, 3), min_size=1)
numbers = st.integers(1, 1_000).map("r-{}".format)
steps = st.one_of(
    st.builds(lambda order, mode, of: hold(order, mode, **of), orders, st.sampled_from(["lock", "on_payment"]), lines),
    st.builds(lambda make, order: make(order), st.sampled_from([verify, deduct, release, reverse]), orders),
    st.builds(lambda order, of: drop(order, **of), orders, lines),
    st.builds(lambda order, of: take_back(order, of), orders, lines),
    st.builds(lambda number, of: count(number, **of), numbers, deltas),
)


def played(messages: Sequence[Message], sizes: Sequence[int]) -> Shelves:
    """The messages in batches of these sizes, over and over."""
    shelves = Shelves(apple=6, milk=4)
    left, turn = list(messages), 0
    while left:
        size = sizes[turn % len(sizes)]
        shelves.play(*left[:size])
        left, turn = left[size:], turn + 1
    return shelves


@given(st.lists(steps, min_size=1, max_size=20), st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_batches_never_change_the_result(messages: list[Any], sizes: list[int]) -> None:
    """One by one or together: the same is said, written and left; cells are the sums of the ledger, never below zero,
    and what is locked is what the locked holds have."""
    alone, together = played(messages, [1]), played(messages, sizes)
    assert together.said == alone.said
    assert together.documents == alone.documents
    assert together.movements == alone.movements
    assert together.parked == alone.parked
    live = {key: state for key, state in alone.states.items() if state is not None}
    assert {key: state for key, state in together.states.items() if state is not None} == live
    sums = {"apple": [6, 0], "milk": [4, 0]}
    for m in alone.movements:
        for spu, on_hand, locked in zip(m.spus, m.on_hand, m.locked, strict=True):
            sums[spu][0] += on_hand
            sums[spu][1] += locked
            assert 0 <= sums[spu][1] <= sums[spu][0]
    holds = [state for state in live.values() if isinstance(state, Hold) and state.phase is Phase.LOCKED]
    for spu, (on_hand, locked) in sums.items():
        assert live["cell", STORE, spu] == (on_hand, locked)
        assert locked == sum(dict(zip(h.spus, h.quantities, strict=True)).get(spu, 0) for h in holds)


def test_nobody_holds_what_was_never_there() -> None:
    """The fact of an empty cell is whole: nothing is locked, and nobody has it."""
    stock = Stock(apple=1)
    stock.says(count(apple=-1))
    assert stock.states["holders", STORE, "apple"] == ()
