"""What risk knows: the screening of an order, the review of one that a person looks at, who is on the blocklist, and
which orders a customer cancelled."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct


class Phase(StrEnum):
    """Where a screening stands. `NEW` is an order that nobody has looked at."""

    NEW = "new"
    IN_REVIEW = "in_review"
    CLEARED = "cleared"
    RESTRICTED = "restricted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class CancelPhase(StrEnum):
    """Whether a customer's cancel is counted."""

    NEW = "new"
    COUNTED = "counted"


class Kind(StrEnum):
    """What the blocklist knows by name."""

    ACCOUNT = "account"
    DEVICE = "device"
    ADDRESS = "address"


class Treatment(StrEnum):
    """What an entry of the blocklist does to an order, the weakest first: the strongest one wins."""

    RESTRICT = "restrict"
    REFER = "refer"
    REFUSE = "refuse"


STRENGTH = {treatment: strength for strength, treatment in enumerate(Treatment)}


class Blocked(NamedTuple):
    """An entry of the blocklist; from `until` on it counts no more (None: for good)."""

    treatment: Treatment
    reason: str
    until: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether it still says something."""
        return self.until is None or now < self.until


class Review(Struct, frozen=True):
    """What a person gets to see of an order (`total` in minor units), and what came of it once `decided_at` is there.

    `verdict` is clear, restrict or refuse, or withdrawn when the order ended first; `decided_by` is an actor, or empty
    when nobody decided.
    """

    total: int
    device: str | None
    address: str | None
    reason: str
    asked_at: datetime
    due_at: datetime
    verdict: str | None = None
    note: str = ""
    decided_by: str = ""
    decided_at: datetime | None = None


class Screening(Struct, frozen=True, gc=False):
    """Risk's look at one order. `reason` is the code that was said with the verdict, empty when it was clear."""

    order_id: str
    account: str
    phase: Phase = Phase.NEW
    reason: str = ""
    review: Review | None = None


class Cancel(Struct, frozen=True):
    """An order that ended by a customer's own doing; `reason` is the order's. An account's cancels are these."""

    order_id: str
    account: str
    phase: CancelPhase = CancelPhase.NEW
    reason: str = ""
    at: datetime | None = None


# Messages that never leave the service. ------------------------------------------------------------------------------


class OfOrder(Struct, frozen=True):
    """About one order."""

    order_id: str

    @property
    def subject(self) -> str:
        """Messages of one order park behind each other."""
        return self.order_id


class FoundNothing(OfOrder, frozen=True):
    """Nothing speaks against the order."""


class FoundRestriction(OfOrder, frozen=True):
    """The switch is off, or an entry restricts."""

    reason: str


class FoundReferral(OfOrder, frozen=True):
    """An entry wants a person to look."""

    reason: str
    total: int
    device: str | None
    address: str | None


class FoundRefusal(OfOrder, frozen=True):
    """An entry refuses."""

    reason: str


class ReviewDecision(OfOrder, frozen=True):
    """What a person decided."""

    note: str


class ReviewCleared(ReviewDecision, frozen=True):
    """A person cleared the order."""


class ReviewRestricted(ReviewDecision, frozen=True):
    """A person restricted the order."""


class ReviewRefused(ReviewDecision, frozen=True):
    """A person refused the order."""


class ReviewOverdue(OfOrder, frozen=True):
    """The timer: nobody decided in time."""
