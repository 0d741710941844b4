"""Rushes over HTTP, on a real database: while one is on, who pays first is served first."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.order import promotions_api
from services.order.promotions_api import SCOPE_MAX
from shared.contracts import inventory, risk
from tests.services.inside import Inside
from tests.services.test_promotions_service import at, ok, place, refused, shop

__all__ = ["shop"]
pytestmark = pytest.mark.parts


async def put(shop: Inside, id_: str = "r-1", **members: Any) -> httpx.Response:
    """PUTs a rush that is on for a day, unless the members say otherwise."""
    return await shop.ask("PUT", f"/rushes/{id_}", {"starts_at": at(-1), "ends_at": at(1), **members})


async def listed(shop: Inside, query: str = "", role: str = "picker") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ok(await shop.ask("GET", f"/rushes{query}", role=role))["items"]
    return items


async def cleared(shop: Inside, spu: str) -> dict[str, Any]:
    """The page of an order of this SPU that risk cleared."""
    order_id = ok(await place(shop, {spu: 1}), 202)["order_id"]
    await shop.hear(risk.OrderCleared(order_id=order_id))
    await shop.hear(inventory.StockHeld(order_id=order_id, mode="lock"))
    return dict(ok(await shop.ask("GET", f"/orders/{order_id}")))


async def test_what_get_gives_can_be_put_back(shop: Inside) -> None:
    """Of one store or of all, of some SPUs or of all; another body is what stands from now on."""
    every = ok(await put(shop, "every"))
    some = ok(await put(shop, "some", store="s-1", spus=["oat", "milk", "oat"], starts_at=at(1), ends_at=at(2)))
    assert (every["store"], every["spus"], every["state"]) == (None, [], "running")
    assert (some["store"], some["spus"], some["state"]) == ("s-1", ["milk", "oat"], "to_come")
    assert await listed(shop) == [every, some]
    for one in (every, some):
        assert ok(await shop.ask("GET", f"/rushes/{one['id']}", role="courier")) == one
        assert ok(await shop.ask("PUT", f"/rushes/{one['id']}", one)) == one
    changed = ok(await put(shop, "some", starts_at=at(-2), ends_at=at(-1)))
    assert (changed["store"], changed["spus"], changed["state"]) == (None, [], "over")
    assert await listed(shop) == [every, changed]


async def test_the_list_is_filtered_and_paged(shop: Inside) -> None:
    """A rush of all stores is one of each."""
    for id_, store in (("a", None), ("b", "s-1"), ("c", "s-2")):
        ok(await put(shop, id_, store=store))
    ok(await put(shop, "d", starts_at=at(-2), ends_at=at(-1)))

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in await listed(shop, query)]

    assert await ids("?store=s-1") == ["a", "b", "d"]
    assert await ids("?store=s-1&state=running") == ["a", "b"]
    assert await ids("?state=over") == ["d"]
    page = ok(await shop.ask("GET", "/rushes?limit=3"))
    assert await ids(f"?limit=3&cursor={page['next']}") == ["d"]


async def test_it_goes_with_a_delete(shop: Inside) -> None:
    """And the next order is as ever."""
    ok(await put(shop))
    ok(await shop.ask("DELETE", "/rushes/r-1"), 204)
    for method in ("GET", "DELETE"):
        refused(await shop.ask(method, "/rushes/r-1"), 404, "rush_unknown")
    assert (await cleared(shop, "milk"))["hold_mode"] == "lock"


async def test_who_pays_first_is_served_first_while_it_lasts(shop: Inside) -> None:
    """Whatever risk says; and its word is still shown as what it was."""
    ok(await put(shop, store="s-1", spus=["milk"]))
    in_rush = await cleared(shop, "milk")
    assert (in_rush["hold_mode"], in_rush["screening"]["verdict"]) == ("on_payment", "clear")
    assert (await cleared(shop, "bread"))["hold_mode"] == "lock"
    ok(await put(shop, store="s-2"))
    assert (await cleared(shop, "milk"))["hold_mode"] == "lock"
    ok(await put(shop))
    assert (await cleared(shop, "bread"))["hold_mode"] == "on_payment"


@pytest.mark.parametrize(
    ("members", "code", "field"),
    [
        ({"ends_at": at(-1)}, "invalid_request", "ends_at"),
        ({"ends_at": None}, "invalid_request", "ends_at"),
        ({"starts_at": "now"}, "invalid_request", "starts_at"),
        ({"spus": None}, "invalid_request", "spus"),
        ({"spus": "milk"}, "invalid_request", "spus"),
        ({"spus": ["a\x00b"]}, "invalid_request", "spus"),
        ({"spus": ["milk"] * (SCOPE_MAX + 1)}, "invalid_request", "spus"),
        ({"store": ""}, "invalid_request", "store"),
        ({"store": ["s-1"]}, "invalid_request", "store"),
        ({"id": "r-2"}, "invalid_request", "id"),
        ({"surprise": 1}, "invalid_request", "surprise"),
        ({"spus": ["milk", "mlik"]}, "product_unknown", "mlik"),
        ({"store": "s-9"}, "store_unknown", "s-9"),
    ],
)
async def test_nonsense_is_refused_and_the_field_is_named(
    shop: Inside, members: dict[str, Any], code: str, field: str
) -> None:
    """422, and nothing is kept."""
    assert field in refused(await put(shop, **members), 422, code)
    assert await listed(shop) == []


async def test_rushes_are_bounded(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are running or to come, however many are put at once; one that there is can be changed."""
    monkeypatch.setattr(promotions_api, "RUSHES_MAX", 2)
    answers = await asyncio.gather(*(put(shop, f"r-{n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409, 409]
    refused(await put(shop, "more"), 409, "too_many_rushes")
    ok(await put(shop, "old", starts_at=at(-2), ends_at=at(-1)))
    there = [one["id"] for one in await listed(shop, "?state=running")]
    ok(await put(shop, there[0], starts_at=at(-2), ends_at=at(-1)))
    ok(await put(shop, "more"))


async def test_what_all_rushes_name_is_bounded(shop: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together."""
    monkeypatch.setattr(promotions_api, "NAMED_MAX", 2)
    ok(await put(shop, "r-1", spus=["milk"]))
    refused(await put(shop, "r-2", spus=["milk", "oat"]), 409, "too_many_rushes")
    ok(await put(shop, "r-2", spus=["oat"]))


async def test_who_works_here_reads_and_admin_writes(shop: Inside) -> None:
    """Customers do neither."""
    ok(await put(shop))
    for role in ("picker", "courier", "storekeeper", "customer_service", "risk_analyst"):
        assert [one["id"] for one in await listed(shop, role=role)] == ["r-1"]
        for method in ("PUT", "DELETE"):
            body = {"starts_at": at(-1), "ends_at": at(1)} if method == "PUT" else None
            refused(await shop.ask(method, "/rushes/r-1", body, role=role), 403, "wrong_role")
    for path in ("/rushes", "/rushes/r-1"):
        refused(await shop.ask("GET", path, role="customer", account="a-1"), 403, "wrong_role")
