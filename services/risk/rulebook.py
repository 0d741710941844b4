"""The rules as analysts read and write them: every change is a whole new version, and none is ever taken away.

Theory of operation. A row of `rule_sets` holds all rules and levels. Whoever changes something locks the table against
other writers (readers go on), reads the newest version, and writes the next: of two who change something at once, the
second builds on what the first wrote. What is delivered with larder is version 0, which has no row. The worker looks
afresh before its next batch (a trigger of the table counts the changes), so a change that was answered counts for the
next order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct
from pydantic import BaseModel

from services.risk.rules import DELIVERED, UNFAMILIAR, Levels, Rule, RuleSet, rules_of
from services.risk.state import Treatment
from services.risk.store import write_json

DELIVERED_BY = "larder"
"""Who wrote version 0."""
MEANINGS: Mapping[str, str] = {
    "orders": "Orders that the account made.",
    "deliveries": "Orders that were delivered to the account.",
    "cancels": "Orders that the account cancelled before it paid.",
    "cancels_after_payment": "Orders that the account cancelled after it had paid.",
    "expiries": "Orders that the account let run out without paying.",
    "unreachables": "Orders for which nobody was at the door.",
    "declines": "Payments of the account that its bank declined.",
    "low_ratings": "Deliveries that the account rated low.",
    "device_orders": "Orders from the order's device, whoever made them.",
    "device_accounts": "Accounts that ordered from the order's device.",
    "address_orders": "Orders to the order's address, whoever made them.",
    "address_accounts": "Accounts that ordered to the order's address.",
    UNFAMILIAR: "How many times its usual amount the account spends, on a device and to an address that it never "
    "received anything on; 0 where one of them is known, or nothing is usual yet.",
}
"""What each signal counts, in a sentence."""

_COLUMNS = "version, rules, change, name, reason, changed_at, changed_by"
_NEWEST = f"select {_COLUMNS} from rule_sets order by version desc limit 1"
_VERSION = f"select {_COLUMNS} from rule_sets where version = $1"
_HISTORY = f"""
select {_COLUMNS} from rule_sets where $1::bigint is null or version < $1 order by version desc limit $2
"""
_LOCK = "lock table rule_sets in share row exclusive mode"
_WRITE = f"""
insert into rule_sets (version, rules, change, name, reason, changed_by) values ($1, $2, $3, $4, $5, $6)
returning {_COLUMNS}
"""


class SignalPage(BaseModel):
    """A signal that a rule can ask for, and what it counts."""

    name: str
    meaning: str


class ScreeningRule(BaseModel):
    """A rule: from `threshold` happenings of its signal within `window_s` (seconds) on, it adds its weight to the sum
    on which the levels decide; `treatment` is what it leads to by itself."""

    name: str
    signal: str
    threshold: float
    window_s: float
    weight: float
    treatment: Treatment | None
    enabled: bool


class LevelsPage(BaseModel):
    """From which sum of weights on an order is treated so; null: by no sum."""

    restrict: float | None
    refer: float | None
    refuse: float | None


class LevelsNow(LevelsPage):
    """The levels, and the version of the rules that they belong to."""

    version: int
    changed_at: datetime | None
    changed_by: str


class RulesPage(BaseModel):
    """The rules as they are, with the version that they are of and its author; version 0 is what larder comes with."""

    items: list[ScreeningRule]
    next: None = None
    version: int
    levels: LevelsPage
    changed_at: datetime | None
    changed_by: str


class VersionPage(BaseModel):
    """A version of the rules, whole, and the change that led to it: `change` is put, delete (both of the rule `name`),
    levels, restore (of the version `name`), or delivered."""

    version: int
    change: str
    name: str
    reason: str
    changed_at: datetime | None
    changed_by: str
    rules: list[ScreeningRule]
    levels: LevelsPage


class Version(Struct, frozen=True):
    """A version of the rules and the change that led to it; `changed_at` is None for what is delivered."""

    rules: RuleSet
    change: str = "delivered"
    name: str = ""
    reason: str = ""
    changed_at: datetime | None = None
    changed_by: str = DELIVERED_BY

    @property
    def page(self) -> VersionPage:
        """As the history shows it."""
        return VersionPage(
            version=self.rules.version,
            change=self.change,
            name=self.name,
            reason=self.reason,
            changed_at=self.changed_at,
            changed_by=self.changed_by,
            rules=rule_pages(self.rules),
            levels=levels_page(self.rules.levels),
        )

    @property
    def now(self) -> RulesPage:
        """As the newest version is shown."""
        return RulesPage(
            items=rule_pages(self.rules),
            version=self.rules.version,
            levels=levels_page(self.rules.levels),
            changed_at=self.changed_at,
            changed_by=self.changed_by,
        )

    @property
    def levels_now(self) -> LevelsNow:
        """The newest version's levels alone."""
        return LevelsNow(
            **levels_page(self.rules.levels).model_dump(),
            version=self.rules.version,
            changed_at=self.changed_at,
            changed_by=self.changed_by,
        )


