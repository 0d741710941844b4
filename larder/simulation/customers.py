"""Customers: place, pay, pay again, change their minds. Each has a plan that was drawn before the evening began."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from larder.simulation.clock import NOON
from larder.simulation.marketing import Marketing
from larder.simulation.people import Desk
from larder.simulation.shop import Shop
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Message, Slot
from shared.runtime.envelope import Delivery as Record

ORDERS = (9, 17)
"""Least and most orders of an evening."""
ACCOUNTS = (2, 5, 5)
"""How many people they are of, by evening."""
PLACING_S = 15.0
"""Most baskets are placed within this time: they meet at the shelf."""
LATER = (0.0, 0.15, 0.4)
"""How many are not, by evening."""
LATER_S = 2_000.0
"""They are placed within this time: what became of others is known by then."""
OTHER_METHODS = (
    "tok_declined",
    "tok_declined",
    "tok_slow:2",
    "tok_slow:9.9",
    "tok_slow:30",
    "tok_late:0.5",
    "tok_late:30",
    "tok_late:700",
    "tok_late:250000",
    "tok_twice",
    "tok_twice",
    "tok_no_refund",
    "tok_no_refund",
    "beads",
)
"""Methods besides the one that works: of the gateway's rules, and one that it does not know."""

NEWS = (
    ordering.OrderPaid,
    logistics.FulfilmentQueued,
    logistics.PickingStarted,
    logistics.PiecesShort,
    logistics.PickingFinished,
    logistics.FulfilmentPacked,
    logistics.FulfilmentHandedOver,
    logistics.FulfilmentDelivered,
    logistics.DeliveryFailed,
)
"""At each of these somebody may want out: before the hand-over the order is stopped, after it the wish is refused."""
REGRETS = (0.0, 0.03, 0.1)
"""How often, by evening."""

USUAL_METHODS = (*("tok_ok",) * 5, "tok_no_refund")
"""What most customers pay with; in some evenings the gateway gives hardly anything back."""


@dataclass(slots=True)
class Plan:
    """What a customer will do with one order. A method is used for each time that the order becomes payable."""

    order_id: str
    actor: str
    methods: list[str]
    mistakes: int
    """So many times the customer clicks on a wrong total first."""
    in_a_hurry: bool
    """Clicks twice at once."""
    heard: set[str] = field(default_factory=set)


