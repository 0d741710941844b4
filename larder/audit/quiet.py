"""When to judge: a look at what is on its way, and the wait until nothing is.

A look is taken inside a snapshot of all databases. Link numbers only grow, so where every link has received in its
receiver's snapshot what it has sent in its sender's, the snapshots form one consistent cut with no message between
them, although they were taken one after the other.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from larder.audit.books import Books
from larder.audit.look import Counted, Look, Waiting, links_of
from shared.settings import GATEWAY_BOOK, SERVICES

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
_CAPTURES_DUE = f"select key, due_at from pending_captures where due_at <= now() order by due_at limit {DUE_LISTED}"


async def look(books: Books) -> Look:
    """Looks, inside a snapshot. The gateway first: it must not know of money that was asked for after the others were
    read."""
    seen = Look(await books[GATEWAY_BOOK].fetchval("select now()"))
    for id_, order_id, since, attempts in await books[GATEWAY_BOOK].fetch(_WEBHOOKS):
        seen.webhooks.append(Waiting(GATEWAY_BOOK, id_, order_id, since, f"sent {attempts} times"))
    seen.pending_captures = await books[GATEWAY_BOOK].fetchval("select count(*) from pending_captures")
    for key, due_at in await books[GATEWAY_BOOK].fetch(_CAPTURES_DUE):
        seen.captures_due.append(Waiting(GATEWAY_BOOK, key, "", due_at, "a capture that the gateway will make"))
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
