"""Paid orders that go back: stopped in the store, called back from the road, not delivered, never seen again."""

import asyncio
from typing import Any

import httpx

from tests.system.driver import good, refused, until
from tests.system.shop import APPLE, MILK, Shop

REVERSED = ("sales_issue", "issue_reversal")


async def called_back(shop: Shop, order_id: str, by: str = "customer_service", **more: Any) -> httpx.Response:
    """Somebody asks for the courier to be called back."""
    body = {"order_id": order_id, "kind": "intercept", "reason": "the customer rang"}
    return await shop.stack.post("aftersales", "/tickets", body, by=by, **more)


async def inspect(shop: Shop, order_id: str, *lines: tuple[str, int, bool]) -> httpx.Response:
    """The storekeeper looks at what came back: SPU, pieces, whether they can be sold again."""
    body = {"lines": [{"spu": s, "quantity": q, "resellable": r} for s, q, r in lines]}
    return await shop.stack.post("logistics", f"/fulfilments/{order_id}/inspected", body, by="storekeeper")


async def standing(shop: Shop) -> dict[str, Any]:
    """What risk knows of the shop's account."""
    page: dict[str, Any] = await shop.stack.get("risk", f"/accounts/{shop.account}", "risk_analyst")
    return page


async def counts(shop: Shop, reason: str) -> None:
    """Waits until risk has heard of one cancel, for this reason."""

    async def there() -> bool:
        cancels: dict[str, int] = (await standing(shop))["cancels"]
        return cancels == {reason: 1}

    await until(there, f"risk to hear that {shop.account} cancelled: {reason}")


# -- before the courier has it -----------------------------------------------------------------------------------------


async def stopped(shop: Shop, order: dict[str, Any]) -> None:
    """The order was stopped: goods back, money back, papers written, and nobody can go on with it."""
    order_id = order["order_id"]
    assert "cancel" in (await shop.order(order_id))["allowed"]
    good(await shop.cancel(order))
    ended = await shop.ended(order_id, order["total"])
    assert (ended["reason"], ended["paid"]) == ("cancelled_by_customer", order["total"])
    assert [(r["amount"], r["liable"]) for r in ended["refunds"]] == [(order["total"], "customer")]
    issue, reversal = await shop.papers(order_id, *REVERSED)
    assert issue == reversal == {shop.apple: 2, shop.milk: 1}
    await shop.stock_is(shop.apple, 100)
    await shop.stock_is(shop.milk, 100)
    await counts(shop, "cancelled_by_customer")
    for verb, body, by in (
        ("start-picking", {}, "picker"),
        ("picked", {}, "picker"),
        ("packed", {}, "picker"),
        ("handed-over", {"courier": "c-1"}, "courier"),
        ("delivered", {}, "courier"),
        ("undeliverable", {"reason": "nobody at home"}, "courier"),
    ):
        answer = await shop.stack.post("logistics", f"/fulfilments/{order_id}/{verb}", body, by=by)
        refused(answer, 409, "fulfilment_stopped")
    refused(await shop.cancel(order), 409, "cancel_not_allowed")


async def test_cancel_before_picking(shop: Shop) -> None:
    """A paid order that nobody has begun with is stopped, put back and refunded."""
    await stopped(shop, await shop.paid({shop.apple: 2, shop.milk: 1}))


async def test_cancel_while_picking(shop: Shop) -> None:
    """The picker has begun: the same, and the picker is told."""
    order = await shop.paid({shop.apple: 2, shop.milk: 1})
    await shop.begin(order["order_id"])
    await stopped(shop, order)


async def test_cancel_when_packed(shop: Shop) -> None:
    """The bags are closed, and the courier has not come: still the same."""
    order = await shop.paid({shop.apple: 2, shop.milk: 1})
    await shop.begin(order["order_id"])
    await shop.pack(order["order_id"])
    await stopped(shop, order)


async def test_a_stopped_order_gives_its_place_back(shop: Shop) -> None:
    """Also an order that waits for its slot is stopped, and the place is free again."""
    slot = await shop.slot(in_s=3600, places=1)
    order = await shop.paid({shop.apple: 1}, slot=slot)
    await shop.fulfilment(order["order_id"], "waiting_for_slot")
    good(await shop.cancel(order))
    await shop.ended(order["order_id"], order["total"])

    async def freed() -> bool:
        return await shop.reserved() == 0

    await until(freed, "the place to be given back")
    await shop.stock_is(shop.apple, 100)


