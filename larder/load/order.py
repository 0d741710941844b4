"""One order under way, as the robots know it: how far it is, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

from larder.load.mix import Tail
from larder.load.play import Ready
from shared.contracts.base import Message
from shared.runtime.envelope import Wire


class Heard(Protocol):
    """A record from an events topic."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Step(IntEnum):
    """How far an order is, as the robots know it."""

    PLACING = 0
    AWAITING_PAYMENT = 1
    PAYING = 2
    PAYING_LATE = 3
    CANCELLING = 4
    AWAITING_PICKING = 5
    PICKING = 6
    SHORT = 7
    SHORT_UNCALLED = 8
    PICKING_AGAIN = 9
    PACKING = 10
    AWAITING_SHIPMENT = 11
    IN_DELIVERY = 12
    DELIVERED = 13
    RETURNING = 14
    INSPECTING = 15
    NEVER_BACK = 16
    STOPPING = 17
    COMPLAINING = 18
    IN_REVIEW = 19


AWAITED = {
    Step.PLACING: "OrderPayable",
    Step.AWAITING_PAYMENT: "OrderCancelled, at the end of the payment window",
    Step.PAYING: "OrderPaid and FulfilmentQueued",
    Step.PAYING_LATE: "OrderPayable again, after the gateway's timeout",
    Step.CANCELLING: "OrderCancelled",
    Step.AWAITING_PICKING: "PickingStarted",
    Step.PICKING: "PickingFinished",
    Step.SHORT: "TicketOpened, and TicketEnded after the call",
    Step.SHORT_UNCALLED: "TicketEnded, at the end of the shortage window",
    Step.PICKING_AGAIN: "PickingFinished",
    Step.PACKING: "FulfilmentPacked",
    Step.AWAITING_SHIPMENT: "FulfilmentHandedOver",
    Step.IN_DELIVERY: "OrderDelivered",
    Step.DELIVERED: "OrderClosed, at the end of the after-sales window",
    Step.RETURNING: "CommandAccepted for BringGoodsBack",
    Step.INSPECTING: "OrderCancelled, after the inspection",
    Step.NEVER_BACK: "OrderCancelled or TicketEnded, at the end of the return window",
    Step.STOPPING: "OrderCancelled",
    Step.COMPLAINING: "TicketEnded",
    Step.IN_REVIEW: "a verdict, at the end of the review window",
}
"""What an order at this step waits for."""
RESTING = frozenset(
    {
        Step.AWAITING_PAYMENT,
        Step.PAYING_LATE,
        Step.DELIVERED,
        Step.SHORT_UNCALLED,
        Step.NEVER_BACK,
        Step.IN_REVIEW,
    }
)
"""Steps that only wait for a clock: such orders take no room in the window."""


Plan = Mapping[bytes, Callable[["Order", Heard, float], None]]
"""By event what the robots do at it."""


class Order:
    """One order under way."""

    __slots__ = (
        "account",
        "attempt",
        "basket",
        "coupon",
        "id",
        "moved_at",
        "ordinary",
        "payable_link",
        "pieces",
        "placed_at",
        "plan",
        "resend_at",
        "resends",
        "step",
        "store",
        "tail",
        "total",
        "wires",
    )

    def __init__(self, id_: bytes, basket: Ready, tail: Tail, now: float) -> None:
        self.id = id_
        self.store = basket.store
        self.account = basket.account
        self.pieces = basket.pieces
        self.basket: Ready | None = None
        """Kept only for ways back, for coupons, and for somebody who is told of events: it is the largest part of an
        order."""
        self.coupon = ""
        """The one that it names; empty when larder has refused it."""
        self.ordinary = basket.total
        """What it costs without promotions, minor units."""
        self.plan: Plan | None = None
        """What happens otherwise than with plain orders, by event; plain orders have none."""
        self.tail = tail
        self.step = Step.PLACING
        self.attempt = 0
        self.total: int | None = None
        """What the customer saw last."""
        self.payable_link = 0
        """The link number of the last OrderPayable: larder may say it again, and the log may hold it twice."""
        self.placed_at = self.moved_at = now
        self.resend_at = 0.0
        """When its last commands are sent again."""
        self.resends = 0
        self.wires: list[tuple[str, int, Wire]] = []
        """What it sent last and waits for the event of."""


class Crew(Protocol):
    """The robots, as whoever plans a way for some orders has them do things."""

    def move(self, order: Order, step: Step, now: float, *, wires_stay: bool = False) -> None:
        """The order is a step further; what it sent last is not sent again, unless the wires stay."""

    def say(self, order: Order, message: Message, actor: bytes, end: bytes, *, now: bool = True) -> None:
        """Anybody says anything about an order."""

    def want_out(self, order: Order) -> None:
        """The customer cancels."""

    def refused_command(self, order: Order, event: Heard, now: float) -> None:
        """A command of the plain way was refused."""

    def complaint_over(self, order: Order, now: float) -> None:
        """The order waits for its end again."""

    def react(self, order: Order, event: Heard, now: float) -> None:
        """As with plain orders."""

    def work(self, order: Order, type_: bytes, now: float) -> bool:
        """Those who work in the store do what an event asks of them; whether it asks."""
