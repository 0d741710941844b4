"""One service as one process: its worker and its HTTP side on one event loop.

`main.py` of a service names what it is made of and calls `serve`; nothing about any one service stands here.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import uvloop
from aiokafka.errors import KafkaConnectionError
from fastapi import APIRouter
from pydantic import ValidationError

from shared import logs
from shared.http import operations
from shared.http.app import make_app, refuse_when_behind
from shared.http.commands import CommandDesk
from shared.http.health import nothing_more
from shared.http.server import Server, bounded_server
from shared.http.sse import stop_streams
from shared.http.waiting import Bell, RestWatcher
from shared.runtime.broker import WrongBroker
from shared.runtime.commit import Commit
from shared.runtime.database import GateShut, NameTaken
from shared.runtime.decider import Decider
from shared.runtime.effects import Run
from shared.runtime.instants import read_every_instant
from shared.runtime.metrics import Working
from shared.runtime.statement import Store
from shared.runtime.sweep import Sweep
from shared.runtime.worker import NoShare, Worker
from shared.settings import NotConfiguredError, Settings, get_settings, what_does_not_fit

log = logging.getLogger(__name__)

POOL_MAX = 6
"""Most connections of one process's HTTP side."""
CONNECT_S, QUERY_S = 5, 10
"""How long an HTTP request waits for a connection, and for a query."""
ACKNOWLEDGED_S = 5
"""A broker that acknowledges a record no sooner takes no order now: too few copies are in sync, or its disk hangs."""
GC_THRESHOLD = 400_000
"""So many more objects than at its last look make the garbage collector look again. A large batch has more than 50,000
alive at once; to look through them for cycles, where none was ever found, took about a fifth of inventory's time."""
BUG_EXIT, SETTINGS_EXIT, GONE_EXIT, LEFT_EXIT, WRONG_BROKER_EXIT = 1, 64, 69, 75, 78
"""Exit statuses (docs/operations.md): a bug of larder; a setting that does not fit; the database or the broker is gone
or full; another worker owns the shard; the broker, or its log, is another one."""
GONE = (
    OSError,
    KafkaConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,  # its disk is full, its memory, or the number of its connections
    asyncpg.InterfaceError,  # the first use of a connection that has ended
    asyncpg.InternalClientError,  # a connection that ended between two steps of the driver (its issue 784)
)
"""What is raised when the database or the broker goes away, is full, or is not there at the start."""


@dataclass(slots=True)
class Parts:
    """What the routes and the backgrounds of a service are built on. `owned` tells the worker's shards and the epoch of
    each, `working` what it is at; whatever is in `on_saved` hears of every commit."""

    settings: Settings
    pool: asyncpg.Pool
    desk: CommandDesk
    bell: Bell
    rests: RestWatcher
    not_behind: Callable[[], Coroutine[Any, Any, None]]
    owned: Callable[[], Mapping[int, int]] = dict
    working: Callable[[], Working] = Working
    on_saved: list[Callable[[Commit], None]] = field(default_factory=list)


