"""Aftersales over HTTP: until when may this order be complained about, and what does customer service do about it?"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, model_validator

from services.aftersales.pages import PhaseName, TicketPage, Tickets
from services.aftersales.store import AftersalesStore
from shared.contracts.aftersales import (
    ORDER_UNKNOWN,
    ApproveTicket,
    OpenTicket,
    RecordCall,
    RejectTicket,
    TicketCommand,
)
from shared.contracts.base import LINES_MAX, Filled, Money, Name, Quantity, Text, TicketId
from shared.contracts.payment import Liable
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.body import Body, Nothing
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.service import Parts

register(
    {
        "window_unknown": (404, "This order was not delivered, or does not exist"),
        "window_shut": (409, "The after-sales window of this order is shut"),
        ORDER_UNKNOWN: (404, "There is no such order"),
        "ticket_unknown": (404, "There is no such ticket"),
        "ticket_exists": (409, "A ticket of this id exists"),
        "ticket_kind_not_open_yet": (422, "Tickets of this kind cannot be opened yet"),
        "ticket_not_open": (409, "What was asked is being carried out: the ticket waits for nobody now"),
        "ticket_closed": (409, "The ticket has ended"),
        "ticket_not_a_call": (409, "The ticket does not ask for a call"),
        "ticket_needs_no_approval": (409, "The ticket takes its way without approval"),
        "substitutes_do_not_fit": (422, "More would be replaced than is short"),
    }
)

Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]
# Customers see their tickets on the order's page.
Staff = Annotated[Caller, Depends(require(Role.CUSTOMER_SERVICE))]
Agent = Annotated[Asked, Depends(asking(Role.CUSTOMER_SERVICE))]

_TICKET_ID_CHARS = 20
WORD_OF_ORDER_S = 1.0
"""How long a new ticket waits for word that there is no such order. The order service sends it after two or three
batches; of a courier who is called back there is no word until he was reached, and nobody waits for that here."""


class WindowPage(BaseModel):
    """The after-sales window of a delivered order (`phase` open, passed while a ticket is open, or shut)."""

    order_id: str
    phase: str
    shuts_at: datetime


class LineIn(Body):
    """Pieces of one SPU."""

    spu: Name
    quantity: Quantity


class TicketIn(Body):
    """What is to be done about an order. An intercept is about the whole order: it takes a reason, and no more."""

    order_id: Name
    kind: Literal["refund_only", "return", "exchange", "replenishment", "intercept"]
    lines: Annotated[list[LineIn], Field(max_length=LINES_MAX)] = []
    reason: Text = ""
    amount: Money | None = None
    liable: Liable | None = None
    replacement_lines: Annotated[list[LineIn], Field(max_length=LINES_MAX)] = []


class SubstituteIn(LineIn):
    """Pieces of an SPU instead of as many of a short one."""

    instead_of: Name


class CallIn(Body):
    """What the customer said. Substitutes belong to the outcome `substitute`, and to no other."""

    outcome: Literal["substitute", "drop", "cancel"]
    substitutes: Annotated[list[SubstituteIn], Field(max_length=LINES_MAX)] = []

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.outcome == "substitute") != bool(self.substitutes):
            raise ValueError("the outcome substitute, and no other, names substitutes")
        return self


class RejectIn(Body):
    """Why not."""

    reason: Filled


def routes(parts: Parts) -> list[APIRouter]:
    """The aftersales service's routes."""
    return [_windows(parts), _tickets(parts)]


def _windows(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["windows"])
    store = AftersalesStore()

    @router.get("/orders/{order_id}/window")
    async def read(order_id: Name, caller: Reader) -> WindowPage:
        async with parts.pool.acquire() as connection:
            window = await store.load_window(connection, order_id)
        if window is None or window.shuts_at is None:
            raise refusal("window_unknown")
        caller.must_see(window.account, "window_unknown")
        return WindowPage(order_id=order_id, phase=window.phase, shuts_at=window.shuts_at)

    return router


def _tickets(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["tickets"])
    tickets = Tickets(parts.pool)

    async def page(ticket_id: str) -> TicketPage:
        found = await tickets.page(ticket_id)
        if found is None:
            raise refusal("ticket_unknown")
        return found

    async def order_of(ticket_id: str) -> str:
        """Commands are keyed by order, which the address does not name."""
        order_id = await tickets.order_of(ticket_id)
        if order_id is None:
            raise refusal("ticket_unknown")
        return order_id

    async def carry_out(
        command: TicketCommand, asked: Asked, response: Response, *, at_least_s: float = 0
    ) -> TicketPage:
        await parts.desk.send(command, asked)
        await parts.rests.wait(command.ticket_id, max(asked.wait_s, at_least_s))
        response.headers["Location"] = f"/tickets/{command.ticket_id}"
        return await page(command.ticket_id)

    @router.post("/tickets", status_code=202)
    async def open_ticket(body: TicketIn, asked: Agent, response: Response) -> TicketPage:
        if body.kind != "intercept":
            raise refusal("ticket_kind_not_open_yet", f"no tickets of kind {body.kind} yet, only intercept")
        command = OpenTicket(
            order_id=body.order_id, ticket_id=_ticket_id(asked.command_id), kind=body.kind, reason=body.reason
        )
        opened = await carry_out(command, asked, response, at_least_s=WORD_OF_ORDER_S)
        if (opened.phase, opened.note) == ("rejected", ORDER_UNKNOWN):
            raise refusal(ORDER_UNKNOWN, f"there is no order {opened.order_id}", about=opened.ticket_id)
        return opened

    @router.get("/tickets")
    async def some(
        caller: Staff,
        paging: Paged,
        order: Annotated[Name | None, Query(description="an order's tickets only")] = None,
        phase: PhaseName | None = None,
    ) -> Page[TicketPage]:
        rows = await tickets.some(order, phase, paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda t: (t.opened_at, t.ticket_id), item=lambda t: t)

    @router.get("/tickets/{ticket_id}")
    async def read(ticket_id: TicketId, caller: Staff) -> TicketPage:
        return await page(ticket_id)

    @router.post("/tickets/{ticket_id}/call-outcome", status_code=202)
    async def call_outcome(ticket_id: TicketId, body: CallIn, asked: Agent, response: Response) -> TicketPage:
        command = RecordCall(
            order_id=await order_of(ticket_id),
            ticket_id=ticket_id,
            outcome=body.outcome,
            substitute_spus=tuple(s.spu for s in body.substitutes),
            substitutes=tuple(s.quantity for s in body.substitutes),
            instead_of=tuple(s.instead_of for s in body.substitutes),
        )
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/approve", status_code=202)
    async def approve(ticket_id: TicketId, asked: Agent, response: Response, body: Nothing | None = None) -> TicketPage:
        command = ApproveTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id)
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/reject", status_code=202)
    async def reject(ticket_id: TicketId, body: RejectIn, asked: Agent, response: Response) -> TicketPage:
        command = RejectTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id, reason=body.reason)
        return await carry_out(command, asked, response)

    return router


def _ticket_id(command_id: str) -> str:
    """The ticket that a command of this id opens, so that a repeat is about the same ticket."""
    return f"t-{hashlib.sha256(command_id.encode()).hexdigest()[:_TICKET_ID_CHARS]}"
