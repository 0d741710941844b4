"""Publication over a bad line, by the rules of `shared.runtime.publisher`: in order, go-back-N, at least once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from larder.simulation.clock import Clock
from larder.simulation.log import Log
from larder.simulation.weather import LONG_DELAY_S, Weather
from shared.runtime.commit import OutboxRow
from shared.runtime.envelope import Wire

RETRY_S = 0.2
"""Pause before a failed send is tried again."""
ACK_LATE_S = 5.0
"""Longest time between a record's arrival and the sender's learning of it."""


@dataclass(slots=True)
class Around:
    """What surrounds every part of the evening."""

    clock: Clock
    log: Log
    weather: Weather
    dice: Random

    def is_hit(self, rate: float) -> bool:
        """Rolls the dice, where there is anything to roll for."""
        return rate > 0.0 and self.dice.random() < rate


class Link:
    """The rows of one owner on their way to one partition."""

    __slots__ = ("_abandoned", "_acked", "_around", "_busy", "_rows", "partition", "topic")

    def __init__(self, around: Around, topic: str, partition: int, acked: Callable[[str, int], None]) -> None:
        self.topic = topic
        self.partition = partition
        self._around = around
        self._acked = acked
        self._rows: deque[OutboxRow] = deque()
        self._busy = False
        self._abandoned = False

    def put(self, rows: Iterable[OutboxRow]) -> None:
        """Publishes rows behind everything that was put before."""
        self._rows.extend(rows)
        self._go_on()

    def abandon(self) -> None:
        """The sender is dead: what is on its way may still arrive, but nobody hears that it did."""
        self._abandoned = True

    def forget(self) -> None:
        """The sender is dead, and so is the line: nothing that is on its way arrives."""
        self._abandoned = True
        self._rows.clear()

    def _go_on(self, pause_s: float = 0.0) -> None:
        if self._rows and not self._busy:
            self._busy = True
            around = self._around
            latency_s = around.dice.expovariate(1.0) * around.weather.latency_s
            if around.is_hit(around.weather.slow_send):
                latency_s = around.dice.uniform(*LONG_DELAY_S)
            around.clock.after(pause_s + latency_s, self._send)

    def _send(self) -> None:
        around, dice = self._around, self._around.dice
        if self._abandoned and dice.random() < 0.5:
            return
        count = len(self._rows)
        records = self.records()
        lost = around.is_hit(around.weather.lost_send)
        if lost:
            # A part of what was sent gets lost, maybe in the middle: what comes behind it leaves a gap.
            begin = dice.randint(0, len(records))
            del records[begin : dice.randint(begin, len(records))]
        append, topic, partition = around.log.append, self.topic, self.partition
        for key, value, headers in records:
            append(topic, partition, key, value, headers)
        if lost:
            self._busy = False
            if not self._abandoned:
                self._go_on(RETRY_S)
        elif around.is_hit(around.weather.late_ack):
            around.clock.after(dice.uniform(0.0, ACK_LATE_S), self._acknowledge, count)
        else:
            self._acknowledge(count)

    def records(self) -> list[Wire]:
        """Everything from the first unacknowledged row on."""
        return [record for row in self._rows for record in row.records]

    def _acknowledge(self, count: int) -> None:
        if self._abandoned:
            return
        for _ in range(count):
            last = self._rows.popleft()
        self._acked(last.link, last.last_link)
        self._busy = False
        self._go_on()
