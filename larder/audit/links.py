"""Links: what was sent was received, in unbroken numbers, and what was not received can be sent again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from larder.audit.look import Link, Look
from larder.audit.report import Report


def links_are_even(first: Look, last: Look, report: Report) -> None:
    """No receiver has more than was sent to it; none has stood still, from the first look to the last, before
    something that was sent by then. What moves is in flight."""
    before = {link.name: link for link in first.links}
    for link in last.links:
        report.checked["links_are_even"] += 1
        if link.received > link.sent:
            told = f"{link.receiver} has received up to {link.received}, but only {link.sent} were sent"
            report.add("links_are_even", (link.name,), told)
        elif link.sent > link.received:
            then = before.get(link.name)
            if then and then.sent > link.received == then.received:
                told = f"{link.receiver} stands at {link.received} of {link.sent}: is there a gap, or no worker?"
                report.add("links_are_even", (link.name,), told)
            else:
                report.in_flight.links.append(f"{link.name}: {link.received} of {link.sent}")


class Kept(NamedTuple):
    """A row of the outbox: messages of one link, from one number to another."""

    shard: int
    topic: str
    partition: int
    first_link: int
    last_link: int


class Outbox:
    """Reads one service's outbox. It holds each link's messages in unbroken numbers up to the last one made, back to
    the first one that its receiver has not got; where it is never swept, back to the first one."""

    def __init__(self, service: str, report: Report, *, is_swept: bool = True) -> None:
        self._service = service
        self._report = report
        self._is_swept = is_swept
        self._ends: dict[str, tuple[int, int]] = {}

    def take(self, rows: Iterable[Kept]) -> None:
        """The next rows: each link's by their first number."""
        for row in rows:
            self._report.checked["outbox_is_whole"] += 1
            name = self._name(row.shard, row.topic, row.partition)
            begin, end = self._ends.get(name, (row.first_link, row.first_link - 1))
            self._ends[name] = begin, row.last_link
            if row.last_link < row.first_link:
                self._add(name, f"a row from {row.first_link} to {row.last_link}")
            elif row.first_link != end + 1:
                self._add(name, f"after {end} comes {row.first_link}")

    def compare(self, seen: Look) -> None:
        """With what the shards count."""
        received = {link.name: link.received for link in seen.links}
        kept = dict(self._ends)
        for (sender, shard), counted in seen.shards.items():
            if sender != self._service:
                continue
            for link, sent in counted.sent.items():
                topic, _, partition = link.rpartition("/")
                name = self._name(shard, topic, int(partition))
                first_kept, last_kept = kept.pop(name, (sent + 1, sent))
                if last_kept != sent:
                    self._add(name, f"the last row ends at {last_kept}, {sent} were made")
                elif sent and not self._is_swept and first_kept != 1:
                    self._add(name, f"begins at {first_kept}")
                elif received.get(name, sent) + 1 < first_kept:
                    told = f"received up to {received[name]}, but the outbox begins at {first_kept}"
                    self._add(name, f"{told}: nobody can send the rest")
        for name in kept:
            self._add(name, "rows of a link that its shard never numbered")

    def _add(self, name: str, told: str) -> None:
        self._report.add("outbox_is_whole", (name,), told)

    def _name(self, shard: int, topic: str, partition: int) -> str:
        return Link(f"{self._service}/{shard}", topic, partition, "", 0, 0).name
