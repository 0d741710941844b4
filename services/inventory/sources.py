"""Where pieces come from when it is not the shelf alone: the allotment of a flash sale, or what is still to come.

A line on sale comes from its allotment, whole, or from the shelf at its ordinary price: then its promotion is `gone`,
with all lines that it has. A pre-sale line comes from what is to come as far as that goes, the rest from the shelf.
Nothing of either is ever locked: first paid is first served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.inventory import inner
from services.inventory.cells import Shelf, summed
from services.inventory.state import (
    Allotment,
    AllotmentPhase,
    Hold,
    Phase,
    Sources,
    incoming_cell,
    owed_cell,
    sale_cell,
)
from shared.contracts import inventory
from shared.runtime.decider import Look
from shared.runtime.table import Key

Allotments = Mapping[str, Allotment]
"""By promotion; those that are not known are not in it."""


def sources_asked(hold: Hold | None, message: inventory.StockCommand) -> Sources | None:
    """What a step has to look at besides the shelf; None for an ordinary one, which must cost nothing."""
    if type(message) is inventory.HoldStock:
        if message.on_sale is None and message.presale is None:
            return None
        return Sources(_promotions(message.on_sale), message.presale or ())
    if hold is None or hold.phase is not Phase.CHECKED:
        return None
    if type(message) is inventory.VerifyStock:
        if message.on_sale is None and hold.sources is None:
            return None
        return Sources(_promotions(message.on_sale), hold.sources.presale if hold.sources else ())
    return hold.sources if type(message) is inventory.DeductStock else None


def _promotions(on_sale: inventory.OnSale | None) -> Mapping[str, str]:
    return dict(zip(on_sale.spus, on_sale.promotions, strict=True)) if on_sale else {}


def cells_beside(sources: Sources) -> list[str]:
    """The cells that they may come from."""
    cells = [sale_cell(spu, promotion) for spu, promotion in sources.sale.items()]
    for spu in sources.presale:
        cells += (incoming_cell(spu), owed_cell(spu))
    return cells


def keys_of(store: str, sources: Sources) -> Iterable[Key]:
    """These cells, and the allotments."""
    allotments: list[Key] = [("allotment", store, promotion) for promotion in sources.sale.values()]
    return [*allotments, *[("cell", store, cell) for cell in cells_beside(sources)]]


def allotments_of(look: Look, store: str, sources: Sources) -> Allotments:
    """The allotments that these lines are of."""
    found = {}
    for promotion in sources.sale.values():
        if (allotment := look(("allotment", store, promotion))) is not None:
            found[promotion] = allotment
    return found


# -- the way forward ---------------------------------------------------------------------------------------------------


def read_for_sources(
    hold: Hold, message: inventory.StockCommand, asked: Sources, shelf: Shelf, allotments: Allotments
) -> object:
    """The message as the table of holds knows it. Of what is only checked, nothing is taken."""
    if type(message) is inventory.DeductStock:
        return _taking(hold, asked, shelf, allotments)
    if type(message) is inventory.HoldStock and hold.phase is Phase.NEW:
        demand = summed(message.spus, message.quantities)
        found = _covered(demand, asked, shelf, allotments)
        return (
            inner.HoldFallsShort(found.missing)
            if found.missing
            else inner.SourcesFit(demand, found.sources, found.gone)
        )
    if type(message) is inventory.VerifyStock:
        lines = dict(zip(hold.spus, hold.quantities, strict=True))
        found = _covered(lines, asked, shelf, allotments)
        return (
            inner.CheckFitsNoMore(found.missing) if found.missing else inner.SourcesStillFit(found.sources, found.gone)
        )
    return message


class _Covered(NamedTuple):
    """Where lines may come from now: their sources, the promotions whose allotments have not enough left, and the
    pieces missing per SPU."""

    sources: Sources | None
    gone: tuple[str, ...]
    missing: Mapping[str, int]


def _covered(lines: Mapping[str, int], asked: Sources, shelf: Shelf, allotments: Allotments) -> _Covered:
    gone: dict[str, None] = {}
    for spu, promotion in asked.sale.items():
        if spu in lines and _left_of(spu, promotion, shelf, allotments) < lines[spu]:
            gone[promotion] = None
    sale = {spu: promotion for spu, promotion in asked.sale.items() if spu in lines and promotion not in gone}
    presale = tuple([spu for spu in asked.presale if spu in lines])
    missing = {}
    for spu, quantity in lines.items():
        if spu in sale:
            continue
        free = shelf[spu].available
        if spu in presale:
            free += shelf[incoming_cell(spu)].on_hand
        if free < quantity:
            missing[spu] = quantity - free
    return _Covered(Sources(sale, presale) if sale or presale else None, tuple(gone), missing)


def _left_of(spu: str, promotion: str, shelf: Shelf, allotments: Allotments) -> int:
    allotment = allotments.get(promotion)
    return shelf[sale_cell(spu, promotion)].on_hand if allotment and allotment.is_open_for(spu) else 0


def _taking(
    hold: Hold, sources: Sources, shelf: Shelf, allotments: Allotments
) -> inner.SourcedGoodsThere | inner.CheckedGoodsSoldOut:
    """Who has paid the price of a sale gets pieces of its allotment or none. When the sale is over since the click,
    such pieces are on the shelf again."""
    cells: dict[str, int] = {}
    taken: dict[str, int] = {}
    missing: dict[str, int] = {}
    for spu, quantity in zip(hold.spus, hold.quantities, strict=True):
        cell, there, promised = spu, shelf[spu].available, 0
        if promotion := sources.sale.get(spu):
            cell, there = _sold_from(spu, promotion, shelf, allotments)
            taken[spu] = quantity
        elif spu in sources.presale:
            promised = min(quantity, shelf[incoming_cell(spu)].on_hand)
            cells[incoming_cell(spu)], cells[owed_cell(spu)], taken[spu] = -promised, promised, promised
        if there < quantity - promised:
            missing[spu] = quantity - promised - there
        cells[cell] = promised - quantity
    return (
        inner.CheckedGoodsSoldOut(missing)
        if missing
        else inner.SourcedGoodsThere(_without_zeros(cells), _without_zeros(taken))
    )


def _sold_from(spu: str, promotion: str, shelf: Shelf, allotments: Allotments) -> tuple[str, int]:
    """The cell that a line on sale comes from, and how many pieces of it the sale may still sell."""
    allotment = allotments.get(promotion)
    if allotment is None or allotment.spu != spu:
        return spu, 0
    if allotment.phase is AllotmentPhase.OPEN:
        cell = sale_cell(spu, promotion)
        return cell, shelf[cell].on_hand
    return spu, min(allotment.left, shelf[spu].available)


def _without_zeros(pieces: Mapping[str, int]) -> dict[str, int]:
    return {name: n for name, n in pieces.items() if n}


# -- the way back ------------------------------------------------------------------------------------------------------


class GoneBack(NamedTuple):
    """What becomes of pieces that go back, some of which are nowhere to be found: the change of every cell by the
    reversal and by the write-off after it, what allotments are told, and the sources that are left."""

    back: dict[str, int]
    off: dict[str, int]
    told: tuple[inner.PiecesBack | inner.SoldPiecesMissing, ...]
    sources: Sources


def gone_back(
    sources: Sources, pieces: Mapping[str, int], short: Mapping[str, int], shelf: Shelf, allotments: Allotments
) -> GoneBack:
    """Pieces go back to where they came from: to the sale while it is on, to what is to come as far as anything is
    still owed. What is owed was never on the shelf: where it is short, nothing is written off, and nothing comes."""
    back: dict[str, int] = {}
    off: dict[str, int] = {}
    told: list[inner.PiecesBack | inner.SoldPiecesMissing] = []
    taken = dict(sources.taken)

    def add(cells: dict[str, int], cell: str, delta: int) -> None:
        if delta:
            cells[cell] = cells.get(cell, 0) + delta

    for spu, quantity in pieces.items():
        rest, nowhere, own = quantity, short.get(spu, 0), min(quantity, taken.pop(spu, 0))
        if left := sources.taken.get(spu, 0) - own:
            taken[spu] = left
        if own and (promotion := sources.sale.get(spu)):
            lost = min(nowhere, own)
            told += [inner.PiecesBack(promotion, own - lost)] if own > lost else []
            told += [inner.SoldPiecesMissing(promotion, lost)] if lost else []
            if allotments[promotion].is_open_for(spu):
                cell = sale_cell(spu, promotion)
                add(back, cell, own)
                add(off, cell, -lost)
                rest, nowhere = rest - own, nowhere - lost
        elif own:
            owed = min(own, shelf[owed_cell(spu)].on_hand)
            lost = min(nowhere, owed)
            add(back, owed_cell(spu), -owed)
            add(back, incoming_cell(spu), owed - lost)
            rest, nowhere = rest - owed, nowhere - lost
        add(back, spu, rest)
        add(off, spu, -nowhere)
    return GoneBack(back, off, tuple(told), Sources(sources.sale, sources.presale, taken))
