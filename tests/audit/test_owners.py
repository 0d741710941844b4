"""Whose decision was it? With more shards than one, answers and timers tell."""

from __future__ import annotations

import pytest

from larder.audit import audit
from larder.audit.tables import DECIDED
from shared.contracts.topics import partition_for
from shared.settings import SERVICES
from tests.audit.controls import NOON, World

pytestmark = pytest.mark.parts
SHARDS = 2
TIMED = {"order": "orders", "risk": "screenings", "logistics": "fulfilments", "aftersales": "windows"}
"""Services with timers in the healthy world, and where their orders stand."""
OWNER = {"orders": "order_id", "screenings": "account", "fulfilments": "store", "windows": "order_id"}


async def found(world: World, shards: int = SHARDS) -> set[str]:
    """Whose decisions the auditor holds to be another shard's."""
    report = await audit(world.settings.model_copy(update={"shards": shards}), 0.0)
    assert {v.rule for v in report.violations} <= {"decided_by_its_shard"}
    assert (report.checked["decided_by_its_shard"] > 0) == (shards > 1)
    return {v.ids[0] for v in report.violations}


async def put_right(world: World) -> None:
    """Everything in the healthy world is decided by the shard that it belongs to."""
    for service, table in TIMED.items():
        owners = f"select t.subject, o.{OWNER[table]} from timers t join {table} o on o.order_id = t.subject"
        for subject, owner in await world.of[service].fetch(owners):
            shard = partition_for(owner, SHARDS)
            await world.of[service].execute("update timers set shard = $2 where subject = $1", subject, shard)
    await world.of["inventory"].execute("update timers set shard = $1", partition_for("s-1", SHARDS))
    for (subject,) in await world.of["order"].fetch("select subject from answers"):
        shard = partition_for(subject, SHARDS)
        await world.of["order"].execute("update answers set shard = $2 where subject = $1", subject, shard)


async def test_every_service_is_asked() -> None:
    """None can be forgotten."""
    assert set(DECIDED) == set(SERVICES)


async def test_each_shard_s_own_is_clean(world: World) -> None:
    """What was decided where it belongs is no violation; and with one shard nobody asks."""
    assert await found(world, shards=1) == set()
    await put_right(world)
    assert await found(world) == set()


async def test_a_timer_of_another_shard_is_named(world: World) -> None:
    """In each service that has timers: whoever set it was not the owner of its order, its store or its account."""
    await put_right(world)
    for service in (*TIMED, "inventory"):
        subject = await world.of[service].fetchval("select subject from timers order by subject limit 1")
        await world.of[service].execute("update timers set shard = 1 - shard where subject = $1", subject)
        assert await found(world) == {subject}
        await world.of[service].execute("update timers set shard = 1 - shard where subject = $1", subject)


@pytest.mark.parametrize(
    ("service", "subject", "owner"),
    [
        ("order", "o-closed", "o-closed"),
        ("inventory", "1", "s-1"),
        ("payment", "o-closed", "o-closed"),
        ("logistics", "o-closed", "s-1"),
        ("aftersales", "o-closed", "o-closed"),
    ],
)
async def test_an_answer_of_another_shard_is_named(world: World, service: str, subject: str, owner: str) -> None:
    """A command that was accepted changed something; one that was refused changed nothing, whoever refused it."""
    await put_right(world)
    home = partition_for(owner, SHARDS)
    await world.add(service, "answers", "c-own", home, NOON, True, None, subject, "", "")
    await world.add(service, "answers", "c-refused", 1 - home, NOON, False, "parked", subject, "", "")
    assert await found(world) == set()
    await world.add(service, "answers", "c-astray", 1 - home, NOON, True, None, subject, "", "")
    assert await found(world) == {subject}
