"""One seed after the other: play the evening, audit it, and say what was wrong and how to see it again."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from larder.audit.report import Violation
from larder.simulation.books import judge_evening
from larder.simulation.clock import NeverRests
from larder.simulation.rows import Rows, rows_of
from larder.simulation.story import story
from larder.simulation.witnesses import hear_witnesses
from larder.simulation.world import World

COLLECT_EVERY = 200
"""Seeds between two collections of garbage: an evening that has ended leaves next to none."""
VIOLATIONS_TOLD = 10
"""Most violations of one seed that are told."""


@dataclass(slots=True)
class Outcome:
    """What one seed came to. `story` is the tail of the first victim's story."""

    seed: int
    violations: list[Violation]
    story: list[str]
    orders: int
    messages: int

    def lines(self) -> Iterator[str]:
        """The failure, for people."""
        yield f"seed {self.seed}: {len(self.violations)} violations"
        for violation in self.violations[:VIOLATIONS_TOLD]:
            yield f"  {violation}"
        if self.story:
            yield f"  the end of the story of {self.violations[0].ids[0]}:"
            yield from (f"    {line}" for line in self.story)
        yield f"  to see it again: larder simulate --seeds {self.seed}..{self.seed}"


@dataclass(slots=True)
class Report:
    """What many seeds came to."""

    seeds: int = 0
    orders: int = 0
    messages: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    failed: list[Outcome] = field(default_factory=list)

    @property
    def violations(self) -> int:
        """Broken rules, over all seeds."""
        return sum(len(outcome.violations) for outcome in self.failed)

    def summary(self) -> dict[str, Any]:
        """The last line of `--json`. `seeds_per_s` is by the wall's clock; `seeds_per_cpu_s` by this process's own."""
        return {
            "seeds": self.seeds,
            "violations": self.violations,
            "seeds_per_s": round(self.seeds / self.seconds, 1) if self.seconds else None,
            "seeds_per_cpu_s": round(self.seeds / self.cpu_s, 1) if self.cpu_s else None,
            "orders": self.orders,
            "messages": self.messages,
            "seconds": round(self.seconds, 2),
            "failed_seeds": [outcome.seed for outcome in self.failed],
        }


def audit_evening(rows: Rows) -> list[Violation]:
    """All rules, those that take a witness too."""
    report = judge_evening(rows)
    hear_witnesses(rows, report)
    return report.violations


def play(seed: int) -> Outcome:
    """One evening and its audit."""
    world = World(seed)
    try:
        world.run()
    except NeverRests as error:
        violations = [Violation("comes_to_rest", (f"seed {seed}",), str(error))]
    else:
        violations = audit_evening(rows_of(world))
    told = story(world, violations[0].ids[0]) if violations else []
    orders = len(world.databases["order"].states)
    world.end()
    return Outcome(seed, violations, told, orders, world.log.count)


def simulate(seeds: Iterable[int], tell: Callable[[Outcome], None] = lambda outcome: None) -> Report:
    """Plays all seeds; tells every failure as it is found."""
    report = Report()
    began, cpu_began = time.perf_counter(), time.process_time()
    with _undisturbed():
        for seed in seeds:
            outcome = play(seed)
            report.seeds += 1
            report.orders += outcome.orders
            report.messages += outcome.messages
            if outcome.violations:
                report.failed.append(outcome)
                tell(outcome)
            if report.seeds % COLLECT_EVERY == 0:
                gc.collect()
    report.seconds, report.cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return report


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection in the middle of an evening, and no log lines about the bad weather that is meant."""
    calls = logging.getLogger("services.payment.effects")
    level, collects = calls.level, gc.isenabled()
    calls.setLevel(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        calls.setLevel(level)
        if collects:
            gc.enable()
        gc.unfreeze()
