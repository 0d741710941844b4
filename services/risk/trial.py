"""Deciding again: what other rules would have said of orders that were screened already, and what became of them.

Theory of operation. Each screening is judged by the same pure function that judged it first (`services.risk.rules`),
from the facts that were kept with it, as of the moment of its verdict; so rules that decided change nothing when they
are tried. What a trial does not touch:

- The blocklist. Where an entry of it gave the reason, its treatment stays, and the stronger of it and the rules' wins.
  An entry weaker than the rules were then is not known any more: such an order is judged by the rules alone.
- The switch. What was restricted because risk was switched off is counted (`switched_off`), not decided again.
- What is forgotten. A screening whose facts are purged is counted (`without_facts`), not decided again.

A trial reads portion by portion, along the index by age, and keeps nothing but counts and the first orders that change.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel

from services.risk.decider import SWITCHED_OFF, WORDS
from services.risk.rules import RuleSet, judge
from services.risk.state import Kind, Treatment
from services.risk.store import read_facts

PORTION = 1_000
"""Screenings that are read at once."""
AT_A_TIME = 100
"""Screenings that are decided before others get their turn: a few milliseconds."""
SHOWN_MAX = 100
"""Most changed orders that are named."""
LADDER = ("clear", *Treatment)
"""Verdicts, the mildest first."""
STEPS = {verdict: step for step, verdict in enumerate(LADDER)}
OPEN = "open"
"""What became of an order of which nothing is known yet."""
GOOD = "delivered"
"""What becomes of a good customer's order."""
_BLOCKLISTED = frozenset(f"{kind}_{word}" for kind in Kind for word in WORDS.values())

_SCREENINGS = """
select s.order_id, s.account, s.at, s.total, s.device, s.address, s.verdict, s.facts,
       coalesce(r.reason, s.reason) as reason, e.deed, case when r.decided_by <> '' then r.verdict end as label
from screenings s left join reviews r using (order_id) left join endings e using (order_id)
where (s.at, s.order_id) > ($1::timestamptz, $2::text) and s.at < $3 order by s.at, s.order_id limit $4
"""


class Place(NamedTuple):
    """Behind which screening a trial goes on; with no order, at the first of that moment."""

    since: datetime
    after: str = ""


class ChangedOrder(BaseModel):
    """An order that would have been treated otherwise: the rules that would have spoken, and what became of it."""

    order_id: str
    account: str
    at: datetime
    before: str
    after: str
    rules: list[str]
    ending: str


class ChangedEndings(BaseModel):
    """How many orders that would have been treated otherwise, in this way, came to this end."""

    before: str
    after: str
    ending: str
    orders: int


class ByVerdict(BaseModel):
    """How many orders were treated so, and how many would have been."""

    before: dict[str, int]
    after: dict[str, int]


class Agreement(BaseModel):
    """How often a verdict is what a person came to, who looked at the order: clear, or anything else."""

    agree: int
    disagree: int


class Labels(BaseModel):
    """People's verdicts in reviews, held against the verdicts as they were and as they would have been."""

    before: Agreement
    after: Agreement


class TrialPage(BaseModel):
    """What a trial came to: all `screenings` that it read, those that were not decided again (`without_facts`,
    `switched_off`), and of the others how many were treated so before and after, how many changed, what became of these
    (`delivered` is a good customer, `open` is under way), how many good customers would have been treated more strictly
    (`good_customers`), and the first orders that changed."""

    screenings: int
    without_facts: int
    switched_off: int
    changed: int
    good_customers: int
    by_verdict: ByVerdict
    endings: list[ChangedEndings]
    labels: Labels
    orders: list[ChangedOrder]


class Trial:
    """Rules that are tried on screenings, and what that comes to so far."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self.screenings = 0
        self._without_facts = 0
        self._switched_off = 0
        self._moves: Counter[tuple[str, str]] = Counter()
        self._endings: Counter[tuple[str, str, str]] = Counter()
        self._labels: Counter[tuple[str, bool]] = Counter()
        self._orders: list[ChangedOrder] = []

    def decide(self, rows: Iterable[Any]) -> None:
        """Decides screenings again."""
        for row in rows:
            self.screenings += 1
            if row["reason"] == SWITCHED_OFF:
                self._switched_off += 1
            elif row["facts"] is None:
                self._without_facts += 1
            else:
                self._decide(row)

    def _decide(self, row: Any) -> None:
        before: str = row["verdict"]
        judged = judge(self._rules, read_facts(row), row["at"])
        after: str = judged.treatment or "clear"
        if row["reason"] in _BLOCKLISTED:
            after = max(before, after, key=STEPS.__getitem__)
        self._moves[before, after] += 1
        if label := row["label"]:
            for when, verdict in (("before", before), ("after", after)):
                self._labels[when, (verdict == "clear") == (label == "clear")] += 1
        if before == after:
            return
        ending = row["deed"] or OPEN
        self._endings[before, after, ending] += 1
        if len(self._orders) < SHOWN_MAX:
            self._orders.append(
                ChangedOrder(
                    order_id=row["order_id"],
                    account=row["account"],
                    at=row["at"],
                    before=before,
                    after=after,
                    rules=[spoke.name for spoke in judged.spoke],
                    ending=ending,
                )
            )

    @property
    def page(self) -> TrialPage:
        """What it came to so far."""
        before, after = dict.fromkeys(LADDER, 0), dict.fromkeys(LADDER, 0)
        for (was, would_be), orders in self._moves.items():
            before[was] += orders
            after[would_be] += orders
        endings = sorted(self._endings.items(), key=lambda one: (STEPS[one[0][0]], STEPS[one[0][1]], one[0][2]))
        return TrialPage(
            screenings=self.screenings,
            without_facts=self._without_facts,
            switched_off=self._switched_off,
            changed=self._endings.total(),
            good_customers=sum(
                orders for (was, now, end), orders in endings if end == GOOD and STEPS[now] > STEPS[was]
            ),
            by_verdict=ByVerdict(before=before, after=after),
            endings=[ChangedEndings(before=was, after=now, ending=end, orders=n) for (was, now, end), n in endings],
            labels=Labels(before=self._agreement("before"), after=self._agreement("after")),
            orders=self._orders,
        )

    def _agreement(self, when: str) -> Agreement:
        return Agreement(agree=self._labels[when, True], disagree=self._labels[when, False])


async def go_on(
    connection: Any,
    trial: Trial,
    place: Place,
    until: datetime,
    *,
    most: int | None = None,
    seconds: float | None = None,
) -> Place | None:
    """Decides screenings from there on until that moment, at most so many, and begins no portion after so many seconds;
    answers where to go on, None at the end. `connection` may be a pool."""
    began, decided = time.monotonic(), 0
    while True:
        asked = PORTION if most is None else min(PORTION, most - decided)
        rows = await connection.fetch(_SCREENINGS, *place, until, asked)
        for first in range(0, len(rows), AT_A_TIME):
            trial.decide(rows[first : first + AT_A_TIME])
            await asyncio.sleep(0)
        if len(rows) < asked:
            return None
        decided += asked
        place = Place(rows[-1]["at"], rows[-1]["order_id"])
        if decided == most or (seconds is not None and time.monotonic() - began > seconds):
            return place
