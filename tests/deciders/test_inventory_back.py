"""Inventory: given an issue, when something of it goes back, then each piece does so once, and a document says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory.issues import MoreThanIssued
from services.inventory.state import Cell, Document, Issue, Issued, Kind, Movement, Phase
from shared.contracts import inventory
from shared.runtime.table import Moved, NoCell
from tests.deciders.scene import NOON
from tests.deciders.stock import (
    STORE,
    Stock,
    deduct,
    drop,
    hold,
    release,
    reverse,
    substitute,
    take_back,
    take_return,
    verify,
)


def issued(**lines: int) -> Stock:
    """A store where order o-1 has these, of ten pieces of each; there are three of oats as well."""
    lines = lines or {"apple": 4, "milk": 1}
    return Stock(**dict.fromkeys(lines, 10), oats=3).given(hold("o-1", **lines), deduct())


def paper(number: str, kind: str, **lines: int) -> inventory.Paper:
    return inventory.Paper(number=number, kind=kind, spus=tuple(lines), quantities=tuple(lines.values()))


def document(number: str, kind: Kind, lines: dict[str, int], **more: Any) -> Document:
    return Document(number, kind, STORE, "o-1", NOON, tuple(lines), tuple(lines.values()), **more)


def movement(number: str, kind: Kind, **on_hand: int) -> Movement:
    zeros = (0,) * len(on_hand)
    return Movement(STORE, NOON, kind, "o-1", number, tuple(on_hand), tuple(on_hand.values()), zeros)


# -- the goods never left ----------------------------------------------------------------------------------------------


def test_reversed_when_the_goods_never_left() -> None:
    """The goods are on hand again, by a document that names the one it takes back."""
    stock = issued()
    assert stock.says(reverse()) == [
        document("IR-o-1", Kind.ISSUE_REVERSAL, {"apple": 4, "milk": 1}, reverses="SI-o-1"),
        movement("IR-o-1", Kind.ISSUE_REVERSAL, apple=4, milk=1),
        inventory.IssueReversed(order_id="o-1", documents=(paper("IR-o-1", "issue_reversal", apple=4, milk=1),)),
    ]
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(10, 0), Cell(10, 0))
    assert stock.phase() is Phase.REVERSED


def test_reversed_and_written_off_when_some_were_never_there() -> None:
    """Stopped after the picker had missed two apples: all is reversed, and the two are off the books."""
    stock = issued()
    said = stock.says(reverse(apple=2))
    papers = (
        paper("IR-o-1", "issue_reversal", apple=4, milk=1),
        paper("AD-o-1~1", "adjustment", apple=-2),
    )
    assert said[-1] == inventory.IssueReversed(order_id="o-1", documents=papers)
    assert said[3] == movement("AD-o-1~1", Kind.ADJUSTMENT, apple=-2)
    assert stock.cell("apple") == Cell(8, 0)


def test_reversed_is_what_is_left_of_the_issue() -> None:
    """After a line was dropped and another substituted, only what the order still has goes back."""
    stock = issued().given(drop(apple=1), substitute({"milk": 1}, {"oats": 2}))
    reversal = stock.says(reverse())[0]
    assert reversal == document("IR-o-1~3", Kind.ISSUE_REVERSAL, {"apple": 3, "oats": 2}, reverses="SI-o-1")
    assert [stock.cell(spu).on_hand for spu in ("apple", "milk", "oats")] == [9, 9, 3]


def test_reversed_without_a_document_when_nothing_is_left() -> None:
    """All of it was dropped before: the order must not wait for it, and there is nothing to write."""
    stock = issued(apple=1).given(drop(apple=1))
    assert stock.says(reverse()) == [inventory.IssueReversed(order_id="o-1", documents=())]
    assert stock.phase() is Phase.REVERSED


@pytest.mark.parametrize("message", [reverse(), drop(apple=1), take_back(resellable={"apple": 1}), deduct(), release()])
def test_parked_when_reversed_already(message: Any) -> None:
    """Nothing goes back twice."""
    stock = issued().given(reverse())
    with pytest.raises(NoCell):
        stock.when(message)
    assert stock.cell("apple") == Cell(10, 0)


# -- pieces that were never there --------------------------------------------------------------------------------------


def test_dropped_when_the_shelf_had_less() -> None:
    """Off the issue by a partial reversal, off the books by an adjustment: on hand stays what it was."""
    stock = issued()
    assert stock.says(drop(apple=3)) == [
        document("IR-o-1", Kind.ISSUE_REVERSAL, {"apple": 3}, reverses="SI-o-1", reason="short"),
        movement("IR-o-1", Kind.ISSUE_REVERSAL, apple=3),
        document("AD-o-1~1", Kind.ADJUSTMENT, {"apple": -3}, reason="short"),
        movement("AD-o-1~1", Kind.ADJUSTMENT, apple=-3),
        inventory.ShortDropped(
            order_id="o-1",
            documents=(paper("IR-o-1", "issue_reversal", apple=3), paper("AD-o-1~1", "adjustment", apple=-3)),
        ),
    ]
    assert stock.cell("apple") == Cell(6, 0)
    assert stock.phase() is Phase.DEDUCTED
    assert stock.states["issue", "o-1"] == Issue(
        "o-1", {"apple": Issued(1), "milk": Issued(1)}, ("SI-o-1", "IR-o-1", "AD-o-1~1")
    )


def test_numbered_on_when_dropped_again() -> None:
    """The picker missed more with the amended list: each document has a number of its own."""
    stock = issued().given(drop(apple=1), drop(apple=1, milk=1))
    assert [d.number for d in stock.documents] == [
        "SI-o-1", "IR-o-1", "AD-o-1~1", "IR-o-1~2", "AD-o-1~2"
    ]  # fmt: skip


def test_no_number_of_another_order() -> None:
    """An order whose name looks like the second document of another one's gets numbers of its own."""
    stock = Stock(apple=9)
    for order in ("o-1", "o-1-2"):
        stock.given(hold(order, apple=2), deduct(order), drop(order, apple=1), drop(order, apple=1))
    numbers = [d.number for d in stock.documents]
    assert len(set(numbers)) == len(numbers) == 10


