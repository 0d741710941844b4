"""Topics on a real broker: made once, with equal partitions."""

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from larder.stack.errors import StackError
from larder.stack.topics import admin, ensure_topics, news
from shared.contracts.topics import COMPACTED_TOPICS, LEVEL_TOPICS, MADE_TOPICS
from shared.settings import Settings
from tests.parts import RealParts

pytestmark = pytest.mark.parts


async def test_topics_are_made_once(migrated: Settings, parts: RealParts) -> None:
    """A second start must find them all; every one has as many partitions as there are shards."""
    assert await ensure_topics(parts.bootstrap, migrated.shards) == []
    told = await news(parts.bootstrap)
    assert [topic.name for topic in told] == list(MADE_TOPICS)
    assert {len(topic.end_offsets) for topic in told} == {migrated.shards}
    assert {(topic.copies, topic.in_sync) for topic in told} == {(1, 1)}


async def test_only_changelogs_and_levels_are_compacted(migrated: Settings) -> None:
    """Of them the newest of each key is kept; what others said is kept whole."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"cleanup.policy": None}) for name in MADE_TOPICS]
    async with admin(migrated.bootstrap()) as client:
        answers = await client.describe_configs(resources)
    found = [resource for answer in answers for resource in answer.to_object()["resources"]]
    policies = {resource["resource_name"]: resource["config_entries"][0]["config_value"] for resource in found}
    assert set(LEVEL_TOPICS) <= set(COMPACTED_TOPICS)
    assert policies == {name: "compact" if name in COMPACTED_TOPICS else "delete" for name in MADE_TOPICS}


async def test_another_number_of_shards_is_refused(migrated: Settings, parts: RealParts) -> None:
    """Keys would silently move between shards, away from their state."""
    with pytest.raises(StackError, match=r"LARDER_SHARDS is 2, but .*order.commands has 1"):
        await ensure_topics(parts.bootstrap, 2)


async def test_a_broker_that_does_not_answer_is_told() -> None:
    """The message must name the address that was tried."""
    with pytest.raises(StackError, match=r"no Kafka broker answers at 127\.0\.0\.1:1:"):
        await ensure_topics("127.0.0.1:1", 1)
