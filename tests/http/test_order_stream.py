"""The stream of an order: a reader that comes back gets what it does not have, and once nothing comes any more, 204."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast, get_origin

import pytest

from services.order import api
from services.order.pages import OrderPage
from shared.http.app import make_app, refuse_when_behind
from shared.http.auth import Caller
from shared.http.waiting import Bell
from shared.service import Parts
from tests.http.shop import SETTINGS, Shop
from tests.http.wire import Answer, Client, Served, served

PLACED_AT = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "".join(f"{name}: {value}\r\n" for name, value in Shop().token().items())


def page(phase: str, paid: int = 0, entries: int = 1) -> OrderPage:
    fields: dict[str, Any] = {
        name: [] if get_origin(field.annotation) is list else None for name, field in OrderPage.model_fields.items()
    }
    fields |= {"order_id": "o-1", "kind": "sales", "phase": phase, "store": "s-1", "account": "a-1"}
    fields |= {"placed_at": PLACED_AT, "total": 5, "currency": "EUR", "paid": paid, "refunded": 0}
    fields["timeline"] = [{"at": PLACED_AT, "phase": phase}] * entries
    return OrderPage(**fields)


class Desk:
    """Stands for the tables: the order's page is what the test says."""

    def __init__(self) -> None:
        self.shown = page("picking")

    async def page(self, order_id: str, caller: Caller) -> OrderPage | None:
        return self.shown if order_id == "o-1" else None


class Order:
    """The order service, serving one order."""

    def __init__(self, server: Served, desk: Desk, bell: Bell) -> None:
        self.server, self.desk, self.bell = server, desk, bell

    def becomes(self, shown: OrderPage) -> None:
        def change() -> None:
            self.desk.shown = shown
            self.bell.ring(["o-1"])

        self.server.on_loop(change)

    def ask(self, last_event_id: str | None = None, method: str = "GET") -> Client:
        client = self.server.client()
        last = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id is not None else ""
        client.send(f"{method} /orders/o-1/stream HTTP/1.1\r\nHost: larder\r\n{TOKEN}{last}\r\n".encode())
        return client


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[Order]:
    desk, bell = Desk(), Bell()
    monkeypatch.setattr(api, "Orders", lambda pool, currency: desk)
    nothing = cast(Any, None)
    parts = Parts(SETTINGS, nothing, nothing, bell, nothing, refuse_when_behind(lambda: 0, 1))
    app = make_app("order", "Orders", "", routers=api.routes(parts), ready=lambda: None, settings=SETTINGS)
    with served(app) as server:
        yield Order(server, desk, bell)


def started(client: Client) -> Answer:
    answer = client.answer()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    client.until(b"retry: ")
    return answer


def event_id(client: Client) -> str:
    """Waits for one event and gives its id."""
    client.until(b"data: ")
    return client.buffer.split(b"id: ")[-1].split(b"\n")[0].decode()


def test_an_ended_order_is_told_once(order: Order) -> None:
    """The page and an end; who comes back with its id is told to stay away, and a page that changed since is told."""
    order.desk.shown = page("cancelled", paid=5)
    client = order.ask()
    started(client)
    last = event_id(client)
    client.until(b"\r\n0\r\n\r\n")
    again = order.ask(last).answer()
    assert (again.status, again.body) == (204, b"")
    assert order.ask(last, "HEAD").answer(to_head=True).status == 204
    order.desk.shown = page("cancelled", paid=0)
    client = order.ask(last)
    started(client)
    assert event_id(client) != last
    client.until(b"\r\n0\r\n\r\n")


def test_who_comes_back_gets_what_changed(order: Order) -> None:
    """With an older id the page of now at once, with the newest one the next change and no repeat."""
    client = order.ask("1-nonsense")
    started(client)
    last = event_id(client)
    client.close()
    client = order.ask(last)
    started(client)
    order.becomes(page("picking", paid=5))  # a change that is no entry of the timeline
    assert event_id(client) != last
    assert client.buffer.count(b"data: ") == 1
    assert b'"paid":5' in client.buffer
    order.becomes(page("closed", paid=5, entries=2))
    client.until(b'"closed"')
    client.until(b"\r\n0\r\n\r\n")
    assert client.buffer.count(b"data: ") == 2
