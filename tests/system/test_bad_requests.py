"""Whatever is sent over HTTP gets a clear answer, and nothing else notices."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from tests.system.conftest import LAG_BOUND
from tests.system.driver import Stack, good, refused, until
from tests.system.shop import APPLE, Shop


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"not json",
        b'{"store": "s-1", "lines": [}',
        b'{"store": "s-1"} {"store": "s-2"}',
        b"{'store': 's-1'}",
        b'{"lines": NaN}',
        b"\xff\xfe\x00",
        b'"\xed\xa0\x80"',
    ],
)
async def test_what_is_no_json_is_400(stack: Stack, content: bytes) -> None:
    """A body that is no JSON cannot be read at all."""
    answer = await stack.post("order", "/orders", content=content, by="customer:a-1")
    refused(answer, 400, "malformed_json")


def _line(quantity: object, spu: object = "apple") -> dict[str, object]:
    return {"spu": spu, "quantity": quantity}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "order",
        7,
        {},
        {"lines": []},
        {"lines": [_line(1)]},
        {"store": "s-1"},
        {"store": "s-1", "lines": []},
        {"store": "s-1", "lines": {}},
        {"store": "s-1", "lines": "apple"},
        {"store": "s-1", "lines": [_line(1)] * 201},
        {"store": "s-1", "lines": ["apple"]},
        {"store": "s-1", "lines": [{"spu": "apple"}]},
        {"store": "s-1", "lines": [{"quantity": 1}]},
        *({"store": "s-1", "lines": [_line(q)]} for q in (0, -1, 1.5, 10**9, 10**30, 1e400, "1", "", None, True, [1])),
        *({"store": "s-1", "lines": [_line(1, spu)]} for spu in ("", " ", "a\x00b", "x" * 300, 7, None, "a b", "é")),
        {"store": 7, "lines": [_line(1)]},
        {"store": "s-1\x00", "lines": [_line(1)]},
        {"store": "s-1", "lines": [_line(1)], "expected_total": "5"},
        {"store": "s-1", "lines": [_line(1)], "expected_total": 2.5},
        {"store": "s-1", "lines": [_line(1)], "expected_total": -5},
        {"store": "s-1", "lines": [_line(1)], "coupons": ["a|b"]},
        {"store": "s-1", "lines": [_line(1)], "coupons": ["twice", "twice"]},
        {"store": "s-1", "lines": [_line(1)], "coupons": [f"c-{n}" for n in range(21)]},
        {"store": "s-1", "lines": [_line(1)], "surprise": 1},
        {"delivery": {}, "lines": [_line(1)]},
        {"delivery": {"lat": 52.1, "lon": 13.1}, "lines": [_line(1)]},
        {"delivery": {"lat": "52.1", "lon": None, "address": "Lane 1"}, "lines": [_line(1)]},
        {"delivery": {"lat": 91, "lon": 13.1, "address": "Lane 1"}, "lines": [_line(1)]},
        {"delivery": {"lat": 52.1, "lon": 1e308, "address": "Lane 1"}, "lines": [_line(1)]},
        {"delivery": {"lat": 52.1, "lon": 13.1, "address": "x\x00"}, "lines": [_line(1)]},
        {"delivery": {"lat": 52.1, "lon": 13.1, "address": "x" * 10_000}, "lines": [_line(1)]},
        {"delivery": "Lane 1", "lines": [_line(1)]},
    ],
)
async def test_a_basket_of_wrong_shape_is_422(stack: Stack, body: object) -> None:
    """The answer names the field and what is wrong with it."""
    content = json.dumps(body).encode().replace(b"Infinity", b"1e999") if body is not None else None
    problem = refused(await stack.post("order", "/orders", content=content, by="customer:a-1"), 422)
    assert problem.get("detail")
    if problem["code"] == "invalid_request":
        assert problem["errors"]


async def test_two_hundred_lines_are_taken(shop: Shop) -> None:
    """The bound itself is no error, neither of lines nor of pieces."""
    order = good(
        await shop.place([{"spu": shop.apple, "quantity": 1}] * 100 + [{"spu": shop.milk, "quantity": 1}] * 100)
    )
    assert [line["quantity"] for line in order["lines"]] == [100, 100]
    await shop.until(order["order_id"], "awaiting_payment")
    refused(await shop.place([{"spu": shop.apple, "quantity": 1000}] * 2), 422, "quantity_too_large")
    assert (await shop.placed({shop.apple: 1000}, "rejected"))["short"] == [{"spu": shop.apple, "missing": 1000}]


async def test_a_body_over_a_megabyte_is_413(stack: Stack) -> None:
    """Announced or not, whoever sends it, and whatever is in it."""
    large = json.dumps({"store": "s-1", "lines": [], "note": "x" * 1_100_000}).encode()
    for path, by in (("/orders", "customer:a-1"), ("/orders", None), ("/orders/o-1/pay", "customer:a-1")):
        refused(await stack.post("order", path, content=large, by=by), 413, "body_too_large")
    refused(await stack.ask("PUT", "order", "/stores/s-1", content=large), 413, "body_too_large")
    refused(await stack.post("payment", "/gateway/webhook", content=large, by=None), 413, "body_too_large")
    just_fits = b'{"store": "s-1"' + b" " * 900_000 + b"}"
    refused(await stack.post("order", "/orders", content=just_fits, by="customer:a-1"), 422)


async def test_what_there_is_not_cannot_be_ordered(shop: Shop) -> None:
    """Unknown products and stores, points that nobody serves, and totals that are others: the answer says which."""
    problem = refused(await shop.place({shop.apple: 1, "dragonfruit": 1}), 422, "product_unknown")
    assert "dragonfruit" in problem["detail"]
    refused(await shop.place({shop.apple: 1}, store="s-nowhere"), 422, "store_unknown")
    refused(await shop.place({shop.apple: 1}, coupons=["nonsuch"]), 422, "coupon_unknown")
    sea = {"lat": -60.0, "lon": 100.0, "address": "a raft"}
    refused(await shop.place({shop.apple: 1}, delivery=sea), 422, "outside_area")
    refused(await shop.place({shop.apple: 1}, delivery=sea, store=shop.store), 422, "outside_area")
    problem = refused(await shop.place({shop.apple: 1}, expected_total=APPLE + 1), 409, "total_changed")
    assert str(APPLE) in problem["detail"]
    assert await shop.stock(shop.apple) == (100, 0)


async def test_the_same_key_is_the_same_order(shop: Shop) -> None:
    """Same key and body: the same answer, also when it was no. Another body: 422. Another caller: another order."""
    first = good(await shop.place({shop.apple: 1}, key="k-1"))
    again = await asyncio.gather(*(shop.place({shop.apple: 1}, key="k-1") for _ in range(4)))
    assert {good(a)["order_id"] for a in again} == {first["order_id"]}
    refused(await shop.place({shop.apple: 2}, key="k-1"), 422, "idempotency_key_reused")
    other = good(await shop.place({shop.apple: 1}, key="k-1", by=f"customer:{shop.account}-2"))
    assert other["order_id"] != first["order_id"]
    for _ in range(2):
        refused(await shop.place({"dragonfruit": 1}, key="k-2"), 422, "product_unknown")
    await shop.price("dragonfruit-now", 5)
    refused(await shop.place({shop.apple: 1}, key="k-2"), 422, "idempotency_key_reused")
    at_once = await asyncio.gather(*(shop.place({shop.milk: n % 2 + 1}, key="k-3") for n in range(6)))
    assert len({a.json()["order_id"] for a in at_once if a.status_code == 202}) == 1
    assert {a.status_code for a in at_once} == {202, 422}
    await shop.stock_is(shop.apple, 100, 2)
    two = await asyncio.gather(*(shop.cancel(o, key="k-1") for o in (first, other)))
    assert [a.status_code for a in two] == [202, 202]


async def test_keys_may_be_strange_but_not_anything(shop: Shop) -> None:
    """A key is up to 200 plain characters; without one every POST is a request of its own."""
    for key in ("x" * 200, "a b/c?d#e%00", '"quoted"'):
        order = good(await shop.place({shop.apple: 1}, key=key))
        assert good(await shop.place({shop.apple: 1}, key=key))["order_id"] == order["order_id"]
    refused(await shop.place({shop.apple: 1}, key="x" * 201), 422)
    body = {"store": shop.store, "lines": [{"spu": shop.apple, "quantity": 1}]}
    ids = {
        good(await shop.stack.post("order", "/orders", body, by=shop.customer, key=None))["order_id"] for _ in range(2)
    }
    assert len(ids) == 2


async def test_another_customers_order_is_unknown(shop: Shop) -> None:
    """404 for everything, just as for an order that there is not; nothing happens to it."""
    order = await shop.payable({shop.apple: 1})
    path = f"/orders/{order['order_id']}"
    stranger = f"customer:{shop.account}-x"
    get, post = shop.stack.ask, shop.stack.post
    pay = {"method": "tok_ok", "expected_total": order["total"]}
    for answer in (
        await get("GET", "order", path, by=stranger),
        await get("GET", "order", f"{path}/stream", by=stranger),
        await post("order", f"{path}/pay", pay, by=stranger),
        await post("order", f"{path}/cancel", {"reason": ""}, by=stranger),
        await get("GET", "order", "/orders/o-nobody", by=stranger),
        await get("GET", "order", "/orders/o-nobody"),
    ):
        refused(answer, 404, "order_unknown")
    listed = await shop.stack.get("order", f"/orders?account={shop.account}", by=stranger)
    assert listed["items"] == []
    refused(await shop.place({shop.apple: 1}, by=stranger, account=shop.account), 422)
    assert await shop.order(order["order_id"]) == {**order, "allowed": ["pay", "cancel"]}
    refused(await get("GET", "aftersales", f"{path}/window", by=stranger), 404)


async def test_staff_orders_for_an_account(shop: Shop) -> None:
    """Customer service names the account; without it, nobody knows whose order it is."""
    refused(await shop.place({shop.apple: 1}, by="customer_service"), 422)
    order = good(await shop.place({shop.apple: 1}, by="customer_service", account=shop.account))
    assert (await shop.stack.get("order", f"/orders/{order['order_id']}", by=shop.customer))["account"] == shop.account


async def test_roles_keep_to_their_work(shop: Shop) -> None:
    """403 for whoever may not, before anything is looked at."""
    order = (await shop.payable({shop.apple: 1}))["order_id"]
    wrong: list[tuple[str, str, str, object, str]] = [
        ("PUT", "order", "/products/apple", {"name": "a", "price": 1, "category": "x"}, shop.customer),
        ("PUT", "order", "/stores/s-1", {"name": "a", "area": {}}, "storekeeper"),
        ("PUT", "order", "/promotions/p-1", {}, shop.customer),
        ("DELETE", "order", "/promotions/p-1", None, "storekeeper"),
        ("PUT", "order", "/rushes/r-1", {}, "customer_service"),
        ("DELETE", "order", "/rushes/r-1", None, "picker"),
        ("GET", "order", "/rushes", None, shop.customer),
        ("POST", "order", "/orders", {}, "picker"),
        ("POST", "order", f"/orders/{order}/pay", {}, "courier"),
        ("GET", "order", f"/orders/{order}", None, "picker"),
        ("GET", "order", "/orders", None, "courier"),
        ("POST", "inventory", f"/stores/{shop.store}/goods-receipts", {}, shop.customer),
        ("POST", "inventory", f"/stores/{shop.store}/goods-receipts", {}, "courier"),
        ("GET", "inventory", f"/stores/{shop.store}/ledger", None, shop.customer),
        ("GET", "risk", "/reviews", None, shop.customer),
        ("PUT", "risk", "/switch", {"on": False}, "admin_not"),
        ("GET", "payment", f"/orders/{order}/payments", None, "picker"),
        ("POST", "logistics", f"/fulfilments/{order}/start-picking", {}, shop.customer),
        ("POST", "logistics", f"/fulfilments/{order}/handed-over", {}, "picker"),
        ("POST", "logistics", "/fulfilments/o-nobody/delivered", {}, shop.customer),
        ("GET", "logistics", f"/fulfilments/{order}", None, shop.customer),
    ]
    for method, service, path, body, by in wrong:
        by = "picker" if by == "admin_not" else by
        refused(await shop.stack.ask(method, service, path, body, by=by), 403, "wrong_role")


def _unsigned(claims: Mapping[str, Any]) -> str:
    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


async def test_no_good_token_no_answer(stack: Stack) -> None:
    """401 with the way to do better, for every kind of bad token, at every service."""
    claims = {"sub": "admin", "role": "admin", "exp": datetime.now(UTC) + timedelta(hours=1)}
    secret = stack.settings.secret()
    numbered = {**claims, "exp": int(claims["exp"].timestamp())}  # type: ignore[attr-defined]
    theirs = stack.token("admin")
    head, body, signature = theirs.split(".")
    bad = {
        "expired_token": [stack.token("admin", ttl_s=-60)],
        "bad_token": [
            _unsigned(numbered),
            _unsigned(numbered) + signature,
            f"{_unsigned(numbered).split('.')[0]}.{body}.{signature}",
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{head}.{body[:-4]}AAAA.{signature}",
            jwt.encode(claims, "another secret, long enough for HS256", algorithm="HS256"),
            jwt.encode(claims, secret, algorithm="HS512"),
            jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, algorithm="HS256"),
            jwt.encode({**claims, "role": "king"}, secret, algorithm="HS256"),
            jwt.encode({**claims, "role": "customer"}, secret, algorithm="HS256"),
            jwt.encode({**claims, "role": ["admin"]}, secret, algorithm="HS256"),
            "nonsense",
            "a.b.c",
        ],
    }
    for code, tokens in bad.items():
        for token in tokens:
            answer = await stack.ask("GET", "order", "/orders", by=None, headers={"Authorization": f"Bearer {token}"})
            refused(answer, 401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for header in ("Bearer", "Basic YTpi", theirs, "Bearer x y"):
        answer = await stack.ask("GET", "order", "/orders", by=None, headers={"Authorization": header})
        assert refused(answer, 401)["code"] in ("bad_token", "no_token")
    for service, path in (
        ("order", "/orders"),
        ("order", "/products"),
        ("order", "/promotions"),
        ("order", "/rushes"),
        ("inventory", "/stores/s-1/stock/apple"),
        ("risk", "/switch"),
        ("payment", "/orders/o-1/payments"),
        ("logistics", "/stores/s-1/slots"),
        ("aftersales", "/orders/o-1/window"),
    ):
        refused(await stack.ask("GET", service, path, by=None), 401, "no_token")
    refused(await stack.post("order", "/orders", {}, by=None), 401, "no_token")


async def test_addresses_may_be_anything(stack: Stack) -> None:
    """NUL, half characters and endless names in an address are the caller's mistake, never ours."""
    for path in ("/orders/%00", "/orders/%ff", "/orders/" + "x" * 3000, "/orders/o%2F..%2Fx", "/orders/%F0%9F%8D%8E"):
        for suffix in ("", "/stream"):
            answer = await stack.ask("GET", "order", path + suffix)
            assert answer.status_code in (404, 422), answer.text
            refused(answer, answer.status_code)
        answer = await stack.post("order", f"{path}/cancel", {"reason": ""})
        refused(answer, answer.status_code)
        assert answer.status_code in (404, 422), answer.text
    for path in ("/stores/%00/stock/apple", "/stores/s-1/stock/%00", "/documents?order=%00", "/documents/%00"):
        refused(await stack.ask("GET", "inventory", path), 422)


