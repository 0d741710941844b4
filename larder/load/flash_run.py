"""A load with a flash sale: ordinary orders of one store at a steady rate, and after a while a crowd beside them.

How long ordinary orders wait until they are payable is measured in the same run without the crowd and with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from larder.load.catalogue import Names
from larder.load.display import Display
from larder.load.figures import Figures
from larder.load.flash import PRICE, SALE_PRICE, Customer, Sale
from larder.load.lines import Listener
from larder.load.play import Play, Ready
from larder.load.robots import Robots
from larder.load.run import Load, Options
from larder.load.shelves import have_done, tell
from larder.load.wire import prefix_of
from shared.contracts import inventory
from shared.settings import Settings

RATE = 40.0
"""Ordinary orders a second, unless it is given."""
ORDERS = 800
"""Ordinary orders before the crowd comes, unless it is given: enough for a p99."""
ASIDE_S = 2.0
"""Orders of the first seconds, which are slow, and of the last ones before the crowd, which it may still meet, count
neither as without it nor as with it; of a short stretch, its first and last fifth."""
LASTS = timedelta(days=1)
"""Longer than any load; its end ends the sale before."""


class FlashLoad(Load):
    """One flash sale against a running stack; `options.orders` are those before the crowd comes."""

    def __init__(
        self, settings: Settings, options: Options, play: Play, names: Names, display: Display, sale: Sale
    ) -> None:
        """The play is of one store."""
        super().__init__(settings, replace(options, rate=options.rate or RATE), play, names, display)
        self.sale = sale
        self.crowd_figures = Figures()
        self.crowd = Robots(
            f"{self.run_id}-c",
            self.crowd_figures,
            self._sender.send,
            shards=settings.shards,
            gateway_timeout_s=settings.gateway_timeout_s,
            closes=self.closes,
            confirm_share=0,
        )
        self._baskets = (self._of_somebody(n, basket) for n, basket in enumerate(play.endless()))
        (self._store,) = play.demand
        self._spu = self._promotion = f"flash-{self.run_id}"

    @property
    def crews(self) -> tuple[Robots, ...]:
        """Ordinary customers, and the crowd."""
        return (self.robots, self.crowd)

    @property
    def to_place(self) -> int:
        """Ordinary orders flow as long as there is a crowd."""
        if self.sale.over_at is not None:
            return self.robots.placed
        return self.options.orders if self.sale.opened_at is None else self.most_to_place

    @property
    def most_to_place(self) -> int:
        """While there is a crowd, at most one ordinary order for each of it."""
        return self.options.orders + self.sale.customers

    @property
    def looks_on(self) -> bool:
        """The sale counts what comes of the crowd."""
        return True

    def _topics(self) -> tuple[str, ...]:
        return (*super()._topics(), "payment.events")

    def _written(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from super()._written()
        now = datetime.now(UTC)
        dates = {"starts_at": now.isoformat(), "ends_at": (now + LASTS).isoformat()}
        scope = {"stores": [self._store], "spus": [self._spu]}
        yield self._promotion, {"kind": "flash", "value": SALE_PRICE, **scope, "per_account": 1, **dates}

    async def _fill_shelves(self) -> None:
        await super()._fill_shelves()
        product = {"spu": self._spu, "name": "a piece of a flash sale", "price": PRICE, "category": "flash"}
        await tell(self.settings, [("PUT", "/products", {"items": [product]})])
        about = {"store": self._store, "request_id": f"{prefix_of(self.run_id)}flash"}
        receipt = inventory.ReceiveGoods(**about, spus=(self._spu,), quantities=(self.sale.pieces,))
        allotment = inventory.SetAllotment(**about, promotion=self._promotion, spu=self._spu, quantity=self.sale.pieces)
        async with Listener(self.settings.bootstrap(), ("inventory.answers",), self.settings.shards) as listener:
            for end, command in (("receive", receipt), ("allot", allotment)):
                coming = iter([(f"{about['request_id']}-{end}", command)])
                await have_done(self._sender, listener, coming, self.settings.shards, self._display.say)
        self._display.say(
            f"store {self._store} sells {self.sale.pieces:,} pieces of {self._spu}; after {self.options.orders:,} "
            f"ordinary orders at {self.options.rate:g}/s a crowd of {self.sale.customers:,} comes"
        )

    def _place(self, now: float) -> None:
        super()._place(now)
        sale = self.sale
        if sale.opened_at is None and self.robots.placed >= self.options.orders:
            sale.opened_at = now
        while (coming := sale.next()) is not None:
            customer, tries = coming
            id_ = self.crowd.place(self._piece(customer), customer.tail, now, expected_total=SALE_PRICE)
            sale.came(id_, customer, tries)
            self._progress_at = now

    def _of_somebody(self, n: int, basket: Ready) -> Ready:
        """Each ordinary order is another account's: one store's customers who came ten times in a minute would be
        looked at by risk, and the wait for that is not what is measured."""
        return _ready(f"{basket.account}/{self.run_id}/{n}", msgspec.json.decode(b"{" + basket.rest[1:]), basket.total)

    def _piece(self, customer: Customer) -> Ready:
        body = {"store": self._store, "spus": [self._spu], "quantities": [1]}
        return _ready(f"crowd/{self.run_id}/{customer.number}", body, PRICE)

    def _look_on(self, records: Sequence[Any], now: float) -> None:
        super()._look_on(records, now)
        self.sale.hear(records, now)

    def _is_over(self) -> bool:
        return self.sale.over_at is not None and super()._is_over()

    # -- what came of it -------------------------------------------------------------------------------------------

    def waits(self) -> dict[str, dict[str, float | int | None]]:
        """How long ordinary orders waited until they were payable, without the crowd and with it: orders, p50 and p99
        in milliseconds."""
        began, opened, over = self.figures.began_at, self.sale.opened_at or 0.0, self.sale.over_at or 0.0
        aside_s = min(ASIDE_S, (opened - began) / 5)
        times = {"without": (began + aside_s, opened - aside_s), "with": (opened, over)}
        return {
            name: {
                "orders": len(self.figures.waits_of(placed)),
                "p50": _rounded(self.figures.wait_ms(0.50, placed)),
                "p99": _rounded(self.figures.wait_ms(0.99, placed)),
            }
            for name, placed in times.items()
        }

    def summary(self) -> dict[str, Any]:
        """What `larder load --flash --json` tells besides what every load does."""
        waits = self.waits()
        without, with_ = waits["without"]["p99"], waits["with"]["p99"]
        return {
            **self.sale.summary(self.crowd_figures),
            "place_to_payable_ms": {
                "without": without,
                "with": with_,
                "ratio": round(with_ / without, 2) if without and with_ else None,
                "measured": waits,
            },
            "exact": not self.stuck and not self.sale.faults(),
        }


def _ready(account: str, body: dict[str, Any], total: int) -> Ready:
    rest = b"," + msgspec.json.encode({**body, "account": account})[1:]
    return Ready(body["store"], account, sum(body["quantities"]), rest, total)


def _rounded(wait_ms: float | None) -> float | None:
    return None if wait_ms is None else round(wait_ms, 1)