def test_other_orders_keep_their_locks_when_pieces_are_dropped() -> None:
    """What comes back with the reversal goes with the adjustment: nobody else's pieces are touched."""
    stock = Stock(apple=5).given(hold("o-1", apple=3), deduct(), hold("o-2", apple=2))
    stock.says(drop(apple=3))
    assert stock.cell("apple") == Cell(2, 2)
    assert stock.phase("o-2") is Phase.LOCKED


# -- other goods instead -----------------------------------------------------------------------------------------------


def test_substituted_when_there_is_enough() -> None:
    """The short pieces leave issue and books, the substitutes leave the shelf with an issue of their own."""
    stock = issued()
    said = stock.says(substitute({"apple": 2}, {"oats": 3}))
    papers = (
        paper("IR-o-1", "issue_reversal", apple=2),
        paper("AD-o-1~1", "adjustment", apple=-2),
        paper("SI-o-1~2", "sales_issue", oats=3),
    )
    assert said[-1] == inventory.StockSubstituted(order_id="o-1", documents=papers)
    assert said[-3:-1] == [
        document("SI-o-1~2", Kind.SALES_ISSUE, {"oats": 3}),
        movement("SI-o-1~2", Kind.SALES_ISSUE, oats=-3),
    ]
    assert (stock.cell("apple"), stock.cell("oats")) == (Cell(6, 0), Cell(0, 0))
    assert stock.states["issue", "o-1"].lines == {"apple": Issued(2), "milk": Issued(1), "oats": Issued(3)}


def test_nothing_changes_when_a_substitute_is_out_of_stock() -> None:
    """All substitutes or none, and then the short pieces stay on the issue as well; what others hold is not there."""
    stock = issued().given(hold("o-2", oats=2))
    before = dict(stock.states)
    outcome = stock.when(substitute({"apple": 2}, {"milk": 1, "oats": 2, "rye": 1}))
    assert outcome == Moved((), (inventory.SubstituteShort(order_id="o-1", spus=("oats", "rye"), missing=(1, 1)),))
    assert {key: state for key, state in stock.states.items() if state is not None} == before


