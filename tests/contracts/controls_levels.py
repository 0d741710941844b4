"""Canonical messages of what stores have: the part of `controls` that nothing is decided on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.contracts.base import Message
from shared.contracts.levels import AllotmentLevel, OpenSlot, SlotsLevel, StockLevel

_AT = datetime(2026, 11, 22, 18, 30, 15, 250_000, tzinfo=UTC)
_START = _AT.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)

CONTROLS_LEVELS: tuple[Message, ...] = (
    StockLevel(store="s-mitte", spu="milk-1l", available=12, incoming=40, at=_AT),
    AllotmentLevel(store="s-mitte", spu="milk-1l", promotion="tenth", left=7, at=_AT),
    SlotsLevel(store="s-mitte", slots=(OpenSlot(start=_START, end=_START + timedelta(hours=1), free=3),), at=_AT),
)
