"""What people see of orders: the order's page and lists, read from the tables."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

from services.order import inner
from services.order.decider import table_of, ticket_leads_back
from services.order.papers import VERDICTS
from services.order.policy import Policy, actor_of, policy_of
from services.order.state import Discounts, Phase
from services.order.store import discounts_of
from shared.contracts import order as ordering
from shared.contracts import risk
from shared.contracts.base import sales_order_of
from shared.http.auth import Caller, Role
from shared.runtime.table import To

_PAGE = """select o.*, b.spus, b.quantities, b.prices, b.delivery, b.slot, b.discounts, a.lots, a.replaces,
    a.replacement
from orders o join baskets b using (order_id) left join amendments a using (order_id) where o.order_id = $1"""
_REPLACEMENTS = """select o.order_id, o.phase, o.placed_at, o.reason, a.lots, a.replacement
from amendments a join orders o using (order_id) where a.replaces = $1
order by o.placed_at, length(o.order_id), o.order_id"""
_TIMELINE = "select at, phase, message, actor, order_id from timeline where order_id = any($1::text[]) order by seq"
_PAPERS = "select kind, at, body, order_id from papers where order_id = any($1::text[]) order by seq"
_LIST = """select order_id, kind, phase, store, account, total, paid, refunded, placed_at, reason from orders
where ($1::text is null or phase = $1) and ($2::text is null or account = $2) and ($3::text is null or store = $3)
  and ($4::timestamptz is null or (placed_at, order_id) < ($4, $5::text))
order by placed_at desc, order_id desc limit $6"""
_PHASE = "select phase, account, kind from orders where order_id = $1"


SAID_BY_RISK = tuple(verdict.TYPE for verdict in VERDICTS)
GIVEN_UP = frozenset({Phase.CANCELLED, Phase.REJECTED})
"""Replacement orders that replaced nothing."""


class OrderRow(BaseModel):
    """An order in a list. Money in minor units."""

    order_id: str
    kind: str
    phase: str
    store: str
    account: str
    total: int
    paid: int
    refunded: int
    placed_at: datetime
    reason: str | None


class OrderPage(BaseModel):
    """All there is to know of an order. Money in minor units, times ISO 8601.

    A line costs its `quantity` at the ordinary `unit_price`, less the `discount` that its `promotions` came to; the
    lines' totals are the total. `coupons` are those that the order named, `denied` the promotions that it may not have:
    its account had them as often as it may, or the pieces of the flash sale are gone.

    A line tells what became of its pieces: `returned` (given back), `refunded`, `exchanged` and `replenished` (others
    went out for them), and what is `left`. A replacement order names what it `replaces`: its sales order, whose page
    tells of the replacements, their tickets, documents and timeline too. An entry's `source` is the order or the ticket
    that it happened to. `screening` is what risk said last and the rules that spoke, for people who work here.
    """

    order_id: str
    kind: str
    phase: str
    store: str
    account: str
    placed_at: datetime
    delivery: dict[str, Any] | None
    slot: dict[str, Any] | None
    lines: list[dict[str, Any]]
    total: int
    coupons: list[str]
    denied: list[str]
    currency: str
    paid: int
    refunded: int
    hold_mode: str | None
    payable_until: datetime | None
    reason: str | None
    screening: dict[str, Any] | None
    short: list[dict[str, Any]]
    substitutes: list[dict[str, Any]]
    replaces: str | None
    replacements: list[dict[str, Any]]
    tickets: list[dict[str, Any]]
    documents: list[dict[str, Any]]
    payments: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    timeline: list[dict[str, Any]]
    allowed: list[str]


class Orders:
    """Reads orders for people."""

    def __init__(self, pool: asyncpg.Pool, currency: str) -> None:
        self._pool = pool
        self._currency = currency

    async def page(self, order_id: str, caller: Caller) -> OrderPage | None:
        """The order as this caller may see it; None when there is none."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(_PAGE, order_id)
            if row is None:
                return None
            chain = await connection.fetch(_REPLACEMENTS, sales_order_of(order_id))
            told = [order_id] if row["replaces"] else [order_id, *(one["order_id"] for one in chain)]
            timeline = await connection.fetch(_TIMELINE, told)
            rows = await connection.fetch(_PAPERS, told)
        now = datetime.now(UTC)
        papers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        own: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for paper in rows:
            body = {"at": paper["at"], **json.loads(paper["body"])}
            papers[paper["kind"]].append({**body, "order_id": paper["order_id"]})
            if paper["order_id"] == order_id:
                own[paper["kind"]].append(body)
        replacements = [_replacement(one) for one in chain]
        mine = [one for one in replacements if one["about"] == order_id]
        discounts = discounts_of(row["discounts"])
        return OrderPage(
            order_id=order_id,
            kind=row["kind"],
            phase=row["phase"],
            store=row["store"],
            account=row["account"],
            placed_at=row["placed_at"],
            delivery=json.loads(row["delivery"]) if row["delivery"] else None,
            slot=json.loads(row["slot"]) if row["slot"] else None,
            lines=_lines(row, discounts, own, mine),
            total=row["total"],
            coupons=list(discounts.coupons),
            denied=list(discounts.denied),
            currency=self._currency,
            paid=row["paid"],
            refunded=row["refunded"],
            hold_mode=row["hold_mode"],
            payable_until=row["payable_until"],
            reason=row["reason"] or None,
            screening=None if caller.role is Role.CUSTOMER else _screening(row, own["screening"], timeline),
            short=[line for paper in own["short"][-1:] for line in paper["lines"]],
            substitutes=[] if row["replaces"] else _substitutes(row["lots"]),
            replaces=row["replaces"],
            replacements=mine if row["replaces"] else replacements,
            tickets=list({paper["ticket_id"]: _ticket(paper, now) for paper in papers["ticket"]}.values()),
            documents=papers["document"],
            payments=own["payment"],
            refunds=own["refund"],
            timeline=_merged(timeline, papers["ticket"], caller),
            allowed=allowed(Phase(row["phase"]), caller, order_id),
        )

    async def phase(self, order_id: str) -> tuple[str, str] | None:
        """Phase and account of an order."""
        row = await self._pool.fetchrow(_PHASE, order_id)
        return (row["phase"], row["account"]) if row else None

    async def some(
        self,
        phase: str | None,
        account: str | None,
        store: str | None,
        after: Sequence[Any],
        limit: int,
    ) -> list[OrderRow]:
        """Orders, the newest first, behind the sort values of the page before."""
        rows = await self._pool.fetch(_LIST, phase, account, store, *after, limit)
        return [OrderRow(**{**row, "reason": row["reason"] or None}) for row in rows]


