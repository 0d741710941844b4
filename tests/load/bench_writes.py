"""What writing an order down costs, without broker and without waiting: `python -m tests.load.bench_writes`.

The six services decide real baskets in this process (`tests.house`), over a real database each. What is measured, in
microseconds of processor time an order: of each service's backend, of making its rows, and of making them and handing
them to the client (`save`). With `--alone N` each write of every Nth batch is
also measured by itself, in a transaction that is rolled back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from math import inf
from pathlib import Path

import asyncpg

from larder.load.baskets import read_baskets
from larder.load.play import Play
from larder.load.sample import BASKETS
from larder.stack.home import Home
from larder.stack.migrate import migrate
from larder.stack.postgres import Postgres
from larder.stack.process import wait_until
from shared.contracts.topics import SERVICES
from shared.runtime.commit import Commit, together
from shared.runtime.database import _runtime_writes
from shared.runtime.decider import Windows
from shared.runtime.shard import EffectAnswered
from shared.runtime.statement import Write, execute
from shared.settings import Settings
from tests.house import House, Service

ALONE_TIMES = 2
"""So often a write is measured by itself; the quickest counts."""
NOTHING, NO_GATE = Write("nothing", "select 1", []), Write("gate", "select 1", [])
STAT = """select relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup,
    pg_relation_size(relid) as heap, pg_indexes_size(relid) as indexes
from pg_stat_user_tables where n_tup_ins + n_tup_upd + n_tup_del > 0 order by relname"""
INDEXES = """select indexrelname, idx_scan, pg_relation_size(indexrelid) as size from pg_stat_user_indexes
where pg_relation_size(indexrelid) > 65536 order by relname, indexrelname"""


class Counts:
    """What is counted of one service in one run, in seconds of processor time."""

    def __init__(self) -> None:
        self.batches = self.messages = 0
        self.backend_s = self.rows_s = self.save_s = 0.0
        self.parts: dict[str, float] = defaultdict(float)
        """Of writes by themselves."""
        self.times: Counter[str] = Counter()
        self.alone_messages = 0


class Measured(Service):
    """A service whose writing is counted."""

    alone_every = 0

    async def claim(self, windows: Windows, shards: int) -> None:
        """Its backend is known from here on."""
        self.counted = Counts()
        self._pid = await self.connection.fetchval("select pg_backend_pid()")
        await super().claim(windows, shards)

    async def turn(self, now: datetime, answers: Sequence[tuple[int, EffectAnswered]] = ()) -> None:
        """All that the backend does in it."""
        before = _cpu_s(self._pid)
        await super().turn(now, answers)
        self.counted.backend_s += _cpu_s(self._pid) - before

    async def save(self, commits: Sequence[Commit]) -> None:
        """Makes the rows once more, to know what they take."""
        counted = self.counted
        counted.batches += 1
        counted.messages += sum(commit.decided for commit in commits)
        began = time.thread_time()
        self.store.save_many(together(commits))
        counted.rows_s += time.thread_time() - began
        if self.alone_every and counted.batches % self.alone_every == 0:
            before = _cpu_s(self._pid)
            await self._alone(commits)
            counted.backend_s -= _cpu_s(self._pid) - before
        began = time.thread_time()
        await super().save(commits)
        counted.save_s += time.thread_time() - began

    async def _alone(self, commits: Sequence[Commit]) -> None:
        """Each write of a commit by itself, rolled back: what its backend takes for it."""
        for write in (NOTHING, *_runtime_writes(commits), *self.store.save_many(together(commits))):
            took = inf
            for _ in range(ALONE_TIMES):
                transaction = self.connection.transaction()
                await transaction.start()
                before = _cpu_s(self._pid)
                await execute(self.connection, NO_GATE, [write])
                took = min(took, _cpu_s(self._pid) - before)
                await transaction.rollback()
            self.counted.parts[write.name] += took
            self.counted.times[write.name] += 1
        self.counted.alone_messages += sum(commit.decided for commit in commits)


def _cpu_s(pid: int) -> float:
    """Seconds that a process was on a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Settings]:
    """A database server of its own, with all tables."""
    home = Home.at(folder)
    postgres = Postgres(home, print)
    await asyncio.to_thread(postgres.prepare)
    program = postgres.program()
    process = await program.start()
    try:
        await wait_until(postgres.answers, 60, "PostgreSQL to answer", log=program.log)
        await postgres.make_databases()
        settings = Settings(home=folder, database=postgres.template(), token_secret="bench" * 8)
        await migrate(settings, lambda line: None)
        yield settings
    finally:
        await program.stop(process)


