"""Inventory on its real tables and routes: what is decided is kept, and people see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.inventory.main import SERVICE
from shared.contracts.inventory import DeductStock, HoldStock, ReleaseStock, ReverseIssue, VerifyStock
from tests.parts import RealParts
from tests.services.alone import Alone, alone, ok, problem

pytestmark = pytest.mark.parts

RECEIPTS, ADJUSTMENTS = "/stores/s-1/goods-receipts", "/stores/s-1/adjustments"


@pytest.fixture
async def inventory(parts: RealParts) -> AsyncIterator[Alone]:
    """Inventory, with ten apples and five milk in store s-1."""
    async with alone(SERVICE, await parts.fresh_database()) as it:
        ok(await it.post(RECEIPTS, goods(apple=10, milk=5), "storekeeper"), 202)
        yield it


def goods(**lines: int) -> dict[str, Any]:
    return {"lines": [{"spu": spu, "quantity": quantity} for spu, quantity in lines.items()]}


def count(reason: str = "counted", **lines: int) -> dict[str, Any]:
    return {"lines": [{"spu": spu, "delta": delta} for spu, delta in lines.items()], "reason": reason}


def about(order: str) -> dict[str, str]:
    return {"order_id": order, "store": "s-1"}


def hold(order: str, mode: Any = "lock", **lines: int) -> HoldStock:
    return HoldStock(**about(order), mode=mode, spus=tuple(lines), quantities=tuple(lines.values()))


async def stock(it: Alone, spu: str) -> tuple[int, int, int]:
    page = ok(await it.get(f"/stores/s-1/stock/{spu}"))
    return page["on_hand"], page["locked"], page["available"]


async def test_a_hold_lives_through_the_tables(inventory: Alone) -> None:
    """Every step finds what the step before has saved, alone in its batch or with all others."""
    assert await inventory.tell(hold("o-1", apple=4, milk=1)) == ["StockHeld"]
    assert await stock(inventory, "apple") == (10, 4, 6)
    assert await inventory.tell(VerifyStock(**about("o-1"))) == ["StockVerified"]
    assert await inventory.tell(DeductStock(**about("o-1"))) == ["StockDeducted"]
    assert await stock(inventory, "apple") == (6, 0, 6)
    assert await inventory.tell(ReverseIssue(**about("o-1"))) == ["IssueReversed"]
    assert await stock(inventory, "apple") == (10, 0, 10)
    assert await inventory.tell(
        hold("o-2", "on_payment", apple=10),
        hold("o-3", apple=1),
        VerifyStock(**about("o-2")),
        hold("o-4", milk=6),
        ReleaseStock(**about("o-4")),
        DeductStock(**about("o-2")),
        ReleaseStock(**about("o-3")),
    ) == ["StockHeld", "StockHeld", "StockGone", "StockShort", "StockReleased", "StockSoldOut", "StockReleased"]
    assert await stock(inventory, "apple") == (10, 0, 10)


async def test_the_ledger_sums_up_to_the_stock(inventory: Alone) -> None:
    """On hand and locked are the sums of the movements; each names its document, or the order of its hold."""
    await inventory.tell(hold("o-1", apple=4, milk=1), hold("o-2", apple=2), ReleaseStock(**about("o-2")))
    await inventory.tell(DeductStock(**about("o-1")), hold("o-3", milk=2))
    for spu in ("apple", "milk"):
        movements = ok(await inventory.get(f"/stores/s-1/ledger?spu={spu}"))["items"]
        assert {m["spu"] for m in movements} == {spu}
        assert all(m["document"] or m["order_id"] for m in movements)
        sums = sum(m["on_hand"] for m in movements), sum(m["locked"] for m in movements)
        assert sums == (await stock(inventory, spu))[:2]
    apples = ok(await inventory.get("/stores/s-1/ledger?spu=apple"))["items"]
    assert [m["kind"] for m in apples] == ["sales_issue", "unlock", "lock", "lock", "goods_receipt"]
    assert apples[0]["document"] == "SI-o-1"


async def test_the_ledger_comes_in_pages(inventory: Alone) -> None:
    """Page by page it is the same as at once, though a page ends in the middle of a movement of several cells."""
    await inventory.tell(hold("o-1", apple=4, milk=1), hold("o-2", apple=2, milk=1))
    whole = ok(await inventory.get("/stores/s-1/ledger"))["items"]
    assert [(m["spu"], m["locked"]) for m in whole] == [
        ("apple", 2), ("milk", 1), ("apple", 4), ("milk", 1), ("apple", 0), ("milk", 0)
    ]  # fmt: skip
    paged: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = ok(await inventory.get(f"/stores/s-1/ledger?limit=1{cursor and '&cursor=' + cursor}"))
        paged += page["items"]
        cursor = page["next"]
    assert paged == whole
    assert ok(await inventory.get("/stores/s-2/ledger"))["items"] == []


async def test_documents_of_an_order(inventory: Alone) -> None:
    """The issue and its reversal, in the order in which they were written."""
    await inventory.tell(hold("o-1", apple=4, milk=1), DeductStock(**about("o-1")))
    await inventory.tell(ReverseIssue(**about("o-1")))
    issue, reversal = ok(await inventory.get("/documents?order=o-1", "customer_service"))["items"]
    assert (issue["number"], issue["kind"], issue["reverses"]) == ("SI-o-1", "sales_issue", None)
    assert issue["lines"] == [{"spu": "apple", "quantity": 4}, {"spu": "milk", "quantity": 1}]
    assert (reversal["kind"], reversal["reverses"]) == ("issue_reversal", "SI-o-1")
    assert ok(await inventory.get("/documents/SI-o-1")) == issue
    problem(await inventory.get("/documents/SI-o-2"), 404, "document_unknown")
    assert ok(await inventory.get("/documents?order=o-2"))["items"] == []


async def test_goods_come_in(inventory: Alone) -> None:
    """The answer is the receipt, and the same key and body get the same one without more goods."""
    body = {
        "lines": [{"spu": "apple", "quantity": 3}, {"spu": "bread", "quantity": 1}, {"spu": "apple", "quantity": 2}]
    }
    answer = await inventory.post(RECEIPTS, body, "storekeeper", "k-1")
    receipt = ok(answer, 202)
    assert (receipt["kind"], receipt["actor"]) == ("goods_receipt", "storekeeper:")
    assert receipt["lines"] == [{"spu": "apple", "quantity": 5}, {"spu": "bread", "quantity": 1}]
    assert ok(await inventory.get(answer.headers["Location"])) == receipt
    assert ok(await inventory.post(RECEIPTS, body, "storekeeper", "k-1"), 202) == receipt
    problem(await inventory.post(RECEIPTS, goods(apple=1), "storekeeper", "k-1"), 422, "idempotency_key_reused")
    assert await stock(inventory, "apple") == (15, 0, 15)
    rows = ok(await inventory.get("/stores/s-1/stock?limit=2"))
    assert [row["spu"] for row in rows["items"]] == ["apple", "bread"]
    assert ok(await inventory.get(f"/stores/s-1/stock?cursor={rows['next']}"))["items"][0]["spu"] == "milk"


async def test_a_count_corrects_the_stock(inventory: Alone) -> None:
    """Down to what is locked, and no further."""
    await inventory.tell(hold("o-1", apple=4))
    adjusted = ok(await inventory.post(ADJUSTMENTS, count(apple=-6, bread=2), "storekeeper"), 202)
    assert (adjusted["kind"], adjusted["reason"]) == ("adjustment", "counted")
    assert adjusted["lines"] == [{"spu": "apple", "quantity": -6}, {"spu": "bread", "quantity": 2}]
    assert await stock(inventory, "apple") == (4, 4, 0)
    problem(await inventory.post(ADJUSTMENTS, count(apple=-1), "storekeeper"), 409, "adjustment_below_locked")
    assert await stock(inventory, "apple") == (4, 4, 0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RECEIPTS, {"lines": []}),
        (RECEIPTS, goods(apple=0)),
        (RECEIPTS, goods(apple=10**9)),
        (RECEIPTS, {"lines": [{"spu": "apple", "quantity": 1.5}]}),
        (RECEIPTS, {"lines": [{"spu": "", "quantity": 1}]}),
        (RECEIPTS, {"lines": [{"spu": "apple", "quantity": 1}] * 201}),
        (RECEIPTS, None),
        (ADJUSTMENTS, count(apple=0)),
        (ADJUSTMENTS, count("", apple=1)),
        (ADJUSTMENTS, {"lines": [{"spu": "apple", "delta": 1}]}),
    ],
)
async def test_refused_when_the_body_makes_no_sense(inventory: Alone, path: str, body: Any) -> None:
    """422 before anything is sent."""
    commits = len(inventory.commits)
    problem(await inventory.post(path, body, "storekeeper"), 422, "invalid_request")
    assert len(inventory.commits) == commits


async def test_never_seen_stock_is_none(inventory: Alone) -> None:
    """An SPU that never came in is not there: zeros, and no riddle."""
    assert await stock(inventory, "caviar") == (0, 0, 0)


async def test_who_may_what(inventory: Alone) -> None:
    """Storekeepers receive, in their own store; customers see no stock; customer service may look."""
    problem(await inventory.post(RECEIPTS, goods(apple=1), "picker"), 403, "wrong_role")
    problem(await inventory.post(RECEIPTS, goods(apple=1), "storekeeper", store="s-2"), 403, "wrong_store")
    ok(await inventory.post(RECEIPTS, goods(apple=1), "storekeeper", store="s-1"), 202)
    ok(await inventory.get("/stores/s-1/stock/apple", "customer_service"))
    problem(await inventory.get("/stores/s-1/stock/apple", "customer", account="a-1"), 403, "wrong_role")
    problem(await inventory.get("/stores/s-1/ledger", "storekeeper", store="s-2"), 403, "wrong_store")
    await inventory.tell(hold("o-1", apple=1), DeductStock(**about("o-1")))
    problem(await inventory.get("/documents/SI-o-1", "storekeeper", store="s-2"), 403, "wrong_store")
    problem(await inventory.get("/documents?order=o-1", "storekeeper", store="s-2"), 403, "wrong_store")
