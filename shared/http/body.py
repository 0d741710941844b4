"""The door: what a request may carry. Everything behind it can rely on a small, whole, readable body.

A pure ASGI middleware. It bounds the body in bytes (announced or chunked) and in time, and all bodies under way in
bytes together; reads it once, checks path, query and JSON, and hands the body on in one piece. The JSON value is kept
for the fingerprint of the request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.problems import Problem, invalid, refusal, try_again
from shared.http.strict_json import read_json

BODY_MAX_BYTES = 1_000_000
BODY_WAIT_S = 30
"""How long a client may take to send its body."""
BODY_SMALL_BYTES = 64_000
"""So much of every body may come at any time; what is beyond counts as large."""
LARGE_MAX_BYTES = 64_000_000
"""Most bytes of large bodies under way in one process. Nobody who sends a small body has to wait for them."""
DRAIN_MAX_BYTES = 32_000_000
"""Most of a body too large that is read and thrown away. Many clients see an answer only when they have sent all."""

_INSTANT = re.compile(
    rb"""(=\d{4}-\d\d-\d\d (?:[Tt_+]|%20) \d\d(?::|%3[Aa]) [^&+]{0,40}?)  # a date and a time of day
         (?:\+|%20)
         (\d\d (?:(?::|%3[Aa])?\d\d)?) (?=&|$)  # an offset""",
    re.VERBOSE,
)
_SCOPE_KEY = "larder.json"
_CLOSE = {"Connection": "close"}
"""For answers before the body was read: what is left of it would stand before the next request."""
NOTHING = object()
"""Stands for the JSON value of a request without a body."""


class Body(BaseModel):
    """What a route reads of a body. Nothing is converted (a text is no number, 1 is not yes) and nothing passed over:
    what is stored is what was understood."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Nothing(Body):
    """An object without members: there is nothing more to say."""


def json_of(scope: Scope) -> Any:
    """The JSON value that the client sent; NOTHING when there was no body."""
    return scope.get(_SCOPE_KEY, NOTHING)


class ClientGone(Exception):
    """The client left before its body was whole: nobody waits for an answer."""


class Door:
    """ASGI middleware that checks what comes in; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._large_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            _check_text("path", scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass"))
            _check_text("query", scope["query_string"])
            scope["query_string"] = _with_plus(scope["query_string"])
            headers = dict(scope["headers"])
            if b"content-length" in headers or b"transfer-encoding" in headers:
                async with asyncio.timeout(BODY_WAIT_S):
                    body = await self._read(receive, headers)
                if body:
                    _check_encoding(scope["headers"])
                    _check_media_type(headers.get(b"content-type", b""))
                    scope[_SCOPE_KEY] = read_json(body)
                receive = _replay(body, receive)
        except Problem as problem:
            return await problem.response(scope)(scope, receive, send)
        except TimeoutError:
            slow = Problem(408, "body_too_slow", f"the body must arrive within {BODY_WAIT_S:g} s", headers=_CLOSE)
            return await slow.response(scope)(scope, receive, send)
        except ClientGone:
            return None
        return await self.app(scope, receive, send)

    async def _read(self, receive: Receive, headers: dict[bytes, bytes]) -> bytes:
        announced = headers.get(b"content-length", b"")
        too_large = announced.isdigit() and int(announced[:20]) > BODY_MAX_BYTES
        if too_large and headers.get(b"expect", b"").lower() == b"100-continue":
            raise _too_large()  # the client asks before it sends: it need not send
        chunks: list[bytes] = []
        size = large = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                too_large = too_large or size > BODY_MAX_BYTES
                if too_large:
                    chunks.clear()
                else:
                    chunks.append(chunk)
                if not message.get("more_body") or size > DRAIN_MAX_BYTES:
                    break
                self._large_bytes -= large
                large = 0 if too_large else max(0, size - BODY_SMALL_BYTES)
                self._large_bytes += large
                if self._large_bytes > LARGE_MAX_BYTES and large:
                    raise _too_much_at_once()
        finally:
            self._large_bytes -= large
        if too_large:
            raise _too_large()
        return b"".join(chunks)


def _too_large() -> Problem:
    return Problem(413, "body_too_large", f"at most {BODY_MAX_BYTES} bytes", headers=_CLOSE)


def _too_much_at_once() -> Problem:
    problem = try_again("overloaded", "too many large bodies are on their way already")
    problem.headers |= _CLOSE
    return problem


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive channel that tells the body in one piece, and then what the client does (it leaves)."""
    told = False

    async def replayed() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _check_encoding(headers: Iterable[tuple[bytes, bytes]]) -> None:
    said = b",".join(value for name, value in headers if name in (b"content-encoding", b"transfer-encoding"))
    for coding in said.lower().split(b","):
        if coding.strip() not in (b"", b"identity", b"chunked"):
            raise refusal("body_encoded", f"{coding.strip().decode('latin-1')[:40]} is not unpacked here")


def _check_media_type(content_type: bytes) -> None:
    media_type = content_type.split(b";")[0].strip().lower()
    # No media type at all is taken as JSON: nothing else is ever sent here.
    if media_type and media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise Problem(415, "not_json", "send the body with Content-Type: application/json")


def _with_plus(query: bytes) -> bytes:
    """In a query `+` means a space. Before the offset of an instant none can stand: that was a `+` nobody encoded."""
    if b"+" not in query and b"%20" not in query:
        return query
    return _INSTANT.sub(rb"\1%2B\2", query)


def _check_text(where: str, encoded: bytes) -> None:
    """Percent-encoded text must be UTF-8 without NUL; PostgreSQL takes nothing else."""
    if b"%" not in encoded and encoded.isascii():
        return
    try:
        text = unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid(where, "", "is not percent-encoded UTF-8") from None
    if "\x00" in text:
        raise invalid(where, "", "has a NUL character")
