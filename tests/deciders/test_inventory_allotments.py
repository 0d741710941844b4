"""Inventory: given pieces set aside for a flash sale, when a crowd wants them, then those who pay first get exactly
these, at this price, and what is left is everybody's again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.inventory import inner
from services.inventory.allotments import SALE_ENDS
from services.inventory.state import AllotmentPhase, Cell, Document, Kind, Movement, Phase
from shared.contracts import inventory
from shared.contracts.base import Message
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, Moved, Refused
from tests.deciders.scene import NOON
from tests.deciders.stock import (
    STORE,
    Shelves,
    Stock,
    allot,
    announce,
    buy,
    count,
    deduct,
    drop,
    hold,
    release,
    reverse,
    substitute,
    take_back,
    verify,
)

TENTH = {"milk": "tenth"}
LATER = NOON + timedelta(hours=1)
TIME_UP = inner.SaleRunsOut(f"{STORE}/tenth")


def movement(kind: str, lines: dict[str, int], order: str | None = None, document: str | None = None) -> Movement:
    deltas = tuple(lines.values())
    return Movement(STORE, NOON, kind, order, document, tuple(lines), deltas, (0,) * len(deltas))


def sale(pieces: int = 3, shelf: int = 10) -> Stock:
    """A sale of some milk is on, until later; the others are on the shelf."""
    return Stock(milk=shelf, apple=9).given(allot(pieces), announce(LATER))


def bought(order: str = "o-1", pieces: int = 1) -> Sequence[Message]:
    """An order at the sale's price, from basket to paid."""
    return buy(order, TENTH, milk=pieces), verify(order, TENTH), deduct(order)


# -- setting aside -----------------------------------------------------------------------------------------------------


def test_pieces_are_set_aside_from_the_shelf() -> None:
    """They are the sale's from then on, and no ordinary order gets them."""
    stock = Stock(milk=10)
    assert stock.says(allot(4)) == [movement("allot", {"milk": -4, "milk|tenth": 4})]
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(6, 0), 4)
    assert (stock.allotment().phase, stock.allotment().ends_at) == (AllotmentPhase.OPEN, None)
    assert stock.says(hold("o-9", milk=7)) == [inventory.StockShort(order_id="o-9", spus=("milk",), missing=(1,))]


def test_nothing_moves_when_the_same_is_set_again() -> None:
    """A repeated request is no change, also when some are sold by then."""
    stock = sale(4)
    assert stock.when(allot(4)) == Moved((), ())
    stock.given(*bought())
    assert stock.when(allot(4)) == Moved((), ())
    assert (stock.set_aside(), stock.allotment().sold) == (3, 1)


def test_the_number_counts_those_that_are_sold() -> None:
    """More come from the shelf, fewer go back to it; never fewer than were sold."""
    stock = sale(4).given(*bought("o-1", 2))
    assert stock.says(allot(5)) == [movement("allot", {"milk": -1, "milk|tenth": 1})]
    assert stock.says(allot(2)) == [movement("allot", {"milk": 3, "milk|tenth": -3})]
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(8, 0), 0)
    assert stock.when(allot(1)) == Refused("allotment_below_sold", "2 are sold")


def test_refused_when_the_shelf_cannot_give_it() -> None:
    """What orders have locked is theirs."""
    stock = Stock(milk=10).given(hold("o-9", milk=3))
    assert stock.when(allot(8)) == Refused("allotment_over_stock", "there are 7 milk on the shelf that are nobody's")
    stock.given(allot(7))
    assert stock.when(allot(8)) == Refused("allotment_over_stock", "there are 0 milk on the shelf that are nobody's")


def test_refused_when_two_sales_want_one_spu() -> None:
    """One allotment of an SPU in a store at a time; once it is over, there may be another."""
    stock = sale(4)
    assert stock.when(allot(1, promotion="other")) == Refused(
        "spu_has_allotment", "pieces of milk are set aside for tenth"
    )
    stock.given(TIME_UP)
    assert stock.says(allot(1, promotion="other"))
    assert stock.set_aside(promotion="other") == 1


