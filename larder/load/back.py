"""The robots of the ways back: who changes their mind after paying, what is not on the shelf, what comes back.

A way back is a plan: by event what happens otherwise than with plain orders. Where a plan says nothing, the order goes
its plain way.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from larder.load.mix import Tail
from larder.load.order import Crew, Heard, Order, Plan, Step
from shared.contracts import aftersales, logistics

PICKER, COURIER, STOREKEEPER = b"picker:robot", b"courier:robot", b"storekeeper:robot"
CUSTOMER_SERVICE = b"customer_service:robot"
GOES_ON = frozenset({"dropped", "nobody_called", "substituted"})
"""Notes of ended shortage tickets after which the picker has another list."""

Similar = Callable[[str, str, bytes], str | None]
"""Something to take in a store instead of an SPU; the order's id chooses, so that not all take the same."""


class _Lines(msgspec.Struct):
    spus: list[str]
    quantities: list[int]


class _Ticket(msgspec.Struct):
    ticket_id: str
    kind: str
    note: str = ""


class _Accepted(msgspec.Struct):
    command: str


_lines_of = msgspec.json.Decoder(_Lines).decode
_ticket_of = msgspec.json.Decoder(_Ticket).decode
_accepted_of = msgspec.json.Decoder(_Accepted).decode


