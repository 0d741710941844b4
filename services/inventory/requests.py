"""The storekeeper's documents: goods that came in, and what a count found.

A count that finds less than is locked takes holds away, the newest first, until the rest fits: an order that has waited
longer is nearer to being paid. Which orders have pieces of a cell locked is a fact, loaded with the batch ("holders").
A hold made in the very same batch is not in it; then the pieces of those that are known do not come to what is locked,
and the batch is cut there: the next one finds them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.inventory.cells import Shelf, StockBelowZero, shelf_of, summed, zeros
from services.inventory.state import (
    CountBelowZero,
    CountChangesNothing,
    CountFits,
    Document,
    Hold,
    Holders,
    Kind,
    Movement,
    Phase,
    RequestPhase,
    StoreRequest,
)
from shared.contracts.inventory import AdjustStock, GoodsReceived, ReceiveGoods, StockAdjusted
from shared.runtime.decider import Context, Look
from shared.runtime.table import Change, Key

AGAIN = "again"
"""Ends the key that a decision looks for when the holders it knows are not all there are."""
NAMED_MAX = 10
"""Most SPUs that a refusal names."""


def receive(request: StoreRequest, m: ReceiveGoods, c: Context) -> Change:
    """Goods came in."""
    pieces = summed(m.spus, m.quantities)
    event = GoodsReceived(store=m.store, document=request.number, at=c.now)
    return {}, (*_written(request, m.store, Kind.GOODS_RECEIPT, pieces, None, c), event)


def adjust(request: StoreRequest, m: CountFits, c: Context) -> Change:
    """The books follow the count."""
    event = StockAdjusted(store=m.store, document=request.number, at=c.now)
    return {}, (*_written(request, m.store, Kind.ADJUSTMENT, m.deltas, m.reason, c), event)


def _written(
    request: StoreRequest, store: str, kind: Kind, deltas: Mapping[str, int], reason: str | None, c: Context
) -> tuple[Document, Movement]:
    spus, on_hand = tuple(deltas), tuple(deltas.values())
    return (
        Document(request.number, kind, store, None, c.now, spus, on_hand, None, reason, c.actor or None),
        Movement(store, c.now, kind, None, request.number, spus, on_hand, zeros(spus)),
    )


def number_of(message: ReceiveGoods | AdjustStock) -> str:
    """The number of the document that this request comes to."""
    return f"{'GR' if type(message) is ReceiveGoods else 'AD'}-{message.request_id}"


def read_for_request(request: StoreRequest, message: ReceiveGoods | AdjustStock, shelf: Shelf) -> object:
    """The message as the table of requests knows it."""
    if request.phase is RequestPhase.NEW and type(message) is AdjustStock:
        deltas = {spu: delta for spu, delta in summed(message.spus, message.deltas).items() if delta}
        if not deltas:
            return CountChangesNothing()
        if below := [spu for spu, delta in deltas.items() if shelf[spu].on_hand + delta < 0]:
            cells = [f"{shelf[spu].on_hand} {spu}" for spu in below[:NAMED_MAX]]
            return CountBelowZero(f"there are {', '.join(cells)} on hand")
        return CountFits(message.store, deltas, message.reason)
    return message


# -- a count that finds less than is locked ----------------------------------------------------------------------------


def pieces_short(deltas: Mapping[str, int], shelf: Shelf) -> dict[str, int]:
    """Pieces per SPU that are locked and would not be on hand."""
    short = {spu: shelf[spu].locked - (shelf[spu].on_hand + delta) for spu, delta in deltas.items()}
    return {spu: pieces for spu, pieces in short.items() if pieces > 0}


def holds_lost(look: Look, store: str, short: Mapping[str, int], shelf: Shelf) -> list[tuple[Hold, dict[str, int]]]:
    """The holds that a count takes away, and the pieces of each that are not there.

    SPU by SPU: those that are lost already make room first, then the newest of the others.
    """
    lost: dict[str, tuple[Hold, dict[str, int]]] = {}
    for spu, pieces in short.items():
        holds = _locked_in(look, store, spu, shelf[spu].locked)
        for hold, quantity in sorted(holds, key=lambda found: found[0].order_id not in lost):
            if pieces <= 0:
                break
            lost.setdefault(hold.order_id, (hold, {}))[1][spu] = min(pieces, quantity)
            pieces -= quantity
    return list(lost.values())


def _locked_in(look: Look, store: str, spu: str, locked: int) -> list[tuple[Hold, int]]:
    """Every hold that has pieces of a cell locked now, the newest first, with its pieces."""
    holders: Holders = look(("holders", store, spu))
    holds: list[Hold] = [look(("hold", order_id)) for order_id in holders]
    found = [(hold, hold.quantities[hold.spus.index(spu)]) for hold in holds if hold.phase is Phase.LOCKED]
    if sum(quantity for _, quantity in found) == locked:
        return found
    # Somebody locked pieces in this very batch: looking for what is not loaded cuts the batch here. At the head of a
    # batch it is loaded, so it is found there, and then the books are wrong (or somebody else owns the shard by now).
    look(("holders", store, spu, AGAIN))
    raise StockBelowZero(f"the holds of {spu} in {store} do not come to the {locked} pieces that are locked")


def needs_of_count(message: AdjustStock, look: Look) -> Iterator[Key]:
    """The cells; of those that fall short, who holds them; their holds; and the cells of the holds that are lost.

    Each of these tells what the next are: `look` raises where more has to be loaded first, each time all at once.
    """
    store = message.store
    yield ("request", number_of(message))
    yield from (("cell", store, spu) for spu in message.spus)
    shelf = shelf_of(look, store, message.spus)
    read = read_for_request(StoreRequest("", RequestPhase.NEW), message, shelf)
    if type(read) is not CountFits or not (short := pieces_short(read.deltas, shelf)):
        return
    yield from (("holders", store, spu) for spu in short)
    yield from (("hold", order_id) for spu in short for order_id in look(("holders", store, spu)))
    yield from (("cell", store, spu) for hold, _ in holds_lost(look, store, short, shelf) for spu in hold.spus)
