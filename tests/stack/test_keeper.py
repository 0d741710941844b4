"""Keepers: what dies comes back whatever the disk says, and a keeper that meets what it does not know says so."""

import asyncio
import errno
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from larder.stack import disk as disk_module
from larder.stack import state as state_module
from larder.stack.errors import StackError
from larder.stack.home import Home, write_private
from larder.stack.keeper import QUICK_DEATHS_AT_ONCE, Keeper, keep
from larder.stack.process import Identity, Program, wait_until
from larder.stack.state import Stack
from larder.stack.supervisor import Supervisor
from shared.settings import Settings

PATIENCE_S = 20
SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
BROKEN = (sys.executable, "-c", "raise SystemExit(1)")


class Usage(NamedTuple):
    """As shutil.disk_usage tells it."""

    total: int
    used: int
    free: int


class Living(Supervisor):
    """A supervisor that keeps only what a test gives it, once all of it was ready."""

    def __init__(self, home: Home) -> None:
        self.said: list[str] = []
        super().__init__(home, Settings(home=home.root), self.said.append)
        self._stack.ready = True

    @asynccontextmanager
    async def keeping(self, program: Program) -> AsyncIterator[Keeper]:
        """Keeps it for as long as the block runs."""
        keeper = Keeper(program, self)
        self._keep(keeper)
        self._begin("the disk", keep("the disk", self._look, self.say))
        try:
            yield keeper
        finally:
            await self._stop()

    async def has_said(self, *words: str) -> None:
        """Waits for a line with all of these words in it."""
        await until(lambda: any(all(word in line for word in words) for line in self.said), f"{words} in {self.said}")

    def failed(self) -> bool:
        """Whether it would end now."""
        return not self._failures.empty()


async def until(what: Callable[[], object], told: str) -> None:
    """Waits for a condition."""

    async def probe() -> bool:
        return bool(what())

    await wait_until(probe, PATIENCE_S, told)


async def a_process(keeper: Keeper, other_than: int = 0) -> int:
    """The pid of the program, once it runs and is not the old one."""
    await until(lambda: keeper.process and keeper.process.pid != other_than, "a new process")
    assert keeper.process
    return keeper.process.pid


@pytest.fixture
def supervisor(tmp_path: Path) -> Living:
    """A supervisor of an empty home."""
    return Living(Home.at(tmp_path))


def no_space(path: Path, text: str) -> None:
    """Writing, on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


async def test_keepers_live_on_where_nothing_can_be_written(
    supervisor: Living, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk must not keep a dead service down; stack.json tells the right pid as soon as there is space."""
    monkeypatch.setattr(state_module, "write_private", no_space)
    async with supervisor.keeping(Program("order", SLEEPER, tmp_path / "log")) as keeper:
        first = Identity.of(await a_process(keeper))
        assert first
        first.kill(signal.SIGKILL)
        second = await a_process(keeper, other_than=first.pid)
        await supervisor.has_said("stack.json cannot be written", "No space left")
        assert sum("stack.json" in line for line in supervisor.said) == 1
        assert Stack.read(supervisor.home) is None
        monkeypatch.setattr(state_module, "write_private", write_private)
        await until(lambda: Stack.read(supervisor.home), "stack.json to be written")
        told = Stack.read(supervisor.home)
        assert told
        assert told.processes["order"].pid == second
    assert not supervisor.failed()


async def test_a_keeper_tells_what_it_does_not_know_and_goes_on(
    supervisor: Living, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error that nobody thought of must be read in the log, must not start a program twice, and must not keep it
    down when it dies."""
    monkeypatch.setattr("larder.stack.keeper.TURN_PAUSE_S", 0.05)

    def surprise(self: Supervisor, name: str, pid: int) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(Supervisor, "tell", surprise)
    async with supervisor.keeping(Program("order", SLEEPER, tmp_path / "log")) as keeper:
        first = await a_process(keeper)
        await supervisor.has_said("the keeper of order goes on", "ZeroDivisionError: nobody thought of this", ".py:")
        await until(lambda: sum("goes on" in line for line in supervisor.said) > 2, "more turns")
        assert await a_process(keeper) == first
        identity = Identity.of(first)
        assert identity
        monkeypatch.undo()
        identity.kill(signal.SIGKILL)
        await a_process(keeper, other_than=first)
    assert not supervisor.failed()


async def test_no_program_is_started_in_vain_while_the_disk_is_full(
    supervisor: Living, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A part that dies on a full disk waits for space, says so, and is back as soon as there is some."""
    started: list[str] = []
    start = Program.start

    async def counted(self: Program) -> asyncio.subprocess.Process:
        started.append(self.name)
        return await start(self)

    monkeypatch.setattr(Program, "start", counted)
    monkeypatch.setattr(disk_module, "LOOK_S", 0.02)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 2**20))
    async with supervisor.keeping(Program("postgres", BROKEN, tmp_path / "log")):
        await supervisor.has_said("postgres", "exit code 1", "disk full: 1.0 MiB free")
        await until(lambda: any(line.startswith("disk full") for line in supervisor.said), "the supervisor to tell")
        assert len(started) == 1
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 10**9))
        await supervisor.has_said("there is space again")
        await until(lambda: len(started) > QUICK_DEATHS_AT_ONCE, "it to be tried again, at once at first")
    assert not supervisor.failed()


async def test_once_all_was_ready_what_cannot_be_started_is_tried_again(supervisor: Living, tmp_path: Path) -> None:
    """A machine without memory for one more process for a moment must not end the whole stack."""
    program = tmp_path / "comes-later"
    async with supervisor.keeping(Program("order", (str(program),), tmp_path / "log")) as keeper:
        await supervisor.has_said("order cannot be started")
        program.symlink_to("/bin/cat")
        await a_process(keeper)
    assert not supervisor.failed()


async def test_at_the_start_what_does_not_run_is_given_up(supervisor: Living, tmp_path: Path) -> None:
    """`larder up` must end with the reason, not try for ever."""
    supervisor._stack.ready = False
    async with supervisor.keeping(Program("order", BROKEN, tmp_path / "log")):
        await until(supervisor.failed, "it to be given up")
    assert "order does not start" in str(supervisor._failures.get_nowait())


async def test_a_keeping_that_ends_for_good_is_a_failure_of_the_supervisor() -> None:
    """A StackError of a turn is passed on; every other error is not the end."""
    said: list[str] = []
    turns = iter([RuntimeError("one"), StackError("two")])

    async def turn() -> None:
        raise next(turns)

    with suppress(StackError):
        await asyncio.wait_for(keep("nothing", turn, said.append), PATIENCE_S)
        pytest.fail("it goes on")
    assert len(said) == 1
    assert "RuntimeError: one" in said[0]
