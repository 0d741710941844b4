"""What aftersales knows: the window in which a delivered order may be complained about, and tickets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

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


class Window(Struct, frozen=True, gc=False):
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


class Ticket(Struct, frozen=True, gc=False):
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


class WindowPassed(Struct, frozen=True):
    """The timer: the time for complaints is over."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class PassedUnderTickets(Struct, frozen=True):
    """The time for complaints is over, but a ticket is open."""


class TicketCame(Struct, frozen=True):
    """The order has one more open ticket."""


class TicketWent(Struct, frozen=True):
    """A ticket has ended, others are open."""


class LastTicketWent(Struct, frozen=True):
    """A ticket has ended, and no other is open."""


class Asked(Struct, frozen=True):
    """Customer service wants something done, and it may still be wanted."""

    reason: str


class AskedAfterShut(Struct, frozen=True):
    """Customer service wants something done about an order whose window is shut."""


class AskedUnderOtherName(Struct, frozen=True):
    """The id of the new ticket is that of another order's."""


class SubstituteWanted(Struct, frozen=True):
    """The customer takes other goods; `call` names them."""

    call: Call


class DropWanted(Struct, frozen=True):
    """The customer goes without."""

    call: Call


class CancelWanted(Struct, frozen=True):
    """The customer wants nothing any more."""

    call: Call


class SubstitutesBesideShort(Struct, frozen=True):
    """Substitutes for what is not short, or for more than that; `detail` says which."""

    detail: str


class NotACall(Struct, frozen=True):
    """The outcome of a call, for a ticket that asks for none."""


class Approved(Struct, frozen=True):
    """A person has seen to it."""


class RetryApproved(Struct, frozen=True):
    """A person wants the refund that failed tried again."""


class Denied(Struct, frozen=True):
    """A person will not have it done."""

    reason: str


class ApprovalUnneeded(Struct, frozen=True):
    """Somebody approves or rejects what goes its way without."""


class Done(Struct, frozen=True):
    """What the ticket asked for was done."""

    note: str


class NotDone(Struct, frozen=True):
    """What the ticket asked for was not done."""

    note: str
