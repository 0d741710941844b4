"""The shard's step, sans-I/O: from what was polled to one commit.

The worker reads and writes around it; the simulation drives the very same object. Theory of operation:

    works = shard.read(items)                     # decode; nothing is dropped yet
    shard.known(ids the store has answered)       # of shard.outside_ids(works)
    while keys := shard.missing(works): shard.learn(what the store loaded)
    commit = shard.decide(works, now)             # pure: the shard does not change
    (write the commit; when that went well:) shard.committed(commit)

`decide` goes message by message over an overlay, so a message that raises leaves no trace, and a batch that the
database refuses can be decided again in halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import ValidationError

from shared.contracts.base import (
    PACKED_MAX,
    CommandAccepted,
    CommandRefused,
    Entry,
    Message,
    MessageParked,
    Pack,
)
from shared.contracts.topics import answers_of, commands_of, parked_of, partition_for
from shared.runtime.commit import Answer, Commit, OutboxRow, Parked
from shared.runtime.decider import Context, Decider, Inner, Look, NotLoaded, Windows
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.said import CancelTimer, Effect, Record, SetTimer
from shared.runtime.table import Key, Moved, NoCell, Outcome, Refused

REASON_MAX = 500
"""Most characters of a reason that are kept with a parked message."""
SUBJECT_MAX = 200
"""Most characters of a subject that are kept with a parked message."""
KEY_SHOWN_MAX = 200
"""Most bytes of a wrong key that the reason shows: anybody may send a megabyte of it."""
BLOCKING = frozenset({"decider_raised", "behind"})
"""Codes of parked messages that hold back later ones of their subject."""
PACK_BYTES_MAX = 900_000
"""Most bytes of a pack: by its defaults, Kafka takes a million a record, and one that it refuses stops the stream."""
TIMERS = "timers"
"""Stands for the topic of a timer that was parked."""
MASTER_DATA_MAX = 60_000
"""Most pieces of master data that a shard remembers; past it all of them are loaded again as they are needed."""
EFFECTS = "effects"
"""Stands for the topic of an effect's answer that was parked."""


class Due(Struct, frozen=True):
    """A timer whose time has come."""

    subject: str
    name: str


class EffectAnswered(Struct, frozen=True):
    """What the outside world said to an effect, as a message of the service. `parked_id`: an operator had it asked
    again, since its answer before is parked under this number."""

    effect_id: str
    message: Inner
    parked_id: int | None = None


class Replay(Struct, frozen=True):
    """A parked message that an operator wants decided again, whatever its link number."""

    parked_id: int
    delivery: Delivery


Item = Delivery | Due | EffectAnswered | Replay


class Work(Struct, gc=False):
    """An item, with its message when it could be read, else the code and reason for which it will be parked."""

    item: Item
    message: Any = None
    code: str = ""
    reason: str = ""

    @property
    def is_passed_over(self) -> bool:
        """A message that the service does not listen to: only its place in the log, and on its link, counts."""
        return self.message is None and not self.code and isinstance(self.item, Delivery)


