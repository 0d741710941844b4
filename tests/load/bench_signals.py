"""How much one process of risk's signals counts on one core: `python -m tests.load.bench_signals`.

A log of orders, each seen by its account, its device and its address, and with two deeds, is written first, in packs as
services write them. Then the process starts, on one core, and its own metrics say how fast it counts. Each run adds to
the same tallies.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from larder.stack.topics import ensure_topics
from shared.contracts import risk
from shared.runtime.envelope import from_outside
from shared.runtime.publisher import make_producer
from shared.settings import Settings
from tests.parts import real_parts

ACCOUNTS, DEVICES, ADDRESSES = 20_000, 15_000, 12_000
ENTRIES_OF_AN_ORDER = 5
CORE = max(os.sched_getaffinity(0))
LOOK_S = 0.2
PATIENCE_S = 120


def orders(count: int, first: int, chance: random.Random) -> Iterator[tuple[list[risk.Sighting], list[risk.Activity]]]:
    """Orders as they are seen, and what their accounts did with them."""
    now = datetime.now(UTC) - timedelta(hours=1)
    for number in range(first, first + count):
        account = f"account-{chance.randrange(ACCOUNTS)}"
        device, address = f"{chance.randrange(DEVICES):024x}", f"{chance.randrange(ADDRESSES):024x}"
        order, at = f"o-{number}", now + timedelta(milliseconds=number)
        subjects = (("account", account), ("device", device), ("address", address))
        yield (
            [
                risk.Sighting(
                    about=about,  # type: ignore[arg-type]
                    subject=subject,
                    account=account,
                    order_id=order,
                    at=at,
                    total=4_200,
                    device=device,
                    address=address,
                )
                for about, subject in subjects
            ],
            [risk.Activity(account=account, order_id=order, deed=deed, at=at) for deed in ("delivered", "rated_low")],
        )


async def write(settings: Settings, entries: int, first: int, pack: int) -> None:
    """The log of one run, in packs of about so many entries."""
    producer = make_producer(settings.bootstrap(), "bench")
    await producer.start()
    told = list(orders(entries // ENTRIES_OF_AN_ORDER, first, random.Random(first)))
    step = max(1, pack // 3)
    for start in range(0, len(told), step):
        part = told[start : start + step]
        seen = risk.OrdersSeen(shard=0, entries=tuple(s for sightings, _ in part for s in sightings))
        acted = risk.AccountsActed(shard=0, entries=tuple(a for _, deeds in part for a in deeds))
        for said in (seen, acted):
            headers = from_outside(id="b", type=said.TYPE, source="bench", subject="0", actor="", at=datetime.now(UTC))
            await producer.send(said.TOPIC, said.to_json(), key=b"0", partition=0, headers=headers)
    await producer.flush()
    await producer.stop()


async def counted(client: httpx.AsyncClient, url: str) -> float:
    """What the process says that it has counted; 0 before it answers."""
    try:
        found = re.search(r"^larder_signals_counted_total (\S+)", (await client.get(url)).text, re.M)
    except httpx.HTTPError:
        return 0.0
    return float(found[1]) if found else 0.0


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(settings: Settings, entries: int) -> tuple[float, float, float]:
    """Entries per second, microseconds of processor time for each, and the process's resident MB."""
    env = {
        **os.environ,
        "LARDER_HOME": str(settings.home),
        "LARDER_KAFKA": settings.bootstrap(),
        "LARDER_TOKEN_SECRET": settings.token_secret,
        "LARDER_SIGNALS_PORT": str(settings.signals_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.risk.signals"],
        env=env,
        preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
    )
    url = f"http://127.0.0.1:{settings.signals_port}/metrics"
    try:
        async with httpx.AsyncClient() as client:
            end = time.monotonic() + PATIENCE_S
            looks: list[tuple[float, float, float]] = []
            while not looks or looks[-1][1] < entries:
                await asyncio.sleep(LOOK_S)
                number = await counted(client, url)
                if number:
                    looks.append((time.monotonic(), number, cpu_s(process.pid)))
                if time.monotonic() > end:
                    raise SystemExit(f"only {number:g} of {entries} were counted in {PATIENCE_S} s")
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    finally:
        process.terminate()
        process.wait(30)
    (began, first, cpu_before), (ended, last, cpu_after) = looks[0], looks[-1]
    number = last - first
    return number / (ended - began), 1e6 * (cpu_after - cpu_before) / number, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def bench(runs: int, entries: int, pack: int) -> None:
    """All runs, and their median."""
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as folder:
        async with real_parts(Path(folder) / "parts") as parts:
            settings = parts.settings(Path(folder) / "home", signals_port=28_107)
            await ensure_topics(settings.bootstrap(), 1)
            rates: list[float] = []
            for run in range(runs):
                await write(settings, entries, run * entries, pack)
                rate, cpu_us, memory_mb = await measure(settings, entries)
                rates.append(rate)
                print(f"run {run + 1}: {rate:,.0f} activities/s, {cpu_us:.0f} µs of CPU each, {memory_mb:.0f} MB")
            print(f"median {statistics.median(rates):,.0f}/s, from {min(rates):,.0f} to {max(rates):,.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--entries", type=int, default=150_000, help="activities and sightings of one run")
    parser.add_argument("--pack", type=int, default=150, help="entries of a record of sightings")
    chosen = parser.parse_args()
    asyncio.run(bench(chosen.runs, chosen.entries, chosen.pack))
