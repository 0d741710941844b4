"""Arrays of a statement in PostgreSQL's text form, `{1,2}` or `{"a","b"}`, as large columns travel.

The driver's own way asks of every single element whether it is another array; joining text takes half of that, and what
the server pays for reading it is less than what is saved. `$1::text[]` in a statement becomes `$1::text::text[]`, so a
store writes its SQL and its rows as ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import lru_cache
from typing import Any

_ARRAY = re.compile(r"\$(\d+)::(text|int|bigint|timestamptz|boolean)\[\]")


def texts(values: Sequence[str | None]) -> str:
    """An array of texts; every element is quoted."""
    if not values:
        return "{}"
    try:
        inside = '","'.join(values)  # type: ignore[arg-type]
    except TypeError:  # a None among them
        return _escaped(values)
    if "\\" in inside or inside.count('"') != 2 * (len(values) - 1):
        return _escaped(values)
    return f'{{"{inside}"}}'


def _escaped(values: Sequence[str | None]) -> str:
    told = ["NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values]
    return f"{{{','.join(told)}}}"


def numbers(values: Sequence[int | None]) -> str:
    """An array of whole numbers."""
    told = map(str, values) if None not in values else ["NULL" if v is None else str(v) for v in values]
    return f"{{{','.join(told)}}}"


def moments(values: Sequence[datetime | None]) -> str:
    """An array of instants. A batch has one clock, so most of them are the same. Raises OverflowError for one that has
    no place in the calendar of UTC: PostgreSQL would take it, and nobody could read it back."""
    told = {v: "NULL" if v is None else _moment(v) for v in set(values)}
    return f"{{{','.join([told[v] for v in values])}}}"


def _moment(value: datetime) -> str:
    if not MINYEAR < value.year < MAXYEAR:
        value.astimezone(UTC)
    return value.isoformat()


def truths(values: Sequence[bool | None]) -> str:
    """An array of yes and no."""
    return f"{{{','.join(['NULL' if v is None else 't' if v else 'f' for v in values])}}}"


_WRITERS: Mapping[str, Callable[[Sequence[Any]], str]] = {
    "text": texts,
    "int": numbers,
    "bigint": numbers,
    "timestamptz": moments,
    "boolean": truths,
}


@lru_cache(maxsize=256)
def writers(sql: str) -> tuple[Callable[[Sequence[Any]], str] | None, ...]:
    """For each parameter of a statement what makes it text; None where it goes as it is."""
    found = {int(number): _WRITERS[type_] for number, type_ in _ARRAY.findall(sql)}
    most = max((int(n) for n in re.findall(r"\$(\d+)", sql)), default=0)
    return tuple(found.get(n) for n in range(1, most + 1))


def over_text(sql: str) -> str:
    """The statement with its arrays read from text."""
    return _ARRAY.sub(r"$\1::text::\2[]", sql)
