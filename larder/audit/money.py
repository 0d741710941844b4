"""Money of one order: what its phase says, what its page says, what the journal says, and what the gateway says.

While money is being moved (an open effect, a webhook on its way) the gateway may know more than we do; `run` then asks
the rules in `WITH_GATEWAY` nothing.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from larder.audit.life import CALLED_OFF, DEDUCTED, DEDUCTING, ENDS, REMEMBERED, UNPAID, Life, listed

UNASKED = "unasked_money"
"""The reason of refunds that are not of the order's own money."""
FOR_GOODS = ("refund_only", "return", "exchange", "replenishment")
"""The reasons of refunds for goods that had been delivered: the kinds of ticket about them."""
REPORT_ENDS = ("confirmed", "contradicted", "unknown")
"""What a report of money comes to."""
_NOTHING_KEPT = UNPAID | CALLED_OFF
_TOTAL_KEPT = DEDUCTING | DEDUCTED


def money_of_phase(life: Life) -> str | None:
    """What was captured and not refunded is what the phase says: nothing before the money is in, what is to be
    delivered is worth from then on, nothing again once the order was called off. Stray money has been given back; what
    the gateway will not give back stays, and has a ticket."""
    order = life.order
    if order is None:
        return None
    if order.phase in _NOTHING_KEPT:
        due = 0
    elif order.phase in _TOTAL_KEPT:
        due = order.total - life.dropped - _for_goods(life) if order.kind == "sales" else 0
    else:
        return None
    due += sum(refund[2] for refund in _standing(life) if refund[1] == "refused")
    kept = order.paid - order.refunded
    if kept != due:
        return f"the order is {order.phase}, so {due} should be kept; {order.paid} - {order.refunded} = {kept} is"
    return ""


def refused_refund_has_ticket(life: Life) -> str | None:
    """Somebody was told of every refund that was refused, and of no other; who approved has it tried again, and of the
    others the order knows that they are owed."""
    refused = [refund for refund in _refunds(life) if refund[1] == "refused"]
    tickets = _failed(life)
    entries = listed(life.order.owed) if life.order else []
    if not (refused or tickets or entries):
        return None
    if len(refused) != len(tickets):
        return f"{len(refused)} refunds were refused, and there are {len(tickets)} tickets about that"
    left = {ticket[0] for ticket in tickets if ticket[2] != "resolved"}
    owed = {entry[1] for entry in entries}
    if owed != left:
        return f"tickets {sorted(left)} are about refunds that failed, the order says so of {sorted(owed)}"
    numbered = {(number, amount, capture, reason, liable) for number, _, amount, capture, reason, _, liable in refused}
    if strange := {(number, *due) for number, _, *due in entries} - numbered:
        return f"the order is owed {sorted(strange)}, refused are {sorted(numbered)}"
    return ""


def refunds_done(life: Life) -> str | None:
    """A refund was done, or the gateway keeps the money for good; none is forgotten on its way."""
    refunds = _refunds(life)
    for number, phase, amount, _, _, code, _ in refunds:
        if phase != "refunded" and (phase, code) != ("refused", "not_refundable"):
            return f"refund {number} of {amount} is {phase} ({code})"
    return "" if refunds else None


def attempts_over(life: Life) -> str | None:
    """The gateway has said what became of each attempt to pay."""
    if life.payment is None:
        return None
    return f"an attempt is still {life.payment.phase}" if life.payment.phase in ("charging", "asking") else ""


def reports_looked_up(life: Life) -> str | None:
    """No report of money is left without the gateway's word on it."""
    if life.reports is None:
        return None
    open_ = [report for report in listed(life.reports.reports) if report[1] not in REPORT_ENDS]
    return f"reports {open_} wait" if open_ else ""


def total_is_lines(life: Life) -> str | None:
    """The total is what the lines cost less what was taken off them, none of them below zero; what is to be delivered
    instead is no more than was ordered."""
    order = life.order
    if order is None:
        return None
    ordered, totals = listed(order.quantities), life.totals
    if order.kind == "sales" and (order.total != sum(totals) or min(totals, default=0) < 0):
        return f"the total is {order.total}, the lines come to {totals}"
    if (pieces := sum(lot[1] for lot in listed(order.lots))) > sum(ordered):
        return f"{pieces} pieces are to be delivered, {sum(ordered)} were ordered"
    return ""


