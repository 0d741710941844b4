"""One service's database in memory: aggregates by key, the runtime's tables, and the gate of epoch and version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from shared.runtime.commit import Answer, Commit, OutboxRow
from shared.runtime.decider import Decider
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.said import Effect
from shared.runtime.shard import BLOCKING, Due
from shared.runtime.table import Key
from shared.runtime.turn import AskKnown, Known, Question

Facts = Callable[[Key, datetime], Any]
"""What people have written straight into the tables, as it is now."""


def nobody_listens(shard: int) -> None:
    """Where requests go before the evening begins and after it ended."""


class GateShut(Exception):
    """Somebody else owns the shard."""


@dataclass(slots=True)
class ParkedRow:
    """A row of the table `parked`; its id is its place in the table, from 1."""

    id: int
    shard: int
    at: datetime
    delivery: Delivery
    subject: str
    code: str
    reason: str
    state: str = "parked"


class Database:
    """What `shared.runtime.database` and the services' stores keep in PostgreSQL, with the same rules."""

    def __init__(self, decider: Decider, facts: Facts, master_data: Callable[[], int] = int) -> None:
        self.decider = decider
        self.progress: dict[int, Progress] = {}
        self.states: dict[Key, Any] = {}
        self.writers: dict[Key, set[int]] = {}
        """Which shards have ever written a state."""
        self.records: dict[type, list[Any]] = {}
        self.timers: dict[tuple[str, str], tuple[int, datetime]] = {}
        self.effects: dict[str, tuple[int, Effect]] = {}
        self.answers: dict[str, tuple[Answer, datetime]] = {}
        self.parked: list[ParkedRow] = []
        self.outbox: dict[tuple[int, str], list[OutboxRow]] = {}
        self.requests: dict[int, str] = {}
        self.ring: Callable[[int], None] = nobody_listens
        """Tells a shard's owners that an operator asked for something."""
        self._facts = facts
        self._fact_kinds = decider.facts
        self.master_data = master_data
        """How often what people write has changed."""
        self.listed: dict[type, Callable[[Any], None]] = {}
        """Records that go where people write, too."""

    def answer_facts(self, facts: Facts) -> None:
        """Facts that are made of what this very database holds."""
        self._facts = facts

    def claim(self, shard: int) -> Progress:
        """Bumps the epoch: whoever had the shard before writes nothing any more."""
        before = self.progress.get(shard) or Progress(shard)
        self.progress[shard] = claimed = replace(before, epoch=before.epoch + 1)
        return claimed

    def is_open(self, commit: Commit) -> bool:
        """The gate: `where epoch = mine and version = expected`."""
        now = self.progress[commit.progress.shard]
        return now.epoch == commit.epoch and now.version == commit.expected_version

    def save(self, commit: Commit) -> None:
        """Writes a batch as one; raises GateShut and writes nothing when the gate is shut."""
        if not self.is_open(commit):
            raise GateShut(f"{self.decider.service}/{commit.progress.shard}")
        shard = commit.progress.shard
        self.progress[shard] = commit.progress
        self.states.update(commit.states)
        for key in commit.states:
            self.writers.setdefault(key, set()).add(shard)
        for kind, records in commit.records.items():
            self.records.setdefault(kind, []).extend(records)
            if put := self.listed.get(kind):
                for record in records:
                    put(record)
        for timer, due in commit.timers.items():
            if due is None:
                self.timers.pop(timer, None)
            else:
                self.timers[timer] = (shard, due)
        for effect in commit.effects_opened:
            self.effects.setdefault(effect.id, (shard, effect))
        for effect_id in commit.effects_closed:
            self.effects.pop(effect_id, None)
        for answer in commit.answers:
            self.answers.setdefault(answer.id, (answer, commit.at))
        for row in commit.outbox:
            self.outbox.setdefault((shard, row.link), []).append(row)
        for p in commit.parked:
            self.parked.append(
                ParkedRow(len(self.parked) + 1, shard, commit.at, p.delivery, p.subject, p.code, p.reason)
            )
        for parked_id in commit.replayed:
            self.parked[parked_id - 1].state = "replayed"

    def answer(self, question: Question, now: datetime) -> Any:
        """What a turn asks."""
        if isinstance(question, AskKnown):
            return Known(self.known(question.ids), self.master_data())
        return self.load(sorted(question.keys), now)

    def load(self, keys: Iterable[Key], now: datetime) -> dict[Key, Any]:
        """The states of these keys, and the facts as they are now."""
        states, kinds = self.states, self._fact_kinds
        return {key: self._facts(key, now) if key[0] in kinds else states.get(key) for key in keys}

    def known(self, ids: Iterable[str]) -> list[str]:
        """Which of these ids have their answer."""
        answers = self.answers
        return [i for i in ids if i in answers]

    def blocked(self, shard: int) -> set[str]:
        """Subjects with a parked message that holds back later ones."""
        return {p.subject for p in self.parked if p.shard == shard and p.state == "parked" and p.code in BLOCKING}

    def next_due(self, shard: int) -> datetime | None:
        """When the first timer of the shard is due."""
        return min((due for owner, due in self.timers.values() if owner == shard), default=None)

    def due(self, shard: int, before: datetime) -> list[Due]:
        """The timers whose time has come, first due first."""
        found = [(due, timer) for timer, (owner, due) in self.timers.items() if owner == shard and due <= before]
        return [Due(subject, name) for _, (subject, name) in sorted(found)]

    def open_effects(self, shard: int) -> list[Effect]:
        """Calls that nobody has decided the answer of."""
        return [effect for _, (owner, effect) in sorted(self.effects.items()) if owner == shard]

    def unsent(self, shard: int) -> list[OutboxRow]:
        """Outbox rows that the broker has not acknowledged, each link in order."""
        acked = self.progress[shard].acked
        return [
            row
            for (owner, link), rows in self.outbox.items()
            if owner == shard
            for row in rows
            if row.last_link > acked.get(link, 0)
        ]

    # -- what operators ask for ------------------------------------------------------------------------------------

    def requested(self, shard: int) -> list[tuple[ParkedRow, str]]:
        """Rows to replay or drop; a replay takes the later messages of its subject along, in order."""
        found: dict[int, str] = {}
        for asked_id, action in self.requests.items():
            asked = self.parked[asked_id - 1]
            if asked.shard != shard:
                continue
            if asked.state != "parked":
                found[asked_id] = "settled"
            for row in self.parked:
                taken_along = (
                    action == "replay"
                    and row.id > asked_id
                    and row.subject == asked.subject
                    and {row.code, asked.code} <= BLOCKING
                )
                if row.shard == shard and row.state == "parked" and (row.id == asked_id or taken_along):
                    # One that is dropped may wait behind one that is replayed: then it is not taken along.
                    found[row.id] = "drop" if "drop" in (action, found.get(row.id)) else action
        return [(self.parked[row_id - 1], action) for row_id, action in sorted(found.items())]

    def is_epoch(self, shard: int, epoch: int) -> bool:
        """The other gate, for what is written without a batch: `where epoch = mine`."""
        return self.progress[shard].epoch == epoch

    def settle(
        self, shard: int, epoch: int, settled: Iterable[int], dropped: Iterable[int], replayed: Iterable[int]
    ) -> None:
        """The requests are done with; raises GateShut when it is somebody else who has to serve them."""
        if not self.is_epoch(shard, epoch):
            raise GateShut(f"{self.decider.service}/{shard}")
        for number in settled:
            self.requests.pop(number, None)
        for number in dropped:
            self.parked[number - 1].state = "dropped"
        for number in replayed:
            self.parked[number - 1].state = "replayed"