def report(house: House, orders: int) -> None:
    """A line for each service, and one for each write that was measured by itself."""
    print(f"{'µs an order':<12}{'backend':>9}{'rows':>8}{'save':>8}{'batches':>9}{'messages a batch':>18}")
    total = [0.0] * 3
    for name, service in house.services.items():
        c: Counts = service.counted
        figures = [1e6 * s / orders for s in (c.backend_s, c.rows_s, c.save_s)]
        total = [a + b for a, b in zip(total, figures, strict=True)]
        each = c.messages / max(1, c.batches)
        print(f"{name:<12}{figures[0]:9.1f}{figures[1]:8.1f}{figures[2]:8.1f}{c.batches:9}{each:18.0f}")
        if not c.alone_messages:
            continue
        share, nothing_s = c.alone_messages / c.messages, c.parts[NOTHING.name] / c.times[NOTHING.name]
        parts = {name: s - nothing_s * c.times[name] for name, s in c.parts.items() if name != NOTHING.name}
        for part, seconds in sorted(parts.items(), key=lambda p: -p[1]):
            print(f"    {part:<22}{1e6 * seconds / share / orders:8.1f}")
    print(f"{'all':<12}{total[0]:9.1f}{total[1]:8.1f}{total[2]:8.1f}")


async def new_log(dsns: Iterable[str]) -> None:
    """Databases that are kept outlive the log, which is in this process: what they know of it is forgotten."""
    for dsn in dsns:
        connection = await asyncpg.connect(dsn)
        await connection.execute("truncate progress, outbox, timers, effects")
        await connection.close()


async def tables(house: House) -> None:
    """What PostgreSQL counted of its tables and indexes."""
    for name, service in house.services.items():
        await service.connection.execute("select pg_stat_force_next_flush()")
        print(name)
        for r in await service.connection.fetch(STAT):
            hot = 100 * r["n_tup_hot_upd"] / r["n_tup_upd"] if r["n_tup_upd"] else 0
            print(
                f"    {r['relname']:<18} ins {r['n_tup_ins']:>8} upd {r['n_tup_upd']:>8} ({hot:3.0f}% hot) "
                f"del {r['n_tup_del']:>8} dead {r['n_dead_tup']:>7} heap {r['heap'] >> 10:>8} kB "
                f"indexes {r['indexes'] >> 10:>8} kB"
            )
        for r in await service.connection.fetch(INDEXES):
            print(f"        {r['indexrelname']}: {r['idx_scan']} scans, {r['size'] >> 10} kB")


async def bench(chosen: argparse.Namespace) -> None:
    """Warms up, then measures some times."""
    async with AsyncExitStack() as ending:
        folder = chosen.home or Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="larder-bench-")))
        settings = await ending.enter_async_context(running(folder))
        play = ending.enter_context(Play.of(read_baskets(BASKETS), 20_000))
        baskets = play.endless()
        house = House(Measured, shards=chosen.shards)
        dsns = {name: settings.dsn(name) for name in SERVICES}
        await new_log(dsns.values())
        await house.begin(dsns, ending)
        await house.stock(play, play.plays(chosen.warm + chosen.runs * chosen.orders) + 1)
        await house.play(baskets, chosen.warm, chosen.a_round)
        gc.freeze()
        for _ in range(chosen.runs):
            for service in house.services.values():
                service.counted, service.alone_every = Counts(), chosen.alone
            await house.play(baskets, chosen.orders, chosen.a_round)
            report(house, chosen.orders)
        if chosen.tables:
            await tables(house)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=4_000, help="orders of each measured run")
    parser.add_argument("--warm", type=int, default=2_000, help="orders before the first one")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--a-round", type=int, default=40, help="orders placed in each round")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--alone", type=int, default=0, help="measure each write of every Nth batch by itself")
    parser.add_argument("--tables", action="store_true", help="say what became of tables and indexes")
    parser.add_argument("--home", type=Path, help="a folder whose database is kept for the next time")
    asyncio.run(bench(parser.parse_args()))
