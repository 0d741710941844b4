"""The promotions of a load."""

from collections import Counter
from datetime import UTC, datetime
from itertools import islice

import pytest

from larder.load.baskets import Basket, read_baskets
from larder.load.play import Play
from larder.load.promotions import COUPON_SHARES, GIFT, SCOPE_MAX, Promotions
from larder.load.sample import BASKETS, read_names
from services.order.promotions_api import PromotionBody, _must_make_sense

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def play():
    with Play.of(read_baskets(BASKETS), most=500) as play:
        yield play


def test_each_is_one_that_larder_takes(play):
    """All kinds but flash, of this load only, on for longer than it lasts; the one that changes is another revision."""
    promotions = Promotions("1xa", play, read_names(), 1, NOW)
    written = dict(promotions.written())
    bodies = {id_: PromotionBody.model_validate(body, strict=False) for id_, body in written.items()}
    for body in bodies.values():
        _must_make_sense(body)
        assert body.starts_at <= NOW < body.ends_at
        assert set(body.stores) == set(play.demand)
    assert {body.kind.value for body in bodies.values()} == {"percent", "buy_n_pay_m", "amount_off", "coupon"}
    assert all("1xa" in id_ for id_ in bodies)
    assert len({body.account for body in bodies.values()}) == 2
    id_, changed = promotions.changed()
    assert written[id_] != changed
    assert written[id_]["kind"] == changed["kind"]


def test_coupons_are_named_by_their_shares(play):
    """Whatever is named is written; who names what depends on the seed alone."""
    one, same, other = (Promotions("1xa", play, read_names(), seed, NOW) for seed in (1, 1, 2))
    named = Counter(one.coupon() for _ in range(5_000))
    assert set(named) - {""} <= set(dict(one.written()))
    assert 1 - named[""] / 5_000 == pytest.approx(sum(COUPON_SHARES.values()), abs=0.02)
    assert Counter(same.coupon() for _ in range(5_000)) == named
    assert Counter(other.coupon() for _ in range(5_000)) != named


def test_minima_are_in_the_midst_of_what_baskets_cost(play):
    """Half of the baskets get the amount off; the gift is more than any costs."""
    amount_off = next(body for _, body in Promotions("r", play, read_names(), 1, NOW).written() if "min_total" in body)
    totals = [basket.total for basket in play.once()]
    assert 0.4 < sum(total >= amount_off["min_total"] for total in totals) / len(totals) < 0.6
    assert max(totals) < GIFT


def test_so_many_stores_that_no_scope_names_them_are_all_stores():
    """A promotion names at most a thousand."""
    baskets = [Basket(2, "a", f"s-{n}", ["apple"], [1], [100]) for n in range(SCOPE_MAX + 1)]
    with Play.of(baskets, most=len(baskets)) as play:
        assert all(body["stores"] == [] for _, body in Promotions("r", play, {}, 1, NOW).written())


def test_a_basket_knows_what_it_costs(play):
    """At the price of the catalogue, which is one for all baskets."""
    baskets = [
        Basket(2, "a", "s-1", ["apple", "milk"], [2, 1], [250, 199]),
        Basket(4, "a", "s-2", ["apple"], [3], [999]),
    ]
    with Play.of(baskets, most=2) as two:
        assert [basket.total for basket in islice(two.endless(), 2)] == [699, 750]
    with Play.of(baskets, most=2, store="s-2") as one:
        assert (one.prices, list(one.demand), one.baskets) == ({"apple": 250}, ["s-2"], 1)
        assert [basket.total for basket in one.once()] == [750]
