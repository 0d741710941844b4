"""Stock as inventory sees it: cells, holds on them, allotments, and what is written down when goods move.

A store's stock is a cell per SPU, its shelf. Pieces that are not for everybody, or not there yet, are cells beside it
under names that no SPU can have (`sale_cell`, `incoming_cell`, `owed_cell`): what is set aside for a flash sale, what
is to come and may be promised, and what was sold of it and has not come yet. Every change of a cell is a Movement in
the ledger, so on hand and locked are always the sums of the ledger's deltas; and what the documents of an SPU come to
is what is on its shelf and set aside, less what is owed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from shared.contracts import inventory
from shared.runtime.said import Record


class Phase(StrEnum):
    """What an order has on stock."""

    NEW = "new"
    LOCKED = "locked"  # mode lock: the pieces are the order's
    CHECKED = "checked"  # mode on_payment: looked at only, first paid is first served
    SHORT = "short"  # there was not enough, at placing or (on_payment) at deducting: the order has nothing
    LOST = "lost"  # mode lock: a count found less than was locked, and this was one of the newest
    DEDUCTED = "deducted"
    RELEASED = "released"
    REVERSED = "reversed"  # the goods never left the store
    TAKEN_BACK = "taken_back"  # they did, and came back or are written off


class RequestPhase(StrEnum):
    """What a storekeeper's request has come to."""

    NEW = "new"
    WRITTEN = "written"


class Cell(NamedTuple):
    """Pieces of one SPU in one store. Always 0 <= locked <= on_hand."""

    on_hand: int
    locked: int

    @property
    def available(self) -> int:
        """What may still be promised."""
        return self.on_hand - self.locked


EMPTY = Cell(0, 0)
"""A cell that no goods were ever received for."""

MARK = "|"
"""Parts a cell's name from its SPU's: no Name has it."""
INCOMING, OWED = "+incoming", "+owed"
"""What follows the mark where it is no promotion: no Name begins like this."""


def sale_cell(spu: str, promotion: str) -> str:
    """The cell of the pieces that are set aside for a flash sale."""
    return f"{spu}{MARK}{promotion}"


def incoming_cell(spu: str) -> str:
    """The cell of what is to come and may be promised."""
    return f"{spu}{MARK}{INCOMING}"


def owed_cell(spu: str) -> str:
    """The cell of what was sold of what is to come, and has not come yet."""
    return f"{spu}{MARK}{OWED}"


def parted(cell: str) -> tuple[str, str]:
    """The SPU of a cell, and what it is of: a promotion, INCOMING, OWED, or nothing for the shelf."""
    spu, _, of = cell.partition(MARK)
    return spu, of


class Sources(Struct, frozen=True, gc=False):
    """Which lines of a hold come from elsewhere than the shelf.

    `sale` names the promotion whose allotment a line comes from, by SPU. `presale` are the SPUs that may come from what
    is to come. `taken` says, once it is deducted, how many pieces of an SPU did come from there; those that go back are
    off it.
    """

    sale: Mapping[str, str]
    presale: tuple[str, ...] = ()
    taken: Mapping[str, int] = field(default_factory=dict)


class Hold(Struct, frozen=True, gc=False):
    """What an order has on the stock of one store. `spus` (each once) and `quantities` (pieces) are parallel.

    `document` is the number of the last document written for it, empty before the first.
    """

    order_id: str
    store: str
    phase: Phase
    mode: inventory.HoldMode = "lock"
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    document: str = ""
    sources: Sources | None = None


class Issued(NamedTuple):
    """Pieces of one SPU that an order's issues cover now, how many of them came back from the road, and how many were
    written off because they did not. Pieces that come back after all are in both."""

    covered: int = 0
    back: int = 0
    missing: int = 0


class Issue(Struct, frozen=True):
    """What an order has from the stock of one store, by SPU, and the numbers of the documents that say so, in order.

    It comes into being with the first document after the sales issue: until then it would be the hold once more.
    """

    order_id: str
    lines: Mapping[str, Issued]
    documents: tuple[str, ...]


Holders = tuple[str, ...]
"""The orders that have pieces of one cell locked, the newest first, as they were when the batch was loaded."""


class AllotmentPhase(StrEnum):
    """What has become of a flash sale in a store."""

    NEW = "new"
    ANNOUNCED = "announced"  # its end is known, and nothing is set aside for it
    OPEN = "open"  # pieces are set aside
    OVER = "over"  # what was left is on the shelf again


class Allotment(Struct, frozen=True, gc=False):
    """The pieces of one SPU that a flash sale may sell in one store: `quantity` in all, of which `sold` are.

    While it is open, the rest is in its cell. `spu` is empty, and `ends_at` None, as long as nobody has told.
    """

    store: str
    promotion: str
    phase: AllotmentPhase
    spu: str = ""
    quantity: int = 0
    sold: int = 0
    ends_at: datetime | None = None

    @property
    def left(self) -> int:
        """Pieces that are not sold."""
        return self.quantity - self.sold

    def is_open_for(self, spu: str) -> bool:
        """Pieces of this SPU are set aside for it."""
        return self.phase is AllotmentPhase.OPEN and self.spu == spu


class StoreRequest(Struct, frozen=True):
    """A storekeeper's request, known by the number of the one document that comes of it."""

    number: str
    phase: RequestPhase


# -- what is written down, never to be changed -------------------------------------------------------------------------


class Kind(StrEnum):
    """The kinds of document (DESIGN §10)."""

    SALES_ISSUE = "sales_issue"
    REPLACEMENT_ISSUE = "replacement_issue"
    ISSUE_REVERSAL = "issue_reversal"
    RETURN_RECEIPT = "return_receipt"
    GOODS_RECEIPT = "goods_receipt"
    DAMAGE_REPORT = "damage_report"
    ADJUSTMENT = "adjustment"


LOCK = "lock"
"""Kind of a movement without a document: a hold locks its pieces."""
UNLOCK = "unlock"
"""Kind of a movement without a document: a hold is given back."""
ALLOT = "allot"
"""Kind of a movement without a document: pieces are set aside for a flash sale, or given back to the shelf."""
EXPECT = "expect"
"""Kind of a movement without a document: more, or less, is to come than was thought."""
ARRIVE = "arrive"
"""Kind of a movement without a document: of what came in, so much was owed already or is to come no more."""


class Movement(Record, frozen=True):
    """One row of the ledger: what one step did to the cells of a store.

    `spus` (names of cells), `on_hand` and `locked` (deltas in pieces) are parallel. It names its document (`kind` is
    then the document's kind), or the hold of `order_id` that was locked or unlocked, or neither.
    """

    store: str
    at: datetime
    kind: str
    order_id: str | None
    document: str | None
    spus: tuple[str, ...]
    on_hand: tuple[int, ...]
    locked: tuple[int, ...]


class Document(Record, frozen=True):
    """A numbered document with its lines: pieces, or in an adjustment the signed difference.

    `reverses` is the number of the document that this one takes back; `actor` who asked for it (`role:id`), when it
    was a person.
    """

    number: str
    kind: Kind
    store: str
    order_id: str | None
    at: datetime
    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    reverses: str | None = None
    reason: str | None = None
    actor: str | None = None
