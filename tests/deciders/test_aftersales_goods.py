"""Tickets about delivered goods: given what the customer has, when a person decides, then each piece is made good once.

Both deciders play, and a canned store: what is asserted is what the customer gets, and what the store hears.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.aftersales import inner
from services.aftersales.decider import DECIDER
from services.aftersales.goods import some, worth
from services.aftersales.reading import NOTES_MAX
from services.aftersales.state import Good, TicketPhase
from shared.contracts import aftersales, inventory, logistics, payment
from shared.runtime.table import Refused
from tests.deciders.chain import FIRST, GOODS, SECOND, Chain, delivered_sale, opening
from tests.deciders.orders import WINDOW, messages
from tests.deciders.scene import Scene
from tests.deciders.tickets import AGENT

MILK, OATS, ALL_OATS = (("milk", 1),), (("oat", 2),), (("oat", 3),)


def chain(kind: aftersales.GoodsKind, lines: Any, **more: Any) -> Chain:
    """A delivered order with a ticket about these goods."""
    scene = Chain()
    assert scene.opens(kind, lines, **more) == ""
    return scene


def refunds(scene: Chain) -> list[tuple[int, str, str]]:
    """The money that was asked for: amount, reason, who bears it."""
    return [(m.amount, m.reason, m.liable) for m in scene.all(payment.RefundPayment)]


def left(scene: Chain, order_id: str = "o-1") -> dict[tuple[str, int], int]:
    """Pieces that no ticket has, by SPU and price."""
    return {(good.spu, good.price): good.quantity for good in some(scene.window(order_id).goods)}


EVERYTHING = {(good.spu, good.price): good.quantity for good in GOODS}

# -- refund only -------------------------------------------------------------------------------------------------------


def test_refund_only_pays_the_whole_price_and_reports_the_goods() -> None:
    """The goods stay where they are: a document, and no stock."""
    scene = chain("refund_only", (("milk", 1), ("bread", 1)))
    assert scene.stands() == ("open", "")
    assert scene.approves() == ""
    assert scene.stands() == ("resolved", "refunded")
    assert refunds(scene) == [(129 + 349, "refund_only", "store")]
    (report,) = scene.all(inventory.TakeReturn)
    assert (report.damaged_spus, report.damaged, report.reason) == (("milk", "bread"), (1, 1), "refund_only")
    assert report.resellable == report.missing == ()
    assert (scene.order().given_back, scene.order().refunded) == (478, 478)


@pytest.mark.parametrize("when", ["opened", "approved"])
def test_refund_only_pays_the_agreed_amount(when: str) -> None:
    """Said when it was opened or when it is decided; the pieces are done with all the same."""
    scene = chain("refund_only", MILK, amount=50 if when == "opened" else None)
    assert scene.approves(amount=50 if when == "approved" else None, liable="supplier") == ""
    assert refunds(scene) == [(50, "refund_only", "supplier")]
    assert scene.opens("refund_only", MILK, "t-2") == "more_than_delivered"
    assert scene.ticket().settled == (Good("milk", 1, 129),)


def test_agreed_amount_holds_for_other_pieces_as_well() -> None:
    """What is not said again is as the ticket has it, if it still can be."""
    scene = chain("refund_only", (("bread", 1), ("milk", 1)), amount=200)
    assert scene.approves(lines=MILK) == "amount_too_large"
    assert scene.approves(lines=(("bread", 1),)) == ""
    assert refunds(scene) == [(200, "refund_only", "store")]


def test_refund_of_some_pieces_leaves_the_others() -> None:
    """The decision names fewer than the ticket: what it lets go of may be in another."""
    scene = chain("refund_only", ALL_OATS)
    assert scene.approves(lines=(("oat", 1),)) == ""
    assert refunds(scene) == [(140, "refund_only", "store")]
    assert left(scene) == {**EVERYTHING, ("oat", 140): 1}


# -- return ------------------------------------------------------------------------------------------------------------


def test_return_pays_when_everything_came() -> None:
    """The store expects the goods, and no money moves before it has looked at them."""
    scene = Chain()
    scene.back = ""
    scene.opens("return", (("milk", 1), ("bread", 1)))
    assert scene.approves() == ""
    assert scene.stands() == ("returning", "")
    assert refunds(scene) == []
    (announced,) = scene.all(logistics.AnnounceReturn)
    assert (announced.spus, announced.quantities, announced.ticket_id) == (("milk", "bread"), (1, 1), "t-1")

    scene = chain("return", (("milk", 1), ("bread", 1)))
    scene.approves()
    assert scene.stands() == ("resolved", "returned")
    assert refunds(scene) == [(478, "return", "store")]
    (taken,) = scene.all(inventory.TakeReturn)
    assert (taken.damaged_spus, taken.resellable_spus, taken.missing) == (("milk",), ("bread",), ())


def test_return_of_fewer_pays_for_what_came() -> None:
    """The rest is the customer's as before, and may be in another ticket."""
    scene = chain("return", ALL_OATS)
    scene.back = "some"
    scene.approves()
    assert refunds(scene) == [(280, "return", "store")]
    assert left(scene) == {("milk", 129): 1, ("bread", 349): 1, ("oat", 129): 1}


@pytest.mark.parametrize(("back", "lines", "note"), [("none", OATS, "goods_overdue"), ("some", MILK, "nothing_came")])
def test_return_that_nothing_came_of_is_rejected(back: str, lines: Any, note: str) -> None:
    """No goods, no money; the pieces are the customer's."""
    scene = chain("return", lines)
    scene.back = back
    scene.approves()
    assert scene.stands() == ("rejected", note)
    assert refunds(scene) == []
    assert scene.all(inventory.TakeReturn) == []
    assert left(scene) == EVERYTHING


def test_return_that_the_courier_lost_is_paid() -> None:
    """The customer gave the goods away: written off, and a person looks for them."""
    scene = chain("return", OATS)
    scene.back = "lost"
    scene.approves()
    assert scene.stands() == ("resolved", "goods_lost")
    assert refunds(scene) == [(280, "return", "store")]
    (taken,) = scene.all(inventory.TakeReturn)
    assert (taken.missing_spus, taken.missing) == (("oat",), (2,))
    search = scene.ticket("t-o-1-2")
    assert (search.kind, search.phase, search.reason) == ("missing_goods", TicketPhase.OPEN, "goods_lost")


# -- exchange and replenishment ----------------------------------------------------------------------------------------


def test_exchange_sends_new_goods_and_takes_the_old_ones() -> None:
    """No money moves; the new goods are worth what was paid for the old ones."""
    scene = chain("exchange", MILK, new=(("oat", 1, "milk"),))
    assert scene.stands() == ("open", "")
    assert scene.approves() == ""
    assert scene.stands() == ("resolved", "exchanged")
    (sent,) = scene.all(logistics.FulfilOrder)
    assert (sent.order_id, sent.spus, sent.quantities) == (FIRST, ("oat",), (1,))
    assert sent.take_along is not None
    assert (sent.take_along.about, sent.take_along.spus, sent.take_along.quantities) == ("o-1", ("milk",), (1,))
    assert refunds(scene) == []
    assert left(scene, FIRST) == {("oat", 129): 1}
    assert ("milk", 129) not in left(scene)


@pytest.mark.parametrize("back", ["none", "some", "lost"])
def test_exchange_ends_whatever_became_of_the_old_goods(back: str) -> None:
    """The new goods are there: the pieces are done with, no money moves."""
    scene = chain("exchange", MILK)
    scene.back = back
    scene.approves()
    assert scene.ticket().phase is TicketPhase.RESOLVED
    assert scene.ticket().settled == (Good("milk", 1, 129),)
    assert refunds(scene) == []


def test_replenishment_sends_what_was_missing() -> None:
    """The same goods again, and nothing comes back."""
    scene = chain("replenishment", ALL_OATS)
    scene.approves()
    assert scene.stands() == ("resolved", "replaced")
    (sent,) = scene.all(logistics.FulfilOrder)
    assert (sent.spus, sent.quantities, sent.take_along) == (("oat",), (3,), None)
    assert left(scene, FIRST) == {("oat", 140): 2, ("oat", 129): 1}
    assert refunds(scene) == []


@pytest.mark.parametrize("kind", ["exchange", "replenishment"])
def test_replacement_of_another_price_turned_down_before_anybody_decides(kind: aftersales.GoodsKind) -> None:
    """The order knows the prices: the ticket ends, and its pieces are free."""
    scene = Chain()
    for ticket_id, new, code in (
        ("t-1", "champagne", "replacement_price_differs"),
        ("t-2", "caviar", "replacement_unknown"),
    ):
        scene.opens(kind, MILK, ticket_id, new=((new, 1, ""),))
        assert scene.stands(ticket_id) == ("rejected", code)
    assert left(scene) == EVERYTHING


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        ((("oat", 2, "milk"),), MILK),
        ((("oat", 1, ""),), OATS),
        ((("milk", 1, "bread"), ("oat", 1, "")), (("oat", 1), ("milk", 1))),
    ],
)
def test_replacement_that_does_not_come_out_even_refused(new: Any, lines: Any) -> None:
    """A piece for a piece, at opening and at deciding."""
    assert Chain().opens("exchange", lines, new=new) == "replacement_does_not_fit"
    scene = chain("refund_only", lines)
    assert scene.approves(kind="exchange", new=new) == "replacement_does_not_fit"
    assert scene.stands() == ("open", "")


# -- choose again ------------------------------------------------------------------------------------------------------


def test_new_goods_out_of_stock_open_the_ticket_again() -> None:
    """Once more, with other goods, under a number of their own."""
    scene = chain("exchange", MILK)
    scene.shelf = "empty"
    scene.approves()
    assert scene.stands() == ("open", "out_of_stock")
    assert scene.order(FIRST).phase == "rejected"
    assert scene.ticket().claims == (Good("milk", 1, 129),)
    scene.shelf = "there"
    assert scene.approves(new=(("soy", 1, "milk"),)) == ""
    assert scene.stands() == ("resolved", "exchanged")
    assert [m.order_id for m in scene.all(inventory.HoldStock)] == [FIRST, SECOND]
    assert left(scene, SECOND) == {("soy", 129): 1}


def test_dearer_goods_open_the_ticket_again_and_money_is_taken_instead() -> None:
    """There was never such an order; the refund is for the ticket's pieces."""
    scene = chain("exchange", MILK)
    scene.approves(new=(("champagne", 1, "milk"),))
    assert scene.stands() == ("open", "replacement_price_differs")
    assert ("order", FIRST) not in scene.sale.states
    assert scene.approves(kind="refund_only") == ""
    assert scene.stands() == ("resolved", "refunded")
    assert refunds(scene) == [(129, "refund_only", "store")]


@pytest.mark.parametrize("kind", ["exchange", "replenishment"])
def test_piece_that_the_shelf_lacked_is_refunded_once(kind: aftersales.GoodsKind) -> None:
    """At what was paid for that very piece; the others are replaced."""
    scene = chain(kind, ALL_OATS)
    scene.road = "short"
    scene.approves()
    assert refunds(scene) == [(129, kind, "store")]
    assert left(scene, FIRST) == {("oat", 140): 2}
    assert sum(good.quantity for good in scene.ticket().settled) == 3
    assert scene.ticket().refunded == 129
    assert scene.order().given_back == 129


def test_pieces_of_one_price_from_two_sides_lose_none() -> None:
    """The ticket has one oat milk, and takes another: one of the two is not replaced, and neither becomes free."""
    scene = chain("replenishment", (("oat", 1),))
    scene.road = "short"
    assert scene.approves(lines=OATS) == ""
    assert scene.stands() == ("resolved", "replaced")
    assert refunds(scene) == [(140, "replenishment", "store")]
    assert left(scene) == {("milk", 129): 1, ("bread", 349): 1, ("oat", 129): 1}


def test_replacement_without_its_only_piece_opens_the_ticket_again() -> None:
    """Nothing was left of it: no money by itself."""
    scene = chain("replenishment", MILK)
    scene.road = "short"
    scene.approves()
    assert scene.stands() == ("open", "short")
    assert (scene.order(FIRST).phase, refunds(scene)) == ("cancelled", [])
    scene.approves(kind="return")
    assert refunds(scene) == [(129, "return", "store")]


def test_undeliverable_replacement_opens_the_ticket_again() -> None:
    """The goods went back to the store; a second try goes out as another order."""
    scene = chain("exchange", MILK)
    scene.road = "undeliverable"
    scene.approves()
    assert scene.stands() == ("open", "not_reachable")
    assert refunds(scene) == []
    scene.road = "delivered"
    scene.approves()
    assert scene.stands() == ("resolved", "exchanged")
    assert [m.order_id for m in scene.all(logistics.FulfilOrder)] == [FIRST, SECOND]


def test_refunded_piece_of_an_undeliverable_replacement_stays_refunded() -> None:
    """The ticket is open again about the others only."""
    scene = chain("exchange", ALL_OATS)
    scene.road = "short, undeliverable"
    scene.approves()
    assert scene.stands() == ("open", "not_reachable")
    assert refunds(scene) == [(129, "exchange", "store")]
    assert scene.ticket().claims == (Good("oat", 2, 140),)
    assert scene.approves(kind="refund_only", lines=ALL_OATS) == "more_than_delivered"
    assert scene.approves(kind="refund_only") == ""
    assert refunds(scene) == [(129, "exchange", "store"), (280, "refund_only", "store")]


def test_every_try_is_an_order_of_its_own() -> None:
    """Numbered through the whole chain, whichever ticket they go out for."""
    scene = chain("replenishment", MILK)
    scene.road = "undeliverable"
    for _ in range(3):
        scene.approves()
    scene.opens("exchange", OATS, "t-2")
    scene.road = "delivered"
    scene.approves("t-2")
    assert [m.order_id for m in scene.all(logistics.FulfilOrder)] == [f"o-1~r{number}" for number in (1, 2, 3, 4)]
    assert scene.stands("t-2") == ("resolved", "exchanged")


def test_replacement_of_a_replacement_hangs_on_the_same_sales_order() -> None:
    """Its goods are complained about in turn; the money is the sales order's, and never more than was paid."""
    scene = chain("exchange", MILK, new=(("oat", 1, "milk"),))
    scene.approves()
    assert scene.opens("exchange", (("oat", 1),), "t-2", about=FIRST, new=(("soy", 1, "oat"),)) == ""
    scene.approves("t-2", about=FIRST)
    assert scene.stands("t-2") == ("resolved", "exchanged")
    assert left(scene, SECOND) == {("soy", 129): 1}
    assert left(scene, FIRST) == {}
    assert scene.opens("refund_only", (("soy", 1),), "t-3", about=SECOND) == ""
    scene.approves("t-3", about=SECOND)
    (refunded,) = scene.all(aftersales.GoodsRefunded)
    assert (refunded.order_id, refunded.about, refunded.amount) == ("o-1", SECOND, 129)
    assert scene.opens("refund_only", MILK, "t-4") == "more_than_delivered"


# -- quality and late intercepts ---------------------------------------------------------------------------------------

COMPLAINT = "t-o-1-rating"
ENDS: dict[aftersales.GoodsKind, str] = {
    "refund_only": "refunded",
    "return": "returned",
    "exchange": "exchanged",
    "replenishment": "replaced",
}


def complained() -> Chain:
    """A bad rating."""
    scene = Chain()
    scene.hears(aftersales.RateOrder(order_id="o-1", account="a-1", stars=1, text="sour"), "customer:a-1")
    return scene


@pytest.mark.parametrize("kind", ENDS)
def test_quality_complaint_becomes_what_a_person_makes_of_it(kind: aftersales.GoodsKind) -> None:
    """The kind and the goods have to be named."""
    scene = complained()
    assert scene.approves(COMPLAINT) == "ticket_kind_needed"
    assert scene.approves(COMPLAINT, kind=kind) == "lines_needed"
    assert scene.approves(COMPLAINT, kind=kind, lines=MILK) == ""
    assert scene.stands(COMPLAINT) == ("resolved", ENDS[kind])
    assert scene.ticket(COMPLAINT).kind == kind


