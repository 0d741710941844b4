"""Every route of all six services, with nothing behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, cast, get_args

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel

from services.aftersales import api as aftersales
from services.inventory import api as inventory
from services.logistics import api as logistics
from services.order import api as order
from services.payment import api as payment
from services.payment.simulator.front import GatewaySimulator
from services.risk import api as risk
from shared.service import Parts, all_routes
from shared.settings import Settings

SETTINGS = Settings(token_secret="a secret of the tests, long enough for HS256")
BODIES_AT_LEAST = 15
"""Fewer, and the scan has lost sight of some."""
_NOTHING: Any = None


@cache
def routers() -> dict[str, Sequence[APIRouter]]:
    """The routers of each service."""
    parts = Parts(SETTINGS, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _never_behind)
    own: dict[str, Callable[[Parts], Sequence[APIRouter]]] = {
        "order": order.routes,
        "inventory": inventory.routes,
        "risk": risk.routes,
        "payment": partial(payment.routes, gateway=cast(GatewaySimulator, _NOTHING)),
        "logistics": logistics.routes,
        "aftersales": aftersales.routes,
    }
    return {service: all_routes(service, routes, parts) for service, routes in own.items()}


def routes() -> list[tuple[str, APIRoute]]:
    """Service and route."""
    return [
        (service, route)
        for service, some in routers().items()
        for router in some
        for route in router.routes
        if isinstance(route, APIRoute)
    ]


def bodies() -> list[type[BaseModel]]:
    """The models that bodies of requests are read by."""
    found: dict[type[BaseModel], None] = {}
    for _, route in routes():
        for parameter in route.dependant.body_params:
            annotation = parameter.field_info.annotation
            for kind in (annotation, *get_args(annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    found[kind] = None
    assert len(found) >= BODIES_AT_LEAST, found
    return list(found)


async def _never_behind() -> None:
    """Nothing is ever behind here."""
