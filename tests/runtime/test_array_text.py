"""Arrays as text: the database reads what was meant, whatever is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.runtime.array_text import over_text, writers
from shared.settings import Settings

pytestmark = pytest.mark.parts

ODD = ["", " ", '"', "\\", '\\"', "NULL", "null", "{}", "{a,b}", "a,b", "'", "\n", "\t", "ä€🥕", '","', "\\\\x", None]
"""What is special in an array's text, or looks so."""
ZONE = timezone(timedelta(hours=5, minutes=30))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2199, 1, 1), timezones=st.sampled_from([UTC, ZONE]))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0", codec="utf-8"))),
    "int": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    "bigint": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "timestamptz": st.one_of(st.none(), MOMENTS),
    "boolean": st.one_of(st.none(), st.booleans()),
}


@pytest.fixture
async def books(migrated: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A real database."""
    connection = await asyncpg.connect(migrated.dsn("order"))
    yield connection
    await connection.close()


def sql_for(type_: str) -> str:
    """Reads an array back."""
    return f"select $1::{type_}[]"


@pytest.mark.parametrize("type_", VALUES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
async def test_the_database_reads_what_was_written(books: asyncpg.Connection, type_: str, data: st.DataObject) -> None:
    """Element by element, in order, with its Nones."""
    values = data.draw(st.lists(VALUES[type_], max_size=20))
    (write,) = writers(sql_for(type_))
    assert write is not None
    assert await books.fetchval(over_text(sql_for(type_)), write(values)) == values


async def test_everything_odd_at_once(books: asyncpg.Connection) -> None:
    """No text ends another."""
    (write,) = writers(sql_for("text"))
    assert write is not None
    assert await books.fetchval(over_text(sql_for("text")), write(ODD)) == ODD


def test_other_parameters_go_as_they_are() -> None:
    """Bytes, and single values; a parameter that is used twice is written once."""
    sql = "select $1, t from unnest($2::text[], $3::bytea[], $4::int[]) u where x = any($2::text[])"
    assert [w.__name__ if w else None for w in writers(sql)] == [None, "texts", None, "numbers"]
    assert "$3::bytea[]" in over_text(sql)
    assert over_text(sql).count("$2::text::text[]") == 2
