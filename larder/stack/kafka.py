"""Apache Kafka from its jars, in KRaft mode: broker and controller in one Java process of one home."""

import base64
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.jars import kafka_jars
from larder.stack.process import Program

HEAP_MB = 512

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}

# One broker holds the only copy.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=1

# Topics are made on purpose: a client still subscribed would make a deleted one again.
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=2000
message.max.bytes=2097152

# A broker that was killed may only come back when its last session is over: 9 s by default.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500

# A day, or 2 GiB a partition (millions of messages, far beyond the bound on lag).
log.retention.hours=24
log.retention.bytes=2147483648
log.segment.bytes=134217728

# Two cores carry everything: with more threads a request costs more of them (docs/benchmarks.md).
num.network.threads=1
num.io.threads=2
log.cleaner.dedupe.buffer.size=16777216
"""

LOG_CONFIG = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <RollingFile name="file" fileName="{log}" filePattern="{log}.%i">
      <PatternLayout pattern="%d %p %m (%c{{1}})%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Logger name="kafka.server.KafkaConfig" level="WARN"/>
  </Loggers>
</Configuration>
"""


FORMAT_S = 120
"""How long making the broker's files may take: one second on a quiet machine."""


class Kafka:
    """The embedded broker of one home."""

    kind = "apache-kafka"

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self._home = home
        self._say = say
        self._folder = home.root / "kafka"
        self.data = self._folder / "data"
        self.port = home.port("kafka")
        self.controller_port = home.port("kafka-controller")
        self.bootstrap = f"127.0.0.1:{self.port}"

    def _java(self, *arguments: str) -> tuple[str, ...]:
        return ("java", "-cp", f"{kafka_jars(self._say)}/*", *arguments)

    def program(self) -> Program:
        """How the broker is run."""
        return Program(
            name="kafka",
            command=self._java(
                f"-Xms{HEAP_MB // 2}m",
                f"-Xmx{HEAP_MB}m",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:+ExitOnOutOfMemoryError",  # dead, it is started again; half alive, it is not
                "-Djava.awt.headless=true",
                f"-Dlog4j2.configurationFile={self._folder / 'log4j2.xml'}",
                "kafka.Kafka",
                str(self._folder / "server.properties"),
            ),
            # What the JVM itself has to say; the broker's own log rolls beside it.
            log=self._home.log("kafka.out"),
            stop_s=30,
        )

    def prepare(self) -> None:
        """Writes the configuration and, once, formats the data folder. Blocks for about a second then."""
        self._folder.mkdir(exist_ok=True)
        properties = self._folder / "server.properties"
        properties.write_text(
            SERVER_PROPERTIES.format(port=self.port, controller_port=self.controller_port, data=self.data)
        )
        (self._folder / "log4j2.xml").write_text(LOG_CONFIG.format(log=self.log))
        if (self.data / "meta.properties").exists():
            return
        self._say("making the broker's files")
        command = self._java(
            *("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "kafka.tools.StorageTool", "format", "--standalone"),
            *("-t", new_cluster_id(), "-c", str(properties)),
        )
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FORMAT_S)
        except subprocess.TimeoutExpired:
            raise StackError(
                f"Kafka's files in {self.data} were not made within {FORMAT_S} s; is this machine very busy? Try again"
            ) from None
        if done.returncode:
            raise StackError(f"Kafka's storage could not be formatted in {self.data}: {done.stdout}{done.stderr}")

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self._home.log("kafka")


def new_cluster_id() -> str:
    """A random id of the kind Kafka makes: 22 characters of base64, none of them a dash in front."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