async def test_cancel_against_the_hand_over(shop: Shop) -> None:
    """Whoever comes first wins: the order ends refunded in the store, or goes its way; the other is told."""

    async def race() -> str:
        order = await shop.paid({shop.apple: 1})
        order_id = order["order_id"]
        await shop.begin(order_id)
        await shop.pack(order_id)
        path, courier = f"/fulfilments/{order_id}/handed-over", {"courier": "c-1"}
        over, cancelled = await asyncio.gather(
            shop.stack.post("logistics", path, courier, by="courier"), shop.cancel(order)
        )
        if over.status_code == 409:
            refused(over, 409, "fulfilment_stopped")
            await shop.ended(order_id, order["total"])
            return "cancelled"
        good(over)
        assert cancelled.status_code == 202 or refused(cancelled, 409, "cancel_needs_ticket")
        await shop.until(order_id, "in_delivery")
        await shop.work(order_id, "delivered", by="courier")
        ended = await shop.until(order_id, "delivered", "closed")
        assert ended["refunded"] == 0
        return "delivered"

    ends = [end for _ in range(2) for end in await asyncio.gather(*(race() for _ in range(3)))]
    await shop.stock_is(shop.apple, 100 - ends.count("delivered"))


async def test_a_refund_that_the_gateway_refuses(shop: Shop) -> None:
    """The order ends all the same, the goods go back, and customer service sees to the money."""
    order = await shop.payable({shop.apple: 1})
    order_id = order["order_id"]
    good(await shop.pay(order, "tok_no_refund"))
    await shop.until(order_id, "awaiting_picking")
    good(await shop.cancel(order))
    ended = await shop.ended(order_id, 0)
    assert ended["paid"] == order["total"]
    await shop.stock_is(shop.apple, 100)
    ticket = await shop.ticket(order_id, "refund_failed", "open")
    path = f"/tickets/{ticket['ticket_id']}"
    refused(await shop.call(ticket, "drop"), 409, "ticket_not_a_call")
    refused(await shop.stack.post("aftersales", f"{path}/approve", {}, by=shop.customer), 403)
    good(await shop.stack.post("aftersales", f"{path}/approve", {}, by="customer_service"))
    assert (await shop.ticket(order_id, "refund_failed", "resolved"))["note"] == "approved"
    refused(await shop.stack.post("aftersales", f"{path}/reject", {"reason": "no"}, by="admin"), 409, "ticket_closed")
    # Approved means: ask once more. This gateway refuses again, and the next ticket ends with cash.
    again = await shop.ticket(order_id, "refund_failed", "open")
    assert again["ticket_id"] != ticket["ticket_id"]
    body = {"reason": "paid in cash"}
    good(await shop.stack.post("aftersales", f"/tickets/{again['ticket_id']}/reject", body, by="customer_service"))
    assert (await shop.ticket(order_id, "refund_failed", "rejected"))["note"] == "paid in cash"
    assert (await shop.order(order_id))["refunded"] == 0


# -- on the road -------------------------------------------------------------------------------------------------------


async def test_nobody_cancels_what_is_on_the_road(shop: Shop) -> None:
    """In delivery it takes a ticket, and only customer service opens one; a customer's wish moves nothing."""
    order = await shop.on_the_road({shop.apple: 1})
    order_id = order["order_id"]
    refused(await shop.cancel(order), 409, "cancel_needs_ticket")
    refused(await shop.cancel(order, by="customer_service"), 409, "cancel_needs_ticket")
    refused(await called_back(shop, order_id, by=shop.customer), 403)
    refused(await called_back(shop, order_id, by="courier"), 403)
    page = await shop.order(order_id)
    assert (page["phase"], "intercept" in page["allowed"]) == ("in_delivery", True)
    await shop.work(order_id, "delivered", by="courier")


async def test_a_courier_who_is_called_back_in_time(shop: Shop) -> None:
    """Caught: the goods come back, are restocked, the money goes back. It is no cancel of the customer's."""
    order = await shop.on_the_road({shop.apple: 2})
    order_id = order["order_id"]
    opened = good(await called_back(shop, order_id))
    assert (await shop.ticket(order_id, "intercept", "resolved"))["note"] == "caught"
    await shop.until(order_id, "returning")
    refused(await called_back(shop, "o-nobody" + order_id[-4:], by="courier"), 403)
    path = f"/tickets/{opened['ticket_id']}/approve"
    refused(await shop.stack.post("aftersales", path, {}, by="customer_service"), 409, "ticket_closed")
    late = await shop.stack.post("logistics", f"/fulfilments/{order_id}/delivered", {}, by="courier")
    refused(late, 409, "fulfilment_not_on_the_road")
    refused(await shop.cancel(order), 409, "cancel_not_allowed")
    await shop.work(order_id, "goods-back", by="courier")
    good(await inspect(shop, order_id, (shop.apple, 2, True)))
    ended = await shop.ended(order_id, order["total"])
    assert ended["reason"] == "intercepted"
    issue, receipt = await shop.papers(order_id, "sales_issue", "return_receipt")
    assert issue == receipt == {shop.apple: 2}
    await shop.stock_is(shop.apple, 100)
    assert (await standing(shop))["cancels"] == {}


