"""What logistics tells of slots: the next ones of each store with places left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice

import asyncpg

from shared.contracts.levels import SLOTS_TOLD_MAX, OpenSlot, SlotsLevel
from shared.runtime.table import Key
from shared.telling import Told

STORES_MOST = 20
"""Most stores of one beat: a store's level has up to SLOTS_TOLD_MAX slots."""
LOOK = """
    select k.store, s.starts_at, s.ends_at, s.places - s.reserved as free, now() as at
    from unnest($1::text[]) as k (store) left join lateral (
        select starts_at, ends_at, places, reserved from slots
        where store = k.store and starts_at > now() and places > reserved order by starts_at limit $2) s on true
    order by k.store, s.starts_at"""
WALK = "select distinct store from slots where store > $1 order by store limit $2"


class SlotLevels:
    """`shared.telling.Levels` of the slots of stores; keys are ("slots", store)."""

    topic = SlotsLevel.TOPIC

    def touched(self, states: Collection[Key]) -> Iterable[Key]:
        """The stores whose slots a batch changed."""
        return {("slots", key[1]) for key in states if key[0] == "slot"}

    def first(self, noted: Collection[Key], most: int) -> list[Key]:
        """The oldest."""
        return list(islice(noted, min(most, STORES_MOST)))

    async def look(self, pool: asyncpg.Pool, keys: Sequence[Key]) -> list[Told]:
        """A store without a free slot to come is over until it has one again."""
        slots: dict[str, list[OpenSlot]] = {key[1]: [] for key in keys}
        rows = await pool.fetch(LOOK, list(slots), SLOTS_TOLD_MAX)
        for store, start, end, free, _ in rows:
            if start:
                slots[store].append(OpenSlot(start=start, end=end, free=free))
        at = rows[0]["at"]
        return [Told(SlotsLevel.TYPE, store, _body(store, some, at)) for store, some in slots.items()]

    async def walk(self, pool: asyncpg.Pool, after: Key | None, most: int) -> list[Key]:
        """Stores by name."""
        return [("slots", row[0]) for row in await pool.fetch(WALK, after[1] if after else "", most)]


def _body(store: str, slots: list[OpenSlot], at: datetime) -> bytes | None:
    return SlotsLevel(store=store, slots=tuple(slots), at=at).to_json() if slots else None


SLOT_LEVELS = SlotLevels()
