"""A report of money, as a table: nothing that is told from outside is believed before the gateway was asked about it.

Theory of operation. Whoever reports money (the gateway's webhook, or anybody who may write to `payment.commands`) can
be wrong about it, and one shard sees the captures of its own orders only: whose capture a reference is, the gateway
alone knows. So a report is nothing but a reason to ask. Money in the books is told again without harm; any other
reference is looked up, and what is booked is what the gateway's own book says of it (decider.py), never what the report
said. What disagrees with the books or with the gateway is kept as a contradiction, once, and a person is shown it
(contradictions.py).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from services.payment import inner
from services.payment.state import Capture, Contradiction, Payment, Report, ReportPhase, digest_of
from shared.contracts import payment
from shared.runtime.decider import Context
from shared.runtime.said import Effect
from shared.runtime.table import IGNORE, Cell, Change, Table, to

LOOK_UP = "look_up"
"""The kind of effect."""
OTHER_ORDER, OTHER_MONEY, UNKNOWN_REFERENCE = "other_order", "other_money", "unknown_reference"
"""Why a report is a contradiction: it is another order's money; of another key, amount or time; or nobody's."""


# What a message turns out to be, seen with the report and the payment. -----------------------------------------------


class KnownMoney(Struct, frozen=True):
    """Money that is in the books."""


class ToldBefore(Struct, frozen=True):
    """The same report, word for word."""


class BooksDisagree(Struct, frozen=True):
    """The reference is in the books, with another key, amount or time."""

    known: Capture


class GatewayConfirms(Struct, frozen=True):
    """The gateway says the same."""


class GatewayDisagrees(Struct, frozen=True):
    """The gateway says otherwise."""

    found: inner.GatewayFound


# What is said on the way. ---------------------------------------------------------------------------------------------


def look_up(state: Report, m: payment.ReportMoney | ToldBefore, context: Context) -> Change:
    """Whose money is that?"""
    asked = state.asked + 1
    call = {"order_id": state.order_id, "report": state.digest, "reference": state.reference}
    return {"asked": asked}, (Effect(f"{state.order_id}:look-up:{state.digest}:{asked}", LOOK_UP, call),)


def keep_beside_books(state: Report, m: BooksDisagree, context: Context) -> Change:
    """Told again, but not the same."""
    return {}, (_contradiction(state, OTHER_MONEY, context, as_known(m.known)),)


def keep_beside_gateway(state: Report, m: GatewayDisagrees, context: Context) -> Change:
    """The gateway's book says otherwise."""
    found = m.found
    why = OTHER_MONEY if found.owner == state.order_id else OTHER_ORDER
    known = {"order_id": found.owner, "attempt_key": found.key, "amount": found.amount, "at": found.at}
    return {}, (_contradiction(state, why, context, known),)


def keep_unknown(state: Report, m: inner.GatewayFoundNothing, context: Context) -> Change:
    """Nobody knows of such money."""
    return {}, (_contradiction(state, UNKNOWN_REFERENCE, context, {}),)


def as_known(capture: Capture) -> dict[str, Any]:
    """What the books say of money, as a contradiction shows it."""
    return {"attempt_key": capture.key, "amount": capture.amount, "at": capture.at}


def _contradiction(state: Report, why: str, context: Context, known: dict[str, Any]) -> Contradiction:
    told = {
        "order_id": state.order_id,
        "attempt_key": state.attempt_key,
        "amount": state.amount,
        "at": state.at,
    }
    return Contradiction(state.order_id, state.reference, context.now, why, state.told_by, told, known)


# The table. -----------------------------------------------------------------------------------------------------------

_SETTLED: dict[type, Cell] = {
    ToldBefore: IGNORE,
    # Asked again after a restart.
    GatewayConfirms: IGNORE,
    GatewayDisagrees: IGNORE,
    inner.GatewayFoundNothing: IGNORE,
}

REPORT = Table(
    "report",
    {
        ReportPhase.NEW: {
            payment.ReportMoney: to(ReportPhase.ASKED, look_up),
            BooksDisagree: to(ReportPhase.CONTRADICTED, keep_beside_books),
            KnownMoney: IGNORE,
        },
        ReportPhase.ASKED: {
            GatewayConfirms: to(ReportPhase.CONFIRMED),
            GatewayDisagrees: to(ReportPhase.CONTRADICTED, keep_beside_gateway),
            inner.GatewayFoundNothing: to(ReportPhase.UNKNOWN, keep_unknown),
            ToldBefore: IGNORE,
        },
        ReportPhase.UNKNOWN: {
            **_SETTLED,
            ToldBefore: to(ReportPhase.ASKED_AGAIN, look_up),  # a gateway may tell of money before its book has it
        },
        ReportPhase.ASKED_AGAIN: {
            GatewayConfirms: to(ReportPhase.CONFIRMED),
            GatewayDisagrees: to(ReportPhase.CONTRADICTED, keep_beside_gateway),
            inner.GatewayFoundNothing: to(ReportPhase.UNKNOWN),  # kept already
            ToldBefore: IGNORE,
        },
        ReportPhase.CONFIRMED: _SETTLED,
        ReportPhase.CONTRADICTED: _SETTLED,
    },
)


# Reading: which of the table's messages is it? ------------------------------------------------------------------------


def new_report(m: payment.ReportMoney, told_by: str) -> Report:
    """A report that nobody has heard yet."""
    return Report(m.order_id, digest_of(m), ReportPhase.NEW, m.reference, m.attempt_key, m.amount, m.at, told_by)


def read_report(
    report: Report, state: Payment, m: payment.ReportMoney | inner.GatewayFound | inner.GatewayFoundNothing
) -> Any:
    """The message as the report's table knows it."""
    if isinstance(m, inner.GatewayFoundNothing):
        return m
    if isinstance(m, inner.GatewayFound):
        same = (m.owner, m.key, m.amount, m.at) == (report.order_id, report.attempt_key, report.amount, report.at)
        return GatewayConfirms() if same else GatewayDisagrees(m)
    if report.phase is not ReportPhase.NEW:
        return ToldBefore()
    known = state.capture(m.reference)
    if known is None:
        return m
    same = known.key in ("", m.attempt_key) and (known.amount, known.at) == (m.amount, m.at)
    return KnownMoney() if same else BooksDisagree(known)
