"""What is to be played: the file's baskets as bodies ready to be sent, their prices, and the stock that they take.

The file is read once, before anything else happens, so that what is wrong with it is said before anything is sent.
The bodies wait in a temporary file: memory does not grow with the baskets, and sending one costs next to nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

from larder.load.baskets import Basket


class Ready(NamedTuple):
    """A basket ready to be ordered. `rest` is the body of PlaceOrder behind its order id, `total` what it costs without
    promotions, in minor units."""

    store: str
    account: str
    pieces: int
    rest: bytes
    total: int = 0


@dataclass
class Play:
    """The baskets of a load, and what they need. Close it: it holds a temporary file."""

    spool: IO[bytes]
    baskets: int = 0
    """Different baskets; more orders than baskets means that they are played again."""
    lines: int = 0
    prices: dict[str, int] = field(default_factory=dict)
    """Minor units by SPU: the first price that the file names, since a catalogue has one."""
    demand: dict[str, dict[str, int]] = field(default_factory=dict)
    """Pieces by store and SPU of all baskets, each taken once."""

    @classmethod
    def of(cls, baskets: Iterable[Basket], most: int, store: str | None = None) -> Self:
        """Takes at most `most` baskets, of all stores or of one; those behind them are only read, so that a fault
        anywhere is found. A product costs the same whichever stores are taken."""
        play = cls(tempfile.TemporaryFile(prefix="larder-load-"))  # noqa: SIM115 - closed with the play
        prices: dict[str, int] = {}
        try:
            for basket in baskets:
                if store is not None:
                    for spu, price in zip(basket.spus, basket.prices, strict=True):
                        prices.setdefault(spu, price)
                    if basket.store != store:
                        continue
                if play.baskets < most:
                    play._take(basket, prices)
            play.spool.flush()
        except BaseException:
            play.close()
            raise
        return play

    def _take(self, basket: Basket, prices: Mapping[str, int]) -> None:
        here = self.demand.setdefault(basket.store, {})
        total = 0
        for spu, quantity, price in zip(basket.spus, basket.quantities, basket.prices, strict=True):
            here[spu] = here.get(spu, 0) + quantity
            total += quantity * self.prices.setdefault(spu, prices.get(spu, price))
        self.baskets += 1
        self.lines += len(basket.spus)
        # Names hold nothing that JSON escapes, and no tab.
        body = msgspec.json.encode(
            {"account": basket.account, "store": basket.store, "spus": basket.spus, "quantities": basket.quantities}
        )
        head = f"{basket.store}\t{basket.account}\t{sum(basket.quantities)}\t{total}\t"
        self.spool.write(head.encode() + b"," + body[1:] + b"\n")

    def busiest_store(self) -> str:
        """The store that most pieces are wanted of."""
        return max(self.demand, key=lambda store: sum(self.demand[store].values()))

    def plays(self, orders: int) -> int:
        """How often the baskets are played, begun ones included, to make so many orders."""
        return -(-orders // self.baskets) if self.baskets else 0

    def endless(self) -> Iterator[Ready]:
        """The baskets in their order, again and again."""
        names: dict[bytes, str] = {}  # stores and accounts come again and again: one object each
        while self.baskets:
            yield from self._once(names)

    def once(self) -> Iterator[Ready]:
        """Each basket; not while an `endless` one is under way, since they read the same file."""
        return self._once({})

    def _once(self, names: dict[bytes, str]) -> Iterator[Ready]:
        self.spool.seek(0)
        for line in self.spool:
            store, account, pieces, total, rest = line.split(b"\t", 4)
            yield Ready(
                names.get(store) or names.setdefault(store, store.decode()),
                names.get(account) or names.setdefault(account, account.decode()),
                int(pieces),
                rest[:-1],
                int(total),
            )

    def close(self) -> None:
        """Gives the temporary file back."""
        self.spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
