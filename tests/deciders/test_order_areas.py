"""Areas: what is understood is what is kept, and it is what was meant; what could mean something else is refused."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Point
from shapely.geometry import shape

from services.order.areas import bounds, centre, covers
from services.order.geojson import CORNERS_MAX, BadArea, geojson, understood

Json = Any
POLYGON = "Polygon"


def square(west: float, south: float, size: float = 1) -> list[list[float]]:
    """A ring, counter-clockwise."""
    east, north = west + size, south + size
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def polygon(*rings: Json) -> Json:
    return {"type": POLYGON, "coordinates": list(rings)}


def parts(*polygons: Json) -> Json:
    return {"type": "MultiPolygon", "coordinates": list(polygons)}


def feature(geometry: Json, **more: Json) -> Json:
    return {"type": "Feature", "properties": None, "geometry": geometry, **more}


def collection(*features: Json, **more: Json) -> Json:
    return {"type": "FeatureCollection", "features": list(features), **more}


def named(name: str) -> Json:
    """A reference system as GeoJSON of 2008 names it."""
    return {"type": "name", "properties": {"name": name}}


BIG = square(0, 0, 10)
GOOD = polygon(BIG, square(2, 2))

# -- what is an area ---------------------------------------------------------------------------------------------------

GOOD_AREAS: dict[str, Json] = {
    "a hole": GOOD,
    "clockwise": polygon(BIG[::-1]),
    "a hole that touches its ring in one point": polygon(BIG, [[0, 5], [3, 4], [3, 6], [0, 5]]),
    "two parts": parts([BIG], [square(20, 0)]),
    "parts that touch in one point": parts([square(0, 0)], [square(1, 1)]),
    "an island in a lake": parts([BIG, square(2, 2, 5)], [square(3, 3)]),
    "one part": parts([BIG]),
    "half the Earth": polygon([[-90, -90], [90, -90], [90, 90], [-90, 90], [-90, -90]]),
    "at the pole": polygon(square(10, 89)),
    "at the antimeridian": polygon(square(179, 0)),
    "at the other side of it": polygon(square(-180, -90)),
    "altitudes": polygon([[*position, 34.5] for position in BIG]),
    "one meter wide": polygon([[13, 52], [13.00001, 52], [13.01, 52.01], [13, 52]]),
    "a feature": feature(GOOD, id=1, bbox=[0, 0, 1, 1]),
    "a collection of one": collection(feature(GOOD), name="areas"),
    "members of others": {**GOOD, "bbox": [7, 7, 8, 8], "color": {"type": "Point"}},
    "its own reference system": {**GOOD, "crs": named("urn:ogc:def:crs:OGC:1.3:CRS84")},
    "the same by number": collection(feature({**GOOD, "crs": named("EPSG:4326")}), crs=named("OGC:CRS84")),
    "the same as an address": feature(GOOD, crs=named("http://www.opengis.net/def/crs/EPSG/0/4326")),
    "the same as a URN": feature(GOOD, crs=named("urn:ogc:def:crs:EPSG::4326")),
    "no reference system": {**GOOD, "crs": None},
}


def bare(area: Json) -> Json:
    """The geometry of an area that may stand in a Feature."""
    area = area["features"][0] if "features" in area else area
    return area.get("geometry", area)


def flat(coordinates: Json) -> Json:
    """Coordinates as they must be kept: no altitudes, floats. Fails on anything that is not a number."""
    if isinstance(coordinates[0], list | tuple):
        return [flat(one) for one in coordinates]
    assert all(type(number) in (int, float) for number in coordinates), coordinates
    return [float(number) for number in coordinates[:2]]


def handed_out(area: Json) -> Json:
    """What whoever asks for a store is given after this was put."""
    return json.loads(json.dumps(geojson(understood(area))))


@pytest.mark.parametrize("area", GOOD_AREAS.values(), ids=GOOD_AREAS)
def test_what_is_understood_is_what_came(area: Json) -> None:
    """The same corners in the same order, without altitudes and without what stood around them."""
    given_ = bare(area)
    assert handed_out(area) == {"type": given_["type"], "coordinates": flat(given_["coordinates"])}
    assert repr(handed_out(handed_out(area))) == repr(handed_out(area))


# -- what is none ------------------------------------------------------------------------------------------------------

DIAMOND = [[0, 5], [5, 0], [10, 5], [5, 10], [0, 5]]
BAD_AREAS: dict[str, tuple[Json, tuple[str, ...]]] = {
    "nothing": (None, ("null",)),
    "a text": ("Berlin", ('"Berlin"',)),
    "no type": ({"coordinates": [BIG]}, ("null",)),
    "a type nobody knows": ({**GOOD, "type": "polygon"}, ('"polygon"', "Polygon or MultiPolygon")),
    "a type that is none": ({**GOOD, "type": ["Polygon"]}, ('["Polygon"]',)),
    "a point": ({"type": "Point", "coordinates": [13, 52]}, ('"Point"',)),
    "a bag of geometries": ({"type": "GeometryCollection", "geometries": [GOOD]}, ('"GeometryCollection"',)),
    "a collection of two": (collection(feature(GOOD), feature(GOOD)), ("one feature", "2 features")),
    "a collection of none": (collection(), ("one feature", "0 features")),
    "a collection of no list": ({"type": "FeatureCollection", "features": GOOD}, ("one feature",)),
    "a collection of a geometry": (collection(GOOD), ("must hold a Feature", '"Polygon"')),
    "a collection in a collection": (collection(collection(feature(GOOD))), ('"FeatureCollection"',)),
    "a feature of nothing": (feature(None), ("null",)),
    "a feature in a feature": (feature(feature(GOOD)), ('"Feature"',)),
    "another reference system": ({**GOOD, "crs": named("EPSG:3857")}, ("WGS 84", '"EPSG:3857"')),
    "another one around": (collection(feature(GOOD), crs=named("urn:ogc:def:crs:EPSG::25833")), ("25833",)),
    "another one in between": (collection(feature(GOOD, crs=named("EPSG:31468"))), ("31468",)),
    "one that only ends so": ({**GOOD, "crs": named("EPSG:14326")}, ("14326",)),
    "a reference system nobody reads": ({**GOOD, "crs": 4326}, ("crs: 4326",)),
    "no coordinates": ({"type": POLYGON}, ("coordinates", "null")),
    "coordinates of nothing": (polygon(), ("coordinates", "[]")),
    "no parts": (parts(), ("coordinates", "[]")),
    "a part of nothing": (parts([BIG], []), ("part 2, coordinates", "[]")),
    "an empty ring": (polygon([]), ("outer ring", "[]")),
    "an empty hole": (parts([BIG], [square(20, 0), []]), ("part 2, hole 1", "[]")),
    "a number for a ring": (polygon(BIG, 7), ("hole 1", "came: 7")),
    "rings of parts": ({"type": POLYGON, "coordinates": [[BIG]]}, ("outer ring, position 1",)),
    "parts of rings": (parts(BIG), ("part 1, outer ring, position 1", "came: 0")),
    "an open ring": (polygon(BIG[:-1]), ("outer ring", "4 positions, from [0, 0] to [0, 10]")),
    "a ring of three": (polygon([BIG[0], BIG[1], BIG[0]]), ("outer ring", "4 or more", "3 positions")),
    "closed at another height": (polygon([[*p, n] for n, p in enumerate(BIG)]), ("from [0, 0, 0] to [0, 0, 4]",)),
    "mixed dimensions": (polygon([*BIG[:2], [*BIG[2], 7], *BIG[3:]]), ("outer ring, position 3", "3 numbers")),
    "a hole of other dimensions": (polygon(BIG, [[*p, 0] for p in square(2, 2)]), ("hole 1, position 1", "3 numbers")),
    "one number": (polygon([[0], *BIG[1:]]), ("outer ring, position 1", "[0]")),
    "four numbers": (polygon([[*p, 0, 0] for p in BIG]), ("outer ring, position 1", "[0, 0, 0, 0]")),
    "a line": (polygon([[0, 0], [1, 1], [2, 2], [0, 0]]), ("outer ring", "one line")),
    "nearly a line": (polygon([[0, 0], [0.1, 0.3], [0.2, 0.6], [0.3, 0.9], [0, 0]]), ("outer ring", "one line")),
    "one point": (polygon([[1, 2]] * 4), ("outer ring", "one line, or on one point")),
    "a hole that is a line": (polygon(BIG, [[2, 2], [3, 3], [2, 2], [2, 2]]), ("hole 1", "one line")),
    "a bow-tie": (parts([BIG], [[[20, 0], [21, 1], [21, 0], [20, 1], [20, 0]]]), ("part 2, outer ring", "20.5", "0.5")),
    "a spike": (polygon([[0, 0], [1, 0], [1, 1], [2, 1], [1, 1], [0, 1], [0, 0]]), ("outer ring", "touches itself")),
    "twice around": (polygon([*BIG, *BIG[1:]]), ("outer ring", "itself")),
    "a hole outside": (polygon(BIG, square(20, 20)), ("hole 1", "inside of its outer ring")),
    "a hole outside that touches": (polygon(BIG, [[10, 5], [12, 4], [12, 6], [10, 5]]), ("hole 1", "inside of its")),
    "a hole in another part": (parts([BIG], [square(20, 0), square(2, 2)]), ("part 2, hole 1", "inside of its")),
    "a hole around": (polygon(square(2, 2), BIG), ("hole 1", "inside of its outer ring")),
    "a hole across": (polygon(BIG, square(9.5, 5)), ("outer ring and hole 1", "overlap")),
    "a hole along the border": (polygon(BIG, square(9, 5)), ("outer ring and hole 1", "share a border")),
    "a hole that is the shell": (polygon(BIG, BIG), ("outer ring and hole 1", "same ring")),
    "the same from elsewhere": (polygon(BIG, [*BIG[2:], *BIG[1:3]]), ("outer ring and hole 1", "same ring")),
    "a hole twice": (polygon(BIG, square(2, 2), square(2, 2)), ("hole 1 and hole 2", "same ring")),
    "a hole in a hole": (polygon(BIG, square(2, 2, 5), square(3, 3)), ("hole 2", "inside of another hole")),
    "holes that overlap": (polygon(BIG, square(2, 2), square(2.5, 2.5)), ("hole 1 and hole 2", "overlap")),
    "a hole from side to side": (polygon(BIG, DIAMOND), ("outer ring and hole 1", "pieces")),
    "a part twice": (parts([BIG], [BIG]), ("part 1, outer ring and part 2, outer ring", "same ring")),
    "a part in a part": (parts([BIG], [square(20, 0)], [square(3, 3)]), ("part 3", "inside of another part")),
    "parts that overlap": (parts([BIG], [square(9, 9, 2)]), ("part 1, outer ring and part 2, outer ring", "overlap")),
    "parts side by side": (parts([square(0, 0)], [square(1, 0)]), ("part 2, outer ring", "make them one")),
    "a part that fills a hole": (parts([BIG, square(2, 2)], [square(2, 2)]), ("part 1, hole 1 and part 2", "same")),
    "across the antimeridian": (
        polygon([[179.9, 0], [-179.9, 0], [-179.9, 1], [179.9, 1], [179.9, 0]]),
        ("outer ring", "more than 180 degrees", "359.8, from -179.9 to 179.9", "cut", "antimeridian", "MultiPolygon"),
    ),
    "one part across it": (
        parts([square(0, 0)], [[[100, 0], [-100, 0], [-100, 1], [100, 0]]]),
        ("part 2, outer ring", "200, from -100 to 100"),
    ),
    "the whole Earth": (polygon([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]), ("came: 360",)),
    "beyond the antimeridian": (polygon(square(179.5, 0)), ("outer ring, position 2", "180.5", "cut there")),
    "latitude first": (polygon([[52, 113], [53, 113], [53, 114], [52, 113]]), ("longitude comes first", "[52, 113]")),
    "beyond the pole": (polygon(square(0, 89.5)), ("outer ring, position 3", "90.5")),
}


@pytest.mark.parametrize(("area", "words"), BAD_AREAS.values(), ids=BAD_AREAS)
def test_what_could_mean_something_else_is_refused(area: Json, words: tuple[str, ...]) -> None:
    """The message says what is wrong, where it is, and what came."""
    with pytest.raises(BadArea) as told:
        understood(area)
    for word in words:
        assert word in str(told.value)
    assert len(str(told.value)) < 300


def test_of_many_rings_an_error_names_few() -> None:
    """However many are wrong in one spot."""
    fan = [[[[5, 5], [5 + n, 10], [5 + n + 0.5, 10], [5, 5]]] for n in range(-100, 100)]
    nested = [[square(0, 0, n)] for n in range(1, 60)]
    for area in (polygon(BIG, *[square(2, 2)] * 500), parts(*fan, fan[0]), parts(*nested)):
        with pytest.raises(BadArea) as told:
            understood(area)
        assert len(str(told.value)) < 300


NO_NUMBERS: list[Json] = [
    "13.1",
    "",
    "1_3.1",
    None,
    True,
    False,
    [13.1],
    {},
    float("nan"),
    float("inf"),
    1e308,
    10**400,
]


@pytest.mark.parametrize("altitude", [False, True])
def test_no_number_is_made_of_what_is_none(altitude: bool) -> None:
    """Wherever in an area a number stands, only a number that can be there is taken; the altitude may be any."""
    area = parts([BIG, square(2, 2)], [square(20, 0)])
    if altitude:
        area["coordinates"] = [
            [[[*position, 30] for position in ring] for ring in part] for part in area["coordinates"]
        ]
    tried = 0
    for p, part in enumerate(area["coordinates"]):
        for r, ring in enumerate(part):
            for n, position in enumerate(ring):
                for k in range(len(position)):
                    for value in NO_NUMBERS[: -2 if k == 2 else None]:
                        damaged = copy.deepcopy(area)
                        damaged["coordinates"][p][r][n][k] = value
                        with pytest.raises(BadArea, match=f"position {n + 1}: "):
                            understood(damaged)
                        tried += 1
    assert tried >= 15 * 2 * len(NO_NUMBERS)


def test_the_number_of_corners_is_bounded() -> None:
    """Before anything is made of them: neither one long ring nor many short ones get further."""

    def circle(corners: int) -> list[list[float]]:
        turns = (2 * math.pi * n / corners for n in range(corners))
        ring = [[math.cos(turn), math.sin(turn)] for turn in turns]
        return [*ring, ring[0]]

    assert understood(polygon(circle(CORNERS_MAX - 1))).is_valid
    with pytest.raises(BadArea, match="more than 10000 corners"):
        understood(polygon(circle(CORNERS_MAX)))
    few: Json = parts(*([square(x / 10, y, 0.05)] for x in range(1_000) for y in range(3)))
    with pytest.raises(BadArea, match="more than 10000 corners"):
        understood(few)


def test_what_came_is_shown_short_and_plain() -> None:
    """An error repeats little of what came, and nothing that acts on a terminal."""
    with pytest.raises(BadArea) as told:
        understood(polygon([["\x1b[2J\u202e" * 1000, 0]]))
    assert str(told.value).isascii()
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 200


# -- any area ----------------------------------------------------------------------------------------------------------


@st.composite
def stars(draw: st.DrawFn, west: float, south: float, size: float) -> Json:
    """The rings of a simple polygon within a square: corners around a middle, perhaps with a hole of the same form."""
    corners = draw(st.integers(3, 12))
    reaches = draw(st.lists(st.floats(0.2, 0.49), min_size=corners, max_size=corners))
    turn = draw(st.floats(0, 6))
    middle = west + size / 2, south + size / 2

    def ring(factor: float) -> Json:
        angles = [turn + 2 * math.pi * n / corners for n in range(corners)]
        found = [
            [middle[0] + factor * size * r * math.cos(a), middle[1] + factor * size * r * math.sin(a)]
            for r, a in zip(reaches, angles, strict=True)
        ]
        return [*found, list(found[0])]

    rings = [ring(1)] + ([ring(0.3)] if draw(st.booleans()) else [])
    return [one[::-1] if draw(st.booleans()) else one for one in rings]


@st.composite
def areas(draw: st.DrawFn) -> Json:
    """Any valid area: one part or several, each in a square of its own, anywhere on Earth."""
    size = draw(st.sampled_from([0.001, 0.5, 20.0]))
    south = draw(st.floats(-90, 90 - size))
    if draw(st.booleans()):
        area = polygon(*draw(stars(draw(st.floats(-180, 180 - size)), south, size)))
    else:
        cells = draw(st.lists(st.integers(0, int(360 / size) - 1), min_size=1, max_size=4, unique=True))
        area = parts(*(draw(stars(-180 + cell * size, south, size)) for cell in cells))
    return area


@settings(max_examples=150, deadline=None)
@given(areas(), st.data())
def test_any_valid_area_is_kept_and_serves_what_it_says(area: Json, data: st.DataObject) -> None:
    """What is handed out is what came, and it covers the points that what came covers; its middle lies in its box."""
    kept = handed_out(area)
    assert kept == {"type": area["type"], "coordinates": flat(area["coordinates"])}
    meant = shape(area)
    west, south, east, north = meant.bounds
    for _ in range(5):
        lon, lat = data.draw(st.floats(west, east)), data.draw(st.floats(south, north))
        assert covers(json.dumps(kept), lat, lon) == meant.covers(Point(lon, lat))
    box, middle = bounds(understood(area)), centre(understood(area))
    assert box["south"] <= middle["lat"] <= box["north"]
    assert any(box["west"] <= lon <= box["west"] + width(box) for lon in (middle["lon"], middle["lon"] + 360))


def width(box: dict[str, float]) -> float:
    return box["east"] - box["west"] + (360 if box["west"] > box["east"] else 0)


@settings(max_examples=150, deadline=None)
@given(areas())
def test_the_box_holds_every_part_and_is_the_smallest(area: Json) -> None:
    """Going eastwards from its west, no part begins before it or ends behind it; no box that begins at another part is
    narrower."""
    found = understood(area)
    box = bounds(found)
    spans: list[tuple[float, float]] = [(p.bounds[0], p.bounds[2]) for p in getattr(found, "geoms", [found])]

    def needed(start: float) -> float:
        return max((west - start) % 360 + east - west for west, east in spans)

    assert needed(box["west"]) == pytest.approx(width(box), abs=1e-9)
    assert width(box) <= min(needed(west) for west, _ in spans) + 1e-9


# -- any damage --------------------------------------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-200, 200),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["Polygon", "13.1", 10**30, [13.1, 52.5], [[13.1, 52.5]], [13.1, 52.5, 7], {}, []]),
)


def places(value: Json) -> Iterator[tuple[Json, Json]]:
    """Every place in a JSON value: what holds it, and its key there."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@settings(max_examples=400, deadline=None)
