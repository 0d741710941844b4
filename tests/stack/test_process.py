"""Child processes: never orphaned, never mistaken for others."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from larder.stack.errors import StackError
from larder.stack.process import Identity, Program, bury, wait_until

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
STUBBORN = (
    *(sys.executable, "-u", "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "print('deaf'); time.sleep(600)",
)
PARENT = """
import asyncio, pathlib, sys
from larder.stack.process import Program
async def main():
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    child = await Program("child", command, pathlib.Path("child.log")).start()
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""


def test_a_pid_that_another_process_has_now_is_not_the_same_process() -> None:
    """Pids come round again: one that is stale must never be signalled."""
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not Identity(me.pid, me.started - 1).alive()
    assert Identity.of(2**22 + 1) is None


async def test_a_process_that_ended_but_was_not_waited_for_is_dead() -> None:
    """Under a first process that does not reap, the dead stay in the list; they must not count as running."""
    child = subprocess.Popen([sys.executable, "-c", ""])

    async def gone() -> bool:
        return Identity.of(child.pid) is None

    await wait_until(gone, 20, "the child to end")
    child.wait()


async def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """A supervisor killed with SIGKILL must leave no orphans behind."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = Identity.of(int(parent.stdout.readline()))
    assert child is not None
    parent.kill()
    parent.wait()

    async def gone() -> bool:
        return not child.alive()

    await wait_until(gone, 20, "the child to end with its parent")


async def test_what_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    """`larder down` must come to an end whatever a child does."""
    program = Program("stubborn", STUBBORN, tmp_path / "log", stop_s=0.2)
    process = await program.start()
    await wait_until(lambda: _said(tmp_path / "log", "deaf"), 20, "it to be deaf")
    assert not await program.stop(process)
    assert process.returncode == -signal.SIGKILL


async def test_leftovers_are_ended_before_a_new_start(tmp_path: Path) -> None:
    """Children of a supervisor that died must be gone, willing or not, before their ports are used again."""
    programs = [Program("willing", SLEEPER, tmp_path / "a"), Program("stubborn", STUBBORN, tmp_path / "b")]
    processes = [await program.start() for program in programs]
    await wait_until(lambda: _said(tmp_path / "b", "deaf"), 20, "it to be deaf")
    identities = [identity for process in processes if (identity := Identity.of(process.pid))]
    assert len(identities) == 2
    await asyncio.gather(bury(identities, patience_s=0.3), *(process.wait() for process in processes))
    assert not any(identity.alive() for identity in identities)


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The message must name what was to be run."""
    with pytest.raises(StackError, match=r"thing cannot be started .*no/such/program"):
        await Program("thing", ("/no/such/program",), tmp_path / "log").start()


async def test_waiting_in_vain_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """Whoever waits in vain must see why at once."""
    (tmp_path / "log").write_text("the reason\n")
    with pytest.raises(StackError, match="the reason"):
        await wait_until(_never, 0.05, "something", log=tmp_path / "log")


async def _never() -> bool:
    return False


async def _said(log: Path, what: str) -> bool:
    return log.exists() and what in log.read_text()
