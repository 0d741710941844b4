"""Errors as people and programs see them: `application/problem+json` (RFC 9457) with a stable `code`.

A code is looked up in one table, `CODES`, which says its status and its plain English title. Services add theirs with
`register`. What nobody expected becomes 500 `internal_error`: the log has the story, the answer only its trace id.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.trace import trace_id_of

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
ERRORS_MAX = 20
"""Most single errors that one answer lists."""
RETRY_AFTER_S = 1
"""What a client is told to wait before it tries again, when nothing better is known."""

CODES: dict[str, tuple[int, str]] = {
    "malformed_json": (400, "The body is not JSON"),
    "bad_request": (400, "The request cannot be understood"),
    "no_token": (401, "A bearer token is needed"),
    "bad_token": (401, "The token is not valid"),
    "expired_token": (401, "The token has expired"),
    "wrong_role": (403, "This role may not do that"),
    "wrong_store": (403, "This token works in another store"),
    "no_such_route": (404, "There is nothing at this address"),
    "method_not_allowed": (405, "This address does not take that method"),
    "head_too_slow": (408, "The address and the headers did not arrive in time"),
    "body_too_slow": (408, "The body did not arrive in time"),
    "body_too_large": (413, "The body is too large"),
    "not_json": (415, "The body must be sent as application/json"),
    "body_encoded": (415, "The body must be sent as it is, without an encoding"),
    "invalid_request": (422, "The request has a wrong shape or wrong values"),
    "idempotency_key_reused": (422, "This Idempotency-Key was used for another request"),
    "bad_cursor": (422, "The cursor is not one that this list gave out"),
    "head_too_large": (431, "The address and the headers are too large"),
    "too_many_headers": (431, "The request has too many headers"),
    "internal_error": (500, "Something went wrong here"),
    "unavailable": (503, "A part that this needs does not answer just now"),
    "overloaded": (503, "Too much is waiting already"),
    "answer_pending": (503, "The answer is still being worked out"),
    "not_ready": (503, "Not ready"),
}
"""Code -> (status, title). The status of a code that is not here follows its name: `*_unknown` 404, `*_invalid` 422,
any other 409, since most refusals are commands at the wrong time."""


def register(codes: Mapping[str, tuple[int, str]]) -> None:
    """Adds a service's codes. One code never means two things."""
    for code, meaning in codes.items():
        if CODES.setdefault(code, meaning) != meaning:
            raise ValueError(f"the code {code!r} already means {CODES[code]}, it cannot mean {meaning} as well")


def meaning_of(code: str) -> tuple[int, str]:
    """The status and the title of a code."""
    if known := CODES.get(code):
        return known
    title = code.replace("_", " ").capitalize()
    if code.endswith("_unknown"):
        return 404, title
    if code.endswith("_invalid"):
        return 422, title
    return 409, title


