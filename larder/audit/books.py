"""The six databases and the gateway's book, each open in a read-only snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from larder.stack.errors import StackError
from larder.stack.migrate import UNREACHABLE
from shared.settings import DATABASES, Settings

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic in its stubs only

SESSION = {
    "application_name": "larder audit",
    "default_transaction_read_only": "on",
    "work_mem": "64MB",  # grouping some hundred thousand orders should not go through temporary files
    "jit": "off",
}
CONNECT_S = 10


class CannotLook(StackError):
    """The audit could not read what it has to judge: there is no verdict, neither good nor bad."""


class Books:
    """A connection to every database. Outside of `snapshot` nothing is read."""

    def __init__(self, connections: dict[str, Connection]) -> None:
        self._connections = connections

    def __getitem__(self, database: str) -> Connection:
        return self._connections[database]

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """From here on every database shows what it held at its first query, and nothing later."""
        async with AsyncExitStack() as ending:
            for connection in self._connections.values():
                await ending.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
            yield


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Books]:
    """Connects to all databases. Raises CannotLook, naming the database, also for what fails while they are read."""
    connections: dict[str, Connection] = {}
    try:
        for name in DATABASES:
            connections[name] = await _connect(settings.dsn(name), name)
        yield Books(connections)
    except asyncpg.UndefinedTableError as error:
        raise CannotLook(f"a table is missing ({error}): `larder migrate` makes the tables") from None
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InterfaceError,
        OSError,
    ) as error:
        raise CannotLook(f"a database went away while it was read ({error or type(error).__name__})") from None
    finally:
        for connection in connections.values():
            connection.terminate()  # they wrote nothing, and a server that hangs must not hang the audit


async def _connect(dsn: str, name: str) -> Connection:
    try:
        async with asyncio.timeout(CONNECT_S):
            return await asyncpg.connect(dsn, server_settings=SESSION)
    except UNREACHABLE as error:
        raise CannotLook(f"the database {name} does not answer: {error or type(error).__name__}") from None