def test_substituted_again_after_a_refusal() -> None:
    """The customer takes something else: nothing is left over from the first try."""
    stock = issued()
    stock.says(substitute({"apple": 2}, {"oats": 4}))
    assert isinstance(stock.says(substitute({"apple": 2}, {"oats": 2}))[-1], inventory.StockSubstituted)
    assert stock.cell("oats") == Cell(1, 0)


def test_the_same_goods_may_be_a_substitute() -> None:
    """The books still have some of what is short: it is a substitute like any other."""
    stock = Stock(apple=5).given(hold("o-1", apple=3), deduct())
    stock.says(substitute({"apple": 2}, {"apple": 1}))
    assert stock.cell("apple") == Cell(1, 0)
    assert stock.states["issue", "o-1"].lines == {"apple": Issued(2)}


# -- back from the road ------------------------------------------------------------------------------------------------


def test_restocked_or_written_off_when_goods_come_back() -> None:
    """Resellable pieces are on the shelf again; damaged and missing ones get a report that moves no stock."""
    stock = issued()
    back = take_back(
        resellable={"apple": 2}, damaged={"apple": 1}, missing={"apple": 1, "milk": 1}, reason="not_reachable"
    )
    assert stock.says(back) == [
        document("RR-o-1", Kind.RETURN_RECEIPT, {"apple": 2}, reverses="SI-o-1", reason="not_reachable"),
        movement("RR-o-1", Kind.RETURN_RECEIPT, apple=2),
        document("DR-o-1", Kind.DAMAGE_REPORT, {"apple": 1}, reason="damaged"),
        document("DR-o-1~2", Kind.DAMAGE_REPORT, {"apple": 1, "milk": 1}, reason="not_returned"),
        inventory.GoodsTakenBack(
            order_id="o-1",
            documents=(
                paper("RR-o-1", "return_receipt", apple=2),
                paper("DR-o-1", "damage_report", apple=1),
                paper("DR-o-1~2", "damage_report", apple=1, milk=1),
            ),
        ),
    ]
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(8, 0), Cell(9, 0))
    assert stock.phase() is Phase.TAKEN_BACK


def test_restocked_when_goods_come_after_they_were_written_off() -> None:
    """The return window was over, and then the courier came: what is good is on the shelf again."""
    stock = issued().given(take_back(missing={"apple": 4, "milk": 1}))
    assert stock.cell("apple") == Cell(6, 0)
    said = stock.says(take_back(resellable={"apple": 3}, damaged={"apple": 1}))
    assert [d.number for d in said if isinstance(d, Document)] == ["RR-o-1", "DR-o-1~2"]
    assert stock.cell("apple") == Cell(9, 0)


def test_taken_back_with_nothing_to_write() -> None:
    """Nothing more came: the order is told, and no empty document is written."""
    stock = issued().given(take_back(missing={"apple": 4, "milk": 1}))
    assert stock.says(take_back()) == [inventory.GoodsTakenBack(order_id="o-1", documents=())]


# -- back from the customer --------------------------------------------------------------------------------------------


def test_restocked_or_written_off_when_a_customer_gives_goods_back() -> None:
    """The same documents as from the road; what did not come into it stays the customer's."""
    stock = issued()
    back = take_return(resellable={"apple": 1}, damaged={"apple": 1}, missing={"milk": 1}, reason="returned")
    assert stock.says(back) == [
        document("RR-o-1", Kind.RETURN_RECEIPT, {"apple": 1}, reverses="SI-o-1", reason="returned"),
        movement("RR-o-1", Kind.RETURN_RECEIPT, apple=1),
        document("DR-o-1", Kind.DAMAGE_REPORT, {"apple": 1}, reason="damaged"),
        document("DR-o-1~2", Kind.DAMAGE_REPORT, {"milk": 1}, reason="not_returned"),
        inventory.GoodsTakenBack(
            order_id="o-1",
            documents=(
                paper("RR-o-1", "return_receipt", apple=1),
                paper("DR-o-1", "damage_report", apple=1),
                paper("DR-o-1~2", "damage_report", milk=1),
            ),
        ),
    ]
    assert (stock.cell("apple"), stock.cell("milk")) == (Cell(7, 0), Cell(9, 0))
    assert stock.phase() is Phase.DEDUCTED
    assert stock.states["issue", "o-1"].lines == {"apple": Issued(4, 2), "milk": Issued(1, 0, 1)}


