"""Inventory: given goods that are to come, when they are promised before they are there, then no more are sold than
that, and what comes in is for those who wait for it."""

from __future__ import annotations

import pytest

from services.inventory.state import Cell, Document, Kind, Movement, Phase
from shared.contracts import inventory
from shared.runtime.table import Moved, Refused
from tests.deciders.scene import NOON
from tests.deciders.stock import (
    STORE,
    Shelves,
    Stock,
    allot,
    buy,
    deduct,
    drop,
    expect,
    hold,
    receive,
    reverse,
    substitute,
    verify,
)

EARLY = ("milk",)


def movement(kind: str, lines: dict[str, int], order: str | None = None, document: str | None = None) -> Movement:
    deltas = tuple(lines.values())
    return Movement(STORE, NOON, kind, order, document, tuple(lines), deltas, (0,) * len(deltas))


def awaited(pieces: int, sold: int = 0, shelf: int = 0) -> Stock:
    """So many pieces of milk are to come, of which o-1 has bought some."""
    stock = Stock(milk=shelf).given(expect(milk=pieces))
    return stock.given(buy("o-1", {}, EARLY, milk=sold), deduct()) if sold else stock


# -- what is to come ---------------------------------------------------------------------------------------------------


def test_what_is_to_come_is_a_number_that_replaces_the_one_before() -> None:
    """The ledger has the difference; the same number again is none."""
    stock = Stock()
    assert stock.says(expect(milk=8)) == [movement("expect", {"milk|+incoming": 8})]
    assert stock.says(expect(milk=5)) == [movement("expect", {"milk|+incoming": -3})]
    assert stock.says(expect(milk=5)) == []
    assert (stock.to_come(), stock.cell("milk")) == ((5, 0), Cell(0, 0))
    stock.given(expect(milk=0))
    assert stock.to_come() == (0, 0)


def test_what_is_to_come_is_not_sold_to_everybody() -> None:
    """An ordinary line wants what is there."""
    assert awaited(8).says(hold("o-1", milk=1)) == [inventory.StockShort(order_id="o-1", spus=("milk",), missing=(1,))]


def test_the_number_counts_those_that_are_sold() -> None:
    """Never fewer than that: who was promised goods waits for them."""
    stock = awaited(8, sold=3)
    stock.given(expect(milk=4))
    assert stock.to_come() == (1, 3)
    assert stock.when(expect(milk=2)) == Refused("incoming_below_sold", "3 milk of it are sold")
    assert stock.to_come() == (1, 3)


# -- selling it --------------------------------------------------------------------------------------------------------


def test_sold_before_it_is_there() -> None:
    """Held and verified by looking, issued when it is paid: from then on it is owed."""
    stock = awaited(8)
    assert stock.says(buy("o-1", {}, EARLY, milk=3)) == [inventory.StockHeld(order_id="o-1", mode="on_payment")]
    assert stock.says(verify()) == [inventory.StockVerified(order_id="o-1")]
    assert stock.says(deduct()) == [
        Document("SI-o-1", Kind.SALES_ISSUE, STORE, "o-1", NOON, ("milk",), (3,)),
        movement("sales_issue", {"milk|+incoming": -3, "milk|+owed": 3}, "o-1", "SI-o-1"),
        inventory.StockDeducted(order_id="o-1", document="SI-o-1", spus=("milk",), quantities=(3,)),
    ]
    assert stock.to_come() == (5, 3)


def test_first_paid_is_first_served() -> None:
    """Two want all of it."""
    stock = awaited(3).given(buy("o-1", {}, EARLY, milk=2), buy("o-2", {}, EARLY, milk=2), deduct("o-2"))
    assert stock.says(verify("o-1")) == [inventory.StockGone(order_id="o-1", spus=("milk",), missing=(1,))]
    assert stock.says(deduct("o-1")) == [inventory.StockSoldOut(order_id="o-1", spus=("milk",), missing=(1,))]
    assert stock.to_come() == (1, 2)


