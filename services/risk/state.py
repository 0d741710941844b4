"""What risk knows: the screening of an order and what it saw, the review of one that a person looks at, who is on the
blocklist, how accounts, devices and addresses conduct themselves, and what became of the orders."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct

from shared.runtime.said import Record


class Phase(StrEnum):
    """Where a screening stands. `NEW` is an order that nobody has looked at."""

    NEW = "new"
    IN_REVIEW = "in_review"
    CLEARED = "cleared"
    RESTRICTED = "restricted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class EndingPhase(StrEnum):
    """Whether it is known what became of an order."""

    NEW = "new"
    KNOWN = "known"


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
    claimed_by: str = ""
    claimed_until: datetime | None = None


class EarlierOrder(NamedTuple):
    """An order of an account's: when (milliseconds since 1970), for how much (minor units), on which device and to
    which address (pseudonyms), and whether it was delivered."""

    order_id: str
    at: int
    total: int
    device: str | None
    address: str | None
    delivered: bool


class Known(Struct, frozen=True, gc=False):
    """How an account, a device or an address conducted itself until `at` (milliseconds since 1970): happenings by
    signal (numbers, see the contract `Happening`), and an account's earlier orders."""

    about: str
    subject: str
    at: int
    counts: Mapping[str, tuple[int, ...]]
    earlier: tuple[EarlierOrder, ...] = ()


class Facts(Struct, frozen=True, gc=False):
    """What a screening saw: the order itself (`total` in minor units, device and address as pseudonyms), and what was
    known then of its account, device and address."""

    total: int
    device: str | None = None
    address: str | None = None
    counts: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    earlier: tuple[EarlierOrder, ...] = ()


class Spoke(NamedTuple):
    """A rule that spoke: what it saw, from which threshold on it speaks, and how much it added to the sum."""

    name: str
    value: float
    threshold: float
    points: float


class Seen(Struct, frozen=True, gc=False):
    """How a verdict came about: kept with it, and never changed. `score` is the sum of the rules' weights."""

    at: datetime
    verdict: str
    facts: Facts
    rules_version: int = 0
    score: float = 0.0
    spoke: tuple[Spoke, ...] = ()


class Screening(Struct, frozen=True, gc=False):
    """Risk's look at one order. `reason` is the code that was said with the verdict, empty when it was clear. `seen` is
    there when the verdict was made just now."""

    order_id: str
    account: str
    phase: Phase = Phase.NEW
    reason: str = ""
    review: Review | None = None
    seen: Seen | None = None


class Ending(Struct, frozen=True, gc=False):
    """What became of an order, as a deed of its account's (`ended`: no doing of the account's)."""

    order_id: str
    account: str
    phase: EndingPhase = EndingPhase.NEW
    deed: str = ""
    at: datetime | None = None


class Age(Struct, frozen=True, gc=False):
    """Everything that accounts of this shard did until `as_of` is in their signals."""

    shard: str
    as_of: datetime


# Kept as it is. -----------------------------------------------------------------------------------------------------


class Entered(Record, frozen=True, gc=False):
    """What a review puts on the blocklist."""

    kind: Kind
    value: str
    treatment: Treatment
    reason: str
    until: datetime | None
    by: str