def test_given_back_twice() -> None:
    """Two tickets about one order: each has its documents, and together they cannot give back more than went out."""
    stock = issued().given(take_return(resellable={"apple": 2}), take_return(resellable={"apple": 2}))
    assert [d.number for d in stock.documents] == ["SI-o-1", "RR-o-1", "RR-o-1~2"]
    assert stock.cell("apple") == Cell(10, 0)
    with pytest.raises(MoreThanIssued):
        stock.when(take_return(damaged={"apple": 1}))


@pytest.mark.parametrize("before", [reverse(), take_back(missing={"apple": 4, "milk": 1})])
def test_parked_when_a_customer_gives_back_what_never_arrived(before: Any) -> None:
    """The order has nothing that its customer could have."""
    with pytest.raises(NoCell):
        issued().given(before).when(take_return(resellable={"apple": 1}))


# -- a replacement order -----------------------------------------------------------------------------------------------


def replaced() -> Stock:
    """A store that has sent two apples to the customer of o-1 instead of others; there are three of oats as well."""
    return issued(apple=4).given(hold("o-1~r1", apple=2), deduct("o-1~r1"))


def test_issued_as_a_replacement() -> None:
    """Nothing is sold: its issue is of another kind, and the numbers of its documents are made of its own id."""
    stock = issued(apple=4).given(hold("o-1~r1", apple=2))
    assert stock.says(deduct("o-1~r1")) == [
        Document("RI-o-1~r1", Kind.REPLACEMENT_ISSUE, STORE, "o-1~r1", NOON, ("apple",), (2,)),
        Movement(STORE, NOON, Kind.REPLACEMENT_ISSUE, "o-1~r1", "RI-o-1~r1", ("apple",), (-2,), (-2,)),
        inventory.StockDeducted(order_id="o-1~r1", document="RI-o-1~r1", spus=("apple",), quantities=(2,)),
    ]
    assert stock.cell("apple") == Cell(4, 0)


def test_substituted_in_a_replacement() -> None:
    """The substitutes replace something too; the second of each kind is numbered on."""
    stock = replaced()
    for _ in range(2):
        said = stock.says(substitute({"apple": 1}, {"oats": 1}, "o-1~r1"))
    assert said[-1] == inventory.StockSubstituted(
        order_id="o-1~r1",
        documents=(
            paper("IR-o-1~r1~2", "issue_reversal", apple=1),
            paper("AD-o-1~r1~2", "adjustment", apple=-1),
            paper("RI-o-1~r1~3", "replacement_issue", oats=1),
        ),
    )
    assert (stock.cell("apple"), stock.cell("oats")) == (Cell(4, 0), Cell(1, 0))
    assert stock.states["issue", "o-1~r1"].lines == {"apple": Issued(0), "oats": Issued(2)}


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (reverse("o-1~r1"), "IR-o-1~r1"),
        (take_back("o-1~r1", resellable={"apple": 2}), "RR-o-1~r1"),
        (take_return("o-1~r1", resellable={"apple": 1}), "RR-o-1~r1"),
    ],
)
def test_a_replacement_goes_back_like_any_issue(message: Any, number: str) -> None:
    """Its documents name the replacement issue."""
    back = replaced().says(message)[0]
    assert isinstance(back, Document)
    assert (back.number, back.reverses) == (number, "RI-o-1~r1")


def test_no_number_of_a_replacement_is_one_of_its_sales_order() -> None:
    """Both drop twice."""
    stock = replaced()
    for order in ("o-1", "o-1~r1"):
        stock.given(drop(order, apple=1), drop(order, apple=1))
    numbers = [d.number for d in stock.documents]
    assert len(set(numbers)) == len(numbers) == 10


