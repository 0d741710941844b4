"""Topics: made with equal partition counts, checked, and told with what is in them and who lags behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, TopicAlreadyExistsError, for_code

from larder.stack.copies import copies_in, ensure_min_in_sync, fewest, min_in_sync_of, partitions_of
from larder.stack.errors import StackError
from shared.contracts.topics import COMPACTED_TOPICS, MADE_TOPICS, SERVICES, SIGNALS_GROUP
from shared.runtime import broker
from shared.runtime.broker import MIN_IN_SYNC

PATIENCE_S = 20
ENDS_PATIENCE_S = 5
COMPACTED = {"cleanup.policy": "compact"}
"""A changelog keeps the newest of each key, and so do levels. Kafka must not delete by age as well: Faust waits for
ever for a changelog whose last record is gone (faust-streaming's issue 597), and a level that does not change would be
forgotten."""


@dataclass(frozen=True)
class TopicNews:
    """One topic as the broker tells it. `lag`: records that a consumer group has not committed yet, by group.

    `copies` and `in_sync`: the fewest of any of its partitions. `end_offsets` is empty, and so is `lag`, while the
    brokers do not tell them: with too few copies in sync the end of a log that has a new leader is not settled.
    """

    name: str
    end_offsets: tuple[int, ...]
    lag: dict[str, int]
    partitions: int
    copies: int
    in_sync: int


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client of that broker."""
    if not await _listens(bootstrap):  # the client would say so in its log as well, for each try
        raise StackError(f"no Kafka broker answers at {bootstrap}: nobody listens there")
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=PATIENCE_S * 1000)
    try:
        await asyncio.wait_for(client.start(), PATIENCE_S)
    except (KafkaError, OSError, TimeoutError) as error:
        raise StackError(f"no Kafka broker answers at {bootstrap} ({error or type(error).__name__})") from None
    try:
        yield client
    except KafkaError as error:
        raise StackError(f"the Kafka broker at {bootstrap} would not: {error!r}") from error
    finally:
        await client.close()


async def _listens(bootstrap: str) -> bool:
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), PATIENCE_S)
        except (OSError, TimeoutError):
            continue
        writer.close()
        return True
    return False


async def cluster_id(bootstrap: str) -> str:
    """The id of the cluster: another one means another log."""
    async with admin(bootstrap) as client:
        return await broker.cluster_id(client)


async def partition_counts(client: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each of larder's topics has; topics that are not there are left out."""
    return {name: len(those) for name, those in (await partitions_of(client)).items() if name in MADE_TOPICS}


async def ensure_topics(bootstrap: str, shards: int) -> list[str]:
    """Makes the topics that are missing and returns their names; a StackError where one has other partitions."""
    async with admin(bootstrap) as client:
        there = await partition_counts(client)
        other = {name: count for name, count in there.items() if count != shards}
        if other:
            named = ", ".join(f"{name} has {count}" for name, count in sorted(other.items()))
            raise StackError(
                f"LARDER_SHARDS is {shards}, but {named} partitions. Keys would move between shards: set LARDER_SHARDS "
                "to what is there, or start with an empty LARDER_HOME"
            )
        missing = [name for name in MADE_TOPICS if name not in there]
        if missing:
            copies = copies_in(len((await client.describe_cluster())["brokers"]))
            needed = min_in_sync_of(copies)
            # Where one is enough, what the brokers have of themselves is left to whoever runs them.
            configs = {MIN_IN_SYNC: str(needed)} if needed > 1 else {}
            new = [
                NewTopic(name, shards, copies, topic_configs=configs | (COMPACTED if name in COMPACTED_TOPICS else {}))
                for name in missing
            ]
            answer = await client.create_topics(new)
            for name, code, *why in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise StackError(f"topic {name} cannot be made: {error.__name__} {why[0] if why else ''}")
            await _until_led(client, shards)
        return missing


async def acknowledge_by_two(bootstrap: str, say: Callable[[str], None]) -> None:
    """Topics with three copies acknowledge what two have, also those that were made or moved without."""
    async with admin(bootstrap) as client:
        changed = await ensure_min_in_sync(client)
    if changed:
        say(f"set {MIN_IN_SYNC} to 2 on {len(changed)} topic(s) with three copies")


async def _until_led(client: AIOKafkaAdminClient, shards: int) -> None:
    """A topic just made has no leader for a moment; whoever writes to it then waits for long."""
    for _ in range(PATIENCE_S * 20):
        described = await client.describe_topics(list(MADE_TOPICS))
        if all(
            topic["error_code"] == 0
            and len(topic["partitions"]) == shards
            and all(partition["leader"] >= 0 for partition in topic["partitions"])
            for topic in described
        ):
            return
        await asyncio.sleep(0.05)
    raise StackError(f"the topics were made, but have no leader after {PATIENCE_S} s")


async def news(bootstrap: str) -> list[TopicNews]:
    """What the broker knows of larder's topics, and how far the services' consumer groups are behind."""
    async with admin(bootstrap) as client:
        found = {name: those for name, those in (await partitions_of(client)).items() if name in MADE_TOPICS}
        partitions = [TopicPartition(name, n) for name, those in found.items() for n in range(len(those))]
        ends = await _end_offsets(bootstrap, partitions)
        lags: dict[str, dict[str, int]] = {name: {} for name in found}
        for group in (*SERVICES, SIGNALS_GROUP):
            try:
                committed_offsets = await client.list_consumer_group_offsets(group)
            except GroupCoordinatorNotAvailableError:  # no group has ever committed anything to this broker
                break
            for partition, committed in committed_offsets.items():
                if partition in ends and committed.offset >= 0:
                    lag = lags[partition.topic]
                    lag[group] = lag.get(group, 0) + max(0, ends[partition] - committed.offset)
    return [
        TopicNews(
            name,
            end_offsets=tuple(ends[tp] for n in range(len(found[name])) if (tp := TopicPartition(name, n)) in ends),
            lag=lags[name],
            partitions=len(found[name]),
            copies=fewest(found[name], "replicas"),
            in_sync=fewest(found[name], "isr"),
        )
        for name in MADE_TOPICS
        if name in found
    ]


async def spans(bootstrap: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Where the log of each partition of larder's topics begins and ends, by (topic, partition)."""
    async with admin(bootstrap) as client:
        counts = await partition_counts(client)
    partitions = [TopicPartition(name, n) for name, count in counts.items() for n in range(count)]
    if not partitions:
        return {}
    async with _reading(bootstrap) as consumer:
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return {(tp.topic, tp.partition): (begins[tp], ends[tp]) for tp in partitions}


async def _end_offsets(bootstrap: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    if not partitions:
        return {}
    async with _reading(bootstrap) as consumer:
        try:
            ends: dict[TopicPartition, int] = await asyncio.wait_for(consumer.end_offsets(partitions), ENDS_PATIENCE_S)
            return ends
        except (KafkaError, TimeoutError):
            return {}


@asynccontextmanager
async def _reading(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
