"""Goods and papers of one order: the hold, the sales issue, and what the order's page shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from larder.audit.life import (
    BROUGHT_BACK,
    CALLED_OFF,
    DEDUCTED,
    ENDS,
    HOLDING,
    UNPAID,
    Life,
    Order,
    in_words,
    lines,
    listed,
    summed,
)
from larder.audit.phases import course

ISSUES = {"sales": "sales_issue", "replacement": "replacement_issue"}
"""The document with which goods leave, by the kind of order."""
REVERSAL, RECEIPT, DAMAGE = "issue_reversal", "return_receipt", "damage_report"
INITIALS = {"sales_issue": "SI", "replacement_issue": "RI"}
"""How the number of an order's first issue begins."""
STANDS = {"sales_issue": 1, "replacement_issue": 1, REVERSAL: -1}
"""What an issue puts among the goods that went out, and a reversal takes away again."""
_line = itemgetter("spu", "quantity")
NOT_RETURNED = "not_returned"
"""Why goods that nobody brought back are written off."""
_JUDGED = DEDUCTED | UNPAID | CALLED_OFF
_HOLD_KNOWN = HOLDING | DEDUCTED
HOLD_AT_END = {
    "cancelled": ("released", "short", "lost", "reversed", "taken_back"),
    "rejected": ("short",),
    "closed": ("deducted",),
}
"""What an order that has ended may still have on stock."""
LEDGER_OF = {
    "locked": ((1, 0, 0, 0),),
    "checked": ((0, 0, 0, 0),),
    "short": ((0, 0, 0, 0),),
    "lost": ((1, 1, 0, 0),),
    "released": ((0, 0, 0, 0), (1, 1, 0, 0)),
}
"""Locks, unlocks, issues and reversals that the ledger may have of a hold that never was deducted, by its phase."""
ISSUED = ("deducted", "taken_back", "reversed")
"""The other phases: such a hold was locked if its mode says so, and then issued, perhaps more than once."""
LIVE_HOLD = {"lock": "locked", "on_payment": "checked"}
"""The phase of a hold that is neither deducted nor given back, by its mode."""


def issued_is_wanted(life: Life) -> str | None:
    """What an order's issues cover and no reversal took back is what is to be delivered, as long as the goods are the
    order's; one that came to nothing before the hand-over, or has not paid yet, has nothing. The first issue has
    exactly the order's lines; all documents are of its store."""
    order, phase = life.order, life.phase
    documents = _documents(life)
    if (order and phase not in _JUDGED) or not (order or documents):
        return None
    first = next((d for d in documents if d[1] in INITIALS and d[0] == f"{INITIALS[d[1]]}-{life.order_id}"), None)
    if order is None or (phase not in DEDUCTED and not _was_handed_over(life)):
        if not (stands := _net(documents, STANDS)):
            return ""
        return f"{f'the order is {phase}' if order else 'nobody knows the order'}, but {in_words(stands)} are issued"
    if phase == "stopping" and life.fulfilment and life.fulfilment.phase == "stopped":
        return None
    if first is None:
        return f"the order is {phase}, and has no issue"
    number, kind, store, _, spus, quantities, _ = first
    if kind != ISSUES.get(order.kind) or any(document[2] != order.store for document in documents):
        return f"{number} is a {kind} of store {store}, the order is a {order.kind} order of store {order.store}"
    as_ordered = spus == listed(order.spus) and quantities == listed(order.quantities)
    if as_ordered and len(documents) == 1 and not listed(order.lots):
        return ""  # most are like that
    issued, ordered = summed(spus, quantities), lines(order.spus, order.quantities)
    if issued is None or issued != ordered:
        return f"{number} issues {in_words(issued)}, the order is for {in_words(ordered)}"
    if (stands := _net(documents, STANDS)) != life.wanted:
        return f"the documents leave {in_words(stands)} issued, the order is for {in_words(life.wanted)}"
    return ""


