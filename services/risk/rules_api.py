"""The rules over HTTP: read them, write them, put them back, try them; and what they came to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.risk.rulebook import (
    MEANINGS,
    LevelsNow,
    Rulebook,
    RulesPage,
    RuleUnknown,
    ScreeningRule,
    SignalPage,
    VersionPage,
    VersionUnknown,
    rule_page,
)
from services.risk.rules import BadRules, Levels, Rule, RuleSet, rules_of
from services.risk.screenings import ScreeningPage, Screenings, StandingPage
from services.risk.state import Treatment
from services.risk.trial import Place, Trial, TrialPage, go_on
from shared.contracts import risk
from shared.contracts.base import NUMBER_MAX, Account, Filled, Moment, Name, Number, Text
from shared.http.any_text import ANY_TEXT
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import invalid, refusal, register, try_again
from shared.service import Parts

register(
    {
        "rule_unknown": (404, "No rule of this name"),
        "screening_unknown": (404, "No screening of this order"),
        "trial_too_long": (422, "A trial spans too much time"),
        "version_unknown": (404, "No such version of the rules"),
        "signal_unknown": (422, "No such signal: GET /signals tells what there is"),
        "threshold_out_of_range": (422, "The rule's threshold is out of its range"),
        "window_out_of_range": (422, "The rule's window is out of its range"),
        "weight_out_of_range": (422, "The rule's weight is out of its range"),
        "treatment_missing": (422, "Nothing would follow of the rule"),
        "levels_out_of_order": (422, "The levels must rise, and be more than 0"),
        "too_many_rules": (422, "There are too many rules"),
        "rules_malformed": (422, "These are no rules"),
    }
)

Analyst = Annotated[Caller, Depends(require(Role.RISK_ANALYST))]
VersionNumber = Annotated[int, Path(ge=0, le=NUMBER_MAX)]
TRIAL_DAYS_MAX = 31
TRIAL_MAX, TRIAL_DEFAULT = 100_000, 10_000
"""Most screenings that one request decides again, and how many unless it says otherwise."""
TRIAL_S = 5.0
"""After so long a request answers with what it has."""
Figure = Annotated[float, Field(strict=True, ge=-1e9, le=1e9)]
"""A number at all; what it may be in a rule is said by `services.risk.rules`."""


class Reasoned(Body):
    """A change, and why. What GET says of the last change may come back with it."""

    reason: Text = ""
    version: Number | None = None
    changed_at: Moment | None = None
    changed_by: Text | None = None


class RuleShape(Body):
    """What a rule is, but for its name."""

    signal: Filled
    threshold: Figure
    window_s: Figure
    weight: Figure = 0
    treatment: Annotated[Treatment | None, Field(strict=False)] = None
    enabled: bool = True

    @property
    def rule(self) -> Rule:
        """The rule that was written."""
        return Rule(self.signal, self.threshold, self.window_s, self.weight, self.treatment, self.enabled)


class RuleIn(RuleShape, Reasoned):
    """A rule and why; what GET gives will do, at its own address."""

    name: Name | None = None


class NamedRule(RuleShape):
    """A rule as the list of them has it."""

    name: Name


class LevelsShape(Body):
    """All levels; null: by no sum."""

    restrict: Figure | None
    refer: Figure | None
    refuse: Figure | None

    @property
    def levels(self) -> Levels:
        """The levels that were written."""
        return Levels(self.restrict, self.refer, self.refuse)


class LevelsIn(LevelsShape, Reasoned):
    """All levels, and why."""


class TrialIn(Body):
    """Which screenings are decided again: from `since` on (behind the order `after` of that moment), before `until`
    (left out: now), at most `limit`; and by which rules and levels (left out: those of today)."""

    since: Moment
    after: Name | None = None
    until: Moment | None = None
    rules: Annotated[list[NamedRule], Field(max_length=10 * risk.RULES_MAX)] | None = None
    levels: LevelsShape | None = None
    limit: Annotated[int, Field(ge=1, le=TRIAL_MAX)] = TRIAL_DEFAULT

    def rule_set(self, today: RuleSet) -> RuleSet:
        """The rules to try; raises BadRules."""
        rules = today.rules if self.rules is None else {one.name: one.rule for one in self.rules}
        if self.rules is not None and len(rules) < len(self.rules):
            raise BadRules("rules_malformed", "two rules have the same name")
        levels = today.levels if self.levels is None else self.levels.levels
        return rules_of(msgspec.to_builtins({"rules": rules, "levels": levels}), today.version)


class NextTrial(BaseModel):
    """Where a trial goes on."""

    since: datetime
    after: str


class TriedSoFar(TrialPage):
    """What one request of a trial came to, from `since` until before `until`. Unless it is `complete`, the next request
    goes on with `since` and `after` of `next` and the same `until`; the counts of all add up."""

    since: datetime
    until: datetime
    complete: bool
    next: NextTrial | None


class RestoreIn(Body):
    """Why."""

    reason: Text = ""


@contextmanager
def refusing() -> Iterator[None]:
    """Turns what is wrong with rules into the problem that it is."""
    try:
        yield
    except BadRules as wrong:
        raise refusal(wrong.code, str(wrong)) from None
    except RuleUnknown as unknown:
        raise refusal("rule_unknown", f"there is no rule {unknown}") from None
    except VersionUnknown as unknown:
        raise refusal("version_unknown", f"there is no version {unknown}") from None


def rules_routes(parts: Parts) -> list[APIRouter]:
    """Rules, levels, and their history; screenings and accounts."""
    book = Rulebook(parts.pool)
    return [_rules(book), _trials(parts, book), _screenings(Screenings(parts.pool))]


def _rules(book: Rulebook) -> APIRouter:
    router = APIRouter(tags=["rules"])

    @router.get("/signals")
    async def signals(caller: Analyst) -> Page[SignalPage]:
        return Page(items=[SignalPage(name=name, meaning=meaning) for name, meaning in MEANINGS.items()])

    @router.get("/rules")
    async def rules(caller: Analyst) -> RulesPage:
        return (await book.newest()).now

    @router.get("/rules/history")
    async def history(caller: Analyst, paging: Paged) -> Page[VersionPage]:
        (before,) = paging.after(int)
        versions = await book.history(before, paging.fetch)
        return paging.page(versions, last=lambda v: (v.rules.version,), item=lambda v: v.page)

    @router.post("/rules/history/{version}/restore")
    async def restore(version: VersionNumber, body: RestoreIn, caller: Analyst) -> RulesPage:
        with refusing():
            return (await book.restore(version, body.reason, caller.actor)).now

    @router.put("/rules/{name}")
    async def put_rule(name: Name, body: RuleIn, caller: Analyst) -> ScreeningRule:
        if body.name not in (None, name):
            raise invalid("body", "name", f"the body is of {body.name}, the address of {name}")
        with refusing():
            written = await book.put(name, body.rule, body.reason, caller.actor)
        return rule_page(name, written.rules.rules[name])

    @router.delete("/rules/{name}", status_code=204)
    async def delete_rule(name: Name, caller: Analyst, reason: Annotated[Filled | None, Query()] = None) -> None:
        with refusing():
            await book.delete(name, reason or "", caller.actor)

    @router.get("/levels")
    async def levels(caller: Analyst) -> LevelsNow:
        return (await book.newest()).levels_now

    @router.put("/levels")
    async def put_levels(body: LevelsIn, caller: Analyst) -> LevelsNow:
        with refusing():
            return (await book.set_levels(body.levels, body.reason, caller.actor)).levels_now

    return router


def _trials(parts: Parts, book: Rulebook) -> APIRouter:
    router = APIRouter(tags=["rules"])
    one_at_a_time = asyncio.Lock()

    @router.post("/rules/trial")
    async def try_rules(body: TrialIn, caller: Analyst) -> TriedSoFar:
        """Decides past screenings again under other rules, and changes nothing. One request answers within seconds with
        what it came to, and where the next one goes on."""
        until = body.until or datetime.now(UTC)
        if until <= body.since:
            raise invalid("body", "until", "must be later than since")
        if until - body.since > timedelta(days=TRIAL_DAYS_MAX):
            raise refusal(
                "trial_too_long", f"at most {TRIAL_DAYS_MAX} days; `larder risk replay` takes as much as you like"
            )
        with refusing():
            trial = Trial(body.rule_set((await book.newest()).rules))
        if one_at_a_time.locked():
            raise try_again("overloaded", "another trial is under way")
        async with one_at_a_time:
            place = Place(body.since, body.after or "")
            stopped = await go_on(parts.pool, trial, place, until, most=body.limit, seconds=TRIAL_S)
        return TriedSoFar(
            **dict(trial.page),
            since=body.since,
            until=until,
            complete=stopped is None,
            next=stopped and NextTrial(**stopped._asdict()),
        )

    return router


def _screenings(screenings: Screenings) -> APIRouter:
    router = APIRouter(tags=["screenings"])

    @router.get("/screenings/{order_id}")
    async def screening(order_id: Name, caller: Analyst) -> ScreeningPage:
        found = await screenings.screening(order_id)
        if found is None:
            raise refusal("screening_unknown")
        return found

    @router.get(f"/accounts/{{account:{ANY_TEXT}}}")
    async def standing(account: Account, caller: Analyst) -> StandingPage:
        return await screenings.standing(account)

    return router
