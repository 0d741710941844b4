"""Server-sent events: told as they come, ended by whoever leaves first."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from shared.http import sse
from shared.http.auth import Caller, Role
from shared.http.problems import Problem
from shared.http.sse import Event, EventStream, stop_streams

CALLER = Caller(Role.CUSTOMER, "a-1")


class Reader:
    """A client of one stream."""

    def __init__(self, stream: EventStream) -> None:
        self.told: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.left = asyncio.Event()
        self.task = asyncio.create_task(stream({"type": "http", "path": "/stream"}, self._receive, self._send))

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.told).decode()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(5):
            while text not in self.text:
                await self.news.wait()
                self.news.clear()

    async def _receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.told.append(message)
        self.news.set()


class Entry(BaseModel):
    phase: str


class Source:
    """Events that come when the test says so."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)
        self.closed = False

    async def tell(self, then_wait: bool = False) -> AsyncGenerator[Event, None]:
        try:
            for event in self.events:
                yield event
            if then_wait:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_events_are_told_and_the_stream_ends_with_them() -> None:
    """Each event is one block; names that hold a line break cannot forge another field."""
    source = Source(
        Event(Entry(phase="holding"), event="timeline", id="7"), Event({"text": "a\nb"}, event="x\ndata: y")
    )
    reader = Reader(EventStream(source.tell(), caller=CALLER))
    await asyncio.wait_for(reader.task, 5)
    assert dict(reader.told[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in dict(reader.told[0]["headers"])
    assert reader.text == (
        'retry: 2000\n\nevent: timeline\nid: 7\ndata: {"phase":"holding"}\n\nevent: x\ndata: {"text": "a\\nb"}\n\n'
    )
    assert reader.told[-1]["more_body"] is False
    assert source.closed


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Event('{"ready": "json"}'), 'data: {"ready": "json"}\n\n'),
        (Event("two\r\nlines\rand more"), "data: two\ndata: lines\ndata: and more\n\n"),
        (Event(""), "data: \n\n"),
        (Event(None), "data: null\n\n"),
        (Event([1, "a\nb"]), 'data: [1, "a\\nb"]\n\n'),
    ],
)
def test_text_goes_out_as_it_is(event: Event, wire: str) -> None:
    """Text is not quoted again, and every line of it is a field of its own."""
    assert event.encode().decode() == wire


async def test_a_silent_stream_beats() -> None:
    """Comments keep proxies from closing a stream on which nothing happens."""
    reader = Reader(EventStream(Source().tell(then_wait=True), caller=CALLER, heartbeat_s=0.001))
    await reader.until(": nothing new\n\n")
    reader.left.set()
    await asyncio.wait_for(reader.task, 5)


async def test_a_client_that_leaves_ends_the_source() -> None:
    """Nothing goes on in the background, and nothing more is sent."""
    source = Source(Event(1))
    reader = Reader(EventStream(source.tell(then_wait=True), caller=CALLER))
    await reader.until("data: 1")
    reader.left.set()
    await asyncio.wait_for(reader.task, 5)
    assert source.closed
    assert reader.told[-1]["more_body"] is True


async def test_a_process_that_stops_ends_its_streams() -> None:
    """A stop need not wait for clients that never leave."""
    source = Source(Event(1))
    reader = Reader(EventStream(source.tell(then_wait=True), caller=CALLER))
    await reader.until("data: 1")
    stop_streams()
    await asyncio.wait_for(reader.task, 5)
    assert source.closed
    assert reader.told[-1]["more_body"] is False


async def test_a_source_that_breaks_says_so() -> None:
    """The reader gets a problem event instead of a stream that just ends, and no internals."""

    async def breaks() -> AsyncGenerator[Event, None]:
        yield Event(1)
        raise RuntimeError("swordfish")

    reader = Reader(EventStream(breaks(), caller=CALLER))
    await asyncio.wait_for(reader.task, 5)
    assert reader.text.endswith('event: problem\ndata: {"code": "internal_error"}\n\n')


async def test_the_number_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is 503, and the place of one that ended is free again."""
    monkeypatch.setattr(sse, "STREAMS_MAX", 1)
    reader = Reader(EventStream(Source(Event(1)).tell(), caller=CALLER))
    with pytest.raises(Problem, match="overloaded"):
        EventStream(Source().tell(), caller=CALLER)
    await asyncio.wait_for(reader.task, 5)
    EventStream(Source().tell(), caller=CALLER)


async def test_one_caller_does_not_hold_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more of its own is 503 and says so, whatever token it uses; others are still served."""
    monkeypatch.setattr(sse, "CALLER_STREAMS_MAX", 2)
    held = [EventStream(Source().tell(), caller=CALLER) for _ in range(2)]
    with pytest.raises(Problem, match="of this caller") as refused:
        EventStream(Source().tell(), caller=replace(CALLER, expires_at=datetime.now(UTC)))
    assert (refused.value.status, refused.value.code) == (503, "overloaded")
    EventStream(Source().tell(), caller=Caller(Role.CUSTOMER, "a-2"))
    EventStream(Source().tell(), caller=Caller(Role.PICKER, None, None, "a-1"))
    await asyncio.wait_for(Reader(held.pop()).task, 5)
    EventStream(Source().tell(), caller=CALLER)


async def test_a_stream_ends_with_its_token() -> None:
    """Who reads on needs a fresh one; a token that ends later, or at the end of all days, ends nothing now."""
    source = Source(Event(1))
    ending = replace(CALLER, expires_at=datetime.now(UTC) + timedelta(seconds=0.05))
    reader = Reader(EventStream(source.tell(then_wait=True), caller=ending))
    await asyncio.wait_for(reader.task, 5)
    assert "data: 1" in reader.text
    assert source.closed
    assert reader.told[-1]["more_body"] is False
    lasting = replace(CALLER, expires_at=datetime.max.replace(tzinfo=UTC))
    reader = Reader(EventStream(Source().tell(then_wait=True), caller=lasting, heartbeat_s=0.01))
    await reader.until(": nothing new\n\n")
    reader.left.set()
    await asyncio.wait_for(reader.task, 5)
