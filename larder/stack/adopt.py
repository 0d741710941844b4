"""Gives a broker that lost its log for good the messages that the outboxes still hold.

Every shard's progress is set to the new cluster with no offsets, and each of its links back to the first row that the
outbox keeps: all that is kept is published again. Receivers drop what they have, by link number, so that nothing is
decided twice; whoever listens from outside finds the same events in the new log, some of them for the second time.

All databases are read and locked before the first is written, and the epoch of each shard goes up: a worker that was
overlooked writes nothing any more. A run that was cut short is simply repeated.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import NamedTuple

import asyncpg

from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.migrate import connect
from larder.stack.parts import Parts
from larder.stack.process import wait_until
from larder.stack.state import supervisor_of
from larder.stack.topics import cluster_id, ensure_topics
from shared.contracts.topics import commands_of
from shared.runtime.database import WORKER_SETTINGS
from shared.runtime.decider import Decider
from shared.settings import SERVICES, Settings

Say = Callable[[str], None]
PART_PATIENCE_S = 120
LISTED = 10
"""Most lost links that are named."""

_WORKERS = """
select count(*) from pg_stat_activity where datname = current_database() and application_name = $1"""
_PROGRESS = "select shard, cluster_id, sent, received from progress order by shard for update"
_KEPT = """
select shard, topic || '/' || kafka_partition as link, min(first_link) as first from outbox group by 1, 2"""
_ADOPT = """
update progress set epoch = epoch + 1, version = version + 1, cluster_id = $2, offsets = '{}', acked = $3
where shard = $1"""


class Source(NamedTuple):
    """A shard of a service."""

    service: str
    shard: int

    def __str__(self) -> str:
        return f"{self.service}/{self.shard}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a shard's database says of its links. `kept`: first number in the outbox, by "topic/partition"."""

    cluster: str
    sent: Mapping[str, int]
    received: Mapping[str, int]
    kept: Mapping[str, int]

    def first_kept(self, link: str) -> int:
        """The first number that can still be sent."""
        return self.kept.get(link, self.sent[link] + 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What each link of a shard goes back to, and how much of it its receivers have not seen."""

    acked: Mapping[str, int]
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


async def adopt(settings: Settings, say: Say) -> None:
    """Makes the broker that answers now the one that the databases go with; a StackError says why it cannot be."""
    new = await cluster_id(settings.bootstrap())
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
        plans = plan(standings, new, _listeners())
        if not plans:
            say(f"nothing to adopt: every shard goes with Kafka cluster {new} already")
            return
        made = await ensure_topics(settings.bootstrap(), settings.shards)
        if made:
            say(f"made {len(made)} topics")
        for source, planned in plans.items():
            await books[source.service].execute(_ADOPT, source.shard, new, json.dumps(planned.acked))
            say(f"{source}: {planned.again:,} messages are published again, {planned.new:,} of them not received yet")
    say(
        f"the databases go with Kafka cluster {new} now; start the services. Commands from outside that only the lost "
        "log held are lost: whoever had no answer has to send again, with the same id"
    )


def plan(standings: Mapping[Source, Standing], new: str, listeners: Mapping[str, Sequence[str]]) -> dict[Source, Plan]:
    """What is to be done with each shard that goes with another cluster than `new`; a StackError names the messages
    that nobody can publish again."""
    plans: dict[Source, Plan] = {}
    lost: list[str] = []
    for source, standing in standings.items():
        if standing.cluster == new:
            continue
        acked, again, unseen = {}, 0, 0
        for link, sent in standing.sent.items():
            topic, _, partition = link.rpartition("/")
            receivers = [Source(service, int(partition)) for service in listeners.get(topic, ())]
            received = min(
                (standings[r].received.get(f"{source} {topic}", 0) if r in standings else 0 for r in receivers),
                default=sent,
            )
            first = standing.first_kept(link)
            if received + 1 < first:
                lost.append(f"{source} to {link}: {received + 1} to {first - 1}")
            acked[link] = first - 1
            again += sent - first + 1
            unseen += sent - received
        plans[source] = Plan(acked, again, unseen)
    if lost:
        raise StackError(
            "the new broker cannot be adopted: the outboxes no longer hold messages that were never received (they are "
            "kept for LARDER_OUTBOX_RETENTION_S). Nothing was changed. Missing are "
            + "; ".join(lost[:LISTED])
            + (f"; and {len(lost) - LISTED} more links" if len(lost) > LISTED else "")
        )
    return plans


async def _standings(book: asyncpg.Connection, service: str) -> dict[Source, Standing]:
    rows = await book.fetch(_PROGRESS)  # locks them before the outbox is read
    kept: dict[int, dict[str, int]] = {row["shard"]: {} for row in rows}
    for row in await book.fetch(_KEPT):
        kept[row["shard"]][row["link"]] = row["first"]
    return {
        Source(service, row["shard"]): Standing(
            row["cluster_id"], json.loads(row["sent"]), json.loads(row["received"]), kept[row["shard"]]
        )
        for row in rows
    }


def _listeners() -> dict[str, list[str]]:
    """The services that read each topic, as they say themselves."""
    found: dict[str, list[str]] = {}
    for service in SERVICES:
        decider: Decider = import_module(f"services.{service}.decider").DECIDER
        for topic in {commands_of(service), *(message.TOPIC for message in decider.listens)}:
            found.setdefault(topic, []).append(service)
    return found
