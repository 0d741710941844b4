"""Marketing: promotions, coupons and flash sales with the pieces that are left, and rushes."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.console import words
from services.console.place import AGAIN, NOTHING, Deed, Notice, Place, do, following, found, items
from services.console.session import Form, Person
from services.console.upstream import Answer

LISTED = 50
STORES_MAX = 20
"""In so many stores the pieces of a flash sale are looked up."""
KINDS = ("percent", "amount_off", "coupon", "flash", "buy_n_pay_m")
STATES = ("running", "to_come", "over")
PARTS = (("", "Promotions"), ("/new", "New promotion"), ("/rushes", "Rushes"))


def routes(place: Place) -> APIRouter:
    """Marketing's routes."""
    router = APIRouter()
    for part in (_list, _promotion, _rushes):
        part(router, place)
    return router


def _page(place: Place, request: Request, person: Person, template: str, **shown: Any) -> Response:
    return place.page(request, person, template, parts=PARTS, kinds=KINDS, states=STATES, **shown)


def _list(router: APIRouter, place: Place) -> None:
    @router.get("/marketing")
    async def some(request: Request, kind: str = "", state: str = "", store: str = "", cursor: str = "") -> Response:
        person = place.enter(request, "/marketing")
        asked = {"kind": kind, "state": state, "store": store.strip()}
        at = f"/stores/{words.segment(asked['store'])}/flash-allotments"
        promotions, sales = await asyncio.gather(
            place.services.get("order", "/promotions", person.token, **asked, cursor=cursor, limit=LISTED),
            _allotments(place, person, at) if asked["store"] else asyncio.sleep(0),
        )
        return _page(
            place,
            request,
            person,
            "marketing.html",
            promotions=promotions,
            asked=asked,
            sales=sales,
            left={sale["promotion"]: sale for sale in items(sales)} if sales else {},
            more=following(promotions, asked),
        )


async def _allotments(place: Place, person: Person, at: str) -> Answer:
    return await place.services.get("inventory", at, person.token, limit=200)


def _promotion(router: APIRouter, place: Place) -> None:
    async def pieces(person: Person, promotion: dict[str, Any]) -> list[tuple[str, Answer]]:
        """What stores have left of a flash sale; a sale in all stores is looked up in the first of them."""
        if promotion["kind"] != "flash":
            return []
        stores = promotion["stores"] or [
            row["store"] for row in items(await place.services.get("order", "/stores", person.token, limit=STORES_MAX))
        ]
        some = stores[:STORES_MAX]
        paths = [f"/stores/{words.segment(store)}/flash-allotments/{words.segment(promotion['id'])}" for store in some]
        answers = await asyncio.gather(*(place.services.get("inventory", path, person.token) for path in paths))
        return list(zip(some, answers, strict=True))

    async def show(
        request: Request,
        person: Person,
        id_: str = "",
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
    ) -> Response:
        promotion = (
            found(await place.services.get("order", f"/promotions/{words.segment(id_)}", person.token)) if id_ else None
        )
        return _page(
            place,
            request,
            person,
            "promotion.html",
            promotion=promotion,
            left=await pieces(person, promotion) if promotion else [],
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/marketing/new")
    async def new(request: Request) -> Response:
        return await show(request, place.enter(request, "/marketing"))

    @router.get("/marketing/promotions/{id_}")
    async def page(request: Request, id_: str) -> Response:
        return await show(request, place.enter(request, "/marketing"), id_)

    async def act(request: Request, shown: str, form: Form, person: Person, id_: str, **more: Any) -> Response:
        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, shown, notice, typed, status)

        if not id_:
            return await again(Notice("problem", "Give it an id.", AGAIN), form, 422)
        path = f"/promotions/{words.segment(id_)}"
        deed = Deed(
            *("order", path),
            back=f"/marketing{path}",
            about=("order", path),
            seen=lambda now: f"revision {now['revision']}",
            keyed=False,
            **more,
        )
        return await do(place, person, form, deed, again)

    def put(form: Form) -> dict[str, Any]:
        return _body(form, place.settings.currency)

    @router.post("/marketing/new")
    async def create(request: Request) -> Response:
        person, form = await place.form(request, "/marketing")
        more = {"make": put, "done": "it is there", "method": "PUT", "may_be_new": True}
        return await act(request, "", form, person, form["id"].strip(), **more)

    @router.post("/marketing/promotions/{id_}")
    async def change(request: Request, id_: str) -> Response:
        person, form = await place.form(request, "/marketing")
        return await act(request, id_, form, person, id_, make=put, done="changed", method="PUT")

    @router.post("/marketing/promotions/{id_}/end")
    async def end(request: Request, id_: str) -> Response:
        person, form = await place.form(request, "/marketing")
        return await act(request, id_, form, person, id_, make=lambda form: None, done="ended", method="DELETE")


