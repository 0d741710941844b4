"""The mix of customers: most pay and are delivered; a few do what customers also do.

Shares are of all orders; who does what depends on the seed alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

from shared.settings import Settings

WAIT_MAX_S = 60.0
"""Longest window that a load waits out."""
GATEWAY_WAIT_MAX_S = 30.0
"""Longest gateway timeout that a load waits out."""
LATE_BY_S = 2
"""Late money comes so long after the gateway's timeout."""


class Tail(IntEnum):
    """What an order's customer does."""

    PAYS = 0
    UNPAID = 1
    """Never pays; the payment window ends the order."""
    CANCELS_AT_ONCE = 2
    """Changes their mind right after placing."""
    CANCELS_PAYABLE = 3
    """Cancels when it comes to paying."""
    CANCELS_PAYING = 4
    """Clicks pay, and cancel in the same moment."""
    DECLINED = 5
    """The first card is declined, a second one is good."""
    DECLINED_LEAVES = 6
    """The card is declined, and the customer cancels."""
    LATE = 7
    """The gateway times out and takes the money later; meanwhile a second attempt succeeds."""
    TWICE = 8
    """The gateway takes the money twice."""
    SHORT = 9
    """Wants a product that no store ever has."""


DECLINED_LEAVE = 0.1
"""Share of those with a declined card who do not try again."""


@dataclass(frozen=True)
class Mix:
    """Shares of all orders, each from 0 to 1, together at most 1; the rest simply pays."""

    unpaid: float = 0.02
    cancel: float = 0.03
    declined: float = 0.03
    late: float = 0.005
    twice: float = 0.005
    short: float = 0.005

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"the {name} share {share:g} is not between 0 and 1")
        if sum(shares.values()) > 1 + 1e-9:
            raise ValueError(f"the shares add up to {sum(shares.values()):g}, more than all orders")

    def fitted(self, settings: Settings) -> tuple[Self, list[str]]:
        """The mix without what would take too long with these settings, and what was left out and why."""
        fitted, said = self, []
        if fitted.unpaid and settings.payment_window_s > WAIT_MAX_S:
            fitted = replace(fitted, unpaid=0)
            said.append(
                f"no unpaid orders: the payment window is {settings.payment_window_s:g} s, and a load waits for at "
                f"most {WAIT_MAX_S:g} s (LARDER_PAYMENT_WINDOW_S)"
            )
        if fitted.late and settings.gateway_timeout_s > GATEWAY_WAIT_MAX_S:
            fitted = replace(fitted, late=0)
            said.append(
                f"no late money: the gateway's timeout is {settings.gateway_timeout_s:g} s, and a load waits for at "
                f"most {GATEWAY_WAIT_MAX_S:g} s (LARDER_GATEWAY_TIMEOUT_S)"
            )
        return fitted, said


class Chooser:
    """Says for order after order what its customer does."""

    def __init__(self, mix: Mix, seed: int) -> None:
        self._chance = random.Random(seed)
        third = mix.cancel / 3
        steps = (
            (mix.unpaid, Tail.UNPAID),
            (third, Tail.CANCELS_AT_ONCE),
            (third, Tail.CANCELS_PAYABLE),
            (third, Tail.CANCELS_PAYING),
            (mix.declined * (1 - DECLINED_LEAVE), Tail.DECLINED),
            (mix.declined * DECLINED_LEAVE, Tail.DECLINED_LEAVES),
            (mix.late, Tail.LATE),
            (mix.twice, Tail.TWICE),
            (mix.short, Tail.SHORT),
        )
        self._ladder: list[tuple[float, Tail]] = []
        total = 0.0
        for share, tail in steps:
            if share > 0:
                total += share
                self._ladder.append((total, tail))
        self._total = total

    def next(self) -> Tail:
        """The next order's customer."""
        drawn = self._chance.random()
        if drawn >= self._total:
            return Tail.PAYS
        return next((tail for bound, tail in self._ladder if drawn < bound), Tail.PAYS)
