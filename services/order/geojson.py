"""What people send as a store's area, read strictly: a GeoJSON Polygon or MultiPolygon (RFC 7946), WGS 84 degrees.

What is understood is what is kept: closed rings of floats in two dimensions, that mean one area and no other. The
Feature that map editors put around it is taken off; what else GeoJSON may carry (properties, ids, boxes, altitudes) is
read over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

from shapely import LinearRing, MultiPoint, MultiPolygon, Point, Polygon, is_valid_reason
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

CORNERS_MAX = 10_000
"""Most corners of one area."""
WIDTH_MAX = 180
"""Degrees of longitude that one part may span. Beyond, the other way around the Earth would be the shorter one."""
THICKNESS_MIN = 1e-9
"""Degrees, a tenth of a millimetre: a ring that is thinner all along is a line."""
SHOWN_MAX = 60
"""Most characters that an error repeats of what came."""
PLACES_MAX = 4
"""Most rings that an error names."""

_EARTH = re.compile(r"(^|[:/])(OGC:CRS84|CRS84|EPSG(:[^:]*:|:|/0/)4326)$", re.IGNORECASE)
_NEAR = 1e-9


class BadArea(ValueError):
    """Not GeoJSON that can be a store's area; the message says what is wrong, where, and what came."""


class _Ring(NamedTuple):
    part: int
    place: str
    corners: list[tuple[float, float]]


def understood(area: Any) -> Polygon | MultiPolygon:
    """The area that a JSON value means; raises BadArea."""
    kind, coordinates = _geometry(area)
    rings = list(_rings(kind, coordinates))
    for ring in rings:
        _must_be_sound(ring)
    parts: list[list[_Ring]] = [[] for _ in range(rings[-1].part + 1)]
    for ring in rings:
        parts[ring.part].append(ring)
    polygons = [Polygon(outer.corners, [hole.corners for hole in holes]) for outer, *holes in parts]
    whole = polygons[0] if kind == "Polygon" else MultiPolygon(polygons)
    if not whole.is_valid:
        raise BadArea(_fault(is_valid_reason(whole), rings))
    return whole


def geojson(area: BaseGeometry) -> dict[str, Any]:
    """An area as GeoJSON: {type, coordinates}."""
    return dict(mapping(area))


def _geometry(area: Any) -> tuple[str, Any]:
    """The type and the coordinates, out of what stands around them."""
    _must_be_on_earth(area)
    if _type(area) == "FeatureCollection":
        features = area.get("features")
        if not isinstance(features, list) or len(features) != 1:
            came = f"{len(features)} features" if isinstance(features, list) else _shown(features)
            raise BadArea(f"a FeatureCollection must hold one feature, as an area is one geometry; came: {came}")
        area = features[0]
        _must_be_on_earth(area)
        if _type(area) != "Feature":
            raise BadArea(f"a FeatureCollection must hold a Feature; came: {_shown(_type(area))}")
    if _type(area) == "Feature":
        area = area.get("geometry")
        _must_be_on_earth(area)
    kind = _type(area)
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadArea(f"the area must be a GeoJSON Polygon or MultiPolygon, bare or in a Feature; came: {_shown(kind)}")
    return kind, area.get("coordinates")


def _type(value: Any) -> Any:
    """A GeoJSON object's type; of anything else, the value itself."""
    return value.get("type") if isinstance(value, dict) else value


def _must_be_on_earth(value: Any) -> None:
    """Other reference systems are gone from GeoJSON since 2016, but exports that name one mean it."""
    crs = value.get("crs") if isinstance(value, dict) else None
    if crs is None:
        return
    named = crs.get("properties") if isinstance(crs, dict) else None
    name = named.get("name") if isinstance(named, dict) else None
    if not isinstance(name, str) or not _EARTH.search(name):
        came = _shown(crs if name is None else name)
        raise BadArea(f"coordinates must be WGS 84 degrees (crs OGC:CRS84 or EPSG:4326, or none); came crs: {came}")


