"""The sample of real baskets that travels with larder (`data/README.md` says where it is from), and products' names."""

from __future__ import annotations

from pathlib import Path

from larder.load.catalogue import Names
from larder.load.rows import Rows

DATA = Path(__file__).parent / "data"
BASKETS = DATA / "grocer-evenings.csv.gz"
PRODUCTS = DATA / "grocer-evenings-products.csv.gz"
COLUMNS = ("spu", "name", "category")
NAMES_MAX = 1_000_000
"""Most products in one file of names."""
NAME_MAX = 200
"""Most characters of a name or a category."""


def read_names(path: Path = PRODUCTS) -> Names:
    """Names and categories from a file with the columns `spu, name, category`; others are ignored."""
    names: Names = {}
    rows = Rows(path, COLUMNS)
    for spu, name, category in rows:
        names[spu] = _text(name), _text(category)
        if len(names) > NAMES_MAX:
            raise rows.wrong(f"more than {NAMES_MAX:,} products")
    return names


def _text(field: str) -> str:
    return field.replace("\x00", "")[:NAME_MAX].strip()
