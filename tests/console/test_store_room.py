"""The storekeeper's room."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.inventory.pages import AllotmentPage, DocumentPage, MovementRow, StockPage
from services.logistics.pages import FulfilmentPage, LineOut, ReturnPage, SlotRow
from services.order.catalogue import StoreRow
from shared.http.auth import Role
from tests.console.fakes import ACTING, SOON, Browser, Played, browsing, page, problem, sample

AT = "/stores/s-1"
PAGES = (
    "/store",
    "/store/stock",
    "/store/stock/apple",
    "/store/ledger",
    "/store/documents/GR-1",
    "/store/lines/receive",
    "/store/lines/adjust",
    "/store/flash",
    "/store/slots",
    "/store/inspect/o-1",
    "/store/inspect-return/t-1",
)


def shop(*, bare: bool = False, text: str = ACTING) -> Played:
    """The store s-1."""
    services = Played()
    say: dict[str, Any] = {"bare": bare, "text": text}
    some: dict[str, Any] = {} if bare else {"following": "c"}

    def listed(*rows):
        return page(*([] if bare else rows), **some)

    movements = [sample(MovementRow, **say, of=of) for of in (None, "+incoming", "+owed", text)]
    line = sample(LineOut, text=text, quantity=3)
    work: dict[str, Any] = {"store": "s-1", "phase": "returned", "allowed": ["inspected"], "lines": [line]}
    order, goods = (sample(kind, **say, **work) for kind in (FulfilmentPage, ReturnPage))
    if text != ACTING:
        order["order_id"], goods["ticket_id"] = "o-1", "t-1"
    for service, path, body in (
        ("inventory", f"{AT}/stock", listed(sample(StockPage, text=text))),
        ("inventory", f"{AT}/stock/apple", sample(StockPage, text=text, on_hand=12, incoming=4)),
        ("inventory", f"{AT}/ledger", listed(*movements)),
        ("inventory", "/documents/GR-1", sample(DocumentPage, **say, store="s-1")),
        (
            "inventory",
            f"{AT}/flash-allotments",
            listed(sample(AllotmentPage, text=text), sample(AllotmentPage, bare=True, text="x", phase="announced")),
        ),
        ("logistics", f"{AT}/fulfilments", listed(order)),
        ("logistics", f"{AT}/returns", listed(goods)),
        ("logistics", f"{AT}/slots", listed(sample(SlotRow, places=20, end=SOON + timedelta(hours=1)))),
        ("logistics", "/fulfilments/o-1", order),
        ("logistics", "/returns/t-1", goods),
        (
            "order",
            "/stores",
            page() if bare else page(sample(StoreRow, text=text, store="s-1", area={"type": "Polygon"})),
        ),
    ):
        services.say(service, path, body)
    return services


@pytest.fixture
async def keeper():
    """A storekeeper of s-1, where goods have plain names."""
    async with browsing(shop(text="apple"), Role.STOREKEEPER, "s-1") as browser:
        yield browser


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize(("role", "store"), [(Role.STOREKEEPER, "s-1"), (Role.ADMIN, None)])
async def test_every_page_shows_whatever_there_is(path, bare, role, store):
    async with browsing(shop(bare=bare), role, store) as browser:
        html = await browser.look(path if store else f"{path}?store=s-1")
    assert "s-1" in html
    if not bare and "lines" not in path and "slots" not in path:  # they show no texts
        assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize("path", PAGES)
async def test_with_services_away_the_rest_stands(path):
    services = shop()
    services.away = {"inventory", "order"}
    async with browsing(services, Role.STOREKEEPER, "s-1") as browser:
        status = 503 if "documents" in path else 200
        html = await browser.look(path, status)
    assert "<h1>" in html


async def test_who_works_in_all_stores_names_one():
    async with browsing(shop()) as browser:
        for path in ("/store", "/store/stock", "/store/ledger", "/store/lines/receive", "/store/flash", "/store/slots"):
            assert "Which store?" in await browser.look(path)
        await browser.look("/-/store", 422)
        form = await browser.form("/store/flash?store=s-1", "/store/flash?store=s-1")
        await browser.send(form, 422, to="/store/flash", promotion="p", spu="apple", quantity="3")


@pytest.mark.parametrize("path", [*PAGES, "/-/store"])
async def test_others_are_told_whose_room_it_is(path):
    async with browsing(shop(), Role.COURIER, "s-1") as browser:
        assert "this room is for" in await browser.look(path, 403)


async def test_the_stream_shows_what_waits(keeper: Browser):
    assert "/store/inspect-return/t-1" in await keeper.event("/-/store")
    keeper.services.away = {"logistics"}
    assert "logistics does not answer" in await keeper.event("/-/store")


async def test_a_product_is_looked_up(keeper: Browser):
    said = await keeper.client.get("/store/stock?spu=%20pear/1%20")
    assert said.headers["location"] == "/store/stock/pear%2F1"
    assert "never had any of it" in await keeper.look("/store/stock/pear")


async def test_goods_come_in(keeper: Browser):
    keeper.services.say(
        "inventory", f"{AT}/goods-receipts", sample(DocumentPage, number="GR-9"), method="POST", status=202
    )
    form = await keeper.form("/store/lines/receive", "/store/lines/receive")
    lines = [{"spu": "apple", "quantity": 12}, {"spu": "pear", "quantity": 3}]
    said = await keeper.does(
        form,
        ("inventory", "POST", f"{AT}/goods-receipts", {"lines": lines}),
        spu=["apple", " pear "],
        quantity=["12", "3"],
    )
    assert said.headers["location"] == "/store/documents/GR-9?done=goods+are+in"


async def test_a_form_gets_more_lines_and_keeps_what_is_typed(keeper: Browser):
    form = await keeper.form("/store/lines/receive", "/store/lines/receive")
    said = await keeper.send(form, 200, to="/store/lines/receive/more", spu=["apple"], quantity=["x"])
    assert said.text.count('name="spu"') == 10
    assert 'value="x"' in said.text
    assert not keeper.services.sent


async def test_a_problem_keeps_the_lines(keeper: Browser):
    refused = problem("invalid_request", 422, errors=[{"path": "lines.0.spu", "message": "is no name"}])
    keeper.services.say("inventory", f"{AT}/goods-receipts", refused, method="POST", status=422)
    form = await keeper.form("/store/lines/receive", "/store/lines/receive")
    assert "at least one product" in (await keeper.send(form, 422)).text
    for quantity, why in (("x", "no number of pieces"), ("5", "lines.0.spu: is no name")):
        said = await keeper.send(form, 422, spu="kept<", quantity=quantity)
        assert why in said.text
        assert 'value="kept&lt;"' in said.text
        assert f'value="{quantity}"' in said.text


async def test_stock_is_adjusted(keeper: Browser):
    keeper.services.say(
        "inventory", f"{AT}/adjustments", sample(DocumentPage, number="AD-9"), method="POST", status=202
    )
    form = await keeper.form("/store/lines/adjust?spu=apple", "/store/lines/adjust")
    assert ("spu", "apple") in form.fields
    body = {"lines": [{"spu": "apple", "delta": -2}, {"spu": "pear", "delta": 3}], "reason": "mice"}
    want = ("inventory", "POST", f"{AT}/adjustments", body)
    await keeper.does(form, want, spu=["apple", "pear"], quantity=["−2", "+3"], reason="mice")


async def test_a_count_is_told_as_a_difference(keeper: Browser):
    keeper.services.say("inventory", f"{AT}/adjustments", sample(DocumentPage), method="POST", status=202)
    form = await keeper.form("/store/stock/apple", "/store/stock/apple/count")
    body = {"lines": [{"spu": "apple", "delta": -2}], "reason": "mice"}
    await keeper.does(form, ("inventory", "POST", f"{AT}/adjustments", body), counted="10", reason="mice")
    form = await keeper.form("/store/stock/apple", "/store/stock/apple/count")
    assert "nothing to write down" in (await keeper.send(form, 422, counted="12", reason="mice")).text
    keeper.services.say("inventory", f"{AT}/stock/apple", sample(StockPage, on_hand=11))
    said = await keeper.send(form, 409, counted="10", reason="mice<")
    assert "it was 12 on hand, now it is 11 on hand" in said.text
    assert 'value="10"' in said.text
    assert "mice&lt;" in said.text
    assert len(keeper.services.sent) == 2


async def test_what_is_to_come(keeper: Browser):
    for spu, seen in (("apple", "4 to come"), ("pear", "")):
        path = f"{AT}/incoming/{spu}"
        keeper.services.say("inventory", path, sample(StockPage), method="PUT")
        form = await keeper.form(f"/store/stock/{spu}", f"/store/stock/{spu}/incoming")
        assert dict(form.fields).get("seen", "") == seen
        await keeper.does(form, ("inventory", "PUT", path, {"quantity": 40}), quantity="40")


async def test_pieces_are_set_aside(keeper: Browser):
    path = f"{AT}/flash-allotments"
    keeper.services.say("inventory", f"{path}/apple", sample(AllotmentPage))
    for promotion in ("apple", "new"):
        keeper.services.say("inventory", f"{path}/{promotion}", sample(AllotmentPage), method="PUT")
        form = await keeper.form("/store/flash", "/store/flash", nth=0 if promotion == "apple" else -1)
        want = ("inventory", "PUT", f"{path}/{promotion}", {"spu": "pear", "quantity": 9})
        await keeper.does(form, want, promotion=promotion, spu="pear", quantity="9")
    keeper.services.say("inventory", f"{path}/new", sample(AllotmentPage))
    form = await keeper.form("/store/flash", "/store/flash", nth=-1)
    said = await keeper.send(form, 409, promotion="new", spu="pear<", quantity="9")
    assert "it was not there, now it is 7 pieces" in said.text
    assert "pear&lt;" in said.text


async def test_places_of_a_slot(keeper: Browser):
    path = f"{AT}/slots"
    keeper.services.say("logistics", path, page(), method="PUT")
    form = await keeper.form("/store/slots", "/store/slots/places")
    start, end = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (SOON, SOON + timedelta(hours=1)))
    slots = [{"start": start, "end": end, "places": 30}]
    await keeper.does(form, ("logistics", "PUT", path, {"slots": slots}), places="30")
    form = await keeper.form("/store/slots", "/store/slots/places")
    keeper.services.say("logistics", path, page(sample(SlotRow, places=25)))
    assert "it was 20 places, now it is 25 places" in (await keeper.send(form, 409, places="30")).text


async def test_slots_of_a_day(keeper: Browser):
    path = f"{AT}/slots"
    keeper.services.say("logistics", path, page(), method="PUT")
    day = (SOON + timedelta(days=3)).strftime("%Y-%m-%d")
    slots = [{"start": f"{day}T{at:02}:00:00Z", "end": f"{day}T{at + 1:02}:00:00Z", "places": 20} for at in (8, 9)]
    typed = {"day": day, "first": "08:00", "last": "10:30", "minutes": "60", "places": "20"}
    form = await keeper.form("/store/slots", "/store/slots/day")
    await keeper.does(form, ("logistics", "PUT", path, {"slots": slots}), **typed)
    form = await keeper.form("/store/slots", "/store/slots/day")
    for wrong in ({"minutes": "0"}, {"last": "07:00"}, {"minutes": "1"}, {"day": "soon"}, {"places": "many"}):
        assert "Put it right" in (await keeper.send(form, 422, **(typed | wrong))).text
    keeper.services.say("logistics", path, page(sample(SlotRow, start=f"{day}T09:00:00Z")))
    said = await keeper.send(form, 409, **typed)
    assert f'value="{day}"' in said.text
    assert len(keeper.services.sent) == 2


@pytest.mark.parametrize(
    ("kind", "id_", "path"), [("inspect", "o-1", "/fulfilments/o-1"), ("inspect-return", "t-1", "/returns/t-1")]
)
async def test_goods_are_inspected(keeper: Browser, kind, id_, path):
    keeper.services.say("logistics", f"{path}/inspected", {}, method="POST", status=202)
    at = f"/store/{kind}/{id_}"
    form = await keeper.form(at, at)
    assert "no number of pieces" in (await keeper.send(form, 422, good="2")).text
    lines = [{"spu": "apple", "quantity": 2, "resellable": True}, {"spu": "apple", "quantity": 1, "resellable": False}]
    said = await keeper.does(form, ("logistics", "POST", f"{path}/inspected", {"lines": lines}), good="2", damaged="1")
    assert said.headers["location"] == "/store?done=inspected"
    form = await keeper.form(at, at)
    now = keeper.services.says["logistics", "GET", path][1] | {"phase": "inspected", "allowed": []}
    keeper.services.say("logistics", path, now)
    assert "it was returned, now it is inspected" in (await keeper.send(form, 409, good="2", damaged="1")).text


async def test_only_an_admin_pauses_a_store(keeper: Browser):
    assert "/store/pause" not in await keeper.look("/store")
    services = shop(text="Main")
    services.say("order", AT, {}, method="PUT")
    until = services.says["order", "GET", "/stores"][1]["items"][0]["paused_until"]
    async with browsing(services) as admin:
        form = await admin.form("/store?store=s-1", "/store/pause?store=s-1")
        body = {"name": "Main", "area": {"type": "Polygon"}, "paused_until": "2026-11-29T08:00:00Z"}
        said = await admin.does(form, ("order", "PUT", AT, body), paused_until="2026-11-29T08:00")
        assert said.headers["location"] == "/store?store=s-1&done=paused"
        assert len(services.sent) == 1
        form = await admin.form("/store?store=s-1", "/store/pause?store=s-1", nth=1)
        await admin.does(form, ("order", "PUT", AT, body | {"paused_until": None}))
        form = await admin.form("/store?store=s-1", "/store/pause?store=s-1")
        services.say("order", "/stores", page(sample(StoreRow, store="s-1", paused_until=None)))
        assert (
            f"it was paused until {until.replace('-', ' ')}, now it is not paused"
            in (await admin.send(form, 409, paused_until="2026-11-29T08:00")).text
        )


async def test_two_at_once_are_one_command_where_the_service_knows_no_key():
    services = shop(text="Main")
    services.say("order", AT, {}, method="PUT")
    async with browsing(services) as admin:
        form = await admin.form("/store?store=s-1", "/store/pause?store=s-1", nth=1)
        await asyncio.gather(*(admin.send(form) for _ in range(5)))
    assert len(services.sent) == 1


@pytest.mark.parametrize("name", ["", "0" * 32])
async def test_a_form_that_is_not_ours_is_refused(keeper: Browser, name):
    for path, action in (
        ("/store/lines/receive", "/store/lines/receive"),
        ("/store/stock/apple", "/store/stock/apple/count"),
        ("/store/flash", "/store/flash"),
        ("/store/slots", "/store/slots/day"),
        ("/store/inspect/o-1", "/store/inspect/o-1"),
    ):
        form = await keeper.form(path, action)
        await keeper.send(form, 403, form=name)
    assert not keeper.services.sent
