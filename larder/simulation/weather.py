"""What may go wrong in one evening, and how often: drawn once from the seed, then rolled for each time.

Everything that goes wrong does so with a probability below one or out of a purse, so every evening comes to rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

LONG_DELAY_S = (1.0, 90.0)
"""A slow send takes between these: other links overtake it by far."""
OUTAGE_S = (5.0, 60.0, 700.0)
"""A worker that is stopped stands still for at most one of these."""


@dataclass(slots=True)
class Weather:
    """Rates are probabilities per occasion; `crashes` and `takeovers` are purses that run empty; `outages` and `lies`
    are so many.

    `beat_s` is the mean time until a worker that has something to read reads it, `latency_s` the mean time of a send.
    """

    shards: int
    batch_max: int
    cache_max: int
    beat_s: float
    latency_s: float
    slow_send: float = 0.0
    slow_fetch: float = 0.0
    lost_send: float = 0.0
    late_ack: float = 0.0
    rewind: float = 0.0
    crash: float = 0.0
    takeover: float = 0.0
    crashes: int = 0
    takeovers: int = 0
    gateway_away: float = 0.0
    gateway_silent: float = 0.0
    effect_breaks: float = 0.0
    said_twice: float = 0.0
    outages: int = 0
    lies: int = 0

    @classmethod
    def of(cls, dice: Random) -> Weather:
        """One evening in eight is calm: nothing may depend on faults either."""
        weather = cls(
            shards=dice.choice((1, 1, 2, 3)),
            batch_max=dice.choice((1, 3, 10, 1000)),
            cache_max=dice.choice((4, 12, 60_000, 60_000)),
            beat_s=dice.choice((0.01, 0.1, 0.5, 2.0)),
            latency_s=dice.choice((0.002, 0.05, 0.5)),
        )
        if dice.random() < 0.125:
            return weather
        weather.slow_send = dice.choice((0.0, 0.01, 0.05))
        weather.slow_fetch = dice.choice((0.0, 0.0, 0.1, 0.4))
        weather.lost_send = dice.choice((0.0, 0.03, 0.15))
        weather.late_ack = dice.choice((0.0, 0.1, 0.3))
        weather.rewind = dice.choice((0.0, 0.02, 0.1))
        weather.crash = dice.choice((0.0, 0.02, 0.08))
        weather.takeover = dice.choice((0.0, 0.02, 0.08))
        weather.crashes = dice.randint(1, 12)
        weather.takeovers = dice.randint(1, 12)
        weather.gateway_away = dice.choice((0.0, 0.1, 0.3))
        weather.gateway_silent = dice.choice((0.0, 0.1, 0.3))
        weather.effect_breaks = dice.choice((0.0, 0.05))
        weather.said_twice = dice.choice((0.0, 0.1, 0.3))
        weather.outages = dice.choice((0, 1, 2, 4))
        weather.lies = dice.choice((0, 2, 8))
        return weather


@dataclass(slots=True)
class SignalWeather:
    """What may go wrong with signals. Rates are probabilities per pack; `stops`, `restarts` and `garbage` are purses
    of one partition."""

    late: float = 0.0
    doubled: float = 0.0
    lost: float = 0.0
    stops: int = 0
    restarts: int = 0
    garbage: int = 0

    @classmethod
    def of(cls, dice: Random) -> SignalWeather:
        """Two evenings in three are honest: rules must have something to speak about."""
        if dice.random() < 0.67:
            return cls()
        return cls(
            late=dice.choice((0.0, 0.1, 0.5)),
            doubled=dice.choice((0.0, 0.1, 0.5)),
            lost=dice.choice((0.0, 0.05, 0.3)),
            stops=dice.randint(0, 2),
            restarts=dice.randint(0, 2),
            garbage=dice.randint(0, 4),
        )

    @property
    def is_honest(self) -> bool:
        """All that was counted is told."""
        return self == SignalWeather()
