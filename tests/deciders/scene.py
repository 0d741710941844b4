"""A decider on a small stage: what is given, what comes, what is said. No runtime, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.runtime.decider import Context, Decider, NotLoaded, Windows
from shared.runtime.table import Key, Moved, Outcome

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When a scene begins."""


class Scene:
    """Plays messages to a decider, one after the other, and keeps its states.

    Only what the decider said that it needs is there to look at, as in a shard.
    """

    def __init__(
        self, decider: Decider, given: Mapping[Key, Any] | None = None, windows: Windows | None = None
    ) -> None:
        self.decider = decider
        self.states: dict[Key, Any] = dict(given or {})
        self.now = NOON
        self.windows = windows or Windows()

    def later(self, seconds: float) -> datetime:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def when(self, message: Any, actor: str = "") -> Outcome:
        """A message comes; answers with what the decider made of it."""
        loaded: dict[Key, Any] = {}

        def look(key: Key) -> Any:
            if key not in loaded:
                raise NotLoaded(key)
            return loaded[key]

        while True:
            try:
                needed = {key: self.states.get(key) for key in self.decider.needs(message, look)}
            except NotLoaded as absent:
                loaded[absent.key] = self.states.get(absent.key)
                continue
            break
        loaded |= needed
        outcome = self.decider.decide(message, look, Context(self.now, actor, self.windows))
        if isinstance(outcome, Moved):
            self.states.update(outcome.states)
        return outcome

    def says(self, message: Any, actor: str = "") -> list[object]:
        """The same, for a message that moves something: what is said."""
        outcome = self.when(message, actor)
        assert isinstance(outcome, Moved), outcome
        return list(outcome.said)
