"""What payment knows of an order: attempts to take money, money captured, money given back.

Amounts are integer minor units. A *capture* is money that the gateway took; it is known by the gateway's own reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct

from shared.contracts import payment
from shared.runtime.said import Record


class Phase(StrEnum):
    """What the payment of an order waits for. `OPEN`: nothing, no attempt is live; `TAKEN`: the money is in."""

    NEW = "new"
    CHARGING = "charging"
    ASKING = "asking"
    OPEN = "open"
    TAKEN = "taken"


LIVE = frozenset({Phase.CHARGING, Phase.ASKING})
"""The phases in which the gateway has yet to say what became of the last attempt."""


class RefundPhase(StrEnum):
    """Where a refund stands. `REFUSED`: it will not be done, so a person has to see to it."""

    NEW = "new"
    ASKED = "asked"
    REFUNDED = "refunded"
    REFUSED = "refused"


class ReportPhase(StrEnum):
    """What became of a report of money. `ASKED`: the gateway is asked whose the reference is; `UNKNOWN`: it knows no
    such money, so it is asked once more when that is told again."""

    NEW = "new"
    ASKED = "asked"
    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    UNKNOWN = "unknown"
    ASKED_AGAIN = "asked_again"


BEING_ASKED = frozenset({ReportPhase.ASKED, ReportPhase.ASKED_AGAIN})
"""The phases in which the gateway has yet to say whose money it is."""


class Attempt(NamedTuple):
    """A click of the customer. `outcome` is taken, declined or given_up, and empty as long as nobody knows; `code`
    says why it was declined."""

    number: int
    amount: int
    method: str
    outcome: str = ""
    code: str = ""


class Capture(NamedTuple):
    """Money taken, under `key` (empty: written before keys were kept). `given_back` is the sum of its refunds, also of
    those that the gateway has not confirmed yet."""

    reference: str
    amount: int
    at: datetime
    given_back: int = 0
    key: str = ""

    @property
    def remainder(self) -> int:
        """What may still be given back."""
        return self.amount - self.given_back


class Payment(Struct, frozen=True, gc=False):
    """The money of one order. In a live phase it is the last attempt that is live."""

    order_id: str
    phase: Phase = Phase.NEW
    attempts: tuple[Attempt, ...] = ()
    captures: tuple[Capture, ...] = ()

    @property
    def live(self) -> Attempt | None:
        """The attempt whose answer is awaited."""
        return self.attempts[-1] if self.phase in LIVE else None

    def capture(self, reference: str) -> Capture | None:
        """The money with this reference."""
        return next((c for c in self.captures if c.reference == reference), None)


class Refund(Struct, frozen=True):
    """Money of one capture on its way back. `reference` and `at` are the gateway's, once it is done (of nothing, which
    no gateway gives back, they are ours); `code` says why it was refused."""

    order_id: str
    number: int
    phase: RefundPhase
    amount: int
    capture: str
    reason: str
    liable: payment.Liable
    reference: str = ""
    at: datetime | None = None
    code: str = ""


class Report(Struct, frozen=True):
    """What somebody (`told_by`, an actor) told of money, word for word: told otherwise it is another report. `asked`
    counts how often the gateway was asked about it."""

    order_id: str
    digest: str
    phase: ReportPhase
    reference: str
    attempt_key: str
    amount: int
    at: datetime
    told_by: str = ""
    asked: int = 0


def digest_of(m: payment.ReportMoney) -> str:
    """The identity of a report within its order: its whole content."""
    told = "\0".join((m.reference, m.attempt_key, str(m.amount), m.at.astimezone(UTC).isoformat()))
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def attempt_key(order_id: str, attempt: int) -> str:
    """The idempotency key of an attempt; the gateway knows it by this name for ever. Order ids may hold colons, so what
    follows the last one must tell attempts and refunds apart."""
    return f"{order_id}:{attempt}"


def refund_key(order_id: str, refund: int) -> str:
    """The idempotency key of a refund."""
    return f"{order_id}:refund-{refund}"


class JournalEntry(Record, frozen=True):
    """A line of the money journal: `captured` or `refunded`, with the gateway's reference. Never changed."""

    order_id: str
    at: datetime
    kind: str
    amount: int
    reference: str
    reason: str
    liable: payment.Liable | None


class Contradiction(Record, frozen=True):
    """Something told of money that disagrees with what is known: it moves nothing, and a person has to look at it.
    `why` is a code, `told` and `known` say what is to be compared, `told_by` who spoke (an actor; `gateway:` is the
    gateway itself)."""

    order_id: str
    reference: str
    at: datetime
    why: str
    told_by: str
    told: Mapping[str, Any]
    known: Mapping[str, Any]
