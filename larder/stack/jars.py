"""The jars of Apache Kafka, fetched once through Maven and shared by all homes of one environment."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from larder.stack.errors import StackError

KAFKA_VERSION = "4.1.1"
LOG4J_VERSION = "2.25.2"
JAVA_AT_LEAST = 17
MAVEN_PATIENCE_S = 600

# Kafka logs through slf4j 1.7: with the binding for slf4j 2 its log is lost.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>larder</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def cached_jars() -> Path:
    """Where the jars lie, or will lie: with this environment or, where that is not ours, in this user's caches."""
    folder = Path("share") / "larder" / f"kafka-{KAFKA_VERSION}"
    environment = Path(sys.prefix) / folder
    there = next(path for path in (environment, *environment.parents) if path.exists())
    ours = there == environment or os.access(there, os.W_OK)
    return environment if ours else Path.home() / ".cache" / folder


@cache
def java_version() -> int | None:
    """The major version of `java` on the PATH; None if there is none."""
    try:
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(found[1]) if found else None


def can_run_kafka() -> str | None:
    """None if Apache Kafka can be run from its jars here; else what is missing."""
    java = java_version()
    if java is None:
        return "no java on the PATH"
    if java < JAVA_AT_LEAST:
        return f"java is version {java}, and Kafka needs {JAVA_AT_LEAST} or later"
    if not cached_jars().exists() and shutil.which("mvn") is None:
        return "no mvn on the PATH to fetch Kafka's jars with"
    return None


def kafka_jars(say: Callable[[str], None]) -> Path:
    """The folder of Kafka's jars; fetched first if it is not there (43 MB)."""
    jars = cached_jars()
    if jars.exists():
        return jars
    try:
        jars.parent.mkdir(parents=True, exist_ok=True)
        lock = (jars.parent / "kafka.lock").open("w")
    except OSError as error:
        raise StackError(f"Kafka's jars cannot be kept in {jars.parent}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():  # nobody fetched them while we waited
            say(f"fetching Apache Kafka {KAFKA_VERSION} through Maven (43 MB, once)")
            _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as work:
        (Path(work) / "pom.xml").write_text(POM)
        command = ["mvn", "-B", "-q", "-ntp", "dependency:copy-dependencies", f"-DoutputDirectory={work}/libs"]
        try:
            done = subprocess.run(
                command,
                cwd=work,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=MAVEN_PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"Maven did not bring Kafka's jars within {MAVEN_PATIENCE_S} s: try again") from None
        if done.returncode:
            raise StackError(
                "Maven could not bring Kafka's jars; put the network right, or name a broker with LARDER_KAFKA:\n"
                + (done.stdout + done.stderr)[-1500:]
            )
        (Path(work) / "libs").rename(jars)  # whole or not at all