class Customers:
    """All customers of one evening."""

    def __init__(self, desk: Desk, shop: Shop, slots: list[Slot], marketing: Marketing) -> None:
        self.desk = desk
        self.marketing = marketing
        self.dice = desk.dice
        self.shop = shop
        self.slots = slots
        self.plans: dict[str, Plan] = {}
        desk.around.log.watch(ordering.OrderPayable.TYPE, self._pay)
        self.regret = desk.dice.choice(REGRETS)
        self.accounts = desk.dice.choice(ACCOUNTS)
        self.later = desk.dice.choice(LATER)
        self.usual = desk.dice.choice(USUAL_METHODS)
        for event in NEWS if self.regret else ():
            desk.around.log.watch(event.TYPE, self._maybe_regret)

    def begin(self) -> None:
        """Everybody makes plans."""
        for number in range(self.dice.randint(*ORDERS)):
            self._plan(f"o-{number}")

    def _plan(self, order_id: str) -> None:
        dice, desk = self.dice, self.desk
        account = f"a-{dice.randrange(self.accounts)}"
        placed_s = dice.random() * (PLACING_S if dice.random() >= self.later else LATER_S)
        placed_s = self.marketing.comes(placed_s)
        order = ordering.PlaceOrder(
            order_id=order_id, account=account, **self._basket(), **self._place(), **self._extras()
        )
        order = self.marketing.tempt(order)
        actor = f"customer:{order.account}"
        desk.send(order, actor, after_s=placed_s)
        if dice.random() < 0.08:
            desk.send(order, actor, after_s=placed_s + dice.random())  # another click, another id, the same order
        if dice.random() < 0.3 and order_id not in self.marketing.crowd:
            self._cancel(order_id, actor, placed_s)
        if dice.random() < 0.1:
            pay = ordering.PayOrder(order_id=order_id, method="tok_ok", expected_total=dice.choice((0, 250)))
            desk.send(pay, actor, after_s=placed_s + dice.random() * 2)  # before there is anything to pay
        if dice.random() < 0.1:
            self._meddle(order, actor, placed_s)
        methods = [self.usual if dice.random() < 0.6 else dice.choice(OTHER_METHODS) for _ in range(4)]
        if dice.random() < 0.12:
            methods = methods[: dice.randint(0, 1)]  # never pays, or tries once
        methods = self.marketing.pays(order_id, methods)
        self.plans[order_id] = Plan(order_id, actor, methods, dice.random() < 0.1, dice.random() < 0.1)

    def _meddle(self, order: ordering.PlaceOrder, actor: str, placed_s: float) -> None:
        """Clicks at any time on whatever there is; most of it is refused, whatever the order is doing."""
        dice = self.dice
        for _ in range(dice.randint(1, 3)):
            click: Message = dice.choice(
                (
                    ordering.CancelOrder(order_id=order.order_id, reason="why not"),
                    ordering.PayOrder(
                        order_id=order.order_id, method="tok_ok", expected_total=dice.choice((1, 100, 250))
                    ),
                    order.model_copy(update={"spus": ("moon-cheese",), "quantities": (1,)}),
                    order.model_copy(update={"slot": dice.choice([_odd_slot(dice), *self.slots])}),
                )
            )
            later_s = dice.choice((3.0, 60.0, 1000.0, 200_000.0)) * dice.random()
            self.desk.send(click, actor, after_s=placed_s + later_s)

    def _basket(self) -> dict[str, Any]:
        """Few kinds of goods, so that customers meet; one of them is in no catalogue."""
        dice = self.dice
        catalogue = list(self.shop.prices)
        spus = [dice.choice(catalogue) for _ in range(dice.randint(1, 3))]
        if dice.random() < 0.04:
            spus.append("moon-cheese")
        return {"spus": tuple(spus), "quantities": tuple(dice.choice((1, 1, 2, 3)) for _ in spus)}

    def _place(self) -> dict[str, Any]:
        dice = self.dice
        stores = list(self.shop.areas)
        store = dice.choice(stores) if dice.random() < 0.97 else "nowhere"
        if dice.random() < 0.5:
            return {"store": store}
        lon = dice.randrange(len(stores)) + 0.5 if dice.random() < 0.92 else dice.choice((0.95, 2.5, 77.0))
        point = ordering.Delivery(lat=0.5, lon=lon, address=f"{dice.randint(1, 3)}  Long Lane")
        return {"delivery": point, "store": store} if dice.random() < 0.1 else {"delivery": point}

    def _extras(self) -> dict[str, Any]:
        dice = self.dice
        extras: dict[str, Any] = {}
        if self.slots and dice.random() < 0.3:
            extras["slot"] = dice.choice(self.slots)
        elif dice.random() < 0.03:
            extras["slot"] = _odd_slot(dice)
        if dice.random() < 0.5:
            extras["device"] = f"d-{dice.randint(0, 3)}"
        if dice.random() < 0.05:
            extras["expected_total"] = 1
        return extras

    def _cancel(self, order_id: str, actor: str, placed_s: float) -> None:
        dice = self.dice
        for _ in range(1 if dice.random() < 0.8 else 2):
            later_s = dice.choice((0.1, 1.0, 5.0, 30.0, 120.0, 700.0)) * dice.random()
            self.desk.send(ordering.CancelOrder(order_id=order_id), actor, after_s=placed_s + later_s)

    def _pay(self, record: Record) -> None:
        plan = self.plans.get(record.subject)
        if plan is None or record.id in plan.heard or record.value is None:
            return
        plan.heard.add(record.id)
        if not plan.methods:
            return
        dice, desk = self.dice, self.desk
        payable = ordering.OrderPayable.from_json(record.value)
        if not self.marketing.wants(plan.order_id, payable.total):
            return
        method = plan.methods.pop(0)
        waits_s = dice.choice((0.05, 0.5, 2.0, 20.0, 100.0)) * dice.random()
        if dice.random() < 0.15:  # at the very end of the window, or just after it
            left_s = (payable.payable_until - self.desk.around.clock.now).total_seconds()
            waits_s = max(0.0, left_s - dice.choice((0.5, 5.0, 50.0)) * (dice.random() - 0.1))
        waits_s = self.marketing.waits(waits_s)
        if plan.mistakes:
            plan.mistakes -= 1
            wrong = ordering.PayOrder(order_id=plan.order_id, method=method, expected_total=payable.total + 1)
            desk.send(wrong, plan.actor, after_s=waits_s)
            waits_s += 1.0
        pay = ordering.PayOrder(order_id=plan.order_id, method=method, expected_total=payable.total)
        desk.send(pay, plan.actor, after_s=waits_s)
        if plan.in_a_hurry:
            desk.send(pay, plan.actor, after_s=waits_s)
        if dice.random() < 0.2 and plan.order_id not in self.marketing.crowd:
            cancel = ordering.CancelOrder(order_id=plan.order_id)
            desk.send(cancel, plan.actor, after_s=waits_s + dice.choice((0.1, 1.0, 12.0, 100.0)) * dice.random())

    def _maybe_regret(self, record: Record) -> None:
        """The customer wants out after paying, or customer service does it for him."""
        dice = self.dice
        plan = self.plans.get(record.subject)
        if plan is None or not record.link or dice.random() >= self.regret:
            return
        actor = plan.actor if dice.random() < 0.6 else "customer_service:cs-1"
        later_s = dice.choice((0.05, 0.5, 3.0, 60.0)) * dice.random()
        for _ in range(dice.choice((1, 1, 1, 2))):
            self.desk.send(ordering.CancelOrder(order_id=plan.order_id, reason="regret"), actor, after_s=later_s)


def _odd_slot(dice: Random) -> Slot:
    """A slot that no store has, or one that is over."""
    start = NOON + timedelta(seconds=dice.choice((-3600, 5, 50_000)))
    return Slot(start=start, end=start + timedelta(hours=1))
