"""The storekeeper's room: what came back and is to be inspected, what is in stock and why, goods in, counts, flash
sales and slots. Who works in all stores names one in each address (`?store=`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.console import words
from services.console.live import each_beat
from services.console.place import AGAIN, NOTHING, Deed, Notice, Place, do, following, found, items, store_of
from services.console.rooms import stores
from services.console.session import Form, Person
from services.console.upstream import Answer
from shared.http.auth import Role
from shared.http.problems import Problem
from shared.http.sse import EventStream

LISTED = 50
MOVEMENTS = 20
"""So many of a product's last movements are shown with it."""
STORES = 200
"""So many stores are looked through at a time for one's pause."""
LINES = 5
"""So many lines a form has, and so many more it gets."""
LINES_MAX = 200
"""A goods receipt and an adjustment take no more."""
SLOTS_MAX = 96
"""Most slots that one form makes."""
PARTS = (
    ("", "Waiting"),
    ("/stock", "Stock"),
    ("/lines/receive", "Goods in"),
    ("/lines/adjust", "Adjust"),
    ("/ledger", "Ledger"),
    ("/flash", "Flash sales"),
    ("/slots", "Slots"),
)


class Back(NamedTuple):
    """Goods that came back: what they are called, where they are read, and the field that names them."""

    title: str
    path: str
    id: str


BACKS = {
    "inspect": Back("Goods of an order", "/fulfilments", "order_id"),
    "inspect-return": Back("Goods of a ticket", "/returns", "ticket_id"),
}


class Desk(NamedTuple):
    """Who asks, and about which store; empty: none is named yet."""

    person: Person
    store: str

    @property
    def at(self) -> str:
        """The store's address at the services."""
        return f"/stores/{words.segment(self.store)}"

    @property
    def own(self) -> str:
        """What an address of this room ends with."""
        return "" if self.person.store else f"?store={words.segment(self.store)}"

    def back(self, path: str = "") -> str:
        """An address of this room."""
        return f"/store{path}{self.own}"


def routes(place: Place) -> APIRouter:
    """The storekeepers' routes."""
    router = APIRouter()
    for part in (_waiting, _stock, _papers, _lines, _flash, _slots, _inspecting):
        part(router, place)
    return router


def _enter(place: Place, request: Request) -> Desk:
    person = place.enter(request, "/store")
    return Desk(person, store_of(person, request))


async def _form(place: Place, request: Request) -> tuple[Desk, Form]:
    person, form = await place.form(request, "/store")
    return _named(Desk(person, store_of(person, request))), form


def _named(desk: Desk) -> Desk:
    if not desk.store:
        raise Problem(422, "invalid_request", "this address names no store")
    return desk


def _page(place: Place, request: Request, desk: Desk, template: str, **shown: Any) -> Response:
    return place.page(request, desk.person, template, store=desk.store, own=desk.own, parts=PARTS, **shown)


def _waiting(router: APIRouter, place: Place) -> None:
    async def waits(desk: Desk) -> dict[str, Any]:
        orders, returns = await asyncio.gather(
            stores.some(place, desk.person, desk.store, "returned"),
            place.services.get("logistics", f"{desk.at}/returns", desk.person.token, phase="returned", limit=LISTED),
        )
        return {"orders": orders["returned"], "returns": returns}

    async def known(desk: Desk) -> Answer:
        """The store as the order service knows it; the body is None when it knows none."""
        cursor: str | None = ""
        while cursor is not None:
            answer = await place.services.get("order", "/stores", desk.person.token, cursor=cursor, limit=STORES)
            row = next((row for row in items(answer) if row["store"] == desk.store), None)
            cursor = None if row or answer.problem else answer.body["next"]
        return Answer(answer.service, answer.status, row, answer.problem)

    async def show(
        request: Request, desk: Desk, notice: Notice | None = None, typed: Form = NOTHING, status: int = 200
    ) -> Response:
        if not desk.store:
            return _page(place, request, desk, "store.html")
        waiting, row = await asyncio.gather(waits(desk), known(desk))
        return _page(
            place,
            request,
            desk,
            "store.html",
            **waiting,
            known=row,
            pause=_pause(row.body),
            may_pause=desk.person.role is Role.ADMIN,
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/store")
    async def front(request: Request) -> Response:
        return await show(request, _enter(place, request))

    @router.get("/-/store")
    async def stream(request: Request) -> Response:
        desk = _named(_enter(place, request))

        def texts() -> AsyncGenerator[str, None]:
            async def render() -> str:
                return place.part("store_live.html", own=desk.own, **await waits(desk))

            return each_beat(render)

        return EventStream(place.live.look(("store", desk.store, desk.own), texts), caller=desk.person.caller)

    @router.post("/store/pause")
    async def pause(request: Request) -> Response:
        desk, form = await _form(place, request)
        row = await known(desk)

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, desk, notice, typed, status)

        def make(form: Form) -> dict[str, Any]:
            if row.body is None:
                raise ValueError("The order service does not know this store, or does not answer.")
            until = words.typed_time(form["paused_until"]) if form["paused_until"] else None
            return {"name": row.body["name"], "area": row.body["area"], "paused_until": until}

        deed = Deed(
            *("order", desk.at, make, "paused" if form["paused_until"] else "orders are taken again", desk.back()),
            about=row,
            seen=_pause,
            method="PUT",
            keyed=False,
        )
        return await do(place, desk.person, form, deed, again)