class Problem(Exception):
    """An answer that is an error. Raise it anywhere below a route; `extra` members go into the body as they are."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str | None = None,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title or meaning_of(code)[1]
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self, scope: Scope | None = None) -> Response:
        """The problem as a response; its body is plain ASCII, so that no character in it can break it."""
        body: dict[str, Any] = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        body |= self.extra
        if scope is not None and (trace_id := trace_id_of(scope)):
            body["trace_id"] = trace_id
        return Response(json.dumps(body, default=str), self.status, self.headers, MEDIA_TYPE)


def refusal(code: str, detail: str | None = None, **extra: Any) -> Problem:
    """The problem for a code, with the status and title that `CODES` gives it: `raise refusal("order_unknown")`."""
    status, title = meaning_of(code)
    return Problem(status, code, detail, title=title, **extra)


def try_again(code: str, detail: str, after_s: int = RETRY_AFTER_S) -> Problem:
    """503 with `Retry-After`."""
    return Problem(503, code, detail, headers={"Retry-After": str(after_s)})


def invalid(where: str, path: str, message: str) -> Problem:
    """422 `invalid_request` for one field: `invalid("query", "limit", "must be at most 200")`."""
    return _invalid([{"in": where, "path": path, "message": message}])


def _invalid(errors: Sequence[Mapping[str, str]]) -> Problem:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    detail = f"{first['path'] or first['in']}: {first['message']}{more}"
    return Problem(422, "invalid_request", detail, errors=list(errors[:ERRORS_MAX]))


def _from_pydantic(errors: Iterable[Mapping[str, Any]], where: str | None = None) -> Problem:
    """Names the fields and what is wrong with them, without echoing what was sent."""
    told = []
    for error in errors:
        place = [str(part) for part in error["loc"]]
        if error["type"] == "json_invalid":
            return Problem(400, "malformed_json", str(error.get("ctx", {}).get("error", error["msg"])))
        source = where or (place.pop(0) if place else "body")
        told.append({"in": source, "path": ".".join(place), "message": str(error["msg"]).removeprefix("Value error, ")})
    return _invalid(told)


def problem_of(error: Exception) -> Problem | None:
    """The problem that an exception stands for; None when it is a surprise."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _from_pydantic(error.errors())
        case ValidationError():
            # A message made from what the client sent: the route let a value through that the contract refuses. An
            # error of our own could look the same, so the log keeps where it came from.
            log.warning("a value was refused late: %s", error.title, exc_info=error)
            return _from_pydantic(error.errors(include_input=False, include_url=False), "body")
        case asyncpg.DataError():
            log.warning("the database refused a value", exc_info=error)
            return Problem(422, "invalid_request", "a value is outside of what can be stored")
        case HTTPException():
            return _from_starlette(error)
        case _ if _is_away(error):
            log.warning("a part is away: %s: %s", type(error).__name__, error)
            return try_again("unavailable", "The database or the broker does not answer; try again shortly.")
        case _:
            return None


def _from_starlette(error: HTTPException) -> Problem:
    codes = {400: "malformed_json", 404: "no_such_route", 405: "method_not_allowed", 413: "body_too_large"}
    code = codes.get(error.status_code) or ("bad_request" if error.status_code < 500 else "internal_error")
    detail = "/docs tells what there is" if code in ("no_such_route", "method_not_allowed") else None
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("Allow", "").split(", ")) and "HEAD" not in allowed:
        headers["Allow"] = ", ".join([*allowed, "HEAD"])  # see shared.http.head
    return Problem(error.status_code, code, detail, headers=headers)


def _is_away(error: Exception) -> bool:
    """Is this a lost or refused connection rather than a mistake of ours?"""
    if isinstance(error, asyncpg.InterfaceError):  # also raised for wrong use, which must not hide here
        return any(word in str(error) for word in ("closed", "closing"))
    # asyncpg raises InternalClientError when a connection dies between two of its steps (its issue 784).
    return isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.InternalClientError
        | asyncpg.OperatorInterventionError
        | asyncpg.InsufficientResourcesError
        | KafkaError
        | ConnectionError
        | OSError
        | TimeoutError,
    )


async def _handle(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    assert problem is not None
    return problem.response(request.scope)


def add_handlers(app: FastAPI) -> None:
    """Replaces the framework's own answers to errors. Everything else passes through to LastResort."""
    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle)


class LastResort:
    """ASGI middleware around everything: what nobody expected is logged and becomes 500 `internal_error`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            # The process ends under the request; without an answer of ours the server would make up one of its own.
            if started:
                raise
            stopping = try_again("unavailable", "This service is being started again; what was asked may be done.")
            await stopping.response(scope)(scope, receive, send)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("%s %s failed, trace %s", scope["method"], scope["path"], trace_id_of(scope))
                problem = Problem(500, "internal_error", "The log tells what happened, under this trace_id.")
            if started:  # half an answer is out; cutting it off is all that is left
                raise
            await problem.response(scope)(scope, receive, send)
