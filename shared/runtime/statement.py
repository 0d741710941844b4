"""One commit, one statement: set-based writes become the CTEs of a single SQL statement with the gate in front.

Each write is SQL with its own $1..$n over arrays (`insert ... select from unnest($1::text[], ...)`,
`update ... from unnest(...)`). PostgreSQL runs all of them in one transaction and one round trip, over one snapshot:
two writes of a commit must not touch the same row. Arrays travel as text (`array_text`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol

import asyncpg
import msgspec

from shared.runtime.array_text import over_text, writers
from shared.runtime.commit import Commit
from shared.runtime.table import Key

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
_to_json = msgspec.json.Encoder().encode
_PARAMETER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Write:
    """A set-based write to one table. `name` is unique within a commit; `sql` is constant per name and shape."""

    name: str
    sql: str
    arguments: Sequence[Any]


def to_text(value: Any) -> str:
    """JSON for a text column, at a tenth of what `json.dumps` takes."""
    return _to_json(value).decode()


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows turned into the arrays that `unnest` takes; at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


class Store(Protocol):
    """A service's tables: what the runtime asks of `store.py`."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """The states of all keys, one query per kind; None for what does not exist. Every key is answered."""
        ...

    def save_many(self, commit: Commit) -> list[Write]:
        """What `commit.states` and `commit.records` mean for the tables."""
        ...


@lru_cache(maxsize=256)
def _compose(gate: tuple[str, str, int], parts: tuple[tuple[str, str, int], ...]) -> str:
    """The statement for this combination of writes; asyncpg keeps it prepared."""
    ctes, shift = [], 0
    for name, sql, count in (gate, *parts):
        moved = _PARAMETER.sub(lambda m, by=shift: f"${int(m[1]) + by}", over_text(sql))  # type: ignore[misc]
        ctes.append(f"{name} as ({moved})")
        shift += count
    # The gate moves all of its rows, or the whole statement dies of a division by zero and nothing of it is written.
    return f"with {', '.join(ctes)} select 1 / (count(*) = ${shift + 1}::int)::int from {gate[0]}"


def _told(write: Write) -> list[Any]:
    """Its arguments as they travel."""
    return [
        as_text(value) if as_text else value for as_text, value in zip(writers(write.sql), write.arguments, strict=True)
    ]


async def execute(connection: Connection, gate: Write, writes: Sequence[Write]) -> None:
    """Runs gate and writes as one statement; raises asyncpg.DivisionByZeroError when the gate is shut: when it moves
    less rows than its arrays are long."""
    sql = _compose((gate.name, gate.sql, len(gate.arguments)), tuple((w.name, w.sql, len(w.arguments)) for w in writes))
    arguments = [argument for write in (gate, *writes) for argument in _told(write)]
    await connection.fetchval(sql, *arguments, len(gate.arguments[0]))
