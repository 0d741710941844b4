"""The ground that the runtime's tests on real PostgreSQL stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.parts import RealParts
from tests.runtime.ground import Ground


@pytest.fixture(scope="session")
async def prepared(parts: RealParts) -> AsyncIterator[Ground]:
    """A database with the tables."""
    ground = await Ground.prepare(await parts.fresh_database())
    yield ground
    await ground.connection.close()


@pytest.fixture
async def ground(prepared: Ground) -> AsyncIterator[Ground]:
    """The same, empty."""
    yield prepared
    await prepared.clear()
