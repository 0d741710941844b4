"""CloudEvents in Kafka's binary mode: the body is the message, its attributes are headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from msgspec import Struct

from shared.contracts.topics import SERVICES

ATTRIBUTE_MAX = 300
"""Most characters of an id, an actor or a fingerprint that comes from outside: more would not fit into an index."""
TRACEPARENT_MAX = 64
"""Most bytes of a traceparent (W3C: 55). It travels on with every message that follows, so a longer one is let go."""

Headers = list[tuple[str, bytes]]
Wire = tuple[bytes, bytes, Headers]
"""A record to be sent: key, value, headers."""
Payload = tuple[bytes, str, bytes, bytes, bytes]
"""What is a message's own of a record that a shard sends: key, type, subject, body and traceparent (empty if none)."""
_SPECVERSION = ("ce_specversion", b"1.0")
REPLY = ("reply", b"accepted")
"""The header by which a command asks for the event that it was accepted; that it was refused is always told."""


class Delivery(Struct, gc=False):
    """A record from the log, with the attributes of its envelope; absent ones are empty.

    `link` is the number on the link from `source` to this partition, 0 for a message from outside. `fault` says what
    is wrong with an envelope that can be read, but not kept. `wants_word`: its sender reads the answers topic, and is
    to be told there that it was accepted, too.
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
    fault: str = ""
    wants_word: bool = False


def read(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
) -> Delivery:
    """Reads an envelope. Never raises: what cannot be read stays empty, and the message parks for it."""
    if (d := _from_a_shard(topic, partition, offset, key, value, headers)) is not None:
        return d
    d = Delivery(topic, partition, offset, key, value, headers=headers)
    try:
        found = dict(headers)
        get = found.get
        d.type = get("ce_type", b"").decode()
        d.id = get("ce_id", b"").decode()
        d.source = get("ce_source", b"").decode()
        d.subject = get("ce_subject", b"").decode()
        if (link := get("link")) is not None:
            d.link = int(link)
        else:
            d.actor = get("ce_actor", b"").decode()
            d.fingerprint = get("fingerprint", b"").decode()
            d.wants_word = get("reply") == b"accepted"
        trace = get("traceparent")
        if trace and len(trace) <= TRACEPARENT_MAX:
            d.traceparent = trace
    except (ValueError, AttributeError, TypeError):
        d.type = ""
    if d.link and (d.source not in _senders or d.link < 0):
        _check_link(d)
    if not d.link:
        _keep_what_fits(d)
    return d


def _from_a_shard(
    topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None, headers: Any
) -> Delivery | None:
    """Reads the envelope that `wires` makes, by its places; None if it is any other. Nearly all that a service reads
    comes from another's shard, and by name it takes twice as long."""
    try:
        # A shorter, longer or otherwise different list does not unpack, and is read by its names.
        _, (id_name, id_), (type_name, type_), (source_name, source), _, (subject_name, subject), (link_name, link) = (
            headers
        )
        if (
            link_name != "link"
            or type_name != "ce_type"
            or source_name != "ce_source"
            or id_name != "ce_id"
            or subject_name != "ce_subject"
        ):
            return None
        sender, number = source.decode(), int(link)
        if sender not in _senders or number < 1:
            return None
        return Delivery(
            topic,
            partition,
            offset,
            key,
            value,
            id_.decode(),
            type_.decode(),
            sender,
            subject.decode(),
            number,
            headers=headers,
        )
    except (ValueError, AttributeError, TypeError):
        return None


def wires(
    source: str, topic: str, partition: int, time: str, first_link: int, payloads: Iterable[Payload]
) -> Iterator[Wire]:
    """The records of a shard's messages on one link: CloudEvents with the link's numbers, made one at a time."""
    prefix = f"{source}:{topic}/{partition}:".encode()
    source_header, time_header = ("ce_source", source.encode()), ("ce_time", time.encode())
    for number, (key, type_, subject, body, trace) in enumerate(payloads, first_link):
        link = b"%d" % number
        headers: Headers = [
            _SPECVERSION,
            ("ce_id", prefix + link),
            _type_header(type_),
            source_header,
            time_header,
            ("ce_subject", subject),
            ("link", link),
        ]
        if trace:
            headers.append(("traceparent", trace))
        yield key, body, headers


@cache
def _type_header(type_: str) -> tuple[str, bytes]:
    """One for each contract, so bounded by the code."""
    return "ce_type", type_.encode()


_senders: set[str] = set()
"""Sources that a link came from: shards of services, so there are only so many."""


def _check_link(d: Delivery) -> None:
    """Only shards have links. Somebody else's number would be waited for, or be taken for a repeat."""
    service, _, shard = d.source.partition("/")
    if service in SERVICES and shard.isascii() and shard.isdigit() and len(shard) < 5 and d.link > 0:
        _senders.add(d.source)
    else:
        d.fault, d.link = f"header link: {d.link} from {d.source[:40]!r}, but only shards of services have links", 0


def _keep_what_fits(d: Delivery) -> None:
    """What anybody may write is bounded here: an id that no table takes must not stop the shard."""
    for header, text in (("ce_id", d.id), ("ce_actor", d.actor), ("fingerprint", d.fingerprint)):
        if len(text) > ATTRIBUTE_MAX or "\x00" in text:
            d.fault = f"header {header}: at most {ATTRIBUTE_MAX} characters, none of them NUL"
            d.id = d.actor = d.fingerprint = ""
            return


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
    wants_word: bool = False,
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
    if wants_word:
        headers.append(REPLY)
    if fingerprint:
        headers.append(("fingerprint", fingerprint.encode()))
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers
