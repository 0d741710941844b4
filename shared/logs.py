"""The log of a service: to stderr, a record a line, with what acts on terminals written out, and sparing with what the
Kafka client repeats while a broker is away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType

from shared.printable import printable, printable_lines

REPEATED_S = 60.0
"""The same words of the Kafka client are told once in so long."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

log = logging.getLogger(__name__)


class Sparing(logging.Filter):
    """Lets the first of equal records of one library through, and then one each REPEATED_S."""

    def __init__(self, library: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._library = library
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told."""
        if record.name.partition(".")[0] != self._library:
            return True
        # The words without what is filled in: ports and counts change from one to the next.
        now, what = self._clock(), (record.name, str(record.msg))
        if now - self._told.get(what, -REPEATED_S) < REPEATED_S:
            return False
        self._told[what] = now
        return True


class WrittenOut(logging.Formatter):
    """A record is one line, and the lines of its traceback stay lines; nothing in them acts on a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's own line."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The line, and behind it the traceback, if there is one."""
        return printable_lines(super().format(record))


def without_traceback(record: logging.LogRecord) -> bool:
    """For a library that tells of a lost connection with all the way to it: what was lost is enough."""
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__}: {error})", ()
        record.exc_info = record.exc_text = None
    return True


def set_up(level: str) -> None:
    """From now on everything logged, warned of, or raised to the top goes to stderr through one formatter."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing("aiokafka"))
    handler.setFormatter(WrittenOut(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _log_it
    logging.getLogger("asyncpg.pool").addFilter(without_traceback)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every second that a broker takes to start


def _log_it(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What nobody caught: its words may be anybody's, as those of any other record."""
    log.critical("the process ends", exc_info=(kind, error, trace))
