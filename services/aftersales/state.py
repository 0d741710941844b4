"""What aftersales knows: the window in which a delivered order may be complained about, and tickets."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NamedTuple

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


class RatedWell(Struct, frozen=True):
    """RateOrder by the customer, for the first time."""

    stars: int
    text: str


class RatedBadly(RatedWell, frozen=True):
    """The same, and somebody should look at it."""


class RatedByOther(Struct, frozen=True):
    """RateOrder of another customer's order, which is as unknown as none."""


class RatedAgain(Struct, frozen=True):
    """RateOrder, and the customer has done so before."""


class GoodsOpened(Struct, frozen=True):
    """OpenTicket about delivered goods, which it claims: a person decides. `claims` is empty while nobody knows whether
    the order was delivered."""

    kind: aftersales.GoodsKind
    claims: tuple[Good, ...]
    replacing: tuple[Replacing, ...]
    command: aftersales.OpenTicket


class GoodsAsked(GoodsOpened, frozen=True):
    """The same, and the order has to be asked first: about its delivery, or about the replacing goods."""


class Admitted(Struct, frozen=True):
    """AdmitTicket: the order has nothing against it; by now it is known whose it is."""

    account: str
    store: str
    claims: tuple[Good, ...]
    replacing: tuple[Replacing, ...]


class GoodsWanted(Struct, frozen=True):
    """ApproveTicket about delivered goods, read with what is left of them."""

    kind: aftersales.GoodsKind
    claims: tuple[Good, ...]
    liable: payment.Liable


class RefundWanted(GoodsWanted, frozen=True):
    """The customer keeps the goods and gets `money` (minor units)."""

    money: int


class ReturnWanted(GoodsWanted, frozen=True):
    """The goods come back, then the money goes."""


class ReplacementWanted(GoodsWanted, frozen=True):
    """Other goods go out, as the order `order_id`."""

    replacing: tuple[Replacing, ...]
    order_id: str


class Unfit(Struct, frozen=True):
    """What was decided about goods cannot be; `detail` says of what."""

    code: ClassVar[str]
    detail: str


class LineUnknown(Unfit, frozen=True):
    """An SPU that did not come with the order."""

    code = "line_not_delivered"


class MoreThanLeft(Unfit, frozen=True):
    """More pieces than were delivered and are in no other ticket."""

    code = "more_than_delivered"


class AmountTooLarge(Unfit, frozen=True):
    """More money than was paid for these pieces."""

    code = "amount_too_large"


class AmountUnfit(Unfit, frozen=True):
    """An agreed amount, where no money is agreed on."""

    code = "amount_does_not_fit"


class ReplacementUnfit(Unfit, frozen=True):
    """Not a piece for a piece, or replacements where nothing is replaced."""

    code = "replacement_does_not_fit"


class LinesNeeded(Unfit, frozen=True):
    """Nobody said which pieces."""

    code = "lines_needed"


class KindNeeded(Unfit, frozen=True):
    """A quality complaint is approved as another kind, and nobody said which."""

    code = "ticket_kind_needed"


class KindFixed(Unfit, frozen=True):
    """A ticket that does not become another kind."""

    code = "ticket_kind_fixed"


class ClaimedByOther(Struct, frozen=True):
    """Somebody else works on the ticket; `detail` says who, and until when."""

    detail: str


class NobodysClaim(Struct, frozen=True):
    """ReleaseTicket, and nobody works on it."""


class NotesFull(Struct, frozen=True):
    """NoteTicket, and there are as many notes as a ticket takes."""


class GoodsCame(Struct, frozen=True):
    """ConfirmReturn: the customer gave these back, or to a courier who lost them; the money goes."""

    came: tuple[Good, ...]
    note: str


class NothingCame(Struct, frozen=True):
    """ConfirmReturn: the customer kept the goods."""

    note: str


class OldGoodsSettled(Struct, frozen=True):
    """ConfirmReturn of an exchange: the new goods are there, whatever became of the old ones."""

    note: str


class Replenished(Struct, frozen=True):
    """ConfirmReplacement: the missing goods are there."""


class Exchanged(Struct, frozen=True):
    """ConfirmReplacement: the new goods are there, the old ones are on their way."""


class NotReplaced(Struct, frozen=True):
    """DropReplacement: for these pieces the money goes instead."""

    dropped: tuple[Good, ...]


class NotDone(Struct, frozen=True):
    """What the ticket asked for was not done."""

    note: str
