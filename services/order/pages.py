"""What people see of orders: the order's page and lists, read from the tables."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

from services.order.decider import SALES_ORDER, ticket_leads_back
from services.order.policy import CANCEL_POLICY, Policy, actor_of
from services.order.state import CancelWanted, Phase
from shared.contracts.order import PayOrder
from shared.http.auth import Caller, Role
from shared.runtime.table import To

_PAGE = """select o.*, b.spus, b.quantities, b.prices, b.delivery, b.slot, a.lots
from orders o join baskets b using (order_id) left join amendments a using (order_id) where o.order_id = $1"""
_TIMELINE = "select at, phase, message, actor from timeline where order_id = $1 order by seq"
_PAPERS = "select kind, at, body from papers where order_id = $1 order by seq"
_LIST = """select order_id, kind, phase, store, account, total, paid, refunded, placed_at, reason from orders
where ($1::text is null or phase = $1) and ($2::text is null or account = $2) and ($3::text is null or store = $3)
  and ($4::timestamptz is null or (placed_at, order_id) < ($4, $5::text))
order by placed_at desc, order_id desc limit $6"""
_PHASE = "select phase, account, kind from orders where order_id = $1"


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
    """All there is to know of an order. Money in minor units, times ISO 8601."""

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
    currency: str
    paid: int
    refunded: int
    hold_mode: str | None
    payable_until: datetime | None
    reason: str | None
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
            timeline = await connection.fetch(_TIMELINE, order_id)
            rows = await connection.fetch(_PAPERS, order_id)
        papers: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for paper in rows:
            papers[paper["kind"]].append({"at": paper["at"], **json.loads(paper["body"])})
        lines = zip(*(json.loads(row[c]) for c in ("spus", "quantities", "prices")), strict=True)
        return OrderPage(
            order_id=order_id,
            kind=row["kind"],
            phase=row["phase"],
            store=row["store"],
            account=row["account"],
            placed_at=row["placed_at"],
            delivery=json.loads(row["delivery"]) if row["delivery"] else None,
            slot=json.loads(row["slot"]) if row["slot"] else None,
            lines=[{"spu": s, "quantity": q, "unit_price": p, "discount": 0, "total": q * p} for s, q, p in lines],
            total=row["total"],
            currency=self._currency,
            paid=row["paid"],
            refunded=row["refunded"],
            hold_mode=row["hold_mode"],
            payable_until=row["payable_until"],
            reason=row["reason"] or None,
            short=[line for paper in papers["short"][-1:] for line in paper["lines"]],
            substitutes=_substitutes(row["lots"]),
            replaces=None,
            replacements=[],
            tickets=list({ticket["ticket_id"]: ticket for ticket in papers["ticket"]}.values()),
            documents=papers["document"],
            payments=papers["payment"],
            refunds=papers["refund"],
            timeline=[dict(entry) for entry in timeline],
            allowed=allowed(Phase(row["phase"]), caller),
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


def _substitutes(lots: str | None) -> list[dict[str, Any]]:
    """Goods that came instead of short ones: what a piece cost then, and what was paid for it."""
    return [
        {"spu": spu, "quantity": quantity, "instead_of": instead_of, "price": list_price, "paid": paid}
        for spu, quantity, paid, instead_of, list_price in json.loads(lots or "[]")
        if instead_of
    ]


def allowed(phase: Phase, caller: Caller) -> list[str]:
    """What this caller may do to an order in this phase: the table and the cancel policy say so."""
    cells = SALES_ORDER.rows[phase]
    actions = []
    if caller.role in (Role.CUSTOMER, Role.CUSTOMER_SERVICE, Role.ADMIN):
        if isinstance(cells.get(PayOrder), To):
            actions.append("pay")
        policy = CANCEL_POLICY[phase][actor_of(caller.actor)]
        if policy is Policy.ALLOWED and isinstance(cells.get(CancelWanted), To):
            actions.append("cancel")
    if caller.role in (Role.CUSTOMER_SERVICE, Role.ADMIN) and ticket_leads_back(phase, CANCEL_POLICY[phase]):
        actions.append("intercept")
    return actions
