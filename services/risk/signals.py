"""Risk's stream application: counts what accounts do, and tells how accounts, devices and addresses conduct themselves.

Theory of operation. Faust reads the packs of `risk.activity`. The subjects of a pack have their home in its partition,
so that one process counts all of a subject. A record is counted whole, with one write for each tally that it touches
(`services.risk.windows`).

On a beat the conducts of the subjects that were touched are told to `risk.signals`, whole, in the partition that they
came from. Only then is a record acknowledged. So a crash repeats at most: what is counted twice is counted once (a
happening is a number), and what a record touches is told even if nothing of it was new, since an earlier life may have
counted it and died before it could tell.

No order waits for any of this. It can be stopped, killed, and begun anew; risk goes on with what it was told last.
Whatever breaks the ground it stands on ends the process, as it ends a worker: a restart is the one way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
import uuid
from collections import Counter as Tallied
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import faust
import uvloop
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsistencyError
from faust.tables.manager import TableManager
from prometheus_client import Counter, Gauge

from services.risk.counting import Tally, conduct, count_activity, count_sighting, milliseconds
from services.risk.telling import Subject, Unusable, check_time, packs, subject_of, unpack
from services.risk.windows import Tallies, forget_offsets
from shared import logs
from shared.contracts import risk
from shared.contracts.topics import ACTIVITY, MADE_TOPICS, SIGNALS, SIGNALS_GROUP, partition_for
from shared.http.app import make_app
from shared.http.server import bounded_server
from shared.runtime.broker import asking, check_partitions, cluster_id
from shared.runtime.database import NameTaken
from shared.runtime.envelope import from_outside, read
from shared.runtime.publisher import BATCH_BYTES, make_producer
from shared.runtime.worker import HEARTBEAT_MS, METADATA_MS, SESSION_MS, NoShare
from shared.service import BUG_EXIT, last_words
from shared.settings import SIGNALS as NAME
from shared.settings import Settings, get_settings

log = logging.getLogger(__name__)

BEAT_S = 3.0
"""So often what changed is told. Each telling is whole, and risk writes it down: an order and what became of it right
after are one telling."""
LIFE_S = 5.0
"""When nothing changed, that is told so often."""
CHANGED_MAX = 5_000
"""With so many subjects changed in one partition they are told before the beat."""
UNTOLD_MAX_BYTES = 8_000_000
"""As many, if the records that wait for it are so large."""
FETCH_WAIT_MS = 250
"""How long the broker keeps an empty answer back. Faust says 1,500, and all else that it asks queues up behind that:
each of the two questions of its start took so long."""
COMMIT_S = 1.0
"""So often it is written down how far the records are told: a crash repeats so much."""
EXPIRE_S = 600.0
"""So often windows that are over are looked for."""
LINGER_S = 0.05
"""How long changelog entries wait for others. Without it three went in one request, and sending took a sixth of the
time."""
PAUSE_S = 0.001
"""Between two looks at the queue of the changelogs."""
NO_SHARE_S = 60.0
"""When no share, and no entry of a changelog, has come for so long, none will: once in a dozen rebalances Faust waits
for a changelog that nobody reads. A busy machine takes half of it to start."""
DROPPED_S = 20.0
"""A record that was fetched so long ago was dropped on its way here, as happens in a rebalance."""
SILENT_S = 30.0
"""A broker that has not answered for so long is away: its answers, though empty, come all the time."""
SKIPPED_LOG_S = 10.0
"""What is skipped is logged at most so often."""
QUEUE_MAX = 32
"""Records that Faust holds ready, each of up to a megabyte."""

COUNTED = Counter("larder_signals_counted_total", "Activities and sightings counted")
TOLD = Counter("larder_signals_told_total", "Conducts told to risk")
SKIPPED = Counter("larder_signals_skipped_total", "Records and entries that cannot be counted, by why", ["code"])
AS_OF = Gauge("larder_signals_as_of_seconds", "Until when all is counted, seconds since 1970", ["partition"])


@dataclass
class Shard:
    """How far one partition is counted, and what of it is not told yet."""

    newest_ms: int = 0
    """Of all that was counted."""
    as_of_ms: int = 0
    next_offset: int | None = None
    """Of the record to come; None until it is known where this life begins."""
    came_at: float = field(default_factory=time.monotonic)
    """When all that the client handed out had come, or at least something."""
    changed: dict[Subject, None] = field(default_factory=dict)
    records: list[Any] = field(default_factory=list)
    """Those that changed it, to be acknowledged."""
    size: int = 0
    """Their bytes."""
    said_at: float = 0
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Dropped(NoShare):
    """A record got lost on the way from the broker: the next start reads it again, since it was not acknowledged."""


class _Tables(TableManager):
    """Faust's tables, without its second of waiting for modules that declare some late: here they are all declared."""

    logger = logging.getLogger("faust.tables.manager")

    async def on_start(self) -> None:
        """Makes the tables known."""
        await self._update_channels()
        await self.recovery.start()


