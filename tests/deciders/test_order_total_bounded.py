"""Order: given prices and quantities that are each allowed, when their sum is more than a payment takes, refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.order.pricing import TOTAL_MAX
from services.order.state import Phase, Product
from shared.contracts import inventory
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, MONEY_MAX, QUANTITY_MAX
from shared.runtime.table import Moved, Refused
from tests.deciders.orders import BASKET, CLICK, RELEASED, VERIFIED, at, messages, order, shop
from tests.deciders.scene import Scene


def outgrow(scene: Scene) -> None:
    """The price of milk, of which the order has two, goes up to what the catalogue takes."""
    scene.states["product", "milk"] = Product(MONEY_MAX)


def test_refused_at_placing() -> None:
    """And told with the total, whatever the customer expected."""
    for expected in (None, 1, MONEY_MAX):
        scene = shop(milk=MONEY_MAX)
        outcome = scene.when(BASKET.model_copy(update={"expected_total": expected}))
        assert isinstance(outcome, Refused)
        assert outcome.code == "total_too_large"
        assert str(2 * MONEY_MAX + 349) in outcome.detail


def test_refused_at_placing_again_as_an_order_that_exists() -> None:
    """An id is placed once, whatever is in the basket then."""
    scene = at(Phase.AWAITING_PAYMENT)
    outgrow(scene)
    outcome = scene.when(BASKET)
    assert isinstance(outcome, Refused)
    assert outcome.code == "order_exists"


def test_click_refused_when_the_price_rose() -> None:
    """The order stays as it is: it can be paid when the price is one again, until its window ends."""
    scene = at(Phase.AWAITING_PAYMENT)
    outgrow(scene)
    outcome = scene.when(CLICK)
    assert isinstance(outcome, Refused)
    assert outcome.code == "total_too_large"
    assert order(scene).phase is Phase.AWAITING_PAYMENT
    scene.states["product", "milk"] = Product(129)
    assert isinstance(scene.when(CLICK), Moved)


def test_cancelled_when_the_price_rose_behind_the_click() -> None:
    """No payment could take it: the stock goes back, and nothing was asked of the gateway."""
    scene = at(Phase.VERIFYING)
    outgrow(scene)
    assert messages(scene.says(VERIFIED)) == [inventory.ReleaseStock(order_id="o-1", store="s-1")]
    scene.when(RELEASED)
    assert (order(scene).phase, order(scene).reason) == (Phase.CANCELLED, "total_too_large")


lines = st.lists(
    st.tuples(st.integers(1, QUANTITY_MAX), st.integers(1, MONEY_MAX)), min_size=1, max_size=LINES_MAX
) | st.just([(QUANTITY_MAX, MONEY_MAX)] * LINES_MAX)


@given(lines)
def test_no_order_ever_costs_more_than_a_payment_takes(basket: list[tuple[int, int]]) -> None:
    """Whatever the catalogue and the basket may hold."""
    spus = tuple(f"spu-{n}" for n in range(len(basket)))
    scene = shop(**{spu: price for spu, (_, price) in zip(spus, basket, strict=True)})
    quantities = tuple(quantity for quantity, _ in basket)
    outcome = scene.when(
        ordering.PlaceOrder(order_id="o-1", account="a-1", store="s-1", spus=spus, quantities=quantities)
    )
    total = sum(quantity * price for quantity, price in basket)
    if total > TOTAL_MAX:
        assert isinstance(outcome, Refused)
        assert outcome.code == "total_too_large"
    else:
        assert order(scene).total == total


def test_totals_are_exact_in_every_reader_of_json() -> None:
    """A number above 2^53 is another one in most of them."""
    assert TOTAL_MAX < 2**53
