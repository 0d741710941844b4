"""Logistics on its real tables and routes: slots are kept and given, and people bring an order to the door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.logistics.api import routes
from services.logistics.decider import DECIDER
from services.logistics.store import LogisticsStore
from shared import tokens
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from tests.parts import RealParts
from tests.services.inside import SETTINGS, Inside, inside, types_said

pytestmark = pytest.mark.parts

HOUR = timedelta(hours=1)
NEXT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 2 * HOUR
"""When the next slot begins."""
SLOT = Slot(start=NEXT, end=NEXT + HOUR)
DOOR = ordering.Delivery(lat=52.1, lon=13.1, address="Kastanienallee 1", note="ring twice")
STEPS: list[tuple[str, Any, str]] = [
    ("start-picking", {}, "picker"),
    ("picked", {"short": []}, "picker"),
    ("packed", None, "picker"),
    ("handed-over", {"courier": "c-1"}, "courier"),
    ("delivered", {}, "courier"),
]


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """Logistics with an empty database."""
    async with inside(DECIDER, LogisticsStore(), routes, parts.fresh_database) as it:
        yield it


def order(number: int = 1, store: str = "s-1", slot: Slot | None = None) -> logistics.FulfilOrder:
    """An order for a store."""
    return logistics.FulfilOrder(
        order_id=f"o-{number}", store=store, spus=("apple", "milk"), quantities=(2, 1), slot=slot, delivery=DOOR
    )


def reserve(number: int = 1, slot: Slot = SLOT) -> logistics.ReserveSlot:
    """An order asks for a place."""
    return logistics.ReserveSlot(order_id=f"o-{number}", store="s-1", slot=slot)


async def ask(
    it: Inside,
    method: str,
    path: str,
    body: Any = None,
    role: str = "admin",
    account: str | None = None,
    store: str | None = None,
) -> httpx.Response:
    """What somebody with such a token is answered; every time by a service that has just started."""
    await it.forget()
    return await it.ask(
        method, path, body, headers={"Authorization": f"Bearer {tokens.create(SETTINGS, role, account, store)}"}
    )


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer that has to be good."""
    assert answer.status_code == status, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int, code: str) -> None:
    """The answer has to be this problem."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text


def asked(start: datetime = NEXT, places: float = 2, **more: Any) -> dict[str, Any]:
    """A slot as a storekeeper writes it."""
    return {"start": start.isoformat(), "end": (start + HOUR).isoformat(), "places": places, **more}


# -- the store's work --------------------------------------------------------------------------------------------------


async def test_an_order_is_brought_to_the_door(service: Inside) -> None:
    """Step by step, each answered with the fulfilment as it is then, and with the next one open."""
    assert await service.hear(order()) == ["FulfilmentQueued"]
    page = ok(await ask(service, "GET", "/fulfilments/o-1"))
    assert page["lines"] == [{"spu": "apple", "quantity": 2}, {"spu": "milk", "quantity": 1}]
    assert page["delivery"] == {**DOOR.model_dump(), "phone": None}
    phases = ["picking", "picked", "packed", "on_the_road", "delivered"]
    times = ["picking_at", "picked_at", "packed_at", "handed_over_at", "delivered_at"]
    for (step, body, role), phase, time in zip(STEPS, phases, times, strict=True):
        assert page["allowed"][0] == step
        answer = await ask(service, "POST", f"/fulfilments/o-1/{step}", body, role)
        assert answer.headers["Location"] == "/fulfilments/o-1"
        assert ok(answer, 202)["phase"] == phase
        page = ok(await ask(service, "GET", "/fulfilments/o-1"))
        assert (page["phase"], page[time] is not None) == (phase, True)
    assert (page["allowed"], page["courier"]) == ([], "c-1")
    problem(await ask(service, "POST", "/fulfilments/o-1/delivered", {}), 409, "fulfilment_not_on_the_road")


async def test_an_order_waits_for_its_slot(service: Inside) -> None:
    """Nobody can pick it before, whatever happens to the process meanwhile."""
    assert await service.hear(order(slot=SLOT)) == []
    page = ok(await ask(service, "GET", "/fulfilments/o-1"))
    assert page["phase"] == "waiting_for_slot"
    assert datetime.fromisoformat(page["slot"]["start"]) == NEXT
    problem(await ask(service, "POST", "/fulfilments/o-1/start-picking", {}), 409, "fulfilment_not_queued")
    assert await service.time_passes(3 * 3600) == ["FulfilmentQueued"]
    assert ok(await ask(service, "GET", "/fulfilments/o-1"))["phase"] == "queued"


async def test_lists_of_a_store(service: Inside) -> None:
    """By phase or all together, the longest waiting first, page by page."""
    for number in range(1, 6):
        await service.hear(order(number))
    await service.hear(order(9, "s-2"))
    for step, body, role in STEPS[:3]:
        ok(await ask(service, "POST", f"/fulfilments/o-2/{step}", body, role), 202)
    for step, body, role in STEPS:
        ok(await ask(service, "POST", f"/fulfilments/o-3/{step}", body, role), 202)

    async def listed(query: str) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = ok(await ask(service, "GET", f"/stores/s-1/fulfilments?limit=2{query}{after}", None, "courier"))
            found += [item["order_id"] for item in page["items"]]
            if page["next"] is None:
                return found
            after = f"&cursor={page['next']}"

    assert await listed("") == ["o-1", "o-2", "o-3", "o-4", "o-5"]
    assert await listed("&phase=queued") == ["o-1", "o-4", "o-5"]
    assert await listed("&phase=packed") == ["o-2"]
    assert await listed("&phase=delivered") == ["o-3"]
    assert await listed("&phase=short") == []
    problem(await ask(service, "GET", "/stores/s-1/fulfilments?phase=lost"), 422, "invalid_request")


async def test_who_may_what(service: Inside) -> None:
    """Pickers pick and pack, couriers hand over and deliver, in their own store; customers see nothing here."""
    await service.hear(order())
    for path, role in (("start-picking", "courier"), ("handed-over", "picker"), ("delivered", "storekeeper")):
        problem(await ask(service, "POST", f"/fulfilments/o-1/{path}", {}, role), 403, "wrong_role")
    problem(await ask(service, "POST", "/fulfilments/o-1/start-picking", {}, "picker", store="s-2"), 403, "wrong_store")
    problem(await ask(service, "GET", "/fulfilments/o-1", None, "picker", store="s-2"), 403, "wrong_store")
    problem(await ask(service, "GET", "/stores/s-1/fulfilments", None, "picker", store="s-2"), 403, "wrong_store")
    problem(await ask(service, "GET", "/fulfilments/o-1", None, "customer", account="a-1"), 403, "wrong_role")
    ok(await ask(service, "POST", "/fulfilments/o-1/start-picking", {}, "picker", store="s-1"), 202)
    assert ok(await ask(service, "GET", "/fulfilments/o-1", None, "courier"))["allowed"] == []


async def test_refused_when_the_order_is_unknown(service: Inside) -> None:
    """404, and nothing is sent."""
    for step, body, _ in STEPS:
        problem(await ask(service, "POST", f"/fulfilments/o-9/{step}", body), 404, "fulfilment_unknown")
    problem(await ask(service, "GET", "/fulfilments/o-9"), 404, "fulfilment_unknown")
    assert service.commits == []


SENSELESS: list[tuple[str, Any]] = [
    ("handed-over", None),
    ("handed-over", {}),
    ("handed-over", {"courier": ""}),
    ("packed", {"a": 1}),
    ("picked", {"short": [{"spu": "apple"}]}),
    ("picked", {"short": [{"spu": "apple", "missing": 0}]}),
    ("undeliverable", None),
    ("undeliverable", {"reason": ""}),
    ("inspected", None),
    ("inspected", {}),
    ("inspected", {"lines": [{"spu": "apple", "quantity": 0, "resellable": True}]}),
    ("inspected", {"lines": [{"spu": "apple", "quantity": 1, "resellable": "yes"}]}),
    ("inspected", {"lines": [{"spu": "apple", "quantity": 1, "resellable": True}] * 401}),
]


async def test_refused_when_the_body_makes_no_sense(service: Inside) -> None:
    """422, and nothing is sent."""
    await service.hear(order())
    commits = len(service.commits)
    for path, body in SENSELESS:
        problem(await ask(service, "POST", f"/fulfilments/o-1/{path}", body), 422, "invalid_request")
    assert len(service.commits) == commits


# -- ways back ---------------------------------------------------------------------------------------------------------


async def steps(it: Inside, number: int = 1, upto: int = 4) -> None:
    """An order is queued and goes so many steps."""
    await it.hear(order(number))
    for step, body, role in STEPS[:upto]:
        ok(await ask(it, "POST", f"/fulfilments/o-{number}/{step}", body, role), 202)


async def test_a_picker_misses_pieces_and_gets_another_list(service: Inside) -> None:
    """What is short is shown while the picker waits; then the list is another one."""
    await steps(service, upto=1)
    unlisted = {"short": [{"spu": "rye", "missing": 1}]}
    problem(await ask(service, "POST", "/fulfilments/o-1/picked", unlisted, "picker"), 422, "line_unknown")
    many = {"short": [{"spu": "apple", "missing": 3}]}
    problem(await ask(service, "POST", "/fulfilments/o-1/picked", many, "picker"), 422, "more_short_than_listed")
    short = {"short": [{"spu": "apple", "missing": 1}]}
    page = ok(await ask(service, "POST", "/fulfilments/o-1/picked", short, "picker"), 202)
    assert types_said(service.commits[-1]) == ["PiecesShort"]
    assert (page["phase"], page["short"], page["allowed"]) == ("short", short["short"], [])
    await service.forget()
    await service.hear(
        logistics.AmendFulfilment(order_id="o-1", store="s-1", spus=("apple", "oats"), quantities=(1, 2))
    )
    page = ok(await ask(service, "GET", "/fulfilments/o-1", role="picker"))
    assert (page["phase"], page["short"], page["allowed"]) == ("picking", [], ["picked"])
    assert page["lines"] == [{"spu": "apple", "quantity": 1}, {"spu": "oats", "quantity": 2}]
    assert page["delivery"]["address"] == DOOR.address
    assert page["back"][0]["lines"] == [{"spu": "apple", "quantity": 1, "found": "short"}]
    assert ok(await ask(service, "POST", "/fulfilments/o-1/picked", None, "picker"), 202)["phase"] == "picked"


async def test_a_stopped_order_stays_in_the_store(service: Inside) -> None:
    """The courier who comes a moment later is told, and it is off the list of open work."""
    await steps(service, upto=3)
    await service.forget()
    assert await service.hear(logistics.StopFulfilment(order_id="o-1", store="s-1")) == ["FulfilmentStopped"]
    courier = await ask(service, "POST", "/fulfilments/o-1/handed-over", {"courier": "c-1"}, "courier")
    problem(courier, 409, "fulfilment_stopped")
    page = ok(await ask(service, "GET", "/fulfilments/o-1"))
    assert (page["phase"], page["allowed"], page["called_off_at"] is not None) == ("stopped", [], True)
    for phase, listed in (("stopped", ["o-1"]), ("packed", []), ("inspected", [])):
        items = ok(await ask(service, "GET", f"/stores/s-1/fulfilments?phase={phase}"))["items"]
        assert [item["order_id"] for item in items] == listed
    assert len(ok(await ask(service, "GET", "/stores/s-1/fulfilments"))["items"]) == 1


async def test_goods_come_back_and_are_inspected(service: Inside) -> None:
    """Nobody at the door: the courier brings them back, the storekeeper looks once, and everything can be read."""
    await steps(service)
    reason = {"reason": "nobody at the door"}
    page = ok(await ask(service, "POST", "/fulfilments/o-1/undeliverable", reason, "courier"), 202)
    assert (page["phase"], page["allowed"]) == ("returning", ["goods-back"])
    looked = {"lines": [{"spu": "apple", "quantity": 2, "resellable": False}]}
    early = await ask(service, "POST", "/fulfilments/o-1/inspected", looked, "storekeeper")
    problem(early, 409, "fulfilment_not_returned")
    assert ok(await ask(service, "POST", "/fulfilments/o-1/goods-back", {}, "courier"), 202)["phase"] == "returned"
    page = ok(await ask(service, "GET", "/fulfilments/o-1", role="storekeeper"))
    assert page["allowed"] == ["inspected"]
    many = {"lines": [{"spu": "apple", "quantity": 3, "resellable": True}]}
    problem(await ask(service, "POST", "/fulfilments/o-1/inspected", many, "storekeeper"), 422, "more_than_sent")
    page = ok(await ask(service, "POST", "/fulfilments/o-1/inspected", looked, "storekeeper"), 202)
    assert types_said(service.commits[-1]) == ["GoodsInspected"]
    assert [(step["phase"], step["reason"], step["actor"]) for step in page["back"]] == [
        ("returning", "nobody at the door", "courier:"),
        ("returned", "", "courier:"),
        ("inspected", "", "storekeeper:"),
    ]
    assert page["back"][2]["lines"] == [
        {"spu": "apple", "quantity": 2, "found": "damaged"},
        {"spu": "milk", "quantity": 1, "found": "missing"},
    ]
    again = await ask(service, "POST", "/fulfilments/o-1/inspected", looked, "storekeeper")
    problem(again, 409, "already_inspected")
    assert await service.hear(logistics.InterceptDelivery(order_id="o-1", store="s-1")) == ["InterceptMissed"]


async def test_who_may_bring_back_and_inspect(service: Inside) -> None:
    """Couriers bring back, storekeepers inspect, each in their own store."""
    await steps(service)
    bodies: dict[str, Any] = {"undeliverable": {"reason": "no bell"}, "goods-back": {}, "inspected": {"lines": []}}
    for path, role in (("undeliverable", "picker"), ("goods-back", "storekeeper"), ("inspected", "courier")):
        address = f"/fulfilments/o-1/{path}"
        problem(await ask(service, "POST", address, bodies[path], role), 403, "wrong_role")
    for path, role in (("undeliverable", "courier"), ("goods-back", "courier"), ("inspected", "storekeeper")):
        address = f"/fulfilments/o-1/{path}"
        problem(await ask(service, "POST", address, bodies[path], role, store="s-2"), 403, "wrong_store")
        ok(await ask(service, "POST", address, bodies[path], role, store="s-1"), 202)


# -- slots -------------------------------------------------------------------------------------------------------------


async def test_slots_are_given_until_full(service: Inside) -> None:
    """Places are counted through the tables, and people see how many are free."""
    ok(await ask(service, "PUT", "/stores/s-1/slots", {"slots": [asked()]}, "storekeeper"))
    said: list[str] = []
    for message in (reserve(1), reserve(2), reserve(3), logistics.FreeSlot(order_id="o-1", store="s-1"), reserve(4)):
        await service.forget()
        said += await service.hear(message)
    assert said == ["SlotReserved", "SlotReserved", "SlotRefused", "SlotReserved"]
    (slot,) = ok(await ask(service, "GET", "/stores/s-1/slots", None, "customer", account="a-1"))["items"]
    assert (slot["places"], slot["reserved"], slot["free"]) == (2, 2, 0)


@pytest.mark.parametrize("wrapped", [lambda s: {"slots": s}, lambda s: {"items": s}, lambda s: s])
async def test_slots_are_set_and_shown(service: Inside, wrapped: Any) -> None:
    """Whatever the list is wrapped in; what GET shows can be PUT back, and leaves what is reserved."""
    first, second = asked(NEXT, 1), asked(NEXT + HOUR)
    second["capacity"] = second.pop("places")
    put = ok(await ask(service, "PUT", "/stores/s-1/slots", wrapped([first, second]), "storekeeper"))
    shown = ok(await ask(service, "GET", "/stores/s-1/slots"))
    assert put == shown
    assert [(s["places"], s["reserved"], s["free"]) for s in shown["items"]] == [(1, 0, 1), (2, 0, 2)]
    assert await service.hear(reserve()) == ["SlotReserved"]
    ok(await ask(service, "PUT", "/stores/s-1/slots", shown, "storekeeper"))
    page = ok(await ask(service, "GET", "/stores/s-1/slots?limit=1"))
    assert (page["items"][0]["reserved"], page["items"][0]["free"]) == (1, 0)
    rest = ok(await ask(service, "GET", f"/stores/s-1/slots?cursor={page['next']}"))
    assert (len(rest["items"]), rest["next"]) == (1, None)
    since = (NEXT + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ok(await ask(service, "GET", f"/stores/s-1/slots?since={since}")) == rest


SENSELESS_SLOTS: list[Any] = [
    None,
    {},
    [asked(places=-1)],
    [asked(places=1.5)],
    [asked(end=NEXT.isoformat())],
    [asked(start=datetime(1, 1, 1, tzinfo=UTC))],
    [{"start": "now", "end": "later", "places": 1}],
    [asked()] * 1001,
]


async def test_refused_when_slots_make_no_sense(service: Inside) -> None:
    """422, and no slot is set."""
    for body in SENSELESS_SLOTS:
        problem(await ask(service, "PUT", "/stores/s-1/slots", body), 422, "invalid_request")
    assert service.commits == []


async def test_only_storekeepers_set_slots(service: Inside) -> None:
    """And in their own store."""
    problem(await ask(service, "PUT", "/stores/s-1/slots", [asked()], "picker"), 403, "wrong_role")
    problem(await ask(service, "PUT", "/stores/s-1/slots", [asked()], "storekeeper", store="s-2"), 403, "wrong_store")
    ok(await ask(service, "PUT", "/stores/s-1/slots", [asked()], "storekeeper", store="s-1"))
