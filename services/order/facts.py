"""Facts for questions that no order comes of: the same keys that a decision takes, from the same store.

Master data are remembered for as long as the database counts no change of them, which every question asks. So a PUT
that was answered is seen by whatever is asked after it (docs/adr/0004).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.order.areas import serving
from services.order.decider import MASTER_DATA
from services.order.reading import needs
from services.order.store import OrderStore
from shared.contracts import order as ordering
from shared.runtime.decider import Look, NotLoaded
from shared.runtime.table import Key

REMEMBERED_MAX = 60_000
"""Most facts of master data that are remembered; beyond, all are forgotten and loaded again as they are asked for."""
GATHER_S = 0.004
"""How long the first who asks whether they changed waits for others: one query answers all of them."""
AREAS_MAX = 2_000
"""Most stores whose areas are remembered; with more, the database finds the store of each point."""
_AREAS = "select store, accepting, area, west, south, east, north from stores limit $1"
_ALL_AREAS: Key = ("areas",)
"""What is remembered of them, beside the facts."""
_COUNT = "select version from master_data"
_ABSENT = object()


class Facts:
    """What baskets are priced with, now."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool, self._store = pool, OrderStore()
        self._count = _Count(pool)
        self._version = 0
        self._remembered: dict[Key, Any] = {}

    async def of(self, basket: ordering.PlaceOrder, now: datetime) -> Look:
        """The look of a decision about this basket: all keys that it needs are loaded. The order itself is none yet."""
        version = await self._count.now()
        if version != self._version or len(self._remembered) > REMEMBERED_MAX:
            self._version, self._remembered = version, {}
        # What a question loads goes to where it began: another may have learned of a change in the meantime.
        remembered, own = self._remembered, dict[Key, Any]([(("order", basket.order_id), None)])

        def look(key: Key) -> Any:
            found = remembered.get(key, _ABSENT)
            if found is _ABSENT and (found := own.get(key, _ABSENT)) is _ABSENT:
                raise NotLoaded(key)
            return found

        while missing := _missing(basket, look):
            for key in [key for key in missing if key[0] == "serving"]:
                areas = await self._areas(remembered)
                if len(areas) <= AREAS_MAX:
                    own[key] = _serving(areas, float(key[1]), float(key[2]))
                    missing.remove(key)
            if not missing:
                continue
            async with self._pool.acquire() as connection:
                loaded = await self._store.load_many(connection, missing, now)
            for key, fact in loaded.items():
                (remembered if key[0] in MASTER_DATA else own)[key] = fact
        return look

    async def _areas(self, remembered: dict[Key, Any]) -> Sequence[Any]:
        """All areas with their boxes: points are seldom asked for twice, and stores are few."""
        if _ALL_AREAS not in remembered:
            remembered[_ALL_AREAS] = await self._pool.fetch(_AREAS, AREAS_MAX + 1)
        areas: Sequence[Any] = remembered[_ALL_AREAS]
        return areas


def _serving(areas: Sequence[Any], lat: float, lon: float) -> str | None:
    # The box only leaves out what cannot be: a point on the antimeridian is in none for sure.
    near = [
        (store, accepting, area)
        for store, accepting, area, west, south, east, north in areas
        if south <= lat <= north and (west <= lon <= east or abs(lon) == 180)
    ]
    return serving(near, lat, lon)


def _missing(basket: ordering.PlaceOrder, look: Look) -> set[Key]:
    missing = set()
    try:
        for key in needs(basket, look):
            try:
                look(key)
            except NotLoaded:
                missing.add(key)
    except NotLoaded as absent:
        missing.add(absent.key)
    return missing


class _Count:
    """How often master data were changed. Whoever asks while it is being read waits for the next reading, which may see
    a change that this one does not: so one query answers all who asked meanwhile."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._reading: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def now(self) -> int:
        """The count at an instant after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._reading), name="count of master data")
        return await asyncio.shield(self._next)

    async def _after(self, reading: asyncio.Task[int] | None) -> int:
        if reading is not None:
            await asyncio.wait({reading})
        await asyncio.sleep(GATHER_S)
        self._reading, self._next = self._next, None
        count: int = await self._pool.fetchval(_COUNT)
        return count