AS_DELIVERED = Version(DELIVERED)
Change = Callable[[dict[str, Rule]], None]


class RuleUnknown(LookupError):
    """There is no rule of this name."""


class VersionUnknown(LookupError):
    """There is no such version of the rules."""


class Rulebook:
    """Reads the rules and writes new versions of them. Raises `BadRules` for what makes no sense, and writes nothing
    then."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def newest(self) -> Version:
        """The rules that the next order is held against."""
        return await newest_of(self._pool)

    async def history(self, before: Any, limit: int) -> list[Version]:
        """Versions below `before` (None: all), the newest first; the last of all is what is delivered."""
        rows = await self._pool.fetch(_HISTORY, before, limit)
        versions = [_version(row) for row in rows]
        if len(versions) < limit and (before is None or before > 0):
            versions.append(AS_DELIVERED)
        return versions

    async def put(self, name: str, rule: Rule, reason: str, actor: str) -> Version:
        """Writes a rule, or writes it anew."""

        def change(rules: dict[str, Rule]) -> None:
            rules[name] = rule

        return await self._change("put", name, reason, actor, change)

    async def delete(self, name: str, reason: str, actor: str) -> Version:
        """Takes a rule away; raises RuleUnknown."""

        def change(rules: dict[str, Rule]) -> None:
            if rules.pop(name, None) is None:
                raise RuleUnknown(name)

        return await self._change("delete", name, reason, actor, change)

    async def set_levels(self, levels: Levels, reason: str, actor: str) -> Version:
        """Sets all levels at once."""
        async with self._pool.acquire() as connection, connection.transaction():
            newest = await _locked(connection)
            return await _write(connection, newest, newest.rules.rules, levels, "levels", "", reason, actor)

    async def restore(self, version: int, reason: str, actor: str) -> Version:
        """Puts all rules and levels of a version back, as a new version; raises VersionUnknown."""
        async with self._pool.acquire() as connection, connection.transaction():
            newest = await _locked(connection)
            row = await connection.fetchrow(_VERSION, version)
            if row is None and version != DELIVERED.version:
                raise VersionUnknown(version)
            old = _version(row).rules if row else DELIVERED
            return await _write(connection, newest, old.rules, old.levels, "restore", str(version), reason, actor)

    async def _change(self, kind: str, name: str, reason: str, actor: str, change: Change) -> Version:
        async with self._pool.acquire() as connection, connection.transaction():
            newest = await _locked(connection)
            rules = dict(newest.rules.rules)
            change(rules)
            return await _write(connection, newest, rules, newest.rules.levels, kind, name, reason, actor)


async def newest_of(connection: Any) -> Version:
    """The newest version of the rules; what is delivered while nobody changed it."""
    row = await connection.fetchrow(_NEWEST)
    return _version(row) if row else AS_DELIVERED


async def _locked(connection: Any) -> Version:
    """The newest version, and nobody writes another until the end of the transaction."""
    await connection.execute(_LOCK)
    return await newest_of(connection)


async def _write(
    connection: Any,
    newest: Version,
    rules: Mapping[str, Rule],
    levels: Levels,
    kind: str,
    name: str,
    reason: str,
    actor: str,
) -> Version:
    version = newest.rules.version + 1
    written = write_json({"rules": rules, "levels": levels})
    rules_of(msgspec.json.decode(written), version)  # nothing is kept that the worker could not read
    row = await connection.fetchrow(_WRITE, version, written.decode(), kind, name, reason, actor)
    return _version(row)


def _version(row: Any) -> Version:
    version, rules, change, name, reason, changed_at, changed_by = row
    return Version(rules_of(msgspec.json.decode(rules), version), change, name, reason, changed_at, changed_by)


def rule_page(name: str, rule: Rule) -> ScreeningRule:
    """A rule as people see it."""
    return ScreeningRule(name=name, **msgspec.structs.asdict(rule))


def rule_pages(rules: RuleSet) -> list[ScreeningRule]:
    """Rules as people see them, by name."""
    return [rule_page(name, rule) for name, rule in sorted(rules.rules.items())]


def levels_page(levels: Levels) -> LevelsPage:
    """Levels as people see them."""
    return LevelsPage(**msgspec.structs.asdict(levels))
