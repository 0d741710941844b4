"""Inventory's flash allotments and goods that are to come, on its real tables and routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.inventory.api import routes
from services.inventory.decider import DECIDER
from services.inventory.state import incoming_cell, owed_cell, sale_cell
from services.inventory.store import InventoryStore
from shared.contracts import inventory
from tests.parts import RealParts
from tests.services.inside import Inside, inside, types_said
from tests.services.test_inventory_service import (
    ADJUSTMENTS,
    RECEIPTS,
    about,
    bearer,
    count,
    get,
    goods,
    hold,
    in_one_batch,
    ok,
    post,
    problem,
    stock,
)

pytestmark = pytest.mark.parts

SALES = "/stores/s-1/flash-allotments"
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """Inventory, with ten apples and five milk in store s-1."""
    async with inside(DECIDER, InventoryStore(), routes, parts.fresh_database) as it:
        ok(await post(it, RECEIPTS, goods(apple=10, milk=5)), 202)
        yield it


async def put(it: Inside, path: str, body: Any, role: str = "storekeeper", store: str | None = None) -> httpx.Response:
    """What somebody of this role is answered."""
    return await it.ask("PUT", path, body, headers=bearer(role, None, store))


def allotment(quantity: Any, spu: str = "apple") -> dict[str, Any]:
    """The body of a flash allotment."""
    return {"spu": spu, "quantity": quantity}


def buy(
    order: str, sale: dict[str, str] | None = None, presale: tuple[str, ...] = (), **lines: int
) -> inventory.HoldStock:
    """An order asks for these, on sale or to come."""
    return hold(order, "on_payment", **lines).model_copy(
        update={"on_sale": on_sale(sale or {}), "presale": presale or None}
    )


def on_sale(sale: dict[str, str]) -> inventory.OnSale | None:
    return inventory.OnSale(spus=tuple(sale), promotions=tuple(sale.values())) if sale else None


def deduct(order: str) -> inventory.DeductStock:
    return inventory.DeductStock(**about(order))


def announce(ends_at: datetime, promotion: str = "tenth") -> inventory.AnnounceSale:
    return inventory.AnnounceSale(store="s-1", promotion=promotion, ends_at=ends_at)


async def allot(it: Inside, quantity: int, spu: str = "apple", promotion: str = "tenth") -> Any:
    """Pieces are set aside; the answer's body."""
    return ok(await put(it, f"{SALES}/{promotion}", allotment(quantity, spu)))


async def sales(it: Inside, path: str = "/tenth") -> Any:
    """What the store's page of a sale shows."""
    return ok(await get(it, f"{SALES}{path}"))


TENTH = {"apple": "tenth"}


async def test_a_sale_lives_through_the_tables(service: Inside) -> None:
    """Every step finds what the steps before have saved: set aside, sold, sold out, reversed, ended."""
    page = await allot(service, 2)
    assert page == {
        "store": "s-1", "promotion": "tenth", "spu": "apple", "quantity": 2, "left": 2, "sold": 0, "ends_at": None,
        "phase": "open",
    }  # fmt: skip
    await service.forget()
    assert await in_one_batch(service, announce(LATER)) == []
    assert datetime.fromisoformat((await sales(service))["ends_at"]) == LATER
    assert await stock(service, "apple") == (10, 2, 8)
    orders = [f"o-{n}" for n in range(4)]
    assert await in_one_batch(service, *(buy(o, TENTH, apple=1) for o in orders)) == ["StockHeld"] * 4
    verify = [inventory.VerifyStock(**about(o), on_sale=on_sale(TENTH)) for o in orders]
    assert await in_one_batch(service, *verify) == ["StockVerified"] * 4
    said = await in_one_batch(service, *(deduct(o) for o in orders))
    assert said == ["StockDeducted", "StockDeducted", "StockSoldOut", "StockSoldOut"]
    assert await stock(service, "apple") == (8, 0, 8)
    assert ((await sales(service))["left"], (await sales(service))["sold"]) == (0, 2)
    assert await in_one_batch(service, inventory.ReverseIssue(**about("o-0"))) == ["IssueReversed"]
    assert await stock(service, "apple") == (9, 1, 8)
    await service.forget()
    await service.time_passes(2 * 3600)
    after = await sales(service)
    assert (after["phase"], after["quantity"], after["left"], after["sold"]) == ("over", 2, 0, 1)
    assert await stock(service, "apple") == (9, 0, 9)
    problem(await put(service, f"{SALES}/tenth", allotment(3)), 409, "sale_over")


