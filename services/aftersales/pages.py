"""What customer service sees of tickets, read from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg
from pydantic import BaseModel

from services.aftersales import inner
from services.aftersales.goods import pieces_of
from services.aftersales.reading import ABOUT_GOODS, APPROVED_BY_PEOPLE, REFUNDS
from services.aftersales.state import Ticket
from services.aftersales.store import LOAD_TICKETS, TICKET_COLUMNS, read_ticket
from services.aftersales.tickets import CALLS, TICKET
from shared.contracts import aftersales

GOODS_ACTIONS: dict[str, type] = {"approve": inner.ReturnWanted, "reject": inner.Denied}
ACTIONS: dict[str, dict[str, type]] = {
    CALLS: {"call-outcome": inner.DropWanted},
    "intercept": {},
    **dict.fromkeys((*ABOUT_GOODS, "quality"), GOODS_ACTIONS),
    **{kind: {"approve": inner.Approved, "reject": inner.Denied} for kind in APPROVED_BY_PEOPLE - {REFUNDS}},
    REFUNDS: {"approve": inner.RetryApproved, "reject": inner.Denied},
}
"""What `allowed` may name, by kind of ticket: the part of the address behind the ticket's."""
FOR_ALL: dict[str, type] = {"claim": aftersales.ClaimTicket, "note": aftersales.NoteTicket}
LATE_INTERCEPT: dict[str, type] = {"approve": inner.ReturnWanted}

_ORDER_OF = "select order_id from tickets where ticket_id = $1"
_STEPS = "select at, phase, step, actor, note from ticket_steps where ticket_id = $1 order by seq"
_RATING = "select order_id, account, at, stars, text from ratings where order_id = $1"
_LIST = f"""
select {TICKET_COLUMNS}
from tickets
where ($1::text is null or order_id = $1) and ($2::text is null or phase = $2) and ($3::text is null or kind = $3)
  and ($4::text is null or store = $4)
  and ($5::boolean is null or (ended_at is null and deadline < now()) = $5)
  and ($6::boolean is null or (ended_at is not null, deadline, ticket_id) > ($6, $7::timestamptz, $8::text))
order by (ended_at is not null), deadline, ticket_id limit $9
"""

PhaseName = Literal["checking", "open", "deciding", "holding", "replacing", "returning", "resolved", "rejected"]


class LinePage(BaseModel):
    """Pieces of one SPU that a ticket is about."""

    spu: str
    quantity: int


class SubstitutePage(BaseModel):
    """Pieces of an SPU instead of as many of another."""

    spu: str
    quantity: int
    instead_of: str


class CallPage(BaseModel):
    """What the customer said on the phone last, who wrote it down, and when."""

    outcome: str
    substitutes: list[SubstitutePage]
    by: str
    at: datetime


class ReplacingPage(BaseModel):
    """Pieces that replace as many of another SPU, and what was paid for one of those (minor units)."""

    spu: str
    quantity: int
    instead_of: str
    price: int


class NotePage(BaseModel):
    """What somebody wrote down for the next person."""

    at: datetime
    by: str
    text: str


class StepPage(BaseModel):
    """One line of a ticket's timeline."""

    at: datetime
    phase: str
    step: str
    actor: str
    note: str


class RatingPage(BaseModel):
    """What a customer said of an order."""

    order_id: str
    account: str
    at: datetime
    stars: int
    text: str


class TicketPage(BaseModel):
    """A work order of customer service.

    `phase` is open (waits for a person), checking or deciding (the order looks, or carries out what was asked), holding
    and replacing (goods go out), returning (goods come back), resolved or rejected; `note` says how it ended, or why
    what was decided could not be carried out. `opened_by` is empty when no person opened it; `claimed_by` works on it
    until `claimed_until`. `lines` are the pieces it is about, `settled` those that are done with, `refunded` the money
    (minor units), `replacement` the order that goes out. `allowed` is what may be done to it now; `offers` are kinds of
    ticket that may help after its end. `timeline` is told of one ticket, not in lists.
    """

    ticket_id: str
    order_id: str
    kind: aftersales.TicketKind
    phase: PhaseName
    account: str
    store: str
    lines: list[LinePage]
    reason: str
    note: str
    call: CallPage | None
    opened_at: datetime
    opened_by: str
    ended_at: datetime | None
    deadline: datetime
    overdue: bool
    claimed_by: str | None
    claimed_until: datetime | None
    liable: str
    amount: int | None
    settled: list[LinePage]
    refunded: int
    replacing: list[ReplacingPage]
    replacement: str | None
    notes: list[NotePage]
    allowed: list[str]
    offers: list[str]
    timeline: list[StepPage] = []


