"""One audit, from the wait until all is quiet to the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime

from larder.audit.books import Books, open_books
from larder.audit.gather import lives
from larder.audit.leftovers import nothing_is_left
from larder.audit.life import ENDS, Life
from larder.audit.links import links_are_even
from larder.audit.look import Look
from larder.audit.quiet import look, quiet_moment
from larder.audit.report import KEPT_MAX, Report
from larder.audit.rules import judge
from larder.audit.stock import places_are_reservations
from larder.audit.tables import SLOTS, judge_tables
from shared.settings import SERVICES, Settings

WAIT_S = 30.0
"""How long the audit waits for quiet links, unless told otherwise."""
SETTLE_LOOKS = 6
"""How often an order that keeps changing is looked at again."""
SETTLE_PAUSE_S = 0.4
STILL_S = 3.0
"""A link that stands still for at least this long, with messages before it, is no link that is just slow."""


async def audit(settings: Settings, wait_s: float = WAIT_S) -> Report:
    """Waits at most `wait_s` seconds until nothing moves, then judges. Raises CannotLook when a database cannot be
    read."""
    began = time.monotonic()
    report = Report()
    async with open_books(settings) as books:
        async with quiet_moment(books, wait_s) as (first, seen):
            nothing_is_left(seen, settings.gateway_timeout_s, report)
            tables = {str(s): judge_tables(books[s], s, settings.shards, seen, report) for s in SERVICES}
            suspects = await judge_lives(books, seen, report, after=tables)
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


@dataclass(frozen=True, slots=True)
class Suspect:
    """A life that looked wrong, and when."""

    life: Life
    seen: Look
    found: list[tuple[str, str]]


async def judge_lives(
    books: Books, seen: Look, report: Report, after: Mapping[str, Awaitable[None]] | None = None
) -> dict[str, Suspect]:
    """Holds every order against the rules about orders, and slots against the places that orders have; gives back those
    that look wrong. `after` as in `lives`."""
    suspects: dict[str, Suspect] = {}
    places: Counter[tuple[str, datetime | None]] = Counter()
    busy = seen.busy
    async for batch in lives(books, after=after):
        for life in batch:
            if life.order:
                report.orders += 1
                if life.phase not in ENDS:
                    report.in_flight.orders[life.phase] += 1
            if life.reservation and life.reservation.phase == "reserved":
                places[life.reservation.store, life.reservation.starts_at] += 1
            found = judge(life, report.checked, is_busy=life.order_id in busy)
            if found and len(suspects) < KEPT_MAX:
                suspects[life.order_id] = Suspect(life, seen, found)
            elif found:  # with so many there is no doubt, and no use in looking twice
                _tell(life, found, report)
    report.hold(places_are_reservations, await books["logistics"].fetch(SLOTS), places)
    return suspects


def _tell(life: Life, found: list[tuple[str, str]], report: Report) -> None:
    for rule, wrong in found:
        report.add(rule, (life.order_id,), wrong)


async def _settle(books: Books, suspects: dict[str, Suspect], report: Report) -> None:
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
            found = judge(life, Counter())
            if life != suspect.life:
                suspects[order_id] = Suspect(life, now, found)
            elif now.has_all_of(suspect.seen):
                _tell(life, found, report)
                del suspects[order_id]
            if not found:
                suspects.pop(order_id, None)
    report.in_flight.unsettled = sorted(suspects)
