"""Kills the processes of one stack and waits for what follows; plays a load meanwhile.

The supervisor of the stack starts again what died. Everything here waits for conditions, with much patience: the
machine is shared.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from larder.audit import Report, audit
from larder.stack.home import Home
from larder.stack.process import Identity
from larder.stack.state import Stack as Running
from larder.stack.state import http_status
from shared.settings import SERVICES
from tests.system.driver import LARDER, Stack, until

BACK_S = 90.0
"""How long a process may take until it is there and ready again."""
END_S = 240.0
"""How long a load may take until it has ended by itself."""
AUDIT_WAIT_S = 60.0


class Mortal(Stack):
    """A stack whose processes are killed."""

    playing: asyncio.subprocess.Process | None = None
    """The load under way, or the last one there was."""
    loads_log_in: Path | None = None
    """The folder that loads say their last line in; None: among the stack's own logs."""

    @property
    def is_over(self) -> bool:
        """Whether a load has ended."""
        return self.playing is not None and self.playing.returncode is not None

    @property
    def environment(self) -> dict[str, str]:
        """What its commands are run with."""
        return dict(self._env)

    def identity(self, name: str) -> Identity | None:
        """The process that runs under this name now."""
        running = Running.read(Home.seen(self.home))
        identity = running.processes.get(name) if running else None
        return identity if identity and identity.alive() else None

    async def there(self, name: str, other_than: Identity | None = None) -> Identity:
        """The process of that name, once there is one that is not the old one."""

        async def one() -> Identity | None:
            found = self.identity(name)
            return found if found != other_than else None

        return await until(one, f"{name} to be started", BACK_S)

    async def kill(self, name: str) -> Identity:
        """`kill -9`, and the new process that the supervisor starts instead."""
        old = await self.there(name)
        old.kill(signal.SIGKILL)
        return await self.there(name, old)

    async def all_ready(self) -> None:
        """Every service owns its shard."""
        for service in SERVICES:
            await until_ready(self.settings.port(service), service)

    async def decided(self, service: str) -> int:
        """How many batches the service's shard has ever committed; waits for the database."""
        return int(await self.ask_book(service, "select sum(version) + 1 from progress")) - 1

    async def first_commit_s(self, service: str, process: Identity) -> float:
        """How long it took a service from the start of this process to its first commit; infinite if the load was over
        before that."""
        port = self.settings.port(service)
        await until_ready(port, service)

        async def moment() -> float:
            return await counter(port, "larder_batches_created") or (math.inf if self.is_over else 0)

        return await until(moment, f"{service} to commit", BACK_S) - started_at(process)

    async def ask_book(self, service: str, sql: str) -> Any:
        """One value from a service's database; waits until it answers with something."""
        return await until(lambda: self._one(service, sql), f"{service}'s database to say something", BACK_S)

    async def says(self, name: str, words: str) -> None:
        """The log of a process holds these words."""
        log = Home.seen(self.home).log(name)

        async def said() -> bool:
            return words in log.read_text()

        await until(said, f"{name} to say: {words}", BACK_S)

    async def up_again(self) -> None:
        """Brings it up after a `larder down`."""
        told = await self.larder("up", "--detach")
        assert told.status == 0, told.err

    async def _one(self, service: str, sql: str) -> Any:
        try:
            connection = await asyncpg.connect(self.settings.dsn(service), timeout=20)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None
        try:
            return await connection.fetchval(sql)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None
        finally:
            connection.terminate()

    async def goes_on(self, service: str, batches: int = 3) -> None:
        """The service commits batches again, or there is nothing to do any more, since the load is over."""
        before = await self.decided(service)

        async def more() -> bool:
            return await self.decided(service) >= before + batches or self.is_over

        await until(more, f"{service} to commit batches", BACK_S)


async def until_listening(port: int) -> None:
    """Some process answers at this port."""

    async def yes() -> bool:
        return await http_status("127.0.0.1", port, "/healthz") is not None

    await until(yes, f"somebody to listen at {port}", BACK_S)


async def until_ready(port: int, what: str) -> None:
    """The service at this port owns a shard."""

    async def yes() -> bool:
        return await http_status("127.0.0.1", port, "/readyz") == 200

    await until(yes, f"{what} to be ready", BACK_S)


async def counter(port: int, name: str) -> float:
    """A metric of the service at this port; 0 while it says nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        page = (await reader.read()).decode()
    finally:
        writer.close()
    values = [float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name)]
    return sum(values)


def started_at(process: Identity) -> float:
    """When a process was started, in seconds since 1970; good to about 20 ms."""
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up_s + process.started / os.sysconf("SC_CLK_TCK")


class Playing:
    """A load under way."""

    def __init__(self, process: asyncio.subprocess.Process, orders: int, log: Path) -> None:
        self.process = process
        self._orders = orders
        self._log = log

    async def last_line(self, end_s: float = END_S) -> dict[str, Any]:
        """The load's last line, once it has ended by itself, and well."""
        async with asyncio.timeout(end_s):
            status = await self.process.wait()
        told = self._log.read_text()
        assert status == 0, f"the load ended with {status}:\n{told[-4000:]}"
        line: dict[str, Any] = json.loads(told.strip().splitlines()[-1])
        return line

    async def ended_well(self) -> dict[str, Any]:
        """The same; every order is at its end."""
        summary = await self.last_line()
        assert summary["completed"] + summary["cancelled"] + summary["rejected"] == summary["orders"] == self._orders
        return summary

    async def interrupted(self) -> None:
        """The robots go home in the midst of it."""
        await ended(self.process, signal.SIGINT)


@asynccontextmanager
async def load(stack: Mortal, orders: int, rate: float, *more: object, seed: int = 1) -> AsyncIterator[Playing]:
    """A load that runs while the block does, with more options of the command if wanted."""
    log = (stack.loads_log_in or stack.home / "logs") / f"load-{seed}.log"
    command = ("load", "--orders", orders, "--rate", rate, "--seed", seed, "--no-audit", "--json", *more)
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            LARDER,
            *map(str, command),
            env=stack.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    stack.playing = process
    try:
        yield Playing(process, orders, log)
    finally:
        await ended(process, signal.SIGINT)


async def nothing_wrong(stack: Stack) -> Report:
    """The audit's verdict: no violation, nothing parked, nothing on its way for ever."""
    report = await audit(stack.settings, AUDIT_WAIT_S)
    assert not report.violations, "\n".join(map(str, report.violations[:20]))
    assert report.parked_count == 0, report.parked[:20]
    assert report.in_flight.is_quiet, report.in_flight
    return report


@asynccontextmanager
async def another_worker(
    stack: Mortal, service: str, port: int, number: int = 1
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """Another worker of a service, with a port of its own; gives its process and its log."""
    log = stack.home / "logs" / f"{service}-{number}.log"
    env = stack.environment | {"LARDER_WORKER": str(number), f"LARDER_{service.upper()}_PORT": str(port)}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", f"services.{service}.main", env=env, stdout=file, stderr=file
        )
    try:
        yield process, log
    finally:
        await ended(process, signal.SIGTERM)


async def ended(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """Ends a process of ours that has not ended yet."""
    if process.returncode is None:
        process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()
