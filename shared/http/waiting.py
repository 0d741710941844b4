"""Waiting for what another process writes into the database, for many at once.

`Lookout` asks for everybody who waits with one query, every few milliseconds and only while somebody waits; the local
worker's hint after a commit makes it look at once. `RestWatcher` waits for resting points (`Prefer: wait=N`), `Bell`
wakes streams.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import asyncpg

log = logging.getLogger(__name__)

WAITING_MAX = 5_000
"""Most subjects that one lookout waits for."""
PREFER_WAIT_MAX_S = 60
AWAY_PAUSE_S = 0.5
"""Pause after a look that failed: the database is away, and will be back."""
LOOK_SHARE = 4
"""A pause is at least this many times what a look takes, so that looking never takes the database over."""

T = TypeVar("T")
Ask = Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]
"""Asks for ids in one query; answers with those that are settled."""


class LookoutFull(Exception):
    """More subjects wait than the bound allows."""


class Lookout(Generic[T]):
    """Waits for values that appear in the database, all of them in one query at a time."""

    def __init__(
        self, ask: Ask[T], *, quick_s: float = 0.005, slow_s: float = 0.02, waiting_max: int = WAITING_MAX
    ) -> None:
        self._ask = ask
        self._quick_s = quick_s
        self._slow_s = slow_s
        self._waiting_max = waiting_max
        self._waiting: dict[str, set[asyncio.Future[T]]] = {}
        self._hinted: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many subjects are waited for."""
        return len(self._waiting)

    @contextmanager
    def expecting(self, subject: str) -> Iterator[asyncio.Future[T]]:
        """A future of the subject's value. Raises LookoutFull at the bound."""
        if len(self._waiting) >= self._waiting_max and subject not in self._waiting:
            raise LookoutFull(f"{self._waiting_max} wait already")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(subject, set()).add(future)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="lookout")
        try:
            yield future
        finally:
            future.cancel()
            others = self._waiting.get(subject, set())
            others.discard(future)
            if not others:
                self._waiting.pop(subject, None)

    def hint(self, subjects: Iterable[str]) -> None:
        """Something about these subjects was committed just now: look at once at those that are waited for."""
        if self._waiting and (known := self._waiting.keys() & subjects):
            self._hinted |= known
            self._wake.set()

    async def close(self) -> None:
        """Stops looking; whoever still waits runs into its own time limit."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = self._quick_s
        full_look_at = clock() + pause_s
        while self._waiting:
            try:
                async with asyncio.timeout_at(full_look_at):
                    await self._wake.wait()
            except TimeoutError:
                pass
            hinted, self._hinted = self._hinted, set()
            self._wake.clear()
            started = clock()
            everybody = started >= full_look_at
            found = await self._look(list(self._waiting if everybody else self._waiting.keys() & hinted))
            if not everybody and found is not None:
                continue
            if found is None:
                pause_s = AWAY_PAUSE_S
            else:
                pause_s = self._quick_s if found else min(self._slow_s, max(pause_s, self._quick_s) * 1.5)
            full_look_at = clock() + max(pause_s, LOOK_SHARE * (clock() - started))

    async def _look(self, subjects: Sequence[str]) -> int | None:
        """Asks once; how many were settled, None when the database did not answer."""
        if not subjects:
            return 0
        try:
            found = await self._ask(subjects)
        except Exception as error:  # whatever it is, those who wait have a time limit, and the next look may do
            log.warning("cannot look for %d waiting subjects: %s: %s", len(subjects), type(error).__name__, error)
            return None
        for subject, value in found.items():
            for future in self._waiting.pop(subject, set()):
                if not future.done():
                    future.set_result(value)
        return len(found)


class RestWatcher:
    """Waits until an aggregate rests: in a phase that waits for a person, for a timer, or for nothing.

    `sql` takes the ids as $1 (text[]) and gives rows (id, resting bool).
    """

    def __init__(self, pool: asyncpg.Pool, sql: str) -> None:
        self._pool = pool
        self._sql = sql
        # Hints tell of what this process decides; the pauses are for shards of other workers.
        self._lookout: Lookout[bool] = Lookout(self._resting, quick_s=0.02, slow_s=0.2)

    async def wait(self, subject: str, wait_s: float) -> bool:
        """Waits up to `wait_s` seconds; True when the subject rests. Never raises: its command is accepted already."""
        if wait_s <= 0:
            return False
        try:
            with self._lookout.expecting(subject) as resting:
                self._lookout.hint([subject])  # it may rest already
                async with asyncio.timeout(wait_s):
                    return await resting
        except (LookoutFull, TimeoutError):
            return False

    def hint(self, subjects: Iterable[str]) -> None:
        """These subjects changed in a commit of this process."""
        self._lookout.hint(subjects)

    async def close(self) -> None:
        """Stops looking."""
        await self._lookout.close()

    async def _resting(self, subjects: Sequence[str]) -> Mapping[str, bool]:
        rows = await self._pool.fetch(self._sql, subjects)
        return {row[0]: True for row in rows if row[1]}


class Bell:
    """Wakes whoever listens for a subject: streams look again when it rings, and now and then without it."""

    def __init__(self) -> None:
        self._ears: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def listening(self, subject: str) -> Iterator[asyncio.Event]:
        """An event that is set when the subject changes; clear it before you look, so that no ring is missed."""
        ear = asyncio.Event()
        self._ears.setdefault(subject, set()).add(ear)
        try:
            yield ear
        finally:
            ears = self._ears[subject]
            ears.discard(ear)
            if not ears:
                del self._ears[subject]

    def ring(self, subjects: Iterable[str]) -> None:
        """These subjects changed in a commit of this process."""
        if self._ears:
            for subject in self._ears.keys() & subjects:
                for ear in self._ears[subject]:
                    ear.set()


async def heard(ear: asyncio.Event, within_s: float) -> bool:
    """Waits for the bell, at most `within_s` seconds: a commit of another worker rings no bell here."""
    try:
        async with asyncio.timeout(within_s):
            await ear.wait()
    except TimeoutError:
        return False
    return True


_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE)


def prefer_wait_s(headers: Iterable[str]) -> int:
    """The N of `Prefer: wait=N` (RFC 7240), at most PREFER_WAIT_MAX_S; 0 without it. Nonsense is ignored, as the RFC
    wants; of several the first counts."""
    for header in headers:
        for preference in header.split(","):
            if match := _WAIT.fullmatch(preference):
                return min(int(match[1]), PREFER_WAIT_MAX_S)
    return 0
