"""What has no business in a topic: it must park alone, with its reason, while everything else goes on.

One kind hits an order that is alive: a decider raises, what comes after it for that order parks behind it, and an
operator drops the one and replays the others. Another makes sense everywhere but where it is: on another shard's
partition, or under another key.
"""

from __future__ import annotations

from functools import partial

from larder.simulation.clock import NOON
from larder.simulation.database import Database
from larder.simulation.people import Desk
from larder.simulation.shop import Shop
from shared.contracts import inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import Message, Pack
from shared.contracts.topics import SERVICES, events_of, partition_for
from shared.runtime.envelope import Delivery, Headers, from_outside

WITHIN_S = 700.0
"""Poison comes within this time."""
OPERATOR_S = (1.0, 300.0)
"""An operator looks at a parked message after so long."""
LOOKS_MAX = 100
"""An operator gives up after so many looks: then something is wrong, and the auditor says it."""
COMMANDS = {
    "order": "PayOrder",
    "risk": "ScreenOrder",
    "inventory": "HoldStock",
    "payment": "TakePayment",
    "logistics": "FulfilOrder",
    "aftersales": "OpenWindow",
}
"""A command of each service, to be spoiled."""

_A_COUPON = ordering.Claim(promotion="coup-0", units=1, limit=1)
_A_SALE = "flash-0"


