"""What a worker counts, by the words of DESIGN §1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram

BATCHES = Counter("larder_batches_total", "Transactions committed by the worker", ["service"])
MESSAGES = Counter("larder_messages_total", "Messages decided", ["service"])
BATCH_SECONDS = Histogram(
    "larder_batch_seconds",
    "Time of one batch: load, decide, commit",
    ["service"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
PARKED = Counter("larder_parked_total", "Messages parked, by why", ["service", "code"])
LINK_GAPS = Counter("larder_link_gaps_total", "Messages ahead of their link: the sender has to go back", ["service"])
LAG = Gauge("larder_lag_records", "Records that the worker has not read yet", ["service"])
OLDEST_SECONDS = Gauge("larder_oldest_seconds", "Age of the oldest order in a phase", ["phase"])
CACHED = Gauge("larder_cached_aggregates", "Aggregates in memory", ["service"])
EFFECTS_RUNNING = Gauge("larder_effects_running", "Calls to the outside world under way", ["service"])
UNPUBLISHED = Gauge("larder_unpublished_rows", "Outbox rows that the broker has not acknowledged", ["service"])
LEVELS_UNTOLD = Gauge("larder_levels_untold", "Levels that changed and are not told yet", ["service"])


class Working(NamedTuple):
    """What one worker is at now: the epochs of its own shards, and what the metrics of these names say."""

    epochs: Mapping[int, int] = {}
    lag: int = 0
    cached: int = 0
    unpublished_rows: int = 0
    unpublished_messages: int = 0
    """What is in those rows."""
    effects_running: int = 0


def show(service: str, working: Working) -> None:
    """Sets the metrics."""
    LAG.labels(service).set(working.lag)
    CACHED.labels(service).set(working.cached)
    UNPUBLISHED.labels(service).set(working.unpublished_rows)
    EFFECTS_RUNNING.labels(service).set(working.effects_running)
