"""Services that are played: what they answer is made of their own pages, so a template that names a field that is not
there fails, and every text in it would act if it were not escaped."""

from __future__ import annotations

import asyncio
import json
import re
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from html.parser import HTMLParser
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin
from urllib.parse import unquote, urlencode

import httpx
from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel

from services.console.app import make_console
from services.console.session import COOKIE
from services.console.upstream import Services
from services.inventory import api as inventory
from services.logistics import api as logistics
from services.order import catalogue, promotions_api
from services.risk import api as risk
from services.risk import rules_api
from shared import tokens
from shared.http import parked
from shared.http.auth import Role
from shared.settings import SERVICES, Settings

ACTING = "<script>alert(1)</script>'\"&"
"""A text that would run, or end the attribute it stands in."""
SETTINGS = Settings.model_validate({"token_secret": "console-tests-" * 4})
VOID = {"meta", "link", "input", "br"}
"""Elements of ours that have no end."""
BODIES: dict[str, type[BaseModel]] = {
    "POST /stores/[^/]+/goods-receipts": inventory.ReceiptIn,
    "POST /stores/[^/]+/adjustments": inventory.AdjustmentIn,
    "PUT /stores/[^/]+/flash-allotments/[^/]+": inventory.AllotmentIn,
    "PUT /stores/[^/]+/incoming/[^/]+": inventory.IncomingIn,
    "PUT /stores/[^/]+/slots": logistics.SlotsIn,
    "POST /(fulfilments|returns)/[^/]+/inspected": logistics.InspectionIn,
    "POST /fulfilments/[^/]+/picked": logistics.PickedIn,
    "POST /fulfilments/[^/]+/handed-over": logistics.CourierIn,
    "PUT /switch": risk.SwitchIn,
    "POST /reviews/[^/]+": risk.VerdictIn,
    "PUT /blocklist/account/.+": risk.EntryIn,
    "POST /rules/trial": rules_api.TrialIn,
    "POST /rules/history/[^/]+/restore": rules_api.RestoreIn,
    "PUT /rules/[^/]+": rules_api.RuleIn,
    "PUT /levels": rules_api.LevelsIn,
    "PUT /stores/[^/]+": catalogue.StoreBody,
    "PUT /promotions/[^/]+": promotions_api.PromotionBody,
    "PUT /rushes/[^/]+": promotions_api.RushBody,
    "POST /parked/[^/]+/drop": parked.DropIn,
    "POST /parked/[^/]+/replay": parked.ReplayIn,
}
"""What the services take, by method and path: they would refuse any other body."""
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=7)


def sample(model: Any, *, bare: bool = False, text: str = ACTING, **fixed: Any) -> Any:
    """A page as a service answers it, as JSON: `fixed` members are as they are given, texts are `text`. A bare one has
    empty lists, and null where it may be."""
    made = {name: _value(info.annotation, bare, text) for name, info in model.model_fields.items() if name not in fixed}
    return json.loads(json.dumps(made | fixed, default=_plain))


def _value(kind: Any, bare: bool, text: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is type(None) or kind is None:
        return None
    if origin in (Union, types.UnionType):
        return None if bare and type(None) in inner else _value(inner[0], bare, text)
    if origin is Literal:
        return inner[0]
    if origin in (list, tuple):
        return [] if bare else [_value(inner[0], bare, text)]
    if origin is dict:
        return {} if bare else {text: _value(inner[1], bare, text)}
    if origin is not None:
        return _value(inner[0], bare, text)  # Annotated
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sample(kind, bare=bare, text=text)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).value
    return {str: text, int: 7, float: 2.5, bool: True, datetime: SOON, AwareDatetime: SOON, Any: text}[kind]


def _plain(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)


def page(*items: Any, following: str | None = None) -> dict[str, Any]:
    """A list, as services answer it."""
    return {"items": list(items), "next": following}


def problem(code: str, status: int, **more: Any) -> dict[str, Any]:
    """A refusal, as services answer it."""
    return {"type": f"/docs#{code}", "title": f"No: {code}", "status": status, "code": code, **more}


class Asked(NamedTuple):
    """What the console asked a service."""

    service: str
    method: str
    path: str
    query: Mapping[str, str]
    key: str | None
    token: str | None
    body: Any