def test_quality_complaint_rejected() -> None:
    """With a reason."""
    scene = complained()
    scene.hears(aftersales.RejectTicket(order_id="o-1", ticket_id=COMPLAINT, reason="it was fresh"), AGENT)
    assert scene.stands(COMPLAINT) == ("rejected", "it was fresh")
    assert left(scene) == EVERYTHING


def late() -> Chain:
    """An intercept that found the goods delivered."""
    scene = Chain()
    scene.hears(aftersales.OpenTicket(order_id="o-1", ticket_id="t-1", kind="intercept"), AGENT)
    assert scene.stands() == ("resolved", "too_late")
    assert scene.window().open_tickets == 0
    return scene


@pytest.mark.parametrize("kind", ENDS)
def test_late_intercept_becomes_what_a_person_makes_of_it(kind: aftersales.GoodsKind) -> None:
    """About everything that is left, unless said otherwise; once."""
    scene = late()
    assert scene.approves() == "ticket_kind_needed"
    assert scene.approves(kind=kind) == ""
    assert scene.stands() == ("resolved", ENDS[kind])
    assert left(scene) == {}
    assert scene.window().open_tickets == (1 if kind in ("exchange", "replenishment") else 0)  # the replacement's
    assert scene.approves(kind=kind) == "ticket_closed"


def test_late_intercept_becomes_nothing_when_the_order_is_closed() -> None:
    """Nothing can be done to it any more."""
    scene = late()
    close(scene)
    assert scene.approves(kind="return") == "order_closed"


def close(scene: Chain, *order_ids: str) -> None:
    """The time for complaints passes."""
    for order_id in (*order_ids, "o-1"):
        scene.hears(inner.WindowPassed(order_id))


# -- limits ------------------------------------------------------------------------------------------------------------


def test_pieces_in_one_ticket_cannot_be_in_another() -> None:
    """Also when the second is decided before the order has looked at the first."""
    scene = chain("return", OATS)
    assert scene.opens("refund_only", OATS, "t-2") == "more_than_delivered"
    assert scene.opens("refund_only", (("oat", 1),), "t-2") == ""
    assert scene.opens("refund_only", (("oat", 1),), "t-3") == "more_than_delivered"
    outcome = scene.desk.when(opening("return", (("oat", 1),), "t-4"))
    assert isinstance(outcome, Refused)
    assert outcome.detail == "of what was delivered, and is in no other ticket, there are 0 oat"


def test_rejected_ticket_gives_its_pieces_back() -> None:
    """They may be in another."""
    scene = chain("return", ALL_OATS)
    assert ("oat", 140) not in left(scene)
    scene.hears(aftersales.RejectTicket(order_id="o-1", ticket_id="t-1", reason="eaten"), AGENT)
    assert left(scene) == EVERYTHING
    assert scene.opens("return", ALL_OATS, "t-2") == ""


@pytest.mark.parametrize("kind", ENDS)
def test_decided_ticket_keeps_its_pieces(kind: aftersales.GoodsKind) -> None:
    """Refunded or replaced is done with."""
    scene = chain(kind, MILK)
    scene.approves()
    assert scene.opens(kind, MILK, "t-2") == "more_than_delivered"
    assert scene.approves() == "ticket_closed"


@pytest.mark.parametrize(
    ("lines", "more", "code"),
    [
        ((), {}, "lines_needed"),
        ((("caviar", 1),), {}, "line_not_delivered"),
        ((("milk", 1), ("milk", 1)), {}, "more_than_delivered"),
        (MILK, {"amount": 130}, "amount_too_large"),
        (MILK, {"new": (("oat", 1, "milk"),)}, "replacement_does_not_fit"),
    ],
)
def test_ticket_about_what_was_not_delivered_or_not_paid_refused(lines: Any, more: Any, code: str) -> None:
    """There is no ticket then."""
    scene = Chain()
    assert scene.opens("refund_only", lines, **more) == code
    assert scene.tickets() == []
    assert left(scene) == EVERYTHING


@pytest.mark.parametrize("kind", ["return", "exchange", "replenishment"])
def test_amount_where_goods_move_refused(kind: aftersales.GoodsKind) -> None:
    """Money is agreed on where nothing moves but money."""
    assert Chain().opens(kind, MILK, amount=10) == "amount_does_not_fit"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"amount": 130}, "amount_too_large"),
        ({"lines": (("milk", 2),)}, "more_than_delivered"),
        ({"lines": (("caviar", 1),)}, "line_not_delivered"),
        ({"kind": "return", "amount": 10}, "amount_does_not_fit"),
    ],
)
def test_decision_about_more_than_there_is_refused(more: Any, code: str) -> None:
    """The ticket stays as it is."""
    scene = chain("refund_only", MILK)
    before = scene.ticket()
    assert scene.approves(**more) == code
    assert scene.ticket() is before


def test_ticket_about_an_order_that_is_not_delivered_is_asked_about() -> None:
    """Aftersales does not know the goods: the order says that there is none, or that they are on the road."""
    scene = Chain()
    scene.opens("return", MILK, about="o-9")
    assert scene.stands() == ("rejected", "order_unknown")
    assert scene.all(aftersales.TicketAsked) == [aftersales.TicketAsked(order_id="o-9", ticket_id="t-1", kind="return")]
    asked = aftersales.TicketAsked(order_id="o-1", ticket_id="t-1", kind="return")
    assert messages(delivered_sale().says(asked)) == [
        aftersales.SettleTicket(order_id="o-1", ticket_id="t-1", phase="rejected", note="order_not_delivered")
    ]


@pytest.mark.parametrize(
    ("spu", "amount", "stands"),
    [
        ("milk", 129, (TicketPhase.OPEN, "")),
        ("caviar", None, (TicketPhase.REJECTED, "line_not_delivered")),
        ("milk", 130, (TicketPhase.REJECTED, "amount_too_large")),
    ],
)
def test_ticket_that_was_faster_than_the_delivery(spu: str, amount: int | None, stands: tuple[str, str]) -> None:
    """It claims its goods when the order has admitted it; about other goods, or more money, it ends."""
    scene = Scene(DECIDER)
    scene.says(opening("refund_only", ((spu, 1),), amount=amount), AGENT)
    scene.says(WINDOW)
    scene.says(aftersales.AdmitTicket(order_id="o-1", ticket_id="t-1"))
    found = scene.states["ticket", "t-1"]
    assert (found.phase, found.note) == stands
    assert found.claims == ((Good("milk", 1, 129),) if stands[1] == "" else ())


def test_notes_are_bounded() -> None:
    """And refused after the end, however many there were."""
    scene = chain("return", MILK)
    note = aftersales.NoteTicket(order_id="o-1", ticket_id="t-1", text="called")
    for _ in range(NOTES_MAX):
        scene.hears(note, AGENT)
    assert scene.hears(note, AGENT) == Refused("ticket_notes_full")
    assert len(scene.ticket().notes) == NOTES_MAX
    scene.approves()
    assert scene.hears(note, AGENT) == Refused("ticket_closed")


# -- closing -----------------------------------------------------------------------------------------------------------


def test_order_closes_behind_its_tickets_and_its_replacements() -> None:
    """The sales order last; then nothing can be done to any of them."""
    scene = chain("return", MILK)
    scene.opens("exchange", OATS, "t-2")
    scene.approves("t-2")
    close(scene)
    assert (scene.order().phase, scene.window().phase) == ("delivered", "passed")
    scene.approves()
    assert scene.order().phase == "delivered"  # the replacement's window is open
    assert scene.opens("refund_only", (("oat", 1),), "t-3", about=FIRST) == ""
    scene.hears(inner.WindowPassed(FIRST))
    assert (scene.order(FIRST).phase, scene.order().phase) == ("delivered", "delivered")
    scene.approves("t-3", about=FIRST)
    assert (scene.order(FIRST).phase, scene.order().phase) == ("closed", "closed")
    assert worth(scene.window().goods) > 0
    for about in ("o-1", FIRST):
        assert scene.opens("refund_only", (("oat", 1),), f"t-{about}", about=about) == "order_closed"
        rating = aftersales.RateOrder(order_id=about, account="a-1", stars=5)
        assert scene.hears(rating, "customer:a-1") == Refused("order_closed")
    assert scene.approves("t-1") == "ticket_closed"
