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
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import uvloop
from aiokafka.errors import KafkaConnectionError
from fastapi import APIRouter

from shared import logs
from shared.http.app import make_app, refuse_when_behind
from shared.http.commands import CommandDesk
from shared.http.server import Server, bounded_server
from shared.http.sse import stop_streams
from shared.http.waiting import Bell, RestWatcher
from shared.runtime.broker import WrongBroker
from shared.runtime.commit import Commit
from shared.runtime.database import GateShut
from shared.runtime.decider import Decider
from shared.runtime.effects import Run
from shared.runtime.envelope import Headers
from shared.runtime.instants import read_every_instant
from shared.runtime.statement import Store
from shared.runtime.sweep import Sweep
from shared.runtime.worker import Worker
from shared.settings import Settings, get_settings

log = logging.getLogger(__name__)

POOL_MAX = 6
"""Most connections of one process's HTTP side."""
CONNECT_S, QUERY_S = 5, 10
"""How long an HTTP request waits for a connection, and for a query."""
GC_THRESHOLD = 400_000
"""So many more objects than at its last look make the garbage collector look again. A large batch has more than 50,000
alive at once; to look through them for cycles, where none was ever found, took about a fifth of inventory's time."""
GONE_EXIT, LEFT_EXIT, WRONG_BROKER_EXIT = 69, 75, 78
"""Exit statuses: the database or the broker went away; another worker owns the shard; the broker is another one."""
GONE = (
    OSError,
    KafkaConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,  # the first use of a connection that has ended
)
"""What is raised when the database or the broker goes away, or is not there at the start."""


@dataclass(slots=True)
class Parts:
    """What the routes of a service are built on."""

    settings: Settings
    pool: asyncpg.Pool
    desk: CommandDesk
    bell: Bell
    rests: RestWatcher
    not_behind: Callable[[], Coroutine[Any, Any, None]]


Background = Callable[[Parts], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is made of. `beat_ms` is the least time between two batches: services off the way to payment take
    a slower one, so that batches are larger and the others faster. `resting` is SQL for `Prefer: wait`: ids as $1,
    rows (id, resting). `sweeps` say what of it does not stay for ever."""

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


def serve(service: Service) -> None:
    """Runs the service until it is told to stop; exits with a status that says why otherwise."""
    settings = get_settings()
    logs.set_up(settings.log_level)
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    try:
        uvloop.run(_run(service, settings))
    except GateShut as shut:
        log.error("%s: somebody else owns it now, exiting", shut)
        sys.exit(LEFT_EXIT)
    except WrongBroker as wrong:
        log.critical("%s", wrong)
        sys.exit(WRONG_BROKER_EXIT)
    except GONE as gone:
        log.error(
            "the database or the broker is gone (%s: %s), exiting; the next start goes on", type(gone).__name__, gone
        )
        sys.exit(GONE_EXIT)


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

        async def publish(topic: str, partition: int, key: bytes, value: bytes, headers: Headers) -> None:
            sent = await worker.producer.send(topic, value, key=key, partition=partition, headers=headers)
            await sent

        desk = CommandDesk(name, publish, pool, settings)
        not_behind = refuse_when_behind(lambda: worker.lag, settings.lag_bound)
        parts = Parts(settings, pool, desk, bell, rests, not_behind)
        app = make_app(
            name,
            service.title,
            service.description,
            routers=service.routes(parts),
            ready=lambda: None if worker.assigned.is_set() else "the worker owns no shard yet",
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