async def test_master_data_of_wrong_shape(stack: Stack) -> None:
    """An area that is none, a price that is none: told, and nothing is changed."""
    ring = [[13.0, 52.0], [13.5, 52.0], [13.5, 52.5], [13.0, 52.0]]
    areas: list[object] = [
        {},
        "Berlin",
        {"type": "Point", "coordinates": [13, 52]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [ring[:2]]},
        {"type": "Polygon", "coordinates": [[["a", "b"], [1, 2], [3, 4], ["a", "b"]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [900, 0], [900, 900], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[1e308, 0], [1e308, 1], [0, 1], [1e308, 0]]]},
        {"type": "Polygon", "coordinates": 7},
        {"type": "Polygon", "coordinates": [[[str(lon), str(lat)] for lon, lat in ring]]},
        {"type": "Polygon", "coordinates": [[[True, True], [13, 0], [13, 13], [True, True]]]},
        {"type": "Polygon", "coordinates": [[*ring[:-1], [13.0, 52.5]]]},
        {"type": "Polygon", "coordinates": [[[179.9, 0], [-179.9, 0], [-179.9, 1], [179.9, 0]]]},
        None,
    ]
    for area in areas:
        refused(await stack.ask("PUT", "order", "/stores/s-bad", {"name": "x", "area": area}), 422)
    good_area = {"type": "Polygon", "coordinates": [ring]}
    for accepting in ("off", "false", 0, 1, None):
        body = {"name": "x", "area": good_area, "accepting": accepting}
        refused(await stack.ask("PUT", "order", "/stores/s-bad", body), 422)
    for price in (-1, 1.5, "1", None, 10**30, True):
        refused(await stack.ask("PUT", "order", "/products/bad", {"name": "x", "price": price, "category": "x"}), 422)
    refused(await stack.ask("PUT", "order", "/products/bad", {"name": "x\x00", "price": 1, "category": "x"}), 422)
    refused(await stack.ask("PUT", "order", "/products/b%20d", {"name": "x", "price": 1, "category": "x"}), 422)
    path = "/stores/s-1/goods-receipts"
    for lines in ([], [{"spu": "apple", "quantity": 0}], [{"spu": "apple", "quantity": 1}] * 201, [{"spu": "apple"}]):
        refused(await stack.post("inventory", path, {"lines": lines}), 422)


