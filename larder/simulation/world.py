"""One evening: the services over their databases, the log between them, the gateway, and the people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random

from larder.simulation.clock import NOON, Clock
from larder.simulation.complaints import Complaints
from larder.simulation.customer_service import CustomerService
from larder.simulation.customers import PLACING_S, Customers
from larder.simulation.database import Database, nobody_listens
from larder.simulation.gateway import Calls, Gateway
from larder.simulation.liars import Liar
from larder.simulation.link import Around
from larder.simulation.log import Log
from larder.simulation.marketing import Marketing
from larder.simulation.owner import Owner, Post, topics_of
from larder.simulation.people import Desk
from larder.simulation.poison import Poisoner
from larder.simulation.power import DARK_S, OUTAGES, adopt_what_is_shorter, lose_ends
from larder.simulation.road import Road
from larder.simulation.shop import Area, Shop, holders, no_facts, risk_fact
from larder.simulation.signals import Counter
from larder.simulation.staff import EVENING_S, Staff
from larder.simulation.weather import OUTAGE_S, SignalWeather, Weather
from services.aftersales.decider import DECIDER as AFTERSALES
from services.inventory.decider import DECIDER as INVENTORY
from services.logistics.decider import DECIDER as LOGISTICS
from services.order.decider import DECIDER as ORDER
from services.order.state import ClaimKept
from services.payment.decider import DECIDER as PAYMENT
from services.risk.decider import DECIDER as RISK
from services.risk.state import Entered
from shared.contracts.base import Slot
from shared.contracts.topics import ALL_TOPICS, SERVICES
from shared.runtime.decider import Windows

DECIDERS = {decider.service: decider for decider in (ORDER, INVENTORY, RISK, PAYMENT, LOGISTICS, AFTERSALES)}
STEPS_MAX = 300_000
"""An evening that takes more steps than this will not come to rest."""
WINDOWS = Windows()
"""How long things wait: as they are set by default."""
SLOT_STARTS_S = (30, 900, 3600)
"""When slots begin: while baskets are placed, after the payment window, later."""


class World:
    """Everything that a seed makes. `run` plays the evening until nothing is left to do."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = Clock()
        self.log = Log(self.clock)
        dice, self.weather_dice = Random(2 * seed), Random(2 * seed + 1)
        self.power_dice = Random(f"power {seed}")
        self.weather = weather = Weather.of(self.weather_dice)
        self.around = Around(self.clock, self.log, weather, self.weather_dice)
        self.shop = Shop(
            areas={f"s-{n}": Area(n, n + 0.9) for n in range(dice.randint(1, 3))},
            risk_is_on=dice.random() < 0.85,
        )
        for number in range(dice.randint(2, 4)):
            self.shop.set_price(f"spu-{number}", dice.choice((100, 100, 110, 250, 999)), self.clock.now)
        self.desk = Desk(self.around, dice)
        facts = {"order": self.shop.order_fact}
        self.databases = {s: Database(DECIDERS[s], facts.get(s, no_facts), lambda: self.shop.version) for s in SERVICES}
        self.databases["inventory"].answer_facts(partial(holders, self.databases["inventory"]))
        self.databases["risk"].answer_facts(partial(risk_fact, self.shop, self.databases["risk"]))
        self.databases["risk"].listed[Entered] = self.shop.enter
        self.databases["order"].listed[ClaimKept] = self.shop.keep_claim
        self.gateway = Gateway(self.around, self.desk.report_money)
        self.owners: dict[tuple[str, int], Owner] = {}
        self.everybody: list[Owner] = []
        self._dark = False
        self.power_went = False
        self.liar = Liar(self.desk, self.gateway, [])
        self.slots = _slots(dice)
        for topic in ALL_TOPICS:
            for partition in range(weather.shards):
                self.log.add_place((topic, partition))
        signal_dice = Random(f"signals {seed}")
        self.signal_weather = SignalWeather.of(signal_dice)
        self.counters = [
            Counter(self.desk, n, replace(self.signal_weather), signal_dice) for n in range(weather.shards)
        ]
        self._claim_all()

    def _post(self, service: str, number: int) -> Post:
        database = self.databases[service]
        database.ring = partial(self._ring, service)
        make_calls: Callable[..., Calls] | None = partial(Calls, self.gateway) if service == "payment" else None
        return Post(database, number, topics_of(database), WINDOWS, make_calls, self._claim_after)

    def _claim_after(self, seconds: float, post: Post) -> None:
        self.clock.after(seconds, self._claim, post)

    def _claim_all(self) -> None:
        for service in SERVICES:
            for number in range(self.weather.shards):
                self._claim(self._post(service, number))

    def _claim(self, post: Post) -> None:
        if self._dark:
            return
        owner = Owner(self.around, post)
        self.owners[post.database.decider.service, post.number] = owner
        self.everybody.append(owner)

    def _ring(self, service: str, shard: int) -> None:
        """Requests are found by whoever looks, zombies too."""
        for owner in self.everybody:
            if owner.number == shard and owner.database is self.databases[service]:
                owner.wake()

    def _plan_outage(self) -> None:
        """Somebody will stand still for a while: anybody at any time, or the saga when time to pay runs out."""
        dice = self.weather_dice
        service, number = dice.choice(list(self.owners))
        begins_s = dice.random() * EVENING_S
        if dice.random() < 0.7:
            service, begins_s = "order", WINDOWS.payment_window_s + dice.random() * 2 * PLACING_S
        self.clock.after(begins_s, self._stop, service, number, dice.random() * dice.choice(OUTAGE_S))

    def _stop(self, service: str, number: int, seconds: float) -> None:
        self.owners[service, number].stand_still(seconds)

    def _power_goes(self) -> None:
        self._dark = self.power_went = True
        for owner in self.everybody:
            owner.lose_power()
        lose_ends(self.log, self.databases, self.power_dice)
        # Looked at when the power is back; but people here write to the log meanwhile, and nobody can to a dark broker.
        adopt_what_is_shorter(self.log, self.databases)
        self.clock.after(self.power_dice.uniform(*DARK_S), self._power_comes)

    def _power_comes(self) -> None:
        self._dark = False
        self._claim_all()

    def run(self) -> None:
        """Plays the evening; raises NeverRests when it does not end."""
        marketing = Marketing(self.desk, self.shop, self.slots, self.seed)
        customers = Customers(self.desk, self.shop, self.slots, marketing)
        staff = Staff(self.desk, self.shop, self.slots, Road(self.desk))
        marketing.begin()
        staff.begin()
        customers.begin()
        CustomerService(self.desk, self.shop).begin(list(customers.plans))
        Complaints(self.desk, self.shop)
        for sent in list(self.desk.sent.values()):
            if account := getattr(sent.message, "account", ""):
                staff.know_account(sent.message.subject, account)
        Poisoner(self.desk, self.shop, self.databases, list(customers.plans)).begin()
        self.liar.orders.extend(customers.plans)
        self.liar.begin()
        for _ in range(self.weather.outages):
            self._plan_outage()
        if self.power_dice.random() < OUTAGES:
            within_s = self.power_dice.choice((PLACING_S, WINDOWS.payment_window_s, EVENING_S))
            self.clock.after(self.power_dice.random() * within_s, self._power_goes)
        self.clock.run(STEPS_MAX)

    def end(self) -> None:
        """Lets go of everybody who holds on to the evening, so that its memory is free without a search for knots."""
        for owner in self.everybody:
            if not owner.gone:
                owner.retire()
        self.owners.clear()
        self.everybody.clear()
        self.log.end()
        for database in self.databases.values():
            database.ring = nobody_listens


def _slots(dice: Random) -> list[Slot]:
    """The slots of the evening, the same in every store; in one evening of three there are none."""
    if dice.random() < 0.33:
        return []
    starts = [NOON + timedelta(seconds=s) for s in SLOT_STARTS_S[: dice.randint(1, 3)]]
    return [Slot(start=start, end=start + timedelta(hours=1)) for start in starts]
