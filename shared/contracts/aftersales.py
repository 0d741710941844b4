"""Aftersales: the window in which a delivered order may be complained about, and the tickets of customer service."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.contracts.base import LINES_MAX, Account, Filled, Message, Name, Pieces, Quantity, Spus, Text, parallel

TicketKind = Literal["intercept", "shortage", "missing_goods", "refund_failed"]
"""`intercept`: call a courier back. `shortage`: call the customer about short lines. `missing_goods`: goods that did
not come back. `refund_failed`: the gateway refuses a refund for good."""
TicketEnd = Literal["resolved", "rejected"]
TOO_LATE = "too_late"
"""The note of an intercept that found the goods delivered: a return is what is left."""
ORDER_UNKNOWN = "order_unknown"
"""The note of a ticket about an order that there is not."""


class AfterSalesCommand(Message):
    """About one order."""

    TOPIC = "aftersales.commands"
    order_id: Name


class OpenWindow(AfterSalesCommand):
    """The order was delivered: its after-sales window begins."""

    account: Account
    store: Name


TicketId = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+\-]*$")]
"""Made of the order's id and a number, so longer than other names."""


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


class OpenTicket(TicketCommand):
    """Customer service opens a ticket on the customer's word."""

    kind: Literal["intercept"]
    reason: Text = ""


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


class ApproveTicket(TicketCommand):
    """What the ticket asks for is done, or may be done."""


class RejectTicket(TicketCommand):
    """What the ticket asks for is not done."""

    reason: Filled


class AfterSalesEvent(Message):
    """A fact about one order after its sale."""

    TOPIC = "aftersales.events"
    order_id: Name


class WindowShut(AfterSalesEvent):
    """The window has passed and nothing is open: from now on every ticket is refused."""


class TicketEvent(AfterSalesEvent):
    """A fact about one ticket of an order."""

    ticket_id: TicketId


class TicketOpened(TicketEvent):
    """There is a ticket."""

    kind: TicketKind


class TicketEnded(TicketEvent):
    """The ticket is resolved or rejected; `note` says how."""

    kind: TicketKind
    phase: TicketEnd
    note: Text


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
