"""What the doctor says about copies: each thing that a cluster may lack, and nothing about one that lacks nothing."""

from dataclasses import replace

import pytest

from larder.stack.copies import Cluster, Copies, complaints, copies_in, min_in_sync_of

WELL = Copies("order.commands", copies=3, in_sync=3, led=True, min_in_sync=2, unclean=False)
OTHER = replace(WELL, name="order.events")


def cluster(*topics: Copies, brokers: int = 3, offsets_copies: int | None = 3) -> Cluster:
    """A cluster of three, unless said otherwise."""
    return Cluster(brokers, topics, offsets_copies)


@pytest.mark.parametrize(("brokers", "copies", "min_in_sync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)])
def test_what_topics_are_made_with(brokers: int, copies: int, min_in_sync: int) -> None:
    """Three copies where there are three brokers, and then a record counts once two have it; a cluster that has what it
    is given lacks nothing."""
    assert copies_in(brokers) == copies
    assert min_in_sync_of(copies) == min_in_sync
    made = replace(WELL, copies=copies, in_sync=copies, min_in_sync=min_in_sync)
    assert complaints(cluster(made, brokers=brokers, offsets_copies=copies)) == []


@pytest.mark.parametrize(
    ("topic", "words", "urgent"),
    [
        (replace(WELL, led=False, in_sync=0), "without a leader", True),
        (replace(WELL, in_sync=1), "fewer copies in sync than min.insync.replicas, so nothing is acknowledged", True),
        (replace(WELL, in_sync=2), "not every copy is in sync", False),
        (replace(WELL, copies=1, in_sync=1, min_in_sync=1), "fewer than 3 copies, although there are 3 brokers", False),
        (replace(WELL, min_in_sync=1), "min.insync.replicas is less than 2", False),
        (replace(WELL, unclean=True), "unclean.leader.election.enable is true", False),
    ],
)
def test_each_lack_is_told_once_with_its_topic(topic: Copies, words: str, urgent: bool) -> None:
    """The operator reads which topics lack what, and it is urgent only when something does not work now."""
    (complaint,) = complaints(cluster(topic, OTHER))
    assert complaint.text.startswith(f"{topic.name}: {words}")
    assert complaint.urgent == urgent


def test_one_copy_needs_no_second_to_acknowledge() -> None:
    """Kafka never asks for more copies in sync than a topic has, whatever the brokers' own setting says."""
    alone = replace(WELL, copies=1, in_sync=1, min_in_sync=2)
    assert complaints(cluster(alone, brokers=1, offsets_copies=1)) == []


def test_a_lonely_copy_of_the_groups_topic_is_told() -> None:
    """Without its broker no group has a coordinator, and no worker that starts gets a shard."""
    (complaint,) = complaints(cluster(WELL, offsets_copies=1))
    assert complaint.text.startswith("__consumer_offsets has one copy, although there are 3 brokers")
    assert complaints(cluster(WELL, offsets_copies=None)) == []


def test_many_topics_are_not_all_named() -> None:
    """A line that lists 24 topics is not read."""
    bare = [replace(WELL, name=f"t-{n}", unclean=True) for n in range(5)]
    assert complaints(cluster(*bare))[0].text.startswith("all 5 topics: ")
    assert complaints(cluster(*bare, WELL))[0].text.startswith("t-0, t-1, t-2 and 2 more: ")
