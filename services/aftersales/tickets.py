"""A ticket's life as a table, and what is said on the way.

A ticket that the saga raised waits for a person. One that asks the order for something (an intercept, the outcome of a
call) is `deciding` until the order says what came of it: the order service alone knows whether it is too late. So a
person and a deadline may both speak; whoever the order hears first wins, and what comes of it reaches the ticket last.

A ticket about delivered goods claims its pieces when it is opened, and has them for itself: `claims` is what is open of
them, `settled` what is done with. Pieces that it lets go of are the window's again (see `decider`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.aftersales import inner
from services.aftersales.goods import exchanged, pieces_of, some, worth
from services.aftersales.state import Good, Note, Ticket, TicketPhase
from shared.contracts import aftersales
from shared.contracts.base import sales_order_of
from shared.runtime.decider import Context
from shared.runtime.table import IGNORE, Cell, Change, Table, refuse, to

CALLS = "shortage"
"""The kind of ticket that asks for a call."""
RATING_SHOWN = 500
"""So many characters of a rating are a ticket's reason; the rest is read with the rating."""

# -- opening -----------------------------------------------------------------------------------------------------------


def ask_for_intercept(state: Ticket, m: aftersales.OpenTicket, context: Context) -> Change:
    """The order has the courier called back, if it is on the road."""
    changes, said = _opened(state, m.kind, m.reason, context)
    return changes, (*said, aftersales.InterceptAsked(order_id=state.order_id, ticket_id=state.ticket_id))


def ask_a_person(state: Ticket, m: aftersales.RaiseTicket, context: Context) -> Change:
    """It is on customer service's list."""
    changes, said = _opened(state, m.kind, m.reason, context)
    saga = {"account": m.account, "store": m.store, "spus": m.spus, "quantities": m.quantities, "opened_by": ""}
    return {**changes, **saga}, said


def open_complaint(state: Ticket, m: inner.RatedBadly, context: Context) -> Change:
    """A bad rating: somebody finds out what is to be done."""
    return _opened(state, "quality", m.text[:RATING_SHOWN], context)


def open_goods(state: Ticket, m: inner.GoodsOpened, context: Context) -> Change:
    """The pieces are this ticket's; a person decides."""
    changes, said = _opened(state, m.kind, m.command.reason, context)
    changes |= {
        "spus": m.command.spus,
        "quantities": m.command.quantities,
        "amount": m.command.amount,
        "liable": m.command.liable or "store",
        "claims": m.claims,
        "replacing": m.replacing,
    }
    return changes, said


def ask_order(state: Ticket, m: inner.GoodsAsked, context: Context) -> Change:
    """The order looks whether that may be."""
    changes, said = open_goods(state, m, context)
    return changes, (
        *said,
        aftersales.TicketAsked(
            order_id=state.order_id,
            ticket_id=state.ticket_id,
            kind=m.kind,
            spus=tuple(line.spu for line in m.replacing),
            prices=tuple(line.price for line in m.replacing),
            instead_of=tuple(line.instead_of for line in m.replacing),
        ),
    )


def _opened(state: Ticket, kind: Any, reason: str, context: Context) -> tuple[dict[str, Any], tuple[object, ...]]:
    w = context.windows
    patience_s = w.shortage_window_s if kind == CALLS else w.ticket_window_s
    changes = {
        "kind": kind,
        "reason": reason,
        "opened_at": context.now,
        "opened_by": context.actor,
        "deadline": context.now + timedelta(seconds=patience_s),
    }
    said = aftersales.TicketOpened(order_id=state.order_id, ticket_id=state.ticket_id, kind=kind, by=context.actor)
    return changes, (said,)


def admit(state: Ticket, m: inner.Admitted, context: Context) -> Change:
    """The order has nothing against it: a person decides."""
    return {"account": m.account, "store": m.store, "claims": m.claims, "replacing": m.replacing}, ()


def turn_down_unfit(state: Ticket, m: inner.Unfit, context: Context) -> Change:
    """The order was delivered, but not with these goods."""
    return _ended(state, "rejected", m.code, context)


