"""What people have written straight into the tables: products, stores, the blocklist, the switch, the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from larder.simulation.database import Database
from services.inventory.state import LOCK, Movement, Phase
from services.order.promotions import NO_OFFERS
from services.order.reading import OFFERS, RUSHES
from services.order.state import Product, StoreFact
from services.risk.rules import RuleSet
from services.risk.state import Blocked, Entered
from shared.runtime.table import Key

PSEUDONYMS = b"of an evening"
"""The key of the hashes of devices and addresses."""


class Area(NamedTuple):
    """Degrees, borders included. Areas of stores stand side by side here; overlaps are the order service's tests."""

    west: float
    east: float

    def holds(self, lat: float, lon: float) -> bool:
        """Is the point inside?"""
        return self.west <= lon <= self.east and 0.0 <= lat <= 1.0


@dataclass(slots=True)
class Shop:
    """Master data as it is now."""

    prices: dict[str, int] = field(default_factory=dict)
    areas: dict[str, Area] = field(default_factory=dict)
    not_accepting: set[str] = field(default_factory=set)
    blocklist: dict[tuple[str, str], Blocked] = field(default_factory=dict)
    risk_is_on: bool = True
    rule_sets: list[RuleSet] = field(default_factory=list)
    """Every version of the rules that people wrote, the one in force last."""
    version: int = 0
    """How often any of it has changed."""
    changes: list[tuple[datetime, str, int]] = field(default_factory=list)
    """Every price that there was, and since when."""

    def set_price(self, spu: str, price: int, now: datetime) -> None:
        """From now on it costs that much."""
        self.version += 1
        self.prices[spu] = price
        self.changes.append((now, spu, price))

    def enter(self, entry: Entered) -> None:
        """A review puts something on the blocklist."""
        self.version += 1
        self.blocklist[entry.kind.value, entry.value] = Blocked(entry.treatment, entry.reason, entry.until)

    def set_rules(self, rules: RuleSet) -> None:
        """From now on orders are screened by these."""
        self.version += 1
        self.rule_sets.append(rules)

    def order_fact(self, key: Key, now: datetime) -> Any:
        """A fact of the order service."""
        if key == OFFERS:
            return NO_OFFERS
        if key == RUSHES:
            return ()
        kind, name = key[0], key[1]
        if kind == "product":
            price = self.prices.get(name)
            return None if price is None else Product(price)
        if kind == "store":
            return StoreFact(name not in self.not_accepting) if name in self.areas else None
        if kind == "within":
            return name in self.areas and self.areas[name].holds(float(key[2]), float(key[3]))
        lat, lon = float(name), float(key[2])
        inside = [(store in self.not_accepting, store) for store, area in self.areas.items() if area.holds(lat, lon)]
        return min(inside)[1] if inside else None


def holders(inventory: Database, key: Key, now: datetime) -> tuple[str, ...]:
    """Who has pieces of a cell locked, the newest first: what inventory's store reads from the ledger."""
    if len(key) > 3:
        return ()
    _, store, spu = key
    return tuple(
        move.order_id
        for move in reversed(inventory.records.get(Movement, ()))
        if move.kind == LOCK
        and move.store == store
        and spu in move.spus
        and inventory.states["hold", move.order_id].phase is Phase.LOCKED
    )


def risk_fact(shop: Shop, risk: Database, key: Key, now: datetime) -> Any:
    """What analysts wrote, and how people conduct themselves: the latter is in the service's own database."""
    match key[0]:
        case "switch":
            return shop.risk_is_on
        case "blocked":
            return shop.blocklist.get((key[1], key[2]))
        case "conduct":
            return risk.states.get(key)
        case "rules":
            return shop.rule_sets[-1] if shop.rule_sets else None
        case "pseudonyms":
            return PSEUDONYMS
        case _:
            raise LookupError(f"nobody writes {key}")


def no_facts(key: Key, now: datetime) -> Any:
    """The other services decide on their own aggregates only."""
    raise LookupError(f"nobody writes {key}")
