"""Owned shards: their database, their publisher, their effects. The I/O around the pure step.

A worker takes one turn for all of its shards: one question to the database, one commit with a gate for each of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic

import asyncpg
from msgspec.structs import replace

from shared.runtime.again import AskedAgain, Request
from shared.runtime.broker import check_same_cluster
from shared.runtime.commit import Commit
from shared.runtime.database import Database
from shared.runtime.decider import Decider, Windows
from shared.runtime.effects import EffectRunner, Run
from shared.runtime.envelope import Delivery
from shared.runtime.metrics import BATCHES, LINK_GAPS, MESSAGES, PARKED
from shared.runtime.publisher import Publisher
from shared.runtime.shard import EFFECTS, Due, EffectAnswered, Item, Replay, Shard, Work
from shared.runtime.turn import Share
from shared.settings import Settings

log = logging.getLogger(__name__)

Saved = Callable[[Commit], None]
HELD_S = 0.5
"""How long records of which only the place counts wait for others to be committed with."""
HELD_MAX = 1_000
"""Most of them that do."""
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
        self._again = AskedAgain()
        self._held: list[Work] = []
        self._held_since = 0.0

    @classmethod
    async def claim(
        cls,
        number: int,
        decider: Decider,
        database: Database,
        publisher: Publisher,
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
                self.publisher.put(rows, self.shard.acked.__setitem__)
                last = rows[-1].last_link
                await self.publisher.room()
        if self.runner:
            for effect in await self.database.open_effects(progress.shard, with_parked=False):
                self.runner.start(effect, resumed=True)
        self.next_due = (await self.database.next_due([progress.shard]))[progress.shard]

    def _take_answer(self, answered: EffectAnswered) -> None:
        self._answered.append(self._again.answered(answered))
        self._wake()

    @property
    def carries(self) -> bool:
        """A turn left something over."""
        return bool(self._carried)

    @property
    def has_work(self) -> bool:
        """Answers or left-over works wait for the next batch, or what is held has waited long enough."""
        return bool(self._answered or self._carried or self._held_long)

    def next_offset(self, topic: str) -> int | None:
        """Of the record that comes next from a topic: behind what is decided, and what waits to be. None: nothing of it
        was ever read."""
        waiting = [
            work.item.offset + 1
            for work in (*self._carried, *self._held)
            if isinstance(work.item, Delivery) and work.item.topic == topic
        ]
        return max(waiting, default=self.shard.progress.offsets.get(topic))

    @property
    def _held_long(self) -> bool:
        return bool(self._held) and monotonic() - self._held_since > HELD_S

    async def run_batch(self, items: Sequence[Item]) -> None:
        """A turn of this shard alone."""
        await take_turn({self: items})

    async def fire_due(self, before: datetime) -> None:
        """Fires the timers of this shard alone."""
        await fire_due({self: before})

    def works(self, items: Sequence[Item], *, hold: bool = False) -> list[Work]:
        """What is left of earlier turns, then these items, then the answers to effects; none of it comes again. With
        `hold`, records of which only the place counts wait for others, a moment: alone they are no commit's worth."""
        works = [*self._carried, *self._held, *self.shard.read(items), *self.shard.read(self._answered)]
        self._carried, self._answered, held = [], [], self._held
        hold = hold and not self._held_long and len(works) < HELD_MAX
        self._held = works if hold and all(work.is_passed_over for work in works) else []
        if self._held:
            self._held_since = self._held_since if held else monotonic()
            return []
        return works

    async def serve_requests(self) -> bool:
        """Replays and drops what operators asked for, a turn's worth; whether there may be more."""
        number = self.shard.progress.shard
        rows = await self.database.parked_requests(number)
        if not rows:
            return False
        requests = [
            Request(r.id, r.subject, r.action, r.delivery.id if r.delivery.topic == EFFECTS else "") for r in rows
        ]
        if wanted := self._again.wanted(requests):
            for effect in await self.database.open_effects(number):
                if effect.id in wanted and self.runner:
                    self._again.asked(effect.id, wanted[effect.id])
                    self.runner.start(effect, resumed=True)
        plan = self._again.plan(requests)
        if not plan.settled:
            return False
        if plan.messages:
            await _commit({self: self.shard.read(Replay(r.id, r.delivery) for r in rows if r.id in plan.messages)})
            while self._carried:  # what is asked for next may wait behind them
                await self.run_batch([])
        await self.database.settle_requests(number, plan.settled, plan.dropped, plan.over)
        self._again.settled(plan)
        self.shard.blocked = await self.database.blocked(number)
        return True

    def carry(self, works: Sequence[Work], *, behind: bool = False) -> None:
        """These are for the next turn, before what is carried already or behind it. Timers are not carried: they are in
        their table, and may be cancelled by then."""
        kept = [work for work in works if not isinstance(work.item, Due)]
        self._carried = [*self._carried, *kept] if behind else [*kept, *self._carried]

    def committed(self, works: Sequence[Work], commit: Commit) -> None:
        """The transaction is through: what it says goes out, what it left over is for the next turn."""
        self.shard.committed(commit)
        self.publisher.put(commit.outbox, self.shard.acked.__setitem__)
        if self.runner:
            for effect in commit.effects_opened:
                self.runner.start(effect)
        for due in commit.timers.values():
            if due is not None and (self.next_due is None or due < self.next_due):
                self.next_due = due
        self._again.committed(works[: commit.decided], commit)
        self._count(commit)
        self._saved(commit)
        if commit.decided < len(works):
            self.carry(works[commit.decided :])
            self._wake()

    def _count(self, commit: Commit) -> None:
        service = self.shard.decider.service
        for parked in commit.parked:
            PARKED.labels(service, parked.code).inc()
            log.warning("parked %s about %s: %s (%s)", parked.delivery.type, parked.subject, parked.code, parked.reason)
        for gap in commit.gaps[:3]:
            log.error("gap on link %s: dropped until the sender goes back", gap)
        if commit.gaps:
            LINK_GAPS.labels(service).inc(len(commit.gaps))
        MESSAGES.labels(service).inc(commit.decided)

    async def close(self) -> None:
        """Lets go of the shard; whoever claims it next takes over from the database."""
        if self.runner:
            await self.runner.close()


