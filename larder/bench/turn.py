"""One turn: a fresh stack of one version comes up, is warmed, loaded, left alone, audited, and taken down."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from larder.bench.child import Told, undisturbed
from larder.bench.readings import (
    MIB,
    POSTGRES,
    Counts,
    Reading,
    counts,
    others_percent,
    read,
    stolen_percent,
    used,
)
from larder.bench.version import AFTER_SHARE, Version, surroundings
from larder.load.errors import LoadError
from larder.stack.errors import tail
from larder.stack.home import Home
from larder.stack.process import Identity
from larder.stack.state import Stack
from shared.settings import PROCESSES, SERVICES

SETTINGS = {
    "LARDER_PAYMENT_WINDOW_S": "20",
    "LARDER_REVIEW_WINDOW_S": "4",  # the few customers of a bench order so often that rules refer some of it
    "LARDER_AFTER_SALES_WINDOW_S": "3",
    "LARDER_GATEWAY_TIMEOUT_S": "3",
}
"""Short windows for every version, so that the tails of the mix end within the load."""
SETTLE_S, IDLE_S = 5.0, 10.0
"""After the last load: so long nothing is measured, and so long it is measured what doing nothing takes."""
SUPERVISOR, LOAD = "supervisor", "load"
PROGRESS = re.compile(r"placed ([\d,]+) of [\d,]+ +ended ([\d,]+)")
BEGINS, ENDS = "the shelves are full", "the load itself took"
"""How the lines of a load begin that say: the first order comes now; the last one has ended."""
RUN_IN = 0.1
"""Orders that have to end before CPU is counted: until then more are placed than end."""
LEAST = 0.2
"""Of all orders, those that have to end while CPU is counted; else all of the load counts, its waiting included."""


@dataclass(frozen=True)
class Plan:
    """What every turn does; the same for all."""

    orders: int
    """Orders of the load that goes as fast as it can."""
    warm: int
    """Orders before that, which are not measured; 0: none."""
    rates: tuple[float, ...] = ()
    """Orders a second of the loads after it."""
    rate_s: float = 30
    """How long each of these lasts."""


class Mark(NamedTuple):
    """A moment of a load, as it told it itself."""

    placed: int
    ended: int
    reading: Reading


class Watcher:
    """Hears a load's lines and takes a reading at each that says how far it is."""

    def __init__(self, orders: int, roots: Callable[[int], Mapping[int, str]], ports: Mapping[str, int]) -> None:
        self._orders = orders
        self._roots = roots
        self._ports = ports
        self.marks: list[Mark] = []
        self.counts: list[dict[str, Counts]] = []
        """Before the first order, and after the last."""

    def hear(self, pid: int, line: str) -> None:
        """One line of the load with this pid."""
        if line.startswith((BEGINS, ENDS)):
            self.counts.append(counts(self._ports))
            placed = ended = self._orders if line.startswith(ENDS) else 0
        elif progress := PROGRESS.search(line):
            placed, ended = (int(number.replace(",", "")) for number in progress.groups())
        else:
            return
        self.marks.append(Mark(placed, ended, read(self._roots(pid))))


def stretch(marks: Sequence[Mark], orders: int) -> tuple[Mark, Mark]:
    """The part of a load to count CPU in: from a tenth of the orders' ends until the last order is placed, when as many
    orders end as are placed. All of it, if too few end meanwhile."""
    steady = [mark for mark in marks if mark.ended >= RUN_IN * orders and mark.placed < orders]
    if len(steady) > 1 and steady[-1].ended - steady[0].ended >= LEAST * orders:
        return steady[0], steady[-1]
    return marks[0], marks[-1]


def measured(told: Mapping[str, Any], watcher: Watcher, rate: float | None) -> dict[str, Any]:
    """What is kept of one load: its own words, and what it took."""
    orders = told["orders"]
    if len(watcher.counts) != 2:
        raise LoadError(f"the load did not say when it began and ended ({BEGINS!r}, {ENDS!r}): nothing can be counted")
    first, last = stretch(watcher.marks, orders)
    before, after = first.reading, last.reading
    ends = last.ended - first.ended
    decided = {
        service: [now - then for now, then in zip(watcher.counts[1][service], was, strict=True)]
        for service, was in watcher.counts[0].items()
    }
    return {
        "rate": rate,
        "orders": orders,
        "lives_per_s": told["lives_per_s"],
        "place_to_payable_ms": told["place_to_payable_ms"],
        "counted_orders": ends,
        "counted_s": round(after.at - before.at, 2),
        "cpu_us": {part: round(1e6 * cpu_s / ends) for part, cpu_s in sorted(used(before, after).items())},
        "others_percent": round(others_percent(before, after), 1),
        "stolen_percent": round(stolen_percent(before, after), 1),
        "batches_per_order": {service: round(batches / orders, 4) for service, (batches, _) in decided.items()},
        "messages_per_batch": {
            service: round(messages / batches, 1) for service, (batches, messages) in decided.items() if batches
        },
    }


