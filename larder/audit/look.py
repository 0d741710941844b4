"""What is on its way between the books at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.settings import SERVICES

# Who reads which topic to its end. A receiver keeps count of a link from the first message on, so one that has
# received nothing yet cannot be told from one that does not listen: hence this table. A service reads its own commands,
# and every events topic of which it listens to a message: the saga all of them, risk what the saga tells of accounts.
# It is written by hand, since asking the deciders would let a forgotten listener be forgotten here as well.
LISTENERS: Mapping[str, tuple[str, ...]] = {
    **{f"{service}.commands": (service,) for service in SERVICES},
    **{f"{service}.events": ("order",) for service in SERVICES if service != "order"},
    "order.events": (),
    "risk.activity": ("risk",),
    "risk.signals": ("risk",),
}


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
    captures_due: list[Waiting] = field(default_factory=list)
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
