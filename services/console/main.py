"""The console as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

import uvloop

from services.console.app import make_console
from shared import logs
from shared.http.server import bounded_server
from shared.http.sse import stop_streams
from shared.service import BUG_EXIT, last_words
from shared.settings import CONSOLE, Settings, get_settings

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serves until it is told to stop."""
    settings.secret()  # without it nobody could sign in
    app = make_console(settings)
    server = bounded_server(app, settings.host, settings.port(CONSOLE), settings.connections_max)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(server.serve(), name="http")
    told = asyncio.create_task(stopping.wait(), name="stop")
    try:
        await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
    finally:
        told.cancel()
        stop_streams()
        server.should_exit = True
        await asyncio.gather(serving, told, return_exceptions=True)
        with contextlib.suppress(Exception):
            await app.state.place.services.close()


def main() -> None:
    """Runs until told to stop; exits with a status that says why otherwise."""
    logs.set_up("INFO")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = get_settings()
        logging.getLogger().setLevel(settings.log_level)
        uvloop.run(run(settings))
    except Exception as error:
        status, told = last_words(error)
        log.critical("%s", told, exc_info=error if status == BUG_EXIT else None)
        sys.exit(status)


if __name__ == "__main__":
    main()
