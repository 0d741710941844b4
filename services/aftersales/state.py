"""What aftersales knows: the window in which a delivered order may be complained about, and tickets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from shared.contracts import aftersales, payment
from shared.runtime.said import Record


class Phase(StrEnum):
    """Where a window stands. `NEW` is an order that was not delivered yet (it may have tickets all the same); `PASSED`:
    the time is over, but a ticket is open."""

    NEW = "new"
    OPEN = "open"
    PASSED = "passed"
    SHUT = "shut"


class TicketPhase(StrEnum):
    """Where a ticket stands. `CHECKING` waits for the order's word whether it may be, `OPEN` for a person, `DECIDING`
    for the order to carry out what was asked, `HOLDING` for the stock of the replacing goods, `REPLACING` for their
    delivery, `RETURNING` for goods that the customer gives back."""

    NEW = "new"
    CHECKING = "checking"
    OPEN = "open"
    DECIDING = "deciding"
    HOLDING = "holding"
    REPLACING = "replacing"
    RETURNING = "returning"
    RESOLVED = "resolved"
    REJECTED = "rejected"


TICKET_ENDS = frozenset({TicketPhase.RESOLVED, TicketPhase.REJECTED})
"""Nothing happens to a ticket any more."""


class Good(NamedTuple):
    """Pieces of one SPU, and what was paid for each (minor units; of a replacement: for the piece that it replaces)."""

    spu: str
    quantity: int
    price: int


class Replacing(NamedTuple):
    """Pieces that replace as many of `instead_of`, and what was paid for one of those."""

    spu: str
    quantity: int
    instead_of: str
    price: int


class Note(NamedTuple):
    """What somebody wrote down for the next person."""

    at: datetime
    by: str
    text: str


class Window(Struct, frozen=True, gc=False):
    """The after-sales window of one order; `shuts_at` is its planned end, from the delivery on, and `open_tickets` the
    number of tickets and, for a sales order, of its replacement orders' windows that keep it from shutting.

    `goods` are the delivered pieces that no ticket has claimed; each piece is claimed once, whatever for.
    `replacements` counts the replacement orders of a sales order; `stars` is the customer's rating, 0 before it.
    """

    order_id: str
    phase: Phase = Phase.NEW
    account: str = ""
    store: str = ""
    shuts_at: datetime | None = None
    open_tickets: int = 0
    goods: tuple[Good, ...] = ()
    replacements: int = 0
    stars: int = 0


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

    `opened_by` is an actor, or empty when the saga raised it; `note` says in a word how it ended, or why what was last
    decided could not be carried out. `claims` are the pieces that it is about and has for itself; `settled` those of
    them that are done with: refunded, replaced or given back. `refunded` is the money (minor units), `amount` what was
    agreed instead of the whole price. `replacing` is what goes out, as the order `replacement`. `claimed_by` works on
    it until `claimed_until`.
    """

    ticket_id: str
    order_id: str
    phase: TicketPhase = TicketPhase.NEW
    kind: aftersales.TicketKind = "intercept"
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
    liable: payment.Liable = "store"
    amount: int | None = None
    claims: tuple[Good, ...] = ()
    settled: tuple[Good, ...] = ()
    refunded: int = 0
    replacing: tuple[Replacing, ...] = ()
    replacement: str = ""
    deadline: datetime | None = None
    claimed_by: str = ""
    claimed_until: datetime | None = None
    notes: tuple[Note, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Nothing happens to it any more, but that a late intercept may become another ticket."""
        return self.phase in TICKET_ENDS

    @property
    def held(self) -> tuple[Good, ...]:
        """Every piece that no other ticket may be about."""
        return self.claims + self.settled


# What is written down, never to be changed. ---------------------------------------------------------------------------


class TicketStep(Record, frozen=True):
    """One line of a ticket's timeline: the phase it entered, what happened, and who did it."""

    ticket_id: str
    at: datetime
    phase: str
    step: str
    actor: str
    note: str


class Rating(Record, frozen=True):
    """What a customer said of an order: 1 to 5 stars."""

    order_id: str
    account: str
    at: datetime
    stars: int
    text: str
