"""What people have written straight into the tables: products, stores, the blocklist, the switch, the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from larder.simulation.database import Database
from services.inventory.state import LOCK, Movement, Phase
from services.order.promotions import NO_OFFERS, Kind, Offers, Promotion, Rush
from services.order.reading import OFFERS, RUSHES
from services.order.state import ClaimKept, Claims, Product, SaleFact, StoreFact
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
    categories: dict[str, str] = field(default_factory=dict)
    available_from: dict[str, datetime] = field(default_factory=dict)
    """Goods that are still to come, from the evening's beginning on."""
    promotions: dict[str, Promotion] = field(default_factory=dict)
    revisions: list[tuple[datetime, Promotion]] = field(default_factory=list)
    """Every promotion as it was, and since when."""
    rushes: dict[str, Rush] = field(default_factory=dict)
    rush_changes: list[tuple[datetime, tuple[Rush, ...]]] = field(default_factory=list)
    """All rushes that there were at once, and since when."""
    paused_until: dict[str, datetime] = field(default_factory=dict)
    pauses: list[tuple[datetime, str, datetime]] = field(default_factory=list)
    """Since when, which store, until when; of a store the last word holds."""
    claims: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    """The order service's table `claims`: units by order, of an account and a promotion."""

    def set_price(self, spu: str, price: int, now: datetime) -> None:
        """From now on it costs that much."""
        self.version += 1
        self.prices[spu] = price
        self.changes.append((now, spu, price))

    def put_promotion(self, promotion: Promotion, now: datetime) -> None:
        """From now on it is that."""
        self.version += 1
        self.promotions[promotion.id] = promotion
        self.revisions.append((now, promotion))

    def set_rush(self, id_: str, rush: Rush | None, now: datetime) -> None:
        """From now on it is that, or is none."""
        self.version += 1
        self.rushes.pop(id_, None)
        if rush:
            self.rushes[id_] = rush
        self.rush_changes.append((now, tuple(self.rushes.values())))

    def pause(self, store: str, until: datetime, now: datetime) -> None:
        """The store takes no orders until then."""
        self.version += 1
        self.paused_until[store] = until
        self.pauses.append((now, store, until))

    def keep_claim(self, claim: ClaimKept) -> None:
        """What a shard writes down of an account; no master data."""
        units = self.claims.setdefault((claim.account, claim.promotion), {})
        units.pop(claim.order_id, None)
        if claim.units:
            units[claim.order_id] = claim.units

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
            automatic = [p for p in self.promotions.values() if p.kind is not Kind.COUPON and p.ends_at > now]
            return Offers(automatic) if automatic else NO_OFFERS
        if key == RUSHES:
            return tuple(rush for rush in self.rushes.values() if rush.ends_at > now)
        kind, name = key[0], key[1]
        match kind:
            case "product":
                price = self.prices.get(name)
                if price is None:
                    return None
                return Product(price, self.categories.get(name, "other"), self.available_from.get(name))
            case "store":
                accepting = name not in self.not_accepting
                return StoreFact(accepting, self.paused_until.get(name)) if name in self.areas else None
            case "within":
                return name in self.areas and self.areas[name].holds(float(key[2]), float(key[3]))
            case "coupon":
                coupon = self.promotions.get(name)
                return coupon if coupon and coupon.kind is Kind.COUPON else None
            case "sale":
                sale = self.promotions.get(name)
                if sale is None or sale.kind is not Kind.FLASH:
                    return None
                return SaleFact(sale.ends_at, tuple(sorted(sale.stores or self.areas)))
            case "claims":
                return Claims(dict(self.claims.get((name, key[2]), {})))
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
