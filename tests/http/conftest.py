"""Every test gets a shop of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.http.shop import Shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A small service on top of shared.http."""
    async with Shop() as opened:
        yield opened
