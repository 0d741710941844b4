"""Inventory: holds, deductions and documents. One writer per store, so commands are keyed by store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import (
    LINES_MAX,
    Delta,
    Deltas,
    Filled,
    Message,
    Moment,
    Name,
    OrderId,
    Part,
    Pieces,
    SomePieces,
    SomeSpus,
    Spus,
    StockQuantity,
    Text,
    parallel,
)

PAPERS_MAX = 10
"""Most documents that one step writes for an order."""
HoldMode = Literal["lock", "on_payment"]
"""`lock`: locked at placing, deducted at payment. `on_payment`: checked at placing, first paid is first served."""


class StockCommand(Message):
    """From the order service, about one order's stock in one store."""

    TOPIC = "inventory.commands"
    KEY = "store"
    order_id: OrderId
    store: Name


class HoldStock(StockCommand):
    """Hold all lines or none."""

    mode: HoldMode
    spus: SomeSpus
    quantities: SomePieces

    _is_whole = parallel("spus", "quantities")


class VerifyStock(StockCommand):
    """Is the stock of this hold still there, now that the customer wants to pay?"""


class DeductStock(StockCommand):
    """The order is paid, or is a replacement: take the goods off the stock and write the issue."""


class ReleaseStock(StockCommand):
    """The order will not be paid: give the hold back."""


class ReverseIssue(StockCommand):
    """The goods never left: put them back and write the counter-document of the issue.

    `short_spus` and `short` name pieces that the books had and the shelf has not: put back with the rest, then written
    off by an adjustment.
    """

    short_spus: Spus = ()
    short: Pieces = ()

    _is_whole = parallel("short_spus", "short")


class DropShort(StockCommand):
    """These pieces of the issue were never there: a partial reversal, and an adjustment, since the count was wrong."""

    spus: SomeSpus
    missing: SomePieces

    _is_whole = parallel("spus", "missing")


class SubstituteStock(StockCommand):
    """Other goods instead of pieces that were never there: what is short is dropped as in DropShort, and the
    substitutes are issued; all of it or nothing."""

    spus: Spus
    missing: Pieces
    substitute_spus: SomeSpus
    substitutes: SomePieces

    _is_whole = parallel("spus", "missing")
    _substitutes_are_whole = parallel("substitute_spus", "substitutes")


class ComeBack(StockCommand):
    """What has become of goods of an issue.

    Resellable pieces are restocked with a return receipt. Damaged ones, and missing ones that nobody waits for any
    more, get a damage report that moves no stock: they left it with the issue.
    """

    resellable_spus: Spus = ()
    resellable: Pieces = ()
    damaged_spus: Spus = ()
    damaged: Pieces = ()
    missing_spus: Spus = ()
    missing: Pieces = ()
    reason: Text = ""

    _resellable_are_whole = parallel("resellable_spus", "resellable")
    _damaged_are_whole = parallel("damaged_spus", "damaged")
    _missing_are_whole = parallel("missing_spus", "missing")


class TakeBack(ComeBack):
    """Goods came back from the road, were inspected, or are lost: the order has nothing any more."""


class TakeReturn(ComeBack):
    """Goods that the customer had are back and inspected, or are kept spoilt, or are lost after a courier collected
    them: the rest of the issue stays the customer's."""


class StoreCommand(Message):
    """From a storekeeper, about a store's stock; `request_id` names the request, one document comes of it."""

    TOPIC = "inventory.commands"
    KEY = "store"
    SUBJECT = "request_id"
    request_id: Name
    store: Name


class ReceiveGoods(StoreCommand):
    """Goods came in: pieces per SPU."""

    spus: Annotated[tuple[Name, ...], Field(min_length=1, max_length=LINES_MAX)]
    quantities: Annotated[tuple[StockQuantity, ...], Field(min_length=1, max_length=LINES_MAX)]

    _is_whole = parallel("spus", "quantities")


class AdjustStock(StoreCommand):
    """A count found more or less than the books say: the difference per SPU, and why."""

    spus: Annotated[tuple[Name, ...], Field(min_length=1, max_length=LINES_MAX)]
    deltas: Annotated[tuple[Delta, ...], Field(min_length=1, max_length=LINES_MAX)]
    reason: Filled

    _is_whole = parallel("spus", "deltas")


class StockEvent(Message):
    """A fact about one order's stock."""

    TOPIC = "inventory.events"
    order_id: OrderId


class ShortStock(StockEvent):
    """The lines that are short, and how many pieces are missing of each."""

    spus: Spus
    missing: Pieces


class Paper(Part):
    """A document that was written: its number, kind and lines (in an adjustment: signed differences)."""

    number: Text
    kind: Name
    spus: Spus
    quantities: Deltas


Papers = Annotated[tuple[Paper, ...], Field(max_length=PAPERS_MAX)]


class StockHeld(StockEvent):
    """All lines are held, in this mode."""

    mode: HoldMode


class StockShort(ShortStock):
    """Nothing was held: there is not enough."""


class StockVerified(StockEvent):
    """The stock of the hold is there."""


class StockGone(ShortStock):
    """Verified before payment, and not there any more (possible in `on_payment` only)."""


class StockDeducted(StockEvent):
    """Deducted; `document` is the number of the sales issue, or of the replacement issue."""

    document: Text
    spus: Spus
    quantities: Pieces


class StockSoldOut(ShortStock):
    """Paid, and nothing left to deduct (possible in `on_payment` only)."""


class StockReleased(StockEvent):
    """The hold is given back."""


class StockLost(ShortStock):
    """A count found less than was locked: this order, one of the newest, has lost its hold."""


class IssueReversed(StockEvent):
    """The goods are back on the shelf: an issue reversal, and an adjustment when some were never there."""

    documents: Papers


class ShortDropped(StockEvent):
    """The short pieces are off the issue and off the books."""

    documents: Papers


class StockSubstituted(StockEvent):
    """The short pieces are off the issue, the substitutes are on it."""

    documents: Papers


class SubstituteShort(ShortStock):
    """There is not enough of a substitute: nothing was changed."""


class GoodsTakenBack(StockEvent):
    """What came back is on the shelf or written off; what did not is written off."""

    documents: Papers


class StoreEvent(Message):
    """A fact about a store's stock, keyed by store."""

    TOPIC = "inventory.events"
    KEY = "store"
    SUBJECT = "store"
    store: Name
    document: Text
    at: Moment


class GoodsReceived(StoreEvent):
    """A goods receipt was written."""


class StockAdjusted(StoreEvent):
    """An adjustment was written."""
