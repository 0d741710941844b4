"""PostgreSQL as a source of books: lives, and rows of tables that are about no single order.

Lives come from a sorted stream per table, merged by order, so that memory does not grow with the orders: every such
query gives one row per order, in the byte order of its id, for all orders or for those in $1. Its columns are the
fields of the row in `life` that it is read into.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from larder.audit.books import Books, Connection
from larder.audit.catalogue import Catalogue
from larder.audit.life import BOOKS, Life
from larder.audit.phases import NEWS
from shared.settings import GATEWAY_BOOK

FETCHED = 2_000
"""Rows that are fetched from one stream at a time."""

_TIMERS = """
left join (select subject, string_agg(name, ' ' order by name) as names from timers group by subject) t
    on t.subject = o.order_id"""
_ORDERS = f"""
select o.order_id, o.kind, o.phase, o.account, o.store, o.total, o.hold_mode, o.paid, o.refunded,
    b.spus, b.quantities, (b.slot::json ->> 'start')::timestamptz, b.prices, o.given_back, o.reason, a.lots,
    o.closing_refund, a.owed, coalesce(a.overdue, false), o.payable_until, o.phase_since, o.ended,
    o.ended and o.placed_at <= coalesce((select at from sweeps where name = 'timelines'), '-infinity'),
    coalesce(t.names, ''), a.replacement, m.phase, m.phase_since, coalesce(c.amount, 0), coalesce(c.pieces, 0),
    coalesce(d.pieces, 0), o.placed_at, b.discounts, b.presale
from orders o left join baskets b using (order_id) left join amendments a using (order_id) {_TIMERS}
left join orders m on m.order_id = a.replaces
left join (
    select split_part(order_id, '~', 1) as order_id, sum((body::json ->> 'amount')::bigint)::bigint as amount,
        sum((select sum((line ->> 'quantity')::int) from json_array_elements(body::json -> 'lines') line))
            filter (where body::json ->> 'kind' in ('exchange', 'replenishment'))::int as pieces
    from papers where kind = 'compensated' group by 1) c on c.order_id = o.order_id
left join (
    select r.replaces as order_id,
        sum((select sum(pieces::int) from json_array_elements_text(n.quantities::json) pieces)
            - (select sum((lot ->> 1)::int) from json_array_elements(r.lots::json) lot))::int as pieces
    from amendments r join baskets n using (order_id) where r.replaces is not null group by 1) d
    on d.order_id = o.order_id
