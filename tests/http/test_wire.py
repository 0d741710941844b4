"""What is read before there is a request is bounded: in bytes, in number, in time and in connections."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI

from shared.http import body, server, wire
from shared.http.app import make_app
from shared.http.auth import Caller, require
from shared.http.sse import Event, EventStream, stop_streams
from tests.http.shop import SETTINGS, Anything, Shop
from tests.http.wire import Served, resident_bytes, served

GET = b"GET /healthz HTTP/1.1\r\nHost: larder\r\n"
SOON_S = 0.4
"""Stands for the named times, so that nobody waits for them."""
AUTHORIZED = b"".join(f"{name}: {value}\r\n".encode() for name, value in Shop().token().items())
source_closed = threading.Event()


def app() -> FastAPI:
    router = APIRouter()

    @router.put("/anything")
    async def put(body: Anything) -> Anything:
        return body

    @router.get("/flood")
    async def flood(caller: Annotated[Caller, Depends(require())]) -> EventStream:
        return EventStream(_flood(), caller=caller)

    @router.get("/long")
    async def long() -> dict[str, str]:
        return {"text": "x" * 20_000_000}

    return make_app("order", "Orders", "", routers=[router], ready=lambda: None, settings=SETTINGS)


async def _flood() -> AsyncGenerator[Event, None]:
    try:
        while True:
            yield Event("x" * 100_000)
            await asyncio.sleep(0)
    finally:
        source_closed.set()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(server, "LOOK_S", 0.02)
    with served(app()) as server_:
        yield server_


LARGE = wire.HEAD_MAX_BYTES + 2 * wire._SLICE
TOO_LARGE = {
    "an address": b"GET /" + b"a" * LARGE,
    "a query": b"GET /?" + b"a" * LARGE,
    "a header's name": GET + b"a" * LARGE,
    "a header's value": GET + b"a: " + b"b" * LARGE,
    "a header that is whole": GET + b"a: " + b"b" * LARGE + b"\r\n\r\n",
    "headers together": GET + b"".join(b"a%d: %s\r\n" % (n, b"b" * 1000) for n in range(LARGE // 1000)) + b"\r\n",
    "a line folded for ever": GET + b"a: b" + b" " * LARGE,
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE.keys())
@pytest.mark.parametrize("piece", [1_000_000, 4096])
def test_a_head_too_large_is_431(running: Served, sent: bytes, piece: int) -> None:
    """Whatever of it is too large, whole or not, at once or in pieces; the connection ends with the answer."""
    client = running.client()
    for start in range(0, len(sent), piece):
        client.send_what_goes(sent[start : start + piece])
    answer = client.answer()
    answer.problem(431, "head_too_large")
    assert answer.headers["connection"] == "close"
    client.close()
    assert running.ask(GET + b"\r\n").status == 200


def test_too_many_headers_are_431(running: Served) -> None:
    """Also when the head is small; the last that is allowed passes."""
    fits = b"".join(b"a%d: b\r\n" % n for n in range(wire.HEADERS_MAX - 1))
    assert running.ask(GET + fits + b"\r\n").status == 200
    running.ask(GET + fits + b"one-more: b\r\n\r\n").problem(431, "too_many_headers")
    running.ask(GET + b"a:\r\n" * 5_000).problem(431, "too_many_headers")


@pytest.mark.parametrize("piece", [1, 1000, wire._SLICE - 1, wire._SLICE + 1, 10**6])
def test_a_head_within_the_bound_passes(running: Served, piece: int) -> None:
    """To the last byte, however it is cut."""
    line = b"a: %s\r\n"
    padding = wire.HEAD_MAX_BYTES - len(b"/healthz") - len(b"Host: larder\r\n") - len(line % b"")
    client = running.client()
    sent = GET + line % (b"b" * padding) + b"\r\n"
    for start in range(0, len(sent), piece):
        client.send(sent[start : start + piece])
    assert client.answer().status == 200
    running.ask(GET + line % (b"b" * (padding + 1)) + b"\r\n").problem(431, "head_too_large")


def test_what_follows_a_body_in_chunks_is_bounded(running: Served) -> None:
    """Trailers are headers too, and belong to no body."""
    chunked = b"PUT /anything HTTP/1.1\r\nHost: larder\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    assert running.ask(chunked + b"a: b\r\n\r\n").status == 200
    client = running.client()
    client.send_what_goes(chunked + b"a: " + b"b" * 3 * LARGE)
    client.answer().problem(431, "head_too_large")
    client = running.client()
    client.send_what_goes(chunked + b"a:\r\n" * 5_000)
    client.answer().problem(431, "too_many_headers")


def test_what_is_no_http_is_a_problem_too(running: Served) -> None:
    """The framework's plain text is nowhere."""
    for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET HTTP/1.1\r\n\r\n", GET + b"no colon\r\n\r\n"):
        running.ask(nonsense).problem(400, "bad_request")


