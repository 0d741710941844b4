"""Inventory's tables: what a batch loads, what it writes, and what HTTP reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import astuple

from services.inventory.state import (
    EMPTY,
    Allotment,
    AllotmentPhase,
    Cell,
    Document,
    Hold,
    Holders,
    Issue,
    Issued,
    Movement,
    Phase,
    RequestPhase,
    Sources,
    StoreRequest,
)
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns, to_text
from shared.runtime.table import Key

LOAD_CELLS = """
    select c.store, c.spu, c.on_hand, c.locked
    from unnest($1::text[], $2::text[]) as k (store, spu) join cells c using (store, spu)"""
LOAD_HOLDS = """
    select order_id, store, phase, mode, spus, quantities, document, sources
    from holds where order_id = any($1::text[])"""
# A storekeeper's request is known by its document: the document is all that is kept of it.
LOAD_REQUESTS = "select number from documents where number = any($1::text[])"
LOAD_ALLOTMENTS = """
    select a.store, a.promotion, a.phase, a.spu, a.quantity, a.sold, a.ends_at
    from unnest($1::text[], $2::text[]) as k (store, promotion) join allotments a using (store, promotion)"""
LOAD_ASIDE = """
    select a.store, a.spu, a.promotion
    from unnest($1::text[], $2::text[]) as k (store, spu) join allotments a using (store, spu) where a.phase = 'open'"""
LOAD_ISSUES = "select order_id, lines, documents from issues where order_id = any($1::text[])"
# Who has pieces of a cell locked, the newest first: no index may tell, since it would have to change with every hold.
# So the ledger is walked back along its key, a span of it at a time, until all that is locked is accounted for; holds
# do not last much longer than the payment window.
LOCKED_AND_LAST = """
    select coalesce((select locked from cells where store = $1 and spu = $2), 0),
           coalesce((select seq from ledger where store = $1 order by seq desc limit 1), 0)"""
LOAD_LOCKS = """
    select l.order_id, l.spus, l.locked
    from ledger l join holds h on h.order_id = l.order_id
    where l.store = $1 and l.seq > $3 and l.seq <= $4 and l.kind = 'lock' and h.phase = 'locked'
      and strpos(l.spus, to_json($2::text)::text) > 0
    order by l.seq desc"""
LEDGER_SPAN = 20_000
"""Rows of the ledger that are looked through at first; each further span is twice as long."""

SAVE_CELLS = """
    insert into cells (store, spu, on_hand, locked)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    on conflict (store, spu) do update set on_hand = excluded.on_hand, locked = excluded.locked"""
SAVE_HOLDS = """
    insert into holds (order_id, store, phase, mode, spus, quantities, document, sources)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    on conflict (order_id) do update
    set phase = excluded.phase, document = excluded.document, sources = excluded.sources"""
# Those that are open come last (`save_many`): an SPU has one of them at any moment.
SAVE_ALLOTMENTS = """
    insert into allotments (store, promotion, phase, spu, quantity, sold, ends_at)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
    on conflict (store, promotion) do update
    set phase = excluded.phase, spu = excluded.spu, quantity = excluded.quantity, sold = excluded.sold,
        ends_at = excluded.ends_at"""
SAVE_ISSUES = """
    insert into issues (order_id, lines, documents)
    select * from unnest($1::text[], $2::text[], $3::text[])
    on conflict (order_id) do update set lines = excluded.lines, documents = excluded.documents"""
# All of a batch happens at one time, which is read once.
APPEND_LEDGER = """
    insert into ledger (at, store, kind, order_id, document, spus, on_hand, locked)
    select $1, u.* from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) u"""
APPEND_DOCUMENTS = """
    insert into documents (at, number, kind, store, order_id, spus, quantities, reverses, reason, actor)
    select $1, u.* from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                               $9::text[], $10::text[]) u"""


_to_sources = msgspec.json.Decoder(Sources).decode
JSON_REMEMBERED = 4_096
"""Most columns of lines whose text is kept."""


class InventoryStore:
    """What the runtime asks of a service's tables (`shared.runtime.statement.Store`)."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """The states of all keys, one query per kind; a cell that no goods were received for is empty."""
        found: dict[Key, Any] = {}
        cells: list[Key] = []
        beside: dict[str, list[Key]] = {"allotment": [], "aside": []}
        others: dict[str, list[str]] = {"hold": [], "request": [], "issue": []}
        for key in keys:
            if key[0] == "cell":
                found[key] = EMPTY
                cells.append(key)
            elif key[0] == "holders":
                found[key] = await _holders(connection, key[1], key[2]) if len(key) == 3 else ()
            elif key[0] in beside:
                found[key] = None
                beside[key[0]].append(key)
            else:
                found[key] = None
                others[key[0]].append(key[1])
        if cells:
            for row in await connection.fetch(LOAD_CELLS, [k[1] for k in cells], [k[2] for k in cells]):
                found["cell", row[0], row[1]] = Cell(row[2], row[3])
        if holds := others["hold"]:
            for row in await connection.fetch(LOAD_HOLDS, holds):
                found["hold", row[0]] = _to_hold(row)
        if requests := others["request"]:
            for row in await connection.fetch(LOAD_REQUESTS, requests):
                found["request", row[0]] = StoreRequest(row[0], RequestPhase.WRITTEN)
        if issues := others["issue"]:
            for row in await connection.fetch(LOAD_ISSUES, issues):
                lines = {spu: Issued(*pieces) for spu, pieces in json.loads(row[1]).items()}
                found["issue", row[0]] = Issue(row[0], lines, tuple(json.loads(row[2])))
        if asked := beside["allotment"]:
            for row in await connection.fetch(LOAD_ALLOTMENTS, [k[1] for k in asked], [k[2] for k in asked]):
                found["allotment", row[0], row[1]] = Allotment(row[0], row[1], AllotmentPhase(row[2]), *row[3:])
        if asked := beside["aside"]:
            for row in await connection.fetch(LOAD_ASIDE, [k[1] for k in asked], [k[2] for k in asked]):
                found["aside", row[0], row[1]] = row[2]
        return found

    def save_many(self, commit: Commit) -> list[Write]:
        """A write per table. Requests write nothing of their own: their document is in the records; and which allotment
        an SPU has open is in the allotments."""
        cells: list[tuple[str, str, int, int]] = []
        holds: list[Hold] = []
        issues: list[Issue] = []
        allotments: list[Allotment] = []
        for key, state in commit.states.items():
            if key[0] == "cell":
                cells.append((key[1], key[2], state.on_hand, state.locked))
            elif key[0] == "hold":
                holds.append(state)
            elif key[0] == "issue":
                issues.append(state)
            elif key[0] == "allotment":
                allotments.append(state)
        writes = []
        if cells:
            writes.append(Write("save_cells", SAVE_CELLS, list(zip(*cells, strict=True))))
        if holds:
            writes.append(Write("save_holds", SAVE_HOLDS, _hold_columns(holds)))
        if issues:
            writes.append(Write("save_issues", SAVE_ISSUES, _issue_columns(issues)))
        if allotments:
            allotments.sort(key=lambda a: a.phase is AllotmentPhase.OPEN)
            writes.append(Write("save_allotments", SAVE_ALLOTMENTS, columns([astuple(a) for a in allotments])))
        if movements := commit.records.get(Movement):
            writes.append(Write("append_ledger", APPEND_LEDGER, [commit.at, *_movement_columns(movements)]))
        if documents := commit.records.get(Document):
            writes.append(Write("append_documents", APPEND_DOCUMENTS, [commit.at, *_document_columns(documents)]))
        return writes


