"""What came with a POST besides its body: who asks, under which Idempotency-Key, how long they will wait.

`Depends(asking(Role.CUSTOMER))` gives a route all of it as one `Asked`, which the CommandDesk takes as it is.
"""

# No `from __future__ import annotations` here: FastAPI could not read the roles, which are a closure's, from a string.
import hashlib
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from shared.http.auth import Caller, Role, require
from shared.http.body import NOTHING, json_of
from shared.http.strict_json import fingerprint
from shared.http.trace import traceparent_of
from shared.http.waiting import prefer_wait_s

KEY_MAX = 200
"""Most characters of an Idempotency-Key."""
_ID_CHARS = 32
_ORDER_ID_CHARS = 20

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=KEY_MAX,
        pattern="^[ -~]*[!-~][ -~]*$",
        description="Same key and body: the same answer. Scoped to the caller and the address.",
    ),
]
Prefer = Annotated[
    list[str] | None, Header(description="`wait=N`: wait up to N seconds more until the order rests", max_length=100)
]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for something to be done. `command_id` is its identity: a repeat has the same one."""

    caller: Caller
    command_id: str
    fingerprint: str
    wait_s: int = 0
    traceparent: str = ""
    keyed: bool = False


def command_id(caller: str, route: str, key: str | None) -> str:
    """The id of a command from outside: the same for the same caller, route and Idempotency-Key, random without key."""
    if key is None:
        return secrets.token_hex(_ID_CHARS // 2)
    # NUL parts the three: none of them can hold one.
    return hashlib.sha256(f"{caller}\0{route}\0{key}".encode()).hexdigest()[:_ID_CHARS]


def order_id_for(command_id: str) -> str:
    """The order id that a PlaceOrder command of this id makes, so that a repeat is about the same order."""
    return f"o-{hashlib.sha256(command_id.encode()).hexdigest()[:_ORDER_ID_CHARS]}"


def asking(*roles: Role) -> Callable[..., Coroutine[Any, Any, Asked]]:
    """A dependency for routes that send a command: lets these roles in (and admin) and reads what came along.

    Usage: `Buyer = Annotated[Asked, Depends(asking(Role.CUSTOMER))]`.
    """

    async def asked(
        request: Request,
        caller: Annotated[Caller, Depends(require(*roles))],
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Asked:
        # The address as it was asked, ids in it and all: one key may be used for two orders.
        route = f"{request.method} {request.url.path}"
        value = json_of(request.scope)
        return Asked(
            caller=caller,
            command_id=command_id(caller.identity, route, idempotency_key),
            fingerprint=fingerprint(None if value is NOTHING else value),
            wait_s=prefer_wait_s(prefer or ()),
            traceparent=traceparent_of(request.scope),
            keyed=idempotency_key is not None,
        )

    return asked
