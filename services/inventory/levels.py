"""What inventory tells of stock: pieces of each SPU in each store, and what is left to flash sales."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice

import asyncpg

from services.inventory.state import INCOMING, MARK, OWED, incoming_cell, parted
from shared.contracts.levels import AllotmentLevel, StockLevel
from shared.runtime.table import Key
from shared.telling import Told

LOOK = """
    select k.store, k.spu, coalesce(c.on_hand - c.locked, 0) as available, coalesce(i.on_hand, 0) as incoming, now()
    from unnest($1::text[], $2::text[]) as k (store, spu)
    left join cells c using (store, spu)
    left join cells i on i.store = k.store and i.spu = k.spu || $3"""
WALK = "select store, spu from cells where (store, spu) > ($1, $2) order by store, spu limit $3"


class StockLevels:
    """`shared.telling.Levels` of cells; keys are those of the cells' states."""

    topic = StockLevel.TOPIC

    def touched(self, states: Collection[Key]) -> Iterable[Key]:
        """The cells among the states of a batch."""
        return [key for key in states if key[0] == "cell"]

    def first(self, noted: Collection[Key], most: int) -> list[Key]:
        """Allotments before shelves: they are few, and a crowd looks at them."""
        keys = list(islice((key for key in noted if MARK in key[2]), most))
        if len(keys) < most:
            keys += islice((key for key in noted if MARK not in key[2]), most - len(keys))
        return keys

    async def look(self, pool: asyncpg.Pool, keys: Sequence[Key]) -> list[Told]:
        """A shelf's level says what is to come as well, whichever of the two changed."""
        cells = dict.fromkeys((key[1], _told_of(key[2])) for key in keys)
        asked = [cell for cell in cells if cell[1]]
        rows = await pool.fetch(LOOK, [c[0] for c in asked], [c[1] for c in asked], incoming_cell(""))
        return [_told(*row) for row in rows]

    async def walk(self, pool: asyncpg.Pool, after: Key | None, most: int) -> list[Key]:
        """Cells in the order of their key."""
        return [("cell", *row) for row in await pool.fetch(WALK, *(after[1:] if after else ("", "")), most)]


def _told_of(cell: str) -> str:
    """The cell whose level says what this one has: of what is to come its shelf's, of what is owed none."""
    spu, of = parted(cell)
    return spu if of == INCOMING else "" if of == OWED else cell


def _told(store: str, cell: str, available: int, incoming: int, at: datetime) -> Told:
    spu, promotion = parted(cell)
    if not promotion:
        level = StockLevel(store=store, spu=spu, available=available, incoming=incoming, at=at)
        return Told(StockLevel.TYPE, level.key, level.to_json())
    if not available:
        return Told(AllotmentLevel.TYPE, f"{store}{MARK}{cell}", None)
    left = AllotmentLevel(store=store, spu=spu, promotion=promotion, left=available, at=at)
    return Told(AllotmentLevel.TYPE, left.key, left.to_json())


STOCK_LEVELS = StockLevels()
