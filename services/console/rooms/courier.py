"""The courier's phone: what waits to be taken, what is on the road, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import words
from services.console.live import each_beat
from services.console.place import NOTHING, Notice, Place, finish, notice_of, store_of
from services.console.rooms import stores
from services.console.session import Form, Person
from shared.http.problems import Problem
from shared.http.sse import EventStream

PHASES = ("packed", "on_the_road", "returning")
DONE = {
    "handed-over": "the bags are yours",
    "delivered": "delivered",
    "undeliverable": "written down: the goods come back",
    "goods-back": "the goods are back in the store",
}


def routes(place: Place) -> APIRouter:
    """The couriers' routes."""
    router = APIRouter()

    async def read(person: Person, store: str) -> dict[str, Any]:
        if not store:
            return {"rows": {}, "more": {}, "notice": None, "returns": [], "mine": person.caller.name}
        answers = await stores.some(place, person, store, *PHASES)
        returns = await place.services.get(
            "logistics", f"/stores/{words.segment(store)}/returns", person.token, phase="announced", limit=stores.LISTED
        )
        return {
            **stores.lists(answers),
            "returns": [] if returns.problem else returns.body["items"],
            "mine": person.caller.name,
        }

    @router.get("/courier")
    async def listed(request: Request) -> Response:
        person = place.enter(request, "/courier")
        store = store_of(person, request)
        return place.page(request, person, "courier.html", store=store, **await read(person, store))

    @router.get("/-/courier")
    async def stream(request: Request) -> Response:
        person = place.enter(request, "/courier")
        store = store_of(person, request)

        def texts() -> AsyncGenerator[str, None]:
            async def render() -> str:
                return place.part("courier_live.html", store=store, **await read(person, store))

            return each_beat(render)

        return EventStream(place.live.look(("courier", store, person.caller.name), texts), caller=person.caller)

    async def show(
        request: Request,
        person: Person,
        order_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        work = await stores.fulfilment(place, person, order_id)
        return place.page(request, person, "courier_order.html", status=status, notice=notice, typed=typed, work=work)

    @router.get("/courier/{order_id}")
    async def page(request: Request, order_id: str) -> Response:
        return await show(request, place.enter(request, "/courier"), order_id)

    @router.post("/courier/{order_id}/{action}")
    async def act(request: Request, order_id: str, action: str) -> Response:
        if action not in DONE:
            raise Problem(404, "no_such_route", "there is no such step")
        return await stores.act(place, request, "/courier", order_id, action, MAKE[action], DONE[action], show)

    @router.post("/courier-returns/{ticket_id}/{action}")
    async def collect(request: Request, ticket_id: str, action: str) -> Response:
        if action not in ("collected", "goods-back"):
            raise Problem(404, "no_such_route", "there is no such step")
        person, form = await place.form(request, "/courier")
        body = {"courier": form.get("courier", "")} if action == "collected" else None
        answer = await place.act(person, form, "logistics", f"/returns/{words.segment(ticket_id)}/{action}", body)

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            store = store_of(person, request) or form.get("store", "")
            shown = {**await read(person, store), "notice": notice_of(answer.problem or {})}
            return place.page(request, person, "courier.html", status=status, store=store, **shown)

        return await finish(
            answer, "the return is yours" if action == "collected" else DONE["goods-back"], "/courier", form, again
        )

    return router


MAKE: dict[str, Any] = {
    "handed-over": lambda form: {"courier": form.get("courier", "")},
    "delivered": lambda form: None,
    "undeliverable": lambda form: {"reason": form.get("reason", "")},
    "goods-back": lambda form: None,
}
