"""The robots of after-sales: who complains when the goods are there, and what is done about it.

A complaint is about one piece of the first line. What a replacement order of the chain does is heard under the sales
order's key, and told apart by its subject.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from larder.load.back import COURIER, CUSTOMER_SERVICE, STOREKEEPER
from larder.load.mix import Tail
from larder.load.order import Crew, Heard, Order, Plan, Step
from larder.load.wire import subject_of, type_of
from shared.contracts import aftersales, logistics
from shared.contracts.base import Message

KINDS = {
    Tail.REFUNDED: "refund_only",
    Tail.RETURNED: "return",
    Tail.RETURNED_DAMAGED: "return",
    Tail.RETURN_FORGOTTEN: "return",
    Tail.EXCHANGED: "exchange",
    Tail.REPLENISHED: "replenishment",
}
"""The kind of ticket that a customer wants; who rates badly leaves that to customer service."""
WORK: dict[bytes, tuple[Callable[..., Message], bytes, bytes, dict[str, str]]] = {
    b"FulfilmentQueued": (logistics.StartPicking, b"picker:robot", b"-pick", {}),
    b"PickingStarted": (logistics.ReportPicked, b"picker:robot", b"-picked", {}),
    b"PickingFinished": (logistics.ReportPacked, b"picker:robot", b"-packed", {}),
    b"FulfilmentPacked": (logistics.HandOver, COURIER, b"-over", {"courier": "courier-robot"}),
    b"FulfilmentHandedOver": (logistics.ReportDelivered, COURIER, b"-delivered", {}),
}
"""The store's work on a replacement order: at this event this command, by whom, the end of its id, and what else."""
AGAIN_S = 0.5
"""A rating that came before aftersales had heard of the delivery is said again after so long."""


class _Ticket(msgspec.Struct):
    ticket_id: str
    kind: str = ""
    phase: str = ""
    step: str = ""


class _Lines(msgspec.Struct):
    spus: list[str]


class _Refusal(msgspec.Struct):
    command: str
    code: str


_ticket_of = msgspec.json.Decoder(_Ticket).decode
_lines_of = msgspec.json.Decoder(_Lines).decode
_refusal_of = msgspec.json.Decoder(_Refusal).decode


