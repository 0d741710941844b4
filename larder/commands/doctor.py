"""`larder doctor`: looks at everything that larder needs and says in plain lines what is well and what to do."""

import asyncio
import os
import shutil
import sys

import typer

from larder.say import say_lines
from larder.stack.belonging import check_goes_with
from larder.stack.brokers import FORGETS, IN_MEMORY, docker_answers
from larder.stack.copies import complaints, look
from larder.stack.disk import disk_of
from larder.stack.errors import StackError
from larder.stack.home import Home, port_is_free
from larder.stack.jars import JAVA_AT_LEAST, cached_jars, java_version
from larder.stack.migrate import applied_files, connect, schema_files
from larder.stack.postgres import programs
from larder.stack.state import http_status, supervisor_of
from larder.stack.topics import admin, cluster_id, partition_counts
from shared.contracts.topics import MADE_TOPICS
from shared.settings import DATABASES, PROCESSES, NotConfiguredError, Settings, settings_without_stack

FREE_DISK_GIB = 5


def add_to(app: typer.Typer) -> None:
    """Adds doctor."""
    app.command()(doctor)


def doctor() -> None:
    """Check this machine and, if it runs, the stack. Exit code 1 if a stack that runs is not well."""
    settings = Settings()
    home = Home.seen(settings.home)
    visit = Visit()
    _machine(visit, home)
    running = supervisor_of(home)
    # What a stack that is gone wrote into stack.json is no longer so.
    named = settings_without_stack()
    if running or named.kafka or named.database:
        visit.say(True, "stack", f"supervised by pid {running.pid}" if running else "not ours: run by somebody else")
        asyncio.run(_stack(visit, settings))
    else:
        visit.say(True, "stack", f"not up in {home.root} (`larder up` starts it)")
        _ports(visit, settings)
    if visit.sick:
        raise typer.Exit(1)


class Visit:
    """The lines of one visit, and whether one of them was bad."""

    def __init__(self) -> None:
        self.sick = False

    def say(self, good: bool, what: str, told: str, needed: bool = True) -> None:
        """One line. What is not needed may be bad without making the patient sick."""
        self.sick = self.sick or (needed and not good)
        say_lines(f"{'ok' if good else '!!'}  {what:<10} {told}")


def _machine(visit: Visit, home: Home) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    visit.say(True, "python", f"{version} in {sys.prefix}")
    try:
        visit.say(True, "postgres", f"programs in {programs()}")
    except StackError as error:
        visit.say(False, "postgres", str(error), needed=False)
    java, jars = java_version(), cached_jars()
    enough = java is not None and java >= JAVA_AT_LEAST
    told = f"version {java}" if java else "not on the PATH"
    advice = "" if enough else f"; Kafka needs {JAVA_AT_LEAST} or later (or Docker, or LARDER_KAFKA)"
    visit.say(enough, "java", told + advice, needed=False)
    if jars.exists():
        visit.say(True, "kafka jars", f"in {jars}")
    else:
        mvn = shutil.which("mvn")
        visit.say(
            bool(mvn), "mvn", "will fetch Kafka's jars" if mvn else "not on the PATH; install Maven", needed=False
        )
    visit.say(True, "docker", "answers" if docker_answers() else "no engine answers (not needed with Java and Maven)")
    disk = disk_of(home)
    enough = disk.free_bytes >= FREE_DISK_GIB * 2**30
    advice = "" if enough or disk.is_full else f": PostgreSQL and Kafka want at least {FREE_DISK_GIB} GiB"
    visit.say(enough, "disk", f"{disk}{advice}", needed=disk.is_full)
    folder = disk.folder
    writable = os.access(folder, os.W_OK)
    visit.say(writable, "home", f"{home.root}{'' if writable else ' cannot be written to: set LARDER_HOME'}")


def _ports(visit: Visit, settings: Settings) -> None:
    for service in PROCESSES:
        port = settings.port(service)
        if not port_is_free(port, settings.host):
            told = f"{port} is taken: stop who listens there, or set LARDER_{service.upper()}_PORT"
            visit.say(False, "port", told, needed=False)


async def _stack(visit: Visit, settings: Settings) -> None:
    cluster = ""
    try:
        cluster = await cluster_id(settings.bootstrap())
        visit.say(True, "broker", f"{settings.bootstrap()}, {await _topics(settings)}, cluster {cluster}")
        await _copies(visit, settings)
    except (StackError, NotConfiguredError) as error:
        visit.say(False, "broker", str(error))
    if cluster.startswith(IN_MEMORY):
        visit.say(False, "broker", FORGETS, needed=False)
    for name in DATABASES:
        try:
            visit.say(True, name, await _database(settings, name, cluster))
        except (StackError, NotConfiguredError) as error:
            visit.say(False, name, str(error))
    for service in PROCESSES:
        port = settings.port(service)
        code = await http_status(settings.host, port, "/readyz")
        told = "ready" if code == 200 else "does not answer" if code is None else f"is not ready ({code})"
        visit.say(code == 200, service, f"port {port} {told}" + ("" if code == 200 else ": look into its log"))


async def _topics(settings: Settings) -> str:
    async with admin(settings.bootstrap()) as client:
        counts = await partition_counts(client)
    missing = [name for name in MADE_TOPICS if name not in counts]
    if missing:
        raise StackError(f"topics are missing: {', '.join(missing)} (`larder migrate` makes them)")
    if set(counts.values()) != {settings.shards}:
        told = ", ".join(f"{name} {count}" for name, count in counts.items() if count != settings.shards)
        raise StackError(f"LARDER_SHARDS is {settings.shards}, but partitions are: {told}")
    return f"{len(counts)} topics with {settings.shards} partition(s) each"


async def _copies(visit: Visit, settings: Settings) -> None:
    async with admin(settings.bootstrap()) as client:
        cluster = await look(client)
    found = complaints(cluster)
    for complaint in found:
        visit.say(False, "copies", complaint.text, needed=complaint.urgent)
    if not found:
        copies = min((topic.copies for topic in cluster.topics), default=0)
        told = "one of each topic: what the broker's disk loses is lost" if copies == 1 else f"{copies} of each topic"
        visit.say(True, "copies", f"{told}; {cluster.brokers} broker(s)")


async def _database(settings: Settings, name: str, cluster: str) -> str:
    connection = await connect(settings.dsn(name), name)
    try:
        applied = await applied_files(connection)
        clusters = "select distinct cluster_id from progress"
        rows = await connection.fetch(clusters) if "shared/runtime/schema.sql" in applied else []
    finally:
        await connection.close()
    for file in schema_files(name):
        if file.name not in applied:
            raise StackError(f"{file.name} is not applied (`larder migrate`)")
        if applied[file.name] != file.sha256():
            raise StackError(f"{file.name} was changed after it was applied: a new migration, or an empty LARDER_HOME")
    for row in rows:
        if cluster:
            check_goes_with(Home.seen(settings.home), name, row["cluster_id"], cluster)
    return f"database has {len(applied)} schema file(s) applied"
