"""Publication of the outbox: each link in order, go-back-N, at least once.

The database has decided already; this only carries. A send that failed is sent again from the first row that the broker
has not acknowledged; the receiver drops what it has seen.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.runtime.commit import OutboxRow

log = logging.getLogger(__name__)

BATCH_BYTES = 900_000
"""Most bytes of one Kafka batch: below the broker's bound for one message set."""
LINK_ROWS_MAX = 200
"""Most rows that wait on one link; a worker that gets there waits before it decides more."""
RETRY_S = 0.2
"""Pause before a failed send is tried again."""

Acked = Callable[[str, int], None]


def make_producer(bootstrap: str, client_id: str, *, idempotent: bool = True) -> AIOKafkaProducer:
    """A producer as measured best (FINDINGS): idempotent, acknowledged by all, large batches, no linger."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=idempotent,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
        max_request_size=4 * BATCH_BYTES,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
    )


class Lane:
    """What is on its way to one partition of one topic: rows of all links that end there, each with who hears of it."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.rows: deque[tuple[OutboxRow, Acked]] = deque()
        self.first_since = 0.0
        self.flight: asyncio.Task[None] | None = None
        """Carries the rows for as long as there are any."""

    def batches(self, producer: AIOKafkaProducer) -> list[BatchBuilder]:
        """All of its rows, in as many batches as they take."""
        found = [batch := producer.create_batch()]
        for row, _ in self.rows:
            for key, value, headers in row.wires():
                if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    found.append(batch := producer.create_batch())
                    batch.append(timestamp=None, key=key, value=value, headers=headers)
        return found

    def arrived(self, count: int) -> None:
        """The broker has the first so many rows."""
        last: dict[str, tuple[OutboxRow, Acked]] = {}
        for _ in range(count):
            row, acked = self.rows.popleft()
            last[row.source] = row, acked
        for row, acked in last.values():
            acked(row.link, row.last_link)
        self.first_since = time.monotonic()


class Publisher:
    """All links of all shards of a worker. A lane whose send failed goes back alone."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._full: set[Lane] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._failed: Exception | None = None

    def put(self, rows: Iterable[OutboxRow], acked: Acked) -> None:
        """Publishes rows behind everything that was put before; `acked` hears up to where a link has arrived."""
        for row in rows:
            lane = self._lanes.get((row.topic, row.partition))
            if lane is None:
                lane = self._lanes[row.topic, row.partition] = Lane(row.topic, row.partition)
            if not lane.rows:
                lane.first_since = time.monotonic()
            lane.rows.append((row, acked))
            if lane.flight is None:
                # It begins when the loop gets to it: with all that this turn puts.
                lane.flight = asyncio.create_task(self._carry(lane), name=f"lane {lane.topic}/{lane.partition}")
            if len(lane.rows) >= LINK_ROWS_MAX:
                self._full.add(lane)
                self._room.clear()

    async def room(self) -> None:
        """Waits while a lane is full: a bound on what a slow broker makes us keep."""
        await self._room.wait()

    @property
    def waiting(self) -> int:
        """Rows that the broker has not acknowledged."""
        return sum(len(lane.rows) for lane in self._lanes.values())

    @property
    def waiting_messages(self) -> int:
        """Messages in these rows."""
        return sum(len(row.payloads) for lane in self._lanes.values() for row, _ in lane.rows)

    @property
    def waiting_s(self) -> float:
        """How long the broker has acknowledged nothing of a lane that waits for it."""
        since = min((lane.first_since for lane in self._lanes.values() if lane.rows), default=None)
        return 0.0 if since is None else time.monotonic() - since

    def check(self) -> None:
        """Raises what ended publication: then the worker cannot go on."""
        if self._failed:
            raise self._failed

    async def _carry(self, lane: Lane) -> None:
        try:
            while lane.rows and not self._failed:
                if arrived := await self._send(lane):
                    lane.arrived(arrived)
                if len(lane.rows) < LINK_ROWS_MAX:
                    self._full.discard(lane)
                    if not self._full:
                        self._room.set()
        except Exception as error:
            self._failed = error
            self._room.set()  # who waits for room would wait for ever; `check` tells him why
        finally:
            lane.flight = None

    async def _send(self, lane: Lane) -> int:
        """Sends rows from the first unacknowledged one; answers how many the broker took, as a whole."""
        count = len(lane.rows)
        try:
            futures = [
                await self._producer.send_batch(batch, lane.topic, partition=lane.partition)
                for batch in lane.batches(self._producer)
            ]
            # In order: what comes behind a failed batch is sent again with it.
            for future in futures:
                await future
        except KafkaError as error:
            log.warning("lane %s/%s: sending again after %s", lane.topic, lane.partition, error)
            await asyncio.sleep(RETRY_S)
            return 0
        return count

    async def arrived(self, patience_s: float) -> None:
        """Gives what is on its way a moment to arrive."""
        deadline = asyncio.get_running_loop().time() + patience_s
        while self.waiting and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)

    async def close(self, patience_s: float) -> None:
        """Stops, after a moment; what is not acknowledged is published by the next owner of its shard."""
        await self.arrived(patience_s)
        flights = [lane.flight for lane in self._lanes.values() if lane.flight]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
