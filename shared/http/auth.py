"""Who is asking: bearer tokens, roles, and what a caller may see.

A route says who may use it, `Depends(require(Role.PICKER, Role.STOREKEEPER))`; admin may do all. Whether a caller may
touch this order or this store is asked of the Caller itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from shared import tokens
from shared.http.problems import Problem, refusal

_REALM = 'Bearer realm="larder"'


class Role(StrEnum):
    """What a token may be for."""

    CUSTOMER = "customer"
    PICKER = "picker"
    COURIER = "courier"
    STOREKEEPER = "storekeeper"
    CUSTOMER_SERVICE = "customer_service"
    RISK_ANALYST = "risk_analyst"
    ADMIN = "admin"


STORE_ROLES = frozenset({Role.PICKER, Role.COURIER, Role.STOREKEEPER})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `account` is a customer's, `name` a person's who works here; `store` is where a store worker works
    (None: all stores); `expires_at` is when the token ends."""

    role: Role
    account: str | None = None
    store: str | None = None
    subject: str = ""
    name: str | None = None
    expires_at: datetime | None = field(default=None, compare=False)

    @property
    def actor(self) -> str:
        """Who acted, as timelines and documents tell it: `customer:a-1`, `picker:jo`, and `picker:` of
        one whom the token does not name."""
        return f"{self.role}:{self.name or self.account or ''}"

    @property
    def identity(self) -> str:
        """The scope of this caller's idempotency keys and bounds: the same for every token of the same person."""
        return f"{self.role}:{self.name or self.account or self.subject}"

    def may_see(self, account: str) -> bool:
        """Customers see what is theirs; those who work here see all."""
        return self.role is not Role.CUSTOMER or self.account == account

    def must_see(self, account: str, code: str = "order_unknown") -> None:
        """Another's order is as unknown as none: 404 with `code`."""
        if not self.may_see(account):
            raise refusal(code)

    def must_work_at(self, store: str) -> None:
        """A store worker whose token names a store works there only: 403 `wrong_store`."""
        if self.role in STORE_ROLES and self.store is not None and self.store != store:
            raise Problem(403, "wrong_store", f"this token works in {self.store}, not in {store}")


def _unauthorized(code: str, detail: str) -> Problem:
    error = "" if code == "no_token" else f', error="invalid_token", error_description="{detail}"'
    return Problem(401, code, detail, headers={"WWW-Authenticate": _REALM + error})


# Only for the API's description: what is read below tells a missing token from a bad one.
_scheme = HTTPBearer(auto_error=False, bearerFormat="JWT", description="`larder token --role R` prints one")


async def caller_of(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]
) -> Caller:
    """The caller that the bearer token names; 401 `no_token`, `bad_token` or `expired_token`."""
    if bearer is None:
        if request.headers.get("authorization"):
            raise _unauthorized("bad_token", "the Authorization header must be: Bearer <token>")
        raise _unauthorized("no_token", "send Authorization: Bearer <token>")
    try:
        claims = tokens.read(request.app.state.settings, bearer.credentials)
    except tokens.TokenError as error:
        if isinstance(error.__context__, jwt.ExpiredSignatureError):
            raise _unauthorized("expired_token", "the token has expired") from None
        if isinstance(error.__context__, jwt.ImmatureSignatureError):
            raise _unauthorized("bad_token", tokens.FROM_THE_FUTURE) from None
        raise _unauthorized("bad_token", "the token was not made here, or is damaged") from None
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        # Forged tokens can hold JSON so deep or numbers so large that PyJWT raises more than its own errors.
        raise _unauthorized("bad_token", "the token was not made here, or is damaged") from None
    return Caller(Role(claims.role), claims.account, claims.store, claims.subject, claims.name, claims.expires_at)


def require(*roles: Role) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency that lets these roles in, and admin (no role named: everybody with a good token); 403 `wrong_role`.

    Usage: `Picker = Annotated[Caller, Depends(require(Role.PICKER))]`.
    """
    let_in = frozenset(roles or Role) | {Role.ADMIN}

    async def required(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        if caller.role not in let_in:
            names = ", ".join(sorted(let_in))
            raise Problem(
                403,
                "wrong_role",
                f"{caller.role} may not do this; it takes one of: {names}",
                headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'},
            )
        return caller

    return required
