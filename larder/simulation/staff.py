"""The store's people, risk's analysts and the office: now and then too early, twice, or in the wrong place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Literal

from msgspec.structs import replace

from larder.simulation.clock import NOON
from larder.simulation.people import Desk
from larder.simulation.road import Road
from larder.simulation.shop import Shop
from services.risk.rules import DELIVERED, SIGNALS, Levels, Rule, RuleSet
from services.risk.state import Blocked, Kind, Treatment
from shared.contracts import inventory, logistics, risk
from shared.contracts import order as ordering
from shared.contracts.base import Message, Slot
from shared.contracts.texts import normal_form
from shared.runtime.envelope import Delivery as Record

EVENING_S = 900.0
"""Prices, shelves and lists change within this time."""
PLACING_TIME_S = 15.0
"""Changes are most trying while baskets are placed."""
ANALYSTS = ("risk_analyst:ra-1", "risk_analyst:ra-2")
STRICT = 0.7
"""The share of evenings that begin with rules of their own."""
SOON = ("orders", "cancels", "expiries", "device_orders", "device_accounts", "address_orders")
"""Signals that every evening has something of."""
LEVELS = (Levels(30, 100, 200), Levels(20, 45, 70), Levels(restrict=5), Levels(refer=20), Levels())
VERDICTS: tuple[Literal["clear", "restrict", "refuse"], ...] = ("clear", "restrict", "refuse")
STEPS: dict[type[Message], tuple[str, Callable[..., Message]]] = {
    logistics.FulfilmentQueued: ("picker:", logistics.StartPicking),
    logistics.PickingStarted: ("picker:", logistics.ReportPicked),
    logistics.PickingFinished: ("picker:", logistics.ReportPacked),
    logistics.FulfilmentPacked: ("courier:", partial(logistics.HandOver, courier="k-1")),
    logistics.FulfilmentHandedOver: ("courier:", logistics.ReportDelivered),
}
"""At this event, who does what."""


class Staff:
    """Everybody who works for the shop."""

    def __init__(self, desk: Desk, shop: Shop, slots: list[Slot], road: Road) -> None:
        self.desk = desk
        self.road = road
        self.dice = desk.dice
        self.shop = shop
        self.slots = slots
        self._accounts: dict[str, str] = {}
        for event, (actor, command) in STEPS.items():
            desk.around.log.watch(event.TYPE, partial(self._work, event, actor, command))
        desk.around.log.watch(ordering.OrderPaid.TYPE, self._be_early)
        desk.around.log.watch(risk.OrderReferred.TYPE, self._review)

    def begin(self) -> None:
        """Fills the shelves, opens the slots, and plans the evening's changes."""
        dice = self.dice
        pieces = dice.choice(((0, 1, 2, 4), (3, 8, 20), (8, 20), (20, 40)))
        for store in self.shop.areas:
            self._receive(store, 0.0, pieces)
            if self.slots:
                self._set_slots(store, 0.0, (0, 1, 2, 5))
            for _ in range(dice.randint(0, 2)):
                self._receive(store, dice.random() * EVENING_S, (0, 1, 3, 8))
            for _ in range(dice.choice((0, 1, 2, 3, 8))):
                self._adjust(store, dice.random() * dice.choice((4 * PLACING_TIME_S, EVENING_S)))
            if self.slots and dice.random() < 0.3:
                self._set_slots(store, dice.random() * EVENING_S, (0, 1, 3))
        if dice.random() < STRICT:
            self._change_rules()
        for change in (
            self._change_price,
            self._change_blocklist,
            self._turn_switch,
            self._change_rules,
            self._open_or_shut,
        ):
            for _ in range(dice.choice((0, 0, 1, 2))):
                self.desk.after(dice.random() * dice.choice((PLACING_TIME_S, EVENING_S)), change)
        for _ in range(dice.choice((0, 1, 3))):
            self._change_blocklist()

    # -- the store's work ------------------------------------------------------------------------------------------

    def _work(self, event: type[Message], actor: str, command: Callable[..., Message], record: Record) -> None:
        if record.value is None or record.link == 0:
            return
        dice, desk = self.dice, self.desk
        told: Any = event.from_json(record.value)
        takes_s = dice.choice((0.1, 2.0, 60.0)) * dice.random()
        if command is logistics.ReportPicked:
            self.road.report_picked(told.order_id, told.store, takes_s)
        elif command is logistics.ReportDelivered:
            self.road.come_to_door(told.order_id, told.store, takes_s)
        else:
            step = command(order_id=told.order_id, store=told.store)
            desk.send(step, actor, after_s=takes_s)
            if dice.random() < 0.05:
                desk.send(step, actor, after_s=takes_s + dice.random())
        if dice.random() < 0.05:
            _, other = dice.choice(list(STEPS.values()))  # whatever comes to mind
            store = dice.choice([*self.shop.areas, "nowhere"])
            desk.send(other(order_id=told.order_id, store=store), actor, after_s=dice.random())

    def _be_early(self, record: Record) -> None:
        """Somebody saw the order on a screen and begins before there is anything to begin with."""
        dice = self.dice
        if dice.random() < 0.15 and record.value is not None:
            paid = ordering.OrderPaid.from_json(record.value)
            actor, command = dice.choice(list(STEPS.values()))
            step = command(order_id=paid.order_id, store=paid.store)
            self.desk.send(step, actor, after_s=dice.choice((0.1, 2.0, 60.0)) * dice.random())

    def _receive(self, store: str, after_s: float, pieces: tuple[int, ...]) -> None:
        dice = self.dice
        goods = [(spu, dice.choice(pieces)) for spu in self.shop.prices if spu not in self.shop.available_from]
        if lines := [(spu, quantity) for spu, quantity in goods if quantity]:
            spus, quantities = zip(*lines, strict=True)
            self._request(inventory.ReceiveGoods, store, after_s, spus=spus, quantities=quantities)

    def _adjust(self, store: str, after_s: float) -> None:
        dice = self.dice
        spus = tuple(dice.choice(list(self.shop.prices)) for _ in range(dice.randint(1, 2)))
        deltas = tuple(dice.choice((-6, -3, -1, 0, 1, 2)) for _ in spus)
        self._request(inventory.AdjustStock, store, after_s, spus=spus, deltas=deltas, reason="counted")

    def _request(self, command: Callable[..., Message], store: str, after_s: float, **what: Any) -> None:
        """Sends a storekeeper's request; now and then it is asked for again, by another click."""
        request = command(request_id=f"r-{len(self.desk.sent)}", store=store, **what)
        self.desk.send(request, f"storekeeper:{store}", after_s=after_s)
        if self.dice.random() < 0.1:
            self.desk.send(request, f"storekeeper:{store}", after_s=after_s + self.dice.random())

    def _set_slots(self, store: str, after_s: float, places: tuple[int, ...]) -> None:
        slots = tuple(
            logistics.SlotPlaces(start=s.start, end=s.end, places=self.dice.choice(places)) for s in self.slots
        )
        self.desk.send(logistics.SetSlots(store=store, slots=slots), f"storekeeper:{store}", after_s=after_s)

    # -- risk ------------------------------------------------------------------------------------------------------

    def _review(self, record: Record) -> None:
        """Up to two analysts at once: they claim it or forget to, let go of it, and decide it, whoever has it."""
        dice = self.dice
        about: dict[str, Any] = {"order_id": record.subject, "account": self._accounts.get(record.subject, "a-0")}
        for _ in range(dice.choice((0, 1, 1, 2))):
            person = dice.choice(ANALYSTS)
            after_s = dice.choice((1.0, 60.0, 1000.0)) * dice.random()
            if dice.random() < 0.6:
                self.desk.send(risk.ClaimReview(**about), person, after_s=after_s * dice.random())
            if dice.random() < 0.2:
                self.desk.send(risk.ReleaseReview(**about), dice.choice(ANALYSTS), after_s=after_s * dice.random())
            decision = risk.DecideReview(**about, verdict=dice.choice(VERDICTS), **self._block())
            self.desk.send(decision, person, after_s=after_s)

    def _block(self) -> dict[str, Any]:
        """What of the order goes on the blocklist."""
        dice = self.dice
        if dice.random() < 0.6:
            return {}
        until = NOON + timedelta(seconds=dice.random() * 2 * EVENING_S) if dice.random() < 0.4 else None
        block = tuple(dice.sample(tuple(Kind), dice.randint(1, 3)))
        return {"block": block, "treatment": dice.choice(tuple(Treatment)), "until": until}

    def know_account(self, order_id: str, account: str) -> None:
        """The analyst's page shows whose order it is."""
        self._accounts[order_id] = account

    def _change_blocklist(self) -> None:
        dice = self.dice
        kind, value = dice.choice(
            (
                (Kind.ACCOUNT, f"a-{dice.randint(0, 4)}"),
                (Kind.DEVICE, f"d-{dice.randint(0, 3)}"),
                (Kind.ADDRESS, f"{dice.randint(1, 3)} LONG lane"),
            )
        )
        entry = (kind.value, normal_form(value))
        self.shop.version += 1
        if entry in self.shop.blocklist:
            del self.shop.blocklist[entry]
        else:
            until = NOON + timedelta(seconds=dice.random() * 120) if dice.random() < 0.2 else None
            self.shop.blocklist[entry] = Blocked(dice.choice(list(Treatment)), "seen before", until)

    def _turn_switch(self) -> None:
        self.shop.version += 1
        self.shop.risk_is_on = not self.shop.risk_is_on

    def _change_rules(self) -> None:
        """Rules that speak before an evening is over, some of them switched off; or those that larder comes with."""
        dice, version = self.dice, len(self.shop.rule_sets) + 1
        if version > 1 and dice.random() < 0.3:
            self.shop.set_rules(replace(DELIVERED, version=version))
            return
        rules: dict[str, Rule] = {}
        for signal in sorted({*dice.sample(SIGNALS, 3), *dice.sample(SOON, 2)}):
            rules[signal] = Rule(
                signal,
                threshold=dice.choice((1, 1, 1, 2, 3)),
                window_s=dice.choice((30, 2_000, 86_400)),
                weight=dice.choice((10, 25, 40, 80, -15)),
                treatment=dice.choice((None, *Treatment)),
                enabled=dice.random() < 0.85,
            )
        self.shop.set_rules(RuleSet(version, rules, dice.choice(LEVELS)))

    # -- the office ------------------------------------------------------------------------------------------------

    def _change_price(self) -> None:
        spu = self.dice.choice(list(self.shop.prices))
        price = self.shop.prices[spu] + self.dice.choice((-10, 10, 25))
        self.shop.set_price(spu, price, self.desk.around.clock.now)

    def _open_or_shut(self) -> None:
        self.shop.version += 1
        self.shop.not_accepting ^= {self.dice.choice(list(self.shop.areas))}
