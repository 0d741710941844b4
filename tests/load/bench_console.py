"""What open pages cost: `python -m tests.load.bench_console [--pages 50] [--rate 60] [--seconds 30]`.

A stack of its own, orders at a steady rate, and so many open pages: overviews, pickers', couriers' and analysts' rooms.
Prints the console's CPU (percent of one core) and resident memory with nobody there, and with all pages open.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from larder.stack.home import Home
from shared import tokens
from shared.settings import PROCESSES
from tests.system.driver import Stack

MB = 1_000_000
TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and resident megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (int(fields[11]) + int(fields[12])) / TICKS, resident / MB


async def watch(client: httpx.AsyncClient, path: str, got: dict[str, int]) -> None:
    """One open page: counts what it is sent."""
    async with client.stream("GET", path) as said:
        assert said.status_code == 200, path
        async for line in said.aiter_lines():
            got["updates"] += line == ""


async def measure(pid: int, seconds: float, what: str) -> None:
    """How it does for so long."""
    before, begun = used(pid)[0], time.monotonic()
    await asyncio.sleep(seconds)
    cpu, resident = used(pid)
    print(
        f"{what}: {100 * (cpu - before) / (time.monotonic() - begun):.1f}% of one core, {resident:.0f} MB", flush=True
    )


async def bench(pages: int, rate: float, seconds: float) -> None:
    """Measures; the stack goes when it is over."""
    home = Path(tempfile.mkdtemp(prefix="larder-bench-console-"))
    stack = Stack(home, {f"{name}_port": Home.at(home).port(f"http-{name}") for name in PROCESSES})
    await stack.up()
    try:
        pid: Any = next(s["pid"] for s in (await stack.larder_json("status"))["services"] if s["name"] == "console")
        orders = int(rate * (2 * seconds + 40))
        load = asyncio.create_task(stack.larder("load", "--orders", orders, "--rate", rate, "--no-audit"))
        await asyncio.sleep(15)
        await measure(pid, seconds, f"{rate:g} orders/s, no page open")
        at = f"http://127.0.0.1:{stack.settings.port('console')}"
        cookie = {"Cookie": f"larder_console={tokens.create(stack.settings, 'admin', name='bench')}"}
        got = {"updates": 0}
        limits = httpx.Limits(max_connections=pages)
        async with httpx.AsyncClient(base_url=at, headers=cookie, timeout=60, limits=limits, trust_env=False) as client:
            store = (await stack.get("order", "/orders?limit=1"))["items"][0]["store"]
            rooms = ("/-/overview", f"/-/pick?store={store}", "/-/overview", f"/-/courier?store={store}", "/-/risk")
            paths = [rooms[n % len(rooms)] for n in range(pages)]
            watching = [asyncio.create_task(watch(client, path, got)) for path in paths]
            await asyncio.sleep(3)
            got["updates"] = 0
            await measure(pid, seconds, f"{rate:g} orders/s, {len(paths)} pages open")
            print(f"{got['updates'] / seconds:.0f} updates/s sent", flush=True)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        told = await load
        print(told.out.strip().splitlines()[-1] if told.out else told.err, flush=True)
    finally:
        await stack.down()


def main() -> None:
    """Reads the command line."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--pages", type=int, default=50)
    reader.add_argument("--rate", type=float, default=60)
    reader.add_argument("--seconds", type=float, default=30)
    named = reader.parse_args()
    sys.exit(asyncio.run(bench(named.pages, named.rate, named.seconds)))


if __name__ == "__main__":
    main()
