"""One owner of one shard at work, by the rules of `shared.runtime.worker` and `owner`; the step itself is the real one.

It reads, decides, commits through the gate, publishes; it may crash before the commit, after it, or before it hears
that its sends arrived. A shard may get a new owner at any moment: the old one does not know, and goes on deciding from
what it remembers until the gate is shut in its face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from larder.simulation.database import Database, GateShut
from larder.simulation.gateway import Calls
from larder.simulation.link import Around, Link
from shared.contracts.topics import commands_of
from shared.runtime.again import AskedAgain, Plan, Request
from shared.runtime.commit import Commit, OutboxRow
from shared.runtime.decider import Windows
from shared.runtime.envelope import Delivery
from shared.runtime.shard import EFFECTS, Due, EffectAnswered, Replay, Shard, Work
from shared.runtime.turn import Share, answered, decided

REWIND_MAX = 6
"""Most records that a consumer hands out again."""
COLD_POLLS_MAX = 3
"""Most polls that come back empty before a consumer that has just begun gets its first records; twice as many for one
whose connections are gone since it stood still."""
PAUSE_S = (0.0, 40.0)
"""A worker that is stopped in the middle of a batch stands still for so long."""

MakeCalls = Callable[[Callable[[EffectAnswered], None]], Calls]


@dataclass(frozen=True, slots=True)
class Post:
    """A shard to be owned: its service's database, its number, and who claims it anew."""

    database: Database
    number: int
    topics: tuple[str, ...]
    windows: Windows
    make_calls: MakeCalls | None
    claim_after: Callable[[float, Post], None]


