"""Server-sent events from an async iterator: heartbeats while nothing happens, an end when the client leaves.

return EventStream((Event(entry, id=str(entry.number)) async for entry in timeline(order_id)), caller=caller)

A client comes back by itself, with the id of the last event that it has in `Last-Event-ID`. What has ended answers 204
then (`nothing_more`), which is how a client learns to stay away.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from weakref import WeakSet

from fastapi import Header
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.http.auth import Caller
from shared.http.problems import try_again

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
STREAMS_MAX = 500
"""Most streams open at once in one process."""
CALLER_STREAMS_MAX = 50
"""Most of them that one caller holds."""
RETRY_MS = 2_000
"""How long a client waits before it comes back."""
_LINE_BREAK = re.compile("\r\n|\r|\n")

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="the id of the last event you have")]
"""Declare a parameter of this type, and the route takes `Last-Event-ID`."""
TOLD: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events, until they end", "content": {"text/event-stream": {}}},
    204: {"description": "You have the last event already: stay away"},
}
"""The answers of a stream, for the description of its route; its `response_class` is Response."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is a model, anything that JSON takes, or text (JSON already, perhaps) that goes out as it is;
    `id` is what a client that comes back names in `Last-Event-ID`."""

    data: Any
    event: str | None = None
    id: str | None = None

    def encode(self) -> bytes:
        """The event as it goes over the wire."""
        if isinstance(self.data, str):
            text = self.data
        elif isinstance(self.data, BaseModel):
            text = self.data.model_dump_json()
        else:
            text = json.dumps(self.data, default=str)
        # Names are cut at a line break, since it would begin another field.
        fields = [(name, _lines(value)[0]) for name, value in (("event", self.event), ("id", self.id)) if value]
        fields += [("data", line) for line in _lines(text)]
        return ("".join(f"{name}: {value}\n" for name, value in fields) + "\n").encode()


def _lines(text: str) -> list[str]:
    return _LINE_BREAK.split(text)


class EventStream(Response):
    """A response that tells events until they end, the client leaves, its token ends, or the process stops."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[Event, None], *, caller: Caller, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        if len(_open) >= STREAMS_MAX:
            raise try_again("overloaded", f"{STREAMS_MAX} streams are open already", after_s=5)
        if sum(stream.caller.identity == caller.identity for stream in _open) >= CALLER_STREAMS_MAX:
            raise try_again("overloaded", f"{CALLER_STREAMS_MAX} streams of this caller are open already", after_s=5)
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]  # nobody knows how long it gets
        self.caller: Caller = caller
        self._events = events
        self._heartbeat_s = heartbeat_s
        self._stopping = asyncio.Event()
        _open.add(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events; always ends the iterator, whoever ended the stream."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        over = [asyncio.create_task(_left(receive)), asyncio.create_task(_set(self._stopping))]
        coming = asyncio.create_task(self._next())
        token_ends = self._when_the_token_ends()
        try:
            await _send_body(send, b"retry: %d\n\n" % RETRY_MS)
            while True:
                done, _ = await asyncio.wait(
                    {coming, *over}, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if done.intersection(over):
                    break
                if coming not in done:
                    await _send_body(send, b": nothing new\n\n")
                    continue
                event = coming.result()
                if event is None:
                    break
                await _send_body(send, event.encode())
                coming = asyncio.create_task(self._next())
        except OSError:
            pass  # the client left while we told it something
        except Exception:
            log.exception("the stream %s broke off", scope["path"])
            await _send_body(send, Event({"code": "internal_error"}, event="problem").encode())
        finally:
            _open.discard(self)
            if token_ends is not None:
                token_ends.cancel()
            await _end([coming, *over])
            await self._events.aclose()
        if not over[0].done() or over[0].cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def stop(self) -> None:
        """Ends the stream; a client comes back by itself."""
        self._stopping.set()

    def _when_the_token_ends(self) -> asyncio.TimerHandle | None:
        """The stream ends with it; who comes back needs a fresh one."""
        if self.caller.expires_at is None:
            return None
        left_s = (self.caller.expires_at - datetime.now(UTC)).total_seconds()
        return asyncio.get_running_loop().call_later(left_s, self.stop)

    async def _next(self) -> Event | None:
        return await anext(self._events, None)


_open: WeakSet[EventStream] = WeakSet()


def nothing_more() -> Response:
    """The answer to a client that has the last event already: 204, after which it does not come back."""
    return Response(status_code=204)


def stop_streams() -> None:
    """Ends all open streams, so that a server which stops need not wait for clients that never leave."""
    for stream in list(_open):
        stream.stop()


async def _send_body(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
