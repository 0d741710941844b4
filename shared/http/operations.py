"""What admin sees of a service while it runs: what its worker is at, its timers, what is parked, its settings.

No broker is needed for it: what is asked of parked messages (`shared.http.parked`) lands in a table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from shared.http import parked
from shared.http.auth import Caller, Role, require
from shared.http.lately import Lately
from shared.runtime.metrics import Working
from shared.settings import WINDOWS, Settings

LOOK_S = 1.0
"""The tables are looked at no more often than this, however many ask."""
DUE_COUNTED = 10_000
"""Most timers that are due of which it is said how many they are."""
KINDS_SHOWN = 100
"""Most kinds of parked messages that are shown: anybody can make up types."""
SETTINGS_TOLD = (
    *WINDOWS,
    "currency",
    "gateway_timeout_s",
    "similar_price_percent",
    "shards",
    "worker",
    "kafka_idempotence",
    "max_batch",
    "beat_ms",
    "lag_bound",
    "answer_wait_s",
    "connections_max",
    "id_memory_s",
    "outbox_retention_s",
    "personal_data_s",
    "risk_memory_s",
    "timeline_s",
    "parked_s",
    "log_level",
)
"""Settings that are no secret, and lead to none: not where the broker and the database are, and no file."""

_LOOK = """
with kinds as (
    select code, message_type, count(*) as messages, min(parked_at) as oldest_at from parked
    where state = 'parked' group by code, message_type)
select now() as at,
    (select count(*) from (
        select from progress cross join lateral (
            select from timers t where t.shard = progress.shard and t.due_at <= now() limit $1) d limit $1) d) as due,
    (select min(n.due_at) from progress cross join lateral (
        select due_at from timers t where t.shard = progress.shard and t.due_at > now()
        order by due_at limit 1) n) as next_at,
    (select count(*) from parked_requests) as asked,
    (select coalesce(sum(messages), 0)::bigint from kinds) as parked,
    (select coalesce(json_agg(k), '[]') from (
        select * from kinds order by messages desc, code, message_type limit $2) k) as kinds"""

Operator = Annotated[Caller, Depends(require(Role.ADMIN))]


class OwnedShard(BaseModel):
    """A shard that this process owns, and the epoch of its claim."""

    shard: int
    epoch: int


class ParkedKind(BaseModel):
    """Open parked messages of one code and type: how many, and since when the oldest is."""

    code: str
    message_type: str
    messages: int
    oldest_at: datetime


class OperationsPage(BaseModel):
    """How a service is doing. Of this process: its shards, the records that it has not read (`lag`), aggregates in
    memory, messages that the broker has not acknowledged, calls to the outside world under way. Of the whole service,
    `as_of` an instant: timers that are due, and when the next one will be; parked messages that are open, in all and by
    kind, the most frequent first; requests for them that wait for a worker."""

    service: str
    shards: list[OwnedShard]
    lag: int
    cached_aggregates: int
    unpublished_messages: int
    effects_running: int
    as_of: datetime
    timers_due: Annotated[int, Field(description=f"{DUE_COUNTED} stands for more as well")]
    next_timer_at: datetime | None
    parked: int
    parked_kinds: Annotated[list[ParkedKind], Field(description=f"at most {KINDS_SHOWN}")]
    parked_requests: int
    settings: dict[str, int | float | str | bool | None]


def routes(service: str, pool: asyncpg.Pool, settings: Settings, working: Callable[[], Working]) -> list[APIRouter]:
    """The routes that every service has for admin."""
    router = APIRouter(tags=["operations"])
    look = Lately(partial(_look, pool), LOOK_S)
    told = {name: getattr(settings, name) for name in SETTINGS_TOLD}

    @router.get("/operations")
    async def operations(caller: Operator) -> OperationsPage:
        row = await look()
        now = working()
        return OperationsPage(
            service=service,
            shards=[OwnedShard(shard=shard, epoch=epoch) for shard, epoch in sorted(now.epochs.items())],
            lag=now.lag,
            cached_aggregates=now.cached,
            unpublished_messages=now.unpublished_messages,
            effects_running=now.effects_running,
            as_of=row["at"],
            timers_due=row["due"],
            next_timer_at=row["next_at"],
            parked=row["parked"],
            parked_kinds=json.loads(row["kinds"]),
            parked_requests=row["asked"],
            settings=told,
        )

    return [router, parked.routes(pool)]


async def _look(pool: asyncpg.Pool) -> Any:
    return await pool.fetchrow(_LOOK, DUE_COUNTED, KINDS_SHOWN)
