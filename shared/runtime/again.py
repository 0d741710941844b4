"""Effects that are asked again: what operators want of parked messages, and what has to wait for an answer. Sans-I/O.

Theory of operation. The answer to an effect is parked, and later messages of its subject behind it. A replay cannot
decide the answer that is parked, so it has the effect asked anew, and until the new answer is decided nothing behind it
is. Its request stays until then: whoever owns the shard after a crash finds it, and asks again. When the new answer
fails as well, all of it stays parked, and nothing of it is asked for any more.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from shared.runtime.commit import Commit
from shared.runtime.shard import EffectAnswered, Work


class Request(NamedTuple):
    """What an operator wants of a parked message: `replay`, `drop`, or nothing more, since it is settled. `effect` is
    the effect whose answer it is; empty for a message."""

    id: int
    subject: str
    action: str
    effect: str


class Plan(NamedTuple):
    """What can be done now, by the numbers of parked messages."""

    messages: list[int]
    """To be decided again."""
    settled: list[int]
    """Asked for no longer once these are decided."""
    dropped: list[int]
    over: list[int]
    """Answers to effects that are not open any more."""


class AskedAgain:
    """The effects of one shard that its owner has asked again."""

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}
        """Without an answer that is decided; with the number of what is parked."""
        self._failed: set[int] = set()
        """Parked ones whose new answer failed as well."""

    def answered(self, answered: EffectAnswered) -> EffectAnswered:
        """The answer, as one to what was asked again if it is."""
        return replace(answered, parked_id=self._asked.get(answered.effect_id))

    def wanted(self, requests: Iterable[Request]) -> dict[str, int]:
        """The effects to be asked now, with the numbers of what is parked; say `asked` of those that are open."""
        return {
            r.effect: r.id
            for r in requests
            if r.effect and r.action == "replay" and r.effect not in self._asked and r.id not in self._failed
        }

    def asked(self, effect: str, parked_id: int) -> None:
        """The effect is open, and was asked."""
        self._asked[effect] = parked_id

    def plan(self, requests: Sequence[Request]) -> Plan:
        """What can be done of these, in the order of their numbers."""
        later = _behind(requests, {*self._asked.values(), *self._failed}) - self._failed
        given_up = _behind(requests, self._failed) - self._failed
        now = [r for r in requests if r.id not in later]
        replays = [r for r in now if r.action == "replay"]
        return Plan(
            [r.id for r in replays if not r.effect],
            [*(r.id for r in now), *given_up],
            [r.id for r in now if r.action == "drop"],
            [r.id for r in replays if r.effect and r.id not in self._failed],
        )

    def settled(self, plan: Plan) -> None:
        """It is carried out."""
        self._failed.difference_update(plan.settled)
        self._asked = {effect: number for effect, number in self._asked.items() if number not in plan.dropped}

    def committed(self, works: Iterable[Work], commit: Commit) -> None:
        """These works are decided."""
        for work in works:
            if isinstance(work.item, EffectAnswered) and work.item.parked_id is not None:
                self._asked.pop(work.item.effect_id, None)
                if work.item.parked_id not in commit.replayed:
                    self._failed.add(work.item.parked_id)


def _behind(requests: Iterable[Request], awaited: Container[int]) -> set[int]:
    """Those that are awaited, and replays of what is parked behind them."""
    subjects: set[str] = set()
    found: set[int] = set()
    for number, subject, action, _ in requests:
        if number in awaited:
            subjects.add(subject)
        if action == "replay" and subject in subjects:
            found.add(number)
    return found
