"""Logistics on its real tables and routes: what a customer gives back is fetched, brought, looked at, or overdue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.logistics.api import routes
from services.logistics.decider import DECIDER
from services.logistics.store import LogisticsStore
from shared.contracts import logistics
from tests.parts import RealParts
from tests.services.inside import Inside, inside, types_said
from tests.services.test_logistics_service import DOOR, STEPS, ask, ok, problem

pytestmark = pytest.mark.parts

GOODS: dict[str, Any] = {"spus": ("apple", "milk"), "quantities": (2, 1)}
LINES = [{"spu": "apple", "quantity": 2}, {"spu": "milk", "quantity": 1}]
LOOKED = {"lines": [{"spu": "apple", "quantity": 1, "resellable": True}]}
WAY: list[tuple[str, Any, str, str]] = [
    ("collected", {"courier": "c-1"}, "courier", "collected"),
    ("goods-back", {}, "courier", "returned"),
    ("inspected", LOOKED, "storekeeper", "inspected"),
]
"""Steps with their bodies, roles and the phases that they lead into."""
DAY_S = 86_400


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """Logistics with an empty database."""
    async with inside(DECIDER, LogisticsStore(), routes, parts.fresh_database) as it:
        yield it


def announced(number: int = 1, store: str = "s-1", about: str = "o-1") -> logistics.AnnounceReturn:
    """A customer is to give these back."""
    return logistics.AnnounceReturn(order_id=about, store=store, ticket_id=f"{about}-t{number}", **GOODS, delivery=DOOR)


def exchanged(number: int = 1) -> logistics.FulfilOrder:
    """A replacement order whose courier takes the old goods along."""
    return logistics.FulfilOrder(
        order_id=f"o-1~r{number}",
        store="s-1",
        spus=("oats",),
        quantities=(1,),
        delivery=DOOR,
        take_along=logistics.Exchange(ticket_id="o-1-t1", about="o-1", **GOODS),
    )


async def test_goods_are_fetched_and_inspected(service: Inside) -> None:
    """Step by step, each answered with the return as it is then, and with the next one open."""
    assert await service.hear(announced()) == ["ReturnAnnounced"]
    page = ok(await ask(service, "GET", "/returns/o-1-t1"))
    assert (page["order_id"], page["store"], page["exchange"], page["lines"]) == ("o-1", "s-1", False, LINES)
    assert page["delivery"] == {**DOOR.model_dump(), "phone": None}
    for step, body, role, phase in WAY:
        assert step in page["allowed"]
        answer = await ask(service, "POST", f"/returns/o-1-t1/{step}", body, role)
        assert answer.headers["Location"] == "/returns/o-1-t1"
        assert ok(answer, 202)["phase"] == phase
        page = ok(await ask(service, "GET", "/returns/o-1-t1"))
        assert (page["phase"], page[f"{phase}_at"] is not None) == (phase, True)
    assert types_said(service.commits[-1]) == ["ReturnInspected"]
    assert (page["courier"], page["allowed"]) == ("c-1", [])
    assert page["found"] == [
        {"spu": "apple", "quantity": 1, "found": "resellable"},
        {"spu": "apple", "quantity": 1, "found": "missing"},
        {"spu": "milk", "quantity": 1, "found": "missing"},
    ]
    problem(await ask(service, "POST", "/returns/o-1-t1/inspected", LOOKED), 409, "already_inspected")
    assert await service.time_passes(3 * DAY_S) == []


async def test_goods_are_brought_by_the_customer(service: Inside) -> None:
    """A storekeeper takes them, looks, and is told when that cannot be."""
    await service.hear(announced())
    problem(await ask(service, "POST", "/returns/o-1-t1/inspected", LOOKED), 409, "return_not_returned")
    ok(await ask(service, "POST", "/returns/o-1-t1/goods-back", None, "storekeeper"), 202)
    problem(await ask(service, "POST", "/returns/o-1-t1/goods-back"), 409, "already_returned")
    late = await ask(service, "POST", "/returns/o-1-t1/collected", {"courier": "c-1"})
    problem(late, 409, "return_not_announced")
    many = {"lines": [{"spu": "apple", "quantity": 3, "resellable": True}]}
    problem(await ask(service, "POST", "/returns/o-1-t1/inspected", many), 422, "more_than_announced")
    other = {"lines": [{"spu": "rye", "quantity": 1, "resellable": True}]}
    problem(await ask(service, "POST", "/returns/o-1-t1/inspected", other), 422, "line_unknown")
    assert ok(await ask(service, "POST", "/returns/o-1-t1/inspected", LOOKED), 202)["phase"] == "inspected"


async def test_goods_are_overdue(service: Inside) -> None:
    """Each by its own timer, which begins anew when a courier has them; then nobody brings them any more."""
    for number in (1, 2):
        await service.hear(announced(number))
    ok(await ask(service, "POST", "/returns/o-1-t2/collected", {"courier": "c-1"}, "courier"), 202)
    assert await service.time_passes(DAY_S - 10) == []
    assert await service.time_passes(DAY_S + 10) == ["ReturnOverdue", "ReturnOverdue"]
    for ticket in ("o-1-t1", "o-1-t2"):
        page = ok(await ask(service, "GET", f"/returns/{ticket}"))
        assert (page["phase"], page["allowed"], page["overdue_at"] is not None) == ("overdue", [], True)
        problem(await ask(service, "POST", f"/returns/{ticket}/goods-back"), 409, "return_overdue")


async def test_old_goods_are_taken_along(service: Inside) -> None:
    """The courier sees them on the order's page, has them from the delivery on, and brings them in time or not."""
    assert await service.hear(exchanged()) == ["FulfilmentQueued", "ReturnAnnounced"]
    along = {"ticket_id": "o-1-t1", "lines": LINES}
    for step, body, role in STEPS:
        page = ok(await ask(service, "POST", f"/fulfilments/o-1~r1/{step}", body, role), 202)
        assert page["take_along"] == along
    (page,) = ok(await ask(service, "GET", "/stores/s-1/fulfilments"))["items"]
    assert (page["order_id"], page["take_along"]) == ("o-1~r1", along)
    page = ok(await ask(service, "GET", "/returns/o-1-t1"))
    assert (page["phase"], page["exchange"], page["courier"], page["order_id"]) == ("collected", True, "c-1", "o-1")
    assert await service.time_passes(DAY_S + 10) == ["ReturnOverdue"]