Background = Callable[[Parts], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is made of. `beat_ms` is the least time between two batches: services off the way to payment take
    a slower one, so that batches are larger and the others faster. `resting` is SQL for `Prefer: wait`: ids as $1,
    rows (id, resting). `sweeps` say what of it does not stay for ever. `told` is what /healthz says besides."""

    title: str
    description: str
    decider: Decider
    store: Store
    routes: Callable[[Parts], Sequence[APIRouter]]
    beat_ms: int
    resting: str = "select id, true from unnest($1::text[]) u (id)"
    effects: Callable[[Settings], Awaitable[Run]] | None = None
    background: Sequence[Background] = field(default_factory=tuple)
    sweeps: Sequence[Sweep] = ()
    told: Callable[[asyncpg.Pool], Awaitable[dict[str, Any]]] | None = None


def all_routes(service: str, own: Callable[[Parts], Sequence[APIRouter]], parts: Parts) -> list[APIRouter]:
    """A service's own routes, and those that every service has for admin."""
    return [*own(parts), *operations.routes(service, parts.pool, parts.settings, parts.working)]


def serve(service: Service) -> None:
    """Runs the service until it is told to stop; exits with a status that says why otherwise."""
    logs.set_up("INFO")
    try:
        settings = get_settings()
        logging.getLogger().setLevel(settings.log_level)
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        uvloop.run(_run(service, settings))
    except Exception as error:
        status, told = last_words(error)
        # The way to a mistake of ours is worth its lines; of the others everything is in the sentence.
        log.critical("%s", told, exc_info=error if status == BUG_EXIT else None)
        sys.exit(status)


def last_words(error: Exception) -> tuple[int, str]:
    """The exit status of a service that an error ends, and the sentence that is the last of its log."""
    match error:
        case GateShut():
            return LEFT_EXIT, f"{error}: somebody else owns it now, exiting"
        case NameTaken():
            return LEFT_EXIT, str(error)
        case WrongBroker():
            return WRONG_BROKER_EXIT, str(error)
        case NotConfiguredError():
            return SETTINGS_EXIT, str(error)
        case ValidationError() if (unfit := what_does_not_fit(error)) is not None:
            return SETTINGS_EXIT, unfit
        case NoShare():
            return GONE_EXIT, f"{error}, exiting; the next start joins anew"
        case asyncpg.DiskFullError():
            return (
                GONE_EXIT,
                f"the database's disk is full ({error}), exiting; the next start goes on when there is space",
            )
        case asyncpg.TooManyConnectionsError():
            return GONE_EXIT, f"the database takes no more connections ({error}), exiting; see its max_connections"
        case _ if isinstance(error, GONE):
            what = f"{type(error).__name__}: {error}"
            return GONE_EXIT, f"the database or the broker is gone ({what}), exiting; the next start goes on"
        case _:
            return BUG_EXIT, f"a bug of larder ends this process ({type(error).__name__}); the lines below say where"


async def _run(service: Service, settings: Settings) -> None:
    name = service.decider.service
    async with contextlib.AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(
                settings.dsn(name),
                min_size=1,
                max_size=POOL_MAX,
                timeout=CONNECT_S,
                command_timeout=QUERY_S,
                init=read_every_instant,
            )
        )
        bell, rests = Bell(), RestWatcher(pool, service.resting)

        def saved(commit: Commit) -> None:
            desk.hint([a.id for a in commit.answers])
            if commit.states:
                subjects = {key[1] for key in commit.states}
                rests.hint(subjects)
                bell.ring(subjects)
            for hear in parts.on_saved:
                hear(commit)

        run = await service.effects(settings) if service.effects else None
        worker = Worker(
            service.decider,
            service.store,
            settings,
            beat_ms=service.beat_ms,
            run=run,
            saved=saved,
            sweeps=service.sweeps,
        )

        desk = CommandDesk(name, worker.send, pool, settings)
        not_behind = refuse_when_behind(lambda: worker.lag, settings.lag_bound)
        parts = Parts(settings, pool, desk, bell, rests, not_behind, worker.epochs, worker.working)
        app = make_app(
            name,
            service.title,
            service.description,
            routers=all_routes(name, service.routes, parts),
            ready=lambda: why_not_ready(worker, pool, settings.lag_bound),
            told=partial(service.told, pool) if service.told else nothing_more,
            settings=settings,
        )
        server = bounded_server(app, settings.host, settings.port(name), settings.connections_max)

        def stop() -> None:
            server.should_exit = True
            stop_streams()
            worker.stop()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        for background in service.background:
            await stack.enter_async_context(background(parts))
        await _together(worker, server, stop)
        await desk.close()
        await rests.close()


async def why_not_ready(worker: Worker, pool: asyncpg.Pool, lag_bound: int) -> str | None:
    """Why the service would not carry out a command that came now; None when it would."""
    if not worker.assigned.is_set():
        return "the worker owns no shard yet"
    if worker.silent:
        return "the broker does not answer"
    if not worker.acknowledges:
        return "the broker acknowledges nothing: too few copies of its topics are in sync (see `larder doctor`)"
    if (waits_s := worker.unacknowledged_s) > ACKNOWLEDGED_S:
        return f"the broker has acknowledged nothing for {waits_s:.0f} s"
    if worker.lag > lag_bound:
        return f"{worker.lag} records behind, the bound is {lag_bound}"
    try:
        await pool.fetchval("select 1")
    except (*GONE, asyncpg.PostgresError) as away:
        return f"the database does not answer ({type(away).__name__})"
    return None


async def _together(worker: Worker, server: Server, stop: Callable[[], None]) -> None:
    """Worker and server end together; what ended the worker is what ends the process."""
    working = asyncio.create_task(worker.run(), name="worker")
    serving = asyncio.create_task(server.serve(), name="http")
    await asyncio.wait({working, serving}, return_when=asyncio.FIRST_COMPLETED)
    stop()
    if working.done() and working.exception():
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    await asyncio.gather(working, serving)
