"""Goods and papers of one order: the hold, the sales issue, and what the order's page shows of it."""

from __future__ import annotations

from typing import Any

from larder.audit.life import (
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
REVERSAL = "issue_reversal"
_JUDGED = DEDUCTED | UNPAID | CALLED_OFF
_HOLD_KNOWN = HOLDING | DEDUCTED
_ABOUT_ISSUES = frozenset({*ISSUES.values(), REVERSAL})
LIVE_HOLD = {"lock": "locked", "on_payment": "checked"}
"""The phase of a hold that is neither deducted nor given back, by its mode."""


def one_live_issue(life: Life) -> str | None:
    """A deducted order has exactly one issue that is not reversed, with exactly its lines; one that came to nothing, or
    has not paid yet, has none."""
    order, phase = life.order, life.phase
    documents = listed(life.documents.documents) if life.documents else []
    if (order and phase not in _JUDGED) or not (order or documents):
        return None
    reversed_ = {document[3] for document in documents if document[1] == REVERSAL}
    live = [d for d in documents if d[1] in ISSUES.values() and d[0] not in reversed_]
    if order is None or phase not in DEDUCTED:
        if not live:
            return ""
        known = f"the order is {phase}" if order else "nobody knows the order"
        return f"{known}, but {_numbers(live)} stands"
    if len(live) != 1:
        return f"the order is {phase} with {len(live)} live issues: {_numbers(live) or 'none'}"
    number, kind, store, _, spus, quantities = live[0]
    if kind != ISSUES.get(order.kind) or store != order.store:
        return f"{number} is a {kind} of store {store}, the order is a {order.kind} order of store {order.store}"
    issued, ordered = summed(spus, quantities), lines(order.spus, order.quantities)
    if issued is None or issued != ordered:
        return f"{number} issues {in_words(issued)}, the order is for {in_words(ordered)}"
    return ""


def reversals_fit(life: Life) -> str | None:
    """An issue reversal takes back one issue of its order, whole, and no issue is taken back twice."""
    documents = {d[0]: d for d in listed(life.documents.documents)} if life.documents else {}
    reversals = [d for d in documents.values() if d[1] == REVERSAL]
    if not reversals:
        return None
    taken_back: set[str] = set()
    for number, _, store, reverses, spus, quantities in reversals:
        issue = documents.get(reverses)
        if issue is None or issue[1] not in ISSUES.values():
            return f"{number} reverses {reverses}, which is no issue of this order"
        if reverses in taken_back:
            return f"{number} reverses {reverses}, which was reversed already"
        if store != issue[2] or summed(spus, quantities) != summed(issue[4], issue[5]):
            return f"{number} takes back {in_words(summed(spus, quantities))} in {store}, not what {reverses} issued"
        taken_back.add(reverses)
    return ""


def papers_show_documents(life: Life) -> str | None:
    """The order's page shows the documents that inventory wrote for it, no others, and with the same lines."""
    if life.order is None:
        return None
    written = {d[0]: d for d in listed(life.documents.documents) if d[1] in _ABOUT_ISSUES} if life.documents else {}
    papers = listed(life.papers.papers) if life.papers else []
    shown: list[dict[str, Any]] = [body for kind, body in papers if kind == "document"]
    numbers = [body["number"] for body in shown]
    if sorted(numbers) != sorted(written):
        return f"the page shows {', '.join(numbers) or 'nothing'}, inventory wrote {', '.join(written) or 'nothing'}"
    for body in shown:
        _, kind, _, _, spus, quantities = written[body["number"]]
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


def _numbers(documents: list[Any]) -> str:
    return ", ".join(str(document[0]) for document in documents)
