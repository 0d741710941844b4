"""Commands of a load that nobody could handle. Its robots say nothing that could park: each one is a failure."""

from __future__ import annotations

from collections import Counter

from larder.load.wire import prefix_of
from larder.stack.migrate import connect
from shared.settings import SERVICES, Settings

_OWN = """
select message_type || ': ' || code, count(*) from parked
where state <> 'replayed' and starts_with(message_id, $1) group by 1"""


async def own_parked(settings: Settings, run: str) -> Counter[str]:
    """How many commands of a run are parked, or were dropped, by type and code; one query a service."""
    found: Counter[str] = Counter()
    for service in SERVICES:
        connection = await connect(settings.dsn(service), service)
        try:
            for what, count in await connection.fetch(_OWN, prefix_of(run)):
                found[what] += count
        finally:
            await connection.close()
    return found
