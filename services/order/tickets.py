"""Asking customer service: the tickets that the saga raises and settles."""

from __future__ import annotations

from services.order.state import Order
from shared.contracts import aftersales


def raise_ticket(
    order: Order, kind: aftersales.TicketKind, spus: tuple[str, ...], quantities: tuple[int, ...], reason: str
) -> tuple[dict[str, int], aftersales.RaiseTicket]:
    """A ticket of the order's own, numbered; answers with what changes and what is said."""
    number = order.tickets + 1
    return {"tickets": number}, aftersales.RaiseTicket(
        order_id=order.order_id,
        ticket_id=ticket_id(order, number),
        account=order.account,
        store=order.store,
        kind=kind,
        spus=spus,
        quantities=quantities,
        reason=reason,
    )


def ticket_id(order: Order, number: int) -> str:
    """The id of an order's n-th ticket."""
    return f"t-{order.order_id}-{number}"


def settle(order: Order, ticket: str, phase: aftersales.TicketEnd, note: str) -> aftersales.SettleTicket:
    """What the ticket asked for has come to an end."""
    return aftersales.SettleTicket(order_id=order.order_id, ticket_id=ticket, phase=phase, note=note)
