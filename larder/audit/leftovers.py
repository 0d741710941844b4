"""What must not be left lying: due timers, open effects, webhooks, waits that no timer ends, odd answers."""

from __future__ import annotations

from datetime import timedelta

from larder.audit.books import Connection
from larder.audit.quiet import Look
from larder.audit.report import Report

TIMER_GRACE_S = 10
"""A timer may fire this much late."""
CALL_GRACE_S = 60
"""An effect or a webhook may be open this long, and some gateway timeouts more: calls are repeated with pauses."""

# The waits that must have a timer, by service: what it is, the orders that wait, the timer's name.
WAITS = {
    "order": (
        ("awaits payment", "select order_id from orders where phase = 'awaiting_payment'", "payment_window"),
        ("is short", "select order_id from orders where phase = 'short'", "shortage_window"),
        ("waits for its goods", "select order_id from orders where phase = 'returning'", "return_window"),
    ),
    "risk": (("is in review", "select order_id from screenings where phase = 'in_review'", "review"),),
    "logistics": (
        (
            "waits for its slot",
            "select order_id from fulfilments where phase = 'waiting_for_slot'",
            "slot_begins",
        ),
    ),
    "aftersales": (("has an open window", "select order_id from windows where phase = 'open'", "window"),),
}
_UNTIMED = """
select w.order_id, t.subject is null as untimed from ({waiting}) as w
left join timers t on t.subject = w.order_id and t.name = $1 order by 1"""
_ANSWERED_TWICE = "select id, count(*) from answers group by id having count(*) > 1 order by id"
_UNKNOWN_ORDERS = """
select a.id, a.subject from answers a
where a.accepted and not exists (select from orders o where o.order_id = a.subject)
order by a.id"""


def nothing_is_left(last: Look, gateway_timeout_s: float, report: Report) -> None:
    """Nothing that is due waits on once everything else has come to rest."""
    calls_began_by = last.now - timedelta(seconds=CALL_GRACE_S + 3 * gateway_timeout_s)
    fired_by = last.now - timedelta(seconds=TIMER_GRACE_S)
    report.in_flight.pending_captures = last.pending_captures
    for rule, waiting, by in (
        ("due_timers_fired", last.timers, fired_by),
        ("effects_closed", last.effects, calls_began_by),
        ("webhooks_delivered", last.webhooks, calls_began_by),
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
            else:
                report.in_flight.webhooks += 1


async def waits_have_timers(connection: Connection, service: str, report: Report) -> None:
    """Whatever waits until a time has the timer that ends its wait."""
    for wait, waiting, timer in WAITS[service]:
        for order_id, untimed in await connection.fetch(_UNTIMED.format(waiting=waiting), timer):
            report.checked["waits_have_timers"] += 1
            if untimed:
                report.add("waits_have_timers", (order_id,), f"it {wait}, and no timer {timer} of {service} ends that")


async def answered_once(connection: Connection, service: str, report: Report) -> None:
    """Every command has one answer."""
    count = await connection.fetchval("select count(*) from answers")
    report.checked["answered_once"] += count
    for id_, answers in await connection.fetch(_ANSWERED_TWICE):
        report.add("answered_once", (id_,), f"{service} answered it {answers} times")


async def accepted_is_there(connection: Connection, service: str, report: Report) -> None:
    """The order of every command that the order service accepted exists."""
    count = await connection.fetchval("select count(*) from answers where accepted")
    report.checked["accepted_is_there"] += count
    for id_, subject in await connection.fetch(_UNKNOWN_ORDERS):
        report.add("accepted_is_there", (subject,), f"command {id_} was accepted, and the order does not exist")