@pytest.mark.parametrize(
    "prefer", ["wait", "wait=x", "wait=-1", "wait=1.5", "respond-async", "", ";", "wait=" + "9" * 50]
)
async def test_nonsense_preferences_are_ignored(shop: Shop, prefer: str) -> None:
    """`Prefer` is a wish: one that nobody understands is none."""
    body = {"store": shop.store, "lines": [{"spu": shop.apple, "quantity": 1}]}
    good(await shop.stack.post("order", "/orders", body, by=shop.customer, headers={"Prefer": prefer}))


async def test_other_media_types_are_told(stack: Stack) -> None:
    """A form is no JSON; no media type at all is taken as JSON."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused(await stack.post("order", "/orders", content=b"store=s-1", by="customer:a-1", headers=form), 415)
    refused(await stack.post("order", "/orders", content=b"{}", headers={"Content-Type": ""}, by="customer:a-1"), 422)


async def test_too_far_behind_takes_no_new_orders(shop: Shop) -> None:
    """Past LARDER_LAG_BOUND new orders get 503 with `Retry-After`; orders under way go on, and later all is well."""
    order = await shop.payable({shop.apple: 1})
    cancel = b'{"order_id": "o-flood"}'
    await shop.stack.flood("order.commands", b"o-flood", cancel, "CancelOrder", LAG_BOUND * 15)

    # An order that gets in waits behind the flood, so the next one does not wait for it.
    asking: list[asyncio.Task[httpx.Response]] = []

    async def turned_away() -> httpx.Response | None:
        asking.append(asyncio.create_task(shop.place({shop.apple: 1})))
        answers = [task.result() for task in asking if task.done()]
        return next((answer for answer in answers if answer.status_code == 503), None)

    answer = await until(turned_away, "a new order to be turned away")
    assert "behind" in refused(answer, 503, "overloaded")["detail"]
    assert int(answer.headers["retry-after"]) >= 1
    good(await shop.pay(order))

    async def taken_again() -> bool:
        return (await shop.place({shop.apple: 1})).status_code == 202

    await until(taken_again, "new orders to be taken again")
    await shop.until(order["order_id"], "awaiting_picking")
    await asyncio.gather(*asking)
