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
from larder.audit.prices import claims_within_limit, refused_was_used_up
from larder.audit.report import PARKED_LISTED, ParkedMessage, Report
from larder.audit.stock import Allotment, Movement, Stock, allotments_are_cells, document_moved_once

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
_ALLOTMENTS = """
select coalesce(a.store, c.store), coalesce(a.promotion, split_part(c.spu, '|', 2)), a.phase,
    coalesce(a.spu, split_part(c.spu, '|', 1)), a.quantity, a.sold, coalesce(c.on_hand, 0),
    a.ends_at is not null and t.subject is null
from allotments a left join timers t on t.subject = a.store || '/' || a.promotion and t.name = 'sale_ends'
full join (select * from cells where position('|' in spu) > 0 and position('|+' in spu) = 0) c
    on c.store = a.store and c.spu = a.spu || '|' || a.promotion"""
_CLAIMS = """
select c.account, c.promotion, sum(c.units)::bigint, max(r.may)
from claims c left join (
    select id, max(case body::json ->> 'kind' when 'coupon' then 1
        else coalesce((body::json ->> 'per_account')::int, 0) end) as may
    from promotion_revisions group by id) r on r.id = c.promotion
group by 1, 2"""
# Who had it and was priced anew may have given it back without a trace.
_REFUSED = """
select o.order_id, p.promotion, r.flash, r.limited, exists (
    select from orders n join baskets c using (order_id)
    where n.account = o.account and n.order_id <> o.order_id and c.discounts is not null
        and (c.discounts::jsonb -> 3 ? p.promotion or (c.discounts::json ->> 4)::timestamptz > n.placed_at))
from baskets b join orders o using (order_id)
cross join json_array_elements_text(b.discounts::json -> 2) p (promotion)
cross join lateral (
    select coalesce(bool_or(body::json ->> 'kind' = 'flash'), false) as flash,
        coalesce(bool_or(body::json ->> 'kind' = 'coupon' or (body::json ->> 'per_account')::int > 0), false) as limited
    from promotion_revisions where id = p.promotion) r
where b.discounts is not null"""
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
where a.accepted group by a.shard, a.subject
union all select shard, subject, array[split_part(subject, '/', 1)] from timers""",
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
    if service == "order":
        async for rows in _portions(connection, _CLAIMS):
            report.hold(claims_within_limit, rows)
        async for rows in _portions(connection, _REFUSED):
            report.hold(refused_was_used_up, rows)


async def _judge_stock(connection: Connection, report: Report) -> None:
    stock = Stock(report)
    async for rows in _portions(connection, _LEDGER):
        stock.take([Movement._make(row) for row in rows])
    async for rows in _portions(connection, _CELLS):
        stock.compare(rows)
    stock.end()
    report.hold(allotments_are_cells, [Allotment._make(row) for row in await connection.fetch(_ALLOTMENTS)])
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
