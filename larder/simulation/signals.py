"""Risk's stream application, as others see it: it counts what accounts did and what was screened, and tells how
everybody conducts themselves.

In two evenings of three it is honest. In the others it tells late, twice, out of order or not at all, stands still,
begins again from an old memory or from none, and what stands between its words makes no sense.
"""

from __future__ import annotations

import copy
from collections import Counter as Times
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from random import Random

from larder.simulation.clock import NOON
from larder.simulation.people import Desk
from larder.simulation.weather import SignalWeather
from services.risk.counting import Tally, conduct, count_activity, count_sighting
from shared.contracts import risk
from shared.contracts.base import Message
from shared.contracts.topics import ACTIVITY, SIGNALS, partition_for
from shared.runtime.envelope import Delivery, from_outside

HEARD: dict[str, type[risk.AccountsActed] | type[risk.OrdersSeen]] = {
    m.TYPE: m for m in (risk.AccountsActed, risk.OrdersSeen)
}
BATCH_MAX = 40
"""Most records that are counted at once."""
TAKES_S = 0.3
"""Mean time until what was said is counted."""
LATE_S = (0.5, 20.0, 900.0, 10_000.0)
"""What is late is told within one of these."""
STOPS_S = (5.0, 300.0, 3_000.0)
"""A counter that is stopped stands still for at most one of these."""
AHEAD = timedelta(days=30)
"""So far ahead of the clock is a conduct from the future."""

ACCOUNTS = tuple(f"a-{number}" for number in range(10))

Subject = tuple[str, str]


