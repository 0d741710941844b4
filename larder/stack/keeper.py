"""Keeps one program alive: a new life after each death, with growing pauses, and with none while the disk is full.

A keeper itself never dies unseen: what goes wrong in one of its turns is told, and the next turn comes.
"""

import asyncio
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from larder.stack.disk import disk_of, until_space
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.process import Program
from shared.settings import PROCESSES

Say = Callable[[str], None]

QUICK_DEATH_S = 10
QUICK_DEATHS_AT_ONCE = 5
"""So many deaths soon after a start are followed by a new start at once; from then on the pauses double."""
LONGEST_PAUSE_S = 30.0
TURN_PAUSE_S = 1.0
"""How long a keeper waits after a turn that went wrong in a way that nobody thought of."""


class Household(Protocol):
    """What a keeper has to do with the rest of its supervisor."""

    home: Home
    say: Say

    @property
    def all_was_ready(self) -> bool:
        """Whether all of it was up once: from then on nothing that dies is given up."""

    def tell(self, name: str, pid: int) -> None:
        """Makes it known that this process runs now."""

    async def parts_answer(self) -> None:
        """Returns when the broker and the database answer, or after much patience."""


@dataclass
class Keeper:
    """One program and its present life. `process` is the child that we started, if there was one yet."""

    program: Program
    household: Household
    pid_of: Callable[[int], int] | None = None
    """The process that matters, given the child that we started; may block."""
    forgets: bool = False
    """Whatever it held dies with it: there is no second life."""
    process: asyncio.subprocess.Process | None = None
    _began: float = 0
    _quick_deaths: int = 0

    async def life(self) -> None:
        """From a start to the next: waits until the program has died, and until it is time to start it again. A
        StackError if there is no going on."""
        name = self.program.name
        # One that lives on, since the turn before went wrong, is not started a second time.
        if self.process is None or self.process.returncode is not None:
            self._began = time.monotonic()
            try:
                self.process = await self.program.start()
            except StackError as error:
                if not self.household.all_was_ready:
                    raise
                self._quick_deaths += 1
                await self._pause(str(error))
                return
        pid = self.process.pid
        self.household.tell(name, await asyncio.to_thread(self.pid_of, pid) if self.pid_of else pid)
        code = await self.process.wait()
        self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - self._began < QUICK_DEATH_S else 0
        if self.forgets:
            why = "the broker in memory died, and all it held is gone: `larder up` begins anew"
            raise StackError(why, self.program.log)
        if not self.household.all_was_ready and self._quick_deaths > QUICK_DEATHS_AT_ONCE:
            why = f"{name} does not start: it died {self._quick_deaths} times, last with {_told(code)}"
            raise StackError(why, self.program.log)
        was_quick = self._quick_deaths > 0
        await self._pause(f"{name} (pid {pid}) died with {_told(code)}")
        if was_quick and name in PROCESSES:
            await self.household.parts_answer()

    async def _pause(self, what: str) -> None:
        over = max(0, self._quick_deaths - QUICK_DEATHS_AT_ONCE)
        pause_s = min(0.5 * 2**over, LONGEST_PAUSE_S) if over else 0
        disk = disk_of(self.household.home)
        # A service may well live without the disk; the parts take long to find out that they cannot.
        if disk.is_full and (self._quick_deaths or self.program.name not in PROCESSES):
            self.household.say(f"{what}; {disk} (it is tried every {LONGEST_PAUSE_S:g} s at least)")
            if await until_space(self.household.home, LONGEST_PAUSE_S):
                self._quick_deaths = 0
            return
        again = f"in {pause_s:g} s" if pause_s else "at once"
        self.household.say(f"{what}; starting it again {again}")
        await asyncio.sleep(pause_s)


async def keep(name: str, turn: Callable[[], Awaitable[None]], say: Say) -> None:
    """Takes one turn after the other, whatever goes wrong in them, until one raises a StackError."""
    while True:
        try:
            await turn()
        except StackError:
            raise
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{last.filename}:{last.lineno}"
            say(f"the keeper of {name} goes on after an error of its own: {type(error).__name__}: {error} ({at})")
            await asyncio.sleep(TURN_PAUSE_S)


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
