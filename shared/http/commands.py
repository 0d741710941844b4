"""The command desk: sends a person's command through Kafka and waits for the answer that the deciding shard wrote.

HTTP itself decides nothing and remembers nothing. What makes a repeat harmless is the id of the command (see
`shared.http.asked`): the shard decides an id once and keeps the answer in the table `answers`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.contracts.base import Message
from shared.contracts.topics import commands_of, partition_for
from shared.http.asked import Asked, command_id, order_id_for
from shared.http.problems import Problem, refusal, try_again
from shared.http.waiting import Lookout, LookoutFull
from shared.runtime.envelope import Headers, from_outside
from shared.settings import Settings

__all__ = ["Answer", "Asked", "CommandDesk", "Publish", "command_id", "order_id_for"]

log = logging.getLogger(__name__)

Publish = Callable[[str, int, bytes, bytes, Headers], Awaitable[object]]
"""Sends one record: topic, partition, key, value, headers. Returns when the broker has it."""

_ANSWERS = "select id, accepted, code, subject, fingerprint, detail from answers where id = any($1::text[])"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the deciding shard said: accepted, or refused with a code and words that name what is wrong here.

    `subject` is what the command was about.
    """

    accepted: bool
    code: str | None
    subject: str
    fingerprint: str = ""
    detail: str = ""


class CommandDesk:
    """Sends commands to one service and hands out their answers."""

    def __init__(self, service: str, publish: Publish, pool: asyncpg.Pool, settings: Settings) -> None:
        self._service = service
        self._topic = commands_of(service)
        self._publish = publish
        self._pool = pool
        self._shards = settings.shards
        self._answer_wait_s = settings.answer_wait_s
        self._lookout: Lookout[Answer] = Lookout(self._answers)

    async def send(self, message: Message, asked: Asked, **statuses: int) -> Answer:
        """Has the command carried out and returns its answer; raises the Problem of the code when it was refused, with
        one of `statuses` if the code stands there.

        503 `overloaded` when too many wait already, 503 `answer_pending` when no answer came in time, 422
        `idempotency_key_reused` when the key belongs to another request.
        """
        answer = await self.answer_to(message, asked)
        if not answer.accepted:
            problem = refusal(answer.code or "refused", answer.detail or None, about=answer.subject)
            problem.status = statuses.get(problem.code, problem.status)
            raise problem
        return answer

    async def answer_to(self, message: Message, asked: Asked) -> Answer:
        """Like `send`, but a refusal is an answer like any other."""
        topic = message.TOPIC
        if topic != self._topic:
            raise ValueError(f"{message.TYPE} goes to {topic}; this desk sends to {self._topic}")
        if asked.keyed:
            async with asyncio.timeout(self._answer_wait_s):  # nothing was sent yet, so running out is no riddle
                known = await self._answers([asked.command_id])
            if asked.command_id in known:
                return _for_this_request(known[asked.command_id], asked)
        try:
            with self._lookout.expecting(asked.command_id) as answer:
                async with asyncio.timeout(self._answer_wait_s):
                    await self._post(message, asked)
                    return _for_this_request(await answer, asked)
        except LookoutFull as full:
            raise try_again("overloaded", f"{full}; nothing was done") from None
        except MessageSizeTooLargeError:
            raise Problem(413, "body_too_large", "the command is larger than the broker takes") from None
        except (TimeoutError, KafkaError) as error:
            # From here on nobody knows whether the command is under way, so only the same id may be sent again.
            log.warning("no answer to %s %s yet: %r", message.TYPE, asked.command_id, error)
            raise try_again("answer_pending", _PENDING_KEYED if asked.keyed else _PENDING) from None

    def hint(self, ids: Iterable[str]) -> None:
        """The local worker has just committed answers to these commands."""
        self._lookout.hint(ids)

    @property
    def waiting(self) -> int:
        """How many commands wait for their answer."""
        return len(self._lookout)

    async def close(self) -> None:
        """Stops looking for answers."""
        await self._lookout.close()

    async def _post(self, message: Message, asked: Asked) -> None:
        key = message.key
        headers = from_outside(
            id=asked.command_id,
            type=message.TYPE,
            source=f"http/{self._service}",
            subject=message.subject,
            actor=asked.caller.actor,
            at=datetime.now(UTC),
            fingerprint=asked.fingerprint,
            traceparent=asked.traceparent,
        )
        partition = partition_for(key, self._shards)
        await self._publish(self._topic, partition, key.encode(), message.to_json(), headers)

    async def _answers(self, ids: Sequence[str]) -> Mapping[str, Answer]:
        rows = await self._pool.fetch(_ANSWERS, ids)
        return {row[0]: Answer(row[1], row[2], row[3], row[4], row[5]) for row in rows}


_PENDING_KEYED = (
    "The command may have been carried out. Send the same request with the same Idempotency-Key to get its answer; "
    "it is never carried out twice."
)
_PENDING = (
    "The command may have been carried out. It came without an Idempotency-Key: look whether it was before you send "
    "it again."
)


def _for_this_request(answer: Answer, asked: Asked) -> Answer:
    if answer.fingerprint != asked.fingerprint:
        raise refusal("idempotency_key_reused", "its body was another one")
    return answer
