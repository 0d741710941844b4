"""Keeps one stack alive: starts the parts and the services in order, starts again what dies, stops all in order."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg

from larder.stack.errors import StackError
from larder.stack.home import Home, port_is_free, write_private
from larder.stack.migrate import migrate
from larder.stack.parts import Part, Parts
from larder.stack.postgres import Postgres
from larder.stack.process import Identity, Program, bury, wait_until
from larder.stack.state import Stack, http_status
from larder.stack.topics import acknowledge_by_two, ensure_topics
from shared.settings import SERVICES, WINDOWS, Settings

Say = Callable[[str], None]

PART_PATIENCE_S = 120
"""How long a part may take to answer; Kafka has been seen to take 20 s on a busy machine."""
SERVICE_PATIENCE_S = 60
QUICK_DEATH_S = 10
QUICK_DEATHS_AT_ONCE = 5
"""So many deaths soon after a start are followed by a new start at once; from then on the pauses double."""
LONGEST_PAUSE_S = 30.0


class Supervisor:
    """The supervisor of one home. `run` returns when it was told to stop, or raises a StackError if it cannot start."""

    def __init__(self, home: Home, settings: Settings, say: Say) -> None:
        self._home = home
        self._settings = settings
        self._say = say
        self._stopping = asyncio.Event()
        self._stack = Stack({}, _self(), "")
        self._parts: list[Part] = []
        self._running: dict[str, tuple[Program, asyncio.subprocess.Process]] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._failures: asyncio.Queue[StackError] = asyncio.Queue()

    async def run(self) -> None:
        """Brings everything up, then keeps it so until SIGTERM, SIGINT or SIGHUP."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        with _alone(self._home):
            self._home.failure_file.unlink(missing_ok=True)
            try:
                await self._or_stopped(self._start())
                await self._or_stopped(self._stopping.wait())
            except StackError as error:
                write_private(self._home.failure_file, f"{error}\n")
                raise
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
        before = Stack.read(self._home)
        if before:
            await bury(list(before.processes.values()))
        self._check_service_ports()
        parts = Parts(self._home, self._settings, self._say)
        parts.check_ports()
        started_at = time.monotonic()
        self._home.secret(self._home.token_secret_file.name)
        self._stack = Stack(self._settings_for_others(parts), _self(), parts.broker.kind)
        self._stack.write(self._home)
        running = await parts.prepare()
        for part in running:
            forgets = part.program.name == "kafka" and parts.broker.forgets
            self._keep(part.program, parts.broker.pid if part.program.name == "kafka" else None, forgets)
        await asyncio.gather(
            *(
                wait_until(part.answers, PART_PATIENCE_S, f"{part.program.name} to answer", log=part.program.log)
                for part in running
            )
        )
        new = await parts.make_databases()
        self._parts = running
        settings = Settings(home=self._home.root)
        await migrate(settings, self._say)
        made = await ensure_topics(settings.bootstrap(), settings.shards)
        if made:
            self._say(f"made {len(made)} topics with {settings.shards} partition{'s' * (settings.shards > 1)} each")
        await acknowledge_by_two(settings.bootstrap(), self._say)
        for service in SERVICES:
            self._keep(self._service(service))
        await asyncio.gather(*(self._until_ready(settings, service) for service in SERVICES))
        self._stack.ready = True
        self._stack.write(self._home)
        if new and parts.postgres:
            self._keepers["checkpoint"] = asyncio.create_task(self._settle(parts.postgres))
        self._say(f"larder is up after {time.monotonic() - started_at:.1f} s")
        for service in SERVICES:
            self._say(f"  {service:<11} http://{settings.host}:{settings.port(service)}/docs")

    async def _settle(self, postgres: Postgres) -> None:
        """The making of databases leaves much to recover from; nobody need wait while it is put into its place."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await postgres.checkpoint()

    def _check_service_ports(self) -> None:
        host = self._settings.host
        busy = [name for name in SERVICES if not port_is_free(self._settings.port(name), host)]
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
        ports = {f"{name}_port": own.port(name) for name in SERVICES}
        secret = {} if own.token_secret else {"token_secret_file": str(self._secret_file())}
        kafka: dict[str, object] = {"kafka": parts.broker.bootstrap, "database": parts.database}
        if parts.broker.kind == "tansu":
            kafka["kafka_idempotence"] = False
        # A load has to know how long the services wait: it waits with them.
        waits = {name: getattr(own, name) for name in (*WINDOWS, "gateway_timeout_s", "currency")}
        return {**kafka, "shards": own.shards, "host": own.host, **waits, **ports, **secret}

    def _secret_file(self) -> object:
        return self._settings.token_secret_file or self._home.token_secret_file

    def _service(self, name: str) -> Program:
        return Program(
            name=name,
            command=(sys.executable, "-P", "-m", f"services.{name}.main"),
            log=self._home.log(name),
            env={"LARDER_HOME": str(self._home.root)},
        )

    async def _until_ready(self, settings: Settings, service: str) -> None:
        async def ready() -> bool:
            return await http_status(settings.host, settings.port(service), "/readyz") == 200

        what = f"{service} to be ready (http://{settings.host}:{settings.port(service)}/readyz)"
        await wait_until(ready, SERVICE_PATIENCE_S, what, log=self._home.log(service))

    def _keep(self, program: Program, pid: Callable[[int], int] | None = None, forgets: bool = False) -> None:
        keeping = asyncio.create_task(self._kept_alive(program, pid, forgets), name=f"keep {program.name}")
        self._keepers[program.name] = keeping

    async def _kept_alive(self, program: Program, pid: Callable[[int], int] | None, forgets: bool) -> None:
        """Starts a program whenever it is not running."""
        quick_deaths = 0
        while True:
            began = time.monotonic()
            try:
                process = await program.start()
            except StackError as error:
                return self._failures.put_nowait(error)
            self._running[program.name] = (program, process)
            self._tell(program.name, await asyncio.to_thread(pid, process.pid) if pid else process.pid)
            code = await process.wait()
            quick_deaths = quick_deaths + 1 if time.monotonic() - began < QUICK_DEATH_S else 0
            if forgets:
                why = "the broker in memory died, and all it held is gone: `larder up` begins anew"
                return self._failures.put_nowait(StackError(why, program.log))
            if not self._stack.ready and quick_deaths > QUICK_DEATHS_AT_ONCE:
                why = f"{program.name} does not start: it died {quick_deaths} times, last with {_told(code)}"
                return self._failures.put_nowait(StackError(why, program.log))
            over = max(0, quick_deaths - QUICK_DEATHS_AT_ONCE)
            pause_s = min(0.5 * 2**over, LONGEST_PAUSE_S) if over else 0
            again = f"in {pause_s:g} s" if pause_s else "at once"
            self._say(f"{program.name} (pid {process.pid}) died with {_told(code)}; starting it again {again}")
            await asyncio.sleep(pause_s)
            if quick_deaths and program.name in SERVICES:
                await self._until_parts_answer()

    async def _until_parts_answer(self) -> None:
        """A service that died at once may have found no database: six that try in vain keep it from coming back."""
        with suppress(StackError):
            for part in self._parts:
                await wait_until(part.answers, PART_PATIENCE_S, part.program.name, pause_s=0.2)

    def _tell(self, name: str, pid: int) -> None:
        identity = Identity.of(pid)
        if identity:
            self._stack.processes[name] = identity
            self._stack.write(self._home)

    async def _stop(self) -> None:
        """The services first, since what they are about to write needs the broker and the database."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        parts = {"kafka": [*self._running.get("kafka", ())], "postgres": [*self._running.get("postgres", ())]}
        first = [entry for name, entry in self._running.items() if name not in parts]
        if self._running:
            self._say("stopping")
        await asyncio.gather(*(self._end(program, process) for program, process in first))
        for name in parts:
            if name in self._running:
                await self._end(*self._running[name])
        self._home.stack_file.unlink(missing_ok=True)
        if self._running:
            self._say("larder is down")

    async def _end(self, program: Program, process: asyncio.subprocess.Process) -> None:
        if not await program.stop(process):
            self._say(f"{program.name} did not end within {program.stop_s:g} s and was killed")


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _self() -> Identity:
    identity = Identity.of(os.getpid())
    assert identity is not None
    return identity


class _alone:
    """Holds a home for this supervisor: a lock that the kernel takes back however we die."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def __enter__(self) -> None:
        self._file = (self._home.root / "supervisor.lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise StackError(f"another `larder up` has the home {self._home.root}") from None
        write_private(self._home.supervisor_file, json.dumps(_self()) + "\n")

    def __exit__(self, *_: object) -> None:
        self._home.supervisor_file.unlink(missing_ok=True)
        self._file.close()
