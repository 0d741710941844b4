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

# The longest one is found by a second look at the instant: to put all of them in order would take longer.
_OPEN = """
with phases as (
    select phase, store, count(*) as orders, min(phase_since) as since
    from orders where not ended group by phase, store)
select p.*, extract(epoch from now() - p.since)::float8 as seconds, min(o.order_id) as order_id
from phases p join orders o on not o.ended and o.phase = p.phase and o.store = p.store and o.phase_since = p.since
group by p.phase, p.store, p.orders, p.since"""

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
    return [Open(*row) for row in await pool.fetch(_OPEN)]


def by_phase(found: Sequence[Open]) -> dict[Phase, list[Open]]:
    """The same for each phase, in the order in which an order goes through them, the oldest first."""
    phases: dict[str, list[Open]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one.since):
        phases[one.phase].append(one)
    return {phase: phases[phase] for phase in Phase if phase in phases}


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
    async def phases(
        caller: Staff,
        store: Annotated[Name | None, Query(description="only orders of this store")] = None,
    ) -> Page[PhaseRow]:
        """The phases in which there are open orders, of all stores or of one. Who works in one store sees that one."""
        if store is not None:
            caller.must_work_at(store)
        elif caller.role in STORE_ROLES:
            store = caller.store
        found = [one for one in await look() if store in (None, one.store)]
        return Page(items=[_row(phase, some) for phase, some in by_phase(found).items()])

    return router


def _row(phase: str, some: Sequence[Open]) -> PhaseRow:
    oldest = OldestOrder(order_id=some[0].order_id, since=some[0].since, seconds=some[0].seconds)
    return PhaseRow(phase=phase, orders=sum(one.orders for one in some), oldest=oldest)
