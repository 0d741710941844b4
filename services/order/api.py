"""Orders over HTTP: what people ask becomes a command, what they see is read from the tables."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import ConfigDict, Field

from services.order import catalogue, phases, promotions_api, quotes
from services.order.pages import OrderPage, OrderRow, Orders
from services.order.state import ENDS
from shared.contracts import order as ordering
from shared.contracts.base import (
    LINES_MAX,
    QUANTITY_MAX,
    Account,
    Device,
    Filled,
    Moment,
    Money,
    Name,
    OrderId,
    Quantity,
    Slot,
    Text,
)
from shared.http.asked import Asked, asking, order_id_for
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import invalid, refusal, register
from shared.http.sse import TOLD, Event, EventStream, LastEventId, nothing_more
from shared.http.waiting import heard
from shared.service import Parts

register(
    {
        "order_unknown": (404, "There is no such order"),
        "store_unknown": (422, "There is no such store"),
        "product_unknown": (422, "A product is not in the catalogue"),
        "quantity_too_large": (422, "More pieces of one product than an order may hold"),
        "outside_area": (422, "No store serves this delivery point"),
        "slot_over": (422, "The slot cannot be kept any more"),
        "presale_needs_slot": (422, "A product can be had from a later day on: choose a slot then"),
        "coupon_unknown": (422, "There is no such coupon"),
        "coupon_not_valid": (409, "The coupon is not valid here and now"),
        "coupon_used": (409, "The account has used this coupon"),
        "coupon_does_not_apply": (409, "The coupon takes nothing off this basket"),
        "store_not_accepting": (409, "The store takes no new orders"),
        "total_too_large": (409, "More money than one payment can take"),
        "total_changed": (409, "The total is another one"),
        "order_exists": (409, "An order of this id exists"),
        "order_not_payable": (409, "The order cannot be paid now"),
        "payment_under_way": (409, "A payment of this order is under way"),
        "cancel_not_allowed": (409, "The order cannot be cancelled any more"),
        "cancel_needs_ticket": (409, "Only customer service can, by a ticket"),
        "cancel_under_way": (409, "The order is being cancelled already"),
    }
)

PhaseName = Literal[
    "screening",
    "in_review",
    "holding",
    "reserving_slot",
    "awaiting_payment",
    "verifying",
    "paying",
    "paying_cancel_wanted",
    "deducting",
    "deducting_cancel_wanted",
    "awaiting_picking",
    "picking",
    "short",
    "substituting",
    "awaiting_shipment",
    "in_delivery",
    "delivered",
    "releasing",
    "reversing",
    "stopping",
    "intercepting",
    "returning",
    "refunding",
    "closed",
    "cancelled",
    "rejected",
]
"""All phases of a sales order."""

STREAM_LOOK_S = 2.0
"""A stream looks again after this long when no bell rings: another worker may have moved the order."""
EVENT_ID_CHARS = 16

Buyer = Annotated[Asked, Depends(asking(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]
Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE, Role.RISK_ANALYST))]


class LineIn(Body):
    """Pieces of one SPU."""

    spu: Name
    quantity: Quantity


class SlotIn(Body):
    """An agreed hour."""

    start: Moment
    end: Moment


class DeliveryIn(ordering.Delivery):
    """Where the goods go."""

    model_config = ConfigDict(extra="forbid")


class BasketIn(Body):
    """A basket to be ordered. Staff name the account; a customer's token does for customers."""

    store: Name | None = None
    delivery: DeliveryIn | None = None
    lines: Annotated[list[LineIn], Field(min_length=1, max_length=LINES_MAX)]
    slot: SlotIn | None = None
    coupons: Annotated[list[Name], Field(max_length=ordering.COUPONS_MAX)] = []
    expected_total: Money | None = None
    device: Device | None = None
    account: Account | None = None


class PayIn(Body):
    """How to pay (a token of the gateway), and the total that the customer saw, in minor units."""

    method: Annotated[Filled, Field(max_length=200)]
    expected_total: Money


class CancelIn(Body):
    """Why, in the customer's words."""

    reason: Text = ""


def routes(parts: Parts) -> list[APIRouter]:
    """The order service's routes."""
    orders = Orders(parts.pool, parts.settings.currency)
    return [
        _orders(parts, orders),
        phases.routes(parts),
        catalogue.routes(parts.pool),
        *promotions_api.routes(parts),
        quotes.routes(parts),
    ]