where {{asked}} order by o.order_id collate "C\""""
_TIMELINES = f"""
select order_id, string_agg(phase || ' ' || message, ',' order by seq),
    max(at) filter (where phase = 'paying' and message not in ({", ".join(f"'{news}'" for news in sorted(NEWS))})),
    min(at) filter (where message = 'PaymentExpired'), min(at) filter (where phase = 'holding')
from timeline o where {{asked}} group by order_id order by order_id collate "C\""""
_PAPERS = """
select order_id, '[' || string_agg('["' || kind || '",' || body || ']', ',' order by seq) || ']'
from papers o where {asked} group by order_id order by order_id collate "C\""""
_ACCEPTED = """
select o.order_id, min(o.id) from (
    select subject as order_id, id from answers
    where accepted and subject not in (select id from promotions)) o
where {asked} group by o.order_id order by o.order_id collate "C\""""
_CLAIMS = """
select order_id, json_agg(json_build_array(account, promotion, units) order by account, promotion)::text
from claims o where {asked} group by order_id order by order_id collate "C\""""
_HOLDS = """
select order_id, store, phase, mode, spus, quantities
from holds o where {asked} order by order_id collate "C\""""
_MOVES = """
select order_id, count(*) filter (where kind = 'lock'), count(*) filter (where kind = 'unlock'),
    count(*) filter (where kind in ('sales_issue', 'replacement_issue')),
    count(*) filter (where kind = 'issue_reversal'),
    '[' || string_agg('[' || spus || ',' || on_hand || ']', ',' order by seq)
        filter (where kind in ('sales_issue', 'replacement_issue') and position('|' in spus) > 0) || ']',
    min(at) filter (where kind in ('sales_issue', 'replacement_issue'))
from ledger o where order_id is not null and {asked} group by order_id order by order_id collate "C\""""
_DOCUMENTS = """
select order_id, '[' || string_agg('[' || to_json(number) || ',"' || kind || '",' || to_json(store) || ','
    || coalesce(to_json(reverses)::text, 'null') || ',' || spus || ',' || quantities || ','
    || coalesce(to_json(reason)::text, 'null') || ']', ',' order by at, number) || ']'
from documents o where order_id is not null and {asked} group by order_id order by order_id collate "C\""""
_PAYMENTS = 'select order_id, phase, captures, attempts from payments o where {asked} order by order_id collate "C"'
_REFUNDS = """
select order_id, '[' || string_agg('[' || number || ',"' || phase || '",' || amount || ',' || to_json(capture) || ','
    || to_json(reason) || ',' || to_json(coalesce(code, '')) || ',"' || liable || '"]', ',' order by number)
    || ']'
from refunds o where {asked} group by order_id order by order_id collate "C\""""
_REPORTS = """
select order_id, '[' || string_agg('[' || to_json(reference) || ',"' || phase || '"]', ',' order by digest) || ']'
from reports o where {asked} group by order_id order by order_id collate "C\""""
_JOURNAL = """
select order_id, '[' || string_agg('["' || kind || '",' || to_json(reference) || ',' || amount || ']', ',') || ']'
from journal o where {asked} group by order_id order by order_id collate "C\""""
_CAPTURED = """
select order_id, '[' || string_agg('[' || to_json(reference) || ',' || amount || ',' || to_json(key) || ']', ',') || ']'
from captures o where {asked} group by order_id order by order_id collate "C\""""
_GIVEN_BACK = """
select order_id, '[' || string_agg('[' || to_json(reference) || ',' || amount || ',' || to_json(capture) || ']', ',')
    || ']'
from refunds o where {asked} group by order_id order by order_id collate "C\""""
_FULFILMENTS = f"""
select o.order_id, o.store, o.phase, p.spus, p.quantities, o.slot_start, o.queued_at, o.picking_at, o.picked_at,
    o.packed_at, o.handed_over_at, o.delivered_at, o.called_off_at, coalesce(t.names, '')
from fulfilments o left join pick_lists p using (order_id) {_TIMERS} where {{asked}} order by o.order_id collate "C\""""
_STEPS_BACK = """
select order_id, '[' || string_agg('["' || entered || '",' || spus || ',' || quantities || ',' || found || ']', ','
    order by seq) || ']'
from steps_back o where {asked} group by order_id order by order_id collate "C\""""
_RETURNS = """
select order_id, '[' || string_agg('[' || to_json(ticket_id) || ',"' || phase || '",' || exchange || ','
    || (collected_at is not null) || ',' || spus || ',' || quantities || ',' || found || ']', ',' order by ticket_id)
    || ']'
from returns o where {asked} group by order_id order by order_id collate "C\""""
_RESERVATIONS = """
select order_id, store, phase, starts_at from reservations o where {asked} order by order_id collate "C\""""
_WINDOWS = f"""
select o.order_id, phase, store, account, open_tickets, shuts_at, coalesce(t.names, ''), goods, coalesce(r.open, 0)
from windows o {_TIMERS}
left join (
    select split_part(order_id, '~', 1) as order_id, count(*) as open
    from windows where position('~' in order_id) > 0 and phase in ('open', 'passed') group by 1) r
    on r.order_id = o.order_id
where {{asked}} order by o.order_id collate "C\""""
_TICKETS = """
select order_id, '[' || string_agg('[' || to_json(ticket_id) || ',"' || kind || '","' || phase || '",' || to_json(note)
    || ',' || to_json(opened_by) || ',' || (ended_at is not null) || ',' || claims || ',' || settled || ','
    || refunded || ',' || spus || ',' || quantities || ']', ',' order by ticket_id) || ']'
from tickets o where {asked} group by order_id order by order_id collate "C\""""
_ENDINGS = 'select order_id, account, deed from endings o where {asked} order by order_id collate "C"'
_SCREENINGS = f"""
select o.order_id, o.phase, o.account, r.due_at, r.decided_at, r.verdict, r.decided_by, coalesce(t.names, ''),
    r.claimed_by, r.claimed_until, o.verdict, coalesce(r.reason, o.reason, ''), o.score::numeric::float8, o.spoke,
    v.rules, coalesce(o.at <= (select at from sweeps where name = 'facts of screenings'), false)
from screenings o left join reviews r using (order_id) {_TIMERS}
left join rule_sets v on v.version = o.rules_version and o.spoke is not null
where {{asked}} order by o.order_id collate "C\""""

_REVISIONS = "select id, revision, body, at from promotion_revisions"
_PRODUCTS = "select spu, category, updated_at from products"
_RUSHES = "select store, spus, starts_at, ends_at, updated_at from rushes"

