"""The promotions of a load: rules of all kinds but flash, of one load only, so that loads can follow each other.

They are written before the first order and ended after the last; one of them changes when half of the orders are
placed, so that totals change on the click. A share of the orders names a coupon: one that is good once, so that
an account's second use is refused; one for large baskets only, one of somebody else's, and one that pays for all.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from larder.load.catalogue import Names, wanted
from larder.load.play import Play

LASTS = timedelta(days=1)
"""Longer than any load; its end ends them before."""
SCOPE_MAX = 1_000
"""Most stores that a promotion names; of more, it is for all stores."""
CATEGORIES = 8
"""So many of the most sold categories have a percentage off, and as many others are sold three for the price of two."""
PERCENT, PERCENT_LATER = 10, 15
LIMIT = 2
"""So many orders of an account get the amount off."""
COUPON_SHARES = {"welcome": 0.12, "large": 0.04, "gift": 0.01, "other": 0.01}
"""Share of orders that name each coupon."""
AMOUNT_OFF, WELCOME, LARGE, GIFT = 200, 150, 500, 10_000_000
"""Minor units; the gift is more than a basket costs."""


class Promotions:
    """What is written, and which order names which coupon; that depends on the seed alone."""

    def __init__(self, run: str, play: Play, names: Names, seed: int, now: datetime) -> None:
        self._run = run
        self._chance = random.Random(f"coupons {seed}")
        self._dates = {"starts_at": now.isoformat(), "ends_at": (now + LASTS).isoformat()}
        self._stores = sorted(play.demand) if len(play.demand) <= SCOPE_MAX else []
        self._categories = _most_sold(play, names)
        self._median = _median(play)

    def written(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The id and the body of each, as they are before the first order."""
        dear = {"min_total": self._median}
        yield self._percent(PERCENT)
        yield self._one("three", "buy_n_pay_m", {"n": 3, "m": 2}, categories=self._categories[1::2])
        yield self._one("off", "amount_off", AMOUNT_OFF, **dear, per_account=LIMIT)
        yield self._one("welcome", "coupon", WELCOME)
        yield self._one("large", "coupon", LARGE, min_total=2 * self._median)
        yield self._one("gift", "coupon", GIFT)
        yield self._one("other", "coupon", WELCOME, account=f"somebody else/{self._run}")

    def changed(self) -> tuple[str, dict[str, Any]]:
        """The one that changes when half of the orders are placed."""
        return self._percent(PERCENT_LATER)

    def coupon(self) -> str:
        """The one that the next order names; empty for none."""
        drawn = self._chance.random()
        for name, share in COUPON_SHARES.items():
            drawn -= share
            if drawn < 0:
                return self._id(name)
        return ""

    def _percent(self, value: int) -> tuple[str, dict[str, Any]]:
        return self._one("percent", "percent", value, categories=self._categories[::2])

    def _one(self, name: str, kind: str, value: object, **more: object) -> tuple[str, dict[str, Any]]:
        return self._id(name), {"kind": kind, "value": value, "stores": self._stores, **self._dates, **more}

    def _id(self, name: str) -> str:
        return f"load-{self._run}-{name}"


def _most_sold(play: Play, names: Names) -> list[str]:
    """The categories that most pieces are wanted of."""
    sold: Counter[str] = Counter()
    products = wanted(play, names).products
    for demand in play.demand.values():
        for spu, pieces in demand.items():
            sold[products[spu].category] += pieces
    return [category for category, _ in sold.most_common(2 * CATEGORIES)]


def _median(play: Play) -> int:
    """What a basket of the middle costs."""
    totals = sorted(basket.total for basket in play.once())
    return totals[len(totals) // 2]