def _pause(store: dict[str, Any] | None) -> str:
    """What a form about a store's pause saw."""
    until = store and store["paused_until"]
    return f"paused until {until}" if until else "not paused"


def _stock(router: APIRouter, place: Place) -> None:
    @router.get("/store/stock")
    async def cells(request: Request, spu: str = "", cursor: str = "") -> Response:
        desk = _enter(place, request)
        if spu.strip():
            return RedirectResponse(desk.back(f"/stock/{words.segment(spu.strip())}"), 303)
        if not desk.store:
            return _page(place, request, desk, "store_stock.html")
        answer = await place.services.get(
            "inventory", f"{desk.at}/stock", desk.person.token, cursor=cursor, limit=LISTED
        )
        more = following(answer, {} if desk.person.store else {"store": desk.store})
        return _page(place, request, desk, "store_stock.html", stock=answer, more=more)

    async def show(
        request: Request,
        desk: Desk,
        spu: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        if not desk.store:
            return _page(place, request, desk, "store_spu.html", spu=spu)
        ask, token = place.services.get, desk.person.token
        cell, ledger = await asyncio.gather(
            ask("inventory", f"{desk.at}/stock/{words.segment(spu)}", token),
            ask("inventory", f"{desk.at}/ledger", token, spu=spu, limit=MOVEMENTS),
        )
        return _page(
            place,
            request,
            desk,
            "store_spu.html",
            spu=spu,
            cell=cell,
            ledger=ledger,
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/store/stock/{spu}")
    async def cell(request: Request, spu: str) -> Response:
        return await show(request, _enter(place, request), spu)

    async def act(request: Request, spu: str, deed: Any) -> Response:
        desk, form = await _form(place, request)

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, desk, spu, notice, typed, status)

        return await do(place, desk.person, form, deed(desk), again)

    @router.post("/store/stock/{spu}/count")
    async def count(request: Request, spu: str) -> Response:
        def make(form: Form) -> dict[str, Any]:
            # What was seen, not what is there now: the same form makes the same body.
            delta = words.pieces(form["counted"]) - words.pieces(form["seen"].partition(" ")[0])
            if not delta:
                raise ValueError("That is what the books say: there is nothing to write down.")
            return {"lines": [{"spu": spu, "delta": delta}], "reason": form["reason"]}

        def deed(desk: Desk) -> Deed:
            return Deed(
                *("inventory", f"{desk.at}/adjustments", make, "count written down"),
                back=desk.back(f"/stock/{words.segment(spu)}"),
                about=("inventory", f"{desk.at}/stock/{words.segment(spu)}"),
                seen=lambda now: f"{now['on_hand']} on hand",
            )

        return await act(request, spu, deed)

    @router.post("/store/stock/{spu}/incoming")
    async def incoming(request: Request, spu: str) -> Response:
        def deed(desk: Desk) -> Deed:
            return Deed(
                *("inventory", f"{desk.at}/incoming/{words.segment(spu)}"),
                make=lambda form: {"quantity": words.pieces(form["quantity"])},
                done="what is to come is written down",
                back=desk.back(f"/stock/{words.segment(spu)}"),
                about=("inventory", f"{desk.at}/stock/{words.segment(spu)}"),
                seen=lambda now: f"{now['incoming']} to come",
                may_be_new=True,
                method="PUT",
            )

        return await act(request, spu, deed)


def _papers(router: APIRouter, place: Place) -> None:
    @router.get("/store/ledger")
    async def ledger(request: Request, spu: str = "", cursor: str = "") -> Response:
        desk = _enter(place, request)
        if not desk.store:
            return _page(place, request, desk, "store_ledger.html")
        asked = {"spu": spu.strip()}
        answer = await place.services.get(
            "inventory", f"{desk.at}/ledger", desk.person.token, **asked, cursor=cursor, limit=LISTED
        )
        more = following(answer, asked | ({} if desk.person.store else {"store": desk.store}))
        return _page(place, request, desk, "store_ledger.html", ledger=answer, asked=asked, more=more)

    @router.get("/store/documents/{number}")
    async def document(request: Request, number: str) -> Response:
        person = place.enter(request, "/store")
        paper = found(await place.services.get("inventory", f"/documents/{words.segment(number)}", person.token))
        return _page(place, request, Desk(person, paper["store"]), "store_document.html", paper=paper)


def _received(form: Form) -> dict[str, Any]:
    return {"lines": [{"spu": spu, "quantity": words.pieces(n)} for spu, n in _typed(form)]}


def _adjusted(form: Form) -> dict[str, Any]:
    return {"lines": [{"spu": spu, "delta": words.difference(n)} for spu, n in _typed(form)], "reason": form["reason"]}


def _rows(form: Form) -> list[tuple[str, str]]:
    """The lines of a form as they were typed, empty ones and all."""
    return list(zip_longest(form.many("spu"), form.many("quantity"), fillvalue=""))


def _typed(form: Form) -> list[tuple[str, str]]:
    lines = [(spu.strip(), n) for spu, n in _rows(form) if spu.strip() or n.strip()]
    if not lines:
        raise ValueError("Name at least one product.")
    return lines


LINE_FORMS = {
    "receive": ("goods-receipts", _received, "goods are in"),
    "adjust": ("adjustments", _adjusted, "adjusted"),
}
"""Forms of several lines: where they go, how they are read, and what is done then."""


def _lines(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        desk: Desk,
        kind: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        more: int = 0,
    ) -> Response:
        first = [(request.query_params["spu"][:64], "")] if request.query_params.get("spu") else []
        rows = _rows(typed) or first
        rows += [("", "")] * (max(LINES, min(LINES_MAX, len(rows) + more)) - len(rows))
        return _page(
            place,
            request,
            desk,
            "store_lines.html",
            kind=kind,
            rows=rows,
            notice=notice,
            typed=typed,
            status=status,
        )

    def known(kind: str) -> str:
        if kind not in LINE_FORMS:
            raise Problem(404, "no_such_route", "there is no such form")
        return kind

    @router.get("/store/lines/{kind}")
    async def empty(request: Request, kind: str) -> Response:
        return await show(request, _enter(place, request), known(kind))

    @router.post("/store/lines/{kind}/more")
    async def longer(request: Request, kind: str) -> Response:
        desk, form = await _form(place, request)
        return await show(request, desk, known(kind), typed=form, more=LINES)

    @router.post("/store/lines/{kind}")
    async def sent(request: Request, kind: str) -> Response:
        desk, form = await _form(place, request)
        path, make, done = LINE_FORMS[known(kind)]

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, desk, kind, notice, typed, status)

        def paper(answer: Answer) -> str:
            return desk.back(f"/documents/{words.segment(answer.body['number'])}")

        return await do(place, desk.person, form, Deed("inventory", f"{desk.at}/{path}", make, done, paper), again)