def test_the_shelf_gives_what_is_not_to_come() -> None:
    """What is to come goes first, since nobody else may have it yet; the rest is from the shelf."""
    stock = awaited(2, sold=3, shelf=4)
    assert (stock.to_come(), stock.cell("milk")) == ((0, 2), Cell(3, 0))
    stock.given(buy("o-2", {}, EARLY, milk=3), deduct("o-2"))
    assert (stock.to_come(), stock.cell("milk")) == ((0, 2), Cell(0, 0))
    assert stock.says(buy("o-3", {}, EARLY, milk=1)) == [
        inventory.StockShort(order_id="o-3", spus=("milk",), missing=(1,))
    ]


def test_other_lines_of_the_order_are_from_the_shelf() -> None:
    """Only what is named may come from what is to come."""
    stock = Stock(apple=1).given(expect(milk=2, apple=9))
    assert stock.says(buy("o-1", {}, EARLY, milk=2, apple=2)) == [
        inventory.StockShort(order_id="o-1", spus=("apple",), missing=(1,))
    ]


def test_an_allotment_comes_before_what_is_to_come() -> None:
    """Both at once: pieces set aside are there."""
    stock = Stock(milk=2).given(allot(1), expect(milk=5), buy("o-1", {"milk": "tenth"}, EARLY, milk=1), deduct())
    assert (stock.set_aside(), stock.to_come()) == (0, (5, 0))
    said = stock.says(buy("o-2", {"milk": "tenth"}, EARLY, milk=4))
    assert said == [inventory.StockHeld(order_id="o-2", mode="on_payment", gone=("tenth",))]
    stock.given(verify("o-2"), deduct("o-2"))
    assert (stock.cell("milk"), stock.to_come()) == (Cell(1, 0), (1, 4))


# -- the day it comes --------------------------------------------------------------------------------------------------


def test_what_comes_in_is_first_for_those_who_wait() -> None:
    """Of ten, eight are sold; two are for everybody, and nothing is to come any more."""
    stock = awaited(10, sold=8)
    assert stock.says(receive(milk=10)) == [
        Document("GR-r-1", Kind.GOODS_RECEIPT, STORE, None, NOON, ("milk",), (10,)),
        movement("goods_receipt", {"milk": 10}, None, "GR-r-1"),
        inventory.GoodsReceived(store=STORE, document="GR-r-1", at=NOON),
        movement("arrive", {"milk": -8, "milk|+owed": -8, "milk|+incoming": -2}),
    ]
    assert (stock.cell("milk"), stock.to_come()) == (Cell(2, 0), (0, 0))


@pytest.mark.parametrize(("came", "shelf", "left"), [(5, 0, (2, 3)), (8, 0, (2, 0)), (9, 1, (1, 0)), (20, 12, (0, 0))])
def test_a_part_that_comes_lowers_what_is_to_come(came: int, shelf: int, left: tuple[int, int]) -> None:
    """The rest is still to come, sold or not."""
    stock = awaited(10, sold=8).given(receive(milk=came))
    assert (stock.cell("milk").on_hand, stock.to_come()) == (shelf, left)


def test_an_ordinary_receipt_has_one_movement() -> None:
    """Nothing was to come: nothing arrives besides."""
    stock = Stock(milk=1)
    assert [m.kind for m in stock.says(receive(milk=4)) if isinstance(m, Movement)] == ["goods_receipt"]


# -- the ways back -----------------------------------------------------------------------------------------------------


def test_reversed_before_it_came_it_may_be_promised_again() -> None:
    """Nothing goes to the shelf, where it never was."""
    stock = awaited(8, sold=3)
    said = stock.says(reverse())
    assert said[:2] == [
        Document("IR-o-1", Kind.ISSUE_REVERSAL, STORE, "o-1", NOON, ("milk",), (3,), "SI-o-1"),
        movement("issue_reversal", {"milk|+owed": -3, "milk|+incoming": 3}, "o-1", "IR-o-1"),
    ]
    assert isinstance(said[2], inventory.IssueReversed)
    assert (stock.cell("milk"), stock.to_come()) == (Cell(0, 0), (8, 0))


def test_reversed_after_a_part_came_the_rest_is_on_the_shelf() -> None:
    """What others still wait for takes the place of what is not owed any more."""
    stock = awaited(8, sold=3).given(receive(milk=2), reverse())
    assert (stock.cell("milk"), stock.to_come()) == (Cell(2, 0), (6, 0))


