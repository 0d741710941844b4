"""The order service's SQL: what a set of keys means for its tables, and what a commit does."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from services.order.areas import covers, serving
from services.order.pricing import Applied
from services.order.promotions import Offers, Rush, promotion_of
from services.order.state import (
    ENDS,
    NO_DISCOUNTS,
    Amendment,
    Basket,
    ClaimKept,
    Claims,
    Discounts,
    Lot,
    Order,
    Owed,
    Paper,
    Phase,
    Product,
    Replacement,
    SaleFact,
    Shortage,
    StoreFact,
    Substitution,
    TimelineEntry,
)
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.commit import Commit
from shared.runtime.statement import Connection, Write, columns, to_text
from shared.runtime.sweep import Sweep
from shared.runtime.table import Key

_ORDERS = """select o.*, b.spus, b.quantities, b.prices, b.delivery, b.slot, b.device, b.discounts, b.presale,
    a.lots, a.shortage, a.substitution, a.owed, a.overdue, a.replacement
from unnest($1::text[]) k (order_id) join orders o using (order_id) join baskets b using (order_id)
left join amendments a using (order_id)"""
_PRODUCTS = """select p.spu, p.price, p.category, p.available_from
from unnest($1::text[]) k (spu) join products p using (spu)"""
_STORES = "select s.store, s.accepting, s.paused_until from unnest($1::text[]) k (store) join stores s using (store)"
# Promotions that are over are no facts any more; those to come are, since facts are remembered until data change.
_OFFERS = "select id, revision, body from promotions where kind <> 'coupon' and ends_at > $1"
_COUPONS = "select id, revision, body from promotions where kind = 'coupon' and id = any($1::text[])"
_RUSHES = "select id, store, spus, starts_at, ends_at from rushes where ends_at > $1"


def _in_scope(body: str) -> str:
    stores = f"coalesce({body}::jsonb -> 'stores', '[]')"
    return f"({stores} = '[]' or {stores} ? s.store)"


_SALES = f"""select p.id, p.ends_at,
    array(select s.store from stores s where {_in_scope("p.body")} order by 1) stores,
    array(select s.store from stores s where not {_in_scope("p.body")} and exists (
        select from promotion_revisions r where r.id = p.id and {_in_scope("r.body")}) order by 1) stores_left