def _orders(parts: Parts, orders: Orders) -> APIRouter:
    router = APIRouter(tags=["orders"])
    desk, rests = parts.desk, parts.rests

    async def page(order_id: str, caller: Caller) -> OrderPage:
        found = await orders.page(order_id, caller)
        if found is None:
            raise refusal("order_unknown")
        caller.must_see(found.account)
        return found

    async def mine(order_id: str, caller: Caller) -> None:
        """Another's order is as unknown as none, before anything is asked of it."""
        found = await orders.phase(order_id)
        if found is None:
            raise refusal("order_unknown")
        caller.must_see(found[1])

    async def answer(order_id: str, asked: Asked, response: Response) -> OrderPage:
        await rests.wait(order_id, asked.wait_s)
        response.headers["Location"] = f"/orders/{order_id}"
        return await page(order_id, asked.caller)

    @router.post("/orders", status_code=202, dependencies=[Depends(parts.not_behind)])
    async def place(basket: BasketIn, asked: Buyer, response: Response) -> OrderPage:
        order_id = order_id_for(asked.command_id)
        await desk.send(_command(order_id, basket, asked.caller), asked)
        return await answer(order_id, asked, response)

    @router.post("/orders/{order_id}/pay", status_code=202)
    async def pay(order_id: OrderId, body: PayIn, asked: Buyer, response: Response) -> OrderPage:
        await mine(order_id, asked.caller)
        click = ordering.PayOrder(order_id=order_id, method=body.method, expected_total=body.expected_total)
        await desk.send(click, asked, slot_over=409)  # the slot was good when it was asked for
        return await answer(order_id, asked, response)

    @router.post("/orders/{order_id}/cancel", status_code=202)
    async def cancel(order_id: OrderId, asked: Buyer, response: Response, body: CancelIn | None = None) -> OrderPage:
        await mine(order_id, asked.caller)
        await desk.send(ordering.CancelOrder(order_id=order_id, reason=body.reason if body else ""), asked)
        return await answer(order_id, asked, response)

    @router.get("/orders/{order_id}")
    async def read(order_id: OrderId, caller: Reader) -> OrderPage:
        return await page(order_id, caller)

    @router.get("/orders")
    async def some(
        caller: Reader,
        paging: Paged,
        phase: PhaseName | None = None,
        account: Account | None = None,
        store: Name | None = None,
    ) -> Page[OrderRow]:
        if caller.role is Role.CUSTOMER:
            if account not in (None, caller.account):
                return Page(items=[])
            account = caller.account
        rows = await orders.some(phase, account, store, paging.after(datetime, str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.placed_at, r.order_id), item=lambda r: r)

    @router.get("/orders/{order_id}/stream", response_class=Response, responses=TOLD)
    async def stream(order_id: OrderId, caller: Reader, last_event_id: LastEventId = None) -> Response:
        now = await page(order_id, caller)
        if now.phase in ENDS and last_event_id == _event(now).id:
            return nothing_more()
        return EventStream(_changes(parts, orders, order_id, caller, last_event_id), caller=caller)

    return router


async def _changes(
    parts: Parts, orders: Orders, order_id: str, caller: Caller, seen: str | None
) -> AsyncGenerator[Event, None]:
    """The order's page, now (unless it is the one of the event `seen`) and whenever it changes, until it has ended."""
    with parts.bell.listening(order_id) as ear:
        while True:
            ear.clear()
            page = await orders.page(order_id, caller)
            if page is None:
                return
            event = _event(page)
            if event.id != seen:
                seen = event.id
                yield event
            if page.phase in ENDS:
                return
            await heard(ear, STREAM_LOOK_S)


def _event(page: OrderPage) -> Event:
    """The page, under an id that changes with anything on it: not every change is an entry of the timeline."""
    data = page.model_dump_json()
    digest = hashlib.sha256(data.encode()).hexdigest()[:EVENT_ID_CHARS]
    return Event(data=data, event="order", id=f"{len(page.timeline)}-{digest}")


def _command(order_id: str, basket: BasketIn, caller: Caller) -> ordering.PlaceOrder:
    if caller.role is Role.CUSTOMER:
        if basket.account not in (None, caller.account):
            raise invalid("body", "account", "a customer orders for no other account")
        account = caller.account
    else:
        account = basket.account
    if not account:
        raise invalid("body", "account", "name the account that the order is for")
    if basket.store is None and basket.delivery is None:
        raise invalid("body", "store", "name a store or a delivery point")
    if twice := [code for code, times in Counter(basket.coupons).items() if times > 1]:
        raise invalid("body", "coupons", f"names {twice[0]} more than once")
    pieces: dict[str, int] = {}
    for line in basket.lines:
        pieces[line.spu] = pieces.get(line.spu, 0) + line.quantity
    if most := [spu for spu, quantity in pieces.items() if quantity > QUANTITY_MAX]:
        raise refusal("quantity_too_large", f"more than {QUANTITY_MAX} pieces of {most[0]}")
    return ordering.PlaceOrder(
        order_id=order_id,
        account=account,
        store=basket.store,
        delivery=ordering.Delivery(**basket.delivery.model_dump()) if basket.delivery else None,
        spus=tuple(line.spu for line in basket.lines),
        quantities=tuple(line.quantity for line in basket.lines),
        slot=Slot(start=basket.slot.start, end=basket.slot.end) if basket.slot else None,
        expected_total=basket.expected_total,
        device=basket.device,
        coupons=tuple(basket.coupons),
    )
