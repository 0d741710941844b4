"""The mix of customers."""

from collections import Counter

import pytest

from larder.load.mix import After, Back, Chooser, Mix, Tail
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
    counts = Counter(
        drawn(Mix(unpaid=0.1, cancel=0.3, declined=0, late=0, twice=0, short=0, back=Back.none()), 1, 20_000)
    )
    assert counts[Tail.UNPAID] == pytest.approx(2_000, rel=0.1)
    assert counts[Tail.CANCELS_AT_ONCE] == pytest.approx(2_000, rel=0.1)
    assert counts[Tail.PAYS] == pytest.approx(12_000, rel=0.05)
    assert counts[Tail.DECLINED] == 0


def test_no_shares_means_that_all_pay():
    """A mix of nothing is only good customers."""
    assert set(drawn(Mix(0, 0, 0, 0, 0, 0, Back.none(), After.none()), 1, 1_000)) == {Tail.PAYS}


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
    short = Settings(payment_window_s=8, gateway_timeout_s=3, shortage_window_s=5, return_window_s=5)
    assert Mix().fitted(short) == (Mix(), [])


def test_each_way_back_is_in_the_default_mix():
    """Nobody has to ask for them; each is rare."""
    counts = Counter(drawn(Mix(), 1, 40_000))
    assert set(counts) == set(Tail) - {Tail.CANCELS_LATE}  # which only adversaries do
    assert all(counts[tail] < 800 for tail in Tail if tail >= Tail.CANCELS_PAID)


def test_nobody_waits_for_hours():
    """With the default windows every customer is called and all goods come back, and the load says so."""
    mix, said = Mix().fitted(Settings(payment_window_s=8, gateway_timeout_s=3))
    assert not {Tail.LESS_UNCALLED, Tail.AWAY_NEVER_BACK} & set(drawn(mix, 1, 40_000))
    assert ["600 s" in said[0], "86400 s" in said[1]] == [True, True]


def test_ways_back_are_scaled_together():
    """All of them keep their proportion and come to the share that was asked for."""
    back = Back(intercept=0.03).scaled(0.3)
    assert back.together == pytest.approx(0.3)
    assert back.intercept == pytest.approx(3 * back.shortage)
    assert Back().scaled(0) == Back.none()
    with pytest.raises(ValueError, match="share"):
        Back.none().scaled(0.3)
