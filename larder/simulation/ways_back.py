"""The auditor of the ways back: what an order has in the end, piece by piece and unit by unit, and who was asked.

Plain rows only. The order's lots, the store's pick list and inventory's documents are three accounts of the same goods,
the order's lots and the refunds two of the same money: they must agree. No page, service or person may give back more
than went out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from larder.simulation.auditor import ENDS, Row, Rows, Violation, by, lines

UNASKED = "unasked_money"
"""The reason of refunds that are not of the order's own money."""
BACK = frozenset({"returning", "returned", "inspected"})
"""Phases of a fulfilment whose goods come back from the road."""
WAIT_FOR_PEOPLE = frozenset({"missing_goods", "refund_failed"})
"""Kinds of ticket that no deadline ends."""
TICKET_ENDS = frozenset({"resolved", "rejected"})
CUSTOMERS_DOING = frozenset({"cancelled_by_customer", "not_reachable"})
"""Reasons of which risk is told."""


def audit_ways_back(rows: Rows) -> list[Violation]:
    """All rules about goods, money and tickets of orders that did not go the straight way."""
    return [
        violation
        for rule in (goods, returns, refunds, refusals, retries, tickets, ticket_papers, cancels, steps_back)
        for violation in rule(rows)
    ]


def lots_of(order: Row) -> list[tuple[str, int, int]]:
    """SPU, pieces and the price paid for each: the lots, or the lines as long as nothing was amended."""
    if order["lots"]:
        return [(lot[0], lot[1], lot[2]) for lot in order["lots"]]
    return list(zip(order["spus"], order["quantities"], order["prices"], strict=True))


def lots_lines(order: Row) -> dict[str, int]:
    """Pieces per SPU that are to be delivered."""
    pieces: Counter[str] = Counter()
    for spu, quantity, _ in lots_of(order):
        pieces[spu] += quantity
    return dict(pieces)


def worth(order: Row) -> int:
    """What was paid for the lots (minor units)."""
    return sum(quantity * price for _, quantity, price in lots_of(order))


def happened(rows: Rows) -> Mapping[str, set[str]]:
    """Messages by order, from the timelines."""
    return {o: {e["message"] for e in entries} for o, entries in by(rows["order.timeline"], "order_id").items()}


class Net:
    """What the documents of one order come to, in pieces per SPU."""

    def __init__(self, documents: list[Row]) -> None:
        self.issued: Counter[str] = Counter()
        self.reversed: Counter[str] = Counter()
        self.adjusted: Counter[str] = Counter()
        self.back: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        for document in documents:
            kind, pieces = document["kind"], lines(document)
            if kind == "sales_issue":
                self.issued.update(pieces)
            elif kind == "issue_reversal":
                self.reversed.update(pieces)
            elif kind == "adjustment":
                self.adjusted.update(pieces)
            elif kind == "damage_report" and document["reason"] == "not_returned":
                self.missing.update(pieces)
            else:
                self.back.update(pieces)

    @property
    def stands(self) -> dict[str, int]:
        """Issued and not reversed."""
        pieces = self.issued.copy()
        pieces.subtract(self.reversed)
        return {spu: n for spu, n in pieces.items() if n}


# -- goods -------------------------------------------------------------------------------------------------------------


def goods(rows: Rows) -> Iterator[Violation]:
    """Documents, lots and pick list tell of the same pieces; what was adjusted away was reversed, and never there."""
    documents, holds = by(rows["inventory.documents"], "order_id"), by(rows["inventory.holds"], "order_id")
    pick_lists, told = by(rows["logistics.pick_lists"], "order_id"), happened(rows)
    for order in rows["order.orders"]:
        order_id, net = order["order_id"], Net(documents[order["order_id"]])
        hold = holds[order_id][0]["phase"] if holds[order_id] else None
        lots = lots_lines(order)
        if sum(lots.values()) > sum(order["quantities"]) or min(lots.values()) < 1:
            yield Violation("lots_fit_lines", order_id, f"lots {lots}, ordered {lines(order)}")
        if hold in ("deducted", "taken_back") and net.stands != lots:
            yield Violation("issued_is_lots", order_id, f"documents leave {net.stands}, lots {lots}")
        if hold == "reversed" and net.stands:
            yield Violation("issued_is_lots", order_id, f"stopped, and {net.stands} are still issued")
        if hold not in ("deducted", "taken_back", "reversed") and documents[order_id]:
            yield Violation("issued_is_lots", order_id, f"hold {hold}, with documents")
        if not order["lots"] and (order["phase"] == "closed") and net.reversed:
            yield Violation("issued_is_lots", order_id, f"{dict(net.reversed)} reversed, and nothing is amended")
        for spu, pieces in net.adjusted.items():
            if pieces >= 0 or -pieces > net.reversed[spu]:
                yield Violation("adjusted_is_short", order_id, f"adjusted {pieces} {spu}, reversed {net.reversed[spu]}")
        if hold != "reversed" and {s: -n for s, n in net.adjusted.items()} != dict(net.reversed):
            found = f"{dict(net.reversed)} reversed, {dict(net.adjusted)} adjusted"
            yield Violation("adjusted_is_short", order_id, found)
        if net.adjusted and "PiecesShort" not in told.get(order_id, ()):
            yield Violation("adjusted_is_short", order_id, "pieces written off, and nobody missed any")
        for pick_list in pick_lists[order_id]:
            if lines(pick_list) != lots:
                yield Violation("pick_list_has_lines", order_id, f"picks {lines(pick_list)}, lots {lots}")


