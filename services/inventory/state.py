"""Stock as inventory sees it: cells, holds on them, and what is written down when goods move.

A store's stock is a cell per SPU. Every change of a cell is a Movement in the ledger, so on hand and locked are always
the sums of the ledger's deltas.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from shared.contracts.inventory import HoldMode
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


class Hold(Struct, frozen=True, gc=False):
    """What an order has on the stock of one store. `spus` (each once) and `quantities` (pieces) are parallel.

    `document` is the number of the last document written for it, empty before the first.
    """

    order_id: str
    store: str
    phase: Phase
    mode: HoldMode = "lock"
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    document: str = ""


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


class Movement(Record, frozen=True):
    """One row of the ledger: what one step did to the cells of a store.

    `spus`, `on_hand` and `locked` (deltas in pieces) are parallel. It names its document (`kind` is then the
    document's kind), or the hold of `order_id` that was locked or unlocked.
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


# -- messages that never leave the service: a command, read with the stock as it is now --------------------------------


class LockFits(NamedTuple):
    """HoldStock in mode `lock`, and there is enough. Demand is summed per SPU."""

    demand: Mapping[str, int]


class CheckFits(NamedTuple):
    """HoldStock in mode `on_payment`, and there is enough now."""

    demand: Mapping[str, int]


class HoldFallsShort(NamedTuple):
    """HoldStock, and there is not enough: pieces missing per SPU."""

    missing: Mapping[str, int]


class CheckStillFits(NamedTuple):
    """VerifyStock for a hold that was only checked, and there is enough now."""


class CheckFitsNoMore(NamedTuple):
    """VerifyStock for a hold that was only checked, or was lost: somebody else was faster, or a count found less."""

    missing: Mapping[str, int]


class CheckedGoodsThere(NamedTuple):
    """DeductStock for a hold that was only checked, and there is enough now."""


class CheckedGoodsSoldOut(NamedTuple):
    """DeductStock for a hold that was only checked, or was lost: somebody else paid first, or a count found less."""

    missing: Mapping[str, int]


class SubstitutesThere(NamedTuple):
    """SubstituteStock, and there is enough of every substitute. Pieces are summed per SPU."""

    missing: Mapping[str, int]
    substitutes: Mapping[str, int]


class SubstitutesShort(NamedTuple):
    """SubstituteStock, and there is not enough: pieces missing per substitute."""

    missing: Mapping[str, int]


class CountFits(NamedTuple):
    """AdjustStock that leaves no less than nothing. Deltas are summed per SPU, without the zeros."""

    store: str
    deltas: Mapping[str, int]
    reason: str


class CountTakesHold(NamedTuple):
    """AdjustStock that leaves less than is locked, to a hold that has to give its pieces up. `missing` are the pieces
    of it that are not there."""

    missing: Mapping[str, int]


class CountBelowZero(NamedTuple):
    """AdjustStock that would leave less than nothing. `detail` says of what, for the person."""

    detail: str


class CountChangesNothing(NamedTuple):
    """AdjustStock whose deltas come to nothing."""
