"""Aftersales over HTTP: until when may this order be complained about, and what does customer service do about it?"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, StringConstraints, model_validator

from services.aftersales import inner
from services.aftersales.pages import PhaseName, RatingPage, TicketPage, Tickets
from services.aftersales.store import AftersalesStore
from shared.contracts import aftersales, payment
from shared.contracts.base import LINES_MAX, Filled, Name, OrderId, Quantity, Text, TicketId
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.body import Body, Nothing
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.service import Parts

register(
    {
        "window_unknown": (404, "This order was not delivered, or does not exist"),
        aftersales.ORDER_CLOSED: (409, "The order is closed: nothing can be done to it any more"),
        aftersales.ORDER_NOT_DELIVERED: (409, "The order is not delivered"),
        aftersales.ORDER_UNKNOWN: (404, "There is no such order"),
        "ticket_unknown": (404, "There is no such ticket"),
        "ticket_exists": (409, "A ticket of this id exists"),
        "ticket_claimed": (409, "Somebody else works on the ticket"),
        "ticket_not_claimed": (409, "Nobody works on the ticket"),
        "ticket_notes_full": (409, "The ticket has as many notes as it takes"),
        "ticket_not_open": (409, "What was asked is being carried out: the ticket waits for nobody now"),
        "ticket_closed": (409, "The ticket has ended"),
        "ticket_not_a_call": (409, "The ticket does not ask for a call"),
        "ticket_needs_no_approval": (409, "The ticket takes its way without approval"),
        "substitutes_do_not_fit": (422, "More would be replaced than is short"),
        "replacement_price_differs": (409, "The replacing goods cost more, or less, than may be without a difference"),
        "replacement_unknown": (422, "A replacing SPU is not in the catalogue"),
        inner.LineUnknown.code: (422, "The order has no such line"),
        inner.MoreThanLeft.code: (409, "More pieces than were delivered and are in no other ticket"),
        inner.AmountTooLarge.code: (422, "More money than was paid for these pieces"),
        inner.AmountUnfit.code: (422, "A ticket of this kind takes no amount"),
        inner.ReplacementUnfit.code: (422, "Not a piece for a piece"),
        inner.LinesNeeded.code: (422, "The ticket needs lines: which goods?"),
        inner.KindNeeded.code: (422, "The ticket needs a kind: what is to be done?"),
        inner.KindFixed.code: (409, "The ticket does not become another kind"),
        "already_rated": (409, "The order is rated already"),
        "rating_unknown": (404, "There is no rating of this order"),
    }
)
SAID_BY_ORDER = frozenset(
    {
        aftersales.ORDER_UNKNOWN,
        aftersales.ORDER_NOT_DELIVERED,
        aftersales.ORDER_CLOSED,
        "replacement_price_differs",
        "replacement_unknown",
        inner.LineUnknown.code,
        inner.MoreThanLeft.code,
        inner.AmountTooLarge.code,
        inner.ReplacementUnfit.code,
    }
)
"""Notes of a ticket that say why it cannot be what somebody wanted: told as a refusal."""

Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]
# Customers see their tickets on the order's page.
Staff = Annotated[Caller, Depends(require(Role.CUSTOMER_SERVICE))]
Agent = Annotated[Asked, Depends(asking(Role.CUSTOMER_SERVICE))]
Customer = Annotated[Asked, Depends(asking(Role.CUSTOMER))]

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


class ReplacementIn(LineIn):
    """Pieces of an SPU instead of as many of a delivered one; none named: of whichever the ticket has left."""

    instead_of: Name | None = None


Lines = Annotated[list[LineIn], Field(max_length=LINES_MAX)]


class GoodsIn(Body):
    """What is to be done about delivered goods. `amount` (minor units) is agreed on instead of the whole price."""

    lines: Lines = []
    amount: payment.MoneyMoved | None = None
    liable: payment.Liable | None = None
    replacement_lines: Annotated[list[ReplacementIn], Field(max_length=LINES_MAX)] = []

    def decided(self) -> dict[str, Any]:
        """The same, as commands have it."""
        return {
            "spus": tuple(line.spu for line in self.lines),
            "quantities": tuple(line.quantity for line in self.lines),
            "amount": self.amount,
            "liable": self.liable,
            "replacement_spus": tuple(line.spu for line in self.replacement_lines),
            "replacements": tuple(line.quantity for line in self.replacement_lines),
            "instead_of": tuple(line.instead_of or "" for line in self.replacement_lines),
        }


class TicketIn(GoodsIn):
    """A new ticket. An intercept is about the whole order: it takes a reason, and no more."""

    order_id: OrderId
    kind: Literal["refund_only", "return", "exchange", "replenishment", "intercept"]
    reason: Text = ""

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        named = [name for name in ("lines", "amount", "liable", "replacement_lines") if getattr(self, name)]
        if self.kind == "intercept" and named:
            raise ValueError(f"an intercept is about the whole order, and takes no {named[0]}")
        return self


class ApproveIn(GoodsIn):
    """What is to be done; what is not named is as the ticket has it. A quality complaint, a late intercept or a ticket
    whose goods cannot be had becomes the kind named."""

    kind: aftersales.GoodsKind | None = None


class NoteIn(Body):
    """For the next person."""

    text: Filled


class RatingIn(Body):
    """What the customer says of an order: 1 to 5 stars."""

    order_id: OrderId
    stars: Annotated[int, Field(ge=1, le=5)]
    text: Annotated[str, StringConstraints(max_length=aftersales.RATING_MAX, pattern=r"^[^\x00]*$")] = ""


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
    return [_windows(parts), _tickets(parts), _ratings(parts)]


def _windows(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["windows"])
    store = AftersalesStore()

    @router.get("/orders/{order_id}/window")
    async def read(order_id: OrderId, caller: Reader) -> WindowPage:
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
        command: aftersales.TicketCommand, asked: Asked, response: Response, *, at_least_s: float = 0
    ) -> TicketPage:
        await parts.desk.send(command, asked)
        await parts.rests.wait(command.ticket_id, max(asked.wait_s, at_least_s))
        response.headers["Location"] = f"/tickets/{command.ticket_id}"
        return await page(command.ticket_id)

    @router.post("/tickets", status_code=202)
    async def open_ticket(body: TicketIn, asked: Agent, response: Response) -> TicketPage:
        ticket_id = _ticket_id(asked.command_id)
        command = aftersales.OpenTicket(
            order_id=body.order_id, ticket_id=ticket_id, kind=body.kind, reason=body.reason, **body.decided()
        )
        opened = await carry_out(command, asked, response, at_least_s=WORD_OF_ORDER_S)
        if opened.phase == "rejected" and opened.note in SAID_BY_ORDER:
            raise refusal(opened.note, about=opened.ticket_id)
        return opened

    @router.get("/tickets")
    async def some(
        caller: Staff,
        paging: Paged,
        order: Annotated[OrderId | None, Query(description="an order's tickets only")] = None,
        phase: PhaseName | None = None,
        kind: aftersales.TicketKind | None = None,
        store: Name | None = None,
        overdue: Annotated[bool | None, Query(description="past their deadline, or not")] = None,
    ) -> Page[TicketPage]:
        rows = await tickets.some((order, phase, kind, store, overdue), paging.after(bool, datetime, str), paging.fetch)
        return paging.page(rows, last=lambda t: (t.ended_at is not None, t.deadline, t.ticket_id), item=lambda t: t)

    @router.get("/tickets/{ticket_id}")
    async def read(ticket_id: TicketId, caller: Staff) -> TicketPage:
        return await page(ticket_id)

    @router.post("/tickets/{ticket_id}/call-outcome", status_code=202)
    async def call_outcome(ticket_id: TicketId, body: CallIn, asked: Agent, response: Response) -> TicketPage:
        command = aftersales.RecordCall(
            order_id=await order_of(ticket_id),
            ticket_id=ticket_id,
            outcome=body.outcome,
            substitute_spus=tuple(s.spu for s in body.substitutes),
            substitutes=tuple(s.quantity for s in body.substitutes),
            instead_of=tuple(s.instead_of for s in body.substitutes),
        )
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/claim", status_code=202)
    async def claim(ticket_id: TicketId, asked: Agent, response: Response, body: Nothing | None = None) -> TicketPage:
        command = aftersales.ClaimTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id)
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/release", status_code=202)
    async def release(ticket_id: TicketId, asked: Agent, response: Response, body: Nothing | None = None) -> TicketPage:
        command = aftersales.ReleaseTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id)
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/note", status_code=202)
    async def note(ticket_id: TicketId, body: NoteIn, asked: Agent, response: Response) -> TicketPage:
        command = aftersales.NoteTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id, text=body.text)
        return await carry_out(command, asked, response)

    @router.post("/tickets/{ticket_id}/approve", status_code=202)
    async def approve(
        ticket_id: TicketId, asked: Agent, response: Response, body: ApproveIn | None = None
    ) -> TicketPage:
        said = body or ApproveIn()
        command = aftersales.ApproveTicket(
            order_id=await order_of(ticket_id), ticket_id=ticket_id, kind=said.kind, **said.decided()
        )
        approved = await carry_out(command, asked, response, at_least_s=WORD_OF_ORDER_S)
        if approved.phase == "open" and approved.note in SAID_BY_ORDER:
            raise refusal(approved.note, "choose other goods", about=ticket_id)
        return approved

    @router.post("/tickets/{ticket_id}/reject", status_code=202)
    async def reject(ticket_id: TicketId, body: RejectIn, asked: Agent, response: Response) -> TicketPage:
        command = aftersales.RejectTicket(order_id=await order_of(ticket_id), ticket_id=ticket_id, reason=body.reason)
        return await carry_out(command, asked, response)

    return router


def _ratings(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["ratings"])
    tickets = Tickets(parts.pool)

    @router.post("/ratings", status_code=202)
    async def rate(body: RatingIn, asked: Customer, response: Response) -> RatingPage:
        command = aftersales.RateOrder(
            order_id=body.order_id, account=asked.caller.account or "", stars=body.stars, text=body.text
        )
        await parts.desk.send(command, asked)
        response.headers["Location"] = f"/ratings/{body.order_id}"
        found = await tickets.rating(body.order_id)
        assert found is not None, "it was written with the answer"
        return found

    @router.get("/ratings/{order_id}")
    async def read(order_id: OrderId, caller: Reader) -> RatingPage:
        found = await tickets.rating(order_id)
        if found is None:
            raise refusal("rating_unknown")
        caller.must_see(found.account, "rating_unknown")
        return found

    return router


def _ticket_id(command_id: str) -> str:
    """The ticket that a command of this id opens, so that a repeat is about the same ticket."""
    return f"t-{hashlib.sha256(command_id.encode()).hexdigest()[:_TICKET_ID_CHARS]}"
