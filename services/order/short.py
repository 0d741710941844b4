"""What is said when the shelf has less than the books: a call, its outcomes, and the deadline without one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.order import inner
from services.order.goods import list_of
from services.order.papers import document_papers, short_paper
from services.order.pricing import summed
from services.order.state import Amendment, Lot, Order, Shortage
from services.order.tickets import raise_ticket, settle, ticket_id
from shared.contracts import aftersales, inventory, logistics, payment
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import Change

SHORTAGE_WINDOW = "shortage_window"
"""The timer of an order whose short lines wait for a call."""


def shortage_of(order: Order, m: logistics.PiecesShort, ticket: str = "", until: datetime | None = None) -> Shortage:
    """What the picker missed, each SPU once."""
    missing = summed(m.spus, m.missing)
    return Shortage(tuple(missing), tuple(missing.values()), ticket, until)


_AMENDED = ("lots", "shortage", "substitution", "owed", "overdue", "replacement")


def amendment(order: Order, **changed: Any) -> Amendment:
    """What is kept of the amended order."""
    now: dict[str, Any] = {name: getattr(order, name) for name in _AMENDED} | changed
    return Amendment(order.order_id, **now)


def ask_to_call(order: Order, m: logistics.PiecesShort, c: Context) -> Change:
    """Customer service calls; if nobody does in time, the deadline decides."""
    until = c.now + timedelta(seconds=c.windows.shortage_window_s)
    shortage = shortage_of(order, m, ticket_id(order, order.tickets + 1), until)
    changes, ticket = raise_ticket(order, "shortage", shortage.spus, shortage.missing, "short")
    return {**changes, "shortage": shortage}, (
        short_paper(order, m, c),
        amendment(order, shortage=shortage),
        SetTimer(order.order_id, SHORTAGE_WINDOW, until),
        ticket,
    )


def drop(order: Order, m: inner.ShortageSettled, c: Context) -> Change:
    """The customer gets the rest, and the money for what was never there: the books said more than the shelf."""
    short = _short(order)
    command = inventory.DropShort(order_id=order.order_id, store=order.store, spus=short.spus, missing=short.missing)
    refund_changes, refund = _go_without(order, m.given_up, m.gone)
    return {"lots": m.lots, "shortage": None, **refund_changes}, (
        CancelTimer(order.order_id, SHORTAGE_WINDOW),
        amendment(order, lots=m.lots, shortage=None),
        command,
        *refund,
        _amend(order, m.lots),
        settle(order, short.ticket_id, "resolved", m.note),
    )


def substitute(order: Order, m: inner.SubstituteFits, c: Context) -> Change:
    """Ask for the substitutes, all of them or none. From here on the deadline waits for the answer."""
    short = _short(order)
    command = inventory.SubstituteStock(
        order_id=order.order_id,
        store=order.store,
        spus=short.spus,
        missing=short.missing,
        substitute_spus=m.spus,
        substitutes=m.quantities,
    )
    return {"substitution": m.substitution}, (
        CancelTimer(order.order_id, SHORTAGE_WINDOW),
        amendment(order, substitution=m.substitution),
        command,
    )


def amend(order: Order, m: inventory.StockSubstituted, c: Context) -> Change:
    """The substitutes are the order's: the picker gets the new list, and what nothing replaces is refunded."""
    chosen = order.substitution
    assert chosen is not None, "a substitution was asked for"
    refund_changes, refund = _go_without(order, chosen.given_up, chosen.gone)
    return {"lots": chosen.lots, "shortage": None, "substitution": None, **refund_changes}, (
        *document_papers(order, m.documents, c),
        amendment(order, lots=chosen.lots, shortage=None, substitution=None),
        *refund,
        _amend(order, chosen.lots),
        settle(order, _short(order).ticket_id, "resolved", "substituted"),
    )


def call_again(order: Order, m: inventory.SubstituteShort, c: Context) -> Change:
    """There is not enough of the substitute either: somebody has to call again, within a window of its own."""
    short = _short(order)
    until = c.now + timedelta(seconds=c.windows.shortage_window_s)
    again = short._replace(until=until)
    return {"shortage": again, "substitution": None}, (
        amendment(order, shortage=again, substitution=None),
        SetTimer(order.order_id, SHORTAGE_WINDOW, until),
        _reopen(order, "substitute_out_of_stock"),
    )


def call_again_unfit(order: Order, m: inner.SubstituteUnfit, c: Context) -> Change:
    """The substitute cannot be: somebody has to call again. The deadline stays."""
    return {}, (_reopen(order, m.code),)


def stop_unwanted(order: Order, m: aftersales.CancelChosen | inner.CancelWanted, c: Context) -> Change:
    """Nobody wants the order without the short pieces. Whoever says so, and however: it is our fault."""
    return {"reason": "short"}, _stop(order, "cancelled")


def stop_empty(order: Order, m: inner.NothingLeft, c: Context) -> Change:
    """Without the short pieces nothing is left to deliver."""
    return {"reason": "short"}, _stop(order, m.note)


def _stop(order: Order, note: str) -> tuple[object, ...]:
    return (
        CancelTimer(order.order_id, SHORTAGE_WINDOW),
        logistics.StopFulfilment(order_id=order.order_id, store=order.store),
        settle(order, _short(order).ticket_id, "resolved", note),
    )


def _short(order: Order) -> Shortage:
    assert order.shortage is not None, "the order is short"
    return order.shortage


def _amend(order: Order, lots: tuple[Lot, ...]) -> logistics.AmendFulfilment:
    spus, quantities = list_of(lots)
    return logistics.AmendFulfilment(order_id=order.order_id, store=order.store, spus=spus, quantities=quantities)


def _reopen(order: Order, note: str) -> aftersales.ReopenCall:
    return aftersales.ReopenCall(order_id=order.order_id, ticket_id=_short(order).ticket_id, note=note)


def _go_without(order: Order, amount: int, gone: tuple[Lot, ...]) -> Change:
    """The customer gets money for pieces that nothing takes the place of. Of a replacement order the ticket decides
    that: it is told which of its pieces are not replaced."""
    if order.replacement is None:
        return _refund_part(order, amount)
    if not gone:
        return {}, ()
    dropped = aftersales.DropReplacement(
        order_id=order.replacement.about,
        ticket_id=order.replacement.ticket_id,
        spus=tuple(lot.instead_of for lot in gone),
        quantities=tuple(lot.quantity for lot in gone),
        prices=tuple(lot.price for lot in gone),
    )
    return {}, (dropped,)


def _refund_part(order: Order, amount: int) -> Change:
    """A part of what was paid; nobody waits for the answer. Nothing is asked for when nothing is due."""
    if amount == 0:
        return {}, ()
    number = order.refunds + 1
    command = payment.RefundPayment(
        order_id=order.order_id,
        refund=number,
        amount=amount,
        reference=order.reference,
        reason="short",
        liable="store",
    )
    return {"refunds": number, "given_back": order.given_back + amount}, (command,)
