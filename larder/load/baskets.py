"""Reads a file of baskets: CSV, plain or gzip, a row a line of a basket; the rows of a basket stand together.

Columns, in any order, others are ignored: `placed_at, basket, account, store, spu, quantity, unit_price` (minor units).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from larder.load.rows import Rows
from shared.contracts.base import LINES_MAX, MONEY_MAX, QUANTITY_MAX, Name

COLUMNS = ("placed_at", "basket", "account", "store", "spu", "quantity", "unit_price")
PRICE_MAX = MONEY_MAX
"""Highest price of one piece, minor units: what the catalogue takes."""
NAMES_REMEMBERED = 500_000
"""Most different stores, accounts and SPUs that are remembered as good names."""

_NAME = TypeAdapter(Name)


class Basket(NamedTuple):
    """What one customer buys at once. Quantities in pieces, prices in minor units; the lists are parallel."""

    line: int
    """Where it begins in its file, from 1."""
    account: str
    store: str
    spus: list[str]
    quantities: list[int]
    prices: list[int]


def read_baskets(path: Path, skipped: list[str] | None = None) -> Iterator[Basket]:
    """The baskets of a file, one after the other; nothing but the current one is kept.

    A basket of more than 200 lines cannot be ordered: it is left out, and said so in `skipped`. Anything wrong with
    the file raises FileError.
    """
    skipped = skipped if skipped is not None else []
    rows = Rows(path, COLUMNS)
    check = _Checks(rows)
    number: str | None = None
    basket: Basket | None = None
    account = store = ""
    line = 0
    for _, of_basket, of_account, of_store, spu, quantity, price in rows:
        if of_basket != number:
            if basket is not None and _fits(basket, number, skipped):
                yield basket
            number, line, account, store = of_basket, rows.line, of_account, of_store
            check.name("account", account)
            check.name("store", store)
            basket = Basket(line, account, store, [], [], [])
        elif of_account != account or of_store != store:
            raise rows.wrong(f"basket {of_basket[:80]} has another account or store than in line {line}")
        if spu not in check.good_names:
            check.name("spu", spu)
        assert basket is not None
        basket.spus.append(spu)
        basket.quantities.append(check.quantity(quantity))
        basket.prices.append(check.price(price))
    if basket is not None and _fits(basket, number, skipped):
        yield basket


def _fits(basket: Basket, number: str | None, skipped: list[str]) -> bool:
    lines = len(set(basket.spus))
    if lines <= LINES_MAX and len(basket.spus) <= LINES_MAX:
        return True
    skipped.append(f"line {basket.line}: basket {number} has {len(basket.spus)} lines, an order at most {LINES_MAX}")
    return False


class _Checks:
    """What a field must be; each different text is looked at once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.good_names: set[str] = set()
        self._numbers: dict[str, int] = {}

    def name(self, column: str, text: str) -> None:
        if text in self.good_names:
            return
        try:
            _NAME.validate_python(text)
        except ValidationError:
            raise self._rows.wrong(
                f"{column} {text[:80]!r} is no name (1 to 64 letters, digits and ._:@+-, a letter or digit first)"
            ) from None
        if len(self.good_names) >= NAMES_REMEMBERED:
            self.good_names.clear()
        self.good_names.add(text)

    def quantity(self, text: str) -> int:
        number = self._number(text)
        if number is None or not 1 <= number <= QUANTITY_MAX:
            raise self._rows.wrong(f"quantity {text[:80]!r} is no whole number from 1 to {QUANTITY_MAX}")
        return number

    def price(self, text: str) -> int:
        number = self._number(text)
        if number is None or not 1 <= number <= PRICE_MAX:
            raise self._rows.wrong(f"unit_price {text[:80]!r} is no whole number of minor units from 1 to {PRICE_MAX}")
        return number

    def _number(self, text: str) -> int | None:
        number = self._numbers.get(text)
        if number is None and len(text) <= len(str(PRICE_MAX)) and text.isascii() and text.isdecimal():
            number = int(text)
            if len(self._numbers) < NAMES_REMEMBERED:
                self._numbers[text] = number
        return number
