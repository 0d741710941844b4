"""What a worker checks about its broker: that it is the same one as ever, and that topics fit each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

MIN_IN_SYNC = "min.insync.replicas"
SHORTER_LOG = (
    "this log has lost records, or is another one under the same name. Nothing is skipped or repeated: stop larder "
    "(`larder down`), run `larder topics --adopt`, which gives the log what the outboxes still hold, and start larder"
)
"""What became of a log that holds less than was read of it, and what to do."""


A_LOG = TypeVar("A_LOG")


class WrongBroker(Exception):
    """The broker is not the one that this database goes with; the message says what to do."""


@asynccontextmanager
async def asking(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks the brokers at `bootstrap` about themselves; raises KafkaError when none answers."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def cluster_id(client: AIOKafkaAdminClient) -> str:
    """The id of the cluster that answers: another one means another log."""
    return str((await client.describe_cluster())["cluster_id"])


async def acknowledges(client: AIOKafkaAdminClient, topic: str) -> bool:
    """Whether all partitions of a topic have as many copies in sync as it takes to acknowledge a record."""
    (told,) = await client.describe_topics([topic])
    copies = [(len(p["isr"]) if p["leader"] >= 0 else 0, len(p["replicas"])) for p in told["partitions"]]
    if all(in_sync == all_of_them for in_sync, all_of_them in copies):
        return True  # as nearly always; and a broker of one need not know the next request
    (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {MIN_IN_SYNC: None})])
    (found,) = answer.to_object()["resources"]
    # A broker that does not tell (its ACLs do not let us ask) is taken to want one copy.
    needed = max((int(entry["config_value"]) for entry in found["config_entries"]), default=1)
    return all(in_sync >= min(needed, all_of_them) for in_sync, all_of_them in copies)


def check_same_cluster(known: str, found: str) -> None:
    """Raises WrongBroker when a shard's progress belongs to another cluster."""
    if known and known != found:
        raise WrongBroker(
            f"this database goes with Kafka cluster {known}, but {found} answers: its log is another one, and going on "
            "would skip or repeat messages. Point LARDER_KAFKA to the right broker; if the old log is lost for good, "
            "`larder topics --adopt` gives the outbox to the new one"
        )


def shorter(decided: Mapping[A_LOG, int], ends: Mapping[A_LOG, int]) -> set[A_LOG]:
    """The logs that end before what was decided of them: they have lost records."""
    return {log for log, offset in decided.items() if ends[log] < offset}


async def check_partitions(client: AIOKafkaAdminClient, topics: Iterable[str], shards: int) -> None:
    """Raises WrongBroker unless every topic is there with `shards` partitions."""
    told = await client.describe_topics(list(topics))
    found = {t["topic"]: len(t["partitions"]) for t in told if not t["error_code"]}
    wrong = [f"{topic} has {found.get(topic, 0)}" for topic in topics if found.get(topic) != shards]
    if wrong:
        raise WrongBroker(
            f"every topic needs {shards} partitions (LARDER_SHARDS), but {', '.join(wrong)}: run `larder migrate`"
        )
