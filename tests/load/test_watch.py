"""What is told of adversaries and customers: verdicts, stock-time, mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from larder.load.watch import Watch
from shared.contracts import inventory, risk
from shared.contracts.base import Message


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


def said(message: Message, at_ms: int) -> Record:
    return Record(message.key.encode(), message.to_json(), (("ce_type", message.TYPE.encode()),), at_ms)


CLEARED = risk.OrderCleared(order_id="o-1")
LOCKED = inventory.StockHeld(order_id="o-1", mode="lock")
CHECKED = inventory.StockHeld(order_id="o-1", mode="on_payment")
RELEASED = inventory.StockReleased(order_id="o-1")
DEDUCTED = inventory.StockDeducted(order_id="o-1", document="d", spus=("tea",), quantities=(3,))
LOST = inventory.StockLost(order_id="o-1", spus=("tea",), missing=(1,))


def watched(*records: Record, kind: str | None = "unpaid") -> Watch:
    watch = Watch()
    watch.placed(b"o-1", kind, "a-1", 3)
    watch.hear(records)
    return watch


@pytest.mark.parametrize("end", [RELEASED, DEDUCTED, LOST])
def test_stock_time_is_pieces_times_the_seconds_they_are_locked(end: Message):
    """Three pieces for two and a half seconds, however it ends."""
    watch = watched(said(CLEARED, 900), said(LOCKED, 1_000), said(end, 3_500))
    assert watch.tallies["unpaid"].told() == {
        "orders": 1, "cleared": 1, "restricted": 0, "referred": 0, "refused": 0, "locked_piece_s": 7.5
    }  # fmt: skip
    assert watch.locks == 0


def test_what_is_only_checked_takes_nothing_away():
    """An order that is deducted on payment locks nothing."""
    restricted = said(risk.OrderRestricted(order_id="o-1", reason="x"), 900)
    assert watched(restricted, said(CHECKED, 1_000), said(RELEASED, 9_000)).tallies["unpaid"].piece_ms == 0


def test_what_is_said_twice_or_in_another_order_counts_once():
    """Topics are heard as they come, and the log may hold an event twice."""
    twice = (
        said(LOCKED, 1_000),
        said(LOCKED, 2_000),
        said(RELEASED, 3_000),
        said(LOCKED, 4_000),
        said(RELEASED, 9_000),
    )
    watch = watched(*twice, said(CLEARED, 900), said(CLEARED, 901), said(LOCKED, 5_000), said(RELEASED, 9_500))
    tally = watch.tallies["unpaid"]
    assert (tally.piece_ms, tally.verdicts["cleared"], watch.locks) == (6_000, 1, 0)


def test_the_first_verdict_counts():
    """An order that nobody looked at in time is restricted then: it was referred."""
    watch = watched(said(risk.OrderReferred(order_id="o-1"), 1), said(risk.OrderRestricted(order_id="o-1"), 2))
    assert {name for name, count in watch.tallies["unpaid"].verdicts.items() if count} == {"referred"}


def test_honest_orders_that_are_not_cleared_are_mistakes():
    """Orders and accounts are counted apart; an adversary's verdicts are no mistakes."""
    watch = Watch()
    for number, (kind, account, verdict) in enumerate(
        [
            (None, "a", risk.OrderCleared),
            (None, "a", risk.OrderRestricted),
            (None, "a", risk.OrderRefused),
            (None, "b", risk.OrderReferred),
            (None, "c", risk.OrderCleared),
            ("flood", "d", risk.OrderRefused),
        ]
    ):
        watch.placed(b"o-%d" % number, kind, account, 1)
        watch.hear([said(verdict(order_id=f"o-{number}"), 1)])
    told = watch.summary()
    assert told["honest"]["mistaken"] == {"orders": 3, "accounts": 2}
    assert (told["honest"]["orders"], told["honest"]["accounts"]) == (5, 3)
    assert told["adversaries"]["refused"] == told["adversaries"]["kinds"]["flood"]["refused"] == 1
    assert "not cleared, though honest: 3 orders of 2 accounts, of 3" in watch.in_words()


def test_a_lock_whose_end_was_not_heard_is_told():
    """Nothing is made up for it."""
    watch = watched(said(CLEARED, 900), said(LOCKED, 1_000), kind=None)
    assert (watch.summary()["locks_open"], watch.customers.piece_ms) == (1, 0)
    assert "of 1 orders that still lock stock" in watch.in_words()


def test_other_orders_and_tombstones_are_passed_over():
    """Other people's orders run through the same topics."""
    watch = watched(Record(b"o-1", None, (), 1), Record(None, b"{}", (), 1), said(risk.OrderCleared(order_id="o-2"), 1))
    assert watch.tallies["unpaid"].verdicts["cleared"] == 0
