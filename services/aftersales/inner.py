"""Messages that never leave the service: its timers, and what a message of others is read into where its outcome
depends on facts."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from services.aftersales.state import Call, Good, Replacing
from shared.contracts import aftersales, payment


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
