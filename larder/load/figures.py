"""What a load measures. Times are seconds of one monotonic clock."""

from __future__ import annotations

from array import array
from enum import StrEnum
from math import inf
from typing import Any

MIDDLE = (0.10, 0.90)
"""`lives_per_s` counts the ends between these shares of all ends: neither start-up nor the last stragglers."""


class End(StrEnum):
    """How an order ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Figures:
    """Counts ends and waiting times; 24 bytes an order."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(End, 0)
        self.ends = array("d")
        """When orders ended, in the order of ending."""
        self.waits = array("d")
        """Seconds from handing PlaceOrder to the producer until OrderPayable was seen."""
        self.payable_at = array("d")
        """When that was; parallel to `waits`."""
        self.taken = 0
        """Money of paid orders, minor units."""
        self.pieces = 0
        """Pieces of paid orders."""
        self.discounted = 0
        """Paid orders with promotions."""
        self.taken_off = 0
        """What promotions took off paid orders, minor units."""
        self.received = 0
        """Pieces that came into the stores before the first order."""
        self.began_at = 0.0

    def payable(self, wait_s: float, now: float) -> None:
        """An order became payable for the first time."""
        self.waits.append(wait_s)
        self.payable_at.append(now)

    def paid(self, total: int, pieces: int, off: int) -> None:
        """An order was paid; promotions took so much off."""
        self.taken += total
        self.pieces += pieces
        self.discounted += off > 0
        self.taken_off += off

    def ended(self, how: End, now: float) -> None:
        """An order ended."""
        self.counts[how] += 1
        self.ends.append(now)

    @property
    def seconds(self) -> float:
        """From the first PlaceOrder to the last end."""
        return self.ends[-1] - self.began_at if self.ends else 0.0

    def lives_per_s(self) -> float:
        """Ended orders a second in the middle 80% of ends; all but the last tenth, when they came in one batch."""
        ends = sorted(self.ends)
        first, last = (min(int(len(ends) * share), len(ends) - 1) for share in MIDDLE)
        if last > first and ends[last] > ends[first]:
            return (last - first) / (ends[last] - ends[first])
        return (last + 1) / (ends[last] - self.began_at) if ends and ends[last] > self.began_at else 0.0

    def lives_lately(self, now: float, span_s: float = 2.0) -> float:
        """Ended orders a second in the last seconds."""
        since, count = now - span_s, 0
        for end in reversed(self.ends):
            if end < since:
                break
            count += 1
        return count / span_s

    def wait_ms(self, share: float, placed: tuple[float, float] = (-inf, inf)) -> float | None:
        """The waiting time that this share of orders (all, or those placed in a time) did not exceed, in
        milliseconds."""
        ordered = sorted(self.waits_of(placed))
        return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else None

    def waits_of(self, placed: tuple[float, float]) -> list[float]:
        """The waiting times of orders placed in a time: from, to."""
        begin, end = placed
        both = zip(self.waits, self.payable_at, strict=True)
        return [wait for wait, payable_at in both if begin <= payable_at - wait < end]

    def summary(
        self, orders: int, violations: int | None, broker: str, database: str, parked: int | None = None
    ) -> dict[str, Any]:
        """The last line of `larder load --json`; `violations` is null when there was no audit, `parked` (commands of
        this load that nobody could handle) when it was broken off."""
        p50, p99 = self.wait_ms(0.50), self.wait_ms(0.99)
        return {
            "orders": orders,
            **{how.value: count for how, count in self.counts.items()},
            "seconds": round(self.seconds, 3),
            "lives_per_s": round(self.lives_per_s(), 1),
            "place_to_payable_ms": {
                "p50": None if p50 is None else round(p50, 1),
                "p99": None if p99 is None else round(p99, 1),
            },
            "violations": violations,
            "broker": broker,
            "database": database,
            "parked": parked,
        }
