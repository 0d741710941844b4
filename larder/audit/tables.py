"""PostgreSQL as a source of rows that are about no single order: read a portion at a time, and held against a rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from larder.audit.books import Connection
from larder.audit.leftovers import answered_once
from larder.audit.links import Kept, Outbox
from larder.audit.look import Look
from larder.audit.owners import decided_by_its_shard
from larder.audit.parked import Parked, nothing_of_ours_parked
from larder.audit.report import PARKED_LISTED, ParkedMessage, Report
from larder.audit.stock import Movement, Stock, document_moved_once

FETCHED = 2_000
"""Rows that are fetched at a time."""
PARKED_MAX = 10_000
"""Most parked messages of one service that are looked at; all are counted."""

_LEDGER = """
select l.store, l.seq, l.kind, l.order_id, l.document, l.spus, l.on_hand, l.locked,
    d.kind, d.store, d.order_id, d.spus, d.quantities, h.mode, h.store, h.spus, h.quantities
from ledger l left join documents d on d.number = l.document left join holds h on h.order_id = l.order_id
order by l.store, l.seq"""
_CELLS = "select store, spu, on_hand, locked from cells"
_MOVED = """
select number, sum(written), sum(moved) from (
    select number, 1 as written, 0 as moved from documents where kind <> 'damage_report'
    union all select document, 0, 1 from ledger where document is not null
) as counted group by number"""
_OUTBOX = """
select shard, topic, kafka_partition, first_link, last_link from outbox
order by shard, topic, kafka_partition, first_link"""
# The table's key sees to it that there are none.
_ANSWERED_TWICE = "select id, count(*) from answers group by id having count(*) > 1"
_PARKED_COUNT = "select count(*) from parked where state = 'parked'"
_PARKED = f"""
select id, subject, topic, message_type, code, reason,
    exists (select from jsonb_array_elements(headers) as header where header ->> 0 = 'link')
from parked where state = 'parked' order by id limit {PARKED_MAX}"""
_ORDER_ITSELF = """
select shard, subject, array[split_part(subject, '~', 1)] from answers where accepted
union select shard, subject, array[split_part(subject, '~', 1)] from timers"""
DECIDED = {
    "order": _ORDER_ITSELF,
    "payment": _ORDER_ITSELF,
    "aftersales": _ORDER_ITSELF,
    "inventory": """
select a.shard, a.subject, array_agg(distinct d.store)
from answers a join documents d on d.number in ('GR-' || a.subject, 'AD-' || a.subject)
where a.accepted group by a.shard, a.subject""",
    "risk": """
select a.shard, a.subject, array[s.account]
from (select shard, subject from answers where accepted union select shard, subject from timers) a
join screenings s on s.order_id = a.subject""",
    "logistics": """
select a.shard, a.subject, array[f.store]
from (select shard, subject from answers where accepted union select shard, subject from timers) a
join fulfilments f on f.order_id = a.subject""",
}
"""What each service's shards decided, as `owners.Decided`."""
SLOTS = "select store, starts_at, reserved from slots"


async def judge_tables(connection: Connection, service: str, shards: int, seen: Look, report: Report) -> None:
    """Holds one service's tables against the rules about them. Runs inside a snapshot."""
    await _judge_parked(connection, service, report)
    answers = await connection.fetchval("select count(*) from answers")
    report.checked["answered_once"] += answers
    report.hold(answered_once, await connection.fetch(_ANSWERED_TWICE))
    outbox = Outbox(service, report)
    async for rows in _portions(connection, _OUTBOX):
        outbox.take([Kept._make(row) for row in rows])
    outbox.compare(seen)
    if shards > 1:
        async for rows in _portions(connection, DECIDED[service]):
            report.hold(decided_by_its_shard, rows, service, shards)
    if service == "inventory":
        await _judge_stock(connection, report)


async def _judge_stock(connection: Connection, report: Report) -> None:
    stock = Stock(report)
    async for rows in _portions(connection, _LEDGER):
        stock.take([Movement._make(row) for row in rows])
    async for rows in _portions(connection, _CELLS):
        stock.compare(rows)
    stock.end()
    async for rows in _portions(connection, _MOVED):
        report.hold(document_moved_once, rows)


async def _judge_parked(connection: Connection, service: str, report: Report) -> None:
    count = await connection.fetchval(_PARKED_COUNT)
    report.parked_count += count
    rows = [Parked(f"{service}:{id_}", *row) for id_, *row in await connection.fetch(_PARKED)]
    report.hold(nothing_of_ours_parked, rows)
    for row in rows[: PARKED_LISTED - len(report.parked)]:
        report.parked.append(ParkedMessage(row.id, row.subject, row.type, row.code, row.reason))


async def _portions(connection: Connection, sql: str) -> AsyncIterator[list[Any]]:
    cursor = await connection.cursor(sql)
    while rows := await cursor.fetch(FETCHED):
        yield rows
