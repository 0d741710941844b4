"""A hold's life until the goods leave the books: what is said when an order asks, verifies, pays or gives up, and when
a count takes its pieces away."""

from __future__ import annotations

from collections.abc import Mapping

from services.inventory import inner
from services.inventory.cells import zeros
from services.inventory.issues import issue_kind, number_for
from services.inventory.state import LOCK, UNLOCK, Document, Hold, Movement, Sources
from shared.contracts import inventory
from shared.runtime.decider import Context
from shared.runtime.table import Change

# -- holding -----------------------------------------------------------------------------------------------------------


def lock(hold: Hold, m: inner.LockFits, c: Context) -> Change:
    """All pieces are the order's from now on."""
    spus, quantities = tuple(m.demand), tuple(m.demand.values())
    movement = Movement(hold.store, c.now, LOCK, hold.order_id, None, spus, zeros(spus), quantities)
    changes = {"mode": "lock", "spus": spus, "quantities": quantities}
    return changes, (movement, inventory.StockHeld(order_id=hold.order_id, mode="lock"))


def remember_demand(hold: Hold, m: inner.CheckFits, c: Context) -> Change:
    """There is enough, and nothing is taken: first paid is first served."""
    changes = {"mode": "on_payment", "spus": tuple(m.demand), "quantities": tuple(m.demand.values())}
    return changes, (inventory.StockHeld(order_id=hold.order_id, mode="on_payment"),)


def remember_sources(hold: Hold, m: inner.SourcesFit, c: Context) -> Change:
    """The same, for lines that are on sale or to come."""
    spus, quantities = tuple(m.demand), tuple(m.demand.values())
    changes = {"mode": "on_payment", "spus": spus, "quantities": quantities, "sources": m.sources}
    return changes, (inventory.StockHeld(order_id=hold.order_id, mode="on_payment", gone=m.gone or None),)


def tell_short(hold: Hold, m: inner.HoldFallsShort, c: Context) -> Change:
    """All lines or none: the order has nothing."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (inventory.StockShort(order_id=hold.order_id, spus=spus, missing=missing),)


def tell_verified(hold: Hold, m: inventory.VerifyStock | inner.CheckStillFits, c: Context) -> Change:
    """The stock is there."""
    return {}, (inventory.StockVerified(order_id=hold.order_id),)


def tell_sources(hold: Hold, m: inner.SourcesStillFit, c: Context) -> Change:
    """The stock is there; lines come from now on from where they come from now."""
    return {"sources": m.sources}, (inventory.StockVerified(order_id=hold.order_id, gone=m.gone or None),)


def tell_gone(hold: Hold, m: inner.CheckFitsNoMore, c: Context) -> Change:
    """Somebody else was faster, or a count. Nothing is taken, so there is nothing to give back."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (inventory.StockGone(order_id=hold.order_id, spus=spus, missing=missing),)


def tell_released(hold: Hold, m: inventory.ReleaseStock, c: Context) -> Change:
    """There is nothing to give back; the order must not wait for it."""
    return {}, (inventory.StockReleased(order_id=hold.order_id),)


def unlock(hold: Hold, m: inventory.ReleaseStock, c: Context) -> Change:
    """The locked pieces are free again."""
    return {}, (_given_back(hold, c), inventory.StockReleased(order_id=hold.order_id))


def lose(hold: Hold, m: inner.CountTakesHold, c: Context) -> Change:
    """All lines or none: with the pieces that are not there, the order gives up the others too."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (_given_back(hold, c), inventory.StockLost(order_id=hold.order_id, spus=spus, missing=missing))


def _given_back(hold: Hold, c: Context) -> Movement:
    quantities = tuple(-q for q in hold.quantities)
    return Movement(hold.store, c.now, UNLOCK, hold.order_id, None, hold.spus, zeros(hold.spus), quantities)


# -- deducting ---------------------------------------------------------------------------------------------------------


def issue_locked(hold: Hold, m: inventory.DeductStock, c: Context) -> Change:
    """The locked pieces leave the books."""
    return _issue(hold, c, tuple(-q for q in hold.quantities))


def issue_checked(hold: Hold, m: inner.CheckedGoodsThere, c: Context) -> Change:
    """Pieces that nobody had locked leave the books."""
    return _issue(hold, c, zeros(hold.spus))


def issue_sourced(hold: Hold, m: inner.SourcedGoodsThere, c: Context) -> Change:
    """The pieces leave the books from where they are, and the allotments hear of it."""
    assert hold.sources, "only such a hold is read like this"
    sources = Sources(hold.sources.sale, hold.sources.presale, m.taken)
    changes, said = _issue(hold, c, zeros(tuple(m.cells)), m.cells)
    sold = [inner.PiecesSold(promotion, m.taken[spu]) for spu, promotion in sources.sale.items()]
    return {**changes, "sources": sources}, (*said, *sold)


def _issue(hold: Hold, c: Context, locked: tuple[int, ...], cells: Mapping[str, int] | None = None) -> Change:
    kind = issue_kind(hold.order_id)
    number = number_for(hold.order_id, kind, ())
    document = Document(number, kind, hold.store, hold.order_id, c.now, hold.spus, hold.quantities)
    names, taken = (tuple(cells), tuple(cells.values())) if cells else (hold.spus, tuple(-q for q in hold.quantities))
    movement = Movement(hold.store, c.now, kind, hold.order_id, number, names, taken, locked)
    event = inventory.StockDeducted(order_id=hold.order_id, document=number, spus=hold.spus, quantities=hold.quantities)
    return {"document": number}, (document, movement, event)


def tell_sold_out(hold: Hold, m: inner.CheckedGoodsSoldOut, c: Context) -> Change:
    """Paid, and somebody else paid first, or a count found less: the order has nothing."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (inventory.StockSoldOut(order_id=hold.order_id, spus=spus, missing=missing),)
