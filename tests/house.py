"""All six services in one process, over real databases, on one clock, with nothing where the broker would be.

They pass their messages on in rounds: each round is one batch for each service. Customers, pickers, couriers and
customer service are the robots of `larder load`.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import islice
from typing import Any

import asyncpg

from larder.load.catalogue import NOWHERE
from larder.load.figures import Figures
from larder.load.mix import Tail
from larder.load.play import Play, Ready
from larder.load.robots import Robots
from larder.load.shelves import receipts
from services.payment.decider import CHARGE, REFUND_EFFECT
from services.payment.effects import told
from services.payment.simulator.book import Ask, Book, Call, Charge, Refund, Reply
from services.payment.simulator.rules import answer_call
from services.risk.counting import Tally, conduct, count_activity, count_sighting
from services.risk.telling import packs, subject_of, unpack
from shared.contracts.base import Message
from shared.contracts.topics import ACTIVITY, SERVICES, partition_for
from shared.runtime.commit import Commit
from shared.runtime.database import WORKER_SETTINGS, Database
from shared.runtime.decider import Windows
from shared.runtime.envelope import Delivery, Wire, from_outside, read
from shared.runtime.instants import read_every_instant
from shared.runtime.said import Effect
from shared.runtime.shard import EffectAnswered, Item, Shard
from shared.runtime.turn import Share

ROUND = timedelta(milliseconds=40)
"""What the clock goes on by in a round."""
WINDOWS = Windows(payment_window_s=600, after_sales_window_s=1)
SIGNALS_EVERY = 25
"""Rounds between two tellings of risk's signals."""
IDLE_MAX = 200
"""Rounds without an order that ends, after which nothing will."""
ROBOTS_HEAR = tuple(
    f"{service}.{said}" for service in ("order", "logistics", "aftersales") for said in ("events", "answers")
)


class Log:
    """Where the broker would be: a queue for each topic, read by whoever listens."""

    def __init__(self) -> None:
        self.readers: dict[str, list[deque[Delivery]]] = defaultdict(list)
        self._offsets: Counter[tuple[str, int]] = Counter()

    def put(self, topic: str, partition: int, wire: Wire) -> None:
        """A record; as `larder.load.robots.Send`."""
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        if readers := self.readers.get(topic):
            delivery = read(topic, partition, offset, *wire)
            for queue in readers:
                queue.append(delivery)

    def reader(self, topics: Sequence[str]) -> deque[Delivery]:
        """A queue of all that comes to these topics from now on."""
        queue: deque[Delivery] = deque()
        for topic in topics:
            self.readers[topic].append(queue)
        return queue


class Service:
    """One service: all its shards over its database, and its place in the log."""

    def __init__(self, name: str, log: Log, connection: asyncpg.Connection) -> None:
        self.name, self.log, self.connection = name, log, connection
        self.decider = import_module(f"services.{name}.decider").DECIDER
        self.store = getattr(import_module(f"services.{name}.store"), f"{name.capitalize()}Store")()
        self.database = Database(connection, self.store, 120, 86_400)
        self.queue = log.reader(sorted({m.TOPIC for m in self.decider.listens}))
        self.shards: list[Shard] = []
        self.effects: list[tuple[int, Effect]] = []
        """Calls that nobody has answered yet, and the shards that asked for them."""

    async def claim(self, windows: Windows, shards: int) -> None:
        """Begins, or goes on after what was there."""
        for number in range(shards):
            progress = await self.database.claim(number, "no broker")
            self.shards.append(Shard(self.decider, progress, shards=shards, windows=windows))

    async def turn(self, now: datetime, answers: Sequence[tuple[int, EffectAnswered]] = ()) -> None:
        """One batch of all that has come."""
        items: list[list[Item]] = [[] for _ in self.shards]
        for delivery in self.queue:
            items[delivery.partition].append(delivery)
        self.queue.clear()
        for number, answer in answers:
            items[number].append(answer)
        for number, due in (await self.database.due(dict.fromkeys(range(len(items)), now))).items():
            items[number] += due
        while any(items):
            numbers = [number for number, some in enumerate(items) if some]
            shares = [Share(self.shards[n], self.shards[n].read(items[n])) for n in numbers]
            commits = await self.database.decided(shares, now)
            await self.save(commits)
            for number, commit in zip(numbers, commits, strict=True):
                self.shards[number].committed(commit)
                self._publish(number, commit)
                items[number] = items[number][commit.decided :]

    async def save(self, commits: Sequence[Commit]) -> None:
        """Writes a batch."""
        await self.database.save(*commits)

    def _publish(self, number: int, commit: Commit) -> None:
        self.effects += [(number, effect) for effect in commit.effects_opened]
        for parked in commit.parked:
            raise AssertionError(f"{self.name} parked {parked.delivery.type}: {parked.code} {parked.reason}")
        for row in commit.outbox:
            for wire in row.wires():
                self.log.put(row.topic, row.partition, wire)