class AfterSales:
    """What the robots do after the delivery, by tail and event."""

    def __init__(self, robots: Crew) -> None:
        self._robots = robots
        plan: Plan = {
            **dict.fromkeys(WORK, self._work),
            b"OrderDelivered": self._delivered,
            b"TicketOpened": self._approve,
            b"TicketMoved": self._follow,
            b"TicketEnded": self._settled,
            b"ReturnAnnounced": self._give_back,
            b"ReturnBrought": self._inspect,
            b"OrderClosed": self._ended,
            b"OrderCancelled": self._ended,
            b"OrderRejected": self._ended,
            b"CommandRefused": self._refused,
        }
        self.plans: dict[Tail, Plan] = dict.fromkeys((*KINDS, Tail.RATES_BADLY), plan)

    # -- the store -------------------------------------------------------------------------------------------------

    def _work(self, order: Order, event: Heard, now: float) -> None:
        """The sales order goes its plain way; a replacement order goes the same, beside it."""
        subject = subject_of(event.headers, event.key)
        if subject == order.id:
            self._robots.work(order, type_of(event.headers), now)
            return
        command, actor, end, more = WORK[type_of(event.headers)]
        message = command(order_id=subject.decode(), store=order.store, **more)
        self._robots.say(order, message, actor, _of(subject) + end)

    def _give_back(self, order: Order, event: Heard, now: float) -> None:
        if order.tail is Tail.EXCHANGED:
            return  # the courier who brings the new goods takes the old ones along
        if order.tail is Tail.RETURN_FORGOTTEN:
            self._robots.move(order, Step.NEVER_BACK, now)
            return
        about = self._about(order, event)
        self._robots.say(order, logistics.CollectReturn(**about, courier="courier-robot"), COURIER, b"-collected")
        self._robots.say(order, logistics.BringReturn(**about), COURIER, b"-brought")

    def _inspect(self, order: Order, event: Heard, now: float) -> None:
        inspected = logistics.InspectReturn(
            **self._about(order, event),
            spus=(_first(order),),
            quantities=(1,),
            resellable=(order.tail is not Tail.RETURNED_DAMAGED,),
        )
        self._robots.say(order, inspected, STOREKEEPER, b"-return-inspected")

    def _about(self, order: Order, event: Heard) -> dict[str, Any]:
        ticket_id = _ticket_of(event.value or b"").ticket_id
        return {"order_id": subject_of(event.headers, event.key).decode(), "ticket_id": ticket_id, "store": order.store}

    # -- the customer, and customer service ------------------------------------------------------------------------

    def _delivered(self, order: Order, event: Heard, now: float) -> None:
        if subject_of(event.headers, event.key) != order.id:
            if order.tail is Tail.EXCHANGED:
                about = {"order_id": order.id.decode(), "ticket_id": _ticket_id(order), "store": order.store}
                self._robots.say(order, logistics.BringReturn(**about), COURIER, b"-brought")
            return
        if order.step >= Step.DELIVERED:
            return
        self._robots.move(order, Step.COMPLAINING, now)
        if order.tail is Tail.RATES_BADLY:
            self._rate(order)
            return
        ticket = aftersales.OpenTicket(
            order_id=order.id.decode(),
            ticket_id=_ticket_id(order),
            kind=KINDS[order.tail],  # type: ignore[arg-type]
            reason="a robot found a bad apple",
            spus=(_first(order),),
            quantities=(1,),
        )
        self._robots.say(order, ticket, CUSTOMER_SERVICE, b"-complaint")

    def _rate(self, order: Order) -> None:
        order.attempt += 1
        rating = aftersales.RateOrder(
            order_id=order.id.decode(), account=order.account, stars=1, text="a robot was not amused"
        )
        actor = b"customer:" + order.account.encode()
        self._robots.say(order, rating, actor, b"-rating-%d" % order.attempt, now=order.attempt == 1)

    def _refused(self, order: Order, event: Heard, now: float) -> None:
        refusal = _refusal_of(event.value or b"")
        if (refusal.command, refusal.code) != (aftersales.RateOrder.TYPE, "order_not_delivered"):
            self._robots.refused_command(order, event, now)
        elif order.step is Step.COMPLAINING:
            order.wires = []
            self._rate(order)
            order.resend_at = now + AGAIN_S

    def _approve(self, order: Order, event: Heard, now: float) -> None:
        ticket = _ticket_of(event.value or b"")
        if ticket.kind in KINDS.values() or ticket.kind == "quality":
            self._decide(order, ticket, b"-approve")

    def _follow(self, order: Order, event: Heard, now: float) -> None:
        """A ticket that was looked at first can be approved now; one whose goods cannot be had becomes a refund."""
        ticket = _ticket_of(event.value or b"")
        if ticket.step == "AdmitTicket":
            self._decide(order, ticket, b"-approve-2")
        elif ticket.step == "ReopenTicket" and ticket.phase == "open":
            self._decide(order, msgspec.structs.replace(ticket, kind="quality"), b"-approve-refund")

    def _decide(self, order: Order, ticket: _Ticket, end: bytes) -> None:
        approval = aftersales.ApproveTicket(order_id=order.id.decode(), ticket_id=ticket.ticket_id)
        if ticket.kind == "quality":
            instead = {"kind": "refund_only", "spus": (_first(order),), "quantities": (1,)}
            approval = approval.model_copy(update=instead)
        self._robots.say(order, approval, CUSTOMER_SERVICE, end)

    def _settled(self, order: Order, event: Heard, now: float) -> None:
        ticket = _ticket_of(event.value or b"")
        if ticket.kind in KINDS.values() and order.step in (Step.COMPLAINING, Step.NEVER_BACK):
            self._robots.complaint_over(order, now)

    def _ended(self, order: Order, event: Heard, now: float) -> None:
        """An end of the sales order is the end; one of a replacement order is its ticket's business."""
        if subject_of(event.headers, event.key) == order.id:
            self._robots.react(order, event, now)


def _of(subject: bytes) -> bytes:
    """What tells the commands about a replacement order from those about others of its sales order."""
    return b"-" + subject.partition(b"~")[2]


def _ticket_id(order: Order) -> str:
    return f"t-{order.id.decode()}-complaint"


def _first(order: Order) -> str:
    assert order.basket is not None, "orders with a plan keep their basket"
    return _lines_of(b"{" + order.basket.rest[1:]).spus[0]
