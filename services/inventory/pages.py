"""What people see of stock: cells, the ledger, allotments, documents, read from the tables.

An SPU is shown as one, whatever cells it has: pieces that are set aside are on hand, and as good as locked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel, Field

from services.inventory.state import MARK, AllotmentPhase, incoming_cell, owed_cell, parted

SEQ_MAX = 2**63 - 1
"""Above every row of the ledger: where its first page begins."""

# Pieces set aside are what an open allotment has not sold. The cells of what is to come have their SPU's name before a
# suffix ($2, $3).
_STOCK_COLUMNS = """
    select c.spu, c.on_hand, c.locked, coalesce(a.quantity - a.sold, 0) as set_aside,
           coalesce(i.on_hand, 0) as incoming, coalesce(o.on_hand, 0) as owed
    from cells c
        left join allotments a on a.store = c.store and a.spu = c.spu and a.phase = 'open'
        left join cells i on i.store = c.store and i.spu = c.spu || $2
        left join cells o on o.store = c.store and o.spu = c.spu || $3
    where c.store = $1"""
_STOCK = f"{_STOCK_COLUMNS} and c.spu = $4"
_STOCK_OF_STORE = f"{_STOCK_COLUMNS} and c.spu > $4 and strpos(c.spu, $5) = 0 order by c.spu limit $6"
_ALLOTMENT_COLUMNS = "select store, promotion, phase, spu, quantity, sold, ends_at from allotments where store = $1"
_ALLOTMENT = f"{_ALLOTMENT_COLUMNS} and promotion = $2"
_ALLOTMENTS = f"{_ALLOTMENT_COLUMNS} and promotion > $2 order by promotion limit $3"
# Backwards along the primary key; `n` is the place within a row, so that a page may end in the middle of one.
_LEDGER = """
    select l.seq, e.n, l.at, l.kind, l.order_id, l.document, e.spu, e.on_hand::bigint, e.locked::bigint
    from ledger l cross join lateral rows from (
        jsonb_array_elements_text(l.spus::jsonb),
        jsonb_array_elements_text(l.on_hand::jsonb),
        jsonb_array_elements_text(l.locked::jsonb)
    ) with ordinality as e (spu, on_hand, locked, n)
    where l.store = $1 and l.seq <= $3 and (l.seq < $3 or e.n > $4)
      and ($2::text is null or (strpos(l.spus, '"' || $2) > 0 and split_part(e.spu, $6, 1) = $2))
    order by l.seq desc, e.n limit $5"""
_DOCUMENT_COLUMNS = "number, kind, store, order_id, at, spus, quantities, reverses, reason, actor"
_DOCUMENT = f"select {_DOCUMENT_COLUMNS} from documents where number = $1"
_DOCUMENTS_OF_ORDER = f"""
    select {_DOCUMENT_COLUMNS} from documents
    where order_id = $1 and (at, number) > (coalesce($2, '-infinity'::timestamptz), coalesce($3, ''))
    order by at, number limit $4"""


class StockPage(BaseModel):
    """Pieces of one SPU in one store."""

    store: str
    spu: str
    on_hand: int = Field(description="on the shelf, or set aside for a flash sale and not sold")
    locked: int = Field(description="locked for orders, or set aside and not sold")
    available: int = Field(description="what may still be promised to anybody: on hand less locked")
    incoming: int = Field(description="still to come, sold or not")
    presold: int = Field(description="of the incoming ones, those that are sold")


class MovementRow(BaseModel):
    """What one step did to one cell: differences in pieces. It names its document, or the order whose hold it was, or
    neither: `allot` (from the shelf to a flash sale, or back), `expect` (more or less is to come), `arrive` (of what
    came in, so much was owed, or is to come no more)."""

    seq: int
    line: int
    at: datetime
    store: str
    spu: str
    of: str | None = Field(
        description="null: pieces on the shelf. A promotion: pieces set aside for it. `+incoming`: pieces to come that "
        "may be promised. `+owed`: pieces sold of what is to come, not come yet"
    )
    on_hand: int
    locked: int
    kind: str
    order_id: str | None
    document: str | None


class AllotmentPage(BaseModel):
    """Pieces of one SPU that a flash sale may sell in a store, first paid, first served."""

    store: str
    promotion: str
    spu: str | None = Field(description="null as long as nothing was set aside")
    quantity: int = Field(description="all of them, sold ones included")
    left: int = Field(description="set aside now, and not sold")
    sold: int = Field(description="sold, less those whose orders were reversed")
    ends_at: datetime | None = Field(description="null before the promotion was announced to the store")
    phase: str = Field(description="announced: nothing is set aside; open; over: what was left is on the shelf again")


class DocumentLine(BaseModel):
    """Pieces of one SPU; in an adjustment the signed difference."""

    spu: str
    quantity: int


class DocumentPage(BaseModel):
    """A document, as it was written and will stay."""

    number: str
    kind: str
    store: str
    order_id: str | None
    at: datetime
    lines: list[DocumentLine]
    reverses: str | None
    reason: str | None
    actor: str | None


class Stock:
    """Reads stock for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def cell(self, store: str, spu: str) -> StockPage | None:
        """One cell; None where no goods were ever received or counted."""
        row = await self._pool.fetchrow(_STOCK, store, *_BESIDE, spu)
        return _stock(store, row) if row else None

    async def cells(self, store: str, after: Sequence[Any], limit: int) -> list[StockPage]:
        """The cells of a store, by SPU."""
        rows = await self._pool.fetch(_STOCK_OF_STORE, store, *_BESIDE, after[0] or "", MARK, limit)
        return [_stock(store, row) for row in rows]

    async def allotment(self, store: str, promotion: str) -> AllotmentPage | None:
        """One allotment; None when the store has heard nothing of such a sale."""
        row = await self._pool.fetchrow(_ALLOTMENT, store, promotion)
        return _allotment(row) if row else None

    async def allotments(self, store: str, after: Sequence[Any], limit: int) -> list[AllotmentPage]:
        """The allotments of a store, by promotion."""
        return [_allotment(row) for row in await self._pool.fetch(_ALLOTMENTS, store, after[0] or "", limit)]

    async def ledger(self, store: str, spu: str | None, after: Sequence[Any], limit: int) -> list[MovementRow]:
        """The movements of a store, or of one of its SPUs, the newest first."""
        seq, line = after
        rows = await self._pool.fetch(_LEDGER, store, spu, SEQ_MAX if seq is None else seq, line or 0, limit, MARK)
        return [
            MovementRow(
                seq=row["seq"],
                line=row["n"],
                at=row["at"],
                store=store,
                spu=parted(row["spu"])[0],
                of=parted(row["spu"])[1] or None,
                on_hand=row["on_hand"],
                locked=row["locked"],
                kind=row["kind"],
                order_id=row["order_id"],
                document=row["document"],
            )
            for row in rows
        ]

    async def document(self, number: str) -> DocumentPage | None:
        """A document by its number."""
        row = await self._pool.fetchrow(_DOCUMENT, number)
        return _document(row) if row else None

    async def documents_of(self, order_id: str, after: Sequence[Any], limit: int) -> list[DocumentPage]:
        """The documents of an order, the oldest first; those of one step by their numbers."""
        return [_document(row) for row in await self._pool.fetch(_DOCUMENTS_OF_ORDER, order_id, *after, limit)]


