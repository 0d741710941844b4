"""The stores' work over HTTP: pickers and couriers say how far they are, storekeepers set the slots."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from services.logistics.pages import FulfilmentPage, Fulfilments, SlotRow, Slots
from services.logistics.state import utc
from shared.contracts.base import LINES_MAX, Moment, Name, Quantity
from shared.contracts.logistics import (
    SLOTS_MAX,
    HandOver,
    LogisticsCommand,
    ReportDelivered,
    ReportPacked,
    ReportPicked,
    SetSlots,
    SlotPlaces,
    StartPicking,
)
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.service import Parts

register(
    {
        "fulfilment_unknown": (404, "No store has such an order"),
        "fulfilment_not_queued": (409, "The order does not wait to be picked"),
        "fulfilment_not_picking": (409, "The order is not being picked"),
        "fulfilment_not_picked": (409, "The order does not wait to be packed"),
        "fulfilment_not_packed": (409, "The order does not wait for a courier"),
        "fulfilment_not_on_the_road": (409, "The order is not on the road"),
        "shortage_not_open_yet": (422, "Short lines cannot be reported yet"),
    }
)

PhaseName = Literal[
    "waiting_for_slot",
    "queued",
    "picking",
    "short",
    "picked",
    "packed",
    "on_the_road",
    "delivered",
    "stopped",
    "returning",
    "returned",
    "inspected",
]
"""All that DESIGN §10 promises to name; nothing is in some of them yet."""

Picker = Annotated[Asked, Depends(asking(Role.PICKER))]
Courier = Annotated[Asked, Depends(asking(Role.COURIER))]
Keeper = Annotated[Asked, Depends(asking(Role.STOREKEEPER))]
Reader = Annotated[Caller, Depends(require(Role.PICKER, Role.COURIER, Role.STOREKEEPER, Role.CUSTOMER_SERVICE))]
Anybody = Annotated[Caller, Depends(require())]


class Nothing(BaseModel):
    """An object without members: there is nothing more to say."""

    model_config = ConfigDict(extra="forbid")


class ShortIn(BaseModel):
    """Pieces of one SPU that the picker did not find."""

    model_config = ConfigDict(extra="forbid")
    spu: Name
    missing: Quantity


class PickedIn(BaseModel):
    """What the picker did not find."""

    model_config = ConfigDict(extra="forbid")
    short: Annotated[list[ShortIn], Field(max_length=LINES_MAX)] = []


class HandOverIn(BaseModel):
    """Who takes the bags."""

    model_config = ConfigDict(extra="forbid")
    courier: Name


class SlotIn(BaseModel):
    """A slot and how many orders it takes. What GET adds to it is not looked at, so that its items can be sent back."""

    start: Moment
    end: Moment
    places: Annotated[int, Field(ge=0, le=100_000, strict=True, validation_alias=AliasChoices("places", "capacity"))]

    @model_validator(mode="after")
    def _ends_after_start(self) -> SlotIn:
        if self.end <= self.start:
            raise ValueError("a slot ends after it starts")
        return self


SlotList = Annotated[list[SlotIn], Field(max_length=SLOTS_MAX)]


class SlotsIn(BaseModel):
    """The slots to set; a slot that is not named is left as it is. The bare list will do as well."""

    slots: Annotated[SlotList, Field(validation_alias=AliasChoices("slots", "items"))]

    @model_validator(mode="before")
    @classmethod
    def _list_will_do(cls, body: object) -> object:
        return {"slots": body} if isinstance(body, list) else body


def routes(parts: Parts) -> list[APIRouter]:
    """Logistics' routes."""
    return [_work(parts), _slots(parts)]


def _work(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["fulfilments"])
    fulfilments = Fulfilments(parts.pool)

    async def page(order_id: str, caller: Caller) -> FulfilmentPage:
        found = await fulfilments.page(order_id, caller.role)
        if found is None:
            raise refusal("fulfilment_unknown")
        caller.must_work_at(found.store)
        return found

    async def store_of(order_id: str, caller: Caller) -> str:
        """Commands are keyed by store, which the address does not name."""
        store = await fulfilments.store_of(order_id)
        if store is None:
            raise refusal("fulfilment_unknown")
        caller.must_work_at(store)
        return store

    async def carry_out(command: LogisticsCommand, asked: Asked, response: Response) -> FulfilmentPage:
        await parts.desk.send(command, asked)
        response.headers["Location"] = f"/fulfilments/{command.order_id}"
        return await page(command.order_id, asked.caller)

    @router.get("/stores/{store}/fulfilments")
    async def some(store: Name, caller: Reader, paging: Paged, phase: PhaseName | None = None) -> Page[FulfilmentPage]:
        caller.must_work_at(store)
        rows = await fulfilments.some(store, phase, caller.role, paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.received_at, r.order_id), item=lambda r: r)

    @router.get("/fulfilments/{order_id}")
    async def read(order_id: Name, caller: Reader) -> FulfilmentPage:
        return await page(order_id, caller)

    @router.post("/fulfilments/{order_id}/start-picking", status_code=202)
    async def start_picking(
        order_id: Name, asked: Picker, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(StartPicking(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/picked", status_code=202)
    async def picked(order_id: Name, asked: Picker, response: Response, body: PickedIn | None = None) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        if body and body.short:
            raise refusal("shortage_not_open_yet", "pick all pieces, or ask the storekeeper")
        return await carry_out(ReportPicked(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/packed", status_code=202)
    async def packed(order_id: Name, asked: Picker, response: Response, body: Nothing | None = None) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(ReportPacked(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/handed-over", status_code=202)
    async def handed_over(order_id: Name, body: HandOverIn, asked: Courier, response: Response) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(HandOver(order_id=order_id, store=store, courier=body.courier), asked, response)

    @router.post("/fulfilments/{order_id}/delivered", status_code=202)
    async def delivered(
        order_id: Name, asked: Courier, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(ReportDelivered(order_id=order_id, store=store), asked, response)

    return router


def _slots(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["slots"])
    slots = Slots(parts.pool)

    @router.get("/stores/{store}/slots")
    async def some(
        store: Name,
        caller: Anybody,
        paging: Paged,
        since: Annotated[Moment | None, Query(description="only slots that are not over by then")] = None,
    ) -> Page[SlotRow]:
        caller.must_work_at(store)
        rows = await slots.some(store, since, paging.after(datetime), paging.fetch)
        return paging.page(rows, last=lambda r: (r.start,), item=lambda r: r)

    @router.put("/stores/{store}/slots")
    async def put(store: Name, body: SlotsIn, asked: Keeper) -> Page[SlotRow]:
        asked.caller.must_work_at(store)
        places = tuple(SlotPlaces(start=utc(s.start), end=utc(s.end), places=s.places) for s in body.slots)
        await parts.desk.send(SetSlots(store=store, slots=places), asked)
        return Page(items=await slots.at(store, [s.start for s in places]))

    return router
