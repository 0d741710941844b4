"""Keeps the gateway simulator's book in PostgreSQL: one transaction for many calls.

Calls are gathered for a few milliseconds and booked together: the `rules` run over a book in memory, then one
statement writes what they wrote. New charges, nearly all there is, are booked without reading first: a key that was
there before fails the statement as a whole, and only then is read. One transaction follows the other, charges before
questions, so that asking about a charge comes after it, also when the charge timed out while it waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from services.payment.gateway import GatewayTimeout, GatewayUnavailable, KeyReused
from services.payment.simulator import rows
from services.payment.simulator.book import Answer, Book, Call, Charge
from services.payment.simulator.bookkeeper import Clock, Notice, utc_now
from services.payment.simulator.rules import answer_call, make_due_captures

log = logging.getLogger(__name__)

CALLS_WAITING_MAX = 20_000
"""Most calls that wait to be booked; further ones are told that the gateway is unavailable."""
CALLS_AT_ONCE_MAX = 1_000
"""Most calls booked in one transaction."""
GATHER_S = 0.01
"""How long the first call waits for others to be booked with it."""
TRIES_MAX = 5
"""How often calls are booked anew because somebody else booked one of their keys meanwhile."""
CONNECT_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 2
"""One books calls, one makes captures and reads webhooks."""

# What says that PostgreSQL is not there, went away, or wants the transaction again: nothing that a call did wrong.
_UNREACHABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,  # a connection that dies between two of the client's steps (asyncpg's issue 784)
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A call in the queue. Once `taken`, nobody can say whether it will be booked until it is answered."""

    call: Call
    answer: asyncio.Future[Answer]
    taken: bool = False


