"""Picking, on a phone in a cold store: what is to be picked, line by line, what is missing, packed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.console import words
from services.console.live import each_beat
from services.console.place import NOTHING, Notice, Place, store_of
from services.console.rooms import stores
from services.console.session import Form, Person
from shared.http.sse import EventStream

PHASES = ("queued", "picking", "short", "picked", "packed")
DONE = {"start-picking": "picking begins", "picked": "picked", "packed": "packed"}


def routes(place: Place) -> APIRouter:
    """The pickers' routes."""
    router = APIRouter()

    async def read(person: Person, store: str) -> dict[str, Any]:
        return (
            stores.lists(await stores.some(place, person, store, *PHASES))
            if store
            else {"rows": {}, "more": {}, "notice": None}
        )

    @router.get("/pick")
    async def listed(request: Request) -> Response:
        person = place.enter(request, "/pick")
        store = store_of(person, request)
        return place.page(request, person, "pick.html", store=store, **await read(person, store))

    @router.get("/-/pick")
    async def stream(request: Request) -> Response:
        person = place.enter(request, "/pick")
        store = store_of(person, request)

        def texts() -> AsyncGenerator[str, None]:
            async def render() -> str:
                return place.part("pick_live.html", store=store, **await read(person, store))

            return each_beat(render)

        return EventStream(place.live.look(("pick", store), texts), caller=person.caller)

    async def show(
        request: Request,
        person: Person,
        order_id: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        work = await stores.fulfilment(place, person, order_id)
        return place.page(request, person, "pick_order.html", status=status, notice=notice, typed=typed, work=work)

    @router.get("/pick/{order_id}")
    async def page(request: Request, order_id: str) -> Response:
        return await show(request, place.enter(request, "/pick"), order_id)

    @router.get("/print/pick/{order_id}")
    async def pick_list(request: Request, order_id: str) -> Response:
        person = place.enter(request, "/pick")
        work = await stores.fulfilment(place, person, order_id)
        return place.page(request, person, "pick_print.html", work=work)

    @router.post("/pick/{order_id}/start-picking")
    async def start(request: Request, order_id: str) -> Response:
        return await stores.act(
            place, request, "/pick", order_id, "start-picking", lambda form: None, DONE["start-picking"], show
        )

    @router.post("/pick/{order_id}/picked")
    async def picked(request: Request, order_id: str) -> Response:
        return await stores.act(place, request, "/pick", order_id, "picked", _missing, DONE["picked"], show)

    @router.post("/pick/{order_id}/packed")
    async def packed(request: Request, order_id: str) -> Response:
        return await stores.act(place, request, "/pick", order_id, "packed", lambda form: None, DONE["packed"], show)

    @router.get("/pick-store")
    async def choose(request: Request, store: str = "") -> Response:
        place.enter(request, "/pick")
        return RedirectResponse(f"/pick?store={words.segment(store.strip())}", 303)

    return router


def _missing(form: Form) -> dict[str, Any]:
    """What the picker did not find: of each line what was wanted less what is in the bag."""
    short = []
    for spu, wanted, found in zip(form.many("spu"), form.many("wanted"), form.many("found"), strict=False):
        missing = words.pieces(wanted) - words.pieces(found)
        if missing < 0:
            raise ValueError(f"{found} pieces of {spu} are more than the order wants ({wanted}).")
        if missing:
            short.append({"spu": spu, "missing": missing})
    return {"short": short}