def returns(rows: Rows) -> Iterator[Violation]:
    """What came back from the road is received or reported damaged; the rest is written off; no piece more than went
    out, and each once, unless it was written off and came after all."""
    documents, holds = by(rows["inventory.documents"], "order_id"), by(rows["inventory.holds"], "order_id")
    works, told = by(rows["logistics.fulfilments"], "order_id"), happened(rows)
    inspected = {step["order_id"]: step for step in rows["logistics.steps_back"] if step["entered"] == "inspected"}
    for order in rows["order.orders"]:
        order_id, net = order["order_id"], Net(documents[order["order_id"]])
        hold = holds[order_id][0]["phase"] if holds[order_id] else None
        work = works[order_id][0]["phase"] if works[order_id] else None
        if order["phase"] in ENDS and (hold == "taken_back") != (work in BACK):
            yield Violation("returned_is_taken_back", order_id, f"fulfilment {work}, hold {hold}")
        if (hold == "reversed") != (work == "stopped") and not (hold == "reversed" and work is None):
            yield Violation("stopped_is_reversed", order_id, f"fulfilment {work}, hold {hold}")
        if hold != "taken_back":
            if net.back or net.missing:
                yield Violation("returned_is_taken_back", order_id, f"hold {hold}, taken back {dict(net.back)}")
            continue
        came: Counter[str] = Counter()
        if step := inspected.get(order_id):
            for spu, quantity, found in zip(step["spus"], step["quantities"], step["found"], strict=True):
                came[spu] += quantity if found != "missing" else 0
        if +came != +net.back:
            what = f"the store found {dict(+came)}, the documents take {dict(+net.back)} back"
            yield Violation("inspected_is_taken_back", order_id, what)
        overdue = "GoodsOverdue" in told.get(order_id, ())
        for spu in {*net.issued, *net.back, *net.missing}:
            out, back, missing = net.stands.get(spu, 0), net.back[spu], net.missing[spu]
            fits = missing == out >= back if overdue else back + missing == out
            if not fits:
                found = f"{out} {spu} out, {back} back, {missing} written off ({'over' if overdue else 'not over'}due)"
                yield Violation("returned_is_issued", order_id, found)
        if not overdue and work != "inspected":
            yield Violation("returned_is_issued", order_id, f"taken back, fulfilment {work}, and not overdue")


def steps_back(rows: Rows) -> Iterator[Violation]:
    """The store wrote down each step back, inspects once, and sorts exactly what it had sent."""
    steps, pick_lists = by(rows["logistics.steps_back"], "order_id"), by(rows["logistics.pick_lists"], "order_id")
    for work in rows["logistics.fulfilments"]:
        order_id, entered = work["order_id"], [str(step["entered"]) for step in steps[work["order_id"]]]
        ends = [phase for phase in entered if phase != "short"]
        expected = {
            "stopped": ["stopped"],
            "returning": ["returning"],
            "returned": ["returning", "returned"],
            "inspected": ["returning", "returned", "inspected"],
        }.get(work["phase"], [])
        if ends != expected or (work["called_off_at"] is not None) != (work["phase"] in ("stopped", "inspected")):
            yield Violation("steps_back_are_phase", order_id, f"{work['phase']}: {entered}, {work['called_off_at']}")
        for step in steps[order_id]:
            if step["entered"] == "inspected" and lines(step) != lines(pick_lists[order_id][0]):
                yield Violation("inspected_is_sent", order_id, f"{lines(step)} of {lines(pick_lists[order_id][0])}")


