"""Marketing."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from services.console.rooms.marketing import KINDS, STATES
from services.inventory.pages import AllotmentPage
from services.order.catalogue import StoreRow
from services.order.promotions import Kind
from services.order.promotions_api import PromotionRow, RushRow, State
from shared.http.auth import Role
from tests.console.fakes import ACTING, SOON, Browser, Played, browsing, page, problem, sample

PAGES = ("/marketing", "/marketing?store=s-1", "/marketing/new", "/marketing/promotions/p-1", "/marketing/rushes")
NEXT = {"starts_at": "2026-12-01T08:00", "ends_at": "2026-12-02T08:00"}
SENT = {"starts_at": "2026-12-01T08:00:00Z", "ends_at": "2026-12-02T08:00:00Z"}
AT = "/promotions/p-1"


def office(*, bare: bool = False, text: str = ACTING, kind: str = "flash", **more: Any) -> Played:
    """What is on offer."""
    services = Played()

    def promotion(kind: str, **more: Any) -> Any:
        value = {"n": 3, "m": 2} if kind == "buy_n_pay_m" else 250
        return sample(PromotionRow, bare=bare, text=text, **({"kind": kind, "value": value, "state": "running"} | more))

    def listed(*rows: Any) -> Any:
        return page(*([] if bare else rows), following=None if bare else "c")

    sale = sample(AllotmentPage, bare=bare, text=text, left=4, quantity=9)
    for service, path, body in (
        ("order", "/promotions", listed(*(promotion(one) for one in KINDS))),
        ("order", AT, promotion(kind, **({} if text == ACTING else {"id": "p-1"}), **more)),
        ("order", "/stores", listed(sample(StoreRow, text="s-1", area={}))),
        ("order", "/rushes", listed(sample(RushRow, text=text))),
        ("order", f"/rushes/{text}", sample(RushRow, text=text)),
        ("inventory", "/stores/s-1/flash-allotments", listed(sale)),
        ("inventory", "/stores/s-1/flash-allotments/p-1", sale),
    ):
        services.say(service, path, body)
    return services


@pytest.fixture
async def admin():
    """Somebody who may do all, where things have plain names."""
    async with browsing(office(text="s-1")) as browser:
        yield browser


def test_kinds_and_states_are_those_of_the_service():
    assert set(KINDS) == set(Kind)
    assert set(STATES) == set(get_args(State))


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("bare", [True, False])
async def test_every_page_shows_whatever_there_is(path, bare):
    async with browsing(office(bare=bare)) as browser:
        html = await browser.look(path)
    assert bare or path == "/marketing/new" or "&lt;script&gt;alert" in html


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bare", [True, False])
async def test_a_promotion_of_each_kind(kind, bare):
    async with browsing(office(bare=bare, kind=kind)) as browser:
        assert "revision 7" in await browser.look("/marketing/promotions/p-1")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("away", ["order", "inventory"])
async def test_with_a_service_away_the_rest_stands(path, away):
    services = office()
    services.away = {away}
    async with browsing(services) as browser:
        await browser.look(path, 503 if (away, path) == ("order", "/marketing/promotions/p-1") else 200)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", [Role.STOREKEEPER, Role.RISK_ANALYST])
async def test_others_are_told_whose_room_it_is(path, role):
    async with browsing(office(), role) as browser:
        assert "this room is for" in await browser.look(path, 403)


async def test_pieces_that_are_left(admin: Browser):
    assert "4 of 9" in await admin.look("/marketing?store=s-1")
    assert "<strong>4</strong>" in await admin.look("/marketing/promotions/p-1")
    everywhere = office(text="s-1", stores=[])
    async with browsing(everywhere) as browser:
        assert "<strong>4</strong>" in await browser.look("/marketing/promotions/p-1")


@pytest.mark.parametrize(
    ("typed", "body"),
    [
        ({"kind": "percent", "value": "20"}, {"kind": "percent", "value": 20}),
        (
            {"kind": "amount_off", "value": "3,50", "min_total": "20"},
            {"kind": "amount_off", "value": 350, "min_total": 2000},
        ),
        ({"kind": "coupon", "value": "5", "account": "a 1"}, {"kind": "coupon", "value": 500, "account": "a 1"}),
        ({"kind": "flash", "value": "0.99", "per_account": "2"}, {"kind": "flash", "value": 99, "per_account": 2}),
        ({"kind": "buy_n_pay_m", "n": "3", "m": "2"}, {"kind": "buy_n_pay_m", "value": {"n": 3, "m": 2}}),
    ],
)
async def test_a_promotion_is_made(admin: Browser, typed, body):
    admin.services.say("order", "/promotions/new", {}, method="PUT")
    form = await admin.form("/marketing/new", "/marketing/new")
    scopes = {"spus": ["apple", "pear"], "categories": ["Fresh fruit"], "stores": []}
    want = ("order", "PUT", "/promotions/new", body | scopes | SENT)
    said = await admin.does(
        form, want, **({"id": " new "} | typed | NEXT), spus="apple\r\n\r\n pear ", categories="Fresh fruit\r\n"
    )
    assert said.headers["location"] == "/marketing/promotions/new?done=it+is+there"
    assert len(admin.services.sent) == 1


async def test_what_is_there_already_is_not_made_anew(admin: Browser):
    form = await admin.form("/marketing/new", "/marketing/new")
    said = await admin.send(form, 409, id="p-1", kind="percent", value="20", **NEXT)
    assert "it was not there, now it is revision 7" in said.text
    assert 'value="p-1"' in said.text
    assert 'value="2026-12-01T08:00"' in said.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": " "},
        {"value": "a lot"},
        {"value": "1.234"},
        {"starts_at": "soon"},
        {"min_total": "x"},
        {"per_account": "-1"},
    ],
)
async def test_what_cannot_be_read_is_kept(admin: Browser, wrong):
    form = await admin.form("/marketing/new", "/marketing/new")
    typed = {"id": "kept<", "kind": "flash", "value": "0.99", **NEXT} | wrong
    said = await admin.send(form, 422, **typed)
    assert 'value="flash" selected' in said.text
    assert 'value="2026-12-02T08:00"' in said.text
    assert ('value="kept&lt;"' in said.text) is ("id" not in wrong)
    assert not admin.services.sent


async def test_a_promotion_is_changed(admin: Browser):
    admin.services.say("order", AT, {}, method="PUT")
    form = await admin.form("/marketing/promotions/p-1", "/marketing/promotions/p-1")
    body = {"kind": "flash", "value": 250, "spus": ["s-1"], "categories": ["s-1"], "stores": ["s-1"], "per_account": 7}
    at = SOON.strftime("%Y-%m-%dT%H:%M:00Z")
    await admin.does(form, ("order", "PUT", AT, body | {"starts_at": at, "ends_at": at}))
    form = await admin.form("/marketing/promotions/p-1", "/marketing/promotions/p-1")
    admin.services.say("order", AT, problem("promotion_kind_fixed", 409), method="PUT", status=409)
    said = await admin.send(form, 409, value="1.50", per_account="")
    assert "No: promotion_kind_fixed" in said.text
    assert 'value="1.50"' in said.text
    assert 'name="per_account" value=""' in said.text
    admin.services.say("order", AT, admin.services.says["order", "GET", AT][1] | {"revision": 8})
    said = await admin.send(form, 409, value="1.50")
    assert "it was revision 7, now it is revision 8" in said.text


async def test_a_promotion_is_ended_once(admin: Browser):
    admin.services.say("order", AT, None, method="DELETE", status=204)
    form = await admin.form("/marketing/promotions/p-1", "/marketing/promotions/p-1/end")
    await admin.does(form, ("order", "DELETE", AT, {}))
    assert len(admin.services.sent) == 1
    admin.services.say("order", AT, admin.services.says["order", "GET", AT][1] | {"state": "over"})
    assert "/end" not in await admin.look("/marketing/promotions/p-1")


async def test_rushes(admin: Browser):
    admin.services.say("order", "/rushes/s-1", {}, method="PUT")
    admin.services.say("order", "/rushes/new", {}, method="PUT")
    admin.services.say("order", "/rushes/s-1", None, method="DELETE", status=204)
    change, *_, new = [
        await admin.form("/marketing/rushes", "/marketing/rushes", nth=0),
        await admin.form("/marketing/rushes", "/marketing/rushes", nth=-1),
    ]
    body = {"store": "s-1", "spus": ["apple"]} | SENT
    await admin.does(change, ("order", "PUT", "/rushes/s-1", body), spus="apple", **NEXT)
    await admin.does(new, ("order", "PUT", "/rushes/new", {"spus": []} | SENT), id="new", **NEXT)
    form = await admin.form("/marketing/rushes", "/marketing/rushes/drop")
    await admin.does(form, ("order", "DELETE", "/rushes/s-1", {}))
    assert len(admin.services.sent) == 3
    change = await admin.form("/marketing/rushes", "/marketing/rushes", nth=0)
    admin.services.say("order", "/rushes/s-1", sample(RushRow, text="s-2"))
    said = await admin.send(change, 409, store="kept<", **NEXT)
    assert "kept&lt;" in said.text
    assert "Give it an id" in (await admin.send(new, 422, id="", store="kept<", **NEXT)).text


@pytest.mark.parametrize("name", ["", "0" * 32])
async def test_a_form_that_is_not_ours_is_refused(admin: Browser, name):
    for path, action in (
        ("/marketing/new", "/marketing/new"),
        ("/marketing/promotions/p-1", "/marketing/promotions/p-1"),
        ("/marketing/promotions/p-1", "/marketing/promotions/p-1/end"),
        ("/marketing/rushes", "/marketing/rushes"),
        ("/marketing/rushes", "/marketing/rushes/drop"),
    ):
        await admin.send(await admin.form(path, action), 403, form=name)
    assert not admin.services.sent
