"""Tickets of one order: what they wait for, what they say became of it, and what its page shows of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from larder.audit.life import TICKET_ENDS, Life, listed
from larder.audit.phases import course

DECIDED_BY_PEOPLE = ("missing_goods", "refund_failed")
"""Kinds of ticket that wait for a person, for as long as it takes."""
WAITS = {"shortage": ("short", "substituting"), "intercept": ("intercepting", "stopping")}
"""The phases of an order in which a ticket of this kind waits for something."""
TOLD_BY = {
    "caught": ("FulfilmentIntercepted", "DeliveryFailed"),
    "too_late": ("FulfilmentDelivered",),
    "nobody_called": ("ShortageUnanswered",),
    "substituted": ("StockSubstituted",),
    "dropped": ("DropChosen",),
}
"""What must have happened to the order (one of it) when a ticket ended with this note."""
Ticket = tuple[str, str, str, str, str, bool]
"""As in `life.Tickets`."""


def tickets_are_counted(life: Life) -> str | None:
    """The window counts the open tickets; one that waits for the order finds it waiting, and nothing else waits."""
    tickets = _tickets(life)
    counted = life.window.open_tickets if life.window else 0
    if not tickets and not counted:
        return None
    open_ = [ticket for ticket in tickets if ticket[2] not in TICKET_ENDS]
    if counted != len(open_):
        return f"the window counts {counted} open tickets, there are {len(open_)}"
    for ticket_id, kind, phase, *_ in open_:
        is_waiting = phase == "open" if kind in DECIDED_BY_PEOPLE else life.phase in WAITS.get(kind, ())
        if not is_waiting:
            return f"{ticket_id} ({kind}) is {phase}, and the order is {life.phase or 'known to nobody'}"
    if life.phase == "short" and not any(ticket[1] == "shortage" for ticket in open_):
        return "the order is short, and nobody is asked to call"
    return ""


def ticket_tells_truth(life: Life) -> str | None:
    """A ticket that has ended says how, and that is what happened to the order."""
    ended, went = [ticket for ticket in _tickets(life) if ticket[2] in TICKET_ENDS], course(life)
    for ticket_id, kind, phase, note, _, has_end in ended:
        # Why a person rejected a ticket may be swept: it was said in words.
        if not has_end or not (note or (phase == "rejected" and kind in DECIDED_BY_PEOPLE)):
            return f"{ticket_id} is {phase} as {note!r}, {'with' if has_end else 'without'} an end"
        needed = TOLD_BY.get(note, ())
        if needed and (went or not life.order) and not (went and went.messages.intersection(needed)):
            return f"{ticket_id} says {note}, and none of {', '.join(needed)} happened"
    return "" if ended else None


def ticket_for_each(life: Life) -> str | None:
    """Somebody was asked to call as often as pieces were short, and to look when goods did not come back."""
    went, kinds = course(life), [ticket[1] for ticket in _tickets(life)]
    if went is None or not (kinds or went.shortages or went.overdue):
        return None
    for what, times, kind in (("short", went.shortages, "shortage"), ("overdue", went.overdue, "missing_goods")):
        if times != kinds.count(kind):
            return f"it was {what} {times} times, and there are {kinds.count(kind)} tickets about that"
    return ""


def ticket_is_on_page(life: Life) -> str | None:
    """The order's page shows each of its tickets as it stands, opened once and ended once."""
    shown: dict[str, list[str]] = {}
    for body in _pages(life):
        shown.setdefault(body["ticket_id"], []).append(body["phase"])
    tickets = _tickets(life)
    for ticket_id, _, phase, _, opened_by, _ in tickets:
        expected = sorted({"open", phase} if phase in TICKET_ENDS else {"open"})
        found = sorted(shown.pop(ticket_id, []))
        # Customer service may ask before there is an order; then its page misses the beginning, or all of it.
        if found != expected and not (opened_by and found in ([], [phase])):
            return f"the page shows {ticket_id} as {found}, it is {expected}"
    if shown:
        return f"the page shows {', '.join(shown)}, and there is no such ticket"
    return "" if tickets else None


def _tickets(life: Life) -> list[Ticket]:
    return listed(life.tickets.tickets) if life.tickets else []


def _pages(life: Life) -> Iterator[dict[str, Any]]:
    if life.papers and '"ticket"' in life.papers.papers:  # few have any
        yield from (body for kind, body in listed(life.papers.papers) if kind == "ticket")
