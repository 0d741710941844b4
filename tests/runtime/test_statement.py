"""One commit, one statement: writes keep their own parameters, and the gate decides about all of them."""

from __future__ import annotations

import asyncpg
import pytest

from shared.runtime.statement import Write, _compose, execute
from tests.runtime.ground import Ground

OPEN = Write("gate", "select n from unnest($1::int[]) u (n) where n = 1", [[1]])
SHUT = Write("gate", "select n from unnest($1::int[]) u (n) where n = 1", [[1, 2]])


def test_parameters_are_renumbered_behind_those_before() -> None:
    """Each write is written with its own $1, also when there are more than nine before it."""
    twelve = ", ".join(f"${n}" for n in range(1, 13))
    sql = _compose(("gate", "select $1, $2", 2), (("one", f"select {twelve}", 12), ("two", "select $1, $2, $1", 2)))
    assert sql == (
        "with gate as (select $1, $2), "
        "one as (select $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14), "
        "two as (select $15, $16, $15) select 1 / (count(*) = $17::int)::int from gate"
    )


def test_statement_is_the_same_text_for_the_same_writes() -> None:
    """asyncpg keeps prepared statements by their text: it must not depend on the values."""
    assert _compose(("g", "select $1", 1), (("w", "select $1", 1),)) is _compose(
        ("g", "select $1", 1), (("w", "select $1", 1),)
    )


def jars(name: str, sql_name: str = "jars") -> Write:
    """A jar to be kept."""
    sql = "insert into jars select * from unnest($1::text[], $2::bigint[], $3::text[])"
    return Write(sql_name, sql, [[name], [1], [""]])


def notes(text: str) -> Write:
    """A note to be kept."""
    return Write(
        "notes",
        "insert into notes (jar, text) select j, t from unnest($1::text[], $2::text[]) u (j, t)",
        [["a"], [text]],
    )


@pytest.mark.parts
async def test_all_is_written_when_the_gate_is_open(ground: Ground) -> None:
    """Two tables, one round trip."""
    await execute(ground.connection, OPEN, [jars("a"), notes("hello")])
    assert await ground.rows("select name, pieces from jars") == [("a", 1)]
    assert await ground.rows("select jar, text from notes") == [("a", "hello")]


@pytest.mark.parts
async def test_nothing_is_written_when_the_gate_is_shut(ground: Ground) -> None:
    """No row moved, no row written."""
    with pytest.raises(asyncpg.DivisionByZeroError):
        await execute(ground.connection, SHUT, [jars("a"), notes("hello")])
    assert await ground.counts() == {}


@pytest.mark.parts
async def test_nothing_is_written_when_one_write_fails(ground: Ground) -> None:
    """The gate included: a batch is whole, or it is not."""
    await execute(ground.connection, OPEN, [jars("a")])
    with pytest.raises(asyncpg.UniqueViolationError):
        await execute(ground.connection, OPEN, [notes("hello"), jars("a")])
    assert await ground.counts() == {"jars": 1}


@pytest.mark.parts
async def test_gate_alone_is_a_statement(ground: Ground) -> None:
    """A batch of repeats moves offsets, and nothing else."""
    await execute(ground.connection, OPEN, [])
