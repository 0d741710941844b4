"""Server-sent events: told as they come, ended by whoever leaves first."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from shared.http import sse
from shared.http.problems import Problem
from shared.http.sse import Event, EventStream, stop_streams


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
    reader = Reader(EventStream(source.tell()))
    await asyncio.wait_for(reader.task, 5)
    assert dict(reader.told[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in dict(reader.told[0]["headers"])
    assert reader.text == ('event: timeline\nid: 7\ndata: {"phase":"holding"}\n\nevent: x\ndata: {"text": "a\\nb"}\n\n')
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
    reader = Reader(EventStream(Source().tell(then_wait=True), heartbeat_s=0.001))
    await reader.until(": nothing new\n\n")
    reader.left.set()
    await asyncio.wait_for(reader.task, 5)


async def test_a_client_that_leaves_ends_the_source() -> None:
    """Nothing goes on in the background, and nothing more is sent."""
    source = Source(Event(1))
    reader = Reader(EventStream(source.tell(then_wait=True)))
    await reader.until("data: 1")
    reader.left.set()
    await asyncio.wait_for(reader.task, 5)
    assert source.closed
    assert reader.told[-1]["more_body"] is True


async def test_a_process_that_stops_ends_its_streams() -> None:
    """A stop need not wait for clients that never leave."""
    source = Source(Event(1))
    reader = Reader(EventStream(source.tell(then_wait=True)))
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

    reader = Reader(EventStream(breaks()))
    await asyncio.wait_for(reader.task, 5)
    assert reader.text.endswith('event: problem\ndata: {"code": "internal_error"}\n\n')


async def test_the_number_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is 503, and the place of one that ended is free again."""
    monkeypatch.setattr(sse, "STREAMS_MAX", 1)
    reader = Reader(EventStream(Source(Event(1)).tell()))
    with pytest.raises(Problem, match="overloaded"):
        EventStream(Source().tell())
    await asyncio.wait_for(reader.task, 5)
    EventStream(Source().tell())