async def take_turn(items: Mapping[Owner, Sequence[Item]], *, hold: bool = False) -> int:
    """Decides and commits everything that came for these shards of one worker, in one transaction unless the database
    refuses a part of it. Answers how many messages that were. With `hold`, see `Owner.works`."""
    works = {owner: works for owner, some in items.items() if (works := owner.works(some, hold=hold))}
    if works:
        publisher = next(iter(works)).publisher
        await publisher.room()
        publisher.check()
        await _commit(works)
    return sum(map(len, works.values()))


async def fire_due(before: Mapping[Owner, datetime]) -> None:
    """Fires the timers that were due before a moment up to which the log of their shard is read."""
    database = next(iter(before)).database
    number = {owner: owner.shard.progress.shard for owner in before}
    due = await database.due({number[owner]: moment for owner, moment in before.items()})
    if works := {owner: owner.shard.read(due[number[owner]]) for owner in before if due[number[owner]]}:
        await _commit(works)
    next_due = await database.next_due(number.values())
    for owner in before:
        owner.next_due = next_due[number[owner]]


async def _commit(works: Mapping[Owner, Sequence[Work]]) -> None:
    database = next(iter(works)).database
    now = datetime.now(UTC)
    try:
        commits = await database.decided([Share(owner.shard, some) for owner, some in works.items()], now)
        await database.save(*commits)
    except UNWRITABLE as wrong:
        await _apart(works, wrong)
        return
    BATCHES.labels(next(iter(works)).shard.decider.service).inc()
    for (owner, some), commit in zip(works.items(), commits, strict=True):
        owner.committed(some, commit)


async def _apart(works: Mapping[Owner, Sequence[Work]], wrong: Exception) -> None:
    """The database cannot keep or look for something of this turn: each shard alone, then in halves, until the message
    is found; it is parked, and the rest is kept."""
    if len(works) > 1:
        for owner, some in works.items():
            await _commit({owner: some})
        return
    [(owner, some)] = works.items()
    if len(some) == 1:
        if some[0].message is None:
            raise wrong  # not even parked can it be kept: that is a mistake of ours
        log.error("parking a message that the database cannot keep: %s", wrong)
        await _commit({owner: [replace(some[0], message=None, code="unwritable", reason=str(wrong))]})
        return
    half = len(some) // 2
    await _commit({owner: some[:half]})
    if owner.carries:
        # What was left over comes first: the second half would move the offsets past it, and so lose it.
        owner.carry(some[half:], behind=True)
    elif rest := [work for work in some[half:] if not isinstance(work.item, Due)]:
        await _commit({owner: rest})
