"""After sales, as two tables: the window of an order (`windows`), and each of its tickets (`tickets`).

Theory of operation. A message about a ticket is read with the ticket, the window of its order and the clock
(`reading`), and moves the ticket. What that means to the window follows from the ticket as it was and as it is: pieces
that it claims are not the window's any more, pieces that it lets go of are again, and the window counts the open
tickets. Both change in one decision, so two tickets decided in the same batch cannot claim the same piece.

Replacement orders live in the shard of their sales order: what keeps the window of one open keeps the other's open too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.aftersales import inner
from services.aftersales.goods import exchanged
from services.aftersales.reading import TicketMistake, read
from services.aftersales.state import Phase, Ticket, TicketPhase, TicketStep, Window
from services.aftersales.tickets import TICKET
from services.aftersales.windows import AFTER_SALES, WINDOW, read_rating
from shared.contracts import aftersales
from shared.contracts.base import sales_order_of
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import Ignored, Key, Moved, Outcome, Refused, evolve

__all__ = ["AFTER_SALES", "DECIDER", "TICKET", "WINDOW", "TicketMistake"]

States = dict[Key, Any]


def complaint_of(order_id: str) -> str:
    """The id of the ticket that a bad rating opens: an order is rated once."""
    return f"t-{order_id}-rating"


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The window of the order, and of its sales order; of a ticket also the ticket."""
    order_id = message.order_id
    yield ("window", order_id)
    if "~" in order_id:
        yield ("window", sales_order_of(order_id))
    if isinstance(message, aftersales.TicketCommand):
        yield ("ticket", message.ticket_id)
    elif type(message) is aftersales.RateOrder:
        yield ("ticket", complaint_of(order_id))


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order's window or tickets."""
    if isinstance(message, aftersales.TicketCommand):
        return _decide_ticket(message, look, context)
    window = _window(message.order_id, look)
    if type(message) is inner.WindowPassed and window.open_tickets:
        message = inner.PassedUnderTickets()
    elif type(message) is aftersales.RateOrder:
        message = read_rating(message, window)
    outcome = AFTER_SALES.move(window, message, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    if type(message) is inner.RatedBadly and look(("ticket", complaint_of(moved.order_id))) is None:
        ticket = Ticket(complaint_of(moved.order_id), moved.order_id, account=moved.account, store=moved.store)
        complaint = TICKET.move(ticket, message, context)
        assert not isinstance(complaint, Refused | Ignored), "an order is rated once"
        return _moved(ticket, *complaint, (*said,), window, moved, "RateOrder", look, context)
    states, more = _with_master(window, moved, look, context)
    return Moved(tuple(states.items()), (*said, *more))


def _window(order_id: str, look: Look) -> Window:
    return look(("window", order_id)) or Window(order_id)


def _decide_ticket(m: aftersales.TicketCommand, look: Look, context: Context) -> Outcome:
    window, master = _window(m.order_id, look), _window(sales_order_of(m.order_id), look)
    known: Ticket | None = look(("ticket", m.ticket_id))
    taken = known is not None and known.order_id != m.order_id
    if known is None or taken:
        # Another order's ticket is as unknown as none, or one order could end what another waits for.
        known = Ticket(m.ticket_id, m.order_id, account=window.account, store=window.store)
    outcome = TICKET.move(known, read(m, known, window, master, taken, context), context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    return _moved(known, *outcome, (), window, window, type(m).__name__, look, context)


def _moved(
    before: Ticket,
    after: Ticket,
    said: Any,
    said_before: tuple[object, ...],
    known: Window,
    window: Window,
    step: str,
    look: Look,
    context: Context,
) -> Outcome:
    """A ticket has moved: what that means to the window, and what everybody is told. `known` is the window before the
    message, `window` as it is without the ticket's move."""
    if before.held != after.held:
        window = evolve(window, {"goods": exchanged(window.goods, before.held, after.held)})
    counted = _count(before, after, window, context)
    if counted is not None:
        window, shut = counted
        said = (*said, *shut)
    states, more = _with_master(known, window, look, context)
    if after.replacement != before.replacement:
        key: Key = ("window", sales_order_of(after.order_id))
        master = states.get(key) or _window(key[1], look)
        states[key] = evolve(master, {"replacements": master.replacements + 1})
    if not any(isinstance(item, aftersales.TicketOpened | aftersales.TicketEnded) for item in said):
        news = aftersales.TicketMoved(
            order_id=after.order_id,
            ticket_id=after.ticket_id,
            kind=after.kind,
            phase=after.phase,
            step=step,
            by=context.actor,
            note=after.note,
            claimed_by=after.claimed_by,
            claimed_until=after.claimed_until,
        )
        said = (*said, news)
    entry = TicketStep(after.ticket_id, context.now, after.phase, step, context.actor, after.note)
    states["ticket", after.ticket_id] = after
    return Moved(tuple(states.items()), (*said_before, *said, *more, entry))


def _is_open(ticket: Ticket) -> bool:
    return ticket.phase is not TicketPhase.NEW and not ticket.has_ended


def _count(before: Ticket, after: Ticket, window: Window, context: Context) -> tuple[Window, Any] | None:
    """What a ticket's move means to the count of its window."""
    came = _is_open(after) - _is_open(before)
    if before.phase is TicketPhase.NEW and after.has_ended:
        return None
    return _counted(window, came, context) if came else None


def _counted(window: Window, came: int, context: Context) -> tuple[Window, Any]:
    news = (
        inner.TicketCame() if came > 0 else inner.LastTicketWent() if window.open_tickets == 1 else inner.TicketWent()
    )
    outcome = AFTER_SALES.move(window, news, context)
    assert not isinstance(outcome, Refused | Ignored), "counting is never refused"
    return outcome


def _with_master(before: Window, after: Window, look: Look, context: Context) -> tuple[States, tuple[object, ...]]:
    """A window that moved, and the window of the sales order that it keeps open: a replacement order's counts there
    from its delivery until it shuts."""
    states: States = {("window", after.order_id): after} if after != before else {}
    key: Key = ("window", sales_order_of(after.order_id))
    came = (after.phase in _COUNTS) - (before.phase in _COUNTS)
    if key[1] == after.order_id or not came:
        return states, ()
    states[key], said = _counted(_window(key[1], look), came, context)
    return states, tuple(said)


_COUNTS = frozenset({Phase.OPEN, Phase.PASSED})

# -- the service -------------------------------------------------------------------------------------------------------

DECIDER = Decider(
    service="aftersales",
    listens=(
        aftersales.OpenWindow,
        aftersales.RateOrder,
        aftersales.RaiseTicket,
        aftersales.SettleTicket,
        aftersales.ReopenCall,
        aftersales.AdmitTicket,
        aftersales.StartReplacement,
        aftersales.ReopenTicket,
        aftersales.ConfirmReplacement,
        aftersales.DropReplacement,
        aftersales.ConfirmReturn,
        aftersales.OpenTicket,
        aftersales.RecordCall,
        aftersales.ApproveTicket,
        aftersales.RejectTicket,
        aftersales.ClaimTicket,
        aftersales.ReleaseTicket,
        aftersales.NoteTicket,
    ),
    needs=needs,
    decide=decide,
    timers={WINDOW: inner.WindowPassed},
)
