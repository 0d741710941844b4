"""What does not stay for ever: personal data and history of what is over, a portion at a time.

Theory of operation. A `Sweep` walks a table of a service once, by age, along the index that the table has by age
anyway: `sweeps` holds how far it came, so that a look when nothing is due reads one entry of that index. What it
passes and is not over yet (an order that waits for half a year) is put into `sweeps_later`, and looked at again from
time to time: nothing open is swept, and nothing that ends late is forgotten. Sweeping twice does no harm, and of a
service's workers one at a time sweeps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Literal

from shared.runtime.statement import Connection
from shared.settings import Settings

log = logging.getLogger(__name__)

SWEPT_AT_ONCE = 500
"""Most orders (tickets, reviews, parked messages) that are swept in one transaction."""
SWEEPING_S = 0.5
"""How long one beat of the housekeeping may sweep. There is more than a portion after a setting was made shorter, and
when more becomes due in a beat than a portion holds."""
LOOK_AGAIN_S = 3_600.0
"""How long what was not over in time is left alone before the next look."""
LOCK = 0x5EEB
"""The advisory lock of whoever sweeps, with a hash of what he sweeps."""


@dataclass(frozen=True)
class Sweep:
    """What goes when rows of `table` are older than the setting `keep` says, and over.

    `at` and `key` are columns with an index (at, key) that never change; `over` is SQL over the row `o`: nothing will
    be done with it any more. `clear` is SQL with the keys as $1::text[], to be carried out in order, which touches only
    rows that something goes of; whoever wants the same gone earlier can run it by itself (larder/erasing.py does).
    """

    name: str
    keep: Literal["personal_data_s", "timeline_s", "risk_memory_s"]
    table: str
    at: str
    key: str
    over: str
    clear: Sequence[str]

    @property
    def aged(self) -> str:
        """What comes next in age, and what is to be looked at again: (key, over, new). Nothing while somebody else
        sweeps. $1 name, $2 lock, $3 older than, $4 now, $5 at most."""
        return f"""
with place as materialized (
    select at, key from sweeps where name = $1 and pg_try_advisory_xact_lock($2, hashtext($1))),
new as (
    select o.key, o.over from place cross join lateral (
        select o.{self.key} as key, ({self.over}) as over from {self.table} o
        where (o.{self.at}, o.{self.key}) > (place.at, place.key) and o.{self.at} < $3
        order by o.{self.at}, o.{self.key} limit $5) o),
again as (
    select l.key, coalesce(o.over, true) from place cross join lateral (
        select key from sweeps_later where name = $1 and look_at <= $4 order by look_at limit $5) l
    left join lateral (select ({self.over}) as over from {self.table} o where o.{self.key} = l.key) o on true)
select key, over, true from new union all select *, false from again"""

    @property
    def standing(self) -> str:
        """The rows of some orders: (key, over). $1 order ids; the table has an index by them."""
        return f"select o.{self.key}, ({self.over}) from {self.table} o where o.order_id = any($1::text[])"

    @property
    def passed(self) -> str:
        """Moves the place behind these keys."""
        return f"""
update sweeps set (at, key) = (
    select o.{self.at}, o.{self.key} from {self.table} o where o.{self.key} = any($2::text[])
    order by o.{self.at} desc, o.{self.key} desc limit 1)
where name = $1"""


_BEGIN = "insert into sweeps (name, at, key) values ($1, '-infinity', '') on conflict do nothing"
_LATER = """insert into sweeps_later (name, key, look_at) select $1, k, $3 from unnest($2::text[]) k
on conflict (name, key) do update set look_at = excluded.look_at"""
_NOT_LATER = "delete from sweeps_later where name = $1 and key = any($2::text[])"
_PARKED = """delete from parked where id in (
    select id from parked p where state <> 'parked' and parked_at < $1
        and not exists (select from parked_requests where parked_id = p.id)
    order by parked_at limit $2 for update skip locked)"""


class Sweeper:
    """Sweeps one service's database, over a connection that nobody else uses meanwhile."""

    def __init__(self, connection: Connection, sweeps: Sequence[Sweep], settings: Settings) -> None:
        self._connection = connection
        self._sweeps = sweeps
        self._settings = settings
        self._begun = False

    async def sweep(self, now: datetime) -> None:
        """Sweeps what is due by now: a portion of each kind, and more in turns while there is more and time left."""
        if not self._begun:
            await self._connection.executemany(_BEGIN, [(sweep.name,) for sweep in self._sweeps])
            self._begun = True
        stop_at = monotonic() + SWEEPING_S
        full: list[Sweep | None] = [*self._sweeps, None]
        while full:
            full = [sweep for sweep in full if await self._portion(sweep, now)]
            if monotonic() >= stop_at:
                return

    async def _portion(self, sweep: Sweep | None, now: datetime) -> bool:
        """One transaction; whether there may be more. None: parked messages that are settled."""
        if sweep is None:
            told: str = await self._connection.execute(_PARKED, self._before(now, "parked_s"), SWEPT_AT_ONCE)
            return int(told.rpartition(" ")[2]) == SWEPT_AT_ONCE
        async with self._connection.transaction():
            rows = await self._connection.fetch(
                sweep.aged, sweep.name, LOCK, self._before(now, sweep.keep), now, SWEPT_AT_ONCE
            )
            if rows:
                await self._clear(sweep, rows, now)
        return sum(new for *_, new in rows) == SWEPT_AT_ONCE or sum(not new for *_, new in rows) == SWEPT_AT_ONCE

    async def _clear(self, sweep: Sweep, rows: Sequence[Any], now: datetime) -> None:
        over = [key for key, is_over, _ in rows if is_over]
        if over:
            for sql in sweep.clear:
                await self._connection.execute(sql, over)
        if seen := [key for key, is_over, new in rows if is_over and not new]:
            await self._connection.execute(_NOT_LATER, sweep.name, seen)
        if waiting := [key for key, is_over, _ in rows if not is_over]:
            look_at = now + timedelta(seconds=min(LOOK_AGAIN_S, getattr(self._settings, sweep.keep)))
            await self._connection.execute(_LATER, sweep.name, waiting, look_at)
        if new_keys := [key for key, _, new in rows if new]:
            await self._connection.execute(sweep.passed, sweep.name, new_keys)
        if over:
            log.info("swept %s of %s that are over", sweep.name, len(over))

    def _before(self, now: datetime, keep: str) -> datetime:
        return now - timedelta(seconds=getattr(self._settings, keep))
