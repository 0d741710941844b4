"""Runs other programs: heard while they run, and asked to end when we are."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from larder.load.errors import LoadError
from shared.printable import printable_lines

CHILDREN_TRIES, CHILDREN_S = 100, 0.05
"""So often, and so far apart, it is looked whether children of a program that has ended are gone."""
CTRL_C_S = 10
"""How long a program may take to end after a Ctrl-C, before it is told in other words."""
END_S = 120
"""A `larder up` that is broken off first stops what it has begun."""
TAIL_LINES = 12


class Told(NamedTuple):
    """How a program ended."""

    code: int
    out: list[str]
    """Its lines on standard output."""
    err: list[str]
    """Its lines on standard error."""

    def needed(self, what: str) -> Told:
        """The same; a LoadError with its last words if it did not go well."""
        if self.code:
            last = printable_lines("\n".join([*self.out, *self.err][-TAIL_LINES:]))
            raise LoadError(f"{what} ended with exit code {self.code}:\n{last}")
        return self


def run(
    command: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    hear: Callable[[int, str], None] = lambda pid, line: None,
) -> Told:
    """Runs a program to its end, in a session of its own: a Ctrl-C reaches only us, and we pass it on. `hear` gets the
    program's pid and each line of standard error as it comes."""
    process = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=dict(env if env is not None else os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out: list[str] = []
    # Beside us, so that neither of the two pipes fills up while the other one is read.
    reader = threading.Thread(target=lambda lines=process.stdout: out.extend(line.rstrip("\n") for line in lines))
    reader.start()
    err: list[str] = []
    try:
        for line in process.stderr:
            err.append(line.rstrip("\n"))
            hear(process.pid, err[-1])
        process.wait()
    except BaseException:
        with undisturbed():
            _end(process)
        raise
    finally:
        reader.join()
        process.stdout.close()
        process.stderr.close()
    return Told(process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    # `make` passes nothing on: its children get it from us. Whoever was started in the background ignores a Ctrl-C.
    for number, patience_s in ((signal.SIGINT, CTRL_C_S), (signal.SIGTERM, END_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            break
    with suppress(ProcessLookupError):
        for _ in range(CHILDREN_TRIES):  # its children have heard it, too, and may be a moment later
            os.killpg(process.pid, 0)
            time.sleep(CHILDREN_S)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not break off what cleans up after the first."""
    if threading.current_thread() is not threading.main_thread():  # only there signals can be set
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
