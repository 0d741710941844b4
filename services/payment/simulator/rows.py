"""The rows of the gateway simulator's book: every SQL statement about it, and nothing else.

A transaction reads the part of the book that its calls touch, lets the `rules` run over it, and writes what
they wrote, with one statement for charges and one for the rest. All statements are set-based.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.payment.simulator import webhook
from services.payment.simulator.book import (
    Ask,
    Book,
    BookedRefund,
    Call,
    Capture,
    Changes,
    Charge,
    Intent,
    LookUp,
    PendingCapture,
    Refund,
    RefusedRefund,
    capture_reference,
)
from services.payment.simulator.bookkeeper import RETRY_FIRST_S, RETRY_MOST_S, Notice

DUE_AT_ONCE_MAX = 500
"""Most pending captures made in one transaction."""

# The whole of a flush of new charges: intents, captures, pending captures, webhooks. Of two processes with the same
# keys one waits for the other, and in the order of the keys neither waits for ever.
_WRITE_CHARGES = """
with intent as (
    insert into intents (key, order_id, amount, currency, method, declined, at)
    select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    order by 1
), capture as (
    insert into captures (reference, key, order_id, amount, currency, at)
    select * from unnest($8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::timestamptz[])
    order by 1
), pending as (
    insert into pending_captures (key, due_at) select * from unnest($14::text[], $15::timestamptz[])
)
insert into webhooks (id, body, created_at, next_at)
select id, body, $18, $18 from unnest($16::text[], $17::text[]) as report (id, body)
"""
# Refunds, refused ones too, and the pending captures that were made.
_WRITE_REFUNDS = """
with made as (
    delete from pending_captures where key = any($1::text[])
), refund as (
    insert into refunds (key, reference, capture, order_id, amount, currency, reason, at)
    select * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
        $9::timestamptz[])
)
insert into refused_refunds (key, capture, amount, reason, code, at)
select * from unnest($10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::timestamptz[])
"""
# The locks come first and in one order: pending captures, then captures. What is read after them does not move.
_LOCK_PENDING = "select key, due_at from pending_captures where key = any($1::text[]) order by key for update"
_LOCK_CAPTURES = """
select reference, key, order_id, amount, currency, at from captures where reference = any($1::text[])
order by reference for update
"""
_READ_CAPTURES = """
select reference, key, order_id, amount, currency, at from captures where reference = any($1::text[])
"""
_READ_INTENTS = """
select key, order_id, amount, currency, method, declined, at from intents where key = any($1::text[])
"""
_READ_REFUNDS = """
select key, capture, amount, reason, reference, order_id, currency, at from refunds
where key = any($1::text[]) or capture = any($2::text[])
"""
_READ_REFUSED = "select key, capture, amount, reason, code, at from refused_refunds where key = any($1::text[])"
# Somebody else's simulator may be at the same work: what it has locked is left to it.
_LOCK_DUE = """
select key, due_at from pending_captures where due_at <= $1 order by due_at, key limit $2 for update skip locked
"""
_TRY_NOTICES = """
update webhooks set attempts = attempts + 1,
    next_at = $1::timestamptz + least($3, $4 * 2.0 ^ least(attempts, 10)) * interval '1 second'
