"""Who is at the page: signed in by a one-time link or a pasted token, known by a cookie.

The cookie holds the person's token; no script of the page can read it. A one-time link is a token of its own kind, good
for a minute and for no service; each is good once, which this process remembers for that minute.

Every form carries two keys. `form` says that we made the form for this person (another site cannot know it), `key`
becomes the Idempotency-Key: it is made with the form, so a double click, a reload or the back button is one command.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import jwt
from starlette.requests import Request

from shared import tokens
from shared.http.auth import Caller, Role
from shared.http.problems import Problem
from shared.settings import Settings

COOKIE = "larder_console"
LINKS_MAX = 10_000
"""Most links that were used and are remembered. Past it none more is taken until the oldest are over."""
FORM_MAX_BYTES = 200_000
FIELDS_MAX = 2_000
"""A form of 200 lines has five fields a line."""
_FORM_CHARS = 32
FORM = "larder.form"
"""Where a request's scope keeps the form: who has to sign in first gets it back."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who works here, and the token that the services are asked with."""

    caller: Caller
    token: str

    @property
    def role(self) -> Role:
        """What the person is."""
        return self.caller.role

    @property
    def store(self) -> str | None:
        """Where the person works; None: in all stores."""
        return self.caller.store

    @property
    def name(self) -> str:
        """What the page calls the person."""
        return self.caller.name or "nobody named"


class NotSignedIn(Exception):
    """Nobody is known here; `why` is for the person."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Sessions:
    """Makes and reads who is signed in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._used: dict[str, float] = {}

    def read(self, token: str) -> Person:
        """The person of a token; NotSignedIn says why there is none."""
        try:
            claims = tokens.read(self._settings, token)
        except (tokens.TokenError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            over = isinstance(error, tokens.TokenError) and isinstance(error.__context__, jwt.ExpiredSignatureError)
            raise NotSignedIn("Your sign-in has ended." if over else "This token is not good here.") from None
        if claims.role == Role.CUSTOMER:
            raise NotSignedIn("The console is for people who work here; this is a customer's token.")
        return Person(
            Caller(Role(claims.role), claims.account, claims.store, claims.subject, claims.name, claims.expires_at),
            token,
        )

    def of(self, request: Request) -> Person:
        """Who asks; NotSignedIn when nobody is signed in."""
        token = request.cookies.get(COOKIE)
        if not token:
            raise NotSignedIn
        return self.read(token)

    def enter(self, link: str) -> str:
        """The token that a one-time link stands for; NotSignedIn when it is over, or was used."""
        try:
            claims = tokens.read_link(self._settings, link)
        except tokens.TokenError as error:
            raise NotSignedIn(f"This link is not good any more: {error}.") from None
        now = datetime.now(UTC).timestamp()
        self._used = {one: over for one, over in self._used.items() if over > now}
        if claims.id in self._used or len(self._used) >= LINKS_MAX:
            raise NotSignedIn("This link was used already. `larder console` prints a new one.")
        self._used[claims.id] = now + tokens.LINK_S
        return tokens.create(self._settings, claims.role, None, claims.store, tokens.DEFAULT_TTL_S, claims.name)

    def form_key(self, person: Person) -> str:
        """What a form of this person's carries. It is the same after a new sign-in, so that what was typed before can
        be sent."""
        said = f"form\0{person.caller.identity}".encode()
        return hmac.new(self._settings.secret().encode(), said, hashlib.sha256).hexdigest()[:_FORM_CHARS]

    def check_form(self, request: Request, person: Person, form: Mapping[str, str]) -> None:
        """403 unless the form is ours, was made for this person, and comes from this page."""
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        here = f"{request.url.scheme}://{request.headers.get('host', '')}"
        if (site is not None and site != "same-origin") or (origin is not None and origin != here):
            raise Problem(403, "not_from_here", "this form was not sent from the console's own pages")
        if not hmac.compare_digest(form.get("form", "").encode(), self.form_key(person).encode()):
            raise Problem(403, "form_not_yours", "this form was made for somebody else: open the page again")


def new_key() -> str:
    """An Idempotency-Key for a form that is about to be shown."""
    return secrets.token_urlsafe(18)


class Form(dict[str, str]):
    """The fields of a form, each once, and empty when it is not there; `pairs` has all of them, in order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def __missing__(self, name: str) -> str:
        return ""

    def many(self, name: str) -> list[str]:
        """All values of one name."""
        return [value for field, value in self.pairs if field == name]


async def read_form(request: Request) -> Form:
    """The fields of a form; 413 or 422 when it is none that a page of ours makes."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Problem(415, "no_form", "forms come as application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_MAX_BYTES:
            raise Problem(413, "body_too_large", f"a form has at most {FORM_MAX_BYTES:,} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:
        raise Problem(422, "invalid_request", "this is no form of ours") from None
    if any("\0" in text for pair in pairs for text in pair):
        raise Problem(422, "invalid_request", "a field holds a character that cannot be stored")
    form = request.scope[FORM] = Form(pairs)
    return form