class PostgresBookkeeper:
    """Keeps the book in a database; several processes may keep the same one."""

    def __init__(
        self,
        dsn: str,
        *,
        clock: Clock = utc_now,
        gather_s: float = GATHER_S,
        calls_waiting_max: int = CALLS_WAITING_MAX,
    ) -> None:
        self.news = asyncio.Event()
        self._dsn = dsn
        self._clock = clock
        self._gather_s = gather_s
        self._calls_waiting_max = calls_waiting_max
        self._queue: deque[_Waiting] = deque()
        self._somebody_waits = asyncio.Event()
        self._closing = False
        self._has_news = False
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._flusher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the book. Raises what asyncpg raises when it cannot, RuntimeError when the book has no tables."""
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=1, max_size=CONNECTIONS_MAX, timeout=CONNECT_TIMEOUT_S, reset=_nothing_to_reset
        )
        if not await rows.has_tables(self._pool):
            await self._pool.close()
            raise RuntimeError("the gateway's book has no tables: `larder migrate` makes them")
        self._closing = False
        self._flusher = asyncio.create_task(self._flush_for_ever(), name="gateway simulator: booking")

    async def stop(self) -> None:
        """Books what waits, then closes."""
        self._closing = True
        self._somebody_waits.set()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                if self._flusher is not None:
                    await self._flusher
                if self._pool is not None:
                    await self._pool.close()
        except TimeoutError:  # the database does not answer; the callers have been told, or will be by their timeouts
            if self._pool is not None:
                self._pool.terminate()
        self._flusher = self._pool = None

    async def book(self, call: Call, within_s: float) -> Answer:
        """Books a call together with others. See `Bookkeeper`."""
        if self._flusher is None or self._closing:
            raise GatewayUnavailable(f"{call}: the gateway simulator does not run")
        if len(self._queue) >= self._calls_waiting_max:
            raise GatewayUnavailable(f"{call}: {len(self._queue)} calls wait already; try again later")
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._somebody_waits.set()
        try:
            async with asyncio.timeout(within_s):
                return await waiting.answer
        except TimeoutError:
            if waiting.taken:
                raise GatewayTimeout(f"{call}: no answer within {within_s} s; ask what became of it") from None
            raise GatewayUnavailable(f"{call}: not sent within {within_s} s; it can be tried again") from None

    async def make_due_captures(self) -> None:
        """Takes the money that is due, in one transaction. See `Bookkeeper`."""
        now = self._clock()
        with _reaching_the_book():
            async with self._open().acquire() as connection, connection.transaction():
                book = await rows.read_due(connection, now)
                if book is not None:
                    make_due_captures(book, now)
                    await rows.write(connection, book.drain(), now)

    async def due_notices(self, most: int) -> list[Notice]:
        """The webhooks to send now. See `Bookkeeper`."""
        with _reaching_the_book():
            return await rows.try_notices(self._open(), self._clock(), most)

    async def delivered(self, ids: Sequence[str]) -> None:
        """Marks webhooks that somebody took."""
        with _reaching_the_book():
            if ids:
                await rows.mark_delivered(self._open(), ids, self._clock())

    async def next_due(self) -> datetime | None:
        """When there is next something to do. See `Bookkeeper`."""
        with _reaching_the_book():
            return await rows.next_due(self._open())

    def _open(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise GatewayUnavailable("the gateway simulator does not run")
        return self._pool

    async def _flush_for_ever(self) -> None:
        """Books what waits, one transaction after the other; a call that comes meanwhile waits for the next."""
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._somebody_waits.clear()
                await self._somebody_waits.wait()
                continue
            if not self._closing:
                await asyncio.sleep(self._gather_s)
            batch: list[_Waiting] = []
            while self._queue and len(batch) < CALLS_AT_ONCE_MAX:
                waiting = self._queue.popleft()
                if not waiting.answer.done():  # else its caller went away: it was never sent
                    waiting.taken = True
                    batch.append(waiting)
            charges = [waiting for waiting in batch if isinstance(waiting.call, Charge)]
            others = [waiting for waiting in batch if not isinstance(waiting.call, Charge)]
            for calls in (charges, others):
                if calls:
                    await self._flush(calls)

    async def _flush(self, batch: list[_Waiting]) -> None:
        try:
            with _reaching_the_book():
                answers = await self._book([waiting.call for waiting in batch])
        except GatewayUnavailable as error:
            answers = [GatewayUnavailable(f"{waiting.call}: {error}") for waiting in batch]
        except Exception as error:
            if len(batch) > 1:  # one that cannot be booked must not keep the others from it
                log.warning("%d calls could not be booked together, so each alone: %r", len(batch), error)
                for waiting in batch:
                    await self._flush([waiting])
                return
            answers = [error]
        if self._has_news:  # said only now that it is committed: whoever looks finds it
            self._has_news = False
            self.news.set()
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue  # the caller gave up while it was booked: asking about it finds it
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    async def _book(self, calls: list[Call]) -> list[Answer | Exception]:
        """Books calls in one transaction. One that reused a key is answered with that; the others are not harmed."""
        now = self._clock()
        async with self._open().acquire() as connection:
            if all(isinstance(call, Charge) for call in calls):
                with contextlib.suppress(asyncpg.UniqueViolationError):  # one was booked before: read first
                    return await self._run(connection, Book(), calls, now)
            for _ in range(TRIES_MAX):
                with contextlib.suppress(asyncpg.UniqueViolationError):  # booked meanwhile: read again
                    async with connection.transaction():
                        book = await rows.read_touched(connection, calls)
                        return await self._run(connection, book, calls, now)
        raise asyncpg.TransactionRollbackError("other bookkeepers booked the same keys again and again")

    async def _run(self, connection: Any, book: Book, calls: list[Call], now: datetime) -> list[Answer | Exception]:
        """The rules over the calls, and what they wrote into the tables."""
        answers: list[Answer | Exception] = []
        for call in calls:
            try:
                answers.append(answer_call(book, call, now))
            except KeyReused as error:
                answers.append(error)
        changes = book.drain()
        await rows.write(connection, changes, now)
        self._has_news = self._has_news or bool(changes.pending or changes.reports)
        return answers


@contextlib.contextmanager
def _reaching_the_book() -> Iterator[None]:
    """Makes GatewayUnavailable of what only says that the database is not to be had now."""
    try:
        yield
    except _UNREACHABLE as error:
        raise GatewayUnavailable(f"the gateway's book cannot be reached: {error!r}") from error


async def _nothing_to_reset(connection: Any) -> None:
    """No call leaves a setting, a lock or a cursor behind: resetting would cost a round trip each time."""
