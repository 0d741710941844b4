"""The after-sales window, as a table: it opens with the delivery and shuts when its time has passed.

Tickets will keep it open longer; today nothing does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from services.aftersales.state import Phase, Window, WindowPassed
from shared.contracts.aftersales import OpenWindow, WindowShut
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORE, Change, Ignored, Key, Moved, Outcome, Refused, Table, to

WINDOW = "window"
"""The timer that shuts a window."""


def open_window(state: Window, m: OpenWindow, context: Context) -> Change:
    """From now on complaints are heard, for so long."""
    shuts_at = context.now + timedelta(seconds=context.windows.after_sales_window_s)
    changes = {"account": m.account, "store": m.store, "shuts_at": shuts_at}
    return changes, (SetTimer(state.order_id, WINDOW, shuts_at),)


def tell_shut(state: Window, m: WindowPassed, context: Context) -> Change:
    """Nothing is open and nothing will be: the order may close."""
    return {}, (WindowShut(order_id=state.order_id),)


AFTER_SALES = Table(
    "after-sales window",
    {
        Phase.NEW: {
            OpenWindow: to(Phase.OPEN, open_window),
        },
        Phase.OPEN: {
            WindowPassed: to(Phase.SHUT, tell_shut),
            OpenWindow: IGNORE,  # an order is delivered once; telling it again prolongs nothing
        },
        Phase.SHUT: {
            OpenWindow: IGNORE,
        },
    },
)


def needs(message: Any, look: Look) -> Iterator[Key]:
    """The window of the order."""
    yield ("window", message.order_id)


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """Decides one message about one order's window."""
    key: Key = ("window", message.order_id)
    outcome = AFTER_SALES.move(look(key) or Window(message.order_id), message, context)
    if isinstance(outcome, Refused | Ignored):
        return outcome
    window, said = outcome
    return Moved(((key, window),), said)


DECIDER = Decider(
    service="aftersales",
    listens=(OpenWindow,),
    needs=needs,
    decide=decide,
    timers={WINDOW: WindowPassed},
)
