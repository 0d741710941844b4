"""Aftersales: the window in which a delivered order may be complained about, and the tickets of customer service."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.contracts import payment
from shared.contracts.base import (
    LINES_MAX,
    Account,
    Filled,
    Message,
    Moment,
    Money,
    Name,
    OrderId,
    Pieces,
    Quantity,
    SomePieces,
    SomeSpus,
    Spus,
    Text,
    TicketId,
    parallel,
)

GoodsKind = Literal["refund_only", "return", "exchange", "replenishment"]
"""Kinds of ticket about goods that were delivered. `refund_only`: nothing comes back. `return`: the goods do, then the
money. `exchange`: other goods go out, the old ones come back. `replenishment`: missing goods go out."""
TicketKind = Literal[
    "intercept",
    "shortage",
    "missing_goods",
    "refund_failed",
    "refund_only",
    "return",
    "exchange",
    "replenishment",
    "quality",
]
"""Besides the kinds about goods: `intercept`: call a courier back. `shortage`: call the customer about short lines.
`missing_goods`: goods that did not come back. `refund_failed`: the gateway refuses a refund for good. `quality`: a bad
rating; a person makes another kind of it."""
TicketEnd = Literal["resolved", "rejected"]
TOO_LATE = "too_late"
"""The note of an intercept that found the goods delivered: a return is what is left."""
ORDER_UNKNOWN = "order_unknown"
"""The note of a ticket about an order that there is not."""
ORDER_NOT_DELIVERED, ORDER_CLOSED = "order_not_delivered", "order_closed"
"""The notes of tickets about goods that are not the customer's yet, or that nobody may complain about any more."""
GOODS_OVERDUE = "goods_overdue"
"""The note of a return that nothing came of in time."""
RATING_MAX = 2_000
"""Most characters of a rating's text."""
Lines = Annotated[tuple[Name, ...], Field(max_length=LINES_MAX)]
LinePieces = Annotated[tuple[Quantity, ...], Field(max_length=LINES_MAX)]
Prices = Annotated[tuple[Money, ...], Field(max_length=2 * LINES_MAX)]


class AfterSalesCommand(Message):
    """About one order."""

    TOPIC = "aftersales.commands"
    order_id: OrderId


class OpenWindow(AfterSalesCommand):
    """The order was delivered: its after-sales window begins. Parallel: pieces of each SPU that the customer has, and
    what was paid per piece (of a replacement order: for the piece that it replaces)."""

    account: Account
    store: Name
    spus: Spus = ()
    quantities: Pieces = ()
    prices: Prices = ()

    _is_whole = parallel("spus", "quantities", "prices")


class RateOrder(AfterSalesCommand):
    """The customer's word about a delivered order: 1 to 5 stars."""

    account: Account
    stars: Annotated[int, Field(ge=1, le=5, strict=True)]
    text: Annotated[str, StringConstraints(max_length=RATING_MAX, pattern=r"^[^\x00]*$")] = ""


class TicketCommand(AfterSalesCommand):
    """About one ticket of an order."""

    ticket_id: TicketId


class RaiseTicket(TicketCommand):
    """The saga needs a person: `spus` and `quantities` say about which pieces."""

    account: Account
    store: Name
    kind: TicketKind
    spus: Spus = ()
    quantities: Pieces = ()
    reason: Text = ""

    _is_whole = parallel("spus", "quantities")


class SettleTicket(TicketCommand):
    """What a ticket asked for has come to an end; `note` says how, in a word: `caught`, `too_late`, `dropped`, ..."""

    phase: TicketEnd
    note: Text


class ReopenCall(TicketCommand):
    """The outcome of a shortage call could not be carried out: `note` says why, somebody has to call again."""

    note: Text


class AdmitTicket(TicketCommand):
    """The order service has looked: the ticket may be."""


class ReopenTicket(TicketCommand):
    """What was decided could not be carried out: `note` says why, somebody has to choose again."""

    note: Text


class StartReplacement(TicketCommand):
    """The replacing goods are held: the replacement order is on its way."""


class ConfirmReplacement(TicketCommand):
    """The replacement order is delivered."""


class DropReplacement(TicketCommand):
    """These pieces, of the goods that were to be replaced, will not be: the shelf had fewer of the new ones. `prices`
    is what was paid per piece, since an SPU may have come at several."""

    spus: SomeSpus
    quantities: SomePieces
    prices: Annotated[Prices, Field(min_length=1)]

    _is_whole = parallel("spus", "quantities", "prices")


class ConfirmReturn(TicketCommand):
    """What the customer gave back of the ticket's goods; none: nothing came in time. `note` says how it went:
    `returned`, `goods_overdue`, or `goods_lost` after a courier had collected them."""

    spus: Spus = ()
    quantities: Pieces = ()
    note: Text

    _is_whole = parallel("spus", "quantities")


class GoodsDecision(TicketCommand):
    """What is to be done about delivered goods. `amount` (minor units) is what was agreed instead of the whole price.
    Replacements are pieces of an SPU instead of as many of `instead_of` (empty: of whichever is left); none named: the
    same goods again."""

    spus: Lines = ()
    quantities: LinePieces = ()
    amount: payment.MoneyMoved | None = None
    liable: payment.Liable | None = None
    replacement_spus: Lines = ()
    replacements: LinePieces = ()
    instead_of: Annotated[tuple[Text, ...], Field(max_length=LINES_MAX)] = ()

    _is_whole = parallel("spus", "quantities")
    _replacements_are_whole = parallel("replacement_spus", "replacements", "instead_of")


