"""Screening rules, pure: what they are, which of them speak about an order, and what that comes to.

Theory of operation. The rules are data (`delivered_rules.toml`, then whatever analysts write). A rule asks for one
signal: how often it happened within a window. At its threshold the rule *speaks*: it adds its weight, less what has
faded since the last happening (a window after it, all of it has), and where it names a treatment, the order is treated
so at least. The levels turn the sum of the weights into a treatment, and the strongest treatment is the verdict. The
same function screens an order and decides it again under other rules: it sees nothing but facts that are kept.
"""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, get_args

import msgspec
from msgspec import Struct
from pydantic import TypeAdapter, ValidationError

from services.risk.counting import TAG_BITS, milliseconds
from services.risk.state import STRENGTH, Facts, Spoke, Treatment
from shared.contracts import risk
from shared.contracts.base import Name

UNFAMILIAR = "unfamiliar_order"
"""The one signal of an order itself: its total is so many times the account's usual one, on a device and to an address
that the account never received anything on; 0 where one of them is known, or nothing is usual yet."""
SIGNALS: tuple[str, ...] = (*get_args(risk.Signal), UNFAMILIAR)
USUAL_MIN = 3
"""So many delivered orders, with device and address, tell what is usual."""
WINDOW_MAX_S = 90 * 86_400
WEIGHT_MAX = 1_000
TEXT_MAX_BYTES = 100_000
"""Largest text of rules; a hundred of them take a fifth of it."""
SHOWN_MAX = 64
"""So much of a word that makes no sense is told."""


class Levels(Struct, frozen=True, forbid_unknown_fields=True):
    """From which sum of weights on an order is treated so; None: by no sum."""

    restrict: float | None = None
    refer: float | None = None
    refuse: float | None = None


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule. `treatment` is what it leads to by itself, whatever its weight."""

    signal: str
    threshold: float
    window_s: float
    weight: float = 0
    treatment: Treatment | None = None
    enabled: bool = True


class RuleSet(Struct, frozen=True):
    """All rules of one version."""

    version: int
    rules: Mapping[str, Rule]
    levels: Levels


class Judged(Struct, frozen=True):
    """What the rules say of an order: the rules that spoke, the sum, and the treatment (None: clear)."""

    spoke: tuple[Spoke, ...] = ()
    score: float = 0.0
    treatment: Treatment | None = None


def judge(rules: RuleSet, facts: Facts, now: datetime) -> Judged:
    """Holds facts against rules."""
    if not facts.counts and not facts.earlier:
        return CLEAR
    now_ms = milliseconds(now)
    spoke: list[Spoke] = []
    score, strongest = 0.0, -1
    for name, rule in rules.rules.items():
        if not rule.enabled:
            continue
        since_ms = now_ms - int(rule.window_s * 1000)
        if rule.signal == UNFAMILIAR:
            value, fade = _unfamiliar(facts, since_ms), 1.0
        else:
            known = facts.counts.get(rule.signal)
            if not known:
                continue
            value = len(known) - bisect_left(known, since_ms << TAG_BITS)
            age_ms = now_ms - (known[-1] >> TAG_BITS)
            fade = min(1.0, max(0.0, 1 - age_ms / 1000 / rule.window_s))
        if value < rule.threshold:
            continue
        points = rule.weight * fade
        score += points
        spoke.append(Spoke(name, round(value, 2), rule.threshold, round(points, 2)))
        if rule.treatment is not None:
            strongest = max(strongest, STRENGTH[rule.treatment])
    for treatment, level in zip(
        Treatment, (rules.levels.restrict, rules.levels.refer, rules.levels.refuse), strict=True
    ):
        if level is not None and score >= level:
            strongest = max(strongest, STRENGTH[treatment])
    return Judged(tuple(spoke), round(score, 2), tuple(Treatment)[strongest] if strongest >= 0 else None)


def _unfamiliar(facts: Facts, since_ms: int) -> float:
    if facts.device is None or facts.address is None:
        return 0.0
    received = [order for order in facts.earlier if order.delivered and order.at >= since_ms]
    if any(order.device == facts.device or order.address == facts.address for order in received):
        return 0.0
    usual = [order.total for order in received if order.device is not None and order.address is not None]
    return facts.total / max(1, median(usual)) if len(usual) >= USUAL_MIN else 0.0


CLEAR = Judged()


# Reading. -------------------------------------------------------------------------------------------------------------

_NAMES: TypeAdapter[str] = TypeAdapter(Name)


class BadRules(ValueError):
    """Rules that make no sense; `code` is stable."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