class Turn:
    """A running stack of one version with so many shards, in a folder that is gone afterwards."""

    def __init__(self, version: Version, shards: int, options: Sequence[str], say: Callable[[str], None]) -> None:
        self._version = version
        self._options = options
        self._say = say
        self._home = Home.at(Path(tempfile.mkdtemp(prefix="larder-bench-home-")))
        self._ports = {name: self._home.port(f"http-{name}") for name in PROCESSES}
        self._env = surroundings() | SETTINGS | {"LARDER_HOME": str(self._home.root), "LARDER_SHARDS": str(shards)}
        self._env |= {f"LARDER_{name.upper()}_PORT": str(port) for name, port in self._ports.items()}
        self._began_with: dict[str, Identity] = {}

    def take(self, plan: Plan, seed: int, *, audit: bool) -> dict[str, Any]:
        """The whole turn, and its figures; whatever happens, the stack is down and gone afterwards."""
        try:
            self._say("up")
            self._larder("up", "--detach").needed(f"`larder up` of {self._version.name}")
            self._began_with = self._stack().processes
            if plan.warm:
                self._load(plan.warm, None, seed)
            told, fast = self._load(plan.orders, None, seed)
            paced = [self._load(max(1, round(rate * plan.rate_s)), rate, seed)[1] for rate in plan.rates]
            idle_percent, resident_mib = self._idle()
            self._refuse_deaths()
            if audit:
                self._say("auditing")
                self._larder("audit").needed(f"`larder audit` of {self._version.name}")
            return {
                "seed": seed,
                "broker": told["broker"],
                "database": told["database"],
                "loads": [fast, *paced],
                "idle_percent": idle_percent,
                "resident_mib": resident_mib,
                "audited": audit,
            }
        finally:
            with undisturbed():
                self._larder("down")
                shutil.rmtree(self._home.root, ignore_errors=True)

    def _larder(self, *arguments: object, hear: Callable[[int, str], None] = lambda pid, line: None) -> Told:
        return self._version.larder(self._env, *arguments, hear=hear)

    def _load(self, orders: int, rate: float | None, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        self._say(f"{orders:,} orders, {f'{rate:g} a second' if rate else 'as fast as it goes'}")
        paced = ("--rate", f"{rate:g}") if rate else ()
        ports: dict[str, int] = {name: self._ports[name] for name in SERVICES}
        watcher = Watcher(orders, lambda pid: self._roots() | {pid: LOAD}, ports)
        command = ("load", "--orders", orders, "--seed", seed, "--no-audit", "--json", *paced, *self._options)
        told = self._larder(*command, hear=watcher.hear).needed(f"`larder load` of {self._version.name}")
        summary = json.loads(told.out[-1])
        return summary, measured(summary, watcher, rate)

    def _stack(self) -> Stack:
        stack = Stack.read(self._home)
        if stack is None:
            raise LoadError(f"the stack of {self._version.name} is gone:\n{tail(self._home.log('supervisor'))}")
        return stack

    def _roots(self) -> dict[int, str]:
        stack = self._stack()
        return {stack.supervisor.pid: SUPERVISOR} | {own.pid: name for name, own in stack.processes.items()}

    def _idle(self) -> tuple[dict[str, float], dict[str, float]]:
        """What doing nothing takes, in percent of one core, and resident memory in MiB; both by part."""
        self._say("doing nothing")
        time.sleep(SETTLE_S)
        before = read(self._roots())
        time.sleep(IDLE_S)
        roots = self._roots()
        after = read(roots)
        percent = {part: 100 * cpu_s / (after.at - before.at) for part, cpu_s in used(before, after).items()}
        # Processes of a database share most of their memory: their sum would say nothing.
        resident = {
            process.part: process.resident / MIB
            for identity, process in after.processes.items()
            if roots.get(identity.pid, POSTGRES) != POSTGRES
        }
        return _rounded(percent), _rounded(resident)

    def _refuse_deaths(self) -> None:
        """What died and came back was measured as if it had not."""
        now = self._stack().processes
        died = [name for name, began in self._began_with.items() if now.get(name) != began]
        if died:
            log = tail(self._home.log("supervisor"))
            raise LoadError(f"{', '.join(died)} of {self._version.name} died while it was measured:\n{log}")


def _rounded(told: Mapping[str, float]) -> dict[str, float]:
    return {part: round(of, 1) for part, of in sorted(told.items())}


def extra_options(versions: Sequence[Version]) -> dict[str, tuple[str, ...]]:
    """Options for the loads of each version (by name), so that all play the same: where one version knows no complaints
    after the delivery, nobody complains in the others."""
    if len(versions) < 2:
        return {version.name: () for version in versions}
    know = {version.name: version.knows(AFTER_SHARE) for version in versions}
    alike = all(know.values()) or not any(know.values())
    return {name: () if alike or not knows else (AFTER_SHARE, "0") for name, knows in know.items()}
