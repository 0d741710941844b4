"""Arrays as text: the database reads what was meant, whatever is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.runtime.array_text import over_text, writers
from shared.runtime.instants import EARLIEST, LATEST, read_every_instant
from shared.runtime.owner import UNWRITABLE
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


EVERY_MOMENT = st.datetimes(timezones=st.sampled_from([UTC, ZONE, timezone(timedelta(hours=-14))]))
EDGES = st.sampled_from([datetime.min, datetime.max]).map(lambda d: d.replace(tzinfo=ZONE))


def is_beyond(value: datetime) -> bool:
    """Is it no instant of UTC's calendar?"""
    try:
        value.astimezone(UTC)
    except OverflowError:
        return True
    return False


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=st.lists(st.one_of(EVERY_MOMENT, EDGES), max_size=3))
@example([datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8)))])
async def test_no_instant_is_written_that_cannot_be_read(books: asyncpg.Connection, values: list[datetime]) -> None:
    """At the ends of the calendar a zone leads beyond it: such an instant is refused before it reaches the database, in
    a way that parks the message alone."""
    (write,) = writers(sql_for("timestamptz"))
    assert write is not None
    if any(is_beyond(value) for value in values):
        with pytest.raises(UNWRITABLE):
            write(values)
        return
    text = write(values)
    assert await books.fetchval(over_text(sql_for("timestamptz")), text) == values


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0001-01-01T00:00:00+08:00", EARLIEST),
        ("4000-01-01 BC", EARLIEST),
        ("-infinity", EARLIEST),
        ("infinity", LATEST),
        ("12000-01-01", LATEST),
        ("2026-11-22T12:00:00.000001+05:30", datetime(2026, 11, 22, 12, 0, 0, 1, ZONE)),
    ],
)
async def test_every_instant_is_read(books: asyncpg.Connection, text: str, read: datetime) -> None:
    """Whatever stands in a row, it makes nothing unreadable, alone or in an array, and has a zone."""
    await read_every_instant(books)
    found = await books.fetchval(f"select '{text}'::timestamptz")
    several = await books.fetchval(f"select array['{text}'::timestamptz]")
    assert (found, several) == (read, [read])
    assert found.tzinfo


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=MOMENTS)
async def test_instants_are_the_same_on_the_way_back(books: asyncpg.Connection, value: datetime) -> None:
    """To the microsecond, in any zone."""
    await read_every_instant(books)
    assert await books.fetchval("select $1::timestamptz", value) == value


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