@given(areas(), st.booleans(), JUNK, st.data())
def test_damage_is_refused_or_means_what_it_says(area: Json, wrapped: bool, junk: Json, data: st.DataObject) -> None:
    """Whatever one place is replaced by, or when it is gone or there twice: a clear refusal, or what is handed out is
    word for word what came, sound, and is understood the same when it comes back."""
    area = collection(feature(area)) if wrapped else area
    holder, key = data.draw(st.sampled_from(list(places(area))))
    match data.draw(st.sampled_from(["other", "gone", "twice"])):
        case "other":
            holder[key] = junk
        case "gone":
            del holder[key]
        case _:
            assume(isinstance(holder, list))
            holder.insert(key, copy.deepcopy(holder[key]))
    try:
        kept = handed_out(area)
    except BadArea:
        return
    assert kept == {"type": bare(area)["type"], "coordinates": flat(bare(area)["coordinates"])}
    assert shape(kept).is_valid
    assert handed_out(kept) == kept


# -- from afar ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("area", "box", "middle"),
    [
        (polygon(square(13, 52)), (13, 52, 14, 53), (52.5, 13.5)),
        (parts([square(13, 52)], [square(20, 40)]), (13, 40, 21, 53), (46.5, 17)),
        (parts([square(177, -20, 3)], [square(-180, -19)]), (177, -20, -179, -17), (-18.5, 179)),
        (parts([square(179, 0)], [square(-180, 0, 4)]), (179, 0, -176, 4), (2, -178.5)),
        (parts([square(-180, 0, 90)], [square(90, 0, 90)]), (90, 0, -90, 90), (45, 180)),
        (parts([square(-170, 0)], [square(-10, 0)], [square(160, 0)]), (160, 0, -9, 1), (0.5, -104.5)),
        (
            parts([square(-170, -80, 170)], [square(1, -80, 169)], [square(2, -85)], [square(171, 0, 4)]),
            (-170, -85, 175, 90),
            (2.5, 2.5),
        ),
    ],
)
def test_bounds_go_the_short_way_around(area: Json, box: tuple[float, ...], middle: tuple[float, float]) -> None:
    """Islands on both sides of the antimeridian lie in one small box across it (RFC 7946, 5.2)."""
    found = understood(area)
    assert bounds(found) == dict(zip(("west", "south", "east", "north"), box, strict=True))
    assert centre(found) == {"lat": middle[0], "lon": middle[1]}
