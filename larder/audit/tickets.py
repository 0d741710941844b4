"""Tickets of one order: what they wait for, what they say became of it, and what its page shows of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from larder.audit.life import TICKET_ENDS, Life, listed
from larder.audit.phases import course

DECIDED_BY_PEOPLE = ("missing_goods", "refund_failed")
"""Kinds of ticket that wait for a person, for as long as it takes."""
ABOUT_GOODS = ("refund_only", "return", "exchange", "replenishment", "quality")
"""Kinds of ticket about goods that were delivered."""
GOODS_WAIT = ("open", "holding", "replacing", "returning")
"""What such a ticket may wait for: a person, or goods that go out or come back."""
WAITS = {"shortage": ("short", "substituting"), "intercept": ("intercepting", "stopping")}
"""The phases of an order in which a ticket of this kind waits for something."""
TOLD_BY = {
    "caught": ("FulfilmentIntercepted", "DeliveryFailed"),
    "too_late": ("FulfilmentDelivered",),
    "nobody_called": ("ShortageUnanswered",),
    "substituted": ("StockSubstituted",),
    "dropped": ("DropChosen",),
    "refunded": ("GoodsKept",),
    "returned": ("ReturnInspected",),
    "exchanged": ("ReturnInspected",),
    "nothing_came": ("ReturnInspected",),
    "goods_overdue": ("ReturnOverdue",),
    "goods_lost": ("ReturnOverdue",),
}
"""What must have happened to the order (one of it) when a ticket ended with this note."""
Ticket = tuple[Any, ...]
"""As in `life.Tickets`."""


def tickets_are_counted(life: Life) -> str | None:
    """The window counts the open tickets; one that waits for the order finds it waiting, and nothing else waits."""
    tickets = tickets_of(life)
    counted = life.window.open_tickets if life.window else 0
    if not tickets and not counted:
        return None
    open_ = [ticket for ticket in tickets if ticket[2] not in TICKET_ENDS]
    replacing = life.window.replacing if life.window else 0
    if counted != len(open_) + replacing:
        return f"the window counts {counted}; {len(open_)} tickets and {replacing} replacement orders are open"
    for ticket_id, kind, phase, *_ in open_:
        if kind in ABOUT_GOODS:
            is_waiting = phase in GOODS_WAIT and life.phase == "delivered"
        else:
            is_waiting = phase == "open" if kind in DECIDED_BY_PEOPLE else life.phase in WAITS.get(kind, ())
        if not is_waiting:
            return f"{ticket_id} ({kind}) is {phase}, and the order is {life.phase or 'known to nobody'}"
    if life.phase == "short" and not any(ticket[1] == "shortage" for ticket in open_):
        return "the order is short, and nobody is asked to call"
    return ""


def ticket_tells_truth(life: Life) -> str | None:
    """A ticket that has ended says how, and that is what happened to the order."""
    ended, went = [ticket for ticket in tickets_of(life) if ticket[2] in TICKET_ENDS], course(life)
    for ticket_id, kind, phase, note, _, has_end, *_ in ended:
        # Why a person rejected a ticket may be swept: it was said in words.
        if not has_end or not (note or (phase == "rejected" and kind in (*DECIDED_BY_PEOPLE, *ABOUT_GOODS))):
            return f"{ticket_id} is {phase} as {note!r}, {'with' if has_end else 'without'} an end"
        needed = TOLD_BY.get(note, ())
        if needed and (went or not life.order) and not (went and went.messages.intersection(needed)):
            return f"{ticket_id} says {note}, and none of {', '.join(needed)} happened"
    return "" if ended else None


def ticket_for_each(life: Life) -> str | None:
    """Somebody was asked to call as often as pieces were short, and to look when goods did not come back."""
    went, kinds = course(life), [ticket[1] for ticket in tickets_of(life)]
    if went is None or not (kinds or went.shortages or went.overdue):
        return None
    lost = went.overdue + sum(1 for r in returns_of(life) if is_missed(r))
    for what, times, kind in (("short", went.shortages, "shortage"), ("lost", lost, "missing_goods")):
        if times != kinds.count(kind):
            return f"it was {what} {times} times, and there are {kinds.count(kind)} tickets about that"
    return ""


def ticket_is_on_page(life: Life) -> str | None:
    """The order's page shows each of its tickets as it stands, opened once and ended once."""
    shown: dict[str, list[str]] = {}
    for body in _pages(life):
        shown.setdefault(body["ticket_id"], []).append(body["phase"])
    tickets = tickets_of(life)
    for ticket_id, kind, phase, _, opened_by, *_ in tickets:
        found = shown.pop(ticket_id, [])
        # A ticket is told as it was opened, and then of every step; before the first it is `deciding` or `checking`.
        is_told = found and found[0] == "open" and (found[-1] == phase or (len(found) == 1 and phase != "open"))
        ends = [of_page for of_page in found if of_page in TICKET_ENDS]
        # A late intercept may have become another ticket, which has an end of its own.
        fits = is_told and len(ends) <= 1 + (found[-1:] == ends[-1:] and kind in ABOUT_GOODS)
        # Customer service may ask before there is an order; then its page misses the beginning, or all of it.
        if not fits and not (opened_by and (not found or found[-1] == phase)):
            return f"the page shows {ticket_id} as {found}, it is {phase}"
    if shown:
        return f"the page shows {', '.join(shown)}, and there is no such ticket"
    return "" if tickets else None


def is_missed(r: Any) -> bool:
    """Whether somebody has to look for goods that were to come back: we gave others for them, or a courier had them."""
    _, phase, exchange, collected, _, _, found = r
    if phase == "overdue":
        return bool(collected)
    return bool(exchange) and any(state == "missing" and pieces for _, pieces, state in found)


def returns_of(life: Life) -> list[Any]:
    """The returns of an order's goods."""
    return listed(life.returns.returns) if life.returns else []


def tickets_of(life: Life) -> list[Ticket]:
    """The tickets of an order."""
    return listed(life.tickets.tickets) if life.tickets else []


def _pages(life: Life) -> Iterator[dict[str, Any]]:
    if life.papers and '"ticket"' in life.papers.papers:  # few have any
        yield from (body for kind, body in listed(life.papers.papers) if kind == "ticket")
