"""Links: what was sent was received, in unbroken numbers, and what was not received can be sent again."""

from __future__ import annotations

from larder.audit.books import Connection
from larder.audit.quiet import Link, Look
from larder.audit.report import Report

_BREAKS = """
select shard, topic, kafka_partition, before, first_link, last_link from (
    select shard, topic, kafka_partition, first_link, last_link, lag(last_link) over link as before
    from outbox window link as (partition by shard, topic, kafka_partition order by first_link)
) as rows
where last_link < first_link or first_link <> before + 1
order by shard, topic, kafka_partition, first_link"""
_ENDS = """
select shard, topic, kafka_partition, min(first_link), max(last_link), count(*) from outbox
group by shard, topic, kafka_partition"""


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


async def outbox_is_whole(connection: Connection, service: str, report: Report, last: Look) -> None:
    """The outbox holds each link's messages in unbroken numbers up to the last one made, back to the first one that
    its receiver has not got."""
    for shard, topic, partition, before, first_link, last_link in await connection.fetch(_BREAKS):
        if last_link < first_link:
            told = f"a row from {first_link} to {last_link}"
        else:
            told = f"after {before} comes {first_link}"
        report.add("outbox_is_whole", (_name(service, shard, topic, partition),), told)
    received = {link.name: link.received for link in last.links}
    kept: dict[str, tuple[int, int]] = {}
    for shard, topic, partition, first_link, last_link, rows in await connection.fetch(_ENDS):
        report.checked["outbox_is_whole"] += rows
        kept[_name(service, shard, topic, partition)] = first_link, last_link
    for (sender, shard), counted in last.shards.items():
        if sender != service:
            continue
        for link, sent in counted.sent.items():
            topic, _, partition = link.rpartition("/")
            name = _name(service, shard, topic, int(partition))
            first_kept, last_kept = kept.pop(name, (sent + 1, sent))
            if last_kept != sent:
                report.add("outbox_is_whole", (name,), f"the last row ends at {last_kept}, {sent} were made")
            elif received.get(name, sent) + 1 < first_kept:
                told = (
                    f"received up to {received[name]}, but the outbox begins at {first_kept}: nobody can send the rest"
                )
                report.add("outbox_is_whole", (name,), told)
    for name in kept:
        report.add("outbox_is_whole", (name,), "rows of a link that its shard never numbered")


def _name(service: str, shard: int, topic: str, partition: int) -> str:
    """As `Link.name`."""
    return Link(f"{service}/{shard}", topic, partition, "", 0, 0).name
