"""Parked messages over HTTP: admin lists them, looks at one, and has it replayed or dropped."""

from __future__ import annotations

import base64
import codecs
import json
from datetime import datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel

from shared.contracts.base import Filled, Name, Text
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.runtime import parked
from shared.runtime.parked import Action, Filter, State, Wish

register(
    {
        "parked_unknown": (404, "No such parked message"),
        "parked_over": (409, "The message is replayed or dropped already"),
    }
)

BODY_SHOWN_BYTES = 64_000
"""Most bytes of a body (and of a key) that are shown. `larder parked show --json` tells all."""
HEADER_SHOWN_BYTES = 1_000
"""Most bytes of a header's value, and characters of its name, that are shown."""
HEADERS_SHOWN = 100
"""Most headers that are shown."""

Operator = Annotated[Caller, Depends(require(Role.ADMIN))]
ParkedNumber = Annotated[int, Path(ge=1, le=2**63 - 1)]


class Octets(BaseModel):
    """Bytes as they can be shown: as `text` where they are UTF-8, else as `base64`. `bytes` is how many there are; when
    it is `cut`, only the first of them stand here."""

    text: str | None
    base64: str | None
    bytes: int
    cut: bool


class HeaderPage(BaseModel):
    """A header of the record."""

    name: str
    value: Octets


class ParkedRow(BaseModel):
    """A message that nobody could handle, with `code` and `reason`. `asked`: a request for it waits for the worker
    (`replay` or `drop`), of whom, since when and why. `closed_*`: for whom it was replayed or dropped, and why."""

    number: int
    shard: int
    subject: str
    topic: str
    partition: int
    offset: int
    message_id: str
    message_type: str
    code: str
    reason: str
    parked_at: datetime
    state: State
    closed_at: datetime | None
    closed_by: str | None
    closed_because: str | None
    asked: Action | None
    asked_at: datetime | None
    asked_by: str | None
    asked_because: str | None


class ParkedPage(ParkedRow):
    """One of them, with what it says. `behind` is how many wait behind it, which its replay takes along; `headers_left`
    how many headers are not shown."""

    behind: int
    key: Octets | None
    headers: list[HeaderPage]
    headers_left: int
    body: Octets | None


class ReplayIn(Body):
    """Why it should be handled now."""

    reason: Text = ""


class DropIn(Body):
    """Why it can be given up."""

    reason: Filled


def routes(pool: asyncpg.Pool) -> APIRouter:
    """The routes of what is parked in one service."""
    router = APIRouter(tags=["operations"])

    async def page(number: int) -> ParkedPage:
        row = await parked.one(pool, number, BODY_SHOWN_BYTES)
        if row is None:
            raise refusal("parked_unknown")
        return _page(row)

    async def ask(number: int, wish: Wish, response: Response) -> ParkedPage:
        asked = await parked.ask(pool, number, wish)
        found = await page(number)
        if not asked:
            raise refusal("parked_over", f"it is {found.state}")
        response.headers["Location"] = f"/parked/{number}"
        return found

    @router.get("/parked")
    async def some(
        caller: Operator,
        paging: Paged,
        state: State | None = None,
        code: Name | None = None,
        type_: Annotated[Filled | None, Query(alias="type", description="only messages of this type")] = None,
        subject: Annotated[Filled | None, Query(description="only those about this subject: an order, say")] = None,
    ) -> Page[ParkedRow]:
        """The oldest first."""
        rows = await Filter(state, code, type_, subject).page(pool, paging.after(int), paging.fetch)
        return paging.page(rows, last=lambda r: (r["id"],), item=lambda r: ParkedRow(**_told(r)))

    @router.get("/parked/{parked_number}")
    async def read(parked_number: ParkedNumber, caller: Operator) -> ParkedPage:
        return await page(parked_number)

    @router.post("/parked/{parked_number}/replay", status_code=202)
    async def replay(
        parked_number: ParkedNumber, caller: Operator, response: Response, body: ReplayIn | None = None
    ) -> ParkedPage:
        """Has it handled again, and what waits behind it: the worker of its shard does it within about a second. When
        it fails again, all of it stays parked."""
        because = body.reason if body else ""
        return await ask(parked_number, Wish("replay", caller.actor, because or None), response)

    @router.post("/parked/{parked_number}/drop", status_code=202)
    async def drop(parked_number: ParkedNumber, body: DropIn, caller: Operator, response: Response) -> ParkedPage:
        """Gives it up; what waits behind it can be replayed then."""
        return await ask(parked_number, Wish("drop", caller.actor, body.reason), response)

    return router


def _told(row: Any) -> dict[str, Any]:
    """The columns under the names by which people know them."""
    names = {"id": "number", "kafka_partition": "partition", "kafka_offset": "offset"}
    return {names.get(name, name): value for name, value in row.items()}


def _page(row: Any) -> ParkedPage:
    headers = json.loads(row["headers"])
    shown = [(name, base64.b64decode(value)) for name, value in headers[:HEADERS_SHOWN]]
    return ParkedPage(
        **_told(row)
        | {
            "key": _octets(row["key"], row["key_bytes"]),
            "body": _octets(row["body"], row["body_bytes"]),
            "headers": [
                HeaderPage(name=name[:HEADER_SHOWN_BYTES], value=_shown(value[:HEADER_SHOWN_BYTES], len(value)))
                for name, value in shown
            ],
            "headers_left": len(headers) - len(shown),
        }
    )


def _octets(first: bytes | None, size: int) -> Octets | None:
    return None if first is None else _shown(first, size)


def _shown(first: bytes, size: int) -> Octets:
    """The first of so many bytes."""
    cut = len(first) < size
    try:
        # A character that was cut in two is left out.
        text = codecs.getincrementaldecoder("utf-8")().decode(first, final=not cut)
    except UnicodeDecodeError:
        return Octets(text=None, base64=base64.b64encode(first).decode(), bytes=size, cut=cut)
    return Octets(text=text, base64=None, bytes=size, cut=cut)