class Shard:
    """One shard of one service, in memory."""

    def __init__(
        self,
        decider: Decider,
        progress: Progress,
        *,
        shards: int,
        windows: Windows | None = None,
        currency: str = "EUR",
        similar_price_percent: float = 20,
        blocked: Iterable[str] = (),
        cache_max: int | None = None,
    ) -> None:
        self.decider = decider
        self.progress = progress
        self.blocked = set(blocked)
        self.acked = dict(progress.acked)
        self._shards = shards
        self._windows = windows or Windows()
        self._currency = currency
        self._similar_price_percent = similar_price_percent
        self._cache_max = cache_max or decider.cache_max
        # Two generations: what changed lately, and what changed before that. When the young are half of what may be
        # kept, the old are let go at once, which costs nothing for each state.
        self._cache: dict[Key, Any] = {}
        self._older: dict[Key, Any] = {}
        self._facts: dict[Key, Any] = {}
        self._fleeting: list[Key] = []
        """Facts of this batch that are no master data."""
        self._master_data_version: int | None = None
        self._master_data_is_sure = False
        self._asks_master_data = False
        self.named_all = False
        """What `missing` named last is all that is missing: it had not to look at anything that was not there yet."""
        self._known: dict[str, bool] = {}
        self._listens: dict[str, type[Message]] = {m.TYPE: m for m in decider.listens}
        self._commands = commands_of(decider.service)

    # -- before deciding -------------------------------------------------------------------------------------------

    def read(self, items: Iterable[Item]) -> list[Work]:
        """Decodes. A fact that the service does not listen to becomes a work without message, only its place counts."""
        return [self._read(item) for item in items]

    def _read(self, item: Item) -> Work:
        if isinstance(item, Due):
            return self._read_timer(item, item.name, item.subject)
        if isinstance(item, EffectAnswered):
            return Work(item, item.message)
        d = item.delivery if isinstance(item, Replay) else item
        if d.topic == TIMERS:
            return self._read_timer(item, d.type, d.subject)
        if d.fault:
            return Work(item, None, "malformed", d.fault)
        contract = self._listens.get(d.type)
        if contract is None or contract.TOPIC != d.topic:
            if d.topic == self._commands or not d.type:
                return Work(
                    item,
                    None,
                    "unknown_type",
                    f"{self.decider.service} listens to no {d.type or 'message without a type'}",
                )
            return Work(item)
        if d.value is None:
            return Work(item, None, "malformed", "a tombstone: the body is missing")
        try:
            message = contract.from_json(d.value)
        except ValidationError as wrong:
            return Work(item, None, "malformed", "; ".join(_one_line(e) for e in wrong.errors()[:3]))
        key = message.key
        # Asked of every message, so the second question is only asked where there is another shard.
        if d.key != key.encode():
            return Work(item, None, "wrong_key", _wrong_key(contract, key, d.key))
        keys: Iterable[str] = (key,)
        if isinstance(message, Pack):
            if message.shard != self.progress.shard:
                return Work(item, None, "wrong_partition", self._wrong_partition("a pack of its shard", message.shard))
            keys = [entry.key for entry in message.entries]
        if self._shards > 1:
            for key in keys:
                if (home := partition_for(key, self._shards)) != self.progress.shard:
                    return Work(item, None, "wrong_partition", self._wrong_partition(repr(key), home, " (by murmur2)"))
        return Work(item, message)

    def _wrong_partition(self, what: str, home: int, why: str = "") -> str:
        here = self.progress.shard
        return f"{what} belongs to partition {home} of {self._shards}{why}, and this is partition {here}"

    def _read_timer(self, item: Item, name: str, subject: str) -> Work:
        if make := self.decider.timers.get(name):
            return Work(item, make(subject))
        return Work(item, None, "unknown_type", f"{self.decider.service} has no timer {name}")

    def outside_ids(self, works: Iterable[Work]) -> list[str]:
        """The ids of messages that came without a link: the store says which of them were answered already."""
        return [w.item.id for w in works if isinstance(w.item, Delivery) and not w.item.link and w.item.id]

    def known(self, answered: Iterable[str]) -> None:
        """These ids have their answer: another message with one of them is a repeat."""
        self._known = dict.fromkeys(answered, True)

    def missing(self, works: Iterable[Work]) -> set[Key]:
        """The keys that deciding takes and that nobody has loaded yet."""
        missing: set[Key] = set()
        cache, older, facts, needs = self._cache, self._older, self._facts, self.decider.needs
        look: Look = self._view().__getitem__
        asks, self.named_all = False, True
        for work in works:
            if work.message is None:
                continue
            try:
                for key in needs(work.message, look):
                    if key in cache or key in older:
                        continue
                    if key in facts:
                        asks = True
                    else:
                        missing.add(key)
            except NotLoaded as absent:
                missing.add(absent.key)
                self.named_all = False
            except Exception:
                # What is wrong with it shows when it is decided, and parks it there with its reason.
                continue
        if master_data := self.decider.master_data:
            self._asks_master_data |= asks or any(key[0] in master_data for key in missing)
        return missing

    @property
    def doubts_master_data(self) -> bool:
        """This batch takes master data, and nobody has told yet whether it changed (`master_data_is`)."""
        return self._asks_master_data and not self._master_data_is_sure

    def master_data_is(self, version: int) -> None:
        """The version of the master data at the beginning of this batch: what is remembered of another is forgotten."""
        if version != self._master_data_version:
            self._facts.clear()
            self._master_data_version = version
        self._master_data_is_sure = True

    def learn(self, loaded: Mapping[Key, Any]) -> None:
        """What the store found: a state for each key that was missing, None where there is none."""
        facts, master_data = self.decider.facts, self.decider.master_data
        for key, state in loaded.items():
            if key[0] not in facts:
                self._cache[key] = state
                continue
            self._facts[key] = state
            if key[0] not in master_data:
                self._fleeting.append(key)

    def _view(self) -> _View:
        return _View(self._cache, self._older, self._facts)

    # -- deciding --------------------------------------------------------------------------------------------------

    def decide(self, works: Sequence[Work], now: datetime) -> Commit:
        """Decides works in order. Changes nothing here; the answer is to be committed, or decided again."""
        return _Step(self, now).run(works)

    def committed(self, commit: Commit) -> None:
        """The transaction is through: from now on this is what is."""
        self._cache.update(commit.states)
        if 2 * len(self._cache) >= self._cache_max:
            self._older, self._cache = self._cache, {}
        self.progress = commit.progress
        self.blocked.update(p.subject for p in commit.parked if p.code in BLOCKING)
        self._forget_facts()
        self._known = {}

    def _forget_facts(self) -> None:
        """Facts are loaded afresh for every batch, but for master data that is known not to have changed."""
        master_data = self.decider.master_data
        if self.doubts_master_data or len(self._facts) > MASTER_DATA_MAX or not master_data:
            self._facts.clear()
        else:
            for key in self._fleeting:
                self._facts.pop(key, None)
        self._fleeting.clear()
        self._asks_master_data = self._master_data_is_sure = False

    @property
    def cached(self) -> int:
        """How many states of aggregates are in memory; one that changed again may count twice."""
        return len(self._cache) + len(self._older)


