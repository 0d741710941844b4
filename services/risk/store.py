"""Risk's tables: screenings, reviews, endings and conducts are the worker's, people write the master data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct

from services.risk.rules import rules_of
from services.risk.state import (
    Age,
    Blocked,
    EarlierOrder,
    Ending,
    EndingPhase,
    Entered,
    Facts,
    Known,
    Phase,
    Review,
    Screening,
    Seen,
    Spoke,
    Treatment,
)
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

LOAD_SCREENINGS = """
select s.order_id, s.account, s.phase, s.reason, r.order_id as reviewed, r.total, r.device, r.address,
       r.reason as review_reason, r.asked_at, r.due_at, r.verdict, r.note, r.decided_by, r.decided_at, r.claimed_by,
       r.claimed_until
from screenings s left join reviews r using (order_id)
where s.order_id = any($1::text[])
"""
LOAD_ENDINGS = "select order_id, account, phase, deed, at from endings where order_id = any($1::text[])"
LOAD_CONDUCTS = """
select about, subject, at, known
from unnest($1::text[], $2::text[]) as asked (about, subject) join conducts using (about, subject)
"""
LOAD_AGES = "select shard, as_of from ages where shard = any($1::text[])"
# Master data in one round trip.
LOAD_FACTS = """
select kind, value, treatment, reason, until
from unnest($1::text[], $2::text[]) as asked (kind, value) join blocklist using (kind, value)
union all
select 'switch', is_on::text, null, null, null from switch
union all
select 'pseudonyms', encode(key, 'hex'), null, null, null from pseudonyms
union all
(select 'rules', version::text, null, rules, null from rule_sets order by rule_sets.version desc limit 1)
"""
# What a screening saw is written with it, once.
NEW_SCREENINGS = """
insert into screenings (order_id, account, phase, reason, at, total, device, address, verdict, score, rules_version,
                        spoke, facts)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::text[],
                     $8::text[], $9::text[], $10::real[], $11::integer[], $12::text[], $13::text[])
"""
STEP_SCREENINGS = """
update screenings s set phase = u.phase, reason = u.reason
from unnest($1::text[], $2::text[], $3::text[]) u (order_id, phase, reason) where s.order_id = u.order_id
"""
SAVE_REVIEWS = """
insert into reviews (order_id, account, total, device, address, reason, asked_at, due_at, verdict, note, decided_by,
                     decided_at, claimed_by, claimed_until)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::text[],
                     $14::timestamptz[])
on conflict (order_id) do update
set verdict = excluded.verdict, note = excluded.note, decided_by = excluded.decided_by,
    decided_at = excluded.decided_at, claimed_by = excluded.claimed_by,
    claimed_until = excluded.claimed_until
"""
SAVE_ENDINGS = """
insert into endings (order_id, account, phase, deed, at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
"""
SAVE_CONDUCTS = """
insert into conducts (about, subject, at, known)
select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
on conflict (about, subject) do update set at = excluded.at, known = excluded.known
"""
SAVE_AGES = """
insert into ages (shard, as_of) select * from unnest($1::text[], $2::timestamptz[])
on conflict (shard) do update set as_of = excluded.as_of
"""
SAVE_ENTRIES = """
insert into blocklist (kind, value, treatment, reason, until, changed_by)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
on conflict (kind, value) do update
set treatment = excluded.treatment, reason = excluded.reason, until = excluded.until, changed_at = now(),
    changed_by = excluded.changed_by
"""

_NO_SUSPICION = """
update reviews set device = null, address = null, note = ''
where order_id = any($1::text[]) and (device is not null or address is not null or note <> '')
"""
_NO_FACTS = """
update screenings set device = null, address = null, spoke = null, facts = null
where order_id = any($1::text[]) and num_nonnulls(device, address, spoke, facts) > 0
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
    Sweep("facts of screenings", "risk_memory_s", "screenings", "at", "order_id", "true", (_NO_FACTS,)),
)
"""What is not kept of a review that is decided, and of what a screening saw."""
ERASE = ("delete from conducts where about = 'account' and subject = $1",)
"""What goes besides, of an account that wants its personal data gone: statements (update, delete) with the account as
$1, for what belongs to no one order."""


class _Kept(Struct):
    """What is kept as JSON of a conduct, and of the facts that a screening saw."""

    counts: dict[str, tuple[int, ...]]
    earlier: tuple[EarlierOrder, ...] = ()


write_json = msgspec.json.Encoder().encode
_read_kept = msgspec.json.Decoder(_Kept).decode
_read_spoke = msgspec.json.Decoder(tuple[Spoke, ...]).decode


