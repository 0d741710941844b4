"""Contradictions about money, for people: the list of them, the word that one is settled, and the alarm until then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from prometheus_client import Gauge
from pydantic import BaseModel

from shared.contracts.base import Filled
from shared.http.body import Body
from shared.runtime.statement import Connection
from shared.watch import watching

CONTRADICTIONS = Gauge(
    "larder_money_contradictions", "Things told of money that disagree with what is known: a person has to look"
)
OF_ORDER_MAX = 100
"""Most contradictions on the page of one order's payments; the list has all of them."""

_COLUMNS = "id, order_id, reference, at, why, told_by, told, known, settled_at, settled_by, note"
_OF_ORDER = f"select {_COLUMNS} from contradictions where order_id = $1 order by id limit $2"
_LIST = f"""
select {_COLUMNS} from contradictions
where ($1::boolean is null or (settled_at is not null) = $1) and ($2::bigint is null or id < $2)
order by id desc limit $3"""
_SETTLE = f"""
update contradictions set settled_at = now(), settled_by = $2, note = $3 where id = $1 returning {_COLUMNS}"""
_COUNT = "select count(*) from contradictions where settled_at is null"


class ContradictionPage(BaseModel):
    """Something told of money (`told`, by `told_by`) that disagrees with what is `known`; `why` is a code. It moved no
    money and changed no order."""

    id: int
    order_id: str
    reference: str
    at: datetime
    why: str
    told_by: str
    told: dict[str, Any]
    known: dict[str, Any]
    settled_at: datetime | None
    settled_by: str | None
    note: str | None


class SettledIn(Body):
    """What a person found out."""

    note: Filled


async def of_order(connection: Connection, order_id: str) -> list[ContradictionPage]:
    """Those about one order, the first ones."""
    return [_page(row) for row in await connection.fetch(_OF_ORDER, order_id, OF_ORDER_MAX)]


async def some(pool: asyncpg.Pool, settled: bool | None, after: Sequence[Any], limit: int) -> list[ContradictionPage]:
    """All, or those that are settled or not, the newest first, behind an id."""
    return [_page(row) for row in await pool.fetch(_LIST, settled, *after, limit)]


async def settle(pool: asyncpg.Pool, id_: int, actor: str, note: str) -> ContradictionPage | None:
    """A person has seen to it: no alarm any more. None when there is none of this id."""
    row = await pool.fetchrow(_SETTLE, id_, actor, note)
    return _page(row) if row else None


async def unsettled(connection: asyncpg.Pool | asyncpg.Connection) -> int:
    """How many wait for a person."""
    count: int = await connection.fetchval(_COUNT)
    return count


def _page(row: Any) -> ContradictionPage:
    return ContradictionPage(**{**row, "told": json.loads(row["told"]), "known": json.loads(row["known"])})


async def _look(pool: asyncpg.Pool) -> None:
    CONTRADICTIONS.set(await unsettled(pool))


watch_contradictions = watching("contradictions about money", _look)
"""Keeps the metric up to date."""
