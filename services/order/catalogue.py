"""Master data: products and stores. Rows that the last writer wins, in force for every batch of orders after.

They are written straight into the tables and not through the log: nobody waits for an event of them, and a PUT that was
answered is seen by the next POST (docs/adr/0004).
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import Field

from services.order.areas import BadArea, parse
from shared.contracts.base import MONEY_MAX, Filled, Name
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import refusal

PRODUCTS_MAX = 5_000
"""Most products in one bulk PUT."""

Merchant = Annotated[Caller, Depends(require(Role.ADMIN))]
Reader = Annotated[Caller, Depends(require())]
Label = Annotated[Filled, Field(max_length=200)]


class Product(Body):
    """What an SPU is called and costs, in minor units per piece."""

    name: Label
    price: Annotated[int, Field(ge=1, le=MONEY_MAX, strict=True)]
    category: Label = "other"


class ProductOf(Product):
    """The same, with its SPU."""

    spu: Name


class Products(Body):
    """Many products at once."""

    items: Annotated[list[ProductOf], Field(min_length=1, max_length=PRODUCTS_MAX)]


class Store(Body):
    """A store, the area it serves (GeoJSON Polygon) and whether it takes new orders."""

    name: Label
    area: dict[str, Any]
    accepting: bool = True


class StoreOf(Store):
    """The same, with its id."""

    store: Name


_PRODUCTS = """insert into products (spu, name, price, category)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
on conflict (spu) do update
    set name = excluded.name, price = excluded.price, category = excluded.category, updated_at = now()"""
_LIST = """select spu, name, price, category from products where $1::text is null or spu > $1 order by spu limit $2"""
_STORE = """insert into stores (store, name, accepting, area, west, south, east, north)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (store) do update set name = excluded.name, accepting = excluded.accepting, area = excluded.area,
    west = excluded.west, south = excluded.south, east = excluded.east, north = excluded.north, updated_at = now()"""
_STORES = "select store, name, accepting, area from stores where $1::text is null or store > $1 order by store limit $2"


def routes(pool: asyncpg.Pool) -> APIRouter:
    """The catalogue's routes."""
    router = APIRouter(tags=["catalogue"])

    async def keep(products: list[ProductOf]) -> None:
        latest = {p.spu: p for p in products}
        rows = [(p.spu, p.name, p.price, p.category) for _, p in sorted(latest.items())]
        await pool.execute(_PRODUCTS, *(list(column) for column in zip(*rows, strict=True)))

    @router.put("/products/{spu}")
    async def put_product(spu: Name, product: Product, caller: Merchant) -> ProductOf:
        kept = ProductOf(spu=spu, **product.model_dump())
        await keep([kept])
        return kept

    @router.put("/products")
    async def put_products(products: Products, caller: Merchant) -> dict[str, int]:
        await keep(products.items)
        return {"products": len(products.items)}

    @router.get("/products")
    async def list_products(caller: Reader, paging: Paged) -> Page[ProductOf]:
        rows = await pool.fetch(_LIST, *paging.after(str), paging.fetch)
        return paging.page(rows, last=lambda r: (r["spu"],), item=lambda r: ProductOf(**r))

    @router.put("/stores/{store}")
    async def put_store(store: Name, body: Store, caller: Merchant) -> StoreOf:
        try:
            bounds = parse(body.area).bounds
        except BadArea as wrong:
            raise refusal("area_invalid", str(wrong)) from None
        await pool.execute(_STORE, store, body.name, body.accepting, json.dumps(body.area), *bounds)
        return StoreOf(store=store, **body.model_dump())

    @router.get("/stores")
    async def list_stores(caller: Reader, paging: Paged) -> Page[StoreOf]:
        rows = await pool.fetch(_STORES, *paging.after(str), paging.fetch)
        return paging.page(
            rows,
            last=lambda r: (r["store"],),
            item=lambda r: StoreOf(
                store=r["store"], name=r["name"], accepting=r["accepting"], area=json.loads(r["area"])
            ),
        )

    return router
