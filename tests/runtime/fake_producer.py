"""A broker and its producer in one object, which fails where a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Any

from aiokafka.errors import KafkaTimeoutError, RequestTimedOutError


class Send(Enum):
    """What becomes of one batch."""

    ARRIVES = auto()
    IS_LOST = auto()  # the broker never got it
    ANSWER_IS_LOST = auto()  # the broker has it, the producer does not know
    IS_REFUSED = auto()  # not even taken by the producer
    BREAKS = auto()  # a mistake that is not the broker's


class FakeBatch:
    """A batch under construction: so many records, and no more."""

    def __init__(self, room: int) -> None:
        self.records: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = []
        self._room = room

    def append(self, *, timestamp: int | None, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> object:
        """None when it is full, as aiokafka's."""
        if self.records and len(self.records) >= self._room:
            return None
        self.records.append((key, value, headers))
        return object()


class FakeProducer:
    """Takes batches; `fate` says what becomes of the nth one (from 0). Answers come when the loop gets to them."""

    def __init__(self, fate: Callable[[int], Send] = lambda n: Send.ARRIVES, room: int = 1_000) -> None:
        self.fate = fate
        self.held = False
        """While it is, nothing is acknowledged."""
        self.sends = 0
        self._room = room
        self._logs: dict[str, list[tuple[bytes, bytes, list[tuple[str, bytes]]]]] = {}
        self._waiting: list[Callable[[], None]] = []

    def create_batch(self) -> FakeBatch:
        """An empty one."""
        return FakeBatch(self._room)

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[None]:
        """Answers with the broker's word, to come."""
        fate = self.fate(self.sends)
        self.sends += 1
        if fate is Send.BREAKS:
            raise TypeError("a mistake of ours")
        if fate is Send.IS_REFUSED:
            raise KafkaTimeoutError
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def arrive() -> None:
            if fate is not Send.IS_LOST:
                self._logs.setdefault(f"{topic}/{partition}", []).extend(batch.records)
            if future.cancelled():
                return
            if fate is Send.ARRIVES:
                future.set_result(None)
            else:
                future.set_exception(RequestTimedOutError())
                future.exception()  # a sender that does not look is no matter here

        self._waiting.append(arrive)
        asyncio.get_running_loop().call_soon(self.go_on)
        return future

    def go_on(self) -> None:
        """Lets what waits arrive, in order, unless held."""
        while self._waiting and not self.held:
            self._waiting.pop(0)()

    def release(self) -> None:
        """Not held any more."""
        self.held = False
        self.go_on()

    def links(self, name: str) -> list[int]:
        """The link numbers in a partition's log, as they arrived."""
        return [int(dict(headers)["link"]) for _, _, headers in self._logs.get(name, [])]

    def heard(self, name: str) -> list[int]:
        """What a receiver takes of it: the next number of the link and no other."""
        last = 0
        for number in self.links(name):
            last += number == last + 1
        return list(range(1, last + 1))

    def records(self, name: str) -> Iterator[Any]:
        """Key, value and headers."""
        return iter(self._logs.get(name, []))
