"""What a batch decided is what stands in the tables, whichever of the narrow and the wide writes wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import islice

import pytest

from larder.load.baskets import read_baskets
from larder.load.mix import Tail
from larder.load.play import Play
from larder.load.sample import BASKETS
from larder.stack.migrate import migrate_database
from shared.contracts.topics import SERVICES
from shared.runtime.commit import Commit
from shared.runtime.decider import Windows
from tests.house import House, Service
from tests.parts import RealParts
from tests.services.inside import as_kept

WINDOWS = Windows(payment_window_s=2, after_sales_window_s=1, review_window_s=1, shortage_window_s=1, return_window_s=2)
TAILS = [tail for tail in Tail if tail is not Tail.LATE]
"""Money that comes late comes by webhook, and here is nobody to hear it."""


seen: Counter[str] = Counter()
"""States that were compared, by their kind."""


class Checked(Service):
    """Looks, after each batch, whether the tables say what the batch decided."""

    async def save(self, commits: Sequence[Commit]) -> None:
        """Compares each state."""
        await super().save(commits)
        states = {key: as_kept(state) for commit in commits for key, state in commit.states.items()}
        found = await self.database.load(states, commits[0].at)
        for key, state in states.items():
            assert found[key] == state, (self.name, key)
            seen[key[0]] += 1


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_is_decided_is_what_is_written(parts: RealParts, shards: int) -> None:
    """Orders that end in every way there is, several steps of some in one batch: after each batch, what is loaded is
    what was decided. The commits of several shards are written as one."""
    dsns = {name: await parts.fresh_database() for name in SERVICES}
    for name, dsn in dsns.items():
        await migrate_database(dsn, name, lambda line: None)
    async with AsyncExitStack() as ending:
        play = ending.enter_context(Play.of(islice(read_baskets(BASKETS), 80), 80))
        house = House(Checked, WINDOWS, shards)
        await house.begin(dsns, ending)
        await house.stock(play, 2)
        await house.play(play.endless(), 2 * len(TAILS), 10, lambda n: TAILS[n % len(TAILS)])
    assert not house.robots.refused.keys() & {"PlaceOrder: store_unknown"}
    assert {"order", "cell", "hold", "screening", "payment", "fulfilment", "pick_list", "window"} <= seen.keys()
