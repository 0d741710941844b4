"""Tickets about goods on a real database: what is kept is what was decided, and what staff and customers are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.aftersales import api
from services.aftersales.decider import DECIDER
from services.aftersales.main import SERVICE
from services.aftersales.store import AftersalesStore
from shared.contracts import aftersales
from shared.runtime.decider import Windows
from tests.deciders.orders import WINDOW
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts
MILK = [{"spu": "milk", "quantity": 2}]


@pytest.fixture
async def service(parts: RealParts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """An aftersales service with an empty database and a delivered order."""
    monkeypatch.setattr(api, "WORD_OF_ORDER_S", 0.02)
    windows = Windows(after_sales_window_s=3600)
    async with inside(
        DECIDER, AftersalesStore(), api.routes, parts.fresh_database, windows, SERVICE.resting
    ) as service:
        await service.hear(WINDOW)
        yield service


async def asked(service: Inside, path: str, body: Any = None, status: int = 202, **more: Any) -> dict[str, Any]:
    """Customer service asks for something; what is kept afterwards is what is in memory."""
    answer = await service.ask("POST", path, body, role=more.pop("role", "customer_service"), **more)
    assert answer.status_code == status, answer.text
    await is_kept(service)
    return dict(answer.json())


async def hears(service: Inside, *messages: Any) -> None:
    """The order's word; and the same."""
    for message in messages:
        await service.hear(message)
        await is_kept(service)


async def is_kept(service: Inside) -> None:
    """A worker that starts now finds every window and ticket as this one remembers it."""
    remembered = dict(service._shard._cache)
    async with service.pool.acquire() as connection:
        kept = await AftersalesStore().load_many(connection, list(remembered), datetime.now(UTC))
    assert kept == remembered


async def opened(service: Inside, kind: str, **more: Any) -> str:
    """A ticket about two cartons of milk; answers with its address."""
    page = await asked(service, "/tickets", {"order_id": "o-1", "kind": kind, "lines": MILK, **more})
    assert page["lines"] == MILK
    if kind in ("exchange", "replenishment"):
        assert page["phase"] == "checking"
        await hears(service, aftersales.AdmitTicket(order_id="o-1", ticket_id=page["ticket_id"]))
    return f"/tickets/{page['ticket_id']}"


async def shown(service: Inside, path: str) -> dict[str, Any]:
    """A ticket's page."""
    return dict((await service.ask("GET", path, role="customer_service")).json())


async def test_exchange_from_its_opening_to_its_end(service: Inside) -> None:
    """Out of stock, chosen again, a piece dropped, delivered, the old goods back: each step is kept and shown."""
    path = await opened(service, "exchange", replacement_lines=[{"spu": "oat", "quantity": 2, "instead_of": "milk"}])
    ticket: dict[str, Any] = {"order_id": "o-1", "ticket_id": path.removeprefix("/tickets/")}
    held = await asked(service, f"{path}/approve")
    assert (held["phase"], held["replacement"]) == ("holding", "o-1~r1")
    assert held["replacing"] == [{"spu": "oat", "quantity": 2, "instead_of": "milk", "price": 129}]
    await hears(service, aftersales.ReopenTicket(**ticket, note="out_of_stock"))
    assert (await shown(service, path))["note"] == "out_of_stock"
    await asked(service, f"{path}/approve", {"replacement_lines": [{"spu": "soy", "quantity": 2}]})
    await hears(
        service,
        aftersales.StartReplacement(**ticket),
        aftersales.DropReplacement(**ticket, spus=("milk",), quantities=(1,), prices=(129,)),
        aftersales.ConfirmReplacement(**ticket),
    )
    assert (await shown(service, path))["phase"] == "returning"
    await hears(service, aftersales.ConfirmReturn(**ticket, spus=("milk",), quantities=(2,), note="exchanged"))
    page = await shown(service, path)
    assert (page["phase"], page["note"], page["refunded"]) == ("resolved", "exchanged", 129)
    assert (page["settled"], page["replacement"]) == (MILK, "o-1~r2")
    assert [step["step"] for step in page["timeline"]] == [
        "OpenTicket",
        "AdmitTicket",
        "ApproveTicket",
        "ReopenTicket",
        "ApproveTicket",
        "StartReplacement",
        "DropReplacement",
        "ConfirmReplacement",
        "ConfirmReturn",
    ]


async def test_refund_with_an_amount_and_a_claim(service: Inside) -> None:
    """Another's claim is told with its end; the refund ends ticket and claim; the goods are in no other ticket."""
    path = await opened(service, "refund_only", amount=100, liable="supplier")
    claimed = await asked(service, f"{path}/claim")
    assert (claimed["claimed_by"], "release" in claimed["allowed"]) == ("customer_service:", True)
    other = await asked(service, f"{path}/approve", None, 409, role="admin")
    assert other["code"] == "ticket_claimed"
    assert (await asked(service, f"{path}/note", {"text": "called"}, role="admin"))["notes"][0]["text"] == "called"
    page = await asked(service, f"{path}/approve")
    assert (page["phase"], page["refunded"], page["claimed_by"]) == ("resolved", 100, None)
    again = {"order_id": "o-1", "kind": "return", "lines": MILK}
    assert (await asked(service, "/tickets", again, 409))["code"] == "more_than_delivered"


async def test_ticket_that_the_order_turns_down_gives_its_goods_back(service: Inside) -> None:
    """They may be in another."""
    page = await asked(service, "/tickets", {"order_id": "o-1", "kind": "exchange", "lines": MILK})
    turned_down = aftersales.SettleTicket(
        order_id="o-1", ticket_id=page["ticket_id"], phase="rejected", note="replacement_price_differs"
    )
    await hears(service, turned_down)
    await opened(service, "return")


async def test_rating_is_kept_once(service: Inside) -> None:
    """With its words; a bad one is a ticket."""
    rating = {"order_id": "o-1", "stars": 1, "text": "sour"}
    customer: dict[str, Any] = {"role": "customer", "account": "a-1"}
    page = await asked(service, "/ratings", rating, **customer)
    assert (page["stars"], page["text"]) == (1, "sour")
    assert (await asked(service, "/ratings", rating, 409, **customer))["code"] == "already_rated"
    assert (await asked(service, "/ratings", rating, 404, role="customer", account="a-2"))["code"] == "order_unknown"
    (complaint,) = (await service.ask("GET", "/tickets?kind=quality")).json()["items"]
    assert (complaint["phase"], complaint["reason"]) == ("open", "sour")
    assert (await service.ask("GET", "/ratings/o-1", **customer)).json() == page
    assert (await service.ask("GET", "/ratings/o-1", role="customer", account="a-2")).status_code == 404
