"""Seven databases of our own with all tables, and a healthy world in them for every test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from larder.stack.migrate import migrate
from shared.settings import DATABASES, Settings
from tests.audit.controls import World
from tests.parts import RealParts


@pytest.fixture(scope="session")
async def books(parts: RealParts, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that name seven empty databases with their tables."""
    dsn = await parts.fresh_database()
    connection = await asyncpg.connect(dsn)
    for name in DATABASES:
        await connection.execute(f'create database "{dsn.rpartition("/")[2]}_{name}"')
    await connection.close()
    home: Path = tmp_path_factory.mktemp("audit")
    settings = parts.settings(home, database=f"{dsn}_{{service}}")
    await migrate(settings, lambda line: None)
    return settings


@pytest.fixture
async def world(books: Settings) -> AsyncIterator[World]:
    """A healthy world, written anew."""
    async with AsyncExitStack() as ending:
        connections = {}
        for name in DATABASES:
            connections[name] = await asyncpg.connect(books.dsn(name), server_settings={"synchronous_commit": "off"})
            ending.push_async_callback(connections[name].close)
        world = World(books, connections)
        await world.write()
        yield world