def reversals_fit(life: Life) -> str | None:
    """A reversal or return receipt names an issue of its order; never more goes back than went out; what an order's
    adjustment writes off as short was reversed first, and unless all was, nothing else was; somebody has missed it."""
    documents = _documents(life)
    if all(document[1] in INITIALS for document in documents):
        return None
    known = {d[0] for d in documents if d[1] in INITIALS}
    for number, kind, _, reverses, *_ in documents:
        if kind in (REVERSAL, RECEIPT) and reverses not in known:
            return f"{number} reverses {reverses}, which is no issue of this order"
    issued = _net(documents, {"sales_issue": 1, "replacement_issue": 1})
    reversed_ = _net(documents, {REVERSAL: 1})
    adjusted = _net(documents, {"adjustment": -1})
    for spu, pieces in {**reversed_, **adjusted}.items():
        if not adjusted.get(spu, 0) <= reversed_.get(spu, 0) <= issued.get(spu, 0) or pieces < 0:
            told = f"issued {issued.get(spu, 0)} {spu}, reversed {reversed_.get(spu, 0)}"
            return f"{told}, written off as short {adjusted.get(spu, 0)}"
    # Of goods to come, what has not come was never on the books: nothing is written off.
    expected = listed(life.order.presale) if life.order else []
    different = [spu for spu in {**reversed_, **adjusted} if reversed_.get(spu, 0) != adjusted.get(spu, 0)]
    if life.hold and life.hold.phase != "reversed" and set(different) - set(expected):
        return f"{in_words(reversed_)} reversed, {in_words(adjusted)} written off as short"
    went = course(life)
    if adjusted and went and "PiecesShort" not in went.messages:
        return f"{in_words(adjusted)} written off, and nobody missed any"
    return ""


def returns_fit(life: Life) -> str | None:
    """What was handed over and did not stay came back to the shelf, is reported damaged, or is written off as not
    returned: no piece more than went out, none forgotten once the order is called off."""
    documents = _documents(life)
    is_over = life.phase == "cancelled" and _was_handed_over(life)
    if not is_over and not any(document[1] in (RECEIPT, DAMAGE) for document in documents):
        return None
    back = _net([d for d in documents if d[6] != NOT_RETURNED], {RECEIPT: 1, DAMAGE: 1})
    missing = _net([d for d in documents if d[6] == NOT_RETURNED], {DAMAGE: 1})
    overdue = life.order is not None and life.order.overdue
    out = _net(documents, STANDS)
    if not _was_handed_over(life):
        return f"{in_words(back or missing)} came back of an order whose goods are not on their way back"
    for spu in {**out, **back, **missing}:
        sent, came, lost = out.get(spu, 0), back.get(spu, 0), missing.get(spu, 0)
        # What is overdue is written off whole; it may come back after all.
        fits = lost in (0, sent) and came <= sent if overdue else came + lost <= sent
        if not fits or (is_over and lost + (0 if overdue else came) < sent):
            late = "over" if overdue else "not over"
            return f"{sent} {spu} went out, {came} came back, {lost} are written off ({late}due)"
    if is_over and not overdue and life.fulfilment and life.fulfilment.phase != "inspected":
        return f"called off, its fulfilment is {life.fulfilment.phase}, and not overdue"
    return ""


def papers_show_documents(life: Life) -> str | None:
    """The order's page shows the documents that inventory wrote for it, no others, and with the same lines."""
    if life.order is None:
        return None
    written = {document[0]: document for document in _documents(life)}
    papers = listed(life.papers.papers) if life.papers else []
    shown: list[dict[str, Any]] = [body for kind, body in papers if kind == "document"]
    numbers = [body["number"] for body in shown]
    if sorted(numbers) != sorted(written):
        return f"the page shows {', '.join(numbers) or 'nothing'}, inventory wrote {', '.join(written) or 'nothing'}"
    for body in shown:
        _, kind, _, _, spus, quantities, _ = written[body["number"]]
        of_page = list(map(_line, body["lines"]))
        is_same = of_page == list(zip(spus, quantities, strict=True)) or dict(of_page) == summed(spus, quantities)
        if body["kind"] != kind or not is_same:
            return f"the page shows {body['number']} as a {body['kind']} of {in_words(dict(of_page))}"
    return ""