class OpenTicket(GoodsDecision):
    """Customer service opens a ticket on the customer's word."""

    kind: Literal["intercept", "refund_only", "return", "exchange", "replenishment"]
    reason: Text = ""


class ClaimTicket(TicketCommand):
    """Somebody works on the ticket, for a while."""


class ReleaseTicket(TicketCommand):
    """Somebody does not work on it any more."""


class NoteTicket(TicketCommand):
    """Something that the next person should know."""

    text: Filled


class RecordCall(TicketCommand):
    """What the customer said on the phone about short lines. Substitutes are pieces of `substitute_spus` instead of as
    many pieces of `instead_of`; short pieces that nothing replaces are dropped."""

    outcome: Literal["substitute", "drop", "cancel"]
    substitute_spus: Annotated[tuple[Name, ...], Field(max_length=LINES_MAX)] = ()
    substitutes: Annotated[tuple[Quantity, ...], Field(max_length=LINES_MAX)] = ()
    instead_of: Annotated[tuple[Name, ...], Field(max_length=LINES_MAX)] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not len(self.substitute_spus) == len(self.substitutes) == len(self.instead_of):
            raise ValueError("substitute_spus, substitutes and instead_of must have the same length")
        if (self.outcome == "substitute") != bool(self.substitutes):
            raise ValueError("the outcome substitute, and no other, names substitutes")
        return self


class ApproveTicket(GoodsDecision):
    """What the ticket asks for is done, or may be done. A quality complaint, a late intercept, or a ticket whose goods
    could not be had becomes the kind named; what is not named stays as the ticket has it."""

    kind: GoodsKind | None = None


class RejectTicket(TicketCommand):
    """What the ticket asks for is not done."""

    reason: Filled


class AfterSalesEvent(Message):
    """A fact about one order after its sale."""

    TOPIC = "aftersales.events"
    order_id: OrderId


class WindowShut(AfterSalesEvent):
    """The window has passed and nothing is open: from now on every ticket is refused."""


class TicketEvent(AfterSalesEvent):
    """A fact about one ticket of an order."""

    ticket_id: TicketId


class TicketOpened(TicketEvent):
    """There is a ticket; `by` is the actor who opened it, empty when nobody did."""

    kind: TicketKind
    by: Text = ""


class TicketMoved(TicketEvent):
    """Something happened to a ticket that has not ended: the phase it is in now, what happened, and who did it."""

    kind: TicketKind
    phase: Name
    step: Name
    by: Text = ""
    note: Text = ""
    claimed_by: Text = ""
    claimed_until: Moment | None = None


class TicketEnded(TicketEvent):
    """The ticket is resolved or rejected; `note` says how."""

    kind: TicketKind
    phase: TicketEnd
    note: Text
    by: Text = ""


class TicketAsked(TicketEvent):
    """May there be a ticket of this kind? Parallel: the replacing goods, what was paid for the piece that each stands
    for, and that piece's SPU."""

    kind: GoodsKind
    spus: Spus = ()
    prices: Prices = ()
    instead_of: Spus = ()

    _is_whole = parallel("spus", "prices", "instead_of")


class GoodsRefunded(TicketEvent):
    """The customer gets `amount` (minor units) back for these pieces. `order_id` is the sales order, whose money it is;
    `about` the order that the pieces came with."""

    about: OrderId
    kind: TicketKind
    spus: SomeSpus
    quantities: SomePieces
    amount: payment.MoneyMoved
    liable: payment.Liable

    _is_whole = parallel("spus", "quantities")


class GoodsKept(TicketEvent):
    """The customer keeps these pieces, spoilt as they are: they are to be reported damaged."""

    spus: SomeSpus
    quantities: SomePieces

    _is_whole = parallel("spus", "quantities")


class ReturnApproved(TicketEvent):
    """The customer gives these pieces back."""

    spus: SomeSpus
    quantities: SomePieces

    _is_whole = parallel("spus", "quantities")


class ReplacementApproved(TicketEvent):
    """A replacement order is to go out. `order_id` is its own, `about` the order whose goods it replaces. Parallel:
    pieces of the new goods, the SPU that each stands for, and what was paid per piece of that. The courier takes `back`
    pieces of `back_spus` along."""

    about: OrderId
    kind: Literal["exchange", "replenishment"]
    spus: SomeSpus
    quantities: SomePieces
    instead_of: SomeSpus
    prices: Annotated[Prices, Field(min_length=1)]
    back_spus: Spus = ()
    back: Pieces = ()

    _is_whole = parallel("spus", "quantities", "instead_of", "prices")
    _back_is_whole = parallel("back_spus", "back")


class RefundApproved(TicketEvent):
    """Customer service wants the refund tried again that the gateway refused."""


class InterceptAsked(TicketEvent):
    """Customer service wants the courier called back."""


class SubstituteChosen(TicketEvent):
    """The customer takes other goods instead of short pieces."""

    substitute_spus: Spus
    substitutes: Pieces
    instead_of: Spus


class DropChosen(TicketEvent):
    """The customer takes the order without the short pieces."""


class CancelChosen(TicketEvent):
    """The customer does not want the order without the short pieces."""
