"""The mix of customers: most pay and are delivered; a few do what customers also do.

Shares are of all orders; who does what depends on the seed alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Self

from larder.load.errors import LoadError
from shared.settings import Settings

WAIT_MAX_S = 60.0
"""Longest window that a load waits out."""
GATEWAY_WAIT_MAX_S = 30.0
"""Longest gateway timeout that a load waits out."""
LATE_BY_S = 2
"""Late money comes so long after the gateway's timeout."""


class BadMix(LoadError, ValueError):
    """Shares that no customers can have."""


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
    CANCELS_PAID = 10
    """Changes their mind when the order is paid and waits for a picker."""
    CANCELS_PICKING = 11
    """Changes their mind while the picker is at it; the picker goes on, and is told."""
    CANCELS_PACKED = 12
    """Changes their mind when the bags wait for a courier."""
    NO_REFUND = 13
    """Cancels a paid order whose money the gateway does not give back."""
    LESS_SUBSTITUTE = 14
    """A piece is not on the shelf: the customer takes something else."""
    LESS_DROP = 15
    """A piece is not on the shelf: the customer goes without."""
    LESS_CANCEL = 16
    """A piece is not on the shelf: the customer wants nothing, then."""
    LESS_UNCALLED = 17
    """A piece is not on the shelf, and nobody calls the customer."""
    CALLED_BACK = 18
    """Customer service calls the courier back."""
    CALLED_BACK_LATE = 19
    """Customer service calls the courier back while the courier rings at the door."""
    AWAY = 20
    """Is not at home; all goods come back as they were."""
    AWAY_DAMAGED = 21
    """Is not at home; a line comes back damaged."""
    AWAY_FEWER = 22
    """Is not at home; a piece is missing when the goods come back."""
    AWAY_NEVER_BACK = 23
    """Is not at home, and the goods never come back."""
    REFUNDED = 24
    """Complains about a piece, keeps it, and gets its money."""
    RETURNED = 25
    """Gives a piece back."""
    RETURNED_DAMAGED = 26
    """Gives a piece back that nobody can sell any more."""
    RETURN_FORGOTTEN = 27
    """Wants to give a piece back, and does not."""
    EXCHANGED = 28
    """Gets another piece for one that the courier takes along."""
    REPLENISHED = 29
    """Gets a piece that was missing."""
    RATES_BADLY = 30
    """Gives one star, and gets the money for a piece."""
    CANCELS_LATE = 31
    """Lets the goods lie for half of the payment window, and cancels: an adversary."""


DECLINED_LEAVE = 0.1
"""Share of those with a declined card who do not try again."""


@dataclass(frozen=True)
class Shares:
    """Shares of all orders, by what happens to them."""

    @classmethod
    def none(cls) -> Self:
        """It happens to none."""
        return cls(**{share.name: 0.0 for share in fields(cls)})

    @property
    def together(self) -> float:
        """The share of orders to which any of it happens."""
        return float(sum(getattr(self, share.name) for share in fields(self)))

    def scaled(self, together: float) -> Self:
        """The same in the same proportion, so that they come to this share of all orders."""
        now = self.together
        if now <= 0:
            raise BadMix(f"none of these has a share, so they cannot be scaled to {together:g}")
        return replace(self, **{share.name: getattr(self, share.name) * together / now for share in fields(self)})


@dataclass(frozen=True)
class Back(Shares):
    """Shares of all orders that go back after their payment, by way."""

    cancel_paid: float = 0.01
    cancel_picking: float = 0.01
    cancel_packed: float = 0.01
    shortage: float = 0.01
    intercept: float = 0.01
    undeliverable: float = 0.01
    no_refund: float = 0.01


@dataclass(frozen=True)
class After(Shares):
    """Shares of all orders that are complained about after their delivery, by kind."""

    refund: float = 0.004
    returned: float = 0.004
    exchange: float = 0.004
    replenish: float = 0.004
    rating: float = 0.004


