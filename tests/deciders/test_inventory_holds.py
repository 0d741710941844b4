"""Inventory: given what is on the shelf, when an order asks for it, then it gets all of it or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.decider import DECIDER, HOLD, StockBelowZero
from services.inventory.state import Cell, Document, Hold, Kind, Movement, Phase
from shared.contracts import inventory
from shared.runtime.table import IGNORED, Moved, NoCell
from tests.deciders.scene import NOON, Scene

STORE = "s-1"


def shelf(**cells: tuple[int, int]) -> Scene:
    """A store with (on hand, locked) of some SPUs."""
    return Scene(DECIDER, {("cell", STORE, spu): Cell(*cell) for spu, cell in cells.items()})


def hold(mode: Any, order: str = "o-1", **lines: int) -> inventory.HoldStock:
    return inventory.HoldStock(
        order_id=order, store=STORE, mode=mode, spus=tuple(lines), quantities=tuple(lines.values())
    )


def verify(order: str = "o-1") -> inventory.VerifyStock:
    return inventory.VerifyStock(order_id=order, store=STORE)


def deduct(order: str = "o-1") -> inventory.DeductStock:
    return inventory.DeductStock(order_id=order, store=STORE)


def release(order: str = "o-1") -> inventory.ReleaseStock:
    return inventory.ReleaseStock(order_id=order, store=STORE)


def reverse(order: str = "o-1") -> inventory.ReverseIssue:
    return inventory.ReverseIssue(order_id=order, store=STORE)


def cell(scene: Scene, spu: str) -> Cell:
    state: Cell = scene.states["cell", STORE, spu]
    return state


def phase(scene: Scene, order: str = "o-1") -> Phase:
    state: Hold = scene.states["hold", order]
    return state.phase


def movement(kind: str, document: str | None, lines: dict[str, tuple[int, int]], order: str = "o-1") -> Movement:
    on_hand, locked = zip(*lines.values(), strict=True)
    return Movement(STORE, NOON, kind, order, document, tuple(lines), on_hand, locked)


# -- mode lock ---------------------------------------------------------------------------------------------------------


def test_locked_when_all_lines_are_there() -> None:
    """The pieces stay on hand and are the order's; the ledger names the hold."""
    scene = shelf(apple=(5, 0), milk=(3, 1))
    said = scene.says(hold("lock", apple=5, milk=2))
    assert said == [
        movement("lock", None, {"apple": (0, 5), "milk": (0, 2)}),
        inventory.StockHeld(order_id="o-1", mode="lock"),
    ]
    assert (cell(scene, "apple"), cell(scene, "milk")) == (Cell(5, 5), Cell(3, 3))
    assert phase(scene) is Phase.LOCKED


@pytest.mark.parametrize("mode", ["lock", "on_payment"])
def test_short_when_one_line_is_not_there(mode: str) -> None:
    """All lines or none: nothing is held, and the short lines are named with the pieces missing."""
    scene = shelf(apple=(5, 3), milk=(9, 0))
    said = scene.says(hold(mode, apple=4, milk=9, bread=1))
    assert said == [inventory.StockShort(order_id="o-1", spus=("apple", "bread"), missing=(2, 1))]
    assert (cell(scene, "apple"), cell(scene, "milk")) == (Cell(5, 3), Cell(9, 0))
    assert phase(scene) is Phase.SHORT


def test_demand_is_summed_when_an_spu_stands_twice() -> None:
    """Two lines of three are six pieces, and five on the shelf are one too few."""
    twice = inventory.HoldStock(
        order_id="o-1", store=STORE, mode="lock", spus=("apple", "milk", "apple"), quantities=(3, 1, 3)
    )
    scene = shelf(apple=(5, 0), milk=(1, 0))
    assert scene.says(twice) == [inventory.StockShort(order_id="o-1", spus=("apple",), missing=(1,))]
    scene = shelf(apple=(6, 0), milk=(1, 0))
    assert scene.says(twice)[0] == movement("lock", None, {"apple": (0, 6), "milk": (0, 1)})


def test_verified_when_locked_whatever_else_happens() -> None:
    """Locked pieces are there: nothing is looked at and nothing changes."""
    scene = shelf(apple=(5, 0))
    scene.says(hold("lock", apple=5))
    assert scene.when(verify()) == Moved((), (inventory.StockVerified(order_id="o-1"),))


