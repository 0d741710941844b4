"""What aftersales knows: the window in which a delivered order may be complained about, and tickets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from shared.contracts.aftersales import TicketKind


class Phase(StrEnum):
    """Where a window stands. `NEW` is an order that was not delivered yet (it may have tickets all the same); `PASSED`:
    the time is over, but a ticket is open."""

    NEW = "new"
    OPEN = "open"
    PASSED = "passed"
    SHUT = "shut"


class TicketPhase(StrEnum):
    """Where a ticket stands. `OPEN` waits for a person, `DECIDING` for the order to carry out what was asked."""

    NEW = "new"
    OPEN = "open"
    DECIDING = "deciding"
    RESOLVED = "resolved"
    REJECTED = "rejected"


TICKET_ENDS = frozenset({TicketPhase.RESOLVED, TicketPhase.REJECTED})
"""Nothing happens to a ticket any more."""


@dataclass(frozen=True, slots=True)
class Window:
    """The after-sales window of one order; `shuts_at` is its planned end, from the delivery on, and `open_tickets` the
    number of tickets that keep it from shutting."""

    order_id: str
    phase: Phase = Phase.NEW
    account: str = ""
    store: str = ""
    shuts_at: datetime | None = None
    open_tickets: int = 0


class Call(NamedTuple):
    """What the customer said on the phone, who wrote it down, and when. Parallel: pieces of `spus` instead of as many
    of `instead_of`."""

    outcome: str
    by: str
    at: datetime
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    instead_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A work order of customer service about one order. `spus` and `quantities` (pieces) are parallel.

    `opened_by` is an actor, or empty when the saga raised it; `note` says in a word how it ended, or why the outcome of
    the last `call` could not be carried out.
    """

    ticket_id: str
    order_id: str
    phase: TicketPhase = TicketPhase.NEW
    kind: TicketKind = "intercept"
    account: str = ""
    store: str = ""
    spus: tuple[str, ...] = ()
    quantities: tuple[int, ...] = ()
    reason: str = ""
    note: str = ""
    opened_at: datetime | None = None
    opened_by: str = ""
    ended_at: datetime | None = None
    call: Call | None = None


# Messages that never leave the service. ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WindowPassed:
    """The timer: the time for complaints is over."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


@dataclass(frozen=True, slots=True)
class PassedUnderTickets:
    """The time for complaints is over, but a ticket is open."""


@dataclass(frozen=True, slots=True)
class TicketCame:
    """The order has one more open ticket."""


@dataclass(frozen=True, slots=True)
class TicketWent:
    """A ticket has ended, others are open."""


@dataclass(frozen=True, slots=True)
class LastTicketWent:
    """A ticket has ended, and no other is open."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Customer service wants something done, and it may still be wanted."""

    reason: str


@dataclass(frozen=True, slots=True)
class AskedAfterShut:
    """Customer service wants something done about an order whose window is shut."""


@dataclass(frozen=True, slots=True)
class AskedUnderOtherName:
    """The id of the new ticket is that of another order's."""


@dataclass(frozen=True, slots=True)
class SubstituteWanted:
    """The customer takes other goods; `call` names them."""

    call: Call


@dataclass(frozen=True, slots=True)
class DropWanted:
    """The customer goes without."""

    call: Call


@dataclass(frozen=True, slots=True)
class CancelWanted:
    """The customer wants nothing any more."""

    call: Call


@dataclass(frozen=True, slots=True)
class SubstitutesBesideShort:
    """Substitutes for what is not short, or for more than that; `detail` says which."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotACall:
    """The outcome of a call, for a ticket that asks for none."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A person has seen to it."""


@dataclass(frozen=True, slots=True)
class Denied:
    """A person will not have it done."""

    reason: str


@dataclass(frozen=True, slots=True)
class ApprovalUnneeded:
    """Somebody approves or rejects what goes its way without."""


@dataclass(frozen=True, slots=True)
class Done:
    """What the ticket asked for was done."""

    note: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """What the ticket asked for was not done."""

    note: str
