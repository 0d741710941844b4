"""Puts a service's HTTP side together: its routes, and what all services have in common."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from shared.http import problems
from shared.http.body import Door
from shared.http.head import Head
from shared.http.health import Ready, Told, health_routes, nothing_more, problem_codes
from shared.http.problems import LastResort, add_handlers, try_again
from shared.http.trace import Trace
from shared.settings import Settings, get_settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

BEHIND_RETRY_AFTER_S = 5

_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "where the code is explained"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "stable; what a program looks at"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "with `invalid_request`: the fields",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("in", "path", "message")},
            },
        },
        "trace_id": {"type": "string", "description": "what to look for in the logs"},
    },
}


def make_app(
    service: str,
    title: str,
    description: str,
    *,
    routers: Iterable[APIRouter],
    ready: Ready,
    told: Told = nothing_more,
    lifespan: Lifespan | None = None,
    settings: Settings | None = None,
) -> FastAPI:
    """The app of one service. `ready` says None when the service can work, else why not;
    `told` what /healthz says besides."""
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # the door has looked at it already
        # Naming a default answer also keeps FastAPI's own shape of a 422 out of the description.
        responses={"default": {"description": "A problem", "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM_REF}}}},
    )
    app.state.settings = settings or get_settings()
    app.include_router(health_routes(service, ready, told))
    for router in routers:
        app.include_router(router)
    add_handlers(app)
    for middleware in (Head, Door, LastResort, Trace):  # the last is the outermost
        app.add_middleware(middleware)
    _describe(app)
    return app


_PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}


def _describe(app: FastAPI) -> None:
    """Adds the problems and their codes to /openapi.json."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = {**_PROBLEM_SCHEMA, "x-codes": problem_codes()}
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def refuse_when_behind(lag: Callable[[], int], bound: int) -> Callable[[], Coroutine[Any, Any, None]]:
    """A dependency for routes that bring new work: 503 `overloaded` while more than `bound` records are undecided.

    Usage: `dependencies=[Depends(refuse_when_behind(worker.lag, settings.lag_bound))]`.
    """

    async def not_behind() -> None:
        if (behind := lag()) > bound:
            raise try_again("overloaded", f"{behind} records behind, the bound is {bound}", BEHIND_RETRY_AFTER_S)

    return not_behind
