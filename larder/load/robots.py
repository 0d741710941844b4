"""The robots: customers, pickers and couriers. What they do at which event; no I/O, no clock.

An order goes up the steps; an event that would take it down is late or said twice, and nothing happens. A command
whose event does not come is sent again with the same id (`overdue`): larder decides it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from zlib import crc32

import msgspec

from larder.load.after import AfterSales
from larder.load.back import Similar, WaysBack
from larder.load.catalogue import NOWHERE
from larder.load.figures import End, Figures
from larder.load.mix import LATE_BY_S, Tail
from larder.load.order import RESTING, Heard, Order, Step
from larder.load.play import Ready
from larder.load.wire import Stencil, link_of, prefix_of, type_of
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Message
from shared.contracts.topics import partition_for
from shared.runtime.envelope import Wire

RESEND_S = 20.0
"""A command without its event is sent again after so long; then after twice as long, and so on."""
RESENDS_DOUBLED_MAX = 3
CONFIRM_SHARE = 0.75
"""Share of customers who pay a total that has changed on the click; the others cancel."""
ORDER_COMMANDS, STORE_COMMANDS = ordering.PlaceOrder.TOPIC, logistics.StartPicking.TOPIC
CARD, BAD_CARD, TWICE_CARD, KEEPING_CARD = "tok_ok", "tok_declined", "tok_twice", "tok_no_refund"

COUPON_CODES = frozenset({"coupon_unknown", "coupon_not_valid", "coupon_used", "coupon_does_not_apply"})
"""Why an order with a coupon may be refused for it."""

Send = Callable[[str, int, Wire], None]
"""Takes a record for a topic and partition; it goes out with the next batch."""


# The store's work: at this event, this step, this command, by this robot, the end of its id, and what else it says.
WORK = {
    b"FulfilmentQueued": (Step.AWAITING_PICKING, logistics.StartPicking.TYPE, b"picker:robot", b"-pick", b""),
    b"PickingStarted": (Step.PICKING, logistics.ReportPicked.TYPE, b"picker:robot", b"-picked", b""),
    b"PickingFinished": (Step.PACKING, logistics.ReportPacked.TYPE, b"picker:robot", b"-packed", b""),
    b"FulfilmentPacked": (
        Step.AWAITING_SHIPMENT,
        logistics.HandOver.TYPE,
        b"courier:robot",
        b"-over",
        b',"courier":"courier-robot"',
    ),
    b"FulfilmentHandedOver": (Step.IN_DELIVERY, logistics.ReportDelivered.TYPE, b"courier:robot", b"-delivered", b""),
}


class _Total(msgspec.Struct):
    total: int


class _Refusal(msgspec.Struct):
    command: str
    code: str


_total_of = msgspec.json.Decoder(_Total).decode
_refusal_of = msgspec.json.Decoder(_Refusal).decode

Tell = Callable[[Order, bytes, float], None]
"""Is told every event that moved an order: the order, the event's type, the time."""