async def test_an_exchange_is_called_off_and_tried_again(service: Inside) -> None:
    """The old goods stay where they are until another courier comes."""
    await service.hear(exchanged())
    for step, body, role in STEPS[:4]:
        ok(await ask(service, "POST", f"/fulfilments/o-1~r1/{step}", body, role), 202)
    await service.forget()
    assert await service.hear(logistics.InterceptDelivery(order_id="o-1~r1", store="s-1")) == ["FulfilmentIntercepted"]
    page = ok(await ask(service, "GET", "/returns/o-1-t1"))
    assert (page["phase"], page["called_off_at"] is not None) == ("called_off", True)
    problem(await ask(service, "POST", "/returns/o-1-t1/goods-back"), 409, "return_called_off")
    await service.hear(exchanged(2))
    page = ok(await ask(service, "GET", "/returns/o-1-t1"))
    assert (page["phase"], page["called_off_at"]) == ("announced", None)
    assert ok(await ask(service, "GET", "/fulfilments/o-1~r2"))["take_along"]["ticket_id"] == "o-1-t1"


async def test_nothing_is_taken_along_of_an_ordinary_order(service: Inside) -> None:
    """Its page says so."""
    await service.hear(exchanged().model_copy(update={"order_id": "o-1", "take_along": None}))
    assert ok(await ask(service, "GET", "/fulfilments/o-1"))["take_along"] is None


async def test_lists_of_a_store(service: Inside) -> None:
    """By phase or all together, the one announced first first, page by page."""
    for number in range(1, 6):
        await service.hear(announced(number))
    await service.hear(announced(9, "s-2"))
    for number in (2, 3):
        ok(await ask(service, "POST", f"/returns/o-1-t{number}/collected", {"courier": "c-1"}, "courier"), 202)
    ok(await ask(service, "POST", "/returns/o-1-t3/goods-back", {}, "courier"), 202)

    async def listed(query: str) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = ok(await ask(service, "GET", f"/stores/s-1/returns?limit=2{query}{after}", None, "courier"))
            found += [item["ticket_id"] for item in page["items"]]
            if page["next"] is None:
                return found
            after = f"&cursor={page['next']}"

    assert await listed("") == [f"o-1-t{number}" for number in range(1, 6)]
    assert await listed("&phase=announced") == ["o-1-t1", "o-1-t4", "o-1-t5"]
    assert await listed("&phase=collected") == ["o-1-t2"]
    assert await listed("&phase=returned") == ["o-1-t3"]
    assert await listed("&phase=overdue") == []
    problem(await ask(service, "GET", "/stores/s-1/returns?phase=lost"), 422, "invalid_request")


async def test_who_may_what(service: Inside) -> None:
    """Couriers fetch and bring, storekeepers take in and inspect, in their own store; customers see nothing here."""
    await service.hear(announced())
    bodies: dict[str, Any] = {step: body for step, body, _, _ in WAY}
    for path, role in (("collected", "storekeeper"), ("goods-back", "picker"), ("inspected", "courier")):
        problem(await ask(service, "POST", f"/returns/o-1-t1/{path}", bodies[path], role), 403, "wrong_role")
    for step, body, role, _ in WAY:
        elsewhere = await ask(service, "POST", f"/returns/o-1-t1/{step}", body, role, store="s-2")
        problem(elsewhere, 403, "wrong_store")
    problem(await ask(service, "GET", "/returns/o-1-t1", None, "courier", store="s-2"), 403, "wrong_store")
    problem(await ask(service, "GET", "/stores/s-1/returns", None, "courier", store="s-2"), 403, "wrong_store")
    problem(await ask(service, "GET", "/returns/o-1-t1", None, "customer", account="a-1"), 403, "wrong_role")
    assert ok(await ask(service, "GET", "/returns/o-1-t1", None, "customer_service"))["allowed"] == []
    allowed = {role: ok(await ask(service, "GET", "/returns/o-1-t1", None, role))["allowed"] for role in ROLES}
    assert allowed == {"courier": ["collected", "goods-back"], "storekeeper": ["goods-back"], "picker": []}


ROLES = ("courier", "storekeeper", "picker")


async def test_refused_when_the_ticket_is_unknown(service: Inside) -> None:
    """404, and nothing is sent."""
    for step, body, _, _ in WAY:
        problem(await ask(service, "POST", f"/returns/o-9-t1/{step}", body), 404, "return_unknown")
    problem(await ask(service, "GET", "/returns/o-9-t1"), 404, "return_unknown")
    assert service.commits == []


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("collected", None),
        ("collected", {"courier": ""}),
        ("goods-back", {"a": 1}),
        ("inspected", None),
        ("inspected", {"lines": [{"spu": "apple", "quantity": 0, "resellable": True}]}),
    ],
)
async def test_refused_when_the_body_makes_no_sense(service: Inside, step: str, body: Any) -> None:
    """422, and nothing is sent."""
    await service.hear(announced())
    problem(await ask(service, "POST", f"/returns/o-1-t1/{step}", body), 422, "invalid_request")
    assert len(service.commits) == 1
