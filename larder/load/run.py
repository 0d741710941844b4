"""A whole load: fill the shelves, place the orders, hear and answer until all have ended.

One loop does everything: what was heard since the last turn is answered, room in the window is filled with new orders,
and all that goes out in one batch for each partition. Batches are what makes the whole of larder fast.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from larder.load.adversaries import Cast
from larder.load.catalogue import Names
from larder.load.display import Display
from larder.load.errors import LoadError
from larder.load.figures import Figures
from larder.load.lines import Listener, Sender
from larder.load.mix import WAIT_MAX_S, Chooser, Mix
from larder.load.order import AWAITED, Step
from larder.load.play import Play
from larder.load.promotions import Promotions
from larder.load.robots import Robots, Tell
from larder.load.shelves import MARGIN, Substitutes, fill, tell, tell_catalogue
from larder.load.watch import Watch
from larder.load.wire import time_now
from shared.contracts.base import STOCK_QUANTITY_MAX
from shared.settings import Settings

PATIENCE_S = 60.0
"""So long may nothing move, beside the windows that orders wait for."""
WATCH_EVERY_S = 1.0
WINDOW_MIN, WINDOW_MAX = 50, 3_000
"""The window, unless it is given: a fifth of the orders, within these."""
WINDOW_AT_A_RATE = 20_000
WAIT_MS = 200
PACE_MS = 10
"""At a rate, orders are placed at least so often; a finer pace would only make smaller batches."""
MANY = 100
"""From so many records a turn on, the next turn waits a beat, so that its batch is as large."""
BEAT_S = 0.004
LATE_GRACE_S = 2.0
"""Late money comes by webhook, and goes back, within so long after its time."""
IDS_TOLD = 5
HEARD = ("order.events", "logistics.events", "order.answers", "logistics.answers")
LAST_WORDS_S = 5.0
"""So long, at most, is listened for verdicts and stock of orders that have ended."""


@dataclass(frozen=True)
class Options:
    """What is asked of a load."""

    orders: int
    seed: int = 1
    rate: float | None = None
    """Orders placed a second; None: as fast as the window has room."""
    window: int | None = None
    """Most orders under way at once; those that only wait for a clock are not counted."""
    mix: Mix = field(default_factory=Mix)
    overwrite: bool = False
    """Whether stores and products that are there otherwise are replaced."""
    promotions: bool = False
    """Whether there are promotions, and coupons."""

    @property
    def most_under_way(self) -> int:
        """The window. When all orders are under way at once they end in one burst, which says nothing of the speed: a
        small load has a small window. At a rate the window only bounds memory: a queue must show in the times."""
        if self.window or self.rate:
            return self.window or WINDOW_AT_A_RATE
        return max(WINDOW_MIN, min(WINDOW_MAX, self.orders // 5))


class Load:
    """One load against a running stack."""

    def __init__(
        self, settings: Settings, options: Options, play: Play, names: Names, display: Display, tell: Tell | None = None
    ) -> None:
        self.settings = settings
        self.options = options
        self.figures = Figures()
        self.run_id = f"{options.seed}x{_base36(time.time_ns() // 1000)}"
        self.mix, self._remarks = options.mix.fitted(settings)
        self.closes = settings.after_sales_window_s <= WAIT_MAX_S
        self.stuck: list[str] = []
        """What waits in vain, in plain lines; empty when all orders ended."""
        self._play = play
        self._names = names
        self._display = display
        self._sender = Sender(settings.bootstrap())
        self.robots = Robots(
            self.run_id,
            self.figures,
            self._sender.send,
            shards=settings.shards,
            gateway_timeout_s=settings.gateway_timeout_s,
            lies_s=settings.payment_window_s / 2,
            closes=self.closes,
            tell=tell,
            similar=Substitutes(play, settings.similar_price_percent).find,
        )
        self._chooser = Chooser(self.mix, options.seed)
        self._baskets = play.endless()
        self.watch = Watch() if self.mix.adversaries.together else None
        """Tells adversaries and customers apart; None in a load without adversaries."""
        self._cast = Cast(self.mix, options.seed, options.orders, self.run_id, play) if self.watch else None
        self._promotions = None
        if options.promotions:
            self._promotions = Promotions(self.run_id, play, names, options.seed, datetime.now(UTC))
        self._change: asyncio.Task[None] | None = None
        self._progress_at = 0.0

    @property
    def crews(self) -> tuple[Robots, ...]:
        """Everybody who is heard, and looked after."""
        return (self.robots,)

    @property
    def to_place(self) -> int:
        """How many orders `robots` place, as far as is known."""
        return self.options.orders

    @property
    def most_to_place(self) -> int:
        """How many there are goods for."""
        return self.options.orders

    def promotions_told(self) -> dict[str, Any]:
        """What the last line of `larder load --json` tells of promotions, if there were any; money in minor units."""
        if self._promotions is None:
            return {}
        robots, figures = self.robots, self.figures
        told = {
            "orders": figures.discounted,
            "taken_off": figures.taken_off,
            "coupons": robots.coupons,
            "coupons_refused": robots.coupons_refused,
            "confirmed": robots.changed["confirmed"],
            "left": robots.changed["left"],
        }
        return {"promotions": told}

    async def run(self) -> None:
        """Plays all of it; afterwards the figures are complete, or `stuck` says what is not."""
        refuse_far_hosts(self.settings.bootstrap())
        self._say_remarks()
        async with self._sender:
            await self._fill_shelves()
            async with Listener(self.settings.bootstrap(), self._topics(), self.settings.shards) as listener:
                async with self._promoted():
                    gc.collect()
                    gc.freeze()
                    gc.set_threshold(50_000, 20, 20)
                    cpu_s = time.process_time()
                    try:
                        await self._play_all(listener)
                    finally:
                        gc.unfreeze()
                cpu_us = (time.process_time() - cpu_s) / max(1, sum(crew.placed for crew in self.crews)) * 1e6
                self._display.say(f"the load itself took {cpu_us:.0f} µs of CPU an order")
        if self.robots.late_until and not self.stuck:
            wait_s = self.robots.late_until + LATE_GRACE_S - time.monotonic()
            if wait_s > 0:
                self._display.say(
                    f"all orders have ended; waiting {wait_s:.0f} s for the last late money, which goes back"
                )
                await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def _promoted(self) -> AsyncIterator[None]:
        """The promotions are on while the block runs: later loads are not cheaper for it."""
        written = dict(self._written())
        await tell(self.settings, [("PUT", f"/promotions/{id_}", body) for id_, body in written.items()])
        try:
            yield
            if self._change:
                await self._change
        finally:
            await tell(self.settings, [("DELETE", f"/promotions/{id_}", None) for id_ in written])

    def _written(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The promotions of this load: id and body."""
        if self._promotions:
            yield from self._promotions.written()

    def _change_a_promotion(self) -> None:
        """Once half of the orders are placed: those that are not paid yet learn on the click what it costs now."""
        if self._promotions and self._change is None and self.robots.placed >= self.options.orders // 2:
            id_, body = self._promotions.changed()
            calls = [("PUT", f"/promotions/{id_}", body)]
            self._change = asyncio.create_task(tell(self.settings, calls), name="change a promotion")

    def _topics(self) -> tuple[str, ...]:
        """Tickets are listened to only if somebody waits for one."""
        mix = self.mix
        tickets = ("aftersales.events",) if mix.back.shortage or mix.back.intercept or mix.after.together else ()
        answers = ("aftersales.answers",) if mix.after.rating else ()
        watched = ("risk.events", "inventory.events") if self.watch else ()
        return (*HEARD, *tickets, *answers, *watched)

    def _say_remarks(self) -> None:
        for remark in self._remarks:
            self._display.say(remark)
        if not self.closes:
            self._display.say(
                f"an order counts as completed when it is delivered: the after-sales window is "
                f"{self.settings.after_sales_window_s:g} s, and a load waits for at most {WAIT_MAX_S:g} s "
                "(LARDER_AFTER_SALES_WINDOW_S)"
            )

    async def _fill_shelves(self) -> None:
        play, settings = self._play, self.settings
        plays = play.plays(self.most_to_place)
        self._refuse_too_many(plays)
        cells = sum(len(demand) for demand in play.demand.values())
        self._display.say(
            f"load {self.run_id}: {self.options.orders:,} orders from {play.baskets:,} baskets of "
            f"{play.lines / play.baskets:.1f} lines; {len(play.prices):,} products, {len(play.demand):,} stores, "
            f"{cells:,} shelves to fill"
        )
        began = time.monotonic()
        await tell_catalogue(settings, play, self._names, overwrite=self.options.overwrite)
        async with Listener(settings.bootstrap(), ("inventory.answers",), settings.shards) as listener:
            self.figures.received = await fill(
                self._sender, listener, self.run_id, play, plays, settings.shards, self._display.say
            )
        self._display.say(
            f"the shelves are full after {time.monotonic() - began:.1f} s: {self.figures.received:,} pieces"
        )

    def _refuse_too_many(self, plays: int) -> None:
        most = max(pieces for demand in self._play.demand.values() for pieces in demand.values()) * plays
        if most + MARGIN > STOCK_QUANTITY_MAX:
            raise LoadError(
                f"{self.most_to_place:,} orders play the baskets {plays:,} times, and would need {most:,} pieces of "
                f"one product in one store; a goods receipt takes at most {STOCK_QUANTITY_MAX:,}"
            )

    async def _play_all(self, listener: Listener) -> None:
        crews, sender = self.crews, self._sender
        now = self.figures.began_at = self._progress_at = time.monotonic()
        next_watch = now
        many = False
        while True:
            stamp = time_now()
            for crew in crews:
                crew.time = stamp
            self._place(now)
            if self.robots.alarms:
                self.robots.wake(now)
            sender.flush()
            if now >= next_watch:
                next_watch = now + WATCH_EVERY_S
                sender.check()
                for crew in crews:
                    crew.overdue(now)
                self.stuck = self._look_for_stuck(now)
                self._change_a_promotion()
            self._display.tick(now, self.robots, self.figures, self.to_place)
            if self.stuck or self._is_over():
                break
            if many and self.options.rate is None:
                await asyncio.sleep(BEAT_S)
            records = await listener.hear(self._wait_ms(now))
            many = len(records) >= MANY
            now = time.monotonic()
            if records:
                stamp = time_now()
                for crew in crews:
                    crew.time = stamp
                    if crew.hear(records, now):
                        self._progress_at = now
                self._look_on(records, now)
        await self._hear_last_words(listener)

    def _is_over(self) -> bool:
        return self.robots.placed >= self.to_place and not any(crew.orders for crew in self.crews)

    def _look_on(self, records: Sequence[Any], now: float) -> None:
        """Whoever only counts."""
        if self.watch:
            self.watch.hear(records)

    async def _hear_last_words(self, listener: Listener) -> None:
        """An order's end may be heard before what other services said of it earlier."""
        end = time.monotonic() + LAST_WORDS_S if self.looks_on else 0
        while time.monotonic() < end and (records := await listener.hear(WAIT_MS)):
            self._look_on(records, time.monotonic())

    @property
    def looks_on(self) -> bool:
        """Is there anybody who only counts?"""
        return self.watch is not None

    def _place(self, now: float) -> None:
        robots, options = self.robots, self.options
        room = min(options.most_under_way - robots.busy, self.to_place - robots.placed)
        if options.rate is not None:
            room = min(room, int((now - self.figures.began_at) * options.rate) + 1 - robots.placed)
        if room <= 0:
            return
        if self._cast and self.watch:
            for kind, basket, tail in islice(self._cast, room):
                id_ = robots.place(basket, tail, now, coupon=self._coupon())
                self.watch.placed(id_, kind, basket.account, basket.pieces)
        else:
            for basket in islice(self._baskets, room):
                robots.place(basket, self._chooser.next(), now, coupon=self._coupon())
        self._progress_at = now

    def _coupon(self) -> str:
        return self._promotions.coupon() if self._promotions else ""

    def _wait_ms(self, now: float) -> int:
        rate = self.options.rate
        if rate is None or self.robots.placed >= self.to_place:
            return WAIT_MS
        due = self.figures.began_at + self.robots.placed / rate
        return max(PACE_MS, min(WAIT_MS, math.ceil((due - now) * 1000)))

    def _look_for_stuck(self, now: float) -> list[str]:
        steps, settings = (
            [sum(counts) for counts in zip(*(crew.steps for crew in self.crews), strict=True)],
            self.settings,
        )
        patience_s = PATIENCE_S
        if steps[Step.AWAITING_PAYMENT]:
            patience_s += settings.payment_window_s
        if steps[Step.IN_REVIEW]:
            patience_s += settings.review_window_s
        if steps[Step.DELIVERED]:
            patience_s += settings.after_sales_window_s
        if steps[Step.SHORT_UNCALLED]:
            patience_s += settings.shortage_window_s
        if steps[Step.NEVER_BACK]:
            patience_s += settings.return_window_s
        if steps[Step.PAYING_LATE]:
            patience_s += settings.gateway_timeout_s
        if self.options.rate is not None and self.robots.placed < self.to_place:
            patience_s += 1 / self.options.rate
        if now - self._progress_at < patience_s:
            return []
        return [f"nothing has moved for {patience_s:.0f} s, and {sum(steps):,} orders have not ended:"] + [
            f"  {steps[step]:,} wait for {AWAITED[step]}: {self._some_ids(step)}" for step in Step if steps[step]
        ]

    def _some_ids(self, step: Step) -> str:
        orders = (order for crew in self.crews for order in crew.orders.values())
        ids = [order.id.decode() for order in orders if order.step is step]
        return ", ".join(ids[:IDS_TOLD]) + (" ..." if len(ids) > IDS_TOLD else "")


def refuse_far_hosts(bootstrap: str) -> None:
    """A load talks to this machine only: it fills shops with stock and orders, and nobody wants that elsewhere."""
    for server in bootstrap.split(","):
        host = server.strip().rpartition(":")[0].strip("[]") or server.strip()
        if host == "localhost":
            continue
        try:
            near = ipaddress.ip_address(host).is_loopback
        except ValueError:
            near = False
        if not near:
            raise LoadError(
                f"the broker is {server.strip()}, and a load talks to this machine only (localhost, 127.0.0.1, ::1): "
                "run it where the broker is"
            )


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
