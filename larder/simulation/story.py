"""What a failure tells: the end of an order's story, from the log, the parked messages and the gateway's book."""

from __future__ import annotations

from datetime import timedelta

from larder.simulation.clock import NOON
from larder.simulation.world import World

TAIL = 25
"""Lines of a story that are told."""
BODY_MAX = 160
"""Characters of a message's body that are told."""


def story(world: World, subject: str) -> list[str]:
    """The last things that happened to an order, oldest first; a repeat in the log is told once."""
    told: list[tuple[int, str]] = []
    heard: set[str] = set()
    for place, records in world.log.records.items():
        for record, at_us in zip(records, world.log.appended_us[place], strict=True):
            about = record.subject == subject or (record.value is not None and _names(record.value, subject))
            if about and record.id not in heard:
                heard.add(record.id)
                body = (record.value or b"").decode(errors="replace")[:BODY_MAX]
                told.append((at_us, f"{record.topic}/{record.partition}@{record.offset} {record.type} {body}"))
    for service, database in world.databases.items():
        for row in database.parked:
            if row.subject == subject:
                what = f"{service} parked {row.delivery.type}: {row.code}: {row.reason} (now {row.state})"
                told.append((_us(row.at - NOON), what))
    book = world.gateway.book
    told += [
        (_us(capture.at - NOON), f"the gateway took {capture.amount} as {capture.reference}")
        for capture in book.captures.values()
        if capture.order_id == subject
    ]
    told += [
        (_us(booked.at - NOON), f"the gateway gave {booked.refund.amount} back as {booked.reference}")
        for booked in book.refunds.values()
        if booked.order_id == subject
    ]
    told.sort(key=lambda line: line[0])
    return [f"{(NOON + timedelta(microseconds=at_us)).time()}  {what}" for at_us, what in told[-TAIL:]]


def _names(body: bytes, subject: str) -> bool:
    return f'"{subject}"'.encode() in body


def _us(since: timedelta) -> int:
    return since // timedelta(microseconds=1)


def history(world: World) -> bytes:
    """Everything that happened, byte for byte: the log with its times, then every row of every database."""
    parts: list[bytes] = []
    for place, records in world.log.records.items():
        for record, at_us in zip(records, world.log.appended_us[place], strict=True):
            parts.append(repr((place, at_us, record.key, record.value, record.headers)).encode())
    for service, database in world.databases.items():
        tables = (
            database.progress,
            database.states,
            [(kind.__name__, records) for kind, records in database.records.items()],
            database.timers,
            database.effects,
            database.answers,
            database.parked,
            database.outbox,
        )
        parts.append(repr((service, tables)).encode())
    book = world.gateway.book
    parts.append(repr((book.intents, book.captures, book.refunds, book.refused)).encode())
    return b"\n".join(parts)
