"""Orders: the list, the page of one, and what customer service may do about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.console import words
from services.console.place import NOTHING, Deed, Make, Notice, Place, do, following, found, items, notice_of
from services.console.session import Form, Person
from services.console.upstream import Answer
from shared.http.auth import Role
from shared.http.sse import EventStream

PHASES = (
    "screening",
    "in_review",
    "reserving_slot",
    "holding",
    "awaiting_payment",
    "verifying",
    "paying",
    "deducting",
    "awaiting_picking",
    "picking",
    "short",
    "substituting",
    "awaiting_shipment",
    "in_delivery",
    "delivered",
    "releasing",
    "reversing",
    "stopping",
    "intercepting",
    "returning",
    "refunding",
    "closed",
    "cancelled",
    "rejected",
)
"""By which a list may be asked for, in the order of an order's life."""
KINDS = ("refund_only", "return", "exchange", "replenishment")
"""What a complaint about delivered goods may come to."""
LISTED = 50
SERVED = frozenset({Role.CUSTOMER_SERVICE, Role.ADMIN})
"""Who may do something about an order here; risk analysts look."""
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("All", {}),
    ("In review", {"phase": "in_review"}),
    ("Short", {"phase": "short"}),
    ("Wait for a picker", {"phase": "awaiting_picking"}),
    ("On the road", {"phase": "in_delivery"}),
    ("Come back", {"phase": "returning"}),
    ("Refunds under way", {"phase": "refunding"}),
)


async def read(place: Place, person: Person, order_id: str) -> dict[str, Any]:
    """All there is to know of an order, in one round of calls; Problem when there is none. What another service knows
    of it may be missing: its card says so."""
    ask, token = place.services.get, person.token
    order, payments, fulfilment, tickets, documents = await asyncio.gather(
        ask("order", f"/orders/{order_id}", token),
        ask("payment", f"/orders/{order_id}/payments", token),
        ask("logistics", f"/fulfilments/{order_id}", token),
        ask("aftersales", "/tickets", token, order=order_id),
        ask("inventory", "/documents", token, order=order_id),
    )
    found(order)
    return {
        "order": order.body,
        "payments": payments,
        "fulfilment": fulfilment,
        "tickets": tickets,
        "documents": documents,
        "money": _sums(order.body),
        "may_act": person.role in SERVED,
    }


def _sums(order: dict[str, Any]) -> dict[str, int]:
    """What was paid, what of it went back, and what could still go back."""
    return {
        "total": order["total"],
        "paid": order["paid"],
        "refunded": order["refunded"],
        "left": max(0, order["paid"] - order["refunded"]),
    }


def _seen(order: dict[str, Any]) -> str:
    return words.seen(order["phase"], order["paid"] - order["refunded"])


