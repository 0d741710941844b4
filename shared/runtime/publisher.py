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


class Link:
    """The rows on their way to one partition of one topic."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int, acked: Acked) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._acked = acked
        self._rows: deque[OutboxRow] = deque()
        self._first_since = 0.0
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._task = asyncio.create_task(self._run(), name=f"link {topic}/{partition}")

    def put(self, row: OutboxRow) -> None:
        """Queues a row behind the ones before it."""
        if not self._rows:
            self._first_since = time.monotonic()
        self._rows.append(row)
        self._more.set()
        if len(self._rows) >= LINK_ROWS_MAX:
            self._room.clear()

    async def room(self) -> None:
        """Waits until the link takes more."""
        await self._room.wait()

    @property
    def waiting(self) -> int:
        """Rows that the broker has not acknowledged."""
        return len(self._rows)

    @property
    def waiting_s(self) -> float:
        """How long its first row has waited for the broker to acknowledge it, or the row before it."""
        return time.monotonic() - self._first_since if self._rows else 0.0

    @property
    def failed(self) -> BaseException | None:
        """What ended the link, when it ended by itself."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def _run(self) -> None:
        try:
            await self._carry()
        finally:
            self._room.set()  # who waits for room would wait for ever; `check` tells him why the link ended

    async def _carry(self) -> None:
        while True:
            await self._more.wait()
            while self._rows:
                count = await self._send()
                for _ in range(count):
                    last = self._rows.popleft()
                if count:
                    self._acked(last.link, last.last_link)
                    self._first_since = time.monotonic()
                if len(self._rows) < LINK_ROWS_MAX:
                    self._room.set()
            self._more.clear()

    async def _send(self) -> int:
        """Sends rows from the first unacknowledged one; answers how many the broker took, as a whole."""
        futures, taken = [], 0
        batch = self._producer.create_batch()
        try:
            for row in list(self._rows):
                for key, value, headers in row.wires():
                    if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                        futures.append(await self._producer.send_batch(batch, self._topic, partition=self._partition))
                        batch = self._producer.create_batch()
                        batch.append(timestamp=None, key=key, value=value, headers=headers)
                taken += 1
            futures.append(await self._producer.send_batch(batch, self._topic, partition=self._partition))
            # In order: what comes behind a failed batch is sent again with it.
            for future in futures:
                await future
        except KafkaError as error:
            log.warning("link %s/%s: sending again after %s", self._topic, self._partition, error)
            await asyncio.sleep(RETRY_S)
            return 0
        return taken

    async def close(self) -> None:
        """Stops; what is not acknowledged is published by the next owner of the shard."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Publisher:
    """All links of one shard."""

    def __init__(self, producer: AIOKafkaProducer, acked: Acked) -> None:
        self._producer = producer
        self._acked = acked
        self._links: dict[str, Link] = {}

    def put(self, rows: Iterable[OutboxRow]) -> None:
        """Publishes rows behind everything that was put before."""
        for row in rows:
            link = self._links.get(row.link)
            if link is None:
                link = self._links[row.link] = Link(self._producer, row.topic, row.partition, self._acked)
            link.put(row)

    async def room(self) -> None:
        """Waits while a link is full: a bound on what a slow broker makes us keep."""
        for link in self._links.values():
            await link.room()

    @property
    def waiting(self) -> int:
        """Rows that the broker has not acknowledged."""
        return sum(link.waiting for link in self._links.values())

    @property
    def waiting_s(self) -> float:
        """How long the broker has acknowledged nothing of a link that waits for it."""
        return max((link.waiting_s for link in self._links.values()), default=0.0)

    def check(self) -> None:
        """Raises what ended a link: then the worker cannot go on."""
        for link in self._links.values():
            if link.failed:
                raise link.failed

    async def close(self, flush_s: float) -> None:
        """Gives what is on its way a moment to arrive, then stops."""
        deadline = asyncio.get_running_loop().time() + flush_s
        while self.waiting and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for link in self._links.values():
            await link.close()