def refunds_fit_lines(life: Life) -> str | None:
    """Of the order's own money no more was asked back than was paid for the pieces that went: of a line that is short
    its part, of an order that is called off the rest."""
    order = life.order
    own = [refund for refund in _standing(life) if refund[4] != UNASKED]
    if order is None or life.is_replacement or not (own or listed(order.lots)):
        return None
    if lots := listed(order.lots):
        ordered, kept, paid, carried = (Counter[Any]() for _ in range(4))
        for spu, quantity, price in life.paid_pieces:
            ordered[spu, price] += quantity
            paid[price] += quantity
        for spu, quantity, price, instead_of, _ in lots:
            carried[price] += quantity
            kept[spu, price] += 0 if instead_of else quantity
        # A substitute carries the price of the piece that it replaces.
        if kept - ordered or carried - paid or min(lot[1] for lot in lots) < 1:
            return f"lots {lots}, paid were {dict(ordered)}"
    asked = sum(refund[2] for refund in own)
    goods = _for_goods(life)
    parts = asked - goods - sum(refund[2] for refund in _refunds(life) if refund[0] == order.closing_refund)
    dropped = life.dropped
    if not parts <= dropped or not asked <= order.total:
        return f"{parts} was asked back for pieces worth {dropped}, in all {asked} of {order.total}"
    if order.given_back not in (dropped + goods, order.total):
        return f"{order.given_back} counts as given back, {dropped} of {order.total} was dropped, {goods} compensated"
    if lots and parts != dropped:
        return f"{parts} was asked back for pieces worth {dropped}"
    return ""


def refund_is_end(life: Life) -> str | None:
    """Of the order's own money exactly that was asked back which its end says: for the pieces that nothing replaced, or
    all of it."""
    order = life.order
    if order is None or order.phase not in ENDS or life.payment is None:
        return None
    own = [refund[2] for refund in _standing(life) if refund[4] != UNASKED]
    is_taken = any(attempt[3] == "taken" for attempt in listed(life.payment.attempts))
    due = 0 if not is_taken else order.total if order.phase in CALLED_OFF else life.dropped + _for_goods(life)
    if is_taken and order.phase == "rejected":
        return "rejected, and paid"
    return "" if sum(own) == due else f"{own} asked back, {due} due"


def refunds_are_compensations(life: Life) -> str | None:
    """For delivered goods exactly that was asked back which the pages of the order and its replacements tell."""
    order = life.order
    if order is None or life.is_replacement or not (order.compensated or _for_goods(life)):
        return None
    asked = _for_goods(life)
    return "" if asked == order.compensated else f"{asked} asked back for goods, {order.compensated} is on the pages"


def replacement_moves_no_money(life: Life) -> str | None:
    """A replacement order costs nothing, and nobody pays for it or gets money back by it."""
    if not life.is_replacement or life.order is None:
        return None
    order = life.order
    moved = (order.total, order.paid, order.refunded, order.given_back)
    books = [name for name in ("payment", "refunds", "journal", "captured", "given_back") if getattr(life, name)]
    return f"total, paid, refunded, given back are {moved}; known to {books}" if any(moved) or books else ""


def order_is_papers(life: Life) -> str | None:
    """Paid and refunded are the sums of the payments and refunds on the order's page."""
    order = life.order
    if order is None:
        return None
    sums = {"payment": 0, "refund": 0}
    if life.papers:
        for kind, body in listed(life.papers.papers):
            if kind in sums:
                sums[kind] += body["amount"]
    if (order.paid, order.refunded) != (sums["payment"], sums["refund"]):
        return (
            f"paid {order.paid} and refunded {order.refunded}, but the papers say {sums['payment']} and "
            f"{sums['refund']}"
        )
    return ""


def order_is_journal(life: Life) -> str | None:
    """What the order says was paid and refunded is what the money journal says; money for an order that never was has
    gone back."""
    captured, refunded = _journal(life)
    told = sum(captured.values()), sum(refunded.values())
    order = life.order
    if order is None:
        kept = told[0] - told[1]
        return f"the journal has money of an order that nobody knows: {kept} of it is kept" if kept else None
    if (order.paid, order.refunded) != told:
        return f"paid {order.paid} and refunded {order.refunded}, but the journal says {told[0]} and {told[1]}"
    return ""


