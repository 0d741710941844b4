"""After sales, as two tables: the window of an order, and each of its tickets.

Theory of operation. The window opens with the delivery and shuts when its time has passed and no ticket is open; it
counts the order's tickets, also before the delivery. A ticket that the saga raised waits for a person. One that asks
the order for something (an intercept, the outcome of a call) is `deciding` until the order says what came of it: the
order service alone knows whether it is too late. So a person and a deadline may both speak; whoever the order hears
first wins, and what comes of it reaches the ticket last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from services.aftersales.state import (
    TICKET_ENDS,
    ApprovalUnneeded,
    Approved,
    AskedAfterShut,
    AskedUnderOtherName,
    Call,
    CancelWanted,
    Denied,
    Done,
    DropWanted,
    LastTicketWent,
    NotACall,
    NotDone,
    PassedUnderTickets,
    Phase,
    RetryApproved,
    SubstitutesBesideShort,
    SubstituteWanted,
    Ticket,
    TicketCame,
    TicketPhase,
    TicketWent,
    Window,
    WindowPassed,
)
from shared.contracts.aftersales import (
    ApproveTicket,
    CancelChosen,
    DropChosen,
    InterceptAsked,
    OpenTicket,
    OpenWindow,
    RaiseTicket,
    RecordCall,
    RefundApproved,
    RejectTicket,
    ReopenCall,
    SettleTicket,
    SubstituteChosen,
    TicketCommand,
    TicketEnded,
    TicketOpened,
    WindowShut,
)
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Ignored, Key, Moved, Outcome, Refused, Table, refuse, to

WINDOW = "window"
"""The timer that shuts a window."""
CALLS = "shortage"
"""The kind of ticket that asks for a call."""
APPROVED_BY_PEOPLE = frozenset({"missing_goods", "refund_failed"})
"""The kinds of ticket that a person ends."""
REFUNDS = "refund_failed"
"""The kind of these whose approval is an order: try again."""


class TicketMistake(ValueError):
    """Something about tickets that cannot be: the message parks, and a person has to look at it."""


# What is said on the way: the window. ---------------------------------------------------------------------------------


def open_window(state: Window, m: OpenWindow, context: Context) -> Change:
    """From now on complaints are heard, for so long."""
    shuts_at = context.now + timedelta(seconds=context.windows.after_sales_window_s)
    changes = {"account": m.account, "store": m.store, "shuts_at": shuts_at}
    return changes, (SetTimer(state.order_id, WINDOW, shuts_at),)


def tell_shut(state: Window, m: WindowPassed, context: Context) -> Change:
    """Nothing is open and nothing will be: the order may close."""
    return {}, (WindowShut(order_id=state.order_id),)


def count_up(state: Window, m: TicketCame, context: Context) -> Change:
    """One more."""
    return {"open_tickets": state.open_tickets + 1}, ()


def count_down(state: Window, m: TicketWent | LastTicketWent, context: Context) -> Change:
    """One less."""
    return {"open_tickets": state.open_tickets - 1}, ()


def tell_shut_at_last(state: Window, m: LastTicketWent, context: Context) -> Change:
    """The order waited for this ticket only."""
    return {"open_tickets": 0}, (WindowShut(order_id=state.order_id),)


# What is said on the way: a ticket. -----------------------------------------------------------------------------------


def ask_for_intercept(state: Ticket, m: OpenTicket, context: Context) -> Change:
    """The order has the courier called back, if it is on the road."""
    changes = {"kind": m.kind, "reason": m.reason, "opened_at": context.now, "opened_by": context.actor}
    return changes, (
        TicketOpened(order_id=state.order_id, ticket_id=state.ticket_id, kind=m.kind),
        InterceptAsked(order_id=state.order_id, ticket_id=state.ticket_id),
    )


def ask_a_person(state: Ticket, m: RaiseTicket, context: Context) -> Change:
    """It is on customer service's list."""
    changes = {
        "kind": m.kind,
        "account": m.account,
        "store": m.store,
        "spus": m.spus,
        "quantities": m.quantities,
        "reason": m.reason,
        "opened_at": context.now,
    }
    return changes, (TicketOpened(order_id=state.order_id, ticket_id=state.ticket_id, kind=m.kind),)


def choose_substitute(state: Ticket, m: SubstituteWanted, context: Context) -> Change:
    """The order looks whether that may be, and whether it is there."""
    said = SubstituteChosen(
        order_id=state.order_id,
        ticket_id=state.ticket_id,
        substitute_spus=m.call.spus,
        substitutes=m.call.quantities,
        instead_of=m.call.instead_of,
    )
    return {"call": m.call, "note": ""}, (said,)


def choose_drop(state: Ticket, m: DropWanted, context: Context) -> Change:
    """The order goes on without the short pieces."""
    return {"call": m.call, "note": ""}, (DropChosen(order_id=state.order_id, ticket_id=state.ticket_id),)


def choose_cancel(state: Ticket, m: CancelWanted, context: Context) -> Change:
    """The order ends."""
    return {"call": m.call, "note": ""}, (CancelChosen(order_id=state.order_id, ticket_id=state.ticket_id),)


