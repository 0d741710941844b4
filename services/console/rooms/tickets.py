"""Customer service: calls by the time that is left, tickets by deadline, and each ticket from open to decided."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import words
from services.console.place import NOTHING, Deed, Notice, Place, do, following, found, items, notice_of
from services.console.rooms.orders import KINDS, goods
from services.console.session import Form, Person
from shared.http.problems import Problem

LISTED = 50
CALLS = "shortage"
"""The kind of ticket that asks for a call."""
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("Waiting", {"phase": "open"}),
    ("Calls", {"phase": "open", "kind": CALLS}),
    ("Overdue", {"overdue": "true"}),
    ("All", {}),
)
PHASES = ("open", "checking", "deciding", "holding", "replacing", "returning", "resolved", "rejected")


def routes(place: Place) -> APIRouter:
    """Customer service's routes."""
    router = APIRouter()

    @router.get("/tickets")
    async def some(
        request: Request,
        phase: str | None = None,
        kind: str = "",
        store: str = "",
        overdue: str = "",
        cursor: str = "",
    ) -> Response:
        person = place.enter(request, "/tickets")
        # Who comes without a wish sees what waits for a person.
        asked = {
            "phase": "open" if phase is None and not overdue else phase,
            "kind": kind,
            "store": store,
            "overdue": overdue,
        }
        tickets, calls = await asyncio.gather(
            place.services.get("aftersales", "/tickets", person.token, **asked, cursor=cursor, limit=LISTED),
            place.services.get("aftersales", "/tickets", person.token, phase="open", kind=CALLS, limit=LISTED),
        )
        problem = tickets.problem
        return place.page(
            request,
            person,
            "tickets.html",
            status=tickets.status if problem else 200,
            notice=notice_of(problem) if problem else None,
            tickets=items(tickets),
            calls=items(calls),
            asked=asked,
            views=[(title, urlencode(query)) for title, query in VIEWS],
            phases=PHASES,
            more=following(tickets, asked),
        )

    async def show(
        request: Request,
        person: Person,
        ticket_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        ticket = found(await place.services.get("aftersales", f"/tickets/{words.segment(ticket_id)}", person.token))
        order, events = await asyncio.gather(
            place.services.get("order", f"/orders/{words.segment(ticket['order_id'])}", person.token),
            place.services.get("aftersales", "/tickets", person.token, phase="open", limit=1),
        )
        return place.page(
            request,
            person,
            "ticket.html",
            status=status,
            notice=notice,
            typed=typed,
            ticket=ticket,
            order=order,
            kinds=KINDS,
            following=next((t for t in items(events) if t["ticket_id"] != ticket_id), None),
            is_mine=ticket["claimed_by"] == person.caller.actor,
        )

    @router.get("/tickets/{ticket_id}")
    async def page(request: Request, ticket_id: str) -> Response:
        return await show(request, place.enter(request, "/tickets"), ticket_id)

    @router.post("/tickets/{ticket_id}/{action}")
    async def act(request: Request, ticket_id: str, action: str) -> Response:
        person, form = await place.form(request, "/tickets")
        at = f"/tickets/{words.segment(ticket_id)}"

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, ticket_id, notice, typed, status)

        if action not in ACTIONS:
            raise Problem(404, "no_such_route", "there is no such thing to do with a ticket")
        deed = Deed(
            *("aftersales", f"{at}/{action}", lambda form: ACTIONS[action](form, place), DONE[action], at),
            about=("aftersales", at),
        )
        return await do(place, person, form, deed, again)

    return router


def _call(form: Form, place: Place) -> dict[str, Any]:
    body: dict[str, Any] = {"outcome": form.get("outcome", "")}
    if body["outcome"] == "substitute":
        rows = zip(form.many("short"), form.many("substitute"), form.many("pieces"), strict=False)
        body["substitutes"] = [
            {"spu": new.strip(), "quantity": words.pieces(n), "instead_of": short}
            for short, new, n in rows
            if new.strip()
        ]
        if not body["substitutes"]:
            raise ValueError("Name what comes instead, or choose another outcome.")
    return body


def _approval(form: Form, place: Place) -> dict[str, Any]:
    return {**({"kind": form["kind"]} if form.get("kind") else {}), **goods(form, place)}


ACTIONS: dict[str, Any] = {
    "claim": lambda form, place: None,
    "release": lambda form, place: None,
    "note": lambda form, place: {"text": form.get("text", "")},
    "call-outcome": _call,
    "approve": _approval,
    "reject": lambda form, place: {"reason": form.get("reason", "")},
}
"""What may be done with a ticket, and the body that a form makes."""
DONE = {
    "claim": "the ticket is yours",
    "release": "the ticket is everybody's again",
    "note": "note kept",
    "call-outcome": "call written down",
    "approve": "approved",
    "reject": "rejected",
}