def journal_is_payment(life: Life) -> str | None:
    """The journal has every capture of the payment and every refund that was done, and nothing else; what a capture
    counts as given back is the sum of its refunds."""
    if life.payment is None and life.journal is None and life.refunds is None:
        return None
    captured, refunded = _journal(life)
    captures = listed(life.payment.captures) if life.payment else []
    if _by_reference(captures) != captured:
        return f"captures {[c[:2] for c in captures]}, but the journal says {captured}"
    refunds = _refunds(life)
    done = sum(refund[2] for refund in refunds if refund[1] == "refunded")
    if done != sum(refunded.values()):
        return f"{done} was refunded, but the journal says {sum(refunded.values())}"
    for reference, amount, _, given_back, *_ in captures:
        promised = sum(r[2] for r in refunds if r[3] == reference and r[1] in ("asked", "refunded"))
        if not given_back == promised <= amount:
            return f"of {reference} ({amount}) {given_back} counts as given back, its refunds come to {promised}"
    return ""


def capture_belongs_to_one_order(life: Life) -> str | None:
    """Every capture of the payment is one that the gateway made for this order, under this key and of this amount."""
    if life.payment is None:
        return None
    theirs = {
        reference: (amount, key) for reference, amount, key in listed(life.captured.captures if life.captured else "[]")
    }
    for reference, amount, _, _, *keys in listed(life.payment.captures):
        told = theirs.get(reference)
        if told is None:
            return f"{reference} is in this order's books, and at the gateway no money of this order"
        key = (keys and keys[0]) or told[1]  # one that was not kept then contradicts nothing
        if told != (amount, key):
            return f"{reference}: the books say {(amount, key)}, the gateway {told}"
    return ""


def journal_is_gateway(life: Life) -> str | None:
    """Journal and gateway know the same captures and refunds, by the gateway's references, to the last unit."""
    if life.journal is None and life.captured is None and life.given_back is None:
        return None
    captured, refunded = _journal(life)
    taken = _by_reference(listed(life.captured.captures)) if life.captured else {}
    back = _by_reference(listed(life.given_back.refunds)) if life.given_back else {}
    for what, ours, theirs in (("capture", captured, taken), ("refund", refunded, back)):
        if ours != theirs:
            journal = dict(ours.items() - theirs.items()) or "none"
            gateway = dict(theirs.items() - ours.items()) or "none"
            return f"{what}s differ: only in the journal {journal}, only at the gateway {gateway}"
    return ""


def gateway_keeps_its_sums(life: Life) -> str | None:
    """The gateway gave back no more of a capture than it took."""
    if life.given_back is None:
        return None
    left = _by_reference(listed(life.captured.captures)) if life.captured else {}
    for _, amount, capture in listed(life.given_back.refunds):
        left[capture] = left.get(capture, 0) - amount
    for capture, amount in left.items():
        if amount < 0:
            return f"{-amount} more was given back than was taken as {capture}"
    return ""


WITH_GATEWAY = (
    attempts_over,
    reports_looked_up,
    refunds_done,
    money_of_phase,
    refused_refund_has_ticket,
    journal_is_payment,
    journal_is_gateway,
    capture_belongs_to_one_order,
)
"""Rules that can only be asked while no money is being moved for the order."""


def _refunds(life: Life) -> list[Any]:
    return listed(life.refunds.refunds) if life.refunds else []


def _failed(life: Life) -> list[Any]:
    return [t for t in listed(life.tickets.tickets) if t[1] == "refund_failed"] if life.tickets else []


def _standing(life: Life) -> list[Any]:
    """The refunds that count: one that was refused, and tried again since its ticket was approved, counts under its new
    number only."""
    refunds = _refunds(life)
    again = sum(ticket[2] == "resolved" for ticket in _failed(life))
    if not again:
        return refunds
    owed = {entry[0] for entry in listed(life.order.owed)} if life.order else set()
    gone = [refund[0] for refund in refunds if refund[1] == "refused" and refund[0] not in owed][:again]
    return [refund for refund in refunds if refund[0] not in gone]


def _for_goods(life: Life) -> int:
    """What was asked back for goods that had been delivered."""
    amounts: list[int] = [refund[2] for refund in _standing(life) if refund[4] in FOR_GOODS]
    return sum(amounts)


def _journal(life: Life) -> tuple[dict[str, int], dict[str, int]]:
    """Captured and refunded, by reference."""
    return _moves(life.journal.entries) if life.journal else ({}, {})


@lru_cache(maxsize=REMEMBERED)
def _moves(entries: str) -> tuple[dict[str, int], dict[str, int]]:
    of_kind: dict[str, list[Any]] = {"captured": [], "refunded": []}
    for kind, *entry in listed(entries):
        of_kind[kind].append(entry)
    return _by_reference(of_kind["captured"]), _by_reference(of_kind["refunded"])


def _by_reference(rows: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for reference, amount, *_ in rows:
        found[reference] = found.get(reference, 0) + amount
    return found