def _screening(row: Any, papers: Sequence[dict[str, Any]], timeline: Sequence[Any]) -> dict[str, Any] | None:
    """What risk said last. Of an order that it cleared there is no paper; its stock was locked, or, where whoever pays
    first is served first, its timeline says it. Of one that an earlier version screened, nothing more is known."""
    if papers:
        return papers[-1]
    locked = row["hold_mode"] == "lock" and not row["replaces"]
    if locked or risk.OrderCleared.TYPE in {entry["message"] for entry in timeline}:
        return {"verdict": "clear", "reason": "", "rules": []}
    return None


def _substitutes(lots: str | None) -> list[dict[str, Any]]:
    """Goods that came instead of short ones: what a piece cost then, and what was paid for it."""
    return [
        {"spu": spu, "quantity": quantity, "instead_of": instead_of, "price": list_price, "paid": paid}
        for spu, quantity, paid, instead_of, list_price in json.loads(lots or "[]")
        if instead_of
    ]


def _lines(
    row: Any,
    discounts: Discounts,
    own: dict[str, list[dict[str, Any]]],
    replacements: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The lines, and what became of their pieces. A replacement order's cost nothing."""
    became: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, word in (("returned", "returned"), ("compensated", "refunded")):
        for paper in own[kind]:
            for line in paper["lines"]:
                became[line["spu"]][word] += line["quantity"]
    for one in replacements:
        if one["phase"] not in GIVEN_UP:
            word = "exchanged" if one["kind"] == "exchange" else "replenished"
            for line in one["lines"]:
                became[line["instead_of"]][word] += line["quantity"]
    has: Counter[str] = Counter()
    for spu, quantity, _, instead_of, _ in json.loads(row["lots"] or "[]"):
        has[spu] += quantity if row["replaces"] or not instead_of else 0
    lines = []
    columns = (json.loads(row[c]) for c in ("spus", "quantities", "prices"))
    for n, (spu, quantity, price) in enumerate(zip(*columns, strict=True)):
        promotions = [{"id": p.promotion, "discount": p.discounts[n]} for p in discounts.applied if p.discounts[n]]
        off = sum(p.discounts[n] for p in discounts.applied)
        done = became[spu]
        there = has[spu] if row["lots"] not in (None, "[]") else quantity
        paid = 0 if row["replaces"] else price
        lines.append(
            {
                "spu": spu,
                "quantity": quantity,
                "unit_price": paid,
                "discount": off,
                "total": quantity * paid - off,
                "promotions": promotions,
                "returned": done["returned"],
                "refunded": done["refunded"],
                "exchanged": done["exchanged"],
                "replenished": done["replenished"],
                "left": max(0, there - done["refunded"] - done["exchanged"] - done["replenished"]),
            }
        )
    return lines


def _replacement(row: Any) -> dict[str, Any]:
    _, about, ticket_id, kind, *_ = json.loads(row["replacement"])
    return {
        "order_id": row["order_id"],
        "phase": row["phase"],
        "about": about,
        "ticket_id": ticket_id,
        "kind": kind,
        "placed_at": row["placed_at"],
        "reason": row["reason"] or None,
        "lines": [
            {"spu": spu, "quantity": quantity, "price": list_price, "instead_of": instead_of, "paid": paid}
            for spu, quantity, paid, instead_of, list_price in json.loads(row["lots"])
        ],
    }


def _ticket(paper: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A ticket as its last step left it; a claim runs out by itself."""
    until = paper.get("claimed_until") or ""
    claimed = until != "" and datetime.fromisoformat(until) > now
    return {
        "ticket_id": paper["ticket_id"],
        "kind": paper["kind"],
        "phase": paper["phase"],
        "claimed_by": paper["claimed_by"] if claimed else None,
        "note": paper.get("note", ""),
        "order_id": paper["order_id"],
        "at": paper["at"],
    }


def _merged(timeline: Sequence[Any], tickets: Sequence[dict[str, Any]], caller: Caller) -> list[dict[str, Any]]:
    """What happened to the order, to its replacements and to their tickets, in order of time. A customer does not see
    what risk said."""
    hidden = dict.fromkeys(SAID_BY_RISK, "OrderScreened") if caller.role is Role.CUSTOMER else {}
    entries = [
        *({"source": e["order_id"], **{k: e[k] for k in ("at", "phase", "message", "actor")}} for e in timeline),
        *(
            {"source": t["ticket_id"], "at": t["at"], "phase": t["phase"], "message": t["step"], "actor": t["by"]}
            for t in tickets
            if "step" in t  # one of an earlier version stands in the order's own timeline
        ),
    ]
    told = ({**entry, "message": hidden.get(entry["message"], entry["message"])} for entry in entries)
    return sorted(told, key=lambda entry: entry["at"])


def allowed(phase: Phase, caller: Caller, order_id: str = "") -> list[str]:
    """What this caller may do to an order in this phase: the table and the cancel policy say so."""
    table, policies = table_of(order_id), policy_of(order_id)
    cells = table.rows[phase]
    actions = []
    if caller.role in (Role.CUSTOMER, Role.CUSTOMER_SERVICE, Role.ADMIN):
        if isinstance(cells.get(ordering.PayOrder), To):
            actions.append("pay")
        policy = policies[phase][actor_of(caller.actor)]
        if policy is Policy.ALLOWED and isinstance(cells.get(inner.CancelWanted), To):
            actions.append("cancel")
    if caller.role in (Role.CUSTOMER_SERVICE, Role.ADMIN):
        if ticket_leads_back(phase, policies[phase], table):
            actions.append("intercept")
        if inner.TicketFits in cells:
            actions.append("ticket")
    return actions
