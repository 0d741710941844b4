"""All six services, none of them empty: order o-1 of account a-1 at store s-1 is known to every one of them, and each
has parked something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from services.aftersales.main import SERVICE as AFTERSALES
from services.inventory.main import SERVICE as INVENTORY
from services.logistics.main import SERVICE as LOGISTICS
from services.order.main import SERVICE as ORDER
from services.order.state import Phase
from services.payment import api
from services.payment.effects import GatewayCalls
from services.payment.main import SERVICE as PAYMENT
from services.payment.simulator.bookkeeper import MemoryBookkeeper
from services.payment.simulator.front import GatewaySimulator
from services.risk.main import SERVICE as RISK
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts.base import Message
from tests.deciders.orders import DOOR, TOTAL, WAY_TO, WINDOW
from tests.services.inside import Inside, inside

KNOWN: dict[str, Any] = {
    "order_id": "o-1",
    "account": "a-1",
    "store": "s-1",
    "spu": "milk",
    "ticket_id": "t-1",
    "promotion": "p-1",
    "promotion_id": "p-1",
    "rush_id": "r-1",
    "parked_number": 1,
}
"""Names of parameters, and a value of each that means something to the services."""
AREA = {"type": "Polygon", "coordinates": [[[13.3, 52.4], [13.5, 52.4], [13.5, 52.6], [13.3, 52.6], [13.3, 52.4]]]}
PRICES = {"milk": 129, "bread": 349, "oat": 140}
BASKET: dict[str, Any] = {"order_id": "o-1", "store": "s-1", "spus": ("milk", "bread"), "quantities": (2, 1)}
YESTERDAY, TOMORROW = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (-1, 1))
DAY = {"starts_at": YESTERDAY, "ends_at": TOMORROW}

ASKED: Mapping[str, Sequence[tuple[str, str, Any]]] = {
    "order": [
        ("PUT", "/products", {"items": [{"spu": s, "name": s, "price": price} for s, price in PRICES.items()]}),
        ("PUT", "/stores/s-1", {"name": "one", "area": AREA}),
        ("PUT", "/promotions/p-1", {"kind": "percent", "value": 10, "spus": ["oat"], **DAY}),
        ("PUT", "/rushes/r-1", {"spus": ["oat"], **DAY}),
    ],
    "risk": [("PUT", "/blocklist/account/a-1", {"treatment": "refer", "reason": "known"})],
    "inventory": [
        ("POST", "/stores/s-1/goods-receipts", {"lines": [{"spu": spu, "quantity": 1000} for spu in PRICES]}),
        ("PUT", "/stores/s-1/incoming/milk", {"quantity": 5}),
        ("PUT", "/stores/s-1/flash-allotments/p-1", {"spu": "milk", "quantity": 5}),
    ],
    "logistics": [("PUT", "/stores/s-1/slots", {"slots": [{"start": YESTERDAY, "end": TOMORROW, "places": 9}]})],
}
"""What people ask of a service first: method, path, body."""
HEARD: Mapping[str, Sequence[Message]] = {
    "order": WAY_TO[Phase.DELIVERED],
    "risk": [risk.ScreenOrder(order_id="o-1", account="a-1", total=TOTAL)],
    "inventory": [inventory.HoldStock(mode="lock", **BASKET), inventory.DeductStock(order_id="o-1", store="s-1")],
    "payment": [payment.TakePayment(order_id="o-1", attempt=1, amount=TOTAL, currency="EUR", method="tok_ok")],
    "logistics": [
        logistics.FulfilOrder(delivery=DOOR, **BASKET),
        logistics.AnnounceReturn(ticket_id="t-1", delivery=DOOR, **BASKET),
    ],
    "aftersales": [
        WINDOW,
        aftersales.OpenTicket(order_id="o-1", ticket_id="t-1", kind="return", spus=("milk",), quantities=(1,)),
    ],
}
"""What it hears then."""


@asynccontextmanager
async def seeded(fresh_database: Callable[[], Awaitable[str]]) -> AsyncIterator[Mapping[str, Inside]]:
    """The services by name, each on a database of its own; payment with its own gateway."""
    gateway = GatewaySimulator(MemoryBookkeeper(), timeout_s=0.05, secret=b"the webhooks' secret", webhook_url="")
    found: dict[str, Inside] = {}
    async with AsyncExitStack() as stack:
        for service in (ORDER, RISK, INVENTORY, PAYMENT, LOGISTICS, AFTERSALES):
            routes = partial(api.routes, gateway=gateway) if service is PAYMENT else service.routes
            name = service.decider.service
            it = inside(service.decider, service.store, routes, fresh_database, resting=service.resting)
            found[name] = await stack.enter_async_context(it)
            if service is PAYMENT:
                found[name].run = GatewayCalls(await stack.enter_async_context(gateway)).run
            for method, path, body in ASKED.get(name, ()):
                answer = await found[name].ask(method, path, body)
                assert answer.is_success, answer.text
            for message in HEARD[name]:
                await found[name].hear(message)
                assert not found[name].commits[-1].parked, message
            await found[name].park()
        yield found
