"""What runs in a home: stack.json, written by the supervisor, read by every other command and by the services."""

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from larder.stack.disk import disk_of
from larder.stack.home import Home, write_private
from larder.stack.process import Identity
from shared.settings import PROCESSES, Settings

PROBE_PATIENCE_S = 3


@dataclass
class Stack:
    """One running stack. `settings` has names of shared.settings as its keys, and overrides their defaults."""

    settings: dict[str, Any]
    supervisor: Identity
    kafka_kind: str
    ready: bool = False
    """Whether all of it was up once since the supervisor started."""
    processes: dict[str, Identity] = field(default_factory=dict)

    def write(self, home: Home) -> None:
        """Makes it known."""
        told = asdict(self)
        write_private(home.stack_file, json.dumps(told.pop("settings") | told, indent=1) + "\n")

    @classmethod
    def read(cls, home: Home) -> "Stack | None":
        """What was last made known; None if nothing was, or if it cannot be understood."""
        try:
            told = json.loads(home.stack_file.read_text())
            return cls(
                settings={name: value for name, value in told.items() if name in Settings.model_fields},
                supervisor=_identity(told["supervisor"]),
                kafka_kind=told["kafka_kind"],
                ready=told["ready"],
                processes={name: _identity(identity) for name, identity in told["processes"].items()},
            )
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return None


def _identity(told: object) -> Identity:
    match told:
        case [int(pid), int(started)]:
            return Identity(pid, started)
    raise ValueError(f"{told!r} is no process")


def supervisor_of(home: Home) -> Identity | None:
    """The living supervisor of a home."""
    try:
        identity = _identity(json.loads(home.supervisor_file.read_text()))
    except (OSError, ValueError, RecursionError):
        return None
    return identity if identity.alive() else None


async def http_status(host: str, port: int, path: str) -> int | None:
    """The status of a GET; None if nobody answers in time."""
    try:
        return int((await _get(host, port, path)).split(None, 2)[1])
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


async def http_json(host: str, port: int, path: str) -> dict[str, Any]:
    """The object that a GET answers with; empty if nobody answers in time, or with anything else."""
    try:
        told = json.loads((await _get(host, port, path)).partition(b"\r\n\r\n")[2])
    except (OSError, TimeoutError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


async def _get(host: str, port: int, path: str) -> bytes:
    """One line of HTTP needs no client library."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return await reader.read()
        finally:
            writer.close()

    return await asyncio.wait_for(ask(), PROBE_PATIENCE_S)


async def status(home: Home, settings: Settings) -> dict[str, Any]:
    """The state of a home's stack, in the shape that `larder status --json` promises."""
    stack = Stack.read(home)
    if stack is None or not stack.supervisor.alive():
        # Not ours to know: a stack that compose or somebody else runs is told by its own tools.
        stack = Stack({}, Identity(0, 0), "")

    def pid(name: str) -> int | None:
        identity = stack.processes.get(name)
        return identity.pid if identity and identity.alive() else None

    ports = {name: settings.port(name) for name in PROCESSES}
    codes = await asyncio.gather(
        *(http_status(settings.host, port, "/readyz") for name, port in ports.items() if pid(name))
    )
    risk = await http_json(settings.host, settings.port("risk"), "/healthz") if pid("risk") else {}
    database = stack.settings.get("database")
    ready = dict(zip((name for name in ports if pid(name)), codes, strict=True))
    disk = disk_of(home)
    return {
        "services": [
            {"name": name, "pid": pid(name), "port": port, "ready": ready.get(name) == 200}
            for name, port in ports.items()
        ],
        "kafka": {
            "bootstrap": stack.settings.get("kafka"),
            "kind": stack.kafka_kind or None,
            "pid": pid("kafka"),
        },
        "database": {
            "dsn": database.replace("{service}", "order") if database else None,
            "template": database,
            "pid": pid("postgres"),
        },
        "risk": {name: risk.get(name) for name in ("switch", "signals")},
        "disk": {"free_bytes": disk.free_bytes, "full": disk.is_full},
    }
