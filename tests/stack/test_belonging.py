"""Databases go with one broker's log: others are refused, and only what a broker forgot is ever emptied."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from larder.stack import parts as parts_module
from larder.stack.belonging import check_all_go_with, check_goes_with, forget, tables
from larder.stack.brokers import IN_MEMORY, Broker, Docker, Jars, Tansu, choose_broker, keep_to
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.migrate import migrate
from larder.stack.parts import Parts
from shared.settings import DATABASES, SERVICES, Settings
from tests.parts import RealParts

REAL, FORGOT = "MkU3OEVBNTcwNTJENDM2Qg", IN_MEMORY + "MkU3OEVBNTcwNTJENDM2Qg"
PRODUCT = "insert into products (spu, name, price, category) values ('p-1', 'Pears', 100, 'fruit')"
INTENT = "insert into intents values ('k', 'o-1', 100, 'EUR', 'tok_ok', null, now())"


class Books:
    """Seven databases of one test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def does(self, database: str, sql: str) -> object:
        """One statement; gives its first value."""
        connection = await asyncpg.connect(self.settings.dsn(database))
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def go_with(self, cluster: str, *services: str) -> None:
        """The services' shards were claimed while this cluster answered."""
        for service in services or SERVICES:
            await self.does(
                service,
                "insert into progress (shard, epoch, version, cluster_id, offsets, received, sent, acked) "
                f"values (0, 1, 0, '{cluster}', '{{}}', '{{}}', '{{}}', '{{}}') "
                f"on conflict (shard) do update set cluster_id = '{cluster}'",
            )


@pytest.fixture
async def books(parts: RealParts, tmp_path: Path) -> AsyncIterator[Books]:
    """Databases with their tables and nothing else, dropped in the end."""
    dsn = await parts.fresh_database()
    connection = await asyncpg.connect(dsn)
    name = dsn.rpartition("/")[2]
    for database in DATABASES:
        await connection.execute(f'create database "{name}_{database}"')
    settings = parts.settings(tmp_path, database=f"{dsn}_{{service}}")
    await migrate(settings, lambda line: None)
    yield Books(settings)
    for database in DATABASES:
        await connection.execute(f'drop database "{name}_{database}"')
    await connection.close()


async def test_every_table_is_either_emptied_or_filled_by_the_schema_itself(books: Books) -> None:
    """A table that is neither looked at nor emptied would keep orders that nothing else knows, or lose them unseen."""
    for database in DATABASES:
        connection = await asyncpg.connect(books.settings.dsn(database))
        rows = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        left = {row["tablename"] for row in rows} - {"schema_version"}
        full = {name for name in left if await connection.fetchval(f"select exists (select from {name})")}
        await connection.close()
        assert tables(database) == left - full, database


@pytest.mark.parametrize(("database", "row"), [("order", PRODUCT), ("gateway", INTENT)])
async def test_what_goes_with_a_broker_that_keeps_its_log_is_never_emptied(
    books: Books, database: str, row: str, tmp_path: Path
) -> None:
    """One row in one database is enough; the message says where it is and what to do, and nothing is changed."""
    await books.go_with(REAL)
    await books.does(database, row)
    with pytest.raises(StackError, match=rf"(?s)forgets.*{database}: \w+.*Maven.*Docker.*LARDER_KAFKA.*LARDER_HOME"):
        await forget(Home.at(tmp_path), books.settings)
    table = row.split()[2]
    assert await books.does(database, f"select count(*) from {table}") == 1
    assert await books.does("order", "select cluster_id from progress") == REAL


async def test_one_database_of_another_broker_keeps_all_of_them(books: Books, tmp_path: Path) -> None:
    """Half a home that was made for a broker that forgets is none: all or nothing."""
    await books.go_with(FORGOT)
    await books.go_with(REAL, "aftersales")
    await books.does("order", PRODUCT)
    with pytest.raises(StackError, match="order: products"):
        await forget(Home.at(tmp_path), books.settings)
    assert await books.does("order", "select count(*) from products") == 1


async def test_rows_without_any_progress_are_somebodys(books: Books, tmp_path: Path) -> None:
    """Where nothing says which broker it was made with, nothing is emptied."""
    await books.does("order", PRODUCT)
    with pytest.raises(StackError, match="Nothing was changed"):
        await forget(Home.at(tmp_path), books.settings)


