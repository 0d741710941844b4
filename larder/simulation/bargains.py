"""Witnesses of marketing: what the people who write promotions, rushes and pauses know, and the order's books must fit.

What an order paid is worked out again by `larder.audit`; here stands what takes everything that was ever written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from larder.audit.prices import Line, worked_out
from larder.simulation.books import catalogue_of
from larder.simulation.rows import Row, Rows
from services.order.state import NO_DISCOUNTS

Broken = tuple[str, str, str]
"""A rule, what it is about (mostly an order), and what was found."""


def denied_is_denied(rows: Rows) -> Iterator[Broken]:
    """What was refused to an order comes into its price no more: its total comes to rest."""
    refused: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for told in rows["log.claims"]:
        refused[told["order_id"]][told["id"]] = told["denied"]
    taken = Counter(e["order_id"] for e in rows["order.timeline"] if e["message"] == "SettleClaim")
    orders = {order["order_id"]: order["discounts"] or NO_DISCOUNTS for order in rows["order.orders"]}
    for order_id, answers in refused.items():
        # The last one may have come too late.
        for promotion in {p for denied in list(answers.values())[: taken[order_id]] for p in denied}:
            applied = [one.promotion for one in orders[order_id].applied]
            if promotion in applied or promotion not in orders[order_id].denied:
                yield ("denied_is_denied", order_id, f"{promotion} was refused to it; it has {applied}")


def rushes_are_first_paid(rows: Rows) -> Iterator[Broken]:
    """Nothing is locked for an order in a rush."""
    locked = {order["order_id"]: order for order in rows["order.orders"] if order["hold_mode"] == "lock"}
    changes = rows["people.rushes"]
    for entry in rows["order.timeline"] if changes else ():
        order = locked.get(entry["order_id"])
        if order is None or order["replacement"] or entry["message"] != "OrderCleared":
            continue
        if entry["phase"] != "holding":
            continue
        at = entry["at"]
        rushes = next((c["rushes"] for c in reversed(changes) if c["at"] <= at), ())
        if found := [r.id for r in rushes if _is_in(r, order, at)]:
            yield ("rushes_are_first_paid", order["order_id"], f"locked at {at}, in {found}")


def _is_in(rush: Any, order: Row, at: datetime) -> bool:
    is_here = rush.store in ("", order["store"]) and (not rush.spus or bool(rush.spus & set(order["spus"])))
    return is_here and bool(rush.starts_at <= at < rush.ends_at)


def pauses_are_kept(rows: Rows) -> Iterator[Broken]:
    """A store that is paused takes no order."""
    for order in rows["order.orders"] if rows["people.pauses"] else ():
        at, store = order["placed_at"], order["store"]
        until = next((p["until"] for p in reversed(rows["people.pauses"]) if p["store"] == store and p["at"] <= at), at)
        if until > at and not order["replacement"]:
            yield ("pauses_are_kept", order["order_id"], f"placed at {at}, and {store} is paused until {until}")


def goods_to_come_wait(rows: Rows) -> Iterator[Broken]:
    """Goods that are still to come are named as such, in an order that waits for them and locks nothing."""
    days = {one["spu"]: one["available_from"] for one in rows["people.to_come"]}
    for order in rows["order.orders"] if days else ():
        to_come = {spu for spu in order["spus"] if spu in days and days[spu] > order["placed_at"]}
        if order["replacement"]:
            continue
        if set(order["presale"]) != to_come:
            yield ("goods_to_come_wait", order["order_id"], f"{to_come} is to come, it says {order['presale']}")
        elif to_come and (not order["slot"] or order["slot"].start < max(days[spu] for spu in to_come)):
            yield ("goods_to_come_wait", order["order_id"], f"{to_come} is to come, its slot is {order['slot']}")
        elif to_come and order["hold_mode"] == "lock":
            yield ("goods_to_come_wait", order["order_id"], f"{to_come} is to come, and is locked")


def used_coupons_were_used(rows: Rows) -> Iterator[Broken]:
    """Who is told that the account has used a coupon: it has."""
    claimed = {(claim["account"], claim["promotion"]) for claim in rows["order.claims_kept"]}
    bodies = {sent["id"]: sent["body"] for sent in rows["people.sent"] if sent["type"] == "PlaceOrder"}
    for answer in rows["order.answers"]:
        if answer["code"] == "coupon_used":
            asked = bodies[answer["id"]]
            if not any((asked.account, code) in claimed for code in asked.coupons):
                yield ("used_coupons_were_used", asked.order_id, f"one of {asked.coupons}, says the answer; none was")


def verified_on_the_click(rows: Rows) -> Iterator[Broken]:
    """What a customer was asked for is what the order cost when it was verified: at the prices and promotions of then,
    less what was refused to it."""
    if not rows["order.promotion_revisions"]:
        return
    catalogue = catalogue_of(rows)
    looked, asked = dict[str, datetime](), dict[str, datetime]()
    for entry in rows["order.timeline"]:
        if entry["message"] == "StockVerified":
            looked[entry["order_id"]] = entry["at"]
        if entry["phase"] == "paying" and entry["message"] in ("StockVerified", "SettleClaim"):
            asked[entry["order_id"]] = looked[entry["order_id"]]
        elif entry["phase"] == "awaiting_payment":
            asked.pop(entry["order_id"], None)  # to be confirmed, or to be paid, once more
    for order in rows["order.orders"]:
        if (at := asked.get(order["order_id"])) is None:
            continue
        prices = {change["spu"]: change["price"] for change in rows["people.prices"] if change["at"] <= at}
        lines = [
            Line(spu, quantity, prices[spu], catalogue.category(spu, at))
            for spu, quantity in zip(order["spus"], order["quantities"], strict=True)
        ]
        discounts = order["discounts"] or NO_DISCOUNTS
        on = catalogue.in_force(order["store"], at, [(line.spu, line.category) for line in lines])
        coupons = (catalogue.coupon(code, order["store"], at) for code in discounts.coupons)
        on += [coupon for coupon in coupons if coupon and coupon.account in ("", order["account"])]
        off = sum(sum(one.lines) for one in worked_out(lines, on, discounts.denied).values())
        due = sum(line.quantity * line.price for line in lines) - off
        if due != order["total"]:
            yield ("verified_on_the_click", order["order_id"], f"asked for {order['total']}, at {at} it cost {due}")


WITNESSES = (
    denied_is_denied,
    rushes_are_first_paid,
    pauses_are_kept,
    goods_to_come_wait,
    used_coupons_were_used,
    verified_on_the_click,
)
