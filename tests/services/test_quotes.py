"""POST /quotes on real tables: what is asked is answered at prices of now, and refused as an order would be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.order import api, facts
from services.order.decider import DECIDER
from services.order.levels import Levels, Slots, Stock
from services.order.quotes import routes as quotes
from services.order.store import OrderStore
from shared.contracts.levels import OpenSlot
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
RING = [[13, 52], [14, 52], [14, 53], [13, 53], [13, 52]]
AREA = {"type": "Polygon", "coordinates": [RING]}
INSIDE, OUTSIDE = {"lat": 52.5, "lon": 13.5}, {"lat": 10.0, "lon": 10.0}
ACCOUNT = "a-1"


@pytest.fixture
def levels() -> Levels:
    """What this process has heard: five apples in store s-1, and a slot."""
    found = Levels()
    found.heard_at = NOW
    found._stock["s-1", "apple"] = Stock(5, 0, NOW)
    found._slots["s-1"] = Slots((OpenSlot(start=NOW + HOUR, end=NOW + 2 * HOUR, free=3),), NOW)
    return found


@pytest.fixture
async def shop(parts: RealParts, levels: Levels) -> AsyncIterator[Inside]:
    """An order service with a store and two products; its quotes are told from `levels`."""

    def routes(made_of: Any) -> Any:
        return [*api.routes(made_of)[:-1], quotes(made_of, levels)]

    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as it:
        assert (await it.ask("PUT", "/stores/s-1", {"name": "One", "area": AREA})).status_code == 200
        for spu, price in (("apple", 250), ("bread", 349)):
            assert (await it.ask("PUT", f"/products/{spu}", {"name": spu, "price": price})).status_code == 200
        yield it


def basket(*, store: str | None = "s-1", coupons: list[str] | None = None, **pieces: int) -> dict[str, Any]:
    """A body of these SPUs, two apples when nothing is named."""
    lines = [{"spu": spu, "quantity": quantity} for spu, quantity in (pieces or {"apple": 2}).items()]
    return {"lines": lines, **({"store": store} if store else {}), **({"coupons": coupons} if coupons else {})}


async def ask(shop: Inside, body: dict[str, Any], account: str = ACCOUNT) -> httpx.Response:
    """A customer asks."""
    return await shop.ask("POST", "/quotes", body, role="customer", account=account)


async def told(shop: Inside, body: dict[str, Any]) -> Any:
    """The quote."""
    answer = await ask(shop, body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def promote(shop: Inside, id_: str, kind: str, **fields: Any) -> None:
    """A promotion that is on."""
    body = {
        "kind": kind,
        "starts_at": (NOW - HOUR).isoformat(),
        "ends_at": (NOW + HOUR).isoformat(),
        "per_account": 1 if kind == "coupon" else 0,
        **fields,
    }
    await shop.pool.execute(
        "insert into promotions (id, revision, kind, starts_at, ends_at, body) values ($1, 1, $2, $3, $4, $5)",
        *(id_, kind, NOW - HOUR, NOW + HOUR, json.dumps(body)),
    )


async def test_quote_tells_price_stock_and_slots(shop: Inside) -> None:
    """Everything that a page needs before an order exists."""
    await promote(shop, "ten", "percent", value=10)
    quote = await told(shop, basket(apple=2, bread=1))
    assert (quote["store"], quote["deliverable"], quote["reason"], quote["currency"]) == ("s-1", True, None, "EUR")
    assert (quote["total"], quote["available_from"], quote["coupons"]) == (764, None, [])
    apple, bread = quote["lines"]
    assert (apple["unit_price"], apple["discount"], apple["total"], apple["available"]) == (250, 50, 450, 5)
    assert apple["promotions"] == [{"id": "ten", "discount": 50}]
    assert datetime.fromisoformat(apple["as_of"]) == NOW
    assert (bread["available"], bread["as_of"]) == (None, None)
    assert [slot["free"] for slot in quote["slots"]] == [3]


async def test_delivery_point_finds_its_store(shop: Inside) -> None:
    """Or none: that is an answer."""
    quote = await told(shop, {**basket(store=None), "delivery": INSIDE})
    assert (quote["store"], quote["total"]) == ("s-1", 500)
    quote = await told(shop, {**basket(store=None), "delivery": {**OUTSIDE, "address": "Lane 7"}})
    assert (quote["store"], quote["deliverable"], quote["reason"]) == (None, False, "outside_area")
    quote = await told(shop, {**basket(), "delivery": OUTSIDE})
    assert (quote["store"], quote["deliverable"], quote["reason"], quote["total"]) == (
        "s-1",
        False,
        "outside_area",
        500,
    )


async def test_point_finds_the_store_that_an_order_would(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what is remembered, or, with more stores than that, from the database: borders, overlaps, and the
    antimeridian as well."""
    east = [[170, -20], [180, -20], [180, -10], [170, -10], [170, -20]]
    areas = {"s-0": (RING, False), "s-2": (RING, True), "s-3": (east, True)}
    for store, (ring, accepting) in areas.items():
        body = {"name": store, "area": {"type": "Polygon", "coordinates": [ring]}, "accepting": accepting}
        assert (await shop.ask("PUT", f"/stores/{store}", body)).status_code == 200
    points = [(52.5, 13.5), (52, 13), (53, 14), (53.01, 13.5), (-15, 180), (-15, -180), (-15, -179), (-15, 175)]
    found = []
    for most in (facts.AREAS_MAX, 1):
        monkeypatch.setattr(facts, "AREAS_MAX", most)
        await shop.pool.execute("update master_data set version = version + 1")
        found.append(
            [(await told(shop, {**basket(store=None), "delivery": {"lat": a, "lon": b}}))["store"] for a, b in points]
        )
    assert found[0] == found[1] == ["s-1", "s-1", "s-1", None, "s-3", "s-3", None, "s-3"]