# -- calls -------------------------------------------------------------------------------------------------------------


def choose_substitute(state: Ticket, m: inner.SubstituteWanted, context: Context) -> Change:
    """The order looks whether that may be, and whether it is there."""
    said = aftersales.SubstituteChosen(
        order_id=state.order_id,
        ticket_id=state.ticket_id,
        substitute_spus=m.call.spus,
        substitutes=m.call.quantities,
        instead_of=m.call.instead_of,
    )
    return {"call": m.call, "note": ""}, (said,)


def choose_drop(state: Ticket, m: inner.DropWanted, context: Context) -> Change:
    """The order goes on without the short pieces."""
    return {"call": m.call, "note": ""}, (aftersales.DropChosen(order_id=state.order_id, ticket_id=state.ticket_id),)


def choose_cancel(state: Ticket, m: inner.CancelWanted, context: Context) -> Change:
    """The order ends."""
    return {"call": m.call, "note": ""}, (aftersales.CancelChosen(order_id=state.order_id, ticket_id=state.ticket_id),)


def call_again(state: Ticket, m: aftersales.ReopenCall, context: Context) -> Change:
    """What the customer wanted cannot be: `note` tells the person who calls again."""
    return {"note": m.note}, ()


# -- goods -------------------------------------------------------------------------------------------------------------


def refund(state: Ticket, m: inner.RefundWanted, context: Context) -> Change:
    """The customer keeps the goods, and gets money for them."""
    changes, said = _wanted(state, m), _refunded(state, m.kind, m.claims, m.money, m.liable)
    kept = aftersales.GoodsKept(order_id=state.order_id, ticket_id=state.ticket_id, **_lines(m.claims))
    return _settled(
        state, {**changes, "refunded": state.refunded + m.money}, m.claims, (kept, *said), "refunded", context
    )


def ask_for_goods(state: Ticket, m: inner.ReturnWanted, context: Context) -> Change:
    """First the goods come back."""
    said = aftersales.ReturnApproved(order_id=state.order_id, ticket_id=state.ticket_id, **_lines(m.claims))
    return _wanted(state, m), (said,)


def ask_for_replacement(state: Ticket, m: inner.ReplacementWanted, context: Context) -> Change:
    """First the stock of the new goods is held."""
    back = _lines(m.claims) if m.kind == "exchange" else {"spus": (), "quantities": ()}
    said = aftersales.ReplacementApproved(
        order_id=m.order_id,
        ticket_id=state.ticket_id,
        about=state.order_id,
        kind=m.kind,  # type: ignore[arg-type]
        spus=tuple(line.spu for line in m.replacing),
        quantities=tuple(line.quantity for line in m.replacing),
        instead_of=tuple(line.instead_of for line in m.replacing),
        prices=tuple(line.price for line in m.replacing),
        back_spus=back["spus"],
        back=back["quantities"],
    )
    return {**_wanted(state, m), "replacing": m.replacing, "replacement": m.order_id}, (said,)


def choose_again(state: Ticket, m: aftersales.ReopenTicket, context: Context) -> Change:
    """Other goods, the money, or nothing: `note` says why it could not be what was chosen."""
    return {"note": m.note}, ()


def refund_dropped(state: Ticket, m: inner.NotReplaced, context: Context) -> Change:
    """The shelf had fewer of the new goods: for the rest, the money."""
    money = worth(m.dropped)
    said = _refunded(state, state.kind, m.dropped, money, state.liable)
    return {
        "claims": some(exchanged(state.claims, (), m.dropped)),
        "settled": state.settled + m.dropped,
        "refunded": state.refunded + money,
    }, said


def end_replenished(state: Ticket, m: inner.Replenished, context: Context) -> Change:
    """The missing goods are there."""
    return _settled(state, {}, state.claims, (), "replaced", context)


