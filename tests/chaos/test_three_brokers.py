"""A cluster of three brokers loses one, then two, under load: nothing acknowledged is lost, and all goes on after."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from larder.stack.copies import Cluster as Copies
from larder.stack.copies import look
from larder.stack.home import Home
from larder.stack.jars import can_run_kafka
from larder.stack.topics import admin
from shared.contracts.topics import commands_of
from shared.settings import SERVICES
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import WINDOWS
from tests.chaos.reaper import Mortal, load, nothing_wrong
from tests.system.driver import refused

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(can_run_kafka() is not None, reason="the brokers are run from Kafka's jars"),
]
ANSWER_WAIT_S = 2
WAITED_LONG = "Got error produce response"
"""What a service's log says when its sends are refused for too few copies, from Kafka's client."""
MADE_BEFORE = commands_of("risk")
KEPT_MS = "86400001"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """Three brokers of a home of their own."""
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
    """A stack that is told of the three brokers by LARDER_KAFKA. One of its topics was made by somebody else before."""
    home = Path(tempfile.mkdtemp(prefix="larder-chaos-"))
    ports = {f"{service}_port": Home.at(home).port(f"http-{service}") for service in SERVICES}
    stack = Mortal(home, {**ports, **WINDOWS, "kafka": cluster.bootstrap, "answer_wait_s": ANSWER_WAIT_S})
    async with admin(cluster.bootstrap) as client:
        await client.create_topics([NewTopic(MADE_BEFORE, 1, 3, topic_configs={"retention.ms": KEPT_MS})])
    try:
        await stack.up()
        yield stack
    finally:
        await stack.down()
        shutil.rmtree(home, ignore_errors=True)


async def test_one_broker_may_go_and_two_make_everybody_wait(cluster: Cluster, stack_on_three: Mortal) -> None:
    """With one of three brokers gone orders go on. With two gone none is acknowledged: who places one gets 503 and may
    repeat it; no service dies of it. Once they are back everything comes to its end and the books are right."""
    stack = stack_on_three
    copies = await _copies(cluster)
    assert {(topic.copies, topic.min_in_sync) for topic in copies.topics} == {(3, 2)}
    assert copies.offsets_copies == 3
    assert (await _doctor(stack))[0] == 0
    async with load(stack, 600, 15, seed=7) as playing:
        await stack.goes_on("aftersales")
        processes = {service: await stack.there(service) for service in SERVICES}
        await cluster.kill(1)
        await cluster.in_sync(2)
        await stack.goes_on("order", 10)
        status, told = await _doctor(stack)
        print(status, told)
        await cluster.kill(2)
        await cluster.in_sync(1)
        order = {"store": "s-1", "lines": []}
        refused(await stack.post("order", "/orders", order, key="while-two-are-gone"), 503, "answer_pending")
        await stack.says("order", WAITED_LONG)
        status, told = await _doctor(stack)
        print(status, told)
        print((await stack.larder("topics")).out)
        await cluster.back(1)
        await cluster.back(2)
        await cluster.in_sync(3)
        await stack.goes_on("order")
        assert {service: stack.identity(service) for service in SERVICES} == processes
        await playing.ended_well()
    await nothing_wrong(stack)
    for s in SERVICES:
        print(s, (stack.home / "logs" / f"{s}.log").read_text())


async def _copies(cluster: Cluster) -> Copies:
    async with admin(cluster.bootstrap) as client:
        return await look(client)


async def _doctor(stack: Mortal) -> tuple[int, str]:
    told = await stack.larder("doctor")
    return told.status, told.out
