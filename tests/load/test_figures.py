"""What a load measures."""

import pytest

from larder.load.figures import End, Figures


def ended_at(*times: float) -> Figures:
    figures = Figures()
    figures.began_at = 0.0
    for time in times:
        figures.ended(End.COMPLETED, time)
    return figures


def test_lives_per_s_leaves_start_and_stragglers_out():
    """A slow start and a late last order do not change the rate of the middle 80%."""
    steady = [10 + n / 100 for n in range(98)]
    assert ended_at(3.0, *steady, 500.0).lives_per_s() == pytest.approx(100, rel=0.02)


def test_lives_per_s_of_one_batch_is_counted_from_the_beginning():
    """When all ended in the same moment there is no middle: then they are counted from the first order on."""
    assert ended_at(*[2.0] * 10).lives_per_s() == pytest.approx(5)


def test_nothing_ended_is_no_rate():
    """No orders, no rate, no waiting times, and a summary all the same."""
    told = Figures().summary(0, None, "b", "d")
    assert told["lives_per_s"] == 0
    assert told["place_to_payable_ms"] == {"p50": None, "p99": None}


def test_the_summary_has_the_promised_fields():
    """The last line of `larder load --json`, field by field."""
    figures = ended_at(1.0, 2.0)
    figures.ended(End.CANCELLED, 3.0)
    figures.ended(End.REJECTED, 4.0)
    for wait_ms in range(1, 101):
        figures.payable(wait_ms / 1000, 10.0)
    told = figures.summary(4, 0, "apache-kafka 4.1.1", "postgresql 18.4")
    assert told["completed"] + told["cancelled"] + told["rejected"] == told["orders"] == 4
    assert told["place_to_payable_ms"] == {"p50": 51.0, "p99": 100.0}
    assert told["seconds"] == 4.0
    assert list(told) == [
        "orders", "completed", "cancelled", "rejected", "seconds", "lives_per_s",
        "place_to_payable_ms", "violations", "broker", "database", "parked",
    ]  # fmt: skip


def test_waits_of_a_time_are_of_orders_placed_then():
    """An order that became payable later counts where it was placed; an instant is in one time only."""
    figures = Figures()
    for placed_at, wait_s in ((1.0, 0.5), (1.9, 9.0), (2.0, 0.2), (3.0, 0.1)):
        figures.payable(wait_s, placed_at + wait_s)
    assert figures.wait_ms(0.99, (0.0, 2.0)) == pytest.approx(9_000)
    assert figures.wait_ms(0.99, (2.0, 3.0)) == pytest.approx(200)
    assert figures.wait_ms(0.99, (5.0, 6.0)) is None


def test_paid_orders_tell_what_promotions_took_off():
    """Orders without promotions count nothing."""
    figures = Figures()
    figures.paid(700, 3, 0)
    figures.paid(0, 1, 250)
    assert (figures.taken, figures.discounted, figures.taken_off) == (700, 1, 250)
