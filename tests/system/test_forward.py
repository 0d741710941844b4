"""An order's way from the basket to its close, and what its pages tell of it."""

import asyncio
import json
from datetime import datetime

import pytest

from shared.settings import PROCESSES, SERVICES
from tests.system.driver import Stack, good, refused, until
from tests.system.shop import APPLE, MILK, Shop

PAGE = {
    *("order_id", "kind", "phase", "store", "account", "lines", "total", "currency", "paid", "refunded", "hold_mode"),
    *("payable_until", "reason", "delivery", "slot", "short", "replaces", "replacements", "tickets", "documents"),
    *("payments", "refunds", "timeline", "allowed"),
}
WAY = [
    "screening",
    "holding",
    "awaiting_payment",
    "verifying",
    "paying",
    "deducting",
    "awaiting_picking",
    "picking",
    "awaiting_shipment",
    "in_delivery",
    "delivered",
    "closed",
]


async def test_an_order_goes_from_basket_to_closed(shop: Shop) -> None:
    """Everything that the order's page shows must add up, and its stock, documents and money with it."""
    order = await shop.payable({shop.apple: 2, shop.milk: 1}, expected_total=2 * APPLE + MILK)
    assert set(order) >= PAGE
    assert (order["kind"], order["store"], order["account"]) == ("sales", shop.store, shop.account)
    assert (order["total"], order["paid"], order["hold_mode"]) == (2 * APPLE + MILK, 0, "lock")
    asked = ("spu", "quantity", "unit_price", "discount", "total")
    assert [{name: line[name] for name in asked} for line in order["lines"]] == [
        {"spu": shop.apple, "quantity": 2, "unit_price": APPLE, "discount": 0, "total": 2 * APPLE},
        {"spu": shop.milk, "quantity": 1, "unit_price": MILK, "discount": 0, "total": MILK},
    ]
    assert await shop.stock(shop.apple) == (100, 2)
    order_id = order["order_id"]
    good(await shop.pay(order))
    await shop.deliver(order_id)
    closed = await shop.until(order_id, "closed")
    assert (closed["paid"], closed["refunded"], closed["reason"], closed["allowed"]) == (order["total"], 0, None, [])
    assert [e["phase"] for e in closed["timeline"]] == WAY
    assert all(datetime.fromisoformat(e["at"]).tzinfo for e in closed["timeline"])
    assert closed["timeline"][0]["actor"] == shop.customer
    assert [(d["kind"], d["lines"]) for d in closed["documents"]] == [
        ("sales_issue", [{"spu": shop.apple, "quantity": 2}, {"spu": shop.milk, "quantity": 1}])
    ]
    assert [p["amount"] for p in closed["payments"]] == [order["total"]]
    assert (await shop.stock(shop.apple), await shop.stock(shop.milk)) == ((98, 0), (99, 0))
    documents = await shop.stack.get("inventory", f"/documents?order={order_id}")
    assert [d["number"] for d in documents["items"]] == [closed["documents"][0]["number"]]
    ledger = await shop.stack.get("inventory", f"/stores/{shop.store}/ledger?spu={shop.apple}")
    assert [row["kind"] for row in ledger["items"]] == ["sales_issue", "lock", "goods_receipt"]
    assert sum(row["on_hand"] for row in ledger["items"]) == 98
    money = await shop.stack.get("payment", f"/orders/{order_id}/payments")
    assert [p["reference"] for p in money["payments"]] == [p["reference"] for p in closed["payments"]]


async def test_the_store_whose_area_holds_the_door_serves_it(shop: Shop) -> None:
    """An order for a delivery point names no store; it goes to the one around it."""
    order = await shop.payable({shop.apple: 1}, delivery={**shop.door(), "phone": "555", "note": "ring twice"})
    assert order["store"] == shop.store
    assert order["delivery"]["note"] == "ring twice"
    good(await shop.pay(order))
    fulfilment = await shop.fulfilment(order["order_id"], "queued")
    assert fulfilment["delivery"]["address"] == f"{shop.store} Lane 1"


async def test_accepted_is_told_with_the_resource_and_where_it_is(shop: Shop) -> None:
    """202 comes with the order as it is then and a Location; with `Prefer: wait` the order rests by then."""
    answer = await shop.place({shop.apple: 1}, wait=10)
    order = good(answer)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/orders/{order['order_id']}"
    assert order["phase"] == "awaiting_payment"
    assert order["allowed"] == ["pay", "cancel"]
    answer = await shop.pay(order, wait=10)
    assert answer.status_code == 202
    assert good(answer)["phase"] == "awaiting_picking"


async def test_a_put_that_was_answered_is_seen_by_the_next_post(shop: Shop) -> None:
    """Prices, products and whether a store takes orders count from the answer to their PUT on."""
    for price in (300, 310, 320):
        await shop.price(shop.apple, price)
        assert good(await shop.place({shop.apple: 1}))["total"] == price
    area = (await shop.stack.get("order", "/stores?limit=200"))["items"]
    area = next(store["area"] for store in area if store["store"] == shop.store)
    closed = {"name": "closed", "area": area, "accepting": False}
    await shop.stack.put("order", f"/stores/{shop.store}", closed)
    refused(await shop.place({shop.apple: 1}), 409, "store_not_accepting")
    await shop.stack.put("order", f"/stores/{shop.store}", {**closed, "accepting": True})
    good(await shop.place({shop.apple: 1}))


