"""One turn for all shards of a worker, on real PostgreSQL: one look, one statement, a gate for each shard in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.contracts.topics import partition_for
from shared.runtime import owner as module
from shared.runtime.database import GateShut
from shared.runtime.owner import Owner, fire_due, take_turn
from shared.runtime.shard import Item
from shared.runtime.turn import AskStates, Share, answered, decided
from tests.runtime.ground import Ground, parked
from tests.runtime.stand import Log
from tests.runtime.toy import PointAt, PourOver, Put, Rained, SetLid, Shake

pytestmark = pytest.mark.parts
SHARDS = (0, 1, 2)


LOGS = {n: Log() for n in SHARDS}


async def _ground_of(ground: Ground) -> tuple[list[Owner], dict[int, list[str]]]:
    """Owners of three shards, each with a partition of the log, and jars that live in each of them."""
    LOGS.update({n: Log() for n in SHARDS})
    jars: dict[int, list[str]] = {n: [] for n in SHARDS}
    for n in range(200):
        jars[partition_for(f"j-{n}", len(SHARDS))].append(f"j-{n}")
    return await ground.owners(SHARDS), jars


def _counted(monkeypatch: pytest.MonkeyPatch, owner: Owner) -> list[str]:
    """The statements that go to the database, by their first word."""
    sent: list[str] = []
    connection = owner.database.connection

    class Counting:
        def __getattr__(self, name: str) -> Any:
            found = getattr(connection, name)
            if name not in ("fetch", "fetchrow", "fetchval", "execute"):
                return found

            async def run(sql: str, *arguments: Any) -> Any:
                sent.append(sql.split()[0])
                return await found(sql, *arguments)

            return run

    monkeypatch.setattr(owner.database, "connection", Counting())
    return sent


async def test_three_shards_take_one_look_and_one_statement(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many round trips as one shard takes."""
    owners, jars = await _ground_of(ground)
    sent = _counted(monkeypatch, owners[0])
    await take_turn({o: [LOGS[n].told(Rained(jar=jar)) for jar in jars[n][:4]] for n, o in enumerate(owners)})
    assert sent == ["select", "with"]
    assert [[await ground.pieces(jar) for jar in jars[n][:4]] for n in SHARDS] == [[1] * 4] * 3
    assert await ground.rows("select shard, version from progress order by shard") == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("lost", SHARDS)
async def test_one_shut_gate_writes_nothing_of_any_shard(ground: Ground, lost: int) -> None:
    """All or none: a worker that lost one of its shards is out of date, and has to go."""
    owners, jars = await _ground_of(ground)
    await ground.owners([lost])  # somebody else claims it
    before = await ground.counts()
    items: dict[Owner, list[Item]] = {
        owner: [LOGS[n].told(Rained(jar=jars[n][0])), LOGS[n].asked(Put(jar=jars[n][1], pieces=2), f"c-{n}")]
        for n, owner in enumerate(owners)
    }
    with pytest.raises(GateShut):
        await take_turn(items)
    assert await ground.counts() == before
    assert await ground.rows("select max(version) from progress") == [(0,)]
    assert owners[0].publisher.waiting == 0


async def test_what_cannot_be_kept_of_one_shard_parks_there_and_the_others_go_on(ground: Ground) -> None:
    """Each shard is tried alone, then the one in halves."""
    owners, jars = await _ground_of(ground)
    items: dict[Owner, list[Item]] = {
        owner: [LOGS[n].told(Rained(jar=jar)) for jar in jars[n][:3]] for n, owner in enumerate(owners)
    }
    items[owners[1]].insert(1, LOGS[1].told(Shake(jar=jars[1][5])))
    await take_turn(items)
    while busy := [owner for owner in owners if owner.has_work]:
        await take_turn(dict.fromkeys(busy, ()))
    assert await parked(ground) == [(jars[1][5], "unwritable")]
    assert [[await ground.pieces(jar) for jar in jars[n][:3]] for n in SHARDS] == [[1] * 3] * 3


async def test_a_shard_that_has_to_look_again_holds_up_no_other_commit(ground: Ground) -> None:
    """One shard's first message looks at what it did not name: a second look is taken, by that shard alone."""
    owners, jars = await _ground_of(ground)
    a, b = jars[1][:2]
    await take_turn({owners[1]: [LOGS[1].told(Put(jar=a, pieces=5)), LOGS[1].told(PointAt(jar=a, other=b))]})
    owners[1].shard._cache.clear()
    asked: list[set[Any]] = []
    shares = [
        Share(owner.shard, owner.shard.read([ground.log.told(message)]))
        for owner, message in zip(
            owners, (Rained(jar=jars[0][0]), PourOver(jar=a), Rained(jar=jars[2][0])), strict=True
        )
    ]
    now = datetime.now(UTC)
    turn = decided(shares, now)
    question = next(turn)
    while True:
        assert isinstance(question, AskStates)
        asked.append(question.keys)
        try:
            question = turn.send(await owners[0].database.answer(question, now))
        except StopIteration as end:
            commits = end.value
            break
    assert [len(keys) for keys in asked] == [3, 1]
    assert asked[1] == {("jar", b)}
    assert [commit.progress.shard for commit in commits] == [0, 1, 2]


async def test_timers_of_several_shards_fire_in_one_turn(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look for what is due, one commit, one look for what is due next."""
    owners, jars = await _ground_of(ground)
    await take_turn({o: [LOGS[n].told(SetLid(jar=jars[n][0], seconds=0))] for n, o in enumerate(owners)})
    sent = _counted(monkeypatch, owners[0])
    soon = datetime.now(UTC) + timedelta(seconds=5)
    await fire_due(dict.fromkeys(owners, soon))
    assert sent.count("with") == 1
    assert len(sent) <= 4
    assert await ground.rows("select version from progress") == [(2,), (2,), (2,)]


def test_answers_that_are_there_at_once_drive_a_turn_to_its_end() -> None:
    """As the simulation does it: without a turn's question, there is nothing to be told."""
    assert answered(decided([], datetime.now(UTC)), lambda question: None) == []


async def test_what_is_passed_over_waits_for_a_commit_that_is_worth_it(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone it writes nothing, and is written with the next message; after a moment, with none."""
    [owner] = await ground.owners([0])
    log = ground.log
    for _ in range(3):
        assert await take_turn({owner: [log.raw(b"{}", "sky.events", type="Thundered", subject="a")]}, hold=True) == 0
    assert (owner.has_work, await ground.rows("select version from progress")) == (False, [(0,)])
    assert (owner.next_offset("sky.events"), owner.next_offset("toy.commands")) == (3, None)
    assert await take_turn({owner: [log.told(Rained(jar="a"))]}, hold=True) == 4
    assert owner.shard.progress.offsets == {"sky.events": 4}
    await take_turn({owner: [log.raw(b"{}", "sky.events", type="Thundered", subject="a")]}, hold=True)
    monkeypatch.setattr(module, "HELD_S", -1)
    assert owner.has_work
    await take_turn({owner: []}, hold=True)
    assert await ground.rows("select version, offsets from progress") == [(2, '{"sky.events":5}')]


async def test_what_must_be_decided_is_not_held(ground: Ground) -> None:
    """A message that cannot be read is parked at once."""
    [owner] = await ground.owners([0])
    await take_turn({owner: [ground.log.raw(b"{", "toy.commands", type="Put", subject="a")]}, hold=True)
    assert [code for _, code in await parked(ground)] == ["malformed"]