def refund_returned(state: Ticket, m: inner.GoodsCame, context: Context) -> Change:
    """Money for what really came; the rest is the customer's as before."""
    money = worth(m.came)
    said = _refunded(state, state.kind, m.came, money, state.liable)
    return _settled(state, {"refunded": state.refunded + money}, m.came, said, m.note, context)


def end_exchanged(state: Ticket, m: inner.OldGoodsSettled, context: Context) -> Change:
    """The new goods are there, and it is known what became of the old ones."""
    return _settled(state, {}, state.claims, (), m.note, context)


def end_unreturned(state: Ticket, m: inner.NothingCame, context: Context) -> Change:
    """No goods, no money."""
    return _ended(state, "rejected", m.note, context)


def _wanted(state: Ticket, m: inner.GoodsWanted) -> dict[str, Any]:
    pieces = pieces_of(m.claims)
    return {
        "kind": m.kind,
        "claims": m.claims,
        "liable": m.liable,
        "spus": tuple(pieces),
        "quantities": tuple(pieces.values()),
        "note": "",
        "ended_at": None,
    }


def _lines(goods: tuple[Good, ...]) -> dict[str, Any]:
    pieces = pieces_of(goods)
    return {"spus": tuple(pieces), "quantities": tuple(pieces.values())}


def _refunded(
    state: Ticket, kind: Any, goods: tuple[Good, ...], money: int, liable: Any
) -> tuple[aftersales.GoodsRefunded, ...]:
    """The order is told to give this back; nothing when nothing was paid."""
    if not money:
        return ()
    return (
        aftersales.GoodsRefunded(
            order_id=sales_order_of(state.order_id),
            ticket_id=state.ticket_id,
            about=state.order_id,
            kind=kind,
            amount=money,
            liable=liable,
            **_lines(goods),
        ),
    )


# -- people ------------------------------------------------------------------------------------------------------------


def claim(state: Ticket, m: aftersales.ClaimTicket, context: Context) -> Change:
    """For a while it is this person's; claiming again prolongs it."""
    until = context.now + timedelta(seconds=context.windows.claim_s)
    return {"claimed_by": context.actor, "claimed_until": until}, ()


def release(state: Ticket, m: aftersales.ReleaseTicket, context: Context) -> Change:
    """It is anybody's again."""
    return {"claimed_by": "", "claimed_until": None}, ()


def write_note(state: Ticket, m: aftersales.NoteTicket, context: Context) -> Change:
    """For the next person."""
    return {"notes": (*state.notes, Note(context.now, context.actor, m.text))}, ()


def approve(state: Ticket, m: inner.Approved, context: Context) -> Change:
    """A person has seen to it."""
    return _ended(state, "resolved", "approved", context)


def approve_retry(state: Ticket, m: inner.RetryApproved, context: Context) -> Change:
    """The order asks for the money once more. Should the gateway refuse that as well, it is another ticket."""
    changes, said = _ended(state, "resolved", "approved", context)
    return changes, (*said, aftersales.RefundApproved(order_id=state.order_id, ticket_id=state.ticket_id))


def deny(state: Ticket, m: inner.Denied, context: Context) -> Change:
    """A person says why not; the pieces may be in another ticket."""
    return _ended(state, "rejected", m.reason, context)


def resolve(state: Ticket, m: inner.Done, context: Context) -> Change:
    """The order did what was asked."""
    return _ended(state, "resolved", m.note, context)


def turn_down(state: Ticket, m: inner.NotDone, context: Context) -> Change:
    """The order did not do it."""
    return _ended(state, "rejected", m.note, context)


def _settled(
    state: Ticket,
    changes: dict[str, Any],
    goods: tuple[Good, ...],
    said: tuple[object, ...],
    note: str,
    context: Context,
) -> Change:
    """Resolved, and these of its pieces are done with."""
    ended, told = _ended(state, "resolved", note, context, kind=changes.get("kind"))
    return {**changes, **ended, "settled": state.settled + goods}, (*said, *told)


