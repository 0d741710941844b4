"""Databases go with one broker's log: at the start of a stack those that go with another log are refused.

For a broker that forgets they are emptied, but only those that were made with such a broker, or hold nothing.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TypeAlias

import asyncpg

from larder.stack.brokers import BETTER, IN_MEMORY, where_its_log_is
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.migrate import connect, schema_files
from shared.runtime.broker import WrongBroker, check_same_cluster
from shared.settings import DATABASES, Settings

LOCK_PATIENCE_S = 20
"""How long emptying waits for whoever still writes there."""

_CLUSTERS = "select distinct cluster_id from progress"
_MADE = re.compile(r"^create table (\w+)", re.MULTILINE)
_DROPPED = re.compile(r"^drop table (\w+)", re.MULTILINE)
_FILLED = re.compile(r"^insert into (\w+) .*values", re.MULTILINE)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def tables(database: str) -> set[str]:
    """The tables of a database that its schema files make and leave empty: what is in them came with use."""
    text = "\n".join(file.text() for file in schema_files(database))
    return set(_MADE.findall(text)) - set(_DROPPED.findall(text)) - set(_FILLED.findall(text))


def check_goes_with(home: Home, database: str, known: str, cluster: str) -> None:
    """A StackError with what to do, if a database that goes with the cluster `known` meets another one."""
    try:
        check_same_cluster(known, cluster)
    except WrongBroker as error:
        where = where_its_log_is(home, known)
        raise StackError(f"database {database}: {error}" + (f". {where}" if where else "")) from None


async def check_all_go_with(home: Home, settings: Settings, cluster: str) -> None:
    """A StackError if a database goes with another cluster than this one."""
    for database in DATABASES:
        connection = await connect(settings.dsn(database), database)
        try:
            for known in await _clusters(connection):
                check_goes_with(home, database, known, cluster)
        finally:
            await connection.close()


async def forget(home: Home, settings: Settings) -> None:
    """Empties the databases for a broker that has forgotten what belonged to them.

    Looks and empties under the same locks, in one transaction a database: a StackError, and nothing is changed, if any
    of them holds something and not all of them were made with a broker that forgets.
    """
    async with AsyncExitStack() as ending:
        ours: dict[str, tuple[Connection, list[str]]] = {}
        clusters: set[str] = set()
        held: list[str] = []
        for database in DATABASES:
            connection = await connect(settings.dsn(database), database)
            ending.push_async_callback(connection.close)
            # They end in the other order: the gateway's book before those whose progress says what it was made with.
            await ending.enter_async_context(connection.transaction())
            there = await _locked(connection, database)
            ours[database] = (connection, there)
            clusters |= await _clusters(connection)
            held += [f"{database}: {', '.join(found)}"] if (found := await _holding(connection, there)) else []
        if held and not (clusters and all(cluster.startswith(IN_MEMORY) for cluster in clusters)):
            where = sorted({where_its_log_is(home, cluster) for cluster in clusters} - {""})
            raise StackError(
                "the only broker to be had here is one in memory, which forgets, and these databases hold what goes "
                f"with a broker that does not ({'; '.join(held)}). Nothing was changed. {' '.join(where)}\n"
                f"To go on with that broker:\n{BETTER}\n"
                "For a look around, choose another LARDER_HOME (and no LARDER_DATABASE)"
            )
        for connection, there in ours.values():
            if there:
                await connection.execute(f"truncate {', '.join(there)} restart identity")


async def _locked(connection: Connection, database: str) -> list[str]:
    """The database's tables, which nobody else writes to or reads from now."""
    named = [row["name"] for row in await connection.fetch(_THERE, sorted(tables(database)))]
    if named:
        await connection.execute(f"set local lock_timeout = '{LOCK_PATIENCE_S}s'")
        try:
            await connection.execute(f"lock table {', '.join(named)} in access exclusive mode")
        except asyncpg.LockNotAvailableError:
            raise StackError(f"somebody works with the database {database}: stop that larder first") from None
    return named


_THERE = "select name from unnest($1::text[]) name where to_regclass(name) is not null"


async def _clusters(connection: Connection) -> set[str]:
    if await connection.fetchval("select to_regclass('progress')") is None:
        return set()
    return {row["cluster_id"] for row in await connection.fetch(_CLUSTERS)}


async def _holding(connection: Connection, there: list[str]) -> list[str]:
    """The tables that hold something. The progress of a shard is there as soon as a service has looked at it."""
    return [n for n in there if n != "progress" and await connection.fetchval(f"select exists (select from {n})")]
