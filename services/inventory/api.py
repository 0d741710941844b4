"""Stock over HTTP: storekeepers receive and count, those who work here look."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, Field

from services.inventory.decider import number_of
from services.inventory.pages import AllotmentPage, DocumentPage, MovementRow, Stock, StockPage
from shared.contracts import inventory
from shared.contracts.base import LINES_MAX, Delta, Filled, Name, OrderId, StockQuantity
from shared.http.asked import Asked, asking
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import refusal, register
from shared.service import Parts

register(
    {
        "stock_unknown": (404, "This store never had any of this SPU, or does not exist"),
        "document_unknown": (404, "There is no such document"),
        "adjustment_below_zero": (409, "Less than nothing would be left"),
        "adjustment_empty": (422, "The adjustment changes nothing"),
        "allotment_unknown": (404, "The store has heard of no such flash sale"),
        "spu_has_allotment": (409, "Pieces of this SPU are set aside for another flash sale"),
        "allotment_of_other_spu": (409, "The allotment of this promotion is of another SPU"),
        "allotment_over_stock": (409, "The shelf cannot give so many pieces"),
        "allotment_below_sold": (409, "More pieces than that are sold"),
        "sale_over": (409, "The flash sale is over"),
        "incoming_below_sold": (409, "More of what is to come is sold"),
        "request_id_used": (409, "A document was written for this request already"),
    }
)

REQUEST_ID_CHARS = 16
"""Of the command's id, a hash: short enough to be read out, long enough to be the only one."""

Keeper = Annotated[Asked, Depends(asking(Role.STOREKEEPER))]
Reader = Annotated[Caller, Depends(require(Role.STOREKEEPER, Role.PICKER, Role.CUSTOMER_SERVICE))]


class GoodsIn(Body):
    """Pieces of one SPU that came in."""

    spu: Name
    quantity: StockQuantity


class ReceiptIn(Body):
    """What came in; an SPU that stands twice is summed."""

    lines: Annotated[list[GoodsIn], Field(min_length=1, max_length=LINES_MAX)]


def _changes_something(delta: int) -> int:
    if delta == 0:
        raise ValueError("a difference of 0 changes nothing")
    return delta


class CountIn(Body):
    """How many pieces of one SPU more (or, negative, less) there are than the books say."""

    spu: Name
    delta: Annotated[Delta, AfterValidator(_changes_something)]


class AdjustmentIn(Body):
    """What a count found, and why."""

    lines: Annotated[list[CountIn], Field(min_length=1, max_length=LINES_MAX)]
    reason: Filled


class AllotmentIn(Body):
    """How many pieces of one SPU a flash sale may sell in this store, sold ones included."""

    spu: Name
    quantity: StockQuantity


class IncomingIn(Body):
    """How many pieces of an SPU are still to come, sold ones included; it replaces what was told before. 0: none."""

    quantity: inventory.IncomingQuantity


def routes(parts: Parts) -> list[APIRouter]:
    """Inventory's routes."""
    stock = Stock(parts.pool)
    return [_receiving(parts, stock), _planning(parts, stock), _looking(stock)]


def _receiving(parts: Parts, stock: Stock) -> APIRouter:
    router = APIRouter(tags=["goods"])

    async def written(
        command: inventory.ReceiveGoods | inventory.AdjustStock, asked: Asked, response: Response
    ) -> DocumentPage:
        await parts.desk.send(command, asked)
        number = number_of(command)
        document = await stock.document(number)
        if document is None:
            raise refusal("document_unknown", f"{number} was written, and is not to be found")
        response.headers["Location"] = f"/documents/{number}"
        return document

    @router.post("/stores/{store}/goods-receipts", status_code=202)
    async def receive(store: Name, receipt: ReceiptIn, asked: Keeper, response: Response) -> DocumentPage:
        asked.caller.must_work_at(store)
        command = inventory.ReceiveGoods(
            request_id=asked.command_id[:REQUEST_ID_CHARS],
            store=store,
            spus=tuple(line.spu for line in receipt.lines),
            quantities=tuple(line.quantity for line in receipt.lines),
        )
        return await written(command, asked, response)

    @router.post("/stores/{store}/adjustments", status_code=202)
    async def adjust(store: Name, adjustment: AdjustmentIn, asked: Keeper, response: Response) -> DocumentPage:
        asked.caller.must_work_at(store)
        command = inventory.AdjustStock(
            request_id=asked.command_id[:REQUEST_ID_CHARS],
            store=store,
            spus=tuple(line.spu for line in adjustment.lines),
            deltas=tuple(line.delta for line in adjustment.lines),
            reason=adjustment.reason,
        )
        return await written(command, asked, response)

    return router


