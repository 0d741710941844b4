"""Stock, within inventory's database: cells are the sums of the ledger, and every movement has its paper.

The ledger is walked once, in the order in which it was written: its sums must never have been below zero on the way.
"""

from __future__ import annotations

from typing import Any

from larder.audit.books import Connection
from larder.audit.life import listed
from larder.audit.report import Report

FETCHED = 2_000
"""Rows that are fetched at a time."""

_LEDGER = """
select l.store, l.seq, l.kind, l.order_id, l.document, l.spus, l.on_hand, l.locked,
    d.kind as d_kind, d.store as d_store, d.order_id as d_order, d.spus as d_spus, d.quantities as d_quantities,
    h.mode as h_mode, h.store as h_store, h.spus as h_spus, h.quantities as h_quantities
from ledger l left join documents d on d.number = l.document left join holds h on h.order_id = l.order_id
order by l.store, l.seq"""
_CELLS = "select store, spu, on_hand, locked from cells"
# A damage report moves no stock: the goods left it with the issue.
_DOCUMENTS = """
select d.number, count(l.seq) from documents d left join ledger l on l.document = d.number
where d.kind <> 'damage_report' group by d.number having count(l.seq) <> 1 order by d.number"""
_HOLDS = """
with moves as (
    select order_id,
        count(*) filter (where kind = 'lock') as locks,
        count(*) filter (where kind = 'unlock') as unlocks,
        count(*) filter (where kind in ('sales_issue', 'replacement_issue')) as issues,
        count(*) filter (where kind = 'issue_reversal') as reversals
    from ledger where order_id is not null group by order_id
), compared as (
    select order_id, h.phase, h.mode, coalesce(m.locks, 0) as locks, coalesce(m.unlocks, 0) as unlocks,
        coalesce(m.issues, 0) as issues, coalesce(m.reversals, 0) as reversals
    from holds h full join moves m using (order_id)
)
select order_id, phase, mode, locks, unlocks, issues, reversals from compared
where case phase
    when 'locked' then (locks, unlocks, issues, reversals) <> (1, 0, 0, 0)
    when 'checked' then (locks, unlocks, issues, reversals) <> (0, 0, 0, 0)
    when 'short' then (locks, unlocks, issues, reversals) <> (0, 0, 0, 0)
    when 'released' then locks > 1 or (locks, issues, reversals) <> (unlocks, 0, 0)
    when 'lost' then (locks, unlocks, issues, reversals) <> (1, 1, 0, 0)
    when 'deducted' then (locks, unlocks) <> ((mode = 'lock')::int, 0) or issues < 1
    when 'taken_back' then (locks, unlocks) <> ((mode = 'lock')::int, 0) or issues < 1
    when 'reversed' then (locks, unlocks) <> ((mode = 'lock')::int, 0) or issues < 1 or reversals < 1
    else true end
order by order_id"""
_COUNTS = "select (select count(*) from documents where kind <> 'damage_report'), (select count(*) from holds)"

# What a movement of this kind does with the pieces of its document or hold: times on hand, times locked.
_SIGNS = {
    "lock": (0, 1),
    "unlock": (0, -1),
    "sales_issue": (-1, 0),  # and -1 times locked when the hold had locked them
    "replacement_issue": (-1, 0),
    "issue_reversal": (1, 0),
    "goods_receipt": (1, 0),
    "return_receipt": (1, 0),
    "adjustment": (1, 0),
}
_ISSUES = ("sales_issue", "replacement_issue")

Sums = dict[tuple[str, str], list[int]]


async def cells_are_ledger_sums(connection: Connection, service: str, report: Report) -> None:
    """On hand and locked of every cell are the sums of the ledger, never below zero, never more locked than there is;
    every movement belongs to a document or a hold, and moves exactly its lines."""
    sums: Sums = {}
    below: set[tuple[str, str]] = set()
    cursor = await connection.cursor(_LEDGER)
    while rows := await cursor.fetch(FETCHED):
        report.checked["movement_has_paper"] += len(rows)
        for row in rows:
            if wrong := _without_paper(row):
                report.add("movement_has_paper", (row["store"], str(row["seq"])), wrong)
            _add_up(row, sums, below, report)
    for store, spu, on_hand, locked in await connection.fetch(_CELLS):
        report.checked["cells_are_ledger_sums"] += 1
        moved = sums.pop((store, spu), [0, 0])
        if [on_hand, locked] != moved:
            told = f"the cell has {on_hand} on hand, {locked} locked; the ledger comes to {moved[0]} and {moved[1]}"
            report.add("cells_are_ledger_sums", (store, spu), told)
        if not 0 <= locked <= on_hand and (store, spu) not in below:
            report.add("stock_never_negative", (store, spu), f"{on_hand} on hand, {locked} locked")
    for (store, spu), moved in sums.items():
        report.checked["cells_are_ledger_sums"] += 1
        if moved != [0, 0]:
            told = f"there is no cell; the ledger comes to {moved[0]} on hand, {moved[1]} locked"
            report.add("cells_are_ledger_sums", (store, spu), told)


