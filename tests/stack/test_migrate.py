"""Migrations on a real database: each file once, never half, never changed behind its back."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from larder.stack import migrate as migrations
from larder.stack.errors import StackError
from larder.stack.migrate import SchemaFile, migrate_database, schema_files
from shared.settings import DATABASES
from tests.parts import RealParts

pytestmark = pytest.mark.parts


class Schema:
    """Made-up schema files of one database."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._names: list[str] = []
        monkeypatch.setattr(migrations, "schema_files", lambda database: self.files())

    def write(self, name: str, text: str) -> None:
        """Adds a file, or changes one."""
        (self._folder / name).write_text(text)
        if name not in self._names:
            self._names.append(name)

    def files(self) -> list[SchemaFile]:
        """What there is now."""
        return [SchemaFile(name, self._folder / name) for name in self._names]


@pytest.fixture
def schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schema:
    """One file with one table."""
    made = Schema(tmp_path, monkeypatch)
    made.write("schema.sql", "create table thing (id int primary key); insert into thing values (1);")
    return made


def quiet(line: str) -> None:
    """Says nothing."""


async def tables(dsn: str) -> set[str]:
    """The tables of a database."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_each_file_is_applied_once(parts: RealParts, schema: Schema) -> None:
    """A second start must change nothing, and apply only what is new."""
    dsn, said = await parts.fresh_database(), list[str]()
    await migrate_database(dsn, "order", said.append)
    await migrate_database(dsn, "order", said.append)
    schema.write("0001_more.sql", "create table more ()")
    await migrate_database(dsn, "order", said.append)
    assert said == ["database order: applied schema.sql", "database order: applied 0001_more.sql"]
    assert await tables(dsn) == {"thing", "more", "schema_version"}


async def test_two_at_a_time_do_not_meet(parts: RealParts, schema: Schema) -> None:
    """Six services and a command may migrate at once: the tables are made by one of them."""
    dsn, said = await parts.fresh_database(), list[str]()
    await asyncio.gather(*(migrate_database(dsn, "order", said.append) for _ in range(4)))
    assert said == ["database order: applied schema.sql"]


async def test_a_file_that_fails_leaves_nothing_behind(parts: RealParts, schema: Schema) -> None:
    """Half a migration would have to be repaired by hand."""
    dsn = await parts.fresh_database()
    schema.write("0001_bad.sql", "create table half (); select nonsense;")
    with pytest.raises(StackError, match=r"0001_bad.sql cannot be applied to order: .*nonsense"):
        await migrate_database(dsn, "order", quiet)
    assert await tables(dsn) == {"thing", "schema_version"}


async def test_a_file_changed_after_it_was_applied_is_told(parts: RealParts, schema: Schema) -> None:
    """Otherwise the code would meet tables of an older shape."""
    dsn = await parts.fresh_database()
    await migrate_database(dsn, "order", quiet)
    schema.write("schema.sql", "create table thing (id bigint primary key)")
    with pytest.raises(StackError, match=r"schema.sql was changed .* migrations/"):
        await migrate_database(dsn, "order", quiet)


async def test_a_missing_file_and_a_missing_database_are_told(parts: RealParts, schema: Schema, tmp_path: Path) -> None:
    """The message must name the file, or the database."""
    dsn = await parts.fresh_database()
    (tmp_path / "schema.sql").unlink()
    with pytest.raises(StackError, match=r"schema.sql is missing"):
        await migrate_database(dsn, "order", quiet)
    with pytest.raises(StackError, match="the database order does not answer"):
        await migrate_database("postgresql://nobody@127.0.0.1:1/order", "order", quiet)


def test_this_checkout_has_all_its_schema_files() -> None:
    """Every database must have a schema file, and every service the runtime's tables first."""
    for name in DATABASES:
        files = schema_files(name)
        assert all(file.text() for file in files), name
        assert name == "gateway" or files[0].name == "shared/runtime/schema.sql"
