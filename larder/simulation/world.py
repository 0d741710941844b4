"""One evening: the services over their databases, the log between them, the gateway, and the people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

from larder.simulation.clock import NOON, Clock
from larder.simulation.customers import Customers
from larder.simulation.database import Database
from larder.simulation.gateway import Calls, Gateway
from larder.simulation.link import Around
from larder.simulation.log import Log
from larder.simulation.owner import Owner, Post, topics_of
from larder.simulation.people import Desk
from larder.simulation.poison import Poisoner
from larder.simulation.shop import Area, Shop, no_facts
from larder.simulation.staff import EVENING_S, Staff
from larder.simulation.weather import OUTAGE_S, Weather
from services.aftersales.decider import DECIDER as AFTERSALES
from services.inventory.decider import DECIDER as INVENTORY
from services.logistics.decider import DECIDER as LOGISTICS
from services.order.decider import DECIDER as ORDER
from services.payment.decider import DECIDER as PAYMENT
from services.risk.decider import DECIDER as RISK
from shared.contracts.base import Slot
from shared.contracts.topics import SERVICES, commands_of, events_of
from shared.runtime.decider import Windows

DECIDERS = {decider.service: decider for decider in (ORDER, INVENTORY, RISK, PAYMENT, LOGISTICS, AFTERSALES)}
STEPS_MAX = 300_000
"""An evening that takes more steps than this will not come to rest."""
SLOT_STARTS_S = (30, 900, 3600)
"""When slots begin: while baskets are placed, after the payment window, later."""


class World:
    """Everything that a seed makes. `run` plays the evening until nothing is left to do."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = Clock()
        self.log = Log(self.clock)
        dice, self.weather_dice = Random(2 * seed), Random(2 * seed + 1)
        self.weather = weather = Weather.of(self.weather_dice)
        self.around = Around(self.clock, self.log, weather, self.weather_dice)
        self.shop = Shop(
            prices={f"spu-{n}": dice.choice((100, 250, 999)) for n in range(dice.randint(2, 4))},
            areas={f"s-{n}": Area(n, n + 0.9) for n in range(dice.randint(1, 3))},
            risk_is_on=dice.random() < 0.8,
        )
        self.desk = Desk(self.around, dice)
        facts = {"order": self.shop.order_fact, "risk": self.shop.risk_fact}
        self.databases = {s: Database(DECIDERS[s], facts.get(s, no_facts)) for s in SERVICES}
        self.gateway = Gateway(self.around, self.desk.report_money)
        self.owners: dict[tuple[str, int], Owner] = {}
        self.slots = _slots(dice)
        for service in SERVICES:
            for partition in range(weather.shards):
                self.log.add_place((commands_of(service), partition))
                self.log.add_place((events_of(service), partition))
        for service in SERVICES:
            for number in range(weather.shards):
                self._claim(self._post(service, number))

    def _post(self, service: str, number: int) -> Post:
        database = self.databases[service]
        database.ring = partial(self._ring, service)
        make_calls: Callable[..., Calls] | None = partial(Calls, self.gateway) if service == "payment" else None
        return Post(database, number, topics_of(database), Windows(), make_calls, self._claim_after)

    def _claim_after(self, seconds: float, post: Post) -> None:
        self.clock.after(seconds, self._claim, post)

    def _claim(self, post: Post) -> None:
        self.owners[post.database.decider.service, post.number] = Owner(self.around, post)

    def _ring(self, service: str, shard: int) -> None:
        self.owners[service, shard].wake()

    def _stop_somebody(self, seconds: float) -> None:
        owners = list(self.owners.values())
        self.weather_dice.choice(owners).stand_still(seconds)

    def run(self) -> None:
        """Plays the evening; raises NeverRests when it does not end."""
        customers = Customers(self.desk, self.shop, self.slots)
        staff = Staff(self.desk, self.shop, self.slots)
        staff.begin()
        customers.begin()
        for sent in list(self.desk.sent.values()):
            if account := getattr(sent.message, "account", ""):
                staff.know_account(sent.message.subject, account)
        Poisoner(self.desk, self.databases, list(customers.plans)).begin()
        for _ in range(self.weather.outages):
            dice = self.weather_dice
            self.clock.after(dice.random() * EVENING_S, self._stop_somebody, dice.random() * dice.choice(OUTAGE_S))
        self.clock.run(STEPS_MAX)


def _slots(dice: Random) -> list[Slot]:
    """The slots of the evening, the same in every store; in one evening of three there are none."""
    if dice.random() < 0.33:
        return []
    starts = [NOON + timedelta(seconds=s) for s in SLOT_STARTS_S[: dice.randint(1, 3)]]
    return [Slot(start=start, end=start + timedelta(hours=1)) for start in starts]
