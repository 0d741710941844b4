"""Risk: may this order go on, and is its stock locked at placing or deducted at payment?"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from shared.contracts.base import (
    PACKED_MAX,
    Account,
    Device,
    Entry,
    Message,
    Moment,
    Money,
    Name,
    Pack,
    Part,
    Text,
)

About = Literal["account", "device", "address"]
"""What a subject is."""
RULES_MAX = 100
"""Most screening rules."""


class RiskCommand(Message):
    """Keyed by account, so that one writer sees all of an account's orders."""

    TOPIC = "risk.commands"
    KEY = "account"
    order_id: Name
    account: Account


class ScreenOrder(RiskCommand):
    """Look at this order; `total` in minor units."""

    device: Device | None = None
    address: Text | None = None
    total: Money


class WithdrawScreening(RiskCommand):
    """The order ended while it was in review: nobody needs to look at it any more."""


class ClaimReview(RiskCommand):
    """A risk analyst works on an order in review; nobody else does until the claim ends."""


class ReleaseReview(RiskCommand):
    """Whoever claimed it lets go of it."""


class DecideReview(RiskCommand):
    """A risk analyst's verdict on an order in review; `block` names what of it goes on the blocklist, to be treated as
    `treatment` says, until `until` (left out: for good)."""

    verdict: Literal["clear", "restrict", "refuse"]
    note: Text = ""
    block: Annotated[tuple[About, ...], Field(max_length=3)] = ()
    treatment: Literal["refuse", "refer", "restrict"] = "refuse"
    until: Moment | None = None


Pseudonym = Annotated[str, StringConstraints(max_length=24, pattern=r"^[0-9a-f]{24}$")]
"""A keyed hash of a device or an address, where it only matters whether two are the same."""
Subject = Account
"""An account, or the pseudonym of a device or an address."""
Deed = Literal[
    "delivered",
    "cancelled",
    "cancelled_after_payment",
    "expired",
    "unreachable",
    "declined",
    "rated_low",
    "ended",
]
"""What an account did, or what became of its order. `ended` is any end that is no doing of the account's: sold out,
short, late, or called off by customer service."""
Signal = Literal[
    "orders",
    "deliveries",
    "cancels",
    "cancels_after_payment",
    "expiries",
    "unreachables",
    "declines",
    "low_ratings",
    "device_orders",
    "device_accounts",
    "address_orders",
    "address_accounts",
]
"""What is counted of a subject; those of a device and an address begin with its name."""
HAPPENINGS_MAX = 64
"""So many happenings of one signal are known of a subject, the newest."""
EARLIER_MAX = 16
"""So many orders of an account are known in detail, the newest."""
Happening = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
"""When something happened, in milliseconds since 1970, times 2^20, and 20 bits of a hash of whose order or account it
was: told twice, it is the same number, and numbers are in the order of time."""


class Activity(Entry):
    """What one account did with one order."""

    KEY = "account"
    account: Account
    order_id: Name
    deed: Deed
    at: Moment


class AccountsActed(Pack):
    """What accounts of one shard did, as the services tell it."""

    TOPIC = "risk.activity"
    entries: Annotated[tuple[Activity, ...], Field(max_length=PACKED_MAX)]


class Sighting(Entry):
    """An order, as its account, its device or its address sees it: one entry for each. `total` in minor units."""

    KEY = "subject"
    about: About
    subject: Subject
    account: Account
    order_id: Name
    at: Moment
    total: Money
    device: Pseudonym | None = None
    address: Pseudonym | None = None


class OrdersSeen(Pack):
    """Orders that were screened."""

    TOPIC = "risk.activity"
    entries: Annotated[tuple[Sighting, ...], Field(max_length=PACKED_MAX)]


class Count(Part):
    """Happenings of one signal, the newest last."""

    signal: Signal
    happenings: Annotated[tuple[Happening, ...], Field(max_length=HAPPENINGS_MAX)]


class Earlier(Part):
    """An order of an account's, and whether it was delivered. `total` in minor units."""

    order_id: Name
    at: Moment
    total: Money
    device: Pseudonym | None = None
    address: Pseudonym | None = None
    delivered: bool = False


class Conduct(Entry):
    """How a subject conducted itself until `at`: all that is counted of it, not only what is new."""

    KEY = "subject"
    about: About
    subject: Subject
    at: Moment
    counts: Annotated[tuple[Count, ...], Field(max_length=len(get_args(Signal)))] = ()
    earlier: Annotated[tuple[Earlier, ...], Field(max_length=EARLIER_MAX)] = ()


class SignalsTold(Pack):
    """Conducts that changed. Everything that happened until `as_of` is in what was told so far; without entries it is a
    sign of life."""

    TOPIC = "risk.signals"
    as_of: Moment
    entries: Annotated[tuple[Conduct, ...], Field(max_length=PACKED_MAX)] = ()


Activity.PACK, Sighting.PACK, Conduct.PACK = AccountsActed, OrdersSeen, SignalsTold


class Verdict(Message):
    """What risk says of an order: a code for its reason, and the names of the rules that spoke, for people who work
    here."""

    TOPIC = "risk.events"
    order_id: Name
    reason: Text = ""
    rules: Annotated[tuple[Name, ...], Field(max_length=RULES_MAX)] = ()


class OrderCleared(Verdict):
    """Nothing speaks against it: its stock is locked at placing."""


class OrderRestricted(Verdict):
    """It may go on, but its stock is deducted only when it is paid."""


class OrderReferred(Verdict):
    """A person decides; nobody deciding in time means restricted."""


class OrderRefused(Verdict):
    """It may not go on."""