class Owner:
    """Owns a shard from its claim until it dies, whether or not it is still the one."""

    def __init__(self, around: Around, post: Post) -> None:
        self.around = around
        self.post = post
        self.database = database = post.database
        self.number = post.number
        progress = database.claim(post.number)
        self.shard = Shard(
            database.decider,
            progress,
            shards=around.weather.shards,
            windows=post.windows,
            blocked=database.blocked(post.number),
            cache_max=around.weather.cache_max,
        )
        self.gone = False
        self.positions = {topic: progress.offsets.get(topic, 0) for topic in post.topics}
        self.next_due: datetime | None = database.next_due(self.number)
        self.calls = post.make_calls(self._take_answer) if post.make_calls else None
        self._links: dict[str, Link] = {}
        self._answered: list[EffectAnswered] = []
        self._carried: list[Work] = []
        self._again = AskedAgain()
        self._snapshot: tuple[datetime, dict[str, int]] | None = None
        self._alarm: datetime | None = None
        self._awake = False
        self._paused = False
        self._has_more = False
        self._cold = around.dice.randint(0, COLD_POLLS_MAX) if around.clock.now_us else 0
        for topic in post.topics:
            around.log.read_by((topic, self.number), self)
        self._resume()

    def _resume(self) -> None:
        """Sends what the broker may not have, runs open effects again, and looks what there is to read."""
        for row in self.database.unsent(self.number):
            self._publish([row])
        if self.calls:
            for effect in self.database.open_effects(self.number):
                self.calls.start(effect, resumed=True)
        self.wake()

    # -- the loop --------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to do: polls before long."""
        if not self._awake:
            self._awake = True
            around = self.around
            around.clock.after(around.dice.random() * 2 * around.weather.beat_s, self._poll)

    def _poll(self) -> None:
        if self.gone or self._paused:
            return
        self._awake = False
        items = self._fetch()
        if items or self._answered or self._carried:
            works = [*self._carried, *self.shard.read(items), *self.shard.read(self._answered)]
            self._carried, self._answered = [], []
            self._commit(works, self._go_on)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """After a batch: timers, then operators' requests, then the next poll."""
        for do in (self._fire, self._serve_requests):
            do()
            if self.gone or self._paused:
                return
        if self._carried or self._answered or self._snapshot or self._has_more:
            self.wake()
        around = self.around
        if around.weather.takeovers and around.is_hit(around.weather.takeover):
            around.weather.takeovers -= 1
            self.post.claim_after(0.0, self.post)  # from now on this owner is a zombie

    def stand_still(self, seconds: float) -> None:
        """Stopped, as by SIGSTOP: it comes back with all that it remembers, and a backlog."""
        if not self._paused:
            self._paused = True
            self.around.clock.after(seconds, self._go_again)

    def _go_again(self) -> None:
        self._cold = self.around.dice.randint(1, 2 * COLD_POLLS_MAX)
        self._paused = self._awake = False
        self.wake()

    def _fetch(self) -> list[Delivery]:
        """The next records of all topics, as the consumer hands them out: none yet, or some of them again."""
        around = self.around
        self._has_more = self._cold > 0 or around.is_hit(around.weather.slow_fetch)
        if self._has_more:
            self._cold -= 1
            return []
        records, dice = around.log.records, around.dice
        room = 1 + int(dice.random() * around.weather.batch_max)
        topics = self.post.topics
        if len(topics) > 1:
            first = int(dice.random() * len(topics))
            topics = topics[first:] + topics[:first]
        items: list[Delivery] = []
        for topic in topics:
            position, partition = self.positions[topic], records[topic, self.number]
            if position < len(partition):
                if room <= 0:
                    self._has_more = True
                    break
                if around.is_hit(around.weather.rewind):
                    position = max(0, position - dice.randint(1, REWIND_MAX))
                some = partition[position : position + room]
                self.positions[topic] = position = max(self.positions[topic], position + len(some))
                self._has_more = self._has_more or position < len(partition)
                room -= len(some)
                items += some
        return items

    # -- timers ----------------------------------------------------------------------------------------------------

    def _fire(self) -> None:
        """Due timers fire once the log is read up to where it ended when they were due."""
        now = self.around.clock.now
        if self._snapshot:
            before, ends = self._snapshot
            if self.log_is_read(ends):
                self._snapshot = None
                if due := self.database.due(self.number, before):
                    self._commit(self.shard.read(due), self._look_at_timers)
                else:
                    self._look_at_timers()
        elif self.next_due and self.next_due <= now:
            records = self.around.log.records
            self._snapshot = (now, {topic: len(records[topic, self.number]) for topic in self.post.topics})
            self.wake()
        elif self.next_due and (self._alarm is None or self.next_due < self._alarm):
            self._alarm = self.next_due
            self.around.clock.at(self.next_due, self._ring, self.next_due)

    def log_is_read(self, ends: dict[str, int]) -> bool:
        """Is everything decided that was in the log at that moment?"""
        offsets = self.shard.progress.offsets
        return all(offsets.get(topic, 0) >= end for topic, end in ends.items())

    def _look_at_timers(self) -> None:
        self.next_due = self.database.next_due(self.number)
        self._fire()

    def _ring(self, alarm: datetime) -> None:
        if alarm == self._alarm:
            self._alarm = None
        if not self.gone:
            self.wake()

    # -- what operators ask for ------------------------------------------------------------------------------------

    def _serve_requests(self) -> None:
        rows = self.database.requested(self.number) if self.database.requests else None
        if not rows:
            return
        requests = [
            Request(r.id, r.subject, action, r.delivery.id if r.delivery.topic == EFFECTS else "") for r, action in rows
        ]
        wanted = self._again.wanted(requests)
        for effect in self.database.open_effects(self.number):
            if self.calls and effect.id in wanted:
                self._again.asked(effect.id, wanted[effect.id])
                self.calls.start(effect, resumed=True)
        plan = self._again.plan(requests)
        settle = partial(self._settle_requests, plan)
        if plan.messages:
            replays = (Replay(r.id, replace(r.delivery, link=0)) for r, _ in rows if r.id in plan.messages)
            self._commit(self.shard.read(replays), settle)
        elif plan.settled:
            settle()

    def _settle_requests(self, plan: Plan) -> None:
        try:
            self.database.settle(self.number, self.shard.progress.epoch, plan.settled, plan.dropped, plan.over)
        except GateShut:
            self.retire()
            return
        self._again.settled(plan)
        self.shard.blocked = self.database.blocked(self.number)
        self.wake()

    # -- one batch -------------------------------------------------------------------------------------------------

    def _commit(self, works: Sequence[Work], then: Callable[[], None]) -> None:
        around, weather = self.around, self.around.weather
        now = around.clock.now
        [commit] = answered(decided([Share(self.shard, works)], now), partial(self.database.answer, now=now))
        if weather.crashes and around.is_hit(weather.crash):
            self._crash(None if around.dice.random() < 0.5 else commit)
        elif weather.takeovers and around.is_hit(weather.takeover):
            # Stopped in the middle: it comes back with a batch that is decided, and finds somebody else there, or not.
            weather.takeovers -= 1
            self._paused = True
            self.post.claim_after(around.dice.uniform(*PAUSE_S), self.post)
            around.clock.after(around.dice.uniform(*PAUSE_S), self._come_back, works, commit, then)
        else:
            self._finish(works, commit, then)

    def _come_back(self, works: Sequence[Work], commit: Commit, then: Callable[[], None]) -> None:
        self._paused = self._awake = False
        if not self.gone:
            self._finish(works, commit, then)
            self.wake()

    def _finish(self, works: Sequence[Work], commit: Commit, then: Callable[[], None]) -> None:
        try:
            self.database.save(commit)
        except GateShut:
            self.retire()
            return
        self.shard.committed(commit)
        for row in commit.outbox:
            self._publish([row])
        if self.calls:
            for effect in commit.effects_opened:
                self.calls.start(effect)
        for due in commit.timers.values():
            if due is not None and (self.next_due is None or due < self.next_due):
                self.next_due = due
        self._again.committed(works[: commit.decided], commit)
        if commit.decided < len(works):
            # Timers are not carried: they are in their table, and may be cancelled by then.
            left_over = [work for work in works[commit.decided :] if not isinstance(work.item, Due)]
            self._carried = [*left_over, *self._carried]
        then()

    def _publish(self, rows: Sequence[OutboxRow]) -> None:
        row = rows[0]
        link = self._links.get(row.link)
        if link is None:
            acked = self.shard.acked.__setitem__
            link = self._links[row.link] = Link(self.around, row.topic, row.partition, acked)
        link.put(rows)

    def _take_answer(self, answered: EffectAnswered) -> None:
        self._answered.append(self._again.answered(answered))
        self.wake()

    # -- ends ------------------------------------------------------------------------------------------------------

    def _crash(self, commit: Commit | None) -> None:
        """Dies in the middle of a batch: of `commit`, the transaction went through, and nothing after it."""
        self.around.weather.crashes -= 1
        if commit:
            try:
                self.database.save(commit)
            except GateShut:
                pass
        for link in self._links.values():
            link.abandon()
        self.retire()
        self.post.claim_after(self.around.dice.expovariate(1.0), self.post)

    def lose_power(self) -> None:
        """Dies at once, and takes what is on its way along."""
        for link in self._links.values():
            link.forget()
        self._links.clear()
        if not self.gone:
            self.retire()

    def retire(self) -> None:
        """The evening is over, or this owner is."""
        self.gone = True
        for topic in self.post.topics:
            self.around.log.left_by((topic, self.number), self)
        if self.calls:
            self.calls.close()


def topics_of(database: Database) -> tuple[str, ...]:
    """What a service's workers read."""
    decider = database.decider
    return tuple(sorted({commands_of(decider.service), *(message.TOPIC for message in decider.listens)}))
