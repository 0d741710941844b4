"""A stand for the pure step: a log that numbers records, and what a database would keep, in a few dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from shared.contracts.base import Message
from shared.runtime.commit import Answer, Commit, Parked
from shared.runtime.envelope import Delivery
from shared.runtime.progress import Progress
from shared.runtime.said import Effect, Record
from shared.runtime.shard import BLOCKING, Due, Item, Replay, Shard
from shared.runtime.table import Key
from shared.runtime.turn import AskKnown, Known, Question, Share, answered, decided
from tests.runtime.toy import SCALE, TOY, Jar

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Log:
    """Makes records with the next offset of their topic; links count by themselves."""

    def __init__(self) -> None:
        self._offsets: defaultdict[str, int] = defaultdict(int)
        self._links: defaultdict[str, int] = defaultdict(int)

    def raw(
        self, value: bytes | None, topic: str = "toy.commands", key: bytes | None = b"k", **attributes: Any
    ) -> Delivery:
        """Any bytes with any envelope."""
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        return Delivery(topic, 0, offset, key, value, **{"subject": "", **attributes})

    def asked(self, message: Message, id: str = "", actor: str = "picker:p-1", **more: Any) -> Delivery:
        """A person's command: an id and an actor, no link. The id names the offset unless it is given."""
        id = id or f"c-{self._offsets[message.TOPIC]}"
        return self._of(message, id=id, actor=actor, fingerprint=f"of {id}", **more)

    def asked_for_word(self, message: Message, **more: Any) -> Delivery:
        """The same, by somebody who reads the answers topic."""
        return replace(self.asked(message, **more), wants_word=True)

    def told(self, message: Message, link: int | None = None, source: str = "sky/0") -> Delivery:
        """A service's message, with the next number of its link unless one is given."""
        if link is None:
            link = self._links[f"{source} {message.TOPIC}"] + 1
        self._links[f"{source} {message.TOPIC}"] = link
        return self._of(message, id=f"{source}:{link}", source=source, link=link)

    def again(self, delivery: Delivery) -> Delivery:
        """The same record, sent once more: at another offset."""
        offset = self._offsets[delivery.topic]
        self._offsets[delivery.topic] += 1
        return replace(delivery, offset=offset)

    def _of(self, message: Message, **attributes: Any) -> Delivery:
        key = message.key.encode()
        return self.raw(message.to_json(), message.TOPIC, key, type=message.TYPE, subject=message.subject, **attributes)


