"""How it goes right now: orders by phase on the chart of their life, the oldest of each, and the services' health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from services.console.live import each_beat
from services.console.place import Place
from services.console.session import Person
from shared.http.sse import EventStream

HEALTH = "/readyz"


async def read(place: Place, token: str) -> dict[str, Any]:
    """What the overview shows, in one round of calls."""
    phases, health = await asyncio.gather(place.services.get("order", "/phases", token), place.services.all(HEALTH))
    rows = {row["phase"]: row for row in (phases.body or {}).get("items", ())} if phases.problem is None else {}
    return {
        "phases": phases,
        "rows": rows,
        "open_orders": sum(row["orders"] for row in rows.values()),
        "health": {name: answer.problem and answer.problem.get("detail") for name, answer in health.items()},
    }


def routes(place: Place) -> APIRouter:
    """The overview's routes."""
    router = APIRouter()

    def texts(person: Person) -> AsyncGenerator[str, None]:
        async def render() -> str:
            return place.part("overview_live.html", **await read(place, person.token))

        return each_beat(render)

    @router.get("/")
    async def overview(request: Request) -> HTMLResponse:
        person = place.enter(request, "/")
        return place.page(request, person, "overview.html", **await read(place, person.token))

    @router.get("/-/overview")
    async def stream(request: Request) -> Response:
        person = place.enter(request, "/")
        return EventStream(place.live.look(("overview", person.store), lambda: texts(person)), caller=person.caller)

    return router
