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
from shared.contracts.aftersales import (
    AdmitTicket,
    ConfirmReplacement,
    ConfirmReturn,
    DropReplacement,
    ReopenTicket,
    SettleTicket,
    StartReplacement,
)
from shared.runtime.decider import Windows
from tests.deciders.orders import WINDOW
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts
MILK = [{"spu": "milk", "quantity": 2}]


@pytest.fixture
async def aftersales(parts: RealParts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    """An aftersales service with an empty database and a delivered order."""
    monkeypatch.setattr(api, "WORD_OF_ORDER_S", 0.02)
    windows = Windows(after_sales_window_s=3600)
    async with inside(
        DECIDER, AftersalesStore(), api.routes, parts.fresh_database, windows, SERVICE.resting
    ) as service:
        await service.hear(WINDOW)
        yield service


async def asked(aftersales: Inside, path: str, body: Any = None, status: int = 202, **more: Any) -> dict[str, Any]:
    """Customer service asks for something; what is kept afterwards is what is in memory."""
    answer = await aftersales.ask("POST", path, body, role=more.pop("role", "customer_service"), **more)
    assert answer.status_code == status, answer.text
    await is_kept(aftersales)
    return dict(answer.json())


async def hears(aftersales: Inside, *messages: Any) -> None:
    """The order's word; and the same."""
    for message in messages:
        await aftersales.hear(message)
        await is_kept(aftersales)


async def is_kept(aftersales: Inside) -> None:
    """A worker that starts now finds every window and ticket as this one remembers it."""
    remembered = dict(aftersales._shard._cache)
    async with aftersales.pool.acquire() as connection:
        kept = await AftersalesStore().load_many(connection, list(remembered), datetime.now(UTC))
    assert kept == remembered


async def opened(aftersales: Inside, kind: str, **more: Any) -> str:
    """A ticket about two cartons of milk; answers with its address."""
    page = await asked(aftersales, "/tickets", {"order_id": "o-1", "kind": kind, "lines": MILK, **more})
    assert page["lines"] == MILK
    if kind in ("exchange", "replenishment"):
        assert page["phase"] == "checking"
        await hears(aftersales, AdmitTicket(order_id="o-1", ticket_id=page["ticket_id"]))
    return f"/tickets/{page['ticket_id']}"


async def shown(aftersales: Inside, path: str) -> dict[str, Any]:
    """A ticket's page."""
    return dict((await aftersales.ask("GET", path, role="customer_service")).json())


async def test_exchange_from_its_opening_to_its_end(aftersales: Inside) -> None:
    """Out of stock, chosen again, a piece dropped, delivered, the old goods back: each step is kept and shown."""
    path = await opened(aftersales, "exchange", replacement_lines=[{"spu": "oat", "quantity": 2, "instead_of": "milk"}])
    ticket: dict[str, Any] = {"order_id": "o-1", "ticket_id": path.removeprefix("/tickets/")}
    held = await asked(aftersales, f"{path}/approve")
    assert (held["phase"], held["replacement"]) == ("holding", "o-1~r1")
    assert held["replacing"] == [{"spu": "oat", "quantity": 2, "instead_of": "milk", "price": 129}]
    await hears(aftersales, ReopenTicket(**ticket, note="out_of_stock"))
    assert (await shown(aftersales, path))["note"] == "out_of_stock"
    await asked(aftersales, f"{path}/approve", {"replacement_lines": [{"spu": "soy", "quantity": 2}]})
    await hears(
        aftersales,
        StartReplacement(**ticket),
        DropReplacement(**ticket, spus=("milk",), quantities=(1,), prices=(129,)),
        ConfirmReplacement(**ticket),
    )
    assert (await shown(aftersales, path))["phase"] == "returning"
    await hears(aftersales, ConfirmReturn(**ticket, spus=("milk",), quantities=(2,), note="exchanged"))
    page = await shown(aftersales, path)
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


async def test_refund_with_an_amount_and_a_claim(aftersales: Inside) -> None:
    """Another's claim is told with its end; the refund ends ticket and claim; the goods are in no other ticket."""
    path = await opened(aftersales, "refund_only", amount=100, liable="supplier")
    claimed = await asked(aftersales, f"{path}/claim")
    assert (claimed["claimed_by"], "release" in claimed["allowed"]) == ("customer_service:", True)
    other = await asked(aftersales, f"{path}/approve", None, 409, role="admin")
    assert other["code"] == "ticket_claimed"
    assert (await asked(aftersales, f"{path}/note", {"text": "called"}, role="admin"))["notes"][0]["text"] == "called"
    page = await asked(aftersales, f"{path}/approve")
    assert (page["phase"], page["refunded"], page["claimed_by"]) == ("resolved", 100, None)
    again = {"order_id": "o-1", "kind": "return", "lines": MILK}
    assert (await asked(aftersales, "/tickets", again, 409))["code"] == "more_than_delivered"


async def test_ticket_that_the_order_turns_down_gives_its_goods_back(aftersales: Inside) -> None:
    """They may be in another."""
    page = await asked(aftersales, "/tickets", {"order_id": "o-1", "kind": "exchange", "lines": MILK})
    turned_down = SettleTicket(
        order_id="o-1", ticket_id=page["ticket_id"], phase="rejected", note="replacement_price_differs"
    )
    await hears(aftersales, turned_down)
    await opened(aftersales, "return")


async def test_rating_is_kept_once(aftersales: Inside) -> None:
    """With its words; a bad one is a ticket."""
    rating = {"order_id": "o-1", "stars": 1, "text": "sour"}
    customer: dict[str, Any] = {"role": "customer", "account": "a-1"}
    page = await asked(aftersales, "/ratings", rating, **customer)
    assert (page["stars"], page["text"]) == (1, "sour")
    assert (await asked(aftersales, "/ratings", rating, 409, **customer))["code"] == "already_rated"
    assert (await asked(aftersales, "/ratings", rating, 404, role="customer", account="a-2"))["code"] == "order_unknown"
    (complaint,) = (await aftersales.ask("GET", "/tickets?kind=quality")).json()["items"]
    assert (complaint["phase"], complaint["reason"]) == ("open", "sour")
    assert (await aftersales.ask("GET", "/ratings/o-1", **customer)).json() == page
    assert (await aftersales.ask("GET", "/ratings/o-1", role="customer", account="a-2")).status_code == 404