def check_rule(name: str, rule: Rule) -> Rule:
    """The rule, if it makes sense; raises BadRules."""
    try:
        _NAMES.validate_python(name)  # it is told with a verdict, and what cannot be told would park the order
    except ValidationError:
        raise BadRules("name_malformed", f"{name[:SHOWN_MAX]!r} is no name: letters, digits and ._:@+-") from None
    if rule.signal not in SIGNALS:
        raise BadRules(
            "signal_unknown", f"{name}: there is no signal {rule.signal[:SHOWN_MAX]!r}; there are {', '.join(SIGNALS)}"
        )
    if not math.isfinite(rule.threshold) or rule.threshold <= 0:
        raise BadRules("threshold_out_of_range", f"{name}: the threshold must be more than 0")
    if rule.signal != UNFAMILIAR and rule.threshold > risk.HAPPENINGS_MAX:
        raise BadRules("threshold_out_of_range", f"{name}: {rule.signal} are counted up to {risk.HAPPENINGS_MAX}")
    if not math.isfinite(rule.window_s) or not 0 < rule.window_s <= WINDOW_MAX_S:
        raise BadRules("window_out_of_range", f"{name}: the window must be more than 0 s and at most {WINDOW_MAX_S} s")
    if not math.isfinite(rule.weight) or abs(rule.weight) > WEIGHT_MAX:
        raise BadRules("weight_out_of_range", f"{name}: the weight must be from -{WEIGHT_MAX} to {WEIGHT_MAX}")
    if rule.treatment is None and not rule.weight:
        raise BadRules("treatment_missing", f"{name}: a rule needs a weight or a treatment, or nothing follows of it")
    return rule


def check_levels(levels: Levels) -> Levels:
    """The levels, if they make sense; raises BadRules."""
    named = [level for level in (levels.restrict, levels.refer, levels.refuse) if level is not None]
    if any(not math.isfinite(level) or level <= 0 for level in named):
        raise BadRules("levels_out_of_order", "a level must be more than 0: below it an order is clear")
    if any(lower >= higher for lower, higher in pairwise(named)):
        raise BadRules("levels_out_of_order", "levels must rise: restrict, refer, refuse")
    return levels


def rules_of(raw: Any, version: int) -> RuleSet:
    """Rules as they are written: {rules: {name: {...}}, levels: {...}}; raises BadRules."""
    try:
        written = msgspec.convert(raw, _Written)
    except msgspec.ValidationError as wrong:
        raise BadRules("rules_malformed", str(wrong)) from None
    if len(written.rules) > risk.RULES_MAX:
        raise BadRules("too_many_rules", f"there are at most {risk.RULES_MAX} rules")
    return RuleSet(
        version,
        {name: check_rule(name, rule) for name, rule in sorted(written.rules.items())},
        check_levels(written.levels),
    )


class _Written(Struct, forbid_unknown_fields=True):
    rules: dict[str, Rule]
    levels: Levels


def read_rules(text: bytes) -> RuleSet:
    """Rules of a TOML text, as version 0; raises BadRules."""
    if len(text) > TEXT_MAX_BYTES:
        raise BadRules("rules_too_large", f"a text of rules has at most {TEXT_MAX_BYTES:,} bytes")
    try:
        raw = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as wrong:  # the last: brackets in brackets
        raise BadRules("rules_malformed", str(wrong)) from None
    return rules_of(raw, 0)


DELIVERED = read_rules(Path(__file__).with_name("delivered_rules.toml").read_bytes())
"""What larder comes with: version 0."""
