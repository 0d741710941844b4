"""What may happen to a store's stock: the life of a hold, and of a storekeeper's request.

Theory of operation. A command whose outcome depends on the stock is first *read*, with the cells as they are, into one
of the inner messages of `state`; the tables below then have one target per cell. What is said on the way stands in
`holds`, `issues` (what goes back) and `requests` (what storekeepers ask). The only way to change a cell is to say a
Movement: `cells.fold` carries it over to the cells, and it becomes a row of the ledger, so the two cannot differ.

Numbers of documents are made of what they are about (SI-<order>, GR-<request>, ...) and of a count kept with the order:
deciding again gives the same number, and nobody waits for a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.inventory.cells import Shelf, StockBelowZero, fold, fold_all, missing_of, shelf_of, summed
from services.inventory.holds import (
    issue_checked,
    issue_locked,
    lock,
    lose,
    remember_demand,
    tell_gone,
    tell_released,
    tell_short,
    tell_sold_out,
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
    holds_lost,
    needs_of_count,
    number_of,
    pieces_short,
    read_for_request,
    receive,
)
from services.inventory.state import (
    CheckedGoodsSoldOut,
    CheckedGoodsThere,
    CheckFits,
    CheckFitsNoMore,
    CheckStillFits,
    CountBelowZero,
    CountChangesNothing,
    CountFits,
    CountTakesHold,
    Document,
    Hold,
    HoldFallsShort,
    Issue,
    LockFits,
    Movement,
    Phase,
    RequestPhase,
    StoreRequest,
    SubstitutesShort,
    SubstitutesThere,
)
from shared.contracts.inventory import (
    AdjustStock,
    DeductStock,
    DropShort,
    HoldStock,
    ReceiveGoods,
    ReleaseStock,
    ReverseIssue,
    StockCommand,
    SubstituteStock,
    TakeBack,
    TakeReturn,
    VerifyStock,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import IGNORE, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to

__all__ = ["DECIDER", "HOLD", "REQUEST", "StockBelowZero", "number_of"]

HOLD = Table(
    "hold",
    {
        Phase.NEW: {
            LockFits: to(Phase.LOCKED, lock),
            CheckFits: to(Phase.CHECKED, remember_demand),
            HoldFallsShort: to(Phase.SHORT, tell_short),
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.LOCKED: {
            VerifyStock: to(Phase.LOCKED, tell_verified),
            DeductStock: to(Phase.DEDUCTED, issue_locked),
            ReleaseStock: to(Phase.RELEASED, unlock),
            CountTakesHold: to(Phase.LOST, lose),
        },
        Phase.CHECKED: {
            CheckStillFits: to(Phase.CHECKED, tell_verified),
            CheckFitsNoMore: to(Phase.CHECKED, tell_gone),
            CheckedGoodsThere: to(Phase.DEDUCTED, issue_checked),
            CheckedGoodsSoldOut: to(Phase.SHORT, tell_sold_out),
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.SHORT: {
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.LOST: {
            # The order may have asked before it heard of it.
            CheckFitsNoMore: to(Phase.LOST, tell_gone),
            CheckedGoodsSoldOut: to(Phase.LOST, tell_sold_out),
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.DEDUCTED: {
            DropShort: to(Phase.DEDUCTED, drop_short),
            SubstitutesThere: to(Phase.DEDUCTED, substitute),
            SubstitutesShort: to(Phase.DEDUCTED, tell_substitute_short),
            ReverseIssue: to(Phase.REVERSED, reverse),
            TakeBack: to(Phase.TAKEN_BACK, take_back),
            TakeReturn: to(Phase.DEDUCTED, take_back),
        },
        Phase.RELEASED: {
            HoldStock: IGNORE,  # parked, and replayed after its order had been given up: nobody would release it again
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.REVERSED: {},
        Phase.TAKEN_BACK: {
            TakeBack: to(Phase.TAKEN_BACK, take_back),  # what was written off came back after all
        },
    },
)

REQUEST = Table(
    "storekeeper's request",
    {
        RequestPhase.NEW: {
            ReceiveGoods: to(RequestPhase.WRITTEN, receive),
            CountFits: to(RequestPhase.WRITTEN, adjust),
            CountBelowZero: refuse("adjustment_below_zero"),
            CountChangesNothing: refuse("adjustment_empty"),
        },
        RequestPhase.WRITTEN: {
            ReceiveGoods: refuse("request_id_used"),
            AdjustStock: refuse("request_id_used"),
        },
    },
)


# -- reading: a command whose outcome depends on the stock becomes one of two or three ---------------------------------


def read_for_hold(hold: Hold, message: StockCommand, shelf: Shelf) -> object:
    """The message as the table of holds knows it."""
    if hold.phase is Phase.NEW and type(message) is HoldStock:
        demand = summed(message.spus, message.quantities)
        if missing := missing_of(demand.items(), shelf):
            return HoldFallsShort(missing)
        return LockFits(demand) if message.mode == "lock" else CheckFits(demand)
    if hold.phase is Phase.CHECKED and type(message) is VerifyStock:
        missing = missing_of(zip(hold.spus, hold.quantities, strict=True), shelf)
        return CheckFitsNoMore(missing) if missing else CheckStillFits()
    if hold.phase is Phase.CHECKED and type(message) is DeductStock:
        missing = missing_of(zip(hold.spus, hold.quantities, strict=True), shelf)
        return CheckedGoodsSoldOut(missing) if missing else CheckedGoodsThere()
    if hold.phase is Phase.LOST and (type(message) is VerifyStock or type(message) is DeductStock):
        lines = dict(zip(hold.spus, hold.quantities, strict=True))
        # Goods may have come in since; what was lost stays lost, and the order has none of its lines.
        missing = missing_of(lines.items(), shelf) or lines
        return CheckFitsNoMore(missing) if type(message) is VerifyStock else CheckedGoodsSoldOut(missing)
    return message


def read_for_issue(hold: Hold, message: StockCommand, shelf: Shelf) -> object:
    """A way back as the table of holds knows it."""
    if hold.phase is Phase.DEDUCTED and type(message) is SubstituteStock:
        substitutes = summed(message.substitute_spus, message.substitutes)
        if missing := missing_of(substitutes.items(), shelf):
            return SubstitutesShort(missing)
        return SubstitutesThere(summed(message.spus, message.missing), substitutes)
    return message


# -- the service. `type(x) is C` and not isinstance: on models that costs a microsecond, and this is the hottest service

WAYS_BACK = frozenset({DropShort, SubstituteStock, ReverseIssue, TakeBack, TakeReturn})
"""Commands that are decided with the issue of an order as well."""


def touched(hold: Hold | None, message: StockCommand) -> Sequence[str]:
    """The SPUs whose cells decide the message, or are changed by it."""
    if type(message) is HoldStock:
        return message.spus
    if hold is None or (hold.phase is Phase.LOCKED and type(message) is VerifyStock):
        return ()
    return hold.spus


def touched_back(hold: Hold | None, issue: Issue | None, message: StockCommand) -> Iterable[str]:
    """The SPUs whose cells decide a way back, or are changed by it."""
    if type(message) is DropShort:
        return message.spus
    if type(message) is SubstituteStock:
        return (*message.spus, *message.substitute_spus)
    if type(message) is TakeBack or type(message) is TakeReturn:
        return message.resellable_spus
    return issue.lines if issue else hold.spus if hold else ()


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The hold or the request, and the cells."""
    store = message.store
    if type(message) is AdjustStock:
        return needs_of_count(message, look)
    if type(message) is ReceiveGoods:
        return [("request", number_of(message)), *[("cell", store, spu) for spu in message.spus]]
    key = ("hold", message.order_id)
    if type(message) in WAYS_BACK:
        return _needs_of_way_back(message, look)
    hold = None if type(message) is HoldStock else look(key)
    return [key, *[("cell", store, spu) for spu in touched(hold, message)]]