@dataclass(frozen=True)
class Adversaries(Shares):
    """Shares of all orders that adversaries place, by kind. What is left is for customers, in the shares of the mix."""

    cancelling: float = 0.05
    """Few accounts that order and cancel, again and again."""
    unpaid: float = 0.05
    """Few accounts that never pay, again and again."""
    device: float = 0.03
    """Many accounts on few devices, each of which orders once and does not pay."""
    stolen: float = 0.01
    """An account that small orders were delivered to orders much, on another device and to another address."""
    flood: float = 0.03
    """Many accounts that order the same to one address, and do not pay."""

    def __post_init__(self) -> None:
        for share in fields(self):
            if not 0 <= getattr(self, share.name) <= 1:
                raise BadMix(f"the share of {share.name} adversaries {getattr(self, share.name):g} is not from 0 to 1")
        # Thefts are in the second half; in the first, each stolen account is the customer's who orders before.
        if self.together + (2 * HISTORY - 1) * self.stolen > 1 + 1e-9:
            raise BadMix(
                f"adversaries have {self.together:g} of all orders, and the customers whose accounts are stolen "
                f"{HISTORY * self.stolen:g} before that: more than all orders"
            )

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads `kind=share,...`; kinds that are not named have none."""
        kinds = [share.name for share in fields(cls)]
        shares: dict[str, float] = {}
        for said in text.split(","):
            kind, _, share = (part.strip() for part in said.partition("="))
            if kind not in kinds:
                raise BadMix(f"there are no adversaries of the kind {kind[:80]!r}; there are {', '.join(kinds)}")
            if kind in shares:
                raise BadMix(f"the share of {kind} adversaries is said twice")
            try:
                shares[kind] = float(share)
            except ValueError:
                raise BadMix(f"the share of {kind} adversaries is a number from 0 to 1, not {share[:80]!r}") from None
        return replace(cls.none(), **shares)


HISTORY = 3
"""So many orders an account got delivered before it is stolen."""


@dataclass(frozen=True)
class Mix:
    """Shares of all orders, each from 0 to 1, together at most 1; the rest simply pays."""

    unpaid: float = 0.02
    cancel: float = 0.03
    declined: float = 0.03
    late: float = 0.005
    twice: float = 0.005
    short: float = 0.005
    back: Back = field(default_factory=Back)
    after: After = field(default_factory=After)
    uncalled: bool = True
    """Whether some customers of short orders are not called."""
    never_back: bool = True
    """Whether some goods that could not be delivered never come back."""
    adversaries: Adversaries = field(default_factory=Adversaries.none)

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("unpaid", "cancel", "declined", "late", "twice", "short")}
        for more in (self.back, self.after):
            shares |= {share.name: getattr(more, share.name) for share in fields(more)}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise BadMix(f"the {name} share {share:g} is not between 0 and 1")
        if sum(shares.values()) > 1 + 1e-9:
            raise BadMix(f"the shares add up to {sum(shares.values()):g}, more than all orders")

    def fitted(self, settings: Settings) -> tuple[Self, list[str]]:
        """The mix without what would take too long with these settings, and what was left out and why.

        Adversaries are never left out: BadMix says which window is too long for them.
        """
        fitted, said = self, []
        if self.adversaries.together:
            for window in ("payment_window_s", "review_window_s"):
                if getattr(settings, window) > WAIT_MAX_S:
                    raise BadMix(
                        f"adversaries wait for the end of the {window[:-2].replace('_', ' ')}: it is "
                        f"{getattr(settings, window):g} s, and a load waits for at most {WAIT_MAX_S:g} s "
                        f"(LARDER_{window.upper()}, for `larder up` and the load)"
                    )
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
        if fitted.back.shortage and settings.shortage_window_s > WAIT_MAX_S:
            fitted = replace(fitted, uncalled=False)
            said.append(
                f"every customer of a short order is called: the shortage window is {settings.shortage_window_s:g} s, "
                f"and a load waits for at most {WAIT_MAX_S:g} s (LARDER_SHORTAGE_WINDOW_S)"
            )
        if (fitted.back.undeliverable or fitted.after.returned) and settings.return_window_s > WAIT_MAX_S:
            fitted = replace(fitted, never_back=False)
            said.append(
                f"all goods that should come back do: the return window is {settings.return_window_s:g} s, "
                f"and a load waits for at most {WAIT_MAX_S:g} s (LARDER_RETURN_WINDOW_S)"
            )
        return fitted, said


class Chooser:
    """Says for order after order what its customer does."""

    def __init__(self, mix: Mix, seed: int) -> None:
        self._chance = random.Random(seed)
        third, back = mix.cancel / 3, mix.back
        less = [Tail.LESS_SUBSTITUTE, Tail.LESS_DROP, Tail.LESS_CANCEL, *[Tail.LESS_UNCALLED] * mix.uncalled]
        away = [Tail.AWAY, Tail.AWAY_DAMAGED, Tail.AWAY_FEWER, *[Tail.AWAY_NEVER_BACK] * mix.never_back]
        after = mix.after
        returned = [Tail.RETURNED, Tail.RETURNED_DAMAGED, *[Tail.RETURN_FORGOTTEN] * mix.never_back]
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
            (back.cancel_paid, Tail.CANCELS_PAID),
            (back.cancel_picking, Tail.CANCELS_PICKING),
            (back.cancel_packed, Tail.CANCELS_PACKED),
            (back.no_refund, Tail.NO_REFUND),
            *((back.shortage / len(less), tail) for tail in less),
            *((back.intercept / 2, tail) for tail in (Tail.CALLED_BACK, Tail.CALLED_BACK_LATE)),
            *((back.undeliverable / len(away), tail) for tail in away),
            (after.refund, Tail.REFUNDED),
            *((after.returned / len(returned), tail) for tail in returned),
            (after.exchange, Tail.EXCHANGED),
            (after.replenish, Tail.REPLENISHED),
            (after.rating, Tail.RATES_BADLY),
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
