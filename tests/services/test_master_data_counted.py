"""Whatever changes master data is counted, by whatever way: the worker must not go on with what it remembers."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from larder.stack.migrate import migrate_database
from tests.parts import RealParts

STORE = "insert into stores values ('s-1', 'One', true, '{}', 0, 0, 1, 1)"
PRODUCT = "insert into products values ('apple', 'Apple', 100, 'fruit')"
PROMOTION = "insert into promotions values ('tenth', 1, 'percent', '{}', now(), now())"
RUSH = "insert into rushes values ('r-1', null, '[]', now(), now())"
ENTRY = "insert into blocklist values ('account', 'a-1', 'refuse', 'seen before', null, now(), 'me')"


async def _version(connection: asyncpg.Connection) -> int:
    version: int = await connection.fetchval("select version from master_data")
    return version


@pytest.mark.parametrize(
    ("database", "changes"),
    [
        ("order", (PRODUCT, "update products set price = 110", "delete from products", "truncate products")),
        ("order", (STORE, "update stores set accepting = false", "delete from stores", "truncate stores")),
        ("order", (PROMOTION, "update promotions set revision = 2", "delete from promotions", "truncate promotions")),
        ("order", (RUSH, "update rushes set store = 's-1'", "delete from rushes", "truncate rushes")),
        ("risk", (ENTRY, "update blocklist set treatment = 'refer'", "delete from blocklist", "truncate blocklist")),
        ("risk", ("update switch set is_on = false",)),
    ],
)
async def test_every_change_is_counted(parts: RealParts, database: str, changes: tuple[str, ...]) -> None:
    """Inserts, updates, deletes and truncations, each statement once; other tables are not."""
    dsn = await parts.fresh_database()
    await migrate_database(dsn, database, lambda line: None)
    connection = await asyncpg.connect(dsn)
    try:
        before = await _version(connection)
        for n, change in enumerate(changes, 1):
            await connection.execute(change)
            assert await _version(connection) == before + n
        await connection.execute("update progress set version = version")
        assert await _version(connection) == before + len(changes)
    finally:
        await connection.close()


async def test_changes_count_in_the_order_in_which_they_become_visible(parts: RealParts) -> None:
    """Else a worker could see the later number, remember, and never hear of the earlier change. So the second waits."""
    dsn = await parts.fresh_database()
    await migrate_database(dsn, "order", lambda line: None)
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        begun = first.transaction()
        await begun.start()
        await first.execute(PRODUCT)
        waiting = asyncio.create_task(second.execute(STORE))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        await begun.commit()
        await asyncio.wait_for(waiting, 10)
    finally:
        await first.close()
        await second.close()