def test_refused_when_a_sale_wants_two_spus() -> None:
    """An allotment is of one SPU."""
    stock = sale(4)
    assert stock.when(allot(1, "apple")) == Refused("allotment_of_other_spu", "it is of milk")


@pytest.mark.parametrize("before", [[announce(NOON)], [announce(LATER), TIME_UP], [allot(2), announce(NOON)]])
def test_refused_when_the_sale_is_over(before: Sequence[Any]) -> None:
    """Whether it ended with pieces set aside or without."""
    stock = Stock(milk=10).given(*before)
    answer = stock.when(allot(2))
    assert isinstance(answer, Refused)
    assert answer.code == "sale_over"
    assert stock.cell("milk") == Cell(10, 0)


def test_refused_when_the_end_has_passed_and_its_timer_has_not_fired() -> None:
    """The clock decides, not how busy the shard is."""
    stock = sale(4)
    stock.later(3600)
    answer = stock.when(allot(5))
    assert isinstance(answer, Refused)
    assert answer.code == "sale_over"


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_announcement_may_come_first() -> None:
    """Then pieces are set aside for a sale whose end is known."""
    stock = Stock(milk=10)
    assert stock.says(announce(LATER)) == [SetTimer(f"{STORE}/tenth", SALE_ENDS, LATER)]
    assert stock.allotment().phase is AllotmentPhase.ANNOUNCED
    stock.given(allot(4))
    assert (stock.allotment().phase, stock.allotment().ends_at) == (AllotmentPhase.OPEN, LATER)


def test_the_end_may_move() -> None:
    """The timer moves with it."""
    stock, sooner = sale(4), NOON + timedelta(minutes=5)
    assert stock.says(announce(sooner)) == [SetTimer(f"{STORE}/tenth", SALE_ENDS, sooner)]
    assert stock.allotment().ends_at == sooner


def test_what_is_left_at_the_end_is_on_the_shelf_again() -> None:
    """Of three, one is sold: two go back, and the number of sold ones stays to be seen."""
    stock = sale(3).given(*bought())
    assert stock.says(TIME_UP) == [movement("allot", {"milk": 2, "milk|tenth": -2})]
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(9, 0), 0)
    left = stock.allotment()
    assert (left.phase, left.quantity, left.sold) == (AllotmentPhase.OVER, 3, 1)


def test_a_sale_that_is_stopped_ends_at_once() -> None:
    """An end that has passed: what is left goes back now, and nobody waits for the timer."""
    stock = sale(3)
    assert stock.says(announce(NOON)) == [
        CancelTimer(f"{STORE}/tenth", SALE_ENDS),
        movement("allot", {"milk": 3, "milk|tenth": -3}),
    ]
    assert stock.allotment().phase is AllotmentPhase.OVER
    assert stock.when(TIME_UP) == IGNORED


def test_a_sale_that_gets_a_later_end_after_all_goes_on() -> None:
    """Pieces are set aside anew; what was sold before counts."""
    stock = sale(3).given(*bought(), TIME_UP, announce(LATER), allot(3))
    assert (stock.set_aside(), stock.allotment().sold, stock.cell("milk")) == (2, 1, Cell(7, 0))


# -- first paid, first served ------------------------------------------------------------------------------------------


def test_sold_from_what_is_set_aside() -> None:
    """The document says milk; the movement says where it came from."""
    stock = sale(3).given(buy("o-1", TENTH, milk=2, apple=1))
    assert stock.says(verify("o-1", TENTH)) == [inventory.StockVerified(order_id="o-1")]
    assert stock.says(deduct()) == [
        Document("SI-o-1", Kind.SALES_ISSUE, STORE, "o-1", NOON, ("milk", "apple"), (2, 1)),
        movement("sales_issue", {"milk|tenth": -2, "apple": -1}, "o-1", "SI-o-1"),
        inventory.StockDeducted(order_id="o-1", document="SI-o-1", spus=("milk", "apple"), quantities=(2, 1)),
    ]
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().sold) == (Cell(7, 0), 1, 2)