class Gateway:
    """The gateway simulator's rules, answering at once."""

    def __init__(self) -> None:
        self._book = Book()

    def answer(self, effect: Effect, now: datetime) -> EffectAnswered:
        """What it says to a charge, a refund, or who asks about a charge."""
        a = effect.arguments
        call: Call
        if effect.kind == CHARGE:
            call = Charge(a["key"], a["order_id"], a["amount"], a["currency"], a["method"])
        elif effect.kind == REFUND_EFFECT:
            call = Refund(a["key"], a["reference"], a["amount"], a["reason"])
        else:
            call = Ask(a["key"])
        answer: Any = answer_call(self._book, call, now)
        if isinstance(answer, Reply):
            answer, _ = answer.told(10)
        self._book.drain()
        return EffectAnswered(effect.id, told(effect, answer))


class Signals:
    """Risk's stream application, without its stream."""

    def __init__(self, log: Log, shards: int) -> None:
        self._shards = shards
        self._log, self._queue = log, log.reader([ACTIVITY])
        self._tallies: dict[Any, Tally] = {}
        self._said = 0

    def tell(self, now: datetime) -> None:
        """All that has changed since the last time."""
        changed: dict[tuple[str, str], None] = {}
        while self._queue:
            for entry in unpack(self._queue.popleft()):
                subject = subject_of(entry)
                tally = self._tallies.setdefault(subject, Tally())
                count: Any = count_activity if hasattr(entry, "deed") else count_sighting
                if count(tally, entry):
                    changed[subject] = None
        as_of = int(now.timestamp() * 1000)
        for shard in range(self._shards):
            here = [s for s in changed if partition_for(s[1], self._shards) == shard]
            for pack in packs(shard, as_of, (conduct(*s, self._tallies[s]) for s in here)):
                self._said += 1
                headers = from_outside(
                    id=f"s-{as_of}-{self._said}", type=pack.TYPE, source="signals", subject="", actor="", at=now
                )
                self._log.put(pack.TOPIC, shard, (pack.key.encode(), pack.to_json(), headers))


class House:
    """Everything, on one clock."""

    def __init__(self, kind: type[Service] = Service, windows: Windows = WINDOWS, shards: int = 1) -> None:
        self.log = Log()
        self.now = datetime.now(UTC)
        self.services: dict[str, Any] = {}
        self.rounds = 0
        self._kind, self._windows, self._shards = kind, windows, shards
        self._gateway, self._signals = Gateway(), Signals(self.log, shards)
        self._heard = self.log.reader(ROBOTS_HEAR)
        self._run = f"h{self.now.timestamp():.6f}".replace(".", "")
        self.robots = Robots(self._run, Figures(), self.log.put, shards=shards, lies_s=1)

    async def begin(self, dsns: Mapping[str, str], ending: AsyncExitStack) -> None:
        """Connects to every service's database, for as long as `ending` lasts."""
        for name in SERVICES:
            connection = await asyncpg.connect(dsns[name], server_settings=WORKER_SETTINGS)
            ending.push_async_callback(connection.close)
            await read_every_instant(connection)
            self.services[name] = service = self._kind(name, self.log, connection)
            await service.claim(self._windows, self._shards)

    async def stock(self, play: Play, plays: int) -> None:
        """Products, stores and goods for so many plays, where they are not there yet."""
        order = self.services["order"].connection
        await order.executemany(
            "insert into products (spu, name, price, category) values ($1, $1, $2, 'g') on conflict do nothing",
            [*play.prices.items(), (NOWHERE, 199)],
        )
        await order.executemany(
            """insert into stores (store, name, accepting, area, west, south, east, north)
            values ($1, $1, true, '{}', 0, 0, 1, 1) on conflict do nothing""",
            [(store,) for store in play.demand],
        )
        for id_, message in receipts(self._run, play, plays):
            self._say(id_, message)
        await self.round()

    def _say(self, id_: str, message: Message) -> None:
        headers = from_outside(
            id=id_, type=message.TYPE, source="house", subject=message.subject, actor="admin:h", at=self.now
        )
        home = partition_for(message.key, self._shards)
        self.log.put(message.TOPIC, home, (message.key.encode(), message.to_json(), headers))

    async def round(self) -> None:
        """One batch for each service; then people react."""
        self.now += ROUND
        self.rounds += 1
        now_s = self.now.timestamp()
        self.robots.time = self.now.isoformat().encode()
        if self.rounds % SIGNALS_EVERY == 0:
            self._signals.tell(self.now)
        payment = self.services["payment"]
        answers = [(number, self._gateway.answer(effect, self.now)) for number, effect in payment.effects]
        payment.effects.clear()
        for name, service in self.services.items():
            await service.turn(self.now, answers if name == "payment" else ())
        heard = list(self._heard)
        self._heard.clear()
        self.robots.hear(heard, now_s)  # type: ignore[arg-type]
        self.robots.wake(now_s)

    async def play(
        self, baskets: Iterator[Ready], orders: int, a_round: int, tail: Callable[[int], Tail] = lambda n: Tail.PAYS
    ) -> None:
        """Places so many orders, so many in each round, and goes on until all have ended."""
        placed = idle = 0
        while self.robots.orders or placed < orders:
            for basket in islice(baskets, min(a_round, orders - placed)):
                self.robots.place(basket, tail(placed), self.now.timestamp())
                placed += 1
            left = len(self.robots.orders)
            await self.round()
            idle = idle + 1 if len(self.robots.orders) == left and placed == orders else 0
            if idle > IDLE_MAX:
                stuck = Counter((o.tail.name, o.step.name) for o in self.robots.orders.values())
                raise AssertionError(f"{left} orders do not go on: {stuck}")
