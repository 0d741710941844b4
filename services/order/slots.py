"""Until when an order's slot can be kept: looked at when the order is placed, and again whenever it matters."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.contracts.base import Slot
from shared.runtime.decider import Context

SLOT_MISSED = "slot_missed"
"""The timer of an order in review that has a slot."""
SLOT_OVER = "slot_over"
"""Why an order ended whose slot could not be kept."""


def latest_for(slot: Slot, c: Context) -> datetime:
    """The instant from which on an order that is not paid cannot be in the slot: the lead time before its start."""
    return slot.start - timedelta(seconds=c.windows.slot_lead_s)


def too_late_for(slot: Slot | None, c: Context) -> bool:
    """Whether there is a slot and it cannot be kept any more."""
    return slot is not None and latest_for(slot, c) <= c.now
