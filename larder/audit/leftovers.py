"""What must not be left lying: due timers, open effects, webhooks, waits that no timer ends, odd answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from larder.audit.life import Life
from larder.audit.look import Look
from larder.audit.report import Found, Report

TIMER_GRACE_S = 10
"""A timer may fire this much late."""
CALL_GRACE_S = 60
"""An effect or a webhook may be open this long, and some gateway timeouts more: calls are repeated with pauses."""
WAITS = {
    "order": {"awaiting_payment": "payment_window", "short": "shortage_window", "returning": "return_window"},
    "screening": {"in_review": "review"},
    "fulfilment": {"waiting_for_slot": "slot_begins"},
    "window": {"open": "window"},
}
"""The timer that must run, by a row of a life and its phase."""


def nothing_is_left(last: Look, gateway_timeout_s: float, report: Report) -> None:
    """Nothing that is due waits on once everything else has come to rest."""
    calls_began_by = last.now - timedelta(seconds=CALL_GRACE_S + 3 * gateway_timeout_s)
    fired_by = last.now - timedelta(seconds=TIMER_GRACE_S)
    report.in_flight.pending_captures = last.pending_captures
    for rule, waiting, by in (
        ("due_timers_fired", last.timers, fired_by),
        ("effects_closed", last.effects, calls_began_by),
        ("webhooks_delivered", last.webhooks, calls_began_by),
        ("captures_made", last.captures_due, calls_began_by),
    ):
        report.checked[rule] += len(waiting)
        for w in waiting:
            # Timers wait until a shard has read its log to the end: while links move, they are in flight.
            if w.since < by and (rule != "due_timers_fired" or not last.behind):
                told = f"of {w.database}, about {w.order_id or 'nothing'}: since {w.since.isoformat()} ({w.told})"
                report.add(rule, (w.id,), told)
            elif rule == "due_timers_fired":
                report.in_flight.timers_due += 1
            elif rule == "effects_closed":
                report.in_flight.effects += 1
            elif rule == "webhooks_delivered":
                report.in_flight.webhooks += 1


def waits_have_timers(life: Life) -> str | None:
    """Whatever waits until a time has the timer that ends its wait."""
    waits = None
    for whose, timers in WAITS.items():
        row = getattr(life, whose)
        if row is not None and row.phase in timers:
            waits = ""
            if timers[row.phase] not in row.timers.split():
                return f"its {whose} is {row.phase}, and no timer {timers[row.phase]} ends that"
    return waits


def answered_once(rows: Iterable[tuple[str, int]]) -> Iterator[Found]:
    """A command's id and how often it was answered: every command has one answer."""
    for id_, answers in rows:
        if answers != 1:
            yield (id_,), f"it was answered {answers} times"
