"""What a worker counts, by the words of DESIGN §1."""

from __future__ import annotations

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