async def test_lines_of_one_product_are_summed(shop: Shop) -> None:
    """The same SPU twice is one line, of what both ask for."""
    twice = [{"spu": shop.apple, "quantity": 2}, {"spu": shop.milk, "quantity": 1}, {"spu": shop.apple, "quantity": 3}]
    order = good(await shop.place(twice, wait=10))
    assert [(line["spu"], line["quantity"]) for line in order["lines"]] == [(shop.apple, 5), (shop.milk, 1)]
    assert order["total"] == 5 * APPLE + MILK
    assert await shop.stock(shop.apple) == (100, 5)
    short = good(await shop.place([{"spu": shop.apple, "quantity": 60}, {"spu": shop.apple, "quantity": 60}], wait=10))
    assert short["short"] == [{"spu": shop.apple, "missing": 25}]


async def test_short_lines_are_named_and_nothing_is_held(shop: Shop) -> None:
    """All lines or none: an order that is short ends as rejected, names what is missing, and holds nothing."""
    order = await shop.placed({shop.apple: 3, shop.milk: 130}, "rejected")
    assert order["reason"] == "out_of_stock"
    assert order["short"] == [{"spu": shop.milk, "missing": 30}]
    assert (await shop.stock(shop.apple), await shop.stock(shop.milk)) == ((100, 0), (100, 0))
    refused(await shop.pay(order), 409, "order_not_payable")
    refused(await shop.cancel(order), 409, "cancel_not_allowed")


async def test_a_total_that_changed_wants_a_new_click(shop: Shop) -> None:
    """Prices are looked at again on the click: the order comes back with its new total, and pays that only."""
    order = await shop.payable({shop.apple: 2})
    await shop.price(shop.apple, 300)
    good(await shop.pay(order))
    changed = await shop.until(order["order_id"], "awaiting_payment")
    assert (changed["total"], changed["paid"], changed["lines"][0]["unit_price"]) == (600, 0, 300)
    problem = refused(await shop.pay(changed, total=order["total"]), 409, "total_changed")
    assert "600" in problem["detail"]
    good(await shop.pay(changed))
    paid = await shop.until(order["order_id"], "awaiting_picking")
    assert (paid["paid"], [p["amount"] for p in paid["payments"]]) == (600, [600])


async def test_the_stream_tells_every_phase_until_the_end(shop: Shop) -> None:
    """Server-sent events show the order as it is now and whenever it changes, and end with it."""
    order = await shop.payable({shop.apple: 1})
    seen: list[str] = []
    async with shop.stack.stream("order", f"/orders/{order['order_id']}/stream", shop.customer) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                page = json.loads(line.removeprefix("data: "))
                if not seen:
                    good(await shop.cancel(order))
                seen.append(page["phase"])
    assert seen[0] == "awaiting_payment"
    assert seen[-1] == "cancelled"


async def test_lists_filter_and_page(shop: Shop) -> None:
    """`limit` and `cursor` walk through all that the filters let in, each once, the newest first."""
    placed = [good(await shop.place({shop.apple: 1}))["order_id"] for _ in range(5)]
    await asyncio.gather(*(shop.until(order_id, "awaiting_payment") for order_id in placed))
    for filters in (f"account={shop.account}", f"store={shop.store}", f"store={shop.store}&phase=awaiting_payment"):
        found, cursor = [], ""
        while True:
            page = await shop.stack.get("order", f"/orders?{filters}&limit=2{cursor}")
            assert len(page["items"]) <= 2
            found += [row["order_id"] for row in page["items"]]
            if not page["next"]:
                break
            cursor = f"&cursor={page['next']}"
        assert found == placed[::-1]
    assert (await shop.stack.get("order", f"/orders?store={shop.store}&phase=closed"))["items"] == []
    assert (await shop.stack.get("order", f"/orders?store={shop.store}&phase=short"))["items"] == []
    mine = await shop.stack.get("order", "/orders", by=shop.customer)
    assert {row["order_id"] for row in mine["items"]} == set(placed)
    for wrong in ("limit=0", "limit=x", "limit=1000000", "phase=nonsense", "cursor=nonsense", "account=%00"):
        refused(await shop.stack.ask("GET", "order", f"/orders?{wrong}"), 422)


async def test_what_is_allowed_answers_for_who_asks(shop: Shop) -> None:
    """A customer may pay and cancel what waits for payment, and cancel what is paid; a risk analyst only looks."""
    order = await shop.payable({shop.apple: 1})
    path = f"/orders/{order['order_id']}"
    assert (await shop.stack.get("order", path, by=shop.customer))["allowed"] == ["pay", "cancel"]
    assert (await shop.stack.get("order", path, by="risk_analyst"))["allowed"] == []
    good(await shop.pay(order))
    await shop.until(order["order_id"], "awaiting_picking")
    assert (await shop.stack.get("order", path, by=shop.customer))["allowed"] == ["cancel"]
    assert (await shop.stack.get("order", path, by="risk_analyst"))["allowed"] == []
    fulfilment = f"/fulfilments/{order['order_id']}"
    await shop.fulfilment(order["order_id"], "queued")
    assert (await shop.stack.get("logistics", fulfilment, by="picker"))["allowed"] == ["start-picking"]
    assert (await shop.stack.get("logistics", fulfilment, by="courier"))["allowed"] == []


