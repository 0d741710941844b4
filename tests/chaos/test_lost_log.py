"""The broker's log is lost for good: nothing is skipped or repeated, and adopting the new broker loses nothing."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal

import pytest

from larder.stack.home import Home
from larder.stack.jars import can_run_kafka
from larder.stack.kafka import Kafka
from larder.stack.process import wait_until
from larder.stack.topics import admin, ensure_topics
from shared.settings import SERVICES
from tests.chaos.reaper import Mortal, load, nothing_wrong

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(can_run_kafka() is not None, reason="the broker's files are somebody else's"),
]
LOST = "this log has lost records"
SAID = "this database goes with Kafka cluster"
PROGRESS = "select json_agg(array[sent, received] order by shard)::text from progress"


async def test_a_lost_log_is_given_again_from_the_outboxes(stack: Mortal, long: bool) -> None:
    """In the midst of a load the broker comes back empty, as another cluster, while one service still has much to read.
    The services stop and say so. Adopted, the new broker gets all that was under way between them; the orders whose
    robots went home stay where they are, and another load comes to its end."""
    orders, rate = (3_000, 100) if long else (300, 80)
    async with load(stack, orders, rate, seed=3) as playing:
        await stack.goes_on("order")
        sleeper = await stack.there("inventory")
        sleeper.kill(signal.SIGSTOP)
        await stack.goes_on("order")
        await playing.interrupted()
    await wipe_the_broker(stack)
    sleeper.kill(signal.SIGKILL)  # what it had read and not decided is lost with it
    for service in SERVICES:
        await stack.says(service, SAID)
    before = [await stack.ask_book(service, PROGRESS) for service in SERVICES]
    refused = await stack.larder("topics", "--adopt")
    assert refused.status == 1
    assert "`larder down`" in refused.err
    assert [await stack.ask_book(service, PROGRESS) for service in SERVICES] == before
    await stack.larder("down")
    adopted = await stack.larder("topics", "--adopt")
    assert adopted.status == 0, adopted.err
    assert not re.search(r"order/0: .* 0 of them not received yet", adopted.out), adopted.out
    assert "are lost" in adopted.out
    await stack.up_again()
    async with load(stack, 60, 60, "--unpaid-share", 0, "--late-share", 0, seed=4) as playing:
        await playing.ended_well()
    await nothing_wrong(stack)


async def test_a_topic_made_again_is_noticed_and_given_again(stack: Mortal, long: bool) -> None:
    """The cluster is the same, and one log of it is another: deleted and made again while orders are placed. Whoever
    reads it stops and says so, whatever its offsets look like; adopted, it holds again what the outboxes keep."""
    orders, rate = (3_000, 100) if long else (300, 80)
    async with load(stack, orders, rate, seed=5) as playing:
        await stack.goes_on("inventory")
        await make_again(stack, "inventory.commands")
        await stack.says("inventory", LOST)
        await playing.interrupted()
    await stack.larder("down")
    adopted = await stack.larder("topics", "--adopt")
    assert adopted.status == 0, adopted.err
    assert re.search(r"order/0: [1-9][0-9,]* messages are published again", adopted.out), adopted.out
    assert "payment/0" not in adopted.out
    again = await stack.larder("topics", "--adopt")
    assert "nothing to adopt" in again.out
    await stack.up_again()
    async with load(stack, 60, 60, "--unpaid-share", 0, "--late-share", 0, seed=6) as playing:
        await playing.ended_well()
    await nothing_wrong(stack)


async def make_again(stack: Mortal, topic: str) -> None:
    """The topic loses all its records."""
    bootstrap = Kafka(Home.at(stack.home), print).bootstrap
    async with admin(bootstrap) as client:
        await client.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await client.list_topics()

        await wait_until(gone, 30, f"{topic} to be gone")
    await ensure_topics(bootstrap, 1)


async def wipe_the_broker(stack: Mortal) -> None:
    """The broker dies, and comes back on the same port without its data: with another cluster id."""
    kafka = Kafka(Home.at(stack.home), print)
    old = await stack.there("kafka")
    old.kill(signal.SIGKILL)
    shutil.rmtree(kafka.data)
    await asyncio.to_thread(kafka.prepare)
