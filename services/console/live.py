"""What is on a page by itself: one producer a room, however many look.

A producer asks the services once a second and renders once; all who look at the same room get the same text. Whoever is
slow gets the newest only. With nobody there, nobody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from shared.http.problems import try_again
from shared.http.sse import Event

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""So often a room that somebody looks at is rendered."""
ROOMS_MAX = 200
"""Most rooms under watch at once: an order's page is one, too."""


class Broken(Exception):
    """A service's stream ended early; it is begun anew."""


Texts = Callable[[], AsyncGenerator[str, None]]
"""Begins to render a room: a text whenever there may be a new one, until there will be none any more."""


@dataclass
class _Watch:
    """A room that somebody looks at."""

    begin: Texts
    newest: str = ""
    number: int = 0
    ended: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    listeners: int = 0
    task: asyncio.Task[None] | None = None


class Live:
    """The rooms under watch."""

    def __init__(self) -> None:
        self._watches: dict[Hashable, _Watch] = {}

    def look(self, room: Hashable, begin: Texts) -> AsyncGenerator[Event, None]:
        """The room's text whenever it changes, until it ends. Who may see the same names the same room; when its texts
        break off, the newest listener's `begin` goes on, since that one's token lasts longest. Raises 503 when too many
        rooms are watched."""
        watch = self._watches.get(room)
        if watch is None:
            if len(self._watches) >= ROOMS_MAX:
                raise try_again("overloaded", f"{ROOMS_MAX} rooms are under watch already", after_s=5)
            watch = self._watches[room] = _Watch(begin)
            watch.task = asyncio.create_task(self._produce(watch), name=f"room {room}")
        watch.begin = begin
        return self._listen(room, watch)

    async def _listen(self, room: Hashable, watch: _Watch) -> AsyncGenerator[Event, None]:
        seen = 0
        watch.listeners += 1
        try:
            while True:
                async with watch.changed:
                    while watch.number == seen and not watch.ended:
                        await watch.changed.wait()
                if watch.number != seen:
                    seen = watch.number
                    yield Event(watch.newest)
                if watch.ended:
                    yield Event("over", event="over")
                    return
        finally:
            watch.listeners -= 1
            if not watch.listeners:
                if watch.task is not None:
                    watch.task.cancel()
                if self._watches.get(room) is watch:
                    del self._watches[room]

    async def _produce(self, watch: _Watch) -> None:
        while not watch.ended:
            try:
                async for text in watch.begin():
                    if text != watch.newest:
                        await self._tell(watch, text)
                watch.ended = True
                await self._tell(watch, watch.newest)
            except Broken as why:
                log.warning("a room's stream broke off: %s", why)
                await asyncio.sleep(BEAT_S)
            except Exception:
                log.exception("a room cannot be rendered")
                await asyncio.sleep(BEAT_S)

    async def _tell(self, watch: _Watch, text: str) -> None:
        async with watch.changed:
            if text != watch.newest:
                watch.newest, watch.number = text, watch.number + 1
            watch.changed.notify_all()


async def each_beat(render: Callable[[], Awaitable[str]], beat_s: float = BEAT_S) -> AsyncGenerator[str, None]:
    """Renders on a beat, for ever."""
    now = asyncio.get_running_loop().time
    while True:
        begun = now()
        yield await render()
        await asyncio.sleep(max(beat_s / 2, begun + beat_s - now()))
