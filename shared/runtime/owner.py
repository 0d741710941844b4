"""One owned shard: its database, its publisher, its effects. The I/O around the pure step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime

import asyncpg
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from shared.runtime.broker import check_same_cluster
from shared.runtime.commit import Commit
from shared.runtime.database import Database
from shared.runtime.decider import Decider, NotLoaded, Windows
from shared.runtime.effects import EffectRunner, Run
from shared.runtime.metrics import BATCHES, LINK_GAPS, MESSAGES, PARKED
from shared.runtime.publisher import Publisher
from shared.runtime.shard import EFFECTS, Due, EffectAnswered, Item, Replay, Shard, Work
from shared.settings import Settings

log = logging.getLogger(__name__)

Saved = Callable[[Commit], None]
FLUSH_S = 2.0
"""How long a worker that stops waits for its last sends."""
# What the database says of data that it cannot keep (class 22: data, class 23: integrity, class 54: too large for an
# index or a row), and what the driver says.
UNWRITABLE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.exceptions.DataError,
    UnicodeEncodeError,
    OverflowError,
)


class Owner:
    """Owns a shard from its claim until the worker stops or somebody else claims it."""

    def __init__(
        self,
        shard: Shard,
        database: Database,
        publisher: Publisher,
        runner: EffectRunner | None,
        saved: Saved,
        wake: Callable[[], None],
    ) -> None:
        self.shard = shard
        self.database = database
        self.publisher = publisher
        self.runner = runner
        self.next_due: datetime | None = None
        self._saved = saved
        self._wake = wake
        self._answered: list[EffectAnswered] = []
        self._carried: list[Work] = []

    @classmethod
    async def claim(
        cls,
        number: int,
        decider: Decider,
        database: Database,
        producer: AIOKafkaProducer,
        settings: Settings,
        cluster: str,
        run: Run | None,
        saved: Saved,
        wake: Callable[[], None],
    ) -> Owner:
        """Bumps the epoch and loads what the shard was about to do: sends, effects, timers."""
        progress = await database.claim(number, cluster)
        check_same_cluster(progress.cluster_id, cluster)
        windows = Windows(
            settings.payment_window_s,
            settings.after_sales_window_s,
            settings.review_window_s,
            settings.shortage_window_s,
            settings.return_window_s,
            settings.slot_lead_s,
            settings.ticket_window_s,
            settings.claim_s,
        )
        shard = Shard(
            decider,
            replace(progress, cluster_id=cluster),
            shards=settings.shards,
            windows=windows,
            currency=settings.currency,
            similar_price_percent=settings.similar_price_percent,
            blocked=await database.blocked(number),
        )
        publisher = Publisher(producer, shard.acked.__setitem__)
        owner = cls(shard, database, publisher, None, saved, wake)
        if run:
            owner.runner = EffectRunner(run, owner._take_answer)
        await owner._resume()
        return owner

    async def _resume(self) -> None:
        progress = self.shard.progress
        for name, sent in progress.sent.items():
            topic, partition = name.rsplit("/", 1)
            last = progress.acked.get(name, 0)
            while last < sent:
                rows = await self.database.outbox_after(progress.shard, topic, int(partition), last)
                if not rows:
                    break
                self.publisher.put(rows)
                last = rows[-1].last_link
                await self.publisher.room()
        if self.runner:
            for effect in await self.database.open_effects(progress.shard, with_parked=False):
                self.runner.start(effect, resumed=True)
        self.next_due = await self.database.next_due(progress.shard)

    def _take_answer(self, answered: EffectAnswered) -> None:
        self._answered.append(answered)
        self._wake()

    @property
    def has_work(self) -> bool:
        """Answers or left-over works wait for the next batch."""
        return bool(self._answered or self._carried)

    async def run_batch(self, items: Sequence[Item]) -> None:
        """Decides and commits everything that came, in one transaction unless the database refuses a part of it."""
        works = [*self._carried, *self.shard.read(items), *self.shard.read(self._answered)]
        self._carried, self._answered = [], []
        if works:
            await self.publisher.room()
            self.publisher.check()
            await self._commit(works)

    async def fire_due(self, before: datetime) -> None:
        """Fires the timers that were due before a moment up to which the log is read."""
        due = await self.database.due(self.shard.progress.shard, before)
        if due:
            await self._commit(self.shard.read(due))
        self.next_due = await self.database.next_due(self.shard.progress.shard)

    async def serve_requests(self) -> bool:
        """Replays and drops what operators asked for, a turn's worth; whether there may be more."""
        number = self.shard.progress.shard
        rows = await self.database.parked_requests(number)
        if not rows:
            return False
        dropped = [r.id for r in rows if r.action == "drop"]
        replays = [r for r in rows if r.action == "replay"]
        effects = [r for r in replays if r.delivery.topic == EFFECTS]
        if effects:
            await self._ask_again({r.delivery.id for r in effects})
        if messages := [Replay(r.id, r.delivery) for r in replays if r.delivery.topic != EFFECTS]:
            await self._commit(self.shard.read(messages))
            while self._carried:  # what is asked for next may wait behind them
                await self.run_batch([])
        asked = [r.id for r in rows]
        await self.database.settle_requests(number, asked, dropped, [r.id for r in effects])
        self.shard.blocked = await self.database.blocked(number)
        return True

    async def _ask_again(self, effect_ids: Container[str]) -> None:
        for effect in await self.database.open_effects(self.shard.progress.shard):
            if effect.id in effect_ids and self.runner:
                self.runner.start(effect, resumed=True)

    async def _commit(self, works: Sequence[Work]) -> None:
        shard, database = self.shard, self.database
        if ids := shard.outside_ids(works):
            known = await database.known(ids)
            shard.known(known.answered)
            shard.master_data_is(known.master_data)
        now = datetime.now(UTC)
        try:
            commit = await self._decide(works, now)
            await database.save(commit)
        except UNWRITABLE as wrong:
            await self._bisect(works, wrong)
            return
        shard.committed(commit)
        self._after(commit)
        if commit.decided < len(works):
            self._carried = [*_left_over(works[commit.decided :]), *self._carried]
            self._wake()

    async def _decide(self, works: Sequence[Work], now: datetime) -> Commit:
        shard, database = self.shard, self.database
        while True:
            while True:
                missing = shard.missing(works)
                if shard.doubts_master_data:
                    shard.master_data_is((await database.known(())).master_data)
                else:
                    if missing:
                        shard.learn(await database.load(missing, now))
                    if not missing or shard.named_all:
                        break
            try:
                return shard.decide(works, now)
            except NotLoaded as absent:
                # The first work looks at something that it did not name: each turn loads one key more.
                shard.learn(await database.load({absent.key}, now))

    async def _bisect(self, works: Sequence[Work], wrong: Exception) -> None:
        """The database cannot keep or look for something of this batch: finds the message, parks it, keeps the rest."""
        if len(works) == 1:
            if works[0].message is None:
                raise wrong  # not even parked can it be kept: that is a mistake of ours
            log.error("parking a message that the database cannot keep: %s", wrong)
            await self._commit([replace(works[0], message=None, code="unwritable", reason=str(wrong))])
            return
        half = len(works) // 2
        await self._commit(works[:half])
        rest = _left_over(works[half:])
        if self._carried:
            # What was left over comes first: the second half would move the offsets past it, and so lose it.
            self._carried = [*self._carried, *rest]
        elif rest:
            await self._commit(rest)

    def _after(self, commit: Commit) -> None:
        service = self.shard.decider.service
        self.publisher.put(commit.outbox)
        if self.runner:
            for effect in commit.effects_opened:
                self.runner.start(effect)
        for due in commit.timers.values():
            if due is not None and (self.next_due is None or due < self.next_due):
                self.next_due = due
        for parked in commit.parked:
            PARKED.labels(service, parked.code).inc()
            log.warning("parked %s about %s: %s (%s)", parked.delivery.type, parked.subject, parked.code, parked.reason)
        for gap in commit.gaps[:3]:
            log.error("gap on link %s: dropped until the sender goes back", gap)
        LINK_GAPS.labels(service).inc(len(commit.gaps))
        BATCHES.labels(service).inc()
        MESSAGES.labels(service).inc(commit.decided)
        self._saved(commit)

    async def close(self) -> None:
        """Lets go of the shard; whoever claims it next takes over from the database."""
        if self.runner:
            await self.runner.close()
        await self.publisher.close(FLUSH_S)


def _left_over(works: Sequence[Work]) -> list[Work]:
    """What another commit is to decide. Timers are not: they are in their table, and may be cancelled by then."""
    return [work for work in works if not isinstance(work.item, Due)]
