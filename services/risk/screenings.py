"""What risk knows, for people to look at: one screening with all that it saw, and one account with all its orders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

from services.risk.counting import TAG_BITS
from services.risk.lists import EntryPage, Lists, ReviewPage, RulePage, rules_that_spoke
from services.risk.rulebook import Rulebook
from services.risk.rules import judge
from services.risk.state import EarlierOrder, Facts, Kind, Known, Treatment
from services.risk.store import load_conducts, read_facts

LATEST = 50
"""So many orders of an account are shown, devices and addresses, the newest."""
CANCELS: Mapping[str, str] = {
    "cancelled": "cancelled_by_customer",
    "cancelled_after_payment": "cancelled_by_customer",
    "unreachable": "not_reachable",
}
"""Which deeds count as a cancel, and as what."""

_SCREENING = """
select s.order_id, s.account, s.at, s.phase, s.verdict, s.reason, s.score, s.spoke, s.rules_version, s.total, s.device,
       s.address, s.facts, e.deed, e.at as ended_at
from screenings s left join endings e using (order_id) where s.order_id = $1
"""
_LATEST = """
select s.order_id, s.at, s.total, s.verdict, coalesce(r.reason, s.reason, '') as reason, s.spoke, s.device, s.address,
       e.deed, e.at as ended_at, case when r.decided_by <> '' then r.verdict end as label