# -- money -------------------------------------------------------------------------------------------------------------


def refunds(rows: Rows) -> Iterator[Violation]:
    """Of the order's own money exactly that was asked back which its end says: for the pieces that nothing replaced,
    or all of it; never more for a line than was paid for it."""
    asked = by(rows["payment.refunds"], "order_id")
    payments = {row["order_id"]: row for row in rows["payment.payments"]}
    for order in rows["order.orders"]:
        order_id = order["order_id"]
        own = standing(order, [refund for refund in asked[order_id] if refund["reason"] != UNASKED])
        payment = payments.get(order_id)
        taken = payment is not None and any(attempt.outcome == "taken" for attempt in payment["attempts"])
        given_up = order["total"] - worth(order)
        closing = sum(refund["amount"] for refund in asked[order_id] if refund["number"] == order["closing_refund"])
        short = sum(refund["amount"] for refund in own) - closing
        if order["lots"] and short != given_up:
            yield Violation("refund_is_line", order_id, f"{short} asked back for lines worth {given_up}")
        if order["phase"] not in ENDS:
            continue
        due = 0 if not taken else order["total"] if order["phase"] == "cancelled" else given_up
        if sum(refund["amount"] for refund in own) != due:
            yield Violation("refund_is_end", order_id, f"{[r['amount'] for r in own]} asked back, {due} due")
        if taken and order["phase"] == "rejected":
            yield Violation("refund_is_end", order_id, "rejected, and paid")
        prices = dict(zip(order["spus"], order["prices"], strict=True))
        for lot in order["lots"]:
            if not lot[3] and lot[2] != prices.get(lot[0]):
                found = f"{lot[0]} was paid {prices.get(lot[0])}, its lot says {lot[2]}"
                yield Violation("refund_is_line", order_id, found)


def standing(order: Row, asked: list[Row]) -> list[Row]:
    """The refunds that count: one that was refused and tried again does so under its new number only."""
    owed = {one[0] for one in order["owed"]}
    return [refund for refund in asked if refund["phase"] != "refused" or refund["number"] in owed]


def retries(rows: Rows) -> Iterator[Violation]:
    """A refused refund is tried again when its ticket was approved, once and for the same money; others are owed."""
    asked = by(rows["payment.refunds"], "order_id")
    failed = by((t for t in rows["aftersales.tickets"] if t["kind"] == "refund_failed"), "order_id")
    for order in rows["order.orders"]:
        order_id = order["order_id"]
        refused = {
            (r["number"], r["amount"], r["capture"], r["reason"], r["liable"])
            for r in asked[order_id]
            if r["phase"] == "refused"
        }
        owed = {(number, *due) for number, _, *due in order["owed"]}
        left = {t["ticket_id"] for t in failed[order_id] if t["phase"] != "resolved"}
        again = len(failed[order_id]) - len(left)
        if not owed <= refused or len(refused - owed) != again or {one[1] for one in order["owed"]} != left:
            found = f"refused {refused}, owed {order['owed']}, tried again {again} times, {left} left"
            yield Violation("refused_is_owed", order_id, found)


def refusals(rows: Rows) -> Iterator[Violation]:
    """A refund is refused only where the gateway keeps the money, and for each there is a ticket."""
    failed = Counter(t["order_id"] for t in rows["aftersales.tickets"] if t["kind"] == "refund_failed")
    refused: Counter[str] = Counter()
    for refund in rows["payment.refunds"]:
        if refund["phase"] == "refused":
            refused[refund["order_id"]] += 1
            if refund["code"] != "not_refundable":
                found = f"refund {refund['number']} of {refund['amount']}: {refund['code']}"
                yield Violation("refunds_done", refund["order_id"], found)
        elif refund["phase"] != "refunded":
            yield Violation("refunds_done", refund["order_id"], f"refund {refund['number']} is {refund['phase']}")
    for order_id in sorted(refused.keys() | failed.keys()):
        if refused[order_id] != failed[order_id]:
            found = f"{refused[order_id]} refunds refused, {failed[order_id]} tickets"
            yield Violation("refused_refund_has_ticket", order_id, found)
    for refused_refund in rows["gateway.refused_refunds"]:
        if refused_refund["code"] != "not_refundable":
            yield Violation("refunds_done", refused_refund["key"], f"the gateway refused it: {refused_refund['code']}")


# -- people ------------------------------------------------------------------------------------------------------------


