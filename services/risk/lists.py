"""What analysts read and write straight in the tables: the switch, the blocklist, the reviews.

Switch and blocklist are master data: rows that the last writer wins, in force for every batch of orders that comes
after, so that a PUT that was answered is seen by the next order. Reviews are only read here; they are decided through
the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic import BaseModel

from services.risk.state import Kind, Treatment
from services.risk.store import SAVE_ENTRIES, read_spoke
from shared.contracts.texts import normal_form
from shared.runtime.statement import columns

_SWITCH = "select is_on, changed_at, changed_by from switch"
_SET_SWITCH = """
insert into switch (is_on, changed_by) values ($1, $2)
on conflict (only_row) do update set is_on = excluded.is_on, changed_at = now(), changed_by = excluded.changed_by
returning is_on, changed_at, changed_by
"""
_PUT_ENTRY = f"{SAVE_ENTRIES} returning kind, value, treatment, reason, until, changed_at, changed_by"
# Any of two spellings: a row that an earlier larder wrote is addressed as it is listed.
_DELETE_ENTRY = """
with gone as (delete from blocklist where kind = $1 and value = any($2::text[]) returning 1) select count(*) from gone
"""
_ENTRIES = """
select kind, value, treatment, reason, until, changed_at, changed_by from blocklist
where ($1::text is null or (kind, value) > ($1, $2::text)) and ($3::text is null or kind = $3)
order by kind, value limit $4
"""
_ENTRY = """
select kind, value, treatment, reason, until, changed_at, changed_by from blocklist where kind = $1 and value = $2
"""
_REVIEWS = """
select r.order_id, r.account, r.total, r.device, r.address, r.reason, r.asked_at, r.due_at, r.verdict, r.note,
       r.decided_by, r.decided_at, s.score, s.spoke,
       case when r.claimed_until > now() then r.claimed_by end as claimed_by,
       case when r.claimed_until > now() then r.claimed_until end as claimed_until
from reviews r join screenings s using (order_id)
"""
_OPEN_REVIEWS = f"""
{_REVIEWS} where r.decided_at is null and ($1::timestamptz is null or (r.due_at, r.order_id) > ($1, $2::text))
order by r.due_at, r.order_id limit $3
"""
_REVIEW = f"{_REVIEWS} where r.order_id = $1"


class SwitchPage(BaseModel):
    """Whether orders are screened. Switched off, every order's stock is deducted on payment."""

    on: bool
    changed_at: datetime
    changed_by: str


class EntryPage(BaseModel):
    """An entry of the blocklist; from `until` on it counts no more (null: for good)."""

    kind: Kind
    value: str
    treatment: Treatment
    reason: str
    until: datetime | None
    changed_at: datetime
    changed_by: str


class RulePage(BaseModel):
    """A rule that spoke about an order: what it saw, from which threshold on it speaks, and what it added."""

    name: str
    value: float
    threshold: float
    points: float


class ReviewPage(BaseModel):
    """An order that a person looks at (`total` in minor units), and the rules that spoke about it. `verdict` is null
    while it is open; `claimed_by` works on it until `claimed_until`; `decided_by` is empty when nobody decided in time,
    or the order ended first."""

    order_id: str
    account: str
    total: int
    device: str | None
    address: str | None
    reason: str
    asked_at: datetime
    due_at: datetime
    verdict: Literal["clear", "restrict", "refuse", "withdrawn"] | None
    note: str
    decided_by: str
    decided_at: datetime | None
    claimed_by: str | None
    claimed_until: datetime | None
    score: float | None
    rules: list[RulePage]


class Lists:
    """Reads and writes for people, one statement each."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def switch(self) -> SwitchPage:
        """How the switch stands."""
        return _switch(await self._pool.fetchrow(_SWITCH))

    async def set_switch(self, on: bool, actor: str) -> SwitchPage:
        """Turns it on or off."""
        return _switch(await self._pool.fetchrow(_SET_SWITCH, on, actor))

    async def put_entry(
        self, kind: Kind, value: str, treatment: Treatment, reason: str, until: datetime | None, actor: str
    ) -> EntryPage:
        """Writes an entry, or writes it anew; `value` is in its normal form."""
        entry = (kind, value, treatment, reason, until, actor)
        row = await self._pool.fetchrow(_PUT_ENTRY, *columns([entry]))
        return EntryPage(**dict(_there(row)))

    async def delete_entry(self, kind: Kind, value: str) -> bool:
        """Takes an entry off the list, however it is written; False when there was none."""
        return bool(await self._pool.fetchval(_DELETE_ENTRY, kind, [normal_form(value), value]))

    async def entries(self, after: Sequence[Any], kind: Kind | None, limit: int) -> list[EntryPage]:
        """Entries behind (kind, value), in that order."""
        return [EntryPage(**dict(row)) for row in await self._pool.fetch(_ENTRIES, *after, kind, limit)]

    async def open_reviews(self, after: Sequence[Any], limit: int) -> list[ReviewPage]:
        """Open reviews behind (due_at, order_id), the one with the next deadline first."""
        return [_review(row) for row in await self._pool.fetch(_OPEN_REVIEWS, *after, limit)]

    async def review(self, order_id: str) -> ReviewPage | None:
        """An order's review, open or decided."""
        row = await self._pool.fetchrow(_REVIEW, order_id)
        return _review(row) if row else None

    async def entries_of(self, account: str) -> list[EntryPage]:
        """What the blocklist says of an account."""
        return [EntryPage(**dict(row)) for row in await self._pool.fetch(_ENTRY, Kind.ACCOUNT, normal_form(account))]


def rules_that_spoke(text: str | None) -> list[RulePage]:
    """Of a screening's column `spoke`."""
    return [RulePage(**spoke._asdict()) for spoke in read_spoke(text)]


def _review(row: asyncpg.Record) -> ReviewPage:
    told = dict(row)
    rules = rules_that_spoke(told.pop("spoke"))
    return ReviewPage(**told, rules=rules)


def _switch(row: asyncpg.Record | None) -> SwitchPage:
    is_on, changed_at, changed_by = _there(row)
    return SwitchPage(on=is_on, changed_at=changed_at, changed_by=changed_by)


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise LookupError("the table `switch` has lost its row: PUT /switch writes it again")
    return row
