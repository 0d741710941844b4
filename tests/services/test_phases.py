"""Where open orders are, over HTTP and as a figure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from services.order import oldest, phases
from services.order.api import routes
from services.order.decider import DECIDER
from services.order.oldest import look
from services.order.state import Phase
from services.order.store import OrderStore
from shared import tokens
from shared.http.app import make_app
from shared.http.auth import Role
from shared.service import Parts
from tests.parts import RealParts
from tests.services.inside import SETTINGS, Inside, inside

NOW = datetime.now(UTC)
# Order, phase, store, and how many seconds it has been there.
ORDERS = [
    ("o-2", Phase.PICKING, "s-1", 50),
    ("o-3", Phase.PICKING, "s-1", 300),
    ("o-4", Phase.PICKING, "s-2", 400),
    ("o-5", Phase.HOLDING, "s-2", 100),
    ("o-6", Phase.HOLDING, "s-2", 100),
    ("o-7", Phase.CLOSED, "s-1", 9_000),
]
INSERT = """insert into orders (order_id, phase, store, phase_since, ended, account, placed_at, total, attempt, method,
    paid, refunded, refunds, closing_refund, reference, reason, given_back, tickets, ticket_id)
values ($1, $2, $3, $4, $5, 'a-1', $4, 0, 0, '', 0, 0, 0, 0, '', '', 0, 0, '')"""


@pytest.fixture
async def orders(parts: RealParts) -> AsyncIterator[Inside]:
    """Some orders in some phases of two stores, and one that has ended."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        rows = [(o, phase, store, NOW - timedelta(seconds=s), phase is Phase.CLOSED) for o, phase, store, s in ORDERS]
        await found.pool.executemany(INSERT, rows)
        yield found


async def told(orders: Inside, query: str = "", **who: Any) -> list[tuple[str, int, str, int]]:
    """Phase, number of orders, the oldest one, and for how many seconds it is there."""
    answer = await orders.ask("GET", f"/phases{query}", **who)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["next"] is None
    age = (datetime.now(UTC) - NOW).total_seconds()
    found = []
    for item in page["items"]:
        oldest = item["oldest"]
        since = datetime.fromisoformat(oldest["since"])
        seconds = round((NOW - since).total_seconds())
        assert seconds <= oldest["seconds"] <= seconds + age + 1
        found.append((item["phase"], item["orders"], oldest["order_id"], seconds))
    return found


@pytest.mark.parts
async def test_open_orders_are_counted_by_phase(orders: Inside) -> None:
    """Those of all stores or of one; each phase with the order that has been there longest, in the order of a life."""
    assert await told(orders) == [("holding", 2, "o-5", 100), ("picking", 3, "o-4", 400)]
    assert await told(orders, "?store=s-1") == [("picking", 2, "o-3", 300)]
    assert await told(orders, "?store=s-9") == []


@pytest.mark.parts
async def test_staff_sees_the_phases_and_customers_do_not(orders: Inside) -> None:
    """Who works in one store sees that store's, without asking for it, and no other's."""
    for role in Role:
        if role is not Role.CUSTOMER:
            assert len(await told(orders, role=role)) == 2
    answer = await orders.ask("GET", "/phases", role="customer", account="a-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
    assert await told(orders, role="picker", store="s-1") == [("picking", 2, "o-3", 300)]
    assert await told(orders, "?store=s-1", role="courier", store="s-1") == [("picking", 2, "o-3", 300)]
    answer = await orders.ask("GET", "/phases?store=s-2", role="storekeeper", store="s-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_store")


@pytest.mark.parts
@pytest.mark.parametrize("query", ["store=", "store=%20", "store=%00", "store=a/b", "store=" + "s" * 65])
async def test_a_store_that_makes_no_sense_is_refused(orders: Inside, query: str) -> None:
    """It is no name."""
    answer = await orders.ask("GET", f"/phases?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parts
async def test_the_figure_and_the_alarm_are_of_the_same_look(
    orders: Inside, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age of the oldest order of each phase, zero where none is; an alarm for one that waits for a service."""
    monkeypatch.setattr(oldest, "DEADLINE_S", 99)
    await look(orders.pool)
    ages = {p: REGISTRY.get_sample_value("larder_oldest_seconds", {"phase": p}) or 0 for p in Phase}
    assert 400 <= ages[Phase.PICKING] < 400 + (datetime.now(UTC) - NOW).total_seconds() + 1
    assert 100 <= ages[Phase.HOLDING] < 100 + (datetime.now(UTC) - NOW).total_seconds() + 1
    assert ages[Phase.AWAITING_PAYMENT] == 0
    alarms = [record.getMessage() for record in caplog.records if record.getMessage().startswith("alarm: ")]
    assert [alarm[: len("alarm: an order waits in holding")] for alarm in alarms] == [
        "alarm: an order waits in holding"
    ]


class Pool:
    """Stands for the database: counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def fetch(self, *_: object) -> list[tuple[Any, ...]]:
        self.asked += 1
        return [("holding", f"s-{n}", 1, NOW, 1.0, "o-1") for n in range(3)]


async def test_the_tables_are_looked_at_once_a_second_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whichever stores: one look has them all."""
    monkeypatch.setattr(phases, "LOOK_S", 3_600)
    pool, nothing = Pool(), cast(Any, None)
    parts = Parts(SETTINGS, cast(asyncpg.Pool, pool), nothing, nothing, nothing, nothing)
    app = make_app("order", "Orders", "", routers=[phases.routes(parts)], ready=lambda: None, settings=SETTINGS)
    headers = {"Authorization": f"Bearer {tokens.create(SETTINGS, 'admin')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://it") as client:
        for query, orders in (("", 3), ("?store=s-1", 1), ("?store=s-2", 1), ("?store=s-9", 0), ("", 3)):
            page = (await client.get(f"/phases{query}", headers=headers)).json()
            assert sum(item["orders"] for item in page["items"]) == orders
    assert pool.asked == 1