def _without_paper(row: Any) -> str:
    """What is wrong with a movement's document or hold; empty when nothing is."""
    kind, order_id = row["kind"], row["order_id"]
    if kind not in _SIGNS:
        return f"the auditor knows no movement of kind {kind!r}"
    if kind in ("lock", "unlock"):
        if row["h_store"] is None:
            return f"{kind} for {order_id}, which has no hold"
        whose, of = f"the hold of {order_id}", (row["h_store"], row["h_spus"], row["h_quantities"])
    else:
        if row["d_kind"] is None:
            return f"{kind} of {row['document'] or 'no document'}, which does not exist"
        if (row["d_kind"], row["d_order"]) != (kind, order_id):
            return f"{kind} for {order_id} names {row['document']}, a {row['d_kind']} for {row['d_order']}"
        whose, of = row["document"], (row["d_store"], row["d_spus"], row["d_quantities"])
    store, spus, quantities = of
    on_hand_sign, locked_sign = _SIGNS[kind]
    if kind in _ISSUES and row["h_mode"] == "lock" and row["document"].partition("~")[2] == "":
        locked_sign = -1  # an order's later issues are of substitutes, which were never locked
    pieces = listed(quantities)
    if (
        store != row["store"]
        or (spus != row["spus"] and listed(spus) != listed(row["spus"]))
        or listed(row["on_hand"]) != [on_hand_sign * piece for piece in pieces]
        or listed(row["locked"]) != [locked_sign * piece for piece in pieces]
    ):
        return f"{kind} does not move what {whose} says"
    return ""


def _add_up(row: Any, sums: Sums, below: set[tuple[str, str]], report: Report) -> None:
    store = row["store"]
    for spu, on_hand, locked in zip(listed(row["spus"]), listed(row["on_hand"]), listed(row["locked"]), strict=False):
        cell = sums.get((store, spu))
        if cell is None:
            cell = sums[store, spu] = [0, 0]
            report.checked["stock_never_negative"] += 1
        cell[0] += on_hand
        cell[1] += locked
        if not 0 <= cell[1] <= cell[0] and (store, spu) not in below:
            below.add((store, spu))
            told = f"movement {row['seq']} ({row['kind']}) left {cell[0]} on hand, {cell[1]} locked"
            report.add("stock_never_negative", (store, spu), told)


async def papers_moved_once(connection: Connection, service: str, report: Report) -> None:
    """Every document moved stock exactly once; what the ledger did for a hold is what the hold's phase says."""
    counts = await connection.fetchrow(_COUNTS)
    assert counts is not None
    report.checked["document_moved_once"] += counts[0]
    report.checked["hold_is_its_moves"] += counts[1]
    for number, moved in await connection.fetch(_DOCUMENTS):
        report.add("document_moved_once", (number,), f"the ledger has {moved} movements of it")
    for order_id, phase, mode, locks, unlocks, issues, reversals in await connection.fetch(_HOLDS):
        hold = f"the hold is {phase} in mode {mode}" if phase else "there is no hold"
        told = f"{hold}; the ledger has {locks} locks, {unlocks} unlocks, {issues} issues, {reversals} reversals"
        report.add("hold_is_its_moves", (order_id,), told)


_PLACES = """
with taken as (
    select store, starts_at, count(*) as taken from reservations where phase = 'reserved' group by store, starts_at
)
select coalesce(s.store, t.store), coalesce(s.starts_at, t.starts_at), s.reserved, coalesce(t.taken, 0)
from slots s full join taken t on t.store = s.store and t.starts_at = s.starts_at
where s.reserved is distinct from coalesce(t.taken, 0)
order by 1, 2"""


async def places_are_reservations(connection: Connection, service: str, report: Report) -> None:
    """As many places of a slot are reserved as there are reservations in it."""
    count = await connection.fetchval("select count(*) from slots")
    report.checked["places_are_reservations"] += count
    for store, starts_at, reserved, taken in await connection.fetch(_PLACES):
        slot = starts_at.isoformat() if starts_at else "-"
        counted = "there is no such slot" if reserved is None else f"the slot counts {reserved} reserved places"
        report.add("places_are_reservations", (store, slot), f"{counted}, there are {taken} reservations")
