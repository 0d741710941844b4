"""Child processes that never outlive the one who started them, and identities that survive the reuse of pids."""

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from larder.stack.errors import StackError
from larder.stack.home import appending

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Identity(NamedTuple):
    """One process: a pid alone may be another's by now, so the time of its start (in clock ticks) goes with it."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """The process that has this pid now; None if none has, or only its unburied rest."""
        try:
            # The second field is the program's name in parentheses and may hold anything, spaces included.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Identity.of(self.pid) == self

    def kill(self, how: signal.Signals) -> None:
        """Sends a signal, if this very process is still there."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, how)


@dataclass(frozen=True)
class Program:
    """How one child is run and stopped."""

    name: str
    command: tuple[str, ...]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    async def start(self) -> asyncio.subprocess.Process:
        """Starts it in a session of its own (a Ctrl-C reaches only us), tied to our life."""
        with appending(self.log) as log:
            try:
                return await asyncio.create_subprocess_exec(
                    *self.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, **self.env},
                    user=self.user,
                    group=self.user,
                    extra_groups=[] if self.user else None,
                    preexec_fn=_tie_to(os.getpid(), self.stop_signal),
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started ({self.command[0]}: {error.strerror})") from None

    async def stop(self, process: asyncio.subprocess.Process) -> bool:
        """Asks it to end and waits; kills it when the time is over. Returns whether it ended by itself."""
        if process.returncode is not None:
            return True
        with suppress(ProcessLookupError):
            process.send_signal(self.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.stop_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return False
        return True


def _tie_to(parent: int, how: int) -> Callable[[], None]:
    """What a new child does before it becomes its program: asks for a signal at its parent's death, of any kind."""

    def tie() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, how, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return tie


async def wait_until(
    probe: Callable[[], Awaitable[bool]], timeout_s: float, what: str, pause_s: float = 0.05, log: Path | None = None
) -> None:
    """Waits until the probe says yes; a StackError when the time is over."""
    end = time.monotonic() + timeout_s
    while not await probe():
        if time.monotonic() > end:
            raise StackError(f"waited {timeout_s:g} s in vain for {what}", log)
        await asyncio.sleep(pause_s)


async def bury(identities: list[Identity], patience_s: float = 20) -> None:
    """Waits for processes that are ending (their supervisor died); kills those that do not."""
    for identity in identities:
        identity.kill(signal.SIGTERM)
        identity.kill(signal.SIGINT)  # PostgreSQL waits for its clients after the first, not after the second
    end = time.monotonic() + patience_s
    while any(identity.alive() for identity in identities):
        if time.monotonic() > end:
            for identity in identities:
                identity.kill(signal.SIGKILL)
            end = time.monotonic() + patience_s
        await asyncio.sleep(0.05)
