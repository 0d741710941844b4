"""Master data: products and stores. Rows that the last writer wins, in force for every batch of orders after.

They are written straight into the tables and not through the log: nobody waits for an event of them, and a PUT that was
answered is seen by the next POST (docs/adr/0004).
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from shapely.geometry.base import BaseGeometry

from services.order import areas
from services.order.geojson import BadArea, geojson, understood
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX, Filled, Moment, Name
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import CURSOR_MAX, Page, Paged
from shared.http.problems import invalid, refusal

PRODUCTS_MAX = 5_000
"""Most products in one bulk PUT."""

Merchant = Annotated[Caller, Depends(require(Role.ADMIN))]
Reader = Annotated[Caller, Depends(require())]
Label = Annotated[Filled, Field(max_length=200)]


def _as_it_is(new: str) -> Any:
    """A member that stays as it is when it is left out. A client that filled in a default would change it."""

    def no_default(schema: dict[str, Any]) -> None:
        del schema["default"]

    return Field(description=f"left out: as it is; {new}", json_schema_extra=no_default)


class Product(Body):
    """What an SPU is called and costs, in minor units per piece."""

    name: Label
    price: Annotated[int, Field(ge=1, le=MONEY_MAX, strict=True)]
    category: Annotated[Label, _as_it_is("a new product is of `other`")] = "other"
    available_from: Annotated[Moment | None, _as_it_is("null: it can be had now")] = None


class ProductBody(Product):
    """The body of its PUT: what GET gives will do."""

    spu: Name | None = None


class ProductOf(Product):
    """One of many."""

    spu: Name


class Products(Body):
    """Many products at once. A page of GET will do, `next` and all."""

    items: Annotated[list[ProductOf], Field(min_length=1, max_length=PRODUCTS_MAX)]
    next: Annotated[str | None, Field(max_length=CURSOR_MAX)] = None


class ProductRow(BaseModel):
    """A product as it is shown. One that is `available_from` a later day than today can only be ordered for a slot."""

    name: str
    price: int
    category: str
    available_from: datetime | None
    spu: str


class Bounds(Body):
    """The smallest box around an area, in degrees; west is greater than east where it crosses the antimeridian."""

    west: ordering.Longitude
    south: ordering.Latitude
    east: ordering.Longitude
    north: ordering.Latitude


class Centre(Body):
    """The middle of the box, in degrees."""

    lat: ordering.Latitude
    lon: ordering.Longitude


class StoreBody(Body):
    """A store, the area it serves and whether it takes new orders; a pause ends by itself. What GET gives will do:
    bounds and centre follow from the area, whatever stands here."""

    name: Label
    area: Annotated[dict[str, Any], Field(description="GeoJSON Polygon or MultiPolygon, bare or in a Feature")]
    accepting: Annotated[bool, _as_it_is("a new store takes orders")] = True
    paused_until: Annotated[Moment | None, _as_it_is("null: no pause")] = None
    store: Name | None = None
    bounds: Bounds | None = None
    centre: Centre | None = None


class StoreRow(BaseModel):
    """A store as it is shown: its area as it was understood, with bounds and centre, so that swapped axes are seen. A
    pause that is over is none."""

    name: str
    area: dict[str, Any]
    accepting: bool
    paused_until: datetime | None
    store: str
    bounds: Bounds
    centre: Centre


_PRODUCTS = """insert into products (spu, name, price, category, available_from)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[])
on conflict (spu) do update
    set name = excluded.name, price = excluded.price, updated_at = now(),
        category = case when products.spu = any($6::text[]) then products.category else excluded.category end,
        available_from =
            case when products.spu = any($7::text[]) then products.available_from else excluded.available_from end
