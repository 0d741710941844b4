"""What numbers the options of several commands take."""

from __future__ import annotations

import math

import typer

ORDERS_MAX = 100_000_000
"""Most orders of one load."""
RATE_MAX = 1_000_000
"""Most orders a second that can be asked for."""
SEED_MAX = 999_999_999


def finite(number: float | None) -> float | None:
    """The number; `nan` is within any bounds, and must be refused by itself."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no finite number")
    return number
