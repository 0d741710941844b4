"""What one batch comes to: everything that its one transaction writes, and what is published after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import Struct

from shared.runtime.envelope import Delivery, Payload, Wire, wires
from shared.runtime.progress import Progress
from shared.runtime.said import Effect, Record
from shared.runtime.table import Key


class OutboxRow(Struct):
    """The messages of one batch to one partition, on the link from `first_link` to `last_link`.

    What is the same in all of their envelopes stands here once: `source`, and `time`, the moment of the batch (ISO
    8601). The headers are made when a message is sent, so that they are neither kept in memory nor in the database.
    """

    topic: str
    partition: int
    source: str
    time: str
    first_link: int
    last_link: int
    payloads: list[Payload]

    def wires(self) -> Iterator[Wire]:
        """The records to be sent, in order."""
        return wires(self.source, self.topic, self.partition, self.time, self.first_link, self.payloads)

    @property
    def records(self) -> list[Wire]:
        """All of them."""
        return list(self.wires())

    @property
    def link(self) -> str:
        """The link's name in the progress row."""
        return f"{self.topic}/{self.partition}"


class Answer(Struct, frozen=True, gc=False):
    """The answer to a person's command."""

    id: str
    accepted: bool
    code: str | None
    subject: str
    fingerprint: str
    detail: str = ""


class Parked(Struct, frozen=True):
    """A message that nobody could handle.

    `code`: malformed, unknown_type, wrong_key, wrong_partition, no_cell, decider_raised, behind, unwritable.
    """

    delivery: Delivery
    subject: str
    code: str
    reason: str


@dataclass(slots=True)
class Commit:
    """One transaction. `epoch` and `expected_version` are its gate; `progress` is the row as it will be.

    `records` are append-only rows by their type; a timer that is None is to be cancelled; `decided` counts the works
    of the batch that are in here (a batch may be cut short when a state turns out not to be loaded).
    """

    progress: Progress
    epoch: int
    expected_version: int
    at: datetime
    decided: int = 0
    states: dict[Key, Any] = field(default_factory=dict)
    records: dict[type[Record], list[Any]] = field(default_factory=dict)
    timers: dict[tuple[str, str], datetime | None] = field(default_factory=dict)
    effects_opened: list[Effect] = field(default_factory=list)
    effects_closed: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    replayed: list[int] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing but offsets moved."""
        return not (
            self.states
            or self.records
            or self.timers
            or self.effects_opened
            or self.effects_closed
            or self.answers
            or self.parked
            or self.replayed
            or self.outbox
        )


def together(commits: Sequence[Commit]) -> Commit:
    """What several shards' commits mean for the tables of their service, as one: each aggregate is one shard's."""
    first = commits[0]
    if len(commits) == 1:
        return first
    whole = Commit(first.progress, first.epoch, first.expected_version, first.at)
    for commit in commits:
        whole.states.update(commit.states)
        for kind, records in commit.records.items():
            whole.records.setdefault(kind, []).extend(records)
    return whole
