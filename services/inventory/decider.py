"""What may happen to a store's stock: the life of a hold, and of a storekeeper's request.

Theory of operation. A command whose outcome depends on the stock is first *read*, with the cells as they are, into one
of the inner messages of `state`; the tables below then have one target per cell. The only way to change a cell is to
say a Movement: `fold` carries it over to the cells, and it becomes a row of the ledger, so the two cannot differ.

Numbers of documents are made of what they are about (SI-<order>, IR-<order>, GR-<request>, AD-<request>): deciding
again gives the same number, and nobody waits for a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.inventory.state import (
    EMPTY,
    LOCK,
    UNLOCK,
    Cell,
    CheckedGoodsSoldOut,
    CheckedGoodsThere,
    CheckFits,
    CheckFitsNoMore,
    CheckStillFits,
    CountBelowLocked,
    CountChangesNothing,
    CountFits,
    Document,
    Hold,
    HoldFallsShort,
    Kind,
    LockFits,
    Movement,
    Phase,
    RequestPhase,
    StoreRequest,
)
from shared.contracts.inventory import (
    AdjustStock,
    DeductStock,
    GoodsReceived,
    HoldStock,
    IssueReversed,
    ReceiveGoods,
    ReleaseStock,
    ReverseIssue,
    StockAdjusted,
    StockCommand,
    StockDeducted,
    StockGone,
    StockHeld,
    StockReleased,
    StockShort,
    StockSoldOut,
    StockVerified,
    VerifyStock,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import IGNORE, Change, Ignored, Key, Moved, NoCell, Outcome, Refused, Table, refuse, to


class StockBelowZero(ArithmeticError):
    """A movement would leave less than nothing, or less than is locked. Reading comes first, so this is a mistake of
    ours: the message parks, and the stock stays right."""


# -- holding -----------------------------------------------------------------------------------------------------------


def lock(hold: Hold, m: LockFits, c: Context) -> Change:
    """All pieces are the order's from now on."""
    spus, quantities = tuple(m.demand), tuple(m.demand.values())
    movement = Movement(hold.store, c.now, LOCK, hold.order_id, None, spus, _zeros(spus), quantities)
    changes = {"mode": "lock", "spus": spus, "quantities": quantities}
    return changes, (movement, StockHeld(order_id=hold.order_id, mode="lock"))


def remember_demand(hold: Hold, m: CheckFits, c: Context) -> Change:
    """There is enough, and nothing is taken: first paid is first served."""
    changes = {"mode": "on_payment", "spus": tuple(m.demand), "quantities": tuple(m.demand.values())}
    return changes, (StockHeld(order_id=hold.order_id, mode="on_payment"),)


def tell_short(hold: Hold, m: HoldFallsShort, c: Context) -> Change:
    """All lines or none: the order has nothing."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (StockShort(order_id=hold.order_id, spus=spus, missing=missing),)


def tell_verified(hold: Hold, m: VerifyStock | CheckStillFits, c: Context) -> Change:
    """The stock is there."""
    return {}, (StockVerified(order_id=hold.order_id),)


def tell_gone(hold: Hold, m: CheckFitsNoMore, c: Context) -> Change:
    """Somebody else was faster. Nothing was taken, so there is nothing to give back."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (StockGone(order_id=hold.order_id, spus=spus, missing=missing),)


def tell_released(hold: Hold, m: ReleaseStock, c: Context) -> Change:
    """There is nothing to give back; the order must not wait for it."""
    return {}, (StockReleased(order_id=hold.order_id),)


def unlock(hold: Hold, m: ReleaseStock, c: Context) -> Change:
    """The locked pieces are free again."""
    given_back = tuple(-q for q in hold.quantities)
    movement = Movement(hold.store, c.now, UNLOCK, hold.order_id, None, hold.spus, _zeros(hold.spus), given_back)
    return {}, (movement, StockReleased(order_id=hold.order_id))


# -- deducting ---------------------------------------------------------------------------------------------------------


def issue_locked(hold: Hold, m: DeductStock, c: Context) -> Change:
    """The locked pieces leave the books."""
    return _issue(hold, c, tuple(-q for q in hold.quantities))


def issue_checked(hold: Hold, m: CheckedGoodsThere, c: Context) -> Change:
    """Pieces that nobody had locked leave the books."""
    return _issue(hold, c, _zeros(hold.spus))


