"""Customer service: calls about short lines, calls couriers back, sees to goods and money that are missing, cancels.

Now and then about the wrong ticket, about an order that nobody placed, or long after it mattered.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from larder.simulation.people import Desk
from larder.simulation.shop import Shop
from shared.contracts import aftersales, logistics
from shared.contracts.base import Message
from shared.runtime.envelope import Delivery as Record

ACTOR = "customer_service:cs-1"
CALLED_S = (1.0, 20.0, 200.0, 600.0, 1000.0)
"""Somebody calls within one of these: some of them are about the shortage's deadline."""
TRIES_MAX = 3
"""So often somebody has the refunds of one order tried again; then it is the bank's word, and somebody pays by hand."""
SEEN_TO_S = (60.0, 5_000.0, 100_000.0, 400_000.0)
"""Somebody sees to missing goods or money within one of these."""


class CustomerService:
    """Everybody who picks up the phone."""

    def __init__(self, desk: Desk, shop: Shop) -> None:
        self.desk = desk
        self.dice = desk.dice
        self.shop = shop
        self._raised: dict[str, aftersales.RaiseTicket] = {}
        self._intercepts = 0
        self._tries = Counter[str]()
        watch = desk.around.log.watch
        watch(aftersales.RaiseTicket.TYPE, self._take_ticket)
        watch(aftersales.ReopenCall.TYPE, self._call_again)
        watch(logistics.FulfilmentHandedOver.TYPE, self._maybe_intercept)

    def begin(self, orders: list[str]) -> None:
        """Plans mistakes: intercepts at any moment, also of orders that are not there, and tickets nobody knows."""
        dice = self.dice
        for _ in range(dice.choice((0, 0, 1, 2))):
            order_id = dice.choice([*orders, "o-mistyped"])
            self._intercept(order_id, dice.choice((5.0, 100.0, 900.0, 200_000.0, 400_000.0)) * dice.random())
        if dice.random() < 0.1:
            order_id = dice.choice(orders)
            mistaken = aftersales.ApproveTicket(order_id=order_id, ticket_id=f"t-{order_id}-9")
            self._send(mistaken, dice.random() * 900.0)

    def _send(self, message: Message, after_s: float) -> None:
        self.desk.send(message, ACTOR, after_s=after_s)

    # -- tickets that the saga raised ------------------------------------------------------------------------------

    def _take_ticket(self, record: Record) -> None:
        if record.value is None or record.link == 0:
            return
        ticket = aftersales.RaiseTicket.from_json(record.value)
        if ticket.ticket_id in self._raised:
            return  # it stands in the log again
        self._raised[ticket.ticket_id] = ticket
        if ticket.kind == "shortage":
            self._maybe_call(ticket)
        else:
            self._see_to(ticket)

    def _call_again(self, record: Record) -> None:
        if record.value is not None and record.link:
            reopened = aftersales.ReopenCall.from_json(record.value)
            if ticket := self._raised.get(reopened.ticket_id):
                self._maybe_call(ticket)

    def _maybe_call(self, ticket: aftersales.RaiseTicket) -> None:
        """Mostly somebody calls, now and then two of them; else the deadline decides."""
        dice = self.dice
        for _ in range(dice.choice((0, 1, 1, 1, 1, 1, 2))):
            self._send(self._outcome(ticket), dice.choice(CALLED_S) * dice.random())
        if dice.random() < 0.05:
            approval = aftersales.ApproveTicket(order_id=ticket.order_id, ticket_id=ticket.ticket_id)
            self._send(approval, dice.random() * 60.0)

    def _outcome(self, ticket: aftersales.RaiseTicket) -> aftersales.RecordCall:
        dice = self.dice
        call = partial(aftersales.RecordCall, order_id=ticket.order_id, ticket_id=ticket.ticket_id)
        chance = dice.random()
        if chance < 0.15:
            return call(outcome="cancel")
        if chance < 0.35:
            return call(outcome="drop")
        return call(outcome="substitute", **self._substitutes(ticket))

    def _substitutes(self, ticket: aftersales.RaiseTicket) -> dict[str, Any]:
        """Something like it for some of what is short; or too dear, or unknown, or short itself, or too much of it."""
        dice, prices = self.dice, self.shop.prices
        some: list[tuple[str, int, str]] = []
        for spu, missing in zip(ticket.spus, ticket.quantities, strict=True):
            price = prices.get(spu, 0)
            fitting = [s for s, p in prices.items() if s not in ticket.spus and abs(p - price) <= 0.2 * price]
            other = dice.choice(fitting) if fitting and dice.random() < 0.85 else dice.choice([*prices, "moon-cheese"])
            pieces = dice.randint(1, missing) if dice.random() < 0.9 else missing + 1
            some.append((other, pieces, spu))
        spus, substitutes, instead_of = zip(*some[: dice.randint(1, len(some))], strict=True)
        return {"substitute_spus": spus, "substitutes": substitutes, "instead_of": instead_of}

    def _see_to(self, ticket: aftersales.RaiseTicket) -> None:
        """Refunds are always seen to in the end; goods that nobody finds may be looked for forever."""
        dice = self.dice
        if ticket.kind == "missing_goods" and dice.random() < 0.2:
            return
        about: dict[str, Any] = {"order_id": ticket.order_id, "ticket_id": ticket.ticket_id}
        done = (
            aftersales.ApproveTicket(**about)
            if dice.random() < 0.7
            else aftersales.RejectTicket(**about, reason="nothing to be done")
        )
        later_s = dice.choice(SEEN_TO_S) * dice.random()
        if ticket.kind == "refund_failed":
            self._tries[ticket.order_id] += 1
            if self._tries[ticket.order_id] > TRIES_MAX:
                done = aftersales.RejectTicket(**about, reason="paid by hand")
            if self._tries[ticket.order_id] > 1:
                later_s = SEEN_TO_S[0] * dice.random()
        self._send(done, later_s)
        if dice.random() < 0.1:
            again = dice.choice((done, aftersales.RecordCall(**about, outcome="drop")))
            self._send(again, later_s + dice.choice((-0.5, 1.0)) * dice.random() * min(later_s, 60.0))

    # -- couriers that are called back -----------------------------------------------------------------------------

    def _maybe_intercept(self, record: Record) -> None:
        dice = self.dice
        if record.link and dice.random() < 0.25:
            for _ in range(dice.choice((1, 1, 1, 2))):
                self._intercept(record.subject, dice.choice((0.1, 2.0, 60.0)) * dice.random())

    def _intercept(self, order_id: str, after_s: float) -> None:
        self._intercepts += 1
        ticket = aftersales.OpenTicket(
            order_id=order_id, ticket_id=f"i-{self._intercepts}", kind="intercept", reason="moved to another house"
        )
        self._send(ticket, after_s)