_ALL = "$1::text[] is null"
_SOME = "o.order_id = any($1::text[])"

# Field of a life: the database that tells it, and its query.
SOURCES: dict[str, tuple[str, str]] = {
    "order": ("order", _ORDERS),
    "timeline": ("order", _TIMELINES),
    "papers": ("order", _PAPERS),
    "accepted": ("order", _ACCEPTED),
    "claims": ("order", _CLAIMS),
    "hold": ("inventory", _HOLDS),
    "moves": ("inventory", _MOVES),
    "documents": ("inventory", _DOCUMENTS),
    "payment": ("payment", _PAYMENTS),
    "refunds": ("payment", _REFUNDS),
    "reports": ("payment", _REPORTS),
    "journal": ("payment", _JOURNAL),
    "captured": (GATEWAY_BOOK, _CAPTURED),
    "given_back": (GATEWAY_BOOK, _GIVEN_BACK),
    "fulfilment": ("logistics", _FULFILMENTS),
    "steps_back": ("logistics", _STEPS_BACK),
    "returns": ("logistics", _RETURNS),
    "reservation": ("logistics", _RESERVATIONS),
    "window": ("aftersales", _WINDOWS),
    "tickets": ("aftersales", _TICKETS),
    "screening": ("risk", _SCREENINGS),
    "ending": ("risk", _ENDINGS),
}


@dataclass(slots=True)
class _Stream:
    """One table, read a piece at a time."""

    name: str
    make: Callable[[Any], Any]
    sql: str
    cursor: Any = None
    rows: list[Any] = field(default_factory=list)
    at: int = 0
    ended: bool = False

    async def refill(self) -> None:
        """Fetches the next piece, when the last one is used up."""
        if self.at == len(self.rows) and not self.ended:
            self.rows, self.at = await self.cursor.fetch(FETCHED), 0
            self.ended = len(self.rows) < FETCHED

    def up_to(self, bound: str | None) -> list[Any]:
        """The rows at hand of orders up to this one."""
        at, self.at = self.at, len(self.rows) if bound is None else bisect_right(self.rows, bound, key=itemgetter(0))
        return self.rows[at : self.at]


async def lives(
    books: Books, only: Sequence[str] | None = None, *, after: Mapping[str, Awaitable[None]] | None = None
) -> AsyncIterator[list[Life]]:
    """All lives, or those of some orders, in order of their ids, a batch at a time. Runs inside a snapshot. `after`:
    what is to be done with a database before its tables are read."""
    streams: dict[str, list[_Stream]] = {}
    for name, (database, sql) in SOURCES.items():
        asked = _ALL if only is None else _SOME
        streams.setdefault(database, []).append(_Stream(name, BOOKS[name]._make, sql.format(asked=asked)))
    every = [stream for of_one in streams.values() for stream in of_one]
    # A connection does one thing at a time; different databases do theirs side by side.
    await asyncio.gather(*(_open(books[d], of_one, only, (after or {}).get(d)) for d, of_one in streams.items()))
    catalogue = await _catalogue(books["order"])
    while True:
        await asyncio.gather(*(_refill(of_one) for of_one in streams.values()))
        bound = min((stream.rows[-1][0] for stream in every if not stream.ended), default=None)
        found: dict[str, Life] = {}
        for stream in every:
            name, make = stream.name, stream.make
            for row in stream.up_to(bound):
                order_id = row[0]
                life = found.get(order_id)
                if life is None:
                    life = found[order_id] = Life(order_id, catalogue=catalogue)
                setattr(life, name, make(row))
        if found:
            yield [found[order_id] for order_id in sorted(found)]
        if bound is None:
            return


async def _catalogue(connection: Connection) -> Catalogue:
    # Of what categories goods were matters for promotions only.
    revisions = [tuple(row) for row in await connection.fetch(_REVISIONS)]
    products = [tuple(row) for row in await connection.fetch(_PRODUCTS)] if revisions else []
    return Catalogue(revisions, products, [tuple(row) for row in await connection.fetch(_RUSHES)])


async def _open(
    connection: Connection, streams: Sequence[_Stream], only: Sequence[str] | None, before: Awaitable[None] | None
) -> None:
    if before:
        await before
    for stream in streams:
        stream.cursor = await connection.cursor(stream.sql, only)
    await _refill(streams)


async def _refill(streams: Sequence[_Stream]) -> None:
    for stream in streams:
        await stream.refill()
