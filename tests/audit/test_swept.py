"""Books that were swept add up as before: what does not stay for ever is nothing that the audit goes by."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.aftersales.store import SWEEPS as AFTERSALES
from services.logistics.store import SWEEPS as LOGISTICS
from services.order.store import SWEEPS as ORDER
from services.risk.store import SWEEPS as RISK
from shared.runtime.sweep import Sweeper
from shared.settings import Settings
from tests.audit.controls import NOON, World

pytestmark = pytest.mark.parts

SWEEPS = {"order": ORDER, "logistics": LOGISTICS, "aftersales": AFTERSALES, "risk": RISK}


async def swept(world: World) -> None:
    """All that can go is gone."""
    settings = Settings(token_secret="only for tests" * 3, personal_data_s=1, timeline_s=1, parked_s=1)
    for name, sweeps in SWEEPS.items():
        await Sweeper(world.of[name], sweeps, settings).sweep(NOON + timedelta(days=1))


async def test_a_swept_world_has_no_violation(world: World) -> None:
    """Whatever went, of every way that an order can end; what is open is untouched."""
    before = await world.audit()
    await swept(world)
    after = await world.audit()
    assert after.violations == []
    assert after.in_flight.orders == before.in_flight.orders
    by_timeline = {"life_in_order", "one_end", "slot_is_kept", "never_early", "short_is_our_fault", "ticket_for_each"}
    assert {rule for rule in before.checked if after.checked[rule] != before.checked[rule]} <= by_timeline
    counts = "select count(*) filter (where ended), count(*) from orders join timeline using (order_id)"
    (row,) = await world.of["order"].fetch(counts)
    assert (row[0], row[1] > 0) == (0, True)


async def test_a_timeline_that_nobody_swept_is_missed(world: World) -> None:
    """Of an order that is open, whatever its age; and of one that is over, as long as the sweep has not come there."""
    await world.break_("order", "delete from timeline where order_id = 'o-closed'")
    assert {v.rule for v in (await world.audit()).violations} == {"timeline_is_phase"}
    await swept(world)
    assert (await world.audit()).violations == []
    await world.break_("order", "delete from timeline where order_id = 'o-picking'")
    assert {v.rule for v in (await world.audit()).violations} == {"timeline_is_phase"}
