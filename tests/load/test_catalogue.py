"""What of its stores and products a load tells: what is not there, and nobody else's without being told to."""

from dataclasses import replace
from typing import Any

import pytest

from larder.load.catalogue import NOWHERE, Catalogue, bounds_of, to_tell, wanted
from larder.load.errors import LoadError
from larder.load.play import Play
from tests.load.test_play import FIRST

NOTHING = Catalogue({}, {})


@pytest.fixture
def needed() -> Catalogue:
    """What a play of one basket needs."""
    with Play.of([FIRST], most=1) as play:
        return wanted(play, {"apple": ("Apple", "fruit")})


def test_what_is_not_there_is_told(needed: Catalogue) -> None:
    """An empty catalogue is filled: every SPU of the baskets, the product that no store has, every store, open."""
    assert to_tell(needed, NOTHING, overwrite=False) == needed
    assert needed.products["apple"] == ("Apple", 250, "fruit")
    assert NOWHERE in needed.products
    assert needed.stores["s-1"] == ("store s-1", True, bounds_of("s-1"))


def test_what_is_the_same_is_left_alone(needed: Catalogue) -> None:
    """A load after a load has nothing to tell; one with other products tells only those."""
    assert to_tell(needed, needed, overwrite=False) == NOTHING
    part = replace(needed, products={NOWHERE: needed.products[NOWHERE]})
    assert NOWHERE not in to_tell(needed, part, overwrite=False).products


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"price": 251}, "product apple: price is 251, wanted 250"),
        ({"name": "\x1b[2J"}, r"product apple: name is '\x1b[2J', wanted 'Apple'"),
        ({"category": "x"}, "product apple: category is 'x', wanted 'fruit'"),
    ],
)
def test_a_product_that_differs_is_named_and_replaced_only_when_asked(
    needed: Catalogue, change: dict[str, Any], told: str
) -> None:
    """Every field that the load would overwrite counts."""
    there = replace(needed, products={**needed.products, "apple": needed.products["apple"]._replace(**change)})
    with pytest.raises(LoadError) as refused:
        to_tell(needed, there, overwrite=False)
    assert told in str(refused.value)
    assert "--overwrite" in str(refused.value)
    assert to_tell(needed, there, overwrite=True) == Catalogue({"apple": needed.products["apple"]}, {})


@pytest.mark.parametrize("change", [{"name": "mine"}, {"accepting": False}, {"bounds": (0.0, 0.0, 1.0, 1.0)}])
def test_a_store_that_differs_is_named_and_replaced_only_when_asked(needed: Catalogue, change: dict[str, Any]) -> None:
    """Also a store that somebody closed: a load opens none by the way."""
    there = replace(needed, stores={"s-1": needed.stores["s-1"]._replace(**change)})
    with pytest.raises(LoadError, match=f"store s-1: {next(iter(change))} is"):
        to_tell(needed, there, overwrite=False)
    assert to_tell(needed, there, overwrite=True).stores == needed.stores


def test_of_many_that_differ_a_few_are_named_and_all_counted() -> None:
    """A catalogue of fifty thousand strangers fits a sentence."""
    with Play.of([FIRST], most=1) as play:
        play.prices = {f"spu-{n}": 100 for n in range(50_000)}
        needed = wanted(play, {})
        play.prices = {f"spu-{n}": 101 for n in range(50_000)}
        there = wanted(play, {})
    with pytest.raises(LoadError) as refused:
        to_tell(needed, there, overwrite=False)
    assert "50,000 products and stores" in str(refused.value)
    assert "and 49,997 more" in str(refused.value)
    assert len(str(refused.value)) < 400