def test_deducted_when_paid() -> None:
    """The locked pieces leave the books with a sales issue that has their lines."""
    scene = shelf(apple=(5, 0), milk=(3, 0))
    scene.says(hold("lock", apple=2, milk=1))
    assert scene.says(deduct()) == [
        Document("SI-o-1", Kind.SALES_ISSUE, STORE, "o-1", NOON, ("apple", "milk"), (2, 1)),
        movement("sales_issue", "SI-o-1", {"apple": (-2, -2), "milk": (-1, -1)}),
        inventory.StockDeducted(order_id="o-1", document="SI-o-1", spus=("apple", "milk"), quantities=(2, 1)),
    ]
    assert (cell(scene, "apple"), cell(scene, "milk")) == (Cell(3, 0), Cell(2, 0))
    assert phase(scene) is Phase.DEDUCTED


def test_unlocked_when_released() -> None:
    """Whoever comes next may have the pieces."""
    scene = shelf(apple=(5, 0))
    scene.says(hold("lock", apple=5))
    assert scene.says(release()) == [
        movement("unlock", None, {"apple": (0, -5)}),
        inventory.StockReleased(order_id="o-1"),
    ]
    assert cell(scene, "apple") == Cell(5, 0)
    assert scene.says(hold("lock", "o-2", apple=5))[-1] == inventory.StockHeld(order_id="o-2", mode="lock")


# -- mode on_payment ---------------------------------------------------------------------------------------------------


def test_checked_when_it_would_fit() -> None:
    """Nothing is taken: two orders may both be told that the last piece is there."""
    scene = shelf(apple=(1, 0))
    for order in ("o-1", "o-2"):
        assert scene.says(hold("on_payment", order, apple=1)) == [
            inventory.StockHeld(order_id=order, mode="on_payment")
        ]
    assert cell(scene, "apple") == Cell(1, 0)


def test_first_paid_is_first_served() -> None:
    """One of two gets the last piece; the other is told what is missing, and has nothing."""
    scene = shelf(apple=(1, 0))
    scene.says(hold("on_payment", "o-1", apple=1))
    scene.says(hold("on_payment", "o-2", apple=1))
    assert scene.says(deduct("o-2"))[1] == movement("sales_issue", "SI-o-2", {"apple": (-1, 0)}, "o-2")
    assert scene.says(deduct("o-1")) == [inventory.StockSoldOut(order_id="o-1", spus=("apple",), missing=(1,))]
    assert cell(scene, "apple") == Cell(0, 0)
    assert (phase(scene, "o-1"), phase(scene, "o-2")) == (Phase.SHORT, Phase.DEDUCTED)


def test_gone_when_somebody_was_faster_and_verified_when_it_came_back() -> None:
    """Looking changes nothing: the answer is what is there at that moment."""
    scene = shelf(apple=(1, 0))
    scene.says(hold("on_payment", apple=1))
    scene.says(hold("lock", "o-2", apple=1))
    assert scene.when(verify()) == Moved((), (inventory.StockGone(order_id="o-1", spus=("apple",), missing=(1,)),))
    scene.says(release("o-2"))
    assert scene.says(verify()) == [inventory.StockVerified(order_id="o-1")]


def test_locked_pieces_are_not_taken_by_who_only_looked() -> None:
    """What another order has locked is not there for a deduction on payment."""
    scene = shelf(apple=(2, 0))
    scene.says(hold("on_payment", apple=2))
    scene.says(hold("lock", "o-2", apple=1))
    assert scene.says(deduct()) == [inventory.StockSoldOut(order_id="o-1", spus=("apple",), missing=(1,))]
    assert cell(scene, "apple") == Cell(2, 1)


# -- given up ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], [hold("on_payment", apple=1)], [hold("lock", apple=2)], [release()]])
def test_released_when_there_is_nothing_to_give_back(before: list[Any]) -> None:
    """Never held, only checked, short, or released before: the order is told, and the stock stays as it is."""
    scene = shelf(apple=(1, 0))
    for message in before:
        scene.says(message)
    assert scene.says(release()) == [inventory.StockReleased(order_id="o-1")]
    assert scene.states["cell", STORE, "apple"] == Cell(1, 0)
    assert phase(scene) is Phase.RELEASED