class Tickets:
    """Reads tickets for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def order_of(self, ticket_id: str) -> str | None:
        """The order that a ticket is about."""
        order_id: str | None = await self._pool.fetchval(_ORDER_OF, ticket_id)
        return order_id

    async def page(self, ticket_id: str) -> TicketPage | None:
        """One ticket, with its timeline."""
        rows = await self._pool.fetch(LOAD_TICKETS, [ticket_id])
        if not rows:
            return None
        found = page_of(read_ticket(rows[0]), datetime.now(UTC))
        found.timeline = [StepPage(**step) for step in await self._pool.fetch(_STEPS, ticket_id)]
        return found

    async def some(self, asked: Sequence[Any], after: Sequence[Any], limit: int) -> list[TicketPage]:
        """Tickets by deadline, ended ones last; of an order, a phase, a kind, a store, overdue or not (None: all)."""
        rows = await self._pool.fetch(_LIST, *asked, *after, limit)
        now = datetime.now(UTC)
        return [page_of(read_ticket(row), now) for row in rows]

    async def rating(self, order_id: str) -> RatingPage | None:
        """What the customer said of an order."""
        row = await self._pool.fetchrow(_RATING, order_id)
        return RatingPage(**row) if row else None


def page_of(ticket: Ticket, now: datetime) -> TicketPage:
    """A ticket as customer service sees it."""
    call, late = ticket.call, ticket.kind == "intercept" and ticket.note == aftersales.TOO_LATE
    claimed = ticket.claimed_until is not None and ticket.claimed_until > now
    actions = (
        LATE_INTERCEPT
        if late
        else ACTIONS[ticket.kind] | FOR_ALL | ({"release": aftersales.ReleaseTicket} if claimed else {})
    )
    return TicketPage.model_validate(
        {
            "ticket_id": ticket.ticket_id,
            "order_id": ticket.order_id,
            "kind": ticket.kind,
            "phase": ticket.phase,
            "account": ticket.account,
            "store": ticket.store,
            "lines": [LinePage(spu=s, quantity=q) for s, q in zip(ticket.spus, ticket.quantities, strict=True)],
            "reason": ticket.reason,
            "note": ticket.note,
            "call": call
            and CallPage(
                outcome=call.outcome,
                substitutes=[
                    SubstitutePage(spu=spu, quantity=quantity, instead_of=instead_of)
                    for spu, quantity, instead_of in zip(call.spus, call.quantities, call.instead_of, strict=True)
                ],
                by=call.by,
                at=call.at,
            ),
            "opened_at": ticket.opened_at,
            "opened_by": ticket.opened_by,
            "ended_at": ticket.ended_at,
            "deadline": ticket.deadline,
            "overdue": not ticket.has_ended and ticket.deadline is not None and ticket.deadline < now,
            "claimed_by": ticket.claimed_by if claimed else None,
            "claimed_until": ticket.claimed_until if claimed else None,
            "liable": ticket.liable,
            "amount": ticket.amount,
            "settled": [LinePage(spu=spu, quantity=pieces) for spu, pieces in pieces_of(ticket.settled).items()],
            "refunded": ticket.refunded,
            "replacing": [ReplacingPage(**line._asdict()) for line in ticket.replacing],
            "replacement": ticket.replacement or None,
            "notes": [NotePage(**note._asdict()) for note in ticket.notes],
            "allowed": TICKET.allowed(ticket.phase, actions),
            "offers": ["return"] if late else [],
        }
    )
