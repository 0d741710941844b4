"""What an audit comes to: violations with their rules and ids, what is in flight, what is parked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

KEPT_MAX = 10_000
"""Most violations of one rule that are kept with their ids; the rest are only counted."""
PARKED_LISTED = 200
"""Most parked messages that are listed; all are counted."""


Found = tuple[tuple[str, ...], str]
"""What breaks a rule: the ids that it is about, and what was found."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be: the rule it breaks, the ids it is about, and what was found."""

    rule: str
    ids: tuple[str, ...]
    detail: str

    def __str__(self) -> str:
        return f"{self.rule} [{' '.join(self.ids)}] {self.detail}"


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message that nobody could handle; `id` is the one that `larder parked` knows it by."""

    id: str
    subject: str
    type: str
    code: str
    reason: str


@dataclass(slots=True)
class InFlight:
    """What was still under way. `orders` counts those that have not ended, by phase; most of them wait for a person or
    a timer. The rest is what was moving between the books when they were read, and orders (`unsettled`) that looked
    wrong but changed each time they were looked at."""

    orders: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)
    effects: int = 0
    timers_due: int = 0
    webhooks: int = 0
    pending_captures: int = 0
    unsettled: list[str] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        """Nothing moved between the books."""
        return not (self.links or self.effects or self.timers_due or self.webhooks or self.unsettled)


@dataclass(slots=True)
class Report:
    """The verdict. `checked` counts per rule how many things it was held against: a rule that looked at nothing proves
    nothing."""

    orders: int = 0
    in_flight: InFlight = field(default_factory=InFlight)
    violations: list[Violation] = field(default_factory=list)
    parked: list[ParkedMessage] = field(default_factory=list)
    parked_count: int = 0
    checked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    _found: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong."""
        return not self.violations

    def add(self, rule: str, ids: tuple[str, ...], detail: str) -> None:
        """Names a violation."""
        self._found[rule] += 1
        if self._found[rule] <= KEPT_MAX:
            self.violations.append(Violation(rule, ids, detail))

    def hold(self, rule: Callable[..., Iterable[Found]], rows: Sequence[Any], *others: Any) -> None:
        """Holds rows against a rule about rows."""
        self.checked[rule.__name__] += len(rows)
        for ids, detail in rule(rows, *others):
            self.add(rule.__name__, ids, detail)

    @property
    def not_kept(self) -> int:
        """How many more violations were found than are listed."""
        return sum(max(0, found - KEPT_MAX) for found in self._found.values())

    def as_json(self) -> dict[str, Any]:
        """The report as JSON knows it."""
        flight = self.in_flight
        told: dict[str, Any] = {
            "orders": self.orders,
            "in_flight": {
                "orders": dict(sorted(flight.orders.items())),
                "links": flight.links,
                "effects": flight.effects,
                "timers_due": flight.timers_due,
                "webhooks": flight.webhooks,
                "pending_captures": flight.pending_captures,
                "unsettled": flight.unsettled,
            },
            "violations": [{"rule": v.rule, "ids": list(v.ids), "detail": v.detail} for v in self.violations],
            "parked": {
                "count": self.parked_count,
                "messages": [
                    {"id": p.id, "subject": p.subject, "type": p.type, "code": p.code, "reason": p.reason}
                    for p in self.parked
                ],
            },
            "checked": dict(sorted(self.checked.items())),
            "seconds": round(self.seconds, 2),
        }
        if self.not_kept:
            told["violations_not_listed"] = self.not_kept
        return told
