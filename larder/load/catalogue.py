"""The stores and products that a load needs, held against those that are there already.

What is the same is left alone, so that loads can follow each other. What differs belongs to somebody: it is named, and
replaced only when that was asked for. It is read from the order service's database, where the load counts its parked
commands and the audit reads as well: one query for fifty thousand products, where the HTTP list is 250 pages.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from larder.load.errors import LoadError
from larder.load.play import Play
from larder.stack.migrate import connect
from shared.settings import Settings

NOWHERE = "larder-nowhere"
"""A product of the catalogue that no store ever has: who orders it learns that it is short."""
CELLS = 2_000
"""Store areas lie on a grid of so many cells each way, in the South Atlantic, where nobody else's stores are."""
CELL_DEGREES = 0.02
DIFFERENT_TOLD = 3
"""Most products and stores that are named in an error; all are counted."""

Names = dict[str, tuple[str, str]]
"""Name and category by SPU."""

_PRODUCTS = "select spu, name, price, category from products where spu = any($1::text[])"
_STORES = "select store, name, accepting, west, south, east, north from stores where store = any($1::text[])"


class Product(NamedTuple):
    """A product as the catalogue has it; the price in minor units."""

    name: str
    price: int
    category: str


class Store(NamedTuple):
    """A store as the catalogue has it. `bounds` are those of its area: west, south, east, north."""

    name: str
    accepting: bool
    bounds: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Products by SPU and stores by id."""

    products: Mapping[str, Product]
    stores: Mapping[str, Store]


def wanted(play: Play, names: Names) -> Catalogue:
    """What a play needs."""
    products = {}
    for spu, price in play.prices.items():
        name, category = names.get(spu, ("", ""))
        products[spu] = Product(name or f"SPU {spu}", price, category or "grocery")
    products[NOWHERE] = Product("a product that is always sold out", 199, "grocery")
    return Catalogue(products, {store: Store(f"store {store}", True, bounds_of(store)) for store in play.demand})


async def there(settings: Settings, catalogue: Catalogue) -> Catalogue:
    """What the order service has of it."""
    connection = await connect(settings.dsn("order"), "order")
    try:
        products = await connection.fetch(_PRODUCTS, list(catalogue.products))
        stores = await connection.fetch(_STORES, list(catalogue.stores))
    finally:
        await connection.close()
    return Catalogue(
        {spu: Product(*product) for spu, *product in products},
        {store: Store(name, accepting, tuple(bounds)) for store, name, accepting, *bounds in stores},
    )


def to_tell(wanted: Catalogue, there: Catalogue, *, overwrite: bool) -> Catalogue:
    """What of it has to be told: what is not there, and, if it may be overwritten, what is otherwise there. A LoadError
    names what may not."""
    different = [*_different(wanted.products, there.products), *_different(wanted.stores, there.stores)]
    if different and not overwrite:
        more = f"; and {len(different) - DIFFERENT_TOLD:,} more" if len(different) > DIFFERENT_TOLD else ""
        raise LoadError(
            f"{len(different):,} products and stores are there already, and not as this load wants them: "
            f"{'; '.join(different[:DIFFERENT_TOLD])}{more}. --overwrite replaces them"
        )
    return Catalogue(
        {spu: product for spu, product in wanted.products.items() if there.products.get(spu) != product},
        {name: store for name, store in wanted.stores.items() if there.stores.get(name) != store},
    )


def _different(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for id_, is_so in there.items():
        fields = zip(is_so._fields, is_so, wanted[id_], strict=True)
        told = [f"{field} is {now!r}, wanted {then!r}" for field, now, then in fields if now != then]
        if told:
            yield f"{type(is_so).__name__.lower()} {id_}: {', '.join(told)}"


def area_of(store: str) -> dict[str, Any]:
    """A small square of its own for a store, always the same one (GeoJSON Polygon)."""
    west, south, east, north = bounds_of(store)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def bounds_of(store: str) -> tuple[float, float, float, float]:
    """West, south, east and north of that square."""
    cell = zlib.crc32(store.encode())
    west, south = -40 + cell % CELLS * CELL_DEGREES, -40 + cell // CELLS % CELLS * CELL_DEGREES
    east, north = west + CELL_DEGREES / 2, south + CELL_DEGREES / 2
    return round(west, 4), round(south, 4), round(east, 4), round(north, 4)
