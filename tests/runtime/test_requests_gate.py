"""What operators asked for is served by the shard's owner only: a zombie that finds a request leaves it to him."""

from __future__ import annotations

import pytest

from shared.runtime.database import GateShut
from tests.runtime.ground import Ground
from tests.runtime.toy import Vanish

pytestmark = pytest.mark.parts


async def test_zombie_settles_no_request(ground: Ground) -> None:
    """It finds the request, and the gate is shut: the request stays, and the new owner serves it."""
    zombie = await ground.worker()
    await zombie.tell(Vanish(jar="a"))
    owner = await ground.worker()
    await ground.connection.execute("insert into parked_requests (parked_id, shard, action) values (1, 0, 'drop')")
    assert [row.id for row in await zombie.database.parked_requests(0)] == [1]
    with pytest.raises(GateShut):
        await zombie.database.settle_requests(0, [1], [1], [])
    assert await ground.rows("select state from parked") == [("parked",)]
    assert [row.id for row in await owner.database.parked_requests(0)] == [1]
    await owner.database.settle_requests(0, [1], [1], [])
    assert await ground.rows("select state from parked") == [("dropped",)]
    assert await owner.database.parked_requests(0) == []
