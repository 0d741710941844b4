"""What risk makes of adversaries and of customers: verdicts, and how long whose orders locked how much stock.

Stock-time is pieces times seconds, from StockHeld in the mode `lock` until the stock is deducted, released or lost. The
times are those of the records: when inventory published them, in whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from larder.load.order import Heard
from larder.load.wire import type_of

VERDICTS = {
    b"OrderCleared": "cleared",
    b"OrderRestricted": "restricted",
    b"OrderReferred": "referred",
    b"OrderRefused": "refused",
}
LETS_GO = frozenset({b"StockDeducted", b"StockReleased", b"StockLost"})
"""Events after which an order locks no stock."""


class Timed(Heard, Protocol):
    """A record, and when it was published: milliseconds since 1970."""

    timestamp: int


class _Held(msgspec.Struct):
    mode: str


_held_of = msgspec.json.Decoder(_Held).decode


@dataclass
class Tally:
    """What came of one kind's orders."""

    orders: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERDICTS.values(), 0))
    """The first verdict on each order: one that was referred counts as nothing else, whatever was decided then."""
    piece_ms: int = 0

    def told(self) -> dict[str, Any]:
        """As the last line of `larder load --json` has it."""
        return {"orders": self.orders, **self.verdicts, "locked_piece_s": round(self.piece_ms / 1000, 1)}

    def __add__(self, other: Tally) -> Tally:
        verdicts = {name: count + other.verdicts[name] for name, count in self.verdicts.items()}
        return Tally(self.orders + other.orders, verdicts, self.piece_ms + other.piece_ms)


class _Watched(msgspec.Struct):
    kind: str | None
    account: str
    pieces: int
    verdict: bool = False
    locked_at: int | None = None
    settled: bool = False
    """Whether it locks no stock any more, and never will."""


class Watch:
    """Looks on; what is known of an order is kept until there is nothing more to learn of it."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        """Adversaries, by kind."""
        self.customers = Tally()
        self.accounts: set[str] = set()
        """Those of customers."""
        self.mistaken: set[str] = set()
        """Those of customers with an order that was not cleared."""
        self.locks = 0
        """Orders that lock stock now."""
        self._open: dict[bytes, _Watched] = {}

    def placed(self, id_: bytes, kind: str | None, account: str, pieces: int) -> None:
        """Somebody orders; `kind` is None for a customer."""
        self._open[id_] = _Watched(kind, account, pieces)
        if kind is None:
            self.accounts.add(account)
        self._tally(kind).orders += 1

    def hear(self, records: Iterable[Timed]) -> None:
        """Takes in what was said about orders, by risk and inventory; the rest is passed over."""
        for record in records:
            order = self._open.get(record.key or b"")
            if order is None or record.value is None:
                continue
            type_ = type_of(record.headers)
            if type_ in VERDICTS:
                self._judged(order, VERDICTS[type_])
            elif type_ == b"StockHeld" and order.locked_at is None:
                if _held_of(record.value).mode == "lock":
                    order.locked_at = record.timestamp
                    self.locks += 1
                else:
                    order.settled = True
            elif type_ in LETS_GO:
                self._let_go(order, record.timestamp)
            if order.verdict and order.settled:
                del self._open[record.key or b""]

    def _judged(self, order: _Watched, verdict: str) -> None:
        if order.verdict:
            return
        order.verdict = True
        order.settled = order.settled or verdict == "refused"
        self._tally(order.kind).verdicts[verdict] += 1
        if order.kind is None and verdict != "cleared":
            self.mistaken.add(order.account)

    def _let_go(self, order: _Watched, at: int) -> None:
        if order.locked_at is not None and not order.settled:
            self._tally(order.kind).piece_ms += order.pieces * (at - order.locked_at)
            self.locks -= 1
        order.settled = True

    def _tally(self, kind: str | None) -> Tally:
        return self.customers if kind is None else self.tallies.setdefault(kind, Tally())

    def summary(self) -> dict[str, Any]:
        """The part `screening` of the last line of `larder load --json`."""
        customers = self.customers
        return {
            "adversaries": {
                **sum(self.tallies.values(), Tally()).told(),
                "kinds": {kind: tally.told() for kind, tally in sorted(self.tallies.items())},
            },
            "honest": {
                **customers.told(),
                "accounts": len(self.accounts),
                "mistaken": {
                    "orders": sum(customers.verdicts.values()) - customers.verdicts["cleared"],
                    "accounts": len(self.mistaken),
                },
            },
            "locks_open": self.locks,
        }

    def in_words(self) -> str:
        """The same for people."""
        adversaries, honest = sum(self.tallies.values(), Tally()), self.customers
        mistaken = self.summary()["honest"]["mistaken"]
        lines = [
            f"adversaries: {_counted(adversaries)}",
            *(f"  {kind}: {_counted(tally)}" for kind, tally in sorted(self.tallies.items())),
            f"customers: {_counted(honest)}",
            f"  not cleared, though honest: {mistaken['orders']:,} orders of {mistaken['accounts']:,} accounts, "
            f"of {len(self.accounts):,}",
        ]
        if self.locks:
            lines.append(f"  of {self.locks:,} orders that still lock stock, no time is counted")
        return "\n".join(lines)


def _counted(tally: Tally) -> str:
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in tally.verdicts.items())
    return f"{tally.orders:,} orders, {verdicts}; {tally.piece_ms / 1000:,.0f} piece-seconds of stock locked"