class Signals:
    """One process's share of the stream application. The names of group and topics are only a test's to change."""

    def __init__(
        self, settings: Settings, *, group: str = SIGNALS_GROUP, source: str = ACTIVITY, target: str = SIGNALS
    ) -> None:
        self.settings = settings
        self.folder = settings.home / NAME / str(settings.worker)
        self._source = source
        self._target = target
        self._name = f"{NAME}/{settings.worker}"
        self._shards: dict[int, Shard] = {}
        self._skipped: Tallied[str] = Tallied()
        self._skipped_logged_at = -SKIPPED_LOG_S
        self._answered_ms = 0
        """When the broker answered last, for any partition."""
        self._shared_at = time.monotonic()
        """When there was a share last, or its tables came nearer."""
        self._read = 0
        """Where its changelogs are read, summed up."""
        self._failure: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._name_lock: TextIO | None = None
        self._producer = make_producer(
            settings.bootstrap(), self._name.replace("/", "-"), idempotent=settings.kafka_idempotence
        )
        self.app: Any = faust.App(
            group,
            broker=";".join(f"kafka://{server.strip()}" for server in settings.bootstrap().split(",")),
            broker_client_id=self._name.replace("/", "-"),
            consumer_group_instance_id=f"{group}-{settings.worker}",
            consumer_auto_offset_reset="earliest",
            consumer_metadata_max_age_ms=METADATA_MS,
            broker_session_timeout=SESSION_MS / 1000,
            broker_heartbeat_interval=HEARTBEAT_MS / 1000,
            broker_commit_interval=COMMIT_S,
            producer_max_batch_size=BATCH_BYTES,
            producer_linger=LINGER_S,
            stream_buffer_maxsize=QUEUE_MAX,
            stream_recovery_delay=0,
            stream_wait_empty=False,  # it would wait for what is acknowledged on a beat
            store=f"{settings.signals_store}://",
            datadir=str(self.folder),
            table_standby_replicas=0,  # a changelog is read where it is needed: it is small
            topic_disable_leader=True,
            topic_allow_declare=False,
            TableManager=_Tables,
            web_enabled=False,
            autodiscover=False,
        )
        self.tallies = Tallies(self.app, settings)
        # Raw, or Faust reads each body as JSON, and ends the agent over one that is none.
        topic = self.app.topic(
            source, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes, allow_empty=True
        )
        self.app.agent(topic, name="count")(self._count)
        self.app.on_partitions_revoked.connect(self._begin_anew)

    # The process's life. ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begins to count; returns when Faust has joined its group, or is about to."""
        self._failure = asyncio.get_running_loop().create_future()
        self._take_name()
        async with asking(self.settings.bootstrap()) as client:
            cluster = await cluster_id(client)
        await asyncio.to_thread(self._go_with, cluster)
        await self._producer.start()
        thread = self.app.consumer._thread
        make = thread._create_worker_consumer

        def make_quick(transport: Any) -> Any:
            client = make(transport)
            client._fetch_max_wait_ms = FETCH_WAIT_MS
            return client

        thread._create_worker_consumer = make_quick
        # Faust would sleep for a second whenever the queue of the only partition is full; so it waits for room instead.
        self.app.consumer.on_buffer_full = lambda partition: None
        self.app.producer.buffer.max_messages = sys.maxsize  # it is bounded here, by what one record writes
        await self.app.start()
        for work, pause_s in ((self._tell_all, BEAT_S), (self._check_share, BEAT_S), (self._expire, EXPIRE_S)):
            self._tasks.append(asyncio.create_task(self._keep(work, pause_s), name=work.__name__))

    async def until_failed(self) -> None:
        """Returns when Faust has ended; raises what broke."""
        assert self._failure is not None
        crashed = asyncio.ensure_future(self.app.wait_until_stopped())
        try:
            await asyncio.wait({crashed, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
            if isinstance(self.app.crash_reason, ConsistencyError):
                self._cluster_file.unlink(missing_ok=True)  # the next start reads the changelogs anew
            if self.app.crash_reason is not None:
                raise self.app.crash_reason
        finally:
            crashed.cancel()

    async def stop(self) -> None:
        """Tells what is not told, and leaves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # what is not told now is told by the next start
            await asyncio.wait_for(self._tell_all(), 5)
        consumer = getattr(getattr(self.app.consumer, "_thread", None), "_consumer", None)
        if consumer is not None and consumer._coordinator is not None:
            consumer._coordinator._group_instance_id = None  # as a worker does: who was told to stop leaves its group
        await self.app.stop()
        await self._producer.stop()
        self.tallies.close()
        if self._name_lock is not None:
            self._name_lock.close()

    def why_not_ready(self) -> str | None:
        """Why it counts nothing; None when it does."""
        if not self._has_share():
            return "the partitions are not shared out, or their tables are not read yet"
        if self._shards and (silent_s := time.time() - self._answered_ms / 1000) > SILENT_S:
            return f"the broker has not answered for {silent_s:.0f} s"
        return None

    def _has_share(self) -> bool:
        return self.app.tables.recovery.completed.is_set() and not self.app.rebalancing

    @property
    def _cluster_file(self) -> Path:
        return self.folder / "cluster"

    def _take_name(self) -> None:
        """Two processes of one name would take the partitions, and the files, from each other for ever."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name_lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._name_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NameTaken(
                f"another process is worker {self.settings.worker} of {NAME} already: give each its own LARDER_WORKER"
            ) from None

    def _go_with(self, cluster: str) -> None:
        """A store remembers how far it read its changelogs. In another cluster those are others."""
        known = self._cluster_file.read_text() if self._cluster_file.exists() else ""
        if known != cluster:
            if known:
                log.warning("Kafka cluster %s is another one than %s: tallies stay, changelogs are new", cluster, known)
            forget_offsets(self.folder)
            self._cluster_file.write_text(cluster)

    async def _keep(self, work: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                self._fail(error)
                return
            await asyncio.sleep(pause_s)

    def _fail(self, error: Exception) -> None:
        assert self._failure is not None
        if not self._failure.done() and not self.app.should_stop:
            self._failure.set_exception(error)

    async def _check_share(self) -> None:
        """A process that waits for its share, or for records that were dropped on their way here, does so for ever."""
        now, read = time.monotonic(), sum(self.app.tables.recovery.active_offsets.values())
        if self._has_share() or read != self._read:
            self._shared_at, self._read = now, read
        elif now - self._shared_at > NO_SHARE_S:
            raise NoShare(f"no share of {NAME}, and nothing of its changelogs, has come for {NO_SHARE_S:g} s")
        for partition, shard in list(self._shards.items()):
            try:
                position = await self.app.consumer.position(TopicPartition(self._source, partition))
            except IllegalStateError:  # it was ours a moment ago
                continue
            if position is None or shard.next_offset is None or position <= shard.next_offset:
                shard.came_at = now
            elif now - shard.came_at > DROPPED_S:
                raise Dropped(f"record {shard.next_offset} on {self._source}/{partition} was fetched, and never came")

    # Counting. -------------------------------------------------------------------------------------------------------

    async def _begin_anew(self, *_: Any, **__: Any) -> None:
        """Whoever has a partition next reads again what was not acknowledged."""
        self._shards.clear()

    async def _count(self, stream: Any) -> None:
        async for event in stream.noack().events():
            shard = self._shards.setdefault(event.message.partition, Shard())
            try:
                await self._find_begin(event.message.partition, shard)
                if shard.next_offset is not None and event.message.offset > shard.next_offset:
                    raise Dropped(f"record {shard.next_offset} never came, {event.message.offset} did")
                self._count_record(shard, event.message)
                shard.records.append(event)
                shard.next_offset = event.message.offset + 1
                shard.came_at = time.monotonic()
                while self.app.producer.buffer.size:  # or the changelogs' queue grows, and no commit sees its end
                    await asyncio.sleep(PAUSE_S)
                if len(shard.changed) >= CHANGED_MAX or shard.size >= UNTOLD_MAX_BYTES:
                    await self._tell(event.message.partition, shard)
            except Exception as error:
                # Faust would begin the agent anew, in silence, and wait for this record's acknowledgement for ever.
                self._fail(error)
                return

    def _count_record(self, shard: Shard, m: Any) -> None:
        """One record: reads and writes each tally that it touches once."""
        shard.size += len(m.value or b"")
        try:
            entries = unpack(read(m.topic, m.partition, m.offset, m.key, m.value, m.headers or ()))
        except Unusable as why:
            self._skip(why.code)
            return
        now_ms = _now_ms()
        memory_ms = int(self.settings.risk_memory_s * 1000)
        touched: dict[tuple[Subject, Any], tuple[Tally, list[bool]]] = {}
        for entry in entries:
            subject, at_ms = subject_of(entry), milliseconds(entry.at)
            try:
                check_time(at_ms, now_ms, memory_ms)
                if partition_for(subject[1], self.settings.shards) != m.partition:
                    raise Unusable("wrong_partition")
            except Unusable as why:
                self._skip(why.code)
                continue
            place = subject, self.tallies.window(at_ms)
            if (found := touched.get(place)) is None:
                found = touched[place] = self.tallies.load(*place), []
            tally, news = found
            try:
                news.append(
                    count_activity(tally, entry) if isinstance(entry, risk.Activity) else count_sighting(tally, entry)
                )
            except Exception:  # it would raise in each life anew, and nothing after it would ever be counted
                log.exception("a bug: an entry of record %d on %s/%d cannot be counted", m.offset, m.topic, m.partition)
                self._skip("raised")
                continue
            shard.newest_ms = max(shard.newest_ms, min(at_ms, now_ms))
            COUNTED.inc()
        for (subject, window), (tally, news) in touched.items():
            if any(news):
                self.tallies.keep(subject, window, tally)
            shard.changed[subject] = None

    def _skip(self, code: str) -> None:
        SKIPPED.labels(code).inc()
        self._skipped[code] += 1
        if time.monotonic() - self._skipped_logged_at >= SKIPPED_LOG_S:
            self._skipped_logged_at = time.monotonic()
            told = ", ".join(f"{code} {number}" for code, number in sorted(self._skipped.items()))
            log.warning("skipped on %s since the last line like this: %s", self._source, told)
            self._skipped.clear()

    # Telling. --------------------------------------------------------------------------------------------------------

    async def _tell_all(self) -> None:
        if not self._has_share():
            return
        for tp in self.app.consumer.assignment():
            if tp.topic == self._source:
                await self._tell(tp.partition, self._shards.setdefault(tp.partition, Shard()))

    async def _tell(self, partition: int, shard: Shard) -> None:
        """Says what changed, or that nothing did, and acknowledges what it came from."""
        async with shard.telling:
            as_of_ms = max(shard.as_of_ms, await self._counted_until(partition, shard))
            is_due = time.monotonic() - shard.said_at >= LIFE_S
            if not (shard.changed or shard.records or is_due):
                return
            changed, shard.changed = shard.changed, {}
            records, shard.records = shard.records, []
            shard.size = 0
            told = [conduct for subject in changed if (conduct := self._conduct(subject))]
            if told or (is_due and as_of_ms):
                await asyncio.gather(*[await self._send(partition, pack) for pack in packs(partition, as_of_ms, told)])
                shard.said_at = time.monotonic()
                TOLD.inc(len(told))
            shard.as_of_ms = as_of_ms
            AS_OF.labels(partition).set(as_of_ms / 1000)
            for event in records:
                event.ack()

    def _conduct(self, subject: Subject) -> risk.Conduct | None:
        tally = self.tallies.known(subject, _now_ms())
        if tally is None:
            return None
        try:
            return conduct(*subject, tally)
        except Exception:
            log.exception("a bug: the conduct of one %s cannot be told", subject[0])
            self._skip("raised")
            return None

    async def _send(self, partition: int, pack: risk.SignalsTold) -> Awaitable[Any]:
        headers = from_outside(
            id=f"{self._name}:{uuid.uuid4().hex}",
            type=pack.TYPE,
            source=self._name,
            subject=pack.subject,
            actor=NAME,
            at=datetime.now(UTC),
        )
        sent: Awaitable[Any] = await self._producer.send(
            self._target, pack.to_json(), key=pack.key.encode(), partition=partition, headers=headers
        )
        return sent

    async def _find_begin(self, partition: int, shard: Shard) -> None:
        """Learns which record is the first of this life: the one after the last acknowledged, if it is kept."""
        if shard.next_offset is None:
            tp, thread = TopicPartition(self._source, partition), self.app.consumer._thread
            acknowledged = await thread.call_thread(thread._consumer.committed, tp)
            kept = (await self.app.consumer.earliest_offsets(tp))[tp]
            if shard.next_offset is None:
                shard.next_offset = max(acknowledged or 0, kept)

    async def _counted_until(self, partition: int, shard: Shard) -> int:
        """Until when everything is counted: the broker's last answer, if it had nothing that is not counted; else the
        newest that is."""
        tp = TopicPartition(self._source, partition)
        client = self.app.consumer._thread._consumer
        try:
            await self._find_begin(partition, shard)
            answered_ms: int = client.last_poll_timestamp(tp) or 0
            end = client.highwater(tp)
        except (IllegalStateError, AssertionError):  # the client's words for a partition that was ours a moment ago
            return shard.newest_ms
        self._answered_ms = max(self._answered_ms, answered_ms)
        return answered_ms if shard.next_offset == end else shard.newest_ms

    async def _expire(self) -> None:
        if self._has_share() and (gone := await self.tallies.expire(_now_ms())):
            log.info("let go of %d tallies whose windows are over", gone)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# The program. ---------------------------------------------------------------------------------------------------------


async def run(settings: Settings) -> None:
    """The process, until it is told to stop; raises what ends it otherwise."""
    async with asking(settings.bootstrap()) as client:
        await check_partitions(client, MADE_TOPICS, settings.shards)
    signals = Signals(settings)
    api = make_app(
        NAME,
        "Larder: risk's signals",
        "How accounts, devices and addresses conduct themselves: a stream application, with nothing to be asked.",
        routers=(),
        ready=signals.why_not_ready,
        settings=settings,
    )
    server = bounded_server(api, settings.host, settings.port(NAME), settings.connections_max)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as ending:
        serving = asyncio.create_task(server.serve(), name="http")
        ending.push_async_callback(_end_server, server, serving)
        ending.push_async_callback(signals.stop)
        await signals.start()
        working = asyncio.create_task(signals.until_failed(), name="signals")
        stopped = asyncio.create_task(stopping.wait(), name="stop")
        done, rest = await asyncio.wait({working, stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest - {serving}:
            task.cancel()
        for task in done:
            task.result()


async def _end_server(server: Any, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await asyncio.gather(serving, return_exceptions=True)


def main() -> None:
    """Runs until told to stop; exits with a status that says why otherwise."""
    logs.set_up("INFO")
    for library, level in (("faust", "WARNING"), ("mode", "WARNING"), ("mode.timers", "ERROR")):
        logging.getLogger(library).setLevel(level)  # a commit under load takes longer than its beat
    try:
        settings = get_settings()
        logging.getLogger().setLevel(settings.log_level)
        os.nice(settings.signals_nice)
        uvloop.run(run(settings))
    except Exception as error:
        status, told = last_words(error)
        log.critical("%s", told, exc_info=error if status == BUG_EXIT else None)
        sys.exit(status)


if __name__ == "__main__":
    main()
