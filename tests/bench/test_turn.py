"""One turn: which stretch of a load counts, and what is made of it."""

from typing import Any

import pytest

from larder.bench import turn
from larder.bench.readings import Counts
from larder.bench.turn import Mark, Watcher, extra_options, measured, stretch
from larder.bench.version import Version
from larder.load.display import standing
from larder.load.errors import LoadError
from larder.load.figures import Figures
from larder.load.order import Step
from tests.bench.controls import reading


def mark(placed: int, ended: int, at: float = 0, cpu_s: float = 0) -> Mark:
    """A moment of a load of one process."""
    return Mark(placed, ended, reading(at, (1, "order", cpu_s), busy_s=cpu_s))


def test_cpu_counts_while_as_many_end_as_are_placed():
    """Neither while the first ones are under way, nor when none are placed any more."""
    marks = [
        mark(0, 0),
        mark(300, 50),
        mark(500, 150),
        mark(700, 400),
        mark(950, 600),
        mark(1000, 800),
        mark(1000, 1000),
    ]
    assert stretch(marks, 1000) == (marks[2], marks[4])


@pytest.mark.parametrize(
    "between",
    [
        [],
        [mark(900, 500)],
        [mark(500, 100), mark(900, 250)],
        [mark(1000, 300), mark(1000, 900)],
    ],
    ids=["nothing told", "one moment", "too few ends", "all placed at once"],
)
def test_a_load_without_a_steady_middle_counts_whole(between):
    """From the first order to the last end."""
    marks = [mark(0, 0), *between, mark(1000, 1000)]
    assert stretch(marks, 1000) == (marks[0], marks[-1])


class Heard:
    """A watcher that read what it was given."""

    def __init__(self, marks: list[Mark], counts: list[dict[str, Counts]]) -> None:
        self.marks = marks
        self.counts = counts


TOLD = {"orders": 1000, "lives_per_s": 800.0, "place_to_payable_ms": {"p50": 1.0, "p99": 2.0}}


def test_what_a_load_took_is_told_by_order_and_batch():
    """CPU of the steady middle over the orders that ended in it; batches of all of it over all orders."""
    marks = [mark(0, 0), mark(500, 200, 2, 1.0), mark(900, 700, 4, 2.5), mark(1000, 1000, 9, 3.0)]
    counts = [
        {"order": Counts(10, 100), "risk": Counts(5, 5), "payment": Counts(0, 0)},
        {"order": Counts(30, 12_100), "risk": Counts(5, 5), "payment": Counts(4, 8)},
    ]
    told = measured(TOLD, Heard(marks, counts), None)  # type: ignore[arg-type]
    assert told["counted_orders"] == 500
    assert told["counted_s"] == 2
    assert told["cpu_us"] == {"order": 3000}
    assert told["others_percent"] == 0
    assert told["batches_per_order"] == {"order": 0.02, "risk": 0, "payment": 0.004}
    assert told["messages_per_batch"] == {"order": 600, "payment": 2}
    assert (told["rate"], told["lives_per_s"]) == (None, 800)


def test_a_load_that_does_not_say_when_it_began_is_refused():
    """Another version may have other words: no figures then, rather than wrong ones."""
    with pytest.raises(LoadError, match="did not say when it began and ended"):
        measured(TOLD, Heard([mark(0, 0)], [{}]), None)  # type: ignore[arg-type]


def test_a_watcher_understands_what_a_load_says(monkeypatch):
    """The lines of this version's own load: progress, begin and end; all others are passed over."""
    monkeypatch.setattr(turn, "counts", lambda ports: {"order": Counts(1, 2)})
    watcher = Watcher(12_000, lambda pid: {pid: "load"}, {"order": 1})

    class Robots:
        placed = 1_234
        steps = (0,) * len(Step)
        resends = 0

    figures: Any = Figures()
    figures.ends.extend([1.0] * 1_100)
    for line in (
        "load 1xa: 12,000 orders from 9 baskets",
        "the shelves are full after 2.0 s: 5 pieces",
        standing(2.0, Robots(), figures, 12_000),  # type: ignore[arg-type]
        "the load itself took 200 µs of CPU an order",
    ):
        watcher.hear(1, line)
    assert [(mark.placed, mark.ended) for mark in watcher.marks] == [(0, 0), (1_234, 1_100), (12_000, 12_000)]
    assert len(watcher.counts) == 2


@pytest.mark.parametrize(
    ("knows", "options"),
    [
        ([True], [()]),
        ([True, True], [(), ()]),
        ([False, False], [(), ()]),
        ([False, True], [(), ("--after-share", "0")]),
    ],
)
def test_all_versions_play_the_same(knows, options, monkeypatch, tmp_path):
    """Where an old version knows no complaints after the delivery, nobody complains in the new one either."""
    versions = [Version(f"v{n}", "", tmp_path, tmp_path) for n in range(len(knows))]
    known = dict(zip([version.name for version in versions], knows, strict=True))
    monkeypatch.setattr(Version, "knows", lambda self, option: known[self.name])
    assert list(extra_options(versions).values()) == options
