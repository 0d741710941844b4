"""Levels: what stores have, told over compacted topics by the services that keep it. Whoever follows them knows the
newest of each, without asking anybody.

No decision rests on a level: it is some seconds old, and what an order gets is decided by the service that keeps it. So
levels have neither links nor answers. One that is over is told as a tombstone: a record of its key, without a value.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.contracts.base import OFFSET_MAX, Message, Moment, Name, Slot
from shared.contracts.topics import levels_of

SLOTS_TOLD_MAX = 100
"""Most slots of one store in its level: those that begin first and have places left."""
Count = Annotated[int, Field(ge=0, le=OFFSET_MAX, strict=True)]
"""Pieces, or places."""


class StockLevel(Message):
    """Pieces of an SPU in a store that an order could get `at` that instant: `available` on the shelf, and `incoming`
    ones that may be promised although they are still to come."""

    TOPIC = levels_of("inventory")
    KEY = SUBJECT = "store|spu"
    store: Name
    spu: Name
    available: Count
    incoming: Count
    at: Moment


class AllotmentLevel(Message):
    """Pieces of an SPU in a store that are `left` to a flash sale `at` that instant. With none left it is over."""

    TOPIC = levels_of("inventory")
    KEY = SUBJECT = "store|spu|promotion"
    store: Name
    spu: Name
    promotion: Name
    left: Annotated[Count, Field(ge=1)]
    at: Moment


class OpenSlot(Slot):
    """A slot with this many places left."""

    free: Annotated[Count, Field(ge=1)]


class SlotsLevel(Message):
    """The next slots of a store that are free `at` that instant, by start. With none it is over."""

    TOPIC = levels_of("logistics")
    KEY = SUBJECT = "store"
    store: Name
    slots: Annotated[tuple[OpenSlot, ...], Field(min_length=1, max_length=SLOTS_TOLD_MAX)]
    at: Moment


LEVELS: tuple[type[Message], ...] = (StockLevel, AllotmentLevel, SlotsLevel)
"""All of them. A record's key says which it is of its topic."""
