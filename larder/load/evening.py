"""The demo's live display: orders by phase, lives per second, money and stock, and what happened last."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

import msgspec
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from larder.amounts import amount
from larder.load.catalogue import Names
from larder.load.figures import End, Figures
from larder.load.order import Order, Step
from larder.load.play import Ready
from larder.load.robots import Robots
from shared.printable import printable

FRAME_EVERY_S = 0.25
LINE_EVERY_S = 0.3
LINES_MAX = 9
LINES_MIN = 3
ROWS_ABOVE = 15
"""Rows of the display above the story, with one to spare: a terminal that is not high shows less of the story."""
GOODS_TOLD = 3

SHOWN_AS = {
    Step.SHORT: Step.PICKING,
    Step.SHORT_UNCALLED: Step.PICKING,
    Step.PICKING_AGAIN: Step.PICKING,
    Step.RETURNING: Step.CANCELLING,
    Step.INSPECTING: Step.CANCELLING,
    Step.NEVER_BACK: Step.CANCELLING,
    Step.STOPPING: Step.CANCELLING,
    Step.COMPLAINING: Step.DELIVERED,
    Step.IN_REVIEW: Step.PLACING,
}
"""Steps that are counted with another one: all of them fit no terminal."""
WORDS = {
    b"OrderPayable": "may be paid",
    b"OrderPaid": "is paid",
    b"FulfilmentQueued": "waits for a picker",
    b"PickingStarted": "is being picked",
    b"PickingFinished": "is picked",
    b"FulfilmentPacked": "is packed",
    b"FulfilmentHandedOver": "is on the road",
    b"PiecesShort": "is short",
    b"DeliveryFailed": "finds nobody home",
    b"FulfilmentIntercepted": "is called back",
    b"OrderDelivered": "is delivered",
    b"OrderClosed": "is closed",
    b"OrderCancelled": "is cancelled",
    b"OrderRejected": "is rejected",
}


class Evening:
    """A Display that fills the terminal; `tell` goes to the robots."""

    def __init__(self, names: Names, currency: str, console: Console | None = None) -> None:
        self._names = names
        self._currency = currency
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._story: deque[Text] = deque(maxlen=LINES_MAX)
        self._next_frame = self._next_line = 0.0

    def say(self, line: str) -> None:
        """Above the display."""
        self._live.console.print(printable(line), markup=False)

    def tell(self, order: Order, type_: bytes, now: float) -> None:
        """Keeps a line of the story now and then."""
        words = WORDS.get(type_)
        if now < self._next_line or words is None:
            return
        self._next_line = now + LINE_EVERY_S
        line = Text(time.strftime("%H:%M:%S  "), style="dim", no_wrap=True, overflow="ellipsis")
        line.append(f"order {order.id.decode().rpartition('-')[2]:>5} {words:<19}", style="bold")
        line.append(f" {self._money(order.total):>12}  " if order.total else " " * 15)
        line.append(f"store {order.store:<6} {self._goods(order.basket)}", style="not dim")
        self._story.append(line)

    def tick(self, now: float, robots: Robots, figures: Figures, orders: int) -> None:
        """A frame, when it is time for one."""
        if now >= self._next_frame:
            self._next_frame = now + FRAME_EVERY_S
            self._live.update(self._frame(now, robots, figures, orders), refresh=True)

    def _goods(self, basket: Ready | None) -> str:
        if basket is None:
            return ""
        body = msgspec.json.decode(b"{" + basket.rest[1:])
        goods = [self._names.get(spu, (f"SPU {spu}", ""))[0].lower() for spu in body["spus"]]
        more = f" and {len(goods) - GOODS_TOLD} more" if len(goods) > GOODS_TOLD else ""
        return printable(", ".join(goods[:GOODS_TOLD])) + more

    def _money(self, minor: int) -> str:
        return amount(minor, self._currency)

    def _frame(self, now: float, robots: Robots, figures: Figures, orders: int) -> RenderableType:
        ended = len(figures.ends)
        head = Table.grid(expand=True, padding=(0, 2))
        head.add_row(
            Text("an evening of a grocer's real baskets", style="bold"),
            ProgressBar(total=orders, completed=ended),
            Text(f"{ended:,} of {orders:,} orders have ended, {now - figures.began_at:.0f} s", justify="right"),
        )
        both = Table.grid(expand=True, padding=(0, 2))
        both.add_column(ratio=3)
        both.add_column(ratio=2)
        both.add_row(self._phases(robots), self._numbers(now, figures))
        lines = min(LINES_MAX, self._console.height - ROWS_ABOVE - 2)
        if lines < LINES_MIN:
            return Group(head, both)
        last = Group(*list(self._story)[-lines:])
        return Group(head, both, Panel(last, title="what happened last", title_align="left", height=lines + 2))

    def _phases(self, robots: Robots) -> RenderableType:
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(width=18)
        table.add_column(width=7, justify="right")
        table.add_column(ratio=1)
        counts = {step: 0 for step in Step if step not in SHOWN_AS}
        for step, count in zip(Step, robots.steps, strict=True):
            counts[SHOWN_AS.get(step, step)] += count
        most = max(50, *counts.values())
        for step, count in counts.items():
            table.add_row(step.name.lower().replace("_", " "), f"{count:,}", Bar(most, 0, count, color="green"))
        return Panel(table, title="orders by phase", title_align="left")

    def _numbers(self, now: float, figures: Figures) -> RenderableType:
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column()
        table.add_column(justify="right")
        counts, waits = figures.counts, figures.waits[-1_000:]
        lately = sorted(waits)[len(waits) // 2] * 1000 if waits else 0.0
        rows = (
            ("lives per second", f"{figures.lives_lately(now):,.0f}"),
            ("place to payable, lately", f"{lately:,.0f} ms"),
            ("completed", f"{counts[End.COMPLETED]:,}"),
            ("cancelled", f"{counts[End.CANCELLED]:,}"),
            ("rejected", f"{counts[End.REJECTED]:,}"),
            ("", ""),
            ("money taken", self._money(figures.taken)),
            ("pieces sold", f"{figures.pieces:,}"),
            ("pieces on the shelves", f"{figures.received - figures.pieces:,}"),
        )
        for name, value in rows:
            table.add_row(name, Text(value, style="bold"))
        return Panel(table, title="the house", title_align="left")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