_BESIDE = incoming_cell(""), owed_cell("")
"""What the names of these cells end with."""


def _stock(store: str, row: Any) -> StockPage:
    set_aside, owed = row["set_aside"], row["owed"]
    return StockPage(
        store=store,
        spu=row["spu"],
        on_hand=row["on_hand"] + set_aside,
        locked=row["locked"] + set_aside,
        available=row["on_hand"] - row["locked"],
        incoming=row["incoming"] + owed,
        presold=owed,
    )


def _allotment(row: Any) -> AllotmentPage:
    is_open = row["phase"] == AllotmentPhase.OPEN
    return AllotmentPage(
        store=row["store"],
        promotion=row["promotion"],
        spu=row["spu"] or None,
        quantity=row["quantity"],
        left=row["quantity"] - row["sold"] if is_open else 0,
        sold=row["sold"],
        ends_at=row["ends_at"],
        phase=row["phase"],
    )


def _document(row: Any) -> DocumentPage:
    lines = zip(json.loads(row["spus"]), json.loads(row["quantities"]), strict=True)
    return DocumentPage(
        number=row["number"],
        kind=row["kind"],
        store=row["store"],
        order_id=row["order_id"],
        at=row["at"],
        lines=[DocumentLine(spu=spu, quantity=quantity) for spu, quantity in lines],
        reverses=row["reverses"],
        reason=row["reason"],
        actor=row["actor"],
    )
