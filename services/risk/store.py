"""Risk's tables: screenings, reviews and cancels are the worker's, people write the facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from services.risk.state import Blocked, Cancel, CancelPhase, Phase, Review, Screening, Treatment
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

LOAD_SCREENINGS = """
select s.order_id, s.account, s.phase, s.reason, r.order_id as reviewed, r.total, r.device, r.address,
       r.reason as review_reason, r.asked_at, r.due_at, r.verdict, r.note, r.decided_by, r.decided_at
from screenings s left join reviews r using (order_id)
where s.order_id = any($1::text[])
"""
LOAD_CANCELS = "select order_id, account, phase, reason, at from cancels where order_id = any($1::text[])"
# Both facts in one round trip: it is made for every batch.
LOAD_FACTS = """
select kind, value, treatment, reason, until
from unnest($1::text[], $2::text[]) as asked (kind, value) join blocklist using (kind, value)
union all
select 'switch', is_on::text, null, null, null from switch
"""
SAVE_SCREENINGS = """
insert into screenings (order_id, account, phase, reason)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
on conflict (order_id) do update set phase = excluded.phase, reason = excluded.reason
"""
SAVE_REVIEWS = """
insert into reviews (order_id, account, total, device, address, reason, asked_at, due_at, verdict, note, decided_by,
                     decided_at)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::timestamptz[])
on conflict (order_id) do update
set verdict = excluded.verdict, note = excluded.note, decided_by = excluded.decided_by, decided_at = excluded.decided_at
"""
SAVE_CANCELS = """
insert into cancels (order_id, account, phase, reason, at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
"""

_NO_SUSPICION = """
update reviews set device = null, address = null, note = ''
where order_id = any($1::text[]) and (device is not null or address is not null or note <> '')
"""
SWEEPS = (
    Sweep(
        "personal data",
        "personal_data_s",
        "reviews",
        "asked_at",
        "order_id",
        "o.decided_at is not null",
        (_NO_SUSPICION,),
    ),
)
"""What is not kept of a review that is decided."""
ERASE: tuple[str, ...] = ()
"""What goes besides, of an account that wants its personal data gone: statements (update, delete) with the account as
$1, for what belongs to no one order. Nothing does yet."""


class RiskStore:
    """Loads and saves for the worker."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """Screenings (None for an order that nobody has looked at), cancels, the switch, entries of the blocklist."""
        loaded: dict[Key, Any] = dict.fromkeys(keys)
        orders = [key[1] for key in keys if key[0] == "screening"]
        if orders:
            for row in await connection.fetch(LOAD_SCREENINGS, orders):
                loaded["screening", row["order_id"]] = _screening(row)
        cancelled = [key[1] for key in keys if key[0] == "cancel"]
        if cancelled:
            for row in await connection.fetch(LOAD_CANCELS, cancelled):
                loaded["cancel", row["order_id"]] = _cancel(row)
        blocked = [key for key in keys if key[0] == "blocked"]
        if blocked or ("switch",) in loaded:
            rows = await connection.fetch(LOAD_FACTS, [key[1] for key in blocked], [key[2] for key in blocked])
            for kind, value, treatment, reason, until in rows:
                if kind == "switch":
                    loaded["switch",] = value == "true"
                else:
                    loaded["blocked", kind, value] = Blocked(Treatment(treatment), reason, until)
        return loaded

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per screening, one per review, and one per cancel."""
        writes = []
        screenings: list[Screening] = [s for key, s in commit.states.items() if key[0] == "screening"]
        if screenings:
            arguments: tuple[list[Any], ...] = (
                [s.order_id for s in screenings],
                [s.account for s in screenings],
                [s.phase for s in screenings],
                [s.reason or None for s in screenings],
            )
            writes.append(Write("screenings", SAVE_SCREENINGS, arguments))
        cancels: list[Cancel] = [s for key, s in commit.states.items() if key[0] == "cancel"]
        if cancels:
            arguments = (
                [c.order_id for c in cancels],
                [c.account for c in cancels],
                [c.phase for c in cancels],
                [c.reason for c in cancels],
                [c.at for c in cancels],
            )
            writes.append(Write("cancels", SAVE_CANCELS, arguments))
        reviewed = [(s, s.review) for s in screenings if s.review is not None]
        if reviewed:
            writes.append(
                Write(
                    "reviews",
                    SAVE_REVIEWS,
                    (
                        [s.order_id for s, _ in reviewed],
                        [s.account for s, _ in reviewed],
                        [r.total for _, r in reviewed],
                        [r.device for _, r in reviewed],
                        [r.address for _, r in reviewed],
                        [r.reason for _, r in reviewed],
                        [r.asked_at for _, r in reviewed],
                        [r.due_at for _, r in reviewed],
                        [r.verdict for _, r in reviewed],
                        [r.note for _, r in reviewed],
                        [r.decided_by for _, r in reviewed],
                        [r.decided_at for _, r in reviewed],
                    ),
                )
            )
        return writes


def _cancel(row: Any) -> Cancel:
    return Cancel(row["order_id"], row["account"], CancelPhase(row["phase"]), row["reason"], row["at"])


def _screening(row: Any) -> Screening:
    review = None
    if row["reviewed"] is not None:
        review = Review(
            total=row["total"],
            device=row["device"],
            address=row["address"],
            reason=row["review_reason"],
            asked_at=row["asked_at"],
            due_at=row["due_at"],
            verdict=row["verdict"],
            note=row["note"],
            decided_by=row["decided_by"],
            decided_at=row["decided_at"],
        )
    return Screening(row["order_id"], row["account"], Phase(row["phase"]), row["reason"] or "", review)