async def test_a_courier_who_is_called_back_too_late(shop: Shop) -> None:
    """The customer has the goods: the ticket says so and offers a return; the order goes its way."""
    order = await shop.on_the_road({shop.apple: 1})
    order_id = order["order_id"]
    await shop.work(order_id, "delivered", by="courier")
    good(await called_back(shop, order_id))
    ticket = await shop.ticket(order_id, "intercept", "resolved")
    assert (ticket["note"].startswith("too_late"), ticket["offers"]) == (True, ["return"])
    closed = await shop.until(order_id, "closed")
    assert closed["refunded"] == 0
    await shop.stock_is(shop.apple, 99)


async def test_called_back_at_the_door(shop: Shop) -> None:
    """Intercept against delivery: the ticket and the order agree on who came first."""

    async def race() -> None:
        order_id = (await shop.on_the_road({shop.apple: 1}))["order_id"]
        path = f"/fulfilments/{order_id}/delivered"
        opened, rung = await asyncio.gather(
            called_back(shop, order_id), shop.stack.post("logistics", path, {}, by="courier")
        )
        good(opened)
        ticket = await shop.ticket(order_id, "intercept", "resolved")
        if rung.status_code == 409:
            assert ticket["note"] == "caught"
            await shop.until(order_id, "returning")
            await shop.work(order_id, "goods-back", by="courier")
            good(await inspect(shop, order_id, (shop.apple, 1, True)))
            await shop.until(order_id, "cancelled")
        else:
            assert ticket["note"].startswith("too_late")
            await shop.until(order_id, "delivered", "closed")

    await asyncio.gather(*(race() for _ in range(4)))


async def test_a_ticket_for_no_order_and_for_one_in_the_store(shop: Shop) -> None:
    """Where there is no courier to call back, the ticket says why not; without an order, the answer does as well."""
    order_id = (await shop.paid({shop.apple: 1}))["order_id"]
    good(await called_back(shop, order_id))
    assert (await shop.ticket(order_id, "intercept", "rejected"))["note"] == "not_in_delivery"

    async def told() -> httpx.Response | None:
        answer = await called_back(shop, f"no-{order_id}", key=f"k-{order_id}")
        return None if answer.status_code == 202 else answer  # on a busy machine the word may come late

    refused(await until(told, "word that there is no such order"), 404, "order_unknown")
    assert (await shop.ticket(f"no-{order_id}", "intercept", "rejected"))["note"] == "order_unknown"
    body = {"order_id": order_id, "kind": "return", "lines": []}
    answer = await shop.stack.post("aftersales", "/tickets", body, by="customer_service")
    refused(answer, 422, "lines_needed")
    assert (await shop.order(order_id))["phase"] == "awaiting_picking"


async def test_goods_that_could_not_be_delivered(shop: Shop) -> None:
    """They come back and are looked at piece by piece: shelf, damage report, written off. The customer gets all money,
    and risk hears of it. What cannot be is refused and changes nothing."""
    order = await shop.on_the_road({shop.apple: 3, shop.milk: 2})
    order_id = order["order_id"]
    refused(await inspect(shop, order_id, (shop.apple, 3, True)), 409, "fulfilment_not_returned")
    path = f"/fulfilments/{order_id}"
    refused(await shop.stack.post("logistics", f"{path}/undeliverable", {}, by="courier"), 422)
    refused(await shop.stack.post("logistics", f"{path}/undeliverable", {"reason": "x"}, by="picker"), 403)
    await shop.work(order_id, "undeliverable", {"reason": "nobody at home"}, by="courier")
    await shop.until(order_id, "returning")
    refused(await inspect(shop, order_id, (shop.apple, 3, True)), 409, "fulfilment_not_returned")
    elsewhere = await shop.stack.post("logistics", f"{path}/goods-back", {}, by="courier@elsewhere")
    refused(elsewhere, 403, "wrong_store")
    await shop.work(order_id, "goods-back", by="courier")
    refused(await inspect(shop, order_id, (shop.apple, 4, True)), 422, "more_than_sent")
    refused(await inspect(shop, order_id, (shop.apple, 2, True), (shop.apple, 2, False)), 422, "more_than_sent")
    refused(await inspect(shop, order_id, ("a-stone", 1, True)), 422, "line_unknown")
    refused(await inspect(shop, order_id, (shop.apple, 0, True)), 422)
    assert await shop.stock(shop.apple) == (97, 0)
    # Two apples are good, one is damaged; one milk is good, one is missing.
    good(await inspect(shop, order_id, (shop.apple, 2, True), (shop.apple, 1, False), (shop.milk, 1, True)))
    refused(await inspect(shop, order_id, (shop.apple, 1, True)), 409, "already_inspected")
    ended = await shop.ended(order_id, 3 * APPLE + 2 * MILK)
    assert ended["reason"] == "not_reachable"
    _, receipt, damaged, missing = await shop.papers(
        order_id, "sales_issue", "return_receipt", "damage_report", "damage_report"
    )
    assert receipt == {shop.apple: 2, shop.milk: 1}
    assert (damaged, missing) == ({shop.apple: 1}, {shop.milk: 1})
    await shop.stock_is(shop.apple, 99)
    await shop.stock_is(shop.milk, 99)
    await counts(shop, "not_reachable")


