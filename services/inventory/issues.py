"""An issue's ways back: pieces that were never there, other goods instead of them, goods that never left the store, and
goods that come back from the road or do not.

What an order has is kept as an `Issue`. As a cell is changed by movements only, an issue is changed by documents only:
`filed` carries each over to it, and raises rather than let more go back than went out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.inventory import inner
from services.inventory.cells import Shelf, summed, zeros
from services.inventory.sources import Allotments, gone_back
from services.inventory.state import Document, Hold, Issue, Issued, Kind, Movement, parted
from shared.contracts import inventory
from shared.runtime.table import Change

SHORT = "short"
"""Why pieces leave an issue and the books: the shelf had less."""
DAMAGED, NOT_RETURNED = "damaged", "not_returned"
"""Why goods that left the store are written off."""
NONE_ISSUED = Issued()
ISSUES = frozenset({Kind.SALES_ISSUE, Kind.REPLACEMENT_ISSUE})
_INITIALS = {
    Kind.SALES_ISSUE: "SI",
    Kind.REPLACEMENT_ISSUE: "RI",
    Kind.ISSUE_REVERSAL: "IR",
    Kind.RETURN_RECEIPT: "RR",
    Kind.DAMAGE_REPORT: "DR",
    Kind.ADJUSTMENT: "AD",
}


class MoreThanIssued(ArithmeticError):
    """More would go back than went out. The message parks, and the stock stays right."""


class Filed(NamedTuple):
    """What surrounds a way back: the clock's reading, what the order has until now, and where it may go to."""

    now: datetime
    issue: Issue
    shelf: Shelf
    allotments: Allotments


def issue_of(hold: Hold) -> Issue:
    """What a hold that was deducted has, before anything goes back."""
    lines = {spu: Issued(quantity) for spu, quantity in zip(hold.spus, hold.quantities, strict=True)}
    return Issue(hold.order_id, lines, (number_for(hold.order_id, issue_kind(hold.order_id), ()),))


def issue_kind(order_id: str) -> Kind:
    """What goods leave the stock with: a replacement order, whose id is `<sales order>~r<n>`, sells nothing."""
    return Kind.REPLACEMENT_ISSUE if "~" in order_id else Kind.SALES_ISSUE


def number_for(order_id: str, kind: Kind, written: Sequence[str]) -> str:
    """The number of an order's next document of a kind: IR-<order>, IR-<order>~2, ...; adjustments count from ~1.

    `written` are the numbers of this order only. No name has a tilde in it, and behind the tilde of a replacement order
    is an `r`, so that no other order, and no storekeeper's request, comes to the same number.
    """
    bare = f"{_INITIALS[kind]}-{order_id}"
    before = sum(1 for number in written if number.startswith(bare))
    return bare if before == 0 and kind is not Kind.ADJUSTMENT else f"{bare}~{before + 1}"


def filed(issue: Issue, document: Document) -> Issue:
    """What the order has after a document; raises MoreThanIssued."""
    lines = dict(issue.lines)
    for spu, quantity in zip(document.spus, document.quantities, strict=True):
        covered, back, missing = lines.get(spu, NONE_ISSUED)
        if document.kind in ISSUES:
            covered += quantity
        elif document.kind is Kind.ISSUE_REVERSAL:
            covered -= quantity
        elif document.reason == NOT_RETURNED:
            missing += quantity
        elif document.kind is not Kind.ADJUSTMENT:
            back += quantity
        # What was written off may still come back; nothing is written off that has come back already.
        gone = back + missing if document.reason == NOT_RETURNED else back
        if not gone <= covered or covered < 0:
            raise MoreThanIssued(f"{document.number} is for {quantity} {spu}, of which the order has {lines.get(spu)}")
        lines[spu] = Issued(covered, back, missing)
    return Issue(issue.order_id, lines, (*issue.documents, document.number))