class Robots:
    """Everybody who wants something of larder during a load."""

    def __init__(
        self,
        run: str,
        figures: Figures,
        send: Send,
        *,
        shards: int,
        gateway_timeout_s: float = 10,
        lies_s: float = 300,
        closes: bool = True,
        tell: Tell | None = None,
        similar: Similar | None = None,
        confirm_share: float = CONFIRM_SHARE,
    ) -> None:
        self.orders: dict[bytes, Order] = {}
        self.steps = [0] * len(Step)
        """Orders by step."""
        self.resting = 0
        self.placed = 0
        self.refused: Counter[str] = Counter()
        """Refusals by command and code."""
        self.coupons = 0
        """Orders that named one."""
        self.coupons_refused = 0
        self.changed: Counter[str] = Counter()
        """Totals that changed on the click: confirmed, or left."""
        self.resends = 0
        self.late_until = 0.0
        """Until when late money may come."""
        self.time = b""
        """The envelopes' time; the caller sets it once a batch."""
        self.alarms: list[tuple[float, bytes]] = []
        """When who lets goods lie cancels, and which order: a heap."""
        self._lies_s = lies_s
        self._confirm_share = confirm_share
        self._prefix = prefix_of(run).encode()
        self._figures = figures
        self._send = send
        self._shards = shards
        self._gateway_timeout_s = gateway_timeout_s
        self._late_card = f"tok_late:{int(gateway_timeout_s) + LATE_BY_S}"
        self._closes = closes
        self._tell = tell
        self._place, self._pay, self._cancel = (
            Stencil(m.TYPE) for m in (ordering.PlaceOrder, ordering.PayOrder, ordering.CancelOrder)
        )
        self._work = {
            event: (step, Stencil(type_), actor, end, more) for event, (step, type_, actor, end, more) in WORK.items()
        }
        self._reactions: dict[bytes, Callable[[Order, Heard, float], None]] = {
            b"OrderPayable": self._payable,
            b"OrderPaid": self._paid,
            b"OrderDelivered": self._delivered,
            b"OrderClosed": self._closed,
            b"OrderCancelled": self._cancelled,
            b"OrderRejected": self._rejected,
            b"OrderReferred": self._referred,
            b"CommandRefused": self.refused_command,
        }
        self._stencils: dict[str, Stencil] = {}
        self._ways = WaysBack(self, similar)
        self._plans = self._ways.plans | AfterSales(self).plans

    @property
    def busy(self) -> int:
        """Orders that take room in the window."""
        return len(self.orders) - self.resting

    # -- what comes in ---------------------------------------------------------------------------------------------

    def place(
        self, basket: Ready, tail: Tail, now: float, *, coupon: str = "", expected_total: int | None = None
    ) -> bytes:
        """A customer orders; naming a coupon, or for nothing but this total. The order's id."""
        self.placed += 1
        id_ = b"%b%d" % (self._prefix, self.placed)
        order = Order(id_, basket, tail, now)
        order.resend_at = now + RESEND_S
        self.orders[id_] = order
        order.plan = self._plans.get(tail)
        if self._tell is not None or order.plan is not None or coupon:
            order.basket = basket
        order.coupon, order.total = coupon, expected_total
        self.coupons += bool(coupon)
        self.steps[Step.PLACING] += 1
        rest = basket.rest if tail is not Tail.SHORT else _with_nowhere(basket.rest)
        if coupon:
            rest = b'%b,"coupons":["%b"]}' % (rest[:-1], coupon.encode())
        if expected_total is not None:
            rest = b'%b,"expected_total":%d}' % (rest[:-1], expected_total)
        self._say(order, self._place, b"-place", b'{"order_id":"%b"%b' % (id_, rest))
        if tail is Tail.CANCELS_AT_ONCE:
            self.want_out(order)
        return id_

    def hear(self, records: Iterable[Heard], now: float) -> int:
        """Reacts to events; those about other orders are passed over. Says how many moved an order."""
        orders, work, reactions = self.orders, self._work, self._reactions
        moved = 0
        for record in records:
            order = orders.get(record.key)  # type: ignore[arg-type]
            if order is None or record.value is None:
                continue
            type_ = type_of(record.headers)
            plan, task = order.plan, work.get(type_)
            if plan is not None and type_ in plan:
                plan[type_](order, record, now)
            elif task is not None:
                if not self.work(order, type_, now):
                    continue
            else:
                reaction = reactions.get(type_)
                if reaction is None:
                    continue
                reaction(order, record, now)
            moved += 1
            if self._tell is not None:
                self._tell(order, type_, now)
        return moved

    def work(self, order: Order, type_: bytes, now: float) -> bool:
        """The store goes on with an order at this event; False when it has done so before."""
        step, stencil, actor, end, more = self._work[type_]
        if step <= order.step:
            return False
        self.move(order, step, now)
        self._do(order, stencil, actor, end, more)
        return True

    def react(self, order: Order, event: Heard, now: float) -> None:
        """What happens at an event with plain orders."""
        self._reactions[type_of(event.headers)](order, event, now)

    def complaint_over(self, order: Order, now: float) -> None:
        """The order's ticket has ended: nothing is left but to close."""
        if self._closes:
            self.move(order, Step.DELIVERED, now)
        else:
            self._end(order, End.COMPLETED, now)

    def overdue(self, now: float) -> int:
        """Sends again what was not answered in its time. Says how many orders were helped so."""
        again = 0
        for order in self.orders.values():
            if order.resend_at <= now and order.wires:
                for topic, partition, wire in order.wires:
                    self._send(topic, partition, wire)
                order.resends += 1
                order.resend_at = now + RESEND_S * 2 ** min(order.resends, RESENDS_DOUBLED_MAX)
                again += 1
        self.resends += again
        return again

    def wake(self, now: float) -> None:
        """Whose goods have lain long enough cancels."""
        while self.alarms and self.alarms[0][0] <= now:
            order = self.orders.get(heappop(self.alarms)[1])
            if order is not None:
                self.move(order, Step.CANCELLING, now)
                self.want_out(order)

    # -- the customer ----------------------------------------------------------------------------------------------

    def _payable(self, order: Order, event: Heard, now: float) -> None:
        step, tail = order.step, order.tail
        link = link_of(event.headers)
        if 0 < link <= order.payable_link:
            return  # not said again, only sent again
        order.payable_link = link
        if step is Step.PLACING:
            self._figures.payable(now - order.placed_at, now)
        elif step is Step.CANCELLING:
            if tail is Tail.CANCELS_AT_ONCE:
                self.want_out(order)  # the first wish was refused, or comes late and settles it anyway
            return
        elif step not in (Step.PAYING, Step.PAYING_LATE, Step.IN_REVIEW):
            return
        seen, order.total = order.total, _total_of(event.value or b"").total
        if seen not in (None, order.total) and not self._confirms(order):
            self.move(order, Step.CANCELLING, now)
            self.want_out(order)
        elif tail is Tail.UNPAID:
            self.move(order, Step.AWAITING_PAYMENT, now)
        elif tail is Tail.CANCELS_LATE:
            self.move(order, Step.AWAITING_PAYMENT, now)
            heappush(self.alarms, (now + self._lies_s, order.id))
        elif tail is Tail.CANCELS_PAYABLE or (tail is Tail.DECLINED_LEAVES and order.attempt):
            self.move(order, Step.CANCELLING, now)
            self.want_out(order)
        else:
            self._pay_now(order, now)

    def _confirms(self, order: Order) -> bool:
        """Does the customer pay another total than the one that they saw?"""
        confirms = crc32(order.id) % 100 < 100 * self._confirm_share
        self.changed["confirmed" if confirms else "left"] += 1
        return confirms

    def _pay_now(self, order: Order, now: float) -> None:
        order.attempt = attempt = order.attempt + 1
        tail = order.tail
        card, step = CARD, Step.PAYING
        if attempt == 1:
            if tail in (Tail.DECLINED, Tail.DECLINED_LEAVES):
                card = BAD_CARD
            elif tail is Tail.TWICE:
                card = TWICE_CARD
            elif tail is Tail.NO_REFUND:
                card = KEEPING_CARD
            elif tail is Tail.LATE:
                card, step = self._late_card, Step.PAYING_LATE
        assert order.total is not None, "who pays has seen a total"
        self.move(order, step, now)
        if step is Step.PAYING_LATE:
            order.resend_at += self._gateway_timeout_s
            self.late_until = now + self._gateway_timeout_s + LATE_BY_S
        body = b'{"order_id":"%b","method":"%b","expected_total":%d}' % (order.id, card.encode(), order.total)
        self._say(order, self._pay, b"-pay-%d" % attempt, body)
        if tail is Tail.CANCELS_PAYING:
            self.move(order, Step.CANCELLING, now, wires_stay=True)
            self.want_out(order)

    def want_out(self, order: Order) -> None:
        """The customer cancels."""
        order.attempt += 1
        body = b'{"order_id":"%b","reason":"a robot changed its mind"}' % order.id
        self._say(order, self._cancel, b"-cancel-%d" % order.attempt, body)
        if order.step is Step.PLACING:
            self._shift(order, Step.CANCELLING)

    def _paid(self, order: Order, event: Heard, now: float) -> None:
        order.moved_at = now
        assert order.total is not None, "who pays has seen a total"
        self._figures.paid(order.total, order.pieces, order.ordinary - order.total)

    def refused_command(self, order: Order, event: Heard, now: float) -> None:
        """Larder does not do what was asked."""
        refusal = _refusal_of(event.value or b"")
        self.refused[f"{refusal.command}: {refusal.code}"] += 1
        if refusal.command == "ReportPicked" and refusal.code == "fulfilment_not_picking":
            self._ways.pick_later(order, now)
        if refusal.command != "PlaceOrder" or refusal.code == "order_exists":
            return
        if order.coupon and order.step is Step.PLACING and refusal.code in COUPON_CODES:
            self._place_without_coupon(order, now)
        elif order.step in (Step.PLACING, Step.CANCELLING):
            self._end(order, End.REJECTED, now)

    def _place_without_coupon(self, order: Order, now: float) -> None:
        """Larder refused the coupon; the customer wants the goods all the same."""
        assert order.basket is not None, "orders with a coupon keep their basket"
        order.coupon = ""
        self.coupons_refused += 1
        self.move(order, Step.PLACING, now)
        rest = order.basket.rest if order.tail is not Tail.SHORT else _with_nowhere(order.basket.rest)
        self._say(order, self._place, b"-place-2", b'{"order_id":"%b"%b' % (order.id, rest))

    def _referred(self, order: Order, event: Heard, now: float) -> None:
        """A person decides, and no robot is one: the end of the review window does."""
        if order.step is Step.PLACING:
            self.move(order, Step.IN_REVIEW, now)

    # -- the ends --------------------------------------------------------------------------------------------------

    def _delivered(self, order: Order, event: Heard, now: float) -> None:
        if not self._closes:
            self._end(order, End.COMPLETED, now)
        elif order.step < Step.DELIVERED:
            self.move(order, Step.DELIVERED, now)

    def _closed(self, order: Order, event: Heard, now: float) -> None:
        self._end(order, End.COMPLETED, now)

    def _cancelled(self, order: Order, event: Heard, now: float) -> None:
        self._end(order, End.CANCELLED, now)

    def _rejected(self, order: Order, event: Heard, now: float) -> None:
        self._end(order, End.REJECTED, now)

    def _end(self, order: Order, how: End, now: float) -> None:
        del self.orders[order.id]
        self.steps[order.step] -= 1
        self.resting -= order.step in RESTING
        self._figures.ended(how, now)

    # -- what goes out ---------------------------------------------------------------------------------------------

    def move(self, order: Order, step: Step, now: float, *, wires_stay: bool = False) -> None:
        """An order comes to a step; what it said before is answered by that."""
        self._shift(order, step)
        order.moved_at = now
        order.resend_at = now + RESEND_S
        order.resends = 0
        if not wires_stay:
            order.wires = []

    def _shift(self, order: Order, step: Step) -> None:
        steps = self.steps
        steps[order.step] -= 1
        steps[step] += 1
        self.resting += (step in RESTING) - (order.step in RESTING)
        order.step = step

    def say(self, order: Order, message: Message, actor: bytes, end: bytes, *, now: bool = True) -> None:
        """Anybody says anything about an order; `end` is the end of the command's id. With `now` False it goes out only
        when it is time to send again."""
        stencil = self._stencils.get(message.TYPE)
        if stencil is None:
            # What a robot does next may rest on it: that goods are back in the store is an event of nobody.
            stencil = self._stencils[message.TYPE] = Stencil(
                message.TYPE, wants_word=isinstance(message, logistics.BringGoodsBack)
            )
        headers = stencil.headers(order.id + end, message.subject.encode(), actor, self.time)
        wire = (message.key.encode(), message.to_json(), headers)
        partition = partition_for(message.key, self._shards)
        order.wires.append((message.TOPIC, partition, wire))
        if now:
            self._send(message.TOPIC, partition, wire)

    def _say(self, order: Order, stencil: Stencil, end: bytes, body: bytes) -> None:
        id_ = order.id
        headers = stencil.headers(id_ + end, id_, b"customer:" + order.account.encode(), self.time)
        partition = 0 if self._shards == 1 else partition_for(id_.decode(), self._shards)
        wire = (id_, body, headers)
        order.wires.append((ORDER_COMMANDS, partition, wire))
        self._send(ORDER_COMMANDS, partition, wire)

    def _do(self, order: Order, stencil: Stencil, actor: bytes, end: bytes, more: bytes) -> None:
        id_, store = order.id, order.store.encode()
        headers = stencil.headers(id_ + end, id_, actor, self.time)
        wire = (store, b'{"order_id":"%b","store":"%b"%b}' % (id_, store, more), headers)
        partition = partition_for(order.store, self._shards)
        order.wires = [(STORE_COMMANDS, partition, wire)]
        self._send(STORE_COMMANDS, partition, wire)


def _with_nowhere(rest: bytes) -> bytes:
    """The basket with a product in the place of its first that no store has."""
    begin = rest.index(b'"spus":["') + len(b'"spus":["')
    return rest[:begin] + NOWHERE.encode() + rest[rest.index(b'"', begin) :]
