"""Reads a file of baskets: CSV, plain or gzip, a row a line of a basket; the rows of a basket stand together.

Columns, in any order, others are ignored: `placed_at, basket, account, store, spu, quantity, unit_price` (minor units).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, cast

from pydantic import TypeAdapter, ValidationError

from shared.contracts.base import LINES_MAX, QUANTITY_MAX, Name

COLUMNS = ("placed_at", "basket", "account", "store", "spu", "quantity", "unit_price")
PRICE_MAX = 10**9
"""Highest price of one piece, minor units."""
NAMES_REMEMBERED = 500_000
"""Most different stores, accounts and SPUs that are remembered as good names."""

_NAME = TypeAdapter(Name)
_GZIP = b"\x1f\x8b"


class BasketFileError(ValueError):
    """The file cannot be played; the message names the file and the line."""


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
    the file raises BasketFileError.
    """
    with _opened(path) as text:
        try:
            yield from _baskets(path, text, skipped if skipped is not None else [])
        except UnicodeDecodeError as error:
            raise BasketFileError(f"{path} is not UTF-8 text: {error.reason}") from None
        except (gzip.BadGzipFile, EOFError, OSError) as error:
            raise BasketFileError(f"{path} cannot be read to its end: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BasketFileError(f"{path} cannot be opened: {error.strerror}") from None
    with file:
        packed = file.peek(2)[:2] == _GZIP
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def _baskets(path: Path, text: TextIO, skipped: list[str]) -> Iterator[Basket]:
    rows = csv.reader(text)
    try:
        titles = next(rows, None)
        if not titles:
            raise BasketFileError(f"{path} is empty: its first line names the columns {','.join(COLUMNS)}")
        if missing := [c for c in COLUMNS if c not in titles]:
            raise BasketFileError(
                f"{path}, line 1: no column {', '.join(missing)} (there are: {', '.join(titles)[:200]})"
            )
        check = _Checks(path)
        at_basket, at_account, at_store, at_spu, at_quantity, at_price = (titles.index(c) for c in COLUMNS[1:])
        width = len(titles)
        number: str | None = None
        basket: Basket | None = None
        for row in rows:
            if len(row) != width:
                if not row:
                    continue
                raise check.wrong(rows.line_num, f"{len(row)} fields where the first line names {width}")
            if row[at_basket] != number:
                if basket is not None and _fits(basket, number, skipped):
                    yield basket
                number = row[at_basket]
                line, account, store = rows.line_num, row[at_account], row[at_store]
                check.name(line, "account", account)
                check.name(line, "store", store)
                basket = Basket(line, account, store, [], [], [])
            elif row[at_account] != account or row[at_store] != store:
                raise check.wrong(
                    rows.line_num, f"basket {number[:80]} has another account or store than in line {line}"
                )
            spu = row[at_spu]
            if spu not in check.good_names:
                check.name(rows.line_num, "spu", spu)
            assert basket is not None
            basket.spus.append(spu)
            basket.quantities.append(check.quantity(rows.line_num, row[at_quantity]))
            basket.prices.append(check.price(rows.line_num, row[at_price]))
        if basket is not None and _fits(basket, number, skipped):
            yield basket
    except csv.Error as error:
        raise BasketFileError(f"{path}, line {rows.line_num}: no CSV: {error}") from None


def _fits(basket: Basket, number: str | None, skipped: list[str]) -> bool:
    lines = len(set(basket.spus))
    if lines <= LINES_MAX and len(basket.spus) <= LINES_MAX:
        return True
    skipped.append(f"line {basket.line}: basket {number} has {len(basket.spus)} lines, an order at most {LINES_MAX}")
    return False


class _Checks:
    """What a field must be; each different text is looked at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.good_names: set[str] = set()
        self._numbers: dict[str, int] = {}

    def wrong(self, line: int, what: str) -> BasketFileError:
        return BasketFileError(f"{self._path}, line {line}: {what}")

    def name(self, line: int, column: str, text: str) -> None:
        if text in self.good_names:
            return
        try:
            _NAME.validate_python(text)
        except ValidationError:
            raise self.wrong(
                line, f"{column} {text[:80]!r} is no name (1 to 64 letters, digits and ._:@+-, a letter or digit first)"
            ) from None
        if len(self.good_names) >= NAMES_REMEMBERED:
            self.good_names.clear()
        self.good_names.add(text)

    def quantity(self, line: int, text: str) -> int:
        number = self._number(text)
        if number is None or not 1 <= number <= QUANTITY_MAX:
            raise self.wrong(line, f"quantity {text[:80]!r} is no whole number from 1 to {QUANTITY_MAX}")
        return number

    def price(self, line: int, text: str) -> int:
        number = self._number(text)
        if number is None or number > PRICE_MAX:
            raise self.wrong(line, f"unit_price {text[:80]!r} is no whole number of minor units from 0 to {PRICE_MAX}")
        return number

    def _number(self, text: str) -> int | None:
        number = self._numbers.get(text)
        if number is None and len(text) <= 12 and text.isascii() and text.isdecimal():
            number = int(text)
            if len(self._numbers) < NAMES_REMEMBERED:
                self._numbers[text] = number
        return number
