"""The robots: at which event they say what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from larder.load.back import Similar
from larder.load.catalogue import NOWHERE
from larder.load.figures import End, Figures
from larder.load.mix import Tail
from larder.load.order import Step
from larder.load.play import Ready
from larder.load.robots import RESEND_S, Robots
from shared.contracts import aftersales, logistics, risk
from shared.contracts import order as ordering
from shared.contracts.base import CommandRefused, Message

COMMANDS = {
    m.TYPE: m
    for m in (
        *(
            ordering.PlaceOrder,
            ordering.PayOrder,
            ordering.CancelOrder,
            logistics.StartPicking,
            logistics.ReportPicked,
            logistics.ReportPacked,
            logistics.HandOver,
            logistics.ReportDelivered,
        ),
        *(
            aftersales.OpenTicket,
            aftersales.RecordCall,
            logistics.ReportUndeliverable,
            logistics.BringGoodsBack,
            logistics.InspectGoods,
        ),
    )
}
BASKET = Ready("s-1", "a-1", 3, b',"account":"a-1","store":"s-1","spus":["apple","milk"],"quantities":[2,1]}', 699)
ABOUT = {"order_id": "l-r-1", "store": "s-1"}
OF = {**ABOUT, "account": "a-1"}
PAYABLE = ordering.OrderPayable(**OF, total=699, payable_until="2026-01-01T00:00:00Z")  # type: ignore[arg-type]
PAID = ordering.OrderPaid(**OF, total=699)
WORKDAY = (
    logistics.FulfilmentQueued(**ABOUT),
    logistics.PickingStarted(**ABOUT),
    logistics.PickingFinished(**ABOUT),
    logistics.FulfilmentPacked(**ABOUT),
    logistics.FulfilmentHandedOver(**ABOUT, courier="c"),
)


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass
class Day:
    """Robots, what they said, and a clock that stands until it is moved."""

    closes: bool = True
    confirm_share: float = 1.0
    similar: Similar | None = None
    lies_s: float = 300
    said: list[tuple[str, str, Message]] = field(default_factory=list)
    now: float = 100.0
    link: int = 0

    def __post_init__(self) -> None:
        self.figures = Figures()
        self.robots = Robots(
            "r",
            self.figures,
            self._take,
            shards=1,
            gateway_timeout_s=3,
            lies_s=self.lies_s,
            closes=self.closes,
            similar=self.similar,
            confirm_share=self.confirm_share,
        )

    def _take(self, topic, partition, wire) -> None:
        key, body, headers = wire
        attributes = {name: content.decode() for name, content in headers}
        message = COMMANDS[attributes["ce_type"]].from_json(body)
        assert topic == message.TOPIC
        assert key.decode() == message.key
        assert attributes["ce_subject"] == message.subject
        assert "link" not in attributes
        self.said.append((attributes["ce_id"], attributes["ce_actor"], message))

    def place(self, tail: Tail = Tail.PAYS, **more: Any) -> None:
        self.robots.place(BASKET, tail, self.now, **more)

    def hear(self, *events: Message, link: int | None = None) -> list[Message]:
        """What the robots say to these events; each is a new one on its link unless the number is given."""
        before = len(self.said)
        records = []
        for event in events:
            self.link += 1
            headers = (("ce_type", event.TYPE.encode()), ("link", b"%d" % (link or self.link)))
            records.append(Record(event.key.encode(), event.to_json(), headers))
        self.robots.hear(records, self.now)
        return [message for _, _, message in self.said[before:]]

    @property
    def ids(self) -> list[str]:
        return [id_ for id_, _, _ in self.said]

    @property
    def types(self) -> list[str]:
        return [message.TYPE for _, _, message in self.said]

    @property
    def step(self) -> Step:
        (order,) = self.robots.orders.values()
        return order.step


def test_a_good_order_goes_all_the_way():
    """Each event is answered by the next command, with ids made of run and number, until the order is closed."""
    day = Day()
    day.place()
    day.hear(PAYABLE, PAID, *WORKDAY, ordering.OrderDelivered(**OF))
    assert [type(m).__name__ for _, _, m in day.said] == [
        "PlaceOrder", "PayOrder", "StartPicking", "ReportPicked", "ReportPacked", "HandOver", "ReportDelivered",
    ]  # fmt: skip
    assert day.ids == [
        "l-r-1-place", "l-r-1-pay-1", "l-r-1-pick", "l-r-1-picked", "l-r-1-packed", "l-r-1-over", "l-r-1-delivered",
    ]  # fmt: skip
    assert {actor for _, actor, _ in day.said} == {"customer:a-1", "picker:robot", "courier:robot"}
    assert day.said[1][2] == ordering.PayOrder(order_id="l-r-1", method="tok_ok", expected_total=699)
    assert (day.robots.busy, day.robots.resting) == (0, 1)
    day.hear(ordering.OrderClosed(**OF))
    assert day.figures.counts[End.COMPLETED] == 1
    assert day.robots.orders == {}
    assert sum(day.robots.steps) == day.robots.resting == 0
    assert (day.figures.taken, day.figures.pieces) == (699, 3)


def test_a_long_after_sales_window_counts_the_delivery_as_the_end():
    """When nobody can wait for the closing, a delivered order is completed."""
    day = Day(closes=False)
    day.place()
    day.hear(PAYABLE, PAID, *WORKDAY, ordering.OrderDelivered(**OF))
    assert day.figures.counts[End.COMPLETED] == 1
    day.hear(ordering.OrderClosed(**OF))
    assert day.figures.counts[End.COMPLETED] == 1


def test_place_to_payable_is_measured_once():
    """The first OrderPayable counts; one that is said again after a declined card does not."""
    day = Day()
    day.place(Tail.DECLINED)
    day.now += 0.25
    day.hear(PAYABLE)
    day.now += 5
    day.hear(PAYABLE)
    assert list(day.figures.waits) == pytest.approx([0.25])


def test_an_event_said_twice_or_late_changes_nothing():
    """Events are delivered at least once; an order never goes back down its steps."""
    day = Day()
    day.place()
    day.hear(PAYABLE, PAID, *WORKDAY)
    assert day.hear(*WORKDAY, PAYABLE) == []
    assert day.robots.steps[Step.IN_DELIVERY] == 1


def test_a_payable_sent_twice_is_no_second_chance():
    """After a broker died the log may hold an event twice, under one link number: nobody pays for it again."""
    day = Day()
    day.place(Tail.DECLINED)
    assert len(day.hear(PAYABLE, link=7)) == 1
    assert day.hear(PAYABLE, link=7) == []
    assert len(day.hear(PAYABLE, link=8)) == 1


def test_events_of_other_orders_are_passed_over():
    """Orders of another load, and records without a body, are none of our business."""
    day = Day()
    day.place()
    other = logistics.FulfilmentQueued(order_id="o-9", store="s-1")
    assert day.hear(other) == []
    assert day.robots.hear([Record(b"l-r-1", None, ()), Record(None, b"{}", ())], day.now) == 0


def test_unpaid_waits_for_the_window_and_takes_no_room():
    """Who never pays says nothing, and ends with the window."""
    day = Day()
    day.place(Tail.UNPAID)
    assert day.hear(PAYABLE) == []
    assert (day.robots.busy, day.robots.resting) == (0, 1)
    day.hear(ordering.OrderCancelled(**OF, reason="payment_expired"))
    assert day.figures.counts[End.CANCELLED] == 1
    assert day.robots.resting == 0


def test_cancels_at_once():
    """The wish follows the order on its heels; becoming payable all the same, it is said again under a new id."""
    day = Day()
    day.place(Tail.CANCELS_AT_ONCE)
    assert day.ids == ["l-r-1-place", "l-r-1-cancel-1"]
    day.hear(PAYABLE)
    assert day.ids[2:] == ["l-r-1-cancel-2"]
    day.hear(ordering.OrderCancelled(**OF, reason="cancelled_by_customer"))
    assert day.figures.counts[End.CANCELLED] == 1


def test_cancels_when_payable():
    """Instead of paying, the customer cancels."""
    day = Day()
    day.place(Tail.CANCELS_PAYABLE)
    (said,) = day.hear(PAYABLE)
    assert isinstance(said, ordering.CancelOrder)


def test_a_cancel_that_comes_too_late_lets_the_order_go_on():
    """Clicks pay and cancels; the cancel is refused, and the order is delivered like any other."""
    day = Day()
    day.place(Tail.CANCELS_PAYING)
    assert [type(m) for m in day.hear(PAYABLE)] == [ordering.PayOrder, ordering.CancelOrder]
    refused = CommandRefused(
        command_id="l-r-1-cancel-2", command="CancelOrder", subject_id="l-r-1", code="cancel_not_allowed"
    )
    day.hear(PAID, refused)
    assert day.robots.refused == {"CancelOrder: cancel_not_allowed": 1}
    assert len(day.hear(*WORKDAY)) == len(WORKDAY)


def test_a_declined_card_is_tried_again_with_a_good_one():
    """A new attempt has a new id."""
    day = Day()
    day.place(Tail.DECLINED)
    (first,) = day.hear(PAYABLE)
    (second,) = day.hear(PAYABLE)
    assert [first.method, second.method] == ["tok_declined", "tok_ok"]  # type: ignore[attr-defined]
    assert day.ids[1:] == ["l-r-1-pay-1", "l-r-1-pay-2"]


def test_some_with_a_declined_card_leave():
    """Instead of trying again, the customer cancels."""
    day = Day()
    day.place(Tail.DECLINED_LEAVES)
    day.hear(PAYABLE)
    (said,) = day.hear(PAYABLE)
    assert isinstance(said, ordering.CancelOrder)


def test_late_money_takes_no_room_while_the_gateway_is_silent():
    """The first attempt times out and the order rests; then it is paid again. The load knows how long to wait."""
    day = Day()
    day.place(Tail.LATE)
    (first,) = day.hear(PAYABLE)
    assert first.method == "tok_late:5"  # type: ignore[attr-defined]
    assert day.robots.busy == 0
    assert day.robots.late_until == day.now + 5
    (second,) = day.hear(PAYABLE)
    assert second.method == "tok_ok"  # type: ignore[attr-defined]
    assert day.robots.busy == 1


def test_who_wants_what_no_store_has_is_rejected():
    """The order names a product that is never in stock, and ends as rejected."""
    day = Day()
    day.place(Tail.SHORT)
    assert day.said[0][2].spus == (NOWHERE, "milk")  # type: ignore[attr-defined]
    day.hear(ordering.OrderRejected.model_validate({**OF, "reason": "out_of_stock"}))
    assert day.figures.counts[End.REJECTED] == 1


def test_an_order_refused_at_the_door_is_rejected():
    """A PlaceOrder that is refused outright never becomes an order; it must not be waited for."""
    day = Day()
    day.place()
    day.hear(CommandRefused(command_id="l-r-1-place", command="PlaceOrder", subject_id="l-r-1", code="store_unknown"))
    assert day.figures.counts[End.REJECTED] == 1
    assert day.robots.orders == {}


def test_a_command_without_its_event_is_sent_again_with_the_same_id():
    """After a while, then after twice as long; an order that moved on, or only waits for a clock, sends nothing."""
    day = Day()
    day.place()
    day.now += RESEND_S
    assert day.robots.overdue(day.now) == 1
    assert day.ids == ["l-r-1-place"] * 2
    assert day.robots.overdue(day.now + RESEND_S) == 0
    assert day.robots.overdue(day.now + 2 * RESEND_S) == 1
    day.hear(PAYABLE, PAID, *WORKDAY, ordering.OrderDelivered(**OF))
    count = len(day.said)
    assert day.robots.overdue(day.now + 1_000) == 0
    assert len(day.said) == count


def test_who_lets_goods_lie_cancels_when_the_time_has_come():
    """Payable, then nothing for as long as it takes, then the cancel; whose order is over before that does not."""
    day = Day(lies_s=5)
    day.place(Tail.CANCELS_LATE)
    assert day.hear(PAYABLE) == []
    day.robots.wake(day.now + 4.9)
    assert day.types[-1] == "PlaceOrder"
    day.robots.wake(day.now + 5)
    assert day.types[-1] == "CancelOrder"
    day.hear(ordering.OrderCancelled(**OF, reason="cancelled_by_customer"))
    assert (day.robots.orders, day.robots.alarms) == ({}, [])

    over = Day(lies_s=5)
    over.place(Tail.CANCELS_LATE)
    over.hear(PAYABLE, ordering.OrderCancelled(**OF, reason="expired"))
    over.robots.wake(over.now + 60)
    assert over.types == ["PlaceOrder"]


def test_an_order_in_review_takes_no_room_and_goes_on_afterwards():
    """Nobody decides: the order waits for the end of the review window, which says nothing of how fast larder is."""
    day = Day()
    day.place()
    day.hear(risk.OrderReferred(order_id="l-r-1"))
    assert (day.step, day.robots.busy) == (Step.IN_REVIEW, 0)
    assert day.robots.overdue(day.now + 10 * RESEND_S) == 0
    assert [m.TYPE for m in day.hear(PAYABLE)] == ["PayOrder"]
    assert (len(day.figures.waits), day.robots.busy) == (0, 1)
    day.hear(risk.OrderReferred(order_id="l-r-1"))
    assert day.step is Step.PAYING


@pytest.mark.parametrize(
    ("end", "how"),
    [
        (ordering.OrderRejected(order_id="l-r-1", store="s-1", account="a-1", reason="account_refused"), End.REJECTED),
        (ordering.OrderCancelled(**OF, reason="cancelled_by_customer"), End.CANCELLED),
    ],
)
def test_an_order_may_end_in_review(end, how):
    """Refused by a person, or cancelled meanwhile."""
    day = Day()
    day.place()
    day.hear(risk.OrderReferred(order_id="l-r-1"), end)
    assert (day.figures.counts[how], day.robots.orders) == (1, {})


def changed_to(total: int) -> ordering.OrderPayable:
    return ordering.OrderPayable(**OF, total=total, payable_until="2026-01-01T00:00:00Z")  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "said"), [(1.0, "PayOrder"), (0.0, "CancelOrder")])
def test_a_total_that_changed_on_the_click_is_confirmed_or_left(share, said):
    """Who confirms pays what larder says now; the others cancel. A total that is the same is no change."""
    day = Day(confirm_share=share)
    day.place(Tail.DECLINED)
    day.hear(PAYABLE)
    assert [type(m).__name__ for m in day.hear(PAYABLE)] == ["PayOrder"]
    assert day.robots.changed == {}
    (answer,) = day.hear(changed_to(650))
    assert type(answer).__name__ == said
    if isinstance(answer, ordering.PayOrder):
        assert answer.expected_total == 650
        day.hear(ordering.OrderPaid(**OF, total=650))
        assert (day.figures.taken, day.figures.discounted, day.figures.taken_off) == (650, 1, 49)
    assert day.robots.changed == {"confirmed" if share else "left": 1}


def test_who_came_for_a_price_pays_no_other():
    """The total that was expected on placing is the one that was seen."""
    day = Day(confirm_share=0)
    day.place(expected_total=499)
    assert isinstance(placed := day.said[0][2], ordering.PlaceOrder)
    assert placed.expected_total == 499
    assert [type(m).__name__ for m in day.hear(PAYABLE)] == ["CancelOrder"]


@pytest.mark.parametrize("code", ["coupon_used", "coupon_unknown", "coupon_does_not_apply", "coupon_not_valid"])
def test_a_refused_coupon_is_left_out(code):
    """The customer wants the goods all the same: a second command for the same order, once."""
    day = Day()
    day.place(coupon="welcome")
    assert isinstance(placed := day.said[0][2], ordering.PlaceOrder)
    assert placed.coupons == ("welcome",)
    refused = CommandRefused(subject_id="l-r-1", command_id="l-r-1-place", command="PlaceOrder", code=code)
    (again,) = day.hear(refused)
    assert isinstance(again, ordering.PlaceOrder)
    assert (again.coupons, again.spus, day.ids[-1]) == ((), ("apple", "milk"), "l-r-1-place-2")
    assert (day.robots.coupons, day.robots.coupons_refused) == (1, 1)
    assert day.hear(refused) == []
    assert day.figures.counts[End.REJECTED] == 1


def test_who_cancels_at_once_does_not_order_again_without_the_coupon():
    """The order is not wanted any more."""
    day = Day()
    day.place(Tail.CANCELS_AT_ONCE, coupon="welcome")
    refused = CommandRefused(subject_id="l-r-1", command_id="l-r-1-place", command="PlaceOrder", code="coupon_used")
    assert day.hear(refused) == []
    assert day.robots.orders == {}
