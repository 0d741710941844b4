"""Promotions: rules that change prices, as data. What they do to a basket stands in `pricing`.

An automatic promotion applies wherever its scope does; a coupon only to an order that names it. What is in force is a
matter of its dates and of its scope: stores, and SPUs or categories; an empty scope is everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

PROMOTIONS_MAX = 1_000
"""Most automatic promotions that are on or to come: pricing keeps them all in memory."""


class Kind(StrEnum):
    """What a promotion does."""

    PERCENT = "percent"
    AMOUNT_OFF = "amount_off"
    COUPON = "coupon"
    FLASH = "flash"
    BUY_N_PAY_M = "buy_n_pay_m"


class Promotion(Struct, frozen=True, gc=False):
    """One promotion at one revision.

    `value`: percent 0 to 100; of `amount_off` and `coupon` an amount; of `flash` the price of a piece; minor units. `n`
    and `m` are those of `buy_n_pay_m`. `per_account` limits how many orders of an account may have it (of `flash`: how
    many pieces), 0: no limit; a coupon's is always 1. `account`: a coupon that only this account may use.
    """

    id: str
    revision: int
    kind: Kind
    starts_at: datetime
    ends_at: datetime
    value: int = 0
    n: int = 0
    m: int = 0
    spus: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    min_total: int = 0
    per_account: int = 0
    account: str = ""

    def on(self, store: str, at: datetime) -> bool:
        """Is it in force in this store at this instant?"""
        return self.starts_at <= at < self.ends_at and (not self.stores or store in self.stores)

    def covers(self, spu: str, category: str) -> bool:
        """Is an SPU of this category in its scope?"""
        if not (self.spus or self.categories):
            return True
        return spu in self.spus or category in self.categories


def promotion_of(id_: str, revision: int, body: str) -> Promotion:
    """A promotion as it is kept: its body is the JSON of its fields, the scope as lists."""
    kept = json.loads(body)
    for scope in ("spus", "categories", "stores"):
        kept[scope] = frozenset(kept.get(scope, ()))
    for end in ("starts_at", "ends_at"):
        kept[end] = datetime.fromisoformat(kept[end])
    kind = Kind(kept.pop("kind"))
    if kind is Kind.COUPON:
        kept["per_account"] = 1
    return Promotion(id=id_, revision=revision, kind=kind, **kept)


class Rush(NamedTuple):
    """A time in which a store (empty: all of them) sells first paid, first served, whatever risk says: orders with one
    of these SPUs (none: every order)."""

    id: str
    store: str
    spus: frozenset[str]
    starts_at: datetime
    ends_at: datetime

    def covers(self, store: str, spus: Iterable[str], at: datetime) -> bool:
        """Is an order of these SPUs in this store in it, at this instant?"""
        if not self.starts_at <= at < self.ends_at or self.store not in ("", store):
            return False
        return not self.spus or not self.spus.isdisjoint(spus)


class Offers:
    """The automatic promotions that are on or to come, by what they are about; a fact, made once and asked by every
    basket."""

    __slots__ = ("_by_category", "_by_spu", "_for_all", "amounts_off")

    def __init__(self, promotions: Iterable[Promotion] = ()) -> None:
        self.amounts_off: tuple[Promotion, ...] = ()
        self._by_spu: dict[str, list[Promotion]] = {}
        self._by_category: dict[str, list[Promotion]] = {}
        self._for_all: list[Promotion] = []
        for promotion in sorted(promotions, key=lambda p: p.id):
            if promotion.kind is Kind.AMOUNT_OFF:
                self.amounts_off += (promotion,)
            elif not (promotion.spus or promotion.categories):
                self._for_all.append(promotion)
            for spu in promotion.spus if promotion.kind is not Kind.AMOUNT_OFF else ():
                self._by_spu.setdefault(spu, []).append(promotion)
            for category in promotion.categories if promotion.kind is not Kind.AMOUNT_OFF else ():
                self._by_category.setdefault(category, []).append(promotion)

    def __bool__(self) -> bool:
        return bool(self.amounts_off or self._for_all or self._by_spu or self._by_category)

    def of_line(self, spu: str, category: str) -> list[Promotion]:
        """The promotions of lines (not of totals) whose scope an SPU of this category is in, by id."""
        some = {p.id: p for found in (self._by_spu.get(spu), self._by_category.get(category)) for p in found or ()}
        return [some[id_] for id_ in sorted(some)] + self._for_all if some else self._for_all

    def limited(self, lines: Sequence[tuple[str, str]]) -> Iterator[Promotion]:
        """Those with a limit for each account that may come into the price of these lines of [SPU, category]."""
        seen = {p.id: p for spu, category in lines for p in self.of_line(spu, category) if p.per_account}
        yield from seen.values()
        yield from (p for p in self.amounts_off if p.per_account)


NO_OFFERS = Offers()