def test_a_crowd_gets_exactly_what_there_is() -> None:
    """All were told that it is there; the first three that pay have it, however much is on the shelf."""
    shelves = Shelves(milk=100)
    shelves.play(allot(3), *(buy(f"o-{n}", TENTH, milk=1) for n in range(50)))
    shelves.play(*(verify(f"o-{n}", TENTH) for n in range(50)))
    said = shelves.play(*(deduct(f"o-{n}") for n in range(50)))
    assert said == [f"StockDeducted o-{n}" for n in range(3)] + [f"StockSoldOut o-{n}" for n in range(3, 50)]
    assert shelves.states["cell", STORE, "milk"] == Cell(97, 0)


def test_sold_out_when_the_allotment_has_too_few_for_one_order() -> None:
    """All its pieces or none; the next one, who wants less, gets it."""
    stock = sale(3).given(buy("o-1", TENTH, milk=2), buy("o-2", TENTH, milk=2), buy("o-3", TENTH, milk=1), deduct())
    assert stock.says(deduct("o-2")) == [inventory.StockSoldOut(order_id="o-2", spus=("milk",), missing=(1,))]
    assert isinstance(stock.says(deduct("o-3"))[-1], inventory.StockDeducted)
    assert stock.set_aside() == 0


def test_who_declined_gives_the_piece_to_the_next() -> None:
    """Nothing is taken before it is paid: a release frees nothing, since nothing was held."""
    stock = sale(1).given(buy("o-1", TENTH, milk=1), verify("o-1", TENTH))
    assert stock.says(release("o-1")) == [inventory.StockReleased(order_id="o-1")]
    stock.given(*bought("o-2"))
    assert stock.phase("o-2") is Phase.DEDUCTED


def test_held_from_the_shelf_when_the_allotment_is_gone() -> None:
    """At the ordinary price: the promotion is named, and the hold is an ordinary one."""
    stock = sale(1).given(*bought())
    assert stock.says(buy("o-2", TENTH, milk=1)) == [
        inventory.StockHeld(order_id="o-2", mode="on_payment", gone=("tenth",))
    ]
    assert stock.states["hold", "o-2"].sources is None
    stock.given(verify("o-2"), deduct("o-2"))
    assert stock.cell("milk") == Cell(8, 0)


def test_short_when_neither_has_enough() -> None:
    """The allotment is gone, and the shelf is empty."""
    stock = sale(3, shelf=3).given(*bought("o-1", 2))
    assert stock.says(buy("o-2", TENTH, milk=2)) == [inventory.StockShort(order_id="o-2", spus=("milk",), missing=(2,))]


@pytest.mark.parametrize("promotion", ["unheard-of", "other"])
def test_gone_when_the_store_has_no_such_allotment(promotion: str) -> None:
    """Nobody set anything aside for it, or pieces of something else."""
    stock = Stock(milk=5, apple=5).given(allot(2, "apple", "other"))
    said = stock.says(buy("o-1", {"milk": promotion}, milk=1))
    assert said == [inventory.StockHeld(order_id="o-1", mode="on_payment", gone=(promotion,))]


def test_a_promotion_that_is_gone_is_gone_for_all_its_lines() -> None:
    """The order has it or not: with two SPUs of one promotion, none is at its price when one cannot be."""
    stock = sale(3)
    said = stock.says(buy("o-1", {"milk": "tenth", "apple": "tenth"}, milk=1, apple=1))
    assert said == [inventory.StockHeld(order_id="o-1", mode="on_payment", gone=("tenth",))]
    assert stock.states["hold", "o-1"].sources is None


# -- on the click ------------------------------------------------------------------------------------------------------


