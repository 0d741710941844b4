"""In and out of the console: links, tokens, cookies, forms, and what every page carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from re import findall, search
from typing import Any

import httpx
import pytest

from services.console.app import make_console
from services.console.place import ROOMS
from services.console.session import COOKIE, FORM_MAX_BYTES
from services.console.upstream import Services
from shared import tokens
from shared.settings import FromEnvironment, Settings

HERE = "http://console.test"
LISTS = {"orders", "tickets", "documents", "phases", "fulfilments", "returns"}


class Fakes:
    """Six services that answer what they are told to, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answers: dict[str, httpx.Response] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answers by path; when nothing was said about it, a list is empty and anything else is unknown."""
        self.asked.append(request)
        if told := self.answers.get(f"{request.method} {request.url.path}"):
            return told
        if request.url.path.rpartition("/")[2] in LISTS:
            return httpx.Response(200, json={"items": [], "next": None})
        return httpx.Response(404, json={"code": "thing_unknown", "title": "There is no such thing", "status": 404})

    def sent(self) -> list[tuple[str, str, Any, str]]:
        """What was to be done: method, path, body, Idempotency-Key."""
        return [
            (r.method, r.url.path, json.loads(r.content), r.headers["idempotency-key"])
            for r in self.asked
            if r.method != "GET"
        ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of no running stack."""
    return FromEnvironment(home=tmp_path, token_secret="test" * 16)


@pytest.fixture
def fakes() -> Fakes:
    """The six, before anything was asked."""
    return Fakes()