def test_reversed_after_all_came_it_is_on_the_shelf() -> None:
    """Like any other order's goods."""
    stock = awaited(8, sold=3).given(receive(milk=8), reverse())
    assert (stock.cell("milk"), stock.to_come()) == (Cell(8, 0), (0, 0))


def test_pieces_that_came_from_the_shelf_go_back_to_it() -> None:
    """An order that had both gives back both, whatever others wait for."""
    stock = Stock(milk=1).given(expect(milk=5), buy("o-1", {}, EARLY, milk=4), deduct())
    stock.given(buy("o-2", {}, EARLY, milk=2), deduct("o-2"))
    assert (stock.cell("milk"), stock.to_come()) == (Cell(0, 0), (0, 5))
    stock.given(reverse("o-2"))
    assert (stock.cell("milk"), stock.to_come()) == (Cell(1, 0), (1, 4))


def test_what_did_not_come_is_not_written_off() -> None:
    """The day it arrives short: the order goes without it, the shelf never had it, and it is not to come any more."""
    stock = awaited(3, sold=3).given(receive(milk=1))
    said = stock.says(drop("o-1", milk=2))
    assert [(d.number, d.quantities) for d in said if isinstance(d, Document)] == [("IR-o-1", (2,))]
    assert [m for m in said if isinstance(m, Movement)] == [
        movement("issue_reversal", {"milk|+owed": -2}, "o-1", "IR-o-1")
    ]
    assert (stock.cell("milk"), stock.to_come()) == (Cell(0, 0), (0, 0))
    stock.given(reverse())
    assert stock.cell("milk") == Cell(1, 0)


def test_what_came_and_is_not_there_is_written_off() -> None:
    """All came; one of three is nowhere."""
    stock = awaited(3, sold=3).given(receive(milk=3))
    said = stock.says(drop("o-1", milk=1))
    assert [(d.number, d.quantities) for d in said if isinstance(d, Document)] == [
        ("IR-o-1", (1,)),
        ("AD-o-1~1", (-1,)),
    ]
    assert (stock.cell("milk"), stock.to_come()) == (Cell(0, 0), (0, 0))


def test_other_goods_instead_of_what_did_not_come() -> None:
    """What is owed is owed no more; the substitute is from its shelf."""
    stock = Stock(cream=5).given(expect(milk=3), buy("o-1", {}, EARLY, milk=3), deduct())
    said = stock.says(substitute({"milk": 3}, {"cream": 3}))
    assert [d.number for d in said if isinstance(d, Document)] == ["IR-o-1", "SI-o-1~2"]
    assert (stock.cell("cream"), stock.to_come()) == (Cell(2, 0), (0, 0))


def test_reversed_with_pieces_that_did_not_come() -> None:
    """Two of three came; the third is not to come any more."""
    stock = awaited(3, sold=3).given(receive(milk=2))
    said = stock.says(reverse("o-1", milk=1))
    assert [d.kind for d in said if isinstance(d, Document)] == [Kind.ISSUE_REVERSAL]
    assert (stock.cell("milk"), stock.to_come(), stock.phase()) == (Cell(2, 0), (0, 0), Phase.REVERSED)


# -- in one batch ------------------------------------------------------------------------------------------------------


def test_all_of_it_in_one_batch() -> None:
    """Every step sees what the step before has changed."""
    shelves = Shelves()
    said = shelves.play(
        expect(milk=2),
        buy("o-1", {}, EARLY, milk=2),
        buy("o-2", {}, EARLY, milk=1),
        deduct("o-1"),
        deduct("o-2"),
        receive(milk=3),
        hold("o-3", milk=1),
    )
    assert [one for one in said if not one.endswith(STORE)] == [
        "StockHeld o-1",
        "StockHeld o-2",
        "StockDeducted o-1",
        "StockSoldOut o-2",
        "StockHeld o-3",
    ]
    assert (shelves.batches, shelves.parked) == (1, [])


def test_an_expected_number_alone_makes_the_shelf() -> None:
    """People may look at an SPU of which nothing was there yet."""
    outcome = Stock().when(expect(milk=0))
    assert outcome == Moved(((("cell", STORE, "milk"), Cell(0, 0)),), ())
