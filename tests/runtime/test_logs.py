"""What the log leaves out."""

import logging

from shared.logs import REPEATED_S, Sparing


def record(name: str, words: str, *filled: object) -> logging.LogRecord:
    """One line of a log."""
    return logging.LogRecord(name, logging.ERROR, "", 0, words, filled, None)


def test_the_clients_repeats_are_told_once_a_minute() -> None:
    """A broker that is away for an hour must not fill the disk, nor hide what else is said."""
    now = [100.0]
    sparing = Sparing("aiokafka", lambda: now[0])
    told: list[bool] = []
    for _ in range(int(2 * REPEATED_S)):
        now[0] += 1
        told.append(sparing.filter(record("aiokafka", "no connection to node %s", len(told))))
        assert sparing.filter(record("shared.runtime.worker", "the same words"))
    assert sum(told) == 2
    assert told[0]
    assert sparing.filter(record("aiokafka.consumer.fetcher", "no connection to node %s", 1))
    assert sparing.filter(record("aiokafka", "other words"))
