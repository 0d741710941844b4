"""A service's HTTP side as it really runs, and clients that write bytes as they like."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from starlette.types import ASGIApp

from shared.http.server import Server, bounded_server

PATIENCE_S = 10.0


@dataclass
class Answer:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """Its body, when it is the problem that is expected."""
        assert self.status == status, self
        assert self.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = json.loads(self.body)
        assert body["code"] == code, body
        return body


class Client:
    """One connection."""

    def __init__(self, port: int, takes_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if takes_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes_bytes)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""
        """What came and was not taken yet."""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_what_goes(self, data: bytes) -> None:
        """The server may stop listening in the middle."""
        try:
            self.send(data)
        except OSError:
            pass

    def dribble(self, data: bytes, every_s: float) -> None:
        """A byte at a time, until the server has said something or hung up."""
        self.socket.settimeout(every_s)
        try:
            for byte in data:
                self.send(bytes([byte]))
                try:
                    if not self._more():
                        return
                    break
                except TimeoutError:
                    continue
        except OSError:
            return
        finally:
            self.socket.settimeout(PATIENCE_S)

    def _more(self) -> bool:
        chunk = self.socket.recv(65536)
        self.buffer += chunk
        return bool(chunk)

    def answer(self, to_head: bool = False) -> Answer:
        """The next answer."""
        while b"\r\n\r\n" not in self.buffer:
            assert self._more(), f"hung up after {self.buffer!r}"
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if to_head else int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            assert self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(int(first.split()[1]), headers, body)

    def until(self, text: bytes) -> None:
        """Reads until this was said."""
        while text not in self.buffer:
            assert self._more(), f"hung up after {self.buffer!r}"

    def hung_up(self) -> bool:
        """Waits for the end of the connection; was nothing said before it?"""
        try:
            while self._more():
                pass
        except ConnectionError:
            pass
        return not self.buffer


class Served:
    """A server in a thread of its own, on the loop that the services use."""

    def __init__(self, app: ASGIApp, connections_max: int = 800) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port: int = self._listener.getsockname()[1]
        self.server: Server = bounded_server(app, "127.0.0.1", self.port, connections_max)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._clients = ExitStack()

    def _run(self) -> None:
        uvloop.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self._listener])

    def on_loop(self, do: Callable[[], None]) -> None:
        """Has it done where the server runs."""
        self._loop.call_soon_threadsafe(do)

    def client(self, takes_bytes: int | None = None) -> Client:
        client = Client(self.port, takes_bytes)
        self._clients.callback(client.close)
        return client

    def ask(self, head: bytes) -> Answer:
        """One request on a connection of its own."""
        client = self.client()
        client.send(head)
        return client.answer()

    def until_all_left(self) -> None:
        """Waits until no connection is open."""
        deadline = time.monotonic() + PATIENCE_S
        while self.server.server_state.connections:
            assert time.monotonic() < deadline, "some connections stay open"
            time.sleep(0.01)

    def stop(self, within_s: float = PATIENCE_S) -> bool:
        """Asks it to stop; has it within that time?"""
        self.server.should_exit = True
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        self._clients.close()
        assert self.stop(), "the server does not stop"


@contextmanager
def served(app: ASGIApp, connections_max: int = 800) -> Iterator[Served]:
    """A running server of the app."""
    running = Served(app, connections_max)
    try:
        yield running
    finally:
        running.close()


def resident_bytes() -> int:
    """What this process holds in memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096
