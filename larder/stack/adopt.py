"""Gives a broker that lost its log for good, or a part of it, the messages that the outboxes still hold.

On another cluster every log is lost; on the same one those that end before what was decided of them (a topic deleted
and made again, a restored backup, an election that lost records). A shard reads a lost log from its beginning, and each
link into it goes back to the first row that the outbox keeps: all that is kept is published again. Receivers drop what
they have, by link number, so that nothing is decided twice; whoever listens from outside finds the same events in the
log, some of them for the second time. Commands from outside have no link: another cluster must come with empty topics,
or old ones would be carried out again. On the same cluster their ids are remembered longer than the log keeps them
(LARDER_ID_MEMORY_S, a day; the broker's retention must not be longer).

All databases are read and locked before the first is written, and the epoch of each shard goes up: a worker that was
overlooked writes nothing any more. A run that was cut short is simply repeated.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import NamedTuple

import asyncpg

from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.migrate import connect
from larder.stack.parts import Parts
from larder.stack.process import wait_until
from larder.stack.state import supervisor_of
from larder.stack.topics import cluster_id, ensure_topics, spans
from shared.contracts.topics import commands_of
from shared.runtime.database import WORKER_SETTINGS
from shared.runtime.decider import Decider
from shared.settings import SERVICES, Settings

Say = Callable[[str], None]
Log = tuple[str, int]
"""A topic and a partition of it."""
PART_PATIENCE_S = 120
LISTED = 10
"""Most lost links that are named."""

_WORKERS = """
select count(*) from pg_stat_activity where datname = current_database() and application_name = $1"""
_PROGRESS = "select shard, cluster_id, offsets, sent, received, acked from progress order by shard for update"
_KEPT = """
select shard, topic || '/' || kafka_partition as link, min(first_link) as first from outbox group by 1, 2"""
_ADOPT = """
update progress set epoch = epoch + 1, version = version + 1, cluster_id = $2, offsets = $3, acked = $4, received = $5
where shard = $1"""


class Source(NamedTuple):
    """A shard of a service."""

    service: str
    shard: int

    def __str__(self) -> str:
        return f"{self.service}/{self.shard}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a shard's database says of its logs and links. `kept`: first number in the outbox, by "topic/partition"."""

    cluster: str
    sent: Mapping[str, int]
    received: Mapping[str, int]
    kept: Mapping[str, int]
    offsets: Mapping[str, int] = field(default_factory=dict)
    acked: Mapping[str, int] = field(default_factory=dict)

    def first_kept(self, link: str) -> int:
        """The first number that can still be sent."""
        return self.kept.get(link, self.sent[link] + 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a shard's counters become; how many messages are published `again`, and how many of them are `new` to their
    receivers."""

    offsets: Mapping[str, int]
    acked: Mapping[str, int]
    received: dict[str, int]
    again: int
    new: int


@asynccontextmanager
async def parts_of(home: Home, settings: Settings, say: Say) -> AsyncIterator[Settings]:
    """The broker and the database of a stack that is down, brought up without its services; gives their settings.
    What LARDER_KAFKA and LARDER_DATABASE name is left to whoever looks after it."""
    running = supervisor_of(home)
    if running:
        raise StackError(
            f"larder runs in {home.root} (pid {running.pid}), and adopting needs its services stopped: `larder down`"
        )
    parts = Parts(home, settings, say)
    if parts.broker.forgets:
        raise StackError("this broker keeps nothing at all: `larder up` begins anew, with empty databases")
    parts.check_ports()
    async with AsyncExitStack() as ending:
        programs = await parts.prepare()
        for part in programs:
            ending.push_async_callback(part.program.stop, await part.program.start())
        for part in programs:
            await wait_until(part.answers, PART_PATIENCE_S, f"{part.program.name} to answer", log=part.program.log)
        yield settings.model_copy(update={"kafka": parts.broker.bootstrap, "database": parts.database})


async def adopt(settings: Settings, say: Say, *, despite_loss: bool = False) -> None:
    """Makes the broker that answers now the one that the databases go with; a StackError says why it cannot be.

    `despite_loss`: goes on also without messages that nobody can publish again.
    """
    new = await cluster_id(settings.bootstrap())
    logs = await spans(settings.bootstrap())
    async with AsyncExitStack() as ending:
        books: dict[str, asyncpg.Connection] = {}
        standings: dict[Source, Standing] = {}
        for service in SERVICES:
            book = books[service] = await connect(settings.dsn(service), service)
            ending.push_async_callback(book.close)
            if await book.fetchval(_WORKERS, WORKER_SETTINGS["application_name"]):
                raise StackError(f"a worker of {service} runs, and adopting needs all services stopped")
            await ending.enter_async_context(book.transaction())
            standings |= await _standings(book, service)
        plans, lost = plan(standings, new, listeners(), logs)
        if not plans:
            say(f"nothing to adopt: every shard goes with Kafka cluster {new}, and no log is shorter than it was read")
            return
        if lost and not despite_loss:
            raise StackError(
                "this log cannot be adopted without a loss: the outboxes no longer hold messages that were never "
                "received (they are kept for LARDER_OUTBOX_RETENTION_S). Nothing was changed. `larder topics --adopt "
                "--despite-loss` goes on without them; then `larder audit` names the orders that miss them. Lost: "
                + _told(lost)
            )
        made = await ensure_topics(settings.bootstrap(), settings.shards)
        if made:
            say(f"made {len(made)} topics")
        for source, planned in plans.items():
            counters = [json.dumps(c) for c in (planned.offsets, planned.acked, planned.received)]
            await books[source.service].execute(_ADOPT, source.shard, new, *counters)
            say(f"{source}: {planned.again:,} messages are published again, {planned.new:,} of them not received yet")
    if lost:
        say(f"went on without messages that are lost for good: run `larder audit`. {_told(lost)}")
    say(
        f"the databases go with Kafka cluster {new} now; start the services. Commands from outside that only the lost "
        "log held are lost: whoever had no answer has to send again, with the same id"
    )


def plan(
    standings: Mapping[Source, Standing],
    new: str,
    listeners: Mapping[str, Sequence[str]],
    logs: Mapping[Log, tuple[int, int]],
) -> tuple[dict[Source, Plan], list[str]]:
    """What is to be done with each shard that reads or writes a lost log, and the messages that nobody can send again.

    A StackError when topics of another cluster are not empty.
    """
    others = {source for source, standing in standings.items() if standing.cluster != new}
    filled = sorted(f"{topic}/{n} holds {end - begin}" for (topic, n), (begin, end) in logs.items() if end)
    if others and filled:
        raise StackError(
            "the topics of this broker are not empty, and commands in them would be carried out again. Nothing was "
            f"changed. Delete its topics first, or choose another broker. Records: {_told(filled)}"
        )
    gone = {
        (topic, source.shard)
        for source, standing in standings.items()
        for topic, offset in standing.offsets.items()
        if source in others or logs.get((topic, source.shard), (0, 0))[1] < offset
    }
    plans = {
        source: Plan(
            {} if source in others else {t: o for t, o in standing.offsets.items() if (t, source.shard) not in gone},
            dict(standing.acked),
            dict(standing.received),
            0,
            0,
        )
        for source, standing in standings.items()
    }
    lost: list[str] = []
    for source, standing in standings.items():
        for link, sent in standing.sent.items():
            topic, _, partition = link.rpartition("/")
            if source in others or (topic, int(partition)) in gone:
                receivers = [Source(service, int(partition)) for service in listeners.get(topic, ())]
                lost += _go_back(source, link, sent, standing.first_kept(link), plans, receivers)
    changed = {s for s, p in plans.items() if s in others or p.again or p.offsets != standings[s].offsets}
    return {source: planned for source, planned in plans.items() if source in changed}, lost


def _go_back(
    source: Source, link: str, sent: int, first: int, plans: dict[Source, Plan], receivers: Sequence[Source]
) -> Iterator[str]:
    """Has a link begin again with the first row that is kept; names what its receivers will never get."""
    name = f"{source} {link.rpartition('/')[0]}"
    seen = min((plans[r].received.get(name, 0) if r in plans else 0 for r in receivers), default=sent)
    if seen + 1 < first:
        yield f"{source} to {link}: {seen + 1} to {first - 1}"
    for receiver in receivers:
        if receiver in plans and plans[receiver].received.get(name, 0) + 1 < first:
            plans[receiver].received[name] = first - 1
    planned = plans[source]
    plans[source] = replace(
        planned,
        acked={**planned.acked, link: first - 1},
        again=planned.again + sent - first + 1,
        new=planned.new + sent - max(seen, first - 1),
    )


def _told(found: Sequence[str]) -> str:
    more = f"; and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return "; ".join(found[:LISTED]) + more


async def _standings(book: asyncpg.Connection, service: str) -> dict[Source, Standing]:
    rows = await book.fetch(_PROGRESS)  # locks them before the outbox is read
    kept: dict[int, dict[str, int]] = {row["shard"]: {} for row in rows}
    for row in await book.fetch(_KEPT):
        kept[row["shard"]][row["link"]] = row["first"]
    return {
        Source(service, row["shard"]): Standing(
            row["cluster_id"],
            json.loads(row["sent"]),
            json.loads(row["received"]),
            kept[row["shard"]],
            json.loads(row["offsets"]),
            json.loads(row["acked"]),
        )
        for row in rows
    }


def listeners() -> dict[str, list[str]]:
    """The services that read each topic, as they say themselves."""
    found: dict[str, list[str]] = {}
    for service in SERVICES:
        decider: Decider = import_module(f"services.{service}.decider").DECIDER
        for topic in {commands_of(service), *(message.TOPIC for message in decider.listens)}:
            found.setdefault(topic, []).append(service)
    return found