def no_hold_outlives_order(life: Life) -> str | None:
    """An order that has ended holds no stock, and its hold says why; one that nobody knows never had one."""
    hold = life.hold
    if hold is None or (life.order and life.phase not in ENDS):
        return None
    if hold.phase not in HOLD_AT_END.get(life.phase, ()):
        told = f"is {life.phase}" if life.order else "is known to nobody"
        return f"the order {told}, and still has a hold ({hold.phase}) on {_held(life)} in {hold.store}"
    return ""


def hold_is_its_moves(life: Life) -> str | None:
    """What the ledger did for a hold is what the hold's phase says."""
    hold = life.hold
    if hold is None and life.moves is None:
        return None
    moved = life.moves[1:5] if life.moves else (0, 0, 0, 0)
    phase = hold.phase if hold else ""
    if phase in LEDGER_OF:
        fits = moved in LEDGER_OF[phase]
    else:
        locks, unlocks, issues, reversals = moved
        is_issued = hold is not None and (locks, unlocks) == (int(hold.mode == "lock"), 0) and issues > 0
        fits = is_issued and phase in ISSUED and (phase != "reversed" or reversals > 0)
    if fits:
        return ""
    told = f"the hold is {hold.phase} in mode {hold.mode}" if hold else "there is no hold"
    return f"{told}; the ledger has {moved[0]} locks, {moved[1]} unlocks, {moved[2]} issues, {moved[3]} reversals"


def hold_is_fulfilment(life: Life) -> str | None:
    """Of an order that has ended: what the store stopped was reversed, what came back from the road was taken back."""
    if life.hold is None or life.phase not in ENDS:
        return None
    hold, work = life.hold.phase, life.fulfilment.phase if life.fulfilment else None
    reversed_fits = (hold == "reversed") == (work == "stopped") or (hold == "reversed" and work is None)
    if reversed_fits and (hold == "taken_back") == (work in BROUGHT_BACK):
        return ""
    return f"the fulfilment is {work}, the hold {hold}"


def pieces_come_from_where(life: Life) -> str | None:
    """Of what is set aside for a flash sale an order takes the pieces that it paid the sale's price for, all of them
    there as long as the sale is on; of what is to come only goods that it says are to come."""
    order, moves = life.order, life.moves
    if moves is None or not (moves.beside or (order and order.discounts)):
        return None
    taken: dict[str, int] = {}
    for cells, changes in listed(moves.beside):
        for cell, change in zip(cells, changes, strict=True):
            taken[cell] = taken.get(cell, 0) - change
    due = _paid_as_sale(order) if order and moves.issues else {}
    for cell in {*due, *taken}:
        spu, mark, place = cell.partition("|")
        if place.startswith("+"):
            if spu not in listed(order.presale if order else None):
                return f"{taken[cell]} of {cell}, which it does not wait for"
        elif mark and taken.get(cell, 0) != due.get(cell, 0):
            # What is left at the end of a sale is on the shelf again, and who has paid gets it from there.
            is_over = not (moves.issued_at and life.catalogue.sells(place, moves.issued_at))
            if not (is_over and cell in due and not taken.get(cell)):
                return f"{taken.get(cell, 0)} were taken of {cell}, {due.get(cell, 0)} were paid as such"
    return ""


def _paid_as_sale(order: Order) -> dict[str, int]:
    """Pieces that an order pays a flash sale's price for, by the cell that they are set aside in."""
    lines = list(zip(listed(order.spus), listed(order.quantities), strict=True))
    return {
        f"{spu}|{promotion}": quantity
        for promotion, _, kind, off, *_ in (listed(order.discounts)[0] if order.discounts else ())
        if kind == "flash"
        for (spu, quantity), amount in zip(lines, off, strict=True)
        if amount
    }