def test_ignored_when_a_hold_comes_after_its_release() -> None:
    """A HoldStock that was parked and is replayed for an order that was given up must not take stock for ever."""
    scene = shelf(apple=(1, 0))
    scene.says(release())
    assert scene.when(hold("lock", apple=1)) == IGNORED
    assert scene.states["cell", STORE, "apple"] == Cell(1, 0)


# -- what nobody thought of --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [verify(), deduct(), reverse()])
def test_parked_when_there_is_no_hold(message: Any) -> None:
    """A message about an order that holds nothing parks, and makes no hold."""
    scene = shelf(apple=(1, 0))
    with pytest.raises(NoCell):
        scene.when(message)
    assert ("hold", "o-1") not in scene.states


@pytest.mark.parametrize("message", [release(), verify(), deduct(), hold("lock", apple=1)])
def test_parked_when_deducted_already(message: Any) -> None:
    """Deducted goods go back by a reversal only; nothing is deducted twice."""
    scene = shelf(apple=(5, 0))
    scene.says(hold("lock", apple=1))
    scene.says(deduct())
    with pytest.raises(NoCell):
        scene.when(message)
    assert cell(scene, "apple") == Cell(4, 0)


def test_parked_when_another_store_is_named() -> None:
    """A hold belongs to the shard of its store: a message by way of another one must not touch it."""
    scene = shelf(apple=(5, 0))
    scene.says(hold("lock", apple=1))
    with pytest.raises(NoCell, match="in store s-1"):
        scene.when(inventory.ReleaseStock(order_id="o-1", store="s-2"))
    assert phase(scene) is Phase.LOCKED


@pytest.mark.parametrize(
    ("spus", "quantities"), [((), ()), (("apple",), (0,)), (("apple",), (-1,)), (("apple", "milk"), (1,))]
)
def test_raises_when_the_lines_make_no_sense(spus: tuple[str, ...], quantities: tuple[int, ...]) -> None:
    """No line, no piece, a negative piece or arrays of two lengths: nothing is held."""
    scene = shelf(apple=(5, 0))
    with pytest.raises(ValueError, match=r"HoldStock|zip"):
        scene.when(inventory.HoldStock(order_id="o-1", store=STORE, mode="lock", spus=spus, quantities=quantities))


def test_raises_rather_than_go_below_zero() -> None:
    """Should the books ever be wrong, a deduction parks and the cell stays what it was."""
    scene = shelf(apple=(5, 0))
    scene.says(hold("lock", apple=3))
    scene.states["cell", STORE, "apple"] = Cell(2, 2)
    with pytest.raises(StockBelowZero, match="apple in s-1"):
        scene.when(deduct())
    assert cell(scene, "apple") == Cell(2, 2)


# -- always ------------------------------------------------------------------------------------------------------------

orders = st.sampled_from(["o-1", "o-2", "o-3"])
lines = st.dictionaries(st.sampled_from(["apple", "milk"]), st.integers(1, 4), min_size=1)
steps = st.one_of(
    st.builds(lambda order, mode, of: hold(mode, order, **of), orders, st.sampled_from(["lock", "on_payment"]), lines),
    st.builds(lambda make, order: make(order), st.sampled_from([verify, deduct, release, reverse]), orders),
)


@given(st.lists(steps, max_size=25))
def test_cells_are_always_the_sums_of_the_ledger(messages: list[Any]) -> None:
    """Whatever comes in whatever order: a cell is its goods receipt plus its movements, locked never exceeds on hand,
    and what is locked is what locked holds have."""
    scene = shelf(apple=(6, 0), milk=(4, 0))
    sums = {"apple": [6, 0], "milk": [4, 0]}
    for message in messages:
        try:
            outcome = scene.when(message)
        except NoCell:
            continue
        for item in outcome.said if isinstance(outcome, Moved) else ():
            if isinstance(item, Movement):
                for spu, on_hand, locked in zip(item.spus, item.on_hand, item.locked, strict=True):
                    sums[spu][0] += on_hand
                    sums[spu][1] += locked
        holds = [state for state in scene.states.values() if isinstance(state, Hold) and state.phase is Phase.LOCKED]
        for spu, (on_hand, locked) in sums.items():
            assert cell(scene, spu) == (on_hand, locked)
            assert 0 <= locked <= on_hand
            assert locked == sum(dict(zip(h.spus, h.quantities, strict=True)).get(spu, 0) for h in holds)


def test_every_phase_has_its_row() -> None:
    """A phase without a row would park everything with a riddle."""
    assert set(HOLD.rows) == set(Phase)
