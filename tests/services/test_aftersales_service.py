"""The aftersales service: a window from its opening to its end, as the customer sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.aftersales.api import routes
from services.aftersales.decider import DECIDER
from services.aftersales.store import AftersalesStore
from shared.contracts.aftersales import OpenWindow
from shared.runtime.decider import Windows
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts


@pytest.fixture
async def aftersales(parts: RealParts) -> AsyncIterator[Inside]:
    """An aftersales service with an empty database and a window of an hour."""
    windows = Windows(after_sales_window_s=3600)
    async with inside(DECIDER, AftersalesStore(), routes, parts.fresh_database, windows) as service:
        yield service


async def test_window_opens_and_shuts(aftersales: Inside) -> None:
    """Open until its time has passed, also when the service was restarted meanwhile; shut once."""
    delivered = OpenWindow(order_id="o-1", account="a-1", store="s-1")
    assert await aftersales.hear(delivered) == []
    opened = (await aftersales.ask("GET", "/orders/o-1/window", role="customer", account="a-1")).json()
    assert opened["phase"] == "open"
    await aftersales.forget()
    assert await aftersales.time_passes(3590) == []
    assert await aftersales.time_passes(3601) == ["WindowShut"]
    await aftersales.forget()
    assert await aftersales.hear(delivered) == []
    assert await aftersales.time_passes(7300) == []
    shut = (await aftersales.ask("GET", "/orders/o-1/window", role="customer_service")).json()
    assert shut == {**opened, "phase": "shut"}


async def test_window_of_another_customer_is_unknown(aftersales: Inside) -> None:
    """As unknown as that of an order that was never delivered."""
    await aftersales.hear(OpenWindow(order_id="o-1", account="a-1", store="s-1"))
    for path, account in (("/orders/o-1/window", "a-2"), ("/orders/o-2/window", "a-1")):
        answer = await aftersales.ask("GET", path, role="customer", account=account)
        assert (answer.status_code, answer.json()["code"]) == (404, "window_unknown")
    assert (await aftersales.ask("GET", "/orders/o-1/window", role="picker")).status_code == 403