async def test_what_was_made_with_a_broker_that_forgets_is_emptied(books: Books, tmp_path: Path) -> None:
    """Its orders went with the log: the next broker in memory starts with nothing, and with what the schema fills."""
    await books.go_with(FORGOT)
    await books.does("order", PRODUCT)
    await books.does("gateway", INTENT)
    await forget(Home.at(tmp_path), books.settings)
    for database in DATABASES:
        for table in tables(database):
            assert await books.does(database, f"select count(*) from {table}") == 0, (database, table)
    assert await books.does("risk", "select is_on from switch")
    await forget(Home.at(tmp_path), books.settings)  # once more: what is empty may be emptied


async def test_a_home_in_which_nothing_was_done_may_be_used_for_a_look_around(books: Books, tmp_path: Path) -> None:
    """Services that only claimed their shards have left nothing to lose."""
    await books.go_with(REAL)
    await forget(Home.at(tmp_path), books.settings)
    assert await books.does("order", "select count(*) from progress") == 0


async def test_databases_that_nobody_made_tables_in_have_nothing_to_forget(parts: RealParts, tmp_path: Path) -> None:
    """The first start comes before the first migration."""
    dsn = await parts.fresh_database()
    await forget(Home.at(tmp_path), parts.settings(tmp_path, database=dsn + "?application_name={service}"))


async def test_the_parts_of_a_stack_follow_the_rule(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker in memory in a home with orders is refused; a lasting one is noted, so that the home stays with it."""
    home = Home.at(tmp_path)

    def parts_with(broker: Broker) -> Parts:
        monkeypatch.setattr(parts_module, "choose_broker", lambda *_: broker)
        return Parts(home, books.settings, lambda line: None)

    kept = Jars(home, lambda line: None)
    kept.bootstrap = books.settings.kafka
    await parts_with(kept).belong_together()
    await books.go_with(REAL)
    await books.does("order", PRODUCT)
    with pytest.raises(StackError, match="Nothing was changed"):
        await parts_with(Tansu(home)).belong_together()
    with pytest.raises(StackError, match=f"database order: .*cluster {REAL}"):
        await parts_with(kept).belong_together()


async def test_databases_of_another_log_are_refused_with_the_database_named(books: Books, tmp_path: Path) -> None:
    """Services that start on them would end one after the other; whoever starts them is told first."""
    await books.go_with(REAL)
    await check_all_go_with(Home.at(tmp_path), books.settings, REAL)
    await books.go_with("another", "risk")
    with pytest.raises(StackError, match=r"database risk: .*cluster another, but .*--adopt"):
        await check_all_go_with(Home.at(tmp_path), books.settings, REAL)


def test_whoever_meets_another_log_is_told_where_the_right_one_is(tmp_path: Path) -> None:
    """Jars and Docker keep their logs in different places; a broker in memory has lost its own."""
    home = Home.at(tmp_path)
    meta = home.root / "kafka" / "data" / "meta.properties"
    meta.parent.mkdir(parents=True)
    meta.write_text("version=1\ncluster.id=in-the-home\n")
    keep_to(home, Docker(home))
    for known, told in [
        ("in-the-home", rf"That log is in {meta.parent}, for Apache Kafka from its jars"),
        (FORGOT, r"in memory \(Tansu\).*LARDER_HOME.*--adopt"),
        ("unknown", f"Docker volume {Docker(home).name}: start Docker"),
    ]:
        with pytest.raises(StackError, match=told):
            check_goes_with(home, "order", known, REAL)


@pytest.mark.parametrize("kind", ["docker", "apache-kafka"])
def test_a_home_stays_with_the_broker_that_has_its_log(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Java installed later must not turn a home whose log is in a Docker volume to an empty log."""
    home = Home.at(tmp_path)
    monkeypatch.setattr("larder.stack.brokers.can_run_kafka", lambda: None)
    monkeypatch.setattr("larder.stack.brokers.docker_answers", lambda: True)
    keep_to(home, Docker(home) if kind == "docker" else Jars(home, lambda line: None))
    assert choose_broker(home, "", lambda line: None).kind == kind
