"""Cancelled after payment and before the hand-over: the work is stopped first, then the goods go back, then the money.

Picker and courier may have acted a moment ago: whoever came first wins, and the other is told.
"""

from __future__ import annotations

import pytest

from services.order.short import SHORTAGE_WINDOW
from services.order.state import Amendment, Paper, Phase
from shared.contracts import aftersales, inventory, logistics, payment
from shared.contracts import order as ordering
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORED, Moved, Refused
from tests.deciders.orders import (
    ALL_SHORT,
    CALL,
    CANCEL,
    CLICK,
    DELIVERED,
    ON_THE_ROAD,
    ONE_SHORT,
    PACKED,
    PICKING,
    REVERSED,
    SHUT,
    STOP_MISSED,
    STOPPED,
    TOTAL,
    acted,
    activities,
    at,
    heard,
    messages,
    only,
    order,
    refunded,
)
from tests.deciders.scene import Scene

STOP = logistics.StopFulfilment(order_id="o-1", store="s-1")
REVERSE = inventory.ReverseIssue(order_id="o-1", store="s-1")
FREE = logistics.FreeSlot(order_id="o-1", store="s-1")
WISH = "cancelled_by_customer"
REFUND = payment.RefundPayment(
    order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", reason=WISH, liable="customer"
)
BEFORE_THE_ROAD = (Phase.AWAITING_PICKING, Phase.PICKING, Phase.AWAITING_SHIPMENT)


@pytest.mark.parametrize("in_slot", [False, True])
@pytest.mark.parametrize("phase", BEFORE_THE_ROAD)
def test_cancelled_in_this_order(phase: Phase, in_slot: bool) -> None:
    """The store stops, the goods go back with a counter-document, the place in the slot, the money: then it is over."""
    scene = at(phase, in_slot=in_slot)
    assert messages(scene.says(CANCEL)) == [STOP]
    assert (order(scene).phase, order(scene).reason) == (Phase.STOPPING, WISH)
    assert messages(scene.says(STOPPED)) == [REVERSE, *([FREE] if in_slot else [])]
    said = scene.says(REVERSED)
    assert messages(said) == [REFUND]
    assert only(Paper, said).body["kind"] == "issue_reversal"
    assert heard(scene.says(refunded(1))) == [
        ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=WISH),
        acted("cancelled_after_payment"),
    ]
    assert (order(scene).phase, order(scene).refunded) == (Phase.CANCELLED, TOTAL)


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        ("customer_service:", "cancelled_by_customer_service"),
        ("admin:", "cancelled_by_customer_service"),
        ("picker:", "cancelled_by_system"),
        ("", "cancelled_by_system"),
    ],
)
def test_cancelled_by_somebody_else(actor: str, reason: str) -> None:
    """The store bears it, and risk hears that the order ended by no doing of the customer's."""
    scene = at(Phase.PICKING)
    assert super(type(scene), scene).when(CANCEL, actor) != Refused("cancel_not_allowed")
    scene.says(STOPPED)
    assert only(payment.RefundPayment, scene.says(REVERSED)).liable == "store"
    said = scene.says(refunded(1, reason))
    assert messages(said) == [ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=reason)]
    assert activities(said) == [acted("ended")]


def test_second_wish_is_told_of_the_first() -> None:
    """Double cancel: one stop, one refund."""
    scene = at(Phase.PICKING)
    scene.says(CANCEL)
    before = order(scene)
    assert scene.when(CANCEL) == Refused("cancel_under_way")
    assert scene.when(CANCEL, "customer_service:") == Refused("cancel_under_way")
    assert scene.when(CLICK) == Refused("order_not_payable")
    assert order(scene) is before


@pytest.mark.parametrize("news", [(), (PICKING,), (PICKING, PACKED)], ids=["", "picking", "packed"])
def test_picker_who_acted_a_moment_ago_changes_nothing(news: tuple[object, ...]) -> None:
    """What the store did before it heard of the stop is news for the page; the stop goes on."""
    scene = at(Phase.AWAITING_PICKING)
    scene.says(CANCEL)
    for message in news:
        assert messages(scene.says(message)) == []
        assert order(scene).phase is Phase.STOPPING
    assert messages(scene.says(STOPPED)) == [REVERSE]


def test_pieces_missed_a_moment_ago_are_written_off_with_the_reversal() -> None:
    """The picker's word crosses the customer's wish: nobody is called, and inventory hears what the shelf has not."""
    scene = at(Phase.PICKING)
    scene.says(CANCEL)
    said = scene.says(ONE_SHORT)
    assert messages(said) == []
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 1}]}
    assert only(Amendment, said).shortage == order(scene).shortage
    assert messages(scene.says(STOPPED)) == [
        inventory.ReverseIssue(order_id="o-1", store="s-1", short_spus=("milk",), short=(1,))
    ]
    documents = (
        inventory.Paper(number="IR-o-1", kind="issue_reversal", spus=("milk", "bread"), quantities=(2, 1)),
        inventory.Paper(number="AD-o-1~1", kind="adjustment", spus=("milk",), quantities=(-1,)),
    )
    said = scene.says(inventory.IssueReversed(order_id="o-1", documents=documents))
    assert messages(said) == [REFUND]
    assert [p.body["number"] for p in said if isinstance(p, Paper)] == ["IR-o-1", "AD-o-1~1"]


@pytest.mark.parametrize("news", [(PICKING, PACKED, ON_THE_ROAD), (PICKING, PACKED, ON_THE_ROAD, DELIVERED)])
def test_courier_who_was_faster_wins(news: tuple[object, ...]) -> None:
    """Handed over meanwhile: the wish is forgotten, the order goes its way to the end, the late answer is ignored."""
    scene = at(Phase.AWAITING_PICKING)
    scene.says(CANCEL)
    for message in news:
        scene.says(message)
    assert order(scene).reason == ""
    assert scene.when(STOP_MISSED) == IGNORED
    outcome = scene.when(CANCEL)
    assert isinstance(outcome, Refused)
    assert outcome.code == "cancel_needs_ticket"
    if order(scene).phase is Phase.IN_DELIVERY:
        scene.says(DELIVERED)
    scene.says(SHUT)
    assert scene.when(STOP_MISSED) == IGNORED
    assert (order(scene).phase, order(scene).reason) == (Phase.CLOSED, "")


def test_missed_stop_is_ignored_wherever_the_order_got_to() -> None:
    """The answer may be slow: the order is on its way, called back, returning, refunded or over by then."""
    phases = (
        Phase.IN_DELIVERY,
        Phase.DELIVERED,
        Phase.INTERCEPTING,
        Phase.RETURNING,
        Phase.REFUNDING,
        Phase.CLOSED,
        Phase.CANCELLED,
    )
    for phase in phases:
        assert at(phase).when(STOP_MISSED) == IGNORED, phase


@pytest.mark.parametrize("actor", ["customer:a-1", "customer_service:", "admin:", "picker:", ""])
def test_cancelled_while_short_is_our_fault_whoever_asks(actor: str) -> None:
    """The shelf was wrong: the store bears the refund, and risk does not hear of it. Nobody has to call any more, the
    deadline goes, and the short pieces are written off."""
    scene = at(Phase.SHORT)
    outcome = Scene.when(scene, CANCEL, actor)
    assert isinstance(outcome, Moved)
    said = outcome.said
    assert messages(said) == [
        STOP,
        aftersales.SettleTicket(order_id="o-1", ticket_id=CALL, phase="resolved", note="cancelled"),
    ]
    assert CancelTimer("o-1", SHORTAGE_WINDOW) in said
    assert messages(scene.says(STOPPED)) == [
        inventory.ReverseIssue(order_id="o-1", store="s-1", short_spus=("milk",), short=(1,))
    ]
    assert messages(scene.says(REVERSED)) == [REFUND.model_copy(update={"reason": "short", "liable": "store"})]
    assert messages(scene.says(refunded(1, "short"))) == [
        ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason="short")
    ]
    assert order(scene).phase is Phase.CANCELLED


def test_cancelled_before_the_picker_missed_anything_is_the_customer_s() -> None:
    """He did not know of the shortage, and it did not make him cancel."""
    scene = at(Phase.PICKING)
    scene.says(CANCEL)
    scene.says(ONE_SHORT)
    scene.says(STOPPED)
    assert messages(scene.says(REVERSED)) == [REFUND]


def test_everything_short_and_cancelled() -> None:
    """Nothing is on the shelf: all of it is reversed, and all of it written off; the money goes back once."""
    scene = at(Phase.PICKING)
    scene.says(ALL_SHORT)
    scene.says(CANCEL)
    assert messages(scene.says(STOPPED)) == [
        inventory.ReverseIssue(order_id="o-1", store="s-1", short_spus=("milk", "bread"), short=(2, 1))
    ]
    assert only(payment.RefundPayment, scene.says(REVERSED)).amount == TOTAL


def test_order_under_way_is_stopped_only_once_it_is_paid_and_deducted() -> None:
    """Before the store heard of the order there is nothing to stop."""
    for phase in (Phase.AWAITING_PAYMENT, Phase.PAYING, Phase.DEDUCTING):
        assert STOP not in messages(at(phase).says(CANCEL))
