"""The catalogue over HTTP, on a real database: what was sent is what is kept and shown, and can be sent back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.order.api import routes
from services.order.decider import DECIDER
from services.order.store import OrderStore
from tests.parts import RealParts
from tests.services.inside import Inside, inside

pytestmark = pytest.mark.parts

APPLE = {"name": "Apple", "price": 250, "category": "fruit"}


def square(west: float, south: float, size: float = 1) -> list[list[float]]:
    """A ring, counter-clockwise."""
    east, north = west + size, south + size
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


AREA = {"type": "Polygon", "coordinates": [square(13, 52)]}
FIJI = {"type": "MultiPolygon", "coordinates": [[square(177, -20, 3)], [square(-180, -19, 2)]]}


@pytest.fixture
async def shop(parts: RealParts) -> AsyncIterator[Inside]:
    """An order service with an empty database."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        yield found


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, code: str) -> str:
    """The detail of a 422 with this code."""
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == code, problem
    return str(problem["detail"])


async def put(shop: Inside, **members: Any) -> httpx.Response:
    """PUTs the store s-1; members are those of its body."""
    return await shop.ask("PUT", "/stores/s-1", {"name": "One", "area": AREA, **members})


async def stores(shop: Inside) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ok(await shop.ask("GET", "/stores"))["items"]
    return items


async def serving(shop: Inside, lat: float, lon: float) -> Any:
    """The store that a basket for this point would go to."""
    key = ("serving", str(lat), str(lon))
    async with shop.pool.acquire() as connection:
        return (await OrderStore().load_many(connection, [key], None))[key]  # type: ignore[arg-type]


async def test_a_store_is_answered_with_its_bounds_and_centre(shop: Inside) -> None:
    """So that whoever sent latitude first sees it at once; the list shows the same."""
    answer = ok(await put(shop))
    assert answer["bounds"] == {"west": 13, "south": 52, "east": 14, "north": 53}
    assert answer["centre"] == {"lat": 52.5, "lon": 13.5}
    assert await stores(shop) == [answer]


async def test_islands_across_the_antimeridian_are_one_area(shop: Inside) -> None:
    """Each island is served, on the antimeridian too, whichever way it is written, and what lies around the Earth is
    not. The bounds go eastwards, as RFC 7946 (5.2) has them."""
    answer = ok(await put(shop, area=FIJI))
    assert answer["bounds"] == {"west": 177, "south": -20, "east": -178, "north": -17}
    assert answer["centre"] == {"lat": -18.5, "lon": 179.5}
    for lon in (177, 179.9, 180, -180, -179.9, -178):
        assert await serving(shop, -18, lon) == "s-1"
    for lon in (0, 176.9, -177.9):
        assert await serving(shop, -18, lon) is None


@pytest.mark.parametrize("west", [170, -180])
async def test_the_antimeridian_is_on_both_sides(shop: Inside, west: int) -> None:
    """An area that ends at 180 has the point at -180 on its border, and the other way round."""
    ok(await put(shop, area={"type": "Polygon", "coordinates": [square(west, 0, 10)]}))
    assert await serving(shop, 5, 180) == await serving(shop, 5, -180) == "s-1"
    assert await serving(shop, 11, 180) is None


@pytest.mark.parametrize("wrap", ["Feature", "FeatureCollection"])
async def test_what_map_editors_export_is_unwrapped(shop: Inside, wrap: str) -> None:
    """What is kept and answered is the geometry itself: flat, of floats, without what else stood around it."""
    inner = {"type": "Polygon", "bbox": [0, 0, 1, 1], "coordinates": [[[*p, 30] for p in square(13, 52)]]}
    area: Any = {"type": "Feature", "properties": {"fill": "red"}, "geometry": inner, "id": 7}
    if wrap == "FeatureCollection":
        area = {"type": "FeatureCollection", "features": [area], "name": "areas"}
    assert ok(await put(shop, area=area))["area"] == AREA
    assert (await stores(shop))[0]["area"] == AREA