def _wrong_key(contract: type[Message], key: str, found: bytes | None) -> str:
    has = "none" if found is None else repr(found[:KEY_SHOWN_MAX])[1:]
    return f"its key must be its {contract.key_named()}, {key!r}, and it has {has}"


def _kept(text: str) -> str:
    """What is kept of a text that came from outside: PostgreSQL takes no NUL."""
    return text.replace("\x00", "?")[:REASON_MAX]


def _one_line(error: Any) -> str:
    return f"{'.'.join(str(p) for p in error['loc']) or 'body'}: {error['msg']}"


class _View(dict[Key, Any]):
    """What a look finds, kept for the next one: its `__getitem__` is a look, and needs a function of Python's only for
    the first of each key. An order looks some forty times."""

    __slots__ = ("_places",)

    def __init__(self, *places: Mapping[Key, Any]) -> None:
        self._places = places

    def __missing__(self, key: Key) -> Any:
        for place in self._places:
            if key in place:
                found = self[key] = place[key]
                return found
        raise NotLoaded(key)


class _Kinds(dict[Any, type | None]):
    """Which kind of thing a decider said, by its type: asked of all that is said, so each type is looked at once."""

    def __missing__(self, type_: type) -> type | None:
        kinds = (Message, Entry, Record, SetTimer, CancelTimer, Effect)
        found = self[type_] = next((kind for kind in kinds if issubclass(type_, kind)), None)
        return found


_kinds = _Kinds()


