"""An order that is not wanted, or not paid: at every point before its payment, and while it is under way."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.system.conftest import WINDOWS
from tests.system.driver import LOOK_S, good, refused
from tests.system.shop import Shop

GATEWAY_TIMEOUT_S = WINDOWS["gateway_timeout_s"]


async def test_unpaid_orders_end_with_their_window(shop: Shop) -> None:
    """Nobody paid: cancelled, hold given back; a card that was declined does not prolong the window; too late is too
    late."""
    await shop.stack.put("risk", f"/blocklist/account/{shop.account}-r", {"reason": "x", "treatment": "restrict"})
    locked, declined, restricted = await asyncio.gather(
        shop.payable({shop.apple: 4, shop.milk: 1}),
        shop.payable({shop.apple: 1}),
        shop.payable({shop.apple: 1}, by=f"customer:{shop.account}-r"),
    )
    good(await shop.pay(declined, "tok_declined"))
    assert await shop.stock(shop.apple) == (100, 5)
    for order in (locked, declined, restricted):
        ended = await shop.until(order["order_id"], "cancelled")
        assert (ended["reason"], ended["paid"], ended["allowed"]) == ("payment_expired", 0, [])
        refused(await shop.pay(order), 409, "order_not_payable")
        refused(await shop.cancel(order), 409, "cancel_not_allowed")
    await shop.stock_is(shop.apple, 100)
    await shop.stock_is(shop.milk, 100)


async def test_a_charge_under_way_beats_the_window(shop: Shop) -> None:
    """While the gateway is asked, expiry waits for its answer: money that was clicked for in time counts."""
    order = await shop.payable({shop.apple: 1})
    over = datetime.fromisoformat(order["payable_until"])
    # The click comes while the window is open, and the money when it is over.
    while (over - datetime.now(UTC)).total_seconds() > GATEWAY_TIMEOUT_S * 0.6:
        await asyncio.sleep(LOOK_S)
    good(await shop.pay(order, f"tok_slow:{GATEWAY_TIMEOUT_S * 0.9}"))
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert datetime.fromisoformat(paid["timeline"][-2]["at"]) > over
    assert (paid["paid"], paid["refunded"]) == (paid["total"], 0)


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
    assert await shop.reserved() == 0


async def test_six_cancels_cancel_once(shop: Shop) -> None:
    """Of concurrent wishes one wins and the others are told; nothing parks."""
    order = await shop.payable({shop.apple: 1})
    answers = await asyncio.gather(*(shop.cancel(order) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [202, 409, 409, 409, 409, 409]
    await shop.until(order["order_id"], "cancelled")
    await shop.stock_is(shop.apple, 100)


async def test_a_wish_while_paying_is_kept(shop: Shop) -> None:
    """The money's answer settles it: what came goes back in full, what did not come need not; the stock is free."""
    taken, timed_out, given_up, declined = await asyncio.gather(*(shop.payable({shop.apple: 1}) for _ in range(4)))
    total = taken["total"]
    wishes = ((taken, "tok_slow:1"), (timed_out, "tok_slow:3"), (given_up, "tok_late:4"))
    for order, method in wishes:
        good(await shop.pay(order, method))
        await shop.until(order["order_id"], "paying")
        assert good(await shop.cancel(order))["phase"] == "paying_cancel_wanted"
        refused(await shop.cancel(order), 409, "cancel_under_way")
        refused(await shop.pay(order), 409, "payment_under_way")
    for order, _ in wishes:
        ended = await shop.ended(order["order_id"], total)
        assert (ended["reason"], ended["paid"], ended["documents"]) == ("cancelled_by_customer", total, [])
    assert [r["liable"] for r in (await shop.order(taken["order_id"]))["refunds"]] == ["customer"]
    good(await shop.cancel(declined))
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


async def test_a_paid_order_cannot_be_cancelled_yet(shop: Shop) -> None:
    """The ways back after payment come later: until then the wish is refused, and nothing moves."""
    order = await shop.paid({shop.apple: 1})
    refused(await shop.cancel(order), 409, "cancel_not_allowed")
    assert (await shop.order(order["order_id"]))["phase"] == "awaiting_picking"