from promotions p where p.kind = 'flash' and p.id = any($1::text[])"""
_CLAIMS = """select c.account, c.promotion, c.order_id, c.units
from unnest($1::text[], $2::text[]) k (account, promotion) join claims c using (account, promotion)"""
_AREAS = "select s.store, s.area from unnest($1::text[]) k (store) join stores s using (store)"
_CANDIDATES = """select k.n, s.store, s.accepting, s.area
from unnest($1::float8[], $2::float8[]) with ordinality k (lat, lon, n)
join stores s on (k.lon between s.west and s.east or abs(k.lon) = 180 and -k.lon between s.west and s.east)
    and k.lat between s.south and s.north"""

# Columns of `orders` that a step may change, with their types; they are also fields of Order.
_CHANGING = {
    "phase": "text",
    "phase_since": "timestamptz",
    "total": "bigint",
    "hold_mode": "text",
    "payable_until": "timestamptz",
    "attempt": "int",
    "method": "text",
    "paid": "bigint",
    "refunded": "bigint",
    "refunds": "int",
    "closing_refund": "int",
    "reference": "text",
    "reason": "text",
    "given_back": "bigint",
    "tickets": "int",
    "ticket_id": "text",
}
_PLACED = {"kind": "text", "account": "text", "store": "text", "placed_at": "timestamptz"}
_NAMES = list(_CHANGING)
_step_of = attrgetter("order_id", *_CHANGING)
_placing_of = attrgetter("order_id", *_PLACED, *_CHANGING)


def _unnest(columns: Mapping[str, str], alias: str = "u") -> str:
    arrays = ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(columns.values(), 1))
    return f"unnest({arrays}) {alias} ({', '.join(columns)})"


_ALL = {"order_id": "text", **_PLACED, **_CHANGING, "ended": "boolean"}
_INSERT = f"insert into orders ({', '.join(_ALL)}) select {', '.join(_ALL)} from {_unnest(_ALL)}"
_STEP = {"order_id": "text", **_CHANGING, "ended": "boolean"}
_UPDATE = f"""update orders o set {", ".join(f"{c} = u.{c}" for c in [*_CHANGING, "ended"])}
from {_unnest(_STEP)} where o.order_id = u.order_id"""
# Most steps change the phase and nothing else.
_ENDED = f"u.phase in ({', '.join(repr(str(phase)) for phase in sorted(ENDS))})"
_PHASES = f"""update orders o set phase = u.phase, phase_since = $1, ended = {_ENDED}
from unnest($2::text[], $3::text[]) u (order_id, phase) where o.order_id = u.order_id"""
_BASKETS = """insert into baskets (order_id, spus, quantities, prices, delivery, slot, device, discounts, presale)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[])"""
# When the total changes, the lines are priced anew and nothing else.
_PRICED_ANEW = """update baskets b set prices = u.prices, discounts = u.discounts
from unnest($1::text[], $2::text[], $3::text[]) u (order_id, prices, discounts) where b.order_id = u.order_id"""
_CLAIMED = """insert into claims (account, promotion, order_id, units)
select * from unnest($1::text[], $2::text[], $3::text[], $4::int[])
on conflict (account, promotion, order_id) do update set units = excluded.units"""
_GIVEN_BACK = """delete from claims c using unnest($1::text[], $2::text[], $3::text[]) k (account, promotion, order_id)
where (c.account, c.promotion, c.order_id) = (k.account, k.promotion, k.order_id)"""
# All of a batch happens at one time, which is read once.
_TIMELINE = """insert into timeline (order_id, at, phase, message, actor)
select order_id, $1, phase, message, actor
from unnest($2::text[], $3::text[], $4::text[], $5::text[]) u (order_id, phase, message, actor)"""
_AMENDMENTS = """insert into amendments (order_id, lots, shortage, substitution, owed, overdue, replaces, replacement)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[])
on conflict (order_id) do update
    set lots = excluded.lots, shortage = excluded.shortage, substitution = excluded.substitution,
        owed = excluded.owed, overdue = excluded.overdue"""
_PAPERS = """insert into papers (order_id, kind, at, body)
select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[])"""

_AGED = ("orders", "placed_at", "order_id", "o.ended")
_NO_DELIVERY = """update baskets set delivery = null, device = null
where order_id = any($1::text[]) and (delivery is not null or device is not null)"""
# Who rejects a ticket says why in words of his own; the other notes are codes.
_NO_WORDS = """update papers set body = (body::jsonb || '{"note": ""}')::text
where order_id = any($1::text[]) and kind = 'ticket' and body::jsonb ->> 'phase' = 'rejected'
    and body::jsonb ->> 'kind' not in ('intercept', 'shortage') and body::jsonb ->> 'note' <> ''"""
_NO_TIMELINE = "delete from timeline where order_id = any($1::text[])"
SWEEPS = (
    Sweep("personal data", "personal_data_s", *_AGED, (_NO_DELIVERY, _NO_WORDS)),
    Sweep("timelines", "timeline_s", *_AGED, (_NO_TIMELINE,)),
)
"""What is not kept of an order that is over. Its lines and papers are: they say what the money was for."""


class OrderStore:
    """Loads orders and the facts they are decided on; saves what a batch did to them."""

    async def load_many(self, connection: Connection, keys: Collection[Key], now: datetime) -> Mapping[Key, Any]:
        """One query per kind of key."""
        by_kind: dict[str, list[Key]] = defaultdict(list)
        for key in keys:
            by_kind[key[0]].append(key)
        found: dict[Key, Any] = dict.fromkeys(keys)
        if some := by_kind["order"]:
            for row in await connection.fetch(_ORDERS, [k[1] for k in some]):
                found["order", row["order_id"]] = _order(row)
        if some := by_kind["product"]:
            for row in await connection.fetch(_PRODUCTS, [k[1] for k in some]):
                found["product", row["spu"]] = Product(row["price"], row["category"], row["available_from"])
        if some := by_kind["store"]:
            for row in await connection.fetch(_STORES, [k[1] for k in some]):
                found["store", row["store"]] = StoreFact(row["accepting"], row["paused_until"])
        found.update(await _promotions(connection, by_kind, now))
        if some := by_kind["within"]:
            areas = {r["store"]: r["area"] for r in await connection.fetch(_AREAS, list({k[1] for k in some}))}
            for key in some:
                found[key] = key[1] in areas and covers(areas[key[1]], float(key[2]), float(key[3]))
        if some := by_kind["serving"]:
            found.update(await _serving(connection, some))
        return found

    def save_many(self, commit: Commit) -> list[Write]:
        """New orders are inserted whole, others updated in what may change, or in their phase alone."""
        writes = []
        orders: list[Order] = [state for state in commit.states.values() if type(state) is Order]
        # A batch that places an order may carry it further: the basket that came first says that it is new.
        baskets: list[Basket] = commit.records.get(Basket, [])
        placed = {o.order_id for o in orders if o.placed_at == commit.at} if baskets else set()
        if new := [o for o in orders if o.order_id in placed]:
            writes.append(Write("orders_new", _INSERT, columns([_placed_row(o) for o in new])))
        at = commit.at
        old = [o for o in orders if o.order_id not in placed] if placed else orders
        if changed := [o for o in old if o.changed_at == at]:
            writes.append(Write("orders_step", _UPDATE, columns([_step_row(o) for o in changed])))
        if moved := [(o.order_id, o.phase) for o in old if o.phase_since == at and o.changed_at != at]:
            writes.append(Write("orders_phase", _PHASES, [at, *columns(moved)]))
        if baskets:
            latest = {b.order_id: b for b in baskets}.values()
            if first := [_basket_row(b) for b in latest if b.order_id in placed]:
                writes.append(Write("baskets", _BASKETS, columns(first)))
            if again := [_priced_row(b) for b in latest if b.order_id not in placed]:
                writes.append(Write("baskets_priced", _PRICED_ANEW, columns(again)))
        if claims := commit.records.get(ClaimKept):
            # What a batch said last of a claim is what is kept.
            latest_claims = {claim[:3]: claim for claim in map(_claim_row, claims)}.values()
            if had := [claim for claim in latest_claims if claim[3]]:
                writes.append(Write("claimed", _CLAIMED, columns(had)))
            if returned := [claim[:3] for claim in latest_claims if not claim[3]]:
                writes.append(Write("claims_returned", _GIVEN_BACK, columns(returned)))
        if entries := commit.records.get(TimelineEntry):
            rows = [(e.order_id, e.phase, e.message, e.actor) for e in entries]
            writes.append(Write("timeline", _TIMELINE, [at, *columns(rows)]))
        if amendments := commit.records.get(Amendment):
            last = {a.order_id: a for a in amendments}
            writes.append(Write("amendments", _AMENDMENTS, columns([_amendment_row(a) for a in last.values()])))
        if papers := commit.records.get(Paper):
            writes.append(
                Write("papers", _PAPERS, columns([(p.order_id, p.kind, p.at, to_text(p.body)) for p in papers]))
            )
        return writes


def _step_row(o: Order) -> tuple[Any, ...]:
    return (*_step_of(o), o.phase in ENDS)


def _placed_row(o: Order) -> tuple[Any, ...]:
    return (*_placing_of(o), o.phase in ENDS)


def _basket_row(b: Basket) -> tuple[Any, ...]:
    return (
        b.order_id,
        to_text(b.spus),
        to_text(b.quantities),
        to_text(b.prices),
        b.delivery.model_dump_json(exclude_none=True) if b.delivery else None,
        b.slot.model_dump_json() if b.slot else None,
        b.device,
        _discounts_of(b),
        to_text(b.presale) if b.presale else None,
    )


def _priced_row(b: Basket) -> tuple[str, str, str | None]:
    return b.order_id, to_text(b.prices), _discounts_of(b)


def _discounts_of(b: Basket) -> str | None:
    return to_text(_discounts_row(b.discounts)) if b.discounts is not NO_DISCOUNTS else None


def _claim_row(c: ClaimKept) -> tuple[str, str, str, int]:
    return c.account, c.promotion, c.order_id, c.units


def _discounts_row(d: Discounts) -> tuple[Any, ...]:
    return (*d[:-1], d.at and d.at.isoformat())


def discounts_of(text: str | None) -> Discounts:
    """What a basket's row says of its discounts."""
    if text is None:
        return NO_DISCOUNTS
    applied, coupons, denied, claimed, at = json.loads(text)
    return Discounts(
        tuple(
            Applied(promotion, revision, kind, tuple(offs), *counts)
            for promotion, revision, kind, offs, *counts in applied
        ),
        tuple(coupons),
        tuple(denied),
        tuple(claimed),
        datetime.fromisoformat(at) if at else None,
    )


