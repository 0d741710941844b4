"""Stock: cells are the sums of the ledger, and every movement has its paper. Places in slots are counted likewise.

The ledger is walked once, in the order in which it was written: its sums must never have been below zero on the way.
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
    if (
        store != m.store
        or (spus != m.spus and listed(spus) != listed(m.spus))
        or listed(m.on_hand) != [on_hand_sign * piece for piece in pieces]
        or listed(m.locked) != [locked_sign * piece for piece in pieces]
    ):
        return f"{m.kind} does not move what {whose} says"
    return ""


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
