"""A bench in rows: each figure of each contestant as the median of its turns, with the least and the most.

A contestant is a version with a number of shards; the first is what the others are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from shared.settings import SERVICES

Bench = Mapping[str, Any]
"""What `larder bench --json` tells."""
Run = Mapping[str, Any]
Get = Callable[[Run], float | None]
CPU = ("loads", 0, "cpu_us")
"""Where CPU an order stands that was counted as fast as it goes, by part."""
SHARES = ("p50", "p99")
KAFKA = "kafka"


class Contestant(NamedTuple):
    """Whose figures stand in a column."""

    version: str
    shards: int


class Spread(NamedTuple):
    """One figure over several turns."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one."""
        return cls(min(values), median(values), max(values))


class Row(NamedTuple):
    """One figure of all contestants; None where one has not got it."""

    name: str
    cells: list[Spread | None]
    places: int
    """Digits after the point."""
    compared: bool = True
    """Whether it says anything how much more or less it is than the first one's."""


def contestants(bench: Bench) -> list[Contestant]:
    """In the order of their first turns."""
    return list(dict.fromkeys(Contestant(run["version"], run["shards"]) for run in bench["runs"]))


def name_of(contestant: Contestant, bench: Bench) -> str:
    """Names the version, and the shards if anybody has more than one."""
    sharded = any(one.shards > 1 for one in contestants(bench))
    return contestant.version + f", {contestant.shards} shard{'s' * (contestant.shards > 1)}" * sharded


def row(bench: Bench, name: str, get: Get, places: int = 0, *, compared: bool = True) -> Row:
    """A figure of every contestant."""
    cells: list[Spread | None] = []
    for who in contestants(bench):
        told = [get(run) for run in bench["runs"] if (run["version"], run["shards"]) == who]
        values = [value for value in told if value is not None]
        cells.append(Spread.of(values) if values else None)
    return Row(name, cells, places, compared)


def at(*keys: str | int) -> Get:
    """What stands at that place in a run; None where nothing does, or no number."""

    def get(run: Any) -> float | None:
        for key in keys:
            try:
                run = run[key]
            except (KeyError, IndexError):
                return None
        return run if isinstance(run, int | float) else None

    return get


def sum_at(*keys: str | int, but: str = "") -> Get:
    """The sum of all that stands there by part, without one of them."""

    def get(run: Any) -> float:
        for key in keys:
            run = run[key]
        return float(sum(value for part, value in run.items() if part != but))

    return get


def parts(bench: Bench, *keys: str | int) -> list[str]:
    """The parts that there are figures of at that place: services first, each with its database, then the rest."""
    found: set[str] = set()
    for told in bench["runs"]:
        for key in keys:
            told = told[key]
        found.update(told)
    order = [name for service in SERVICES for name in (service, f"{service} database")]
    return sorted(found, key=lambda part: (order.index(part) if part in order else len(order), part))


def rates(bench: Bench) -> list[float]:
    """The rates that were tried: those of the second load and all after it."""
    return [load["rate"] for load in bench["runs"][0]["loads"][1:]]


def rows(bench: Bench) -> Iterator[tuple[str, list[Row]]]:
    """All figures, in groups with a title."""
    yield (
        "as fast as it goes",
        [
            row(bench, "full lives a second", at("loads", 0, "lives_per_s")),
            *_of_load(bench, 0),
            row(bench, "batches an order", sum_at("loads", 0, "batches_per_order"), 3),
            *(
                row(bench, f"messages a batch, {service}", at("loads", 0, "messages_per_batch", service), 1)
                for service in SERVICES
            ),
        ],
    )
    for n, rate in enumerate(rates(bench), 1):
        yield f"{rate:g} orders a second", [*(wait(bench, n, share) for share in SHARES), *_of_load(bench, n)]
    yield (
        "doing nothing",
        [
            row(bench, "CPU beside the broker, % of a core", sum_at("idle_percent", but=KAFKA), 1),
            row(bench, "CPU of the broker, % of a core", at("idle_percent", KAFKA), 1),
            *(
                row(bench, f"resident memory of {part}, MiB", at("resident_mib", part))
                for part in parts(bench, "resident_mib")
            ),
        ],
    )


def wait(bench: Bench, load: int, share: str) -> Row:
    """From placing to payable, of one of the loads: milliseconds that this share did not exceed."""
    return row(bench, f"place to payable, {share}, ms", at("loads", load, "place_to_payable_ms", share))


def _of_load(bench: Bench, load: int) -> list[Row]:
    """What one of the loads took, and what else was at work meanwhile."""
    return [
        row(bench, "CPU an order, µs", sum_at("loads", load, "cpu_us")),
        *(row(bench, f"of it {part}", at("loads", load, "cpu_us", part)) for part in parts(bench, *CPU) if load == 0),
        row(bench, "all else on the machine, % of a core", at("loads", load, "others_percent"), 1, compared=False),
        row(bench, "taken by the host, % of a core", at("loads", load, "stolen_percent"), 1, compared=False),
    ]
