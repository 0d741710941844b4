"""Bugs planted where risk learns and where it decides: the rule that is there for each finds it within a few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from larder.simulation.simulate import Outcome, simulate
from services.risk import decider as risk
from services.risk import inner
from services.risk.rules import Judged, RuleSet, judge
from services.risk.state import Phase, Treatment
from shared.runtime.table import to
from tests.simulation.test_planted_bugs import SEEDS_MAX

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: list[Any] = []


def found_by(rule: str) -> Callable[[Plant], Plant]:
    """Registers a bug, with the rule that must name it."""

    def register(plant: Plant) -> Plant:
        PLANTS.append(pytest.param(plant, rule, id=plant.__name__))
        return plant

    return register


@found_by("ending_is_known")
def endings_not_noted(patch: pytest.MonkeyPatch) -> None:
    """Risk hears what became of an order, and keeps nothing of it."""
    patch.setattr(risk, "ENDINGS", frozenset({"delivered"}))


@found_by("verdict_has_cause")
def weakest_treatment_wins(patch: pytest.MonkeyPatch) -> None:
    """Whatever the rules lead to, the order is only restricted."""
    _judged(patch, lambda judged: judged.treatment and replace(judged, treatment=Treatment.RESTRICT))


@found_by("verdict_has_cause")
def nobody_spoke(patch: pytest.MonkeyPatch) -> None:
    """Which rules spoke is not kept with the verdict."""
    _judged(patch, lambda judged: judged.spoke and replace(judged, spoke=()))


@found_by("verdict_has_cause")
def disabled_rules_speak(patch: pytest.MonkeyPatch) -> None:
    """A rule that is switched off goes on speaking."""

    def careless(rules: RuleSet, facts: Any, now: Any) -> Judged:
        all_on = {name: replace(rule, enabled=True) for name, rule in rules.rules.items()}
        return judge(replace(rules, rules=all_on), facts, now)

    patch.setattr(risk, "judge", careless)


def _judged(patch: pytest.MonkeyPatch, wrong: Callable[[Judged], Any]) -> None:
    def careless(*about: Any) -> Judged:
        judged = judge(*about)
        return wrong(judged) or judged

    patch.setattr(risk, "judge", careless)


@found_by("screening_is_verdict")
def refused_by_a_person_and_cleared(patch: pytest.MonkeyPatch) -> None:
    """A person says no, and the screening stands as if it had been yes."""
    cell = to(Phase.CLEARED, risk.refuse_reviewed)
    patch.setitem(risk.SCREENING.rows[Phase.IN_REVIEW], inner.ReviewRefused, cell)


@found_by("claim_ends_with_review")
def claim_outlives_its_review(patch: pytest.MonkeyPatch) -> None:
    """A review is decided, and still somebody's."""
    decided = risk._decided

    def forgetful(state: Any, *more: Any) -> Any:
        changes, said = decided(state, *more)
        before = state.review
        claim = {"claimed_by": before.claimed_by, "claimed_until": before.claimed_until}
        return {**changes, "review": replace(changes["review"], **claim)}, said

    patch.setattr(risk, "_decided", forgetful)


@found_by("review_claims_are_kept")
def claims_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    """A review is decided while somebody else has it."""
    read = risk._read_work

    def careless(m: Any, state: Any, context: Any) -> Any:
        review = state.review and replace(state.review, claimed_by=context.actor)
        return read(m, replace(state, review=review), context)

    patch.setattr(risk, "_read_work", careless)


@found_by("blocks_are_entered")
def blocks_lost(patch: pytest.MonkeyPatch) -> None:
    """A review blocks an account, and the blocklist knows nothing of it."""
    patch.setattr(risk, "_entries", lambda *about: ())


@found_by("orders_are_seen_once")
def orders_seen_twice(patch: pytest.MonkeyPatch) -> None:
    """Each order is told twice."""
    sightings = risk._sightings
    patch.setattr(risk, "_sightings", lambda *about: [*sightings(*about)] * 2)


@found_by("conducts_are_counted")
def late_conduct_believed(patch: pytest.MonkeyPatch) -> None:
    """What is told last is taken for the newest."""
    take = risk._take_signals

    def credulous(m: Any, look: Any, context: Any) -> Any:
        return take(m, lambda key: None if key[0] == "conduct" else look(key), context)

    patch.setattr(risk, "_take_signals", credulous)


@found_by("poison_parks_once")
def futures_believed(patch: pytest.MonkeyPatch) -> None:
    """A conduct from next month is kept, and nothing true is newer."""
    patch.setattr(risk, "AHEAD_MAX_S", 10_000_000)


class _Found(Exception):
    """The rule has spoken."""


@pytest.mark.parametrize(("plant", "rule"), PLANTS)
def test_planted_bug_is_found_by_its_rule(plant: Plant, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this bug in it, larder breaks this rule within a bounded number of seeds."""

    def look(outcome: Outcome) -> None:
        if rule in {violation.rule for violation in outcome.violations}:
            raise _Found(outcome.seed)

    plant(monkeypatch)
    with pytest.raises(_Found):
        simulate(range(1, SEEDS_MAX + 1), look)