def _rings(kind: str, coordinates: Any) -> Iterator[_Ring]:
    """All rings, as numbers that mean what they say. Bounded before anything is made of them."""
    corners = dimensions = 0
    for part, rings in enumerate([coordinates] if kind == "Polygon" else _list(coordinates, "coordinates")):
        of = "" if kind == "Polygon" else f"part {part + 1}, "
        for hole, positions in enumerate(_list(rings, f"{of}coordinates")):
            place = of + (f"hole {hole}" if hole else "outer ring")
            corners += len(_list(positions, place))
            if corners > CORNERS_MAX:
                raise BadArea(f"the area has more than {CORNERS_MAX} corners")
            for n, position in enumerate(positions, 1):
                _must_be_position(position, f"{place}, position {n}")
                dimensions = dimensions or len(position)
                if len(position) != dimensions:
                    came = f"{len(position)} numbers where those before have {dimensions}"
                    raise BadArea(f"{place}, position {n}: all positions must have altitudes, or none; came: {came}")
            if len(positions) < 4 or positions[0] != positions[-1]:
                came = f"{len(positions)} positions, from {_shown(positions[0])} to {_shown(positions[-1])}"
                raise BadArea(
                    f"{place}: a ring is 4 or more positions, the last one the same as the first; came: {came}"
                )
            yield _Ring(part, place, [(float(lon), float(lat)) for lon, lat, *_ in positions])


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise BadArea(f"{place}: must be a list with something in it; came: {_shown(value)}")
    return value


def _must_be_position(position: Any, place: str) -> None:
    # `type in`, since True is an int as well. Comparing refuses NaN, and takes an int of any size.
    if (
        not isinstance(position, list)
        or len(position) not in (2, 3)
        or not all(type(number) in (int, float) and abs(number) < float("inf") for number in position)
    ):
        raise BadArea(f"{place}: a position is longitude, latitude and perhaps altitude; came: {_shown(position)}")
    lon, lat = position[:2]
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise BadArea(
            f"{place}: longitude comes first and is within ±180 (an area beyond is cut there), latitude within ±90; "
            f"came: {_shown(position)}"
        )


def _must_be_sound(ring: _Ring) -> None:
    """A ring by itself, before others are looked at: has an inside, and only one."""
    lons = [lon for lon, _ in ring.corners]
    west, east = min(lons), max(lons)
    if east - west > WIDTH_MAX:
        raise BadArea(
            f"{ring.place}: spans more than {WIDTH_MAX} degrees of longitude; cut an area across the antimeridian "
            f"there, into parts of a MultiPolygon (RFC 7946, 3.1.9); came: {east - west:g}, from {west:g} to {east:g}"
        )
    hull = MultiPoint(ring.corners).convex_hull
    if hull.area <= THICKNESS_MIN * hull.length:
        raise BadArea(f"{ring.place}: the corners lie on one line, or on one point; came: {_shown(ring.corners)}")
    if not (alone := Polygon(ring.corners)).is_valid:
        raise BadArea(f"{ring.place}: crosses or touches itself at {_at(_spot(is_valid_reason(alone)))}")


def _fault(reason: str, rings: list[_Ring]) -> str:
    """What is wrong between rings that are each sound, in words. `reason` is of GEOS: `Holes are nested[13.1 52.2]`."""
    spot = _spot(reason)
    touched = [ring for ring in rings if LinearRing(ring.corners).distance(spot) < _NEAR][:PLACES_MAX]
    for one, other in combinations(touched, 2):
        if Polygon(one.corners).equals(Polygon(other.corners)):
            return f"{one.place} and {other.place}: are the same ring; make them one"
    places = " and ".join(ring.place for ring in touched)
    kind = reason.partition("[")[0]
    wrong = {
        "Hole lies outside shell": "a hole must lie inside of its outer ring",
        "Holes are nested": "a hole must not lie inside of another hole",
        "Nested shells": "a part must not lie inside of another part",
        "Interior is disconnected": "holes cut the part into pieces, which must be parts of a MultiPolygon",
    }.get(kind, "overlap or share a border; make them one")
    return f"{places}: {wrong}; came: {_at(spot)}"


def _spot(reason: str) -> Point:
    lon, lat = reason.partition("[")[2].rstrip("]").split()[:2]
    return Point(float(lon), float(lat))


def _at(spot: Point) -> str:
    return f"longitude {spot.x:g}, latitude {spot.y:g}"


def _shown(value: Any) -> str:
    """What came, as JSON (so that no character of it acts on a terminal), cut where it gets long."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."
