"""A small Kafka cluster of three brokers and one controller on this machine, to take brokers away from."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.errors import KafkaError

from larder.stack.copies import look
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.jars import kafka_jars
from larder.stack.kafka import new_cluster_id
from larder.stack.process import Program
from larder.stack.topics import admin
from tests.system.driver import until

CONTROLLER = 100
BROKERS = (1, 2, 3)
PATIENCE_S = 90.0
"""How long brokers may take to start, or to catch up."""

# The controller stands apart, so that it is there to shrink the set in sync when two brokers are gone: only then does
# min.insync.replicas alone keep a lonely broker from acknowledging.
COMMON = """\
node.id={node}
controller.quorum.voters={controller}@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}

# As Kafka comes, min.insync.replicas is 1: what larder's topics need, larder has to set.
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
message.max.bytes=2097152

# A broker that is killed is soon missed.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

num.network.threads=1
num.io.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
log.cleaner.enable=false
"""
BROKER = (
    COMMON
    + """
process.roles=broker
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
"""
)
ONLY_CONTROLLER = (
    COMMON
    + """
process.roles=controller
listeners=CONTROLLER://127.0.0.1:{controller_port}
"""
)
LIGHT = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass
class Node:
    """One of its processes."""

    program: Program
    properties: Path
    process: asyncio.subprocess.Process | None = field(default=None)


class Cluster:
    """The cluster of one home; `stop` it in the end."""

    def __init__(self, home: Home) -> None:
        self._ports = {node: home.port(f"kafka-{node}") for node in (CONTROLLER, *BROKERS)}
        self.bootstrap = ",".join(f"127.0.0.1:{self._ports[node]}" for node in BROKERS)
        self._nodes = {node: self._made(home, node) for node in self._ports}

    def _made(self, home: Home, node: int) -> Node:
        folder = home.root / f"kafka-{node}"
        folder.mkdir()
        properties = folder / "server.properties"
        properties.write_text(
            (ONLY_CONTROLLER if node == CONTROLLER else BROKER).format(
                node=node,
                controller=CONTROLLER,
                controller_port=self._ports[CONTROLLER],
                port=self._ports[node],
                data=folder / "data",
            )
        )
        command = _java("-Xmx256m", *LIGHT, "kafka.Kafka", str(properties))
        return Node(Program(f"kafka-{node}", command, home.log(f"kafka-{node}")), properties)

    async def start(self) -> None:
        """Makes the files of all, and starts them."""
        cluster = new_cluster_id()
        await asyncio.gather(*(_format(node, cluster) for node in self._nodes.values()))
        for number in self._nodes:
            await self.back(number)

        async def all_there() -> bool:
            try:
                async with admin(self.bootstrap) as client:
                    return len((await client.describe_cluster())["brokers"]) == len(BROKERS)
            except (StackError, KafkaError):
                return False

        await until(all_there, "three brokers to answer", PATIENCE_S)

    async def back(self, number: int) -> None:
        """Starts a process, with what it has on its disk."""
        node = self._nodes[number]
        node.process = await node.program.start()

    async def kill(self, number: int) -> None:
        """`kill -9`."""
        process = self._nodes[number].process
        assert process
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def in_sync(self, copies: int) -> None:
        """Waits until every topic of larder's has so many copies in sync, no more and no fewer."""

        async def so() -> bool:
            try:
                async with admin(self.bootstrap) as client:
                    topics = (await look(client)).topics
            except (StackError, KafkaError):  # asked of a broker that has just gone
                return False
            return all(topic.led and topic.in_sync == copies for topic in topics)

        await until(so, f"{copies} copies of each topic to be in sync", PATIENCE_S)

    async def stop(self) -> None:
        """Ends all of it; its data need not be kept."""
        for number, node in self._nodes.items():
            if node.process and node.process.returncode is None:
                await self.kill(number)


def _java(*arguments: str) -> tuple[str, ...]:
    return ("java", "-cp", f"{kafka_jars(print)}/*", *arguments)


async def _format(node: Node, cluster: str) -> None:
    tool = _java(*LIGHT, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(node.properties))
    process = await asyncio.create_subprocess_exec(
        *tool, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
