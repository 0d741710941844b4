"""The door: what a request may carry. Everything behind it can rely on a small, whole, readable body.

A pure ASGI middleware. It bounds the body in bytes (announced or chunked) and in time, reads it once, checks path,
query and JSON, and hands the body on in one piece. The JSON value is kept for the fingerprint of the request.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.problems import Problem, invalid
from shared.http.strict_json import read_json

BODY_MAX_BYTES = 1_000_000
BODY_WAIT_S = 30
"""How long a client may take to send its body."""
DRAIN_MAX_BYTES = 32_000_000
"""Most of a body too large that is read and thrown away. Many clients see an answer only when they have sent all."""

_SCOPE_KEY = "larder.json"
_CLOSE = {"Connection": "close"}
"""For answers before the body was read: what is left of it would stand before the next request."""
NOTHING = object()
"""Stands for the JSON value of a request without a body."""


def json_of(scope: Scope) -> Any:
    """The JSON value that the client sent; NOTHING when there was no body."""
    return scope.get(_SCOPE_KEY, NOTHING)


class ClientGone(Exception):
    """The client left before its body was whole: nobody waits for an answer."""


class Door:
    """ASGI middleware that checks what comes in; see the module."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            _check_text("path", scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass"))
            _check_text("query", scope["query_string"])
            headers = dict(scope["headers"])
            if b"content-length" in headers or b"transfer-encoding" in headers:
                async with asyncio.timeout(BODY_WAIT_S):
                    body = await _read(receive, headers)
                if body:
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


async def _read(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    announced = headers.get(b"content-length", b"")
    too_large = announced.isdigit() and int(announced[:20]) > BODY_MAX_BYTES
    if too_large and headers.get(b"expect", b"").lower() == b"100-continue":
        raise _too_large()  # the client asks before it sends: it need not send
    chunks: list[bytes] = []
    size = 0
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
    if too_large:
        raise _too_large()
    return b"".join(chunks)


def _too_large() -> Problem:
    return Problem(413, "body_too_large", f"at most {BODY_MAX_BYTES} bytes", headers=_CLOSE)


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


def _check_media_type(content_type: bytes) -> None:
    media_type = content_type.split(b";")[0].strip().lower()
    # No media type at all is taken as JSON: nothing else is ever sent here.
    if media_type and media_type != b"application/json" and not media_type.endswith(b"+json"):
        raise Problem(415, "not_json", "send the body with Content-Type: application/json")


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
