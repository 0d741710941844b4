"""What all rooms stand on: the templates, who may enter, how a page is made and how something is done."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console import words
from services.console.assets import Assets
from services.console.live import Live
from services.console.session import Form, Person, Sessions, new_key, read_form
from services.console.upstream import Answer, Services
from shared.http.auth import STORE_ROLES, Role
from shared.http.problems import Problem
from shared.settings import ServiceName, Settings

NEXT_STEPS = {
    "no_token": "Sign in again; what you typed is kept.",
    "bad_token": "Sign in again; what you typed is kept.",
    "expired_token": "Sign in again; what you typed is kept.",
    "wrong_role": "Somebody of another role has to do this.",
    "wrong_store": "Somebody of that store has to do this.",
    "invalid_request": "Put right what is named, and send it again.",
    "idempotency_key_reused": "This form was sent before with other content. Look at what came of it first.",
    "answer_pending": "It may have been carried out. Send this form again: that is carried out once.",
    "overloaded": "Wait a moment, then send this form again: it is carried out once.",
    "unavailable": "That service is away. Send this form again when it is back: it is carried out once.",
    "not_ready": "That service is starting. Send this form again in a moment: it is carried out once.",
    "internal_error": "Nothing is known to have happened. Look at the order before you try again.",
    "changed_since": "Look at what is shown now. What you typed is kept; send it again if it is still right.",
}
"""What a person can do about a problem, by its code. The sentence before it comes from the service."""
NEXT_STEP = "Look at what is shown now, and choose from what may be done."


SENT_MAX = 10_000
"""So many forms are known to have been sent before. An older one is looked at as if it were new."""
ONCE_MAX = 1_000
"""So many answers to forms are kept whose service takes no Idempotency-Key."""
AGAIN = "Put it right, and send it again."
"""What to do about a form that the console itself cannot read."""


class Room(NamedTuple):
    """A part of the console: where it is, who may enter, and the key that leads there after `g`."""

    path: str
    title: str
    key: str
    roles: frozenset[Role]


STAFF = frozenset(Role) - {Role.CUSTOMER}
ROOMS = (
    Room("/", "Overview", "h", STAFF),
    Room("/orders", "Orders", "o", frozenset({Role.CUSTOMER_SERVICE, Role.RISK_ANALYST, Role.ADMIN})),
    Room("/tickets", "Customer service", "t", frozenset({Role.CUSTOMER_SERVICE, Role.ADMIN})),
    Room("/pick", "Picking", "p", frozenset({Role.PICKER, Role.ADMIN})),
    Room("/courier", "Courier", "c", frozenset({Role.COURIER, Role.ADMIN})),
    Room("/store", "Store", "s", frozenset({Role.STOREKEEPER, Role.ADMIN})),
    Room("/risk", "Risk", "r", frozenset({Role.RISK_ANALYST, Role.ADMIN})),
    Room("/marketing", "Marketing", "m", frozenset({Role.ADMIN})),
    Room("/ops", "Operations", "x", frozenset({Role.ADMIN})),
)


@dataclass(frozen=True)
class Notice:
    """What the page says on top: something is done, or why not and what next."""

    kind: str
    text: str
    next: str = ""
    errors: tuple[str, ...] = ()
    trace_id: str = ""


NOTHING = Form([])


@dataclass
class Place:
    """One process's console."""

    settings: Settings
    services: Services
    sessions: Sessions
    assets: Assets
    live: Live
    templates: Environment = field(init=False)
    _sent: dict[str, None] = field(default_factory=dict)
    """The keys of the forms that were sent last, the oldest first."""
    _once: dict[bytes, asyncio.Task[Answer]] = field(default_factory=dict)
    """What came, or is coming, of forms whose service takes no key, the oldest first."""

    def __post_init__(self) -> None:
        self.templates = Environment(
            loader=PackageLoader("services.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        currency = self.settings.currency
        self.templates.filters |= {
            "word": words.word,
            "money": lambda amount: words.money(amount, currency),
            "plain_money": lambda amount: words.plain_money(amount, currency),
            "when": words.when,
            "until": words.until,
            "lasting": words.lasting,
            "segment": words.segment,
            "field_time": words.field_time,
        }
        self.templates.globals |= {"asset": self.assets.address, "new_key": new_key, "currency": currency}

    def enter(self, request: Request, room: str) -> Person:
        """Who asks, if this room is open to such people; 403 `wrong_role` says to whom it is."""
        person = self.sessions.of(request)
        (roles,) = (r.roles for r in ROOMS if r.path == room)
        if person.role not in roles:
            names = ", ".join(sorted(words.word(role) for role in roles))
            raise Problem(
                403, "wrong_role", f"this room is for: {names}; you are signed in as {words.word(person.role)}"
            )
        return person

    def page(
        self,
        request: Request,
        person: Person,
        template: str,
        *,
        status: int = 200,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        **shown: Any,
    ) -> HTMLResponse:
        """A whole page. `typed` is what a form that could not be carried out held: it is kept."""
        done = request.query_params.get("done") if notice is None else None
        return HTMLResponse(
            self.templates.get_template(template).render(
                person=person,
                rooms=[room for room in ROOMS if person.role in room.roles],
                here=request.url.path,
                form_key=self.sessions.form_key(person),
                notice=Notice("done", f"Done: {words.word(done[:80])}.") if done else notice,
                typed=typed,
                theme=theme_of(request),
                **shown,
            ),
            status,
        )

    def part(self, template: str, **shown: Any) -> str:
        """A part of a page, for the room's stream."""
        return self.templates.get_template(template).render(**shown)

    async def form(self, request: Request, room: str) -> tuple[Person, Form]:
        """The form that somebody sent from this room, checked. One that was sent again after the sign-in had ended
        carries the new token."""
        form = await read_form(request)
        person = self.sessions.read(form["token"].strip()) if form.get("token") else self.enter(request, room)
        self.sessions.check_form(request, person, form)
        return person, form

    def was_sent(self, form: Form) -> bool:
        """Whether this very form is under way, or was sent before: whatever changed since was its own doing, and the
        service knows its key."""
        return form.get("key") in self._sent

    async def act(
        self,
        person: Person,
        form: Form,
        service: ServiceName,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        method: str = "POST",
    ) -> Answer:
        """Has a service do something, under the key that was made with the form."""
        key = form.get("key") or new_key()
        self._sent[key] = None
        while len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]
        return await self.services.send(service, method, path, person.token, key, body)

    def once(
        self, person: Person, form: Form, *what: str, carry_out: Callable[[], Awaitable[Answer]]
    ) -> Awaitable[Answer]:
        """Carries out what this form wants, where no service knows its key: sent again, it went as it went before, and
        what did not go well is tried anew."""

        async def begun() -> Answer:
            answer = await carry_out()
            return answer if answer.problem else Answer(answer.service, answer.status, None)

        for one, task in list(self._once.items()):
            if len(self._once) >= ONCE_MAX or (task.done() and not _is_well(task)):
                del self._once[one]
        very = _very(person, form, *what)
        task = self._once.get(very) or asyncio.create_task(begun(), name="form")
        if form["key"]:
            self._once[very] = task
        return asyncio.shield(task)

    def is_done(self, person: Person, form: Form, *what: str) -> bool:
        """Whether this very form was carried out `once` already, or is about to be."""
        task = self._once.get(_very(person, form, *what))
        return task is not None and (not task.done() or _is_well(task))


def _very(person: Person, form: Form, *what: str) -> bytes:
    """Names what somebody wants done by one form."""
    return hashlib.sha256(json.dumps([person.caller.identity, form["key"], *what]).encode()).digest()


def _is_well(task: asyncio.Task[Answer]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().problem is None


Show = Callable[[Notice, Form, int], Awaitable[Response]]
"""Shows the page of a form again, with what was typed."""
Make = Callable[[Form], Mapping[str, Any] | None]
"""Makes a body of a form; ValueError says what cannot be read."""


@dataclass(frozen=True)
class Deed:
    """What a form wants done: what `make` makes of it goes to this service, and the page goes on at `back`.

    `about` is what the page showed, to be read or read just now; `seen` is what of it the form told, nothing of what
    does not exist yet (`may_be_new`). A service that takes no Idempotency-Key (not `keyed`) is asked once.
    """

    service: ServiceName
    path: str
    make: Make
    done: str
    back: str | Callable[[Answer], str]
    about: tuple[ServiceName, str] | Answer | None = None
    seen: Callable[[Any], str] = lambda now: str(now["phase"])
    may_be_new: bool = False
    method: str = "POST"
    keyed: bool = True


async def do(place: Place, person: Person, form: Form, deed: Deed, show: Show) -> Response:
    """What all forms have in common: it must still be as the person saw it, and whatever is wrong is shown with what
    was typed."""
    try:
        body = deed.make(form)
    except ValueError as error:
        return await show(Notice("problem", str(error), AGAIN), form, 422)
    what = (deed.method, deed.service, deed.path, json.dumps(body, sort_keys=True))
    if deed.about and not (place.was_sent(form) if deed.keyed else place.is_done(person, form, *what)):
        now = deed.about
        if not isinstance(now, Answer):
            now = await place.services.get(*now, person.token)
        if now.problem is not None and not (deed.may_be_new and now.status == 404):
            return await show(notice_of(now.problem), form, now.status)
        is_ = "" if now.problem else deed.seen(now.body)
        if form["seen"] != is_:
            return await show(changed(form["seen"], is_), form, 409)

    async def act() -> Answer:
        return await place.act(person, form, deed.service, deed.path, body, method=deed.method)

    answer = await (act() if deed.keyed else place.once(person, form, *what, carry_out=act))
    return await finish(answer, deed.done, deed.back, form, show)


async def finish(answer: Answer, done: str, back: str | Callable[[Answer], str], form: Form, show: Show) -> Response:
    """To the page again when all is well, so that a reload sends nothing; else the page says what is wrong."""
    if answer.problem is not None:
        return await show(notice_of(answer.problem), form, answer.status)
    to = back if isinstance(back, str) else back(answer)
    return RedirectResponse(f"{to}{'&' if '?' in to else '?'}{urlencode({'done': done})}", 303)


def found(answer: Answer) -> Any:
    """What a page is about; Problem when it is not to be had."""
    if answer.problem is not None:
        raise Problem(answer.status, answer.code, answer.problem.get("detail"), title=answer.problem["title"])
    return answer.body


def items(answer: Answer) -> list[Any]:
    """The items of a list; none when it is not to be had."""
    rows: list[Any] = [] if answer.problem else answer.body["items"]
    return rows


def following(answer: Answer, asked: Mapping[str, Any]) -> str:
    """The query of a list's next page; empty when this is the last one."""
    cursor = None if answer.problem else answer.body["next"]
    return urlencode({**{k: v for k, v in asked.items() if v}, "cursor": cursor}) if cursor else ""


def notice_of(problem: Mapping[str, Any]) -> Notice:
    """A service's problem+json, with what to do next."""
    said = [str(problem.get("title") or "Something is wrong")]
    if problem.get("detail"):
        said.append(str(problem["detail"]))
    errors = tuple(
        f"{error.get('path') or error.get('in')}: {error.get('message')}" for error in problem.get("errors", ())
    )
    code = str(problem["code"])
    return Notice("problem", ": ".join(said), NEXT_STEPS.get(code, NEXT_STEP), errors, str(problem.get("trace_id", "")))


def changed(seen: str, now: str) -> Notice:
    """Somebody else was faster. Behind a slash stands what the page tells better than a sentence."""
    was, is_ = (words.word(state.partition("/")[0]) or "not there" for state in (seen, now))
    text = f"This has changed since you opened it: it was {was}, now it is {is_}."
    return Notice("problem", text, NEXT_STEPS["changed_since"])


def theme_of(request: Request) -> str:
    """`light` or `dark`, as the person chose; empty: as the machine says."""
    theme = request.cookies.get("larder_theme", "")
    return theme if theme in ("light", "dark") else ""


def store_of(person: Person, request: Request) -> str:
    """The store that is meant: the person's own, or the one that the address names; empty: none yet."""
    if person.role in STORE_ROLES and person.store:
        return person.store
    return request.query_params.get("store", "")[:64]
