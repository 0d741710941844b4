"""A flash sale in a store: pieces are set aside for it, sold from there, and what is left at its end is on the shelf
again. The storekeeper's word and the order service's announcement of the end may come in either order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.inventory import inner
from services.inventory.cells import Shelf, zeros
from services.inventory.state import ALLOT, Allotment, AllotmentPhase, Movement, sale_cell
from shared.contracts import inventory
from shared.runtime.decider import Context, Look
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import Change, Key

SALE_ENDS = "sale_ends"
"""The timer of a sale's end, by store and promotion."""
OfSale = inventory.SetAllotment | inventory.AnnounceSale | inner.SaleRunsOut
"""What decides about an allotment by itself, not through an order."""


def aside_key(store: str, spu: str) -> Key:
    """Names the promotion of the open allotment of an SPU in a store; empty when there is none."""
    return ("aside", store, spu)


def needs_of_sale(message: OfSale, look: Look) -> Iterator[Key]:
    """The allotment, then the shelf, its own cell, and which allotment the SPU has."""
    store, promotion = message.store, message.promotion
    yield (key := ("allotment", store, promotion))
    allotment: Allotment | None = look(key)
    if spu := _spu_of(message, allotment):
        yield aside_key(store, spu)
        yield ("cell", store, spu)
        yield ("cell", store, sale_cell(spu, promotion))


def cells_of_sale(message: OfSale, allotment: Allotment) -> tuple[str, ...]:
    """The cells that it takes pieces from, or gives them to."""
    spu = _spu_of(message, allotment)
    return (spu, sale_cell(spu, allotment.promotion)) if spu else ()


def _spu_of(message: OfSale, allotment: Allotment | None) -> str:
    return message.spu if type(message) is inventory.SetAllotment else allotment.spu if allotment else ""


def read_for_sale(allotment: Allotment, message: OfSale, shelf: Shelf, other: str, c: Context) -> object:
    """The message as the table of allotments knows it. `other` is the promotion that has an open allotment of the same
    SPU by now, or nothing."""
    if type(message) is inventory.AnnounceSale:
        return inner.SaleEndsLater(message.ends_at) if message.ends_at > c.now else inner.SaleEnded(message.ends_at)
    if type(message) is not inventory.SetAllotment:
        return message
    spu, quantity, sold = message.spu, message.quantity, allotment.sold
    if allotment.phase is AllotmentPhase.OVER or (allotment.ends_at and allotment.ends_at <= c.now):
        return inner.AllotmentTooLate(
            f"it ended at {allotment.ends_at:%Y-%m-%dT%H:%M:%SZ}" if allotment.ends_at else ""
        )
    if allotment.spu not in ("", spu):
        return inner.AllotmentOfOtherSpu(f"it is of {allotment.spu}")
    if other not in ("", allotment.promotion):
        return inner.SpuHasAllotment(f"pieces of {spu} are set aside for {other}")
    if quantity < sold:
        return inner.AllotmentBelowSold(f"{sold} are sold")
    if quantity - _accounted_for(allotment) > shelf[spu].available:
        return inner.AllotmentOverStock(f"there are {shelf[spu].available} {spu} on the shelf that are nobody's")
    return inner.AllotmentFits(spu, quantity)


def _accounted_for(allotment: Allotment) -> int:
    """Pieces that are set aside or sold already."""
    return allotment.quantity if allotment.phase is AllotmentPhase.OPEN else allotment.sold


# -- the actions -------------------------------------------------------------------------------------------------------


def set_aside(allotment: Allotment, m: inner.AllotmentFits, c: Context) -> Change:
    """Pieces go from the shelf to the sale, or back when fewer are to be sold."""
    more = m.quantity - _accounted_for(allotment)
    changes = {"spu": m.spu, "quantity": m.quantity}
    return changes, _moved(allotment, m.spu, more, c)


def set_end(allotment: Allotment, m: inner.SaleEndsLater, c: Context) -> Change:
    """The end of the sale is known, or is another one."""
    return {"ends_at": m.ends_at}, (SetTimer(_subject(allotment), SALE_ENDS, m.ends_at),)


def remember_end(allotment: Allotment, m: inner.SaleEnded, c: Context) -> Change:
    """The sale was over before anything was set aside, or is over still."""
    return {"ends_at": m.ends_at}, (CancelTimer(_subject(allotment), SALE_ENDS),)


def end_now(allotment: Allotment, m: inner.SaleEnded, c: Context) -> Change:
    """The sale was stopped: what is left is on the shelf again."""
    changes, said = remember_end(allotment, m, c)
    return changes, (*said, *_moved(allotment, allotment.spu, -allotment.left, c))


def run_out(allotment: Allotment, m: inner.SaleRunsOut, c: Context) -> Change:
    """The sale is over: what is left is on the shelf again."""
    return {}, _moved(allotment, allotment.spu, -allotment.left, c)


def count_sold(allotment: Allotment, m: inner.PiecesSold, c: Context) -> Change:
    """An order was paid first."""
    return {"sold": allotment.sold + m.pieces}, ()


def count_back(allotment: Allotment, m: inner.PiecesBack, c: Context) -> Change:
    """They are not sold after all: while the sale is on, the next customer gets them."""
    return {"sold": allotment.sold - m.pieces}, ()


def forget_sold(allotment: Allotment, m: inner.SoldPiecesMissing, c: Context) -> Change:
    """They were sold, and were never there: the allotment had fewer."""
    return {"sold": allotment.sold - m.pieces, "quantity": allotment.quantity - m.pieces}, ()


def shrink(allotment: Allotment, m: inner.PiecesMissing, c: Context) -> Change:
    """They were set aside, and are not there."""
    return {"quantity": allotment.quantity - m.pieces}, ()


def _moved(allotment: Allotment, spu: str, more: int, c: Context) -> Sequence[Movement]:
    if not more:
        return ()
    cells = (spu, sale_cell(spu, allotment.promotion))
    return (Movement(allotment.store, c.now, ALLOT, None, None, cells, (-more, more), zeros(cells)),)


def _subject(allotment: Allotment) -> str:
    return f"{allotment.store}/{allotment.promotion}"
