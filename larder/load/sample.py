"""The sample of real baskets that travels with larder (`data/README.md` says where it is from), and products' names."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from larder.load.errors import LoadError
from larder.load.shelves import Names

DATA = Path(__file__).parent / "data"
BASKETS = DATA / "grocer-evenings.csv.gz"
PRODUCTS = DATA / "grocer-evenings-products.csv.gz"
NAME_MAX = 200
"""Most characters of a name or a category."""


def read_names(path: Path = PRODUCTS) -> Names:
    """Names and categories from a file with the columns `spu, name, category`; others are ignored."""
    try:
        body = path.read_bytes()
        text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode("utf-8-sig").replace("\x00", "")
        rows = csv.DictReader(io.StringIO(text))
        if missing := {"spu", "name", "category"} - set(rows.fieldnames or ()):
            raise LoadError(f"{path}, line 1: no column {', '.join(sorted(missing))}")
        return {row["spu"]: ((row["name"] or "")[:NAME_MAX], (row["category"] or "")[:NAME_MAX]) for row in rows}
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise LoadError(f"{path} cannot be read: {error}") from None
