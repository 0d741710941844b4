"""What a service gives to the runtime: which messages it listens to, what it must see, and how it decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct, field

from shared.contracts.base import Message
from shared.runtime.table import Key, Outcome


class NotLoaded(LookupError):
    """A decider looked at something that was not loaded for this batch."""

    def __init__(self, key: Key) -> None:
        super().__init__(str(key))
        self.key = key


Look = Callable[[Key], Any]
"""The state of a key, None when there is none; raises NotLoaded when nobody asked the store for it."""


class Windows(Struct, frozen=True):
    """How long things wait, in seconds (settings of the same names)."""

    payment_window_s: float = 600
    after_sales_window_s: float = 172_800
    review_window_s: float = 900
    shortage_window_s: float = 600
    return_window_s: float = 86_400
    slot_lead_s: float = 0
    ticket_window_s: float = 14_400
    claim_s: float = 600


class Context(Struct, frozen=True):
    """What surrounds a message: the clock's reading for its batch, who sent it, and the settings that are facts."""

    now: datetime
    actor: str = ""
    windows: Windows = field(default_factory=Windows)
    currency: str = "EUR"
    similar_price_percent: float = 20


class Inner(Protocol):
    """A message that never leaves the service: a timer that fired, or the answer to an effect."""

    @property
    def subject(self) -> str: ...


class Decider(Struct, frozen=True):
    """A service as the runtime sees it. Pure: no clock, no chance, no I/O.

    `needs(message, look)` names the keys that deciding this message takes. It is asked again after each load, so a key
    may depend on a state that had to be loaded first; `look` raises NotLoaded for what is not there yet.
    `decide(message, look, context)` answers with an outcome; it raises NoCell to park the message.
    `timers` makes the message of a timer by its name, from the subject.
    `facts` are the kinds of key that somebody else writes: they are loaded afresh for every batch. Those of them that
    are `master_data` are remembered for as long as the database counts no change of master data.
    `cache_max` bounds how many aggregates a shard keeps in memory; the ones changed longest ago go first.
    """

    service: str
    listens: tuple[type[Message], ...]
    needs: Callable[[Any, Look], Iterable[Key]]
    decide: Callable[[Any, Look, Context], Outcome]
    timers: Mapping[str, Callable[[str], Inner]] = field(default_factory=dict)
    facts: frozenset[str] = frozenset()
    master_data: frozenset[str] = frozenset()
    cache_max: int = 20_000
