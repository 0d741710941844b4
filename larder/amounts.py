"""Amounts of money for people to read. Everything else counts in integer minor units, whatever the currency."""

from __future__ import annotations

WHOLE = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
"""Currencies whose unit has no parts (ISO 4217)."""
THOUSANDTHS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""Currencies whose unit has a thousand parts; any other has a hundred."""


def amount(minor: int, currency: str) -> str:
    """Minor units as people write them: `1,234.50 EUR`, `123,450 JPY`, `123.450 KWD`."""
    digits = 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2
    unit, parts = divmod(abs(minor), 10**digits)
    fraction = f".{parts:0{digits}}" if digits else ""
    return f"{'-' if minor < 0 else ''}{unit:,}{fraction} {currency}"
