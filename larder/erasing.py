"""Takes an account's personal data out of the six databases before its time (`larder customer erase`).

Theory of operation. What goes of an order, and when it may, is what the sweeps of the services say (`SWEEPS`); this
carries out their SQL for the orders of one account, a portion a transaction, under the lock that sweepers take. A sales
order and its replacement orders share an address: while one of them is open, all are left whole.

Three more places hold copies. Messages on their way could bring data to where it was erased, so what had been sent when
the orders were looked at is waited for, before the rows are looked for and again before they are cleared. The outboxes
keep what was sent for a while: it has arrived by then, and is never read by a service again, so its personal fields are
emptied where they lie. Parked messages about these orders go whole once they are settled; one that is open waits for a
person, and is left.

The account's name itself stays where things are counted for it, a pseudonym of nobody: in its orders, and in what it
has had of promotions (`claims`), since a coupon that was used stays used.

What workers remember brings nothing back: their writes leave an address alone that is there or gone (`save_many`), and
no message moves a review that is decided or a ticket of an order that is closed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
from pydantic import TypeAdapter, ValidationError

from larder.audit.look import Counted, Link, links_of
from larder.stack.errors import StackError
from larder.stack.migrate import connect
from services.aftersales.store import SWEEPS as AFTERSALES
from services.logistics.store import SWEEPS as LOGISTICS
from services.order.store import SWEEPS as ORDER
from services.risk.store import ERASE as OF_ACCOUNT
from services.risk.store import SWEEPS as RISK
from shared.contracts import aftersales, logistics, risk
from shared.contracts.base import ACCOUNT_MAX, Account, Message, sales_order_of
from shared.runtime.database import rewritten
from shared.runtime.envelope import Payload
from shared.runtime.sweep import LOCK, SWEPT_AT_ONCE, Sweep
from shared.settings import SERVICES, Settings

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # generic in its stubs only

WAIT_S = 30.0
"""How long is waited for what had been sent."""
PAUSE_S = 0.1
OUTBOX_PAGE = 20
"""Outbox rows read at once; each holds what one batch sent to one partition."""
PARKED_PAGE = 20
"""Parked messages read at once; a body may have a megabyte."""

SWEEPS: Mapping[str, Sequence[Sweep]] = {
    service: [sweep for sweep in sweeps if sweep.keep == "personal_data_s"]
    for service, sweeps in (("order", ORDER), ("logistics", LOGISTICS), ("aftersales", AFTERSALES), ("risk", RISK))
}
OF_MESSAGES: Mapping[type[Message], Mapping[str, Any]] = {
    risk.ScreenOrder: {"device": None, "address": None},
    logistics.FulfilOrder: {"delivery": None},
    logistics.AnnounceReturn: {"delivery": None},
    logistics.DeliveryFailed: {"reason": ""},
    aftersales.TicketEnded: {"note": ""},  # a person's word, or a code that has arrived as well
}
"""What services tell each other of a person, and what stands there instead."""

_ORDERS = "select order_id, ended from orders where account = $1 order by placed_at, order_id"
_PROGRESS = "select shard, sent, received, acked from progress"
_TURN = "select pg_advisory_xact_lock($1, hashtext($2))"
_RECORD = """insert into erasures (account, at, done_by, erased) values ($1, $2, $3, $4)
on conflict (account, at) do update set erased = excluded.erased"""
_OUTBOX = """select shard, topic, kafka_partition, first_link, records from outbox
where topic = any($1::text[]) and (shard, topic, kafka_partition, first_link) > ($2, $3, $4, $5)
order by shard, topic, kafka_partition, first_link limit $6"""
_OUTBOX_EMPTIED = """update outbox set records = $5
where shard = $1 and topic = $2 and kafka_partition = $3 and first_link = $4"""
_PARKED = """select id, subject, body,
    state = 'parked' or exists (select from parked_requests where parked_id = p.id) as is_open
from parked p order by id"""
_PARKED_GONE = """delete from parked p where id = any($1::bigint[]) and state <> 'parked'
    and not exists (select from parked_requests where parked_id = p.id)"""
_TABLE = re.compile(r"\s*(?:update|delete from)\s+(\w+)", re.IGNORECASE)
_ACCOUNT: TypeAdapter[str] = TypeAdapter(Account)


class Left(NamedTuple):
    """What is not over, and so was left as it is: rows of a service's table, with their ids."""

    service: str
    table: str
    ids: list[str]


