"""The home folder of a stack: where its data, secrets, kept ports and logs lie."""

import json
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from larder.stack.errors import StackError

# Below the range that Linux takes the ports of outgoing connections from: a kept port stays free while we are down.
PORT_RANGE = range(20_000, 32_000)
LOG_KEPT_BYTES = 20 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """The folder `LARDER_HOME`; everything in it may be deleted while the stack is down, data included."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        """The home at that path, made if it is not there, for whoever writes to it."""
        home = cls.seen(path)
        try:
            (home.root / "logs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"LARDER_HOME={home.root} cannot be made: {error.strerror}") from None
        if not os.access(home.root, os.W_OK):
            raise StackError(f"LARDER_HOME={home.root} cannot be written to: make it writable, or choose another")
        return home

    @classmethod
    def seen(cls, path: Path) -> "Home":
        """The home at that path, for whoever only looks: nothing is made."""
        try:
            return cls(path.expanduser().absolute())
        except RuntimeError as error:  # ~somebody whom this machine does not know
            raise StackError(f"LARDER_HOME={path} is no folder: {error}") from None

    @property
    def stack_file(self) -> Path:
        """What runs now: settings for others, processes with their pids."""
        return self.root / "stack.json"

    @property
    def supervisor_file(self) -> Path:
        """Which process supervises this home."""
        return self.root / "supervisor.json"

    @property
    def failure_file(self) -> Path:
        """Why the last start failed."""
        return self.root / "failure.txt"

    @property
    def token_secret_file(self) -> Path:
        """The secret that tokens are signed with."""
        return self.root / "token.secret"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.root / "logs" / f"{name}.log"

    def secret(self, name: str) -> str:
        """A random secret of that name: made once, readable by the owner only."""
        path = self.root / name
        if not path.exists():
            with needed(path):
                write_private(path, secrets.token_hex(32) + "\n")
        return path.read_text().strip()

    def port(self, name: str) -> int:
        """The port kept for one part of this home: chosen once, when it was free."""
        path = self.root / "ports.json"
        try:
            kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
            if not isinstance(kept, dict) or not all(type(port) is int for port in kept.values()):
                raise ValueError("no ports by name")
        except (ValueError, RecursionError) as error:
            raise StackError(f"{path} is damaged ({error}): delete it, and ports are chosen anew") from None
        if name not in kept:
            kept[name] = _free_port(set(kept.values()))
            with needed(path):
                write_private(path, json.dumps(kept) + "\n")
        return kept[name]


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def needed(path: Path) -> Iterator[None]:
    """Writes or removes a file that there is no going on without: a StackError names it and the reason."""
    try:
        yield
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror}") from None


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do it: a port whose old connections only wait to be forgotten is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _free_port(taken: set[int]) -> int:
    for port in random.sample(PORT_RANGE, 500):
        if port not in taken and port_is_free(port):
            return port
    raise StackError(f"no free port found between {PORT_RANGE.start} and {PORT_RANGE.stop}")


@contextmanager
def appending(log: Path) -> Iterator[int]:
    """A log opened for a child process; one that has grown large is set aside as `.1` first. Where there can be no log,
    on a disk that is full, what the child says is lost: it has to live all the same."""
    with suppress(OSError):
        if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
            log.replace(log.with_name(log.name + ".1"))
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        file = os.open(os.devnull, os.O_WRONLY)
    try:
        yield file
    finally:
        os.close(file)
