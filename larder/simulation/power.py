"""The power goes: broker and workers stop at once, and the broker comes back without the ends of some logs.

Before anybody goes on, workers compare the logs with their progress, and an operator adopts what is shorter: by the
rules of `shared.runtime.worker` and by the plan of `larder topics --adopt` itself.

Cut are only logs that nobody but services writes to (people have to send again what only a lost log held), and only
below what somebody has read of them: what is lost beyond that nobody can notice (docs/adr/0009).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from msgspec.structs import replace

from larder.simulation.database import Database
from larder.simulation.log import Log, Place
from larder.stack.adopt import Source, Standing, listeners, plan
from shared.runtime.broker import shorter

OUTAGES = 0.2
"""The share of evenings in which the power goes."""
DARK_S = (1.0, 60.0)
"""How long it is away."""
CUT_MAX = 4
"""Most logs that lose their end."""


def lose_ends(log: Log, databases: Mapping[str, Database], dice: Random) -> None:
    """Takes records away that were on no disk yet."""
    read: dict[Place, int] = {}
    for database in databases.values():
        for place, offset in _decided(database).items():
            read[place] = max(offset, read.get(place, 0))
    at_risk = sorted(place for place, end in read.items() if end and all(r.link for r in log.records[place]))
    for place in dice.sample(at_risk, min(len(at_risk), dice.randint(1, CUT_MAX))):
        log.cut(place, dice.randrange(read[place]))


def adopt_what_is_shorter(log: Log, databases: Mapping[str, Database]) -> None:
    """Every worker looks before it goes on; if one stops, the operator adopts."""
    ends = {place: len(records) for place, records in log.records.items()}
    if any(shorter(_decided(database), ends) for database in databases.values()):
        standings = {
            Source(service, number): Standing(
                cluster="",
                sent=progress.sent,
                received=progress.received,
                kept={link: rows[0].first_link for (owner, link), rows in database.outbox.items() if owner == number},
                offsets=progress.offsets,
                acked=progress.acked,
            )
            for service, database in databases.items()
            for number, progress in database.progress.items()
        }
        plans, _ = plan(standings, "", listeners(), {place: (0, end) for place, end in ends.items()})
        for source, planned in plans.items():
            rows = databases[source.service].progress
            before = rows[source.shard]
            rows[source.shard] = replace(
                before,
                epoch=before.epoch + 1,
                version=before.version + 1,
                offsets=dict(planned.offsets),
                acked=dict(planned.acked),
                received=planned.received,
            )


def _decided(database: Database) -> dict[Place, int]:
    return {
        (topic, number): offset
        for number, progress in database.progress.items()
        for topic, offset in progress.offsets.items()
    }