def _amendment_row(a: Amendment) -> tuple[Any, ...]:
    shortage = a.shortage and [*a.shortage[:3], a.shortage.until.isoformat() if a.shortage.until else None]
    owed = to_text(a.owed) if a.owed else None
    replaces = a.replacement and a.replacement.replaces
    return (
        *(a.order_id, to_text(a.lots), _json(shortage), _json(a.substitution), owed, a.overdue),
        *(replaces, _json(a.replacement)),
    )


def _json(value: Any) -> str | None:
    return None if value is None else to_text(value)


def _lots(raw: Any) -> tuple[Lot, ...]:
    return tuple(Lot(*lot) for lot in raw)


def _replacement(
    replaces: str, about: str, ticket_id: str, kind: str, back_spus: list[str], back: list[int]
) -> Replacement:
    return Replacement(replaces, about, ticket_id, kind, tuple(back_spus), tuple(back))


def _amended(row: Any) -> dict[str, Any]:
    """What an amendment says of an order; nothing when there is none."""
    if row["lots"] is None:
        return {}
    shortage = json.loads(row["shortage"]) if row["shortage"] else None
    substitution = json.loads(row["substitution"]) if row["substitution"] else None
    replacement = json.loads(row["replacement"]) if row["replacement"] else None
    return {
        "lots": _lots(json.loads(row["lots"])),
        "shortage": shortage
        and Shortage(
            tuple(shortage[0]),
            tuple(shortage[1]),
            shortage[2],
            datetime.fromisoformat(shortage[3]) if shortage[3] else None,
        ),
        "substitution": substitution
        and Substitution(_lots(substitution[0]), substitution[1], _lots(substitution[2:] and substitution[2])),
        "owed": tuple(Owed(*one) for one in json.loads(row["owed"])) if row["owed"] else (),
        "overdue": row["overdue"],
        "replacement": replacement and _replacement(*replacement),
    }


