"""Store areas: which store serves a delivery point. GeoJSON polygons (RFC 7946), WGS 84 degrees."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from shapely import Point
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

AREAS_REMEMBERED = 2_048
"""Most parsed areas in memory."""
CORNERS_MAX = 10_000
"""Most corners of one area."""


class BadArea(ValueError):
    """Not a polygon that can be a store's area; the message says why."""


def parse(area: Any) -> BaseGeometry:
    """A GeoJSON Polygon as a shape; raises BadArea."""
    if not isinstance(area, dict) or area.get("type") != "Polygon":
        raise BadArea("the area must be a GeoJSON Polygon")
    try:
        if sum(len(ring) for ring in area["coordinates"]) > CORNERS_MAX:
            raise BadArea(f"the area has more than {CORNERS_MAX} corners")
        polygon = shape(area)
    except BadArea:
        raise
    except Exception as wrong:  # shapely raises many kinds for nonsense coordinates
        raise BadArea(f"the area's coordinates make no polygon: {wrong}") from None
    if polygon.is_empty or not polygon.is_valid:
        raise BadArea("the area must be a closed ring that does not cross itself")
    west, south, east, north = polygon.bounds
    if not (-180 <= west and east <= 180 and -90 <= south and north <= 90):
        raise BadArea("longitude must be within ±180, latitude within ±90 (GeoJSON puts longitude first)")
    return polygon


@lru_cache(maxsize=AREAS_REMEMBERED)
def _area(text: str) -> BaseGeometry:
    return shape(json.loads(text))


def covers(area: str, lat: float, lon: float) -> bool:
    """Is the point inside the area (JSON text) or on its border?"""
    return bool(_area(area).covers(Point(lon, lat)))


def serving(candidates: Iterable[tuple[str, bool, str]], lat: float, lon: float) -> str | None:
    """The store that serves a point, of (store, accepting, area): one that takes orders before one that does not, the
    first by name where areas overlap."""
    inside = [(not accepting, store) for store, accepting, area in candidates if covers(area, lat, lon)]
    return min(inside)[1] if inside else None
