"""The window in which a delivered order may be complained about: its table, and ratings.

A window opens with the delivery and shuts when its time has passed and nothing keeps it open: an open ticket, or, of a
sales order, the window of one of its replacement orders, which counts like a ticket. So a sales order never closes
before its replacements.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.aftersales import inner
from services.aftersales.state import Good, Phase, Rating, Window
from shared.contracts import aftersales, risk
from shared.contracts.base import sales_order_of
from shared.runtime.decider import Context
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORE, Cell, Change, Table, refuse, to

WINDOW = "window"
"""The timer that shuts a window."""
BAD_STARS = 2
"""A rating of so many stars or fewer is a complaint."""


def open_window(state: Window, m: aftersales.OpenWindow, context: Context) -> Change:
    """From now on complaints are heard, for so long, and about these goods."""
    shuts_at = context.now + timedelta(seconds=context.windows.after_sales_window_s)
    goods = tuple(map(Good, m.spus, m.quantities, m.prices))
    changes = {"account": m.account, "store": m.store, "shuts_at": shuts_at, "goods": goods}
    return changes, (SetTimer(state.order_id, WINDOW, shuts_at),)


def tell_shut(state: Window, m: inner.WindowPassed, context: Context) -> Change:
    """Nothing is open and nothing will be: the order may close."""
    return {}, (aftersales.WindowShut(order_id=state.order_id),)


def count_up(state: Window, m: inner.TicketCame, context: Context) -> Change:
    """One more."""
    return {"open_tickets": state.open_tickets + 1}, ()


def count_down(state: Window, m: inner.TicketWent | inner.LastTicketWent, context: Context) -> Change:
    """One less."""
    return {"open_tickets": state.open_tickets - 1}, ()


def tell_shut_at_last(state: Window, m: inner.LastTicketWent, context: Context) -> Change:
    """The order waited for this only."""
    return {"open_tickets": 0}, (aftersales.WindowShut(order_id=state.order_id),)


def keep_rating(state: Window, m: inner.RatedWell | inner.RatedBadly, context: Context) -> Change:
    """The customer's word, once."""
    return {"stars": m.stars}, (Rating(state.order_id, state.account, context.now, m.stars, m.text),)


def keep_complaint(state: Window, m: inner.RatedBadly, context: Context) -> Change:
    """As above; and risk hears of it."""
    changes, said = keep_rating(state, m, context)
    order_id = sales_order_of(state.order_id)
    return changes, (*said, risk.Activity(account=state.account, order_id=order_id, deed="rated_low", at=context.now))


def _counting(phase: Phase) -> dict[type, Cell]:
    return {
        inner.TicketCame: to(phase, count_up),
        inner.TicketWent: to(phase, count_down),
        inner.LastTicketWent: to(phase, count_down),
        inner.RatedByOther: refuse(aftersales.ORDER_UNKNOWN),
    }


def _heard(phase: Phase) -> dict[type, Cell]:
    return {
        **_counting(phase),
        inner.RatedWell: to(phase, keep_rating),
        inner.RatedBadly: to(phase, keep_complaint),
        inner.RatedAgain: refuse("already_rated"),
        aftersales.OpenWindow: IGNORE,  # an order is delivered once; telling it again prolongs nothing
    }


AFTER_SALES = Table(
    "after-sales window",
    {
        Phase.NEW: {
            **_counting(Phase.NEW),  # shortage and intercept come before the delivery, and may be open after it
            aftersales.OpenWindow: to(Phase.OPEN, open_window),
            aftersales.RateOrder: refuse(aftersales.ORDER_NOT_DELIVERED),
        },
        Phase.OPEN: {
            **_heard(Phase.OPEN),
            inner.WindowPassed: to(Phase.SHUT, tell_shut),
            inner.PassedUnderTickets: to(Phase.PASSED),
        },
        Phase.PASSED: {
            **_heard(Phase.PASSED),
            inner.LastTicketWent: to(Phase.SHUT, tell_shut_at_last),
        },
        Phase.SHUT: {
            **_counting(Phase.SHUT),  # the saga's own tickets only: money owed is owed after the window as well
            aftersales.OpenWindow: IGNORE,
            aftersales.RateOrder: refuse(aftersales.ORDER_CLOSED),
        },
    },
)


def read_rating(m: aftersales.RateOrder, window: Window) -> Any:
    """The message as the window's table knows it."""
    if window.phase is Phase.NEW:
        return m
    if m.account != window.account:
        return inner.RatedByOther()
    if window.phase is Phase.SHUT:
        return m
    if window.stars:
        return inner.RatedAgain()
    return (inner.RatedBadly if m.stars <= BAD_STARS else inner.RatedWell)(m.stars, m.text)
