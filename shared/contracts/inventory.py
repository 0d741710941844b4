"""Inventory: holds, deductions and documents. One writer per store, so commands are keyed by store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import (
    LINES_MAX,
    STOCK_QUANTITY_MAX,
    Delta,
    Deltas,
    Filled,
    Message,
    Moment,
    Name,
    Names,
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
IncomingQuantity = Annotated[int, Field(ge=0, le=STOCK_QUANTITY_MAX, strict=True)]
HoldMode = Literal["lock", "on_payment"]
"""`lock`: locked at placing, deducted at payment. `on_payment`: checked at placing, first paid is first served."""


class StockCommand(Message):
    """From the order service, about one order's stock in one store."""

    TOPIC = "inventory.commands"
    KEY = "store"
    order_id: OrderId
    store: Name


class OnSale(Part):
    """Lines at the price of a flash sale, and the promotion of each: their pieces come from its allotment."""

    spus: SomeSpus
    promotions: Annotated[Names, Field(min_length=1)]

    _is_whole = parallel("spus", "promotions")


class HoldStock(StockCommand):
    """Hold all lines or none. `on_sale` are those that come from an allotment, `presale` those that may come from what
    is still to come; an order with either is held in mode `on_payment`."""

    mode: HoldMode
    spus: SomeSpus
    quantities: SomePieces
    on_sale: OnSale | None = None
    presale: Annotated[Spus, Field(min_length=1)] | None = None

    _is_whole = parallel("spus", "quantities")


class VerifyStock(StockCommand):
    """Is the stock of this hold still there, now that the customer wants to pay? `on_sale` as the order is priced now:
    a line that is at its ordinary price again comes from the shelf."""

    on_sale: OnSale | None = None


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


class SetAllotment(StoreCommand):
    """From a storekeeper: so many pieces of one SPU are what a flash sale may sell in this store, sold ones included.
    They are set aside from the shelf; what a smaller number sets free goes back to it."""

    promotion: Name
    spu: Name
    quantity: StockQuantity


class ExpectGoods(StoreCommand):
    """From a storekeeper: so many pieces are to come, per SPU; each number replaces the one before. 0: none."""

    spus: Annotated[tuple[Name, ...], Field(min_length=1, max_length=LINES_MAX)]
    quantities: Annotated[tuple[IncomingQuantity, ...], Field(min_length=1, max_length=LINES_MAX)]

    _is_whole = parallel("spus", "quantities")


class AnnounceSale(Message):
    """From the order service: until when a flash sale is on in this store. What is left of its allotment then goes back
    to the shelf."""

    TOPIC = "inventory.commands"
    KEY = "store"
    SUBJECT = "promotion"
    store: Name
    promotion: Name
    ends_at: Moment


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
    """All lines are held, in this mode. Allotments of the promotions in `gone` have no pieces left for it: those lines
    are held from the shelf, at their ordinary price."""

    mode: HoldMode
    gone: Names | None = None


class StockShort(ShortStock):
    """Nothing was held: there is not enough."""


class StockVerified(StockEvent):
    """The stock of the hold is there; `gone` as in StockHeld."""

    gone: Names | None = None


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
