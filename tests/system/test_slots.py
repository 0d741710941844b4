"""Slots: places that are limited, given back, and waited for."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.system.driver import good, refused, until
from tests.system.shop import Shop


async def test_a_slot_takes_as_many_orders_as_it_has_places(shop: Shop) -> None:
    """Who finds it full is rejected and holds no stock; a place that is given back is there for the next."""
    slot = await shop.slot(in_s=3600, places=2)
    orders = [await shop.payable({shop.apple: 1}, slot=slot) for _ in range(2)]
    assert await shop.reserved() == 2
    full = await shop.placed({shop.apple: 1}, "rejected", slot=slot)
    assert full["reason"] == "slot_full"
    assert await shop.stock(shop.apple) == (100, 2)
    good(await shop.cancel(orders[0]))
    await shop.until(orders[0]["order_id"], "cancelled")

    async def freed() -> bool:
        return await shop.reserved() == 1

    await until(freed, "the place to be given back")
    order = await shop.payable({shop.apple: 1}, slot=slot)
    assert order["slot"]["start"][:19] == slot["start"][:19]


async def test_eight_orders_for_three_places(shop: Shop) -> None:
    """Places cannot be sold twice, however many ask at once."""
    slot = await shop.slot(in_s=3600, places=3)
    answers = await asyncio.gather(*(shop.place({shop.apple: 1}, slot=slot, wait=10) for _ in range(8)))
    phases = sorted(good(answer)["phase"] for answer in answers)
    assert phases == ["awaiting_payment"] * 3 + ["rejected"] * 5
    assert await shop.reserved() == 3
    await shop.stock_is(shop.apple, 100, 3)


async def test_slots_that_cannot_be_had(shop: Shop) -> None:
    """In the past, unknown, without end, or no time at all: the customer is told, and nothing is held."""
    now = datetime.now(UTC)

    def between(start_s: float, end_s: float) -> dict[str, str]:
        return {
            "start": (now + timedelta(seconds=start_s)).isoformat(),
            "end": (now + timedelta(seconds=end_s)).isoformat(),
        }

    refused(await shop.place({shop.apple: 1}, slot=between(-7200, -3600)), 422, "slot_over")
    refused(await shop.place({shop.apple: 1}, slot=between(-60, 3600)), 422, "slot_over")
    refused(await shop.place({shop.apple: 1}, slot=between(7200, 3600)), 422, "slot_over")
    assert (await shop.placed({shop.apple: 1}, "rejected", slot=between(3600, 7200)))["reason"] == "slot_unknown"
    for wrong in (
        {},
        "18:00",
        {"start": now.isoformat()},
        {"start": "soon", "end": "later"},
        {"start": "2027-01-01T10:00:00", "end": "2027-01-01T11:00:00"},
        {"start": "9999-12-31T23:59:59-23:59", "end": "9999-12-31T23:59:59-23:59"},
        {"start": 0, "end": 10**18},
    ):
        refused(await shop.place({shop.apple: 1}, slot=wrong), 422)
    assert await shop.stock(shop.apple) == (100, 0)


async def test_slots_are_set_by_storekeepers_only(shop: Shop) -> None:
    """Wrong roles, wrong stores and wrong shapes are told."""
    path = f"/stores/{shop.store}/slots"
    slot = {"start": "2100-01-01T10:00:00Z", "end": "2100-01-01T11:00:00Z", "places": 1}

    async def put(body: object, by: str = "storekeeper") -> object:
        return await shop.stack.ask("PUT", "logistics", path, body, by=by)

    refused(await put({"slots": [slot]}, shop.customer), 403)  # type: ignore[arg-type]
    refused(await put({"slots": [slot]}, "storekeeper@elsewhere"), 403, "wrong_store")  # type: ignore[arg-type]
    for wrong in (
        {**slot, "places": -1},
        {**slot, "places": 1.5},
        {**slot, "places": 10**9},
        {**slot, "end": slot["start"]},
    ):
        refused(await put({"slots": [wrong]}), 422)  # type: ignore[arg-type]
    told = await shop.stack.put("logistics", path, {"slots": [slot]}, f"storekeeper@{shop.store}")
    assert [(s["places"], s["reserved"], s["free"]) for s in told["items"]] == [(1, 0, 1)]
