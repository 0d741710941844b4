"""Replacement orders: given a ticket whose goods go out again, when anything happens to them, then the ticket hears of
it, and no money moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from services.order import inner
from services.order.decider import table_of
from services.order.pages import allowed
from services.order.policy import REPLACEMENT_POLICY, Actor, Policy
from services.order.replacing import REPLACEMENT_ORDER
from services.order.state import ENDS, SALES_ONLY, Lot, Order, Paper, Phase, Product, Replacement
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, QUANTITY_MAX, Message
from shared.http.auth import Caller, Role
from shared.runtime.table import IGNORED, Moved, Outcome, Refused
from tests.deciders import orders
from tests.deciders.orders import CUSTOMER, DOOR, Shop, at, heard, messages, only
from tests.deciders.scene import Scene

FIRST = "o-1~r1"
SERVICE = "customer_service:"
TICKET = {"order_id": "o-1", "ticket_id": "t-1"}
APPROVED = aftersales.ReplacementApproved(
    order_id=FIRST,
    ticket_id="t-1",
    about="o-1",
    kind="exchange",
    spus=("oat", "bread"),
    quantities=(2, 1),
    instead_of=("milk", "bread"),
    prices=(129, 349),
    back_spus=("milk", "bread"),
    back=(2, 1),
)


def of_it(message: Message, **fields: Any) -> Any:
    """The same, about the replacement order."""
    return message.model_copy(update={"order_id": FIRST, **fields})


HELD, PICKING, PACKED, ON_THE_ROAD, DELIVERED, STOPPED, CANCEL, LOST, UNDELIVERABLE, ASKED, INTERCEPTED, SHUT = map(
    of_it,
    (
        orders.HELD,
        orders.PICKING,
        orders.PACKED,
        orders.ON_THE_ROAD,
        orders.DELIVERED,
        orders.STOPPED,
        orders.CANCEL,
        orders.LOST,
        orders.UNDELIVERABLE,
        orders.ASKED,
        orders.INTERCEPTED,
        orders.SHUT,
    ),
)
DEDUCTED = of_it(orders.DEDUCTED, document="RI-1", spus=("oat", "bread"), quantities=(2, 1))
SHORT_STOCK = of_it(orders.SHORT, spus=("oat",), missing=(1,))
SOLD_OUT = of_it(orders.SOLD_OUT, spus=("oat",), missing=(2,))
RELEASED, REVERSED = of_it(orders.RELEASED), of_it(orders.REVERSED)
ALL_BACK = of_it(orders.ALL_BACK, resellable_spus=("oat", "bread"))
ONE_SHORT = of_it(orders.ONE_SHORT, spus=("oat",), missing=(1,))
ALL_SHORT = of_it(orders.ALL_SHORT, spus=("oat", "bread"), missing=(2, 1))
NOBODY_CALLED, OVERDUE = inner.ShortageUnanswered(FIRST), inner.GoodsOverdue(FIRST)
CALL = f"t-{FIRST}-1"
SOY = of_it(orders.substitutes(("soy", 1, "oat"), ticket_id=CALL))
SUBSTITUTED, SUBSTITUTE_SHORT = of_it(orders.SUBSTITUTED), of_it(orders.SUBSTITUTE_SHORT)
NO_THANKS = of_it(orders.NO_THANKS, ticket_id=CALL)

_DEDUCTED = (HELD, DEDUCTED)
_ROAD = (*_DEDUCTED, PICKING, PACKED, ON_THE_ROAD)
WAY_TO: Mapping[Phase, tuple[Any, ...]] = {
    Phase.HOLDING: (),
    Phase.DEDUCTING: (HELD,),
    Phase.DEDUCTING_CANCEL_WANTED: (HELD, CANCEL),
    Phase.AWAITING_PICKING: _DEDUCTED,
    Phase.PICKING: (*_DEDUCTED, PICKING),
    Phase.SHORT: (*_DEDUCTED, PICKING, ONE_SHORT),
    Phase.SUBSTITUTING: (*_DEDUCTED, PICKING, ONE_SHORT, SOY),
    Phase.AWAITING_SHIPMENT: (*_DEDUCTED, PICKING, PACKED),
    Phase.IN_DELIVERY: _ROAD,
    Phase.DELIVERED: (*_ROAD, DELIVERED),
    Phase.STOPPING: (*_DEDUCTED, CANCEL),
    Phase.INTERCEPTING: (*_ROAD, ASKED),
    Phase.RETURNING: (*_ROAD, UNDELIVERABLE),
    Phase.RELEASING: (CANCEL,),
    Phase.REVERSING: (*_DEDUCTED, CANCEL, STOPPED),
    Phase.CLOSED: (*_ROAD, DELIVERED, SHUT),
    Phase.CANCELLED: (CANCEL, RELEASED),
    Phase.REJECTED: (SHORT_STOCK,),
}
"""One way into each phase, once it was approved."""
each_phase = pytest.mark.parametrize("phase", WAY_TO)


class Again(Shop):
    """A scene in which customer service cancels, unless the test says otherwise."""

    def when(self, message: Any, actor: str = "") -> Outcome:
        """A message comes."""
        return Scene.when(self, message, actor or (SERVICE if message is CANCEL else ""))


def before() -> Again:
    """The sales order is delivered, to a door."""
    scene = at(Phase.DELIVERED)
    sale = scene.states["order", "o-1"]
    return Again(scene.decider, {**scene.states, ("order", "o-1"): replace(sale, delivery=DOOR)})


def again(phase: Phase) -> Again:
    """A scene with the replacement order in this phase."""
    scene = before()
    for message in (APPROVED, *WAY_TO[phase]):
        scene.says(message)
    assert new(scene).phase is phase
    return scene


def new(scene: Scene) -> Order:
    """The replacement order as it is now."""
    state = scene.states["order", FIRST]
    assert isinstance(state, Order)
    return state


def reopened(note: str) -> aftersales.ReopenTicket:
    """A person has to choose again."""
    return aftersales.ReopenTicket(**TICKET, note=note)


def cancelled(reason: str) -> ordering.OrderCancelled:
    """What everybody hears of its end."""
    return ordering.OrderCancelled(order_id=FIRST, store="s-1", account="a-1", reason=reason)


# -- out ---------------------------------------------------------------------------------------------------------------


def test_approved_replacement_holds_its_stock() -> None:
    """Locked at once: nobody screens it, nobody pays. It knows what it is for, and what was paid for that."""
    scene = before()
    hold = inventory.HoldStock(order_id=FIRST, store="s-1", mode="lock", spus=("oat", "bread"), quantities=(2, 1))
    assert messages(scene.says(APPROVED)) == [hold]
    found = new(scene)
    assert (found.phase, found.kind, found.account, found.store) == (Phase.HOLDING, "replacement", "a-1", "s-1")
    assert (found.total, found.prices, found.delivery) == (0, (140, 349), DOOR)
    assert found.lots == (Lot("oat", 2, 129, "milk", 140), Lot("bread", 1, 349, "bread", 349))
    assert found.replacement == Replacement("o-1", "o-1", "t-1", "exchange", ("milk", "bread"), (2, 1))
    assert scene.when(APPROVED) == IGNORED


def test_replacement_goes_its_way_to_the_window() -> None:
    """Held, deducted by a document of its own, fulfilled with the old goods to take along, delivered, closed."""
    scene = again(Phase.HOLDING)
    assert messages(scene.says(HELD)) == [
        inventory.DeductStock(order_id=FIRST, store="s-1"),
        aftersales.StartReplacement(**TICKET),
    ]
    said = scene.says(DEDUCTED)
    assert only(Paper, said).body["kind"] == "replacement_issue"
    assert messages(said) == [
        logistics.FulfilOrder(
            order_id=FIRST,
            store="s-1",
            spus=("oat", "bread"),
            quantities=(2, 1),
            delivery=DOOR,
            take_along=logistics.Exchange(ticket_id="t-1", about="o-1", spus=("milk", "bread"), quantities=(2, 1)),
        )
    ]
    for message in (PICKING, PACKED, ON_THE_ROAD):
        assert messages(scene.says(message)) == []
    assert heard(scene.says(DELIVERED)) == [
        aftersales.OpenWindow(
            order_id=FIRST,
            account="a-1",
            store="s-1",
            spus=("oat", "bread"),
            quantities=(2, 1),
            prices=(129, 349),
        ),
        ordering.OrderDelivered(order_id=FIRST, store="s-1", account="a-1"),
        aftersales.ConfirmReplacement(**TICKET),
    ]
    assert messages(scene.says(SHUT)) == [ordering.OrderClosed(order_id=FIRST, store="s-1", account="a-1")]


def test_replenishment_takes_nothing_along() -> None:
    """Nothing of it is with the customer."""
    scene = before()
    scene.says(APPROVED.model_copy(update={"kind": "replenishment", "back_spus": (), "back": ()}))
    scene.says(HELD)
    assert only(logistics.FulfilOrder, scene.says(DEDUCTED)).take_along is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"spus": ("caviar", "bread")}, "replacement_unknown"),
        ({"spus": ("champagne", "bread")}, "replacement_price_differs"),
        ({"quantities": (QUANTITY_MAX + 1, 1)}, "replacement_does_not_fit"),
    ],
)
def test_replacement_that_cannot_be_opens_the_ticket_again(changes: dict[str, Any], code: str) -> None:
    """There is no such order then."""
    scene = before()
    assert scene.says(APPROVED.model_copy(update=changes)) == [reopened(code)]
    assert ("order", FIRST) not in scene.states


def test_replacement_of_too_many_lines_opens_the_ticket_again() -> None:
    """The store could not report on it."""
    scene = before()
    spus = tuple(f"spu-{n}" for n in range(LINES_MAX + 1))
    scene.states |= {("product", spu): Product(1) for spu in spus}
    ones = (1,) * len(spus)
    changes = {"spus": spus, "quantities": ones, "instead_of": spus, "prices": ones}
    assert scene.says(APPROVED.model_copy(update=changes)) == [reopened("replacement_does_not_fit")]


def test_same_goods_go_out_at_any_price() -> None:
    """What the customer has bought he gets, whatever it costs today."""
    scene = before()
    scene.states["product", "bread"] = Product(9999)
    assert scene.says(APPROVED)
    assert new(scene).phase is Phase.HOLDING


# -- and back ----------------------------------------------------------------------------------------------------------


def test_out_of_stock_is_rejected() -> None:
    """The short lines are named, and the ticket is open again."""
    scene = again(Phase.HOLDING)
    rejected = ordering.OrderRejected(
        order_id=FIRST, store="s-1", account="a-1", reason="out_of_stock", spus=("oat",), missing=(1,)
    )
    said = scene.says(SHORT_STOCK)
    assert heard(said) == [rejected, reopened("out_of_stock")]
    assert only(Paper, said).body == {"lines": [{"spu": "oat", "missing": 1}]}


ENDINGS: Mapping[str, tuple[Phase, tuple[Any, ...], str]] = {
    "lost": (Phase.DEDUCTING, (LOST, SOLD_OUT), "stock_lost"),
    "lost, and unwanted": (Phase.DEDUCTING_CANCEL_WANTED, (SOLD_OUT,), "stock_lost"),
    "released": (Phase.HOLDING, (CANCEL, HELD, RELEASED), "cancelled_by_customer_service"),
    "reversed": (Phase.DEDUCTING, (CANCEL, DEDUCTED, REVERSED), "cancelled_by_customer_service"),
    "stopped": (Phase.PICKING, (CANCEL, PACKED, STOPPED, REVERSED), "cancelled_by_customer_service"),
    "short": (Phase.SHORT, (NO_THANKS, STOPPED, REVERSED), "short"),
    "short of everything": (Phase.PICKING, (ALL_SHORT, NOBODY_CALLED, STOPPED, REVERSED), "short"),
    "undeliverable": (Phase.IN_DELIVERY, (UNDELIVERABLE, ALL_BACK), "not_reachable"),
    "intercepted": (Phase.INTERCEPTING, (INTERCEPTED, ALL_BACK), "intercepted"),
    "overdue": (Phase.RETURNING, (OVERDUE,), "goods_overdue"),
}


@pytest.mark.parametrize(("phase", "way", "reason"), ENDINGS.values(), ids=ENDINGS)
def test_cancelled_replacement_opens_the_ticket_again(phase: Phase, way: tuple[Any, ...], reason: str) -> None:
    """Once, at its end; no money moves, and risk does not hear of it: it says nothing of the customer."""
    scene = again(phase)
    said = []
    for message in way:
        outcome = scene.when(message)
        said += heard(outcome.said) if isinstance(outcome, Moved) else []
    assert new(scene).phase is Phase.CANCELLED
    assert said[-2:] == [cancelled(reason), reopened(reason)]
    assert [m for m in said if isinstance(m, aftersales.ReopenTicket)] == [reopened(reason)]
    assert not [
        m
        for m in said
        if isinstance(m, payment.RefundPayment | payment.TakePayment | risk.Activity | aftersales.ConfirmReplacement)
    ]


def test_goods_given_back_go_on_the_shelf() -> None:
    """Released, reversed, or taken back after the inspection; late as well."""
    assert inventory.ReleaseStock(order_id=FIRST, store="s-1") in again(Phase.HOLDING).says(CANCEL)
    assert logistics.StopFulfilment(order_id=FIRST, store="s-1") in again(Phase.PICKING).says(CANCEL)
    assert inventory.ReverseIssue(order_id=FIRST, store="s-1") in again(Phase.STOPPING).says(STOPPED)
    scene = again(Phase.RETURNING)
    taken = only(inventory.TakeBack, scene.says(ALL_BACK))
    assert (taken.order_id, taken.resellable_spus, taken.missing) == (FIRST, ("oat", "bread"), ())
    scene = again(Phase.RETURNING)
    said = scene.says(OVERDUE)
    written_off = only(inventory.TakeBack, said)
    assert (written_off.missing_spus, written_off.missing) == (("oat", "bread"), (2, 1))
    search = only(aftersales.RaiseTicket, said)
    assert (search.order_id, search.kind, search.reason) == (FIRST, "missing_goods", "goods_overdue")
    assert new(scene).overdue
    late = only(inventory.TakeBack, scene.says(ALL_BACK))
    assert (late.resellable, late.missing) == ((2, 1), ())


def test_courier_who_was_faster_wins() -> None:
    """The wish is forgotten, and the goods are delivered."""
    scene = again(Phase.STOPPING)
    for message in (PICKING, PACKED, ON_THE_ROAD):
        scene.says(message)
    assert (new(scene).phase, new(scene).reason) == (Phase.IN_DELIVERY, "")
    assert aftersales.ConfirmReplacement(**TICKET) in scene.says(DELIVERED)


def test_intercept_on_the_road_and_too_late() -> None:
    """A ticket of the replacement order's own; delivered is delivered, and the first ticket hears that too."""
    scene = again(Phase.IN_DELIVERY)
    assert messages(scene.says(ASKED)) == [logistics.InterceptDelivery(order_id=FIRST, store="s-1")]
    said = messages(scene.says(DELIVERED))
    assert said[-2:] == [
        aftersales.SettleTicket(order_id=FIRST, ticket_id=ASKED.ticket_id, phase="resolved", note=aftersales.TOO_LATE),
        aftersales.ConfirmReplacement(**TICKET),
    ]
    early = messages(again(Phase.PICKING).says(ASKED))
    assert early == [
        aftersales.SettleTicket(order_id=FIRST, ticket_id=ASKED.ticket_id, phase="rejected", note="not_in_delivery")
    ]


# -- short -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", [NOBODY_CALLED, aftersales.DropChosen(order_id=FIRST, ticket_id=CALL)], ids=["nobody", "drop"]
)
def test_dropped_pieces_come_back_to_the_ticket(word: Any) -> None:
    """By what they stand for, and at what was paid for that: the ticket decides about the money."""
    scene = again(Phase.SHORT)
    said = messages(scene.says(word))
    assert aftersales.DropReplacement(**TICKET, spus=("milk",), quantities=(1,), prices=(129,)) in said
    assert not [m for m in said if isinstance(m, payment.RefundPayment)]
    assert only(logistics.AmendFulfilment, said).quantities == (1, 1)
    for message in (PACKED, ON_THE_ROAD):
        scene.says(message)
    window = only(aftersales.OpenWindow, scene.says(DELIVERED))
    assert (window.spus, window.quantities, window.prices) == (("oat", "bread"), (1, 1), (129, 349))


def test_substitute_stands_for_what_the_short_piece_stood_for() -> None:
    """Its price stays that of the milk; nothing is dropped."""
    scene = again(Phase.SUBSTITUTING)
    said = messages(scene.says(SUBSTITUTED))
    assert not [m for m in said if isinstance(m, aftersales.DropReplacement | payment.RefundPayment)]
    assert set(new(scene).lots) == {
        Lot("oat", 1, 129, "milk", 140),
        Lot("bread", 1, 349, "bread", 349),
        Lot("soy", 1, 129, "milk", 110),
    }
    scene = again(Phase.SUBSTITUTING)
    assert messages(scene.says(SUBSTITUTE_SHORT)) == [
        aftersales.ReopenCall(order_id=FIRST, ticket_id=CALL, note="substitute_out_of_stock")
    ]


# -- everywhere --------------------------------------------------------------------------------------------------------


def test_ways_lead_to_every_phase() -> None:
    """Of the table; the others are a sales order's."""
    assert set(WAY_TO) | {Phase.NEW} == set(REPLACEMENT_ORDER.rows) == set(Phase) - SALES_ONLY
    assert table_of(FIRST) is REPLACEMENT_ORDER


@each_phase
def test_no_money_moves_on_the_way(phase: Phase) -> None:
    """Nobody pays for it, and it never refunds by itself: it has no total."""
    scene = again(phase)
    assert (new(scene).total, new(scene).paid, new(scene).refunds, new(scene).given_back) == (0, 0, 0, 0)
    assert scene.when(of_it(orders.CLICK), CUSTOMER) == Refused("order_not_payable")


@each_phase
@pytest.mark.parametrize("actor", Actor)
def test_cancel_is_answered_as_the_policy_says(phase: Phase, actor: Actor) -> None:
    """A customer is sent to customer service, who has the ticket; the page offers what is carried out."""
    scene = again(phase)
    word = REPLACEMENT_POLICY[phase][actor]
    outcome = scene.when(of_it(CANCEL), f"{actor}:a-1")
    caller = {Actor.CUSTOMER: Caller(Role.CUSTOMER, "a-1"), Actor.CUSTOMER_SERVICE: Caller(Role.CUSTOMER_SERVICE)}
    if actor in caller:
        assert isinstance(outcome, Moved) is ("cancel" in allowed(phase, caller[actor], FIRST))
    if isinstance(outcome, Moved):
        assert word is Policy.ALLOWED
        return
    assert isinstance(outcome, Refused)
    codes = {
        Policy.ALLOWED: "cancel_under_way",
        Policy.REFUSED: "cancel_not_allowed",
        Policy.TICKET: "cancel_needs_ticket",
    }
    assert outcome.code == codes[word]


@pytest.mark.parametrize("end", sorted(ENDS))
def test_an_ended_replacement_is_never_revived(end: Phase) -> None:
    """Nothing leads out."""
    assert all(getattr(cell, "phase", end) is end for cell in REPLACEMENT_ORDER.rows[end].values())


def test_commands_for_an_unknown_replacement_refused() -> None:
    """Nobody approved it."""
    scene = before()
    assert scene.when(CANCEL) == scene.when(of_it(orders.CLICK), CUSTOMER) == Refused("order_unknown")
    said = scene.says(ASKED)
    assert said == [
        aftersales.SettleTicket(order_id=FIRST, ticket_id=ASKED.ticket_id, phase="rejected", note="order_unknown")
    ]
