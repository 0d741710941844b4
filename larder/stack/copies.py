"""Copies: how many of its topics larder wants in a cluster, and what a cluster has less of than that.

Three brokers keep three copies, and a record is acknowledged once two have it. One broker may go and all goes on; when
two are gone nothing is acknowledged any more, since what only one of them has can be lost with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from larder.stack.errors import StackError
from shared.contracts.topics import MADE_TOPICS
from shared.runtime.broker import MIN_IN_SYNC

COPIES = 3
"""Copies of a topic, where the cluster has so many brokers."""
UNCLEAN = "unclean.leader.election.enable"
OFFSETS = "__consumer_offsets"
"""Kafka's own topic of consumer groups, made by the brokers when the first group is."""
ON_TOPIC = 1
"""Where a setting comes from, in Kafka's numbers: somebody set it on this very topic."""
LISTED = 3
"""Most topics that a complaint names."""


@dataclass(frozen=True)
class Copies:
    """One topic of larder's. `copies` and `in_sync`: the fewest of any of its partitions."""

    name: str
    copies: int
    in_sync: int
    led: bool
    min_in_sync: int
    unclean: bool


@dataclass(frozen=True)
class Cluster:
    """A cluster as far as copies go. `brokers`: those that answer, and those that should hold a copy."""

    brokers: int
    topics: tuple[Copies, ...]
    offsets_copies: int | None
    """Copies of Kafka's own topic of groups; None while there is none."""


@dataclass(frozen=True)
class Complaint:
    """What a cluster lacks, and what to do. `urgent`: something does not work now."""

    text: str
    urgent: bool = False


def copies_in(brokers: int) -> int:
    """How many copies a topic gets where there are so many brokers."""
    return min(COPIES, brokers)


def min_in_sync_of(copies: int) -> int:
    """How many of so many copies must have a record before it is acknowledged. With two copies it is one: else either
    broker's end would be everybody's."""
    return 2 if copies >= COPIES else 1


def fewest(partitions: Iterable[dict[str, Any]], what: str) -> int:
    """The fewest `replicas` or `isr` of a described topic's partitions."""
    return min(len(partition[what]) for partition in partitions)