def test_verified_from_the_shelf_when_the_allotment_went_meanwhile() -> None:
    """Before money moves: the order comes back with another price."""
    stock = sale(1).given(buy("o-1", TENTH, milk=1), *bought("o-2"))
    assert stock.says(verify("o-1", TENTH)) == [inventory.StockVerified(order_id="o-1", gone=("tenth",))]
    assert stock.says(verify("o-1")) == [inventory.StockVerified(order_id="o-1")]
    stock.given(deduct())
    assert (stock.cell("milk"), stock.allotment().sold) == (Cell(8, 0), 1)


def test_gone_when_the_allotment_went_and_the_shelf_is_empty() -> None:
    """Nobody pays for what is not there."""
    stock = sale(1, shelf=1).given(buy("o-1", TENTH, milk=1), *bought("o-2"))
    assert stock.says(verify("o-1", TENTH)) == [inventory.StockGone(order_id="o-1", spus=("milk",), missing=(1,))]


def test_what_is_on_sale_is_what_the_click_says() -> None:
    """A line at its ordinary price again comes from the shelf; one whose sale began since, from its allotment."""
    stock = sale(3).given(buy("o-1", TENTH, milk=1), verify("o-1"), deduct("o-1"))
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(6, 0), 3)
    stock.given(hold("o-2", "on_payment", milk=1), verify("o-2", TENTH), deduct("o-2"))
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(6, 0), 2)


def test_locked_pieces_are_not_on_sale() -> None:
    """They are on the shelf, and the order's own; a sale that began since has nothing for it."""
    stock = Stock(milk=10).given(hold("o-1", milk=1), allot(3))
    assert stock.says(verify("o-1", TENTH)) == [inventory.StockVerified(order_id="o-1", gone=("tenth",))]
    stock.given(deduct())
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(6, 0), 3)


def test_who_clicked_in_time_gets_it_after_the_end() -> None:
    """The price was true when the money moved; and never more are sold than the allotment had."""
    stock = sale(1).given(
        buy("o-1", TENTH, milk=1), buy("o-2", TENTH, milk=1), verify("o-1", TENTH), verify("o-2", TENTH), TIME_UP
    )
    stock.given(deduct("o-1"))
    assert (stock.phase("o-1"), stock.cell("milk"), stock.allotment().sold) == (Phase.DEDUCTED, Cell(9, 0), 1)
    assert stock.says(deduct("o-2")) == [inventory.StockSoldOut(order_id="o-2", spus=("milk",), missing=(1,))]


def test_sold_out_after_the_end_when_the_shelf_is_empty() -> None:
    """Somebody else was faster at the ordinary price."""
    stock = sale(1, shelf=1).given(buy("o-1", TENTH, milk=1), TIME_UP, hold("o-2", milk=1))
    assert stock.says(deduct("o-1")) == [inventory.StockSoldOut(order_id="o-1", spus=("milk",), missing=(1,))]


# -- the ways back -----------------------------------------------------------------------------------------------------


def test_reversed_pieces_are_for_the_next_customer_while_the_sale_is_on() -> None:
    """Never undersold: one who cancels after payment gives it back to the sale."""
    stock = sale(1).given(*bought())
    said = stock.says(reverse())
    assert said[:2] == [
        Document("IR-o-1", Kind.ISSUE_REVERSAL, STORE, "o-1", NOON, ("milk",), (1,), "SI-o-1"),
        movement("issue_reversal", {"milk|tenth": 1}, "o-1", "IR-o-1"),
    ]
    assert [type(m) for m in said[2:]] == [inventory.IssueReversed]
    assert (stock.set_aside(), stock.allotment().sold) == (1, 0)
    stock.given(*bought("o-2"))
    assert stock.phase("o-2") is Phase.DEDUCTED


def test_reversed_pieces_are_on_the_shelf_when_the_sale_is_over() -> None:
    """They count as sold no more."""
    stock = sale(2).given(*bought(), TIME_UP, reverse())
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().sold) == (Cell(10, 0), 0, 0)