async def test_change_that_was_answered_is_in_the_next_quote(shop: Inside) -> None:
    """Prices, stores and promotions, however often quotes are asked: nothing that is remembered outlives its change."""
    for price in range(100, 110):
        await shop.ask("PUT", "/products/apple", {"name": "apple", "price": price})
        quotes = await asyncio.gather(*(told(shop, basket()) for _ in range(5)))
        assert {quote["total"] for quote in quotes} == {2 * price}
    await shop.ask("PUT", "/stores/s-1", {"name": "One", "area": AREA, "accepting": False})
    assert (await told(shop, basket()))["reason"] == "store_not_accepting"
    await promote(shop, "half", "percent", value=50)
    assert (await told(shop, basket()))["total"] == 109


async def test_answered_changes_are_seen_while_others_ask(shop: Inside) -> None:
    """A reading that was under way when the PUT was answered is not taken for a later one."""
    done = asyncio.Event()

    async def crowd() -> None:
        while not done.is_set():
            await told(shop, basket())

    asking = [asyncio.create_task(crowd()) for _ in range(4)]
    try:
        for price in range(100, 130):
            await shop.ask("PUT", "/products/apple", {"name": "apple", "price": price})
            assert (await told(shop, basket()))["total"] == 2 * price
    finally:
        done.set()
        await asyncio.gather(*asking)


async def test_facts_are_remembered_and_bounded(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second quote of a basket loads nothing; memory has a bound."""
    loads: list[int] = []
    load_many = OrderStore.load_many

    async def counted(self: OrderStore, connection: Any, keys: Any, now: Any) -> Any:
        loads.append(len(keys))
        return await load_many(self, connection, keys, now)

    monkeypatch.setattr(OrderStore, "load_many", counted)
    await told(shop, basket())
    first = len(loads)
    assert 1 <= first <= 3
    await told(shop, basket())
    assert len(loads) == first
    monkeypatch.setattr(facts, "REMEMBERED_MAX", 1)
    await told(shop, basket())
    assert len(loads) > first


async def test_used_coupon_is_refused_as_an_order_would_be(shop: Inside) -> None:
    """Of the account that used it; another's quote has it off."""
    await promote(shop, "WELCOME", "coupon", value=100)
    quote = await told(shop, basket(coupons=["WELCOME"]))
    assert (quote["total"], quote["coupons"]) == (400, [{"id": "WELCOME", "discount": 100}])
    await shop.pool.execute(
        "insert into claims (account, promotion, order_id, units) values ('a-1', 'WELCOME', 'o', 1)"
    )
    refused = await ask(shop, basket(coupons=["WELCOME"]))
    assert (refused.status_code, refused.json()["code"]) == (409, "coupon_used")
    assert (await ask(shop, basket(coupons=["WELCOME"]), account="a-2")).status_code == 200


NO_BASKETS: list[tuple[dict[str, Any], str]] = [
    (basket(caviar=1), "product_unknown"),
    (basket(store="s-9"), "store_unknown"),
    (basket(coupons=["NOBODY"]), "coupon_unknown"),
    (basket(coupons=["A", "A"]), "invalid_request"),
    (basket(coupons=[f"C{n}" for n in range(21)]), "invalid_request"),
    (basket(apple=0), "invalid_request"),
    (basket(apple=1_001), "invalid_request"),
    ({"store": "s-1", "lines": [{"spu": "apple", "quantity": 600}] * 2}, "quantity_too_large"),
    ({"store": "s-1", "lines": []}, "invalid_request"),
    (basket(store=None), "invalid_request"),
    ({**basket(), "account": "a-2"}, "invalid_request"),
    ({**basket(), "expected_total": 500}, "invalid_request"),
    ({**basket(store=None), "delivery": {"lat": 91, "lon": 0}}, "invalid_request"),
]


async def test_what_is_no_basket_is_refused(shop: Inside) -> None:
    """With the codes of POST /orders."""
    for body, code in NO_BASKETS:
        refused = await ask(shop, body)
        assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text


async def test_who_may_ask(shop: Inside) -> None:
    """Customers for themselves, customer service for the account that it names."""
    assert (await shop.ask("POST", "/quotes", basket(), role="picker")).status_code == 403
    assert (await shop.ask("POST", "/quotes", basket(), role="customer_service")).json()["code"] == "invalid_request"
    for_one = await shop.ask("POST", "/quotes", {**basket(), "account": "a-2"}, role="customer_service")
    assert for_one.json()["total"] == 500


async def test_nothing_is_kept_of_a_quote(shop: Inside) -> None:
    """No order, no command."""
    await told(shop, basket())
    assert shop.commits == []
    assert await shop.pool.fetchval("select count(*) from orders") == 0
