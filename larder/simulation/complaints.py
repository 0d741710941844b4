"""After the delivery: customers who rate and complain, customer service that decides, goods that come back or do not.

Every ticket about goods is decided in the end, or the order would wait for it for ever; on the way there people claim
pieces twice, name goods that nobody had, decide for somebody else, and are too late.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from larder.simulation.people import Desk
from larder.simulation.road import found_of, some_of
from larder.simulation.shop import Shop
from shared.contracts import aftersales, logistics
from shared.contracts import order as ordering
from shared.contracts.base import Message
from shared.runtime.envelope import Delivery as Record

EVENINGS = (0.0, 0.3, 0.9)
"""How often a delivered order is complained about, by evening."""
KINDS: tuple[aftersales.GoodsKind, ...] = ("refund_only", "return", "exchange", "replenishment")
PEOPLE = ("customer_service:ada", "customer_service:bo")
LATER_S = (1.0, 60.0, 3_000.0, 100_000.0, 200_000.0)
"""Somebody complains, or rates, within one of these: some of them after the window."""
DECIDED_S = (1.0, 60.0, 900.0, 20_000.0)
BACK_S = (10.0, 1_000.0, 80_000.0, 120_000.0)
"""Goods are at the store within one of these: some come after they were given up."""
TRIES_MAX = 4
"""So often somebody chooses again for one ticket; then it is rejected."""


class Complaints:
    """Everybody who has to do with goods that were delivered."""

    def __init__(self, desk: Desk, shop: Shop) -> None:
        self.desk = desk
        self.dice = desk.dice
        self.shop = shop
        self.often = desk.dice.choice(EVENINGS)
        self._goods: dict[str, dict[str, int]] = {}
        self._accounts: dict[str, str] = {}
        self._tickets = 0
        self._tries = Counter[str]()
        self._heard: set[str] = set()
        self._old_goods: dict[str, logistics.FulfilOrder] = {}
        watch = desk.around.log.watch
        for type_, act in (
            (aftersales.OpenWindow.TYPE, self._delivered),
            (aftersales.TicketOpened.TYPE, self._opened),
            (aftersales.TicketMoved.TYPE, self._moved),
            (logistics.AnnounceReturn.TYPE, self._announced),
            (logistics.FulfilOrder.TYPE, self._sent_out),
            (logistics.FulfilmentQueued.TYPE, self._maybe_cancel),
            (logistics.FulfilmentHandedOver.TYPE, self._maybe_cancel),
        ):
            watch(type_, partial(self._once, act))

    def _once(self, act: Any, record: Record) -> None:
        """Each message is heard once, however often it stands in the log."""
        if record.value is not None and record.link and record.id not in self._heard:
            self._heard.add(record.id)
            act(record)

    def _send(self, message: Message, after_s: float, actor: str = "") -> None:
        self.desk.send(message, actor or self.dice.choice(PEOPLE), after_s=after_s)

    # -- complaining -----------------------------------------------------------------------------------------------

    def _delivered(self, record: Record) -> None:
        assert record.value is not None
        told, dice = aftersales.OpenWindow.from_json(record.value), self.dice
        goods = Counter[str]()
        for spu, quantity in zip(told.spus, told.quantities, strict=True):
            goods[spu] += quantity
        self._goods[told.order_id], self._accounts[told.order_id] = dict(goods), told.account
        # A replacement is complained about less often, or its chain would never end.
        if dice.random() >= (self.often if "~" not in told.order_id else self.often / 2):
            return
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            self._open(told.order_id, dice.choice(LATER_S) * dice.random())
        if dice.random() < 0.4:
            self._rate(told.order_id, told.account, dice.choice(LATER_S) * dice.random())

    def _rate(self, order_id: str, account: str, after_s: float) -> None:
        dice = self.dice
        stars = dice.randint(1, 5)
        rating = aftersales.RateOrder(order_id=order_id, account=account, stars=stars, text="so so")
        self._send(rating, after_s, f"customer:{account}")
        if dice.random() < 0.2:  # twice, or somebody else
            other = dice.choice((account, "a-99"))
            again = aftersales.RateOrder(order_id=order_id, account=other, stars=1)
            self._send(again, after_s + dice.random(), f"customer:{other}")

    def _open(self, order_id: str, after_s: float) -> None:
        self._tickets += 1
        dice = self.dice
        kind = dice.choice(KINDS)
        lines = some_of(self._goods[order_id], dice)
        if dice.random() < 0.1:
            lines = dice.choice(([("moon-cheese", 1)], [(lines[0][0], lines[0][1] + 5)], []))
        ticket = aftersales.OpenTicket(
            order_id=order_id if dice.random() < 0.97 else "o-mistyped",
            ticket_id=f"c-{self._tickets}",
            kind=kind,
            reason="bruised",
            liable=dice.choice((None, "store", "supplier", "courier")),
            **self._decision(kind, lines),
        )
        self._send(ticket, after_s)

    def _decision(self, kind: str, lines: list[tuple[str, int]]) -> dict[str, Any]:
        """Which pieces, for how much, or for what else; now and then what does not fit."""
        dice = self.dice
        said: dict[str, Any] = {
            "spus": tuple(spu for spu, _ in lines),
            "quantities": tuple(pieces for _, pieces in lines),
        }
        if dice.random() < (0.4 if kind == "refund_only" else 0.03):
            said["amount"] = dice.choice((1, 50, 100, 100_000))
        if lines and dice.random() < (0.6 if kind in ("exchange", "replenishment") else 0.03):
            others = [(dice.choice([*self.shop.prices, "moon-cheese"]), pieces, spu) for spu, pieces in lines]
            if dice.random() < 0.1:
                others[0] = (others[0][0], others[0][1] + 1, others[0][2])
            said["replacement_spus"] = tuple(spu for spu, _, _ in others)
            said["replacements"] = tuple(pieces for _, pieces, _ in others)
            said["instead_of"] = tuple(spu if dice.random() < 0.5 else "" for _, _, spu in others)
        return said

    # -- deciding --------------------------------------------------------------------------------------------------

    def _opened(self, record: Record) -> None:
        assert record.value is not None
        told = aftersales.TicketOpened.from_json(record.value)
        if told.kind in (*KINDS, "quality"):
            self._decide(told.order_id, told.ticket_id, told.kind)

    def _moved(self, record: Record) -> None:
        """Open again: somebody has to choose again. On its way back: the courier brings what he took along."""
        assert record.value is not None
        told = aftersales.TicketMoved.from_json(record.value)
        if told.step in ("ReopenTicket", "AdmitTicket"):
            self._decide(told.order_id, told.ticket_id, told.kind)
        if told.step == "ConfirmReplacement" and told.phase == "returning":
            sent = self._old_goods[told.ticket_id]
            assert sent.take_along is not None
            along = sent.take_along
            pieces = dict(zip(along.spus, along.quantities, strict=True))
            self._bring_back(along.ticket_id, along.about, sent.store, pieces, 0.1)

    def _decide(self, order_id: str, ticket_id: str, kind: str) -> None:
        dice = self.dice
        about: dict[str, Any] = {"order_id": order_id, "ticket_id": ticket_id}
        self._tries[ticket_id] += 1
        after_s = dice.choice(DECIDED_S) * dice.random()
        person = dice.choice(PEOPLE)
        if dice.random() < 0.3:
            self._send(aftersales.ClaimTicket(**about), after_s * dice.random(), dice.choice(PEOPLE))
        if dice.random() < 0.1:
            self._send(aftersales.NoteTicket(**about, text="called, nobody there"), after_s * dice.random())
        if dice.random() < 0.1:
            self._send(aftersales.ReleaseTicket(**about), after_s * dice.random())
        if self._tries[ticket_id] <= TRIES_MAX:
            for _ in range(dice.choice((0, 1, 1, 1, 1, 2))):
                self._send(self._approval(about, kind), after_s + dice.random(), person)
        if dice.random() < 0.1:
            self._send(aftersales.RejectTicket(**about, reason="no"), after_s + dice.random() * 2, person)
        # Whatever came of that, and whoever has it: the next day somebody sees to what is open still.
        for late_s in (300_000.0, 302_000.0):
            self._send(aftersales.RejectTicket(**about, reason="too old"), late_s, person)

    def _approval(self, about: dict[str, Any], kind: str) -> aftersales.ApproveTicket:
        dice = self.dice
        if kind in KINDS and dice.random() < 0.6:
            return aftersales.ApproveTicket(**about)
        other = dice.choice(KINDS) if dice.random() < 0.9 else None
        lines = some_of(self._goods.get(about["order_id"], {"spu-0": 1}), dice) if dice.random() < 0.7 else []
        return aftersales.ApproveTicket(**about, kind=other, **self._decision(other or kind, lines))

    # -- goods -----------------------------------------------------------------------------------------------------

    def _sent_out(self, record: Record) -> None:
        assert record.value is not None
        told = logistics.FulfilOrder.from_json(record.value)
        if told.take_along:
            self._old_goods[told.take_along.ticket_id] = told

    def _announced(self, record: Record) -> None:
        """The customer gives it to a courier, brings it, or forgets it."""
        assert record.value is not None
        told, dice = logistics.AnnounceReturn.from_json(record.value), self.dice
        after_s = dice.choice(BACK_S) * dice.random()
        about: dict[str, Any] = {"order_id": told.order_id, "ticket_id": told.ticket_id, "store": told.store}
        chance = dice.random()
        if chance < 0.15:
            return
        if chance < 0.6:
            self._send(logistics.CollectReturn(**about, courier="k-2"), after_s * dice.random(), "courier:k-2")
        pieces = dict(zip(told.spus, told.quantities, strict=True))
        self._bring_back(told.ticket_id, told.order_id, told.store, pieces, after_s)

    def _bring_back(self, ticket_id: str, order_id: str, store: str, pieces: dict[str, int], after_s: float) -> None:
        dice = self.dice
        about: dict[str, Any] = {"order_id": order_id, "ticket_id": ticket_id, "store": store}
        if dice.random() < 0.1:
            return
        bring: logistics.ReturnCommand = logistics.BringReturn(**about)
        after_s += dice.choice(BACK_S) * dice.random() if dice.random() < 0.5 else 0.0
        self._send(bring, after_s, "courier:k-2")
        inspect = partial(logistics.InspectReturn, **about)
        if dice.random() < 0.1:  # too early, unknown lines, or more than was announced
            odd = dice.choice(({"moon-cheese": 1}, {next(iter(pieces)): 999}, {}))
            self._send(inspect(**found_of(odd, dice)), after_s + 0.1 * dice.random(), f"storekeeper:{store}")
        looked_s = after_s + dice.choice((0.2, 5.0, 1_000.0)) * dice.random() + 1.0
        for _ in range(dice.choice((1, 1, 1, 2))):
            found = dice.choice((pieces, pieces, dict(some_of(pieces, dice)), dict(some_of(pieces, dice)), {}))
            self._send(inspect(**found_of(found, dice)), looked_s + dice.random(), f"storekeeper:{store}")

    # -- replacement orders ----------------------------------------------------------------------------------------

    def _maybe_cancel(self, record: Record) -> None:
        """Customer service calls a replacement order off, or its customer tries to."""
        dice = self.dice
        if "~" not in record.subject or dice.random() >= 0.1:
            return
        actor = dice.choice((*PEOPLE, f"customer:{self._accounts.get(record.subject.partition('~')[0], '')}"))
        self._send(ordering.CancelOrder(order_id=record.subject), dice.choice((0.1, 5.0, 60.0)) * dice.random(), actor)