@dataclass
class Erasure:
    """What one run did: `orders` have ended, `erased` counts the rows that something was taken out of, by service and
    table. `before`: when the account was erased last, before this run."""

    account: str
    orders: int
    before: datetime | None
    left: list[Left] = field(default_factory=list)
    erased: dict[str, Counter[str]] = field(default_factory=lambda: {service: Counter() for service in SERVICES})

    @property
    def rows(self) -> int:
        """How many rows there was something to erase in."""
        return sum(sum(counts.values()) for counts in self.erased.values())


async def erase(settings: Settings, account: str, done_by: str) -> Erasure:
    """Takes the personal data of all that has ended out of the databases; what is open is left, and named.

    Raises StackError for a text that is no account, for an account that nobody has heard of, and, before anything is
    changed, when what was sent does not arrive.
    """
    try:
        _ACCOUNT.validate_python(account)
    except ValidationError:
        raise StackError(
            f"the account {account[: ACCOUNT_MAX + 1]!r} is none that can order: 1 to {ACCOUNT_MAX} printable "
            "characters, no blank at either end"
        ) from None
    async with AsyncExitStack() as closing:
        books: dict[str, Connection] = {}
        for service in SERVICES:
            books[service] = await connect(settings.dsn(service), service)
            closing.push_async_callback(books[service].close)
        return await _Eraser(books, account, done_by).run()


class _Eraser:
    """One run."""

    def __init__(self, books: Mapping[str, Connection], account: str, done_by: str) -> None:
        self._books = books
        self._account = account
        self._done_by = done_by
        self._at = datetime.now(UTC)
        self._ended: dict[str, list[str]] = {}
        self._open: set[str] = set()

    async def run(self) -> Erasure:
        """Looks, waits, looks closer, waits, erases."""
        erasure = await self._look()
        over: dict[str, dict[Sweep, list[str]]] = {}
        if self._ended:
            await self._all_arrived()
            over, under_way = await self._rows()
            erasure.left += under_way
            await self._all_arrived()
        parked = {service: await self._parked(service) for service in SERVICES}
        if not (self._ended or self._open or any(closed or open_ for closed, open_ in parked.values())):
            raise StackError(f"nobody has heard of the account {self._account!r}: it has no orders")
        for service, (settled, open_) in parked.items():
            if open_:
                erasure.left.append(Left(service, "parked", [f"{service}:{number}" for number in open_]))
            await self._erase(service, over.get(service, {}), settled, erasure.erased[service])
        return erasure

    async def _look(self) -> Erasure:
        """The account's orders, by the sales order that they belong to."""
        book = self._books["order"]
        orders = await book.fetch(_ORDERS, self._account)
        self._open = {sales_order_of(order_id) for order_id, ended in orders if not ended}
        for order_id, _ in orders:
            if (family := sales_order_of(order_id)) not in self._open:
                self._ended.setdefault(family, []).append(order_id)
        before = await book.fetchval("select max(at) from erasures where account = $1", self._account)
        erasure = Erasure(self._account, sum(map(len, self._ended.values())), before)
        if open_ := [order_id for order_id, ended in orders if not ended]:
            erasure.left.append(Left("order", "orders", open_))
        return erasure

    async def _rows(self) -> tuple[dict[str, dict[Sweep, list[str]]], list[Left]]:
        """The rows of the orders that have ended: those that are over too, and those that are not."""
        over: dict[str, dict[Sweep, list[str]]] = {}
        left = []
        order_ids = [order_id for family in self._ended.values() for order_id in family]
        for service, sweeps in SWEEPS.items():
            for sweep in sweeps:
                rows = [
                    row
                    for portion in _portions(order_ids)
                    for row in await self._books[service].fetch(sweep.standing, portion)
                ]
                over.setdefault(service, {})[sweep] = [key for key, is_over in rows if is_over]
                if under_way := [key for key, is_over in rows if not is_over]:
                    left.append(Left(service, sweep.table, under_way))
        return over, left

    async def _all_arrived(self) -> None:
        """Waits until the services have received what they had sent each other; raises StackError when they do not."""
        sent = {(link.name, link.receiver): link.sent for link in await self._links()}
        give_up_at = monotonic() + WAIT_S
        while True:
            received = {(link.name, link.receiver): link.received for link in await self._links()}
            behind = [name for name, number in sent.items() if received.get(name, 0) < number]
            if not behind:
                return
            if monotonic() >= give_up_at:
                raise StackError(
                    f"what {behind[0][0].partition(' ')[0]} sent has not arrived at {behind[0][1]} within {WAIT_S:g} s "
                    "(`larder status`), and could bring back what is erased; nothing was erased"
                )
            await asyncio.sleep(PAUSE_S)

    async def _links(self) -> list[Link]:
        return links_of(
            {
                (service, shard): Counted(*map(json.loads, counters))
                for service in SERVICES
                for shard, *counters in await self._books[service].fetch(_PROGRESS)
            }
        )

    async def _erase(
        self, service: str, over: Mapping[Sweep, Sequence[str]], parked: Sequence[int], erased: Counter[str]
    ) -> None:
        """All of one service, with its record."""
        book = self._books[service]
        for sweep, keys in over.items():
            for portion in _portions(keys):
                async with book.transaction():
                    await book.execute(_TURN, LOCK, sweep.name)
                    for sql in sweep.clear:
                        await self._clear(book, sql, portion, erased)
                    await self._record(book, erased)
        await self._empty_outbox(book, erased)
        for numbers in _portions(parked):
            await self._clear(book, _PARKED_GONE, numbers, erased)
        async with book.transaction():
            for sql in OF_ACCOUNT if service == "risk" else ():
                await self._clear(book, sql, self._account, erased)
            await self._record(book, erased)

    async def _clear(self, book: Connection, sql: str, argument: object, erased: Counter[str]) -> None:
        table = _TABLE.match(sql)
        assert table, f"neither an update nor a delete: {sql}"
        if rows := int((await book.execute(sql, argument)).rpartition(" ")[2]):
            erased[table[1]] += rows

    async def _record(self, book: Connection, erased: Counter[str]) -> None:
        await book.execute(_RECORD, self._account, self._at, self._done_by, json.dumps(+erased))

    async def _empty_outbox(self, book: Connection, erased: Counter[str]) -> None:
        """A row at a time: a worker that sweeps its outbox meanwhile must not wait for more than one of them."""
        topics = sorted({contract.TOPIC for contract in OF_MESSAGES})
        place: tuple[Any, ...] = (-1, "", 0, 0)
        while self._ended and (page := await book.fetch(_OUTBOX, topics, *place, OUTBOX_PAGE)):
            for *where, records in page:
                if (emptied := rewritten(records, self._emptied)) is not None:
                    told = await book.execute(_OUTBOX_EMPTIED, *where, emptied)
                    erased["outbox"] += int(told.rpartition(" ")[2])
            place = tuple(page[-1])[:4]

    def _emptied(self, payload: Payload) -> Payload:
        key, type_, subject, body, trace = payload
        contract = _CONTRACTS.get(type_)
        if contract is None or sales_order_of(subject.decode()) not in self._ended:
            return payload
        message, instead = contract.from_json(body), OF_MESSAGES[contract]
        if all(getattr(message, name) == value for name, value in instead.items()):
            return payload
        return key, type_, subject, message.model_copy(update=dict(instead)).to_json(), trace

    async def _parked(self, service: str) -> tuple[list[int], list[int]]:
        """Parked messages of the account that are about no open order: those that are settled, and those that are open
        or asked for."""
        found: tuple[list[int], list[int]] = ([], [])
        book = self._books[service]
        async with book.transaction(readonly=True):
            async for number, subject, body, is_open in book.cursor(_PARKED, prefetch=PARKED_PAGE):
                if self._is_ours(subject, body):
                    found[is_open].append(number)
        return found

    def _is_ours(self, subject: str, body: bytes | None) -> bool:
        said = _read(body)
        about = said.get("order_id") if isinstance(said, dict) else None
        families = {sales_order_of(name) for name in (subject, about) if isinstance(name, str)}
        if families & self._open:
            return False
        if families & self._ended.keys():
            return True
        if isinstance(said, dict):
            return said.get("account") == self._account
        # No message at all: perhaps the account can be found in it.
        return said is None and body is not None and json.dumps(self._account, ensure_ascii=False).encode() in body


_CONTRACTS = {contract.TYPE: contract for contract in OF_MESSAGES}


def _read(body: bytes | None) -> Any:
    """A body's JSON; None when it is none."""
    try:
        return json.loads(body or b"")
    except (ValueError, RecursionError):
        return None


def _portions(keys: Iterable[Any]) -> Iterator[list[Any]]:
    rest = list(keys)
    for first in range(0, len(rest), SWEPT_AT_ONCE):
        yield rest[first : first + SWEPT_AT_ONCE]
