"""The log of a service: to stderr, and sparing with what the Kafka client repeats while a broker is away."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

REPEATED_S = 60.0
"""The same words of the Kafka client are told once in so long."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


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


def set_up(level: str) -> None:
    """From now on everything logged goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Sparing("aiokafka"))
    logging.basicConfig(level=level, format=FORMAT, handlers=[handler])
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every second that a broker takes to start
