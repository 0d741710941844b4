"""Witnesses of marketing: what the people who write promotions, rushes and pauses know, and the order's books must fit.

What an order paid is worked out again by `larder.audit`; here stands what takes everything that was ever written.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from larder.simulation.rows import Row, Rows

Broken = tuple[str, str, str]
"""A rule, what it is about (mostly an order), and what was found."""


def claims_are_orders(rows: Rows) -> Iterator[Broken]:
    """At rest an account has had what its delivered orders were priced with, and nothing for orders that came to
    nothing; of nothing more than it may."""
    had = {(c["account"], c["promotion"], c["order_id"]): c["units"] for c in rows["order.claims"]}
    due: dict[tuple[str, str, str], int] = {}
    limits: dict[tuple[str, str], int] = {}
    for order in rows["order.orders"]:
        if order["phase"] == "closed":
            for one in order["discounts"].applied:
                if one.limit:
                    due[order["account"], one.promotion, order["order_id"]] = one.units
                    whose = order["account"], one.promotion
                    limits[whose] = max(one.limit, limits.get(whose, 0))
    for claim in sorted(had.keys() | due.keys()):
        if had.get(claim, 0) != due.get(claim, 0):
            found = f"{claim[0]} has had {had.get(claim, 0)} of {claim[1]} for it, and paid for {due.get(claim, 0)}"
            yield ("claims_are_orders", claim[2], found)
    spent = Counter[tuple[str, str]]()
    for (account, promotion, _), units in due.items():
        spent[account, promotion] += units
    for whose, units in spent.items():
        if units > limits[whose]:
            yield ("limits_are_kept", whose[0], f"{units} of {whose[1]}, and it may have {limits[whose]}")


def denied_is_denied(rows: Rows) -> Iterator[Broken]:
    """What was refused to an order comes into its price no more: its total comes to rest."""
    refused: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for told in rows["log.claims"]:
        refused[told["order_id"]][told["id"]] = told["denied"]
    taken = Counter(e["order_id"] for e in rows["order.timeline"] if e["message"] == "SettleClaim")
    orders = {order["order_id"]: order["discounts"] for order in rows["order.orders"]}
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


def coupons_are_named(rows: Rows) -> Iterator[Broken]:
    """A coupon comes into the price of an order that names it, of the account that it is for; and who is told that it
    was used has used it."""
    revisions = {(row["id"], row["revision"]): json.loads(row["body"]) for row in rows["order.promotion_revisions"]}
    accounts = {order["order_id"]: order["account"] for order in rows["order.orders"]}
    for basket in rows["order.baskets"]:
        account, discounts = accounts[basket["order_id"]], basket["discounts"]
        for one in discounts.applied:
            body = revisions[one.promotion, one.revision]
            is_named = one.promotion in discounts.coupons or body["kind"] != "coupon"
            if not is_named or body["account"] not in ("", account):
                yield ("coupons_are_named", basket["order_id"], f"{account} has {one.promotion}, for {body['account']}")
    claimed = {(claim["account"], claim["promotion"]) for claim in rows["order.claims_kept"]}
    bodies = {sent["id"]: sent["body"] for sent in rows["people.sent"] if sent["type"] == "PlaceOrder"}
    for answer in rows["order.answers"]:
        if answer["code"] == "coupon_used":
            asked = bodies[answer["id"]]
            if not any((asked.account, code) in claimed for code in asked.coupons):
                yield ("coupons_are_named", asked.order_id, f"{asked.coupons} were used, says the answer; never")


WITNESSES = (
    claims_are_orders,
    denied_is_denied,
    rushes_are_first_paid,
    pauses_are_kept,
    goods_to_come_wait,
    coupons_are_named,
)
