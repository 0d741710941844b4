"""Money that will not go back, stock that a count took away, and what risk hears of it all."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from services.order import back
from services.order.forward import PAYMENT_WINDOW
from services.order.slots import SLOT_OVER
from services.order.state import ENDS, Amendment, Order, Paper, Phase
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORED, Moved, NoCell
from tests.deciders.orders import (
    ALL_BACK,
    ASKED,
    CANCEL,
    CLICK,
    DECLINED,
    DEDUCTED,
    DELIVERED,
    DROP,
    EXPIRED,
    GIVEN_UP,
    GONE,
    INTERCEPTED,
    LOST,
    NO_PLACE,
    NO_THANKS,
    ON_THE_ROAD,
    OVERDUE,
    REFUND_REFUSED,
    REFUSED,
    RELEASED,
    REVERSED,
    SHORT,
    SHUT,
    SOLD_OUT,
    STOPPED,
    STRAY,
    TAKEN,
    TOTAL,
    UNDELIVERABLE,
    VERIFIED,
    WAY_TO,
    acted,
    activities,
    at,
    messages,
    only,
    order,
    refunded,
)
from tests.deciders.scene import NOON
from tests.deciders.tickets import AGENT

WAYS_TO_REFUNDING: dict[str, tuple[Phase, tuple[Any, ...]]] = {
    "cancelled while paying": (Phase.PAYING_CANCEL_WANTED, (TAKEN,)),
    "sold out": (Phase.DEDUCTING, (SOLD_OUT,)),
    "cancelled while deducting": (Phase.DEDUCTING_CANCEL_WANTED, (DEDUCTED, REVERSED)),
    "stopped": (Phase.PICKING, (CANCEL, STOPPED, REVERSED)),
    "no thanks": (Phase.SHORT, (NO_THANKS, STOPPED, REVERSED)),
    "intercepted": (Phase.IN_DELIVERY, (ASKED, INTERCEPTED, ALL_BACK)),
    "not reachable": (Phase.IN_DELIVERY, (UNDELIVERABLE, ALL_BACK)),
    "overdue": (Phase.IN_DELIVERY, (UNDELIVERABLE, OVERDUE)),
}
each_way = pytest.mark.parametrize(("phase", "way"), WAYS_TO_REFUNDING.values(), ids=WAYS_TO_REFUNDING)


# -- a refund that the gateway refuses for good ------------------------------------------------------------------------


@each_way
def test_refused_refund_raises_a_ticket_and_blocks_nothing(phase: Phase, way: tuple[Any, ...]) -> None:
    """On every way back: a person has to see to the money, the order ends as it would have."""
    scene = at(phase)
    for message in way:
        scene.says(message)
    before = order(scene)
    assert before.phase is Phase.REFUNDING
    ticket, told, *_ = messages(scene.says(REFUND_REFUSED))
    assert ticket == aftersales.RaiseTicket(
        order_id="o-1",
        ticket_id=f"t-o-1-{before.tickets + 1}",
        account="a-1",
        store="s-1",
        kind="refund_failed",
        reason="charge_disputed",
    )
    assert told == ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=before.reason)
    assert (order(scene).phase, order(scene).refunded) == (Phase.CANCELLED, 0)


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p is not Phase.REFUNDING])
def test_refused_part_or_stray_raises_a_ticket_wherever_the_order_is(phase: Phase) -> None:
    """The order stays where it is; the ticket has a number of its own."""
    scene = at(phase)
    scene.says(STRAY)
    before = order(scene)
    refused = REFUND_REFUSED.model_copy(update={"refund": before.refunds})
    (ticket,) = messages(scene.says(refused))
    assert isinstance(ticket, aftersales.RaiseTicket)
    assert (ticket.kind, ticket.ticket_id) == ("refund_failed", f"t-o-1-{before.tickets + 1}")
    assert (order(scene).phase, order(scene).refunded) == (phase, before.refunded)


def test_refused_part_is_not_asked_for_again_with_the_rest() -> None:
    """What a person sees to is not refunded twice: the end asks for the rest only."""
    scene = at(Phase.SHORT)
    scene.says(DROP)
    scene.says(REFUND_REFUSED.model_copy(update={"amount": 129}))
    for message in (CANCEL, STOPPED):
        scene.says(message)
    assert only(payment.RefundPayment, scene.says(REVERSED)).amount == TOTAL - 129


def test_refused_stray_does_not_end_an_order_that_waits_for_its_own_refund() -> None:
    """Two refunds under way: the refusal of the other one changes nothing of the order's end."""
    scene = at(Phase.REFUNDING)
    scene.says(STRAY)
    scene.says(REFUND_REFUSED.model_copy(update={"refund": 2}))
    assert order(scene).phase is Phase.REFUNDING
    scene.says(refunded(1))
    assert order(scene).phase is Phase.CANCELLED


# -- tried again -------------------------------------------------------------------------------------------------------


def approved(ticket: int) -> aftersales.RefundApproved:
    """Customer service wants the refund of the order's n-th ticket tried again."""
    return aftersales.RefundApproved(order_id="o-1", ticket_id=f"t-o-1-{ticket}")


@each_way
def test_approved_refund_is_tried_again_once(phase: Phase, way: tuple[Any, ...]) -> None:
    """Under a new number, for the same amount, reason and liable party; the order stays ended, and the money is booked
    when it is back. Whoever approves again finds nothing to try: it parks."""
    scene = at(phase)
    said = [item for message in way for item in getattr(scene.when(message), "said", ())]
    first = [m for m in said if isinstance(m, payment.RefundPayment)][-1]
    (ticket, *_) = messages(scene.says(REFUND_REFUSED.model_copy(update={"refund": first.refund})))
    assert isinstance(ticket, aftersales.RaiseTicket)
    word = aftersales.RefundApproved(order_id="o-1", ticket_id=ticket.ticket_id)
    said = scene.says(word)
    assert messages(said) == [first.model_copy(update={"refund": first.refund + 1})]
    assert only(Amendment, said).owed == order(scene).owed
    with pytest.raises(ValueError, match="no refund waits"):
        scene.when(word)
    before = order(scene)
    assert (before.phase, before.refunded, before.given_back) == (Phase.CANCELLED, 0, TOTAL)
    said = scene.says(refunded(first.refund + 1, first.reason))
    assert messages(said) == []
    assert only(Paper, said).body["amount"] == TOTAL
    after = order(scene)
    assert (after.phase, after.refunded, after.owed) == (Phase.CANCELLED, TOTAL, ())


def test_refund_that_is_refused_again_has_another_ticket() -> None:
    """The courier bears it still, and customer service may try as often as it likes."""
    scene = at(Phase.RETURNING)
    scene.says(OVERDUE)  # this ticket is about the goods
    scene.says(REFUND_REFUSED)
    for number in (2, 3, 4):
        (again,) = messages(scene.says(approved(number)))
        assert again == payment.RefundPayment(
            order_id="o-1", refund=number, amount=TOTAL, reference="cap-1", reason="goods_overdue", liable="courier"
        )
        (ticket,) = messages(scene.says(REFUND_REFUSED.model_copy(update={"refund": number})))
        assert isinstance(ticket, aftersales.RaiseTicket)
        assert (ticket.kind, ticket.ticket_id) == ("refund_failed", f"t-o-1-{number + 1}")
        assert [owed.ticket_id for owed in order(scene).owed] == [ticket.ticket_id]


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p is not Phase.REFUNDING])
def test_stray_money_is_tried_again_wherever_the_order_is(phase: Phase) -> None:
    """Approved while the order goes its way: it stays where it is."""
    scene = at(phase)
    asked = only(payment.RefundPayment, scene.says(STRAY))
    refused = REFUND_REFUSED.model_copy(update={"refund": asked.refund, "reference": "cap-9"})
    ticket = only(aftersales.RaiseTicket, scene.says(refused))
    said = scene.says(aftersales.RefundApproved(order_id="o-1", ticket_id=ticket.ticket_id))
    assert messages(said) == [asked.model_copy(update={"refund": asked.refund + 1})]
    assert order(scene).phase is phase


def test_part_is_tried_again_beside_the_rest() -> None:
    """Two refunds failed: each has its ticket, each is tried again for itself, and no more goes back than was paid."""
    scene = at(Phase.SHORT)
    part = only(payment.RefundPayment, scene.says(DROP))
    scene.says(REFUND_REFUSED.model_copy(update={"amount": part.amount}))
    for message in (CANCEL, STOPPED):
        scene.says(message)
    rest = only(payment.RefundPayment, scene.says(REVERSED))
    scene.says(REFUND_REFUSED.model_copy(update={"refund": rest.refund, "amount": rest.amount}))
    assert messages(scene.says(approved(3))) == [rest.model_copy(update={"refund": 3})]
    assert messages(scene.says(approved(2))) == [part.model_copy(update={"refund": 4})]
    assert (part.amount + rest.amount, order(scene).given_back) == (TOTAL, TOTAL)
    scene.says(refunded(4, "short", amount=part.amount))
    scene.says(refunded(3, amount=rest.amount))
    assert (order(scene).refunded, order(scene).owed) == (TOTAL, ())


@pytest.mark.parametrize("phase", WAY_TO)
def test_tickets_are_shown_wherever_the_order_is(phase: Phase) -> None:
    """What happens to a ticket is a paper of the order's page, and nothing else: no state, no line of its timeline."""
    scene = at(phase)
    before = order(scene)
    (opened,) = scene.says(aftersales.TicketOpened(order_id="o-1", ticket_id="t-1", kind="refund_failed"))
    (claimed,) = scene.says(
        aftersales.TicketMoved(
            order_id="o-1",
            ticket_id="t-1",
            kind="refund_failed",
            phase="open",
            step="ClaimTicket",
            by=AGENT,
            claimed_by=AGENT,
            claimed_until=NOON,
        )
    )
    (ended,) = scene.says(
        aftersales.TicketEnded(
            order_id="o-1", ticket_id="t-1", kind="refund_failed", phase="resolved", note="paid by hand", by=AGENT
        )
    )
    known = {"ticket_id": "t-1", "kind": "refund_failed"}
    assert opened == paper({**known, "phase": "open", "step": "TicketOpened", "by": ""})
    assert claimed == paper(
        {
            **known,
            "phase": "open",
            "step": "ClaimTicket",
            "by": AGENT,
            "note": "",
            "claimed_by": AGENT,
            "claimed_until": NOON.isoformat(),
        }
    )
    assert ended == paper({**known, "phase": "resolved", "step": "TicketEnded", "by": AGENT, "note": "paid by hand"})
    assert order(scene) is before


def paper(body: dict[str, Any]) -> Paper:
    """What the page shows of a ticket."""
    return Paper("o-1", "ticket", NOON, body)


# -- a count takes the hold away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_slot", [False, True])
def test_hold_lost_before_the_click(in_slot: bool) -> None:
    """The customer is told before any money moves; the hold's remains and the place in the slot are given back."""
    scene = at(Phase.AWAITING_PAYMENT, in_slot=in_slot)
    said = scene.says(LOST)
    free = [logistics.FreeSlot(order_id="o-1", store="s-1")] if in_slot else []
    assert messages(said) == [inventory.ReleaseStock(order_id="o-1", store="s-1"), *free]
    assert CancelTimer("o-1", PAYMENT_WINDOW) in said
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 1}]}
    assert messages(scene.says(RELEASED)) == [
        ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason="stock_lost")
    ]


MAY_BE_LOST = (
    Phase.VERIFYING,
    Phase.PAYING,
    Phase.PAYING_CANCEL_WANTED,
    Phase.DEDUCTING,
    Phase.DEDUCTING_CANCEL_WANTED,
    Phase.RELEASING,
    Phase.REFUNDING,
    Phase.CANCELLED,
)
"""From the click on until inventory has heard that the goods are taken, or that the order wants out."""


@pytest.mark.parametrize("phase", MAY_BE_LOST)
def test_hold_lost_after_the_click_or_the_wish_is_found_out_by_the_next_question(phase: Phase) -> None:
    """Before the click is verified, or while money moves, inventory's next answer says it; who wants out does not
    care."""
    scene = at(phase)
    before = order(scene)
    assert scene.when(LOST) == IGNORED
    assert order(scene) is before


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in {Phase.AWAITING_PAYMENT, *MAY_BE_LOST}])
def test_parked_when_a_hold_is_lost_that_there_is_not(phase: Phase) -> None:
    """Not held yet, or issued already: inventory and the order disagree, and somebody has to look at it."""
    with pytest.raises(NoCell):
        at(phase).when(LOST)


@pytest.mark.parametrize(
    ("answers", "end", "reason"),
    [
        ((LOST, GONE, RELEASED), Phase.CANCELLED, "sold_out"),
        ((VERIFIED, LOST, TAKEN, SOLD_OUT, refunded(1, "sold_out")), Phase.CANCELLED, "sold_out"),
        ((VERIFIED, LOST, DECLINED, CLICK, GONE, RELEASED), Phase.CANCELLED, "sold_out"),
        ((VERIFIED, LOST, DECLINED, EXPIRED, RELEASED), Phase.CANCELLED, "payment_expired"),
        ((VERIFIED, TAKEN, LOST, SOLD_OUT, refunded(1, "sold_out")), Phase.CANCELLED, "sold_out"),
        ((VERIFIED, LOST, CANCEL, DECLINED, RELEASED), Phase.CANCELLED, "cancelled_by_customer"),
    ],
)
def test_hold_lost_after_the_click(answers: tuple[Any, ...], end: Phase, reason: str) -> None:
    """Whenever the loss comes, no goods are promised twice and no money is kept."""
    scene = at(Phase.VERIFYING)
    for answer in answers:
        scene.when(answer)
    after = order(scene)
    assert (after.phase, after.reason, after.paid) == (end, reason, after.refunded)


def test_lost_hold_is_never_deducted_for_want_of_asking() -> None:
    """Between the loss and the goods there is always a question to inventory."""
    scene = at(Phase.PAYING)
    scene.when(LOST)
    assert only(inventory.DeductStock, scene.says(TAKEN)).order_id == "o-1"


# -- what risk hears ---------------------------------------------------------------------------------------------------

ENDINGS: dict[str, tuple[Phase, tuple[Any, ...], str, risk.Deed]] = {
    "no place": (Phase.RESERVING_SLOT, (NO_PLACE,), "slot_full", "ended"),
    "refused": (Phase.SCREENING, (REFUSED,), "refused_by_risk", "ended"),
    "short": (Phase.HOLDING, (SHORT,), "out_of_stock", "ended"),
    "expired": (Phase.AWAITING_PAYMENT, (EXPIRED, RELEASED), "payment_expired", "expired"),
    "given up, then expired": (Phase.PAYING, (GIVEN_UP, EXPIRED, RELEASED), "payment_expired", "expired"),
    "lost": (Phase.AWAITING_PAYMENT, (LOST, RELEASED), "stock_lost", "ended"),
    "gone": (Phase.VERIFYING, (GONE, RELEASED), "sold_out", "ended"),
    "sold out": (Phase.DEDUCTING, (SOLD_OUT, refunded(1)), "sold_out", "ended"),
    "nothing left": (Phase.SHORT, (NO_THANKS, STOPPED, REVERSED, refunded(1)), "short", "ended"),
    "intercepted": (Phase.INTERCEPTING, (INTERCEPTED, ALL_BACK, refunded(1)), "intercepted", "ended"),
    "not reachable": (Phase.IN_DELIVERY, (UNDELIVERABLE, ALL_BACK, refunded(1)), "not_reachable", "unreachable"),
    "not reachable, lost": (Phase.IN_DELIVERY, (UNDELIVERABLE, OVERDUE, refunded(1)), "not_reachable", "unreachable"),
    "not reachable, money kept": (
        Phase.IN_DELIVERY,
        (UNDELIVERABLE, ALL_BACK, REFUND_REFUSED),
        "not_reachable",
        "unreachable",
    ),
    "cancelled unheld": (Phase.SCREENING, (CANCEL,), "cancelled_by_customer", "cancelled"),
    "cancelled unpaid": (Phase.AWAITING_PAYMENT, (CANCEL, RELEASED), "cancelled_by_customer", "cancelled"),
    "cancelled, no money came": (Phase.PAYING, (CANCEL, GIVEN_UP, RELEASED), "cancelled_by_customer", "cancelled"),
    "cancelled while paying": (
        Phase.PAYING,
        (CANCEL, TAKEN, RELEASED, refunded(1)),
        "cancelled_by_customer",
        "cancelled_after_payment",
    ),
    "cancelled while deducting": (
        Phase.DEDUCTING,
        (CANCEL, DEDUCTED, REVERSED, refunded(1)),
        "cancelled_by_customer",
        "cancelled_after_payment",
    ),
    "cancelled paid": (
        Phase.PICKING,
        (CANCEL, STOPPED, REVERSED, refunded(1)),
        "cancelled_by_customer",
        "cancelled_after_payment",
    ),
    "cancelled short": (Phase.SHORT, (CANCEL, STOPPED, REVERSED, refunded(1)), "short", "ended"),
    "cancelled, money kept": (
        Phase.PICKING,
        (CANCEL, STOPPED, REVERSED, REFUND_REFUSED),
        "cancelled_by_customer",
        "cancelled_after_payment",
    ),
}
each_ending = pytest.mark.parametrize(("phase", "way", "reason", "deed"), ENDINGS.values(), ids=ENDINGS)


@each_ending
def test_risk_hears_of_every_end_once(phase: Phase, way: tuple[Any, ...], reason: str, deed: risk.Deed) -> None:
    """What was the customer's own doing by its name, everything else as ended, and never twice, whatever comes
    afterwards."""
    scene = at(phase)
    outcomes = [scene.when(message) for message in way]
    late = (RELEASED, OVERDUE) if order(scene).phase is Phase.CANCELLED else ()
    outcomes += [scene.when(message) for message in (EXPIRED, *late, STRAY, ASKED)]
    said = [item for outcome in outcomes if isinstance(outcome, Moved) for item in outcome.said]
    assert order(scene).phase in ENDS
    assert order(scene).reason == reason
    assert activities(said) == [acted(deed)]
    assert len([m for m in said if isinstance(m, ordering.OrderCancelled | ordering.OrderRejected)]) == 1


@pytest.mark.parametrize("paid_as", ["", "cap-1"])
def test_only_the_customer_s_own_doing_counts(paid_as: str) -> None:
    """Every word that the source of the ways back has: three are a customer's reasons, whatever came before."""
    tree = ast.walk(ast.parse(inspect.getsource(back)))
    words = {node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    reasons = {*words, SLOT_OVER, *(reason for *_, reason, _ in ENDINGS.values())}
    assert {"total_too_large", "goods_overdue", "cancelled_by_customer_service", "sold_out"} <= reasons
    state = Order("o-1", Phase.REFUNDING, account="a-1", reference=paid_as)
    counted = {reason: deed for reason in reasons if (deed := back._deed(state, reason)) != "ended"}
    assert counted == {
        "payment_expired": "expired",
        "not_reachable": "unreachable",
        "cancelled_by_customer": "cancelled_after_payment" if paid_as else "cancelled",
    }


def test_courier_who_was_faster_leaves_no_cancel_for_risk() -> None:
    """A wish that came too late is no cancel, and what was delivered is."""
    for scene, way in (
        (at(Phase.STOPPING), (ON_THE_ROAD, DELIVERED, SHUT)),
        (at(Phase.INTERCEPTING), (DELIVERED, SHUT)),
    ):
        said = [item for message in way for item in scene.says(message)]
        assert activities(said) == [acted("delivered")]
        assert not [m for m in said if isinstance(m, ordering.OrderCancelled)]
