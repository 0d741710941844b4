"""Bearer tokens: JWT (HS256) that name a role and whose they are: an account, or a person who works here.

Only making and reading; which role may do what is the business of each service's HTTP.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt
from pydantic import TypeAdapter, ValidationError

from shared.contracts.base import ACCOUNT_MAX, Account, Name
from shared.settings import Settings

ALGORITHM = "HS256"
ROLES = ("customer", "picker", "courier", "storekeeper", "customer_service", "risk_analyst", "admin")
DEFAULT_TTL_S = 12 * 3600.0
LINK = "console-link"
"""The audience of one-time links."""
LINK_S = 60.0
"""How long one is good: it is read off a terminal, and opened."""
TTL_MAX_S = 366 * 86_400
"""Longest life of a token."""

_ACCOUNT = TypeAdapter(Account)
_NAME = TypeAdapter(Name)


FROM_THE_FUTURE = "the token was made in the future: the clock of this service, or of who made it, is wrong"


class TokenError(ValueError):
    """A token that is not good, or one that cannot be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who asks, and until when. A customer always has an account and never a `name`, which is that of a person who
    works here; a store worker without a store works for all of them."""

    role: str
    subject: str
    account: str | None = None
    store: str | None = None
    name: str | None = None
    expires_at: datetime | None = field(default=None, compare=False)
    id: str = field(default="", compare=False)
    """Of a one-time link."""


def create(
    settings: Settings,
    role: str,
    account: str | None = None,
    store: str | None = None,
    ttl_s: float = DEFAULT_TTL_S,
    name: str | None = None,
) -> str:
    """A signed token, good for `ttl_s` seconds from now (one that is over already if that is negative)."""
    return _signed(settings, role, account, store, ttl_s, name, {})


def _signed(
    settings: Settings,
    role: str,
    account: str | None,
    store: str | None,
    ttl_s: float,
    name: str | None,
    more: Mapping[str, str],
) -> str:
    if role not in ROLES:
        raise TokenError(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")
    if role == "customer" and not account:
        raise TokenError("a customer's token names its account")
    if account and not _is(_ACCOUNT, account):
        raise TokenError(
            f"the account {account[: ACCOUNT_MAX + 1]!r} is none that can order: 1 to {ACCOUNT_MAX} printable "
            "characters, no blank at either end"
        )
    if name is not None and role == "customer":
        raise TokenError("a customer's token names its account, and no person who works here")
    for what, text in (("store", store or None), ("person", name)):
        if text is not None and not _is(_NAME, text):
            raise TokenError(
                f"the {what} {text[:80]!r} is no name (1 to 64 letters, digits and ._:@+-, a letter or digit first)"
            )
    if not abs(ttl_s) <= TTL_MAX_S:  # a nan is not, either
        raise TokenError(f"a token is good for at most {TTL_MAX_S:,} seconds, and not for {ttl_s:g}")
    now = datetime.now(UTC)
    # A lifetime below zero makes an expired token, which tests of refusals need; it was then made in the past.
    claims = {"sub": name or account or role, "role": role, "iat": now, "exp": now + timedelta(seconds=ttl_s)}
    if account:
        claims["account"] = account
    if store:
        claims["store"] = store
    if name:
        claims["name"] = name
    return jwt.encode({**claims, **more}, settings.secret(), algorithm=ALGORITHM)


def create_link(settings: Settings, role: str, store: str | None, name: str | None) -> str:
    """What a one-time link of the console ends with. It is meant for the console alone: no service takes it."""
    if role == "customer":
        raise TokenError("the console is for people who work here")
    return _signed(settings, role, None, store, LINK_S, name, {"aud": LINK, "jti": secrets.token_urlsafe(12)})


def read_link(settings: Settings, link: str) -> Claims:
    """Who a one-time link signs in; a TokenError if it is forged or over. Whoever reads it sees that it is used once:
    `id` says which it is."""
    return _read(settings, link, audience=LINK)


def _is(kind: TypeAdapter[str], text: str) -> bool:
    try:
        kind.validate_python(text)
    except ValidationError:
        return False
    return True


def read(settings: Settings, token: str) -> Claims:
    """Who a token speaks for; a TokenError if it is forged, over, or not one of ours."""
    return _read(settings, token)


def _read(settings: Settings, token: str, audience: str | None = None) -> Claims:
    required = ["exp", "sub"] if audience is None else ["exp", "sub", "aud", "jti"]
    try:
        said = jwt.decode(*(token, settings.secret(), [ALGORITHM]), audience=audience, options={"require": required})
    except jwt.ExpiredSignatureError:
        raise TokenError("the token is over: ask for a new one") from None
    except jwt.ImmatureSignatureError:
        raise TokenError(FROM_THE_FUTURE) from None
    except jwt.InvalidTokenError as error:
        raise TokenError(f"the token is not good: {error}") from None
    role, account, store, name = (said.get(claim) for claim in ("role", "account", "store", "name"))
    if role not in ROLES or not isinstance(account, str | None) or not isinstance(store, str | None):
        raise TokenError("the token names no role that is known here")
    if role == "customer" and not account:
        raise TokenError("the token of a customer names no account")
    if account and not _is(_ACCOUNT, account):
        raise TokenError("the token names an account that cannot order")
    if name is not None and (role == "customer" or not _is(_NAME, name)):
        raise TokenError("the token names a person who cannot work here")
    try:
        expires_at = datetime.fromtimestamp(float(said["exp"]), UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise TokenError("the token ends on no day of the calendar") from None
    return Claims(role, str(said["sub"]), account, store, name, expires_at, str(said.get("jti", "")))
