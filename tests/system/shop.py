"""A store with goods, customers and staff of its own, so that tests on one stack do not meet each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.system.driver import PATIENCE_S, Stack, good, until

_numbers = itertools.count(1)
APPLE, MILK = 250, 199
"""What the first two products of a shop cost."""


def square(west: float, south: float, size: float = 0.05) -> dict[str, Any]:
    """A GeoJSON Polygon."""
    east, north = west + size, south + size
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def lines(wanted: Mapping[str, int]) -> list[dict[str, Any]]:
    """Lines as the API takes them."""
    return [{"spu": spu, "quantity": quantity} for spu, quantity in wanted.items()]


class Shop:
    """One store. Orders are its account's unless said otherwise."""

    def __init__(self, stack: Stack) -> None:
        number = next(_numbers)
        self.stack = stack
        self.store = f"s-{number}"
        self.account = f"a-{number}"
        self.apple, self.milk = f"apple-{number}", f"milk-{number}"
        self.west, self.south = -170 + 0.1 * number, 10.0
        self.customer = f"customer:{self.account}"

    async def open(self, stock: int = 100) -> Shop:
        """Tells larder of the store and its goods, and has them delivered."""
        await self.stack.put(
            "order", f"/stores/{self.store}", {"name": self.store, "area": square(self.west, self.south)}
        )
        await self.price(self.apple, APPLE)
        await self.price(self.milk, MILK)
        if stock:
            await self.receive({self.apple: stock, self.milk: stock})
        return self

    async def price(self, spu: str, price: int) -> None:
        """Puts a product into the catalogue."""
        await self.stack.put("order", f"/products/{spu}", {"name": spu, "price": price, "category": "fresh"})

    async def receive(self, wanted: Mapping[str, int]) -> None:
        """Goods come in."""
        body = {"lines": lines(wanted)}
        good(await self.stack.post("inventory", f"/stores/{self.store}/goods-receipts", body, by="storekeeper"))

    def door(self) -> dict[str, Any]:
        """A delivery point in the middle of the store's area."""
        return {"lat": self.south + 0.025, "lon": self.west + 0.025, "address": f"{self.store} Lane 1"}

    async def stock(self, spu: str) -> tuple[int, int]:
        """On hand and locked."""
        page = await self.stack.get("inventory", f"/stores/{self.store}/stock/{spu}")
        assert page["available"] == page["on_hand"] - page["locked"]
        return page["on_hand"], page["locked"]

    async def stock_is(self, spu: str, on_hand: int, locked: int = 0) -> None:
        """Waits until the stock is that."""

        async def there() -> bool:
            return await self.stock(spu) == (on_hand, locked)

        try:
            await until(there, "")
        except AssertionError:
            raise AssertionError(f"{spu}: {on_hand}, {locked} expected, is {await self.stock(spu)}") from None

    # -- orders ----------------------------------------------------------------------------------------------------

    async def place(
        self,
        wanted: Mapping[str, int] | list[dict[str, Any]],
        *,
        by: str = "",
        wait: int = 0,
        key: str = "",
        **more: Any,
    ) -> httpx.Response:
        """Places an order, however it goes."""
        body: dict[str, Any] = {"lines": wanted if isinstance(wanted, list) else lines(wanted), **more}
        if "delivery" not in more:
            body.setdefault("store", self.store)
        return await self.stack.post("order", "/orders", body, by=by or self.customer, wait=wait, key=key)

    async def payable(self, wanted: Mapping[str, int], **more: Any) -> dict[str, Any]:
        """An order that waits for its money."""
        return await self.placed(wanted, "awaiting_payment", **more)

    async def placed(self, wanted: Mapping[str, int], phase: str, **more: Any) -> dict[str, Any]:
        """An order that was placed, once it has come that far."""
        order = good(await self.place(wanted, wait=10, **more))
        return await self.until(order["order_id"], phase)

    async def order(self, order_id: str) -> dict[str, Any]:
        """The order's page."""
        page: dict[str, Any] = await self.stack.get("order", f"/orders/{order_id}")
        return page

    async def until(self, order_id: str, *phases: str, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """The order, once it is in one of these phases."""
        seen: dict[str, Any] = {}

        async def there() -> dict[str, Any] | None:
            nonlocal seen
            seen = await self.order(order_id)
            return seen if seen["phase"] in phases else None

        try:
            return await until(there, "", patience_s)
        except AssertionError:
            told = [(e["phase"], e["message"]) for e in seen["timeline"]]
            raise AssertionError(f"{order_id} should be {phases} within {patience_s} s, and went {told}") from None

    async def pay(self, order: Mapping[str, Any], method: str = "tok_ok", **more: Any) -> httpx.Response:
        """The click, however it goes."""
        body = {"method": method, "expected_total": more.pop("total", order["total"])}
        more.setdefault("by", f"customer:{order['account']}")
        return await self.stack.post("order", f"/orders/{order['order_id']}/pay", body, **more)

    async def cancel(self, order: Mapping[str, Any], **more: Any) -> httpx.Response:
        """The wish to cancel, however it goes."""
        more.setdefault("by", f"customer:{order['account']}")
        return await self.stack.post(
            "order", f"/orders/{order['order_id']}/cancel", {"reason": "changed my mind"}, **more
        )

    async def paid(self, wanted: Mapping[str, int], **more: Any) -> dict[str, Any]:
        """An order that the store may begin with."""
        order = await self.payable(wanted, **more)
        good(await self.pay(order))
        return await self.until(order["order_id"], "awaiting_picking")

    async def ended(self, order_id: str, refunded: int, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """The order, once it is cancelled and that much money is back."""

        async def there() -> dict[str, Any] | None:
            page = await self.order(order_id)
            return page if page["phase"] == "cancelled" and page["refunded"] == refunded else None

        try:
            return await until(there, "", patience_s)
        except AssertionError:
            page = await self.order(order_id)
            told = [(e["phase"], e["message"]) for e in page["timeline"]]
            raise AssertionError(f"{order_id}: {refunded} back expected, is {page['refunded']}: {told}") from None

    # -- the store's work ------------------------------------------------------------------------------------------

    async def fulfilment(self, order_id: str, phase: str) -> dict[str, Any]:
        """The store's work on an order, once it is in that phase."""

        async def there() -> dict[str, Any] | None:
            answer = await self.stack.ask("GET", "logistics", f"/fulfilments/{order_id}", by="picker")
            return answer.json() if answer.status_code == 200 and answer.json()["phase"] == phase else None

        return await until(there, f"fulfilment of {order_id} to be {phase}")

    async def work(self, order_id: str, verb: str, body: object = None, by: str = "picker") -> dict[str, Any]:
        """A step of the store's work that goes well."""
        page: dict[str, Any] = good(
            await self.stack.post("logistics", f"/fulfilments/{order_id}/{verb}", {} if body is None else body, by=by)
        )
        return page

    async def begin(self, order_id: str) -> None:
        """A picker takes a paid order."""
        await self.fulfilment(order_id, "queued")
        await self.work(order_id, "start-picking")
        await self.until(order_id, "picking")

    async def pack(self, order_id: str) -> None:
        """All that is to be picked is picked and packed."""
        await self.work(order_id, "picked")
        await self.work(order_id, "packed")
        await self.until(order_id, "awaiting_shipment")

    async def send_out(self, order_id: str) -> None:
        """The courier has the bags."""
        await self.work(order_id, "handed-over", {"courier": "c-1"}, by="courier")
        await self.until(order_id, "in_delivery")

    async def deliver(self, order_id: str) -> dict[str, Any]:
        """Walks a paid order to the customer's door."""
        await self.begin(order_id)
        await self.pack(order_id)
        await self.send_out(order_id)
        await self.work(order_id, "delivered", by="courier")
        return await self.until(order_id, "delivered", "closed")

    async def on_the_road(self, wanted: Mapping[str, int], **more: Any) -> dict[str, Any]:
        """A paid order that is on its way to the customer."""
        order = await self.paid(wanted, **more)
        await self.begin(order["order_id"])
        await self.pack(order["order_id"])
        await self.send_out(order["order_id"])
        return order

    # -- customer service ------------------------------------------------------------------------------------------

    async def ticket(self, order_id: str, kind: str, *phases: str) -> dict[str, Any]:
        """The ticket of this kind, once it is in one of these phases."""

        async def there() -> dict[str, Any] | None:
            page = await self.stack.get("aftersales", f"/tickets?order={order_id}", "customer_service")
            found: list[dict[str, Any]] = [t for t in page["items"] if t["kind"] == kind and t["phase"] in phases]
            return found[0] if found else None

        return await until(there, f"a ticket {kind} of {order_id} to be {phases}")

    async def call(self, ticket: Mapping[str, Any], outcome: str, *substitutes: tuple[str, int, str]) -> httpx.Response:
        """What the customer said on the phone: substitutes are SPU, pieces, instead of which SPU."""
        body: dict[str, Any] = {"outcome": outcome}
        if substitutes:
            body["substitutes"] = [{"spu": s, "quantity": q, "instead_of": i} for s, q, i in substitutes]
        path = f"/tickets/{ticket['ticket_id']}/call-outcome"
        return await self.stack.post("aftersales", path, body, by="customer_service")

    async def papers(self, order_id: str, *kinds: str) -> list[dict[str, Any]]:
        """The order's documents, each as its lines by SPU, once they are of these kinds in this order."""

        async def there() -> list[dict[str, Any]] | None:
            documents = (await self.order(order_id))["documents"]
            seen[:] = [d["kind"] for d in documents]
            if tuple(seen) != kinds:
                return None
            return [{line["spu"]: line["quantity"] for line in d["lines"]} for d in documents]

        seen: list[str] = []
        try:
            return await until(there, "")
        except AssertionError:
            raise AssertionError(f"{order_id}: {kinds} expected, has {seen}") from None

    # -- slots -----------------------------------------------------------------------------------------------------

    async def slot(self, in_s: float, places: int, length_s: float = 3600) -> dict[str, str]:
        """Sets a slot that begins so many seconds from now."""
        start = datetime.now(UTC) + timedelta(seconds=in_s)
        slot = {"start": start.isoformat(), "end": (start + timedelta(seconds=length_s)).isoformat()}
        await self.stack.put(
            "logistics", f"/stores/{self.store}/slots", {"slots": [{**slot, "places": places}]}, "storekeeper"
        )
        return slot

    async def reserved(self) -> int:
        """Reserved places over all of the store's slots."""
        page = await self.stack.get("logistics", f"/stores/{self.store}/slots", by=self.customer)
        return sum(slot["reserved"] for slot in page["items"])


async def attempts(shop: Shop, order_id: str) -> list[str]:
    """How each click ended, as payment tells it."""
    page = await shop.stack.get("payment", f"/orders/{order_id}/payments", "customer_service")
    return [attempt["phase"] for attempt in page["attempts"]]


async def block(shop: Shop, treatment: str, kind: str = "account", value: str = "", **more: object) -> None:
    """Puts the shop's account, or a device or an address, on the blocklist."""
    body = {"reason": "seen before", "treatment": treatment, **more}
    await shop.stack.put("risk", f"/blocklist/{kind}/{value or shop.account}", body, "risk_analyst")
