"""Risk: both hold modes from end to end, the blocklist, reviews, and the switch."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.system.driver import Stack, good, refused, until
from tests.system.shop import Shop, block

SIGNALS_AGE_S = 15
"""They are some seconds old at most, or there is a sign of life."""


async def test_who_is_refused_is_rejected_and_not_told_why(shop: Shop) -> None:
    """A refused account's order ends as rejected; that there is a list, and why, is nobody's business outside."""
    await block(shop, "refuse")
    order = await shop.placed({shop.apple: 1}, "rejected")
    assert order["reason"] == "refused_by_risk"
    assert "seen before" not in str(order)
    assert await shop.stock(shop.apple) == (100, 0)
    good(await shop.stack.ask("DELETE", "risk", f"/blocklist/account/{shop.account}", by="risk_analyst"))
    await shop.payable({shop.apple: 1})


async def test_devices_and_addresses_are_known_too(shop: Shop) -> None:
    """The strongest treatment counts, whatever it hangs on; an entry that is over counts no more."""
    await block(shop, "restrict", "address", f"{shop.store} Lane 1")
    await block(shop, "refuse", "device", f"d-{shop.store}")
    over = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await block(shop, "refuse", until=over)
    restricted = await shop.payable({shop.apple: 1}, delivery=shop.door())
    assert restricted["hold_mode"] == "on_payment"
    await shop.placed({shop.apple: 1}, "rejected", delivery=shop.door(), device=f"d-{shop.store}")
    assert (await shop.payable({shop.apple: 1}))["hold_mode"] == "lock"


async def test_who_is_restricted_pays_first(shop: Shop) -> None:
    """`on_payment`: nothing is locked before the money is in, and then it is deducted."""
    await block(shop, "restrict")
    order = await shop.payable({shop.apple: 3})
    assert order["hold_mode"] == "on_payment"
    assert await shop.stock(shop.apple) == (100, 0)
    good(await shop.pay(order))
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert [d["kind"] for d in paid["documents"]] == ["sales_issue"]
    assert await shop.stock(shop.apple) == (97, 0)
    await shop.deliver(order["order_id"])
    await shop.until(order["order_id"], "closed")


async def test_two_buyers_for_the_last_piece(empty_shop: Shop) -> None:
    """First paid, first served: one gets it, the other is cancelled as sold out, with all his money back."""
    shop = empty_shop
    await shop.receive({shop.apple: 1})
    await block(shop, "restrict")
    await block(shop, "restrict", value=f"{shop.account}-2")
    orders = [
        await shop.payable({shop.apple: 1}),
        await shop.payable({shop.apple: 1}, by=f"customer:{shop.account}-2"),
    ]
    # Slow cards: both are charged before either is known to have paid.
    for answer in await asyncio.gather(*(shop.pay(order, "tok_slow:0.7") for order in orders)):
        good(answer)
    ended = [await shop.until(o["order_id"], "awaiting_picking", "cancelled") for o in orders]
    (winner,) = (o for o in ended if o["phase"] == "awaiting_picking")
    (loser,) = (o for o in ended if o["phase"] == "cancelled")
    assert (winner["paid"], winner["refunded"]) == (winner["total"], 0)
    assert (loser["reason"], loser["paid"], loser["refunded"]) == ("sold_out", loser["total"], loser["total"])
    assert loser["short"] == [{"spu": shop.apple, "missing": 1}]
    assert loser["refunds"][0]["liable"] == "store"
    assert loser["documents"] == []
    await shop.stock_is(shop.apple, 0)


async def test_gone_before_the_click_costs_nothing(empty_shop: Shop) -> None:
    """Stock is verified before money moves: who comes too late is cancelled and was never charged."""
    shop = empty_shop
    await shop.receive({shop.apple: 1})
    await block(shop, "restrict")
    first, late = await shop.payable({shop.apple: 1}), await shop.payable({shop.apple: 1})
    good(await shop.pay(first))
    await shop.until(first["order_id"], "awaiting_picking")
    good(await shop.pay(late))
    ended = await shop.until(late["order_id"], "cancelled")
    assert (ended["reason"], ended["paid"], ended["payments"]) == ("sold_out", 0, [])
    assert ended["short"] == [{"spu": shop.apple, "missing": 1}]


async def test_a_person_decides_what_is_referred(shop: Shop) -> None:
    """Each verdict takes the order its way; a second one comes too late."""
    await block(shop, "refer")
    outcomes = {
        "clear": ("awaiting_payment", "lock"),
        "restrict": ("awaiting_payment", "on_payment"),
        "refuse": ("rejected", None),
    }
    orders = await asyncio.gather(*(shop.placed({shop.apple: 1}, "in_review") for _ in outcomes))
    reviews = await shop.stack.get("risk", "/reviews?limit=200", "risk_analyst")
    assert {o["order_id"] for o in orders} <= {r["order_id"] for r in reviews["items"]}
    for order, (verdict, (phase, mode)) in zip(orders, outcomes.items(), strict=True):
        assert order["allowed"] == ["cancel"]
        path, body = f"/reviews/{order['order_id']}", {"verdict": verdict, "note": "looked at it"}
        refused(await shop.stack.post("risk", path, body, by=shop.customer), 403)
        good(await shop.stack.post("risk", path, body, by="risk_analyst"))
        decided = await shop.until(order["order_id"], phase)
        assert decided["hold_mode"] == mode
        refused(await shop.stack.post("risk", path, body, by="risk_analyst"), 409, "review_not_open")
    refused(await shop.stack.post("risk", "/reviews/o-nobody", {"verdict": "clear", "note": ""}), 404, "review_unknown")
    refused(await shop.stack.post("risk", f"/reviews/{orders[0]['order_id']}", {"verdict": "maybe"}), 422)


async def test_switched_off_risk_is_no_open_door(shop: Shop) -> None:
    """With the switch off every order is `on_payment`, known accounts included; on again, all is as before."""
    refused(await shop.stack.ask("PUT", "risk", "/switch", {"on": False}, by=shop.customer), 403)
    refused(await shop.stack.ask("PUT", "risk", "/switch", {"on": "no"}), 422)
    await shop.stack.put("risk", "/switch", {"on": False}, "risk_analyst")
    try:
        order = await shop.payable({shop.apple: 1})
        assert order["hold_mode"] == "on_payment"
        good(await shop.pay(order))
        await shop.until(order["order_id"], "awaiting_picking")
    finally:
        await shop.stack.put("risk", "/switch", {"on": True}, "risk_analyst")
    assert (await shop.payable({shop.apple: 1}))["hold_mode"] == "lock"


async def test_staff_see_what_risk_said_and_customers_do_not(shop: Shop) -> None:
    """On the order's page: the verdict, its code and the rules; for its customer, that the order was screened."""
    clear = await shop.payable({shop.apple: 1})
    await block(shop, "restrict")
    restricted = await shop.payable({shop.apple: 1})
    for order, verdict, reason in ((clear, "clear", ""), (restricted, "restrict", "account_restricted")):
        page = f"/orders/{order['order_id']}"
        seen = (await shop.stack.get("order", page, "customer_service"))["screening"]
        assert (seen["verdict"], seen["reason"], seen["rules"]) == (verdict, reason, [])
        own = await shop.stack.get("order", page, shop.customer)
        assert own["screening"] is None
        assert "OrderScreened" in [entry["message"] for entry in own["timeline"]]
        assert not {"OrderCleared", "OrderRestricted"} & {entry["message"] for entry in own["timeline"]}


