"""Goods that were delivered: in one ticket at most, paid back once, and every piece that came back accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from larder.audit.issues import DAMAGE, NOT_RETURNED, RECEIPT
from larder.audit.life import ENDS, TICKET_ENDS, Life, listed
from larder.audit.tickets import ABOUT_GOODS, DECIDED_BY_PEOPLE, returns_of, tickets_of

DELIVERED = ("delivered", "closed")
RETURNS_WAIT = ("announced", "collected", "returned")
"""Goods are still to come to the store, or to be looked at."""


def pieces_claimed_once(life: Life) -> str | None:
    """What is in no ticket and what the tickets have for themselves are together the pieces that were delivered, each
    at what was paid for it."""
    if life.window is None or life.phase not in DELIVERED:
        return None
    tickets = tickets_of(life)
    claims, settled = ([good for t in tickets for good in t[n]] for n in (6, 7))
    there = _pieces([*listed(life.window.goods), *claims, *settled])
    delivered = _pieces(life.lots)
    if ended := [t[0] for t in tickets if t[2] in TICKET_ENDS and t[6]]:
        return f"{ended} have ended, and keep pieces for themselves"
    return "" if there == delivered else f"delivered {dict(delivered)}, free and in tickets {dict(there)}"


def tickets_pay_what_was_paid(life: Life) -> str | None:
    """A ticket gives back no more than was paid for its pieces, and the order's page shows what all of them gave."""
    tickets = [t for t in tickets_of(life) if t[1] in ABOUT_GOODS]
    papers = listed(life.papers.papers) if life.papers else []
    shown = Counter[str]()
    for kind, body in papers:
        if kind == "compensated":
            shown[body["ticket_id"]] += body["amount"]
    if not tickets and not shown:
        return None
    for ticket_id, *_, settled, refunded, _, _ in tickets:
        worth = sum(pieces * price for _, pieces, price in settled)
        if refunded > worth:
            return f"{ticket_id} gave {refunded} for pieces that were paid {worth}"
        if shown.pop(ticket_id, 0) != refunded:
            return f"{ticket_id} gave {refunded}, and the page shows something else"
    return f"the page shows money of {dict(shown)}, and no such ticket gave it" if shown else ""


def returns_are_documents(life: Life) -> str | None:
    """What the store found of goods that came back is on the shelf again or reported damaged, what a courier lost or an
    exchange did not bring is written off; kept goods are reported damaged as well. Nothing else is."""
    if life.phase not in DELIVERED or not (life.returns or life.tickets):
        return None
    expected: dict[str, Counter[str]] = {"restocked": Counter(), "damaged": Counter(), "missing": Counter()}
    for _, phase, exchange, collected, spus, quantities, found in returns_of(life):
        if phase == "overdue" and collected:
            expected["missing"].update(dict(zip(spus, quantities, strict=True)))
        for spu, pieces, state in found:
            if state != "missing" or exchange:
                expected["restocked" if state == "resellable" else state][spu] += pieces
    for _, kind, _, note, *_, spus, quantities in tickets_of(life):
        # Not all that it settled: of goods that were to be replaced, some may have been paid for before.
        if kind == "refund_only" and note == "refunded":
            expected["damaged"].update(dict(zip(spus, quantities, strict=True)))
    written: dict[str, Counter[str]] = {"restocked": Counter(), "damaged": Counter(), "missing": Counter()}
    for _, kind, _, _, spus, quantities, reason in listed(life.documents.documents) if life.documents else []:
        if kind in (RECEIPT, DAMAGE):
            what = "restocked" if kind == RECEIPT else "missing" if reason == NOT_RETURNED else "damaged"
            for spu, pieces in zip(spus, quantities, strict=True):
                written[what][spu] += pieces
    for what, pieces in expected.items():
        if +pieces != +written[what]:
            return f"{what}: the store and the tickets say {dict(+pieces)}, the documents {dict(+written[what])}"
    return ""


def replacement_has_master(life: Life) -> str | None:
    """A replacement order hangs on a sales order, which is delivered, and does not close before it."""
    if not life.is_replacement or life.order is None:
        return None
    master, since, ended = life.order.master_phase, life.order.master_since, life.order.phase_since
    if master != "delivered" and not (master == "closed" and life.phase in ENDS):
        return f"it is {life.phase}, its sales order is {master or 'missing'}"
    if master == "closed" and since and ended and since < ended:
        return f"it ended at {ended}, and its sales order had closed at {since}"
    return ""


def replaced_or_refunded(life: Life) -> str | None:
    """For every piece that a replacement order was to bring and did not, the customer got money (unless it was free),
    and for no other that was to be replaced."""
    order = life.order
    if order is None or not (order.pieces_dropped or order.pieces_compensated):
        return None
    dropped, paid = order.pieces_dropped, order.pieces_compensated
    free = sum(pieces for _, pieces, price in life.lots if not price)
    return "" if dropped - free <= paid <= dropped else f"{dropped} pieces were not brought, money was given for {paid}"


def return_is_ticket(life: Life) -> str | None:
    """The store looked at every piece that was announced, and a return's ticket paid for those that came, or that a
    courier lost, and for no other, but for pieces of a replacement that it was to be first and that were dropped."""
    returns, tickets = returns_of(life), {t[0]: t for t in tickets_of(life)}
    dropped = life.order.pieces_dropped if life.order else 0
    if not returns:
        return None
    for ticket_id, phase, exchange, collected, spus, quantities, found in returns:
        announced = Counter(dict(zip(spus, quantities, strict=True)))
        seen, came = Counter[str](), Counter[str]()
        for spu, pieces, state in found:
            seen[spu] += pieces
            came[spu] += pieces if state != "missing" else 0
        if phase == "inspected" and seen != announced:
            return f"{ticket_id}: {dict(announced)} announced, the store looked at {dict(seen)}"
        ticket = tickets.get(ticket_id)
        if ticket is None or ticket[2] not in TICKET_ENDS or exchange or ticket[1] != "return":
            continue
        due = came if phase == "inspected" else announced if phase == "overdue" and collected else Counter[str]()
        paid = Counter[str]()
        for spu, pieces, _ in ticket[7]:
            paid[spu] += pieces
        if due - paid or (paid - due).total() > dropped:
            return f"{ticket_id} paid for {dict(paid)}, {dict(due)} came or was lost by us"
    return ""


def closed_has_nothing_open(life: Life) -> str | None:
    """Nothing that a person asked for is open once the order is closed, and no goods are awaited."""
    if life.phase != "closed":
        return None
    open_ = [t[0] for t in tickets_of(life) if t[2] not in TICKET_ENDS and t[1] not in DECIDED_BY_PEOPLE]
    awaited = [r[0] for r in returns_of(life) if r[1] in RETURNS_WAIT]
    return f"closed, with {open_} open and {awaited} awaited" if open_ or awaited else ""


def nothing_is_awaited(life: Life) -> str | None:
    """At rest a ticket about goods waits for a person at most, and no goods are awaited."""
    tickets = [t for t in tickets_of(life) if t[1] in ABOUT_GOODS]
    if not tickets and not life.returns:
        return None
    waiting = [t[0] for t in tickets if t[2] not in TICKET_ENDS and t[2] != "open"]
    awaited = [r[0] for r in returns_of(life) if r[1] in RETURNS_WAIT]
    return f"{waiting} wait for services, {awaited} for goods" if waiting or awaited else ""


def _pieces(goods: Iterable[Any]) -> Counter[tuple[str, int]]:
    pieces: Counter[tuple[str, int]] = Counter()
    for spu, quantity, price in goods:
        pieces[spu, price] += quantity
    return +pieces