def _ended(
    state: Ticket, end: Any, note: str, context: Context, *, kind: Any = None
) -> tuple[dict[str, Any], tuple[object, ...]]:
    said = aftersales.TicketEnded(
        order_id=state.order_id,
        ticket_id=state.ticket_id,
        kind=kind or state.kind,
        phase=end,
        note=note,
        by=context.actor,
    )
    ended = {"note": note, "ended_at": context.now, "claims": (), "claimed_by": "", "claimed_until": None}
    return ended, (said,)


# -- the table ---------------------------------------------------------------------------------------------------------

UNFIT: tuple[type[inner.Unfit], ...] = (
    inner.LineUnknown,
    inner.MoreThanLeft,
    inner.AmountTooLarge,
    inner.AmountUnfit,
    inner.ReplacementUnfit,
    inner.LinesNeeded,
    inner.KindNeeded,
    inner.KindFixed,
)
"""What cannot be decided about goods."""


def _calls(cell: Cell) -> dict[type, Cell]:
    return dict.fromkeys((inner.SubstituteWanted, inner.DropWanted, inner.CancelWanted), cell)


def _decisions(cell: Cell) -> dict[type, Cell]:
    """What people decide, but for calls."""
    decided = (
        inner.Approved,
        inner.RetryApproved,
        inner.Denied,
        inner.RefundWanted,
        inner.ReturnWanted,
        inner.ReplacementWanted,
        inner.ApprovalUnneeded,
    )
    return dict.fromkeys((*decided, *UNFIT), cell)


KNOWN: dict[type, Cell] = {
    aftersales.RaiseTicket: IGNORE,  # one id, one ticket
    aftersales.OpenTicket: refuse("ticket_exists"),
}


def _waiting(phase: TicketPhase) -> dict[type, Cell]:
    return {
        **KNOWN,
        aftersales.ClaimTicket: to(phase, claim),
        aftersales.ReleaseTicket: to(phase, release),
        inner.NobodysClaim: refuse("ticket_not_claimed"),
        inner.ClaimedByOther: refuse("ticket_claimed"),
        aftersales.NoteTicket: to(phase, write_note),
        inner.NotesFull: refuse("ticket_notes_full"),
        inner.NotACall: refuse("ticket_not_a_call"),
        inner.ApprovalUnneeded: refuse("ticket_needs_no_approval"),
        inner.Done: to(TicketPhase.RESOLVED, resolve),
        inner.NotDone: to(TicketPhase.REJECTED, turn_down),
    }


_UNDER_WAY: dict[type, Cell] = {
    **_calls(refuse("ticket_not_open")),
    inner.SubstitutesBesideShort: refuse("ticket_not_open"),
    **_decisions(refuse("ticket_not_open")),
    inner.ApprovalUnneeded: refuse("ticket_needs_no_approval"),
}
ENDED: dict[type, Cell] = {
    **KNOWN,
    **_calls(refuse("ticket_closed")),
    inner.SubstitutesBesideShort: refuse("ticket_closed"),
    inner.NotACall: refuse("ticket_closed"),
    **_decisions(refuse("ticket_closed")),
    **dict.fromkeys((aftersales.ClaimTicket, aftersales.ReleaseTicket, aftersales.NoteTicket), refuse("ticket_closed")),
    # a person and a deadline spoke at once: what the order made of the second comes after the end
    inner.Done: IGNORE,
    inner.NotDone: IGNORE,
    aftersales.ReopenCall: IGNORE,
}

