"""What is said of goods that the customer has: may there be a ticket about them, do they come back, and the money.

Which pieces, and how much for them, aftersales decides; what of it is carried out with stock and money is said here.
The money is always the sales order's, whichever order of the chain the goods came with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.order import inner
from services.order.papers import compensation_paper, return_paper
from services.order.pricing import summed
from services.order.state import Order, Phase
from services.order.tickets import raise_ticket, settle
from shared.contracts import aftersales, inventory, logistics, payment
from shared.runtime.decider import Context
from shared.runtime.table import Action, Cell, Change, to

GOODS_LOST = "goods_lost"
"""The note of a return that a courier had, and that did not come to the store."""


# -- may there be a ticket? --------------------------------------------------------------------------------------------


def admit(order: Order, m: inner.TicketFits, c: Context) -> Change:
    """The order is delivered, and the replacing goods can be had at about their price."""
    return {}, (aftersales.AdmitTicket(order_id=order.order_id, ticket_id=m.ticket_id),)


def decline_unfit(order: Order, m: inner.TicketUnfit, c: Context) -> Change:
    """Not with these goods."""
    return {}, (settle(order, m.ticket_id, "rejected", m.code),)


def decline(code: str) -> Action:
    """Not about this order, as it is."""

    def declined(order: Order, m: aftersales.TicketAsked, c: Context) -> Change:
        return {}, (settle(order, m.ticket_id, "rejected", code),)

    return declined


# -- goods back --------------------------------------------------------------------------------------------------------


def announce(order: Order, m: aftersales.ReturnApproved, c: Context) -> Change:
    """The store expects them."""
    command = logistics.AnnounceReturn(
        order_id=order.order_id,
        store=order.store,
        ticket_id=m.ticket_id,
        spus=m.spus,
        quantities=m.quantities,
        delivery=order.delivery,
    )
    return {}, (command,)


def report_kept(order: Order, m: aftersales.GoodsKept, c: Context) -> Change:
    """Spoilt goods stay with the customer: a document, and no stock."""
    return {}, (_take_return(order, "refund_only", damaged=summed(m.spus, m.quantities)),)


def take_return(order: Order, m: inner.ReturnCame, c: Context) -> Change:
    """What came is on the shelf again or reported damaged; what did not is the customer's as before."""
    came = _together(m.resellable, m.damaged)
    taken = (_take_return(order, "return", m.resellable, m.damaged), return_paper(order, m.ticket_id, came, c))
    return {}, (*(taken if came else ()), _confirm(order, m.ticket_id, came, "returned" if came else "nothing_came"))


def take_exchanged(order: Order, m: inner.OldGoodsCame, c: Context) -> Change:
    """The customer has others for these: what did not come is written off, and a person looks for it."""
    came = _together(m.resellable, m.damaged)
    changes, said = _look_for(order, m.missing, "exchange")
    return changes, (
        _take_return(order, "exchange", m.resellable, m.damaged, m.missing),
        *((return_paper(order, m.ticket_id, came, c),) if came else ()),
        *said,
        _confirm(order, m.ticket_id, came, "exchanged"),
    )


def give_up_return(order: Order, m: inner.ReturnForgotten, c: Context) -> Change:
    """The customer kept them."""
    return {}, (_confirm(order, m.ticket_id, {}, aftersales.GOODS_OVERDUE),)


def write_off_return(order: Order, m: inner.ReturnLost, c: Context) -> Change:
    """Our courier had them, so they count as given back: written off, and a person looks for them."""
    changes, said = _look_for(order, m.pieces, GOODS_LOST)
    return changes, (
        _take_return(order, GOODS_LOST, missing=m.pieces),
        *said,
        _confirm(order, m.ticket_id, m.pieces, GOODS_LOST),
    )


def _take_return(
    order: Order,
    reason: str,
    resellable: Mapping[str, int] | None = None,
    damaged: Mapping[str, int] | None = None,
    missing: Mapping[str, int] | None = None,
) -> inventory.TakeReturn:
    return inventory.TakeReturn(
        order_id=order.order_id,
        store=order.store,
        resellable_spus=tuple(resellable or ()),
        resellable=tuple((resellable or {}).values()),
        damaged_spus=tuple(damaged or ()),
        damaged=tuple((damaged or {}).values()),
        missing_spus=tuple(missing or ()),
        missing=tuple((missing or {}).values()),
        reason=reason,
    )


def _look_for(order: Order, missing: Mapping[str, int], reason: str) -> tuple[dict[str, Any], tuple[object, ...]]:
    if not missing:
        return {}, ()
    changes, ticket = raise_ticket(order, "missing_goods", tuple(missing), tuple(missing.values()), reason)
    return {**changes}, (ticket,)


def _confirm(order: Order, ticket_id: str, came: Mapping[str, int], note: str) -> aftersales.ConfirmReturn:
    return aftersales.ConfirmReturn(
        order_id=order.order_id,
        ticket_id=ticket_id,
        spus=tuple(came),
        quantities=tuple(came.values()),
        note=note,
    )


def _together(*some: Mapping[str, int]) -> dict[str, int]:
    return summed([spu for one in some for spu in one], [pieces for one in some for pieces in one.values()])


# -- money back --------------------------------------------------------------------------------------------------------


def refund(order: Order, m: aftersales.GoodsRefunded, c: Context) -> Change:
    """A part of what was paid, and never more: a person has to look at what would be."""
    if order.given_back + m.amount > order.total:
        raise ValueError(f"ticket {m.ticket_id} refunds {m.amount}, and {order.total - order.given_back} is left")
    number = order.refunds + 1
    command = payment.RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=m.amount,
        reference=order.reference,
        reason=m.kind,
        liable=m.liable,
    )
    changes = {"refunds": number, "given_back": order.given_back + m.amount}
    return changes, (command, compensation_paper(m, c))


AFTER_DELIVERY: dict[type, Cell] = {
    inner.TicketFits: to(Phase.DELIVERED, admit),
    inner.TicketUnfit: to(Phase.DELIVERED, decline_unfit),
    aftersales.GoodsKept: to(Phase.DELIVERED, report_kept),
    aftersales.ReturnApproved: to(Phase.DELIVERED, announce),
    inner.ReturnCame: to(Phase.DELIVERED, take_return),
    inner.OldGoodsCame: to(Phase.DELIVERED, take_exchanged),
    inner.ReturnForgotten: to(Phase.DELIVERED, give_up_return),
    inner.ReturnLost: to(Phase.DELIVERED, write_off_return),
}
"""What may come of the goods of a delivered order, a sales order or a replacement."""
