"""Promotions over HTTP, on a real database: what was sent is what is kept, shown and priced with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.order import promotions_api
from services.order.api import routes
from services.order.decider import DECIDER
from services.order.promotions import promotion_of
from services.order.promotions_api import SCOPE_MAX
from services.order.store import OrderStore
from shared.contracts import inventory, risk
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX, Message
from tests.deciders.orders import (
    BASKET,
    CLEARED,
    CLICK,
    DEDUCTED,
    HELD,
    OAT,
    ONE_SHORT,
    PICKING,
    SUBSTITUTED,
    TAKEN,
    VERIFIED,
)
from tests.parts import RealParts
from tests.services.inside import Inside, inside, types_said

pytestmark = pytest.mark.parts

AREA = {"type": "Polygon", "coordinates": [[[13, 52], [14, 52], [14, 53], [13, 53], [13, 52]]]}
DAY = timedelta(days=1)
TENTH: dict[str, Any] = {"kind": "percent", "value": 10}
BY_KIND: dict[str, dict[str, Any]] = {
    "percent": TENTH,
    "amount_off": {"kind": "amount_off", "value": 500, "min_total": 3000, "per_account": 2},
    "coupon": {"kind": "coupon", "value": 300, "account": "a-1"},
    "flash": {"kind": "flash", "value": 99, "spus": ["milk"], "stores": ["s-1"], "per_account": 2},
    "buy_n_pay_m": {"kind": "buy_n_pay_m", "value": {"n": 3, "m": 2}, "categories": ["fresh", "<b>bakery</b>"]},
}

CLAIMING: dict[str, type[Message]] = {"ClaimPromotions": ordering.ClaimPromotions, "SettleClaim": ordering.SettleClaim}


def at(days: float) -> str:
    """An instant so many days from now."""
    return (datetime.now(UTC) + days * DAY).isoformat()


@pytest.fixture
async def shop(parts: RealParts) -> AsyncIterator[Inside]:
    """An order service with three products and two stores."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        items = [
            {"spu": spu, "name": spu, "price": price} for spu, price in (("milk", 129), ("bread", 349), ("oat", 1))
        ]
        ok(await found.ask("PUT", "/products", {"items": items}))
        for store in ("s-1", "s-2"):
            ok(await found.ask("PUT", f"/stores/{store}", {"name": store, "area": AREA}))
        yield found


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """What a refusal says, and the fields that it names."""
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["code"] == code, problem
    return f"{problem.get('detail')} {[e['path'] for e in problem.get('errors', ())]}"


async def put(shop: Inside, id_: str, body: dict[str, Any] = TENTH, **members: Any) -> httpx.Response:
    """PUTs a promotion that is on for a day, unless the body says otherwise."""
    return await shop.ask("PUT", f"/promotions/{id_}", {"starts_at": at(-1), "ends_at": at(1), **body, **members})


async def listed(shop: Inside, query: str = "", **caller: Any) -> list[str]:
    """The ids of a list, in its order."""
    return [one["id"] for one in ok(await shop.ask("GET", f"/promotions{query}", **caller))["items"]]


async def place(shop: Inside, lines: dict[str, int], account: str = "a-1", **members: Any) -> httpx.Response:
    """A customer's order in store s-1."""
    some = [{"spu": spu, "quantity": quantity} for spu, quantity in lines.items()]
    body = {"store": "s-1", "lines": some, **members}
    return await shop.ask("POST", "/orders", body, role="customer", account=account)


async def payable(shop: Inside, lines: dict[str, int], **members: Any) -> str:
    """An order that risk cleared and inventory holds the stock of; its id."""
    order_id: str = ok(await place(shop, lines, **members), 202)["order_id"]
    await shop.hear(risk.OrderCleared(order_id=order_id))
    await shop.hear(inventory.StockHeld(order_id=order_id, mode="lock"))
    return order_id


async def hear_through(shop: Inside, message: Message) -> None:
    """A message comes, and what the order and the shard of its account then say to each other."""
    before = len(shop.commits)
    await shop.hear(message)
    for commit in shop.commits[before:]:
        for row in commit.outbox:
            for _, value, headers in row.records if row.topic == ordering.ClaimPromotions.TOPIC else ():
                heard: type[Message] = CLAIMING[dict(headers)["ce_type"].decode()]
                await hear_through(shop, heard.from_json(value))


