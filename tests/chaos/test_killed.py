"""`kill -9` under load, of everything: the load ends by itself and the books are right."""

from __future__ import annotations

import pytest

from shared.settings import SERVICES
from tests.chaos.reaper import Mortal, load, nothing_wrong

pytestmark = pytest.mark.stack
PARTS = ("postgres", "kafka")


async def test_everything_may_be_killed_under_load(stack: Mortal, long: bool) -> None:
    """Each service, the database and the broker die in turn while orders are placed; none is lost, none is doubled."""
    orders, rate, rounds = (6_000, 60, 3) if long else (900, 60, 1)
    async with load(stack, orders, rate) as playing:
        await stack.goes_on("order")
        for _ in range(rounds):
            for name in (*SERVICES, *PARTS):
                await stack.kill(name)
                await stack.goes_on("order", 1 if name in SERVICES else 3)
        await playing.ended_well()
    await nothing_wrong(stack)
