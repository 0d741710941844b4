"""Parked messages: nothing is parked unseen.

All are listed. A violation is what our own services could not handle: a message of ours that parked at all, a timer or
an effect's answer that parked, a decider that raised, with what waits behind it, and what the database would not keep.
Bad input from outside (no link: what cannot be read, is of a type nobody knows, comes to the wrong shard, or for an
order that there is not) is parked as it should be, and no violation.
"""

from __future__ import annotations

from larder.audit.books import Connection
from larder.audit.report import PARKED_LISTED, ParkedMessage, Report

OF_OUR_MAKING = frozenset({"decider_raised", "behind", "unwritable"})
"""Codes that are a violation wherever the message came from."""
INSIDE = frozenset({"timers", "effects"})
"""Stand for the topic of what never was on one."""
READ_MAX = 10_000
"""Most parked messages of one service that are looked at; all are counted."""

_COUNT = "select count(*) from parked where state = 'parked'"
_PARKED = f"""
select id, subject, topic, message_type, code, reason,
    exists (select from jsonb_array_elements(headers) as header where header ->> 0 = 'link') as linked
from parked where state = 'parked' order by id limit {READ_MAX}"""


async def nothing_of_ours_parked(connection: Connection, service: str, report: Report) -> None:
    """No message of ours is parked, and none that broke something."""
    count = await connection.fetchval(_COUNT)
    report.parked_count += count
    report.checked["nothing_of_ours_parked"] += count
    for id_, subject, topic, type_, code, reason, linked in await connection.fetch(_PARKED):
        name = f"{service}:{id_}"
        if len(report.parked) < PARKED_LISTED:
            report.parked.append(ParkedMessage(name, subject, type_, code, reason))
        if linked or topic in INSIDE or code in OF_OUR_MAKING:
            told = f"{type_ or 'a message'} about {subject or 'nothing'} ({topic}), {code}: {reason}"
            report.add("nothing_of_ours_parked", (name,), told)
