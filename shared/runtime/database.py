"""The runtime's own tables: the gate, the outbox, timers, effects, answers and what is parked.

Everything is set-based: `save` is one statement for a whole batch, whatever is in it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import asyncpg
import msgspec

from shared.runtime.commit import Commit, OutboxRow, together
from shared.runtime.envelope import Delivery, Payload, Wire
from shared.runtime.progress import Progress
from shared.runtime.said import Effect
from shared.runtime.shard import BLOCKING, EFFECTS, Due
from shared.runtime.statement import Connection, Store, Write, columns, execute, to_text
from shared.runtime.table import Key
from shared.runtime.turn import AskKnown, Known, Question, Share, decided

WORKER_SETTINGS = {
    "application_name": "larder worker",
    # A worker touches rows by key, in sets of up to some thousands: these keep the planner from reading a whole table
    # when its statistics are old.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # A worker whose machine is gone leaves its name (`take_name`) after half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}
NAME_LOCK = 0x1A4D
"""The advisory locks of workers' names; beside it goes a hash of the name."""
DUE_MAX = 1_000
"""Most timers that fire in one batch."""
REQUESTED_MAX = 500
"""Most parked messages that one turn replays or drops; the rest goes into the next turns."""
REQUESTED_BYTES = 8_000_000
"""About so many bytes of bodies are replayed in one turn, at least one message."""
SWEPT_AT_ONCE = 2_000
"""Most ids that are forgotten in one transaction."""
SWEEPING_S = 0.5
"""How long ids are forgotten in one sweep. After a day's pause a day of them is due at once."""
OUTBOX_PAGE = 200
"""Most outbox rows read at once when they are published again."""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, str, list[Payload]]).decode
_unpack_wires = msgspec.msgpack.Decoder(list[Wire]).decode


async def cluster_ids(connection: Connection) -> list[str]:
    """The Kafka clusters that the shards of this database go with: one, unless an adoption was cut short."""
    return [r["cluster_id"] for r in await connection.fetch("select distinct cluster_id from progress")]


class NameTaken(Exception):
    """Another process is this worker of this service: its name in the consumer group can only be one's."""


async def take_name(connection: Connection, service: str, worker: int, patience_s: float) -> None:
    """Takes a worker's name for as long as the connection lasts; waits for one that is just dying. Raises NameTaken.

    Two members of one name would end each other for ever, since each that comes fences the other.
    """
    end = monotonic() + patience_s
    name = f"{service}-{worker}"
    while not await connection.fetchval("select pg_try_advisory_lock($1, hashtext($2))", NAME_LOCK, name):
        if monotonic() > end:
            raise NameTaken(
                f"another process is worker {worker} of {service} already: give each process of a service its own "
                "LARDER_WORKER (0, 1, ...). That one goes on"
            )
        await asyncio.sleep(0.05)


class GateShut(Exception):
    """Somebody else owns the shard: what this worker knows is stale, and it has to exit."""


def _read_payloads(records: bytes) -> tuple[str, str, list[Payload]]:
    """Source, time and payloads of an outbox row; also of one that an earlier larder wrote, with every header in it,
    and had not sent when it was stopped."""
    try:
        return _unpack(records)
    except msgspec.ValidationError:
        wires = [(key, body, dict(headers)) for key, body, headers in _unpack_wires(records)]
        if not wires:
            return "", "", []
        first = wires[0][2]
        return (
            first["ce_source"].decode(),
            first["ce_time"].decode(),
            [(k, h["ce_type"].decode(), h["ce_subject"], body, h.get("traceparent", b"")) for k, body, h in wires],
        )


def rewritten(records: bytes, change: Callable[[Payload], Payload]) -> bytes | None:
    """The records of an outbox row with each payload changed; None when no change changes anything."""
    source, time, payloads = _read_payloads(records)
    changed = [change(payload) for payload in payloads]
    return None if changed == payloads else _pack((source, time, changed))


@dataclass(slots=True)
class ParkedRow:
    """A parked message that an operator asked about, with what he asked."""

    id: int
    subject: str
    action: str
    delivery: Delivery


class Database:
    """The shard's side of one service's database, over one connection."""

    def __init__(self, connection: Connection, store: Store, outbox_retention_s: float, id_memory_s: float) -> None:
        self.connection = connection
        self.store = store
        self._retention_s = outbox_retention_s
        self._id_memory_s = id_memory_s
        self._epochs: dict[int, int] = {}

    async def claim(self, shard: int, cluster_id: str) -> Progress:
        """Takes the shard: bumps its epoch, so that whoever had it before writes nothing any more."""
        row = await self.connection.fetchrow(_CLAIM, shard, cluster_id)
        assert row is not None
        self._epochs[shard] = row["epoch"]
        return Progress(
            shard, row["epoch"], row["version"], row["cluster_id"], *(json.loads(row[c]) for c in _COUNTERS)
        )

    async def blocked(self, shard: int) -> set[str]:
        """Subjects with a parked message that holds back later ones."""
        rows = await self.connection.fetch(_BLOCKED, shard, list(BLOCKING))
        return {r["subject"] for r in rows}

    async def decided(self, shares: Sequence[Share], now: datetime) -> list[Commit]:
        """Drives a turn: its questions are answered from the tables."""
        turn = decided(shares, now)
        try:
            question = next(turn)
            while True:
                question = turn.send(await self.answer(question, now))
        except StopIteration as end:
            commits: list[Commit] = end.value
            return commits

    async def answer(self, question: Question, now: datetime) -> Any:
        """What a turn asks."""
        if isinstance(question, AskKnown):
            return await self.known(question.ids)
        return await self.load(question.keys, now)

    async def known(self, ids: Sequence[str]) -> Known:
        """Which of these ids have their answer, and the version of the master data, in one round trip."""
        row = await self.connection.fetchrow(_KNOWN, ids)
        assert row is not None
        return Known(row[0], row[1])

    async def load(self, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """The states of these keys."""
        return await self.store.load_many(self.connection, keys, now)

    async def save(self, *commits: Commit) -> None:
        """Writes a batch, of one shard or of several, in one transaction; raises GateShut, with nothing written, when
        one of the shards is somebody else's by now."""
        # In one order, whoever writes: two workers that lock the same rows never wait for each other in a circle.
        commits = tuple(sorted(commits, key=lambda commit: commit.progress.shard))
        writes = [*_runtime_writes(commits), *self.store.save_many(together(commits))]
        try:
            await execute(self.connection, _gate(commits), writes)
        except asyncpg.DivisionByZeroError:
            over = ", ".join(f"{c.progress.shard} (epoch {c.epoch})" for c in commits)
            raise GateShut(f"one of these shards is somebody else's: {over}") from None

    # -- timers and effects ----------------------------------------------------------------------------------------

    async def next_due(self, shards: Collection[int]) -> dict[int, datetime | None]:
        """When the first timer of each of these shards is due."""
        rows = await self.connection.fetch(_NEXT_DUE, list(shards))
        return {row["shard"]: row["due_at"] for row in rows}

    async def due(self, before: Mapping[int, datetime]) -> dict[int, list[Due]]:
        """The timers of these shards whose time came before a moment, of each the first due first, at most DUE_MAX."""
        found: dict[int, list[Due]] = {shard: [] for shard in before}
        for shard, subject, name in await self.connection.fetch(_DUE, list(before), list(before.values()), DUE_MAX):
            found[shard].append(Due(subject, name))
        return found

    async def open_effects(self, shard: int, *, with_parked: bool = True) -> list[Effect]:
        """Calls to the outside world that nobody has decided the answer of; those whose answer is parked wait for an
        operator, and may be left out."""
        rows = await self.connection.fetch(_OPEN_EFFECTS, shard, with_parked, EFFECTS)
        return [Effect(r["id"], r["kind"], json.loads(r["arguments"])) for r in rows]

    # -- outbox ----------------------------------------------------------------------------------------------------

    async def outbox_after(self, shard: int, topic: str, partition: int, link: int) -> list[OutboxRow]:
        """Rows of one link that come after a link number, in order: at most a page."""
        rows = await self.connection.fetch(_OUTBOX_AFTER, shard, topic, partition, link, OUTBOX_PAGE)
        found = []
        for row in rows:
            source, time, payloads = _read_payloads(row["records"])
            found.append(OutboxRow(topic, partition, source, time, row["first_link"], row["last_link"], payloads))
        return found

    async def sweep(self, progress: Progress, now: datetime) -> None:
        """Forgets outbox rows past their retention that the broker has, in the order of their links, and ids past their
        memory: of these a portion at a time, and no longer than SWEEPING_S."""
        links = [(*name.rsplit("/", 1), last) for name, last in progress.acked.items()]
        if links:
            topics, partitions, last = zip(*links, strict=True)
            await self.connection.execute(
                _SWEEP_OUTBOX,
                progress.shard,
                list(topics),
                [int(p) for p in partitions],
                list(last),
                now,
                self._retention_s,
            )
        stop_at = monotonic() + SWEEPING_S
        swept = SWEPT_AT_ONCE
        while swept == SWEPT_AT_ONCE and monotonic() < stop_at:
            told = await self.connection.execute(_SWEEP_ANSWERS, progress.shard, now, self._id_memory_s, SWEPT_AT_ONCE)
            swept = int(told.rpartition(" ")[2])

    # -- parked ----------------------------------------------------------------------------------------------------

    async def asked_for(self, shards: Collection[int]) -> set[int]:
        """The shards of which operators want something."""
        rows = await self.connection.fetch(
            "select distinct shard from parked_requests where shard = any($1::int[])", list(shards)
        )
        return {row["shard"] for row in rows}

    async def parked_requests(self, shard: int) -> list[ParkedRow]:
        """What operators asked for, the oldest first, at most REQUESTED_MAX; a replay takes the later messages of its
        subject along, in order. Those with the action `settled` are done already."""
        rows = await self.connection.fetch(_REQUESTS, shard, list(BLOCKING), REQUESTED_MAX, REQUESTED_BYTES)
        return [
            ParkedRow(
                r["id"],
                r["subject"],
                r["action"],
                Delivery(
                    r["topic"],
                    r["kafka_partition"],
                    r["kafka_offset"],
                    r["key"],
                    r["body"],
                    id=r["message_id"],
                    type=r["message_type"],
                    subject=r["subject"],
                    **_attributes(json.loads(r["headers"])),
                ),
            )
            for r in rows
        ]

    async def settle_requests(
        self, shard: int, asked: Sequence[int], dropped: Sequence[int], replayed: Sequence[int]
    ) -> None:
        """The requests are done with. Dropped messages do not come back; effects asked again count as replayed. What
        waits further behind what was replayed is asked for by itself.

        Raises GateShut when the shard is somebody else's by now: what was done here is lost, and he has to do it.
        """
        epoch = self._epochs[shard]
        try:
            await self.connection.fetchval(
                _SETTLE_REQUESTS,
                shard,
                list(asked),
                list(dropped),
                list(replayed),
                epoch,
                list(BLOCKING),
                max(asked, default=0),
            )
        except asyncpg.DivisionByZeroError:
            raise GateShut(f"shard {shard}: epoch {epoch} is over") from None


# -- the gate ----------------------------------------------------------------------------------------------------------

_COUNTERS = ("offsets", "received", "sent", "acked")
_CLAIM = """
insert into progress as p (shard, epoch, version, cluster_id, offsets, received, sent, acked)
values ($1, 1, 0, $2, '{}', '{}', '{}', '{}')
on conflict (shard) do update set epoch = p.epoch + 1
returning epoch, version, cluster_id, offsets, received, sent, acked"""
_GATE = """
update progress p
set version = p.version + 1, cluster_id = u.c, offsets = u.o, received = u.r, sent = u.s, acked = u.a
from unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    u (n, e, v, c, o, r, s, a)
where p.shard = u.n and p.epoch = u.e and p.version = u.v returning p.shard"""


def _gate(commits: Sequence[Commit]) -> Write:
    rows = [
        (
            commit.progress.shard,
            commit.epoch,
            commit.expected_version,
            commit.progress.cluster_id,
            *(to_text(getattr(commit.progress, counter)) for counter in _COUNTERS),
        )
        for commit in commits
    ]
    return Write("gate", _GATE, columns(rows))


# -- what a commit means for the runtime's tables ----------------------------------------------------------------------

_OUTBOX = """insert into outbox (shard, topic, kafka_partition, first_link, last_link, created_at, records)
select n, t, p, f, l, $1, r
from unnest($2::int[], $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bytea[]) u (n, t, p, f, l, r)"""
_TIMERS_SET = """insert into timers (subject, name, shard, due_at)
select s, t, n, d from unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[]) u (n, s, t, d)
on conflict (subject, name) do update set shard = excluded.shard, due_at = excluded.due_at"""
_TIMERS_DONE = """delete from timers t using unnest($1::text[], $2::text[]) u (s, n)
where t.subject = u.s and t.name = u.n"""
_EFFECTS_OPENED = """insert into effects (id, shard, kind, arguments, opened_at)
select i, n, k, a, $1 from unnest($2::int[], $3::text[], $4::text[], $5::text[]) u (n, i, k, a)
on conflict (id) do nothing"""
_EFFECTS_CLOSED = "delete from effects where id = any($1::text[])"
_ANSWERS = """insert into answers (id, shard, at, accepted, code, subject, fingerprint, detail)
select i, n, $1, c is null, c, s, f, d
from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) u (n, i, c, s, f, d)
on conflict (id) do nothing"""
_PARKED = """insert into parked (shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type, key,
    headers, body, code, reason, parked_at)
select n, s, t, p, o, i, m, k, h::jsonb, b, c, r, $1
from unnest($2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::bytea[],
    $10::text[], $11::bytea[], $12::text[], $13::text[]) u (n, s, t, p, o, i, m, k, h, b, c, r)"""
# Who asked for what becomes of the parked message `p`, and why: for itself, or, when a replay took it along, for the
# one before it.
_CLOSED_FOR = """(select r.asked_by, r.asked_because from parked_requests r join parked a on a.id = r.parked_id
    where r.shard = p.shard and a.subject = p.subject and r.parked_id <= p.id and r.action = {action}
    order by r.parked_id desc limit 1)"""
_REPLAYED = f"""update parked p set state = 'replayed', closed_at = $1,
    (closed_by, closed_because) = {_CLOSED_FOR.format(action="'replay'")}
where p.id = any($2::bigint[])"""


_RUNTIME_WRITES = {
    "outbox": _OUTBOX,
    "timers_set": _TIMERS_SET,
    "timers_done": _TIMERS_DONE,
    "effects_opened": _EFFECTS_OPENED,
    "effects_closed": _EFFECTS_CLOSED,
    "answers": _ANSWERS,
    "parked": _PARKED,
    "replayed": _REPLAYED,
}
_AT_ONE_TIME = frozenset({"outbox", "effects_opened", "answers", "parked", "replayed"})
"""Their first parameter is the moment of the batch."""


def _runtime_writes(commits: Sequence[Commit]) -> list[Write]:
    """The writes to the runtime's tables; tables that nothing changes in are left out of the statement."""
    rows: dict[str, list[Any]] = {name: [] for name in _RUNTIME_WRITES}
    for commit in commits:
        shard, closed = commit.progress.shard, set(commit.effects_closed)
        rows["outbox"] += [
            (shard, r.topic, r.partition, r.first_link, r.last_link, _pack((r.source, r.time, r.payloads)))
            for r in commit.outbox
        ]
        for (subject, name), due in commit.timers.items():
            if due is None:
                rows["timers_done"].append((subject, name))
            else:
                rows["timers_set"].append((shard, subject, name, due))
        rows["effects_opened"] += [
            (shard, e.id, e.kind, to_text(e.arguments)) for e in commit.effects_opened if e.id not in closed
        ]
        rows["effects_closed"] += [(id_,) for id_ in closed]
        rows["answers"] += [(shard, a.id, a.code, a.subject, a.fingerprint, a.detail) for a in commit.answers]
        rows["parked"] += [(shard, *_parked_row(p)) for p in commit.parked]
        rows["replayed"] += [(id_,) for id_ in commit.replayed]
    at = commits[0].at
    return [
        Write(name, _RUNTIME_WRITES[name], [*([at] if name in _AT_ONE_TIME else []), *columns(some)])
        for name, some in rows.items()
        if some
    ]


def _parked_row(p: Any) -> tuple[Any, ...]:
    d = p.delivery
    headers = json.dumps([[n, base64.b64encode(v or b"").decode()] for n, v in d.headers])
    type_ = d.type.replace("\x00", "?")[:200]
    return (
        p.subject,
        d.topic,
        d.partition,
        d.offset,
        d.id.replace("\x00", "?")[:200],
        type_,
        d.key,
        headers.replace("\\u0000", "?"),
        d.value,
        p.code,
        p.reason,
    )


def _attributes(headers: list[list[str]]) -> dict[str, Any]:
    raw = [(name, base64.b64decode(value)) for name, value in headers]
    found = dict(raw)
    return {
        "actor": found.get("ce_actor", b"").decode(errors="replace"),
        "fingerprint": found.get("fingerprint", b"").decode(errors="replace"),
        "traceparent": found.get("traceparent", b""),
        "headers": raw,
    }


# -- reads and housekeeping --------------------------------------------------------------------------------------------

_KNOWN = "select array(select id from answers where id = any($1::text[])), version from master_data"
_BLOCKED = "select distinct subject from parked where shard = $1 and state = 'parked' and code = any($2::text[])"
_NEXT_DUE = """select s as shard, (select due_at from timers where shard = s order by due_at limit 1) as due_at
from unnest($1::int[]) u (s)"""
_DUE = """select u.s, t.subject, t.name
from unnest($1::int[], $2::timestamptz[]) u (s, before)
cross join lateral (select * from timers where shard = u.s and due_at <= u.before order by due_at limit $3) t
order by t.due_at"""
_OPEN_EFFECTS = """select id, kind, arguments from effects e where shard = $1 and ($2 or not exists (
    select from parked p where p.shard = e.shard and p.state = 'parked' and p.topic = $3 and p.message_id = e.id))
order by id"""
_OUTBOX_AFTER = """select first_link, last_link, records from outbox
where shard = $1 and topic = $2 and kafka_partition = $3 and last_link > $4 order by first_link limit $5"""
# From the front of each link up to its first row that is to stay: clocks jump, and a hole could never be filled again.
_SWEEP_OUTBOX = """delete from outbox o using (
    select u.t, u.p, u.l, min(s.first_link) as stays
    from unnest($2::text[], $3::int[], $4::bigint[]) u (t, p, l)
    left join outbox s on s.shard = $1 and s.topic = u.t and s.kafka_partition = u.p
        and s.created_at >= $5::timestamptz - make_interval(secs => $6)
    group by 1, 2, 3
) k
where o.shard = $1 and o.topic = k.t and o.kafka_partition = k.p and o.last_link <= k.l
  and (k.stays is null or o.first_link < k.stays)"""
_SWEEP_ANSWERS = """delete from answers where id in (
    select id from answers where shard = $1 and at < $2::timestamptz - make_interval(secs => $3)
    order by at limit $4)"""
# The oldest requests, and what waits behind the first one of each subject; a message that is to be dropped is not taken
# along. A request for one that is settled comes as such, so that it is done with.
_REQUESTS = """with asked as materialized (
    select a.id, a.subject, a.code, a.state, r.action
    from parked_requests r join parked a on a.id = r.parked_id
    where r.shard = $1 order by r.parked_id limit $3),
firsts as (
    select subject, min(id) as id from asked
    where action = 'replay' and state = 'parked' and code = any($2::text[]) group by subject),
wanted as (
    select id, case state when 'parked' then action else 'settled' end as action from asked
    union
    select p.id, 'replay' from firsts f
    join parked p on p.shard = $1 and p.subject = f.subject and p.state = 'parked' and p.id > f.id
        and p.code = any($2::text[])
    where not exists (select from parked_requests d where d.parked_id = p.id and d.action = 'drop')
    order by id limit $3),
weighed as (
    select w.id, w.action, sum(octet_length(p.body)) filter (where w.action = 'replay')
        over (order by w.id rows between unbounded preceding and 1 preceding) as bytes_before
    from wanted w join parked p using (id))
select w.action, p.* from weighed w join parked p using (id) where coalesce(w.bytes_before, 0) < $4 order by id"""
# Behind the gate of the epoch, like every write of a shard.
_SETTLE_REQUESTS = f"""with mine as (select shard from progress where shard = $1 and epoch = $5 for update),
settled as (delete from parked_requests r using mine where r.shard = mine.shard and r.parked_id = any($2::bigint[])),
done as (update parked p set state = case when p.id = any($3::bigint[]) then 'dropped' else 'replayed' end,
        closed_at = now(), (closed_by, closed_because) =
            {_CLOSED_FOR.format(action="case when p.id = any($3::bigint[]) then 'drop' else 'replay' end")}
    from mine where p.shard = mine.shard and (p.id = any($3::bigint[]) or p.id = any($4::bigint[]))),
subjects as (select subject, bool_and(state <> 'parked' or id = any($4::bigint[])) as through from parked
    where id = any($2::bigint[]) and id <> all($3::bigint[]) and code = any($6::text[]) group by subject),
-- One parked again: what waits behind it is not replayed before it, though somebody asked for that as well.
held_back as (delete from parked_requests r using mine, subjects s, parked p
    where r.shard = mine.shard and r.parked_id = p.id and r.action = 'replay' and not s.through
        and p.shard = mine.shard and p.subject = s.subject and p.state = 'parked' and p.code = any($6::text[])),
-- More waits behind what was replayed than one turn takes: the next one of each subject is asked for in its turn.
next_ones as (select min(p.id) as id, p.shard, p.subject from mine, subjects s, parked p
    where s.through and p.shard = mine.shard and p.subject = s.subject and p.state = 'parked'
        and p.code = any($6::text[]) and p.id > $7
        and not exists (select from parked_requests r where r.parked_id = p.id)
    group by p.shard, p.subject),
go_on as (insert into parked_requests (parked_id, shard, action, asked_by, asked_because)
    select p.id, p.shard, 'replay', w.asked_by, w.asked_because
    from next_ones p left join lateral {_CLOSED_FOR.format(action="'replay'")} w on true on conflict do nothing)
select 1 / count(*) from mine"""
