"""When to judge: a look at what is on its way, and the wait until nothing is.

A look is taken inside a snapshot of all databases. Link numbers only grow, so where every link has received in its
receiver's snapshot what it has sent in its sender's, the snapshots form one consistent cut with no message between
them, although they were taken one after the other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from larder.audit.books import Books
from shared.settings import GATEWAY_BOOK, SERVICES

# Who reads which topic to its end. A receiver keeps count of a link from the first message on, so one that has
# received nothing yet cannot be told from one that does not listen: hence this table. A service reads its own commands,
# and every events topic of which it listens to a message: the saga all of them, risk what the saga tells of accounts.
# It is written by hand, since asking the deciders would let a forgotten listener be forgotten here as well.
LISTENERS: Mapping[str, tuple[str, ...]] = {
    **{f"{service}.commands": (service,) for service in SERVICES},
    **{f"{service}.events": ("order",) for service in SERVICES if service != "order"},
    "order.events": (),
    "risk.activity": ("risk",),
}
PAUSE_S = 0.2
"""Between two looks."""
DUE_LISTED = 1_000
"""Most due timers of one database that are looked at."""

_PROGRESS = "select shard, sent, received, acked from progress"
_DUE = f"select subject, name, due_at from timers where due_at <= now() order by due_at limit {DUE_LISTED}"
# An effect whose answer is parked stays open until it is asked again: the parked message stands for it.
_EFFECTS = """
select e.id, e.kind, coalesce(e.arguments::json ->> 'order_id', '') as order_id, e.opened_at from effects e
where not exists (select from parked p where p.topic = 'effects' and p.message_id = e.id and p.state = 'parked')
order by e.id"""
_WEBHOOKS = """
select id, coalesce(body::json -> 'data' ->> 'order_id', '') as order_id, created_at, attempts
from webhooks where delivered_at is null order by id"""
_PENDING = "select count(*) as all, count(*) filter (where due_at <= now()) as due from pending_captures"


@dataclass(frozen=True, slots=True)
class Link:
    """The numbered stream from one shard to one partition, as sender and receiver count it."""

    source: str
    topic: str
    partition: int
    receiver: str
    sent: int
    received: int

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.source} {self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Counted:
    """The links of one shard's progress row."""

    sent: Mapping[str, int]
    received: Mapping[str, int]
    acked: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A due timer, an open effect or an undelivered webhook: where it is, what it is about, since when it waits."""

    database: str
    id: str
    order_id: str
    since: datetime
    told: str


@dataclass(slots=True)
class Look:
    """What is on its way between the books at one moment; `now` is the database's clock."""

    now: datetime
    shards: dict[tuple[str, int], Counted] = field(default_factory=dict)
    timers: list[Waiting] = field(default_factory=list)
    effects: list[Waiting] = field(default_factory=list)
    webhooks: list[Waiting] = field(default_factory=list)
    pending_captures: int = 0
    captures_due: int = 0
    links: list[Link] = field(default_factory=list)

    @property
    def behind(self) -> list[Link]:
        """Links on which something is on its way."""
        return [link for link in self.links if link.sent > link.received]

    @property
    def is_quiet(self) -> bool:
        """Nothing is on its way, and nothing is about to be."""
        return not (self.behind or self.timers or self.effects or self.webhooks or self.captures_due)

    @property
    def busy(self) -> frozenset[str]:
        """Orders whose money is being moved right now: our books and the gateway's may differ about them."""
        return frozenset(w.order_id for w in (*self.effects, *self.webhooks))

    def has_all_of(self, earlier: Look) -> bool:
        """Whether everything that was on its way then has arrived by now."""
        received = {link.name: link.received for link in self.links}
        return all(received.get(link.name, 0) >= link.sent for link in earlier.links)


async def look(books: Books) -> Look:
    """Looks, inside a snapshot. The gateway first: it must not know of money that was asked for after the others were
    read."""
    seen = Look(await books[GATEWAY_BOOK].fetchval("select now()"))
    for id_, order_id, since, attempts in await books[GATEWAY_BOOK].fetch(_WEBHOOKS):
        seen.webhooks.append(Waiting(GATEWAY_BOOK, id_, order_id, since, f"sent {attempts} times"))
    pending = await books[GATEWAY_BOOK].fetchrow(_PENDING)
    assert pending is not None
    seen.pending_captures, seen.captures_due = pending["all"], pending["due"]
    await asyncio.gather(*(_look_at(books, service, seen) for service in SERVICES))
    seen.links = links_of(seen.shards)
    return seen


async def _look_at(books: Books, service: str, seen: Look) -> None:
    for shard, *counters in await books[service].fetch(_PROGRESS):
        seen.shards[service, shard] = Counted(*(json.loads(counter) for counter in counters))
    for subject, name, due_at in await books[service].fetch(_DUE):
        seen.timers.append(Waiting(service, f"{subject}/{name}", subject, due_at, name))
    for id_, kind, order_id, opened_at in await books[service].fetch(_EFFECTS):
        seen.effects.append(Waiting(service, id_, order_id, opened_at, kind))


def links_of(shards: Mapping[tuple[str, int], Counted]) -> list[Link]:
    """Every link that somebody listens to, or has received something on."""
    listeners: dict[str, set[str]] = {topic: set(services) for topic, services in LISTENERS.items()}
    received: dict[tuple[str, str, int, str], int] = {}
    for (service, shard), counted in shards.items():
        for name, number in counted.received.items():
            source, _, topic = name.partition(" ")
            received[source, topic, shard, service] = number
            listeners.setdefault(topic, set()).add(service)
    sent = {
        (f"{service}/{shard}", topic, int(partition)): number
        for (service, shard), counted in shards.items()
        for name, number in counted.sent.items()
        for topic, _, partition in (name.rpartition("/"),)
    }
    ends = {
        *((*link, receiver) for link in sent for receiver in listeners.get(link[1], ())),
        *received,
    }
    return [Link(*end, sent.get(end[:3], 0), received.get(end, 0)) for end in sorted(ends)]


@asynccontextmanager
async def quiet_moment(books: Books, wait_s: float) -> AsyncIterator[tuple[Look, Look]]:
    """A snapshot with nothing on its way; when there is none within `wait_s`, the last one there was. Gives what was
    seen at first, and in that snapshot. Reading goes on within the context."""
    ends_at = time.monotonic() + wait_s
    first: Look | None = None
    while True:
        async with books.snapshot():
            seen = await look(books)
            first = first or seen
            if seen.is_quiet or time.monotonic() >= ends_at:
                yield first, seen
                return
        await asyncio.sleep(PAUSE_S)