def _needs_of_way_back(message: StockCommand, look: Look) -> Iterator[Key]:
    hold, issue = ("hold", message.order_id), ("issue", message.order_id)
    yield from (hold, issue)
    yield from (("cell", message.store, spu) for spu in touched_back(look(hold), look(issue), message))


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one order's hold, or about one storekeeper's request."""
    store = message.store
    if type(message) is ReceiveGoods or type(message) is AdjustStock:
        return _carry_out(message, look, context)
    key = ("hold", message.order_id)
    hold = look(key) or Hold(message.order_id, store, Phase.NEW)
    if hold.store != store:
        # Another store may be another shard's: only the shard that made the hold may write it.
        raise NoCell("hold", f"{hold.phase} in store {hold.store}", type(message).__name__)
    if type(message) in WAYS_BACK:
        return _go_back(hold, message, look, context)
    shelf = shelf_of(look, store, touched(hold, message))
    answer = HOLD.move(hold, read_for_hold(hold, message, shelf), context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == hold else [(key, moved)]
    for item in said:
        if type(item) is Movement:  # at most one, on the way forward
            states.extend(fold(item, shelf))
    return Moved(tuple(states), said)


def _go_back(hold: Hold, message: StockCommand, look: Look, context: Context) -> Outcome:
    """Something of an issue goes back: the documents that were said are filed, and the movements folded."""
    key = ("issue", hold.order_id)
    issue: Issue = look(key) or issue_of(hold)
    shelf = shelf_of(look, hold.store, touched_back(hold, issue, message))
    answer = HOLD.move(hold, read_for_issue(hold, message, shelf), Filed(context.now, issue))
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == hold else [(("hold", hold.order_id), moved)]
    if documents := [item for item in said if type(item) is Document]:
        for document in documents:
            issue = filed(issue, document)
        states.append((key, issue))
    return Moved((*states, *fold_all(said, shelf).items()), said)


def _carry_out(message: ReceiveGoods | AdjustStock, look: Look, context: Context) -> Outcome:
    """A storekeeper's request. When a count takes holds away, their pieces are given back before the books follow."""
    number, store = number_of(message), message.store
    request = look(("request", number)) or StoreRequest(number, RequestPhase.NEW)
    shelf = shelf_of(look, store, message.spus)
    read = read_for_request(request, message, shelf)
    answer = REQUEST.move(request, read, context)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, written = answer
    states: list[tuple[Key, Any]] = [(("request", number), moved)]
    said: list[object] = []
    if type(read) is CountFits and (short := pieces_short(read.deltas, shelf)):
        for hold, missing in holds_lost(look, store, short, shelf):
            taken = HOLD.move(hold, CountTakesHold(missing), context)
            assert not isinstance(taken, Refused | Ignored), "what is locked can be lost"
            states.append((("hold", hold.order_id), taken[0]))
            said += taken[1]
            shelf |= shelf_of(look, store, hold.spus)
    said += written
    return Moved((*states, *fold_all(said, shelf).items()), tuple(said))


DECIDER = Decider(
    service="inventory",
    listens=(
        HoldStock,
        VerifyStock,
        DeductStock,
        ReleaseStock,
        ReverseIssue,
        DropShort,
        SubstituteStock,
        TakeBack,
        TakeReturn,
        ReceiveGoods,
        AdjustStock,
    ),
    needs=needs,
    decide=decide,
    facts=frozenset({"holders"}),
    # Cells are small, and each order touches ten: what an order has held should be in memory still when it is paid.
    cache_max=80_000,
)