def call_again(state: Ticket, m: ReopenCall, context: Context) -> Change:
    """What the customer wanted cannot be: `note` tells the person who calls again."""
    return {"note": m.note}, ()


def resolve(state: Ticket, m: Done, context: Context) -> Change:
    """The order did what was asked."""
    return _ended(state, "resolved", m.note, context)


def turn_down(state: Ticket, m: NotDone, context: Context) -> Change:
    """The order did not do it."""
    return _ended(state, "rejected", m.note, context)


def approve(state: Ticket, m: Approved, context: Context) -> Change:
    """A person has seen to it."""
    return _ended(state, "resolved", "approved", context)


def approve_retry(state: Ticket, m: RetryApproved, context: Context) -> Change:
    """The order asks for the money once more. Should the gateway refuse that as well, it is another ticket."""
    changes, said = _ended(state, "resolved", "approved", context)
    return changes, (*said, RefundApproved(order_id=state.order_id, ticket_id=state.ticket_id))


def deny(state: Ticket, m: Denied, context: Context) -> Change:
    """A person says why not."""
    return _ended(state, "rejected", m.reason, context)


def _ended(state: Ticket, end: Any, note: str, context: Context) -> Change:
    said = TicketEnded(order_id=state.order_id, ticket_id=state.ticket_id, kind=state.kind, phase=end, note=note)
    return {"note": note, "ended_at": context.now}, (said,)


# The tables. ----------------------------------------------------------------------------------------------------------


def _counting(phase: Phase) -> dict[type, Cell]:
    return {
        TicketCame: to(phase, count_up),
        TicketWent: to(phase, count_down),
        LastTicketWent: to(phase, count_down),
    }


AFTER_SALES = Table(
    "after-sales window",
    {
        Phase.NEW: {
            **_counting(Phase.NEW),  # shortage and intercept come before the delivery, and may be open after it
            OpenWindow: to(Phase.OPEN, open_window),
        },
        Phase.OPEN: {
            **_counting(Phase.OPEN),
            WindowPassed: to(Phase.SHUT, tell_shut),
            PassedUnderTickets: to(Phase.PASSED),
            OpenWindow: IGNORE,  # an order is delivered once; telling it again prolongs nothing
        },
        Phase.PASSED: {
            **_counting(Phase.PASSED),
            LastTicketWent: to(Phase.SHUT, tell_shut_at_last),
            OpenWindow: IGNORE,
        },
        Phase.SHUT: {
            **_counting(Phase.SHUT),  # the saga's own tickets only: money owed is owed after the window as well
            OpenWindow: IGNORE,
        },
    },
)


def _calls(cell: Cell) -> dict[type, Cell]:
    return dict.fromkeys((SubstituteWanted, DropWanted, CancelWanted), cell)


KNOWN: dict[type, Cell] = {
    RaiseTicket: IGNORE,  # one id, one ticket
    OpenTicket: refuse("ticket_exists"),
}
WAITING: dict[type, Cell] = {
    **KNOWN,
    NotACall: refuse("ticket_not_a_call"),
    ApprovalUnneeded: refuse("ticket_needs_no_approval"),
    Done: to(TicketPhase.RESOLVED, resolve),
    NotDone: to(TicketPhase.REJECTED, turn_down),
}
ENDED: dict[type, Cell] = {
    **KNOWN,
    **_calls(refuse("ticket_closed")),
    SubstitutesBesideShort: refuse("ticket_closed"),
    NotACall: refuse("ticket_closed"),
    Approved: refuse("ticket_closed"),
    RetryApproved: refuse("ticket_closed"),
    Denied: refuse("ticket_closed"),
    ApprovalUnneeded: refuse("ticket_closed"),
    # a person and a deadline spoke at once: what the order made of the second comes after the end
    Done: IGNORE,
    NotDone: IGNORE,
    ReopenCall: IGNORE,
}

TICKET = Table(
    "ticket",
    {
        TicketPhase.NEW: {
            OpenTicket: to(TicketPhase.DECIDING, ask_for_intercept),
            RaiseTicket: to(TicketPhase.OPEN, ask_a_person),
            AskedAfterShut: refuse("window_shut"),
            AskedUnderOtherName: refuse("ticket_exists"),
            **_calls(refuse("ticket_unknown")),
            Approved: refuse("ticket_unknown"),
            Denied: refuse("ticket_unknown"),
        },
        TicketPhase.OPEN: {
            **WAITING,
            SubstituteWanted: to(TicketPhase.DECIDING, choose_substitute),
            DropWanted: to(TicketPhase.DECIDING, choose_drop),
            CancelWanted: to(TicketPhase.DECIDING, choose_cancel),
            SubstitutesBesideShort: refuse("substitutes_do_not_fit"),
            Approved: to(TicketPhase.RESOLVED, approve),
            RetryApproved: to(TicketPhase.RESOLVED, approve_retry),
            Denied: to(TicketPhase.REJECTED, deny),
        },
        TicketPhase.DECIDING: {
            **WAITING,
            **_calls(refuse("ticket_not_open")),
            SubstitutesBesideShort: refuse("ticket_not_open"),
            ReopenCall: to(TicketPhase.OPEN, call_again),
        },
        TicketPhase.RESOLVED: ENDED,
        TicketPhase.REJECTED: ENDED,
    },
)


