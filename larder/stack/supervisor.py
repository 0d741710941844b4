"""Keeps one stack alive: starts the parts and the services in order, starts again what dies, stops all in order."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import asyncpg

from larder.stack.brokers import FORGETS
from larder.stack.disk import LOOK_S, disk_of
from larder.stack.errors import StackError
from larder.stack.home import Home, needed, port_is_free, write_private
from larder.stack.keeper import Keeper, keep
from larder.stack.migrate import migrate
from larder.stack.parts import Part, Parts
from larder.stack.postgres import Postgres
from larder.stack.process import Identity, Program, bury, wait_until
from larder.stack.state import Stack, http_status
from larder.stack.topics import acknowledge_by_two, ensure_topics
from shared.settings import CONSOLE, PROCESSES, SERVICES, SIGNALS, WINDOWS, Settings

Say = Callable[[str], None]

PART_PATIENCE_S = 120
"""How long a part may take to answer; Kafka has been seen to take 20 s on a busy machine."""
SERVICE_PATIENCE_S = 60
PARTS = ("kafka", "postgres")
"""The order in which they are stopped, when the services are."""


class Supervisor:
    """The supervisor of one home. `run` returns when it was told to stop, or raises a StackError if it cannot start."""

    def __init__(self, home: Home, settings: Settings, say: Say) -> None:
        self.home = home
        self.say = say
        self._settings = settings
        self._stopping = asyncio.Event()
        self._stack = Stack({}, _self(), "")
        self._is_told = True
        """Whether stack.json says what `_stack` does."""
        self._disk_was_full = False
        self._parts: list[Part] = []
        self._kept: dict[str, Keeper] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: asyncio.Queue[StackError] = asyncio.Queue()

    async def run(self) -> None:
        """Brings everything up, then keeps it so until SIGTERM, SIGINT or SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        with _alone(self.home):
            try:
                try:
                    await self._or_stopped(self._start())
                except OSError as error:
                    raise StackError(f"larder cannot start: {error}") from error
                await self._or_stopped(self._stopping.wait())
            except StackError as error:
                disk = disk_of(self.home)
                if disk.is_full:
                    error = StackError(f"{error}\n{disk}")
                with suppress(OSError):
                    write_private(self.home.failure_file, f"{error}\n")
                raise error from None
            finally:
                await self._stop()

    async def _or_stopped(self, work: Awaitable[object]) -> None:
        """Does the work, unless we are told to stop or something fails for good meanwhile."""
        working = asyncio.ensure_future(work)
        failing = asyncio.ensure_future(self._failures.get())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                raise failing.result()
            if working.done():
                working.result()
        finally:
            for future in (working, failing, stopping):
                future.cancel()
            await asyncio.gather(working, failing, stopping, return_exceptions=True)

    async def _start(self) -> None:
        self.home.failure_file.unlink(missing_ok=True)
        if disk_of(self.home).is_full:
            raise StackError("larder does not start on a full disk")
        before = Stack.read(self.home)
        if before:
            await bury(list(before.processes.values()))
        self._check_service_ports()
        parts = Parts(self.home, self._settings, self.say)
        parts.check_ports()
        started_at = time.monotonic()
        self.home.secret(self.home.token_secret_file.name)
        self._stack = Stack(self._settings_for_others(parts), _self(), parts.broker.kind)
        self._stack.write(self.home)
        running = await parts.prepare()
        for part in running:
            of_broker = (parts.broker.pid, parts.broker.forgets) if part.program.name == "kafka" else (None, False)
            self._keep(Keeper(part.program, self, *of_broker))
        await asyncio.gather(
            *(
                wait_until(part.answers, PART_PATIENCE_S, f"{part.program.name} to answer", log=part.program.log)
                for part in running
            )
        )
        new = await parts.make_databases()
        await parts.belong_together()
        self._parts = running
        settings = Settings(home=self.home.root)
        await migrate(settings, self.say)
        made = await ensure_topics(settings.bootstrap(), settings.shards)
        if made:
            self.say(f"made {len(made)} topics with {settings.shards} partition{'s' * (settings.shards > 1)} each")
        await acknowledge_by_two(settings.bootstrap(), self.say)
        for name in PROCESSES:
            self._keep(Keeper(self._service(name), self))
        await asyncio.gather(*(self._until_ready(settings, name) for name in PROCESSES))
        self._stack.ready = True
        self._stack.write(self.home)
        self._begin("the disk and stack.json", keep("the disk and stack.json", self._look, self.say))
        if new and parts.postgres:
            self._begin("the checkpoint", self._settle(parts.postgres))
        self.say(f"larder is up after {time.monotonic() - started_at:.1f} s")
        if parts.broker.forgets:
            self.say(FORGETS)
        for service in SERVICES:
            self.say(f"  {service:<11} http://{settings.host}:{settings.port(service)}/docs")
        self.say(
            f"  {CONSOLE:<11} http://{settings.host}:{settings.port(CONSOLE)}  (`larder console` prints a link into it)"
        )

    async def _settle(self, postgres: Postgres) -> None:
        """The making of databases leaves much to recover from; nobody need wait while it is put into its place."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await postgres.checkpoint()

    def _check_service_ports(self) -> None:
        host = self._settings.host
        busy = [name for name in PROCESSES if not port_is_free(self._settings.port(name), host)]
        if busy:
            told = ", ".join(f"{self._settings.port(name)} ({name})" for name in busy)
            names = ", ".join(f"LARDER_{name.upper()}_PORT" for name in busy)
            raise StackError(
                f"somebody else listens on {host} port {told}: another larder, perhaps (`larder down` with its "
                f"LARDER_HOME)? Stop that program, or choose other ports with {names}"
            )

    def _settings_for_others(self, parts: Parts) -> dict[str, object]:
        """What the services and the other commands must know, and cannot from defaults."""
        own = self._settings
        ports = {f"{name}_port": own.port(name) for name in PROCESSES}
        secret = {} if own.token_secret else {"token_secret_file": str(self._secret_file())}
        kafka: dict[str, object] = {"kafka": parts.broker.bootstrap, "database": parts.database}
        if parts.broker.kind == "tansu":
            kafka["kafka_idempotence"] = False
        # A load has to know how long the services wait: it waits with them.
        waits = {name: getattr(own, name) for name in (*WINDOWS, "gateway_timeout_s", "currency")}
        return {**kafka, "shards": own.shards, "host": own.host, **waits, **ports, **secret}

    def _secret_file(self) -> object:
        return self._settings.token_secret_file or self.home.token_secret_file

    def _service(self, name: str) -> Program:
        module = "services.risk.signals" if name == SIGNALS else f"services.{name}.main"
        return Program(
            name=name,
            command=(sys.executable, "-P", "-m", module),
            log=self.home.log(name),
            env={"LARDER_HOME": str(self.home.root)},
        )

    async def _until_ready(self, settings: Settings, service: str) -> None:
        async def ready() -> bool:
            return await http_status(settings.host, settings.port(service), "/readyz") == 200

        what = f"{service} to be ready (http://{settings.host}:{settings.port(service)}/readyz)"
        await wait_until(ready, SERVICE_PATIENCE_S, what, log=self.home.log(service))

    def _keep(self, keeper: Keeper) -> None:
        name = keeper.program.name
        self._kept[name] = keeper
        self._begin(name, keep(name, keeper.life, self.say))

    def _begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        """Work beside all else, which cannot end unseen: a failure of it is one of the supervisor."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            known = error if isinstance(error, StackError) else StackError(f"{task.get_name()}: {error!r}")
            self._failures.put_nowait(known)

    @property
    def all_was_ready(self) -> bool:
        """Whether all of it was up once: from then on nothing that dies is given up."""
        return self._stack.ready

    async def parts_answer(self) -> None:
        """A service that died at once may have found no database: six that try in vain keep it from coming back."""
        with suppress(StackError):
            for part in self._parts:
                await wait_until(part.answers, PART_PATIENCE_S, part.program.name, pause_s=0.2)

    def tell(self, name: str, pid: int) -> None:
        """Makes it known that this process runs now; later, if the disk has no space for it."""
        identity = Identity.of(pid)
        if identity:
            self._stack.processes[name] = identity
            self._write()

    def _write(self) -> None:
        try:
            self._stack.write(self.home)
        except OSError as error:
            if self._is_told:
                self.say(f"stack.json cannot be written ({error}); `larder status` tells old pids until it can be")
            self._is_told = False
        else:
            self._is_told = True

    async def _look(self) -> None:
        """Tells when the disk has become full, and writes what could not be written."""
        await asyncio.sleep(LOOK_S)
        disk = disk_of(self.home)
        if disk.is_full != self._disk_was_full:
            self._disk_was_full = disk.is_full
            self.say(str(disk) if disk.is_full else f"there is space again: {disk}")
        if not self._is_told:
            self._write()

    async def _stop(self) -> None:
        """The services first, since what they are about to write needs the broker and the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        started = {name: kept for name, kept in self._kept.items() if kept.process}
        if started:
            self.say("stopping")
        await asyncio.gather(*(self._end(kept) for name, kept in started.items() if name not in PARTS))
        for name in PARTS:
            if name in started:
                await self._end(started[name])
        with suppress(OSError):
            self.home.stack_file.unlink(missing_ok=True)
        if started:
            self.say("larder is down")

    async def _end(self, kept: Keeper) -> None:
        if kept.process and not await kept.program.stop(kept.process):
            self.say(f"{kept.program.name} did not end within {kept.program.stop_s:g} s and was killed")


def _self() -> Identity:
    identity = Identity.of(os.getpid())
    assert identity is not None
    return identity


class _alone:
    """Holds a home for this supervisor: a lock that the kernel takes back however we die."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def __enter__(self) -> None:
        lock = self._home.root / "supervisor.lock"
        with needed(lock):
            self._file = lock.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StackError(f"another `larder up` has the home {self._home.root}") from None
        with needed(self._home.supervisor_file):
            write_private(self._home.supervisor_file, json.dumps(_self()) + "\n")

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._home.supervisor_file.unlink(missing_ok=True)
        self._file.close()
