"""Aftersales over HTTP: until when may this order be complained about?"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.aftersales.store import AftersalesStore
from shared.contracts.base import Name
from shared.http.auth import Caller, Role, require
from shared.http.problems import refusal, register
from shared.service import Parts

register({"window_unknown": (404, "This order was not delivered, or does not exist")})

Reader = Annotated[Caller, Depends(require(Role.CUSTOMER, Role.CUSTOMER_SERVICE))]


class WindowPage(BaseModel):
    """The after-sales window of a delivered order (`phase` open or shut)."""

    order_id: str
    phase: str
    shuts_at: datetime


def routes(parts: Parts) -> list[APIRouter]:
    """The aftersales service's routes."""
    router = APIRouter(tags=["windows"])
    store = AftersalesStore()

    @router.get("/orders/{order_id}/window")
    async def read(order_id: Name, caller: Reader) -> WindowPage:
        async with parts.pool.acquire() as connection:
            window = await store.load_window(connection, order_id)
        if window is None or window.shuts_at is None:
            raise refusal("window_unknown")
        caller.must_see(window.account, "window_unknown")
        return WindowPage(order_id=order_id, phase=window.phase, shuts_at=window.shuts_at)

    return [router]
