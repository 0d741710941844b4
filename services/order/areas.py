"""Store areas: which store serves a delivery point, and what an area looks like from afar."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

from shapely import Point, force_2d, get_parts
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

AREAS_REMEMBERED = 2_048
"""Most parsed areas in memory."""


def kept(text: str) -> BaseGeometry:
    """The area of a stored text. Those of earlier versions hold what came (altitudes, texts), and mean the same."""
    return force_2d(shape(json.loads(text)))


_remembered = lru_cache(maxsize=AREAS_REMEMBERED)(kept)


def covers(area: str, lat: float, lon: float) -> bool:
    """Is the point inside the area (JSON text) or on its border? 180 and -180 are one meridian."""
    lons = (lon, -lon) if abs(lon) == 180 else (lon,)
    return any(_remembered(area).covers(Point(x, lat)) for x in lons)


def serving(candidates: Iterable[tuple[str, bool, str]], lat: float, lon: float) -> str | None:
    """The store that serves a point, of (store, accepting, area): one that takes orders before one that does not, the
    first by name where areas overlap."""
    inside = [(not accepting, store) for store, accepting, area in candidates if covers(area, lat, lon)]
    return min(inside)[1] if inside else None


def bounds(area: BaseGeometry) -> dict[str, float]:
    """The smallest box around an area: {west, south, east, north}. Where it crosses the antimeridian, west is greater
    than east (RFC 7946, 5.2)."""
    spans = sorted((part.bounds[0], part.bounds[2]) for part in get_parts(area))
    west, reach = spans[0]
    # The box leaves out the widest gap between parts; the one behind the last part goes around the Earth.
    gaps = []
    for begin, end in spans[1:]:
        gaps.append((begin - reach, begin, reach))
        reach = max(reach, end)
    _, begin, end = max([(west + 360 - reach, west, reach), *gaps], key=lambda gap: gap[0])
    return {"west": begin, "south": area.bounds[1], "east": end, "north": area.bounds[3]}


def centre(area: BaseGeometry) -> dict[str, float]:
    """The middle of an area's box: {lat, lon}."""
    box = bounds(area)
    west, east = box["west"], box["east"]
    lon = (west + east) / 2 if west <= east else (west + east + 360) / 2
    return {"lat": (box["south"] + box["north"]) / 2, "lon": lon if lon <= 180 else lon - 360}