async def revisions(shop: Inside, id_: str) -> list[int]:
    """Those that are kept; each body must be one that the worker reads."""
    rows = await shop.pool.fetch("select revision, body from promotion_revisions where id = $1 order by at", id_)
    return [promotion_of(id_, row["revision"], row["body"]).revision for row in rows]


# -- as master data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BY_KIND)
async def test_what_get_gives_can_be_put_back(shop: Inside, kind: str) -> None:
    """Of every kind, item by item at its own address; it is no new revision. The worker reads what is shown."""
    shown = ok(await put(shop, "p-1", BY_KIND[kind]))
    assert (shown["id"], shown["revision"], shown["state"]) == ("p-1", 1, "running")
    for member, value in BY_KIND[kind].items():
        assert (sorted(value) if isinstance(value, list) else value) == shown[member], member
    assert ok(await shop.ask("GET", "/promotions/p-1")) == shown
    (item,) = ok(await shop.ask("GET", "/promotions"))["items"]
    assert ok(await shop.ask("PUT", "/promotions/p-1", item)) == shown == item
    assert await revisions(shop, "p-1") == [1]


async def test_a_change_is_a_new_revision_and_the_old_ones_stay(shop: Inside) -> None:
    """The same instants in another zone, and a scope in another order, are no change."""
    body: dict[str, Any] = {
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2199-01-01T00:00:00Z",
        "spus": ["milk", "bread"],
    }
    first = ok(await put(shop, "p-1", **body))
    same = {"starts_at": "2026-01-01T01:00:00+01:00", "spus": ["bread", "milk", "bread"]}
    assert ok(await put(shop, "p-1", **{**body, **same})) == first
    assert ok(await put(shop, "p-1", **body, value=20))["revision"] == 2
    assert ok(await put(shop, "p-1", **body))["revision"] == 3
    assert await revisions(shop, "p-1") == [1, 2, 3]


async def test_puts_at_once_follow_each_other(shop: Inside) -> None:
    """Each is a revision of its own, and the newest one stands."""
    await asyncio.gather(*(put(shop, "p-1", value=value) for value in range(1, 9)))
    assert await revisions(shop, "p-1") == list(range(1, 9))
    kept = await shop.pool.fetchval("select body from promotion_revisions where revision = 8")
    assert ok(await shop.ask("GET", "/promotions/p-1"))["value"] == json.loads(kept)["value"]


async def test_delete_ends_it_and_it_stays_readable(shop: Inside) -> None:
    """Once; what is over can be looked at, put back as it is, and put on again."""
    ok(await put(shop, "p-1"))
    for _ in range(2):
        ok(await shop.ask("DELETE", "/promotions/p-1"), 204)
    shown = ok(await shop.ask("GET", "/promotions/p-1"))
    assert (shown["revision"], shown["state"]) == (2, "over")
    assert datetime.fromisoformat(shown["ends_at"]) <= datetime.now(UTC)
    assert ok(await shop.ask("PUT", "/promotions/p-1", shown)) == shown
    assert ok(await put(shop, "p-1"))["state"] == "running"
    assert await revisions(shop, "p-1") == [1, 2, 3]
    refused(await shop.ask("DELETE", "/promotions/p-2"), 404, "promotion_unknown")


async def test_one_that_ended_before_it_began_can_be_put_back(shop: Inside) -> None:
    """It is over, never was on, and is shown as it is."""
    ok(await put(shop, "p-1", starts_at=at(1), ends_at=at(2)))
    ok(await shop.ask("DELETE", "/promotions/p-1"), 204)
    shown = ok(await shop.ask("GET", "/promotions/p-1"))
    assert shown["state"] == "over"
    assert ok(await shop.ask("PUT", "/promotions/p-1", shown)) == shown


