"""The desk through which people, the gateway's webhooks and attackers send: at least once, and without a link.

Every command is remembered, for the auditor to ask whether it was answered.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from larder.simulation.clock import NOON
from larder.simulation.link import Around
from services.payment.gateway import CaptureReported
from shared.contracts import payment
from shared.contracts.base import Message
from shared.contracts.topics import commands_of, partition_for
from shared.runtime.envelope import Delivery, Headers, from_outside

WAY_S = 0.05
"""Longest time from a person's click to the log."""
SAID_AGAIN_S = 20.0
"""A client that heard no answer sends the same command again within this time."""


@dataclass(slots=True)
class Sent:
    """A person's command; `at_us` is when it stood in the log first, None while it is under way."""

    id: str
    message: Message
    actor: str
    at_us: int | None = None

    @property
    def wants_word(self) -> bool:
        """Half of the people want to hear that their command was accepted."""
        return zlib.crc32(self.id.encode()) % 2 == 0


class Desk:
    """Puts commands into the log."""

    def __init__(self, around: Around, dice: Random) -> None:
        self.around = around
        self.dice = dice
        self.sent: dict[str, Sent] = {}
        self.expected_parked: dict[tuple[str, str, int, int], tuple[str, ...]] = {}

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Somebody will do something."""
        self.around.clock.after(seconds, act)

    def send(self, message: Message, actor: str, *, after_s: float = 0.0, id: str = "") -> None:
        """Sends a command that many seconds from now; perhaps twice, with the same id."""
        around = self.around
        id = id or f"click-{len(self.sent) + 1}"
        sent = self.sent.setdefault(id, Sent(id, message, actor))
        way_s = after_s + self.dice.random() * WAY_S
        around.clock.after(way_s, self._arrive, sent)
        while around.is_hit(around.weather.said_twice):
            way_s += self.dice.random() * SAID_AGAIN_S
            around.clock.after(way_s, self._arrive, sent)

    def report_money(self, report: CaptureReported) -> None:
        """A webhook: the gateway tells until somebody says 2xx, each time with the same id."""
        message = payment.ReportMoney(
            order_id=report.order_id,
            reference=report.reference,
            attempt_key=report.key,
            amount=report.amount,
            at=report.at,
        )
        id_ = f"webhook-{report.reference}"
        self.send(message, "gateway:", id=id_, after_s=self.dice.expovariate(1.0))
        if self.dice.random() < 0.2:  # again, when the id is forgotten long since
            self.send(message, "gateway:", id=f"{id_}-again", after_s=self.dice.expovariate(0.05))

    def _arrive(self, sent: Sent) -> None:
        message = sent.message
        if sent.at_us is None:
            sent.at_us = self.around.clock.now_us
        headers = from_outside(
            id=sent.id,
            type=message.TYPE,
            source="people",
            subject=message.subject,
            actor=sent.actor,
            at=NOON,
            wants_word=sent.wants_word,
        )
        self.put(message.TOPIC, message.key, message.to_json(), headers)

    def put(self, topic: str, key: str, value: bytes | None, headers: Headers) -> Delivery:
        """Puts anything into the log, where its key belongs."""
        partition = partition_for(key, self.around.weather.shards)
        return self.around.log.append(topic, partition, key.encode(), value, headers)

    def expect_parked(self, delivery: Delivery, service: str, *codes: str) -> None:
        """This record will be parked by that service, for one of these reasons (`ignored`: or for none)."""
        self.expected_parked[service, delivery.topic, delivery.partition, delivery.offset] = codes

    def put_poison(self, service: str, key: str, value: bytes | None, headers: Headers, code: str) -> None:
        """Puts something onto a service's command topic that it will park."""
        self.expect_parked(self.put(commands_of(service), key, value, headers), service, code)
