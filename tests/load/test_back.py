"""The robots of the ways back: at which event they say what, and that every such order ends."""

import pytest

from larder.load.figures import End
from larder.load.mix import Tail
from larder.load.order import Step
from larder.load.robots import RESEND_S
from shared.contracts import aftersales, logistics
from shared.contracts import order as ordering
from shared.contracts.base import CommandAccepted, CommandRefused
from tests.load.test_robots import ABOUT, OF, PAID, PAYABLE, WORKDAY, Day

TICKET = {"order_id": "l-r-1", "ticket_id": "t-l-r-1-1", "kind": "shortage"}
OPENED = aftersales.TicketOpened(**TICKET)  # type: ignore[arg-type]
SHORT = logistics.PiecesShort(**ABOUT, spus=("apple",), missing=(1,))
CANCELLED = ordering.OrderCancelled(**OF, reason="x")
FAILED = logistics.DeliveryFailed(**ABOUT, reason="nobody at home")
BACK = CommandAccepted(command_id="l-r-1-back", command="BringGoodsBack", subject_id="l-r-1")


def ended_ticket(note: str) -> aftersales.TicketEnded:
    return aftersales.TicketEnded(**TICKET, phase="resolved", note=note)  # type: ignore[arg-type]


def begun(tail: Tail, events: int, **named) -> Day:
    """A paid order of which so many events of its working day were heard."""
    day = Day(**named)
    day.place(tail)
    day.hear(PAYABLE, PAID, *WORKDAY[:events])
    return day


def ends(day: Day, how: End = End.CANCELLED) -> None:
    day.hear(CANCELLED if how is End.CANCELLED else ordering.OrderClosed(**OF))
    assert day.figures.counts[how] == 1
    assert day.robots.orders == {}
    assert sum(day.robots.steps) == day.robots.resting == 0


@pytest.mark.parametrize(
    ("tail", "events"),
    [(Tail.CANCELS_PAID, 1), (Tail.NO_REFUND, 1), (Tail.CANCELS_PICKING, 2), (Tail.CANCELS_PACKED, 4)],
)
def test_minds_change_at_their_place(tail: Tail, events: int):
    """The customer cancels at that event, and not before; the store does not go on with it."""
    day = begun(tail, events - 1)
    assert not [m for _, _, m in day.said if isinstance(m, ordering.CancelOrder)]
    said = day.hear(WORKDAY[events - 1])
    assert isinstance(said[0], ordering.CancelOrder)
    assert [type(m) for m in said[1:]] == [logistics.ReportPicked] * (tail is Tail.CANCELS_PICKING)
    assert day.hear(*WORKDAY) == []  # said twice, or come late
    methods = [m.method for _, _, m in day.said if isinstance(m, ordering.PayOrder)]
    assert methods == ["tok_no_refund" if tail is Tail.NO_REFUND else "tok_ok"]
    ends(day)


def test_a_call_and_another_list():
    """The picker misses a piece, somebody calls, the picker looks again until the new list is there, and goes on."""
    day = begun(Tail.LESS_DROP, 1)
    (picked,) = day.hear(WORKDAY[1])
    assert isinstance(picked, logistics.ReportPicked)
    assert (picked.spus, picked.missing) == (("apple",), (1,))
    (call,) = day.hear(OPENED, SHORT)  # the ticket may be heard of first
    assert call == aftersales.RecordCall(order_id="l-r-1", ticket_id="t-l-r-1-1", outcome="drop")
    (again,) = day.hear(ended_ticket("dropped"))
    assert again == logistics.ReportPicked(order_id="l-r-1", store="s-1")
    refusal = CommandRefused(command_id="x", command="ReportPicked", subject_id="l-r-1", code="fulfilment_not_picking")
    assert day.hear(refusal) == []
    assert day.robots.overdue(day.now) == 1
    assert day.said[-1][2] == again
    assert len(set(day.ids)) == len(day.ids)
    assert [type(m) for m in day.hear(logistics.PickingFinished(**ABOUT))] == [logistics.ReportPacked]


def test_a_substitute_that_cannot_be_had_is_given_up_after_a_while():
    """Nobody says that it is out of stock, so the customer goes without when nothing happens."""
    day = begun(Tail.LESS_SUBSTITUTE, 2, similar=lambda store, spu, order: "pear")
    (call,) = day.hear(SHORT, OPENED)
    assert isinstance(call, aftersales.RecordCall)
    assert (call.substitute_spus, call.substitutes, call.instead_of) == (("pear",), (1,), ("apple",))
    assert day.robots.overdue(day.now + RESEND_S) == 1
    assert day.said[-1][2] == aftersales.RecordCall(order_id="l-r-1", ticket_id="t-l-r-1-1", outcome="drop")


def test_no_call_and_no_order():
    """Some are not called and wait for the clock; some want nothing, then; both end."""
    uncalled = begun(Tail.LESS_UNCALLED, 2)
    assert uncalled.hear(SHORT, OPENED) == []
    assert uncalled.robots.resting == 1
    assert [type(m) for m in uncalled.hear(ended_ticket("nobody_called"))] == [logistics.ReportPicked]
    cancelled = begun(Tail.LESS_CANCEL, 2)
    assert [m.outcome for m in cancelled.hear(SHORT, OPENED)] == ["cancel"]  # type: ignore[attr-defined]
    assert cancelled.hear(ended_ticket("cancelled")) == []
    ends(cancelled)


@pytest.mark.parametrize(
    ("tail", "pieces", "resellable"),
    [
        (Tail.AWAY, (2, 1), (True, True)),
        (Tail.AWAY_DAMAGED, (2, 1), (False, True)),
        (Tail.AWAY_FEWER, (1, 1), (True, True)),
    ],
)
def test_goods_come_back_and_are_inspected(tail: Tail, pieces: tuple[int, ...], resellable: tuple[bool, ...]):
    """The courier finds nobody, brings the goods back, and the storekeeper finds what the tail says."""
    day = begun(tail, 4)
    assert [type(m) for m in day.hear(WORKDAY[4])] == [logistics.ReportUndeliverable]
    assert [type(m) for m in day.hear(FAILED, FAILED)] == [logistics.BringGoodsBack]
    (inspected,) = day.hear(BACK, BACK)
    assert inspected == logistics.InspectGoods(
        order_id="l-r-1", store="s-1", spus=("apple", "milk"), quantities=pieces, resellable=resellable
    )
    ends(day)


def test_goods_that_never_come_back_take_no_room():
    """Their order only waits for the clock."""
    day = begun(Tail.AWAY_NEVER_BACK, 5)
    assert day.hear(FAILED) == []
    assert (day.robots.resting, day.robots.steps[Step.NEVER_BACK]) == (1, 1)
    ends(day)


def test_a_courier_who_is_called_back():
    """Caught, the goods come back; at the door it is either, and both end."""
    caught = begun(Tail.CALLED_BACK, 4)
    (ticket,) = caught.hear(WORKDAY[4])
    assert isinstance(ticket, aftersales.OpenTicket)
    assert [type(m) for m in caught.hear(logistics.FulfilmentIntercepted(**ABOUT), BACK)] == [
        logistics.BringGoodsBack,
        logistics.InspectGoods,
    ]
    ends(caught)
    late = begun(Tail.CALLED_BACK_LATE, 4)
    assert [type(m) for m in late.hear(WORKDAY[4])] == [aftersales.OpenTicket, logistics.ReportDelivered]
    assert late.hear(ordering.OrderDelivered(**OF)) == []
    ends(late, End.COMPLETED)


def test_a_call_that_overtook_the_hand_over_is_made_again():
    """The order had not heard that the courier has the goods, and declined: customer service asks anew."""
    day = begun(Tail.CALLED_BACK, 5)
    about = {"order_id": "l-r-1", "kind": "intercept", "phase": "rejected"}
    declined = aftersales.TicketEnded(**about, ticket_id="t-l-r-1-back", note="not_in_delivery")  # type: ignore[arg-type]
    (again,) = day.hear(declined)
    assert isinstance(again, aftersales.OpenTicket)
    assert again.ticket_id != "t-l-r-1-back"
    assert [type(m) for m in day.hear(logistics.FulfilmentIntercepted(**ABOUT), BACK)] == [
        logistics.BringGoodsBack,
        logistics.InspectGoods,
    ]
    assert day.hear(declined) == []
    ends(day)