async def test_an_area_that_is_none_changes_nothing(shop: Inside) -> None:
    """422 that says what came; the store is as it was."""
    before = ok(await put(shop))
    wide = {"type": "Polygon", "coordinates": [[[179.9, 0], [-179.9, 0], [-179.9, 1], [179.9, 1], [179.9, 0]]]}
    assert "antimeridian" in refused(await put(shop, area=wide, name="Two"), "area_invalid")
    texts = {"type": "Polygon", "coordinates": [[[str(x), str(y)] for x, y in square(13, 52)]]}
    assert '["13", "52"]' in refused(await put(shop, area=texts, name="Two"), "area_invalid")
    assert await stores(shop) == [before]


async def test_areas_of_earlier_versions_are_shown_as_they_are_understood(shop: Inside) -> None:
    """Texts, open rings and altitudes were stored as they came; they serve as ever, and what is shown can be put."""
    ok(await put(shop))
    old = '{"type": "Polygon", "coordinates": [[["13", "52"], ["14", "52"], ["14", "53"], ["13", "53"]]]}'
    tall = '{"type": "Polygon", "coordinates": [[[13, 52, 1], [14, 52, 1], [14, 53, 1], [13, 53, 1], [13, 52, 1]]]}'
    for text in (old, tall):
        await shop.pool.execute("update stores set area = $1", text)
        assert await serving(shop, 52.5, 13.5) == "s-1"
        (shown,) = await stores(shop)
        assert shown["area"] == AREA
        assert ok(await shop.ask("PUT", "/stores/s-1", shown)) == shown


# -- accepting ---------------------------------------------------------------------------------------------------------


async def test_what_is_not_said_of_a_store_stays_as_it_is(shop: Inside) -> None:
    """A new store takes orders; one that was closed stays closed until somebody says otherwise."""
    assert ok(await put(shop))["accepting"] is True
    assert ok(await put(shop, accepting=False))["accepting"] is False
    assert ok(await put(shop, name="Another name"))["accepting"] is False
    assert (await stores(shop))[0]["accepting"] is False
    assert ok(await put(shop, accepting=True))["accepting"] is True
    assert ok(await put(shop))["accepting"] is True


async def test_closing_a_store_wins_over_a_put_that_does_not_speak_of_it(shop: Inside) -> None:
    """However they race: nobody who only changes the name opens it again."""
    for _ in range(10):
        ok(await put(shop, accepting=True))
        for answer in await asyncio.gather(put(shop), put(shop, accepting=False), put(shop), put(shop)):
            ok(answer)
        assert (await stores(shop))[0]["accepting"] is False


async def test_the_category_of_a_product_stays_as_it_is(shop: Inside) -> None:
    """When it is left out, one by one and for many at once; a new product has the one that is no other."""
    milk = {"name": "Milk", "price": 199}
    assert ok(await shop.ask("PUT", "/products/milk", milk))["category"] == "other"
    assert ok(await shop.ask("PUT", "/products/milk", {**milk, "category": "fresh"}))["category"] == "fresh"
    changed = ok(await shop.ask("PUT", "/products/milk", {**milk, "price": 210}))
    assert changed == {"spu": "milk", "name": "Milk", "price": 210, "category": "fresh", "available_from": None}
    items = [{**milk, "spu": "milk"}, {**milk, "spu": "oat"}, {**APPLE, "spu": "apple"}]
    ok(await shop.ask("PUT", "/products", {"items": items}))
    shown = ok(await shop.ask("GET", "/products"))["items"]
    assert {p["spu"]: (p["price"], p["category"]) for p in shown} == {
        "apple": (250, "fruit"),
        "milk": (199, "fresh"),
        "oat": (199, "other"),
    }


# -- goods to come, stores that pause ----------------------------------------------------------------------------------

PLUM = {"name": "Plum", "price": 99}
LATER, PAST = "2199-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def order(spu: str, **members: Any) -> dict[str, Any]:
    """A basket for store s-1."""
    return {"store": "s-1", "lines": [{"spu": spu, "quantity": 1}], "account": "a-1", **members}