async def test_the_list_is_filtered_and_paged(shop: Inside) -> None:
    """By kind, by store (an empty scope is every store), and by where it stands today."""
    ok(await put(shop, "all"))
    ok(await put(shop, "far", stores=["s-2"]))
    ok(await put(shop, "old", starts_at=at(-2), ends_at=at(-1)))
    ok(await put(shop, "soon", BY_KIND["amount_off"], starts_at=at(1), ends_at=at(2)))
    assert await listed(shop) == ["all", "far", "old", "soon"]
    assert await listed(shop, "?kind=amount_off") == ["soon"]
    assert await listed(shop, "?store=s-1") == ["all", "old", "soon"]
    assert await listed(shop, "?store=s-2&state=running") == ["all", "far"]
    assert [await listed(shop, f"?state={s}") for s in ("running", "to_come", "over")] == [
        ["all", "far"],
        ["soon"],
        ["old"],
    ]
    page = ok(await shop.ask("GET", "/promotions?limit=3"))
    assert await listed(shop, f"?limit=3&cursor={page['next']}") == ["soon"]
    for query in ("kind=bogof", "state=ended", "store=%20", "store=", "limit=0"):
        refused(await shop.ask("GET", f"/promotions?{query}"), 422, "invalid_request")


async def test_a_customer_sees_no_code(shop: Inside) -> None:
    """A coupon's id is its code: to a customer it is as unknown as one that there is not. Who works here sees all."""
    for kind in ("coupon", "percent"):
        ok(await put(shop, kind, BY_KIND[kind]))
    customer = {"role": "customer", "account": "a-1"}
    assert await listed(shop, **customer) == ["percent"]
    assert await listed(shop, "?kind=coupon", **customer) == []
    ok(await shop.ask("GET", "/promotions/percent", **customer))
    told = [await shop.ask("GET", f"/promotions/{code}", **customer) for code in ("coupon", "nonsuch")]
    assert {refused(answer, 404, "promotion_unknown").replace("nonsuch", "coupon") for answer in told} == {
        "there is no promotion coupon []"
    }
    for role in ("picker", "courier", "storekeeper", "customer_service", "risk_analyst"):
        assert await listed(shop, role=role) == ["coupon", "percent"]
        refused(await shop.ask("PUT", "/promotions/p-1", {}, role=role), 403, "wrong_role")
        refused(await shop.ask("DELETE", "/promotions/percent", role=role), 403, "wrong_role")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "members", "field"),
    [
        *(("percent", {"value": value}, "value") for value in (101, -1, MONEY_MAX)),
        *(("percent", {"value": value}, "value") for value in (10.0, 10.5, "10", True, None, [], [10], {}, {"n": 3})),
        ("percent", {"value": {"n": 3, "m": 2}}, "value"),
        *((kind, {"value": 0}, "value") for kind in ("amount_off", "coupon", "flash")),
        *((kind, {"value": MONEY_MAX + 1}, "value") for kind in ("amount_off", "coupon", "flash")),
        *((kind, {"value": {"n": 3, "m": 2}}, "value") for kind in ("amount_off", "coupon", "flash")),
        ("buy_n_pay_m", {"value": 3}, "value"),
        ("buy_n_pay_m", {"value": {"n": 3, "m": 3}}, "value.m"),
        ("buy_n_pay_m", {"value": {"n": 2, "m": 3}}, "value.m"),
        *(("buy_n_pay_m", {"value": {"n": n, "m": m}}, "value") for n, m in ((1, 0), (1001, 2), (3, 0), (3, True))),
        ("buy_n_pay_m", {"value": {"n": 3, "m": 2, "k": 1}}, "value"),
        ("flash", {"min_total": 1}, "min_total"),
        ("percent", {"min_total": -1}, "min_total"),
        ("amount_off", {"min_total": MONEY_MAX + 1}, "min_total"),
        ("coupon", {"per_account": 2}, "per_account"),
        *(
            ("percent", {"per_account": limit}, "per_account")
            for limit in (0, -1, ordering.PER_ACCOUNT_MAX + 1, "1", True)
        ),
        *((kind, {"account": "a-1"}, "account") for kind in ("percent", "amount_off", "flash", "buy_n_pay_m")),
        ("coupon", {"account": ""}, "account"),
        ("percent", {"ends_at": at(-2)}, "ends_at"),
        ("percent", {"ends_at": "2026-01-01"}, "ends_at"),
        ("percent", {"ends_at": "9999-12-31T23:59:59Z"}, "ends_at"),
        ("percent", {"starts_at": 1_790_000_000}, "starts_at"),
        ("percent", {"starts_at": None}, "starts_at"),
        ("percent", {"kind": "bogof"}, "kind"),
        ("percent", {"kind": None}, "kind"),
        ("percent", {"id": "p-2"}, "id"),
        ("percent", {"spus": "milk"}, "spus"),
        ("percent", {"spus": None}, "spus"),
        ("percent", {"spus": ["milk"] * (SCOPE_MAX + 1)}, "spus"),
        ("percent", {"categories": ["fresh"] * (SCOPE_MAX + 1)}, "categories"),
        ("percent", {"categories": [" "]}, "categories"),
        ("percent", {"stores": ["s-1"] * (SCOPE_MAX + 1)}, "stores"),
        ("percent", {"stores": ["s|1"]}, "stores"),
        ("percent", {"surprise": 1}, "surprise"),
    ],
)
async def test_nonsense_is_refused_and_the_field_is_named(
    shop: Inside, kind: str, members: dict[str, Any], field: str
) -> None:
    """422, and nothing is kept."""
    assert f"'{field}" in refused(await put(shop, "p-1", {**BY_KIND[kind], **members}), 422, "invalid_request")
    assert await listed(shop) == []