class Stand:
    """One shard and its database. `do` is a batch from poll to commit, as the owner of a shard does it."""

    def __init__(self, *, shards: int = 1, number: int = 0, cache_max: int | None = None, scale: int = 5) -> None:
        self.shards, self.cache_max = shards, cache_max
        self.log = Log()
        self.now = NOON
        self.progress = Progress(number, epoch=1)
        self.rows: dict[Key, Any] = {SCALE: scale}
        self.records: list[Record] = []
        self.timers: dict[tuple[str, str], datetime] = {}
        self.effects: dict[str, Effect] = {}
        self.answers: dict[str, Answer] = {}
        self.parked: list[tuple[Parked, str]] = []
        """What is parked, and its state; the id of a row is its place."""
        self.sent: defaultdict[str, list[tuple[int, bytes, bytes, list[tuple[str, bytes]]]]] = defaultdict(list)
        """By link: number, key, body, headers."""
        self.loaded: list[set[Key]] = []
        """What was loaded, load by load."""
        self.claim()

    def claim(self) -> None:
        """Starts anew from what the database knows, as after a restart."""
        blocked = {p.subject for p, state in self.parked if state == "parked" and p.code in BLOCKING}
        self.shard = Shard(TOY, self.progress, shards=self.shards, cache_max=self.cache_max, blocked=blocked)

    # -- a batch ---------------------------------------------------------------------------------------------------

    def decide(self, *items: Item) -> Commit:
        """Up to the commit, and no further."""
        [commit] = answered(decided([Share(self.shard, self.shard.read(items))], self.now), self._answer)
        return commit

    def _answer(self, question: Question) -> Any:
        if isinstance(question, AskKnown):
            return Known([i for i in question.ids if i in self.answers], 0)
        self.loaded.append(question.keys)
        return {key: self.rows.get(key) for key in question.keys}

    def do(self, *items: Item) -> list[Commit]:
        """One batch; what a cut leaves over is a batch of its own, except timers, which the table still has."""
        commits: list[Commit] = []
        ahead: Sequence[Item] = items
        while ahead:
            commit = self.decide(*ahead)
            self._write(commit)
            commits.append(commit)
            ahead = [i for i in ahead[commit.decided :] if not isinstance(i, Due)]
        return commits

    def tell(self, *messages: Message) -> list[Commit]:
        """A batch of services' messages, each next on its link."""
        return self.do(*(self.log.told(m) for m in messages))

    def ask(self, *messages: Message) -> list[Commit]:
        """A batch of people's commands."""
        return self.do(*(self.log.asked(m) for m in messages))

    def wait(self, seconds: float, page: int = 1_000) -> None:
        """Time passes, and everything that is due by then fires, a page at a time."""
        self.now += timedelta(seconds=seconds)
        while due := sorted((at, key) for key, at in self.timers.items() if at <= self.now):
            self.do(*(Due(*key) for _, key in due[:page]))

    def replay(self, place: int) -> Commit:
        """An operator asks for a parked message: those of its subject behind it come along, in order."""
        asked = self.parked[place][0]
        rows = [
            Replay(n, replace(p.delivery, link=0))
            for n, (p, state) in enumerate(self.parked)
            if state == "parked" and (n == place or (n > place and p.subject == asked.subject and p.code in BLOCKING))
        ]
        (commit,) = self.do(*rows)
        self.claim()
        return commit

    def _write(self, commit: Commit) -> None:
        assert (commit.epoch, commit.expected_version) == (self.progress.epoch, self.progress.version)
        self.progress = commit.progress
        self.rows |= commit.states
        self.records += [r for records in commit.records.values() for r in records]
        for key, due_at in commit.timers.items():
            if due_at is None:
                self.timers.pop(key, None)
            else:
                self.timers[key] = due_at
        self.effects |= {e.id: e for e in commit.effects_opened}
        for id_ in commit.effects_closed:
            del self.effects[id_]
        for answer in commit.answers:
            self.answers.setdefault(answer.id, answer)
        self.parked += [(p, "parked") for p in commit.parked]
        for n in commit.replayed:
            self.parked[n] = (self.parked[n][0], "replayed")
        for row in commit.outbox:
            assert row.first_link == len(self.sent[row.link]) + 1
            assert row.last_link == row.first_link + len(row.records) - 1
            self.sent[row.link] += [(row.first_link + n, *wire) for n, wire in enumerate(row.records)]
        self.shard.committed(commit)

    # -- what there is ---------------------------------------------------------------------------------------------

    def pieces(self, name: str) -> int:
        """How many pieces are in a jar."""
        jar = self.rows.get(("jar", name)) or Jar(name)
        return jar.pieces

    def parked_as(self) -> list[tuple[str, str]]:
        """Subject and code of everything that is parked now."""
        return [(p.subject, p.code) for p, state in self.parked if state == "parked"]

    def types_sent(self, link: str = "toy.events/0") -> list[str]:
        """The types of the messages on a link."""
        return [dict(headers)["ce_type"].decode() for *_, headers in self.sent[link]]

    def outcome(self) -> dict[str, Any]:
        """All that is written, the version apart: what must not depend on how the items were cut into batches."""
        by_type: Callable[[Iterable[Any]], list[str]] = lambda rows: [repr(r) for r in rows]  # noqa: E731
        return {
            "rows": self.rows,
            "records": by_type(self.records),
            "timers": self.timers,
            "effects": self.effects,
            "answers": self.answers,
            "parked": [(p.subject, p.code, p.reason, p.delivery) for p, _ in self.parked],
            "sent": dict(self.sent),
            "offsets": self.progress.offsets,
            "received": self.progress.received,
            "links": self.progress.sent,
        }