where id in (
    select id from webhooks where delivered_at is null and next_at <= $1 order by next_at, id limit $2
    for update skip locked
)
returning id, body, attempts
"""
_DELIVERED = "update webhooks set delivered_at = $2 where id = any($1::text[])"
_NEXT_DUE = """
select least(
    (select min(due_at) from pending_captures),
    (select min(next_at) from webhooks where delivered_at is null)
)
"""


async def has_tables(connection: Any) -> bool:
    """Whether ../gateway.sql was applied (`larder migrate` does it)."""
    return bool(await connection.fetchval("select to_regclass('webhooks') is not null"))


async def read_touched(connection: Any, calls: Sequence[Call]) -> Book:
    """A book with everything that these calls touch, locked until the transaction ends."""
    book = Book()
    keys = [call.key for call in calls if isinstance(call, Charge | Ask)]
    refunds = [call for call in calls if isinstance(call, Refund)]
    looked_up = [call.reference for call in calls if isinstance(call, LookUp)]
    if looked_up:
        book.remember(*(Capture(*row) for row in await connection.fetch(_READ_CAPTURES, looked_up)))
    if keys:
        book.remember(*(PendingCapture(*row) for row in await connection.fetch(_LOCK_PENDING, keys)))
        first = [capture_reference(key) for key in keys]
        book.remember(*(Capture(*row) for row in await connection.fetch(_READ_CAPTURES, first)))
        book.remember(*map(_intent, await connection.fetch(_READ_INTENTS, keys)))
    if refunds:
        captures = [refund.capture for refund in refunds]
        locked = [Capture(*row) for row in await connection.fetch(_LOCK_CAPTURES, captures)]
        book.remember(*locked)
        paid = await connection.fetch(_READ_INTENTS, [capture.key for capture in locked])
        book.remember(*map(_intent, paid))
        keys = [refund.key for refund in refunds]
        for row in await connection.fetch(_READ_REFUNDS, keys, captures):
            book.remember(BookedRefund(Refund(*row[:4]), *row[4:]))
        for row in await connection.fetch(_READ_REFUSED, keys):
            book.remember(RefusedRefund(Refund(*row[:4]), *row[4:]))
    return book


def _intent(row: Any) -> Intent:
    return Intent(Charge(*row[:5]), *row[5:])


async def write(connection: Any, changes: Changes, now: datetime) -> None:
    """Writes what the rules wrote. Raises UniqueViolationError when a key was booked meanwhile, or before."""
    if changes.intents or changes.captures:
        charges = [intent.charge for intent in changes.intents]
        await connection.execute(
            _WRITE_CHARGES,
            [charge.key for charge in charges],
            [charge.order_id for charge in charges],
            [charge.amount for charge in charges],
            [charge.currency for charge in charges],
            [charge.method for charge in charges],
            [intent.declined for intent in changes.intents],
            [intent.at for intent in changes.intents],
            [capture.reference for capture in changes.captures],
            [capture.key for capture in changes.captures],
            [capture.order_id for capture in changes.captures],
            [capture.amount for capture in changes.captures],
            [capture.currency for capture in changes.captures],
            [capture.at for capture in changes.captures],
            [pending.key for pending in changes.pending],
            [pending.due_at for pending in changes.pending],
            [webhook.notice_id(report) for report in changes.reports],
            [webhook.write(report) for report in changes.reports],
            now,
        )
    if changes.made or changes.refunds or changes.refused:
        await connection.execute(
            _WRITE_REFUNDS,
            changes.made,
            [booked.refund.key for booked in changes.refunds],
            [booked.reference for booked in changes.refunds],
            [booked.refund.capture for booked in changes.refunds],
            [booked.order_id for booked in changes.refunds],
            [booked.refund.amount for booked in changes.refunds],
            [booked.currency for booked in changes.refunds],
            [booked.refund.reason for booked in changes.refunds],
            [booked.at for booked in changes.refunds],
            [refused.refund.key for refused in changes.refused],
            [refused.refund.capture for refused in changes.refused],
            [refused.refund.amount for refused in changes.refused],
            [refused.refund.reason for refused in changes.refused],
            [refused.code for refused in changes.refused],
            [refused.at for refused in changes.refused],
        )


async def read_due(connection: Any, now: datetime) -> Book | None:
    """A book with the pending captures that are due, locked until the transaction ends. None: there are none."""
    due = await connection.fetch(_LOCK_DUE, now, DUE_AT_ONCE_MAX)
    if not due:
        return None
    book = Book()
    book.remember(*(PendingCapture(*row) for row in due))
    book.remember(*map(_intent, await connection.fetch(_READ_INTENTS, [row["key"] for row in due])))
    return book


async def try_notices(connection: Any, now: datetime, most: int) -> list[Notice]:
    """The webhooks to send now, each put off to its next attempt."""
    rows = await connection.fetch(_TRY_NOTICES, now, most, RETRY_MOST_S, RETRY_FIRST_S)
    return [Notice(*row) for row in rows]


async def mark_delivered(connection: Any, ids: Sequence[str], now: datetime) -> None:
    """These webhooks were taken."""
    await connection.execute(_DELIVERED, list(ids), now)


async def next_due(connection: Any) -> datetime | None:
    """When the next capture is to be made or the next webhook to be sent."""
    due: datetime | None = await connection.fetchval(_NEXT_DUE)
    return due
