"""A flash sale under load: who comes for its pieces, when the door lets them in, and what became of them; no I/O.

A customer orders one piece and pays as soon as may be. A few do what customers also do: decline, never pay, come twice
at once, or give the piece back. Everybody else wants a piece and keeps it, and these are never fewer than the pieces:
so exactly all pieces are sold and kept in the end, if larder neither oversells nor undersells. For that, the last of
them wait for pieces that may still come back.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from larder.load.display import standing
from larder.load.errors import LoadError
from larder.load.figures import Figures
from larder.load.mix import Tail
from larder.load.order import Heard
from larder.load.robots import Robots
from larder.load.wire import type_of

CROWD_MAX = 1_000_000
"""Most customers of one sale; each is kept in memory."""
AT_THE_DOOR_MAX = 50
"""So many of the crowd are under way at once, from ordering until paid or told; the others wait outside. That is what
admission does for orders over HTTP. It is chosen so that other orders of the store wait at most twice as long as
without the crowd until they are payable, and the sale is still fast."""
COMES_AGAIN_MAX = 5
"""So often a customer who wants to buy orders again, when something else than the sale's end came in between."""
FAULTS_TOLD = 5
PRICE, SALE_PRICE = 1_999, 999
"""Of the piece: at other times, and in the sale; minor units."""
SOLD_OUT = "sold_out"


class Customer(NamedTuple):
    """One of the crowd. Two with the same number are the same account; `buys`: pays, and keeps the piece."""

    number: int
    tail: Tail
    buys: bool


_BLOCK: tuple[tuple[tuple[Tail, ...], bool], ...] = (
    ((Tail.CANCELS_PAID,), False),
    ((Tail.DECLINED_LEAVES,), False),
    ((Tail.UNPAID,), False),
    ((Tail.PAYS, Tail.PAYS), False),  # the same account, twice at once
    ((Tail.DECLINED,), True),
    *[((Tail.PAYS,), True)] * 14,
)
"""Of each twenty orders these, in some order; one tail for each order of an account."""


def refuse_small_crowd(pieces: int, customers: int | None) -> None:
    """LoadError, unless there is somebody for every piece."""
    if customers is None:
        raise LoadError("a flash sale needs a crowd: --crowd says how many customers come for its pieces")
    if customers < pieces:
        raise LoadError(
            f"a crowd of {customers:,} cannot buy {pieces:,} pieces, one each: --crowd is at least as large as --flash"
        )


def crowd_of(pieces: int, customers: int, seed: int, *, with_unpaid: bool = True) -> Iterator[Customer]:
    """Who comes, one order each; at least as many as there are pieces buy."""
    chance = random.Random(f"crowd {seed}")
    spare, come = customers - pieces, 0
    number = 0
    while come < customers:
        for tails, buys in chance.sample(_BLOCK, len(_BLOCK)):
            fits = len(tails) <= min(spare, customers - come) and (with_unpaid or Tail.UNPAID not in tails)
            if not buys and not fits:
                tails, buys = (Tail.PAYS,), True
            if come == customers:
                return
            number += 1
            come += len(tails)
            spare -= 0 if buys else len(tails)
            yield from (Customer(number, tail, buys) for tail in tails)


class _Bought(msgspec.Struct):
    """One order of the crowd."""

    customer: Customer
    tries: int = 1
    inside: bool = True
    paid: bool = False
    refunded: bool = False
    """Whether its money came, and all of it went back."""
    ended: str | None = None
    taken: dict[str, int] = {}
    """Money by its reference."""
    given: dict[int, int] = {}
    """Money given back, by the refund's number."""

    @property
    def kept(self) -> bool:
        return self.paid and self.ended is None

    @property
    def balance(self) -> int:
        return sum(self.taken.values()) - sum(self.given.values())


class _Told(msgspec.Struct):
    """What is read of any event."""

    reason: str = ""
    command: str = ""
    code: str = ""
    amount: int = 0
    reference: str = ""
    refund: int = 0


_told = msgspec.json.Decoder(_Told).decode
_MONEY_IN = frozenset({b"PaymentTaken", b"MoneyUnasked"})
_ENDS = frozenset({b"OrderCancelled", b"OrderRejected"})


