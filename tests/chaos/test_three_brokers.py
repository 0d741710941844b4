"""A cluster of three brokers loses one, then two, under load: nothing is lost, and all goes on afterwards."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from larder.stack.copies import look
from larder.stack.home import Home
from larder.stack.jars import can_run_kafka
from larder.stack.state import http_status
from larder.stack.topics import admin
from shared.contracts.topics import commands_of
from shared.settings import PROCESSES, SERVICES
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import WINDOWS
from tests.chaos.reaper import Mortal, load, nothing_wrong
from tests.system.driver import good, refused, until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(can_run_kafka() is not None, reason="the brokers are run from Kafka's jars"),
]
ANSWER_WAIT_S = 2
READY_S = 30.0
"""Until a service notices that nothing is acknowledged, or that it is again."""
MADE_BEFORE, RETENTION_MS = commands_of("risk"), "86400001"


@pytest.fixture
async def cluster(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Cluster]:
    """Three brokers of a home of their own."""
    caplog.set_level(logging.CRITICAL, "aiokafka")
    home = Path(tempfile.mkdtemp(prefix="larder-brokers-"))
    cluster = Cluster(Home.at(home))
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def stack_on_three(cluster: Cluster) -> AsyncIterator[Mortal]:
    """A stack that LARDER_KAFKA tells of the three brokers. Somebody has made one of its topics before, with three
    copies and a setting of his own."""
    home = Path(tempfile.mkdtemp(prefix="larder-chaos-"))
    ports = {f"{name}_port": Home.at(home).port(f"http-{name}") for name in PROCESSES}
    stack = Mortal(home, {**ports, **WINDOWS, "kafka": cluster.bootstrap, "answer_wait_s": ANSWER_WAIT_S})
    async with admin(cluster.bootstrap) as client:
        await client.create_topics([NewTopic(MADE_BEFORE, 1, 3, topic_configs={"retention.ms": RETENTION_MS})])
    try:
        await stack.up()
        yield stack
    finally:
        await stack.down()
        shutil.rmtree(home, ignore_errors=True)


async def test_one_broker_may_go_and_two_make_everybody_wait(cluster: Cluster, stack_on_three: Mortal) -> None:
    """With one of three brokers gone orders go on. With two gone none is acknowledged: no service is ready, who places
    an order gets 503 and may repeat it, no service dies of it. Once they are back everything comes to its end and the
    books are right."""
    stack = stack_on_three
    await all_is_kept_three_times(cluster)
    async with load(stack, 500, 15, seed=7) as playing:
        await stack.goes_on("aftersales")
        processes = {service: await stack.there(service) for service in SERVICES}
        order = await another_like_the_first(stack)

        await cluster.kill(1)
        await cluster.in_sync(2)
        await stack.goes_on("order", 10)
        await ready(stack, SERVICES, 200)
        assert "not every copy is in sync: a broker is away, or behind" in await doctor(stack, 0)

        await cluster.kill(2)
        await cluster.in_sync(1)
        await ready(stack, SERVICES, 503)
        refused(await stack.post("order", "/orders", order, key="patience"), 503, "answer_pending")
        refused(await stack.post("order", "/orders", order, key="patience"), 503, "answer_pending")
        assert "fewer copies in sync than min.insync.replicas, so nothing is acknowledged" in await doctor(stack, 1)
        assert {(topic["copies"], topic["in_sync"]) for topic in await stack.larder_json("topics")} == {(3, 1)}

        await cluster.back(1)
        await cluster.back(2)
        await cluster.in_sync(3)
        await stack.goes_on("order")
        await ready(stack, SERVICES, 200)
        assert good(await until_answered(stack, order, "patience"))["account"] == order["account"]
        assert {service: stack.identity(service) for service in SERVICES} == processes
        await playing.ended_well()
    assert "3 of each topic" in await doctor(stack, 0)
    await nothing_wrong(stack)


async def all_is_kept_three_times(cluster: Cluster) -> None:
    """Every topic has three copies and is acknowledged by two, and the one made before keeps its own setting."""
    async with admin(cluster.bootstrap) as client:
        told = await look(client)
        wanted = ConfigResource(ConfigResourceType.TOPIC, MADE_BEFORE, {"retention.ms": None})
        ((found,),) = [answer.to_object()["resources"] for answer in await client.describe_configs([wanted])]
    assert {(topic.copies, topic.min_in_sync) for topic in told.topics} == {(3, 2)}
    assert told.offsets_copies == 3
    assert [entry["config_value"] for entry in found["config_entries"]] == [RETENTION_MS]


async def another_like_the_first(stack: Mortal) -> dict[str, Any]:
    """What somebody else may order who wants the same as one of the load's robots."""
    (listed,) = (await stack.get("order", "/orders?limit=1"))["items"]
    placed = await stack.get("order", f"/orders/{listed['order_id']}")
    return {
        "account": "a-patient",
        "store": placed["store"],
        "lines": [{"spu": placed["lines"][0]["spu"], "quantity": 1}],
    }


async def ready(stack: Mortal, services: Iterable[str], status: int) -> None:
    """Waits until /readyz of these services answers with that status."""
    for service in services:

        async def answered(port: int = stack.settings.port(service)) -> bool:
            return await http_status("127.0.0.1", port, "/readyz") == status

        await until(answered, f"{service} to answer {status} at /readyz", READY_S)


async def until_answered(stack: Mortal, order: dict[str, Any], key: str) -> Any:
    """Repeats a request with its key until the answer is there, as its problem says one should."""

    async def answered() -> Any:
        answer = await stack.post("order", "/orders", order, key=key)
        return None if answer.status_code == 503 else answer

    return await until(answered, "the order to be answered")


async def doctor(stack: Mortal, status: int) -> str:
    """What the doctor says; nothing on stderr."""
    told = await stack.larder("doctor")
    assert (told.status, told.err) == (status, ""), told
    return told.out
