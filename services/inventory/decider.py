"""What may happen to a store's stock: the life of a hold, of an allotment, and of a storekeeper's request.

Theory of operation. A command whose outcome depends on the stock is first *read*, with the cells as they are, into one
of the messages of `inner`; the tables below then have one target per cell. What is said on the way stands in
`holds`, `issues` (what goes back), `allotments` and `requests` (what storekeepers ask); `sources` is for holds whose
lines come from elsewhere than the shelf. The only way to change a cell is to say a Movement: `cells.fold` carries it
over to the cells, and it becomes a row of the ledger, so the two cannot differ. What is sold of an allotment it is told
in the same step, as a message that never leaves the service.

Numbers of documents are made of what they are about (SI-<order>, GR-<request>, ...) and of a count kept with the order:
deciding again gives the same number, and nobody waits for a counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.inventory import inner
from services.inventory.allotments import (
    SALE_ENDS,
    OfSale,
    aside_key,
    cells_of_sale,
    count_back,
    count_sold,
    end_now,
    forget_sold,
    needs_of_sale,
    read_for_sale,
    remember_end,
    run_out,
    set_aside,
    set_end,
    shrink,
)
from services.inventory.cells import Shelf, StockBelowZero, fold, fold_all, missing_of, shelf_of, summed
from services.inventory.holds import (
    issue_checked,
    issue_locked,
    issue_sourced,
    lock,
    lose,
    remember_demand,
    remember_sources,
    tell_gone,
    tell_released,
    tell_short,
    tell_sold_out,
    tell_sources,
    tell_verified,
    unlock,
)
from services.inventory.issues import (
    Filed,
    drop_short,
    filed,
    issue_of,
    reverse,
    substitute,
    take_back,
    tell_substitute_short,
)
from services.inventory.requests import (
    adjust,
    aside_of,
    cells_of,
    expect,
    holds_lost,
    needs_of_count,
    number_of,
    pieces_short,
    read_for_request,
    receive,
    receive_awaited,
)
from services.inventory.sources import allotments_of, cells_beside, keys_of, read_for_sources, sources_asked
from services.inventory.state import (
    Allotment,
    AllotmentPhase,
    Document,
    Hold,
    Issue,
    Movement,
    Phase,
    RequestPhase,
    StoreRequest,
)
from shared.contracts import inventory
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import IGNORE, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to

__all__ = ["DECIDER", "HOLD", "REQUEST", "StockBelowZero", "number_of"]

HOLD = Table(
    "hold",
    {
        Phase.NEW: {
            inner.LockFits: to(Phase.LOCKED, lock),
            inner.CheckFits: to(Phase.CHECKED, remember_demand),
            inner.SourcesFit: to(Phase.CHECKED, remember_sources),
            inner.HoldFallsShort: to(Phase.SHORT, tell_short),
            inventory.ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.LOCKED: {
            inventory.VerifyStock: to(Phase.LOCKED, tell_verified),
            inner.SourcesStillFit: to(Phase.LOCKED, tell_sources),
            inventory.DeductStock: to(Phase.DEDUCTED, issue_locked),
            inventory.ReleaseStock: to(Phase.RELEASED, unlock),
            inner.CountTakesHold: to(Phase.LOST, lose),
        },
        Phase.CHECKED: {
            inner.CheckStillFits: to(Phase.CHECKED, tell_verified),
            inner.SourcesStillFit: to(Phase.CHECKED, tell_sources),
            inner.CheckFitsNoMore: to(Phase.CHECKED, tell_gone),
            inner.CheckedGoodsThere: to(Phase.DEDUCTED, issue_checked),
            inner.SourcedGoodsThere: to(Phase.DEDUCTED, issue_sourced),
            inner.CheckedGoodsSoldOut: to(Phase.SHORT, tell_sold_out),
            inventory.ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.SHORT: {
            inventory.ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.LOST: {
            # The order may have asked before it heard of it.
            inner.CheckFitsNoMore: to(Phase.LOST, tell_gone),
            inner.CheckedGoodsSoldOut: to(Phase.LOST, tell_sold_out),
            inventory.ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.DEDUCTED: {
            inventory.DropShort: to(Phase.DEDUCTED, drop_short),
            inner.SubstitutesThere: to(Phase.DEDUCTED, substitute),
            inner.SubstitutesShort: to(Phase.DEDUCTED, tell_substitute_short),
            inventory.ReverseIssue: to(Phase.REVERSED, reverse),
            inventory.TakeBack: to(Phase.TAKEN_BACK, take_back),
            inventory.TakeReturn: to(Phase.DEDUCTED, take_back),
        },
        Phase.RELEASED: {
            # parked, and replayed after its order had been given up: nobody would release it again
            inventory.HoldStock: IGNORE,
            inventory.ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.REVERSED: {},
        Phase.TAKEN_BACK: {
            inventory.TakeBack: to(Phase.TAKEN_BACK, take_back),  # what was written off came back after all
        },
    },
)

ALLOTMENT = Table(
    "allotment",
    {
        AllotmentPhase.NEW: {
            inner.AllotmentFits: to(AllotmentPhase.OPEN, set_aside),
            inner.SpuHasAllotment: refuse("spu_has_allotment"),
            inner.AllotmentOverStock: refuse("allotment_over_stock"),
            inner.SaleEndsLater: to(AllotmentPhase.ANNOUNCED, set_end),
            inner.SaleEnded: to(AllotmentPhase.OVER, remember_end),
        },
        AllotmentPhase.ANNOUNCED: {
            inner.AllotmentFits: to(AllotmentPhase.OPEN, set_aside),
            inner.SpuHasAllotment: refuse("spu_has_allotment"),
            inner.AllotmentOverStock: refuse("allotment_over_stock"),
            inner.AllotmentTooLate: refuse("sale_over"),
            inner.SaleEndsLater: to(AllotmentPhase.ANNOUNCED, set_end),
            inner.SaleEnded: to(AllotmentPhase.OVER, remember_end),
            inner.SaleRunsOut: to(AllotmentPhase.OVER),
            # Of a sale that was over once, and goes on.
            inner.AllotmentOfOtherSpu: refuse("allotment_of_other_spu"),
            inner.AllotmentBelowSold: refuse("allotment_below_sold"),
            inner.PiecesSold: to(AllotmentPhase.ANNOUNCED, count_sold),
            inner.PiecesBack: to(AllotmentPhase.ANNOUNCED, count_back),
            inner.SoldPiecesMissing: to(AllotmentPhase.ANNOUNCED, forget_sold),
        },
        AllotmentPhase.OPEN: {
            inner.AllotmentFits: to(AllotmentPhase.OPEN, set_aside),
            inner.SpuHasAllotment: refuse("spu_has_allotment"),
            inner.AllotmentOfOtherSpu: refuse("allotment_of_other_spu"),
            inner.AllotmentOverStock: refuse("allotment_over_stock"),
            inner.AllotmentBelowSold: refuse("allotment_below_sold"),
            inner.AllotmentTooLate: refuse("sale_over"),
            inner.SaleEndsLater: to(AllotmentPhase.OPEN, set_end),
            inner.SaleEnded: to(AllotmentPhase.OVER, end_now),
            inner.SaleRunsOut: to(AllotmentPhase.OVER, run_out),
            inner.PiecesSold: to(AllotmentPhase.OPEN, count_sold),
            inner.PiecesBack: to(AllotmentPhase.OPEN, count_back),
            inner.SoldPiecesMissing: to(AllotmentPhase.OPEN, forget_sold),
            inner.PiecesMissing: to(AllotmentPhase.OPEN, shrink),
        },
        AllotmentPhase.OVER: {
            inner.AllotmentTooLate: refuse("sale_over"),
            inner.SaleEndsLater: to(AllotmentPhase.ANNOUNCED, set_end),
            inner.SaleEnded: to(AllotmentPhase.OVER, remember_end),
            inner.SaleRunsOut: IGNORE,  # parked, and replayed after somebody had stopped the sale
            # Orders that had clicked to pay in time, and orders that are reversed later.
            inner.PiecesSold: to(AllotmentPhase.OVER, count_sold),
            inner.PiecesBack: to(AllotmentPhase.OVER, count_back),
            inner.SoldPiecesMissing: to(AllotmentPhase.OVER, forget_sold),
        },
    },
)

REQUEST = Table(
    "storekeeper's request",
    {
        RequestPhase.NEW: {
            inventory.ReceiveGoods: to(RequestPhase.WRITTEN, receive),
            inner.AwaitedGoodsCome: to(RequestPhase.WRITTEN, receive_awaited),
            # Nothing is kept of it: the same number again is no change.
            inner.IncomingFits: to(RequestPhase.NEW, expect),
            inner.IncomingBelowSold: refuse("incoming_below_sold"),
            inner.CountFits: to(RequestPhase.WRITTEN, adjust),
            inner.CountBelowZero: refuse("adjustment_below_zero"),
            inner.CountChangesNothing: refuse("adjustment_empty"),
        },
        RequestPhase.WRITTEN: {
            inventory.ReceiveGoods: refuse("request_id_used"),
            inventory.AdjustStock: refuse("request_id_used"),
        },
    },
)


# -- reading: a command whose outcome depends on the stock becomes one of two or three ---------------------------------


def read_for_hold(hold: Hold, message: inventory.StockCommand, shelf: Shelf) -> object:
    """The message as the table of holds knows it."""
    if hold.phase is Phase.NEW and type(message) is inventory.HoldStock:
        demand = summed(message.spus, message.quantities)
        if missing := missing_of(demand.items(), shelf):
            return inner.HoldFallsShort(missing)
        return inner.LockFits(demand) if message.mode == "lock" else inner.CheckFits(demand)
    if hold.phase is Phase.CHECKED and type(message) is inventory.VerifyStock:
        missing = missing_of(zip(hold.spus, hold.quantities, strict=True), shelf)
        return inner.CheckFitsNoMore(missing) if missing else inner.CheckStillFits()
    if hold.phase is Phase.CHECKED and type(message) is inventory.DeductStock:
        missing = missing_of(zip(hold.spus, hold.quantities, strict=True), shelf)
        return inner.CheckedGoodsSoldOut(missing) if missing else inner.CheckedGoodsThere()
    if hold.phase is Phase.LOST and (type(message) is inventory.VerifyStock or type(message) is inventory.DeductStock):
        lines = dict(zip(hold.spus, hold.quantities, strict=True))
        # Goods may have come in since; what was lost stays lost, and the order has none of its lines.
        missing = missing_of(lines.items(), shelf) or lines
        return (
            inner.CheckFitsNoMore(missing)
            if type(message) is inventory.VerifyStock
            else inner.CheckedGoodsSoldOut(missing)
        )
    if hold.phase is Phase.LOCKED and type(message) is inventory.VerifyStock and message.on_sale is not None:
        # What is locked is on the shelf: a sale that began since has nothing for it.
        return inner.SourcesStillFit(None, tuple(dict.fromkeys(message.on_sale.promotions)))
    return message


def read_for_issue(hold: Hold, message: inventory.StockCommand, shelf: Shelf) -> object:
    """A way back as the table of holds knows it."""
    if hold.phase is Phase.DEDUCTED and type(message) is inventory.SubstituteStock:
        substitutes = summed(message.substitute_spus, message.substitutes)
        if missing := missing_of(substitutes.items(), shelf):
            return inner.SubstitutesShort(missing)
        return inner.SubstitutesThere(summed(message.spus, message.missing), substitutes)
    return message


# -- the service. `type(x) is C` and not isinstance: on models that costs a microsecond, and this is the hottest service

WAYS_BACK = frozenset(
    {inventory.DropShort, inventory.SubstituteStock, inventory.ReverseIssue, inventory.TakeBack, inventory.TakeReturn}
)
"""Commands that are decided with the issue of an order as well."""


def touched(hold: Hold | None, message: inventory.StockCommand) -> Sequence[str]:
    """The SPUs whose cells decide the message, or are changed by it."""
    if type(message) is inventory.HoldStock:
        return message.spus
    if hold is None or (hold.phase is Phase.LOCKED and type(message) is inventory.VerifyStock):
        return ()
    return hold.spus


def touched_back(hold: Hold | None, issue: Issue | None, message: inventory.StockCommand) -> Iterable[str]:
    """The SPUs whose cells decide a way back, or are changed by it."""
    if type(message) is inventory.DropShort:
        return message.spus
    if type(message) is inventory.SubstituteStock:
        return (*message.spus, *message.substitute_spus)
    if type(message) is inventory.TakeBack or type(message) is inventory.TakeReturn:
        return message.resellable_spus
    return issue.lines if issue else hold.spus if hold else ()


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The hold, the request or the allotment, and the cells."""
    if (of_store := OF_STORE.get(type(message))) is not None:
        return of_store[0](message, look)
    key, store = ("hold", message.order_id), message.store
    if type(message) in WAYS_BACK:
        return _needs_of_way_back(message, look)
    hold = None if type(message) is inventory.HoldStock else look(key)
    keys: list[Key] = [key, *[("cell", store, spu) for spu in touched(hold, message)]]
    if (asked := sources_asked(hold, message)) is not None:
        keys += keys_of(store, asked)
    return keys


