"""The worker of a service: polls the log, hands batches to the shards it owns, and exits when it must not go on.

Crash-only: whatever breaks the ground it stands on (its database, its shard's epoch, the broker's identity) ends the
process, and a restart is the one way back. Everything it knows is in the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from resource import RUSAGE_SELF, getrusage

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from shared.contracts.topics import ALL_TOPICS, commands_of
from shared.runtime import envelope
from shared.runtime.broker import (
    SHORTER_LOG,
    WrongBroker,
    acknowledges,
    asking,
    check_partitions,
    check_same_cluster,
    cluster_id,
    shorter,
)
from shared.runtime.commit import Commit
from shared.runtime.database import WORKER_SETTINGS, Database, cluster_ids, take_name
from shared.runtime.decider import Decider
from shared.runtime.effects import Run
from shared.runtime.envelope import Delivery
from shared.runtime.instants import read_every_instant
from shared.runtime.metrics import BATCH_SECONDS, Working, show
from shared.runtime.owner import Owner, fire_due, take_turn
from shared.runtime.publisher import Publisher, make_producer
from shared.runtime.statement import Store
from shared.runtime.sweep import Sweep, Sweeper
from shared.runtime.watchdog import Watchdog
from shared.settings import Settings

log = logging.getLogger(__name__)

SESSION_MS = 6_000
"""After this long without a heartbeat another worker takes a shard over (the broker's lowest default)."""
HEARTBEAT_MS = 400
"""So often a worker hears from its group, and so learns that a shard became free."""
NAME_PATIENCE_S = 10.0
"""How long a worker waits for its name: the one before it may just be dying."""
JOIN_PATIENCE_S = 12.0
"""How long joining the group may take while the broker answers. A client has been seen to wait for ever for one that
had just begun anew; its next start joined within a second."""
METADATA_MS = 5_000
"""A worker that joins while the broker starts may see none of its topics, and is assigned nothing: so often it looks
again. The client's default is five minutes."""
IDLE_POLL_MS = 250
"""Longest wait for records before timers and requests are looked at."""
HOUSEKEEPING_S = 5.0
"""Beat of offset commits, metrics, sweeping and the look at the cluster id."""
ENDS_PATIENCE_S = 2.0
"""How long brokers may take to tell where the logs end. The client alone would ask for 40 s; with two shards in turn
the watchdog takes that for a batch that never ends."""
CROWDED_SWITCHES = 8
"""So often in one turn others took the processor away from a worker, on a machine that is crowded. It says so itself
(`ru_nivcsw`), and asks nobody: on a quiet one there are none."""
CROWDED_BEAT_S = 0.025
"""Least time between two batches there, when they are thin."""
THIN_BATCH = 400
"""Fewer messages than these are a thin batch."""
FLUSH_S = 2.0
"""How long a worker that stops, or lets go of a shard, waits for its last sends."""
REQUESTS_S = 1.0
"""Beat of the look at what operators asked for."""


class NoShare(Exception):
    """The group has not told this worker what its share is; joining anew is the way on."""


class Worker:
    """One process's share of one service."""

    def __init__(
        self,
        decider: Decider,
        store: Store,
        settings: Settings,
        *,
        beat_ms: int,
        run: Run | None = None,
        saved: Callable[[Commit], None] = lambda commit: None,
        sweeps: Sequence[Sweep] = (),
    ) -> None:
        self.decider = decider
        self.store = store
        self.settings = settings
        self.beat_s = (beat_ms if settings.beat_ms is None else settings.beat_ms) / 1000
        self.run_effect = run
        self.saved = saved
        self.sweeps = sweeps
        self.owners: dict[int, Owner] = {}
        self.topics = sorted({commands_of(decider.service), *(m.TOPIC for m in decider.listens)})
        self.producer = make_producer(
            settings.bootstrap(), f"{decider.service}-{settings.worker}", idempotent=settings.kafka_idempotence
        )
        self._publisher = Publisher(self.producer)
        self.assigned = asyncio.Event()
        self._wake = asyncio.Event()
        self._owning = asyncio.Lock()
        self._stopping = False
        self._failure: Exception | None = None
        self._cluster = ""
        self.silent = False
        """The broker did not answer when it was looked at last."""
        self.acknowledges = True
        """A command would have been acknowledged then: so many copies of the topic were in sync."""
        self._sending: dict[asyncio.Future[object], float] = {}
        self._short: set[TopicPartition] = set()
        self._joined = asyncio.Event()
        self._snapshots: dict[int, tuple[datetime, dict[str, int]]] = {}
        self._watchdog = Watchdog(decider.service)
        self._switched = 0

    async def run(self) -> None:
        """Works until `stop` is called; raises what ended it otherwise."""
        bootstrap = self.settings.bootstrap()
        async with asking(bootstrap) as client:
            self._cluster = await cluster_id(client)
        self._connection = await asyncpg.connect(
            self.settings.dsn(self.decider.service),
            server_settings=WORKER_SETTINGS,
            # The commits of a worker have so many shapes that come again and again; by its default the client would let
            # go of each after five minutes, and have it parsed and planned anew.
            max_cached_statement_lifetime=0,
        )
        await read_every_instant(self._connection)
        for known in await cluster_ids(self._connection):
            check_same_cluster(known, self._cluster)
        async with asking(bootstrap) as client:
            await check_partitions(client, ALL_TOPICS, self.settings.shards)
        await take_name(self._connection, self.decider.service, self.settings.worker, NAME_PATIENCE_S)
        await self.producer.start()
        self._database = self._database_over(self._connection)
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=self.decider.service,
            group_instance_id=f"{self.decider.service}-{self.settings.worker}",
            client_id=f"{self.decider.service}-{self.settings.worker}",
            enable_auto_commit=False,
            # For partitions that the fetcher looks at before `take` has put it where the shard stopped.
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=500,
            metadata_max_age_ms=METADATA_MS,
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        self._watchdog.start()
        await consumer.start()
        consumer.subscribe(self.topics, listener=_Rebalance(self))
        housekeeping = asyncio.create_task(self._keep_house())
        try:
            await self._loop(housekeeping)
        finally:
            housekeeping.cancel()
            await asyncio.gather(housekeeping, return_exceptions=True)
            for owner in self.owners.values():
                await owner.close()
            await self._publisher.close(FLUSH_S)
            await asyncio.wait([asyncio.create_task(self._disconnect())], timeout=5)
            self._watchdog.stop()

    def _database_over(self, connection: asyncpg.Connection) -> Database:
        return Database(connection, self.store, self.settings.outbox_retention_s, self.settings.id_memory_s)

    async def _disconnect(self) -> None:
        await asyncio.gather(self._commit_offsets(), return_exceptions=True)
        if self._stopping or not self.owners:
            # A member with a name of its own keeps its place when it goes, and the client has no word for leaving: it
            # tells the group only of one without. Who was told to stop leaves; who fails is back in a moment. But a
            # place without a shard is not worth keeping: the group would give its next start the same, nothing,
            # although the topics that were missing (on a broker that came back empty) are there by then.
            self._consumer._coordinator._group_instance_id = None
        await asyncio.gather(self._consumer.stop(), self.producer.stop(), return_exceptions=True)
        await self._connection.close()

    def stop(self) -> None:
        """Ends `run` after the batch under way."""
        self._stopping = True
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Ends `run` with this error."""
        self._failure = self._failure or error
        self._wake.set()

    async def send(self, topic: str, partition: int, key: bytes, value: bytes, headers: envelope.Headers) -> None:
        """Sends a record that comes from outside; returns when the broker has it."""
        sent = await self.producer.send(topic, value, key=key, partition=partition, headers=headers)
        self._sending[sent] = time.monotonic()
        sent.add_done_callback(self._sent)
        await asyncio.shield(sent)  # who asked may lose patience; the record is on its way all the same

    def _sent(self, sent: asyncio.Future[object]) -> None:
        del self._sending[sent]
        if not sent.cancelled():
            sent.exception()  # told to whoever still waits

    @property
    def unacknowledged_s(self) -> float:
        """How long the broker has left a record of this worker without its acknowledgement."""
        oldest = next(iter(self._sending.values()), None)
        outside = time.monotonic() - oldest if oldest is not None else 0.0
        return max(outside, self._publisher.waiting_s)

    @property
    def lag(self) -> int:
        """Records of the own shards that are not read yet, as far as the last fetch knows."""
        behind = 0
        for tp in self._consumer.assignment() if self.owners else ():
            owner, end = self.owners.get(tp.partition), self._consumer.highwater(tp)
            if owner and end:
                behind += max(0, end - owner.shard.progress.offsets.get(tp.topic, 0))
        return behind

    def epochs(self) -> dict[int, int]:
        """The own shards, and the epoch in which each is owned."""
        return {number: owner.shard.progress.epoch for number, owner in self.owners.items()}

    def working(self) -> Working:
        """What it is at now."""
        owners = self.owners.values()
        return Working(
            epochs=self.epochs(),
            lag=self.lag,
            cached=sum(owner.shard.cached for owner in owners),
            unpublished_rows=self._publisher.waiting,
            unpublished_messages=self._publisher.waiting_messages,
            effects_running=sum(owner.runner.running for owner in owners if owner.runner),
        )

    # -- the loop --------------------------------------------------------------------------------------------------

    async def _loop(self, housekeeping: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        fetch: asyncio.Task[dict[TopicPartition, list[object]]] | None = None
        requests_at = 0.0
        while not self._stopping:
            if housekeeping.done():
                housekeeping.result()
            if self._failure:
                raise self._failure
            if fetch is None:
                fetch = asyncio.create_task(self._poll())
            woken = asyncio.create_task(self._wake.wait())
            await asyncio.wait({fetch, woken}, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            self._wake.clear()
            records: dict[TopicPartition, list[object]] = {}
            if fetch.done():
                records, fetch = fetch.result(), None
            began = loop.time()
            self._watchdog.working()
            async with self._owning:
                worked = await self._batch(records)
                await self._fire()
                if began >= requests_at and self.owners:
                    # A turn's worth: the log has its turn between two of them.
                    requests_at = 0.0 if await self._serve_requests() else began + REQUESTS_S
            self._watchdog.resting()
            if worked:
                took = loop.time() - began
                BATCH_SECONDS.labels(self.decider.service).observe(took)
                if (rest := self._beat_s(worked) - took) > 0:
                    await asyncio.sleep(rest)
        if fetch:
            fetch.cancel()

    def _beat_s(self, messages: int) -> float:
        """The least time between this turn and the next. On a crowded machine a thin batch is dear: what comes until
        the next one joins it, and each message costs less of what everybody lacks."""
        switched, self._switched = self._switched, getrusage(RUSAGE_SELF).ru_nivcsw
        crowded = self._switched - switched >= CROWDED_SWITCHES
        return max(self.beat_s, CROWDED_BEAT_S) if crowded and messages < THIN_BATCH else self.beat_s

    async def _poll(self) -> dict[TopicPartition, list[object]]:
        """What the log holds now. The client fetches ahead, and would hand out what it fetched before the last turn;
        what came while that was decided would wait for the fetch after it. So it fetches only while it is asked."""
        consumer = self._consumer
        consumer.resume(*consumer.assignment())
        records = await consumer.getmany(timeout_ms=self._patience_ms(), max_records=self.settings.max_batch)
        if records:
            consumer.pause(*consumer.assignment())
        return records  # type: ignore[no-any-return]

    async def _serve_requests(self) -> bool:
        """What operators asked for, a turn's worth; whether there may be more."""
        asked = await self._database.asked_for(self.owners)
        served = [await self.owners[number].serve_requests() for number in asked]
        if any(served):
            self._wake.set()
        return any(served)

    def _patience_ms(self) -> int:
        """How long a poll may wait: until the next timer, at most IDLE_POLL_MS."""
        if any(o.has_work for o in self.owners.values()):
            return 0
        due = [o.next_due for o in self.owners.values() if o.next_due]
        if not due:
            return IDLE_POLL_MS
        wait_ms = (min(due) - datetime.now(UTC)).total_seconds() * 1000
        return int(min(max(wait_ms, 1), IDLE_POLL_MS))

    async def _batch(self, records: dict[TopicPartition, list[object]]) -> int:
        """Decides what came; answers how many messages that were."""
        by_shard: dict[int, list[Delivery]] = defaultdict(list)
        read = envelope.read
        for tp, some in records.items():
            into, owner = by_shard[tp.partition], self.owners.get(tp.partition)
            expected = owner.next_offset(tp.topic) if owner else None
            if owner and expected is not None and some[0].offset > expected:  # type: ignore[attr-defined]
                await self._go_back(tp, expected)
                continue
            for r in some:
                into.append(read(r.topic, r.partition, r.offset, r.key, r.value, r.headers))  # type: ignore[attr-defined]
        items = {
            owner: by_shard.get(number, [])
            for number, owner in self.owners.items()
            if number in by_shard or owner.has_work
        }
        # A timer that is due waits until all is read: then nothing is held.
        return await take_turn(items, hold=not self._snapshots) if items else 0

    async def _fire(self) -> None:
        """Due timers fire once the log is read up to where it ended when they were due: a payment that was accepted
        in time beats its expiry, also after an outage."""
        read = {
            number: before
            for number, (before, ends) in self._snapshots.items()
            if all(self.owners[number].shard.progress.offsets.get(topic, 0) >= end for topic, end in ends.items())
        }
        for number in read:
            del self._snapshots[number]
        if read:
            await fire_due({self.owners[number]: before for number, before in read.items()})
        now = datetime.now(UTC)
        due = [n for n, o in self.owners.items() if n not in self._snapshots and o.next_due and o.next_due <= now]
        for number, found in zip(due, await asyncio.gather(*map(self._ends, due)), strict=True):
            if found is not None:
                self._snapshots[number] = (now, found)
                self._wake.set()

    async def _ends(self, number: int) -> dict[str, int] | None:
        """Where the log of a shard ends now; None while its brokers do not tell."""
        partitions = [TopicPartition(topic, number) for topic in self.topics]
        try:
            found = await asyncio.wait_for(self._consumer.end_offsets(partitions), ENDS_PATIENCE_S)
        except (KafkaError, TimeoutError):
            return None  # no log, no end: time stands still until the broker is back
        return {tp.topic: end for tp, end in found.items()}

    # -- owning shards ---------------------------------------------------------------------------------------------

    async def take(self, partitions: set[TopicPartition]) -> None:
        """Claims the shards of these partitions and puts the consumer where they stopped."""
        async with self._owning:
            if self._stopping:
                return  # whoever is left gets them when we are gone; a claim would only be in his way
            for number in sorted({tp.partition for tp in partitions}):
                owner = self.owners.get(number)
                if owner is None:
                    owner = self.owners[number] = await Owner.claim(
                        number,
                        self.decider,
                        self._database,
                        self._publisher,
                        self.settings,
                        self._cluster,
                        self.run_effect,
                        self.saved,
                        self._wake.set,
                    )
                    log.info("%s owns shard %s, epoch %s", self.decider.service, number, owner.shard.progress.epoch)
                for tp in partitions:
                    if tp.partition == number:
                        # To the beginning as well, without asking the broker where that is: it would answer after its
                        # fetches, half a second for each topic, and the group waits for no member so long.
                        self._consumer.seek(tp, owner.shard.progress.offsets.get(tp.topic, 0))
            if self.owners:
                self.assigned.set()
            self._joined.set()
            self._wake.set()

    async def _go_back(self, tp: TopicPartition, expected: int) -> None:
        """Records were fetched before the shard changed hands: going on there would skip what was not decided."""
        begins = (await self._consumer.beginning_offsets([tp]))[tp]
        if begins > expected:
            raise WrongBroker(
                f"{tp.topic}/{tp.partition} begins at offset {begins}, but it is decided up to {expected}: the log "
                "was cut before it was read (see its retention)"
            )
        self._consumer.seek(tp, expected)

    async def leave(self, partitions: set[TopicPartition]) -> None:
        """Lets go of shards that are to be somebody else's."""
        async with self._owning:
            left = [self.owners.pop(n) for n in {tp.partition for tp in partitions} if n in self.owners]
            for owner in left:
                self._snapshots.pop(owner.shard.progress.shard, None)
                await owner.close()
            if left:
                await self._publisher.arrived(FLUSH_S)

    # -- housekeeping ----------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        service = self.decider.service
        sweeper = await asyncpg.connect(self.settings.dsn(service))
        swept = self._database_over(sweeper)
        sweeping = Sweeper(sweeper, self.sweeps, self.settings)
        loop = asyncio.get_running_loop()
        waits_since = loop.time()
        try:
            while True:
                await asyncio.sleep(HOUSEKEEPING_S)
                show(service, self.working())
                await self._check_cluster()
                if self.silent or self._joined.is_set():
                    waits_since = loop.time()
                elif loop.time() - waits_since > JOIN_PATIENCE_S:
                    raise NoShare(f"no share of {service} was told within {JOIN_PATIENCE_S:g} s of joining its group")
                await self._check_logs()
                # Without a coordinator it would wait for one, and so keep the look at the cluster from its beat.
                await asyncio.gather(asyncio.wait_for(self._commit_offsets(), HOUSEKEEPING_S), return_exceptions=True)
                self._publisher.check()  # an idle worker has no batch to notice it by
                for owner in list(self.owners.values()):
                    await swept.sweep(owner.shard.progress, datetime.now(UTC))
                if self.owners:
                    await sweeping.sweep(datetime.now(UTC))
        finally:
            await sweeper.close()

    async def _check_cluster(self) -> None:
        bootstrap = self.settings.bootstrap()
        try:
            async with asyncio.timeout(HOUSEKEEPING_S):
                async with asking(bootstrap) as client:
                    # Nothing is asked of another cluster's topics: some make one that is asked for.
                    check_same_cluster(self._cluster, await cluster_id(client))
                    self.acknowledges = await acknowledges(client, commands_of(self.decider.service))
        except (KafkaError, OSError, TimeoutError):
            if not self.silent:
                log.warning("the broker at %s does not answer; waiting for it", bootstrap)
            self.silent = True  # that is silence, not another cluster
            return
        if self.silent:
            log.info("the broker answers again")
        self.silent = False

    async def _check_logs(self) -> None:
        """No log ends before what was decided of it. Two looks must agree: the new leader of a partition may know less
        of it for a moment."""
        decided = {
            TopicPartition(topic, number): offset
            for number, owner in self.owners.items()
            for topic, offset in owner.shard.progress.offsets.items()
            if topic in self.topics
        }
        if not decided:
            return
        try:
            ends = await asyncio.wait_for(self._consumer.end_offsets(list(decided)), HOUSEKEEPING_S)
        except (KafkaError, OSError, TimeoutError):
            return  # that is silence, not a shorter log
        short = shorter(decided, ends)
        for tp in sorted(short & self._short):
            raise WrongBroker(
                f"{tp.topic}/{tp.partition} ends at offset {ends[tp]}, but it is decided up to {decided[tp]}: "
                + SHORTER_LOG
            )
        self._short = short

    async def _commit_offsets(self) -> None:
        """For the ordinary lag tools; larder itself starts from its progress row."""
        offsets = {
            TopicPartition(topic, number): offset
            for number, owner in self.owners.items()
            for topic, offset in owner.shard.progress.offsets.items()
            if topic in self.topics
        }
        if offsets:
            await self._consumer.commit(offsets)


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    """The client only logs what its listener raises, and goes on without the shard: it must end the worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        try:
            await self._worker.take(assigned)
        except Exception as error:
            self._worker.fail(error)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        try:
            await self._worker.leave(revoked)
        except Exception as error:
            self._worker.fail(error)
