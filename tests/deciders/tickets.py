"""Example data of tickets: a shortage, an intercept, money that cannot go back, and what people say to them."""

from __future__ import annotations

from typing import Any

from services.aftersales.decider import DECIDER
from services.aftersales.state import Ticket, TicketStep, Window
from shared.contracts import aftersales
from shared.contracts.base import Message
from tests.deciders.scene import Scene

DELIVERED = aftersales.OpenWindow(order_id="o-1", account="a-1", store="s-1")
AGENT = "customer_service:"


def raised(kind: aftersales.TicketKind, ticket_id: str = "t-1") -> aftersales.RaiseTicket:
    """The saga needs a person: three apples and a pear are short, or missing, or their money is."""
    return aftersales.RaiseTicket(
        order_id="o-1",
        ticket_id=ticket_id,
        account="a-1",
        store="s-1",
        kind=kind,
        spus=("apple", "pear"),
        quantities=(3, 1),
        reason="not on the shelf",
    )


def intercept(ticket_id: str = "t-1", order_id: str = "o-1") -> aftersales.OpenTicket:
    """Customer service wants the courier back."""
    return aftersales.OpenTicket(order_id=order_id, ticket_id=ticket_id, kind="intercept", reason="wrong address")


def call(
    outcome: Any, *substitutes: tuple[str, int, str], ticket_id: str = "t-1", order_id: str = "o-1"
) -> aftersales.RecordCall:
    """What the customer said; substitutes are (SPU, pieces, instead of what)."""
    return aftersales.RecordCall(
        order_id=order_id,
        ticket_id=ticket_id,
        outcome=outcome,
        substitute_spus=tuple(s for s, _, _ in substitutes),
        substitutes=tuple(n for _, n, _ in substitutes),
        instead_of=tuple(i for _, _, i in substitutes),
    )


def settled(phase: aftersales.TicketEnd, note: str, ticket_id: str = "t-1") -> aftersales.SettleTicket:
    """What the order says came of it."""
    return aftersales.SettleTicket(order_id="o-1", ticket_id=ticket_id, phase=phase, note=note)


REOPENED = aftersales.ReopenCall(order_id="o-1", ticket_id="t-1", note="substitute_short")
APPROVED = aftersales.ApproveTicket(order_id="o-1", ticket_id="t-1")
REJECTED = aftersales.RejectTicket(order_id="o-1", ticket_id="t-1", reason="found behind the shelf")


def after(*messages: Any) -> Scene:
    """A scene in which all this has happened."""
    scene = Scene(DECIDER)
    for message in messages:
        scene.when(message, AGENT)
    return scene


def told(scene: Scene, message: Any, actor: str = "") -> list[Message]:
    """What others hear of it. The ticket's timeline tells the same: the phase, what happened, who did it, and why."""
    said = scene.says(message, actor)
    (step,) = (m for m in said if isinstance(m, TicketStep))
    state = ticket(scene, message.ticket_id)
    assert step == TicketStep(state.ticket_id, scene.now, state.phase, type(message).__name__, actor, state.note)
    return [m for m in said if isinstance(m, Message)]


def moved(
    kind: aftersales.TicketKind, phase: str, step: str, by: str = AGENT, note: str = ""
) -> aftersales.TicketMoved:
    """What everybody hears of a ticket that has not ended."""
    return aftersales.TicketMoved(order_id="o-1", ticket_id="t-1", kind=kind, phase=phase, step=step, by=by, note=note)


def ticket(scene: Scene, ticket_id: str = "t-1") -> Ticket:
    """What is known of a ticket by now."""
    state = scene.states["ticket", ticket_id]
    assert isinstance(state, Ticket)
    return state


def window(scene: Scene) -> Window:
    """What is known of the order's window by now."""
    state = scene.states["window", "o-1"]
    assert isinstance(state, Window)
    return state