# Reading: which of the tables' messages is it? ------------------------------------------------------------------------


def read(m: TicketCommand, ticket: Ticket, window: Window, taken: bool, context: Context) -> Any:
    """The message as the ticket's table knows it. `taken`: another order has a ticket of this id."""
    if isinstance(m, OpenTicket):
        if taken:
            return AskedUnderOtherName()
        return AskedAfterShut() if ticket.phase is TicketPhase.NEW and window.phase is Phase.SHUT else m
    if isinstance(m, RaiseTicket) and taken:
        raise TicketMistake(f"ticket {m.ticket_id} of {m.order_id} has the id of another order's ticket")
    if isinstance(m, SettleTicket):
        return Done(m.note) if m.phase == "resolved" else NotDone(m.note)
    if isinstance(m, RecordCall):
        return read_call(m, ticket, context)
    if isinstance(m, ApproveTicket | RejectTicket):
        if ticket.phase is not TicketPhase.NEW and ticket.kind not in APPROVED_BY_PEOPLE:
            return ApprovalUnneeded()
        if isinstance(m, RejectTicket):
            return Denied(m.reason)
        return RetryApproved() if ticket.phase is not TicketPhase.NEW and ticket.kind == REFUNDS else Approved()
    return m


def read_call(m: RecordCall, ticket: Ticket, context: Context) -> Any:
    """What the customer said, seen with what is short."""
    call = Call(m.outcome, context.actor, context.now, m.substitute_spus, m.substitutes, m.instead_of)
    if ticket.phase is not TicketPhase.NEW:
        if ticket.kind != CALLS:
            return NotACall()
        if over := _beside_short(ticket, m):
            return SubstitutesBesideShort(f"more substitutes for {over[0]} than pieces of it are short")
    if m.outcome == "substitute":
        return SubstituteWanted(call)
    return DropWanted(call) if m.outcome == "drop" else CancelWanted(call)


def _beside_short(ticket: Ticket, m: RecordCall) -> Sequence[str]:
    """The SPUs of which more would be replaced than is short."""
    left: dict[str, int] = {}
    for spu, missing in zip(ticket.spus, ticket.quantities, strict=True):
        left[spu] = left.get(spu, 0) + missing
    for spu, pieces in zip(m.instead_of, m.substitutes, strict=True):
        left[spu] = left.get(spu, 0) - pieces
    return [spu for spu, rest in left.items() if rest < 0]


def read_for_window(before: Ticket, after: Ticket, window: Window) -> Any:
    """What a ticket's move means to the window; None: nothing."""
    if before.phase is TicketPhase.NEW:
        return TicketCame()
    if after.phase in TICKET_ENDS:
        return LastTicketWent() if window.open_tickets == 1 else TicketWent()
    return None


# The service. ---------------------------------------------------------------------------------------------------------


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The window of the order; for a ticket also the ticket."""
    yield ("window", message.order_id)
    if isinstance(message, TicketCommand):
        yield ("ticket", message.ticket_id)


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order's window or tickets."""
    key: Key = ("window", message.order_id)
    window: Window = look(key) or Window(message.order_id)
    if isinstance(message, TicketCommand):
        return _decide_ticket(message, window, look, context)
    if isinstance(message, WindowPassed) and window.open_tickets:
        message = PassedUnderTickets()
    outcome = AFTER_SALES.move(window, message, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    moved, said = outcome
    return Moved(((key, moved),), said)


def _decide_ticket(m: TicketCommand, window: Window, look: Look, context: Context) -> Outcome:
    key: Key = ("ticket", m.ticket_id)
    known: Ticket | None = look(key)
    taken = known is not None and known.order_id != m.order_id
    if known is None or taken:
        # Another order's ticket is as unknown as none, or one order could end what another waits for.
        known = Ticket(m.ticket_id, m.order_id, account=window.account, store=window.store)
    outcome = TICKET.move(known, read(m, known, window, taken, context), context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    ticket, said = outcome
    states: tuple[tuple[Key, Any], ...] = ((key, ticket),)
    news = read_for_window(known, ticket, window)
    counted = AFTER_SALES.move(window, news, context) if news is not None else None
    if isinstance(counted, tuple):
        window, more = counted
        states, said = (*states, (("window", m.order_id), window)), (*said, *more)
    return Moved(states, said)


DECIDER = Decider(
    service="aftersales",
    listens=(
        OpenWindow,
        RaiseTicket,
        SettleTicket,
        ReopenCall,
        OpenTicket,
        RecordCall,
        ApproveTicket,
        RejectTicket,
    ),
    needs=needs,
    decide=decide,
    timers={WINDOW: WindowPassed},
)
