"""Inventory on its real tables and routes: what is decided is kept, and people see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.inventory import store
from services.inventory.api import routes
from services.inventory.decider import DECIDER
from services.inventory.store import InventoryStore
from shared import tokens
from shared.contracts import inventory
from shared.contracts.base import Message
from shared.runtime.envelope import Delivery
from tests.parts import RealParts
from tests.services.inside import SETTINGS, Inside, inside, types_said

pytestmark = pytest.mark.parts

RECEIPTS, ADJUSTMENTS = "/stores/s-1/goods-receipts", "/stores/s-1/adjustments"


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """Inventory, with ten apples and five milk in store s-1."""
    async with inside(DECIDER, InventoryStore(), routes, parts.fresh_database) as it:
        ok(await post(it, RECEIPTS, goods(apple=10, milk=5)), 202)
        yield it


def goods(**lines: int) -> dict[str, Any]:
    """The body of a goods receipt."""
    return {"lines": [{"spu": spu, "quantity": quantity} for spu, quantity in lines.items()]}


def count(reason: str = "counted", **lines: int) -> dict[str, Any]:
    """The body of an adjustment."""
    return {"lines": [{"spu": spu, "delta": delta} for spu, delta in lines.items()], "reason": reason}


def about(order: str) -> dict[str, Any]:
    """The fields of every message about an order."""
    return {"order_id": order, "store": "s-1"}


def hold(order: str, mode: Any = "lock", **lines: int) -> inventory.HoldStock:
    """An order asks for these."""
    return inventory.HoldStock(**about(order), mode=mode, spus=tuple(lines), quantities=tuple(lines.values()))


async def in_one_batch(it: Inside, *messages: Message) -> list[str]:
    """The messages come in one batch, on states that were loaded anew; the types of what is said."""
    await it.forget()
    commits = len(it.commits)
    await it._decide(
        [
            Delivery(m.TOPIC, 0, next(it._offsets), m.key.encode(), m.to_json(), "", m.TYPE, "test", m.subject)
            for m in messages
        ]
    )
    return [said for commit in it.commits[commits:] for said in types_said(commit)]


async def get(it: Inside, path: str, role: str = "admin", account: str | None = None, store: str | None = None) -> Any:
    """What somebody of this role sees there."""
    return await it.ask("GET", path, headers=bearer(role, account, store))


async def post(
    it: Inside, path: str, body: Any, role: str = "storekeeper", store: str | None = None, key: str = ""
) -> httpx.Response:
    """What somebody of this role is answered."""
    return await it.ask(
        "POST", path, body, headers=bearer(role, None, store) | ({"Idempotency-Key": key} if key else {})
    )


def bearer(role: str, account: str | None, store: str | None) -> dict[str, str]:
    """The header of somebody with such a token."""
    return {"Authorization": f"Bearer {tokens.create(SETTINGS, role, account, store)}"}


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that has to be good."""
    assert answer.status_code == status, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> None:
    """The answer has to be this problem."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text


async def stock(it: Inside, spu: str) -> tuple[int, int, int]:
    """On hand, locked and available pieces in s-1."""
    page = ok(await get(it, f"/stores/s-1/stock/{spu}"))
    return page["on_hand"], page["locked"], page["available"]


async def test_a_hold_lives_through_the_tables(service: Inside) -> None:
    """Every step finds what the step before has saved, alone in its batch or with all others."""
    assert await in_one_batch(service, hold("o-1", apple=4, milk=1)) == ["StockHeld"]
    assert await stock(service, "apple") == (10, 4, 6)
    assert await in_one_batch(service, inventory.VerifyStock(**about("o-1"))) == ["StockVerified"]
    assert await in_one_batch(service, inventory.DeductStock(**about("o-1"))) == ["StockDeducted"]
    assert await stock(service, "apple") == (6, 0, 6)
    assert await in_one_batch(service, inventory.ReverseIssue(**about("o-1"))) == ["IssueReversed"]
    assert await stock(service, "apple") == (10, 0, 10)
    assert await in_one_batch(
        service,
        hold("o-2", "on_payment", apple=10),
        hold("o-3", apple=1),
        inventory.VerifyStock(**about("o-2")),
        hold("o-4", milk=6),
        inventory.ReleaseStock(**about("o-4")),
        inventory.DeductStock(**about("o-2")),
        inventory.ReleaseStock(**about("o-3")),
    ) == ["StockHeld", "StockHeld", "StockGone", "StockShort", "StockReleased", "StockSoldOut", "StockReleased"]
    assert await stock(service, "apple") == (10, 0, 10)


async def test_the_ledger_sums_up_to_the_stock(service: Inside) -> None:
    """On hand and locked are the sums of the movements; each names its document, or the order of its hold."""
    await in_one_batch(
        service, hold("o-1", apple=4, milk=1), hold("o-2", apple=2), inventory.ReleaseStock(**about("o-2"))
    )
    await in_one_batch(service, inventory.DeductStock(**about("o-1")), hold("o-3", milk=2))
    for spu in ("apple", "milk"):
        movements = ok(await get(service, f"/stores/s-1/ledger?spu={spu}"))["items"]
        assert {m["spu"] for m in movements} == {spu}
        assert all(m["document"] or m["order_id"] for m in movements)
        sums = sum(m["on_hand"] for m in movements), sum(m["locked"] for m in movements)
        assert sums == (await stock(service, spu))[:2]
    apples = ok(await get(service, "/stores/s-1/ledger?spu=apple"))["items"]
    assert [m["kind"] for m in apples] == ["sales_issue", "unlock", "lock", "lock", "goods_receipt"]
    assert apples[0]["document"] == "SI-o-1"


async def test_the_ledger_comes_in_pages(service: Inside) -> None:
    """Page by page it is the same as at once, though a page ends in the middle of a movement of several cells."""
    await in_one_batch(service, hold("o-1", apple=4, milk=1), hold("o-2", apple=2, milk=1))
    whole = ok(await get(service, "/stores/s-1/ledger"))["items"]
    assert [(m["spu"], m["locked"]) for m in whole] == [
        ("apple", 2), ("milk", 1), ("apple", 4), ("milk", 1), ("apple", 0), ("milk", 0)
    ]  # fmt: skip
    paged: list[Any] = []
    after = ""
    for _ in whole:
        page = ok(await get(service, f"/stores/s-1/ledger?limit=1{after}"))
        paged += page["items"]
        after = f"&cursor={page['next']}"
    assert page["next"] is None
    assert paged == whole
    assert ok(await get(service, "/stores/s-2/ledger"))["items"] == []


async def test_documents_of_an_order(service: Inside) -> None:
    """The issue and its reversal, in the order in which they were written."""
    await in_one_batch(service, hold("o-1", apple=4, milk=1), inventory.DeductStock(**about("o-1")))
    await in_one_batch(service, inventory.ReverseIssue(**about("o-1")))
    issue, reversal = ok(await get(service, "/documents?order=o-1", "customer_service"))["items"]
    assert (issue["number"], issue["kind"], issue["reverses"]) == ("SI-o-1", "sales_issue", None)
    assert issue["lines"] == [{"spu": "apple", "quantity": 4}, {"spu": "milk", "quantity": 1}]
    assert (reversal["kind"], reversal["reverses"]) == ("issue_reversal", "SI-o-1")
    assert ok(await get(service, "/documents/SI-o-1")) == issue
    problem(await get(service, "/documents/SI-o-2"), 404, "document_unknown")
    assert ok(await get(service, "/documents?order=o-2"))["items"] == []


async def test_documents_of_a_replacement_order(service: Inside) -> None:
    """Its own, under its own id, and none of them among its sales order's; a customer gives some of it back later."""
    for order in ("o-1", "o-1~r1"):
        await in_one_batch(service, hold(order, apple=2), inventory.DeductStock(**about(order)))
    for _ in range(2):
        back = inventory.TakeReturn(**about("o-1~r1"), resellable_spus=("apple",), resellable=(1,), reason="returned")
        assert await in_one_batch(service, back) == ["GoodsTakenBack"]
    assert await in_one_batch(service, back) == ["MessageParked"]  # so much never went out
    documents = ok(await get(service, "/documents?order=o-1~r1"))["items"]
    assert [(d["number"], d["kind"], d["reverses"]) for d in documents] == [
        ("RI-o-1~r1", "replacement_issue", None),
        ("RR-o-1~r1", "return_receipt", "RI-o-1~r1"),
        ("RR-o-1~r1~2", "return_receipt", "RI-o-1~r1"),
    ]
    assert ok(await get(service, "/documents/RI-o-1~r1")) == documents[0]
    assert [d["number"] for d in ok(await get(service, "/documents?order=o-1"))["items"]] == ["SI-o-1"]
    problem(await get(service, "/documents?order=o-1~2"), 422, "invalid_request")
    assert await stock(service, "apple") == (8, 0, 8)


