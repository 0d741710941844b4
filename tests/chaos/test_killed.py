"""`kill -9` under load, of everything: the load ends by itself and the books are right."""

from __future__ import annotations

import signal

import pytest

from larder.stack.home import Home
from shared.settings import SERVICES
from tests.chaos.reaper import Mortal, another_worker, load, nothing_wrong, until_listening, until_ready

pytestmark = pytest.mark.stack
PARTS = ("postgres", "kafka")
AGAIN_S = 5.0
"""How long the quickest of the killed workers may take from its new start to its first commit: less than the session
that anybody but the same member would have to wait for. On a machine that has nothing else to do it is under one
second."""
SLEEPY = "inventory"


async def test_everything_may_be_killed_under_load(stack: Mortal, long: bool) -> None:
    """Each service, the database and the broker die in turn while orders are placed; then a worker sleeps until another
    one has its shard, and wakes up. No order is lost, nothing is done twice, and a killed worker goes on at once: it
    comes back as the same member of its group."""
    orders, rate, rounds = (6_000, 60, 3) if long else (1_500, 50, 1)
    took = {}
    async with load(stack, orders, rate) as playing:
        await stack.goes_on("aftersales")
        for _ in range(rounds):
            for service in SERVICES:
                took[service] = await stack.first_commit_s(service, await stack.kill(service))
            for part in PARTS:
                await stack.kill(part)
                await stack.goes_on("order")
            await outslept(stack)
        await playing.ended_well()
    print("from start to first commit:", ", ".join(f"{service} {s:.2f} s" for service, s in took.items()))
    assert min(took.values()) < AGAIN_S, took
    await nothing_wrong(stack)


async def outslept(stack: Mortal) -> None:
    """A worker is stopped until its session is over and another has its shard. Awake again, whatever it still wants to
    write must not pass the gate."""
    port = Home.at(stack.home).port("http-second-worker")
    async with another_worker(stack, SLEEPY, port):
        sleeper = await stack.there(SLEEPY)
        await until_listening(port)
        await stack.goes_on(SLEEPY, 1)
        sleeper.kill(signal.SIGSTOP)
        await until_ready(port, "the second worker")
        await stack.goes_on(SLEEPY, 1)
        sleeper.kill(signal.SIGCONT)
        await stack.goes_on(SLEEPY)
