"""The order service with a row that nobody can mean: an order stays one that can be read, paid and cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.order.api import routes
from services.order.decider import DECIDER
from services.order.store import OrderStore
from tests.deciders.orders import BASKET, CLEARED, HELD, RELEASED, SHOP, STRAY, TOTAL
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts

AREA = {"type": "Polygon", "coordinates": [[[13.3, 52.4], [13.5, 52.4], [13.5, 52.6], [13.3, 52.6], [13.3, 52.4]]]}
INSTANTS = ("0001-01-01T00:00:00+08:00", "4000-01-01 BC", "-infinity", "infinity", "12000-01-01")
_TIMES = """
select table_name, column_name from information_schema.columns
where table_schema = 'public' and data_type = 'timestamp with time zone'
  and table_name in ('orders', 'papers', 'timeline')"""


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """An order service with an empty database, the small shop's products and its store."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        items = [{"spu": key[1], "name": key[1], "price": p.price} for key, p in SHOP.items() if key[0] == "product"]
        assert (await found.ask("PUT", "/products", {"items": items})).status_code == 200
        assert (await found.ask("PUT", "/stores/s-1", {"name": "one", "area": AREA})).status_code == 200
        yield found


@pytest.mark.parametrize("instant", INSTANTS)
async def test_order_with_any_instant_can_be_read_paid_and_cancelled(service: Inside, instant: str) -> None:
    """It slipped into any time of the order: its page, the lists, pay, cancel and the stream go on, and the worker."""
    for message in (BASKET, CLEARED, HELD, STRAY):
        await service.hear(message)
    columns = await service.pool.fetch(_TIMES)
    assert {row["table_name"] for row in columns} == {"orders", "papers", "timeline"}
    for table, column in columns:
        await service.pool.execute(f"update {table} set {column} = '{instant}'")
    await service.forget()

    shown = await service.ask("GET", "/orders/o-1")
    assert (shown.status_code, len(shown.json()["payments"])) == (200, 1)
    assert (await service.ask("GET", "/orders?limit=1")).status_code == 200
    paid = await service.ask("POST", "/orders/o-1/pay", {"method": "tok_ok", "expected_total": TOTAL})
    assert paid.status_code == 202, paid.text
    await service.forget()
    cancelled = await service.ask("POST", "/orders/o-1/cancel", {"reason": "changed my mind"})
    assert cancelled.status_code == 202, cancelled.text
    await service.hear(RELEASED)
    assert not any(commit.parked for commit in service.commits)
    stream = await service.ask("GET", "/orders/o-1/stream")
    assert stream.status_code == 200
    assert "event: order" in stream.text
