"""Aftersales' tables: a narrow row per window, and a row per ticket."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.aftersales.state import (
    Call,
    Good,
    Note,
    Phase,
    Rating,
    Replacing,
    Ticket,
    TicketPhase,
    TicketStep,
    Window,
)
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

LOAD_WINDOWS = """
select order_id, phase, account, store, shuts_at, open_tickets, goods, replacements, stars
from windows where order_id = any($1::text[])
"""
TICKET_COLUMNS = """
ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note, opened_at, opened_by, ended_at, call,
liable, amount, claims, settled, refunded, replacing, replacement, deadline, claimed_by, claimed_until, notes"""
LOAD_TICKETS = f"select {TICKET_COLUMNS} from tickets where ticket_id = any($1::text[])"
SAVE_WINDOWS = """
insert into windows (order_id, phase, account, store, shuts_at, open_tickets, goods, replacements, stars)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::int[], $7::text[],
                     $8::int[], $9::int[])
on conflict (order_id) do update
set phase = excluded.phase, account = excluded.account, store = excluded.store, shuts_at = excluded.shuts_at,
    open_tickets = excluded.open_tickets, goods = excluded.goods, replacements = excluded.replacements,
    stars = excluded.stars
"""
SAVE_TICKETS = """
insert into tickets (ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note, opened_at,
                     opened_by, ended_at, call, liable, amount, claims, settled, refunded, replacing, replacement,
                     deadline, claimed_by, claimed_until, notes)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::timestamptz[], $14::text[],
                     $15::text[], $16::bigint[], $17::text[], $18::text[], $19::bigint[], $20::text[], $21::text[],
                     $22::timestamptz[], $23::text[], $24::timestamptz[], $25::text[])
on conflict (ticket_id) do update
set phase = excluded.phase, kind = excluded.kind, account = excluded.account, store = excluded.store,
    spus = excluded.spus, quantities = excluded.quantities, note = excluded.note, ended_at = excluded.ended_at,
    call = excluded.call, liable = excluded.liable, amount = excluded.amount, claims = excluded.claims,
    settled = excluded.settled, refunded = excluded.refunded, replacing = excluded.replacing,
    replacement = excluded.replacement, claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until,
    notes = excluded.notes
"""
APPEND_STEPS = """
insert into ticket_steps (ticket_id, at, phase, step, actor, note)
select * from unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[])
"""
APPEND_RATINGS = """
insert into ratings (order_id, account, at, stars, text)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::int[], $5::text[])
"""

# The words of people; what larder itself says are codes.
_PERSON_REJECTED = """(phase = 'rejected' and exists (
    select from ticket_steps s where s.ticket_id = tickets.ticket_id and s.step = 'RejectTicket'))"""
_NO_WORDS = f"""
update tickets
set reason = case when opened_by = '' then reason else '' end, notes = '[]',
    note = case when {_PERSON_REJECTED} then '' else note end
where ticket_id = any($1::text[])
    and ((opened_by <> '' and reason <> '') or notes <> '[]' or (note <> '' and {_PERSON_REJECTED}))
"""
_NO_WORDS_OF_RATINGS = "update ratings set text = '' where order_id = any($1::text[]) and text <> ''"
_NO_WORDS_OF_STEPS = """
update ticket_steps set note = '' where ticket_id = any($1::text[]) and step = 'RejectTicket' and note <> ''
"""

SWEEPS = (
    Sweep(
        "personal data",
        "personal_data_s",
        "tickets",
        "opened_at",
        "ticket_id",
        "o.ended_at is not null",
        (_NO_WORDS, _NO_WORDS_OF_STEPS),
    ),
    Sweep("words of ratings", "personal_data_s", "ratings", "at", "order_id", "true", (_NO_WORDS_OF_RATINGS,)),
)
"""What is not kept of a ticket that has ended, and of a rating."""

_write_json = msgspec.json.Encoder().encode
_read_spus = msgspec.json.Decoder(tuple[str, ...]).decode
_read_quantities = msgspec.json.Decoder(tuple[int, ...]).decode
_read_call = msgspec.json.Decoder(Call).decode
_read_goods = msgspec.json.Decoder(tuple[Good, ...]).decode
_read_replacing = msgspec.json.Decoder(tuple[Replacing, ...]).decode
_read_notes = msgspec.json.Decoder(tuple[Note, ...]).decode


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
                [_json(w.goods) for w in windows],
                [w.replacements for w in windows],
                [w.stars for w in windows],
            )
            writes.append(Write("windows", SAVE_WINDOWS, arguments))
        tickets: list[Ticket] = [s for key, s in commit.states.items() if key[0] == "ticket"]
        if tickets:
            writes.append(Write("tickets", SAVE_TICKETS, _ticket_columns(tickets)))
        if steps := commit.records.get(TicketStep):
            rows = [(s.ticket_id, s.at, s.phase, s.step, s.actor, s.note) for s in steps]
            writes.append(Write("ticket_steps", APPEND_STEPS, columns(rows)))
        if ratings := commit.records.get(Rating):
            rated = [(r.order_id, r.account, r.at, r.stars, r.text) for r in ratings]
            writes.append(Write("ratings", APPEND_RATINGS, columns(rated)))
        return writes


def _json(value: Any) -> str:
    return _write_json(value).decode()


def _window(row: Any) -> Window:
    return Window(
        row["order_id"],
        Phase(row["phase"]),
        row["account"],
        row["store"],
        row["shuts_at"],
        row["open_tickets"],
        _read_goods(row["goods"]),
        row["replacements"],
        row["stars"],
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
        liable=row["liable"],
        amount=row["amount"],
        claims=_read_goods(row["claims"]),
        settled=_read_goods(row["settled"]),
        refunded=row["refunded"],
        replacing=_read_replacing(row["replacing"]),
        replacement=row["replacement"],
        deadline=row["deadline"],
        claimed_by=row["claimed_by"],
        claimed_until=row["claimed_until"],
        notes=_read_notes(row["notes"]),
    )


def _ticket_columns(tickets: list[Ticket]) -> tuple[list[Any], ...]:
    return (
        [t.ticket_id for t in tickets],
        [t.order_id for t in tickets],
        [t.phase for t in tickets],
        [t.kind for t in tickets],
        [t.account for t in tickets],
        [t.store for t in tickets],
        [_json(t.spus) for t in tickets],
        [_json(t.quantities) for t in tickets],
        [t.reason for t in tickets],
        [t.note for t in tickets],
        [t.opened_at for t in tickets],
        [t.opened_by for t in tickets],
        [t.ended_at for t in tickets],
        [_json(t.call) if t.call else None for t in tickets],
        [t.liable for t in tickets],
        [t.amount for t in tickets],
        [_json(t.claims) for t in tickets],
        [_json(t.settled) for t in tickets],
        [t.refunded for t in tickets],
        [_json(t.replacing) for t in tickets],
        [t.replacement for t in tickets],
        [t.deadline for t in tickets],
        [t.claimed_by for t in tickets],
        [t.claimed_until for t in tickets],
        [_json(t.notes) for t in tickets],
    )
