"""Shards: what was decided of a store, an account or an order was decided by the shard that its key belongs to.

In a database aggregates do not say who wrote them, answers and timers do; the simulation knows of every row. With one
shard there is nothing to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from aiokafka.partitioner import DefaultPartitioner

from larder.audit.report import Found

Decided = tuple[int, str, Sequence[str]]
"""The shard that decided something, what it is about, and whose it is: what the service's commands are keyed by
(DESIGN §2). A number may name a receipt in one store and a count in another: one of them was the shard's."""


def decided_by_its_shard(rows: Iterable[Decided], service: str, shards: int) -> Iterator[Found]:
    """Every decision is of the shard that Kafka's own partitioner gives the key to of what it is about."""
    partition_of, partitions = DefaultPartitioner(), list(range(shards))
    for shard, subject, owners in rows:
        own = [partition_of(owner.encode(), partitions, partitions) for owner in owners]
        if shard not in own:
            told = f"of {service}: decided by shard {shard}, but {owners[0]} belongs to shard {own[0]} of {shards}"
            yield (subject,), told
