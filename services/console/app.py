"""Puts the console together: its rooms, the way in and out, and what every page carries."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console import rooms
from services.console.assets import Assets
from services.console.live import Live
from services.console.place import NEXT_STEPS, ROOMS, Place, theme_of
from services.console.session import COOKIE, FORM, NotSignedIn, Sessions, read_form
from services.console.upstream import Services
from shared.http.head import Head
from shared.http.health import health_routes
from shared.http.problems import Problem, problem_of
from shared.http.trace import Trace, trace_id_of
from shared.settings import CONSOLE, Settings
from shared.tokens import DEFAULT_TTL_S

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer carries: nothing but our own files runs, and no page stays in a cache after the sign-out."""
FOR_GOOD = "public, max-age=31536000, immutable"
THEME_S = 366 * 86_400


class Guarded:
    """ASGI middleware: the headers on every answer, unless it brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                has = {name.lower() for name, _ in message["headers"]}
                more = [(n.lower().encode(), v.encode()) for n, v in HEADERS.items() if n.lower().encode() not in has]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, told)


def make_console(settings: Settings, services: Services | None = None) -> FastAPI:
    """The console's app; `services` are another set of them for tests."""
    place = Place(settings, services or Services(settings), Sessions(settings), Assets(), Live())
    app = FastAPI(title="Larder: console", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.settings = settings
    app.state.place = place
    app.include_router(health_routes(CONSOLE, lambda: None))
    app.include_router(_ways(place))
    for room in (
        *(rooms.overview, rooms.orders, rooms.tickets, rooms.picking, rooms.courier),
        *(rooms.store, rooms.risk, rooms.marketing, rooms.operations),
    ):
        app.include_router(room.routes(place))

    async def on_error(request: Request, error: Exception) -> Response:
        return await _told(place, request, error)

    for kind in (NotSignedIn, Problem, HTTPException, Exception):
        app.add_exception_handler(kind, on_error)
    for middleware in (Head, Guarded, Trace):
        app.add_middleware(middleware)
    return app


def _ways(place: Place) -> APIRouter:
    """In, out, and what is the same in every room."""
    router = APIRouter()

    def signed_in(request: Request, response: Response, token: str) -> Response:
        # Over plain HTTP a Secure cookie would not come back; larder's ports are bound to this machine.
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(DEFAULT_TTL_S),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @router.get("/sign-in")
    async def sign_in() -> HTMLResponse:
        return _sign_in(place, "", "/sign-in")

    @router.get("/sign-in/{link}")
    async def enter(request: Request, link: str) -> Response:
        # A page, not a redirect: the cookie is Strict, and what a link from elsewhere leads to comes without it.
        page = HTMLResponse(place.part("signed_in.html"))
        return signed_in(request, page, place.sessions.enter(link))

    @router.post("/sign-in")
    async def paste(request: Request) -> Response:
        form = await read_form(request)
        token = form.get("token", "").strip()
        try:
            place.sessions.read(token)
        except NotSignedIn as error:
            return _sign_in(place, error.why or "Paste a token.", "/sign-in", 401)
        return signed_in(request, RedirectResponse("/", 303), token)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        person = place.sessions.of(request)
        place.sessions.check_form(request, person, await read_form(request))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE)
        return response

    @router.post("/theme")
    async def theme(request: Request) -> Response:
        person = place.sessions.of(request)
        form = await read_form(request)
        place.sessions.check_form(request, person, form)
        back = urlsplit(form.get("back", "/"))
        response = RedirectResponse(back.path if back.path.startswith("/") and not back.netloc else "/", 303)
        wanted = form.get("theme", "")
        response.set_cookie(
            "larder_theme", wanted if wanted in ("light", "dark") else "", max_age=THEME_S, samesite="strict"
        )
        return response

    @router.get("/assets/{address}")
    async def asset(address: str) -> Response:
        found = place.assets.at(address)
        return Response(found.content, media_type=found.media_type, headers={"Cache-Control": FOR_GOOD})

    return router


def _sign_in(
    place: Place, why: str, action: str, status: int = 200, kept: tuple[tuple[str, str], ...] = ()
) -> HTMLResponse:
    page = place.templates.get_template("sign_in.html")
    shown: dict[str, Any] = {"person": None, "notice": None, "theme": "", "rooms": [], "here": action}
    return HTMLResponse(page.render(**shown, why=why, action=action, kept=kept), status)


async def _told(place: Place, request: Request, error: Exception) -> Response:
    """What went wrong, as a page. A form that came without a sign-in is kept, and sent once more with it."""
    if isinstance(error, NotSignedIn):
        if request.url.path.startswith("/-/"):
            return Response(status_code=401)
        if request.method == "POST":
            form = request.scope.get(FORM)
            kept = tuple((name, value) for name, value in (form.pairs if form else ()) if name != "token")
            return _sign_in(place, error.why, request.url.path, 401, kept)
        # Whoever just comes along is at the right door; whose sign-in is over, or forged, is told so.
        return _sign_in(place, error.why, "/sign-in", 401 if error.why else 200)
    problem = problem_of(error)
    if problem is None:
        log.error("a page cannot be made: %s %s", request.method, request.url.path, exc_info=error)
        problem = Problem(500, "internal_error")
    try:
        person = place.sessions.of(request)
    except NotSignedIn:
        person = None
    page = place.templates.get_template("problem.html")
    return HTMLResponse(
        page.render(
            person=person,
            rooms=[room for room in ROOMS if person and person.role in room.roles],
            here=request.url.path,
            form_key=place.sessions.form_key(person) if person else "",
            notice=None,
            theme=theme_of(request),
            title=problem.title,
            detail=problem.detail,
            step=NEXT_STEPS.get(problem.code, ""),
            status=problem.status,
            code=problem.code,
            trace_id=trace_id_of(request.scope),
        ),
        problem.status,
        problem.headers,
    )
