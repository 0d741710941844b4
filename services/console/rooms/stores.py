"""What the phone rooms share: whose store it is, and a fulfilment with what may be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.console import words
from services.console.place import Deed, Make, Notice, Place, do, found, items, notice_of
from services.console.session import Form, Person
from services.console.upstream import Answer

LISTED = 50


async def some(place: Place, person: Person, store: str, *phases: str) -> dict[str, Answer]:
    """A store's fulfilments in these phases, the one that waits longest first."""
    answers = await asyncio.gather(
        *(
            place.services.get(
                "logistics", f"/stores/{words.segment(store)}/fulfilments", person.token, phase=phase, limit=LISTED
            )
            for phase in phases
        )
    )
    return dict(zip(phases, answers, strict=True))


async def fulfilment(place: Place, person: Person, order_id: str) -> dict[str, Any]:
    """The work on one order; Problem when there is none, or it is another store's."""
    work: dict[str, Any] = found(
        await place.services.get("logistics", f"/fulfilments/{words.segment(order_id)}", person.token)
    )
    return work


async def act(
    place: Place,
    request: Request,
    room: str,
    order_id: str,
    action: str,
    make: Make,
    done: str,
    show: Callable[..., Any],
) -> Response:
    """A step of the work on an order, if it is still as the person saw it."""
    person, form = await place.form(request, room)
    at = words.segment(order_id)

    async def again(notice: Notice, typed: Form, status: int) -> Response:
        shown: Response = await show(request, person, order_id, notice, typed, status)
        return shown

    about = f"/fulfilments/{at}"
    deed = Deed("logistics", f"{about}/{action}", make, done, f"{room}/{at}", about=("logistics", about))
    return await do(place, person, form, deed, again)


def lists(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """What the templates take: rows of each phase, and the first problem there was."""
    problems = [answer.problem for answer in answers.values() if answer.problem]
    return {
        "rows": {phase: items(answer) for phase, answer in answers.items()},
        "more": {phase: bool(answer.problem is None and answer.body["next"]) for phase, answer in answers.items()},
        "notice": notice_of(problems[0]) if problems else None,
    }