def _issue(hold: Hold, c: Context, locked: tuple[int, ...]) -> Change:
    number = f"SI-{hold.order_id}"
    document = Document(number, Kind.SALES_ISSUE, hold.store, hold.order_id, c.now, hold.spus, hold.quantities)
    taken = tuple(-q for q in hold.quantities)
    movement = Movement(hold.store, c.now, Kind.SALES_ISSUE, hold.order_id, number, hold.spus, taken, locked)
    event = StockDeducted(order_id=hold.order_id, document=number, spus=hold.spus, quantities=hold.quantities)
    return {"document": number}, (document, movement, event)


def tell_sold_out(hold: Hold, m: CheckedGoodsSoldOut, c: Context) -> Change:
    """Paid, and somebody else paid first: the order has nothing."""
    spus, missing = tuple(m.missing), tuple(m.missing.values())
    return {}, (StockSoldOut(order_id=hold.order_id, spus=spus, missing=missing),)


def reverse(hold: Hold, m: ReverseIssue, c: Context) -> Change:
    """The goods never left: back on the shelf, no inspection needed."""
    number = f"IR-{hold.order_id}"
    document = Document(
        number, Kind.ISSUE_REVERSAL, hold.store, hold.order_id, c.now, hold.spus, hold.quantities,
        reverses=hold.document,
    )  # fmt: skip
    movement = Movement(
        hold.store, c.now, Kind.ISSUE_REVERSAL, hold.order_id, number, hold.spus, hold.quantities, _zeros(hold.spus)
    )
    event = IssueReversed(order_id=hold.order_id, document=number, spus=hold.spus, quantities=hold.quantities)
    return {"document": number}, (document, movement, event)


def _zeros(spus: Sequence[str]) -> tuple[int, ...]:
    return (0,) * len(spus)


# -- the storekeeper's documents ---------------------------------------------------------------------------------------


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
        Movement(store, c.now, kind, None, request.number, spus, on_hand, _zeros(spus)),
    )


# -- the tables --------------------------------------------------------------------------------------------------------

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
        Phase.DEDUCTED: {
            ReverseIssue: to(Phase.REVERSED, reverse),
        },
        Phase.RELEASED: {
            HoldStock: IGNORE,  # parked, and replayed after its order had been given up: nobody would release it again
            ReleaseStock: to(Phase.RELEASED, tell_released),
        },
        Phase.REVERSED: {},
    },
)

REQUEST = Table(
    "storekeeper's request",
    {
        RequestPhase.NEW: {
            ReceiveGoods: to(RequestPhase.WRITTEN, receive),
            CountFits: to(RequestPhase.WRITTEN, adjust),
            CountBelowLocked: refuse("adjustment_below_locked"),
            CountChangesNothing: refuse("adjustment_empty"),
        },
        RequestPhase.WRITTEN: {
            ReceiveGoods: refuse("request_id_used"),
            AdjustStock: refuse("request_id_used"),
        },
    },
)


# -- cells -------------------------------------------------------------------------------------------------------------


Shelf = Mapping[str, Cell]
"""The cells of one store that a message touches, by SPU."""
_new_cell = tuple.__new__
"""Makes a Cell in half the time that its own constructor takes: twenty of them for every order."""


def shelf_of(look: Look, store: str, spus: Iterable[str]) -> Shelf:
    """Looks the cells up, each once for a decision."""
    return {spu: look(("cell", store, spu)) or EMPTY for spu in spus}


def fold(movement: Movement, shelf: Shelf) -> list[tuple[Key, Cell]]:
    """The cells after a movement; raises StockBelowZero rather than let one become impossible."""
    store = movement.store
    after: list[tuple[Key, Cell]] = []
    for spu, on_hand_delta, locked_delta in zip(movement.spus, movement.on_hand, movement.locked, strict=True):
        on_hand, locked = shelf[spu]
        on_hand += on_hand_delta
        locked += locked_delta
        if not 0 <= locked <= on_hand:
            raise StockBelowZero(f"{movement.kind} would leave {on_hand} on hand, {locked} locked of {spu} in {store}")
        after.append((("cell", store, spu), _new_cell(Cell, (on_hand, locked))))
    return after


def summed(spus: Sequence[str], pieces: Sequence[int]) -> dict[str, int]:
    """Pieces per SPU, in the order of their first lines."""
    total = dict(zip(spus, pieces, strict=True))
    if len(total) == len(spus):
        return total
    total = dict.fromkeys(total, 0)
    for spu, quantity in zip(spus, pieces, strict=True):
        total[spu] += quantity
    return total


