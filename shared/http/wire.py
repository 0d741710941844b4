"""What is read of a connection before there is a request, and for how long: the first bounds of the HTTP side.

With httptools, uvicorn takes a head of any length, as slowly as one likes, from as many as like, and waits for ever for
a client that takes nothing. `BoundedProtocol` adds the bounds. Whoever passes one is answered with a problem, where an
answer can still be given, and the connection ends. No request pays for a timer: `shared.http.server` looks at all
connections together, a few times a second, and each says what became of it (`look`).

The rest of a request (bytes and time of its body) is bounded by `shared.http.body`, behind the trace and the log.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, NoReturn, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from shared.http.problems import Problem, try_again

HEAD_MAX_BYTES = 32_768
"""Most bytes of address and headers (and of what follows a body in chunks)."""
HEADERS_MAX = 100
"""Most headers of a request."""
HEAD_WAIT_S = 10.0
"""How long a client may take to send the head, from its first byte or from the start of the connection."""
SEND_WAIT_S = 20.0
"""How long a client may take nothing of what waits for it; then it is dropped."""
STOP_WAIT_S = 1.0
"""The same, once the service stops."""
LINGER_S = 2.0
"""How long a refused client is still listened to: with bytes of its unread, it would never see the answer."""
PIPELINE_MAX = 16
"""Most requests of one connection that wait for the answer to the one before."""
CONNECTIONS_SPARE = 50
"""Connections beyond the bound that are still answered: 503, or how the service is. Those beyond are just closed."""
HEALTH = frozenset({"/healthz", "/readyz"})
"""What is answered beyond the bound of connections as well: a full service is not a dead one."""

_SLICE = HEAD_MAX_BYTES // 2
"""Bytes that the parser gets at once. What it holds back of them cannot be seen before, so this bounds it."""


class _Reading(Enum):
    """What the next byte of the client belongs to."""

    NOTHING = "nothing"  # no request, or the one before is whole
    HEAD = "head"
    BODY = "body"


class BoundedProtocol(HttpToolsProtocol):
    """One connection; see the module. The bound of connections is uvicorn's setting `limit_concurrency`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections_max = config.limit_concurrency
        self.limit_concurrency = None  # uvicorn's own refusal is plain text, and turns away /healthz as well
        self._beyond = False
        self._reading = _Reading.NOTHING
        self._held = 0  # bytes since the message began, or since the parser last gave some of its body
        self._waits_since: float | None = None  # for a head, or for the rest of what is answered already
        self._running: RequestResponseCycle | None = None
        self._why: Problem | None = None
        self._refused = False
        self._lingers_since: float | None = None
        self._unsent = 0
        self._took_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waits_since = self.loop.time()
        if self._connections_max is not None and len(self.connections) > self._connections_max:
            self._beyond = True
            if len(self.connections) > self._connections_max + CONNECTIONS_SPARE:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE):
            if self._refused:
                return
            self._read(data if len(data) <= _SLICE else data[start : start + _SLICE])

    def _read(self, data: bytes) -> None:
        super().data_received(data)
        if self._refused:
            return
        answered = self.cycle is not None and self.cycle.response_complete
        if self._reading is _Reading.NOTHING:
            # Line breaks between requests, or the last of a body that nobody waited for: uvicorn has stopped its
            # clock of idle connections for them, and does not start it again.
            if answered and self.timeout_keep_alive_task is None and self._waits_since is None:
                self._waits_since = self.loop.time()
            return
        self._held += len(data)
        if self._held > HEAD_MAX_BYTES + _SLICE:
            self._refuse(_head_too_large())
        elif len(self.headers) > HEADERS_MAX:
            self._refuse(_too_many_headers())
        elif self._waits_since is None and (self._reading is _Reading.HEAD or answered):
            self._waits_since = self.loop.time()

    # What the parser tells

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINE_MAX:
            self._stop_parsing(Problem(400, "bad_request", f"more than {PIPELINE_MAX} requests wait for their answers"))
        super().on_message_begin()
        self._reading = _Reading.HEAD
        self._held = 0

    def on_headers_complete(self) -> None:
        if len(self.headers) > HEADERS_MAX:
            self._stop_parsing(_too_many_headers())
        # A head that came in one or two slices is within the bound.
        if self._held and self._head_bytes() > HEAD_MAX_BYTES:
            self._stop_parsing(_head_too_large())
        super().on_headers_complete()
        self._reading = _Reading.BODY
        self._waits_since = None

    def on_body(self, body: bytes) -> None:
        self._held = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading = _Reading.NOTHING
        self._waits_since = None
        super().on_message_complete()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _stop_parsing(self, problem: Problem) -> NoReturn:
        """The parser turns what is raised into an error of its own, which uvicorn answers by `send_400_response`."""
        self._why = problem
        raise problem

    # What becomes of it

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if self._beyond:
            cycle.keep_alive = False
            if cycle.scope["path"] not in HEALTH:
                app = cast(ASGI3Application, _too_many_connections)
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._why or Problem(400, "bad_request", "this is no HTTP request"))

    def _refuse(self, problem: Problem) -> None:
        """Answers with the problem and reads no further. Nothing is put into an answer that is under way: then the
        connection ends with that one."""
        self._refused = True
        self._waits_since = None
        self.parser = None  # type: ignore[assignment]  # with all that it has kept of the head, as uvicorn does
        self.headers, self.url = [], b""
        running = self._running
        if running is not None and not running.response_complete:
            its_own = running is self.cycle and self._reading is _Reading.BODY
            if not its_own or running.response_started:
                running.keep_alive = False
                return
            running.disconnected = True
            running.message_event.set()  # who waits for the rest of the body hears that there is none
        elif self._reading is _Reading.BODY:
            self.transport.close()  # it was answered before
            return
        self._tell(problem)

    def _tell(self, problem: Problem) -> None:
        response = problem.response()
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[problem.status] + lines + b"\r\n" + bytes(response.body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingers_since = self.loop.time()

    def look(self, now: float, stopping: bool) -> None:
        """Ends the connection when something about it takes too long."""
        if self._lingers_since is not None:
            if now - self._lingers_since > LINGER_S:
                self.transport.abort()
            return
        if self.transport.is_closing():
            self._waits_since = None  # all that is left to do is to send what is unsent
        if self._waits_since is not None and now - self._waits_since > HEAD_WAIT_S:
            if self._reading is _Reading.HEAD:
                self._refuse(Problem(408, "head_too_slow", f"the head must arrive within {HEAD_WAIT_S:g} s"))
            else:
                self._waits_since = None
                self.transport.close()
        unsent = self.transport.get_write_buffer_size()
        if not self._unsent or unsent < self._unsent:
            self._took_at = now
        elif now - self._took_at > (STOP_WAIT_S if stopping else SEND_WAIT_S):
            self.transport.abort()
        self._unsent = unsent


def _head_too_large() -> Problem:
    return Problem(431, "head_too_large", f"address and headers have at most {HEAD_MAX_BYTES} bytes together")


def _too_many_headers() -> Problem:
    return Problem(431, "too_many_headers", f"at most {HEADERS_MAX} headers")


async def _too_many_connections(scope: Scope, receive: Receive, send: Send) -> None:
    problem = try_again("overloaded", "too many connections are open already", after_s=5)
    await problem.response(scope)(scope, receive, send)
