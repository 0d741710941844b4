"""`larder up`, `status` and `down` with real PostgreSQL and Kafka: what dies comes back, what ends leaves nothing."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from larder.stack.jars import can_run_kafka
from larder.stack.migrate import schema_files
from larder.stack.process import Identity, wait_until
from larder.stack.state import Stack, supervisor_of
from shared.contracts.topics import MADE_TOPICS
from shared.settings import PROCESSES, SERVICES, SIGNALS
from tests.stack.made_up_services import Larder

pytestmark = [
    pytest.mark.parts,
    pytest.mark.skipif(can_run_kafka() is not None, reason=f"no embedded Kafka here: {can_run_kafka()}"),
]
PATIENCE_S = 60


@pytest.fixture(scope="module")
def larder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Larder]:
    """A larder that may run already: each test brings it up first."""
    made = Larder(tmp_path_factory.mktemp("larder"))
    yield made
    made.run("down")


@pytest.fixture
def up(larder: Larder) -> Larder:
    """A larder that is up."""
    done = larder.run("up", "--detach")
    assert done.returncode == 0, done.stderr
    return larder


def status(larder: Larder) -> dict[str, Any]:
    """What `larder status --json` tells."""
    told: dict[str, Any] = json.loads(larder.run("status", "--json").stdout.splitlines()[-1])
    return told


def processes(larder: Larder) -> dict[str, Identity]:
    """All processes of a stack, by name."""
    stack = Stack.read(larder.home)
    assert stack
    return stack.processes


async def until_all_ready(larder: Larder) -> None:
    """Waits until all services, the broker and the database answer."""

    async def ready() -> bool:
        return larder.run("doctor").returncode == 0

    await wait_until(ready, PATIENCE_S, "everything to be ready again")


async def test_status_tells_pids_that_are_the_processes_themselves(up: Larder) -> None:
    """Whoever kills a pid of `status --json` must hit the broker, the database or the service, not a wrapper."""
    told = status(up)
    assert [service["name"] for service in told["services"]] == list(PROCESSES)
    assert all(service["ready"] for service in told["services"])
    assert told["kafka"]["kind"] == "apache-kafka"
    commands = {
        name: Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        for name, pid in [("kafka", told["kafka"]["pid"]), ("postgres", told["database"]["pid"])]
        + [(service["name"], service["pid"]) for service in told["services"]]
    }
    assert "kafka.Kafka" in commands["kafka"]
    assert "bin/postgres" in commands["postgres"]
    assert all(f"services.{name}.main" in commands[name] for name in SERVICES)
    assert "services.risk.signals" in commands[SIGNALS]


async def test_the_told_database_can_be_used_and_syncs(up: Larder) -> None:
    """The DSN must be good as it stands, the server must sync what it commits, and a service sees only its own."""
    dsn = status(up)["database"]["dsn"]
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("show fsync") == "on"
    assert await connection.fetchval("select count(*) from schema_version") == len(schema_files("order"))
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(dsn.rpartition("/")[0] + "/payment")


async def test_what_is_killed_is_started_again(up: Larder) -> None:
    """A service, the broker and the database, killed at once, must all be back under new pids, with their data."""
    before = processes(up)
    killed = ("order", "signals", "kafka", "postgres")
    for name in killed:
        os.kill(before[name].pid, signal.SIGKILL)
    await until_all_ready(up)
    after = processes(up)
    assert all(after[name] != before[name] for name in killed)
    assert all(after[name] == before[name] for name in before if name not in killed)
    topics = up.run("topics", "--json")
    assert {topic["name"] for topic in json.loads(topics.stdout)} == set(MADE_TOPICS), topics.stderr


async def test_a_second_up_says_that_it_runs(up: Larder) -> None:
    """One home has one stack; asking for it twice is no error."""
    supervisor = supervisor_of(up.home)
    done = up.run("up")
    assert done.returncode == 0
    assert "running already" in done.stdout
    assert supervisor_of(up.home) == supervisor


async def test_the_doctor_is_content(up: Larder) -> None:
    """A stack that is well must pass, with a line for each thing looked at."""
    done = up.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "!!" not in done.stdout
    assert all(f"ok  {name}" in done.stdout for name in ("python", "java", "broker", "gateway", *PROCESSES))


async def test_a_supervisor_that_is_killed_takes_all_with_it(up: Larder) -> None:
    """Nothing may be orphaned, whatever happens to the supervisor, and the next `up` must recover."""
    supervisor, before = supervisor_of(up.home), processes(up)
    assert supervisor
    os.kill(supervisor.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not any(identity.alive() for identity in before.values())

    await wait_until(gone, PATIENCE_S, "all children to end")
    assert not any(service["ready"] for service in status(up)["services"])
    assert up.run("doctor").returncode == 0  # not being up is no illness
    done = up.run("up", "--detach")
    assert done.returncode == 0, done.stderr


async def test_down_ends_everything_and_twice_is_no_error(up: Larder) -> None:
    """After `down` nothing of the stack may run, and `status` must say so."""
    before = processes(up)
    assert up.run("down").returncode == 0
    assert not any(identity.alive() for identity in before.values())
    done = up.run("down")
    assert (done.returncode, "nothing was running" in done.stdout) == (0, True)
    assert up.run("status").returncode == 1
    assert status(up)["database"] == {"dsn": None, "template": None, "pid": None}


async def test_a_stale_pid_file_harms_nobody(larder: Larder) -> None:
    """A pid that another process has by now must not be taken for the supervisor's, and not be killed."""
    larder.run("down")
    me = Identity.of(os.getpid())
    assert me
    larder.home.supervisor_file.write_text(json.dumps([me.pid, me.started - 1]))
    done = larder.run("down")
    assert "nothing was running" in done.stdout


async def test_a_service_that_does_not_start_is_told_with_its_log(larder: Larder) -> None:
    """`up --detach` must fail, say which service it was and why, and leave nothing running."""
    larder.run("down")
    larder.breaks("risk")
    try:
        done = larder.run("up", "--detach")
    finally:
        larder.breaks("risk", broken=False)
    assert done.returncode == 1
    assert "risk does not start" in done.stderr
    assert "I will not start" in done.stderr
    assert supervisor_of(larder.home) is None


async def test_a_taken_port_is_told_with_the_setting(larder: Larder) -> None:
    """The message must name the port, the service, and what to set."""
    larder.run("down")
    port = larder.home.port("test-payment")
    with socket.create_server(("127.0.0.1", port)):
        done = larder.run("up", "--detach")
    assert done.returncode == 1
    assert f"{port} (payment)" in done.stderr
    assert "LARDER_PAYMENT_PORT" in done.stderr


async def test_in_front_it_ends_in_order_when_asked(larder: Larder) -> None:
    """Ctrl-C must stop all of it, and the exit code must say that this was wanted."""
    larder.run("down")
    process = larder.start("up")
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "larder is up" in line:
            process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0, lines
    assert any("larder is down" in line for line in lines)


async def test_a_supervisor_lives_on_when_nobody_can_hear_it(larder: Larder) -> None:
    """A terminal that is gone, or a log on a full disk, must not keep what dies from being started again."""
    larder.run("down")
    process = larder.start("up")
    assert process.stdout
    for line in process.stdout:
        if "larder is up" in line:
            break
    process.stdout.close()
    old = processes(larder)["order"]
    old.kill(signal.SIGKILL)

    async def back() -> bool:
        return processes(larder)["order"] != old

    await wait_until(back, PATIENCE_S, "order to be started again")
    await until_all_ready(larder)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