def _order(row: Any) -> Order:
    changing = {name: row[name] for name in _NAMES}
    changing["phase"] = Phase(row["phase"])
    return Order(
        order_id=row["order_id"],
        account=row["account"],
        store=row["store"],
        placed_at=row["placed_at"],
        spus=tuple(json.loads(row["spus"])),
        quantities=tuple(json.loads(row["quantities"])),
        prices=tuple(json.loads(row["prices"])),
        delivery=ordering.Delivery.model_validate_json(row["delivery"]) if row["delivery"] else None,
        slot=Slot.model_validate_json(row["slot"]) if row["slot"] else None,
        device=row["device"],
        discounts=discounts_of(row["discounts"]),
        presale=tuple(json.loads(row["presale"])) if row["presale"] else (),
        **changing,
        **_amended(row),
    )


async def _promotions(connection: Connection, by_kind: Mapping[str, Sequence[Key]], now: datetime) -> dict[Key, Any]:
    """Everything that changes prices, and what was claimed of it."""
    found: dict[Key, Any] = {}
    for key in by_kind.get("offers", ()):
        found[key] = Offers(promotion_of(*row) for row in await connection.fetch(_OFFERS, now))
    if codes := [key[1] for key in by_kind.get("coupon", ())]:
        for row in await connection.fetch(_COUPONS, codes):
            found["coupon", row["id"]] = promotion_of(*row)
    for key in by_kind.get("rushes", ()):
        rows = await connection.fetch(_RUSHES, now)
        found[key] = tuple(Rush(r[0], r[1] or "", frozenset(json.loads(r[2])), r[3], r[4]) for r in rows)
    if sales := [key[1] for key in by_kind.get("sale", ())]:
        for row in await connection.fetch(_SALES, sales):
            found["sale", row["id"]] = SaleFact(row["ends_at"], tuple(row["stores"]), tuple(row["stores_left"]))
    if claims := by_kind.get("claims", ()):
        units: dict[Key, dict[str, int]] = {key: {} for key in claims}
        for row in await connection.fetch(_CLAIMS, [k[1] for k in claims], [k[2] for k in claims]):
            units["claims", row["account"], row["promotion"]][row["order_id"]] = row["units"]
        found.update({key: Claims(had) for key, had in units.items()})
    return found


async def _serving(connection: Connection, keys: Sequence[Key]) -> dict[Key, str | None]:
    rows = await connection.fetch(_CANDIDATES, [float(k[1]) for k in keys], [float(k[2]) for k in keys])
    candidates: dict[int, list[tuple[str, bool, str]]] = defaultdict(list)
    for row in rows:
        candidates[row["n"]].append((row["store"], row["accepting"], row["area"]))
    return {key: serving(candidates[n], float(key[1]), float(key[2])) for n, key in enumerate(keys, 1)}