@pytest.fixture
async def browser(settings: Settings, fakes: Fakes) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody's browser, before the sign-in."""
    app = make_console(settings, Services(settings, httpx.MockTransport(fakes)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as browser:
        yield browser


async def sign_in(browser: httpx.AsyncClient, settings: Settings, role: str = "admin", name: str = "jo") -> None:
    """By a link."""
    answer = await browser.get(f"/sign-in/{tokens.create_link(settings, role, None, name)}")
    assert answer.status_code == 200


def fields(page: str, action: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    (form,) = findall(rf'<form[^>]*action="{action}".*?</form>', page.replace("\n", " "))
    return {name: unescape(value) for name, value in findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)}


async def test_a_link_signs_in_once(browser: httpx.AsyncClient, settings: Settings) -> None:
    """Whoever opens it second, or changes it, gets nothing."""
    link = tokens.create_link(settings, "picker", "s-1", "maria")
    first = await browser.get(f"/sign-in/{link}")
    assert "httponly" in first.headers["set-cookie"].lower()
    assert "samesite=strict" in first.headers["set-cookie"].lower()
    page = await browser.get("/")
    assert "maria" in page.text
    assert "s-1" in page.text
    for bad in (link, link[:-3], tokens.create(settings, "picker", store="s-1"), "x"):
        answer = await browser.get(f"/sign-in/{bad}")
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


async def test_an_old_link_signs_nobody_in(
    browser: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is good for a minute."""
    monkeypatch.setattr(tokens, "LINK_S", -1.0)
    assert (await browser.get(f"/sign-in/{tokens.create_link(settings, 'admin', None, 'jo')}")).status_code == 401


async def test_no_service_takes_a_link(settings: Settings) -> None:
    """It is meant for the console alone."""
    with pytest.raises(tokens.TokenError):
        tokens.read(settings, tokens.create_link(settings, "admin", None, "jo"))
    with pytest.raises(tokens.TokenError):
        tokens.create_link(settings, "customer", None, None)


async def test_a_pasted_token_signs_in(browser: httpx.AsyncClient, settings: Settings) -> None:
    """Blanks around it are nobody's fault; a customer's is refused, and says why."""
    good = tokens.create(settings, "risk_analyst", name="li")
    assert (await browser.post("/sign-in", data={"token": f"  {good}\n"})).status_code == 303
    customers = tokens.create(settings, "customer", account="a-1")
    answer = await browser.post("/sign-in", data={"token": customers})
    assert answer.status_code == 401
    assert "people who work here" in answer.text


@pytest.mark.parametrize("cookie", ["x", "a.b.c", "é" * 10, "x" * 5_000])
async def test_a_forged_cookie_is_nobody(browser: httpx.AsyncClient, cookie: str) -> None:
    """The page to sign in, and no trace of an error."""
    answer = await browser.get("/", headers={b"Cookie": f"{COOKIE}={cookie}".encode()})
    assert answer.status_code == 401
    assert "Token" in answer.text


async def test_every_page_lets_only_our_own_files_run(browser: httpx.AsyncClient, settings: Settings) -> None:
    """No inline script, no inline style, nothing from elsewhere; pages stay in no cache."""
    await sign_in(browser, settings)
    for path in ("/", "/orders", "/nothing", "/sign-in"):
        answer = await browser.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert not search(r"<script(?! src=)|\son\w+=|\sstyle=|https?://(?!www\.w3\.org)", answer.text), path


async def test_files_may_be_kept_for_good(browser: httpx.AsyncClient) -> None:
    """Each has its hash in its address; an old address is none."""
    page = (await browser.get("/sign-in")).text
    addresses = findall(r'"(/assets/[^"]+)"', page)
    assert len(addresses) == 4
    for address in addresses:
        answer = await browser.get(address)
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    assert (await browser.get("/assets/console.000000000000.css")).status_code == 404
    assert (await browser.get("/assets/..%2f..%2fapp.py")).status_code == 404


@pytest.mark.parametrize("role", [role for role in tokens.ROLES if role != "customer"])
async def test_rooms_are_open_to_their_roles(browser: httpx.AsyncClient, settings: Settings, role: str) -> None:
    """The menu shows those, and the address of another says to whom it is open."""
    await sign_in(browser, settings, role)
    menu = (await browser.get("/")).text
    for room in ROOMS:
        is_open = role in room.roles
        assert (f'data-go="{room.key}"' in menu) == is_open
        answer = await browser.get(room.path)
        if is_open:
            assert answer.status_code == 200, room.path
        else:
            assert answer.status_code == 403
            assert "this room is for" in answer.text


async def test_a_form_needs_its_key_and_this_page(browser: httpx.AsyncClient, settings: Settings, fakes: Fakes) -> None:
    """Another site's form, one without key, and one that was made for somebody else do nothing."""
    await sign_in(browser, settings)
    form = fields((await browser.get("/")).text, "/sign-out")
    for headers, data in (
        ({"Sec-Fetch-Site": "cross-site"}, form),
        ({"Origin": "http://evil.test"}, form),
        ({}, {"x": "y"}),
        ({}, {"form": "0" * 32}),
    ):
        answer = await browser.post("/sign-out", data=data, headers=headers)
        assert answer.status_code == 403
    answer = await browser.post("/sign-out", data=form, headers={"Sec-Fetch-Site": "same-origin", "Origin": HERE})
    assert answer.status_code == 303
    door = await browser.get("/")
    assert (door.status_code, "Sign out" in door.text, 'name="token"' in door.text) == (200, False, True)
    assert fakes.sent() == []


async def test_what_was_typed_outlives_the_sign_in(
    browser: httpx.AsyncClient, settings: Settings, fakes: Fakes
) -> None:
    """A token that ends under a form: the same form is sent after the new sign-in, under the key that it had."""
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order())
    fakes.answers["POST /orders/o-1/cancel"] = httpx.Response(202, json=an_order())
    await sign_in(browser, settings)
    form = fields((await browser.get("/orders/o-1")).text, "/orders/o-1/cancel")
    browser.cookies.clear()
    answer = await browser.post("/orders/o-1/cancel", data={**form, "reason": "<b>too late</b>"})
    assert answer.status_code == 401
    kept = fields(answer.text, "/orders/o-1/cancel")
    assert kept == {**form, "reason": "<b>too late</b>"}
    again = {**kept, "token": tokens.create(settings, "admin", name="jo")}
    answer = await browser.post("/orders/o-1/cancel", data=again)
    assert answer.status_code == 303
    assert fakes.sent() == [("POST", "/orders/o-1/cancel", {"reason": "<b>too late</b>"}, form["key"])]
    others = {**kept, "token": tokens.create(settings, "admin", name="another")}
    assert (await browser.post("/orders/o-1/cancel", data=others)).status_code == 403


async def test_a_double_click_is_one_command(browser: httpx.AsyncClient, settings: Settings, fakes: Fakes) -> None:
    """Both carry one key, and the second is no surprise although the order has moved on."""
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order())
    fakes.answers["POST /orders/o-1/cancel"] = httpx.Response(202, json=an_order("stopping"))
    await sign_in(browser, settings)
    form = fields((await browser.get("/orders/o-1")).text, "/orders/o-1/cancel")
    first = await browser.post("/orders/o-1/cancel", data=form)
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order("stopping"))
    second = await browser.post("/orders/o-1/cancel", data=form)
    assert (first.status_code, second.status_code) == (303, 303)
    assert len({key for *_, key in fakes.sent()}) == 1


async def test_who_was_slower_is_told(browser: httpx.AsyncClient, settings: Settings, fakes: Fakes) -> None:
    """The order moved on since the page was opened: nothing is sent, what was typed is kept."""
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order())
    await sign_in(browser, settings)
    form = fields((await browser.get("/orders/o-1")).text, "/orders/o-1/cancel")
    moved = {**an_order("picking"), "allowed": ["cancel"]}
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=moved)
    answer = await browser.post("/orders/o-1/cancel", data={**form, "reason": "changed my mind"})
    assert answer.status_code == 409
    assert "changed since you opened it: it was waits for a picker, now it is picking" in answer.text
    assert "changed my mind" in answer.text
    assert fakes.sent() == []


