"""The measure of one hot SPU: what it counts is what a store would do."""

from __future__ import annotations

from larder.load.hot import BATCH, decisions_per_second


def test_a_crowd_is_measured_and_gets_what_there_is() -> None:
    """More than a batch of orders: as many are sold as there are pieces, and each step has a rate."""
    hot = decisions_per_second(pieces=BATCH // 10, crowd=BATCH + 100)
    assert hot.sold == BATCH // 10
    assert min(hot.holds, hot.verifications, hot.deductions) > 0
