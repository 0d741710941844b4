"""The broker's log in memory: topics of partitions, each an append-only list. It loses nothing of what it has
taken, unless the power goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from larder.simulation.clock import Clock
from shared.runtime import envelope
from shared.runtime.envelope import Delivery, Headers

Place = tuple[str, int]
"""A topic and a partition of it."""


class Reader(Protocol):
    """Somebody who reads a partition."""

    def wake(self) -> None:
        """There is something to read."""
        ...


class Log:
    """Records by place, as they were appended; `appended_us` tells when."""

    def __init__(self, clock: Clock) -> None:
        self.records: dict[Place, list[Delivery]] = {}
        self.appended_us: dict[Place, list[int]] = {}
        self.count = 0
        self._clock = clock
        self._readers: dict[Place, list[Reader]] = {}
        self._watchers: dict[str, list[Callable[[Delivery], None]]] = {}

    def add_place(self, place: Place) -> None:
        """Makes an empty partition."""
        self.records[place], self.appended_us[place], self._readers[place] = [], [], []

    def read_by(self, place: Place, reader: Reader) -> None:
        """From now on the reader is woken when the partition grows."""
        self._readers[place].append(reader)

    def left_by(self, place: Place, reader: Reader) -> None:
        """The reader is gone."""
        self._readers[place].remove(reader)

    def end(self) -> None:
        """Nobody reads or watches any more."""
        for readers in self._readers.values():
            readers.clear()
        self._watchers.clear()

    def watch(self, type_: str, watcher: Callable[[Delivery], None]) -> None:
        """Tells the people of every message of a type, repeats too."""
        self._watchers.setdefault(type_, []).append(watcher)

    def cut(self, place: Place, length: int) -> None:
        """Takes the end of a partition away."""
        del self.records[place][length:], self.appended_us[place][length:]

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        """Takes one record."""
        place = (topic, partition)
        records = self.records[place]
        delivery = envelope.read(topic, partition, len(records), key, value, headers)
        records.append(delivery)
        self.appended_us[place].append(self._clock.now_us)
        self.count += 1
        for reader in self._readers[place]:
            reader.wake()
        for watcher in self._watchers.get(delivery.type, ()):
            watcher(delivery)
        return delivery
