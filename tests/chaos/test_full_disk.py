"""The disk of a stack fills up under load: it is told, and all of it comes back by itself once there is space."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from larder.stack.home import Home
from larder.stack.jars import can_run_kafka
from larder.stack.postgres import Postgres
from larder.stack.state import supervisor_of
from larder.stack.supervisor import PARTS
from shared.settings import PROCESSES, SERVICES
from tests.chaos.conftest import WINDOWS
from tests.chaos.reaper import BACK_S, Mortal, load, nothing_wrong
from tests.disks import small_disk
from tests.system.driver import until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(can_run_kafka() is not None, reason="the broker's files are not in the home"),
]
DISK_MIB = 512
"""A home takes 170 MiB of it; the log of the database and a little more is left for the load."""
FILLER = "filler"
CHUNK = bytes(1024 * 1024)


@pytest.fixture
async def stack() -> AsyncIterator[Mortal]:
    """A stack on a small disk of its own; what loads say goes to another one."""
    home, logs = (Path(tempfile.mkdtemp(prefix="larder-full-")) for _ in range(2))
    try:
        with small_disk(home, DISK_MIB):
            ports = {f"{name}_port": Home.at(home).port(f"http-{name}") for name in PROCESSES}
            stack = Mortal(home, {**ports, **WINDOWS})
            stack.loads_log_in = logs
            try:
                await stack.up()
                yield stack
            finally:
                await stack.down()
    finally:
        for folder in (home, logs):
            shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path) -> None:
    """Takes all that is left of a disk."""
    with (folder / FILLER).open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(CHUNK)


async def both_parts_are_down(stack: Mortal) -> None:
    """Takes what space comes free, and has the database begin new files of its log, until both parts are dead."""
    begin = Postgres(Home.at(stack.home), print).superuser_dsn()

    async def down() -> bool:
        fill(stack.home)
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection = await asyncpg.connect(begin, timeout=5)
            try:
                for sql in ("select txid_current()", "select pg_switch_wal()", "select txid_current()"):
                    await connection.execute(sql)
            finally:
                connection.terminate()
        return not any(map(stack.identity, PARTS))

    await until(down, "Kafka and PostgreSQL to die of the full disk", BACK_S)


async def test_a_full_disk_is_told_and_all_comes_back_when_there_is_space(stack: Mortal) -> None:
    """Kafka halts and PostgreSQL panics; services die of what they cannot write. `status` and `doctor` say why, nothing
    is given up, and once there is space the same supervisor has all of it back, every order ends, and the books are
    right."""
    supervisor = supervisor_of(Home.seen(stack.home))
    async with load(stack, 400, 40) as playing:
        await stack.goes_on("order")
        await both_parts_are_down(stack)
        status, doctor = await stack.larder("status"), await stack.larder("doctor")
        assert status.status == doctor.status == 1
        assert "\ndisk full: " in status.out
        assert "!!  disk       disk full: " in doctor.out
        told = await stack.larder("status", "--json")
        assert json.loads(told.out)["disk"]["full"], told.out
        (stack.home / FILLER).unlink()
        for name in (*PARTS, *SERVICES):
            await stack.there(name)
        await stack.all_ready()
        await playing.ended_well()
    await nothing_wrong(stack)
    assert supervisor_of(Home.seen(stack.home)) == supervisor
    assert "disk full" not in (await stack.larder("status")).out
