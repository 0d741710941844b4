"""The reader of basket files."""

import gzip
from pathlib import Path

import pytest

from larder.load.baskets import read_baskets
from larder.load.errors import FileError
from larder.load.sample import BASKETS

TITLES = "placed_at,basket,account,store,spu,quantity,unit_price"
TWO = [
    "2017-02-01T18:00:00,b1,a-1,s-1,apple,2,250",
    "2017-02-01T18:00:00,b1,a-1,s-1,milk,1,199",
    "2017-02-01T18:05:00,b2,a-2,s-2,apple,3,250",
]


def written(folder: Path, *rows: str, titles: str = TITLES, packed: bool = False) -> Path:
    path = folder / "baskets.csv"
    text = "\n".join([titles, *rows, ""]).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_rows_that_stand_together_are_one_basket(tmp_path, packed):
    """Rows of one basket become one basket with parallel lists, from a plain file and from a packed one."""
    first, second = read_baskets(written(tmp_path, *TWO, packed=packed))
    assert first == (2, "a-1", "s-1", ["apple", "milk"], [2, 1], [250, 199])
    assert second.store == "s-2"
    assert second.line == 4


def test_columns_in_any_order_and_others_beside_them(tmp_path):
    """Columns are found by their names; ones that are not known are passed over."""
    path = written(
        tmp_path, "3,milk,x,b1,s-1,a-1,199,t", titles="quantity,spu,weather,basket,store,account,unit_price,placed_at"
    )
    (basket,) = read_baskets(path)
    assert basket == (2, "a-1", "s-1", ["milk"], [3], [199])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("t,b1,a,s,apple,0,1", "line 2: quantity '0'"),
        ("t,b1,a,s,apple,1001,1", "line 2: quantity '1001'"),
        ("t,b1,a,s,apple,-1,1", "line 2: quantity '-1'"),
        ("t,b1,a,s,apple,1.5,1", "line 2: quantity '1.5'"),
        ("t,b1,a,s,apple,1_0,1", "line 2: quantity '1_0'"),
        ("t,b1,a,s,apple,1,x", "line 2: unit_price 'x'"),
        ("t,b1,a,s,,1,1", "line 2: spu ''"),
        ("t,b1,a b,s,apple,1,1", "line 2: account 'a b'"),
        ("t,b1,a,s/1,apple,1,1", "line 2: store 's/1'"),
        ("t,b1,a,s,apple,1", "line 2: 6 fields"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, told):
    """Whatever is wrong in a row is said with the file and the line."""
    with pytest.raises(FileError, match=told.replace("'", "['\"]")):
        list(read_baskets(written(tmp_path, row)))


def test_a_basket_of_two_stores_is_an_error(tmp_path):
    """One basket is bought by one account in one store."""
    with pytest.raises(FileError, match="line 3: basket b1 has another account or store than in line 2"):
        list(read_baskets(written(tmp_path, TWO[0], "t,b1,a-1,s-9,milk,1,1")))


def test_a_basket_too_large_for_an_order_is_left_out_and_said_so(tmp_path):
    """Over 200 lines cannot be ordered: the basket is skipped, the others are read."""
    rows = [f"t,big,a,s,spu{n},1,100" for n in range(201)]
    skipped: list[str] = []
    baskets = list(read_baskets(written(tmp_path, *rows, TWO[2]), skipped))
    assert [b.account for b in baskets] == ["a-2"]
    assert skipped == ["line 2: basket big has 201 lines, an order at most 200"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "line 1: no column placed_at, basket"),
        (TITLES.encode() + b"\n\xff\xfe,b", "not UTF-8"),
        (gzip.compress(TITLES.encode())[:-6], "cannot be read to its end"),
    ],
)
def test_what_is_no_basket_file_is_refused(tmp_path, content, told):
    """An empty file, other columns, other bytes and half an archive are told apart."""
    path = tmp_path / "baskets.csv"
    path.write_bytes(content)
    with pytest.raises(FileError, match=told):
        list(read_baskets(path))


def test_a_missing_file_is_named(tmp_path):
    """The error says which file cannot be opened."""
    with pytest.raises(FileError, match=r"nowhere\.csv cannot be opened"):
        list(read_baskets(tmp_path / "nowhere.csv"))


def test_the_sample_is_whole():
    """The sample that travels with larder can be read to its end and holds several thousand real baskets."""
    baskets = list(read_baskets(BASKETS))
    assert len(baskets) == 7_000
    assert sum(len(b.spus) for b in baskets) == 78_488