class RiskStore:
    """Loads and saves for the worker."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """Screenings (None for an order that nobody has looked at), endings, conducts, and the facts."""
        loaded: dict[Key, Any] = dict.fromkeys(keys)
        by_kind: dict[str, list[Key]] = defaultdict(list)
        for key in keys:
            by_kind[key[0]].append(key)
        if orders := by_kind["screening"]:
            for row in await connection.fetch(LOAD_SCREENINGS, [key[1] for key in orders]):
                loaded["screening", row["order_id"]] = _screening(row)
        if orders := by_kind["ending"]:
            for row in await connection.fetch(LOAD_ENDINGS, [key[1] for key in orders]):
                loaded["ending", row["order_id"]] = Ending(
                    row["order_id"], row["account"], EndingPhase(row["phase"]), row["deed"], row["at"]
                )
        if subjects := by_kind["conduct"]:
            for known in await load_conducts(connection, [(key[1], key[2]) for key in subjects]):
                loaded["conduct", known.about, known.subject] = known
        if shards := by_kind["age"]:
            for shard, as_of in await connection.fetch(LOAD_AGES, [key[1] for key in shards]):
                loaded["age", shard] = Age(shard, as_of)
        blocked = by_kind["blocked"]
        if blocked or any(by_kind[kind] for kind in ("switch", "rules", "pseudonyms")):
            rows = await connection.fetch(LOAD_FACTS, [key[1] for key in blocked], [key[2] for key in blocked])
            for kind, value, treatment, reason, until in rows:
                match kind:
                    case "switch":
                        loaded["switch",] = value == "true"
                    case "pseudonyms":
                        loaded["pseudonyms",] = bytes.fromhex(value)
                    case "rules":
                        loaded["rules",] = rules_of(msgspec.json.decode(reason), int(value))
                    case _:
                        loaded["blocked", kind, value] = Blocked(Treatment(treatment), reason, until)
        return loaded

    def save_many(self, commit: Commit) -> list[Write]:
        """A row per screening, review, ending and conduct; what a review puts on the blocklist."""
        writes: list[Write] = []
        by_kind: dict[str, list[Any]] = defaultdict(list)
        for key, state in commit.states.items():
            by_kind[key[0]].append(state)
        screenings: list[Screening] = by_kind["screening"]
        # Of two reviews in one batch that enter the same, the last word counts.
        entered = {(e.kind, e.value): e for e in commit.records.get(Entered, ())}
        for name, sql, rows in (
            ("screenings", NEW_SCREENINGS, [_screening_row(s, s.seen) for s in screenings if _is_new(s, commit.at)]),
            ("screenings_step", STEP_SCREENINGS, [_step_row(s) for s in screenings if not _is_new(s, commit.at)]),
            ("endings", SAVE_ENDINGS, [_ending_row(e) for e in by_kind["ending"]]),
            ("conducts", SAVE_CONDUCTS, [_conduct_row(k) for k in by_kind["conduct"]]),
            ("ages", SAVE_AGES, [(a.shard, a.as_of) for a in by_kind["age"]]),
            ("blocklist", SAVE_ENTRIES, [_entry_row(e) for e in entered.values()]),
            ("reviews", SAVE_REVIEWS, [(*_key(s), *_review_row(s.review)) for s in screenings if s.review]),
        ):
            if rows:
                writes.append(Write(name, sql, columns(rows)))
        return writes


_key = attrgetter("order_id", "account")
_ending_row = attrgetter("order_id", "account", "phase", "deed", "at")
_entry_row = attrgetter("kind", "value", "treatment", "reason", "until", "by")
_review_row = attrgetter(
    *("total", "device", "address", "reason", "asked_at", "due_at", "verdict", "note", "decided_by", "decided_at"),
    *("claimed_by", "claimed_until"),
)


def _is_new(s: Screening, at: datetime) -> bool:
    """Only the first verdict sees anything: a screening that saw it in this batch is not in the table yet."""
    return s.seen is not None and s.seen.at == at


def _screening_row(s: Screening, seen: Any) -> tuple[Any, ...]:
    return (*_key(s), s.phase, s.reason or None, *_seen_row(seen))


def _step_row(s: Screening) -> tuple[str, str, str | None]:
    return s.order_id, s.phase, s.reason or None


def _seen_row(seen: Seen) -> tuple[Any, ...]:
    facts = seen.facts
    spoke = write_json(seen.spoke).decode() if seen.spoke else None
    return (
        *(seen.at, facts.total, facts.device, facts.address, seen.verdict, seen.score, seen.rules_version),
        *(spoke, _kept(facts.counts, facts.earlier)),
    )


def _conduct_row(k: Known) -> tuple[Any, ...]:
    return k.about, k.subject, k.at, _kept(k.counts, k.earlier)


def _kept(counts: Mapping[str, tuple[int, ...]], earlier: tuple[EarlierOrder, ...]) -> str:
    return write_json({"counts": counts, "earlier": earlier}).decode()


async def load_conducts(connection: Connection, subjects: Collection[tuple[str, str]]) -> list[Known]:
    """The conducts that are known of these subjects (about, subject)."""
    rows = await connection.fetch(LOAD_CONDUCTS, [about for about, _ in subjects], [subject for _, subject in subjects])
    read = [(about, subject, at, _read_kept(known)) for about, subject, at, known in rows]
    return [Known(about, subject, at, kept.counts, kept.earlier) for about, subject, at, kept in read]


def read_facts(row: Any) -> Facts:
    """The facts of a screening's row, with its columns total, device, address and facts."""
    kept = _read_kept(row["facts"]) if row["facts"] else _Kept({})
    return Facts(row["total"], row["device"], row["address"], kept.counts, kept.earlier)


def read_spoke(text: str | None) -> tuple[Spoke, ...]:
    """The rules that spoke, of a screening's row."""
    return _read_spoke(text) if text else ()


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
            claimed_by=row["claimed_by"],
            claimed_until=row["claimed_until"],
        )
    return Screening(row["order_id"], row["account"], Phase(row["phase"]), row["reason"] or "", review)