async def test_a_refusal_keeps_what_was_typed(browser: httpx.AsyncClient, settings: Settings, fakes: Fakes) -> None:
    """With the service's own words, and what to do next."""
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order())
    problem = {
        "code": "answer_pending",
        "title": "The answer is still being worked out",
        "status": 503,
        "trace_id": "ab",
    }
    fakes.answers["POST /orders/o-1/cancel"] = httpx.Response(503, json=problem)
    await sign_in(browser, settings)
    form = fields((await browser.get("/orders/o-1")).text, "/orders/o-1/cancel")
    answer = await browser.post("/orders/o-1/cancel", data={**form, "reason": "x <script>"})
    assert answer.status_code == 503
    for told in ("still being worked out", "It may have been carried out", "<code>ab</code>", "x &lt;script&gt;"):
        assert told in answer.text


async def test_a_service_that_is_away_leaves_the_rest(
    browser: httpx.AsyncClient, settings: Settings, fakes: Fakes
) -> None:
    """Its card says so."""
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=an_order())
    fakes.answers["GET /fulfilments/o-1"] = httpx.Response(502, text="bad gateway")
    await sign_in(browser, settings)
    answer = await browser.get("/orders/o-1")
    assert answer.status_code == 200
    assert "logistics does not answer" in answer.text
    assert "3.98" in answer.text


@pytest.mark.parametrize(
    ("content", "type_", "status"),
    [
        (b"form=x&" * 3_000, "application/x-www-form-urlencoded", 422),
        (b"a=" + b"x" * FORM_MAX_BYTES, "application/x-www-form-urlencoded", 413),
        (b"a=%ff", "application/x-www-form-urlencoded", 422),
        (b"a=%00", "application/x-www-form-urlencoded", 422),
        (b"\xff", "application/x-www-form-urlencoded", 422),
        (b"{}", "application/json", 415),
    ],
)
async def test_nonsense_in_a_form_is_told(
    browser: httpx.AsyncClient, settings: Settings, content: bytes, type_: str, status: int
) -> None:
    """In a page, with a code."""
    await sign_in(browser, settings)
    answer = await browser.post("/orders/o-1/cancel", content=content, headers={"Content-Type": type_})
    assert answer.status_code == status
    assert f"{status} <code>" in answer.text


async def test_text_is_never_run(browser: httpx.AsyncClient, settings: Settings, fakes: Fakes) -> None:
    """HTML in every text of an order is shown as it is."""
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>"
    order = an_order() | {"account": evil, "store": evil, "reason": evil, "coupons": [evil], "denied": [evil]}
    order["timeline"] = [{"source": evil, "at": NOON, "phase": evil, "message": evil, "actor": evil}]
    order["lines"] = [{**order["lines"][0], "spu": evil}]
    fakes.answers["GET /orders/o-1"] = httpx.Response(200, json=order)
    await sign_in(browser, settings)
    page = (await browser.get("/orders/o-1")).text
    assert "<script>alert" not in page
    assert "<img" not in page
    found = await browser.get("/find", params={"q": evil})
    assert "<script>alert" not in found.text


async def test_a_room_is_rendered_once_for_all(settings: Settings, fakes: Fakes) -> None:
    """However many look, the services are asked once a second; nobody looks, nobody asks."""
    fakes.answers["GET /phases"] = httpx.Response(200, json={"items": []})
    app = make_console(settings, Services(settings, httpx.MockTransport(fakes)))
    live, place = app.state.place.live, app.state.place
    from services.console.live import each_beat

    async def render() -> str:
        await place.services.get("order", "/phases", "t")
        return str(len(fakes.asked))

    looks = [live.look("room", lambda: each_beat(render, 0.1)) for _ in range(20)]
    texts = await asyncio.gather(*(anext(look) for look in looks))
    assert {event.data for event in texts} == {"1"}
    await asyncio.gather(*(look.aclose() for look in looks))
    asked = len(fakes.asked)
    await asyncio.sleep(0.3)
    assert len(fakes.asked) == asked


NOON = "2026-11-28T12:00:00Z"


def an_order(phase: str = "awaiting_picking") -> dict[str, Any]:
    """An order's page as the order service tells it."""
    line = {"spu": "apple", "quantity": 2, "unit_price": 199, "discount": 0, "total": 398, "promotions": []}
    line |= {"returned": 0, "refunded": 0, "exchanged": 0, "replenished": 0, "left": 2}
    from services.order.pages import OrderPage

    page = OrderPage.model_validate(
        {
            **dict.fromkeys(OrderPage.model_fields),
            **{
                key: [] for key in ("coupons", "denied", "short", "substitutes", "replacements", "tickets", "documents")
            },
            **{key: [] for key in ("payments", "refunds", "timeline")},
            "order_id": "o-1",
            "kind": "sales",
            "phase": phase,
            "store": "s-1",
            "account": "a-1",
            "placed_at": NOON,
            "lines": [line],
            "total": 398,
            "currency": "EUR",
            "paid": 398,
            "refunded": 0,
            "hold_mode": "lock",
            "allowed": ["cancel"],
        }
    )
    found: dict[str, Any] = page.model_dump(mode="json")
    return found
