"""Messages that never leave the service: its timer, and what a command is read into with the stock as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from services.inventory.state import Sources


class LockFits(NamedTuple):
    """HoldStock in mode `lock`, and there is enough. Demand is summed per SPU."""

    demand: Mapping[str, int]


class CheckFits(NamedTuple):
    """HoldStock in mode `on_payment`, and there is enough now."""

    demand: Mapping[str, int]


class HoldFallsShort(NamedTuple):
    """HoldStock, and there is not enough: pieces missing per SPU."""

    missing: Mapping[str, int]


class SourcesFit(NamedTuple):
    """HoldStock of lines on sale or to come, and there is enough now. Allotments of the promotions in `gone` have not
    enough for it, the shelf has."""

    demand: Mapping[str, int]
    sources: Sources | None
    gone: tuple[str, ...]


class SourcesStillFit(NamedTuple):
    """VerifyStock of such a hold, or of one that is to be one now, and there is enough. `gone` as in SourcesFit."""

    sources: Sources | None
    gone: tuple[str, ...]


class CheckStillFits(NamedTuple):
    """VerifyStock for a hold that was only checked, and there is enough now."""


class CheckFitsNoMore(NamedTuple):
    """VerifyStock for a hold that was only checked, or was lost: somebody else was faster, or a count found less."""

    missing: Mapping[str, int]


class CheckedGoodsThere(NamedTuple):
    """DeductStock for a hold that was only checked, and there is enough now."""


class SourcedGoodsThere(NamedTuple):
    """DeductStock for a hold with lines on sale or to come, and there is enough now: the change of every cell, and
    the pieces per SPU that come from elsewhere than the shelf."""

    cells: Mapping[str, int]
    taken: Mapping[str, int]


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


class AwaitedGoodsCome(NamedTuple):
    """ReceiveGoods, and some of it was to come. Pieces are summed per SPU; `arrived` is the change of every cell that
    comes of that, besides."""

    store: str
    pieces: Mapping[str, int]
    arrived: Mapping[str, int]


class IncomingFits(NamedTuple):
    """ExpectGoods, and no less is to come than was sold of it: the change of every cell."""

    store: str
    cells: Mapping[str, int]


class IncomingBelowSold(NamedTuple):
    """ExpectGoods of less than was sold of what is to come. `detail` says of what, for the person."""

    detail: str


class CountFits(NamedTuple):
    """AdjustStock that leaves no less than nothing. Deltas are summed per SPU, without the zeros; `cells` is the change
    of every cell, `unset` says of which allotments pieces are not there that were set aside."""

    store: str
    deltas: Mapping[str, int]
    reason: str
    cells: Mapping[str, int]
    unset: tuple[PiecesMissing, ...]


class CountTakesHold(NamedTuple):
    """AdjustStock that leaves less than is locked, to a hold that has to give its pieces up. `missing` are the pieces
    of it that are not there."""

    missing: Mapping[str, int]


class CountBelowZero(NamedTuple):
    """AdjustStock that would leave less than nothing. `detail` says of what, for the person."""

    detail: str


class CountChangesNothing(NamedTuple):
    """AdjustStock whose deltas come to nothing."""


# -- of allotments -----------------------------------------------------------------------------------------------------


class AllotmentFits(NamedTuple):
    """SetAllotment, and the shelf has what it takes, or gets what is too much."""

    spu: str
    quantity: int


class SpuHasAllotment(NamedTuple):
    """SetAllotment of an SPU that another open allotment of this store is of."""

    detail: str


class AllotmentOfOtherSpu(NamedTuple):
    """SetAllotment of another SPU than before."""

    detail: str


class AllotmentOverStock(NamedTuple):
    """SetAllotment of more than the shelf can give."""

    detail: str


class AllotmentBelowSold(NamedTuple):
    """SetAllotment of fewer pieces than are sold."""

    detail: str


class AllotmentTooLate(NamedTuple):
    """SetAllotment after the end of the sale."""

    detail: str


class SaleEndsLater(NamedTuple):
    """AnnounceSale of a sale that is still to end."""

    ends_at: datetime


class SaleEnded(NamedTuple):
    """AnnounceSale of a sale that has ended."""

    ends_at: datetime


class SaleRunsOut(NamedTuple):
    """The timer of a sale's end. `subject` is the store and the promotion, with a slash between them."""

    subject: str

    @property
    def store(self) -> str:
        """No name has a slash."""
        return self.subject.partition("/")[0]

    @property
    def promotion(self) -> str:
        """No name has a slash."""
        return self.subject.partition("/")[2]


class PiecesSold(NamedTuple):
    """To an allotment: an order was paid first."""

    promotion: str
    pieces: int


class PiecesBack(NamedTuple):
    """To an allotment: the order that had bought these pieces was reversed."""

    promotion: str
    pieces: int


class SoldPiecesMissing(NamedTuple):
    """To an allotment: pieces that were sold are nowhere to be found, so that the order goes without them."""

    promotion: str
    pieces: int


class PiecesMissing(NamedTuple):
    """To an allotment: a count found less than was set aside."""

    promotion: str
    pieces: int
