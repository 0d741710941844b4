"""What all forms have in common, in the rooms that are not tried by themselves: orders, tickets, picking, courier."""

from __future__ import annotations

from typing import Any

import pytest

from services.aftersales.pages import TicketPage
from services.logistics.pages import FulfilmentPage, LineOut, ReturnPage
from services.order.pages import OrderPage
from shared.http.parked import ParkedPage
from tests.console.fakes import ACTING, Played, browsing, page, sample

ORDER: dict[str, Any] = {"order_id": "o-1", "phase": "delivered", "paid": 900, "refunded": 200}
WORK: dict[str, Any] = {"order_id": "o-1", "store": "s-1", "lines": [sample(LineOut, text="apple", quantity=3)]}


def house(text: str = "plain") -> Played:
    """One of each."""
    services = Played()
    some = ["cancel", "ticket", "claim", "release", "note", "picked", "handed-over"]
    order = sample(OrderPage, bare=True, text=text, allowed=some, **ORDER)
    ticket = sample(TicketPage, text=text, ticket_id="t-1", phase="open", allowed=some)
    work = sample(FulfilmentPage, text=text, phase="picking", allowed=some, **WORK)
    for service, path, body in (
        ("order", "/orders/o-1", order),
        ("aftersales", "/tickets/t-1", ticket),
        ("aftersales", "/tickets", page(ticket)),
        ("logistics", "/fulfilments/o-1", work),
        ("logistics", "/stores/s-1/fulfilments", page(work)),
        ("logistics", "/stores/s-1/returns", page(sample(ReturnPage, text=text))),
    ):
        services.say(service, path, body)
    return services


@pytest.mark.parametrize("path", ["/pick?store=s-1", "/courier?store=s-1", "/-/pick?store=s-1", "/-/courier?store=s-1"])
async def test_the_phones_lists_show_what_waits(path):
    services = house(ACTING)
    async with browsing(services) as browser:
        html = await (browser.event if path.startswith("/-/") else browser.look)(path)
    assert "o-1" in html
    assert "&lt;script&gt;" in html or "pick" in path


@pytest.mark.parametrize(
    ("at", "action", "service", "path", "typed", "body"),
    [
        ("/orders/o-1", "/cancel", "order", "/orders/o-1/cancel", {"reason": "late"}, {"reason": "late"}),
        ("/tickets/t-1", "/claim", "aftersales", "/tickets/t-1/claim", {}, {}),
        ("/tickets/t-1", "/note", "aftersales", "/tickets/t-1/note", {"text": "call"}, {"text": "call"}),
        (
            *("/pick/o-1", "/picked", "logistics", "/fulfilments/o-1/picked"),
            *({"found": "1"}, {"short": [{"spu": "apple", "missing": 2}]}),
        ),
        (
            "/courier/o-1",
            "/handed-over",
            "logistics",
            "/fulfilments/o-1/handed-over",
            {"courier": "mo"},
            {"courier": "mo"},
        ),
    ],
)
async def test_a_form_is_sent_as_it_was_filled_in_unless_something_changed(at, action, service, path, typed, body):
    services = house()
    services.say(service, path, {}, method="POST", status=202)
    async with browsing(services) as browser:
        form = await browser.form(at, at + action)
        said = await browser.does(form, (service, "POST", path, body), **typed)
        assert said.headers["location"].startswith(f"{at}?done=")
        form = await browser.form(at, at + action)
        about = path.rpartition("/")[0]
        services.say(service, about, services.says[service, "GET", about][1] | {"phase": "closed"})
        assert "now it is closed" in (await browser.send(form, 409, **typed)).text
    assert len(services.sent) == 2


async def test_a_ticket_that_is_opened_is_shown():
    services = house()
    services.say("aftersales", "/tickets", {"ticket_id": "t/9"}, method="POST", status=202)
    async with browsing(services) as browser:
        form = await browser.form("/orders/o-1", "/orders/o-1/ticket")
        said = await browser.send(form, kind="refund_only", reason="bad", amount="3,50")
    assert said.headers["location"] == "/tickets/t%2F9?done=ticket+opened"
    assert services.sent[0].body["amount"] == 350


@pytest.mark.parametrize("action", ["replay", "drop"])
async def test_a_parked_message_is_asked_for_once(action):
    services = Played()
    parked = sample(ParkedPage, number=7, state="parked", asked=None)
    services.say("order", "/parked/7", parked)
    services.say("order", f"/parked/7/{action}", {}, method="POST", status=202)
    async with browsing(services) as browser:
        form = await browser.form("/ops/parked/order/7", f"/ops/parked/order/7/{action}")
        await browser.does(form, ("order", "POST", f"/parked/7/{action}", {"reason": "mended"}), reason="mended")
        assert len(services.sent) == 1
        form = await browser.form("/ops/parked/order/7", f"/ops/parked/order/7/{action}")
        services.say("order", "/parked/7", parked | {"asked": "replay"})
        said = await browser.send(form, 409, reason="kept<")
        assert "it was parked, now it is parked, replay asked for" in said.text
        assert "kept&lt;" in said.text
