"""Programs that are run: heard, and never left behind."""

import os
import sys
import time

import pytest

from larder.bench.child import run
from larder.load.errors import LoadError
from larder.stack.process import Identity


def python(code: str) -> list[str]:
    """Runs it."""
    return [sys.executable, "-c", code]


def test_lines_are_heard_as_they_come(tmp_path):
    """Those on standard error at once, those on standard output at the end, however much there is."""
    heard: list[tuple[int, str]] = []
    code = "import sys\nprint('x' * 300_000)\nprint('one', file=sys.stderr)\nprint('two', file=sys.stderr)\nsys.exit(3)"
    told = run(python(code), cwd=tmp_path, hear=lambda pid, line: heard.append((pid, line)))
    assert (told.code, told.err, len(told.out[0])) == (3, ["one", "two"], 300_000)
    assert [line for _, line in heard] == ["one", "two"]
    with pytest.raises(LoadError, match=r"it ended with exit code 3:(.|\n)*two"):
        told.needed("it")


def test_what_is_running_ends_with_us(tmp_path):
    """A Ctrl-C while it runs: it and its children are told, and gone before we go on."""
    code = (
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(child.pid, file=sys.stderr)\n"
        "signal.pause()"
    )
    seen: list[Identity | None] = []

    def interrupt(pid: int, line: str) -> None:
        seen.extend([Identity.of(pid), Identity.of(int(line))])
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(python(code), cwd=tmp_path, env=os.environ, hear=interrupt)
    assert time.monotonic() - began < 30
    assert None not in seen
    assert [identity.alive() for identity in seen if identity] == [False, False]
