"""How `data/` was cut: `python -m larder.load.cut_sample FOLDER`, with the two files of the grocer's year in it.

Keeps the rows as they are: the baskets placed in the evenings, from a day on, until there are enough; and of the
products those that are in them. The same input gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from pathlib import Path

from larder.load.sample import BASKETS, PRODUCTS

FIRST_DAY = "2017-02-01"
EVENING_HOURS = range(17, 23)
ENOUGH = 7_000
SIZE_MAX = 1_000_000
"""Bytes of both files together, packed."""


def cut(folder: Path) -> None:
    """Writes both files of `data/` anew."""
    spus: set[str] = set()
    baskets = 0
    with gzip.open(folder / "grocer-weeks-01-40.csv.gz", "rt", newline="") as text:
        rows = csv.reader(text)
        kept = [next(rows)]
        last = None
        for row in rows:
            placed_at, basket, spu = row[0], row[1], row[4]
            if placed_at < FIRST_DAY or int(placed_at[11:13]) not in EVENING_HOURS:
                continue
            if basket != last:
                if baskets == ENOUGH:
                    break
                baskets, last = baskets + 1, basket
            kept.append(row)
            spus.add(spu)
    with gzip.open(folder / "grocer-products.csv.gz", "rt", newline="") as text:
        rows = csv.reader(text)
        titles = next(rows)
        columns = [titles.index(name) for name in ("spu", "name", "category")]
        products = [[row[c] for c in columns] for row in rows if row[columns[0]] in spus]
    size = _write(BASKETS, kept) + _write(PRODUCTS, [["spu", "name", "category"], *products])
    print(f"{baskets} baskets, {len(kept) - 1} lines, {len(products)} products, {size} bytes, until {kept[-1][0]}")
    if size > SIZE_MAX:
        sys.exit(f"that is more than {SIZE_MAX} bytes: keep fewer baskets")


def _write(path: Path, rows: list[list[str]]) -> int:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))
    return path.stat().st_size


if __name__ == "__main__":
    cut(Path(sys.argv[1]))