def _flash(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        desk: Desk,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        cursor: str = "",
    ) -> Response:
        if not desk.store:
            return _page(place, request, desk, "store_flash.html")
        sales = await place.services.get(
            "inventory", f"{desk.at}/flash-allotments", desk.person.token, cursor=cursor, limit=LISTED
        )
        return _page(
            place,
            request,
            desk,
            "store_flash.html",
            sales=sales,
            more=following(sales, {} if desk.person.store else {"store": desk.store}),
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/store/flash")
    async def listed(request: Request, cursor: str = "") -> Response:
        return await show(request, _enter(place, request), cursor=cursor)

    @router.post("/store/flash")
    async def put(request: Request) -> Response:
        desk, form = await _form(place, request)

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, desk, notice, typed, status)

        promotion = form["promotion"].strip()
        if not promotion:
            return await again(Notice("problem", "Name the promotion.", AGAIN), form, 422)
        path = f"{desk.at}/flash-allotments/{words.segment(promotion)}"
        deed = Deed(
            *("inventory", path),
            make=lambda form: {"spu": form["spu"].strip(), "quantity": words.pieces(form["quantity"])},
            done="the pieces are set aside",
            back=desk.back("/flash"),
            about=("inventory", path),
            seen=lambda now: f"{now['quantity']} pieces",
            may_be_new=True,
            method="PUT",
        )
        return await do(place, desk.person, form, deed, again)


