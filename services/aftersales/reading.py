"""Reading: a message about a ticket, seen with the ticket, its order's goods and the clock, as the table knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.aftersales import inner
from services.aftersales.goods import matched, pieces_of, same_again, some, summed, taken, worth
from services.aftersales.state import Call, Good, Phase, Replacing, Ticket, TicketPhase, Window
from services.aftersales.tickets import CALLS
from shared.contracts import aftersales
from shared.contracts.base import LINES_MAX, sales_order_of
from shared.runtime.decider import Context

APPROVED_BY_PEOPLE = frozenset({"missing_goods", "refund_failed"})
"""The kinds of ticket about no goods that a person ends."""
REFUNDS = "refund_failed"
"""The kind of these whose approval is an order: try again."""
ABOUT_GOODS = frozenset({"refund_only", "return", "exchange", "replenishment"})
"""The kinds that claim delivered pieces; one may become another."""
REPLACES = frozenset({"exchange", "replenishment"})
"""The kinds of these for which goods go out."""
NOTES_MAX = 100
"""Most notes on a ticket."""
NAMED_MAX = 10
"""Most SPUs that a refusal names."""


class TicketMistake(ValueError):
    """Something about tickets that cannot be: the message parks, and a person has to look at it."""


def read(
    m: aftersales.TicketCommand, ticket: Ticket, window: Window, master: Window, taken_: bool, context: Context
) -> Any:
    """The message as the ticket's table knows it. `window` is that of the ticket's order, `master` that of the sales
    order that it belongs to; `taken_`: another order has a ticket of this id."""
    if isinstance(m, aftersales.OpenTicket):
        return inner.AskedUnderOtherName() if taken_ else _read_opening(m, ticket, window)
    if isinstance(m, aftersales.RaiseTicket) and taken_:
        raise TicketMistake(f"ticket {m.ticket_id} of {m.order_id} has the id of another order's ticket")
    if isinstance(m, aftersales.SettleTicket):
        return inner.Done(m.note) if m.phase == "resolved" else inner.NotDone(m.note)
    if isinstance(m, aftersales.AdmitTicket):
        return _read_admission(ticket, window)
    if isinstance(m, aftersales.ConfirmReplacement):
        return inner.Replenished() if ticket.kind == "replenishment" else inner.Exchanged()
    if isinstance(m, aftersales.DropReplacement):
        return inner.NotReplaced(tuple(map(Good, m.spus, m.quantities, m.prices)))
    if isinstance(m, aftersales.ConfirmReturn):
        return _read_return(m, ticket)
    if isinstance(
        m,
        aftersales.RecordCall
        | aftersales.ApproveTicket
        | aftersales.RejectTicket
        | aftersales.ClaimTicket
        | aftersales.ReleaseTicket,
    ):
        return _claimed_by_other(ticket, context) or _read_decision(m, ticket, window, master, context)
    if isinstance(m, aftersales.NoteTicket) and len(ticket.notes) >= NOTES_MAX and not ticket.has_ended:
        return inner.NotesFull()
    return m


# -- opening -----------------------------------------------------------------------------------------------------------


def _read_opening(m: aftersales.OpenTicket, ticket: Ticket, window: Window) -> Any:
    if ticket.phase is not TicketPhase.NEW:
        return m
    if window.phase is Phase.SHUT:
        return inner.AskedAfterShut()
    if m.kind == "intercept":
        return m
    if not m.spus:
        return inner.LinesNeeded("the ticket names no goods")
    if unfit := _unfit_for_kind(m, m.kind):
        return unfit
    if window.phase is Phase.NEW:
        return inner.GoodsAsked(m.kind, (), (), m)  # only the order knows whether there is such an order
    found = _claimed(m, m.kind, window.goods)
    if isinstance(found, inner.Unfit):
        return found
    claims, replacing = found
    return (inner.GoodsAsked if m.kind in REPLACES else inner.GoodsOpened)(m.kind, claims, replacing, m)


def _read_admission(ticket: Ticket, window: Window) -> Any:
    if ticket.claims or ticket.phase is not TicketPhase.CHECKING:
        return inner.Admitted(window.account, window.store, ticket.claims, ticket.replacing)
    if window.phase is Phase.NEW:
        raise TicketMistake(f"ticket {ticket.ticket_id} is admitted, and {ticket.order_id} was not delivered")
    # What is to replace them was not kept with a ticket that could not be looked at: whoever approves it names it.
    claims = _take(window.goods, summed(ticket.spus, ticket.quantities))
    if isinstance(claims, inner.Unfit):
        return claims
    if ticket.amount is not None and ticket.amount > worth(claims):
        return inner.AmountTooLarge(_at_most(claims))
    return inner.Admitted(window.account, window.store, claims, same_again(claims) if ticket.kind in REPLACES else ())


# -- deciding ----------------------------------------------------------------------------------------------------------


def _claimed_by_other(ticket: Ticket, context: Context) -> inner.ClaimedByOther | None:
    if ticket.has_ended or ticket.claimed_until is None or ticket.claimed_until <= context.now:
        return None
    if ticket.claimed_by == context.actor:
        return None
    return inner.ClaimedByOther(f"{ticket.claimed_by} has it until {ticket.claimed_until:%Y-%m-%dT%H:%M:%SZ}")


def _read_decision(
    m: aftersales.TicketCommand, ticket: Ticket, window: Window, master: Window, context: Context
) -> Any:
    if isinstance(m, aftersales.RecordCall):
        return read_call(m, ticket, context)
    if isinstance(m, aftersales.ReleaseTicket):
        unclaimed = ticket.claimed_until is None or ticket.claimed_until <= context.now
        return inner.NobodysClaim() if unclaimed and ticket.phase is not TicketPhase.NEW and not ticket.has_ended else m
    if isinstance(m, aftersales.ClaimTicket):
        return m
    if ticket.phase is TicketPhase.NEW:
        return inner.Denied("") if isinstance(m, aftersales.RejectTicket) else inner.Approved()
    if ticket.kind in APPROVED_BY_PEOPLE:
        if isinstance(m, aftersales.RejectTicket):
            return inner.Denied(m.reason)
        if m.kind is not None:  # type: ignore[attr-defined]
            return inner.KindFixed(f"a ticket of kind {ticket.kind} does not become another")
        return inner.RetryApproved() if ticket.kind == REFUNDS else inner.Approved()
    late = ticket.kind == "intercept" and ticket.note == aftersales.TOO_LATE
    if ticket.kind not in ABOUT_GOODS and ticket.kind != "quality" and not late:
        return inner.ApprovalUnneeded()
    if isinstance(m, aftersales.RejectTicket):
        return inner.Denied(m.reason)
    if late and window.phase is Phase.SHUT:
        return inner.AskedAfterShut()
    # Any other phase refuses it whatever it says.
    return _read_goods(m, ticket, window, master) if ticket.phase is TicketPhase.OPEN or late else inner.Approved()  # type: ignore[arg-type]


def _read_goods(m: aftersales.ApproveTicket, ticket: Ticket, window: Window, master: Window) -> Any:
    """What is to be done about which pieces; what was not said now is as the ticket has it."""
    kind = m.kind or ticket.kind
    if kind not in ABOUT_GOODS:
        return inner.KindNeeded("name what it becomes: refund_only, return, exchange or replenishment")
    if unfit := _unfit_for_kind(m, kind):
        return unfit
    free = (*ticket.claims, *window.goods)
    if m.spus:
        claims = _take(free, summed(m.spus, m.quantities))
    elif ticket.claims:
        claims = ticket.claims
    elif ticket.kind == "intercept":
        claims = some(window.goods) or inner.LinesNeeded("nothing of the order is left")
    else:
        claims = inner.LinesNeeded("name the goods that it is about")
    if isinstance(claims, inner.Unfit):
        return claims
    liable = m.liable or ticket.liable
    if kind == "refund_only":
        money = m.amount or ticket.amount or worth(claims)
        if money > worth(claims):
            return inner.AmountTooLarge(_at_most(claims))
        return inner.RefundWanted(kind, claims, liable, money)
    if kind == "return":
        return inner.ReturnWanted(kind, claims, liable)
    replacing = _replacing(m, claims, ticket.replacing)
    if replacing is None:
        return inner.ReplacementUnfit("name a piece for each piece that is replaced")
    order_id = f"{sales_order_of(ticket.order_id)}~r{master.replacements + 1}"
    return inner.ReplacementWanted(kind, claims, liable, replacing, order_id)  # type: ignore[arg-type]


def _unfit_for_kind(m: aftersales.GoodsDecision, kind: str) -> inner.Unfit | None:
    if m.amount is not None and kind != "refund_only":
        return inner.AmountUnfit("an amount can be agreed where nothing comes back: refund_only")
    if m.replacement_spus and kind not in REPLACES:
        return inner.ReplacementUnfit(f"a ticket of kind {kind} replaces nothing")
    return None


def _claimed(
    m: aftersales.OpenTicket, kind: str, goods: Sequence[Good]
) -> tuple[tuple[Good, ...], tuple[Replacing, ...]] | inner.Unfit:
    claims = _take(goods, summed(m.spus, m.quantities))
    if isinstance(claims, inner.Unfit):
        return claims
    if m.amount is not None and m.amount > worth(claims):
        return inner.AmountTooLarge(_at_most(claims))
    if kind not in REPLACES:
        return claims, ()
    replacing = _replacing(m, claims, ())
    return (
        inner.ReplacementUnfit("name a piece for each piece that is replaced")
        if replacing is None
        else (claims, replacing)
    )


def _take(goods: Sequence[Good], wanted: Mapping[str, int]) -> tuple[Good, ...] | inner.Unfit:
    left = pieces_of(goods)
    if too_many := [spu for spu, pieces in wanted.items() if pieces > left.get(spu, 0)]:
        named = ", ".join(f"{left.get(spu, 0)} {spu}" for spu in too_many[:NAMED_MAX])
        unfit = inner.MoreThanLeft if any(spu in left for spu in too_many) else inner.LineUnknown
        return unfit(f"of what was delivered, and is in no other ticket, there are {named}")
    return taken(goods, wanted)[0]


def _replacing(
    m: aftersales.GoodsDecision, claims: Sequence[Good], before: Sequence[Replacing]
) -> tuple[Replacing, ...] | None:
    if m.replacement_spus:
        lines = matched(claims, list(zip(m.replacement_spus, m.replacements, m.instead_of, strict=True)))
    else:
        # Once more what was chosen before, if it still comes out even.
        again = [(line.spu, line.quantity, line.instead_of) for line in before]
        lines = (matched(claims, again) if again else None) or same_again(claims)
    # Lines over many lots are cut into more; no message takes any number of them.
    return lines if lines and len(lines) <= 2 * LINES_MAX else None


def _at_most(claims: Sequence[Good]) -> str:
    return f"{worth(claims)} was paid for these"


# -- what became of goods ----------------------------------------------------------------------------------------------


def _read_return(m: aftersales.ConfirmReturn, ticket: Ticket) -> Any:
    if ticket.kind == "exchange":
        return inner.OldGoodsSettled(m.note)
    if not m.spus:
        return inner.NothingCame(m.note)
    return inner.GoodsCame(taken(ticket.claims, summed(m.spus, m.quantities))[0], m.note)


# -- calls -------------------------------------------------------------------------------------------------------------


def read_call(m: aftersales.RecordCall, ticket: Ticket, context: Context) -> Any:
    """What the customer said, seen with what is short."""
    call = Call(m.outcome, context.actor, context.now, m.substitute_spus, m.substitutes, m.instead_of)
    if ticket.phase is not TicketPhase.NEW:
        if ticket.kind != CALLS:
            return inner.NotACall()
        if over := _beside_short(ticket, m):
            return inner.SubstitutesBesideShort(f"more substitutes for {over[0]} than pieces of it are short")
    if m.outcome == "substitute":
        return inner.SubstituteWanted(call)
    return inner.DropWanted(call) if m.outcome == "drop" else inner.CancelWanted(call)


def _beside_short(ticket: Ticket, m: aftersales.RecordCall) -> Sequence[str]:
    """The SPUs of which more would be replaced than is short."""
    left = summed(ticket.spus, ticket.quantities)
    for spu, pieces in zip(m.instead_of, m.substitutes, strict=True):
        left[spu] = left.get(spu, 0) - pieces
    return [spu for spu, rest in left.items() if rest < 0]