def missing_of(demand: Iterable[tuple[str, int]], shelf: Shelf) -> dict[str, int]:
    """Pieces missing per SPU; empty when there is enough of everything."""
    missing = {}
    for spu, quantity in demand:
        on_hand, locked = shelf[spu]
        if on_hand - locked < quantity:
            missing[spu] = quantity - (on_hand - locked)
    return missing


# -- reading: a command whose outcome depends on the stock becomes one of two or three ---------------------------------


def read_for_hold(hold: Hold, message: StockCommand, shelf: Shelf) -> object:
    """The message as the table of holds knows it."""
    if hold.phase is Phase.NEW and type(message) is HoldStock:
        if not message.quantities or min(message.quantities) < 1:
            raise ValueError(f"HoldStock for {hold.order_id} without a line, or with a line of no pieces")
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
    return message


def read_for_request(request: StoreRequest, message: ReceiveGoods | AdjustStock, shelf: Shelf) -> object:
    """The message as the table of requests knows it."""
    if request.phase is RequestPhase.NEW and type(message) is AdjustStock:
        deltas = {spu: delta for spu, delta in summed(message.spus, message.deltas).items() if delta}
        if not deltas:
            return CountChangesNothing()
        below = [spu for spu, delta in deltas.items() if shelf[spu].on_hand + delta < shelf[spu].locked]
        if below:
            cells = [f"{shelf[spu].on_hand} {spu} on hand, {shelf[spu].locked} of them locked" for spu in below[:10]]
            return CountBelowLocked(f"there are {'; '.join(cells)}")
        return CountFits(message.store, deltas, message.reason)
    return message


# -- the service. `type(x) is C` and not isinstance: on models that costs a microsecond, and this is the hottest service


def number_of(message: ReceiveGoods | AdjustStock) -> str:
    """The number of the document that this request comes to."""
    return f"{'GR' if type(message) is ReceiveGoods else 'AD'}-{message.request_id}"


def touched(hold: Hold | None, message: StockCommand) -> Sequence[str]:
    """The SPUs whose cells decide the message, or are changed by it."""
    if type(message) is HoldStock:
        return message.spus
    if hold is None or (hold.phase is Phase.LOCKED and type(message) is VerifyStock):
        return ()
    return hold.spus


def needs(message: Any, look: Look) -> Iterable[Key]:
    """The hold or the request, and the cells."""
    store = message.store
    if type(message) is ReceiveGoods or type(message) is AdjustStock:
        return [("request", number_of(message)), *[("cell", store, spu) for spu in message.spus]]
    key = ("hold", message.order_id)
    hold = None if type(message) is HoldStock else look(key)
    return [key, *[("cell", store, spu) for spu in touched(hold, message)]]


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message about one order's hold, or about one storekeeper's request."""
    store = message.store
    if type(message) is ReceiveGoods or type(message) is AdjustStock:
        number = number_of(message)
        request = look(("request", number)) or StoreRequest(number, RequestPhase.NEW)
        shelf = shelf_of(look, store, message.spus)
        read = read_for_request(request, message, shelf)
        return _moved(("request", number), request, REQUEST.move(request, read, context), shelf)
    key = ("hold", message.order_id)
    hold = look(key) or Hold(message.order_id, store, Phase.NEW)
    if hold.store != store:
        # Another store may be another shard's: only the shard that made the hold may write it.
        raise NoCell("hold", f"{hold.phase} in store {hold.store}", type(message).__name__)
    shelf = shelf_of(look, store, touched(hold, message))
    read = read_for_hold(hold, message, shelf)
    return _moved(key, hold, HOLD.move(hold, read, context), shelf)


def _moved(key: Key, state: Any, answer: tuple[Any, Sequence[object]] | Refused | Ignored, shelf: Shelf) -> Outcome:
    """The state as it is now, and the cells as the movements that were said leave them."""
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    states: list[tuple[Key, Any]] = [] if moved == state else [(key, moved)]
    for item in said:
        if type(item) is Movement:
            states.extend(fold(item, shelf))
    return Moved(tuple(states), said)


DECIDER = Decider(
    service="inventory",
    listens=(HoldStock, VerifyStock, DeductStock, ReleaseStock, ReverseIssue, ReceiveGoods, AdjustStock),
    needs=needs,
    decide=decide,
    # Cells are small, and each order touches ten: what an order has held should be in memory still when it is paid.
    cache_max=80_000,
)