async def test_the_day_of_a_product_stays_as_it_is(shop: Inside) -> None:
    """When it is left out, one by one and for many at once; null is now."""
    assert ok(await shop.ask("PUT", "/products/plum", PLUM))["available_from"] is None
    assert ok(await shop.ask("PUT", "/products/plum", {**PLUM, "available_from": LATER}))["available_from"] == LATER
    assert ok(await shop.ask("PUT", "/products/plum", {**PLUM, "price": 98}))["available_from"] == LATER
    items = [{**PLUM, "spu": "plum"}, {**PLUM, "spu": "fig", "available_from": LATER}]
    ok(await shop.ask("PUT", "/products", {"items": items}))
    shown = ok(await shop.ask("GET", "/products"))["items"]
    assert [(p["spu"], p["available_from"]) for p in shown] == [("fig", LATER), ("plum", LATER)]
    ok(await shop.ask("PUT", "/products", {"items": [{**PLUM, "spu": "fig", "available_from": None}]}))
    assert ok(await shop.ask("PUT", "/products/plum", {**PLUM, "available_from": None}))["available_from"] is None
    assert [p["available_from"] for p in ok(await shop.ask("GET", "/products"))["items"]] == [None, None]


async def test_goods_to_come_need_a_slot(shop: Inside) -> None:
    """On or after their day; the refusal says which."""
    ok(await put(shop))
    day = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    ok(await shop.ask("PUT", "/products/plum", {**PLUM, "available_from": day.isoformat()}))
    early, late = (
        {"start": (day + timedelta(hours=n)).isoformat(), "end": (day + timedelta(hours=n + 1)).isoformat()}
        for n in (-1, 0)
    )
    for slot in (None, early):
        told = refused(await shop.ask("POST", "/orders", order("plum", slot=slot)), "presale_needs_slot")
        assert "plum" in told
        assert f"{day:%Y-%m-%d}" in told
    assert (await shop.ask("POST", "/orders", order("plum", slot=late))).status_code == 202


async def test_a_pause_stays_as_it_is_and_ends_by_itself(shop: Inside) -> None:
    """Left out: as it is; null: no pause; one that is over is none. `accepting` is another matter."""
    assert ok(await put(shop))["paused_until"] is None
    assert ok(await put(shop, paused_until=LATER))["paused_until"] == LATER
    assert ok(await put(shop, name="Another name", accepting=False))["paused_until"] == LATER
    (shown,) = await stores(shop)
    assert (shown["paused_until"], shown["accepting"]) == (LATER, False)
    assert ok(await shop.ask("PUT", "/stores/s-1", shown)) == shown
    assert ok(await put(shop, paused_until=PAST))["paused_until"] is None
    assert (await stores(shop))[0]["paused_until"] is None
    ok(await put(shop, paused_until=LATER))
    assert ok(await put(shop, paused_until=None))["paused_until"] is None


async def test_a_paused_store_says_until_when(shop: Inside) -> None:
    """409 to orders; the next one after the pause is taken."""
    ok(await put(shop, paused_until=LATER))
    ok(await shop.ask("PUT", "/products/apple", APPLE))
    answer = await shop.ask("POST", "/orders", order("apple"))
    assert (answer.status_code, answer.json()["code"]) == (409, "store_not_accepting")
    assert "until 2199-01-01T00:00:00Z" in answer.json()["detail"]
    ok(await put(shop, paused_until=PAST))
    assert (await shop.ask("POST", "/orders", order("apple"))).status_code == 202


@pytest.mark.parametrize("value", ["tomorrow", "2027-01-01", "2027-01-01T00:00:00", 1_790_000_000, True, "", []])
async def test_instants_are_instants(shop: Inside, value: Any) -> None:
    """With a zone, as text."""
    assert "paused_until" in refused(await put(shop, paused_until=value), "invalid_request")
    told = refused(await shop.ask("PUT", "/products/plum", {**PLUM, "available_from": value}), "invalid_request")
    assert "available_from" in told
    assert await stores(shop) == ok(await shop.ask("GET", "/products"))["items"] == []


# -- what GET gives can be PUT back ------------------------------------------------------------------------------------


