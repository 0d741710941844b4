"""`kill -9` during a flash sale: no piece is sold twice, none is left, and whoever got none has all their money.

`LARDER_TEST_CHAOS=long` plays the large sale three times, and kills until each is over.
"""

from __future__ import annotations

import pytest

from tests.chaos.conftest import LONG
from tests.chaos.reaper import Mortal, load, nothing_wrong
from tests.system.driver import until

pytestmark = pytest.mark.stack
KILLED = ("order", "inventory", "payment")
PIECES, CROWD, ORDERS, RATE = (500, 10_000, 400, 40) if LONG else (30, 300, 40, 20)
COMES_S = 120.0
"""How long it may take until the crowd is there."""
END_S = 1_200.0 if LONG else 240.0


@pytest.mark.parametrize("seed", [141, 142, 143] if LONG else [141])
async def test_a_flash_sale_is_exact_whoever_dies(stack: Mortal, long: bool, seed: int) -> None:
    """Order, inventory and payment die in turn while the crowd wants its pieces: exactly so many are paid as there were
    pieces, the others are told, and the books are right."""
    deaths = 0
    before = await crowd(stack)
    async with load(stack, ORDERS, RATE, "--flash", PIECES, "--crowd", CROWD, seed=seed) as playing:

        async def there() -> bool:
            return await crowd(stack) > before or stack.is_over

        await until(there, "the crowd", COMES_S)
        while deaths < len(KILLED) or (long and not stack.is_over):
            await stack.kill(KILLED[deaths % len(KILLED)])
            await stack.goes_on(KILLED[deaths % len(KILLED)])
            deaths += 1
        told = await playing.last_line(END_S)
    print(f"{deaths} deaths, {told}")
    assert (told["exact"], told["paid"], told["parked"]) == (True, PIECES, 0)
    assert told["sold_out"] > CROWD / 2
    await nothing_wrong(stack)


async def crowd(stack: Mortal) -> int:
    """How many orders there are of a crowd."""
    return int(await stack.ask_book("order", "select count(*) + 1 from orders where account like 'crowd/%'")) - 1