async def test_goods_come_in(service: Inside) -> None:
    """The answer is the receipt, and the same key and body get the same one without more goods."""
    body = {
        "lines": [{"spu": "apple", "quantity": 3}, {"spu": "bread", "quantity": 1}, {"spu": "apple", "quantity": 2}]
    }
    answer = await post(service, RECEIPTS, body, key="k-1")
    receipt = ok(answer, 202)
    assert (receipt["kind"], receipt["actor"]) == ("goods_receipt", "storekeeper:")
    assert receipt["lines"] == [{"spu": "apple", "quantity": 5}, {"spu": "bread", "quantity": 1}]
    assert ok(await get(service, answer.headers["Location"])) == receipt
    assert ok(await post(service, RECEIPTS, body, key="k-1"), 202) == receipt
    problem(await post(service, RECEIPTS, goods(apple=1), key="k-1"), 422, "idempotency_key_reused")
    assert await stock(service, "apple") == (15, 0, 15)
    rows = ok(await get(service, "/stores/s-1/stock?limit=2"))
    assert [row["spu"] for row in rows["items"]] == ["apple", "bread"]
    assert ok(await get(service, f"/stores/s-1/stock?cursor={rows['next']}"))["items"][0]["spu"] == "milk"


async def test_a_count_corrects_the_stock(service: Inside) -> None:
    """Down to nothing, and no further."""
    await in_one_batch(service, hold("o-1", apple=4))
    adjusted = ok(await post(service, ADJUSTMENTS, count(apple=-6, bread=2)), 202)
    assert (adjusted["kind"], adjusted["reason"]) == ("adjustment", "counted")
    assert adjusted["lines"] == [{"spu": "apple", "quantity": -6}, {"spu": "bread", "quantity": 2}]
    assert await stock(service, "apple") == (4, 4, 0)
    problem(await post(service, ADJUSTMENTS, count(apple=-5)), 409, "adjustment_below_zero")
    assert await stock(service, "apple") == (4, 4, 0)