class WaysBack:
    """What the robots do on the ways back, by tail and event."""

    def __init__(self, robots: Crew, similar: Similar | None) -> None:
        self._robots = robots
        self._similar = similar or (lambda store, spu, order: None)
        cancels_paid: Plan = {b"FulfilmentQueued": self._change_mind}
        less: Plan = {
            b"PickingStarted": self._miss_a_piece,
            b"PiecesShort": self._wait_for_call,
            b"TicketOpened": self._call,
            b"TicketEnded": self._pick_on,
        }
        returning: Plan = {
            b"DeliveryFailed": self._bring_back,
            b"FulfilmentIntercepted": self._bring_back,
            b"CommandAccepted": self._inspect,
        }
        away: Plan = {**returning, b"FulfilmentHandedOver": self._nobody_at_home}
        called_back: Plan = {
            **returning,
            b"FulfilmentHandedOver": self._call_back,
            b"TicketEnded": self._call_back_again,
        }
        self.plans: dict[Tail, Plan] = {
            Tail.CANCELS_PAID: cancels_paid,
            Tail.NO_REFUND: cancels_paid,
            Tail.CANCELS_PICKING: {b"PickingStarted": self._change_mind},
            Tail.CANCELS_PACKED: {b"FulfilmentPacked": self._change_mind},
            Tail.LESS_SUBSTITUTE: less,
            Tail.LESS_DROP: less,
            Tail.LESS_CANCEL: less,
            Tail.LESS_UNCALLED: less,
            Tail.CALLED_BACK: called_back,
            Tail.CALLED_BACK_LATE: called_back,
            Tail.AWAY: away,
            Tail.AWAY_DAMAGED: away,
            Tail.AWAY_FEWER: away,
            Tail.AWAY_NEVER_BACK: away,
        }

    # -- paid, and not wanted any more -----------------------------------------------------------------------------

    def _change_mind(self, order: Order, event: Heard, now: float) -> None:
        if order.step >= Step.STOPPING:
            return
        self._robots.move(order, Step.STOPPING, now)
        self._robots.want_out(order)
        if order.tail is Tail.CANCELS_PICKING:  # the picker has not heard of it: whoever comes first wins
            self._robots.say(order, logistics.ReportPicked(order_id=_id(order), store=order.store), PICKER, b"-picked")

    # -- short -----------------------------------------------------------------------------------------------------

    def _miss_a_piece(self, order: Order, event: Heard, now: float) -> None:
        if order.step >= Step.PICKING:
            return
        self._robots.move(order, Step.PICKING, now)
        picked = logistics.ReportPicked(
            order_id=_id(order), store=order.store, spus=(_lines(order).spus[0],), missing=(1,)
        )
        self._robots.say(order, picked, PICKER, b"-picked")

    def _wait_for_call(self, order: Order, event: Heard, now: float) -> None:
        if order.step < Step.SHORT:
            self._robots.move(order, self._short(order), now)

    def _call(self, order: Order, event: Heard, now: float) -> None:
        """The ticket may be heard of before the picker is."""
        ticket = _ticket_of(event.value or b"")
        if ticket.kind != "shortage" or order.step > Step.SHORT_UNCALLED:
            return
        self._robots.move(order, self._short(order), now)
        if order.tail is Tail.LESS_UNCALLED:
            return
        drop = aftersales.RecordCall(order_id=_id(order), ticket_id=ticket.ticket_id, outcome="drop")
        spu = _lines(order).spus[0]
        other = self._similar(order.store, spu, order.id) if order.tail is Tail.LESS_SUBSTITUTE else None
        if order.tail is Tail.LESS_CANCEL:
            self._robots.say(order, drop.model_copy(update={"outcome": "cancel"}), CUSTOMER_SERVICE, b"-call")
        elif other is None:
            self._robots.say(order, drop, CUSTOMER_SERVICE, b"-call")
        else:
            taken = {"outcome": "substitute", "substitute_spus": (other,), "substitutes": (1,), "instead_of": (spu,)}
            self._robots.say(order, drop.model_copy(update=taken), CUSTOMER_SERVICE, b"-call")
            # Nobody says when the substitute cannot be had: after a while the customer goes without.
            order.wires = []
            self._robots.say(order, drop, CUSTOMER_SERVICE, b"-call-2", now=False)

    def _pick_on(self, order: Order, event: Heard, now: float) -> None:
        ticket = _ticket_of(event.value or b"")
        if ticket.kind != "shortage" or order.step > Step.SHORT_UNCALLED:
            return
        if ticket.note not in GOES_ON:
            self._robots.move(order, Step.STOPPING, now)
            return
        self._robots.move(order, Step.PICKING_AGAIN, now)
        self._pick_again(order)

    def pick_later(self, order: Order, now: float) -> None:
        """The picker was faster than the new list, and looks again a moment later."""
        if order.step is Step.PICKING_AGAIN:
            order.wires = []
            order.resend_at = now
            self._pick_again(order, at_once=False)

    def _pick_again(self, order: Order, *, at_once: bool = True) -> None:
        order.attempt += 1
        picked = logistics.ReportPicked(order_id=_id(order), store=order.store)
        self._robots.say(order, picked, PICKER, b"-picked-%d" % order.attempt, now=at_once)

    def _short(self, order: Order) -> Step:
        return Step.SHORT_UNCALLED if order.tail is Tail.LESS_UNCALLED else Step.SHORT

    # -- on the road -----------------------------------------------------------------------------------------------

    def _nobody_at_home(self, order: Order, event: Heard, now: float) -> None:
        if order.step < Step.IN_DELIVERY:
            self._robots.move(order, Step.IN_DELIVERY, now)
            failed = logistics.ReportUndeliverable(
                order_id=_id(order), store=order.store, reason="a robot found nobody at home"
            )
            self._robots.say(order, failed, COURIER, b"-undeliverable")

    def _call_back(self, order: Order, event: Heard, now: float) -> None:
        if order.step >= Step.IN_DELIVERY:
            return
        self._robots.move(order, Step.IN_DELIVERY, now)
        id_ = _id(order)
        self._robots.say(order, self._intercept_ticket(order, f"t-{id_}-back"), CUSTOMER_SERVICE, b"-intercept")
        if order.tail is Tail.CALLED_BACK_LATE:
            self._robots.say(order, logistics.ReportDelivered(order_id=id_, store=order.store), COURIER, b"-delivered")

    def _call_back_again(self, order: Order, event: Heard, now: float) -> None:
        """The robots hear of the hand-over from the store; the order may hear of the ticket first, and decline."""
        ticket = _ticket_of(event.value or b"")
        if order.tail is not Tail.CALLED_BACK or order.step is not Step.IN_DELIVERY or ticket.note != "not_in_delivery":
            return
        order.wires = []
        order.attempt += 1
        end = b"-intercept-%d" % order.attempt
        again = self._intercept_ticket(order, f"t-{_id(order)}-back-{order.attempt}")
        self._robots.say(order, again, CUSTOMER_SERVICE, end)

    def _intercept_ticket(self, order: Order, ticket_id: str) -> aftersales.OpenTicket:
        return aftersales.OpenTicket(
            order_id=_id(order), ticket_id=ticket_id, kind="intercept", reason="a robot asked for it"
        )

    def _bring_back(self, order: Order, event: Heard, now: float) -> None:
        if order.step >= Step.RETURNING:
            return
        if order.tail is Tail.AWAY_NEVER_BACK:
            self._robots.move(order, Step.NEVER_BACK, now)
            return
        self._robots.move(order, Step.RETURNING, now)
        self._robots.say(order, logistics.BringGoodsBack(order_id=_id(order), store=order.store), COURIER, b"-back")

    def _inspect(self, order: Order, event: Heard, now: float) -> None:
        if (
            order.step is not Step.RETURNING
            or _accepted_of(event.value or b"").command != logistics.BringGoodsBack.TYPE
        ):
            return
        self._robots.move(order, Step.INSPECTING, now)
        lines = _lines(order)
        came = dict.fromkeys(lines.spus, 0)
        for spu, quantity in zip(lines.spus, lines.quantities, strict=True):
            came[spu] += quantity
        first = lines.spus[0]
        if order.tail is Tail.AWAY_FEWER:
            came[first] -= 1
        came = {spu: quantity for spu, quantity in came.items() if quantity}
        inspected = logistics.InspectGoods(
            order_id=_id(order),
            store=order.store,
            spus=tuple(came),
            quantities=tuple(came.values()),
            resellable=tuple(order.tail is not Tail.AWAY_DAMAGED or spu != first for spu in came),
        )
        self._robots.say(order, inspected, STOREKEEPER, b"-inspected")


def _id(order: Order) -> str:
    return order.id.decode()


def _lines(order: Order) -> _Lines:
    assert order.basket is not None, "orders that go back keep their basket"
    return _lines_of(b"{" + order.basket.rest[1:])
