"""HEAD is answered wherever GET is."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends

from shared.http import sse
from shared.http.app import make_app
from shared.http.auth import Caller, require
from shared.http.sse import Event, EventStream
from tests.http.shop import SETTINGS, Shop, check_problem
from tests.http.wire import served

GETS = ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/orders", "/orders/a-1/1", "/orders/a-2/1"]
GETS += ["/nowhere", "/broken?how=slow", "/broken?how=late", "/orders?limit=0", "/orders?cursor=%00"]


@pytest.mark.parametrize("path", GETS)
@pytest.mark.parametrize("known", [True, False])
async def test_head_says_what_get_says(shop: Shop, path: str, known: bool) -> None:
    """Status and headers are the same, an error's too; there is no body."""
    token = shop.token() if known else {}
    get, head = [await shop.client.request(method, path, headers=token) for method in ("GET", "HEAD")]
    assert head.status_code == get.status_code
    assert head.content == b""
    if path != "/metrics":  # whose figures have moved on
        assert head.headers == get.headers
    assert head.headers["content-length"] != "0"


def test_no_body_is_on_the_wire(shop: Shop) -> None:
    """What comes behind the headers is the next answer, also when it is an error from before the routes."""
    with served(shop.app) as running:
        client = running.client()
        for path, status in (("/healthz", 200), ("/%FF", 422), ("/docs", 200), ("/nowhere", 404)):
            client.send(f"HEAD {path} HTTP/1.1\r\nHost: larder\r\n\r\n".encode())
            assert client.answer(to_head=True).status == status
        client.send(b"GET /healthz HTTP/1.1\r\nHost: larder\r\n\r\n")
        assert client.answer().body


async def test_what_has_no_get_has_no_head(shop: Shop) -> None:
    """405, with what there is; where there is GET, HEAD is named too."""
    answer = await shop.client.head("/stores/s-1/pick")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = await shop.client.delete("/healthz")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_surprise_of_a_head_is_logged_all_the_same(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """500 without a body, and the story in the log."""
    answer = await shop.client.head("/broken")
    assert (answer.status_code, answer.content) == (500, b"")
    assert "swordfish" in caplog.text


async def test_the_api_is_described_once(shop: Shop) -> None:
    """No operation is doubled by it."""
    api = (await shop.client.get("/openapi.json")).json()
    assert all("head" not in operations for operations in api["paths"].values())


async def test_a_head_of_a_stream_opens_none() -> None:
    """Its headers come, it ends at once, and nothing is left open."""
    ended = asyncio.Event()

    async def never() -> AsyncGenerator[Event, None]:
        try:
            await asyncio.Event().wait()
            yield Event(1)
        finally:
            ended.set()

    router = APIRouter()

    @router.get("/stream")
    async def stream(caller: Annotated[Caller, Depends(require())]) -> EventStream:
        return EventStream(never(), caller=caller)

    app = make_app("order", "Orders", "", routers=[router], ready=lambda: None, settings=SETTINGS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        answer = await asyncio.wait_for(client.head("/stream", headers=Shop().token()), 5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert not list(sse._open)