class _Step:
    """One run over one batch: the overlay, and the commit in the making."""

    def __init__(self, shard: Shard, now: datetime) -> None:
        self.shard = shard
        self.decider = shard.decider
        p = shard.progress
        self.progress = replace(
            p,
            version=p.version + 1,
            offsets=dict(p.offsets),
            received=dict(p.received),
            sent=dict(p.sent),
            acked=dict(shard.acked),
        )
        self.commit = Commit(self.progress, p.epoch, p.version, now)
        self.context = Context(now, "", shard._windows, shard._currency, shard._similar_price_percent)
        self.states: dict[Key, Any] = self.commit.states
        self.answered: set[str] = set()
        self.blocked = set(shard.blocked)
        self.stuck: set[str] = set()
        self.rows: dict[tuple[str, int], OutboxRow] = {}
        self.entries: dict[tuple[type[Pack], int], list[Entry]] = {}
        self.view = shard._view()
        self.look: Look = self.view.__getitem__
        self.source = f"{self.decider.service}/{p.shard}"
        self.time = now.isoformat()

    def run(self, works: Sequence[Work]) -> Commit:
        offsets = self.progress.offsets
        for work in works:
            item = work.item
            try:
                if isinstance(item, Delivery):
                    if item.offset >= offsets.get(item.topic, 0):
                        self._receive(work, item)
                        offsets[item.topic] = item.offset + 1
                    elif item.link:
                        self._should_be_a_repeat(item, offsets[item.topic])
                elif isinstance(item, Due):
                    self._fire(work, item)
                elif isinstance(item, EffectAnswered):
                    self._settle(work, item)
                else:
                    self._replay(work, item)
            except NotLoaded:
                if self.commit.decided == 0:
                    raise
                break  # the rest goes into the next batch, which loads it
            self.commit.decided += 1
        for parked in self.commit.parked:
            self._tell_parked(parked)
        self._pack()
        for row in self.rows.values():
            self.progress.sent[row.link] = row.last_link
        self.commit.outbox = list(self.rows.values())
        return self.commit

    def _receive(self, work: Work, d: Delivery) -> None:
        link = f"{d.source} {d.topic}"
        if self._is_new(d, link):
            self._deliver(work, d)
            if d.link:  # only now: a message that is not loaded yet raises, and comes again
                self.progress.received[link] = d.link

    def _should_be_a_repeat(self, d: Delivery, read_up_to: int) -> None:
        """A new message below what was read was ahead of its link when it was read, and comes again from its sender; or
        the log is another one. Either way it waits for its sender, with an alarm."""
        link = f"{d.source} {d.topic}"
        if d.link == self.progress.received.get(link, 0) + 1:
            self.commit.gaps.append(f"{link}: {d.link} stands at {d.offset}, and the log was read up to {read_up_to}")

    def _is_new(self, d: Delivery, link: str) -> bool:
        """Step 1 of DESIGN §5: seen on its link, or ahead of its link, means it is dropped."""
        if not d.link:
            return not (d.id and (d.id in self.answered or d.id in self.shard._known))
        last = self.progress.received.get(link, 0)
        if d.link == last + 1:
            return True
        if d.link > last:
            self.commit.gaps.append(f"{link}: {d.link} came after {last}")
        return False

    def _deliver(self, work: Work, d: Delivery) -> None:
        message = work.message
        if message is None:
            if work.code:
                self._park(d, d.subject, work.code, work.reason)
            return
        subject = message.subject
        if subject in self.blocked:
            self._park(d, subject, "behind", "an earlier message about the same subject is parked")
            return
        context = replace(self.context, actor=d.actor) if d.actor else self.context
        outcome = self._try(message, d, subject, context, d.traceparent)
        if outcome is not None and not d.link and not isinstance(message, Pack):
            self._answer(d, subject, outcome if isinstance(outcome, Refused) else None)

    def _try(self, message: Any, d: Delivery, subject: str, context: Context, trace: bytes = b"") -> Outcome | None:
        """Decides and takes in what was said; on failure parks `d` and answers None."""
        try:
            outcome = self.decider.decide(message, self.look, context)
            if isinstance(outcome, Moved):
                self._take(outcome, trace)
            return outcome
        except NotLoaded:
            raise
        except NoCell as wrong:
            self._park(d, subject, "no_cell", str(wrong))
        except Exception as wrong:  # whatever it is, the message is kept with it and the shard goes on
            self._park(d, subject, "decider_raised", f"{type(wrong).__name__}: {wrong}")
            self.blocked.add(subject)
        return None

    def _fire(self, work: Work, due: Due) -> None:
        """A timer fires unless this very batch has moved or cancelled it."""
        if (due.subject, due.name) in self.commit.timers:
            return
        self.commit.timers[due.subject, due.name] = None
        stand_in = Delivery(
            TIMERS, self.progress.shard, 0, None, None, f"{due.subject}/{due.name}", due.name, self.source, due.subject
        )
        if work.code:
            self._park(stand_in, due.subject, work.code, work.reason)
        elif due.subject in self.blocked:
            self._park(stand_in, due.subject, "behind", "an earlier message about the same subject is parked")
        else:
            try:
                self._try(work.message, stand_in, due.subject, self.context)
            except NotLoaded:
                del self.commit.timers[due.subject, due.name]  # not yet: its row stays until it has fired
                raise

    def _settle(self, work: Work, answered: EffectAnswered) -> None:
        """The answer to an effect closes its row, unless the answer parks: then a replay asks once more."""
        if answered.parked_id is not None:
            self._settle_again(work, answered, answered.parked_id)
            return
        name, subject = type(answered.message).__name__, answered.message.subject
        stand_in = Delivery(EFFECTS, self.progress.shard, 0, None, None, answered.effect_id, name, self.source, subject)
        if work.code:
            self._park(stand_in, subject, work.code, work.reason)
        elif subject in self.blocked:
            self._park(stand_in, subject, "behind", "an earlier message about the same subject is parked")
        elif self._try(work.message, stand_in, subject, self.context) is not None:
            self.commit.effects_closed.append(answered.effect_id)

    def _settle_again(self, work: Work, answered: EffectAnswered, parked_id: int) -> None:
        """What waits behind the answer that is parked waits for this one, too. If it fails, all stays parked."""
        stand_in = Delivery(EFFECTS, self.progress.shard, 0, None, None, answered.effect_id, source=self.source)
        parked_before = len(self.commit.parked)
        if work.message and self._try(work.message, stand_in, work.message.subject, self.context) is not None:
            self.commit.effects_closed.append(answered.effect_id)
            self.commit.replayed.append(parked_id)
        del self.commit.parked[parked_before:]

    def _replay(self, work: Work, replay: Replay) -> None:
        """Decides a parked message again. When it fails again it stays parked, and so do those behind it."""
        d = replay.delivery
        if work.message is None or work.message.subject in self.stuck:
            return
        context = replace(self.context, actor=d.actor)
        parked_before, answers_before = len(self.commit.parked), len(self.commit.answers)
        if self._try(work.message, d, work.message.subject, context, d.traceparent) is not None:
            self.commit.replayed.append(replay.parked_id)
        else:
            self.stuck.add(work.message.subject)
        del self.commit.parked[parked_before:], self.commit.answers[answers_before:]

    # -- what was said ---------------------------------------------------------------------------------------------

    def _take(self, outcome: Moved, trace: bytes) -> None:
        # What can fail (writing a body) comes first, so that a message that fails leaves nothing behind.
        commit = self.commit
        all_said: Sequence[Any] = outcome.said
        said = [(_kinds[type(item)], item) for item in all_said]
        bodies = [item.to_json() for kind, item in said if kind is Message]
        self.states.update(outcome.states)
        self.view.update(outcome.states)
        sent = iter(bodies)
        for kind, item in said:
            if kind is Message:
                self._send(item.TOPIC, item.TYPE, item.key, item.subject, next(sent), trace)
            elif kind is Record:
                kept = commit.records.get(type(item))
                if kept is None:
                    commit.records[type(item)] = [item]
                else:
                    kept.append(item)
            elif kind is SetTimer:
                commit.timers[item.subject, item.name] = item.due_at
            elif kind is CancelTimer:
                commit.timers[item.subject, item.name] = None
            elif kind is Effect:
                commit.effects_opened.append(item)
            elif kind is Entry:
                home = partition_for(item.key, self.shard._shards)
                self.entries.setdefault((item.PACK, home), []).append(item)

    def _pack(self) -> None:
        """What was said in entries, in one message for each shard."""
        for (contract, shard), entries in self.entries.items():
            for first in range(0, len(entries), PACKED_MAX):
                self._put_pack(contract, shard, entries[first : first + PACKED_MAX])

    def _put_pack(self, contract: type[Pack], shard: int, entries: Sequence[Entry]) -> None:
        pack = contract(shard=shard, entries=tuple(entries))
        body, half = pack.to_json(), len(entries) // 2
        if len(body) > PACK_BYTES_MAX and half:
            self._put_pack(contract, shard, entries[:half])
            self._put_pack(contract, shard, entries[half:])
        else:
            self._put(pack.TOPIC, shard, pack.TYPE, pack.key, pack.subject, body, b"")

    def _send(self, topic: str, type_: str, key: str, subject: str, body: bytes, trace: bytes) -> None:
        self._put(topic, partition_for(key, self.shard._shards), type_, key, subject, body, trace)

    def _put(self, topic: str, partition: int, type_: str, key: str, subject: str, body: bytes, trace: bytes) -> None:
        row = self.rows.get((topic, partition))
        if row is None:
            first = self.progress.sent.get(f"{topic}/{partition}", 0) + 1
            row = self.rows[topic, partition] = OutboxRow(
                topic, partition, self.source, self.time, first, first - 1, []
            )
        row.last_link += 1
        about = subject.encode()
        row.payloads.append((about if key == subject else key.encode(), type_, about, body, trace))

    def _answer(self, d: Delivery, subject: str, refused: Refused | None) -> None:
        """Tells the sender: a row for the one who waits, a message for everybody else. Most are accepted, and most
        senders read the row, so of these only who asks gets the message."""
        command_id = d.id or f"{d.topic}/{d.partition}@{d.offset}"
        self.answered.add(command_id)
        said: CommandAccepted | CommandRefused
        if refused is None:
            self.commit.answers.append(Answer(command_id, True, None, subject, d.fingerprint))
            if not d.wants_word:
                return
            said = CommandAccepted(command_id=command_id, command=d.type, subject_id=subject)
        else:
            self.commit.answers.append(Answer(command_id, False, refused.code, subject, d.fingerprint, refused.detail))
            said = CommandRefused(command_id=command_id, command=d.type, subject_id=subject, code=refused.code)
        self._send(answers_of(self.decider.service), said.TYPE, subject, subject, said.to_json(), d.traceparent)

    def _park(self, d: Delivery, subject: str, code: str, reason: str) -> None:
        subject = _kept(subject)[:SUBJECT_MAX]
        self.commit.parked.append(Parked(d, subject, code, _kept(reason)))
        if d.id and not d.link and d.topic == self.shard._commands:
            self.answered.add(d.id)
            self.commit.answers.append(Answer(d.id, False, "parked", subject, d.fingerprint))

    def _tell_parked(self, parked: Parked) -> None:
        """Tells whoever watches what is parked and why; the body stays in the database."""
        d, subject = parked.delivery, parked.subject
        said = MessageParked(
            subject_id=subject,
            code=parked.code,
            reason=parked.reason,
            message_id=_kept(d.id),
            message_type=_kept(d.type),
            topic=d.topic,
            partition=d.partition,
            offset=d.offset,
        )
        self._send(parked_of(self.decider.service), said.TYPE, subject, subject, said.to_json(), d.traceparent)