class Sale:
    """The crowd of one sale. Times are those of the load's clock."""

    def __init__(self, pieces: int, customers: int, seed: int, *, with_unpaid: bool = True) -> None:
        self.pieces = pieces
        self.customers = customers
        self.sold = 0
        """Pieces that are paid and were not given back."""
        self.given_back = 0
        """Orders that were paid and cancelled: the piece was sold again."""
        self.sold_out = 0
        """Orders that were told so."""
        self.refunded = 0
        """Orders whose money had moved, and went back in full."""
        self.others: Counter[str] = Counter()
        """Orders that ended without a piece for another reason, by reason."""
        self.inside = 0
        self.opened_at: float | None = None
        self.sold_out_at: float | None = None
        """When all pieces were sold for the first time."""
        self.over_at: float | None = None
        """When the last of the crowd had paid or been told."""
        self._coming = deque((c, 1) for c in crowd_of(pieces, customers, seed, with_unpaid=with_unpaid))
        self._buyers = sum(customer.buys for customer, _ in self._coming)
        self._may_give_back = 0
        self._orders: dict[bytes, _Bought] = {}

    # -- the door --------------------------------------------------------------------------------------------------

    def next(self) -> tuple[Customer, int] | None:
        """Who comes in now, and for the how many-th time; None while the door is shut, or there is nobody."""
        if self.opened_at is None or not self._coming or self.inside >= AT_THE_DOOR_MAX:
            return None
        if self._coming[0][0].buys and self._buyers <= self._may_give_back:
            return None
        return self._coming.popleft()

    def came(self, id_: bytes, customer: Customer, tries: int) -> None:
        """They have ordered."""
        self._orders[id_] = _Bought(customer, tries)
        self.inside += 1
        self._buyers -= customer.buys
        self._may_give_back += customer.tail is Tail.CANCELS_PAID

    @property
    def waiting(self) -> int:
        """How many wait outside, or for an answer."""
        return len(self._coming) + self.inside

    # -- what is heard ---------------------------------------------------------------------------------------------

    def hear(self, records: Iterable[Heard], now: float) -> None:
        """Takes in what was said about the crowd's orders; each thing once, however often it is said."""
        for record in records:
            order = self._orders.get(record.key or b"")
            if order is None or record.value is None:
                continue
            type_ = type_of(record.headers)
            if type_ == b"OrderPaid":
                self._paid(order, now)
            elif type_ in _ENDS:
                self._ended(order, _told(record.value).reason)
            elif type_ == b"CommandRefused":
                refusal = _told(record.value)
                if refusal.command == "PlaceOrder" and refusal.code != "order_exists":
                    self._ended(order, refusal.code)
            elif type_ == b"OrderPayable" and order.customer.tail is Tail.UNPAID:
                self._leaves_the_door(order)
            elif type_ in _MONEY_IN:
                told = _told(record.value)
                order.taken[told.reference] = told.amount
            elif type_ == b"PaymentRefunded":
                told = _told(record.value)
                order.given[told.refund] = told.amount
                self.refunded += not order.refunded and not order.balance
                order.refunded = order.refunded or not order.balance
        if self.opened_at is not None and self.over_at is None and not self.waiting:
            self.over_at = now

    def _paid(self, order: _Bought, now: float) -> None:
        if order.paid:
            return
        order.paid = True
        self._leaves_the_door(order)
        self.sold += 1
        if self.sold == self.pieces and self.sold_out_at is None:
            self.sold_out_at = now

    def _ended(self, order: _Bought, reason: str) -> None:
        if order.ended is not None:
            return
        order.ended = reason
        self._leaves_the_door(order)
        customer = order.customer
        self._may_give_back -= customer.tail is Tail.CANCELS_PAID
        if order.paid:
            self.given_back += 1
            self.sold -= 1
        elif reason == SOLD_OUT:
            self.sold_out += 1
            return
        else:
            self.others[reason] += 1
        if customer.buys and order.tries < COMES_AGAIN_MAX:
            self._coming.append((customer, order.tries + 1))
            self._buyers += 1

    def _leaves_the_door(self, order: _Bought) -> None:
        self.inside -= order.inside
        order.inside = False

    # -- what came of it -------------------------------------------------------------------------------------------

    def faults(self) -> list[str]:
        """What is not exact, in plain lines: pieces sold, pieces of an account, money."""
        faults = []
        if self.sold != self.pieces:
            faults.append(f"{self.sold:,} of {self.pieces:,} pieces are sold and kept")
        if self.waiting:
            faults.append(f"{self.waiting:,} of the crowd have heard nothing")
        had = Counter(order.customer.number for order in self._orders.values() if order.kept)
        if twice := [number for number, pieces in had.items() if pieces > 1]:
            faults.append(f"{len(twice):,} accounts have more than one piece")
        for id_, order in self._orders.items():
            due = SALE_PRICE if order.kept else 0
            if order.balance != due:
                faults.append(f"order {id_.decode()} has paid {order.balance}, not {due}")
        return faults

    def summary(self, crowd: Figures) -> dict[str, Any]:
        """The sale's part of the last line of `larder load --flash --json`."""
        return {
            "pieces": self.pieces,
            "crowd": self.customers,
            "paid": self.sold,
            "sold_out": self.sold_out,
            "refunded": self.refunded,
            "given_back": self.given_back,
            "others": dict(self.others),
            "seconds_until_sold_out": _since(self.opened_at, self.sold_out_at),
            "seconds": _since(self.opened_at, self.over_at),
            "ended_per_s": round(crowd.lives_per_s(), 1),
        }

    def standing(self, now: float, robots: Robots, figures: Figures, orders: int) -> str:
        """How the sale stands, in one line; before it begins and when it is over, how the other orders stand."""
        if self.opened_at is None or not (self.waiting or self.over_at is None):
            return standing(now, robots, figures, orders)
        after = _since(self.opened_at, self.sold_out_at)
        parts = [
            f"{now - self.opened_at:5.1f} s",
            f"paid {self.sold:,} of {self.pieces:,}",
            f"sold out {self.sold_out:,}",
            f"refunded {self.refunded:,}",
            f"waiting {self.waiting:,}",
            *([f"all sold after {after:g} s"] if after is not None else []),
            f"other orders: placed {robots.placed:,}, {figures.lives_lately(now):,.0f} lives/s",
        ]
        return "  ".join(parts)


def _since(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else round(end - begin, 3)
