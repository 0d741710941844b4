"""The mix of customers."""

from collections import Counter

import pytest

from larder.load.mix import Chooser, Mix, Tail
from shared.settings import Settings


def drawn(mix: Mix, seed: int, orders: int) -> list[Tail]:
    chooser = Chooser(mix, seed)
    return [chooser.next() for _ in range(orders)]


def test_the_same_seed_makes_the_same_customers():
    """Who does what depends on the seed alone."""
    assert drawn(Mix(), 7, 500) == drawn(Mix(), 7, 500)
    assert drawn(Mix(), 7, 500) != drawn(Mix(), 8, 500)


def test_shares_come_out_as_asked():
    """Over many orders each tail has about its share."""
    counts = Counter(drawn(Mix(unpaid=0.1, cancel=0.3, declined=0, late=0, twice=0, short=0), 1, 20_000))
    assert counts[Tail.UNPAID] == pytest.approx(2_000, rel=0.1)
    assert counts[Tail.CANCELS_AT_ONCE] == pytest.approx(2_000, rel=0.1)
    assert counts[Tail.PAYS] == pytest.approx(12_000, rel=0.05)
    assert counts[Tail.DECLINED] == 0


def test_no_shares_means_that_all_pay():
    """A mix of nothing is only good customers."""
    assert set(drawn(Mix(0, 0, 0, 0, 0, 0), 1, 1_000)) == {Tail.PAYS}


@pytest.mark.parametrize("shares", [{"unpaid": -0.1}, {"cancel": 1.1}, {"unpaid": 0.6, "cancel": 0.6}])
def test_shares_that_cannot_be_are_refused(shares):
    """A share is between 0 and 1, and together they are not more than all orders."""
    with pytest.raises(ValueError, match="share"):
        Mix(**shares)


def test_windows_too_long_to_wait_for_leave_tails_out_and_say_so():
    """With the default payment window nobody stays away unpaid, so that the load can end."""
    mix, said = Mix().fitted(Settings(payment_window_s=600, gateway_timeout_s=31))
    assert mix.unpaid == mix.late == 0
    assert mix.cancel == Mix().cancel
    assert ["600 s" in said[0], "31 s" in said[1]] == [True, True]


def test_short_windows_leave_the_mix_as_it_is():
    """With windows that can be waited for nothing is left out."""
    assert Mix().fitted(Settings(payment_window_s=8, gateway_timeout_s=3)) == (Mix(), [])