async def test_what_get_gives_can_be_put_back(shop: Inside) -> None:
    """Unchanged, item by item at its own address, and the products as a page."""
    ok(await put(shop, area=FIJI, accepting=False))
    ok(await shop.ask("PUT", "/products/apple", APPLE))
    ok(await shop.ask("PUT", "/products/pear", {**APPLE, "name": "Pear"}))
    before = await stores(shop)
    for item in before:
        assert ok(await shop.ask("PUT", f"/stores/{item['store']}", item)) == item
    assert await stores(shop) == before
    for path in ("/products", "/products?limit=1"):
        page = ok(await shop.ask("GET", path))
        for item in page["items"]:
            assert ok(await shop.ask("PUT", f"/products/{item['spu']}", item)) == item
        assert ok(await shop.ask("PUT", "/products", page)) == {"products": len(page["items"])}
        assert ok(await shop.ask("GET", path)) == page


async def test_what_belongs_elsewhere_is_not_put_here(shop: Inside) -> None:
    """A body that names another id than its address is a mistake of one of the two."""
    assert "s-2" in refused(await put(shop, store="s-2"), "invalid_request")
    answer = await shop.ask("PUT", "/products/apple", {**APPLE, "spu": "pear"})
    assert "pear" in refused(answer, "invalid_request")
    assert await stores(shop) == []
    assert ok(await shop.ask("GET", "/products"))["items"] == []


async def test_bounds_are_shown_and_not_believed(shop: Inside) -> None:
    """They follow from the area, whatever was sent back with another one."""
    shown = ok(await put(shop))
    moved = ok(await shop.ask("PUT", "/stores/s-1", {**shown, "area": FIJI}))
    assert moved["bounds"]["west"] == 177


# -- JSON of the wrong type --------------------------------------------------------------------------------------------

VALUES: dict[str, list[Any]] = {
    "null": [None],
    "boolean": [True, False],
    "string": ["", "off", "false", "true", "1", "250", "s-1"],
    "integer": [0, 1, 250],
    "number": [0.0, 1.5, 1.0],
    "array": [[], [1], [True]],
    "object": [{}, {"a": 1}],
}


async def _schema(shop: Inside, path: str) -> dict[str, Any]:
    """The members of the body of a PUT, as the service describes them."""
    described = ok(await shop.ask("GET", "/openapi.json"))
    body = described["paths"][path]["put"]["requestBody"]["content"]["application/json"]["schema"]
    members: dict[str, Any] = described["components"]["schemas"][body["$ref"].rsplit("/", 1)[-1]]["properties"]
    return members


@pytest.mark.parametrize(
    ("path", "body"), [("/stores/{store}", {"name": "One", "area": AREA}), ("/products/{spu}", APPLE)]
)
async def test_json_of_the_wrong_type_is_refused_and_never_converted(
    shop: Inside, path: str, body: dict[str, Any]
) -> None:
    """Each member of each body takes the JSON type that is described, and no other that could be read as one."""
    address = path.replace("{store}", "s-1").replace("{spu}", "apple")
    tried = 0
    for member, schema in (await _schema(shop, path)).items():
        taken = {one.get("type", "object") for one in schema.get("anyOf", [schema])}
        for kind, values in VALUES.items():
            for value in values if kind not in taken else ():
                answer = await shop.ask("PUT", address, {**body, member: value})
                assert answer.status_code == 422, (member, value, answer.text)
                tried += 1
    assert tried > 30
    assert await stores(shop) == []
    assert ok(await shop.ask("GET", "/products"))["items"] == []


async def test_accepting_is_left_out_or_a_boolean(shop: Inside) -> None:
    """Nothing is taken for a boolean that is none, null neither."""
    nothing: list[Any] = [None, 0, 1, 0.0, "off", "on", "false", "true", "", [], {}]
    for value in nothing:
        assert "accepting" in refused(await put(shop, accepting=value), "invalid_request")
    assert await stores(shop) == []


@pytest.mark.parametrize("path", ["/stores/{store}", "/products/{spu}"])
async def test_no_default_is_promised_for_what_stays_as_it_is(shop: Inside, path: str) -> None:
    """A client that is made from the description would send it, and open a closed store."""
    for member, schema in (await _schema(shop, path)).items():
        assert schema.get("default") is None, member
