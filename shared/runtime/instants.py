"""Instants as PostgreSQL keeps them, read whatever they are.

PostgreSQL's calendar is longer than Python's, at both ends, and knows `infinity`. The driver raises for the one and
forgets the zone of the other, so that one row nobody can mean makes everything around it unreadable. Here such an
instant is read as the nearest one that there is. Nothing of ours writes one (`array_text.moments`, `Moment`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.runtime.statement import Connection

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""What stands for everything before and after."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


async def read_every_instant(connection: Connection) -> None:
    """From now on no instant makes this connection raise. Costs about 0.1 us for each that is read."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_encoded, decoder=_decoded, format="tuple"
    )


def _decoded(value: tuple[int]) -> datetime:
    microseconds = value[0]
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return EARLIEST if microseconds < 0 else LATEST


def _encoded(value: datetime) -> tuple[int]:
    since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds,)