def tickets(rows: Rows) -> Iterator[Violation]:
    """A ticket has ended, or waits for a person only; what it says is what became of the order; windows count them."""
    open_: Counter[str] = Counter()
    told = happened(rows)
    for ticket in rows["aftersales.tickets"]:
        order_id, kind, phase, note = ticket["order_id"], ticket["kind"], ticket["phase"], ticket["note"]
        messages = told.get(order_id, set())
        if phase not in TICKET_ENDS:
            open_[order_id] += 1
            if phase != "open" or kind not in WAIT_FOR_PEOPLE:
                yield Violation("ticket_ends", ticket["ticket_id"], f"{kind} is {phase} at rest")
            continue
        if ticket["ended_at"] is None or not note:
            yield Violation("ticket_ends", ticket["ticket_id"], f"{phase} at {ticket['ended_at']} as {note!r}")
        need = {
            "caught": {"FulfilmentIntercepted", "DeliveryFailed"},
            "too_late": {"FulfilmentDelivered"},
            "nobody_called": {"ShortageUnanswered"},
            "substituted": {"StockSubstituted"},
            "dropped": {"DropChosen"},
        }.get(note)
        if need is not None and not need & messages:
            yield Violation("ticket_tells_truth", ticket["ticket_id"], f"{note}, and none of {need} happened")
    for window in rows["aftersales.windows"]:
        if window["open_tickets"] != open_[window["order_id"]]:
            found = f"counts {window['open_tickets']}, there are {open_[window['order_id']]}"
            yield Violation("window_counts_tickets", window["order_id"], found)
    shortages = Counter(t["order_id"] for t in rows["aftersales.tickets"] if t["kind"] == "shortage")
    losses = Counter(t["order_id"] for t in rows["aftersales.tickets"] if t["kind"] == "missing_goods")
    timelines = by(rows["order.timeline"], "order_id")
    for order in rows["order.orders"]:
        order_id = order["order_id"]
        came_short = sum(e["message"] == "PiecesShort" and e["phase"] == "short" for e in timelines[order_id])
        overdue = sum(e["message"] == "GoodsOverdue" for e in timelines[order_id])
        if (shortages[order_id], losses[order_id]) != (came_short, overdue):
            found = (
                f"short {came_short} times: {shortages[order_id]} calls; overdue {overdue} times: {losses[order_id]}"
            )
            yield Violation("ticket_for_each", order_id, found)


def ticket_papers(rows: Rows) -> Iterator[Violation]:
    """The order's page shows each ticket that the order raised as it stands, opened once and ended once."""
    shown: dict[str, list[str]] = {}
    for paper in rows["order.papers"]:
        if paper["kind"] == "ticket":
            shown.setdefault(paper["body"]["ticket_id"], []).append(paper["body"]["phase"])
    for ticket in rows["aftersales.tickets"]:
        expected = ["open", *([str(ticket["phase"])] if ticket["phase"] in TICKET_ENDS else [])]
        found = shown.pop(ticket["ticket_id"], [])
        # Customer service may ask before there is an order; then its page misses the beginning, or all of it.
        if found != expected and not (ticket["opened_by"] and found == expected[len(expected) - len(found) :]):
            yield Violation("ticket_is_on_page", ticket["ticket_id"], f"the page shows {found}, it is {expected}")
    for ticket_id in shown:
        yield Violation("ticket_is_on_page", ticket_id, "on a page, and there is no such ticket")


def cancels(rows: Rows) -> Iterator[Violation]:
    """Risk has counted the orders that customers cancelled or could not be reached for, and no others; who wants out of
    an order that is short does so because of us."""
    counted: dict[str, Any] = {row["order_id"]: (row["account"], row["reason"]) for row in rows["risk.cancels"]}
    for order in rows["order.orders"]:
        told = order["phase"] == "cancelled" and order["reason"] in CUSTOMERS_DOING
        expected = (order["account"], order["reason"]) if told else None
        if (found := counted.pop(order["order_id"], None)) != expected:
            what = f"counted {found}, the order is {order['phase']}: {order['reason']}"
            yield Violation("cancel_is_counted", order["order_id"], what)
    for order_id in counted:
        yield Violation("cancel_is_counted", order_id, "an order that nobody placed")
    timelines = by(rows["order.timeline"], "order_id")
    for order in rows["order.orders"]:
        phases = [str(entry["phase"]) for entry in timelines[order["order_id"]]]
        gone_short = ("short", "stopping") in pairwise(phases)
        if gone_short != (order["phase"] == "cancelled" and order["reason"] == "short"):
            found = f"{order['phase']}: {order['reason']}"
            yield Violation("short_is_our_fault", order["order_id"], found)
