"""Progress of a load: one live line on a terminal, else a plain line every two seconds; both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from larder.load.figures import Figures
from larder.load.order import Step
from larder.load.robots import Robots
from shared.printable import printable

Standing = Callable[[float, Robots, Figures, int], str]
"""How a load stands at an instant: its robots, its figures, and how many orders it will have."""
PLAIN_EVERY_S = 2.0
LIVE_EVERY_S = 0.5


class Display(Protocol):
    """Shows how a load goes. Entered before the first word, left after the last."""

    def say(self, line: str) -> None:
        """Something that happened once."""
        ...

    def tick(self, now: float, robots: Robots, figures: Figures, orders: int) -> None:
        """How it stands; called often, shown now and then."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def standing(now: float, robots: Robots, figures: Figures, orders: int) -> str:
    """How a load stands, in one line."""
    ended = len(figures.ends)
    parts = [f"{now - figures.began_at:5.0f} s", f"placed {robots.placed:,} of {orders:,}", f"ended {ended:,}"]
    parts.append(f"{figures.lives_lately(now):,.0f} lives/s")
    under_way = [
        f"{step.name.lower().replace('_', ' ')} {count:,}"
        for step, count in zip(Step, robots.steps, strict=True)
        if count
    ]
    if under_way:
        parts.append(", ".join(under_way))
    if robots.resends:
        parts.append(f"sent again {robots.resends:,}")
    return "  ".join(parts)


class Plain:
    """Lines for a log."""

    def __init__(self, file: TextIO | None = None, line: Standing = standing) -> None:
        self._file = file or sys.stderr
        self._line = line
        self._next = 0.0

    def say(self, line: str) -> None:
        print(printable(line), file=self._file, flush=True)

    def tick(self, now: float, robots: Robots, figures: Figures, orders: int) -> None:
        if now >= self._next:
            self._next = now + PLAIN_EVERY_S
            self.say(self._line(now, robots, figures, orders))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class OneLine:
    """One line of a terminal that is written over and over."""

    def __init__(self, console: Console | None = None, line: Standing = standing) -> None:
        console = console or Console(stderr=True, highlight=False)
        self._line = line
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._next = 0.0

    def say(self, line: str) -> None:
        self._live.console.print(printable(line), markup=False)

    def tick(self, now: float, robots: Robots, figures: Figures, orders: int) -> None:
        if now >= self._next:
            self._next = now + LIVE_EVERY_S
            line = Text(self._line(now, robots, figures, orders), no_wrap=True, overflow="ellipsis")
            self._live.update(line, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def display_here(line: Standing = standing) -> Display:
    """The one that fits where we run."""
    return OneLine(line=line) if sys.stderr.isatty() else Plain(line=line)
