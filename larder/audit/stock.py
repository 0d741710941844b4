"""Stock: cells are the sums of the ledger, and every movement has its paper. Places in slots are counted likewise.

The ledger is walked once, in the order in which it was written: its sums must never have been below zero on the way.
Beside the shelf of an SPU there may be cells of what is set aside for a flash sale (`milk|tenth`), of what is to come
(`milk|+incoming`), and of what was sold of that (`milk|+owed`). Papers know of SPUs only: what they say is what changes
on the shelf and aside, less what changes in what is owed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from larder.audit.life import listed
from larder.audit.report import Found, Report

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
_INCOMING, _OWED = "+incoming", "+owed"
_WITHOUT_PAPER = {"allot": "", "expect": _INCOMING, "arrive": _OWED}
"""Movements between the cells of one SPU, and the cell that they must change; `allot` changes one of a sale's."""


class Movement(NamedTuple):
    """A row of the ledger (deltas in pieces), and beside it what it names: the document `number`, and the order's hold;
    None where there is none. Lines are JSON."""

    store: str
    seq: int
    kind: str
    order_id: str | None
    number: str | None
    spus: str
    on_hand: str
    locked: str
    document_kind: str | None = None
    document_store: str | None = None
    document_order: str | None = None
    document_spus: str | None = None
    document_quantities: str | None = None
    hold_mode: str | None = None
    hold_store: str | None = None
    hold_spus: str | None = None
    hold_quantities: str | None = None


class Allotment(NamedTuple):
    """A flash sale in a store: its phase, the pieces that it may sell and has sold, those that are set aside in its
    cell, and whether its end is known and no timer is set to it. Of a cell without an allotment, the phase is None."""

    store: str
    promotion: str
    phase: str | None
    spu: str
    quantity: int | None
    sold: int | None
    on_hand: int
    is_endless: bool = False


class Stock:
    """Sums up the ledger. Memory grows with the cells, never with the movements."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._sums: dict[str, dict[str, list[int]]] = defaultdict(dict)
        self._below: set[tuple[str, str]] = set()

    def take(self, movements: Sequence[Movement]) -> None:
        """The next movements of the ledger, in order."""
        self._report.hold(movement_has_paper, movements)
        for movement in movements:
            self._add_up(movement)

    def compare(self, cells: Iterable[Any]) -> None:
        """The next cells (store, SPU, on hand, locked), after the last movement: they are the sums of the ledger, never
        below zero, never more locked than there is."""
        report = self._report
        for store, spu, on_hand, locked in cells:
            report.checked["cells_are_ledger_sums"] += 1
            moved = self._sums[store].pop(spu, [0, 0])
            if [on_hand, locked] != moved:
                there = f"the cell has {on_hand} on hand, {locked} locked"
                told = f"{there}; the ledger comes to {moved[0]} and {moved[1]}"
                report.add("cells_are_ledger_sums", (store, spu), told)
            if not 0 <= locked <= on_hand and (store, spu) not in self._below:
                report.add("stock_never_negative", (store, spu), f"{on_hand} on hand, {locked} locked")

    def end(self) -> None:
        """After the last cell: nothing is left in the ledger."""
        for store, spu, moved in ((store, *cell) for store, left in self._sums.items() for cell in left.items()):
            if moved != [0, 0]:
                told = f"there is no cell; the ledger comes to {moved[0]} on hand, {moved[1]} locked"
                self._report.add("cells_are_ledger_sums", (store, spu), told)

    def _add_up(self, m: Movement) -> None:
        sums = self._sums[m.store]
        for spu, on_hand, locked in zip(listed(m.spus), listed(m.on_hand), listed(m.locked), strict=False):
            cell = sums.get(spu)
            if cell is None:
                cell = sums[spu] = [0, 0]
                self._report.checked["stock_never_negative"] += 1
            cell[0] += on_hand
            cell[1] += locked
            if not 0 <= cell[1] <= cell[0] and (m.store, spu) not in self._below:
                self._below.add((m.store, spu))
                told = f"movement {m.seq} ({m.kind}) left {cell[0]} on hand, {cell[1]} locked"
                self._report.add("stock_never_negative", (m.store, spu), told)


def movement_has_paper(movements: Iterable[Movement]) -> Iterator[Found]:
    """Every movement belongs to a document or a hold, and moves exactly its lines."""
    for movement in movements:
        if wrong := _without_paper(movement):
            yield (movement.store, str(movement.seq)), wrong


def _without_paper(m: Movement) -> str:
    """What is wrong with a movement's document or hold; empty when nothing is."""
    if m.kind in _WITHOUT_PAPER:
        return _not_within_spu(m)
    if m.kind not in _SIGNS:
        return f"the auditor knows no movement of kind {m.kind!r}"
    if m.kind in ("lock", "unlock"):
        if m.hold_mode is None:
            return f"{m.kind} for {m.order_id}, which has no hold"
        whose, store, spus, quantities = f"the hold of {m.order_id}", m.hold_store, m.hold_spus, m.hold_quantities
    else:
        if m.document_kind is None:
            return f"{m.kind} of {m.number or 'no document'}, which does not exist"
        if (m.document_kind, m.document_order) != (m.kind, m.order_id):
            return f"{m.kind} for {m.order_id} names {m.number}, a {m.document_kind} for {m.document_order}"
        whose, store, spus, quantities = str(m.number), m.document_store, m.document_spus, m.document_quantities
    on_hand_sign, locked_sign = _SIGNS[m.kind]
    if m.kind in _ISSUES and m.hold_mode == "lock" and whose.endswith(f"-{m.order_id}"):
        locked_sign = -1  # an order's later issues are of substitutes, which were never locked
    pieces = listed(quantities)
    if "|" in m.spus:
        due = {spu: on_hand_sign * piece for spu, piece in zip(listed(spus), pieces, strict=True)}
        fits = store == m.store and not any(listed(m.locked)) and _of_spus(m) == due
        return "" if fits else f"{m.kind} does not move what {whose} says: {_of_spus(m)}"
    if (
        store != m.store
        or (spus != m.spus and listed(spus) != listed(m.spus))
        or listed(m.on_hand) != [on_hand_sign * piece for piece in pieces]
        or listed(m.locked) != [locked_sign * piece for piece in pieces]
    ):
        return f"{m.kind} does not move what {whose} says"
    return ""


