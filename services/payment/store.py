"""Payment's tables: the payment of an order, its refunds, reports of money, contradictions, and the money journal.

Attempts and captures rest as JSON inside the payment's row: an order has one of each, and the row is all that the next
message needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.payment.state import (
    Attempt,
    Capture,
    Contradiction,
    JournalEntry,
    Payment,
    Phase,
    Refund,
    RefundPhase,
    Report,
    ReportPhase,
)
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns, to_text
from shared.runtime.table import Key

LOAD_PAYMENTS = "select order_id, phase, attempts, captures from payments where order_id = any($1::text[])"
LOAD_REFUNDS = """
select order_id, number, phase, amount, capture, reason, liable, reference, at, code
from unnest($1::text[], $2::int[]) as asked (order_id, number) join refunds using (order_id, number)
"""
LOAD_REFUNDS_OF_ORDER = """
select order_id, number, phase, amount, capture, reason, liable, reference, at, code
from refunds where order_id = $1 order by number
"""
SAVE_PAYMENTS = """
insert into payments (order_id, phase, attempts, captures)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
on conflict (order_id) do update
set phase = excluded.phase, attempts = excluded.attempts, captures = excluded.captures
"""
SAVE_REFUNDS = """
insert into refunds (order_id, number, phase, amount, capture, reason, liable, reference, at, code)
select * from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::timestamptz[], $10::text[])
on conflict (order_id, number) do update
set phase = excluded.phase, amount = excluded.amount, reference = excluded.reference, at = excluded.at,
    code = excluded.code
"""
LOAD_REPORTS = """
select order_id, digest, phase, reference, attempt_key, amount, at, told_by, asked
from unnest($1::text[], $2::text[]) as told (order_id, digest) join reports using (order_id, digest)
"""
SAVE_REPORTS = """
insert into reports (order_id, digest, phase, reference, attempt_key, amount, at, told_by, asked)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
                     $8::text[], $9::int[])
on conflict (order_id, digest) do update set phase = excluded.phase, asked = excluded.asked
"""
ADD_CONTRADICTIONS = """
insert into contradictions (order_id, reference, at, why, told_by, told, known)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[])
"""
ADD_TO_JOURNAL = """
insert into journal (order_id, reference, kind, amount, at, reason, liable)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::text[], $7::text[])
"""

_write_json = msgspec.json.Encoder().encode
_read_attempts = msgspec.json.Decoder(tuple[Attempt, ...]).decode
_read_captures = msgspec.json.Decoder(tuple[Capture, ...]).decode


class PaymentStore:
    """Loads and saves for the worker; the API reads one order's money."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """Payments, refunds and reports, None for what does not exist."""
        loaded: dict[Key, Any] = dict.fromkeys(keys)
        orders = [key[1] for key in keys if key[0] == "payment"]
        if orders:
            for row in await connection.fetch(LOAD_PAYMENTS, orders):
                loaded["payment", row["order_id"]] = _payment(row)
        refunds = [key for key in keys if key[0] == "refund"]
        if refunds:
            rows = await connection.fetch(LOAD_REFUNDS, [key[1] for key in refunds], [int(key[2]) for key in refunds])
            for row in rows:
                loaded["refund", row["order_id"], str(row["number"])] = _refund(row)
        reports = [key for key in keys if key[0] == "report"]
        if reports:
            for row in await connection.fetch(LOAD_REPORTS, [key[1] for key in reports], [key[2] for key in reports]):
                loaded["report", row["order_id"], row["digest"]] = _report(row)
        return loaded

    async def load_report(self, connection: Connection, order_id: str, digest: str) -> Report | None:
        """What became of a report; None when there was nothing to find out about it."""
        row = await connection.fetchrow(LOAD_REPORTS, [order_id], [digest])
        return _report(row) if row else None

    async def load_order(self, connection: Connection, order_id: str) -> tuple[Payment | None, list[Refund]]:
        """All that is known of one order's money."""
        rows = await connection.fetch(LOAD_PAYMENTS, [order_id])
        refunds = await connection.fetch(LOAD_REFUNDS_OF_ORDER, order_id)
        return (_payment(rows[0]) if rows else None), [_refund(row) for row in refunds]

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per payment, refund and report, one per line of the journal and per contradiction."""
        writes = []
        payments: list[Payment] = [s for key, s in commit.states.items() if key[0] == "payment"]
        if payments:
            arguments: tuple[list[Any], ...] = (
                [p.order_id for p in payments],
                [p.phase for p in payments],
                [_write_json(p.attempts).decode() for p in payments],
                [_write_json(p.captures).decode() for p in payments],
            )
            writes.append(Write("payments", SAVE_PAYMENTS, arguments))
        refunds: list[Refund] = [s for key, s in commit.states.items() if key[0] == "refund"]
        if refunds:
            writes.append(Write("refunds", SAVE_REFUNDS, _refund_columns(refunds)))
        entries: list[JournalEntry] = commit.records.get(JournalEntry, [])
        if entries:
            arguments = (
                [e.order_id for e in entries],
                [e.reference for e in entries],
                [e.kind for e in entries],
                [e.amount for e in entries],
                [e.at for e in entries],
                [e.reason for e in entries],
                [e.liable for e in entries],
            )
            writes.append(Write("journal", ADD_TO_JOURNAL, arguments))
        reports: list[Report] = [s for key, s in commit.states.items() if key[0] == "report"]
        if reports:
            writes.append(Write("reports", SAVE_REPORTS, columns([_report_row(r) for r in reports])))
        contradictions: list[Contradiction] = commit.records.get(Contradiction, [])
        if contradictions:
            rows = [
                (c.order_id, c.reference, c.at, c.why, c.told_by, to_text(c.told), to_text(c.known))
                for c in contradictions
            ]
            writes.append(Write("contradictions", ADD_CONTRADICTIONS, columns(rows)))
        return writes


def _payment(row: Any) -> Payment:
    return Payment(
        row["order_id"], Phase(row["phase"]), _read_attempts(row["attempts"]), _read_captures(row["captures"])
    )


def _refund(row: Any) -> Refund:
    return Refund(
        row["order_id"],
        row["number"],
        RefundPhase(row["phase"]),
        row["amount"],
        row["capture"],
        row["reason"],
        row["liable"],
        row["reference"] or "",
        row["at"],
        row["code"] or "",
    )


def _report(row: Any) -> Report:
    return Report(
        row["order_id"],
        row["digest"],
        ReportPhase(row["phase"]),
        row["reference"],
        row["attempt_key"],
        row["amount"],
        row["at"],
        row["told_by"],
        row["asked"],
    )


def _report_row(r: Report) -> tuple[Any, ...]:
    return (r.order_id, r.digest, r.phase, r.reference, r.attempt_key, r.amount, r.at, r.told_by, r.asked)


def _refund_columns(refunds: list[Refund]) -> tuple[list[Any], ...]:
    return (
        [r.order_id for r in refunds],
        [r.number for r in refunds],
        [r.phase for r in refunds],
        [r.amount for r in refunds],
        [r.capture for r in refunds],
        [r.reason for r in refunds],
        [r.liable for r in refunds],
        [r.reference or None for r in refunds],
        [r.at for r in refunds],
        [r.code or None for r in refunds],
    )