def _needs_of_way_back(message: inventory.StockCommand, look: Look) -> Iterator[Key]:
    key, issue = ("hold", message.order_id), ("issue", message.order_id)
    yield from (key, issue)
    hold = look(key)
    yield from (("cell", message.store, spu) for spu in touched_back(hold, look(issue), message))
    if hold and hold.sources:
        yield from keys_of(message.store, hold.sources)


def _needs_of_request(
    message: inventory.ReceiveGoods | inventory.AdjustStock | inventory.ExpectGoods, look: Look
) -> Iterable[Key]:
    if type(message) is inventory.AdjustStock:
        return needs_of_count(message, look)
    cells: list[Key] = [("cell", message.store, cell) for cell in cells_of(message, {})]
    return cells if isinstance(message, inventory.ExpectGoods) else [("request", number_of(message)), *cells]


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one order's hold, one storekeeper's request, or one allotment."""
    if (of_store := OF_STORE.get(type(message))) is not None:
        return of_store[1](message, look, context)
    key, store = ("hold", message.order_id), message.store
    hold = look(key) or Hold(message.order_id, store, Phase.NEW)
    if hold.store != store:
        # Another store may be another shard's: only the shard that made the hold may write it.
        raise NoCell("hold", f"{hold.phase} in store {hold.store}", type(message).__name__)
    if type(message) in WAYS_BACK:
        return _go_back(hold, message, look, context)
    shelf = shelf_of(look, store, touched(hold, message))
    if (asked := sources_asked(hold, message)) is None:
        read = read_for_hold(hold, message, shelf)
    else:
        shelf |= shelf_of(look, store, cells_beside(asked))
        allotments = allotments_of(look, store, asked)
        read = read_for_sources(hold, message, asked, shelf, allotments)
    answer = HOLD.move(hold, read, context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == hold else [(key, moved)]
    for item in said:
        if type(item) is Movement:  # at most one, on the way forward
            states.extend(fold(item, shelf))
    if type(read) is inner.SourcedGoodsThere:
        said = _tell_allotments(said, allotments, states, context)
    return Moved(tuple(states), said)


def _go_back(hold: Hold, message: inventory.StockCommand, look: Look, context: Context) -> Outcome:
    """Something of an issue goes back: the documents that were said are filed, and the movements folded."""
    key = ("issue", hold.order_id)
    issue: Issue = look(key) or issue_of(hold)
    shelf = shelf_of(look, hold.store, touched_back(hold, issue, message))
    allotments: Mapping[str, Allotment] = {}
    if hold.sources:
        shelf |= shelf_of(look, hold.store, cells_beside(hold.sources))
        allotments = allotments_of(look, hold.store, hold.sources)
    answer = HOLD.move(hold, read_for_issue(hold, message, shelf), Filed(context.now, issue, shelf, allotments))
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == hold else [(("hold", hold.order_id), moved)]
    if documents := [item for item in said if type(item) is Document]:
        for document in documents:
            issue = filed(issue, document)
        states.append((key, issue))
    states += fold_all(said, shelf).items()
    if allotments:
        said = _tell_allotments(said, allotments, states, context)
    return Moved(tuple(states), said)


def _tell_allotments(
    said: Sequence[object], allotments: Mapping[str, Allotment], states: list[tuple[Key, Any]], context: Context
) -> Sequence[object]:
    """What was said to allotments is heard by them; answers with the rest."""
    rest = []
    for item in said:
        if type(item) not in TO_ALLOTMENTS:
            rest.append(item)
            continue
        told: Any = item
        answer = ALLOTMENT.move(allotments[told.promotion], told, context)
        assert not isinstance(answer, Refused | Ignored), "an allotment counts what is sold of it"
        allotments = {**allotments, told.promotion: answer[0]}
        states.append((("allotment", answer[0].store, told.promotion), answer[0]))
    return tuple(rest)


def _carry_out(message: inventory.ReceiveGoods | inventory.AdjustStock, look: Look, context: Context) -> Outcome:
    """A storekeeper's request. When a count takes holds away, their pieces are given back before the books follow."""
    number, store = number_of(message), message.store
    request = look(("request", number)) or StoreRequest(number, RequestPhase.NEW)
    aside = aside_of(message, look)
    shelf = shelf_of(look, store, cells_of(message, aside))
    read = read_for_request(request, message, shelf, aside)
    answer = REQUEST.move(request, read, context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, written = answer
    states: list[tuple[Key, Any]] = [(("request", number), moved)]
    said: list[object] = []
    if type(read) is inner.CountFits and (short := pieces_short(read.cells, shelf)):
        for hold, missing in holds_lost(look, store, short, shelf):
            taken = HOLD.move(hold, inner.CountTakesHold(missing), context)
            assert not isinstance(taken, Refused | Ignored), "what is locked can be lost"
            states.append((("hold", hold.order_id), taken[0]))
            said += taken[1]
            shelf |= shelf_of(look, store, hold.spus)
    if aside:
        allotments = {promotion: look(("allotment", store, promotion)) for promotion in aside.values() if promotion}
        written = _tell_allotments(written, allotments, states, context)
    said += written
    states += fold_all(said, shelf).items()
    return Moved(tuple(states), tuple(said))


def _plan(message: inventory.ExpectGoods, look: Look, context: Context) -> Outcome:
    """What is to come. The shelf comes into being with it: people may look at an SPU of which nothing was there yet."""
    request, store = StoreRequest("", RequestPhase.NEW), message.store
    shelf = shelf_of(look, store, cells_of(message, {}))
    answer = REQUEST.move(request, read_for_request(request, message, shelf, {}), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    _, said = answer
    states: dict[Key, Any] = {("cell", store, spu): shelf[spu] for spu in message.spus}
    return Moved((*states.items(), *fold_all(said, shelf).items()), said)


def _sell(message: OfSale, look: Look, context: Context) -> Outcome:
    """Something about a flash sale itself. Which of its allotments an SPU has open is kept beside them."""
    store, promotion = message.store, message.promotion
    key = ("allotment", store, promotion)
    allotment = look(key) or Allotment(store, promotion, AllotmentPhase.NEW)
    cells = cells_of_sale(message, allotment)
    shelf = shelf_of(look, store, cells)
    other = look(aside_key(store, cells[0])) or "" if cells else ""
    answer = ALLOTMENT.move(allotment, read_for_sale(allotment, message, shelf, other, context), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == allotment else [(key, moved)]
    if moved.phase is not allotment.phase and AllotmentPhase.OPEN in (moved.phase, allotment.phase):
        states.append((aside_key(store, moved.spu), promotion if moved.phase is AllotmentPhase.OPEN else ""))
    return Moved((*states, *fold_all(said, shelf).items()), said)


OF_STORE: Mapping[type, tuple[Callable[[Any, Look], Iterable[Key]], Callable[[Any, Look, Context], Outcome]]] = {
    inventory.ReceiveGoods: (_needs_of_request, _carry_out),
    inventory.AdjustStock: (_needs_of_request, _carry_out),
    inventory.ExpectGoods: (_needs_of_request, _plan),
    inventory.SetAllotment: (needs_of_sale, _sell),
    inventory.AnnounceSale: (needs_of_sale, _sell),
    inner.SaleRunsOut: (needs_of_sale, _sell),
}
"""What is about a store and no order: what it needs, and who decides it."""
TO_ALLOTMENTS = frozenset({inner.PiecesSold, inner.PiecesBack, inner.SoldPiecesMissing, inner.PiecesMissing})


DECIDER = Decider(
    service="inventory",
    listens=(
        inventory.HoldStock,
        inventory.VerifyStock,
        inventory.DeductStock,
        inventory.ReleaseStock,
        inventory.ReverseIssue,
        inventory.DropShort,
        inventory.SubstituteStock,
        inventory.TakeBack,
        inventory.TakeReturn,
        inventory.ReceiveGoods,
        inventory.AdjustStock,
        inventory.SetAllotment,
        inventory.ExpectGoods,
        inventory.AnnounceSale,
    ),
    needs=needs,
    decide=decide,
    timers={SALE_ENDS: inner.SaleRunsOut},
    facts=frozenset({"holders"}),
    # Cells are small, and each order touches ten: what an order has held should be in memory still when it is paid.
    cache_max=80_000,
)
