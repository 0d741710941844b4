"""W3C trace context: goes on with a caller's valid `traceparent`, else starts a trace.

The id goes into the headers of every command sent (so into the log of every service that works on it) and into every
problem, so that a person who reports an error names what to look for. See https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Receive, Scope, Send

_SCOPE_KEY = "larder.traceparent"
_VALID = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_SAMPLED = "01"


def next_traceparent(incoming: str | None) -> str:
    """The traceparent of our own step: in the caller's trace when it named a valid one, else in a new one."""
    match = _VALID.fullmatch(incoming or "")
    # Version 00 has nothing behind the flags; later ones may, and are read as 00.
    if match and not (match[1] == "00" and match[4]):
        return f"00-{match[2]}-{secrets.token_hex(8)}-{match[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{_SAMPLED}"


def traceparent_of(scope: Scope) -> str:
    """The traceparent to hand on; empty when no Trace middleware is around."""
    return str(scope.get(_SCOPE_KEY, ""))


def trace_id_of(scope: Scope) -> str:
    """The 32 hex digits that all steps of one request share; empty when no Trace middleware is around."""
    return traceparent_of(scope)[3:35]


class Trace:
    """ASGI middleware that gives every request its traceparent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            said = [value for name, value in scope["headers"] if name == b"traceparent"]
            # Two headers are as good as none: nobody knows which is meant.
            scope[_SCOPE_KEY] = next_traceparent(said[0].decode("latin-1") if len(said) == 1 else None)
        await self.app(scope, receive, send)
