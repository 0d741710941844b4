"""A dear look is shared by all who ask."""

from __future__ import annotations

import asyncio

import pytest

from shared.http.lately import Lately

BEAT_S = 0.05


class Looks:
    """A look that answers how many there were; `fails` says which one raises."""

    def __init__(self, fails: int = 0) -> None:
        self.count = 0
        self.fails = fails
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> int:
        self.count += 1
        number = self.count
        await self.open.wait()
        if number == self.fails:
            raise ConnectionRefusedError("away")
        return number


async def test_many_who_ask_share_one_look() -> None:
    """Those who come while it lasts, and those who come within the beat; then there is another."""
    look = Looks()
    lately = Lately(look, BEAT_S)
    assert await asyncio.gather(*(lately() for _ in range(100))) == [1] * 100
    assert await lately() == 1
    await asyncio.sleep(BEAT_S)
    assert await asyncio.gather(*(lately() for _ in range(100))) == [2] * 100
    assert look.count == 2


async def test_a_look_that_takes_longer_than_the_beat_is_the_only_one() -> None:
    """Nobody begins another beside it."""
    look = Looks()
    lately = Lately(look, 0)
    look.open.clear()
    first = asyncio.create_task(lately())
    await asyncio.sleep(BEAT_S)
    second = asyncio.create_task(lately())
    await asyncio.sleep(0)
    look.open.set()
    assert (await first, await second) == (1, 1)


async def test_a_look_that_fails_is_told_to_all_and_tried_again_on_the_beat() -> None:
    """A database that is away is asked no more often than one that answers."""
    look = Looks(fails=1)
    lately = Lately(look, BEAT_S)
    told = await asyncio.gather(*(lately() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [ConnectionRefusedError] * 3
    with pytest.raises(ConnectionRefusedError):
        await lately()
    await asyncio.sleep(BEAT_S)
    assert await lately() == 2


async def test_who_goes_takes_the_look_from_nobody() -> None:
    """The one that began it is gone; the other gets what was found."""
    look = Looks()
    lately = Lately(look, BEAT_S)
    look.open.clear()
    first, second = asyncio.create_task(lately()), asyncio.create_task(lately())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    look.open.set()
    assert await second == 1