def _body(form: Form, currency: str) -> dict[str, Any]:
    """A promotion as it was typed, whole: what is empty it does not have."""
    kind = form["kind"]
    value: Any
    if kind == "buy_n_pay_m":
        value = {"n": words.pieces(form["n"]), "m": words.pieces(form["m"])}
    elif kind == "percent":
        value = words.pieces(form["value"], "percentage")
    else:
        value = words.minor_units(form["value"], currency)
    body = {
        "kind": kind,
        "value": value,
        **{scope: words.listed(form[scope]) for scope in ("spus", "categories", "stores")},
        **_times(form),
    }
    if form["min_total"].strip():
        body["min_total"] = words.minor_units(form["min_total"], currency)
    if form["per_account"].strip():
        body["per_account"] = words.pieces(form["per_account"], "number")
    if form["account"].strip():
        body["account"] = form["account"].strip()
    return body


def _times(form: Form) -> dict[str, str]:
    return {name: words.typed_time(form[name]) for name in ("starts_at", "ends_at")}


def _rushes(router: APIRouter, place: Place) -> None:
    async def show(
        request: Request,
        person: Person,
        notice: Notice | None = None,
        typed: Form = NOTHING,
        status: int = 200,
        cursor: str = "",
    ) -> Response:
        rushes = await place.services.get("order", "/rushes", person.token, cursor=cursor, limit=LISTED)
        return _page(
            place,
            request,
            person,
            "rushes.html",
            rushes=rushes,
            seen=_seen,
            more=following(rushes, {}),
            notice=notice,
            typed=typed,
            status=status,
        )

    @router.get("/marketing/rushes")
    async def listed(request: Request, cursor: str = "") -> Response:
        return await show(request, place.enter(request, "/marketing"), cursor=cursor)

    async def act(request: Request, **more: Any) -> Response:
        person, form = await place.form(request, "/marketing")

        async def again(notice: Notice, typed: Form, status: int) -> Response:
            return await show(request, person, notice, typed, status)

        if not form["id"].strip():
            return await again(Notice("problem", "Give it an id.", AGAIN), form, 422)
        path = f"/rushes/{words.segment(form['id'].strip())}"
        deed = Deed(*("order", path), back="/marketing/rushes", about=("order", path), seen=_seen, keyed=False, **more)
        return await do(place, person, form, deed, again)

    @router.post("/marketing/rushes")
    async def put(request: Request) -> Response:
        def make(form: Form) -> dict[str, Any]:
            store = form["store"].strip()
            return {**({"store": store} if store else {}), "spus": words.listed(form["spus"]), **_times(form)}

        return await act(request, make=make, done="the rush is there", method="PUT", may_be_new=True)

    @router.post("/marketing/rushes/drop")
    async def drop(request: Request) -> Response:
        return await act(request, make=lambda form: None, done="there is no such rush any more", method="DELETE")


def _seen(rush: dict[str, Any]) -> str:
    """What a form about a rush saw."""
    where = rush["store"] or "all stores"
    return f"from {rush['starts_at']} until {rush['ends_at']} in {where}, {len(rush['spus'])} products"
