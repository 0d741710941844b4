"""What is to be played."""

import json
from itertools import islice

import pytest

from larder.load.baskets import Basket, read_baskets
from larder.load.catalogue import area_of
from larder.load.play import Play
from larder.load.sample import BASKETS, PRODUCTS, read_names
from larder.load.shelves import MARGIN, receipts
from shared.contracts import inventory
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX

FIRST = Basket(2, "a-1", "s-1", ["apple", "milk"], [2, 1], [250, 199])
AGAIN = Basket(4, "a-2", "s-1", ["apple", "apple"], [3, 4], [999, 250])


def test_prices_and_demand_of_what_is_played():
    """One price for each SPU, the first one seen; demand summed by store and SPU; no more baskets than asked."""
    with Play.of([FIRST, AGAIN, FIRST], most=2) as play:
        assert play.baskets == 2
        assert play.prices == {"apple": 250, "milk": 199}
        assert play.demand == {"s-1": {"apple": 9, "milk": 1}}


def test_more_orders_than_baskets_plays_them_again():
    """Baskets come again in the same order, and `plays` counts a begun play as one."""
    with Play.of([FIRST, AGAIN], most=5) as play:
        assert [b.account for b in islice(play.endless(), 5)] == ["a-1", "a-2", "a-1", "a-2", "a-1"]
        assert play.plays(5) == 3
        assert play.plays(2) == 1


def test_a_ready_body_is_a_whole_place_order():
    """What is sent is a PlaceOrder with the basket's lines, as the contract reads it."""
    with Play.of([FIRST], most=1) as play:
        ready = next(play.endless())
    message = ordering.PlaceOrder.from_json(b'{"order_id":"o-1"' + ready.rest)
    assert (message.account, message.store, message.spus) == ("a-1", "s-1", ("apple", "milk"))
    assert message.quantities == (2, 1)
    assert ready.pieces == 3


def test_every_real_basket_makes_a_valid_order():
    """A hundred baskets of the sample pass the contract."""
    with Play.of(read_baskets(BASKETS), most=100) as play:
        for ready in islice(play.endless(), 100):
            ordering.PlaceOrder.from_json(b'{"order_id":"o-1"' + ready.rest)


def test_receipts_bring_what_will_be_ordered_and_a_margin():
    """Goods receipts hold at most 200 lines of one store each, and together the demand of all plays and a margin."""
    with Play.of(read_baskets(BASKETS), most=300) as play:
        received: dict[tuple[str, str], int] = {}
        ids = set()
        for id_, message in receipts("r", play, 3):
            ids.add(id_)
            read = inventory.ReceiveGoods.from_json(message.to_json())
            assert len(read.spus) <= LINES_MAX
            received.update({(read.store, s): q for s, q in zip(read.spus, read.quantities, strict=True)})
        assert received == {
            (store, spu): pieces * 3 + MARGIN for store, demand in play.demand.items() for spu, pieces in demand.items()
        }
        assert ids == {id_ for id_, _ in receipts("r", play, 3)}


def test_areas_are_closed_squares_that_never_move():
    """The same store lies in the same place in each load, and two stores in two places."""
    ring = area_of("s-1")["coordinates"][0]
    assert ring[0] == ring[-1]
    assert len({tuple(p) for p in ring}) == 4
    assert area_of("s-1") == json.loads(json.dumps(area_of("s-1")))
    assert area_of("s-1") != area_of("s-2")


@pytest.mark.parametrize("path", [PRODUCTS])
def test_the_sample_names_all_its_products(path):
    """Every product in the sample's baskets has a name and a category."""
    names = read_names(path)
    spus = {spu for basket in read_baskets(BASKETS) for spu in basket.spus}
    assert spus - set(names) == set()
