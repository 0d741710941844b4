"""Aftersales' table: one narrow row per window."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from services.aftersales.state import Phase, Window
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write
from shared.runtime.table import Key

LOAD_WINDOWS = "select order_id, phase, account, store, shuts_at from windows where order_id = any($1::text[])"
SAVE_WINDOWS = """
insert into windows (order_id, phase, account, store, shuts_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
on conflict (order_id) do update set phase = excluded.phase
"""


class AftersalesStore:
    """Loads and saves for the worker; the API reads one window."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """Windows, None for an order that has none."""
        loaded: dict[Key, Any] = dict.fromkeys(keys)
        for row in await connection.fetch(LOAD_WINDOWS, [key[1] for key in keys]):
            loaded["window", row["order_id"]] = _window(row)
        return loaded

    async def load_window(self, connection: Connection, order_id: str) -> Window | None:
        """The window of one order."""
        rows = await connection.fetch(LOAD_WINDOWS, [order_id])
        return _window(rows[0]) if rows else None

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per window."""
        windows: list[Window] = list(commit.states.values())
        if not windows:
            return []
        arguments = (
            [w.order_id for w in windows],
            [w.phase for w in windows],
            [w.account for w in windows],
            [w.store for w in windows],
            [w.shuts_at for w in windows],
        )
        return [Write("windows", SAVE_WINDOWS, arguments)]


def _window(row: Any) -> Window:
    return Window(row["order_id"], Phase(row["phase"]), row["account"], row["store"], row["shuts_at"])
