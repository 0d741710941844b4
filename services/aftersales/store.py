"""Aftersales' tables: a narrow row per window, and a row per ticket."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.aftersales.state import Call, Phase, Ticket, TicketPhase, Window
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

LOAD_WINDOWS = """
select order_id, phase, account, store, shuts_at, open_tickets from windows where order_id = any($1::text[])
"""
LOAD_TICKETS = """
select ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note, opened_at, opened_by, ended_at,
       call
from tickets where ticket_id = any($1::text[])
"""
SAVE_WINDOWS = """
insert into windows (order_id, phase, account, store, shuts_at, open_tickets)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::int[])
on conflict (order_id) do update
set phase = excluded.phase, account = excluded.account, store = excluded.store, shuts_at = excluded.shuts_at,
    open_tickets = excluded.open_tickets
"""
SAVE_TICKETS = """
insert into tickets (ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note, opened_at,
                     opened_by, ended_at, call)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::timestamptz[], $14::text[])
on conflict (ticket_id) do update
set phase = excluded.phase, note = excluded.note, ended_at = excluded.ended_at, call = excluded.call
"""

# The words of people; what larder itself says are codes.
_NO_WORDS = """
update tickets
set reason = case when opened_by = '' then reason else '' end,
    note = case when phase = 'rejected' and kind in ('missing_goods', 'refund_failed') then '' else note end
where ticket_id = any($1::text[])
"""
SWEEPS = (
    Sweep(
        "personal data",
        "personal_data_s",
        "tickets",
        "opened_at",
        "ticket_id",
        "o.ended_at is not null",
        (_NO_WORDS,),
    ),
)
"""What is not kept of a ticket that has ended."""

_write_json = msgspec.json.Encoder().encode
_read_spus = msgspec.json.Decoder(tuple[str, ...]).decode
_read_quantities = msgspec.json.Decoder(tuple[int, ...]).decode
_read_call = msgspec.json.Decoder(Call).decode


class AftersalesStore:
    """Loads and saves for the worker; the API reads one window."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """Windows and tickets, None for what does not exist."""
        loaded: dict[Key, Any] = dict.fromkeys(keys)
        orders = [key[1] for key in keys if key[0] == "window"]
        if orders:
            for row in await connection.fetch(LOAD_WINDOWS, orders):
                loaded["window", row["order_id"]] = _window(row)
        tickets = [key[1] for key in keys if key[0] == "ticket"]
        if tickets:
            for row in await connection.fetch(LOAD_TICKETS, tickets):
                loaded["ticket", row["ticket_id"]] = read_ticket(row)
        return loaded

    async def load_window(self, connection: Connection, order_id: str) -> Window | None:
        """The window of one order."""
        rows = await connection.fetch(LOAD_WINDOWS, [order_id])
        return _window(rows[0]) if rows else None

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per window, and one per ticket."""
        writes = []
        windows: list[Window] = [s for key, s in commit.states.items() if key[0] == "window"]
        if windows:
            arguments: tuple[list[Any], ...] = (
                [w.order_id for w in windows],
                [w.phase for w in windows],
                [w.account for w in windows],
                [w.store for w in windows],
                [w.shuts_at for w in windows],
                [w.open_tickets for w in windows],
            )
            writes.append(Write("windows", SAVE_WINDOWS, arguments))
        tickets: list[Ticket] = [s for key, s in commit.states.items() if key[0] == "ticket"]
        if tickets:
            writes.append(Write("tickets", SAVE_TICKETS, _ticket_columns(tickets)))
        return writes


def _window(row: Any) -> Window:
    return Window(
        row["order_id"], Phase(row["phase"]), row["account"], row["store"], row["shuts_at"], row["open_tickets"]
    )


def read_ticket(row: Any) -> Ticket:
    """A row of the table as a ticket."""
    return Ticket(
        ticket_id=row["ticket_id"],
        order_id=row["order_id"],
        phase=TicketPhase(row["phase"]),
        kind=row["kind"],
        account=row["account"],
        store=row["store"],
        spus=_read_spus(row["spus"]),
        quantities=_read_quantities(row["quantities"]),
        reason=row["reason"],
        note=row["note"],
        opened_at=row["opened_at"],
        opened_by=row["opened_by"],
        ended_at=row["ended_at"],
        call=_read_call(row["call"]) if row["call"] else None,
    )


def _ticket_columns(tickets: list[Ticket]) -> tuple[list[Any], ...]:
    return (
        [t.ticket_id for t in tickets],
        [t.order_id for t in tickets],
        [t.phase for t in tickets],
        [t.kind for t in tickets],
        [t.account for t in tickets],
        [t.store for t in tickets],
        [_write_json(t.spus).decode() for t in tickets],
        [_write_json(t.quantities).decode() for t in tickets],
        [t.reason for t in tickets],
        [t.note for t in tickets],
        [t.opened_at for t in tickets],
        [t.opened_by for t in tickets],
        [t.ended_at for t in tickets],
        [_write_json(t.call).decode() if t.call else None for t in tickets],
    )
