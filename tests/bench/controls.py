"""Benches and readings with names, for the tests of `larder bench`."""

from __future__ import annotations

from typing import Any

from larder.bench.readings import Process, Reading
from larder.stack.process import Identity


def reading(at: float, *processes: tuple[int, str, float], busy_s: float = 0, **named: Any) -> Reading:
    """A reading of processes: pid, part, CPU seconds of its own."""
    seen = {Identity(pid, 1): Process(part, None, cpu_s, 0, 0) for pid, part, cpu_s in processes}
    return Reading(at, seen | named.get("more", {}), busy_s, 0)


def load(rate: float | None, lives: float = 800, **named: Any) -> dict[str, Any]:
    """What is kept of a load."""
    return {
        "rate": rate,
        "orders": 1000,
        "lives_per_s": lives,
        "place_to_payable_ms": {"p50": 20.0, "p99": 40.0},
        "counted_orders": 700,
        "counted_s": 1.5,
        "cpu_us": {"order": 400, "order database": 180, "kafka": 200, "load": 150},
        "others_percent": 2.0,
        "stolen_percent": 0.0,
        "batches_per_order": {"order": 0.02, "risk": 0.01},
        "messages_per_batch": {"order": 519.0, "risk": 103.0},
        **named,
    }


def run(version: str, *loads: dict[str, Any], shards: int = 1) -> dict[str, Any]:
    """What is kept of a turn."""
    return {
        "version": version,
        "shards": shards,
        "seed": 1,
        "broker": "apache-kafka 4.1.1",
        "database": "postgresql 18.4",
        "loads": list(loads),
        "idle_percent": {"order": 1.5, "signals": 2.0, "kafka": 9.0},
        "resident_mib": {"order": 95.0, "kafka": 258.0},
        "audited": True,
    }


def bench(*runs: dict[str, Any]) -> dict[str, Any]:
    """A whole bench."""
    return {
        "command": "larder bench --against old",
        "at": "2026-11-27 20:42 UTC",
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 23.5},
        "python": "3.11.2",
        "settings": {"LARDER_PAYMENT_WINDOW_S": "20"},
        "plan": {"orders": 1000, "warm": 500, "rates": [], "rate_s": 30},
        "versions": [{"name": "old", "commit": "0" * 40}, {"name": "new", "commit": ""}],
        "runs": list(runs),
    }


TWO = bench(
    run("old", load(None, 700), load(20.0), load(100.0)),
    run("new", load(None, 1000), load(20.0), load(100.0, place_to_payable_ms={"p50": 15.0, "p99": 31.0})),
    run("new", load(None, 1300), load(20.0), load(100.0, place_to_payable_ms={"p50": 17.0, "p99": None})),
    run("old", load(None, 900), load(20.0), load(100.0)),
)
"""Two versions with two turns each, at two rates."""