async def test_the_store_works_step_by_step(shop: Shop) -> None:
    """A step at the wrong time is refused and changes nothing; a worker's token may name its store."""
    order_id = (await shop.paid({shop.apple: 1}))["order_id"]
    await shop.fulfilment(order_id, "queued")
    path = f"/fulfilments/{order_id}"
    post = shop.stack.post
    refused(await post("logistics", f"{path}/picked", {}, by="picker"), 409)
    refused(await post("logistics", f"{path}/packed", {}, by="picker"), 409)
    refused(await post("logistics", f"{path}/handed-over", {"courier": "c-1"}, by="courier"), 409)
    refused(await post("logistics", f"{path}/delivered", {}, by="courier"), 409)
    refused(await post("logistics", f"{path}/start-picking", {}, by="picker@elsewhere"), 403, "wrong_store")
    refused(await post("logistics", f"{path}/start-picking", {}, by="courier"), 403, "wrong_role")
    refused(await post("logistics", "/fulfilments/o-nobody/start-picking", {}, by="picker"), 404, "fulfilment_unknown")
    page = good(await post("logistics", f"{path}/start-picking", {}, by=f"picker@{shop.store}"))
    assert page["phase"] == "picking"
    refused(await post("logistics", f"{path}/start-picking", {}, by="picker"), 409, "fulfilment_not_queued")
    refused(await post("logistics", f"{path}/handed-over", {}, by="courier"), 422, "invalid_request")
    listed = await shop.stack.get("logistics", f"/stores/{shop.store}/fulfilments?phase=picking", by="picker")
    assert [f["order_id"] for f in listed["items"]] == [order_id]
    assert (await shop.until(order_id, "picking"))["timeline"][-1]["message"] == "PickingStarted"


async def test_six_pickers_take_an_order_once(shop: Shop) -> None:
    """Of concurrent clicks one wins, and the others are told."""
    order_id = (await shop.paid({shop.apple: 1}))["order_id"]
    await shop.fulfilment(order_id, "queued")
    path = f"/fulfilments/{order_id}/start-picking"
    answers = await asyncio.gather(*(shop.stack.post("logistics", path, {}, by="picker") for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [202, 409, 409, 409, 409, 409]


async def test_goods_come_in_and_are_counted(shop: Shop) -> None:
    """A receipt and an adjustment are documents; a count may not take more than there is."""
    path = f"/stores/{shop.store}/adjustments"
    count = {"lines": [{"spu": shop.apple, "delta": -98}], "reason": "counted"}
    document = good(await shop.stack.post("inventory", path, count, by="storekeeper"))
    assert (document["kind"], document["lines"]) == ("adjustment", [{"spu": shop.apple, "quantity": -98}])
    await shop.payable({shop.apple: 2})
    too_much = {**count, "lines": [{"spu": shop.apple, "delta": -3}]}
    refused(await shop.stack.post("inventory", path, too_much), 409, "adjustment_below_zero")
    assert await shop.stock(shop.apple) == (2, 2)
    refused(await shop.stack.post("inventory", path, {**count, "reason": ""}), 422)
    refused(await shop.stack.post("inventory", path, count, by="picker"), 403)
    refused(await shop.stack.post("inventory", path, count, by="storekeeper@elsewhere"), 403)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_tells_how_it_is_and_what_it_can(stack: Stack, service: str) -> None:
    """Health, figures and the API's description are open to everybody; unknown addresses are problems too."""
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        assert (await stack.ask("GET", service, path, by=None)).status_code == 200
    described = good(await stack.ask("GET", service, "/openapi.json", by=None))
    assert described["info"]["description"]
    refused(await stack.ask("GET", service, "/nowhere"), 404)
    refused(await stack.ask("DELETE", service, "/healthz"), 405)


async def test_the_command_line_knows_the_stack(stack: Stack) -> None:
    """`status`, `doctor` and `topics` must find it well."""
    status = await stack.larder_json("status")
    assert {s["name"] for s in status["services"]} == set(PROCESSES)
    assert all(s["ready"] and s["pid"] for s in status["services"])
    doctor = await stack.larder("doctor")
    assert doctor.status == 0, doctor.out + doctor.err
    assert "order.commands" in (await stack.larder("topics")).out


async def test_the_oldest_order_of_a_phase_is_a_figure(shop: Shop) -> None:
    """`oldest_seconds{phase}` is where an alarm looks."""
    await shop.payable({shop.apple: 1})

    async def told() -> bool:
        figures = (await shop.stack.ask("GET", "order", "/metrics", by=None)).text
        return 'larder_oldest_seconds{phase="awaiting_payment"}' in figures

    await until(told, "oldest_seconds in /metrics")
