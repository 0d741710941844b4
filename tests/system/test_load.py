"""`larder load` with promotions, and with a flash sale, against everything."""

from collections.abc import Iterator

import pytest

from larder.load.baskets import read_baskets
from larder.load.display import Plain
from larder.load.figures import End
from larder.load.flash import SALE_PRICE, Sale
from larder.load.flash_run import FlashLoad
from larder.load.play import Play
from larder.load.run import Load, Options
from larder.load.sample import BASKETS, read_names
from tests.system.driver import Stack, good

PIECES, CROWD = 20, 120
STORE = "32004"
"""Of the sample: a store of many baskets."""


@pytest.fixture
def play() -> Iterator[Play]:
    """Real baskets of one store."""
    with Play.of(read_baskets(BASKETS), 100, STORE) as play:
        yield play


async def test_a_flash_sale_is_exact_and_other_orders_go_on(stack: Stack, play: Play) -> None:
    """Twenty pieces for a crowd of 120, some of whom decline, never pay, come twice or give their piece back: twenty
    keep one, the others are told and have their money; ordinary orders end meanwhile; and then the sale is over."""
    sale = Sale(PIECES, CROWD, 1)
    load = FlashLoad(stack.settings, Options(60, rate=40), play, read_names(), Plain(), sale)
    await load.run()
    assert (load.stuck, sale.faults()) == ([], [])
    told = load.summary()
    assert (told["exact"], told["paid"], told["crowd"]) == (True, PIECES, CROWD)
    assert told["paid"] + told["sold_out"] + told["given_back"] + sum(told["others"].values()) == CROWD
    assert told["given_back"] > 0
    assert told["refunded"] >= told["given_back"]
    assert told["place_to_payable_ms"]["ratio"] > 0
    assert load.figures.counts[End.COMPLETED] > 30
    sold = f"flash-{load.run_id}"
    stock = good(await stack.ask("GET", "inventory", f"/stores/{STORE}/stock/{sold}", by="storekeeper"))
    assert (stock["on_hand"], stock["locked"]) == (0, 0)
    promotion = good(await stack.ask("GET", "order", f"/promotions/{sold}"))
    assert (promotion["state"], promotion["value"]) == ("over", SALE_PRICE)


async def test_a_load_with_promotions_ends_like_any_other(stack: Stack, play: Play) -> None:
    """All ways through and back at other prices: every order ends, most were cheaper, some coupons were refused, some
    totals changed on the click; and the promotions are over behind it."""
    load = Load(stack.settings, Options(200, rate=40, promotions=True), play, read_names(), Plain())
    await load.run()
    assert load.stuck == []
    told = load.promotions_told()["promotions"]
    paid = load.figures.counts[End.COMPLETED]
    assert paid / 2 < told["orders"] <= 200
    assert told["taken_off"] > 100 * told["orders"]
    assert told["coupons"] > told["coupons_refused"] > 0
    assert told["confirmed"] > 0
    for name in ("percent", "three", "off", "welcome", "gift"):
        promotion = good(await stack.ask("GET", "order", f"/promotions/load-{load.run_id}-{name}"))
        assert promotion["state"] == "over", promotion
        assert promotion["revision"] == (3 if name == "percent" else 2), promotion
