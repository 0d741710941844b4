"""Amounts as people read them: as many parts as the currency's unit has."""

from __future__ import annotations

import pytest

from larder.amounts import amount
from shared.settings import Settings


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [
        (123450, "EUR", "1,234.50 EUR"),
        (123450, "JPY", "123,450 JPY"),
        (123450, "KWD", "123.450 KWD"),
        (5, "USD", "0.05 USD"),
        (5, "KWD", "0.005 KWD"),
        (0, "JPY", "0 JPY"),
        (-7, "EUR", "-0.07 EUR"),
        (10**12 + 1, "EUR", "10,000,000,000.01 EUR"),
    ],
)
def test_amount_has_the_parts_of_its_currency(minor: int, currency: str, words: str) -> None:
    """Every unit is shown, and no more; larder takes any currency."""
    assert amount(minor, currency) == words
    assert Settings(currency=currency).currency == currency