async def test_the_bounds_themselves_are_fine(shop: Inside) -> None:
    """Nothing off and all off; the largest amounts and numbers; as many in a scope as may be."""
    bounds: list[tuple[str, dict[str, Any]]] = [
        ("percent", {"value": 0}),
        ("percent", {"value": 100, "per_account": ordering.PER_ACCOUNT_MAX}),
        ("amount_off", {"value": MONEY_MAX, "min_total": MONEY_MAX}),
        ("coupon", {"value": 1, "per_account": 1}),
        ("flash", {"value": MONEY_MAX, "min_total": 0}),
        ("buy_n_pay_m", {"value": {"n": 1000, "m": 999}, "categories": [f"c{n}" for n in range(SCOPE_MAX)]}),
        ("buy_n_pay_m", {"value": {"n": 2, "m": 1}, "spus": ["milk"] * SCOPE_MAX}),
    ]
    for n, (kind, members) in enumerate(bounds):
        shown = ok(await put(shop, f"p-{n}", {**BY_KIND[kind], **members}))
        assert shown["value"] == members["value"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("<script>alert(1)</script>", True),
        ("'; drop table promotions; --", True),
        ("\u202eabc", True),
        ("a\x00b", False),
        ("\u200b", False),
        ("x" * 100_000, False),
    ],
)
async def test_hostile_text_is_kept_as_it_is_or_refused(shop: Inside, text: str, is_one: bool) -> None:
    """As a category it is what it is, unless it shows nothing or cannot be kept; as an id it is never one."""
    answer = await put(shop, "p-1", categories=[text])
    if is_one:
        assert ok(answer)["categories"] == ok(await shop.ask("GET", "/promotions/p-1"))["categories"] == [text]
    else:
        refused(answer, 422, "invalid_request")
    for scope in ({"spus": [text]}, {"stores": [text]}):
        refused(await put(shop, "p-2", {**TENTH, **scope}), 422, "invalid_request")
    assert await listed(shop) == ["p-1"] * is_one


async def test_a_million_spus_are_turned_away(shop: Inside) -> None:
    """Before anybody looks them up."""
    assert (await put(shop, "p-1", spus=["milk"] * 1_000_000)).status_code == 413
    refused(await put(shop, "p-1", spus=["a"] * 60_000), 422, "invalid_request")


async def test_a_scope_of_what_there_is_not_is_told(shop: Inside) -> None:
    """A mistyped SPU would do nothing, and say nothing."""
    told = refused(
        await put(shop, "p-1", spus=["milk", "mlik", *(f"x-{n}" for n in range(99))]), 422, "product_unknown"
    )
    assert "mlik" in told
    assert "milk" not in told
    assert len(told) < 200
    assert "s-9" in refused(await put(shop, "p-1", stores=["s-1", "s-9"]), 422, "store_unknown")
    assert await listed(shop) == []


async def test_the_kind_is_fixed(shop: Inside) -> None:
    """Orders were priced with it, and accounts claimed it as what it was; also when it is over."""
    ok(await put(shop, "p-1"))
    assert "percent" in refused(await put(shop, "p-1", BY_KIND["flash"]), 409, "promotion_kind_fixed")
    ok(await shop.ask("DELETE", "/promotions/p-1"), 204)
    refused(await put(shop, "p-1", BY_KIND["coupon"]), 409, "promotion_kind_fixed")


