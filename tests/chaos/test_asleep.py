"""A worker that only slept, and another that is killed: the shard has one owner at a time."""

from __future__ import annotations

import signal

import pytest

from larder.stack.home import Home
from tests.chaos.reaper import (
    Mortal,
    another_worker,
    counter,
    load,
    nothing_wrong,
    started_at,
    until_listening,
    until_ready,
)

pytestmark = pytest.mark.stack
AGAIN_S = 5.0
"""How long a killed worker may take from its new start to its first commit. Measured in docs/benchmarks.md: under one
second; a test machine has other things to do."""
SERVICE = "inventory"


async def test_a_worker_that_slept_while_another_took_its_shard_changes_nothing(stack: Mortal, long: bool) -> None:
    """It is stopped in the midst of a load; when its session is over another worker goes on. Awake again, it exits, or
    waits without a shard; every hold and document is there once."""
    port = Home.at(stack.home).port("http-second-worker")
    async with load(stack, 1_500 if long else 500, 50, seed=2) as playing, another_worker(stack, SERVICE, port):
        sleeper = await stack.there(SERVICE)
        await until_listening(port)
        await stack.goes_on(SERVICE)
        sleeper.kill(signal.SIGSTOP)
        await until_ready(port, "the second worker")
        await stack.goes_on(SERVICE)
        sleeper.kill(signal.SIGCONT)
        await stack.goes_on(SERVICE)
        await playing.ended_well()
    await nothing_wrong(stack)


async def test_a_killed_worker_goes_on_at_once(stack: Mortal) -> None:
    """It comes back as the same member of its group: nobody waits for a session to end."""
    async with load(stack, 400, 40, seed=5) as playing:
        await stack.goes_on(SERVICE)
        took = []
        for _ in range(3):
            process = await stack.kill(SERVICE)
            await until_ready(stack.settings.port(SERVICE), SERVICE)
            await stack.goes_on(SERVICE, 1)
            first = await counter(stack.settings.port(SERVICE), "larder_batches_created")
            took.append(first - started_at(process))
        await playing.ended_well()
    print(f"from the start of the process to its first commit: {', '.join(f'{t:.2f} s' for t in took)}")
    assert min(took) < AGAIN_S, took
    await nothing_wrong(stack)
