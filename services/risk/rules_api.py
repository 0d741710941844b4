"""The rules over HTTP: read them, write them, look at what was changed and put it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from services.risk.rulebook import (
    MEANINGS,
    LevelsNow,
    Rulebook,
    RulePage,
    RulesPage,
    RuleUnknown,
    SignalPage,
    VersionPage,
    VersionUnknown,
    rule_page,
)
from services.risk.rules import BadRules, Levels, Rule
from services.risk.state import Treatment
from shared.contracts.base import NUMBER_MAX, Filled, Moment, Name, Number, Text
from shared.http.auth import Caller, Role, require
from shared.http.body import Body
from shared.http.paging import Page, Paged
from shared.http.problems import invalid, refusal, register
from shared.service import Parts

register(
    {
        "rule_unknown": (404, "No rule of this name"),
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
Figure = Annotated[float, Field(strict=True, ge=-1e9, le=1e9)]
"""A number at all; what it may be in a rule is said by `services.risk.rules`."""


class Reasoned(Body):
    """A change, and why. What GET says of the last change may come back with it."""

    reason: Text = ""
    version: Number | None = None
    changed_at: Moment | None = None
    changed_by: Text | None = None


class RuleIn(Reasoned):
    """A rule, without its name; what GET gives will do, at its own address."""

    name: Name | None = None
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


class LevelsIn(Reasoned):
    """All levels; null: by no sum."""

    restrict: Figure | None
    refer: Figure | None
    refuse: Figure | None

    @property
    def levels(self) -> Levels:
        """The levels that were written."""
        return Levels(self.restrict, self.refer, self.refuse)


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
    """Rules, levels, and their history."""
    return [_rules(Rulebook(parts.pool))]


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
    async def put_rule(name: Name, body: RuleIn, caller: Analyst) -> RulePage:
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