MORE_THAN_WENT_OUT: list[Any] = [
    reverse(apple=5),
    reverse(rye=1),
    drop(apple=5),
    drop(rye=1),
    substitute({"apple": 5}, {"oats": 1}),
    take_back(resellable={"apple": 5}),
    take_back(resellable={"apple": 2}, damaged={"apple": 3}),
    take_back(resellable={"apple": 2}, damaged={"apple": 1}, missing={"apple": 2}),
    take_back(damaged={"rye": 1}),
    take_back(missing={"milk": 2}),
    take_return(resellable={"apple": 5}),
    take_return(damaged={"apple": 3}, missing={"apple": 2}),
    take_return(missing={"rye": 1}),
]


@pytest.mark.parametrize("message", MORE_THAN_WENT_OUT)
def test_raises_when_more_would_go_back_than_went_out(message: Any) -> None:
    """It parks, and the stock stays as it is: goods are not made by a message."""
    stock = issued()
    before = dict(stock.states)
    with pytest.raises(MoreThanIssued):
        stock.when(message)
    assert stock.states == before


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (take_back(resellable={"apple": 4}), take_back(resellable={"apple": 1})),
        (take_back(damaged={"apple": 3}), take_back(resellable={"apple": 2})),
        (take_back(missing={"apple": 4}), take_back(missing={"apple": 1})),
        (take_back(resellable={"apple": 3}), take_back(missing={"apple": 2})),
        (drop(apple=3), take_back(resellable={"apple": 2})),
        (take_return(damaged={"apple": 3}), take_back(resellable={"apple": 2})),
        (take_return(resellable={"apple": 1}), drop(apple=4)),
    ],
)
def test_raises_when_more_would_go_back_in_two_steps(before: Any, message: Any) -> None:
    """What went back before counts."""
    stock = issued().given(before)
    with pytest.raises(MoreThanIssued):
        stock.when(message)


@pytest.mark.parametrize("before", [[], [hold("o-1", apple=1)], [hold("o-1", apple=1), release()]])
@pytest.mark.parametrize(
    "message", [reverse(), drop(apple=1), substitute({}, {"apple": 1}), take_back(), take_return()]
)
def test_parked_when_nothing_was_issued(before: list[Any], message: Any) -> None:
    """Only what left the books can go back."""
    stock = Stock(apple=5).given(*before)
    with pytest.raises(NoCell):
        stock.when(message)


# -- always ------------------------------------------------------------------------------------------------------------

pieces = st.dictionaries(st.sampled_from(["apple", "milk", "oats"]), st.integers(1, 3), max_size=3)
some_pieces = pieces.filter(bool)
steps = st.one_of(
    st.builds(lambda of: drop(**of), some_pieces),
    st.builds(substitute, some_pieces, some_pieces),
    st.builds(lambda of: reverse(**of), pieces),
    st.builds(lambda good, bad, gone: take_back("o-1", good, bad, gone), pieces, pieces, pieces),
    st.builds(lambda good, bad, gone: take_return("o-1", good, bad, gone), pieces, pieces, pieces),
    st.just(verify()),
)


@given(st.lists(steps, max_size=12))
def test_goods_are_neither_made_nor_lost(messages: list[Any]) -> None:
    """Whatever comes in whatever order: cells are the sums of the ledger, every document but a damage report has its
    movement, numbers are unique, and what went out covers what came back."""
    stock = issued(apple=4, milk=2)
    for message in messages:
        try:
            stock.when(message)
        except (NoCell, MoreThanIssued, ValueError):
            continue
    moves = [item for item in stock.said if isinstance(item, Movement)]
    for spu, at_first in (("apple", 10), ("milk", 10), ("oats", 3)):
        deltas = [d for m in moves for s, d in zip(m.spus, m.on_hand, strict=True) if s == spu]
        assert stock.cell(spu) == (at_first + sum(deltas), 0)
    numbers = [d.number for d in stock.documents]
    assert len(set(numbers)) == len(numbers)
    moving = [d.number for d in stock.documents if d.kind is not Kind.DAMAGE_REPORT]
    assert moving == [m.document for m in moves if m.document]
    issue: Issue | None = stock.states.get(("issue", "o-1"))
    if issue:
        assert issue.documents == tuple(numbers)
        assert all(0 <= line.back <= line.covered for line in issue.lines.values())
