"""Bounds of numbers that the options of commands take; where there is a bound, `nan` is refused as well."""

ORDERS_MAX = 100_000_000
"""Most orders of one load."""
RATE_MAX = 1_000_000
"""Most orders a second that can be asked for."""
SEED_MAX = 999_999_999
