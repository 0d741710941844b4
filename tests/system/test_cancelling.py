"""An order that is not wanted, or not paid: at every point before its payment, and while it is under way."""

import asyncio
from typing import Any

from tests.system.conftest import WINDOWS
from tests.system.driver import good, refused, until
from tests.system.shop import Shop

GATEWAY_TIMEOUT_S = WINDOWS["gateway_timeout_s"]


async def test_cancel_before_payment(shop: Shop) -> None:
    """At any point before payment the stock goes back; a second wish is told that it is too late."""
    waiting = await shop.payable({shop.apple: 2})
    answer = await shop.cancel(waiting, wait=10)
    assert good(answer)["phase"] == "cancelled"
    ended = await shop.order(waiting["order_id"])
    assert (ended["reason"], ended["paid"], ended["timeline"][-2]["actor"]) == (
        "cancelled_by_customer",
        0,
        shop.customer,
    )
    refused(await shop.cancel(waiting), 409, "cancel_not_allowed")
    await shop.stock_is(shop.apple, 100)


async def test_who_did_it_has_a_name(shop: Shop) -> None:
    """The timeline and the document show the person, and not only what it is for."""
    order = await shop.payable({shop.apple: 1})
    good(await shop.cancel(order, wait=10, by="customer_service:maria"))
    ended = await shop.order(order["order_id"])
    assert (ended["reason"], ended["timeline"][-2]["actor"]) == (
        "cancelled_by_customer_service",
        "customer_service:maria",
    )
    body = {"lines": [{"spu": shop.apple, "quantity": 1}]}
    receipt = good(
        await shop.stack.post(
            "inventory", f"/stores/{shop.store}/goods-receipts", body, by=f"storekeeper:jo@{shop.store}"
        )
    )
    assert receipt["actor"] == "storekeeper:jo"


async def test_cancel_right_behind_the_basket(shop: Shop) -> None:
    """Whatever step the order is at when the wish comes, it ends as cancelled and holds nothing."""
    slot = await shop.slot(in_s=3600, places=50)

    async def place_and_cancel(number: int) -> str:
        with_slot: dict[str, Any] = {"slot": slot} if number % 2 else {}
        order = good(await shop.place({shop.apple: 1}, **with_slot))
        good(await shop.cancel(order))
        return str(order["order_id"])

    for order_id in await asyncio.gather(*(place_and_cancel(n) for n in range(16))):
        assert (await shop.until(order_id, "cancelled"))["reason"] == "cancelled_by_customer"
    await shop.stock_is(shop.apple, 100)

    async def places_are_free() -> bool:
        return await shop.reserved() == 0

    # Nobody waits for a place that goes back: the order has ended by then.
    await until(places_are_free, "the places of the cancelled orders to be free")


async def test_six_cancels_cancel_once(shop: Shop) -> None:
    """Of concurrent wishes one wins and the others are told; nothing parks."""
    order = await shop.payable({shop.apple: 1})
    answers = await asyncio.gather(*(shop.cancel(order) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [202, 409, 409, 409, 409, 409]
    await shop.until(order["order_id"], "cancelled")
    await shop.stock_is(shop.apple, 100)


async def test_pay_and_cancel_at_once(shop: Shop) -> None:
    """Whichever comes first, the order ends paid and on its way, or cancelled with all money back; never between."""
    orders = await asyncio.gather(*(shop.payable({shop.apple: 1}) for _ in range(8)))

    async def race(order: dict[str, object]) -> None:
        paid, cancelled = await asyncio.gather(shop.pay(order), shop.cancel(order))
        assert paid.status_code in (202, 409)
        assert cancelled.status_code in (202, 409)
        assert 202 in (paid.status_code, cancelled.status_code)
        page = await shop.until(str(order["order_id"]), "awaiting_picking", "cancelled")
        if cancelled.status_code == 202:
            assert page["phase"] == "cancelled"
            assert page["paid"] == page["refunded"]
        else:
            assert (page["phase"], page["paid"]) == ("awaiting_picking", page["total"])

    await asyncio.gather(*(race(order) for order in orders))
    sold = sum([(await shop.order(o["order_id"]))["phase"] == "awaiting_picking" for o in orders])
    await shop.stock_is(shop.apple, 100 - sold)
