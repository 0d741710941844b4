"""Brings a stack up in the background, and down: what the command line, the demo and the tests use."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from larder.stack.brokers import FORGETS, choose_broker
from larder.stack.disk import disk_of
from larder.stack.errors import StackError, tail
from larder.stack.home import Home, appending, needed
from larder.stack.jars import kafka_jars
from larder.stack.process import Identity, bury
from larder.stack.state import Stack, status, supervisor_of
from larder.stack.supervisor import Supervisor
from shared.printable import printable
from shared.settings import Settings, settings_without_stack

UP_PATIENCE_S = 240
DOWN_PATIENCE_S = 75
PAUSE_S = 0.05
STDOUT = 1

Say = Callable[[str], None]


def run_in_front(home: Home) -> None:
    """Runs the stack until it is told to stop; a StackError if it does not start."""

    def say_when(line: str) -> None:
        # Past the buffer of `print`: on a full disk or a closed terminal the words are lost, and nothing else.
        with suppress(OSError):
            os.write(STDOUT, f"{time.strftime('%H:%M:%S')} {printable(line)}\n".encode(errors="replace"))

    # The supervisor tells what it waits for; the client would tell each try.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asyncio.run(Supervisor(home, settings_without_stack(), say_when).run())


async def is_healthy(home: Home) -> bool:
    """Whether all services of the running stack are ready."""
    told = await status(home, Settings(home=home.root))
    return all(service["ready"] for service in told["services"])


def bring_up(home: Home, say: Say) -> None:
    """Starts the stack in the background and returns when all of it is ready; a StackError says what is not."""
    fetch_first(home, say)
    log = home.log("supervisor")
    with needed(home.failure_file):
        home.failure_file.unlink(missing_ok=True)
    with appending(log) as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "larder.stack.daemon"],
            env={**os.environ, "LARDER_HOME": str(home.root)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    supervisor = Identity.of(process.pid)
    end = time.monotonic() + UP_PATIENCE_S
    try:
        while True:
            code = process.poll()
            if code is not None:
                raise _failure(home, code)
            stack = Stack.read(home)
            if stack and stack.ready and stack.supervisor == supervisor:
                break
            if time.monotonic() > end:
                raise StackError(f"larder is not up after {UP_PATIENCE_S} s", log)
            time.sleep(PAUSE_S)
    except BaseException:  # a Ctrl-C as well: nothing half started stays behind
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(DOWN_PATIENCE_S)
        raise
    # It lives on after us: no warning about a child that was not waited for.
    process.returncode = 0


def fetch_first(home: Home, say: Say) -> None:
    """What takes long only once, done where the user sees it."""
    broker = choose_broker(home, settings_without_stack().kafka, lambda _: None)
    if broker.kind == "apache-kafka":
        kafka_jars(say)
    if broker.forgets:
        say(FORGETS)


def _failure(home: Home, code: int) -> StackError:
    try:
        return StackError(home.failure_file.read_text().strip())
    except OSError:
        disk = disk_of(home)
        full = f"\n{disk}" if disk.is_full else ""
        return StackError(f"the supervisor ended with {code}:\n{tail(home.log('supervisor'))}{full}")


def bring_down(home: Home) -> bool:
    """Stops the stack and whatever it left behind. Returns whether there was anything to stop."""
    supervisor = supervisor_of(home)
    stack = Stack.read(home)
    if supervisor:
        supervisor.kill(signal.SIGTERM)
        end = time.monotonic() + DOWN_PATIENCE_S
        while supervisor.alive():
            if time.monotonic() > end:
                supervisor.kill(signal.SIGKILL)  # its children get their signal from the kernel
            time.sleep(PAUSE_S)
    orphans = [identity for identity in stack.processes.values() if identity.alive()] if stack else []
    if orphans:
        asyncio.run(bury(orphans))
    for file in (home.stack_file, home.supervisor_file):
        if file.exists():
            with needed(file):
                file.unlink(missing_ok=True)
    return bool(supervisor or orphans)