def _planning(parts: Parts, stock: Stock) -> APIRouter:
    router = APIRouter(tags=["sales and what is to come"])

    async def allotment_of(store: str, promotion: str) -> AllotmentPage:
        found = await stock.allotment(store, promotion)
        if found is None:
            raise refusal("allotment_unknown", f"{store} has heard of no flash sale {promotion}")
        return found

    @router.put("/stores/{store}/flash-allotments/{promotion}")
    async def put_allotment(store: Name, promotion: Name, body: AllotmentIn, asked: Keeper) -> AllotmentPage:
        asked.caller.must_work_at(store)
        command = inventory.SetAllotment(
            request_id=asked.command_id[:REQUEST_ID_CHARS],
            store=store,
            promotion=promotion,
            spu=body.spu,
            quantity=body.quantity,
        )
        await parts.desk.send(command, asked)
        return await allotment_of(store, promotion)

    @router.get("/stores/{store}/flash-allotments/{promotion}")
    async def allotment(store: Name, promotion: Name, caller: Reader) -> AllotmentPage:
        caller.must_work_at(store)
        return await allotment_of(store, promotion)

    @router.get("/stores/{store}/flash-allotments")
    async def allotments(store: Name, caller: Reader, paging: Paged) -> Page[AllotmentPage]:
        caller.must_work_at(store)
        rows = await stock.allotments(store, paging.after(str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.promotion,), item=lambda r: r)

    @router.put("/stores/{store}/incoming/{spu}")
    async def put_incoming(store: Name, spu: Name, body: IncomingIn, asked: Keeper) -> StockPage:
        asked.caller.must_work_at(store)
        request_id = asked.command_id[:REQUEST_ID_CHARS]
        await parts.desk.send(
            inventory.ExpectGoods(request_id=request_id, store=store, spus=(spu,), quantities=(body.quantity,)), asked
        )
        found = await stock.cell(store, spu)
        if found is None:
            raise refusal("stock_unknown", f"what is to come of {spu} was written, and is not to be found")
        return found

    return router


def _looking(stock: Stock) -> APIRouter:
    router = APIRouter(tags=["stock"])

    @router.get("/stores/{store}/stock/{spu}")
    async def cell(store: Name, spu: Name, caller: Reader) -> StockPage:
        caller.must_work_at(store)
        found = await stock.cell(store, spu)
        if found is None:
            raise refusal("stock_unknown", f"no {spu} was ever received or counted in {store}")
        return found

    @router.get("/stores/{store}/stock")
    async def cells(store: Name, caller: Reader, paging: Paged) -> Page[StockPage]:
        caller.must_work_at(store)
        rows = await stock.cells(store, paging.after(str), paging.fetch)
        return paging.page(rows, last=lambda r: (r.spu,), item=lambda r: r)

    @router.get("/stores/{store}/ledger")
    async def ledger(
        store: Name,
        caller: Reader,
        paging: Paged,
        spu: Annotated[Name | None, Query(description="only this SPU's movements")] = None,
    ) -> Page[MovementRow]:
        caller.must_work_at(store)
        rows = await stock.ledger(store, spu, paging.after(int, int), paging.fetch)
        return paging.page(rows, last=lambda r: (r.seq, r.line), item=lambda r: r)

    @router.get("/documents")
    async def documents(
        caller: Reader, paging: Paged, order: Annotated[OrderId, Query(description="the documents of this order")]
    ) -> Page[DocumentPage]:
        rows = await stock.documents_of(order, paging.after(datetime, str), paging.fetch)
        for row in rows:
            caller.must_work_at(row.store)
        return paging.page(rows, last=lambda r: (r.at, r.number), item=lambda r: r)

    @router.get("/documents/{number}")
    async def document(number: Annotated[Filled, Field(max_length=100)], caller: Reader) -> DocumentPage:
        found = await stock.document(number)
        if found is None:
            raise refusal("document_unknown")
        caller.must_work_at(found.store)
        return found

    return router
