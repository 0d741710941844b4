"""What operators ask of every service: is it alive, is it ready, how is it doing, what can it do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from shared.http.problems import CODES, try_again

Told = Callable[[], Awaitable[dict[str, Any]]]
"""What /healthz tells of a service besides that it is alive."""
Ready = Callable[[], str | Awaitable[str | None] | None]
"""Says None when the service can work, else why it cannot."""

READY_WAIT_S = 2
_METRICS_TOLD: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}
}
_DOCS_PAGE = Path(__file__).with_name("docs.html")


async def nothing_more() -> dict[str, Any]:
    """Most services are alive, and that is it."""
    return {}


def health_routes(service: str, ready: Ready, told: Told = nothing_more) -> APIRouter:
    """The routes /healthz, /readyz and /metrics, open to everybody, and the page /docs."""
    router = APIRouter(tags=["health"])
    docs_page = _DOCS_PAGE.read_text(encoding="utf-8")

    @router.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """The process is alive and its loop turns."""
        return {"service": service, "status": "alive", **await told()}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """The service can work: 200, else 503 with the reason."""
        if why_not := await _why_not(ready):
            raise try_again("not_ready", why_not)
        return {"service": service, "status": "ready"}

    @router.get("/metrics", response_class=Response, responses=_METRICS_TOLD)
    async def metrics(request: Request) -> Response:
        """The figures of this process, for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"Content-Type": content_type})

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The API for people; the page reads /openapi.json and needs nothing from elsewhere."""
        return HTMLResponse(docs_page)

    return router


def problem_codes() -> dict[str, Any]:
    """Every code that this process knows, for the description of the API."""
    return {code: {"status": status, "title": title} for code, (status, title) in sorted(CODES.items())}


async def _why_not(ready: Ready) -> str | None:
    try:
        async with asyncio.timeout(READY_WAIT_S):
            answer = ready()
            return await answer if inspect.isawaitable(answer) else answer
    except TimeoutError:
        return f"no answer within {READY_WAIT_S} s"
