"""A load with a flash sale, before it talks to anybody: who orders, when ordinary orders flow, what is measured."""

from collections.abc import Iterator
from itertools import islice

import pytest

from larder.load.baskets import read_baskets
from larder.load.display import Plain
from larder.load.flash import SALE_PRICE, Sale
from larder.load.flash_run import RATE, FlashLoad
from larder.load.play import Play
from larder.load.run import Options
from larder.load.sample import BASKETS
from services.order.promotions_api import PromotionBody, _must_make_sense
from shared.contracts import order as ordering
from shared.settings import Settings

STORE = "32004"


@pytest.fixture
def load() -> Iterator[FlashLoad]:
    """Twenty ordinary orders, then a crowd of ten for ten pieces."""
    with Play.of(read_baskets(BASKETS), 5, STORE) as play:
        yield FlashLoad(Settings(kafka="127.0.0.1:1"), Options(20), play, {}, Plain(), Sale(10, 10, 1))


def test_each_ordinary_order_is_another_account_s(load: FlashLoad):
    """Five baskets played four times are twenty customers, whose orders larder takes; what they cost is unchanged."""
    orders = list(islice(load._baskets, 20))
    assert len({order.account for order in orders}) == 20
    assert [order.total for order in orders[:5]] == [order.total for order in orders[5:10]]
    for order in orders:
        message = ordering.PlaceOrder.from_json(b'{"order_id":"o-1"' + order.rest)
        assert (message.account, message.store, sum(message.quantities)) == (order.account, STORE, order.pieces)


def test_the_crowd_comes_after_the_ordinary_orders_and_they_flow_as_long_as_it_is_there(load: FlashLoad):
    """Twenty first, then at most one for each of the crowd, and none when the crowd is gone."""
    sent: list[str] = []
    for crew in load.crews:
        crew._send = lambda topic, partition, wire: sent.append(dict(wire[2])["ce_id"].decode())
    load._place(0.0)
    assert (len(sent), load.sale.opened_at, load.to_place) == (1, None, 20)
    load._place(20 / RATE)
    assert (load.sale.opened_at, load.crowd.placed, load.to_place) == (20 / RATE, 10, 30)
    load._place(100.0)
    assert load.robots.placed == 30
    load.sale.over_at = 101.0
    assert load.to_place == 30
    assert [id_ for id_ in sent if "-c-" in id_] == [f"l-{load.run_id}-c-{n}-place" for n in range(1, 11)]


def test_a_piece_is_ordered_at_the_sale_s_price_or_not_at_all(load: FlashLoad):
    """One piece, at the price that the customer came for; the promotion is one that larder takes."""
    bodies: list[bytes] = []
    load.crowd._send = lambda topic, partition, wire: bodies.append(wire[1])
    load.sale.opened_at = 0.0
    load._place(0.0)
    ((id_, promotion),) = load._written()
    body = PromotionBody.model_validate(promotion, strict=False)
    _must_make_sense(body)
    for placed in map(ordering.PlaceOrder.from_json, bodies):
        assert (placed.expected_total, placed.quantities, placed.spus) == (SALE_PRICE, (1,), tuple(body.spus))
        assert placed.account.startswith(f"crowd/{load.run_id}/")
    assert (id_, body.per_account, body.stores) == (f"flash-{load.run_id}", 1, [STORE])


def test_waits_without_and_with_the_crowd_are_of_orders_placed_then(load: FlashLoad):
    """The first and last moments before the crowd count for neither; the ratio is that of the two p99."""
    load.figures.began_at, load.sale.opened_at, load.sale.over_at = 100.0, 120.0, 130.0
    for placed_at, wait_s in ((101.0, 5.0), (110.0, 0.1), (119.0, 5.0), (120.5, 0.15), (131.0, 5.0)):
        load.figures.payable(wait_s, placed_at + wait_s)
    told = load.summary()["place_to_payable_ms"]
    assert (told["without"], told["with"], told["ratio"]) == (100.0, 150.0, 1.5)
    assert [times["orders"] for times in told["measured"].values()] == [1, 1]
    assert load.summary()["exact"] is False