def routes(place: Place) -> APIRouter:
    """The orders' routes."""
    router = APIRouter()

    @router.get("/find")
    async def find(request: Request, q: str = "") -> Response:
        person = place.enter(request, "/orders")
        wanted = q.strip()[:100]
        if not wanted:
            return RedirectResponse("/orders", 303)
        ask, id_ = place.services.get, words.segment(wanted)
        order, ticket, document = await asyncio.gather(
            ask("order", f"/orders/{id_}", person.token),
            ask("aftersales", f"/tickets/{id_}", person.token),
            ask("inventory", f"/documents/{id_}", person.token),
        )
        if order.problem is None:
            return RedirectResponse(f"/orders/{id_}", 303)
        if ticket.problem is None:
            return RedirectResponse(f"/tickets/{id_}", 303)
        if document.problem is None and document.body.get("order_id"):
            return RedirectResponse(f"/orders/{words.segment(document.body['order_id'])}#documents", 303)
        away = [answer for answer in (order, ticket, document) if answer.code == "unavailable"]
        return place.page(request, person, "not_found.html", status=404, wanted=wanted, away=away)

    @router.get("/orders")
    async def some(request: Request, phase: str = "", account: str = "", store: str = "", cursor: str = "") -> Response:
        person = place.enter(request, "/orders")
        asked = {"phase": phase, "account": account.strip(), "store": store.strip()}
        answer = await place.services.get("order", "/orders", person.token, **asked, cursor=cursor, limit=LISTED)
        return place.page(
            request,
            person,
            "orders.html",
            status=answer.status if answer.problem else 200,
            notice=notice_of(answer.problem) if answer.problem else None,
            orders=items(answer),
            asked=asked,
            phases=PHASES,
            views=[(title, urlencode(query)) for title, query in VIEWS],
            more=following(answer, asked),
        )

    async def show(
        request: Request,
        person: Person,
        order_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        shown = await read(place, person, words.segment(order_id))
        return place.page(
            request, person, "order.html", status=status, notice=notice, typed=typed, kinds=KINDS, **shown
        )

    @router.get("/orders/{order_id}")
    async def page(request: Request, order_id: str) -> Response:
        return await show(request, place.enter(request, "/orders"), order_id)

    @router.get("/-/orders/{order_id}")
    async def stream(request: Request, order_id: str) -> Response:
        person = place.enter(request, "/orders")
        at = words.segment(order_id)

        async def texts() -> AsyncGenerator[str, None]:
            async for data in place.services.stream("order", f"/orders/{at}/stream", person.token):
                if "order_id" in json.loads(data):
                    yield place.part("order_live.html", **await read(place, person, at))

        return EventStream(place.live.look((person.role, order_id), texts), caller=person.caller)

    async def act(request: Request, order_id: str, done: str, service: Any, path: str, make: Make) -> Response:
        """What the page's forms have in common."""
        person, form = await place.form(request, "/orders")
        at = f"/orders/{words.segment(order_id)}"

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, order_id, notice, typed, status)

        def ticket_of(answer: Answer) -> str:
            return f"/tickets/{words.segment(answer.body['ticket_id'])}"

        back = ticket_of if service == "aftersales" else at
        deed = Deed(service, path, make, done, back, about=("order", at), seen=_seen)
        return await do(place, person, form, deed, again)

    @router.post("/orders/{order_id}/cancel")
    async def cancel(request: Request, order_id: str) -> Response:
        path = f"/orders/{words.segment(order_id)}/cancel"
        return await act(
            request, order_id, "order cancelled", "order", path, lambda form: {"reason": form.get("reason", "")}
        )

    @router.post("/orders/{order_id}/ticket")
    async def ticket(request: Request, order_id: str) -> Response:
        def make(form: Form) -> dict[str, Any]:
            return {
                "order_id": order_id,
                "kind": form.get("kind", ""),
                "reason": form.get("reason", ""),
                **goods(form, place),
            }

        return await act(request, order_id, "ticket opened", "aftersales", "/tickets", make)

    @router.post("/orders/{order_id}/intercept")
    async def intercept(request: Request, order_id: str) -> Response:
        def make(form: Form) -> dict[str, Any]:
            return {"order_id": order_id, "kind": "intercept", "reason": form.get("reason", "")}

        return await act(request, order_id, "courier called back", "aftersales", "/tickets", make)

    return router


def goods(form: Form, place: Place) -> dict[str, Any]:
    """What a form says is to be done about goods, as the services take it; ValueError when a number is none."""
    body: dict[str, Any] = {}
    spus, pieces = form.many("spu"), form.many("quantity")
    lines = [
        {"spu": spu, "quantity": words.pieces(n)}
        for spu, n in zip(spus, pieces, strict=False)
        if n.strip() not in ("", "0")
    ]
    if lines:
        body["lines"] = lines
    instead = [
        {"spu": new.strip(), "quantity": line, "instead_of": spu}
        for spu, n, new in zip(spus, pieces, form.many("replacement"), strict=False)
        if new.strip() and (line := words.pieces(n or "0"))
    ]
    if instead:
        body["replacement_lines"] = instead
    if form.get("amount", "").strip():
        body["amount"] = words.minor_units(form["amount"], place.settings.currency)
    if form.get("liable"):
        body["liable"] = form["liable"]
    return body