async def test_everybody_sees_that_risk_is_switched_off(shop: Shop) -> None:
    """Who, and since when: in /healthz; on the pages of orders that it meant."""
    await shop.stack.put("risk", "/switch", {"on": False}, "risk_analyst")
    try:
        order = await shop.payable({shop.apple: 1})
        health = good(await shop.stack.ask("GET", "risk", "/healthz", by=None))
        assert health["switch"]["on"] is False
        assert health["switch"]["changed_by"].startswith("risk_analyst:")
        page = await shop.stack.get("order", f"/orders/{order['order_id']}", "customer_service")
        assert page["screening"]["reason"] == "risk_switched_off"
    finally:
        await shop.stack.put("risk", "/switch", {"on": True}, "risk_analyst")
    assert good(await shop.stack.ask("GET", "risk", "/healthz", by=None))["switch"]["on"] is True


async def test_who_cancels_again_and_again_locks_no_stock(shop: Shop) -> None:
    """The whole circle through the stream application: cancels are counted, the rule speaks, and the next order's stock
    is deducted on payment. Another account is as free as ever."""
    for _ in range(8):
        order = await shop.payable({shop.apple: 1})
        good(await shop.cancel(order))

    async def restricted() -> dict[str, Any] | None:
        order = await shop.payable({shop.apple: 1})
        return order if order["hold_mode"] == "on_payment" else None

    order = await until(restricted, "the rule speaks")
    page = await shop.stack.get("order", f"/orders/{order['order_id']}", "customer_service")
    screening = await shop.stack.get("risk", f"/screenings/{order['order_id']}", "risk_analyst")
    assert "cancelled_orders" in {rule["name"] for rule in screening["rules"]}
    # Orders of the wait expire: with that rule as well, a person is asked first, and nobody decides.
    assert page["screening"]["reason"] in ("rules_restricted", "review_overdue")
    assert (await shop.payable({shop.apple: 1}, by=f"customer:{shop.account}-2"))["hold_mode"] == "lock"
    health = good(await shop.stack.ask("GET", "risk", "/healthz", by=None))
    assert health["signals"]["age_seconds"] < SIGNALS_AGE_S


async def test_the_blocklist_is_for_analysts(stack: Stack) -> None:
    """Others may neither read nor write it, and nonsense is told."""
    for who in ("customer:a-1", "picker", "customer_service"):
        refused(await stack.ask("GET", "risk", "/blocklist", by=who), 403)
        refused(await stack.ask("PUT", "risk", "/blocklist/account/a-9", {"reason": "x"}, by=who), 403)
    refused(await stack.ask("PUT", "risk", "/blocklist/person/a-9", {"reason": "x"}), 422)
    refused(await stack.ask("PUT", "risk", "/blocklist/account/a-9", {"reason": "x", "treatment": "shout"}), 422)
    refused(await stack.ask("DELETE", "risk", "/blocklist/account/never-seen"), 404, "entry_unknown")
