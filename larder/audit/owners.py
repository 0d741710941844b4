"""Shards: what was decided of a store, an account or an order was decided by the shard that its key belongs to.

Aggregates do not say who wrote them; answers and timers do. With one shard there is nothing to ask.
"""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner

from larder.audit.books import Connection
from larder.audit.report import Report

FETCHED = 2_000
"""Rows that are fetched at a time."""

_ORDER_ITSELF = """
select shard, subject, array[subject] from answers where accepted
union select shard, subject, array[subject] from timers"""
# Who owns what a shard has answered or waits for, by service: what its commands are keyed by (DESIGN §2). A number may
# name a receipt in one store and a count in another: one of them was the shard's.
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


async def decided_by_its_shard(connection: Connection, service: str, shards: int, report: Report) -> None:
    """Every answer that accepted something, and every timer, is of the shard that Kafka's own partitioner gives the
    key to of what it is about."""
    if shards == 1:
        return
    partition_of, partitions = DefaultPartitioner(), list(range(shards))
    cursor = await connection.cursor(DECIDED[service])
    while rows := await cursor.fetch(FETCHED):
        report.checked["decided_by_its_shard"] += len(rows)
        for shard, subject, owners in rows:
            own = [partition_of(owner.encode(), partitions, partitions) for owner in owners]
            if shard not in own:
                told = f"of {service}: decided by shard {shard}, but {owners[0]} belongs to shard {own[0]} of {shards}"
                report.add("decided_by_its_shard", (subject,), told)
