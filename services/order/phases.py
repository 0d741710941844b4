"""Where open orders are: how many in each phase of each store, and which of them has been there longest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from services.order.state import Phase
from shared.contracts.base import Name
from shared.http.auth import STORE_ROLES, Caller, Role, require
from shared.http.lately import Lately
from shared.http.paging import Page
from shared.service import Parts

LOOK_S = 1.0
"""Open orders are counted no more often than this by one process, however many ask."""

_OPEN = """select phase, store, count(*) as orders, min(phase_since) as since,
    extract(epoch from now() - min(phase_since))::float8 as seconds
from orders where not ended group by phase, store"""
# The oldest one is found by its instant in a second walk: one walk that puts all of them in order takes twice as long.
_NAMED = f"""select p.*, min(o.order_id) as order_id
from ({_OPEN}) p
join orders o on not o.ended and o.phase = p.phase and o.store = p.store and o.phase_since = p.since
group by p.phase, p.store, p.orders, p.since, p.seconds"""

Staff = Annotated[Caller, Depends(require(*(role for role in Role if role is not Role.CUSTOMER)))]


class Open(NamedTuple):
    """Open orders in a phase of a store: how many, since when (and how long, in seconds) the oldest is there, and its
    id."""

    phase: str
    store: str
    orders: int
    since: datetime
    seconds: float
    order_id: str


async def open_orders(pool: asyncpg.Pool) -> list[Open]:
    """All of them."""
    return [Open(*row) for row in await pool.fetch(_NAMED)]


async def ages(pool: asyncpg.Pool) -> dict[str, float]:
    """How many seconds the oldest open order of each phase has been there; without its id, which takes a walk more."""
    found: dict[str, float] = {}
    for row in await pool.fetch(_OPEN):
        found[row["phase"]] = max(row["seconds"], found.get(row["phase"], row["seconds"]))
    return found


class OldestOrder(BaseModel):
    """The order that has been in its phase longest: since when, and how many seconds that is."""

    order_id: str
    since: datetime
    seconds: float


class PhaseRow(BaseModel):
    """Open orders in one phase."""

    phase: str
    orders: int
    oldest: OldestOrder


def routes(parts: Parts) -> APIRouter:
    """The route of it."""
    router = APIRouter(tags=["orders"])
    look = Lately(partial(open_orders, parts.pool), LOOK_S)

    @router.get("/phases")
    async def some(
        caller: Staff,
        store: Annotated[Name | None, Query(description="only orders of this store")] = None,
    ) -> Page[PhaseRow]:
        """The phases in which there are open orders, in the order of a life; of all stores or of one. Who works in one
        store sees that one."""
        if store is not None:
            caller.must_work_at(store)
        elif caller.role in STORE_ROLES:
            store = caller.store
        phases: dict[str, list[Open]] = defaultdict(list)
        for one in await look():
            if store in (None, one.store):
                phases[one.phase].append(one)
        return Page(items=[_row(phase, phases[phase]) for phase in Phase if phase in phases])

    return router


def _row(phase: str, some: Sequence[Open]) -> PhaseRow:
    first = min(some, key=lambda one: one.since)
    oldest = OldestOrder(order_id=first.order_id, since=first.since, seconds=first.seconds)
    return PhaseRow(phase=phase, orders=sum(one.orders for one in some), oldest=oldest)
