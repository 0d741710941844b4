"""Goods and papers of one order: the hold, the sales issue, and what the order's page shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.audit.life import (
    BROUGHT_BACK,
    CALLED_OFF,
    DEDUCTED,
    ENDS,
    HOLDING,
    UNPAID,
    Life,
    in_words,
    lines,
    listed,
    summed,
)

ISSUES = {"sales": "sales_issue", "replacement": "replacement_issue"}
"""The document with which goods leave, by the kind of order."""
REVERSAL, RECEIPT, DAMAGE = "issue_reversal", "return_receipt", "damage_report"
INITIALS = {"sales_issue": "SI", "replacement_issue": "RI"}
"""How the number of an order's first issue begins."""
NOT_RETURNED = "not_returned"
"""Why goods that nobody brought back are written off."""
_JUDGED = DEDUCTED | UNPAID | CALLED_OFF
_HOLD_KNOWN = HOLDING | DEDUCTED
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
    stands = _net(documents, {"sales_issue": 1, "replacement_issue": 1, REVERSAL: -1})
    issues = [document for document in documents if document[1] in ISSUES.values()]
    first = next((d for d in issues if d[0] == f"{INITIALS[d[1]]}-{life.order_id}"), None)
    if order is None or (phase not in DEDUCTED and not _was_handed_over(life)):
        if not stands:
            return ""
        return f"{f'the order is {phase}' if order else 'nobody knows the order'}, but {in_words(stands)} are issued"
    if phase == "stopping" and life.fulfilment and life.fulfilment.phase == "stopped":
        return None
    if first is None:
        return f"the order is {phase}, and has no issue"
    number, kind, store, _, spus, quantities, _ = first
    if kind != ISSUES.get(order.kind) or any(document[2] != order.store for document in documents):
        return f"{number} is a {kind} of store {store}, the order is a {order.kind} order of store {order.store}"
    issued, ordered = summed(spus, quantities), lines(order.spus, order.quantities)
    if issued is None or issued != ordered:
        return f"{number} issues {in_words(issued)}, the order is for {in_words(ordered)}"
    if stands != life.wanted:
        return f"the documents leave {in_words(stands)} issued, the order is for {in_words(life.wanted)}"
    return ""


def reversals_fit(life: Life) -> str | None:
    """A reversal or return receipt names an issue of its order; never more goes back than went out; what an order's
    adjustment writes off as short was reversed first."""
    documents = _documents(life)
    known = {d[0] for d in documents if d[1] in ISSUES.values()}
    for number, kind, _, reverses, *_ in documents:
        if kind in (REVERSAL, RECEIPT) and reverses not in known:
            return f"{number} reverses {reverses}, which is no issue of this order"
    if not any(d[1] not in ISSUES.values() for d in documents):
        return None
    issued = _net(documents, {"sales_issue": 1, "replacement_issue": 1})
    reversed_ = _net(documents, {REVERSAL: 1})
    adjusted = _net(documents, {"adjustment": -1})
    for spu, pieces in {**reversed_, **adjusted}.items():
        if not adjusted.get(spu, 0) <= reversed_.get(spu, 0) <= issued.get(spu, 0) or pieces < 0:
            told = f"issued {issued.get(spu, 0)} {spu}, reversed {reversed_.get(spu, 0)}"
            return f"{told}, written off as short {adjusted.get(spu, 0)}"
    return ""


def returns_fit(life: Life) -> str | None:
    """What was handed over and did not stay came back to the shelf, is reported damaged, or is written off as not
    returned: no piece more than went out, none forgotten once the order is called off."""
    documents = _documents(life)
    back = _net([d for d in documents if d[6] != NOT_RETURNED], {RECEIPT: 1, DAMAGE: 1})
    missing = _net([d for d in documents if d[6] == NOT_RETURNED], {DAMAGE: 1})
    out = _net(documents, {"sales_issue": 1, "replacement_issue": 1, REVERSAL: -1})
    is_over = life.phase == "cancelled" and _was_handed_over(life)
    if not (back or missing or is_over):
        return None
    if not _was_handed_over(life):
        return f"{in_words(back or missing)} came back of an order whose goods are not on their way back"
    for spu in {**out, **back, **missing}:
        sent, came, lost = out.get(spu, 0), back.get(spu, 0), missing.get(spu, 0)
        if came > sent or lost > sent or (is_over and came + lost < sent):
            return f"{sent} {spu} went out, {came} came back, {lost} are written off"
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
        of_page = {line["spu"]: line["quantity"] for line in body["lines"]}
        if body["kind"] != kind or of_page != summed(spus, quantities):
            return f"the page shows {body['number']} as a {body['kind']} of {in_words(of_page)}"
    return ""


def no_hold_outlives_order(life: Life) -> str | None:
    """An order that has ended, or that nobody knows, holds no stock."""
    hold = life.hold
    if hold is None or (life.order and life.phase not in ENDS):
        return None
    if hold.phase in LIVE_HOLD.values():
        told = f"is {life.phase}" if life.order else "is known to nobody"
        return f"the order {told}, and still has a hold ({hold.phase}) on {_held(life)} in {hold.store}"
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
    if lines(hold.spus, hold.quantities) != lines(order.spus, order.quantities):
        return f"the hold is of {_held(life)}, the order is for {in_words(lines(order.spus, order.quantities))}"
    return ""


def _held(life: Life) -> str:
    return in_words(lines(life.hold.spus, life.hold.quantities)) if life.hold else "nothing"


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
