"""Operations: how each service is doing, and messages that nobody could handle: looked at, replayed, dropped."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import words
from services.console.place import NOTHING, Deed, Notice, Place, do, following, found, items, notice_of
from services.console.session import Form, Person
from shared.http.problems import Problem
from shared.settings import SERVICES, ServiceName

LISTED = 50
ADVICE = {
    "malformed": "It is no message of ours: find the sender, then drop it.",
    "unknown_type": "It is no message that this version knows: find the sender, then drop it.",
    "wrong_key": "Mend the sender, have it said again under the right key, then drop this one.",
    "wrong_partition": "The sender must use Kafka's own partitioner: mend it, have it said again, then drop this one.",
    "no_cell": "Its phase does not expect it. Read the order's timeline; replay it after a fix, or drop it.",
    "decider_raised": "A bug. Mend it, deploy, then replay: those that wait behind it come along, in order.",
    "behind": "It waits for the one before it, and goes with that one.",
    "unwritable": "The database cannot keep what it says. Replay it after a fix, or drop it.",
}
"""What usually helps, by the code of why a message is parked (docs/operations.md says more)."""


def routes(place: Place) -> APIRouter:
    """The operators' routes."""
    router = APIRouter()

    @router.get("/ops")
    async def overview(request: Request) -> Response:
        person = place.enter(request, "/ops")
        answers = await place.services.all("/operations", person.token)
        kinds = [
            {"service": name, **kind}
            for name, answer in answers.items()
            if answer.problem is None
            for kind in answer.body["parked_kinds"]
        ]
        return place.page(
            request, person, "ops.html", answers=answers, kinds=sorted(kinds, key=lambda kind: str(kind["oldest_at"]))
        )

    @router.get("/ops/parked/{service}")
    async def listed(request: Request, service: str, cursor: str = "") -> Response:
        person = place.enter(request, "/ops")
        asked = {name: request.query_params.get(name, "") for name in ("code", "type", "subject")}
        asked["state"] = request.query_params.get("state", "parked")
        answer = await place.services.get(
            _known(service), "/parked", person.token, **asked, cursor=cursor, limit=LISTED
        )
        problem = answer.problem
        return place.page(
            request,
            person,
            "parked.html",
            status=answer.status if problem else 200,
            notice=notice_of(problem) if problem else None,
            service=service,
            services=SERVICES,
            asked=asked,
            parked=items(answer),
            more=following(answer, asked),
        )

    async def show(
        request: Request,
        person: Person,
        service: str,
        number: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        parked = found(await place.services.get(_known(service), f"/parked/{words.segment(number)}", person.token))
        return place.page(
            request,
            person,
            "parked_one.html",
            status=status,
            notice=notice,
            typed=typed,
            service=service,
            one=parked,
            seen=_seen(parked),
            pretty=_pretty(parked["body"]),
            advice=ADVICE.get(parked["code"], ""),
        )

    @router.get("/ops/parked/{service}/{number}")
    async def one(request: Request, service: str, number: str) -> Response:
        return await show(request, place.enter(request, "/ops"), service, number)

    @router.post("/ops/parked/{service}/{number}/{action}")
    async def ask(request: Request, service: str, number: str, action: str) -> Response:
        person, form = await place.form(request, "/ops")
        if action not in ("replay", "drop"):
            raise Problem(404, "no_such_route", "a parked message is replayed or dropped")
        at, path = _known(service), f"/parked/{words.segment(number)}"

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, service, number, notice, typed, status)

        deed = Deed(
            *(at, f"{path}/{action}", lambda form: {"reason": form["reason"]}, f"{action} asked for"),
            back=f"/ops/parked/{service}/{words.segment(number)}",
            about=(at, path),
            seen=_seen,
            keyed=False,
        )
        return await do(place, person, form, deed, again)

    return router


def _known(service: str) -> ServiceName:
    for name in SERVICES:
        if name == service:
            return name
    raise Problem(404, "no_such_route", f"there is no service {service[:40]}; the services are {', '.join(SERVICES)}")


def _seen(one: dict[str, Any]) -> str:
    """Its state, and whether somebody asked for something already."""
    return f"{one['state']}, {one['asked']} asked for" if one["asked"] else str(one["state"])


def _pretty(body: dict[str, Any] | None) -> str:
    """A body as people read it: JSON spread out, if it is JSON."""
    if body is None:
        return "(no body)"
    text = body["text"] if body["text"] is not None else body["base64"]
    if body["text"] is None or body["cut"]:
        return str(text)
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return str(text)