class _Papers:
    """The documents of one step in the making, each with its movement."""

    def __init__(self, hold: Hold, f: Filed) -> None:
        self.said: list[object] = []
        self.papers: list[inventory.Paper] = []
        self._hold, self._sources, self._f, self._written = hold, hold.sources, f, list(f.issue.documents)

    def write(
        self, kind: Kind, pieces: Mapping[str, int], reason: str | None = None, cells: Mapping[str, int] | None = None
    ) -> None:
        """Writes a document about these pieces, in an adjustment signed; none at all when there are none. `cells` is
        the change of every cell where it is not that of their shelves."""
        if not pieces:
            return
        hold, at, spus, quantities = self._hold, self._f.now, tuple(pieces), tuple(pieces.values())
        number = number_for(hold.order_id, kind, self._written)
        reverses = self._written[0] if kind in (Kind.ISSUE_REVERSAL, Kind.RETURN_RECEIPT) else None
        self._written.append(number)
        self.papers.append(inventory.Paper(number=number, kind=kind.value, spus=spus, quantities=quantities))
        self.said.append(Document(number, kind, hold.store, hold.order_id, at, spus, quantities, reverses, reason))
        if kind is not Kind.DAMAGE_REPORT:  # those goods left the stock with the issue
            if cells is None:
                cells = {spu: -q for spu, q in pieces.items()} if kind in ISSUES else pieces
            names, on_hand = tuple(cells), tuple(cells.values())
            self.said.append(Movement(hold.store, at, kind, hold.order_id, number, names, on_hand, zeros(names)))

    def reverse(self, pieces: Mapping[str, int], short: Mapping[str, int], reason: str | None = None) -> None:
        """Pieces go back; those of them that were never there, off the books. On hand of these stays what it was."""
        if self._sources is None:
            self.write(Kind.ISSUE_REVERSAL, pieces, reason)
            self.write(Kind.ADJUSTMENT, {spu: -quantity for spu, quantity in short.items()}, SHORT)
            return
        gone = gone_back(self._sources, pieces, short, self._f.shelf, self._f.allotments)
        off: dict[str, int] = {}
        for cell, quantity in gone.off.items():
            spu, _ = parted(cell)
            off[spu] = off.get(spu, 0) + quantity
        self.write(Kind.ISSUE_REVERSAL, pieces, reason, gone.back)
        self.write(Kind.ADJUSTMENT, off, SHORT, gone.off)
        self.said += gone.told
        self._sources = gone.sources

    def drop(self, missing: Mapping[str, int]) -> None:
        """Pieces that were never there: off the issue, and off the books."""
        self.reverse(missing, missing, SHORT)

    @property
    def changes(self) -> dict[str, object]:
        """What changes in the hold."""
        return {"document": self._written[-1], "sources": self._sources}


# -- the actions -------------------------------------------------------------------------------------------------------


def drop_short(hold: Hold, m: inventory.DropShort, f: Filed) -> Change:
    """The order goes on without these pieces."""
    step = _Papers(hold, f)
    step.drop(summed(m.spus, m.missing))
    return step.changes, (*step.said, inventory.ShortDropped(order_id=hold.order_id, documents=tuple(step.papers)))


def substitute(hold: Hold, m: inner.SubstitutesThere, f: Filed) -> Change:
    """The order goes on with other goods instead."""
    step = _Papers(hold, f)
    step.drop(m.missing)
    step.write(issue_kind(hold.order_id), m.substitutes)
    return step.changes, (*step.said, inventory.StockSubstituted(order_id=hold.order_id, documents=tuple(step.papers)))


def tell_substitute_short(hold: Hold, m: inner.SubstitutesShort, f: Filed) -> Change:
    """All substitutes or none: nothing is changed."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (inventory.SubstituteShort(order_id=hold.order_id, spus=spus, missing=missing),)


def reverse(hold: Hold, m: inventory.ReverseIssue, f: Filed) -> Change:
    """The goods never left: back on the shelf, no inspection needed; those that were never there, off the books."""
    step, short = _Papers(hold, f), summed(m.short_spus, m.short)
    covered = {spu: line.covered for spu, line in f.issue.lines.items() if line.covered}
    if too_many := {spu: quantity for spu, quantity in short.items() if quantity > covered.get(spu, 0)}:
        raise MoreThanIssued(f"the order has {covered}, and {too_many} of it are said to be short")
    step.reverse(covered, short)
    return step.changes, (*step.said, inventory.IssueReversed(order_id=hold.order_id, documents=tuple(step.papers)))


def take_back(hold: Hold, m: inventory.ComeBack, f: Filed) -> Change:
    """What can be sold again is on the shelf again; what is damaged or did not come is written off."""
    step = _Papers(hold, f)
    step.write(Kind.RETURN_RECEIPT, summed(m.resellable_spus, m.resellable), m.reason or None)
    step.write(Kind.DAMAGE_REPORT, summed(m.damaged_spus, m.damaged), DAMAGED)
    step.write(Kind.DAMAGE_REPORT, summed(m.missing_spus, m.missing), NOT_RETURNED)
    return step.changes, (*step.said, inventory.GoodsTakenBack(order_id=hold.order_id, documents=tuple(step.papers)))
