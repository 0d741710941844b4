"""Batches are for speed only: how many records one transaction takes must never change what comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from larder.simulation.clock import NOON
from larder.simulation.database import Database
from larder.simulation.owner import Owner, topics_of
from larder.simulation.world import World
from services.order.state import Paper
from shared.contracts.topics import ACTIVITY, SERVICES
from shared.runtime import turn
from shared.runtime.shard import EffectAnswered, Item, Shard

SEEDS = range(1, 11)
CLAIMS = "claims"
SLICES_S = (2, 4, 8, 15, 30, 60, 300, 700, 1_000, 4_000, 180_000, 500_000, 2_000_000)
"""The evening is cut here: within a slice the clock stands still and everything that came is decided, after it timers
fire. So the clock's reading is the same for every batch size, and only the cutting into batches differs."""
Slice = tuple[datetime, list[Item]]


class Evening:
    """What each shard was given to read in one seed's evening: its log, and the answers to its effects."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World(seed)
        self.answers: list[tuple[int, int, EffectAnswered]] = []
        take_answer = Owner._take_answer

        def take(owner: Owner, answered: EffectAnswered) -> None:
            self.answers.append((self.world.clock.now_us, owner.number, answered))
            take_answer(owner, answered)

        monkeypatch.setattr(Owner, "_take_answer", take)
        self.world.run()
        monkeypatch.undo()

    def slices(self, service: str, number: int) -> Iterator[Slice]:
        """A shard's input in the order of its coming, cut into slices."""
        log, came = self.world.log, list[tuple[int, int, Item]]()
        for topic in topics_of(self.world.databases[service]):
            place = (topic, number)
            for delivery, at_us in zip(log.records[place], log.appended_us[place], strict=True):
                came.append((at_us, len(came), delivery))
        if service == "payment":
            came += [(at_us, len(came) + n, a) for n, (at_us, of, a) in enumerate(self.answers) if of == number]
        came.sort(key=lambda item: item[:2])
        begin_us = 0
        for end_s in SLICES_S:
            items = [item for at_us, _, item in came if begin_us <= at_us < end_s * 1_000_000]
            yield NOON + timedelta(seconds=end_s), items
            begin_us = end_s * 1_000_000


def decided(evening: Evening, service: str, number: int, size: int, cache_max: int) -> Database:
    """What a shard makes of its input in batches of that size."""
    original = evening.world.databases[service]
    database = Database(original.decider, original._facts)
    # What accounts claimed is a fact that this very shard writes: as far as it has come, not as the evening ended.
    database.answer_facts(lambda key, now: database.states.get(key) if key[0] == CLAIMS else original._facts(key, now))
    shard = Shard(original.decider, database.claim(number), shards=evening.world.weather.shards, cache_max=cache_max)

    def take(items: list[Item], now: datetime) -> None:
        works = shard.read(items)
        while works:
            batch, works = works[:size], works[size:]
            [commit] = turn.answered(turn.decided([turn.Share(shard, batch)], now), partial(database.answer, now=now))
            database.save(commit)
            shard.committed(commit)
            works = [*batch[commit.decided :], *works]

    for now, items in evening.slices(service, number):
        take(items, now)
        while due := database.due(number, now):
            take(list(due), now)
    return database


def told(database: Database) -> dict[str, Any]:
    """Everything that a database holds, apart from how many transactions it took."""
    (progress,) = database.progress.values()
    links: dict[Any, list[Any]] = {}
    records: list[Any]
    for (number, link), rows in database.outbox.items():
        records = [record for row in rows for record in row.records]
        if link.startswith(ACTIVITY):  # what a batch says is one pack
            records = [entry for _, body, _ in records for entry in msgspec.json.decode(body)["entries"]]
        links[number, link] = records
    sent = {link: last for link, last in progress.sent.items() if not link.startswith(ACTIVITY)}
    return {
        "states": database.states,
        "records": database.records,
        "timers": database.timers,
        "effects": database.effects,
        "answers": database.answers,
        "parked": [(row.delivery, row.subject, row.code, row.reason) for row in database.parked],
        "sent": links,
        "progress": (progress.offsets, progress.received, sent),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_batch_size_never_changes_the_result(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same input, a record at a time, three, or a thousand, and with hardly any cache: the same states, records,
    answers, timers, effects and messages, byte for byte."""
    evening = Evening(seed, monkeypatch)
    for service in SERVICES:
        for number in range(evening.world.weather.shards):
            one_by_one = told(decided(evening, service, number, 1, 60_000))
            for size, cache_max in ((3, 60_000), (1_000, 60_000), (5, 1)):
                other = told(decided(evening, service, number, size, cache_max))
                for table, content in one_by_one.items():
                    assert other[table] == content, f"{service}/{number}: {table}, batches of {size}"


def test_the_comparison_sees_whole_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a shard was given is left out, and what is compared are orders paid, closed and refunded."""
    phases, papers = set(), set()
    for seed in SEEDS:
        evening = Evening(seed, monkeypatch)
        for service in SERVICES:
            for number in range(evening.world.weather.shards):
                items = [item for _, some in evening.slices(service, number) for item in some]
                topics = topics_of(evening.world.databases[service])
                expected = sum(len(evening.world.log.records[topic, number]) for topic in topics)
                assert len([item for item in items if not isinstance(item, EffectAnswered)]) == expected
        for number in range(evening.world.weather.shards):
            database = decided(evening, "order", number, 3, 60_000)
            phases |= {str(order.phase) for key, order in database.states.items() if key[0] == "order"}
            papers |= {paper.kind for paper in database.records.get(Paper, [])}
    assert phases >= {"closed", "cancelled", "rejected"}
    assert papers >= {"document", "payment", "refund", "short", "ticket"}
