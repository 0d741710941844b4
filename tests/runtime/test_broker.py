"""Whether a broker acknowledges, as far as the copies of a topic tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shared.runtime import broker


class Admin:
    """Tells of one topic: its partitions as (leader, copies in sync, copies), and its min.insync.replicas."""

    def __init__(self, partitions: list[tuple[int, int, int]], min_in_sync: list[str]) -> None:
        self._partitions = partitions
        self._entries = [{"config_value": value} for value in min_in_sync]

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        """As the client answers."""
        told = [{"leader": n, "isr": [0] * isr, "replicas": [0] * copies} for n, isr, copies in self._partitions]
        return [{"error_code": 0, "partitions": told}]

    async def describe_configs(self, resources: list[object]) -> list[Any]:
        """As the client answers."""
        return [SimpleNamespace(to_object=lambda: {"resources": [{"config_entries": self._entries}]})]


@pytest.mark.parametrize(
    ("partitions", "min_in_sync", "expected"),
    [
        ([(1, 3, 3)], ["2"], True),
        ([(1, 2, 3)], ["2"], True),
        ([(1, 1, 3)], ["2"], False),
        ([(1, 3, 3), (2, 1, 3)], ["2"], False),
        ([(-1, 2, 3)], ["2"], False),
        ([(-1, 1, 1)], ["1"], False),
        ([(1, 1, 2)], ["3"], False),
        ([(1, 2, 3)], [], True),
    ],
)
async def test_a_record_is_acknowledged_where_enough_copies_of_every_partition_are_in_sync(
    partitions: list[tuple[int, int, int]], min_in_sync: list[str], expected: bool
) -> None:
    """Without a leader it never is; a broker that does not tell what is enough is content with one."""
    client: Any = Admin(partitions, min_in_sync)
    assert await broker.acknowledges(client, "order.commands") is expected
