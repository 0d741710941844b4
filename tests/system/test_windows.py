"""What takes its time: windows, deadlines, slots and slow gateways, all waited for at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.system.conftest import WINDOWS
from tests.system.driver import LOOK_S, Stack, good, refused, until
from tests.system.shop import Shop, attempts, block

GATEWAY_TIMEOUT_S = WINDOWS["gateway_timeout_s"]


async def a_closed_order_is_over(shop: Shop) -> None:
    """After the window nothing can be done to an order any more."""
    order = await shop.paid({shop.apple: 1})
    await shop.deliver(order["order_id"])
    await shop.until(order["order_id"], "closed")
    refused(await shop.cancel(order), 409, "cancel_not_allowed")
    refused(await shop.pay(order), 409, "order_not_payable")
    refused(await shop.stack.post("logistics", f"/fulfilments/{order['order_id']}/delivered", {}, by="courier"), 409)


async def unpaid_orders_end_with_their_window(shop: Shop) -> None:
    """Nobody paid: cancelled, hold given back; a card that was declined does not prolong the window; too late is too
    late."""
    await block(shop, "restrict", value=f"{shop.account}-r")
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


async def a_charge_under_way_beats_the_window(shop: Shop) -> None:
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


async def a_wish_while_paying_is_kept(shop: Shop) -> None:
    """The money's answer settles it: what came goes back in full, what did not come need not; the stock is free."""
    taken, timed_out, given_up, declined = await asyncio.gather(*(shop.payable({shop.apple: 1}) for _ in range(4)))
    total = taken["total"]

    async def wish(order: dict[str, Any], method: str) -> None:
        good(await shop.pay(order, method))
        await shop.until(order["order_id"], "paying")
        assert good(await shop.cancel(order))["phase"] == "paying_cancel_wanted"
        refused(await shop.cancel(order), 409, "cancel_under_way")
        refused(await shop.pay(order), 409, "payment_under_way")
        ended = await shop.ended(order["order_id"], total)
        assert (ended["reason"], ended["paid"], ended["documents"]) == ("cancelled_by_customer", total, [])

    await asyncio.gather(
        wish(taken, f"tok_slow:{GATEWAY_TIMEOUT_S * 0.9}"), wish(timed_out, "tok_slow:20"), wish(given_up, "tok_late:6")
    )
    assert [r["liable"] for r in (await shop.order(taken["order_id"]))["refunds"]] == ["customer"]
    good(await shop.cancel(declined))
    await shop.stock_is(shop.apple, 100)


async def an_order_that_ends_early_gives_its_place_back(shop: Shop) -> None:
    """Unpaid, short and refused orders must not keep a place in a slot."""
    slot = await shop.slot(in_s=3600, places=3)
    short = await shop.placed({shop.apple: 101}, "rejected", slot=slot)
    assert short["reason"] == "out_of_stock"
    unpaid = await shop.payable({shop.apple: 1}, slot=slot)
    ended = await shop.until(unpaid["order_id"], "cancelled")
    assert ended["reason"] == "payment_expired"

    async def freed() -> bool:
        return await shop.reserved() == 0

    await until(freed, "both places to be given back")
    await shop.stock_is(shop.apple, 100)


async def a_paid_order_waits_until_its_slot_begins(shop: Shop) -> None:
    """Before the slot nobody can pick it; when the slot begins it is queued and goes its way."""
    slot = await shop.slot(in_s=4, places=1)
    order = await shop.paid({shop.apple: 1}, slot=slot)
    order_id = order["order_id"]
    await shop.fulfilment(order_id, "waiting_for_slot")
    refused(await shop.stack.post("logistics", f"/fulfilments/{order_id}/start-picking", {}, by="picker"), 409)
    queued = await shop.fulfilment(order_id, "queued")
    assert datetime.fromisoformat(queued["queued_at"]) >= datetime.fromisoformat(slot["start"])
    await shop.deliver(order_id)


