"""What risk's stream application takes out of a record, and how it says what it counted: pure, whoever drives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pydantic import ValidationError

from shared.contracts import risk
from shared.contracts.base import PACKED_MAX
from shared.runtime.envelope import Delivery

AHEAD_MS = 60_000
"""Clocks may differ by so much; what is further ahead is from the future."""
BODY_MAX = 800_000
"""Most bytes of the conducts in one pack: Kafka takes about a million a record."""

Subject = tuple[str, str]
"""What it is (`account`, `device` or `address`), and which."""
PACKS: dict[str, type[risk.AccountsActed] | type[risk.OrdersSeen]] = {
    pack.TYPE: pack for pack in (risk.AccountsActed, risk.OrdersSeen)
}


class Unusable(Exception):
    """A record or an entry that cannot be counted; `code` is one word for the metric."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def unpack(d: Delivery) -> tuple[risk.Activity, ...] | tuple[risk.Sighting, ...]:
    """The entries of a record; Unusable for anything but a pack of this partition."""
    if d.value is None:
        raise Unusable("tombstone")
    contract = PACKS.get(d.type)
    if contract is None:
        raise Unusable("unknown_type")
    try:
        pack = contract.from_json(d.value)
    except ValidationError:
        raise Unusable("malformed") from None
    if pack.shard != d.partition:
        raise Unusable("wrong_partition")
    return pack.entries


def subject_of(entry: risk.Activity | risk.Sighting) -> Subject:
    """Whose tally counts it."""
    return ("account", entry.account) if isinstance(entry, risk.Activity) else (entry.about, entry.subject)


def check_time(at_ms: int, now_ms: int, memory_ms: int) -> None:
    """Raises Unusable for what is yet to come, and for what would be forgotten at once."""
    if at_ms > now_ms + AHEAD_MS:
        raise Unusable("future")
    if at_ms < now_ms - memory_ms:
        raise Unusable("too_old")


def packs(shard: int, as_of_ms: int, conducts: Iterable[risk.Conduct]) -> Iterator[risk.SignalsTold]:
    """The conducts in as few records as may be; without any, one that is a sign of life."""
    as_of = datetime.fromtimestamp(as_of_ms / 1000, UTC)
    entries: list[risk.Conduct] = []
    size = 0
    is_said = False
    for conduct in conducts:
        more = len(conduct.__pydantic_serializer__.to_json(conduct, exclude_none=True)) + 1
        if entries and (len(entries) == PACKED_MAX or size + more > BODY_MAX):
            yield risk.SignalsTold(shard=shard, as_of=as_of, entries=tuple(entries))
            entries, size, is_said = [], 0, True
        entries.append(conduct)
        size += more
    if entries or not is_said:
        yield risk.SignalsTold(shard=shard, as_of=as_of, entries=tuple(entries))
