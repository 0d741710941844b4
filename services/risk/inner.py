"""Messages that never leave the service: its timers, and what a message of others is read into where its outcome
depends on facts."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from services.risk.state import Kind, Seen, Treatment


class OfOrder(Struct, frozen=True):
    """About one order."""

    order_id: str

    @property
    def subject(self) -> str:
        """Messages of one order park behind each other."""
        return self.order_id


class Found(OfOrder, frozen=True):
    """What a look at the order came to."""

    seen: Seen
    reason: str = ""


class FoundNothing(Found, frozen=True):
    """Nothing speaks against the order."""


class FoundRestriction(Found, frozen=True):
    """The switch is off, or an entry or the rules restrict."""


class FoundReferral(Found, frozen=True):
    """An entry or the rules want a person to look."""

    device: str | None = None
    address: str | None = None


class FoundRefusal(Found, frozen=True):
    """An entry or the rules refuse."""


class EndingTold(OfOrder, frozen=True):
    """What became of the order."""

    deed: str
    at: datetime


class ReviewDecision(OfOrder, frozen=True):
    """What a person decided, and which of the order's account, device and address go on the blocklist by it."""

    note: str
    block: tuple[Kind, ...] = ()
    treatment: Treatment = Treatment.REFUSE
    until: datetime | None = None


class ReviewCleared(ReviewDecision, frozen=True):
    """A person cleared the order."""


class ReviewRestricted(ReviewDecision, frozen=True):
    """A person restricted the order."""


class ReviewRefused(ReviewDecision, frozen=True):
    """A person refused the order."""


class ReviewOverdue(OfOrder, frozen=True):
    """The timer: nobody decided in time."""


class ReviewClaimedByOther(OfOrder, frozen=True):
    """Somebody else works on it."""

    detail: str


class NobodysReview(OfOrder, frozen=True):
    """There is no claim to let go of."""