def test_pieces_that_are_nowhere_shrink_the_allotment() -> None:
    """Sold, and not there when they are picked: off the books, and nobody else is promised them."""
    stock = sale(3).given(*bought("o-1", 2), drop("o-1", milk=1))
    after = stock.allotment()
    assert (stock.set_aside(), after.quantity, after.sold) == (1, 2, 1)
    assert [m for m in stock.said if isinstance(m, Movement)][-2:] == [
        movement("issue_reversal", {"milk|tenth": 1}, "o-1", "IR-o-1"),
        movement("adjustment", {"milk|tenth": -1}, "o-1", "AD-o-1~1"),
    ]
    stock.given(reverse("o-1"))
    after = stock.allotment()
    assert (stock.set_aside(), after.quantity, after.sold) == (2, 2, 0)


def test_a_reversal_with_missing_pieces_gives_back_the_others() -> None:
    """Of two, one is there."""
    stock = sale(3).given(*bought("o-1", 2), reverse("o-1", milk=1))
    after = stock.allotment()
    assert (stock.set_aside(), after.quantity, after.sold, stock.cell("milk")) == (2, 2, 0, Cell(7, 0))


def test_substitutes_come_from_the_shelf() -> None:
    """Also when they are of the same SPU; what goes back later goes where it came from."""
    stock = sale(3).given(*bought("o-1", 2), substitute({"milk": 1}, {"milk": 1}))
    assert (stock.cell("milk"), stock.set_aside()) == (Cell(6, 0), 1)
    stock.given(reverse())
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().left) == (Cell(7, 0), 2, 2)


def test_goods_that_come_back_from_the_road_are_on_the_shelf() -> None:
    """They are sold, and were brought back: a return receipt, like any other."""
    stock = sale(3).given(*bought("o-1", 2), take_back("o-1", {"milk": 2}))
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().sold) == (Cell(9, 0), 1, 2)


# -- counts ------------------------------------------------------------------------------------------------------------


def test_a_count_takes_first_what_is_nobodys() -> None:
    """Down to the pieces set aside, they are not touched."""
    stock = sale(3).given(count(milk=-7))
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().quantity) == (Cell(0, 0), 3, 3)


def test_a_count_takes_then_what_is_set_aside_and_then_holds() -> None:
    """One document for the SPU; the allotment has fewer, the newest hold is lost last."""
    stock = sale(3, shelf=10).given(hold("o-9", milk=5), *bought())
    assert stock.says(count("r-2", milk=-3))[:2] == [
        Document("AD-r-2", Kind.ADJUSTMENT, STORE, None, NOON, ("milk",), (-3,), None, "counted"),
        movement("adjustment", {"milk": -2, "milk|tenth": -1}, None, "AD-r-2"),
    ]
    after = stock.allotment()
    assert (stock.cell("milk"), stock.set_aside(), after.quantity, after.sold) == (Cell(5, 5), 1, 2, 1)
    said = stock.says(count("r-3", milk=-2))
    assert [m for m in said if isinstance(m, inventory.StockLost)] == [
        inventory.StockLost(order_id="o-9", spus=("milk",), missing=(1,))
    ]
    assert isinstance(said[-1], inventory.StockAdjusted)
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().left) == (Cell(4, 0), 0, 0)


def test_a_count_below_zero_counts_what_is_set_aside() -> None:
    """On hand is both; one less than that cannot be."""
    stock = sale(3)
    assert stock.when(count(milk=-11)) == Refused("adjustment_below_zero", "there are 10 milk on hand")
    stock.given(count(milk=-10))
    assert (stock.cell("milk"), stock.set_aside(), stock.allotment().quantity) == (Cell(0, 0), 0, 0)


def test_a_count_in_the_batch_of_the_allotment_sees_it() -> None:
    """What was set aside a moment before, in the same batch, belongs to what is on hand."""
    shelves = Shelves(milk=5)
    said = shelves.play(allot(4), count(milk=-3), buy("o-1", TENTH, milk=2), deduct("o-1"), buy("o-2", TENTH, milk=1))
    assert said == ["StockAdjusted s-1", "StockHeld o-1", "StockDeducted o-1", "StockShort o-2"]
    assert shelves.parked == []