async def test_automatic_promotions_are_bounded(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are running or to come, since pricing keeps them all in memory; coupons and what is over are not
    counted, and those that there are can be changed. However many come at once."""
    monkeypatch.setattr(promotions_api, "PROMOTIONS_MAX", 2)
    answers = await asyncio.gather(*(put(shop, f"p-{n}", ends_at=at(2 + n)) for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    refused(await put(shop, "more"), 409, "too_many_promotions")
    ok(await put(shop, "code", BY_KIND["coupon"]))
    ok(await put(shop, "old", starts_at=at(-2), ends_at=at(-1)))
    some = (await listed(shop, "?state=running&kind=percent"))[0]
    ok(await put(shop, some, value=20))
    ok(await shop.ask("DELETE", f"/promotions/{some}"), 204)
    ok(await put(shop, "more"))


async def test_what_all_scopes_name_is_bounded(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together, and by what would be in them; one that names less makes room."""
    monkeypatch.setattr(promotions_api, "NAMED_MAX", 4)
    ok(await put(shop, "p-1", spus=["milk", "bread"], stores=["s-1"]))
    ok(await put(shop, "p-2", categories=["fresh"]))
    told = refused(await put(shop, "p-3", stores=["s-2"]), 409, "too_many_promotions")
    assert "5 names" in told
    ok(await put(shop, "p-1", spus=["milk", "bread"]))
    ok(await put(shop, "p-3", stores=["s-2"]))


# -- flash sales -------------------------------------------------------------------------------------------------------


async def test_the_stores_are_told_of_a_flash_sale(shop: Inside) -> None:
    """Before the PUT answers; again when it is put again, since a store may have opened; and of its end."""

    def said() -> list[str]:
        return [type_ for commit in shop.commits for type_ in types_said(commit)]

    ok(await put(shop, "p-1"))
    assert said() == []
    body = {**BY_KIND["flash"], "starts_at": at(-1), "ends_at": at(1)}
    for times in (1, 2):
        ok(await put(shop, "sale", body))
        assert said() == ["AnnounceSale"] * times
    ok(await put(shop, "sale", body, stores=[]))
    assert said() == ["AnnounceSale"] * 4
    ok(await put(shop, "sale", body))  # one store again; the other is told that it ends there
    assert said() == ["AnnounceSale"] * 6
    ok(await shop.ask("DELETE", "/promotions/sale"), 204)
    assert said() == ["AnnounceSale"] * 8
    assert await revisions(shop, "sale") == [1, 2, 3, 4]


# -- orders ------------------------------------------------------------------------------------------------------------


async def test_an_order_shows_what_was_taken_off_its_lines(shop: Inside) -> None:
    """Line by line; the lines' totals are the total, and what was put since is in the price of the next order."""
    ok(await put(shop, "tenth", value=10, spus=["milk"]))
    ok(await put(shop, "code", {"kind": "coupon", "value": 100}))
    page = ok(await place(shop, {"milk": 2, "bread": 1}, coupons=["code"]), 202)
    asked = ("spu", "unit_price", "discount", "total", "promotions", "left")
    assert [tuple(line[name] for name in asked) for line in page["lines"]] == [
        ("milk", 129, 66, 192, [{"id": "tenth", "discount": 26}, {"id": "code", "discount": 40}], 2),
        ("bread", 349, 60, 289, [{"id": "code", "discount": 60}], 1),
    ]
    assert page["total"] == sum(line["total"] for line in page["lines"]) == 481
    assert (page["coupons"], page["denied"]) == (["code"], [])
    ok(await shop.ask("DELETE", "/promotions/tenth"), 204)
    plain = ok(await place(shop, {"milk": 2}), 202)
    assert [(line["discount"], line["promotions"]) for line in plain["lines"]] == [(0, [])]
    assert (plain["total"], plain["coupons"], plain["denied"]) == (258, [], [])
    assert ok(await shop.ask("GET", f"/orders/{page['order_id']}")) == {
        **page,
        "allowed": ["cancel"],
        "screening": None,
    }


async def test_pieces_that_others_came_for_are_shown_at_what_was_paid(shop: Inside) -> None:
    """Two cartons for 245: one is left, and a substitute came for the other, at 122."""
    ok(await put(shop, "p-1", value=5, spus=["milk"]))
    ok(await shop.ask("PUT", "/products/oat", {"name": "oat", "price": 140}))
    click, taken = CLICK.model_copy(update={"expected_total": 594}), TAKEN.model_copy(update={"amount": 594})
    way: list[Message] = [BASKET, CLEARED, HELD, click, VERIFIED, taken, DEDUCTED, PICKING, ONE_SHORT, OAT, SUBSTITUTED]
    for message in way:
        await shop.hear(message)
    page = ok(await shop.ask("GET", "/orders/o-1"))
    assert (page["phase"], page["total"], page["paid"]) == ("picking", 594, 594)
    milk, bread = page["lines"]
    assert (milk["quantity"], milk["discount"], milk["total"], milk["left"]) == (2, 13, 245, 1)
    assert (bread["total"], bread["left"]) == (349, 1)
    assert page["substitutes"] == [{"spu": "oat", "quantity": 1, "instead_of": "milk", "price": 140, "paid": 122}]


async def test_the_largest_discount_leaves_nothing_to_pay(shop: Inside) -> None:
    """Never below zero, whatever overlaps."""
    ok(await put(shop, "all", value=100))
    ok(await put(shop, "half", value=50))
    ok(await put(shop, "off", {"kind": "amount_off", "value": MONEY_MAX}))
    page = ok(await place(shop, {"milk": 2, "bread": 1}), 202)
    assert page["total"] == 0
    assert [line["promotions"] for line in page["lines"]] == [
        [{"id": "all", "discount": 258}],
        [{"id": "all", "discount": 349}],
    ]


async def test_coupons_are_refused_with_words(shop: Inside) -> None:
    """Each for its own reason; the order is not placed."""
    ok(await put(shop, "mine", {"kind": "coupon", "value": 5, "account": "a-1"}))
    ok(await put(shop, "old", {"kind": "coupon", "value": 5}, starts_at=at(-2), ends_at=at(-1)))
    ok(await put(shop, "dear", {"kind": "coupon", "value": 5, "min_total": 10_000}))
    ok(await put(shop, "far", {"kind": "coupon", "value": 5, "stores": ["s-2"]}))
    ok(await put(shop, "auto"))
    for codes, account, status, code in (
        (["nonsuch"], "a-1", 422, "coupon_unknown"),
        (["auto"], "a-1", 422, "coupon_unknown"),
        (["mine"], "a-2", 422, "coupon_unknown"),
        (["mine", "old"], "a-1", 409, "coupon_not_valid"),
        (["far"], "a-1", 409, "coupon_not_valid"),
        (["dear"], "a-1", 409, "coupon_does_not_apply"),
        (["mine", "mine"], "a-1", 422, "invalid_request"),
        ([f"c-{n}" for n in range(21)], "a-1", 422, "invalid_request"),
        (["a|b"], "a-1", 422, "invalid_request"),
    ):
        told = refused(await place(shop, {"milk": 1}, account, coupons=codes), status, code)
        assert "coupon" in told, told
    assert ok(await shop.ask("GET", "/orders"))["items"] == []
    assert ok(await place(shop, {"milk": 1}, coupons=["mine"]), 202)["coupons"] == ["mine"]


async def test_a_coupon_used_meanwhile_is_denied_on_the_click(shop: Inside) -> None:
    """Two orders of one account name it and both are payable; the second to click comes back at the ordinary price."""
    ok(await put(shop, "once", {"kind": "coupon", "value": 29}))
    orders = [await payable(shop, {"milk": 1}, coupons=["once"]) for _ in range(2)]
    for order_id in orders:
        pay = {"method": "tok_ok", "expected_total": 100}
        ok(await shop.ask("POST", f"/orders/{order_id}/pay", pay), 202)
        await hear_through(shop, inventory.StockVerified(order_id=order_id))
    first, second = [ok(await shop.ask("GET", f"/orders/{order_id}")) for order_id in orders]
    assert (first["phase"], first["total"], first["denied"]) == ("paying", 100, [])
    assert (second["phase"], second["total"], second["denied"]) == ("awaiting_payment", 129, ["once"])
    assert (second["lines"][0]["discount"], second["lines"][0]["promotions"]) == (0, [])
    refused(await place(shop, {"milk": 1}, coupons=["once"]), 409, "coupon_used")