def _not_within_spu(m: Movement) -> str:
    """What is wrong with a movement that needs no paper; empty when nothing is."""
    changed = dict(zip(listed(m.spus), listed(m.on_hand), strict=True))
    places = {cell.partition("|")[2] for cell in changed}
    about = {
        "allot": len(places) == 2 and "" in places and not places & {_INCOMING, _OWED},
        "expect": places == {_INCOMING},
        "arrive": places <= {"", _INCOMING, _OWED} and all(delta < 0 for delta in changed.values()),
    }
    if m.number or m.order_id or any(listed(m.locked)) or not about[m.kind] or any(_of_spus(m).values()):
        return f"{m.kind} of {m.number or m.order_id or 'nothing'} changes {changed}"
    return ""


def _of_spus(m: Movement) -> dict[str, int]:
    """What a movement changes of each SPU that papers know of."""
    found: dict[str, int] = {}
    for cell, delta in zip(listed(m.spus), listed(m.on_hand), strict=True):
        spu, _, place = cell.partition("|")
        found[spu] = found.get(spu, 0) + (0 if place == _INCOMING else -delta if place == _OWED else delta)
    return found


def allotments_are_cells(rows: Iterable[Allotment]) -> Iterator[Found]:
    """What is set aside for a flash sale is what it may sell less what it has sold, until its end, and nothing then; no
    SPU is in two open ones of a store."""
    open_: dict[tuple[str, str], str] = {}
    for row in rows:
        left = (row.quantity or 0) - (row.sold or 0) if row.phase == "open" else 0
        ids = (row.store, row.promotion)
        if row.on_hand != left or (row.sold or 0) < 0 or (row.quantity or 0) < (row.sold or 0):
            told = f"{row.phase or 'unknown'}, {row.sold} of {row.quantity} {row.spu} are sold"
            yield ids, f"{told}, {row.on_hand} are set aside"
        if row.phase == "open" and row.is_endless:
            yield ids, "its end is known, and no timer is set to it"
        if row.phase == "open" and (other := open_.setdefault((row.store, row.spu), row.promotion)) != row.promotion:
            yield ids, f"{row.spu} is set aside for {other} as well"


def document_moved_once(rows: Iterable[tuple[str, int, int]]) -> Iterator[Found]:
    """A number, how many documents have it, and how many movements name them: every document has a number of its own,
    and moved stock exactly once. A damage report is none of them: the goods left the stock with the issue."""
    for number, written, moved in rows:
        if written and (written, moved) != (1, 1):  # of one that does not exist its movements tell
            yield (number,), f"there are {written} such documents, and the ledger has {moved} movements of it"


def places_are_reservations(
    slots: Iterable[tuple[str, datetime, int]], taken: Mapping[tuple[str, datetime | None], int]
) -> Iterator[Found]:
    """As many places of a slot (store, start, places reserved) are reserved as there are reservations in it."""
    reserved: dict[tuple[str, datetime | None], int] = {
        (store, starts_at): places for store, starts_at, places in slots
    }
    for store, starts_at in sorted({*reserved, *taken}, key=str):
        counted, there_are = reserved.get((store, starts_at)), taken.get((store, starts_at), 0)
        if counted != there_are:
            told = "there is no such slot" if counted is None else f"the slot counts {counted} reserved places"
            slot = starts_at.isoformat() if starts_at else "-"
            yield (store, slot), f"{told}, there are {there_are} reservations"