class Poisoner:
    """Plants a few bad records, in one evening of two."""

    def __init__(self, desk: Desk, shop: Shop, databases: dict[str, Database], orders: list[str]) -> None:
        self.desk = desk
        self.stores = shop.areas
        self.spus = shop.prices
        self.dice = desk.dice
        self.databases = databases
        self.orders = orders
        self._count = 0
        self._victim = ""
        desk.around.log.watch(inventory.HoldStock.TYPE, self._answer_first)

    def begin(self) -> None:
        """Plans what is planted when."""
        dice = self.dice
        if dice.random() < 0.5:
            for _ in range(dice.randint(1, 4)):
                plant = dice.choice((self._spoiled, self._spoiled, self._without_order, self._junk_event, self._astray))
                self.desk.after(dice.random() * WITHIN_S, plant)
            if self.orders and dice.random() < 0.4:
                get_stuck = dice.choice((self._money_stuck, self._stock_stuck, self._saga_stuck))
                self.desk.after(dice.random() * 12, partial(get_stuck, dice.choice(self.orders)))

    def _headers(self, type_: str, subject: str) -> Headers:
        self._count += 1
        return from_outside(
            id=f"poison-{self._count}", type=type_, source="somebody", subject=subject, actor="", at=NOON
        )

    def _spoiled(self) -> None:
        """A command without sense: no JSON, a tombstone, wrong fields, an unknown type, or no envelope at all."""
        service = self.dice.choice(SERVICES)
        key = f"poison-{self._count}"
        headers = self._headers(COMMANDS[service], key)
        value, headers, code = self.dice.choice(
            (
                (b"\xff\x00 no JSON", headers, "malformed"),
                (None, headers, "malformed"),
                (b'{"order_id": 7, "store": []}', headers, "malformed"),
                (b"{}", self._headers("OrderPizza", key), "unknown_type"),
                (b"x" * 1000, [], "unknown_type"),
                (b"{}", [("ce_type", b"\xff\xfe"), ("link", b"one")], "unknown_type"),
            )
        )
        self.desk.put_poison(service, key, value, headers, code)

    def _without_order(self) -> None:
        """A well-formed command about an order that nobody placed."""
        order_id = f"ghost-{self._count}"
        message: Message = self.dice.choice(
            (
                inventory.VerifyStock(order_id=order_id, store="s-0"),
                inventory.ReverseIssue(order_id=order_id, store="s-0"),
                ordering.SettleClaim(order_id=order_id, denied=()),
            )
        )
        service = message.TOPIC.split(".")[0]
        headers = self._headers(message.TYPE, order_id)
        self.desk.put_poison(service, message.key, message.to_json(), headers, "no_cell")

    def _junk_event(self) -> None:
        """A fact that is none: of an unknown type it is skipped, of a known one or of none it parks."""
        service = self.dice.choice(("risk", "inventory", "payment", "logistics", "aftersales"))
        key = f"poison-{self._count}"
        topic = events_of(service)
        kind = self.dice.choice(("unknown", "malformed", "nothing"))
        if kind == "unknown":
            self.desk.put(topic, key, b"{}", self._headers("PizzaBaked", key))
        elif kind == "nothing":
            self.desk.expect_parked(self.desk.put(topic, key, None, []), "order", "unknown_type")
        else:
            types = [m.TYPE for m in self.databases["order"].decider.listens if m.TOPIC == topic]
            headers = self._headers(self.dice.choice(types), key)
            self.desk.expect_parked(self.desk.put(topic, key, b"[]", headers), "order", "malformed")

    def _astray(self) -> None:
        """What its own shard might decide, told to another one, or under another key."""
        dice, around = self.dice, self.desk.around
        shards = around.weather.shards
        message = self._sensible()
        home, partition = self._home(message), dice.randrange(shards)
        key: bytes | None = message.key.encode()
        code = "wrong_partition"
        if partition == home:
            key, code = dice.choice((None, b"", b"somebody")), "wrong_key"
        headers = self._headers(message.TYPE, message.subject)
        delivery = around.log.append(message.TOPIC, partition, key, message.to_json(), headers)
        for service, database in self.databases.items():
            if type(message) in database.decider.listens:
                self.desk.expect_parked(delivery, service, code)

    def _home(self, message: Message) -> int:
        return (
            message.shard if isinstance(message, Pack) else partition_for(message.key, self.desk.around.weather.shards)
        )

    def _sensible(self) -> Message:
        """About stores, accounts and orders that there are: each would change something, sooner or later."""
        dice = self.dice
        order_id, store = dice.choice([*self.orders, "ghost"]), dice.choice(list(self.stores))
        account, request_id, spus = f"a-{dice.randint(0, 4)}", f"astray-{self._count}", tuple(self.spus)
        some, one_less = (5,) * len(spus), (-1,) * len(spus)
        return dice.choice(
            (
                inventory.ReceiveGoods(request_id=request_id, store=store, spus=spus, quantities=some),
                inventory.AdjustStock(
                    request_id=request_id, store=store, spus=spus, deltas=one_less, reason="mischief"
                ),
                inventory.HoldStock(order_id=order_id, store=store, mode="lock", spus=spus[:1], quantities=(1,)),
                logistics.FulfilOrder(order_id=order_id, store=store, spus=spus, quantities=some),
                risk.ScreenOrder(order_id=order_id, account=account, total=100),
                risk.AccountsActed(
                    shard=partition_for(account, self.desk.around.weather.shards),
                    entries=(risk.Activity(account=account, order_id=order_id, deed="cancelled", at=NOON),),
                ),
                payment.TakePayment(order_id=order_id, attempt=1, amount=1, currency="EUR", method="tok_ok"),
                ordering.CancelOrder(order_id=order_id, reason="mischief"),
                ordering.ClaimPromotions(order_id=order_id, account=account, claims=(_A_COUPON,)),
                ordering.ReturnPromotions(order_id=order_id, account=account, promotions=(_A_COUPON.promotion,)),
                ordering.TellSale(promotion=_A_SALE),
                inventory.AnnounceSale(store=store, promotion=_A_SALE, ends_at=NOON),
                inventory.SetAllotment(request_id=request_id, store=store, promotion=_A_SALE, spu=spus[0], quantity=1),
                inventory.ExpectGoods(request_id=request_id, store=store, spus=spus, quantities=some),
                risk.OrderRefused(order_id=order_id, reason="mischief"),
            )
        )

    # -- an order that gets stuck ----------------------------------------------------------------------------------

    def _money_stuck(self, order_id: str) -> None:
        """A refund of money that never came makes the decider raise: all about this order's money parks behind it."""
        refund = payment.RefundPayment(
            order_id=order_id, refund=999, amount=1, reference="none", reason="mischief", liable="store"
        )
        delivery = self.desk.put(refund.TOPIC, order_id, refund.to_json(), self._headers(refund.TYPE, order_id))
        self.desk.expect_parked(delivery, "payment", "decider_raised")
        self._look_later("payment", order_id, LOOKS_MAX)

    def _stock_stuck(self, order_id: str) -> None:
        """Pieces short that the order never had make the decider raise, if the order has its issue."""
        store = self.dice.choice(list(self.stores))
        drop = inventory.DropShort(order_id=order_id, store=store, spus=("nothing",), missing=(1,))
        delivery = self.desk.put(drop.TOPIC, store, drop.to_json(), self._headers(drop.TYPE, order_id))
        self.desk.expect_parked(delivery, "inventory", "decider_raised", "no_cell")
        self._look_later("inventory", order_id, LOOKS_MAX)

    def _saga_stuck(self, order_id: str) -> None:
        """Once the order's stock is asked for, somebody else answers, and makes no sense: the order itself is stuck."""
        self._victim = order_id

    def _answer_first(self, record: Delivery) -> None:
        if record.subject == self._victim:
            self._victim = ""
            short = inventory.StockShort(order_id=record.subject, spus=("nothing",), missing=())
            delivery = self.desk.put(
                short.TOPIC, record.subject, short.to_json(), self._headers(short.TYPE, short.order_id)
            )
            self.desk.expect_parked(delivery, "order", "decider_raised", "no_cell", "ignored")
            self._look_later("order", record.subject, LOOKS_MAX)

    def _look_later(self, service: str, order_id: str, looks: int) -> None:
        if looks:
            self.desk.after(self.dice.uniform(*OPERATOR_S), partial(self._look_after, service, order_id, looks - 1))

    def _look_after(self, service: str, order_id: str, looks: int) -> None:
        """The operator drops what raised and has what waits behind it replayed, and comes back until nothing waits."""
        database = self.databases[service]
        about = [row for row in database.parked if row.subject == order_id]
        waiting = [row for row in about if row.state == "parked"]
        if about and not waiting:
            return
        if waiting:
            raised = [row for row in waiting if row.code != "behind"]
            database.requests[(raised or waiting)[0].id] = "drop" if raised else "replay"
            database.ring(waiting[0].shard)
        self._look_later(service, order_id, looks)
