"""The lines to larder: a sender that makes big batches, and a listener that begins at the end of the events.

Both live through a broker that is killed and started again: what could not be sent is sent later, in larger batches;
what was written meanwhile is read. A record may so be sent twice; its id makes larder decide it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from larder.load.errors import LoadError
from shared.runtime.envelope import Wire

log = logging.getLogger(__name__)

BATCH_BYTES_MAX = 900_000
FETCH_BYTES_MAX = 4 * 1024 * 1024
FETCH_WAIT_MS = 500
RECORDS_MAX = 5_000
"""Most records heard at once."""
START_PATIENCE_S = 20
RETRY_PAUSE_S = 0.2
STOP_PATIENCE_S = 5


class Sender:
    """Sends records in batches, a stream for each partition; `send` never waits."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._waiting: dict[tuple[str, int], list[Wire]] = {}
        self._news: dict[tuple[str, int], asyncio.Event] = {}
        self._pumps: dict[tuple[str, int], asyncio.Task[None]] = {}
        self.failed = 0
        """Batches that the broker did not take at first."""

    def send(self, topic: str, partition: int, wire: Wire) -> None:
        """Takes a record; it goes out at the next `flush`."""
        try:
            self._waiting[topic, partition].append(wire)
        except KeyError:
            self._waiting[topic, partition] = [wire]

    def flush(self) -> None:
        """Lets go of everything taken; does not wait for it to arrive."""
        for line, wires in self._waiting.items():
            if not wires:
                continue
            news = self._news.get(line)
            if news is None:
                news = self._news[line] = asyncio.Event()
                self._pumps[line] = asyncio.create_task(self._pump(line, news), name=f"send {line[0]}/{line[1]}")
            news.set()

    def check(self) -> None:
        """Raises what made a stream end, if one did."""
        for pump in self._pumps.values():
            if pump.done():
                pump.result()

    async def _pump(self, line: tuple[str, int], news: asyncio.Event) -> None:
        while True:
            await news.wait()
            news.clear()
            while wires := self._waiting[line]:
                batch = self._producer.create_batch()
                now_ms = int(time.time() * 1000)
                taken = 0
                for key, body, headers in wires:
                    if batch.append(timestamp=now_ms, key=key, value=body, headers=headers) is None:
                        break
                    taken += 1
                if not taken:
                    raise LoadError(f"a record of {len(wires[0][1])} bytes for {line[0]} does not fit a batch")
                batch.close()
                sent = wires[:taken]
                del wires[:taken]
                await self._hand_over(batch, line, sent)

    async def _hand_over(self, batch: Any, line: tuple[str, int], sent: list[Wire]) -> None:
        """Gives a batch to the producer, which takes the next one only when this one is on its way."""
        while True:
            try:
                done = await self._producer.send_batch(batch, line[0], partition=line[1])
                break
            except (KafkaTimeoutError, KafkaConnectionError, UnknownTopicOrPartitionError) as error:
                log.debug("%s/%d: %r; trying again", *line, error)
                await asyncio.sleep(RETRY_PAUSE_S)
        done.add_done_callback(partial(self._settled, line, sent))

    def _settled(self, line: tuple[str, int], sent: list[Wire], done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is None:
            return
        self.failed += 1
        log.debug("%s/%d: a batch of %d failed: %r", *line, len(sent), done.exception())
        self._waiting[line].extend(sent)
        self._news[line].set()

    async def __aenter__(self) -> Self:
        # No idempotence: duplicates are larder's to recognise, and this producer then never ends in a fatal state.
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=False,
            max_batch_size=BATCH_BYTES_MAX,
            linger_ms=0,
        )
        await _started(self._producer, self._bootstrap)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pump in self._pumps.values():
            pump.cancel()
        await asyncio.gather(*self._pumps.values(), return_exceptions=True)
        await _stopped(self._producer)


class Listener:
    """Hears what is said on topics from now on. Belongs to no group, commits nothing."""

    def __init__(self, bootstrap: str, topics: Sequence[str], shards: int) -> None:
        self._bootstrap = bootstrap
        self._lines = [TopicPartition(topic, n) for topic in topics for n in range(shards)]

    async def hear(self, wait_ms: int) -> list[Any]:
        """What was said, in order for each partition; empty when nothing was within `wait_ms`."""
        try:
            told = await self._consumer.getmany(timeout_ms=wait_ms, max_records=RECORDS_MAX)
        except KafkaError as error:
            log.debug("hearing nothing: %r", error)
            await asyncio.sleep(RETRY_PAUSE_S)
            return []
        if len(told) == 1:
            return next(iter(told.values()))
        return [record for records in told.values() for record in records]

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            # Only a log that was lost puts a position out of range; its events are then said again from its beginning.
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            check_crcs=False,
        )
        await _started(self._consumer, self._bootstrap)
        try:
            self._consumer.assign(self._lines)
            ends = await asyncio.wait_for(self._consumer.end_offsets(self._lines), START_PATIENCE_S)
        except (KafkaError, TimeoutError, ValueError) as error:
            await _stopped(self._consumer)
            topics = ", ".join(sorted({line.topic for line in self._lines}))
            raise LoadError(
                f"the broker at {self._bootstrap} has no such topics: {topics} ({error!r}); `larder up` makes them"
            ) from None
        for line, offset in ends.items():
            self._consumer.seek(line, offset)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _stopped(self._consumer)


async def _started(client: AIOKafkaProducer | AIOKafkaConsumer, bootstrap: str) -> None:
    try:
        await asyncio.wait_for(client.start(), START_PATIENCE_S)
    except (KafkaError, OSError, TimeoutError) as error:
        await _stopped(client)
        raise LoadError(
            f"no Kafka broker answers at {bootstrap} ({error or type(error).__name__}); is the stack up? `larder up`"
        ) from None


async def _stopped(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    try:
        await asyncio.wait_for(client.stop(), STOP_PATIENCE_S)  # hangs when the broker is gone
    except (KafkaError, OSError, TimeoutError):
        log.debug("a client did not stop cleanly", exc_info=True)
