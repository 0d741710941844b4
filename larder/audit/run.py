"""One audit, from the wait until all is quiet to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from larder.audit import issues, leftovers, money, neighbours, phases, stock
from larder.audit.books import Books, Connection, open_books
from larder.audit.gather import lives
from larder.audit.life import ENDS, Life
from larder.audit.links import links_are_even, outbox_is_whole
from larder.audit.owners import decided_by_its_shard
from larder.audit.parked import nothing_of_ours_parked
from larder.audit.quiet import Look, look, quiet_moment
from larder.audit.report import KEPT_MAX, Report
from shared.settings import SERVICES, Settings

WAIT_S = 30.0
"""How long the audit waits for quiet links, unless told otherwise."""
SETTLE_LOOKS = 6
"""How often an order that keeps changing is looked at again."""
SETTLE_PAUSE_S = 0.4
STILL_S = 3.0
"""A link that stands still for at least this long, with messages before it, is no link that is just slow."""

LifeRule = Callable[[Life], str | None]
"""None: does not concern this life; empty: all is well; else what is wrong."""
BookRule = Callable[[Connection, str, Report], Awaitable[None]]

LIFE_RULES: tuple[LifeRule, ...] = (
    neighbours.phase_is_known,
    neighbours.somebody_answers,
    issues.issued_is_wanted,
    issues.reversals_fit,
    issues.returns_fit,
    issues.papers_show_documents,
    issues.no_hold_outlives_order,
    issues.waiting_order_holds,
    money.money_of_phase,
    money.refused_refund_has_ticket,
    money.refunds_fit_lines,
    money.order_is_papers,
    money.order_is_journal,
    money.journal_is_payment,
    money.journal_is_gateway,
    money.capture_belongs_to_one_order,
    money.gateway_keeps_its_sums,
    neighbours.fulfilment_agrees,
    neighbours.slot_agrees,
    neighbours.window_agrees,
    neighbours.tickets_are_counted,
    neighbours.screening_agrees,
    neighbours.cancel_is_counted,
)
# While money is being moved for an order, it waits for an answer that is under way.
NOT_WHILE_BUSY: frozenset[LifeRule] = frozenset({*money.WITH_GATEWAY, neighbours.somebody_answers})

OF_EVERY_SERVICE: tuple[BookRule, ...] = (nothing_of_ours_parked, leftovers.answered_once)
BOOK_RULES: dict[str, tuple[BookRule, ...]] = {
    "order": (phases.timeline_is_phase, phases.slot_is_kept, leftovers.waits_have_timers, leftovers.accepted_is_there),
    "inventory": (stock.cells_are_ledger_sums, stock.papers_moved_once),
    "risk": (leftovers.waits_have_timers,),
    "payment": (),
    "logistics": (stock.places_are_reservations, leftovers.waits_have_timers),
    "aftersales": (leftovers.waits_have_timers,),
}


async def audit(settings: Settings, wait_s: float = WAIT_S) -> Report:
    """Waits at most `wait_s` seconds until nothing moves, then judges. Raises CannotLook when a database cannot be
    read."""
    began = time.monotonic()
    report = Report()
    async with open_books(settings) as books:
        async with quiet_moment(books, wait_s) as (first, seen):
            leftovers.nothing_is_left(seen, settings.gateway_timeout_s, report)
            await asyncio.gather(*(_judge_book(books, service, settings.shards, seen, report) for service in SERVICES))
            suspects = await _judge_lives(books, seen, report)
        await _settle(books, suspects, report)
        links_are_even(first, await _last_look(books, seen, began), report)
    report.violations.sort(key=lambda v: (v.rule, v.ids))
    report.parked.sort(key=lambda p: p.id)
    report.seconds = time.monotonic() - began
    return report


async def _last_look(books: Books, seen: Look, began: float) -> Look:
    """Links as they are in the end: where messages were on their way, after long enough that a worker would have moved
    them."""
    if not seen.behind:
        return seen
    await asyncio.sleep(max(0.0, began + STILL_S - time.monotonic()))
    async with books.snapshot():
        return await look(books)


async def _judge_book(books: Books, service: str, shards: int, seen: Look, report: Report) -> None:
    connection = books[service]
    for rule in (*OF_EVERY_SERVICE, *BOOK_RULES[service]):
        await rule(connection, service, report)
    await decided_by_its_shard(connection, service, shards, report)
    await outbox_is_whole(connection, service, report, seen)


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A life that looked wrong, and when."""

    life: Life
    seen: Look


async def _judge_lives(books: Books, seen: Look, report: Report) -> dict[str, _Suspect]:
    suspects: dict[str, _Suspect] = {}
    busy = seen.busy
    async for batch in lives(books):
        for life in batch:
            if life.order:
                report.orders += 1
                if life.phase not in ENDS:
                    report.in_flight.orders[life.phase] += 1
            found = _judge(life, busy, report.checked)
            if found and len(suspects) < KEPT_MAX:
                suspects[life.order_id] = _Suspect(life, seen)
            elif found:  # with so many there is no doubt, and no use in looking twice
                _tell(life, found, report)
    return suspects


def _judge(life: Life, busy: frozenset[str], checked: Counter[str]) -> list[tuple[str, str]]:
    """Rules that the life breaks, and how."""
    found = []
    is_busy = life.order_id in busy
    for rule in LIFE_RULES:
        if is_busy and rule in NOT_WHILE_BUSY:
            continue
        try:
            wrong = rule(life)
        except (ValueError, TypeError, KeyError) as error:
            wrong = f"a column does not hold what it should: {type(error).__name__}: {error}"
        if wrong is not None:
            checked[rule.__name__] += 1
            if wrong:
                found.append((rule.__name__, wrong))
    return found


def _tell(life: Life, found: list[tuple[str, str]], report: Report) -> None:
    for rule, wrong in found:
        report.add(rule, (life.order_id,), wrong)


async def _settle(books: Books, suspects: dict[str, _Suspect], report: Report) -> None:
    """Looks at suspects again. Wrong twice, with nothing changed although all that was on its way has arrived: a
    violation. Right at last: none. Different every time: in flight."""
    for _ in range(SETTLE_LOOKS):
        if not suspects:
            return
        await asyncio.sleep(SETTLE_PAUSE_S)
        async with books.snapshot():
            now = await look(books)
            again = {life.order_id: life async for batch in lives(books, list(suspects)) for life in batch}
        for order_id, suspect in list(suspects.items()):
            life = again.get(order_id) or Life(order_id)
            if order_id in now.busy:
                continue
            found = _judge(life, now.busy, Counter())
            if life != suspect.life:
                suspects[order_id] = _Suspect(life, now)
            elif now.has_all_of(suspect.seen):
                _tell(life, found, report)
                del suspects[order_id]
            if not found:
                suspects.pop(order_id, None)
    report.in_flight.unsettled = sorted(suspects)
