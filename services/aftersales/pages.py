"""What customer service sees of tickets, read from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic import BaseModel

from services.aftersales.decider import APPROVED_BY_PEOPLE, CALLS, REFUNDS, TICKET
from services.aftersales.state import Approved, Denied, DropWanted, RetryApproved, Ticket
from services.aftersales.store import LOAD_TICKETS, read_ticket
from shared.contracts.aftersales import TOO_LATE, TicketKind

ACTIONS: dict[str, dict[str, type]] = {
    CALLS: {"call-outcome": DropWanted},
    **{kind: {"approve": Approved, "reject": Denied} for kind in APPROVED_BY_PEOPLE - {REFUNDS}},
    REFUNDS: {"approve": RetryApproved, "reject": Denied},
}
"""What `allowed` may name, by kind of ticket: the part of the address behind the ticket's."""
OFFERS: dict[str, list[str]] = {TOO_LATE: ["return"]}
"""Kinds of ticket that may help after one that the order settled with this note."""

_ORDER_OF = "select order_id from tickets where ticket_id = $1"
_LIST = """
select ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note, opened_at, opened_by, ended_at,
       call
from tickets
where ($1::text is null or order_id = $1) and ($2::text is null or phase = $2)
  and (opened_at, ticket_id) > (coalesce($3, '-infinity'::timestamptz), coalesce($4, ''))
order by opened_at, ticket_id limit $5
"""

PhaseName = Literal["open", "deciding", "resolved", "rejected"]


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


class TicketPage(BaseModel):
    """A work order of customer service.

    `phase` is open (waits for a person), deciding (the order carries out what was asked), resolved or rejected; `note`
    says how it ended, or why the outcome of the call could not be carried out. `opened_by` is empty when no person
    opened it. `allowed` is what may be done to it now; `offers` are kinds of ticket that may help after its end.
    """

    ticket_id: str
    order_id: str
    kind: TicketKind
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
    allowed: list[str]
    offers: list[str]


class Tickets:
    """Reads tickets for people."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def order_of(self, ticket_id: str) -> str | None:
        """The order that a ticket is about."""
        order_id: str | None = await self._pool.fetchval(_ORDER_OF, ticket_id)
        return order_id

    async def page(self, ticket_id: str) -> TicketPage | None:
        """One ticket."""
        rows = await self._pool.fetch(LOAD_TICKETS, [ticket_id])
        return page_of(read_ticket(rows[0])) if rows else None

    async def some(self, order_id: str | None, phase: str | None, after: Sequence[Any], limit: int) -> list[TicketPage]:
        """Tickets, the oldest first."""
        rows = await self._pool.fetch(_LIST, order_id, phase, *after, limit)
        return [page_of(read_ticket(row)) for row in rows]


def page_of(ticket: Ticket) -> TicketPage:
    """A ticket as customer service sees it."""
    call = ticket.call
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
            "allowed": TICKET.allowed(ticket.phase, ACTIONS.get(ticket.kind, {})),
            "offers": OFFERS.get(ticket.note, []) if ticket.kind == "intercept" else [],
        }
    )