async def test_setting_the_same_again_moves_nothing(service: Inside) -> None:
    """The same answer, and no row in the ledger."""
    first = await allot(service, 4)
    rows = ok(await get(service, "/stores/s-1/ledger"))["items"]
    assert await allot(service, 4) == first
    assert ok(await get(service, "/stores/s-1/ledger"))["items"] == rows


async def test_the_ledger_says_what_moved_for_which_sale(service: Inside) -> None:
    """Under the SPU, with what it is of; on hand and locked of a page are not names of cells."""
    await allot(service, 4)
    await in_one_batch(service, buy("o-1", TENTH, apple=1), deduct("o-1"))
    rows = ok(await get(service, "/stores/s-1/ledger?spu=apple"))["items"]
    assert [(r["kind"], r["spu"], r["of"], r["on_hand"]) for r in rows] == [
        ("sales_issue", "apple", "tenth", -1),
        ("allot", "apple", None, -4),
        ("allot", "apple", "tenth", 4),
        ("goods_receipt", "apple", None, 10),
    ]
    assert sum(r["on_hand"] for r in rows) == (await stock(service, "apple"))[0]
    page = ok(await get(service, "/stores/s-1/ledger?spu=app"))["items"]
    assert page == []


async def test_lists_of_stock_show_spus(service: Inside) -> None:
    """Whatever cells they have, page by page."""
    await allot(service, 4)
    ok(await put(service, "/stores/s-1/incoming/apple", {"quantity": 7}))
    ok(await put(service, "/stores/s-1/incoming/zest", {"quantity": 1}))
    first = ok(await get(service, "/stores/s-1/stock?limit=2"))
    second = ok(await get(service, f"/stores/s-1/stock?limit=2&cursor={first['next']}"))
    rows = [(r["spu"], r["on_hand"], r["locked"], r["incoming"]) for r in first["items"] + second["items"]]
    assert rows == [("apple", 10, 4, 7), ("milk", 5, 0, 0), ("zest", 0, 0, 1)]
    assert second["next"] is None


async def test_goods_that_are_to_come_are_sold_and_come(service: Inside) -> None:
    """What is sold of them is owed until it comes; what goes back before may be promised again."""
    page = ok(await put(service, "/stores/s-1/incoming/fig", {"quantity": 8}))
    assert page == {
        "store": "s-1", "spu": "fig", "on_hand": 0, "locked": 0, "available": 0, "incoming": 8, "presold": 0
    }  # fmt: skip
    assert await in_one_batch(service, buy("o-1", None, ("fig",), fig=3), buy("o-2", None, ("fig",), fig=2)) == [
        "StockHeld", "StockHeld",
    ]  # fmt: skip
    assert await in_one_batch(service, inventory.VerifyStock(**about("o-1")), deduct("o-1")) == [
        "StockVerified", "StockDeducted",
    ]  # fmt: skip
    await in_one_batch(service, deduct("o-2"))
    page = ok(await get(service, "/stores/s-1/stock/fig"))
    assert (page["on_hand"], page["incoming"], page["presold"]) == (0, 8, 5)
    problem(await put(service, "/stores/s-1/incoming/fig", {"quantity": 4}), 409, "incoming_below_sold")
    await in_one_batch(service, inventory.ReverseIssue(**about("o-2")))
    await in_one_batch(service, inventory.DropShort(**about("o-1"), spus=("fig",), missing=(1,)))
    page = ok(await get(service, "/stores/s-1/stock/fig"))
    assert (page["on_hand"], page["incoming"], page["presold"]) == (0, 7, 2)
    ok(await post(service, RECEIPTS, goods(fig=6)), 202)
    page = ok(await get(service, "/stores/s-1/stock/fig"))
    assert (page["on_hand"], page["incoming"], page["presold"]) == (4, 1, 0)
    rows = ok(await get(service, "/stores/s-1/ledger?spu=fig"))["items"]
    assert {(r["kind"], r["of"]) for r in rows} >= {
        ("expect", "+incoming"), ("arrive", "+owed"), ("arrive", None), ("sales_issue", "+owed"),
    }  # fmt: skip
    documents = ok(await get(service, "/documents?order=o-1"))["items"]
    assert [d["number"] for d in documents] == ["SI-o-1", "IR-o-1"]


