"""Runs other programs: heard while they run, and asked to end when we are."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from larder.load.errors import LoadError
from shared.printable import printable_lines

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
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)  # `make` passes nothing on: its children get it from us
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
