"""Who orders in a load with adversaries: order after order, a customer or an adversary, on which device, to which
address.

Who does what depends on the seed alone. All names are of one load only, so that nobody is judged by what an earlier
load's customers did. A name of a file has no slash: an adversary's account, device or address is never a customer's.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from larder.load.catalogue import bounds_of
from larder.load.mix import HISTORY, Chooser, Mix, Tail
from larder.load.play import Play, Ready

ORDERS_EACH = 20
"""So many orders an account that cancels or never pays places, and so many accounts share a device."""
OFFICE_ONE_IN = 10
"""One customer in so many has it sent to the office of the store's area: honest, with an address of many accounts."""
FLOOD_MARGIN = 1.2
"""So much more stock than the flood is expected to hold, since chance decides how many orders it has."""


class Customer(NamedTuple):
    """Who orders, from where, and where to."""

    account: str
    device: str
    address: str


class Role(NamedTuple):
    """One order of a load; `kind` is that of an adversary, or None for a customer."""

    kind: str | None
    basket: Ready
    tail: Tail


class Cast(Iterator[Role]):
    """The orders of a load with adversaries, without end."""

    def __init__(self, mix: Mix, seed: int, orders: int, run: str, play: Play) -> None:
        """Adds to the play's demand what the flood orders beyond the baskets."""
        shares = mix.adversaries
        self._customers = Chooser(mix, seed)
        self._chance = random.Random(f"adversaries {seed}")
        self._run = run
        self._prices = play.prices
        self._half = orders / 2
        self._placed = 0
        self._counts: Counter[str] = Counter()
        self._groups = {
            kind: max(1, round(getattr(shares, kind) * orders / ORDERS_EACH))
            for kind in ("cancelling", "unpaid", "device")
        }
        always = (
            (shares.cancelling, self._cancel),
            (shares.unpaid, self._stay_away),
            (shares.device, self._share_a_device),
            (shares.flood, self._flood),
        )
        self._first_half = _ladder((*always, (2 * HISTORY * shares.stolen, self._be_robbed_later)))
        self._second_half = _ladder((*always, (2 * shares.stolen, self._rob)))
        self._flooded: Ready | None = None
        if shares.flood:
            store = play.busiest_store()
            self._flooded = next(basket for basket in play.endless() if basket.store == store)
            _provide(play, self._flooded, int(orders * shares.flood * FLOOD_MARGIN / play.plays(orders)) + 30)
        self._baskets = play.endless()

    def __next__(self) -> Role:
        drawn, ladder = self._chance.random(), self._first_half if self._placed < self._half else self._second_half
        self._placed += 1
        role = next((role for bound, role in ladder if drawn < bound), self._buy)
        return role()

    # -- customers -------------------------------------------------------------------------------------------------

    def _buy(self) -> Role:
        basket = next(self._baskets)
        customer = _at_home(f"{basket.account}/{self._run}")
        if zlib.crc32(basket.account.encode()) % OFFICE_ONE_IN == 0:
            customer = customer._replace(address=f"office in {basket.store}/{self._run}")
        return Role(None, _ordered(basket, customer), self._customers.next())

    def _be_robbed_later(self) -> Role:
        """An account's own customer, who orders one piece at a time."""
        basket = next(self._baskets)
        account = self._robbed(self._next("history") // HISTORY)
        return Role(None, _ordered(basket, _at_home(account), only=self._cheapest(basket)), Tail.PAYS)

    def _cheapest(self, basket: Ready) -> tuple[str, int]:
        price, spu = min((self._prices[spu], spu) for spu in _body(basket)["spus"])
        return spu, price

    # -- adversaries -----------------------------------------------------------------------------------------------

    def _cancel(self) -> Role:
        return self._again_and_again("cancelling", Tail.CANCELS_LATE)

    def _stay_away(self) -> Role:
        return self._again_and_again("unpaid", Tail.UNPAID)

    def _again_and_again(self, kind: str, tail: Tail) -> Role:
        account = self._named(kind, self._next(kind) % self._groups[kind])
        return Role(kind, _ordered(next(self._baskets), _at_home(account)), tail)

    def _share_a_device(self) -> Role:
        number = self._next("device")
        customer = _at_home(self._named("device", number))
        device = f"phone {number % self._groups['device']} of {self._named('device')}"
        return Role("device", _ordered(next(self._baskets), customer._replace(device=device)), Tail.UNPAID)

    def _flood(self) -> Role:
        assert self._flooded is not None, "there is a flood only with a share"
        customer = _at_home(self._named("flood", self._next("flood")))._replace(
            address=f"home of {self._named('flood')}"
        )
        return Role("flood", _ordered(self._flooded, customer), Tail.UNPAID)

    def _rob(self) -> Role:
        """An account whose customer has ordered before; while there is none, a customer comes instead."""
        if self._counts["stolen"] >= self._counts["history"] // HISTORY:
            return self._buy()
        number = self._next("stolen")
        thief = _at_home(self._named("stolen", number))._replace(account=self._robbed(number))
        return Role("stolen", _ordered(next(self._baskets), thief), Tail.PAYS)

    # -- names -----------------------------------------------------------------------------------------------------

    def _next(self, what: str) -> int:
        self._counts[what] += 1
        return self._counts[what] - 1

    def _named(self, kind: str, number: int | None = None) -> str:
        return f"adversary/{kind}/{self._run}" + ("" if number is None else f"/{number}")

    def _robbed(self, number: int) -> str:
        return f"robbed/{self._run}/{number}"


def _at_home(account: str) -> Customer:
    return Customer(account, f"phone of {account}", f"home of {account}")


def _ordered(basket: Ready, customer: Customer, *, only: tuple[str, int] | None = None) -> Ready:
    """The basket, or one piece (SPU and price) of it, ordered by somebody."""
    body = _body(basket) | {"account": customer.account, "device": customer.device}
    pieces, total = basket.pieces, basket.total
    if only is not None:
        body |= {"spus": [only[0]], "quantities": [1]}
        pieces, total = 1, only[1]
    lat, lon = _door(basket.store)
    body["delivery"] = {"lat": lat, "lon": lon, "address": customer.address}
    return Ready(basket.store, customer.account, pieces, b"," + msgspec.json.encode(body)[1:], total)


def _body(basket: Ready) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(b"{" + basket.rest[1:])
    return body


@cache
def _door(store: str) -> tuple[float, float]:
    """A point inside the store's area."""
    west, south, east, north = bounds_of(store)
    return round((south + north) / 2, 4), round((west + east) / 2, 4)


def _provide(play: Play, basket: Ready, times: int) -> None:
    body = _body(basket)
    demand = play.demand[basket.store]
    for spu, quantity in zip(body["spus"], body["quantities"], strict=True):
        demand[spu] += quantity * times


def _ladder(shares: Iterable[tuple[float, Callable[[], Role]]]) -> list[tuple[float, Callable[[], Role]]]:
    """The same with each share added to those before it."""
    shares = [rung for rung in shares if rung[0]]
    return list(zip(accumulate(share for share, _ in shares), (role for _, role in shares), strict=True))