returning spu, name, price, category, available_from"""
_LIST = """select spu, name, price, category, available_from from products where $1::text is null or spu > $1
order by spu limit $2"""
_STORE = """insert into stores as kept (store, name, accepting, area, west, south, east, north, paused_until)
values ($1, $2, coalesce($3::boolean, true), $4, $5, $6, $7, $8, $10::timestamptz)
on conflict (store) do update set name = excluded.name, accepting = coalesce($3::boolean, kept.accepting),
    area = excluded.area, west = excluded.west, south = excluded.south, east = excluded.east, north = excluded.north,
    paused_until = case when $9::boolean then excluded.paused_until else kept.paused_until end, updated_at = now()
returning accepting, paused_until"""
_STORES = """select store, name, accepting, paused_until, area from stores where $1::text is null or store > $1
order by store limit $2"""


def routes(pool: asyncpg.Pool) -> APIRouter:
    """The catalogue's routes."""
    router = APIRouter(tags=["catalogue"])

    async def keep(products: list[ProductOf]) -> list[asyncpg.Record]:
        latest = {p.spu: p for p in products}
        rows = [(p.spu, p.name, p.price, p.category, p.available_from) for _, p in sorted(latest.items())]
        as_they_are = [
            [p.spu for p in latest.values() if member not in p.model_fields_set]
            for member in ("category", "available_from")
        ]
        columns = (list(column) for column in zip(*rows, strict=True))
        kept: list[asyncpg.Record] = await pool.fetch(_PRODUCTS, *columns, *as_they_are)
        return kept

    @router.put("/products/{spu}")
    async def put_product(spu: Name, body: ProductBody, caller: Merchant) -> ProductRow:
        must_be_of(spu, "spu", body.spu)
        (row,) = await keep([ProductOf(**{**body.model_dump(exclude_unset=True), "spu": spu})])
        return ProductRow(**row)

    @router.put("/products")
    async def put_products(products: Products, caller: Merchant) -> dict[str, int]:
        await keep(products.items)
        return {"products": len(products.items)}

    @router.get("/products")
    async def list_products(caller: Reader, paging: Paged) -> Page[ProductRow]:
        rows = await pool.fetch(_LIST, *paging.after(str), paging.fetch)
        return paging.page(rows, last=lambda r: (r["spu"],), item=lambda r: ProductRow(**r))

    @router.put("/stores/{store}")
    async def put_store(store: Name, body: StoreBody, caller: Merchant) -> StoreRow:
        must_be_of(store, "store", body.store)
        try:
            # An area made to be slow must not keep everybody else waiting.
            area = await asyncio.to_thread(understood, body.area)
        except BadArea as wrong:
            raise refusal("area_invalid", str(wrong)) from None
        said = body.accepting if "accepting" in body.model_fields_set else None
        pause = ("paused_until" in body.model_fields_set, body.paused_until)
        kept = json.dumps(geojson(area))
        row = await pool.fetchrow(_STORE, store, body.name, said, kept, *area.bounds, *pause)
        return _store_row(store, body.name, row, area)

    @router.get("/stores")
    async def list_stores(caller: Reader, paging: Paged) -> Page[StoreRow]:
        rows = await pool.fetch(_STORES, *paging.after(str), paging.fetch)
        return paging.page(
            rows,
            last=lambda r: (r["store"],),
            item=lambda r: _store_row(r["store"], r["name"], r, areas.kept(r["area"])),
        )

    return router


def must_be_of(address: str, member: str, said: str | None) -> None:
    """What GET gives can be PUT back, at its own address: 422 `invalid_request` when the body names another."""
    if said not in (None, address):
        raise invalid("body", member, f"the body is of {said}, the address of {address}")


def _store_row(store: str, name: str, row: Any, area: BaseGeometry) -> StoreRow:
    until = row["paused_until"]
    return StoreRow(
        store=store,
        name=name,
        accepting=row["accepting"],
        paused_until=until if until and until > datetime.now(UTC) else None,
        area=geojson(area),
        bounds=Bounds(**areas.bounds(area)),
        centre=Centre(**areas.centre(area)),
    )
