"""Goods of a ticket that a customer gives back: fetched by a courier, brought to the store, or taken along by the
courier who brings others for them.

From the day of the announcement they have the return window to come to the store, and once more from the moment at
which a courier has them. Goods of an exchange wait for the delivery of the new ones instead, however long it takes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.logistics import inner
from services.logistics.inspection import fields_of, lines_of, read_inspection, summed
from services.logistics.state import Fulfilment, Phase, Return, ReturnPhase
from shared.contracts import logistics
from shared.runtime.decider import Context
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORE, Cell, Change, NoCell, Table, refuse, to

RETURN_DUE = "return_due"
"""The timer of a return."""
ABOUT_RETURNS = frozenset(
    {logistics.AnnounceReturn, logistics.CollectReturn, logistics.BringReturn, logistics.InspectReturn, inner.ReturnDue}
)
"""Messages about a return by itself."""

# -- the actions -------------------------------------------------------------------------------------------------------


def announce(r: Return, m: logistics.AnnounceReturn, c: Context) -> Change:
    """The customer has a window to give them to a courier, or to bring them."""
    changes, said = _announced(r, m, exchange=False)
    return changes, (*said, _timer(r, c))


def announce_along(r: Return, m: inner.AnnouncedAlong, c: Context) -> Change:
    """They wait for the courier with the new goods."""
    return _announced(r, m, exchange=True)


def _announced(r: Return, m: logistics.AnnounceReturn | inner.AnnouncedAlong, *, exchange: bool) -> Change:
    changes = {"spus": m.spus, "quantities": m.quantities, "exchange": exchange, "called_off_at": None}
    return changes, (logistics.ReturnAnnounced(**{**_of(r), "exchange": exchange}),)


def collect(r: Return, m: logistics.CollectReturn | inner.CollectedAtDelivery, c: Context) -> Change:
    """A courier has them, and a window to bring them."""
    return {"courier": m.courier, "collected_at": c.now}, (_timer(r, c),)


def bring(r: Return, m: logistics.BringReturn, c: Context) -> Change:
    """They are at the store, for the storekeeper to look at."""
    return {"returned_at": c.now}, (CancelTimer(r.ticket_id, RETURN_DUE), logistics.ReturnBrought(**_of(r)))


def tell_inspected(r: Return, m: inner.GoodsSorted, c: Context) -> Change:
    """Piece by piece: what can be sold again, what cannot, what did not come."""
    return {"inspected_at": c.now, "found": lines_of(m)}, (logistics.ReturnInspected(**_of(r), **fields_of(m)),)


def tell_kept(r: Return, m: inner.ReturnDue, c: Context) -> Change:
    """The customer has kept them."""
    return {"overdue_at": c.now}, (logistics.ReturnOverdue(**_of(r), collected=False, spus=(), quantities=()),)


def tell_lost(r: Return, m: inner.ReturnDue, c: Context) -> Change:
    """The customer has given them to a courier, who did not bring them."""
    lost = logistics.ReturnOverdue(**_of(r), collected=True, spus=r.spus, quantities=r.quantities)
    return {"overdue_at": c.now}, (lost,)


def call_off(r: Return, m: inner.CalledOff, c: Context) -> Change:
    """The customer keeps them for now; they may be announced again."""
    return {"called_off_at": c.now}, ()


def _of(r: Return) -> dict[str, Any]:
    return {"order_id": r.order_id, "store": r.store, "ticket_id": r.ticket_id, "exchange": r.exchange}


def _timer(r: Return, c: Context) -> SetTimer:
    return SetTimer(r.ticket_id, RETURN_DUE, c.now + timedelta(seconds=c.windows.return_window_s))


# -- the table ---------------------------------------------------------------------------------------------------------

_PEOPLES_COMMANDS = (logistics.CollectReturn, logistics.BringReturn, logistics.InspectReturn)
_AT_THE_WRONG_TIME: dict[type, Cell] = {
    logistics.CollectReturn: refuse("return_not_announced"),
    logistics.BringReturn: refuse("already_returned"),
    logistics.InspectReturn: refuse("return_not_returned"),
    inner.AskedInOtherStore: refuse("wrong_store"),
    logistics.AnnounceReturn: IGNORE,  # it is announced, or has been
    inner.AnnouncedAlong: IGNORE,
}
# The new goods are there, or are not to be: what happens to their fulfilment is nothing to these.
_WITHOUT_WAITING: dict[type, Cell] = {inner.CollectedAtDelivery: IGNORE, inner.CalledOff: IGNORE}
_AT_THE_STORE: dict[type, Cell] = {
    **_AT_THE_WRONG_TIME,
    **_WITHOUT_WAITING,
    inner.ReturnDue: IGNORE,  # it was due when they came
}

RETURN = Table(
    "return",
    {
        ReturnPhase.NEW: {
            logistics.AnnounceReturn: to(ReturnPhase.ANNOUNCED, announce),
            inner.AnnouncedAlong: to(ReturnPhase.ANNOUNCED, announce_along),
            **dict.fromkeys(_PEOPLES_COMMANDS, refuse("return_unknown")),
        },
        ReturnPhase.ANNOUNCED: {
            **_AT_THE_WRONG_TIME,
            logistics.CollectReturn: to(ReturnPhase.COLLECTED, collect),
            inner.CollectedAtDelivery: to(ReturnPhase.COLLECTED, collect),
            logistics.BringReturn: to(ReturnPhase.RETURNED, bring),
            inner.WaitsForDelivery: refuse("return_waits_for_delivery"),
            inner.ReturnDue: to(ReturnPhase.OVERDUE, tell_kept),
            inner.CalledOff: to(ReturnPhase.CALLED_OFF, call_off),
        },
        ReturnPhase.COLLECTED: {
            **_AT_THE_WRONG_TIME,
            **_WITHOUT_WAITING,
            logistics.BringReturn: to(ReturnPhase.RETURNED, bring),
            inner.ReturnDue: to(ReturnPhase.OVERDUE, tell_lost),
        },
        ReturnPhase.RETURNED: {
            **_AT_THE_STORE,
            inner.GoodsSorted: to(ReturnPhase.INSPECTED, tell_inspected),
            inner.MoreThanAnnounced: refuse("more_than_announced"),
            inner.LineUnknown: refuse("line_unknown"),
        },
        ReturnPhase.INSPECTED: {
            **_AT_THE_STORE,
            logistics.InspectReturn: refuse("already_inspected"),
        },
        ReturnPhase.OVERDUE: {
            **_AT_THE_WRONG_TIME,
            **_WITHOUT_WAITING,
            **dict.fromkeys(_PEOPLES_COMMANDS, refuse("return_overdue")),
        },
        ReturnPhase.CALLED_OFF: {
            **_AT_THE_WRONG_TIME,
            **dict.fromkeys(_PEOPLES_COMMANDS, refuse("return_called_off")),
            logistics.AnnounceReturn: to(ReturnPhase.ANNOUNCED, announce),
            inner.AnnouncedAlong: to(ReturnPhase.ANNOUNCED, announce_along),
        },
    },
)

# -- reading -----------------------------------------------------------------------------------------------------------


def read_for_return(r: Return, message: Any) -> object:
    """The message as the table of returns knows it."""
    if type(message) is inner.ReturnDue:
        return message
    if message.store != r.store:
        if type(message) not in _PEOPLES_COMMANDS:
            # Another store may be another shard's: only the shard that has the return may write it.
            raise NoCell("return", f"{r.phase} in store {r.store}", type(message).__name__)
        return inner.AskedInOtherStore(f"the goods of ticket {r.ticket_id} go to {r.store}, not to {message.store}")
    if (
        r.exchange
        and r.phase is ReturnPhase.ANNOUNCED
        and type(message) in (logistics.CollectReturn, logistics.BringReturn)
    ):
        return inner.WaitsForDelivery()
    if type(message) is logistics.InspectReturn and r.phase is ReturnPhase.RETURNED:
        return read_inspection(message, summed(r.spus, r.quantities), inner.MoreThanAnnounced)
    return message


def read_for_exchange(before: Fulfilment, after: Fulfilment, message: Any) -> object | None:
    """What the old goods hear of a step of the fulfilment that takes them along; None when it is nothing to them."""
    if type(message) is logistics.FulfilOrder and message.take_along:
        return inner.AnnouncedAlong(message.take_along.spus, message.take_along.quantities)
    if after.phase is before.phase:
        return None
    if after.phase is Phase.DELIVERED:
        return inner.CollectedAtDelivery(str(after.courier))
    return inner.CalledOff() if after.phase in (Phase.STOPPED, Phase.RETURNING) else None