TICKET = Table(
    "ticket",
    {
        TicketPhase.NEW: {
            aftersales.OpenTicket: to(TicketPhase.DECIDING, ask_for_intercept),
            inner.GoodsOpened: to(TicketPhase.OPEN, open_goods),
            inner.GoodsAsked: to(TicketPhase.CHECKING, ask_order),
            aftersales.RaiseTicket: to(TicketPhase.OPEN, ask_a_person),
            inner.RatedBadly: to(TicketPhase.OPEN, open_complaint),
            inner.AskedAfterShut: refuse(aftersales.ORDER_CLOSED),
            inner.AskedUnderOtherName: refuse("ticket_exists"),
            **{unfit: refuse(unfit.code) for unfit in UNFIT},
            **_calls(refuse("ticket_unknown")),
            **dict.fromkeys(
                (inner.Approved, inner.Denied, aftersales.ClaimTicket, aftersales.ReleaseTicket, aftersales.NoteTicket),
                refuse("ticket_unknown"),
            ),
        },
        TicketPhase.CHECKING: {
            **_waiting(TicketPhase.CHECKING),
            **_UNDER_WAY,
            inner.Admitted: to(TicketPhase.OPEN, admit),
            # The order was delivered, but with other goods: the ticket was opened before aftersales knew which.
            **{unfit: to(TicketPhase.REJECTED, turn_down_unfit) for unfit in (inner.LineUnknown, inner.MoreThanLeft)},
            **{
                unfit: to(TicketPhase.REJECTED, turn_down_unfit)
                for unfit in (inner.AmountTooLarge, inner.ReplacementUnfit)
            },
        },
        TicketPhase.OPEN: {
            **_waiting(TicketPhase.OPEN),
            inner.SubstituteWanted: to(TicketPhase.DECIDING, choose_substitute),
            inner.DropWanted: to(TicketPhase.DECIDING, choose_drop),
            inner.CancelWanted: to(TicketPhase.DECIDING, choose_cancel),
            inner.SubstitutesBesideShort: refuse("substitutes_do_not_fit"),
            inner.Approved: to(TicketPhase.RESOLVED, approve),
            inner.RetryApproved: to(TicketPhase.RESOLVED, approve_retry),
            inner.RefundWanted: to(TicketPhase.RESOLVED, refund),
            inner.ReturnWanted: to(TicketPhase.RETURNING, ask_for_goods),
            inner.ReplacementWanted: to(TicketPhase.HOLDING, ask_for_replacement),
            **{unfit: refuse(unfit.code) for unfit in UNFIT},
            inner.Denied: to(TicketPhase.REJECTED, deny),
        },
        TicketPhase.DECIDING: {
            **_waiting(TicketPhase.DECIDING),
            **_UNDER_WAY,
            aftersales.ReopenCall: to(TicketPhase.OPEN, call_again),
        },
        TicketPhase.HOLDING: {
            **_waiting(TicketPhase.HOLDING),
            **_UNDER_WAY,
            aftersales.StartReplacement: to(TicketPhase.REPLACING),
            aftersales.ReopenTicket: to(TicketPhase.OPEN, choose_again),
        },
        TicketPhase.REPLACING: {
            **_waiting(TicketPhase.REPLACING),
            **_UNDER_WAY,
            inner.NotReplaced: to(TicketPhase.REPLACING, refund_dropped),
            inner.Replenished: to(TicketPhase.RESOLVED, end_replenished),
            inner.Exchanged: to(TicketPhase.RETURNING),
            aftersales.ReopenTicket: to(TicketPhase.OPEN, choose_again),
        },
        TicketPhase.RETURNING: {
            **_waiting(TicketPhase.RETURNING),
            **_UNDER_WAY,
            inner.GoodsCame: to(TicketPhase.RESOLVED, refund_returned),
            inner.NothingCame: to(TicketPhase.REJECTED, end_unreturned),
            inner.OldGoodsSettled: to(TicketPhase.RESOLVED, end_exchanged),
        },
        TicketPhase.RESOLVED: {
            **ENDED,
            # A late intercept that a person makes something of; any other decision is read as one too many.
            inner.RefundWanted: to(TicketPhase.RESOLVED, refund),
            inner.ReturnWanted: to(TicketPhase.RETURNING, ask_for_goods),
            inner.ReplacementWanted: to(TicketPhase.HOLDING, ask_for_replacement),
            **{unfit: refuse(unfit.code) for unfit in UNFIT},
            inner.AskedAfterShut: refuse(aftersales.ORDER_CLOSED),
        },
        TicketPhase.REJECTED: ENDED,
    },
)