from screenings s left join endings e using (order_id) left join reviews r using (order_id)
where s.account = $1 order by s.at desc nulls last, s.order_id desc limit $2
"""
_PHASES = "select phase, count(*) from screenings where account = $1 group by phase order by phase"
_ENDINGS = "select deed, count(*), max(at) from endings where account = $1 group by deed order by deed"
_PLACES = """
select {kind}, count(*), max(at) from screenings
where account = $1 and {kind} is not null group by {kind} order by max(at) desc, {kind} limit $2
"""


class EndingPage(BaseModel):
    """What became of an order, and when: delivered, cancelled, cancelled_after_payment, expired, unreachable, or ended
    (no doing of the account's)."""

    deed: str
    at: datetime


class EarlierPage(BaseModel):
    """An order that the account had made before. `total` in minor units; device and address are pseudonyms."""

    order_id: str
    at: datetime
    total: int
    device: str | None
    address: str | None
    delivered: bool


class FactsPage(BaseModel):
    """What a screening saw: the order (`total` in minor units, device and address as pseudonyms), when what its rules
    could ask for had happened (the newest last), and the account's earlier orders."""

    total: int
    device: str | None
    address: str | None
    counts: dict[str, list[datetime]]
    earlier: list[EarlierPage]


class ScreeningPage(BaseModel):
    """The look at an order: the verdict that was said first, its reason, the rules that spoke, the sum of their points
    (`score`), and what they saw (null when it is not kept any more). An order from before there were rules has neither
    verdict nor facts. What a person decided stands in `review`."""

    order_id: str
    account: str
    at: datetime | None
    phase: str
    verdict: str | None
    reason: str
    score: float | None
    rules: list[RulePage]
    rules_version: int | None
    facts: FactsPage | None
    review: ReviewPage | None
    ending: EndingPage | None


class AccountOrder(BaseModel):
    """An order of an account's: its verdict, why, the rules that spoke, what became of it (null: it is under way), and
    what a person decided about it (`label`; null: nobody did). `total` in minor units; device and address are
    pseudonyms."""

    order_id: str
    at: datetime | None
    total: int | None
    verdict: str | None
    reason: str
    rules: list[str]
    device: str | None
    address: str | None
    ending: EndingPage | None
    label: str | None


class Place(BaseModel):
    """A device or an address (a pseudonym) of an account's orders."""

    pseudonym: str
    orders: int
    last_seen: datetime | None


class SignalNow(BaseModel):
    """How often something is known to have happened, and when it did last."""

    count: int
    newest: datetime


class JudgedNow(BaseModel):
    """What the rules would say if the account's newest order came again now; `treatment` is null when it were clear."""

    rules_version: int
    score: float
    treatment: Treatment | None
    rules: list[RulePage]


class StandingPage(BaseModel):
    """What is known of an account: its orders by the phase of their screening, those that its customer cancelled or was
    not reached for (`cancels` by reason, and when the last one was), its entry on the blocklist; its newest orders,
    what became of all of them (`endings` by deed), its devices and addresses, the newest first; what is counted of it
    now, and of the device and the address of its newest order (`signals`), and what the rules would say now."""

    account: str
    screenings: dict[str, int]
    cancelled: int
    cancels: dict[str, int]
    last_cancelled_at: datetime | None
    blocklist: list[EntryPage]
    orders: list[AccountOrder]
    endings: dict[str, int]
    devices: list[Place]
    addresses: list[Place]
    signals: dict[str, SignalNow]
    now: JudgedNow


class Screenings:
    """Reads screenings, of one order or one account."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._lists = Lists(pool)
        self._book = Rulebook(pool)

    async def screening(self, order_id: str) -> ScreeningPage | None:
        """One order's; None when nobody looked at it."""
        row = await self._pool.fetchrow(_SCREENING, order_id)
        if row is None:
            return None
        review = await self._lists.review(order_id)
        return ScreeningPage(
            order_id=row["order_id"],
            account=row["account"],
            at=row["at"],
            phase=row["phase"],
            verdict=row["verdict"],
            reason=review.reason if review else row["reason"] or "",
            score=None if row["score"] is None else round(row["score"], 2),
            rules=rules_that_spoke(row["spoke"]),
            rules_version=row["rules_version"],
            facts=_facts(read_facts(row)) if row["facts"] else None,
            review=review,
            ending=_ending(row),
        )

    async def standing(self, account: str) -> StandingPage:
        """What is known of an account; of an unknown one, nothing."""
        newest = await self._book.newest()
        blocklist = await self._lists.entries_of(account)
        async with self._pool.acquire() as connection:
            orders = await connection.fetch(_LATEST, account, LATEST)
            phases = await connection.fetch(_PHASES, account)
            endings = await connection.fetch(_ENDINGS, account)
            devices = await connection.fetch(_PLACES.format(kind="device"), account, LATEST)
            addresses = await connection.fetch(_PLACES.format(kind="address"), account, LATEST)
            facts = await _facts_now(connection, account, orders[0] if orders else None)
        cancels: dict[str, int] = {}
        for deed, count, _ in endings:
            if reason := CANCELS.get(deed):
                cancels[reason] = cancels.get(reason, 0) + count
        judged = judge(newest.rules, facts, datetime.now(UTC))
        return StandingPage(
            account=account,
            screenings=dict(map(tuple, phases)),
            cancelled=sum(cancels.values()),
            cancels=cancels,
            last_cancelled_at=max((at for deed, _, at in endings if deed in CANCELS), default=None),
            blocklist=blocklist,
            orders=[_order(row) for row in orders],
            endings={deed: count for deed, count, _ in endings},
            devices=_places(devices),
            addresses=_places(addresses),
            signals={
                signal: SignalNow(count=len(happenings), newest=_moment(happenings[-1] >> TAG_BITS))
                for signal, happenings in sorted(facts.counts.items())
                if happenings
            },
            now=JudgedNow(
                rules_version=newest.rules.version,
                score=judged.score,
                treatment=judged.treatment,
                rules=[RulePage(**spoke._asdict()) for spoke in judged.spoke],
            ),
        )


async def _facts_now(connection: Any, account: str, newest: Any) -> Facts:
    """What a screening would see if the account's newest order came again now."""
    device, address = (newest["device"], newest["address"]) if newest else (None, None)
    asked = [("account", account), (Kind.DEVICE, device), (Kind.ADDRESS, address)]
    known = await load_conducts(connection, [(about, subject) for about, subject in asked if subject is not None])
    counts: dict[str, tuple[int, ...]] = {}
    for one in known:
        counts |= one.counts
    return Facts(newest["total"] or 0 if newest else 0, device, address, counts, _earlier(known))


def _earlier(known: Iterable[Known]) -> tuple[EarlierOrder, ...]:
    return next((one.earlier for one in known if one.earlier), ())


def _order(row: Any) -> AccountOrder:
    return AccountOrder(
        order_id=row["order_id"],
        at=row["at"],
        total=row["total"],
        verdict=row["verdict"],
        reason=row["reason"],
        rules=[rule.name for rule in rules_that_spoke(row["spoke"])],
        device=row["device"],
        address=row["address"],
        ending=_ending(row),
        label=row["label"],
    )


def _ending(row: Any) -> EndingPage | None:
    return EndingPage(deed=row["deed"], at=row["ended_at"]) if row["deed"] else None


def _places(rows: Iterable[Any]) -> list[Place]:
    return [Place(pseudonym=pseudonym, orders=orders, last_seen=at) for pseudonym, orders, at in rows]


def _facts(facts: Facts) -> FactsPage:
    return FactsPage(
        total=facts.total,
        device=facts.device,
        address=facts.address,
        counts={
            signal: [_moment(number >> TAG_BITS) for number in happenings]
            for signal, happenings in facts.counts.items()
        },
        earlier=[EarlierPage(**order._asdict() | {"at": _moment(order.at)}) for order in facts.earlier],
    )


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
