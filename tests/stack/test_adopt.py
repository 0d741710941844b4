"""What adopting a new broker means for each link, by the books of its two ends."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from larder.stack.adopt import Source, Standing, plan
from larder.stack.errors import StackError

ORDER, INVENTORY = Source("order", 0), Source("inventory", 0)
LISTENERS = {"inventory.commands": ["inventory"], "inventory.events": ["order"]}
OUT = "inventory.commands/0"


def standing(
    sent: Mapping[str, int] | None = None,
    received: Mapping[str, int] | None = None,
    kept: Mapping[str, int] | None = None,
    cluster: str = "old",
) -> Standing:
    """A shard's books."""
    return Standing(cluster, sent or {}, received or {}, kept or {})


def test_all_that_the_outbox_keeps_is_sent_again() -> None:
    """The receiver drops what it has; whoever listens from outside finds it in the new log."""
    books = {
        ORDER: standing({OUT: 57}, kept={OUT: 31}),
        INVENTORY: standing(received={"order/0 inventory.commands": 40}),
    }
    found = plan(books, "new", LISTENERS)
    assert found[ORDER].acked == {OUT: 30}
    assert (found[ORDER].again, found[ORDER].new) == (27, 17)


def test_a_link_that_was_received_whole_needs_no_rows() -> None:
    """Rows past their retention are gone, and nobody misses them."""
    books = {ORDER: standing({OUT: 57}), INVENTORY: standing(received={"order/0 inventory.commands": 57})}
    assert plan(books, "new", LISTENERS)[ORDER].acked == {OUT: 57}


def test_rows_that_are_gone_but_were_never_received_are_refused_by_their_numbers() -> None:
    """Going on would leave a gap for ever; the reader learns which messages are lost, and that nothing was changed."""
    books = {
        ORDER: standing({OUT: 57}, kept={OUT: 44}),
        INVENTORY: standing(received={"order/0 inventory.commands": 40}),
    }
    with pytest.raises(StackError, match=r"Nothing was changed.*order/0 to inventory.commands/0: 41 to 43"):
        plan(books, "new", LISTENERS)


def test_a_receiver_that_never_started_needs_everything() -> None:
    """It has no progress row: its links begin at one."""
    assert plan({ORDER: standing({OUT: 5}, kept={OUT: 1})}, "new", LISTENERS)[ORDER].new == 5
    with pytest.raises(StackError, match="1 to 1"):
        plan({ORDER: standing({OUT: 5}, kept={OUT: 2})}, "new", LISTENERS)


def test_what_nobody_inside_listens_to_is_never_missed() -> None:
    """Whoever listens from outside gets what is kept, and no more is promised."""
    books = {ORDER: standing({"order.events/0": 9}, kept={"order.events/0": 4})}
    found = plan(books, "new", LISTENERS)[ORDER]
    assert (found.acked, found.again, found.new) == ({"order.events/0": 3}, 6, 0)


def test_each_partition_has_its_own_receiver() -> None:
    """A topic's partitions are read by the shards of the same number."""
    books = {
        ORDER: standing({"inventory.commands/0": 3, "inventory.commands/1": 8}, kept={"inventory.commands/1": 7}),
        INVENTORY: standing(received={"order/0 inventory.commands": 3}),
        Source("inventory", 1): standing(received={"order/0 inventory.commands": 6}),
    }
    assert plan(books, "new", LISTENERS)[ORDER].acked == {"inventory.commands/0": 3, "inventory.commands/1": 6}


def test_a_shard_that_goes_with_the_new_broker_already_is_left_alone() -> None:
    """A run that was cut short is repeated; what it had done stays done."""
    books = {ORDER: standing({OUT: 5}, kept={OUT: 1}, cluster="new"), INVENTORY: standing()}
    assert list(plan(books, "new", LISTENERS)) == [INVENTORY]
    assert plan({ORDER: books[ORDER]}, "new", LISTENERS) == {}
