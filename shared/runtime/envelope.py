"""CloudEvents in Kafka's binary mode: the body is the message, its attributes are headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

Headers = list[tuple[str, bytes]]
Wire = tuple[bytes, bytes, Headers]
"""A record to be sent: key, value, headers."""


@dataclass(slots=True)
class Delivery:
    """A record from the log, with the attributes of its envelope; absent ones are empty.

    `link` is the number on the link from `source` to this partition, 0 for a message from outside.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    id: str = ""
    type: str = ""
    source: str = ""
    subject: str = ""
    link: int = 0
    actor: str = ""
    fingerprint: str = ""
    traceparent: bytes = b""
    headers: Iterable[tuple[str, bytes]] = ()


def read(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
) -> Delivery:
    """Reads an envelope. Never raises: what cannot be read stays empty, and the message parks for it."""
    d = Delivery(topic, partition, offset, key, value, headers=headers)
    try:
        for name, content in headers:
            if name == "ce_type":
                d.type = content.decode()
            elif name == "ce_id":
                d.id = content.decode()
            elif name == "ce_source":
                d.source = content.decode()
            elif name == "ce_subject":
                d.subject = content.decode()
            elif name == "link":
                d.link = int(content)
            elif name == "ce_actor":
                d.actor = content.decode()
            elif name == "fingerprint":
                d.fingerprint = content.decode()
            elif name == "traceparent":
                d.traceparent = content
    except (ValueError, AttributeError):
        d.type = ""
    return d


def from_outside(
    *,
    id: str,
    type: str,
    source: str,
    subject: str,
    actor: str,
    at: datetime,
    fingerprint: str = "",
    traceparent: str = "",
) -> Headers:
    """The headers of a command that a person, an integrator or a load test sends: an id and an actor, no link."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_type", type.encode()),
        ("ce_source", source.encode()),
        ("ce_time", at.isoformat().encode()),
        ("ce_subject", subject.encode()),
        ("ce_actor", actor.encode()),
    ]
    if fingerprint:
        headers.append(("fingerprint", fingerprint.encode()))
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers
