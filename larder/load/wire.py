"""Commands as records for Kafka, made cheaply: the envelope of `shared.runtime.envelope.from_outside`, piece by piece.

A load makes some seven commands an order, so what is the same in all of them is made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.runtime.envelope import Headers, from_outside

SOURCE = "load"


class Stencil:
    """The envelope of one type of command; id, time, subject and actor are filled in."""

    def __init__(self, type_: str, *, wants_word: bool = False) -> None:
        model = from_outside(
            id="", type=type_, source=SOURCE, subject="", actor="", at=datetime.now(UTC), wants_word=wants_word
        )
        names = [name for name, _ in model]
        shape = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_actor"]
        assert names[:7] == shape, names
        self._version, self._type, self._source = model[0], model[2], model[3]
        self._more = model[7:]

    def headers(self, id_: bytes, subject: bytes, actor: bytes, time: bytes) -> Headers:
        """The same list as `from_outside` makes."""
        return [
            self._version,
            ("ce_id", id_),
            self._type,
            self._source,
            ("ce_time", time),
            ("ce_subject", subject),
            ("ce_actor", actor),
            *self._more,
        ]


def prefix_of(run: str) -> str:
    """What the id of every command of a run begins with."""
    return f"l-{run}-"


def time_now() -> bytes:
    """The time for the envelopes of one batch."""
    return datetime.now(UTC).isoformat().encode()


def type_of(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """The type of an event. Larder's own envelopes have it third; others are searched."""
    if len(headers) > 2 and headers[2][0] == "ce_type":
        return headers[2][1]
    return next((content for name, content in headers if name == "ce_type"), b"")


def subject_of(headers: Sequence[tuple[str, bytes]], key: bytes | None) -> bytes:
    """What an event is about: of a replacement order it is not the key, which is its sales order's."""
    return next((content for name, content in headers if name == "ce_subject"), key or b"")


def link_of(headers: Sequence[tuple[str, bytes]]) -> int:
    """The number of an event on its link; 0 if it has none."""
    number = next((content for name, content in headers if name == "link"), b"")
    return int(number) if number.isdigit() else 0
