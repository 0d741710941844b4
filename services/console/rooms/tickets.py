"""Customer service: calls by the time that is left, tickets by deadline, and each ticket from open to decided."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import words
from services.console.place import NOTHING, Notice, Place, changed, finish, notice_of
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
        following = None if problem else tickets.body["next"]
        return place.page(
            request,
            person,
            "tickets.html",
            status=tickets.status if problem else 200,
            notice=notice_of(problem) if problem else None,
            tickets=[] if problem else tickets.body["items"],
            calls=[] if calls.problem else calls.body["items"],
            asked=asked,
            views=[(title, urlencode(query)) for title, query in VIEWS],
            phases=PHASES,
            more=urlencode({**{k: v for k, v in asked.items() if v}, "cursor": following}) if following else "",
        )

    async def show(
        request: Request,
        person: Person,
        ticket_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        answer = await place.services.get("aftersales", f"/tickets/{words.segment(ticket_id)}", person.token)
        if answer.problem is not None:
            raise Problem(answer.status, answer.code, answer.problem.get("detail"), title=answer.problem["title"])
        ticket = answer.body
        order, events = await asyncio.gather(
            place.services.get("order", f"/orders/{words.segment(ticket['order_id'])}", person.token),
            place.services.get("aftersales", "/tickets", person.token, phase="open", limit=1),
        )
        following = (
            None if events.problem else next((t for t in events.body["items"] if t["ticket_id"] != ticket_id), None)
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
            following=following,
            is_mine=ticket["claimed_by"] == person.caller.actor,
        )

    @router.get("/tickets/{ticket_id}")
    async def page(request: Request, ticket_id: str) -> Response:
        return await show(request, place.enter(request, "/tickets"), ticket_id)

    @router.post("/tickets/{ticket_id}/{action}")
    async def act(request: Request, ticket_id: str, action: str) -> Response:
        person, form = await place.form(request, "/tickets")
        at = words.segment(ticket_id)

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, ticket_id, notice, typed, status)

        if action not in ACTIONS:
            raise Problem(404, "no_such_route", "there is no such thing to do with a ticket")
        now = await place.services.get("aftersales", f"/tickets/{at}", person.token)
        if now.problem is not None:
            return await again(notice_of(now.problem), form, now.status)
        if form.get("seen") != now.body["phase"] and not place.was_sent(form):
            return await again(changed(form.get("seen", ""), now.body["phase"]), form, 409)
        try:
            body = ACTIONS[action](form, place)
        except ValueError as error:
            return await again(Notice("problem", str(error), "Put it right, and send it again."), form, 422)
        answer = await place.act(person, form, "aftersales", f"/tickets/{at}/{action}", body)
        return await finish(answer, DONE[action], f"/tickets/{at}", form, again)

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