async def test_goods_that_never_come_back(shop: Shop) -> None:
    """The window decides: refunded, written off, a ticket for customer service. If they come after all, what can be
    sold is restocked, and no money moves again."""
    lost, late = [o["order_id"] for o in await asyncio.gather(*(shop.on_the_road({shop.apple: 2}) for _ in range(2)))]
    for order_id in (lost, late):
        await shop.work(order_id, "undeliverable", {"reason": "no such door"}, by="courier")
    for order_id in (lost, late):
        ended = await shop.ended(order_id, 2 * APPLE)
        assert ended["reason"] == "not_reachable"
        _, missing = await shop.papers(order_id, "sales_issue", "damage_report")
        assert missing == {shop.apple: 2}
        ticket = await shop.ticket(order_id, "missing_goods", "open")
        assert ticket["lines"] == [{"spu": shop.apple, "quantity": 2}]
        good(await shop.stack.post("aftersales", f"/tickets/{ticket['ticket_id']}/approve", {}, by="customer_service"))
    await shop.stock_is(shop.apple, 96)
    await shop.work(late, "goods-back", by="courier")
    good(await inspect(shop, late, (shop.apple, 1, True), (shop.apple, 1, False)))
    papers = await shop.papers(late, "sales_issue", "damage_report", "return_receipt", "damage_report")
    assert papers[2:] == [{shop.apple: 1}, {shop.apple: 1}]
    await shop.stock_is(shop.apple, 97)
    assert (await shop.order(late))["refunded"] == 2 * APPLE


# -- stores ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_stops_accepting(shop: Shop) -> None:
    """It takes no new orders, and finishes those that it has."""
    begun, unpaid = await shop.paid({shop.apple: 1}), await shop.payable({shop.apple: 1})
    page = next(s for s in (await shop.stack.get("order", "/stores?limit=200"))["items"] if s["store"] == shop.store)
    body = {"name": page["name"], "area": page["area"]}
    await shop.stack.put("order", f"/stores/{shop.store}", {**body, "accepting": False})
    refused(await shop.place({shop.apple: 1}), 409, "store_not_accepting")
    good(await shop.pay(unpaid))
    await shop.until(unpaid["order_id"], "awaiting_picking")
    await shop.deliver(begun["order_id"])
    await shop.deliver(unpaid["order_id"])
    await shop.stack.put("order", f"/stores/{shop.store}", {**body, "accepting": True})
    await shop.payable({shop.apple: 1})


async def test_a_count_that_finds_less_than_is_promised(shop: Shop) -> None:
    """The newest orders lose their pieces, the older ones keep theirs; nothing is ever below zero."""
    path = f"/stores/{shop.store}/adjustments"

    async def count(delta: int) -> httpx.Response:
        body = {"lines": [{"spu": shop.apple, "delta": delta}], "reason": "counted"}
        return await shop.stack.post("inventory", path, body, by="storekeeper")

    old = await shop.payable({shop.apple: 40})
    new = await shop.payable({shop.apple: 30, shop.milk: 5})
    newest = await shop.payable({shop.apple: 20})
    assert await shop.stock(shop.apple) == (100, 90)
    refused(await count(-101), 409, "adjustment_below_zero")
    assert await shop.stock(shop.apple) == (100, 90)
    good(await count(-40))
    for order in (new, newest):
        ended = await shop.until(order["order_id"], "cancelled")
        assert (ended["reason"], ended["paid"]) == ("stock_lost", 0)
    await shop.stock_is(shop.apple, 60, 40)
    await shop.stock_is(shop.milk, 100)
    good(await shop.pay(old))
    await shop.until(old["order_id"], "awaiting_picking")
    await shop.stock_is(shop.apple, 20)
    assert (await standing(shop))["cancels"] == {}