def inspected_is_taken_back(life: Life) -> str | None:
    """The documents take back what the store found when it inspected the goods: whole, or damaged."""
    inspected = [step for step in _steps_back(life) if step[0] == "inspected"]
    if life.phase != "cancelled" or not (inspected or _was_handed_over(life)):
        return None
    back = _net([d for d in _documents(life) if d[6] != NOT_RETURNED], {RECEIPT: 1, DAMAGE: 1})
    came: dict[str, int] = {}
    for _, spus, quantities, found in inspected:
        for spu, quantity, state in zip(spus, quantities, found, strict=True):
            if quantity and state != "missing":
                came[spu] = came.get(spu, 0) + quantity
    return "" if came == back else f"the store found {in_words(came)}, the documents take {in_words(back)} back"


STEPS_OF = {
    "stopped": ["stopped"],
    "returning": ["returning"],
    "returned": ["returning", "returned"],
    "inspected": ["returning", "returned", "inspected"],
}
"""The steps back that the store wrote down, by the phase of its work; of other phases none."""


def steps_back_are_phase(life: Life) -> str | None:
    """The store wrote down each step back, inspects once, and sorts exactly what it had sent."""
    work = life.fulfilment
    if work is None or not (life.steps_back or work.called_off_at or work.phase in STEPS_OF):
        return None
    steps = _steps_back(life)
    entered = [step[0] for step in steps if step[0] != "short"]
    is_over = work.phase in ("stopped", "inspected")
    if entered != STEPS_OF.get(work.phase, []) or (work.called_off_at is not None) != is_over:
        return f"{work.phase}: {entered}, called off at {work.called_off_at}"
    for _, spus, quantities, _ in (step for step in steps if step[0] == "inspected"):
        sorted_out, sent = summed(spus, quantities), lines(work.spus, work.quantities)
        if sorted_out != sent:
            return f"the store sorted {in_words(sorted_out)}, it had sent {in_words(sent)}"
    return ""


def waiting_order_holds(life: Life) -> str | None:
    """An order that may be paid has a live hold in its mode, a deducted one has had it; of its lines, in its store."""
    order, hold = life.order, life.hold
    if order is None or order.phase not in _HOLD_KNOWN:
        return None
    if hold is None:
        return f"the order is {order.phase} without a hold"
    phase = "deducted" if order.phase in DEDUCTED else LIVE_HOLD.get(order.hold_mode or "")
    if hold.phase == "lost" and order.phase in HOLDING and order.phase != "awaiting_payment":
        return ""  # a count took it away; the order hears of it when it asks
    if (hold.phase, hold.mode, hold.store) != (phase, order.hold_mode, order.store):
        return (
            f"the order is {order.phase} in mode {order.hold_mode} in {order.store}, its hold is {hold.phase} in mode "
            f"{hold.mode} in {hold.store}"
        )
    held, ordered = (hold.spus, hold.quantities), (order.spus, order.quantities)
    if held != ordered and lines(*held) != lines(*ordered):
        return f"the hold is of {_held(life)}, the order is for {in_words(lines(order.spus, order.quantities))}"
    return ""


def _held(life: Life) -> str:
    return in_words(lines(life.hold.spus, life.hold.quantities)) if life.hold else "nothing"


def _steps_back(life: Life) -> list[Any]:
    return listed(life.steps_back.steps) if life.steps_back else []


def _documents(life: Life) -> list[Any]:
    return listed(life.documents.documents) if life.documents else []


def _was_handed_over(life: Life) -> bool:
    return life.fulfilment is not None and life.fulfilment.phase in ("on_the_road", "delivered", *BROUGHT_BACK)


def _net(documents: list[Any], signs: Mapping[str, int]) -> Mapping[str, int]:
    """Pieces per SPU of the documents of some kinds, without zeros."""
    pieces: dict[str, int] = {}
    for document in documents:
        if sign := signs.get(document[1]):
            for spu, quantity in zip(document[4], document[5], strict=True):
                pieces[spu] = pieces.get(spu, 0) + sign * quantity
    return {spu: quantity for spu, quantity in pieces.items() if quantity}
