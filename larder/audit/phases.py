"""An order's timeline, within the order database: it ends once, and its last entry is the phase."""

from __future__ import annotations

from itertools import groupby

from larder.audit.books import Connection
from larder.audit.life import ENDS
from larder.audit.report import Report

NEWS = frozenset(
    {
        "MoneyUnasked",
        "PaymentRefunded",
        "PaymentRefundRefused",
        "TicketOpened",
        "TicketEnded",
        "InterceptAsked",
        "ShortDropped",
        "GoodsTakenBack",
        "GoodsInspected",
        "RefundApproved",
    }
)
"""All that may still happen to an order that has ended: stray money, tickets, and papers and goods that come late."""

# Only what looks unusual comes out. `goes_on`: an entry after the first end is in a phase that is none. An order that
# is over has no timeline any more once the sweep has passed its age.
_UNUSUAL = """
with told as (
    select order_id, max(seq) as last_seq,
        min(seq) filter (where phase = any($1::text[])) as end_seq,
        max(seq) filter (where phase <> all($1::text[])) as open_seq,
        count(*) filter (where phase = any($1::text[])) as ends
    from timeline group by order_id
)
select coalesce(o.order_id, t.order_id) as order_id, o.phase, o.ended, last.phase as last_phase,
    coalesce(t.open_seq > t.end_seq, false) as goes_on, coalesce(t.ends, 0) as ends
from orders o full join told t on t.order_id = o.order_id
left join timeline last on last.order_id = t.order_id and last.seq = t.last_seq
where (o.phase is distinct from last.phase
        and not (o.ended and last.seq is null
            and o.placed_at <= coalesce((select at from sweeps where name = 'timelines'), '-infinity')))
    or o.ended <> (o.phase = any($1::text[]))
    or t.open_seq > t.end_seq or t.ends > 1
order by 1"""
_ENTRIES = """
select order_id, phase, message from timeline where order_id = any($1::text[]) and phase = any($2::text[])
order by order_id, seq"""

_PAID_FOR_NOTHING = """
select t.order_id, t.at, (b.slot::jsonb ->> 'start')::timestamptz as start
from baskets b join timeline t using (order_id)
where b.slot is not null and t.phase = 'paying' and t.at >= (b.slot::jsonb ->> 'start')::timestamptz
order by 1"""


async def slot_is_kept(connection: Connection, service: str, report: Report) -> None:
    """Nobody was asked for money for a slot that had begun: it could not be kept any more."""
    report.checked["slot_is_kept"] += await connection.fetchval("select count(slot) from baskets")
    for order_id, at, start in await connection.fetch(_PAID_FOR_NOTHING):
        report.add("slot_is_kept", (order_id,), f"asked for money at {at:%H:%M:%S}, slot {start:%H:%M:%S}")


async def timeline_is_phase(connection: Connection, service: str, report: Report) -> None:
    """The last entry of the timeline is the phase, and an order that has ended is marked so; once ended, it stays
    where it is: nothing but news for its page is written after the first end."""
    orders = await connection.fetchval("select count(*) from orders")
    report.checked["timeline_is_phase"] += orders
    report.checked["one_end"] += orders
    ends = sorted(ENDS)
    ended_again = []
    for order_id, phase, ended, last_phase, goes_on, count in await connection.fetch(_UNUSUAL, ends):
        if phase != last_phase:
            told = f"the order is {phase or 'missing'}, its timeline ends in {last_phase or 'nothing'}"
            report.add("timeline_is_phase", (order_id,), told)
        elif ended != (phase in ENDS):
            report.add("timeline_is_phase", (order_id,), f"the order is {phase}, and marked as ended: {ended}")
        if goes_on:
            report.add("one_end", (order_id,), "its timeline goes on in an open phase after an end")
        elif count > 1:
            ended_again.append(order_id)
    rows = await connection.fetch(_ENTRIES, ended_again, ends)
    for order_id, entries in groupby(rows, key=lambda row: str(row["order_id"])):
        first, *later = entries
        wrong = [e for e in later if e["phase"] != first["phase"] or e["message"] not in NEWS]
        if wrong:
            told = ", then ".join(f"{e['phase']} by {e['message']}" for e in (first, *wrong[:3]))
            report.add("one_end", (order_id,), f"it ended more than once: {told}")
