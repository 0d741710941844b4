"""Which broker and which database a load ran against."""

from __future__ import annotations

from larder.stack.home import Home
from larder.stack.jars import KAFKA_VERSION
from larder.stack.migrate import connect
from larder.stack.state import Stack
from shared.settings import Settings


def broker_name(settings: Settings) -> str:
    """The broker's kind, and its version where we know it: the protocol does not tell."""
    stack = Stack.read(Home(settings.home))
    kind = stack.kafka_kind if stack and stack.settings.get("kafka") == settings.kafka else "named"
    versions = {"apache-kafka": f"apache-kafka {KAFKA_VERSION}", "docker": f"apache-kafka {KAFKA_VERSION} (docker)"}
    return versions.get(kind, f"kafka at {settings.kafka}" if kind == "named" else kind)


async def database_name(settings: Settings) -> str:
    """The database's kind and version, as it says itself."""
    connection = await connect(settings.dsn("order"), "order")
    try:
        version = str(await connection.fetchval("show server_version"))
    finally:
        await connection.close()
    return f"postgresql {version.split()[0]}"