async def partitions_of(client: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """The partitions of every topic that is there, Kafka's own as well, as the broker describes them."""
    # All topics are asked for: one that is asked for by name is made by some brokers, with partitions of their choice.
    return {topic["topic"]: topic["partitions"] for topic in await client.describe_topics() if not topic["error_code"]}


async def look(client: AIOKafkaAdminClient) -> Cluster:
    """Looks at the copies of larder's topics that are there."""
    found = await partitions_of(client)
    brokers = {broker["node_id"] for broker in (await client.describe_cluster())["brokers"]}
    there = {name: found[name] for name in MADE_TOPICS if name in found}
    settings = await _settings(client, there, (MIN_IN_SYNC, UNCLEAN))
    return Cluster(
        brokers=len(brokers.union(*(partition["replicas"] for those in there.values() for partition in those))),
        topics=tuple(
            Copies(
                name=name,
                copies=fewest(those, "replicas"),
                in_sync=fewest(those, "isr"),
                led=all(partition["leader"] >= 0 for partition in those),
                min_in_sync=int(settings[name][MIN_IN_SYNC]["config_value"]),
                unclean=settings[name][UNCLEAN]["config_value"] == "true",
            )
            for name, those in there.items()
        ),
        offsets_copies=fewest(found[OFFSETS], "replicas") if OFFSETS in found else None,
    )


async def ensure_min_in_sync(client: AIOKafkaAdminClient) -> list[str]:
    """Sets it where three copies acknowledge with less, unless somebody set it on the topic; returns those topics."""
    found = await partitions_of(client)
    of_three = [name for name in MADE_TOPICS if name in found and fewest(found[name], "replicas") >= COPIES]
    if not of_three:
        return []  # a broker of one need not even know the request
    needed = min_in_sync_of(COPIES)
    changed = []
    for name, settings in (await _settings(client, of_three)).items():
        on_topic = {what: told["config_value"] for what, told in settings.items() if told["config_source"] == ON_TOPIC}
        if MIN_IN_SYNC not in on_topic and int(settings[MIN_IN_SYNC]["config_value"]) < needed:
            # The client knows only the request that replaces all that is set on a topic, so that goes along.
            on_topic[MIN_IN_SYNC] = str(needed)
            changed.append(ConfigResource(ConfigResourceType.TOPIC, name, on_topic))
    answers = await client.alter_configs(changed) if changed else []
    for code, why, _, name in (told for answer in answers for told in answer.resources):
        if code:
            raise StackError(f"{MIN_IN_SYNC} of topic {name} cannot be set: {for_code(code).__name__} {why or ''}")
    return [resource.name for resource in changed]


async def _settings(
    client: AIOKafkaAdminClient, names: Iterable[str], only: Iterable[str] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """What is in force on each of these topics, by setting: all of them, or only those named."""
    wanted = dict.fromkeys(only)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names]
    told = [found for answer in await client.describe_configs(resources) for found in answer.to_object()["resources"]]
    for found in told:
        if found["error_code"]:
            why = for_code(found["error_code"]).__name__
            raise StackError(f"the settings of topic {found['resource_name']} cannot be read: {why}")
    return {
        found["resource_name"]: {entry["config_names"]: entry for entry in found["config_entries"]} for found in told
    }


def complaints(cluster: Cluster) -> list[Complaint]:
    """What a cluster has less of than larder wants, in the order of how bad it is."""
    wanted = copies_in(cluster.brokers)
    checks = (
        ([t for t in cluster.topics if not t.led], "without a leader, since its brokers are away: start them", True),
        (
            [t for t in cluster.topics if t.led and t.in_sync < min(t.min_in_sync, t.copies)],
            f"fewer copies in sync than {MIN_IN_SYNC}, so nothing is acknowledged: start the brokers that are away",
            True,
        ),
        (
            [t for t in cluster.topics if t.led and min(t.min_in_sync, t.copies) <= t.in_sync < t.copies],
            "not every copy is in sync: a broker is away, or behind",
            False,
        ),
        (
            [t for t in cluster.topics if t.copies < wanted],
            f"fewer than {wanted} copies, although there are {cluster.brokers} brokers: a broker that is lost takes "
            "what it has with it. docs/operations.md (A cluster of three brokers) says how to give them more",
            False,
        ),
        (
            [t for t in cluster.topics if t.min_in_sync < min_in_sync_of(t.copies)],
            f"{MIN_IN_SYNC} is less than {min_in_sync_of(COPIES)}: a broker that is lost takes with it what it "
            "acknowledged alone. `larder migrate` sets it, unless somebody set it on the topic: then kafka-configs.sh",
            False,
        ),
        (
            [t for t in cluster.topics if t.unclean],
            f"{UNCLEAN} is true: a broker that is behind may lead, and what it lacks is lost. Set it to false",
            False,
        ),
    )
    found = [Complaint(f"{_named(those, cluster)}: {what}", urgent) for those, what, urgent in checks if those]
    if cluster.offsets_copies == 1 and cluster.brokers > 1:
        told = (
            f"{OFFSETS} has one copy, although there are {cluster.brokers} brokers: while its broker is away, no "
            "worker that starts gets a shard. Set offsets.topic.replication.factor, and give it more copies"
        )
        found.append(Complaint(told))
    return found


def _named(topics: list[Copies], cluster: Cluster) -> str:
    if len(topics) == len(cluster.topics):
        return f"all {len(topics)} topics"
    more = len(topics) - LISTED
    return ", ".join(topic.name for topic in topics[:LISTED]) + (f" and {more} more" if more > 0 else "")