@dataclass
class Played:
    """The six services. What nobody told them to say is 404."""

    says: dict[tuple[str, str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    away: set[str] = field(default_factory=set)

    def say(self, service: str, path: str, body: Any, *, method: str = "GET", status: int = 200) -> None:
        """What a service answers at an address, from now on."""
        self.says[service, method, path] = (status, body)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Plays the service that is asked."""
        (service,) = (name for name in SERVICES if SETTINGS.port(name) == request.url.port)
        if service in self.away:
            raise httpx.ConnectError("nobody there")
        path = unquote(request.url.raw_path.decode().partition("?")[0])
        body = json.loads(request.content) if request.content else None
        headers = request.headers
        token = headers.get("authorization", "").removeprefix("Bearer ") or None
        query = dict(request.url.params)
        self.asked.append(Asked(service, request.method, path, query, headers.get("idempotency-key"), token, body))
        await asyncio.sleep(0)
        taken = next((kind for at, kind in BODIES.items() if re.fullmatch(at, f"{request.method} {path}", re.S)), None)
        status, said = self.says.get((service, request.method, path), (404, problem("nothing_unknown", 404)))
        if taken and status < 400:
            taken.model_validate_json(request.content)
        return httpx.Response(status, content=b"" if status == 204 else json.dumps(said).encode())

    @property
    def sent(self) -> list[Asked]:
        """What was asked to be done."""
        return [asked for asked in self.asked if asked.method != "GET"]


class Form(NamedTuple):
    """A form of a page, with what its fields hold."""

    action: str
    fields: list[tuple[str, str]]

    def typed(self, **typed: Any) -> list[tuple[str, str]]:
        """Its fields, as somebody fills them in; a list fills the fields of one name in order. Fields that the page
        does not have (a ticked box, another button) are added."""
        left = {name: list(value) if isinstance(value, list) else [value] for name, value in typed.items()}
        filled = [(name, left[name].pop(0) if left.get(name) else value) for name, value in self.fields]
        return filled + [(name, value) for name, values in left.items() for value in values]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.labelled = True
        self.unclosed: list[str] = []
        self.ids: list[str] = []
        self._into: str | None = None
        self._label = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.unclosed.append(tag)
        self.ids += [said["id"]] if "id" in said else []
        self._label += tag == "label"
        if tag == "form":
            self.forms.append(Form(said.get("action", ""), []))
        named = said.get("name")
        if tag in ("input", "select", "textarea") and said.get("type") != "hidden" and not self._label:
            self.labelled = self.labelled and ("aria-label" in said or "id" in said)
        if not named or not self.forms:
            return
        fields = self.forms[-1].fields
        if tag == "input" and (said.get("type") not in ("radio", "checkbox") or "checked" in said):
            fields.append((named, said.get("value", "")))
        elif tag in ("textarea", "select"):
            fields.append((named, ""))
            self._into = named if tag == "textarea" else None

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag, f"</{tag}> closes another"
        self._label -= tag == "label"
        if tag == "textarea":
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into:
            name, before = self.forms[-1].fields.pop()
            self.forms[-1].fields.append((name, (before + data).removeprefix("\n") if not before else before + data))


def forms_of(html: str) -> list[Form]:
    """The forms of a page."""
    reader = _Forms()
    reader.feed(html)
    return reader.forms


def check(html: str) -> None:
    """What is true of every page: no text of a service acts, each element ends where it should, no id stands twice, and
    every field has a label."""
    assert "<script>alert" not in html
    reader = _Forms()
    reader.feed(html)
    assert not reader.unclosed
    assert len(reader.ids) == len(set(reader.ids)), sorted(reader.ids)
    assert reader.labelled


@dataclass
class Browser:
    """Somebody at the console."""

    app: FastAPI
    client: httpx.AsyncClient
    services: Played
    token: str

    async def look(self, path: str, status: int = 200) -> str:
        """A page. Nothing of it acts, and every field has a label."""
        said = await self.client.get(path)
        return self._checked(said, status)

    async def event(self, path: str) -> str:
        """The first thing that a stream says."""
        said: list[bytes] = []
        heard = asyncio.Event()

        async def receive() -> Any:
            await heard.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                said.append(message["body"])
                if b"data:" in said[-1]:
                    heard.set()

        cookie = f"{COOKIE}={self.token}".encode()
        at, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": at,
            "raw_path": at.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(b"host", b"console"), (b"cookie", cookie)],
            "server": ("console", 80),
            "client": None,
        }
        async with asyncio.timeout(10):
            await self.app(scope, receive, send)
        text = b"".join(said).decode()
        check("\n".join(line[6:] for line in text.splitlines() if line.startswith("data: ")))
        return text

    async def form(self, path: str, action: str, *, nth: int = 0, **holds: str) -> Form:
        """The nth form of a page that goes to this address and holds this."""
        some = [form for form in forms_of(await self.look(path)) if form.action == action]
        return [form for form in some if set(holds.items()) <= set(form.fields)][nth]

    async def send(self, form: Form, /, status: int = 303, *, to: str = "", **typed: Any) -> httpx.Response:
        """Fills a form in, and sends it."""
        said = await self.client.post(
            to or form.action,
            content=urlencode(form.typed(**typed)),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        if status != 303:
            self._checked(said, status)
        assert said.status_code == status, said.text
        return said

    async def does(self, form: Form, want: tuple[str, str, str, Any], /, **typed: Any) -> httpx.Response:
        """Sends a form twice, one behind the other: a service was asked for this, under the form's key and with the
        person's token, and both were well."""
        before = len(self.services.sent)
        first = await self.send(form, **typed)
        again = await self.send(form, **typed)
        assert again.headers["location"] == first.headers["location"]
        sent = self.services.sent[before:]
        for asked in sent:
            assert asked[:3] + asked[6:] == want
            assert (asked.key, asked.token) == (dict(form.fields)["key"], self.token)
        assert len({asked.key for asked in sent}) == 1
        return first

    def _checked(self, said: httpx.Response, status: int) -> str:
        assert said.status_code == status, said.text
        check(said.text)
        return said.text


@asynccontextmanager
async def browsing(
    services: Played, role: Role = Role.ADMIN, store: str | None = None, name: str = "jo"
) -> AsyncIterator[Browser]:
    """Somebody of this role, signed in."""
    app = make_console(SETTINGS, Services(SETTINGS, httpx.MockTransport(services.answer)))
    token = tokens.create(SETTINGS, role, None, store, tokens.DEFAULT_TTL_S, name)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://console", cookies={COOKIE: token}
    ) as client:
        yield Browser(app, client, services, token)
        await app.state.place.services.close()
