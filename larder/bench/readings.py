"""What Linux and the services tell: CPU and memory of every process by the part it belongs to, batches, the machine."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from larder.load.errors import LoadError
from larder.stack.process import Identity

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
POSTGRES = "postgres"
"""The part that a database's own processes belong to; those that serve somebody count as that service's database."""
SERVING = re.compile(r"postgres: (\w+) \1 [\d.:]+\(")
"""The title of a process of PostgreSQL that serves a service: its role is named as its database is."""
COUNTERS = re.compile(r'^larder_(batches|messages)_total\{service="(\w+)"\} (\S+)$', re.MULTILINE)
PATIENCE_S = 30


class Process(NamedTuple):
    """What one process had used by an instant."""

    part: str
    parent: Identity | None
    """None for one that we look at for its own sake."""
    cpu_s: float
    reaped_s: float
    """CPU of its children that have ended."""
    resident: int
    """Bytes."""


@dataclass(frozen=True)
class Reading:
    """One instant."""

    at: float
    """Seconds of the monotonic clock."""
    processes: dict[Identity, Process]
    busy_s: float
    """CPU that all that runs on this machine has used."""
    stolen_s: float
    """CPU that the machine wanted and another guest of its host had."""


class Counts(NamedTuple):
    """What a service has decided by an instant."""

    batches: float
    messages: float


def read(roots: Mapping[int, str], proc: Path = PROC) -> Reading:
    """All processes that are, or descend from, one of `roots` (pid to part). A child belongs to its parent's part,
    unless it is a root itself or serves a database."""
    stats: dict[int, list[str]] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            # The second field is the program's name in parentheses and may hold anything, spaces included.
            stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
    parts: dict[int, str | None] = {}

    def part_of(pid: int) -> str | None:
        if pid not in parts:
            above = None if pid in roots or pid not in stats else part_of(int(stats[pid][1]))
            parts[pid] = roots.get(pid) or (_served(proc / str(pid)) if above == POSTGRES else above)
        return parts[pid]

    def identity(pid: int) -> Identity:
        return Identity(pid, int(stats[pid][19]))

    processes = {}
    for pid, fields in stats.items():
        part = part_of(pid)
        if part is not None:
            parent = int(fields[1])
            above = identity(parent) if parent in stats and part_of(parent) is not None else None
            own, reaped = (int(fields[n]) + int(fields[n + 1]) for n in (11, 13))
            resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            processes[identity(pid)] = Process(part, above, own / TICKS, reaped / TICKS, resident)
    user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, (proc / "stat").read_text().split()[1:9])
    return Reading(time.monotonic(), processes, (user + nice + system + irq + softirq) / TICKS, stolen / TICKS)


def _served(folder: Path) -> str:
    try:
        title = (folder / "cmdline").read_text(errors="replace")
    except OSError:
        return POSTGRES
    serving = SERVING.match(title)
    return f"{serving[1]} database" if serving else POSTGRES


def used(before: Reading, after: Reading) -> dict[str, float]:
    """Seconds of CPU between two readings, by part. What a process that ended had used since, its parent reaped: it
    counts as the parent's."""
    parts: dict[str, float] = {}
    for identity, process in after.processes.items():
        was = before.processes.get(identity)
        spent = process.cpu_s + process.reaped_s - (was.cpu_s + was.reaped_s if was else 0)
        parts[process.part] = parts.get(process.part, 0) + spent
    for identity, was in before.processes.items():
        heir = after.processes.get(was.parent) if was.parent else None
        if identity not in after.processes and heir:
            parts[heir.part] -= was.cpu_s + was.reaped_s
    return parts


def others_percent(before: Reading, after: Reading) -> float:
    """What everything else on this machine used meanwhile, in percent of one core: 0 on a machine that is ours."""
    busy_s = after.busy_s - before.busy_s - sum(used(before, after).values())
    return max(0.0, 100 * busy_s / (after.at - before.at))


def stolen_percent(before: Reading, after: Reading) -> float:
    """What the host gave to other guests meanwhile, in percent of one core."""
    return 100 * (after.stolen_s - before.stolen_s) / (after.at - before.at)


def counts(ports: Mapping[str, int]) -> dict[str, Counts]:
    """Batches and messages of the services, from their /metrics (service to port)."""
    return {service: counts_in(_metrics(service, port), service) for service, port in ports.items()}


def counts_in(text: str, service: str) -> Counts:
    """The same from the text of one page; nothing decided yet is no line at all."""
    found = {what: float(number) for what, of, number in COUNTERS.findall(text) if of == service}
    return Counts(found.get("batches", 0), found.get("messages", 0))


def _metrics(service: str, port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        return httpx.get(url, timeout=PATIENCE_S, trust_env=False).raise_for_status().text
    except httpx.HTTPError as error:
        raise LoadError(f"{service} does not tell what it counts ({url}): {error or type(error).__name__}") from None


def machine(proc: Path = PROC) -> dict[str, Any]:
    """The machine that we run on: its processor, cores that we may use, and memory."""
    model = re.search(r"^model name\s*: (.+)$", (proc / "cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB$", (proc / "meminfo").read_text(), re.MULTILINE)
    return {
        "cpu": " ".join(model[1].split()) if model else os.uname().machine,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / MIB, 1) if memory else None,
    }
