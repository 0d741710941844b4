"""How a service ends and when it is ready: one sentence, one exit status, and what a caller may rely on."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError

from shared.logs import without_traceback
from shared.runtime.broker import WrongBroker
from shared.runtime.database import GateShut, NameTaken
from shared.runtime.worker import NoShare
from shared.service import (
    BUG_EXIT,
    GONE_EXIT,
    LEFT_EXIT,
    SETTINGS_EXIT,
    WRONG_BROKER_EXIT,
    last_words,
    why_not_ready,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (GateShut("shard 0: epoch 3 is over"), LEFT_EXIT, "epoch 3 is over: somebody else owns it"),
        (NameTaken("another process is worker 0"), LEFT_EXIT, "another process is worker 0"),
        (WrongBroker("another cluster"), WRONG_BROKER_EXIT, "another cluster"),
        (NoShare("no share of risk was told"), GONE_EXIT, "no share of risk was told, exiting; the next start"),
        (asyncpg.DiskFullError("no space"), GONE_EXIT, "disk is full (no space)"),
        (asyncpg.TooManyConnectionsError("too many clients"), GONE_EXIT, "no more connections (too many clients)"),
        (asyncpg.OutOfMemoryError("out of memory"), GONE_EXIT, "OutOfMemoryError: out of memory"),
        (asyncpg.InternalClientError("got result for unknown state"), GONE_EXIT, "gone (InternalClientError"),
        (asyncpg.CannotConnectNowError("starting up"), GONE_EXIT, "starting up"),
        (asyncpg.InterfaceError("connection is closed"), GONE_EXIT, "connection is closed"),
        (KafkaConnectionError("no broker"), GONE_EXIT, "no broker"),
        (ConnectionRefusedError(111, "refused"), GONE_EXIT, "refused"),
        (KeyError("phase"), BUG_EXIT, "a bug of larder ends this process (KeyError)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_its_status_and_its_sentence(error: Exception, status: int, told: str) -> None:
    """Whoever looks at the last line knows what happened; the supervisor and operators go by the status."""
    found, sentence = last_words(error)
    assert found == status
    assert told in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("variable", "value"), [("LARDER_SHARDS", "0"), ("LARDER_ORDER_PORT", "99999"), ("LARDER_LOG_LEVEL", "LOUD")]
)
async def test_a_setting_that_does_not_fit_ends_a_service_with_one_line(
    variable: str, value: str, tmp_path: Path
) -> None:
    """No way through the library that found it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.order.main",
        cwd=ROOT,
        env={**os.environ, "LARDER_HOME": str(tmp_path), variable: value},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == SETTINGS_EXIT
    (line,) = told.decode().splitlines()
    assert variable in line
    assert "must" in line


class Pool:
    """A pool whose database answers, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def fetchval(self, sql: str) -> int:
        """One."""
        if self._error:
            raise self._error
        return 1


def worker(
    *, assigned: bool = True, silent: bool = False, acknowledges: bool = True, unacknowledged_s: float = 0, lag: int = 0
) -> Any:
    """What of a worker readiness looks at."""
    taken = asyncio.Event()
    if assigned:
        taken.set()
    return SimpleNamespace(
        assigned=taken, silent=silent, acknowledges=acknowledges, unacknowledged_s=unacknowledged_s, lag=lag
    )


@pytest.mark.parametrize(
    ("worker", "error", "told"),
    [
        (worker(), None, None),
        (worker(assigned=False), None, "owns no shard"),
        (worker(silent=True), None, "the broker does not answer"),
        (worker(acknowledges=False), None, "too few copies"),
        (worker(unacknowledged_s=5.4), None, "acknowledged nothing for 5 s"),
        (worker(unacknowledged_s=4), None, None),
        (worker(lag=101), None, "101 records behind"),
        (worker(lag=100), None, None),
        (worker(), ConnectionRefusedError(), "database does not answer"),
        (worker(), asyncpg.TooManyConnectionsError(), "database does not answer"),
    ],
)
async def test_ready_means_that_a_command_would_be_carried_out_now(
    worker: Any, error: Exception | None, told: str | None
) -> None:
    """Not that the process was ready once."""
    found = await why_not_ready(worker, cast(asyncpg.Pool, Pool(error)), 100)
    assert (found is None) == (told is None)
    assert (told or "") in (found or "")


def test_a_library_s_way_to_a_lost_connection_is_left_out() -> None:
    """The line that matters is not to be looked for among forty."""
    try:
        raise ConnectionRefusedError(111, "refused")
    except ConnectionRefusedError:
        record = logging.LogRecord("asyncpg.pool", logging.WARNING, "", 1, "retrying in %s", ("1 s",), sys.exc_info())
    assert without_traceback(record)
    assert record.getMessage() == "retrying in 1 s (ConnectionRefusedError: [Errno 111] refused)"
    assert record.exc_info is None