def test_a_head_that_dribbles_is_408(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time counts from the first byte; each further one wins nothing. So for the second request as well."""
    monkeypatch.setattr(wire, "HEAD_WAIT_S", SOON_S)
    client = running.client()
    client.dribble(GET + b"a: " + b"b" * 1000, every_s=SOON_S / 10)
    client.answer().problem(408, "head_too_slow")
    assert client.hung_up()
    client = running.client()
    client.send(GET + b"\r\n")
    assert client.answer().status == 200
    client.dribble(GET + b"a: " + b"b" * 1000, every_s=SOON_S / 10)
    client.answer().problem(408, "head_too_slow")


def test_who_says_nothing_is_not_waited_for(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a byte, or with line breaks alone, ends without an answer: nothing was asked."""
    monkeypatch.setattr(wire, "HEAD_WAIT_S", SOON_S)
    assert running.client().hung_up()
    client = running.client()
    client.dribble(b"\r\n" * 1000, every_s=SOON_S / 10)
    assert client.hung_up()


def test_who_says_nothing_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection ends, also one that sends line breaks to stay."""
    monkeypatch.setattr(server, "LOOK_S", 0.02)
    monkeypatch.setattr(server, "IDLE_S", SOON_S)
    monkeypatch.setattr(wire, "HEAD_WAIT_S", SOON_S)
    with served(app()) as running:
        for more in (b"", b"\r\n" * 1000):
            client = running.client()
            client.send(GET + b"\r\n")
            assert client.answer().status == 200
            client.dribble(more, every_s=SOON_S / 10)
            assert client.hung_up()


def test_a_body_that_dribbles_is_408(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes, and the connection ends: what is left of the body would stand before the next request."""
    monkeypatch.setattr(body, "BODY_WAIT_S", SOON_S)
    client = running.client()
    client.send(b"PUT /anything HTTP/1.1\r\nHost: larder\r\nContent-Length: 1000\r\n\r\n")
    client.dribble(b" " * 1000, every_s=SOON_S / 10)
    answer = client.answer()
    answer.problem(408, "body_too_slow")
    assert answer.headers["connection"] == "close"
    assert client.hung_up()


def test_the_rest_of_an_answered_request_is_not_waited_for(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some requests are answered by their head alone; their bodies cannot hold the connection."""
    monkeypatch.setattr(wire, "HEAD_WAIT_S", SOON_S)
    client = running.client()
    client.send(b"PUT /%FF HTTP/1.1\r\nHost: larder\r\nContent-Length: 1000\r\n\r\n")
    client.answer().problem(422, "invalid_request")
    client.dribble(b" " * 1000, every_s=SOON_S / 10)
    assert client.hung_up()


def test_too_many_connections_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who came before is still served, who comes now is told to come back, and a full service still says how it is."""
    monkeypatch.setattr(wire, "CONNECTIONS_SPARE", 2)
    with served(app(), connections_max=3) as running:
        first = [running.client() for _ in range(3)]
        for client in first:
            client.send(GET + b"\r\n")
            assert client.answer().status == 200
        beyond = running.client()
        beyond.send(b"GET /openapi.json HTTP/1.1\r\nHost: larder\r\n\r\n")
        answer = beyond.answer()
        answer.problem(503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert beyond.hung_up()
        for path in wire.HEALTH:
            health = running.client()
            health.send(b"GET %s HTTP/1.1\r\nHost: larder\r\n\r\n" % path.encode())
            assert (health.answer().status, health.hung_up()) == (200, True)
        spare = [running.client() for _ in range(2)]
        assert running.client().hung_up()
        for client in first:
            client.send(GET + b"\r\n")
            assert client.answer().status == 200
        for client in (*first, *spare):
            client.close()
        running.until_all_left()
        assert running.ask(b"GET /openapi.json HTTP/1.1\r\nHost: larder\r\n\r\n").status == 200


def test_requests_one_behind_the_other_are_answered_in_order(running: Served) -> None:
    """A few may come before the first answer; thousands at once are cut off, and what was begun is answered."""
    client = running.client()
    client.send((GET + b"\r\n" + b"GET /nowhere HTTP/1.1\r\nHost: larder\r\n\r\n") * 4)
    assert [client.answer().status for _ in range(8)] == [200, 404] * 4
    client = running.client()
    client.send_what_goes((GET + b"\r\n") * 5_000)
    answer = client.answer()
    assert (answer.status, answer.headers.get("connection")) == (200, "close")
    assert client.hung_up()
    assert running.ask(GET + b"\r\n").status == 200


def test_unfinished_requests_take_little_memory(running: Served) -> None:
    """Heads of 30 MB that never end, without a token, cost no more than the bound; nor do many that stay within it."""
    assert running.ask(GET + b"\r\n").status == 200
    endless = b"b" * 30_000_000
    before = resident_bytes()
    for start in (b"GET /", GET + b"a: ", GET + b"a"):
        for _ in range(4):
            client = running.client()
            client.send(start)
            client.send_what_goes(endless)
    assert resident_bytes() - before < 20_000_000
    for _ in range(200):
        running.client().send(GET + b"a: " + b"b" * (wire.HEAD_MAX_BYTES - 1000))
    assert running.ask(GET + b"\r\n").status == 200
    assert resident_bytes() - before < 20_000_000 + 200 * 2 * wire.HEAD_MAX_BYTES


@pytest.mark.parametrize("path", [b"/flood", b"/long"])
def test_a_reader_that_takes_nothing_is_dropped(running: Served, monkeypatch: pytest.MonkeyPatch, path: bytes) -> None:
    """What waits for it is let go after the named time, whether it is a stream or one long answer."""
    monkeypatch.setattr(wire, "SEND_WAIT_S", SOON_S)
    source_closed.clear()
    client = running.client(takes_bytes=4096)
    client.send(b"GET %s HTTP/1.1\r\nHost: larder\r\n%s\r\n" % (path, AUTHORIZED))
    client.until(b"\r\n\r\n")
    running.until_all_left()
    assert path != b"/flood" or source_closed.wait(5)


def test_a_server_stops_although_readers_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that never read, and idle connections, hold up a stop for no more than a moment."""
    with served(app()) as running:
        for path in (b"/flood", b"/long", b"/healthz"):
            client = running.client(takes_bytes=4096)
            client.send(b"GET %s HTTP/1.1\r\nHost: larder\r\n%s\r\n" % (path, AUTHORIZED))
            client.until(b"\r\n\r\n")
        running.client().send(b"GET /")
        running.on_loop(stop_streams)
        assert running.stop(within_s=wire.STOP_WAIT_S + 1.5)
