"""Brings the databases' tables to the state of this checkout: each SQL file once, recorded with what it held."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

import services
import shared
from larder.stack.errors import StackError
from shared.settings import DATABASES, GATEWAY_BOOK, Settings

LOCK = 0x1A7DE7
"""The advisory lock of whoever migrates a database; one at a time."""

UNREACHABLE = (OSError, TimeoutError, ValueError, OverflowError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What connecting raises: also at a DSN that makes no sense, or names a port that there is not."""

RECORD = """
create table if not exists schema_version (
    file       text primary key,
    sha256     text not null,
    applied_at timestamptz not null default now()
)"""


@dataclass(frozen=True)
class SchemaFile:
    """One SQL file, under the name that it is recorded by."""

    name: str
    path: Path

    def text(self) -> str:
        """Its statements."""
        try:
            return self.path.read_text()
        except OSError as error:
            raise StackError(f"the schema file {self.path} is missing ({error.strerror})") from None

    def sha256(self) -> str:
        """What tells whether it is still the file that was applied."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def schema_files(database: str) -> list[SchemaFile]:
    """What makes up the tables of a database, in the order of application."""
    runtime = Path(shared.__path__[0]) / "runtime"
    root = Path(services.__path__[0])
    if database == GATEWAY_BOOK:
        return [SchemaFile("services/payment/gateway.sql", root / "payment" / "gateway.sql")]
    own = root / database
    return [
        file
        for name, folder in (("shared/runtime", runtime), (f"services/{database}", own))
        for file in (
            SchemaFile(f"{name}/schema.sql", folder / "schema.sql"),
            *(
                SchemaFile(f"{name}/migrations/{path.name}", path)
                for path in sorted(folder.glob("migrations/[0-9]*.sql"))
            ),
        )
    ]


async def migrate(settings: Settings, say: Callable[[str], None]) -> None:
    """Applies what is missing in every database."""
    for database in DATABASES:
        await migrate_database(settings.dsn(database), database, say)


async def migrate_database(dsn: str, database: str, say: Callable[[str], None]) -> None:
    """Applies what is missing in one database, each file in a transaction of its own with its record."""
    connection = await connect(dsn, database)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await connection.execute(RECORD)
        applied = await applied_files(connection)
        for file in schema_files(database):
            if file.name not in applied:
                async with connection.transaction():
                    try:
                        await connection.execute(file.text())
                    except asyncpg.PostgresError as error:
                        where = f" near: {error.position}" if getattr(error, "position", None) else ""
                        raise StackError(f"{file.path} cannot be applied to {database}: {error}{where}") from None
                    await connection.execute(
                        "insert into schema_version (file, sha256) values ($1, $2)", file.name, file.sha256()
                    )
                say(f"database {database}: applied {file.name}")
            elif applied[file.name] != file.sha256():
                raise StackError(
                    f"database {database}: {file.name} was changed after it was applied here. Put the change into a "
                    "new file migrations/NNNN_name.sql beside the schema, or start with an empty LARDER_HOME"
                )
    finally:
        await connection.close()  # gives the lock back


async def connect(dsn: str, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection to one of the databases; a StackError that names it when there is none to be had."""
    try:
        return await asyncpg.connect(dsn, timeout=10)
    except UNREACHABLE as error:
        raise StackError(f"the database {database} does not answer: {error or type(error).__name__}") from None


async def applied_files(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str]:
    """What is recorded as applied: names of files and what they held."""
    if await connection.fetchval("select to_regclass('schema_version')") is None:
        return {}
    return {row["file"]: row["sha256"] for row in await connection.fetch("select file, sha256 from schema_version")}