async def test_a_count_below_what_is_locked_takes_the_newest_holds(service: Inside) -> None:
    """Found in the ledger, whoever made them: in batches before, after others were given up, and in the same batch."""
    await in_one_batch(service, hold("o-1", apple=4), hold("o-2", apple=3, milk=5))
    await in_one_batch(service, hold("o-4", apple=2), inventory.ReleaseStock(**about("o-4")))
    await service.forget()
    ok(await post(service, ADJUSTMENTS, count(apple=-5)), 202)
    assert types_said(service.commits[-1]) == ["StockLost", "StockAdjusted"]
    assert await stock(service, "apple") == (5, 4, 1)
    assert await stock(service, "milk") == (5, 0, 5)
    assert await in_one_batch(
        service,
        hold("o-5", apple=1),
        inventory.AdjustStock(request_id="r-1", store="s-1", spus=("apple",), deltas=(-2,), reason="counted"),
        inventory.VerifyStock(**about("o-5")),
        inventory.VerifyStock(**about("o-1")),
    ) == ["StockHeld", "StockLost", "StockLost", "StockAdjusted", "StockGone", "StockGone"]
    assert await stock(service, "apple") == (3, 0, 3)


async def test_holders_are_found_far_back_in_the_ledger(service: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago a hold was made, and whatever the store did since."""
    monkeypatch.setattr(store, "LEDGER_SPAN", 1)
    await in_one_batch(service, hold("o-1", apple=2), hold("o-2", apple=3))
    await in_one_batch(service, *[hold(f"o-{n}", milk=1) for n in range(3, 8)])
    ok(await post(service, ADJUSTMENTS, count(apple=-7)), 202)
    assert types_said(service.commits[-1]) == ["StockLost", "StockAdjusted"]
    assert await stock(service, "apple") == (3, 2, 1)


async def test_what_goes_back_is_kept(service: Inside) -> None:
    """Every step finds what the steps before have left of the issue, and its documents are there to be read."""
    await in_one_batch(service, hold("o-1", apple=4, milk=2), inventory.DeductStock(**about("o-1")))
    drop = inventory.DropShort(**about("o-1"), spus=("apple",), missing=(1,))
    assert await in_one_batch(service, drop) == ["ShortDropped"]
    dear = inventory.SubstituteStock(
        **about("o-1"), spus=("milk",), missing=(1,), substitute_spus=("apple",), substitutes=(7,)
    )
    assert await in_one_batch(service, dear) == ["SubstituteShort"]
    assert await in_one_batch(service, dear.model_copy(update={"substitutes": (2,)})) == ["StockSubstituted"]
    assert await stock(service, "apple") == (4, 0, 4)
    back = inventory.TakeBack(
        **about("o-1"), resellable_spus=("apple",), resellable=(4,), damaged_spus=("apple",), damaged=(1,),
        missing_spus=("milk",), missing=(1,), reason="not_reachable",
    )  # fmt: skip
    assert await in_one_batch(service, back) == ["GoodsTakenBack"]
    assert await in_one_batch(service, back) == ["MessageParked"]  # so much never went out
    assert await stock(service, "apple") == (8, 0, 8)
    documents = ok(await get(service, "/documents?order=o-1"))["items"]
    numbers = ["SI-o-1", "AD-o-1~1", "IR-o-1", "AD-o-1~2", "IR-o-1~2", "SI-o-1~2", "DR-o-1", "DR-o-1~2", "RR-o-1"]
    assert [d["number"] for d in documents] == numbers
    assert ok(await get(service, "/documents/IR-o-1~2"))["reverses"] == "SI-o-1"
    assert [d["reason"] for d in documents[-3:]] == ["damaged", "not_returned", "not_reachable"]


SENSELESS: list[tuple[str, Any]] = [
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
]


async def test_refused_when_the_body_makes_no_sense(service: Inside) -> None:
    """422 before anything is sent."""
    commits = len(service.commits)
    for path, body in SENSELESS:
        problem(await post(service, path, body), 422, "invalid_request")
    assert len(service.commits) == commits


async def test_stock_that_nobody_heard_of_is_unknown(service: Inside) -> None:
    """An SPU that never came in, and a store that there is not: 404, also after an order asked for it in vain. One that
    ran out is there, with zeros; lists of what is unknown are empty."""
    await in_one_batch(service, hold("o-1", caviar=1))
    for path in ("/stores/s-1/stock/caviar", "/stores/s-nowhere/stock/apple"):
        problem(await get(service, path), 404, "stock_unknown")
    ok(await post(service, ADJUSTMENTS, count(apple=-10)), 202)
    assert await stock(service, "apple") == (0, 0, 0)
    for path in ("/stores/s-nowhere/stock", "/stores/s-nowhere/ledger", "/stores/s-1/ledger?spu=caviar"):
        assert ok(await get(service, path))["items"] == []
    assert ok(await get(service, "/documents?order=o-nobody"))["items"] == []


async def test_who_may_what(service: Inside) -> None:
    """Storekeepers receive, in their own store; customers see no stock; customer service may look."""
    problem(await post(service, RECEIPTS, goods(apple=1), "picker"), 403, "wrong_role")
    problem(await post(service, RECEIPTS, goods(apple=1), store="s-2"), 403, "wrong_store")
    ok(await post(service, RECEIPTS, goods(apple=1), store="s-1"), 202)
    ok(await get(service, "/stores/s-1/stock/apple", "customer_service"))
    problem(await get(service, "/stores/s-1/stock/apple", "customer", account="a-1"), 403, "wrong_role")
    problem(await get(service, "/stores/s-1/ledger", "storekeeper", store="s-2"), 403, "wrong_store")
    await in_one_batch(service, hold("o-1", apple=1), inventory.DeductStock(**about("o-1")))
    problem(await get(service, "/documents/SI-o-1", "storekeeper", store="s-2"), 403, "wrong_store")
    problem(await get(service, "/documents?order=o-1", "storekeeper", store="s-2"), 403, "wrong_store")
