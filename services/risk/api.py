"""Risk over HTTP: analysts turn the switch, keep the blocklist, and decide reviews."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from services.risk.lists import EntryPage, Lists, ReviewPage, SwitchPage
from services.risk.rules_api import rules_routes
from services.risk.state import Kind, Treatment
from shared.contracts import risk
from shared.contracts.base import Filled, Moment, Name, Text
from shared.contracts.texts import normal_form
from shared.http.any_text import ANY_TEXT
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.body import Body, Nothing
from shared.http.paging import Page, Paged
from shared.http.problems import invalid, refusal, register
from shared.service import Parts

register(
    {
        "review_unknown": (404, "No review of this order"),
        "review_not_open": (409, "The review is not open any more"),
        "review_claimed": (409, "Somebody else works on the review"),
        "review_not_claimed": (409, "Nobody works on the review"),
        "entry_unknown": (404, "Not on the blocklist"),
    }
)

Analyst = Annotated[Caller, Depends(require(Role.RISK_ANALYST))]
Decider = Annotated[Asked, Depends(asking(Role.RISK_ANALYST))]
VALUE_MAX = 500
"""Most characters of the normal form of a value on the blocklist; as it is sent it has no more, either."""
Value = Annotated[Filled, Path(description="percent-encoded; slashes may stand as they are")]


class Kept(Body):
    """What GET says of the last change may come back with a PUT, which is a change of its own."""

    changed_at: Moment | None = None
    changed_by: Text | None = None


class SwitchIn(Kept):
    """Screen orders, or take all of them as restricted. What GET gives will do."""

    on: bool


class EntryIn(Kept):
    """Why, what follows, and until when (left out: for good). What GET gives will do, at its own address."""

    reason: Filled
    treatment: Annotated[Treatment, Field(strict=False)] = Treatment.REFUSE
    until: Moment | None = None
    kind: Annotated[Kind | None, Field(strict=False)] = None
    value: Text | None = None


class BlockIn(Body):
    """What of the order goes on the blocklist, how it is treated from now on, and until when (left out: for good)."""

    kinds: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1, max_length=len(Kind))]
    treatment: Annotated[Treatment, Field(strict=False)] = Treatment.REFUSE
    until: Moment | None = None


class VerdictIn(Body):
    """A person's verdict, and why; `block` puts something of the order on the blocklist with it."""

    verdict: Literal["clear", "restrict", "refuse"]
    note: Text = ""
    block: BlockIn | None = None


def routes(parts: Parts) -> list[APIRouter]:
    """The risk service's routes."""
    lists = Lists(parts.pool)
    return [_master_data(lists), _reviews(parts, lists), *rules_routes(parts)]


def _master_data(lists: Lists) -> APIRouter:
    router = APIRouter(tags=["blocklist"])

    @router.get("/switch")
    async def read_switch(caller: Analyst) -> SwitchPage:
        return await lists.switch()

    @router.put("/switch")
    async def turn_switch(body: SwitchIn, caller: Analyst) -> SwitchPage:
        return await lists.set_switch(body.on, caller.actor)

    @router.get("/blocklist")
    async def entries(caller: Analyst, paging: Paged, kind: Kind | None = None) -> Page[EntryPage]:
        rows = await lists.entries(paging.after(str, str), kind, paging.fetch)
        return paging.page(rows, last=lambda e: (e.kind, e.value), item=lambda e: e)

    @router.put(f"/blocklist/{{kind}}/{{value:{ANY_TEXT}}}")
    async def put_entry(kind: Kind, value: Value, body: EntryIn, caller: Analyst) -> EntryPage:
        form = _addressed(kind, value, body)
        return await lists.put_entry(kind, form, body.treatment, body.reason, body.until, caller.actor)

    @router.delete(f"/blocklist/{{kind}}/{{value:{ANY_TEXT}}}", status_code=204)
    async def delete_entry(kind: Kind, value: Value, caller: Analyst) -> None:
        if not await lists.delete_entry(kind, value):
            raise refusal("entry_unknown", f"no {kind} {value} on the blocklist")

    return router


def _addressed(kind: Kind, value: str, body: EntryIn) -> str:
    """The normal form of the value in the address; the body may name both again, and nothing else."""
    form = normal_form(value)
    if len(form) > VALUE_MAX:
        raise invalid("path", "value", f"is longer than {VALUE_MAX} characters in its normal form")
    if body.kind not in (None, kind):
        raise invalid("body", "kind", f"the body is of the kind {body.kind}, the address of {kind}")
    if body.value is not None and normal_form(body.value) != form:
        raise invalid("body", "value", f"the body is of {body.value}, the address of {value}")
    return form


def _reviews(parts: Parts, lists: Lists) -> APIRouter:
    router = APIRouter(tags=["reviews"])

    async def found(order_id: str) -> ReviewPage:
        review = await lists.review(order_id)
        if review is None:
            raise refusal("review_unknown")
        return review

    @router.get("/reviews")
    async def open_reviews(caller: Analyst, paging: Paged) -> Page[ReviewPage]:
        rows = await lists.open_reviews(paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.due_at, r.order_id), item=lambda r: r)

    @router.get("/reviews/{order_id}")
    async def review(order_id: Name, caller: Analyst) -> ReviewPage:
        return await found(order_id)

    async def send(
        command: Callable[..., risk.RiskCommand], order_id: str, asked: Asked, response: Response
    ) -> ReviewPage:
        account = (await found(order_id)).account  # the command is keyed by it
        await parts.desk.send(command(order_id=order_id, account=account), asked)
        response.headers["Location"] = f"/reviews/{order_id}"
        return await found(order_id)

    @router.post("/reviews/{order_id}", status_code=202)
    async def decide(order_id: Name, body: VerdictIn, asked: Decider, response: Response) -> ReviewPage:
        """Decides it. Whoever claimed it has it for himself; nobody needs to claim it."""
        command = partial(risk.DecideReview, verdict=body.verdict, note=body.note)
        if block := body.block:
            kinds = tuple(kind.value for kind in block.kinds)
            command = partial(command, block=kinds, treatment=block.treatment.value, until=block.until)
        return await send(command, order_id, asked, response)

    @router.post("/reviews/{order_id}/claim", status_code=202)
    async def claim(order_id: Name, asked: Decider, response: Response, body: Nothing | None = None) -> ReviewPage:
        """Has it for himself for `LARDER_CLAIM_S`; claiming again prolongs it."""
        return await send(risk.ClaimReview, order_id, asked, response)

    @router.post("/reviews/{order_id}/release", status_code=202)
    async def release(order_id: Name, asked: Decider, response: Response, body: Nothing | None = None) -> ReviewPage:
        """Lets go of it."""
        return await send(risk.ReleaseReview, order_id, asked, response)

    return router