async def nobody_deciding_means_restrict(shop: Shop) -> None:
    """The deadline decides; a review that was cancelled waits for nobody."""
    await block(shop, "refer")
    order, unwanted = await asyncio.gather(*(shop.placed({shop.apple: 1}, "in_review") for _ in range(2)))
    good(await shop.cancel(unwanted))
    await shop.until(unwanted["order_id"], "cancelled")
    decided = await shop.until(order["order_id"], "awaiting_payment")
    assert decided["hold_mode"] == "on_payment"
    open_now = await shop.stack.get("risk", "/reviews?limit=200", "risk_analyst")
    assert {order["order_id"], unwanted["order_id"]}.isdisjoint(r["order_id"] for r in open_now["items"])


async def money_that_was_given_up_goes_back_when_it_comes(shop: Shop) -> None:
    """A charge that is not known of is given up, and may be tried again; its late money is refunded, whatever has
    become of the order, and revives nothing."""
    again, cancelled, unpaid = await asyncio.gather(*(shop.payable({shop.apple: 1}) for _ in range(3)))
    for order, seconds in ((again, 5), (cancelled, 5), (unpaid, 10)):
        good(await shop.pay(order, f"tok_late:{seconds}"))
    for order in (again, cancelled, unpaid):
        given_up = await shop.until(order["order_id"], "awaiting_payment")
        assert given_up["paid"] == 0
        assert await attempts(shop, order["order_id"]) == ["given_up"]
    good(await shop.pay(again))
    good(await shop.cancel(cancelled))
    await shop.until(again["order_id"], "awaiting_picking")
    ended = await shop.until(cancelled["order_id"], "cancelled")
    assert ended["paid"] == 0

    async def back(order_id: str, phase: str, paid: int, refunded: int) -> None:
        async def there() -> bool:
            page = await shop.order(order_id)
            return (page["phase"], page["paid"], page["refunded"]) == (phase, paid, refunded)

        await until(there, f"{order_id} to be {phase} with {paid} paid and {refunded} back")

    total = again["total"]
    await back(again["order_id"], "awaiting_picking", 2 * total, total)
    await back(cancelled["order_id"], "cancelled", total, total)
    expired = await shop.until(unpaid["order_id"], "cancelled")
    assert expired["reason"] == "payment_expired"
    await back(unpaid["order_id"], "cancelled", total, total)
    refused(await shop.pay(unpaid), 409, "order_not_payable")
    await shop.stock_is(shop.apple, 99)


async def a_gateway_that_is_slow_is_asked_once(shop: Shop) -> None:
    """An answer later than the timeout is asked for, and the money is taken once."""
    quick, slow = await asyncio.gather(*(shop.payable({shop.apple: 1}) for _ in range(2)))
    good(await shop.pay(quick, "tok_slow:0.5"))
    good(await shop.pay(slow, "tok_slow:20"))
    for order in (quick, slow):
        paid = await shop.until(order["order_id"], "awaiting_picking")
        assert [p["amount"] for p in paid["payments"]] == [paid["total"]]
        assert await attempts(shop, order["order_id"]) == ["taken"]


SCENARIOS: list[Callable[[Shop], Awaitable[None]]] = [
    a_closed_order_is_over,
    unpaid_orders_end_with_their_window,
    a_charge_under_way_beats_the_window,
    a_wish_while_paying_is_kept,
    an_order_that_ends_early_gives_its_place_back,
    a_paid_order_waits_until_its_slot_begins,
    nobody_deciding_means_restrict,
    money_that_was_given_up_goes_back_when_it_comes,
    a_gateway_that_is_slow_is_asked_once,
]


@pytest.fixture(scope="module")
async def begun(stack: Stack) -> dict[object, asyncio.Task[None]]:
    """All scenarios, each in a shop of its own."""

    async def run(scenario: Callable[[Shop], Awaitable[None]]) -> None:
        await scenario(await Shop(stack).open())

    return {scenario: asyncio.create_task(run(scenario)) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_in_time(begun: dict[object, asyncio.Task[None]], scenario: object) -> None:
    """What the scenario's own first line says."""
    await begun[scenario]
