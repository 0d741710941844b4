"""Canonical messages of after-sales tickets about goods, and of the replacement orders they lead to; see `controls`.

The milk of o-7f3a was sour: t-4c1e exchanges it, one piece for oat milk (o-7f3a~r1). The oat milk was spoilt as well:
t-9b02 pays it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.contracts import aftersales
from shared.contracts.base import Message

AGENT = "customer_service:maria"

_TICKET: dict[str, Any] = {"order_id": "o-7f3a", "ticket_id": "t-4c1e"}
_ABOUT_REPLACEMENT: dict[str, Any] = {"order_id": "o-7f3a~r1", "ticket_id": "t-9b02"}
_OAT: dict[str, Any] = {"spus": ("oat-1l",), "quantities": (1,)}
_MILK: dict[str, Any] = {"spus": ("milk-1l",), "quantities": (2,)}
_DECISION: dict[str, Any] = {
    **_MILK,
    "liable": "supplier",
    "replacement_spus": ("oat-1l", "milk-1l"),
    "replacements": (1, 1),
    "instead_of": ("milk-1l", ""),
}

CONTROLS_TICKETS: tuple[Message, ...] = (
    aftersales.OpenWindow(
        order_id="o-7f3a~r1",
        account="a-42",
        store="s-mitte",
        spus=("milk-1l", "oat-1l"),
        quantities=(1, 1),
        prices=(129, 129),
    ),
    aftersales.RateOrder(order_id="o-7f3a", account="a-42", stars=2, text="Die Milch war sauer,\nbeide Packungen!"),
    aftersales.OpenTicket(**_TICKET, **_DECISION, kind="exchange", amount=258, reason="sour"),
    aftersales.AdmitTicket(**_ABOUT_REPLACEMENT),
    aftersales.ReopenTicket(**_TICKET, note="out_of_stock"),
    aftersales.StartReplacement(**_TICKET),
    aftersales.ConfirmReplacement(**_TICKET),
    aftersales.DropReplacement(**_TICKET, spus=("milk-1l",), quantities=(1,), prices=(119,)),
    aftersales.ConfirmReturn(**_TICKET, **_MILK, note="returned"),
    aftersales.ClaimTicket(**_TICKET),
    aftersales.ReleaseTicket(**_TICKET),
    aftersales.NoteTicket(**_TICKET, text="She sends photos tonight."),
    aftersales.ApproveTicket(**_TICKET, **_DECISION, kind="exchange", amount=258),
    aftersales.TicketOpened(**_ABOUT_REPLACEMENT, kind="refund_only", by=AGENT),
    aftersales.TicketMoved(
        **_TICKET,
        kind="quality",
        phase="open",
        step="claimed",
        by=AGENT,
        note="on the phone",
        claimed_by=AGENT,
        claimed_until=datetime(2026, 11, 22, 18, 40, tzinfo=UTC),
    ),
    aftersales.TicketEnded(**_TICKET, kind="exchange", phase="resolved", note="replaced", by=AGENT),
    aftersales.TicketAsked(
        **_TICKET,
        kind="exchange",
        spus=("oat-1l", "milk-1l"),
        prices=(129, 129),
        instead_of=("milk-1l", "milk-1l"),
    ),
    aftersales.GoodsRefunded(
        order_id="o-7f3a",
        ticket_id="t-9b02",
        about="o-7f3a~r1",
        kind="refund_only",
        **_OAT,
        amount=129,
        liable="store",
    ),
    aftersales.GoodsKept(**_ABOUT_REPLACEMENT, **_OAT),
    aftersales.ReturnApproved(**_TICKET, **_MILK),
    aftersales.ReplacementApproved(
        order_id="o-7f3a~r1",
        ticket_id="t-4c1e",
        about="o-7f3a",
        kind="exchange",
        spus=("oat-1l", "milk-1l"),
        quantities=(1, 1),
        instead_of=("milk-1l", "milk-1l"),
        prices=(129, 129),
        back_spus=("milk-1l",),
        back=(2,),
    ),
)