async def test_refused_with_reasons(service: Inside) -> None:
    """Each with the code that the documentation promises; nothing of it leaves a trace."""
    problem(await put(service, f"{SALES}/tenth", allotment(11)), 409, "allotment_over_stock")
    problem(await put(service, f"{SALES}/tenth", allotment(1, "caviar")), 409, "allotment_over_stock")
    problem(await get(service, f"{SALES}/tenth"), 404, "allotment_unknown")
    await allot(service, 2)
    problem(await put(service, f"{SALES}/other", allotment(1)), 409, "spu_has_allotment")
    problem(await put(service, f"{SALES}/tenth", allotment(1, "milk")), 409, "allotment_of_other_spu")
    await in_one_batch(service, buy("o-1", TENTH, apple=2), deduct("o-1"))
    problem(await put(service, f"{SALES}/tenth", allotment(1)), 409, "allotment_below_sold")
    await in_one_batch(service, announce(LATER - timedelta(days=1)))
    problem(await put(service, f"{SALES}/tenth", allotment(2)), 409, "sale_over")
    await service.forget()
    await allot(service, 1, promotion="other")
    problem(await put(service, f"{SALES}/third", allotment(1)), 409, "spu_has_allotment")
    await service.forget()
    problem(await put(service, f"{SALES}/third", allotment(1)), 409, "spu_has_allotment")
    assert [row["promotion"] for row in (await sales(service, ""))["items"]] == ["other", "tenth"]
    page = ok(await get(service, f"{SALES}?limit=1"))
    rest = ok(await get(service, f"{SALES}?limit=1&cursor={page['next']}"))
    assert [row["promotion"] for row in rest["items"]] == ["tenth"]


async def test_one_allotment_ends_and_another_begins_in_one_batch(service: Inside) -> None:
    """Whatever order they came to be known in: an SPU has one at any moment, and the database sees it that way."""
    await allot(service, 2)
    assert (
        await in_one_batch(
            service,
            announce(LATER, "other"),
            announce(LATER - timedelta(days=1)),
            inventory.SetAllotment(request_id="r-1", store="s-1", promotion="other", spu="apple", quantity=5),
        )
        == []
    )
    assert [(row["promotion"], row["phase"]) for row in (await sales(service, ""))["items"]] == [
        ("other", "open"), ("tenth", "over"),
    ]  # fmt: skip
    assert len(service.commits[-1].states) > 3  # one batch: it was not cut to pieces
    assert await stock(service, "apple") == (10, 5, 5)


async def test_a_count_takes_from_what_is_set_aside(service: Inside) -> None:
    """After the shelf and before holds; the page of the sale shows what is left of it."""
    await in_one_batch(service, hold("o-1", apple=3))
    await allot(service, 5)
    ok(await post(service, ADJUSTMENTS, count(apple=-4)), 202)
    assert await stock(service, "apple") == (6, 6, 0)
    assert ((await sales(service))["quantity"], (await sales(service))["left"]) == (3, 3)
    await service.forget()
    ok(await post(service, ADJUSTMENTS, count(apple=-4)), 202)
    assert types_said(service.commits[-1]) == ["StockLost", "StockAdjusted"]
    assert await stock(service, "apple") == (2, 0, 2)
    problem(await post(service, ADJUSTMENTS, count(apple=-3)), 409, "adjustment_below_zero")


