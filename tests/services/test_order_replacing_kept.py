"""Replacement orders on a real database: the same after a restart, and on the page of their sales order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.order.api import routes
from services.order.decider import DECIDER
from services.order.state import Order, Phase
from services.order.store import OrderStore
from shared.contracts import aftersales, logistics
from tests.deciders.orders import DELIVERED as SALE_DELIVERED
from tests.deciders.orders import ON_THE_ROAD as SALE_ON_THE_ROAD
from tests.deciders.orders import PACKED as SALE_PACKED
from tests.deciders.orders import PICKING as SALE_PICKING
from tests.deciders.orders import SHOP
from tests.deciders.test_order_replacing import (
    ALL_BACK,
    APPROVED,
    DEDUCTED,
    DELIVERED,
    FIRST,
    HELD,
    NOBODY_CALLED,
    ON_THE_ROAD,
    ONE_SHORT,
    PACKED,
    PICKING,
    SOY,
    SUBSTITUTED,
    UNDELIVERABLE,
)
from tests.parts import RealParts
from tests.services.inside import Inside, as_kept, inside
from tests.services.test_order_back_kept import AREA, PAID

pytestmark = pytest.mark.parts
TICKET: dict[str, Any] = {"order_id": "o-1", "ticket_id": "t-1"}


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """An order service with a delivered order."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        items = [{"spu": k[1], "name": k[1], "price": p.price} for k, p in SHOP.items() if k[0] == "product"]
        assert (await found.ask("PUT", "/products", {"items": items})).status_code == 200
        assert (await found.ask("PUT", "/stores/s-1", {"name": "one", "area": AREA})).status_code == 200
        for message in (*PAID, SALE_PICKING, SALE_PACKED, SALE_ON_THE_ROAD, SALE_DELIVERED):
            await found.hear(message)
        yield found


async def hears(service: Inside, *messages: Any) -> Order:
    """Messages come; after each, a worker that starts now finds both orders as this one remembers them."""
    keys = [("order", "o-1"), ("order", FIRST)]
    for message in messages:
        if message is NOBODY_CALLED:
            await service.time_passes(100_000)
        else:
            await service.hear(message)
        async with service.pool.acquire() as connection:
            kept = await OrderStore().load_many(connection, keys, datetime.now(UTC))
        remembered = {key: as_kept(service._shard._cache[key]) for key in keys}
        assert kept == remembered, type(message).__name__
    order = kept["order", FIRST]
    assert isinstance(order, Order)
    return order


async def page(service: Inside, order_id: str = "o-1", **caller: Any) -> dict[str, Any]:
    """An order's page."""
    answer = await service.ask("GET", f"/orders/{order_id}", **caller)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_replacement_survives_every_step(service: Inside) -> None:
    """What it is for, its lots, a substitute, a second shortage that nobody calls about; to its delivery."""
    order = await hears(service, APPROVED, HELD, DEDUCTED, PICKING, ONE_SHORT, SOY, SUBSTITUTED, ONE_SHORT)
    assert order.phase is Phase.SHORT
    order = await hears(service, NOBODY_CALLED, PACKED, ON_THE_ROAD, DELIVERED)
    assert (order.phase, order.kind) == (Phase.DELIVERED, "replacement")
    assert {(lot.spu, lot.quantity, lot.instead_of) for lot in order.lots} == {
        ("soy", 1, "milk"),
        ("bread", 1, "bread"),
    }


async def test_replacement_that_comes_back_survives(service: Inside) -> None:
    """To its end."""
    order = await hears(service, APPROVED, HELD, DEDUCTED, PICKING, PACKED, ON_THE_ROAD, UNDELIVERABLE, ALL_BACK)
    assert (order.phase, order.reason) == (Phase.CANCELLED, "not_reachable")


async def test_page_shows_the_chain(service: Inside) -> None:
    """The sales order tells of its replacement, what became of its pieces, and of the ticket; the replacement of what
    it replaces, and that it costs nothing."""
    await service.hear(aftersales.TicketOpened(**TICKET, kind="exchange", by="customer_service:anna"))
    moved: dict[str, Any] = {
        "kind": "exchange",
        "phase": "holding",
        "step": "ApproveTicket",
        "by": "customer_service:anna",
    }
    await service.hear(aftersales.TicketMoved(**TICKET, **moved))
    await hears(service, APPROVED, HELD, DEDUCTED, PICKING, PACKED, ON_THE_ROAD, DELIVERED)
    back: dict[str, Any] = {"resellable_spus": ("milk", "bread"), "resellable": (2, 1)}
    nothing: dict[str, Any] = dict.fromkeys(("damaged_spus", "damaged", "missing_spus", "missing"), ())
    await service.hear(logistics.ReturnInspected(**TICKET, store="s-1", exchange=True, **back, **nothing))
    refund: dict[str, Any] = {
        "kind": "refund_only",
        "spus": ("oat",),
        "quantities": (1,),
        "amount": 129,
        "liable": "store",
    }
    await service.hear(aftersales.GoodsRefunded(order_id="o-1", ticket_id="t-2", about=FIRST, **refund))

    sale = await page(service, role="customer", account="a-1")
    (replacement,) = sale["replacements"]
    assert (replacement["order_id"], replacement["phase"], replacement["kind"]) == (FIRST, "delivered", "exchange")
    lines = {line["spu"]: line for line in sale["lines"]}
    assert {spu: (line["exchanged"], line["returned"], line["left"]) for spu, line in lines.items()} == {
        "milk": (2, 2, 0),
        "bread": (1, 1, 0),
    }
    (ticket,) = sale["tickets"]
    assert (ticket["ticket_id"], ticket["phase"]) == ("t-1", "holding")
    steps = [entry["message"] for entry in sale["timeline"] if entry["source"] == "t-1"]
    assert steps == ["TicketOpened", "ApproveTicket"]
    assert {entry["source"] for entry in sale["timeline"]} == {"o-1", FIRST, "t-1"}
    assert {document["kind"] for document in sale["documents"]} == {"sales_issue", "replacement_issue"}

    new = await page(service, FIRST, role="customer", account="a-1")
    assert (new["kind"], new["replaces"], new["total"], new["paid"]) == ("replacement", "o-1", 0, 0)
    oat = next(line for line in new["lines"] if line["spu"] == "oat")
    assert (oat["total"], oat["refunded"], oat["left"]) == (0, 1, 1)
    other = await service.ask("GET", f"/orders/{FIRST}", role="customer", account="a-2")
    assert other.status_code == 404
