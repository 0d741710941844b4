"""A worker with work and no progress exits: better a restart than a silence."""

from __future__ import annotations

import logging
import os
import threading
import time

log = logging.getLogger(__name__)

STALL_S = 60.0
"""A batch takes milliseconds; one that takes this long never ends."""
STALLED_EXIT = 70
"""The exit status of a stalled worker."""


class Watchdog:
    """Watches from a thread of its own, so that a blocked event loop is seen as well."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._since: float | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch."""
        self._stopped.set()

    def working(self) -> None:
        """A batch begins."""
        self._since = time.monotonic()

    def resting(self) -> None:
        """The batch is through."""
        self._since = None

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(1.0):
            now, since = time.monotonic(), self._since
            paused, last = now - last > STALL_S / 2, now
            if since is not None and now - since > STALL_S and not paused:
                log.critical("%s: a batch has made no progress for %.0f s, exiting", self._service, now - since)
                os._exit(STALLED_EXIT)
