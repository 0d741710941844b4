"""Parked messages: nothing is parked unseen.

All are listed. A violation is what our own services could not handle: a message of ours that parked at all, a timer or
an effect's answer that parked, a decider that raised, with what waits behind it, and what the database would not keep.
Bad input from outside (no link: what cannot be read, is of a type nobody knows, comes to the wrong shard, or for an
order that there is not) is parked as it should be, and no violation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from larder.audit.report import Found

OF_OUR_MAKING = frozenset({"decider_raised", "behind", "unwritable"})
"""Codes that are a violation wherever the message came from."""
INSIDE = frozenset({"timers", "effects"})
"""Stand for the topic of what never was on one."""


class Parked(NamedTuple):
    """A message that is parked now; `id` is the one that `larder parked` knows it by. `ours`: one of our services sent
    it."""

    id: str
    subject: str
    topic: str
    type: str
    code: str
    reason: str
    ours: bool


def nothing_of_ours_parked(rows: Iterable[Parked]) -> Iterator[Found]:
    """No message of ours is parked, and none that broke something."""
    for row in rows:
        if row.ours or row.topic in INSIDE or row.code in OF_OUR_MAKING:
            about = f"{row.type or 'a message'} about {row.subject or 'nothing'} ({row.topic})"
            yield (row.id,), f"{about}, {row.code}: {row.reason}"
