"""What a decider may say besides messages: timers, effects, and records to be kept.

All of it is data. The runtime writes it in the transaction of the decision; nothing here does anything by itself.
Values like these, and the states of aggregates, hold no way back to themselves: `gc=False` keeps the garbage collector
from walking through thousands of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct


class SetTimer(Struct, frozen=True, gc=False):
    """Fire `name` for `subject` at `due_at`. One timer of a name per subject: setting it again moves it."""

    subject: str
    name: str
    due_at: datetime


class CancelTimer(Struct, frozen=True, gc=False):
    """The timer is not needed any more. Cancelling one that is not set is no error."""

    subject: str
    name: str


class Effect(Struct, frozen=True):
    """A call to the outside world. `id` is unique and doubles as the idempotency key of the call.

    The runner calls out after the commit and puts the answer back as a message; the row is closed only by the
    transaction that decides this answer.
    """

    id: str
    kind: str
    arguments: Mapping[str, Any]


class Record(Struct, frozen=True, gc=False):
    """Something to be kept as it is and never changed: a document, a movement, a timeline entry.

    Each service defines its own; its `store.py` says to which table they go.
    """
