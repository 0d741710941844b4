"""What adopting a new broker means for each link, by the books of its two ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from larder.stack.adopt import Log, Plan, Source, Standing
from larder.stack.adopt import plan as plan_of
from larder.stack.errors import StackError

ORDER, INVENTORY = Source("order", 0), Source("inventory", 0)
LISTENERS = {"inventory.commands": ["inventory"], "inventory.events": ["order"]}
OUT = "inventory.commands/0"


EMPTY: Mapping[Log, tuple[int, int]] = {}


def plan(
    books: Mapping[Source, Standing], new: str, listeners: Mapping[str, list[str]] = LISTENERS, logs: Any = EMPTY
) -> dict[Source, Plan]:
    """A plan that loses nothing."""
    plans, lost = plan_of(books, new, listeners, logs)
    assert lost == []
    return plans


def standing(
    sent: Mapping[str, int] | None = None,
    received: Mapping[str, int] | None = None,
    kept: Mapping[str, int] | None = None,
    cluster: str = "old",
    offsets: Mapping[str, int] | None = None,
) -> Standing:
    """A shard's books."""
    return Standing(cluster, sent or {}, received or {}, kept or {}, offsets or {}, sent or {})


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
    plans, lost = plan_of(books, "new", LISTENERS, EMPTY)
    assert lost == ["order/0 to inventory.commands/0: 41 to 43"]
    # Going on without them, the receiver waits for what comes, and not for what cannot.
    assert plans[INVENTORY].received == {"order/0 inventory.commands": 43}
    assert plans[ORDER].acked == {OUT: 43}
    assert (plans[ORDER].again, plans[ORDER].new) == (14, 14)


def test_a_receiver_that_never_started_needs_everything() -> None:
    """It has no progress row: its links begin at one."""
    assert plan({ORDER: standing({OUT: 5}, kept={OUT: 1})}, "new", LISTENERS)[ORDER].new == 5
    _, lost = plan_of({ORDER: standing({OUT: 5}, kept={OUT: 2})}, "new", LISTENERS, EMPTY)
    assert lost == ["order/0 to inventory.commands/0: 1 to 1"]


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


# -- a log that lost records under the same cluster id -----------------------------------------------------------------

ALL_READ = {"inventory.commands": 90, "order.events": 40}


def short_books() -> dict[Source, Standing]:
    """Inventory has read up to 90; the log of its commands is another one now."""
    return {
        ORDER: standing({OUT: 57, "order.events/0": 9}, kept={OUT: 31, "order.events/0": 4}, cluster="same"),
        INVENTORY: standing(received={"order/0 inventory.commands": 40}, cluster="same", offsets=ALL_READ),
    }


def test_a_log_that_ends_before_it_was_read_is_given_again() -> None:
    """Its reader begins at its beginning, and its writers with what they keep; other logs go on where they were."""
    logs = {("inventory.commands", 0): (0, 12), ("order.events", 0): (0, 77)}
    found = plan(short_books(), "same", logs=logs)
    assert found[INVENTORY].offsets == {"order.events": 40}
    assert found[ORDER].acked == {OUT: 30, "order.events/0": 9}
    assert (found[ORDER].again, found[ORDER].new) == (27, 17)


def test_a_topic_that_is_gone_is_a_log_without_end() -> None:
    """Deleted and not made again: the same."""
    found = plan(short_books(), "same", logs={("order.events", 0): (0, 77)})
    assert found[INVENTORY].offsets == {"order.events": 40}
    assert found[ORDER].acked[OUT] == 30


def test_nothing_to_adopt_when_every_log_is_as_long_as_it_was_read() -> None:
    """Longer is what logs are."""
    assert plan(short_books(), "same", logs={(topic, 0): (5, end + 1) for topic, end in ALL_READ.items()}) == {}


def test_another_broker_with_records_in_it_is_refused() -> None:
    """Old commands would be carried out again; also an empty log that had records once may be read from anywhere."""
    for span in ((0, 3), (3, 3)):
        with pytest.raises(StackError, match=r"not empty.*Nothing was changed.*payment.commands/0"):
            plan(short_books(), "new", logs={("payment.commands", 0): span})
