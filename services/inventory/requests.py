"""What storekeepers tell: goods that came in, what a count found, and what is to come.

Pieces set aside for a flash sale are on hand like others: a count that finds less than there is takes first what is
nobody's, then what is set aside and unsold, and then holds. Goods that come in settle first what is owed of what was to
come, then lower what is still to come.

A count that finds less than is locked takes holds away, the newest first, until the rest fits: an order that has waited
longer is nearer to being paid. Which orders have pieces of a cell locked is a fact, loaded with the batch ("holders").
A hold made in the very same batch is not in it; then the pieces of those that are known do not come to what is locked,
and the batch is cut there: the next one finds them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.inventory import inner
from services.inventory.allotments import aside_key
from services.inventory.cells import Shelf, StockBelowZero, shelf_of, summed, zeros
from services.inventory.state import (
    ARRIVE,
    EXPECT,
    Document,
    Hold,
    Holders,
    Kind,
    Movement,
    Phase,
    RequestPhase,
    StoreRequest,
    incoming_cell,
    owed_cell,
    sale_cell,
)
from shared.contracts import inventory
from shared.runtime.decider import Context, Look
from shared.runtime.table import Change, Key

AGAIN = "again"
"""Ends the key that a decision looks for when the holders it knows are not all there are."""
NAMED_MAX = 10
"""Most SPUs that a refusal names."""


Aside = Mapping[str, str]
"""The promotions of the open allotments of a store, by SPU."""


def receive(request: StoreRequest, m: inventory.ReceiveGoods, c: Context) -> Change:
    """Goods came in."""
    return _received(request, m.store, summed(m.spus, m.quantities), c)


def receive_awaited(request: StoreRequest, m: inner.AwaitedGoodsCome, c: Context) -> Change:
    """Goods came in that were to come: those that were sold already are for the orders that wait for them."""
    changes, said = _received(request, m.store, m.pieces, c)
    return changes, (*said, _moved(m.store, ARRIVE, None, m.arrived, c))


def _received(request: StoreRequest, store: str, pieces: Mapping[str, int], c: Context) -> Change:
    document = _document(request, store, Kind.GOODS_RECEIPT, pieces, None, c)
    movement = _moved(store, Kind.GOODS_RECEIPT, request.number, pieces, c)
    return {}, (document, movement, inventory.GoodsReceived(store=store, document=request.number, at=c.now))


def adjust(request: StoreRequest, m: inner.CountFits, c: Context) -> Change:
    """The books follow the count, and the allotments that it takes from hear of it."""
    document = _document(request, m.store, Kind.ADJUSTMENT, m.deltas, m.reason, c)
    movement = _moved(m.store, Kind.ADJUSTMENT, request.number, m.cells, c)
    event = inventory.StockAdjusted(store=m.store, document=request.number, at=c.now)
    return {}, (document, movement, event, *m.unset)


def expect(request: StoreRequest, m: inner.IncomingFits, c: Context) -> Change:
    """So much is to come."""
    return {}, (_moved(m.store, EXPECT, None, m.cells, c),) if m.cells else ()


def _document(
    request: StoreRequest, store: str, kind: Kind, deltas: Mapping[str, int], reason: str | None, c: Context
) -> Document:
    spus, pieces = tuple(deltas), tuple(deltas.values())
    return Document(request.number, kind, store, None, c.now, spus, pieces, None, reason, c.actor or None)


def _moved(store: str, kind: str, document: str | None, deltas: Mapping[str, int], c: Context) -> Movement:
    cells = tuple(deltas)
    return Movement(store, c.now, kind, None, document, cells, tuple(deltas.values()), zeros(cells))


def number_of(message: inventory.ReceiveGoods | inventory.AdjustStock) -> str:
    """The number of the document that this request comes to."""
    return f"{'GR' if type(message) is inventory.ReceiveGoods else 'AD'}-{message.request_id}"


def cells_of(
    message: inventory.ReceiveGoods | inventory.AdjustStock | inventory.ExpectGoods, aside: Aside
) -> list[str]:
    """The cells that decide a request, or are changed by it. `aside` matters to a count only."""
    if type(message) is inventory.AdjustStock:
        return [*message.spus, *(sale_cell(spu, promotion) for spu, promotion in aside.items() if promotion)]
    spus = message.spus
    return [*spus, *(incoming_cell(spu) for spu in spus), *(owed_cell(spu) for spu in spus)]


def read_for_request(
    request: StoreRequest,
    message: inventory.ReceiveGoods | inventory.AdjustStock | inventory.ExpectGoods,
    shelf: Shelf,
    aside: Aside,
) -> object:
    """The message as the table of requests knows it."""
    if request.phase is not RequestPhase.NEW:
        return message
    match message:
        case inventory.ReceiveGoods():
            return _read_receipt(message, shelf)
        case inventory.AdjustStock():
            return _read_count(message, shelf, aside)
        case inventory.ExpectGoods():
            return _read_plan(message, shelf)


def _read_receipt(message: inventory.ReceiveGoods, shelf: Shelf) -> object:
    arrived: dict[str, int] = {}
    pieces = summed(message.spus, message.quantities)
    for spu, quantity in pieces.items():
        owed, incoming = owed_cell(spu), incoming_cell(spu)
        if settled := min(quantity, shelf[owed].on_hand):
            arrived[spu] = arrived[owed] = -settled
        if come := min(quantity - settled, shelf[incoming].on_hand):
            arrived[incoming] = -come
    return inner.AwaitedGoodsCome(message.store, pieces, arrived) if arrived else message


def _read_plan(message: inventory.ExpectGoods, shelf: Shelf) -> object:
    cells: dict[str, int] = {}
    below: list[str] = []
    for spu, quantity in summed(message.spus, message.quantities).items():
        sold, cell = shelf[owed_cell(spu)].on_hand, incoming_cell(spu)
        if quantity < sold:
            below.append(f"{sold} {spu}")
        elif delta := quantity - sold - shelf[cell].on_hand:
            cells[cell] = delta
    if below:
        return inner.IncomingBelowSold(f"{', '.join(below[:NAMED_MAX])} of it are sold")
    return inner.IncomingFits(message.store, cells)


def _read_count(message: inventory.AdjustStock, shelf: Shelf, aside: Aside) -> object:
    deltas = {spu: delta for spu, delta in summed(message.spus, message.deltas).items() if delta}
    if not deltas:
        return inner.CountChangesNothing()
    cells, unset, below = dict(deltas), [], []
    for spu, delta in deltas.items():
        on_hand, set_aside = shelf[spu].on_hand, 0
        if promotion := aside.get(spu):
            cell = sale_cell(spu, promotion)
            set_aside = shelf[cell].on_hand
            if taken := min(max(-delta - shelf[spu].available, 0), set_aside):
                cells[cell], cells[spu] = -taken, delta + taken
                unset.append(inner.PiecesMissing(promotion, taken))
        if on_hand + set_aside + delta < 0:
            below.append(f"{on_hand + set_aside} {spu}")
    if below:
        return inner.CountBelowZero(f"there are {', '.join(below[:NAMED_MAX])} on hand")
    moved = {cell: delta for cell, delta in cells.items() if delta}
    return inner.CountFits(message.store, deltas, message.reason, moved, tuple(unset))


# -- a count that finds less than is locked ----------------------------------------------------------------------------


def pieces_short(deltas: Mapping[str, int], shelf: Shelf) -> dict[str, int]:
    """Pieces per SPU that are locked and would not be on the shelf. What is set aside is never locked."""
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


def needs_of_count(message: inventory.AdjustStock, look: Look) -> Iterator[Key]:
    """The cells; of those that fall short, who holds them; their holds; and the cells of the holds that are lost.

    Each of these tells what the next are: `look` raises where more has to be loaded first, each time all at once.
    """
    store = message.store
    yield ("request", number_of(message))
    yield from (("cell", store, spu) for spu in message.spus)
    yield from (aside_key(store, spu) for spu in message.spus)
    aside = aside_of(message, look)
    cells = cells_of(message, aside)
    yield from (("cell", store, cell) for cell in cells)
    yield from (("allotment", store, promotion) for promotion in aside.values() if promotion)
    shelf = shelf_of(look, store, cells)
    read = read_for_request(StoreRequest("", RequestPhase.NEW), message, shelf, aside)
    if type(read) is not inner.CountFits or not (short := pieces_short(read.cells, shelf)):
        return
    yield from (("holders", store, spu) for spu in short)
    yield from (("hold", order_id) for spu in short for order_id in look(("holders", store, spu)))
    yield from (("cell", store, spu) for hold, _ in holds_lost(look, store, short, shelf) for spu in hold.spus)


def aside_of(message: inventory.ReceiveGoods | inventory.AdjustStock | inventory.ExpectGoods, look: Look) -> Aside:
    """The open allotments that a count may take from."""
    if type(message) is not inventory.AdjustStock:
        return {}
    return {spu: look(aside_key(message.store, spu)) or "" for spu in message.spus}
