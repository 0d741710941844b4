"""HEAD wherever there is GET: the same status and headers, no body. Monitors and caches ask this way.

The routes know nothing of it, so that none can forget it and the API is not described twice.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware that has a HEAD answered like a GET and keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        started = asked = False

        async def without_body() -> Message:
            nonlocal asked
            if asked:
                return {"type": "http.disconnect"}  # nobody reads on: a stream ends here, before it has begun
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}

        async def headers_only(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await send(message)

        await self.app({**scope, "method": "GET"}, without_body, headers_only)
        if started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