def _slots(router: APIRouter, place: Place) -> None:
    async def since(desk: Desk, at: str, cursor: str = "") -> Answer:
        return await place.services.get(
            "logistics", f"{desk.at}/slots", desk.person.token, since=at, cursor=cursor, limit=SLOTS_MAX
        )

    async def show(
        request: Request,
        desk: Desk,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        cursor: str = "",
        at: str = "",
    ) -> Response:
        if not desk.store:
            return _page(place, request, desk, "store_slots.html")
        asked = {"since": at or _second(datetime.now(UTC))}
        slots = await since(desk, asked["since"], cursor)
        return _page(
            place,
            request,
            desk,
            "store_slots.html",
            slots=slots,
            more=following(slots, asked | ({} if desk.person.store else {"store": desk.store})),
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/store/slots")
    async def listed(request: Request, since: str = "", cursor: str = "") -> Response:
        return await show(request, _enter(place, request), cursor=cursor, at=since[:40])

    async def put(desk: Desk, form: Form, request: Request, deed: dict[str, Any]) -> Response:
        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, desk, notice, typed, status)

        what = Deed(
            *("logistics", f"{desk.at}/slots"), done="slots are set", back=desk.back("/slots"), method="PUT", **deed
        )
        return await do(place, desk.person, form, what, again)

    @router.post("/store/slots/places")
    async def places(request: Request) -> Response:
        desk, form = await _form(place, request)

        def make(form: Form) -> dict[str, Any]:
            number = words.pieces(form["places"], "number of places")
            return {"slots": [{"start": form["start"], "end": form["end"], "places": number}]}

        def seen(now: dict[str, Any]) -> str:
            return next((f"{slot['places']} places" for slot in now["items"] if slot["start"] == form["start"]), "")

        return await put(desk, form, request, {"make": make, "seen": seen, "about": await since(desk, form["start"])})

    @router.post("/store/slots/day")
    async def day(request: Request) -> Response:
        desk, form = await _form(place, request)

        def seen(now: dict[str, Any]) -> str:
            wanted = {slot["start"] for slot in _day(form)}
            return ", ".join(slot["start"] for slot in now["items"] if slot["start"] in wanted)

        first = form["day"].strip()[:10]
        about = await since(desk, f"{first}T00:00:00Z")
        return await put(
            desk, form, request, {"make": lambda form: {"slots": _day(form)}, "seen": seen, "about": about}
        )


def _day(form: Form) -> list[dict[str, Any]]:
    """The slots of a day, one behind the other, as somebody asked for them."""
    minutes = timedelta(minutes=words.pieces(form["minutes"], "number of minutes"))
    places = words.pieces(form["places"], "number of places")
    start, end = (
        datetime.fromisoformat(words.typed_time(f"{form['day'].strip()}T{form[name].strip()}"))
        for name in ("first", "last")
    )
    if not minutes or not timedelta() < end - start <= SLOTS_MAX * minutes or end - start < minutes:
        raise ValueError(f"From {form['first']} to {form['last']} there must be 1 to {SLOTS_MAX} slots.")
    starts = [start + number * minutes for number in range((end - start) // minutes)]
    return [{"start": _second(at), "end": _second(at + minutes), "places": places} for at in starts]


def _second(at: datetime) -> str:
    """An instant as the services write it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _inspecting(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        person: Person,
        kind: str,
        id_: str,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        if kind not in BACKS:
            raise Problem(404, "no_such_route", "there is nothing at this address")
        back = BACKS[kind]
        work = found(await place.services.get("logistics", f"{back.path}/{words.segment(id_)}", person.token))
        return _page(
            place,
            request,
            Desk(person, work["store"]),
            "store_inspect.html",
            work=work,
            kind=kind,
            back=back,
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/store/{kind}/{id_}")
    async def page(request: Request, kind: str, id_: str) -> Response:
        return await show(request, place.enter(request, "/store"), kind, id_)

    @router.post("/store/{kind}/{id_}")
    async def inspected(request: Request, kind: str, id_: str) -> Response:
        person, form = await place.form(request, "/store")
        if kind not in BACKS:
            raise Problem(404, "no_such_route", "there is nothing at this address")
        at = f"{BACKS[kind].path}/{words.segment(id_)}"

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, kind, id_, notice, typed, status)

        back = Desk(person, form["store"]).back()
        deed = Deed("logistics", f"{at}/inspected", _inspection, "inspected", back, about=("logistics", at))
        return await do(place, person, form, deed, again)


def _inspection(form: Form) -> dict[str, Any]:
    """What came back, line by line; what is neither good nor damaged is missing."""
    lines = []
    for spu, good, damaged in zip(form.many("spu"), form.many("good"), form.many("damaged"), strict=False):
        for typed, resellable in ((good, True), (damaged, False)):
            if quantity := words.pieces(typed):
                lines.append({"spu": spu, "quantity": quantity, "resellable": resellable})
    return {"lines": lines}
