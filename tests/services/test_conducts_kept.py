"""Conducts in their table: told again and again they stay in their place, and go when nothing happened for long."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from larder.stack.migrate import migrate_database, schema_files
from services.risk import standing
from services.risk.store import SAVE_CONDUCTS
from shared.runtime.statement import Write, columns, execute
from shared.settings import get_settings
from tests.parts import RealParts

DAY_MS = 86_400_000
GATE = Write("gate", "select unnest($1::bigint[])", [[1]])


@pytest.fixture
async def pool(parts: RealParts) -> AsyncIterator[asyncpg.Pool]:
    """Risk's tables, empty."""
    dsn = await parts.fresh_database()
    await migrate_database(dsn, "risk", lambda line: None)
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        yield pool


async def tell(pool: asyncpg.Pool, *conducts: tuple[str, int]) -> None:
    """Accounts, and when something happened last."""
    rows = [("account", account, at, "{}") for account, at in conducts]
    async with pool.acquire() as connection:
        await execute(connection, GATE, [Write("conducts", SAVE_CONDUCTS, columns(rows))])


async def test_told_again_a_conduct_touches_no_index(pool: asyncpg.Pool) -> None:
    """A conduct is told with most orders of an account. Within a day only its row changes; with the next, its day."""
    await tell(pool, ("a-1", 5 * DAY_MS))
    for n in range(1, 4):
        await tell(pool, ("a-1", 5 * DAY_MS + n))
    await tell(pool, ("a-1", 6 * DAY_MS))
    await pool.execute("select pg_stat_force_next_flush()")
    rows = await pool.fetch("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'conducts'")
    assert [tuple(row) for row in rows] == [(4, 3)]
    assert await pool.fetchval("select day from conducts") == 6


async def test_what_is_too_old_is_forgotten_in_portions(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the millisecond, though the index knows days only."""
    monkeypatch.setattr(standing, "FORGOTTEN_AT_ONCE", 2)
    before_ms = int((time.time() - get_settings().risk_memory_s) * 1000)
    minute_ms = 60_000
    await tell(pool, *((f"old-{n}", before_ms - minute_ms - n * DAY_MS) for n in range(5)))
    await tell(pool, ("young", before_ms + minute_ms))
    await standing.forget(pool)
    assert [row["subject"] for row in await pool.fetch("select subject from conducts")] == ["young"]


async def test_conducts_of_an_earlier_larder_get_their_day(parts: RealParts) -> None:
    """The migration keeps what is there."""
    dsn = await parts.fresh_database()
    connection = await asyncpg.connect(dsn)
    try:
        for file in schema_files("risk"):
            if file.name.endswith("0005_conducts_by_day.sql"):
                await connection.execute("insert into conducts values ('account', 'a-1', $1, '{}')", 7 * DAY_MS + 1)
            await connection.execute(file.text())
        rows = await connection.fetch("select * from conducts")
        assert [tuple(row) for row in rows] == [("account", "a-1", 7 * DAY_MS + 1, "{}", 7)]
    finally:
        await connection.close()
