"""The server of a service's HTTP side: uvicorn, with the bounds of `shared.http.wire` on every connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from shared.http.wire import BoundedProtocol

log = logging.getLogger(__name__)

LOOK_S = 0.25
"""Beat of the look at all connections."""
IDLE_S = 5
"""How long a connection may stay without a request."""
FINISH_S = 5
"""How long requests under way get when the service stops; then they are told to come again."""


class Server(uvicorn.Server):
    """A uvicorn server whose connections are bounded."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's, not the HTTP side's."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until `should_exit`."""
        looking = asyncio.create_task(self._look_on(), name="look at connections")
        try:
            await super().serve(sockets)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look_on(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_S)
            for connection in list(self.server_state.connections):
                try:
                    cast(BoundedProtocol, connection).look(now(), self.should_exit)
                except Exception:  # one odd connection must not leave the others without bounds
                    log.exception("cannot look at a connection")


def bounded_server(app: ASGIApp, host: str, port: int, connections_max: int) -> Server:
    """The server of `app`, not started yet."""
    return Server(
        uvicorn.Config(
            app,
            host,
            port,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",  # nothing of ours listens, and a server that is cut off would log its end as an error
            loop="none",
            log_level="warning",
            log_config=None,  # else its records go past ours
            access_log=False,
            limit_concurrency=connections_max,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=FINISH_S,
        )
    )
