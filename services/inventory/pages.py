"""What people see of stock: cells, the ledger, documents, read from the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

SEQ_MAX = 2**63 - 1
"""Above every row of the ledger: where its first page begins."""

_STOCK = "select spu, on_hand, locked from cells where store = $1 and spu = $2"
_STOCK_OF_STORE = """
    select spu, on_hand, locked from cells where store = $1 and spu > $2 order by spu limit $3"""
# Backwards along the primary key; `n` is the place within a row, so that a page may end in the middle of one.
_LEDGER = """
    select l.seq, e.n, l.at, l.kind, l.order_id, l.document, e.spu, e.on_hand::bigint, e.locked::bigint
    from ledger l cross join lateral rows from (
        jsonb_array_elements_text(l.spus::jsonb),
        jsonb_array_elements_text(l.on_hand::jsonb),
        jsonb_array_elements_text(l.locked::jsonb)
    ) with ordinality as e (spu, on_hand, locked, n)
    where l.store = $1 and l.seq <= $3 and (l.seq < $3 or e.n > $4)
      and ($2::text is null or (strpos(l.spus, to_json($2::text)::text) > 0 and e.spu = $2))
    order by l.seq desc, e.n limit $5"""
_DOCUMENT_COLUMNS = "number, kind, store, order_id, at, spus, quantities, reverses, reason, actor"
_DOCUMENT = f"select {_DOCUMENT_COLUMNS} from documents where number = $1"
_DOCUMENTS_OF_ORDER = f"""
    select {_DOCUMENT_COLUMNS} from documents
    where order_id = $1 and (at, number) > (coalesce($2, '-infinity'::timestamptz), coalesce($3, ''))
    order by at, number limit $4"""


class StockPage(BaseModel):
    """Pieces of one SPU in one store; `available` is what may still be promised."""

    store: str
    spu: str
    on_hand: int
    locked: int
    available: int


class MovementRow(BaseModel):
    """What one step did to one cell: differences in pieces. It names its document, or the order whose hold it was."""

    seq: int
    line: int
    at: datetime
    store: str
    spu: str
    on_hand: int
    locked: int
    kind: str
    order_id: str | None
    document: str | None


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
        row = await self._pool.fetchrow(_STOCK, store, spu)
        return _stock(store, row) if row else None

    async def cells(self, store: str, after: Sequence[Any], limit: int) -> list[StockPage]:
        """The cells of a store, by SPU."""
        rows = await self._pool.fetch(_STOCK_OF_STORE, store, after[0] or "", limit)
        return [_stock(store, row) for row in rows]

    async def ledger(self, store: str, spu: str | None, after: Sequence[Any], limit: int) -> list[MovementRow]:
        """The movements of a store, or of one of its cells, the newest first."""
        seq, line = after
        rows = await self._pool.fetch(_LEDGER, store, spu, SEQ_MAX if seq is None else seq, line or 0, limit)
        return [
            MovementRow(
                seq=row["seq"],
                line=row["n"],
                at=row["at"],
                store=store,
                spu=row["spu"],
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


def _stock(store: str, row: Any) -> StockPage:
    on_hand, locked = row["on_hand"], row["locked"]
    return StockPage(store=store, spu=row["spu"], on_hand=on_hand, locked=locked, available=on_hand - locked)


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