SENSELESS: list[tuple[str, Any]] = [
    *((f"{SALES}/tenth", allotment(quantity)) for quantity in (0, -1, 10**9 + 1, 10_000_001, 1.5, "5", None, True)),
    *((f"{SALES}/tenth", allotment(1, spu)) for spu in ("", "a|b", "+incoming", "x" * 65, "a b", "é")),
    (f"{SALES}/tenth", {"spu": "apple"}),
    (f"{SALES}/tenth", []),
    (f"{SALES}/a%7Cb", allotment(1)),
    (f"{SALES}/+incoming", allotment(1)),
    *(("/stores/s-1/incoming/apple", {"quantity": quantity}) for quantity in (-1, 10_000_001, "1", None, 0.5)),
    ("/stores/s-1/incoming/apple%7C+owed", {"quantity": 1}),
]


async def test_refused_when_it_makes_no_sense(service: Inside) -> None:
    """422 before anything is sent; no name reaches a cell beside the shelf."""
    commits = len(service.commits)
    for path, body in SENSELESS:
        problem(await put(service, path, body), 422, "invalid_request")
    for cell in (sale_cell("apple", "tenth"), incoming_cell("apple"), owed_cell("apple")):
        problem(await get(service, f"/stores/s-1/stock/{cell.replace('|', '%7C')}"), 422, "invalid_request")
        problem(await post(service, RECEIPTS, goods(**{cell: 1})), 422, "invalid_request")
    assert len(service.commits) == commits


async def test_who_may_what(service: Inside) -> None:
    """Storekeepers of the store and admins; those who work there may look."""
    for path, body in ((f"{SALES}/tenth", allotment(1)), ("/stores/s-1/incoming/apple", {"quantity": 1})):
        problem(await put(service, path, body, "picker"), 403, "wrong_role")
        problem(await put(service, path, body, "storekeeper", "s-2"), 403, "wrong_store")
        ok(await put(service, path, body, "storekeeper", "s-1"))
        ok(await put(service, path, body, "admin"))
    for path in (SALES, f"{SALES}/tenth"):
        ok(await get(service, path, "picker"))
        problem(await get(service, path, "storekeeper", store="s-2"), 403, "wrong_store")
        problem(await get(service, path, "customer", account="a-1"), 403, "wrong_role")


async def test_messages_that_nobody_would_send_change_nothing(service: Inside) -> None:
    """SPUs on sale that are not in the basket, or in it twice, holds of no order: answered or parked, never counted."""
    await allot(service, 2)
    sale = {"milk": "tenth", "apple": "tenth", "caviar": "unheard-of"}
    assert await in_one_batch(service, buy("o-1", sale, ("caviar",), apple=1)) == ["StockHeld"]
    assert await in_one_batch(service, inventory.VerifyStock(**about("o-2"), on_sale=on_sale(TENTH))) == [
        "MessageParked"
    ]
    twice = inventory.HoldStock(
        **about("o-3"), mode="on_payment", spus=("apple", "apple"), quantities=(1, 2), on_sale=on_sale(TENTH)
    )
    assert await in_one_batch(service, twice, deduct("o-3")) == ["StockHeld", "StockDeducted"]
    assert (await sales(service))["sold"] == 0  # three are more than it had: from the shelf
    assert await in_one_batch(service, deduct("o-1"), inventory.ReleaseStock(**about("o-1"))) == [
        "StockDeducted", "MessageParked",
    ]  # fmt: skip
    assert ((await sales(service))["sold"], await stock(service, "apple")) == (1, (6, 1, 5))