def _to_hold(row: asyncpg.Record) -> Hold:
    order_id, store, phase, mode, spus, quantities, document, sources = row
    lines = tuple(json.loads(spus)), tuple(json.loads(quantities))
    return Hold(order_id, store, Phase(phase), mode, *lines, document, _to_sources(sources) if sources else None)


async def _holders(connection: Connection, store: str, spu: str) -> Holders:
    """The orders that have pieces of a cell locked, the newest first."""
    row = await connection.fetchrow(LOCKED_AND_LAST, store, spu)
    assert row is not None
    locked, last = row
    order_ids: list[str] = []
    span = LEDGER_SPAN
    while locked > 0 and last > 0:
        for order_id, spus, pieces in await connection.fetch(LOAD_LOCKS, store, spu, last - span, last):
            lines = dict(zip(json.loads(spus), json.loads(pieces), strict=True))
            if spu in lines:
                order_ids.append(order_id)
                locked -= lines[spu]
        last, span = last - span, 2 * span
    return tuple(order_ids)


def _hold_columns(holds: list[Hold]) -> list[list[Any]]:
    return [
        [h.order_id for h in holds],
        [h.store for h in holds],
        [h.phase for h in holds],
        [h.mode for h in holds],
        [_json(h.spus) for h in holds],
        [_json(h.quantities) for h in holds],
        [h.document for h in holds],
        [to_text(h.sources) if h.sources else None for h in holds],
    ]


def _issue_columns(issues: list[Issue]) -> list[list[Any]]:
    return [
        [i.order_id for i in issues],
        [to_text(i.lines) for i in issues],
        [to_text(i.documents) for i in issues],
    ]


def _movement_columns(movements: list[Movement]) -> list[list[Any]]:
    return [
        [m.store for m in movements],
        [m.kind for m in movements],
        [m.order_id for m in movements],
        [m.document for m in movements],
        [_json(m.spus) for m in movements],
        [_json(m.on_hand) for m in movements],
        [_json(m.locked) for m in movements],
    ]


def _document_columns(documents: list[Document]) -> list[list[Any]]:
    return [
        [d.number for d in documents],
        [d.kind for d in documents],
        [d.store for d in documents],
        [d.order_id for d in documents],
        [_json(d.spus) for d in documents],
        [_json(d.quantities) for d in documents],
        [d.reverses for d in documents],
        [d.reason for d in documents],
        [d.actor for d in documents],
    ]


@lru_cache(maxsize=JSON_REMEMBERED)
def _json(column: tuple[str, ...] | tuple[int, ...]) -> str:
    """The lines of an order stand in its hold, its movements and its document: written once for all of them."""
    return to_text(column)
