"""Payment's tables: the payment of an order, its refunds, and the money journal.

Attempts and captures rest as JSON inside the payment's row: an order has one of each, and the row is all that the next
message needs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec

from services.payment.state import Attempt, Capture, JournalEntry, Payment, Phase, Refund, RefundPhase
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write
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
set phase = excluded.phase, reference = excluded.reference, at = excluded.at, code = excluded.code
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
        """Payments and refunds, None for what does not exist."""
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
        return loaded

    async def load_order(self, connection: Connection, order_id: str) -> tuple[Payment | None, list[Refund]]:
        """All that is known of one order's money."""
        rows = await connection.fetch(LOAD_PAYMENTS, [order_id])
        refunds = await connection.fetch(LOAD_REFUNDS_OF_ORDER, order_id)
        return (_payment(rows[0]) if rows else None), [_refund(row) for row in refunds]

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per payment and refund, and one per line of the journal."""
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
