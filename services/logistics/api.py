"""The stores' work over HTTP: pickers and couriers say how far they are, storekeepers look at what comes back, from the
road or from customers, and set the slots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AliasChoices, ConfigDict, Field, model_validator

from services.logistics.pages import FulfilmentPage, Fulfilments, ReturnPage, Returns, SlotRow, Slots
from services.logistics.state import utc
from shared.contracts import logistics
from shared.contracts.base import LINES_MAX, Filled, Moment, Name, OrderId, Quantity, TicketId
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.body import Body, Nothing
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
        "fulfilment_not_returning": (409, "The order is not on its way back"),
        "fulfilment_not_returned": (409, "The goods of the order are not back in the store"),
        "fulfilment_stopped": (409, "The order is stopped: leave its goods in the store"),
        "already_inspected": (409, "The goods were inspected before"),
        "return_unknown": (404, "No store waits for goods of such a ticket"),
        "return_not_announced": (409, "A courier has the goods already, or the store"),
        "return_not_returned": (409, "The goods of the ticket are not at the store"),
        "return_waits_for_delivery": (409, "The courier who brings the new goods takes the old ones along"),
        "return_overdue": (409, "The goods did not come in time: see to the ticket"),
        "return_called_off": (409, "The exchange is called off: the customer keeps the goods for now"),
        "already_returned": (409, "The goods of the ticket are at the store already"),
        "slot_in_use": (409, "Orders have places in the slot: its end cannot be another one"),
        "line_unknown": (422, "The order has no such line"),
        "more_short_than_listed": (422, "More pieces would be short than were to be picked"),
        "more_than_sent": (422, "More pieces would be back than were sent"),
        "more_than_announced": (422, "More pieces would be back than the customer was to give back"),
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
"""The phases by which a list may be asked for."""
ReturnPhaseName = Literal["announced", "collected", "returned", "inspected", "overdue", "called_off"]
"""The same of returns."""

Picker = Annotated[Asked, Depends(asking(Role.PICKER))]
Courier = Annotated[Asked, Depends(asking(Role.COURIER))]
Keeper = Annotated[Asked, Depends(asking(Role.STOREKEEPER))]
CourierOrKeeper = Annotated[Asked, Depends(asking(Role.COURIER, Role.STOREKEEPER))]
Reader = Annotated[Caller, Depends(require(Role.PICKER, Role.COURIER, Role.STOREKEEPER, Role.CUSTOMER_SERVICE))]
Anybody = Annotated[Caller, Depends(require())]


class ShortIn(Body):
    """Pieces of one SPU that the picker did not find."""

    spu: Name
    missing: Quantity


class PickedIn(Body):
    """What the picker did not find."""

    short: Annotated[list[ShortIn], Field(max_length=LINES_MAX)] = []


class CourierIn(Body):
    """Who takes the bags, or the goods that a customer gives back."""

    courier: Name


class UndeliverableIn(Body):
    """Why the goods come back."""

    reason: Filled


class InspectedLineIn(Body):
    """Pieces of one SPU that came back, and whether they can be sold again."""

    spu: Name
    quantity: Quantity
    resellable: bool


class InspectionIn(Body):
    """What came back. An SPU may stand twice, once for each; what of the list does not stand here is missing."""

    lines: Annotated[list[InspectedLineIn], Field(max_length=2 * LINES_MAX)]

    @property
    def columns(self) -> dict[str, Any]:
        """The lines as commands have them."""
        return {
            "spus": tuple(line.spu for line in self.lines),
            "quantities": tuple(line.quantity for line in self.lines),
            "resellable": tuple(line.resellable for line in self.lines),
        }


class SlotIn(Body):
    """A slot and how many orders it takes. What GET adds to it is not looked at, so that its items can be sent back."""

    model_config = ConfigDict(extra="ignore")
    start: Moment
    end: Moment
    places: Annotated[int, Field(ge=0, le=100_000, strict=True, validation_alias=AliasChoices("places", "capacity"))]

    @model_validator(mode="after")
    def _ends_after_start(self) -> SlotIn:
        if self.end <= self.start:
            raise ValueError("a slot ends after it starts")
        return self


SlotList = Annotated[list[SlotIn], Field(max_length=logistics.SLOTS_MAX)]


class SlotsIn(Body):
    """The slots to set; a slot that is not named is left as it is. The bare list will do as well, or a page."""

    model_config = ConfigDict(extra="ignore")
    slots: Annotated[SlotList, Field(validation_alias=AliasChoices("slots", "items"))]

    @model_validator(mode="before")
    @classmethod
    def _list_will_do(cls, body: object) -> object:
        return {"slots": body} if isinstance(body, list) else body


def routes(parts: Parts) -> list[APIRouter]:
    """Logistics' routes."""
    return [_work(parts), _returns(parts), _slots(parts)]


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

    async def carry_out(command: logistics.LogisticsCommand, asked: Asked, response: Response) -> FulfilmentPage:
        await parts.desk.send(command, asked)
        response.headers["Location"] = f"/fulfilments/{command.order_id}"
        return await page(command.order_id, asked.caller)

    @router.get("/stores/{store}/fulfilments")
    async def some(store: Name, caller: Reader, paging: Paged, phase: PhaseName | None = None) -> Page[FulfilmentPage]:
        caller.must_work_at(store)
        rows = await fulfilments.some(store, phase, caller.role, paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.received_at, r.order_id), item=lambda r: r)

    @router.get("/fulfilments/{order_id}")
    async def read(order_id: OrderId, caller: Reader) -> FulfilmentPage:
        return await page(order_id, caller)

    @router.post("/fulfilments/{order_id}/start-picking", status_code=202)
    async def start_picking(
        order_id: OrderId, asked: Picker, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(logistics.StartPicking(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/picked", status_code=202)
    async def picked(
        order_id: OrderId, asked: Picker, response: Response, body: PickedIn | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        short = body.short if body else []
        command = logistics.ReportPicked(
            order_id=order_id,
            store=store,
            spus=tuple(line.spu for line in short),
            missing=tuple(line.missing for line in short),
        )
        return await carry_out(command, asked, response)

    @router.post("/fulfilments/{order_id}/packed", status_code=202)
    async def packed(
        order_id: OrderId, asked: Picker, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(logistics.ReportPacked(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/handed-over", status_code=202)
    async def handed_over(order_id: OrderId, body: CourierIn, asked: Courier, response: Response) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(
            logistics.HandOver(order_id=order_id, store=store, courier=body.courier), asked, response
        )

    @router.post("/fulfilments/{order_id}/delivered", status_code=202)
    async def delivered(
        order_id: OrderId, asked: Courier, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(logistics.ReportDelivered(order_id=order_id, store=store), asked, response)

    _back(router, store_of, carry_out)
    return router


StoreOf = Callable[[str, Caller], Awaitable[str]]
CarryOut = Callable[[logistics.LogisticsCommand, Asked, Response], Awaitable[FulfilmentPage]]


def _back(router: APIRouter, store_of: StoreOf, carry_out: CarryOut) -> None:
    @router.post("/fulfilments/{order_id}/undeliverable", status_code=202)
    async def undeliverable(
        order_id: OrderId, body: UndeliverableIn, asked: Courier, response: Response
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        command = logistics.ReportUndeliverable(order_id=order_id, store=store, reason=body.reason)
        return await carry_out(command, asked, response)

    @router.post("/fulfilments/{order_id}/goods-back", status_code=202)
    async def goods_back(
        order_id: OrderId, asked: Courier, response: Response, body: Nothing | None = None
    ) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(logistics.BringGoodsBack(order_id=order_id, store=store), asked, response)

    @router.post("/fulfilments/{order_id}/inspected", status_code=202)
    async def inspected(order_id: OrderId, body: InspectionIn, asked: Keeper, response: Response) -> FulfilmentPage:
        store = await store_of(order_id, asked.caller)
        return await carry_out(logistics.InspectGoods(order_id=order_id, store=store, **body.columns), asked, response)


def _returns(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["returns"])
    returns = Returns(parts.pool)

    async def page(ticket_id: str, caller: Caller) -> ReturnPage:
        found = await returns.page(ticket_id, caller.role)
        if found is None:
            raise refusal("return_unknown")
        caller.must_work_at(found.store)
        return found

    async def names_of(ticket_id: str, caller: Caller) -> dict[str, Any]:
        """What commands name besides: the address knows the ticket only."""
        found = await returns.names_of(ticket_id)
        if found is None:
            raise refusal("return_unknown")
        order_id, store = found
        caller.must_work_at(store)
        return {"ticket_id": ticket_id, "order_id": order_id, "store": store}

    async def carry_out(command: logistics.ReturnCommand, asked: Asked, response: Response) -> ReturnPage:
        await parts.desk.send(command, asked)
        response.headers["Location"] = f"/returns/{command.ticket_id}"
        return await page(command.ticket_id, asked.caller)

    @router.get("/stores/{store}/returns")
    async def some(
        store: Name, caller: Reader, paging: Paged, phase: ReturnPhaseName | None = None
    ) -> Page[ReturnPage]:
        caller.must_work_at(store)
        rows = await returns.some(store, phase, caller.role, paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.announced_at, r.ticket_id), item=lambda r: r)

    @router.get("/returns/{ticket_id}")
    async def read(ticket_id: TicketId, caller: Reader) -> ReturnPage:
        return await page(ticket_id, caller)

    @router.post("/returns/{ticket_id}/collected", status_code=202)
    async def collected(ticket_id: TicketId, body: CourierIn, asked: Courier, response: Response) -> ReturnPage:
        names = await names_of(ticket_id, asked.caller)
        return await carry_out(logistics.CollectReturn(**names, courier=body.courier), asked, response)

    @router.post("/returns/{ticket_id}/goods-back", status_code=202)
    async def goods_back(
        ticket_id: TicketId, asked: CourierOrKeeper, response: Response, body: Nothing | None = None
    ) -> ReturnPage:
        return await carry_out(logistics.BringReturn(**await names_of(ticket_id, asked.caller)), asked, response)

    @router.post("/returns/{ticket_id}/inspected", status_code=202)
    async def inspected(ticket_id: TicketId, body: InspectionIn, asked: Keeper, response: Response) -> ReturnPage:
        names = await names_of(ticket_id, asked.caller)
        return await carry_out(logistics.InspectReturn(**names, **body.columns), asked, response)

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
        places = tuple(logistics.SlotPlaces(start=utc(s.start), end=utc(s.end), places=s.places) for s in body.slots)
        await parts.desk.send(logistics.SetSlots(store=store, slots=places), asked)
        return Page(items=await slots.at(store, [s.start for s in places]))

    return router