class Counter:
    """Counts one partition. `told` is how often it did what; what goes wrong comes out of purses or with a
    probability below one, so it comes to rest."""

    def __init__(self, desk: Desk, shard: int, weather: SignalWeather, dice: Random) -> None:
        self.told = Times[str]()
        self._desk = desk
        self._around = desk.around
        self._shard = shard
        self._weather = weather
        self._dice = dice
        self._tallies: dict[Subject, Tally] = {}
        self._position = 0
        self._kept: tuple[int, dict[Subject, Tally]] = (0, {})
        self._awake = False
        self._ids = 0
        self._around.log.read_by((ACTIVITY, shard), self)

    def wake(self) -> None:
        """There is something to count: looks before long."""
        if not self._awake:
            self._awake = True
            self._around.clock.after(self._dice.expovariate(1 / TAKES_S), self._look)

    def _look(self) -> None:
        if self._draws("stops"):
            self._around.clock.after(self._dice.choice(STOPS_S) * self._dice.random(), self._look)
            return
        self._awake = False
        if self._draws("restarts"):
            self._restart()
        records = self._around.log.records[ACTIVITY, self._shard]
        if self._position > len(records):
            self._position = 0  # the log has lost its end: a consumer begins again
        some = records[self._position : self._position + 1 + int(self._dice.random() * BATCH_MAX)]
        self._position += len(some)
        self._tell_all(self._count(some))
        if self._weather.restarts and self._dice.random() < 0.3:
            self._kept = self._position, copy.deepcopy(self._tallies)
        if self._position < len(records):
            self.wake()

    def _draws(self, purse: str) -> bool:
        """Takes from a purse, now and then."""
        left: int = getattr(self._weather, purse)
        if not left or self._dice.random() >= 0.1:
            return False
        setattr(self._weather, purse, left - 1)
        self.told[purse] += 1
        return True

    def _restart(self) -> None:
        """It goes on with what it kept, or with nothing, from the beginning."""
        if self._dice.random() < 0.5:
            self._position, self._tallies = 0, {}
        else:
            self._position, self._tallies = self._kept[0], copy.deepcopy(self._kept[1])

    def _count(self, records: Iterable[Delivery]) -> list[Subject]:
        """Whoever has something new. What no shard said is passed over: an activity that somebody made up is risk's
        worker's to park."""
        changed: dict[Subject, None] = {}
        for record in records:
            contract = HEARD.get(record.type)
            if contract is None or not record.link or record.value is None:
                continue
            for entry in contract.from_json(record.value).entries:
                subject = (
                    (entry.about, entry.subject) if isinstance(entry, risk.Sighting) else ("account", entry.account)
                )
                tally = self._tallies.setdefault(subject, Tally())
                is_new = (
                    count_activity(tally, entry) if isinstance(entry, risk.Activity) else count_sighting(tally, entry)
                )
                if is_new:
                    changed[subject] = None
        return list(changed)

    # -- telling ---------------------------------------------------------------------------------------------------

    def _tell_all(self, changed: list[Subject]) -> None:
        """One pack, or several; without a change, a sign of life."""
        conducts = [conduct(*subject, self._tallies[subject]) for subject in changed]
        size = self._dice.choice((1, 3, 1000))
        for first in range(0, max(1, len(conducts)), size):
            self._tell(conducts[first : first + size])
        if self._draws("garbage"):
            self._garble(conducts)

    def _tell(self, conducts: list[risk.Conduct]) -> None:
        """Mostly at once, and once."""
        pack = risk.SignalsTold(shard=self._shard, as_of=self._around.clock.now, entries=tuple(conducts))
        dice, weather = self._dice, self._weather
        self.told["packs"] += 1
        if dice.random() < weather.lost:
            self.told["lost"] += 1
            return
        times = 2 if dice.random() < weather.doubled else 1
        self.told["doubled"] += times - 1
        for _ in range(times):
            if dice.random() < weather.late:
                self.told["late"] += 1
                self._desk.after(dice.choice(LATE_S) * dice.random(), partial(self._put, pack))
            else:
                self._put(pack)

    def _put(self, pack: Message, code: str = "", key: bytes | None = None, value: bytes | None = None) -> None:
        """Risk parks it as `code`, where there is one."""
        self._ids += 1
        headers = from_outside(
            id=f"signals-{self._shard}-{self._ids}", type=pack.TYPE, source="signals", subject="", actor="", at=NOON
        )
        key, value = pack.key.encode() if key is None else key, pack.to_json() if value is None else value
        delivery = self._around.log.append(SIGNALS, self._shard, key, value, headers)
        if code:
            self.told[code] += 1
            self._desk.expect_parked(delivery, "risk", code)

    # -- what makes no sense ---------------------------------------------------------------------------------------

    def _garble(self, conducts: list[risk.Conduct]) -> None:
        """What risk parks: of a conduct from the future, which no true word would ever replace, it believes nothing."""
        one = conducts[0] if conducts else risk.Conduct(about="account", subject="a-0", at=NOON)
        now, dice = self._around.clock.now, self._dice
        pack = risk.SignalsTold(shard=self._shard, as_of=now, entries=(one,))
        kind = dice.choice(("malformed", "wrong_key", "wrong_shard", "astray", "ahead"))
        if kind == "malformed":
            self._put(pack, kind, value=dice.choice((b"[]", b'{"shard": 0, "as_of": "yesterday"}', b"\xff")))
        elif kind == "wrong_key":
            self._put(pack, kind, key=dice.choice((b"", b"a-0")))
        elif kind == "wrong_shard":
            self._put(pack.model_copy(update={"shard": self._shard + 1}), "wrong_partition")
        elif kind == "astray":
            shards = self._around.weather.shards
            if far := next((a for a in ACCOUNTS if partition_for(a, shards) != self._shard), ""):
                astray = one.model_copy(update={"about": "account", "subject": far})
                self._put(pack.model_copy(update={"entries": (one, astray)}), "wrong_partition")
        elif partition_for(one.subject, self._around.weather.shards) == self._shard:
            ahead = one.model_copy(update={"at": now + AHEAD})
            self._put(pack.model_copy(update={"entries": (ahead,)}), "no_cell")
