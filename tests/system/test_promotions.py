"""Promotions on real parts: a price that a customer saw is true when the money moves, or it is asked about again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.system.driver import good, refused
from tests.system.shop import APPLE, MILK, Shop


def at(hours: float) -> str:
    """An instant so many hours from now."""
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def promote(shop: Shop, name: str, **members: Any) -> str:
    """A promotion of the shop's own, on for two hours; its id."""
    id_ = f"{name}-{shop.store}"
    body = {"stores": [shop.store], "starts_at": at(-1), "ends_at": at(1), **members}
    assert (await shop.stack.put("order", f"/promotions/{id_}", body))["state"] == "running"
    return id_


async def test_what_was_put_is_in_the_next_price(shop: Shop) -> None:
    """And on the order's page, line by line, from the basket to the delivery; the money is what the page says."""
    tenth = await promote(shop, "tenth", kind="percent", value=10, spus=[shop.apple])
    code = await promote(shop, "code", kind="coupon", value=100)
    total = 2 * APPLE - 50 + MILK - 100
    order = await shop.payable({shop.apple: 2, shop.milk: 1}, coupons=[code], expected_total=total)
    assert (order["total"], order["coupons"], order["denied"]) == (total, [code], [])
    apples, milk = order["lines"]
    assert (apples["unit_price"], apples["discount"], apples["total"]) == (APPLE, 119, 2 * APPLE - 119)
    assert apples["promotions"] == [{"id": tenth, "discount": 50}, {"id": code, "discount": 69}]
    assert milk["promotions"] == [{"id": code, "discount": 31}]
    good(await shop.pay(order))
    await shop.until(order["order_id"], "awaiting_picking")
    await shop.deliver(order["order_id"])
    delivered = await shop.until(order["order_id"], "delivered", "closed")
    assert (delivered["paid"], [line["total"] for line in delivered["lines"]]) == (total, [381, 168])
    refused(await shop.place({shop.milk: 1}, coupons=[code]), 409, "coupon_used")


async def test_one_that_ended_is_asked_about_again(shop: Shop) -> None:
    """Between the basket and the click: the order comes back with the new total, and is paid when that is confirmed."""
    half = await promote(shop, "half", kind="percent", value=50)
    order = await shop.payable({shop.apple: 2})
    assert order["total"] == APPLE
    good(await shop.stack.ask("DELETE", "order", f"/promotions/{half}"))
    good(await shop.pay(order, wait=10))
    back = await shop.until(order["order_id"], "awaiting_payment")
    assert (back["total"], back["paid"], back["lines"][0]["promotions"]) == (2 * APPLE, 0, [])
    good(await shop.pay(back))
    assert (await shop.until(order["order_id"], "awaiting_picking"))["paid"] == 2 * APPLE


async def test_a_coupon_is_one_discount_however_many_click_at_once(shop: Shop) -> None:
    """Two orders of one account name it and are paid at once: one has it, the other comes back without. Given up, it
    can be used again."""
    code = await promote(shop, "once", kind="coupon", value=50)
    orders = [await shop.payable({shop.milk: 1}, coupons=[code]) for _ in range(2)]
    for answer in await asyncio.gather(*(shop.pay(order, wait=10) for order in orders)):
        good(answer)
    pages = [await shop.until(o["order_id"], "awaiting_picking", "awaiting_payment") for o in orders]
    assert sorted((p["phase"], p["total"], p["paid"], p["denied"]) for p in pages) == [
        ("awaiting_payment", MILK, 0, [code]),
        ("awaiting_picking", MILK - 50, MILK - 50, []),
    ]
    (paid,) = [page for page in pages if page["paid"]]
    refused(await shop.place({shop.milk: 1}, coupons=[code]), 409, "coupon_used")
    good(await shop.cancel(paid))
    assert (await shop.until(paid["order_id"], "cancelled"))["refunded"] == MILK - 50
    again = await shop.payable({shop.milk: 1}, coupons=[code])
    assert again["total"] == MILK - 50


async def test_a_flash_sale_is_first_paid_first_served(shop: Shop) -> None:
    """Its PUT answers when the store knows of it; its pieces come from the allotment, and what is left goes back to the
    shelf when it is ended."""
    sale = await promote(shop, "sale", kind="flash", value=99, spus=[shop.apple])
    path = f"/stores/{shop.store}/flash-allotments/{sale}"
    await shop.stack.put("inventory", path, {"spu": shop.apple, "quantity": 10})
    order = await shop.payable({shop.apple: 2})
    assert (order["total"], order["hold_mode"], order["screening"]["verdict"]) == (198, "on_payment", "clear")
    assert order["lines"][0]["promotions"] == [{"id": sale, "discount": 2 * (APPLE - 99)}]
    good(await shop.pay(order))
    assert (await shop.until(order["order_id"], "awaiting_picking"))["paid"] == 198
    await shop.stock_is(shop.apple, 98, 8)
    good(await shop.stack.ask("DELETE", "order", f"/promotions/{sale}"))
    await shop.stock_is(shop.apple, 98)
    assert (await shop.payable({shop.apple: 1}))["total"] == APPLE
