"""What the log leaves out, and what it writes out."""

import ast
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.logs import REPEATED_S, Sparing, set_up
from tests.hostile import HOSTILE, acting


def record(name: str, words: str, *filled: object) -> logging.LogRecord:
    """One line of a log."""
    return logging.LogRecord(name, logging.ERROR, "", 0, words, filled, None)


def test_the_clients_repeats_are_told_once_a_minute() -> None:
    """A broker that is away for an hour must not fill the disk, nor hide what else is said."""
    now = [100.0]
    sparing = Sparing("aiokafka", lambda: now[0])
    told: list[bool] = []
    for _ in range(int(2 * REPEATED_S)):
        now[0] += 1
        told.append(sparing.filter(record("aiokafka", "no connection to node %s", len(told))))
        assert sparing.filter(record("shared.runtime.worker", "the same words"))
    assert sum(told) == 2
    assert told[0]
    assert sparing.filter(record("aiokafka.consumer.fetcher", "no connection to node %s", 1))
    assert sparing.filter(record("aiokafka", "other words"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process set up as services are has written to its log."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    set_up("INFO")
    yield stream
    root.setLevel(level)
    logging.captureWarnings(False)


def raised() -> ValueError:
    """An error whose words came from outside."""
    try:
        raise ValueError(HOSTILE + "\nsecond line")
    except ValueError as error:
        return error


def test_text_from_outside_is_written_out_in_a_log(told: io.StringIO) -> None:
    """Whatever a record says or is filled with, its line is one line; of its traceback only the lines stay."""
    log = logging.getLogger("services.order")
    log.warning("a name: %s", HOSTILE + "\nforged line")
    log.warning(HOSTILE)
    log.error("it failed", exc_info=raised())
    logging.getLogger(HOSTILE).error("from there", stack_info=True)
    warnings.warn(HOSTILE, stacklevel=1)
    sys.excepthook(ValueError, raised(), None)
    lines = told.getvalue()
    assert not acting(lines)
    assert "\\x1b[2J" in lines
    assert not any(line.startswith("forged line") for line in lines.splitlines())
    assert "Traceback (most recent call last):\n" in lines


def test_no_http_server_logs_past_us() -> None:
    """Uvicorn brings handlers of its own, which print what callers sent as it is: every server must go without."""
    root = Path(__file__).parents[2]
    files = [file for package in ("shared", "services") for file in (root / package).rglob("*.py")]
    calls = [
        call
        for file in files
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("uvicorn.Config", "uvicorn.run")
    ]
    assert calls
    for call in calls:
        assert {"log_config": "None"}.items() <= {k.arg: ast.unparse(k.value) for k in call.keywords}.items()
