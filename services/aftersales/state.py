"""What aftersales knows: the window in which a delivered order may still be complained about."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Phase(StrEnum):
    """Where a window stands. `NEW` is an order that was not delivered yet."""

    NEW = "new"
    OPEN = "open"
    SHUT = "shut"


class Window(Struct, frozen=True):
    """The after-sales window of one order; `shuts_at` is its planned end, from the delivery on."""

    order_id: str
    phase: Phase = Phase.NEW
    account: str = ""
    store: str = ""
    shuts_at: datetime | None = None


class WindowPassed(Struct, frozen=True):
    """The timer: the time for complaints is over."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id
