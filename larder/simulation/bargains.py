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

HAD = ("delivered", "closed")
"""Phases of orders that customers have got."""

Broken = tuple[str, str, str]
"""A rule, what it is about (mostly an order), and what was found."""


def counted_in_turn(rows: Rows) -> Iterator[Broken]:
    """At no moment has an account more of a promotion than any word on it allows, whatever became of its orders."""
    most: dict[str, int] = defaultdict(int)
    for row in rows["order.promotion_revisions"]:
        most[row["id"]] = max(most[row["id"]], row["per_account"])
    had: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for claim in rows["order.claims_kept"]:  # in the order in which they were written
        units = had[claim["account"], claim["promotion"]]
        units[claim["order_id"]] = claim["units"]
        if claim["units"] and sum(units.values()) > most[claim["promotion"]]:
            found = f"{claim['account']} has {units} of {claim['promotion']}, of {most[claim['promotion']]}"
            yield ("counted_in_turn", claim["order_id"], found)


def denied_is_denied(rows: Rows) -> Iterator[Broken]:
    """What was refused to an order comes into its price no more: its total comes to rest."""
    refused: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for told in rows["log.claims"]:
        refused[told["order_id"]][told["id"]] = told["denied"]
    taken = Counter(
        e["order_id"] for e in rows["order.timeline"] if e["message"] == "SettleClaim" and e["phase"] != "releasing"
    )
    orders = {order["order_id"]: order["discounts"] or NO_DISCOUNTS for order in rows["order.orders"]}
    for order_id, answers in refused.items():
        # The last one may have come too late for the order.
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


# -- flash sales and goods to come -------------------------------------------------------------------------------------


def sold_as_allotted(rows: Rows) -> Iterator[Broken]:
    """A flash sale sells no more than a storekeeper ever let it."""
    accepted = {answer["id"] for answer in rows["inventory.answers"] if answer["accepted"]}
    most: dict[tuple[str, str], int] = defaultdict(int)
    for sent in rows["people.sent"]:
        if sent["type"] == "SetAllotment" and sent["id"] in accepted:
            body = sent["body"]
            most[body.store, body.promotion] = max(body.quantity, most[body.store, body.promotion])
    sold = Counter[tuple[str, str]]()
    for order in rows["order.orders"]:
        if order["phase"] in HAD and order["discounts"]:
            for one in order["discounts"].applied:
                if one.kind == "flash":
                    pieces = sum(q for q, off in zip(order["quantities"], one.discounts, strict=True) if off)
                    sold[order["store"], one.promotion] += pieces
    for sale, pieces in sold.items():
        if pieces > most[sale]:
            yield ("sold_as_allotted", "/".join(sale), f"{pieces} are sold, at most {most[sale]} were to be")


def reversed_to_the_sale(rows: Rows) -> Iterator[Broken]:
    """While a sale is on, what goes back of it is for the next customer; not what was never there."""
    if not rows["inventory.allotments"]:
        return
    catalogue = catalogue_of(rows)
    has = Counter[tuple[str, str]]()
    """Pieces of a sale, by order and cell."""
    never_there = {(m["order_id"], m["at"]) for m in rows["inventory.ledger"] if m["kind"] == "adjustment"}
    for move in rows["inventory.ledger"]:
        cells, order_id = dict(zip(move["spus"], move["on_hand"], strict=True)), move["order_id"]
        if move["kind"] == "issue_reversal" and (order_id, move["at"]) not in never_there:
            for (whose, cell), pieces in has.items():
                spu, _, sale = cell.partition("|")
                is_elsewhere = whose == order_id and pieces and cells.get(spu) and cell not in cells
                if is_elsewhere and catalogue.sells(sale, move["at"]):
                    yield ("reversed_to_the_sale", order_id, f"{cells} at {move['at']}, and {sale} is on")
        for cell, delta in cells.items():
            if order_id and "|" in cell and "|+" not in cell and move["kind"] in ("sales_issue", "issue_reversal"):
                has[order_id, cell] -= delta


def gone_is_gone(rows: Rows) -> Iterator[Broken]:
    """Nobody is told that a sale has no pieces left for him while it has: at that instant there were fewer than he
    wants. What is locked already is not the sale's business."""
    if not rows["log.gone"]:
        return
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    wanted: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for told in rows["log.on_sale"]:
        for spu, promotion in zip(told["spus"], told["promotions"], strict=True):
            wanted[told["order_id"]][promotion].add(spu)
    for told in rows["log.gone"]:
        order_id = told["order_id"]
        order = orders[order_id]
        if order["hold_mode"] == "lock":
            continue
        asked = dict(zip(order["spus"], order["quantities"], strict=True))
        for promotion, spus in wanted[order_id].items():
            if told["type"] == "StockSoldOut":  # of what it was priced with at last
                still = promotion in {one.promotion for one in (order["discounts"] or NO_DISCOUNTS).applied}
                spus = spus & set(told["missing"]) if still else set()
            elif promotion not in told["gone"]:
                continue
            left = {spu: _least(rows, order["store"], f"{spu}|{promotion}", told["at"]) for spu in spus}
            if spus and all(left[spu] >= asked[spu] for spu in spus):
                found = f"{told['type']} says that {promotion} is gone at {told['at']}, {left} are left of {asked}"
                yield ("gone_is_gone", order_id, found)


def _least(rows: Rows, store: str, cell: str, at: datetime) -> int:
    """The fewest pieces that a cell had at an instant: a batch decides all that it decides in one."""
    before, now = 0, [0]
    for move in rows["inventory.ledger"]:
        if move["store"] == store and cell in move["spus"] and move["at"] <= at:
            delta = move["on_hand"][move["spus"].index(cell)]
            if move["at"] < at:
                before += delta
            else:
                now.append(now[-1] + delta)
    return before + min(now)


def owed_to_somebody(rows: Rows) -> Iterator[Broken]:
    """At rest nothing more is owed of what was to come than customers have who got it unseen; nothing is left of a
    sale."""
    had = Counter[tuple[str, str]]()
    for order in rows["order.orders"]:
        if order["phase"] in HAD:
            for spu, quantity in zip(order["spus"], order["quantities"], strict=True):
                had[order["store"], spu] += quantity if spu in order["presale"] else 0
    for cell in rows["inventory.cells"]:
        spu, mark, place = cell["spu"].partition("|")
        if place == "+owed" and cell["on_hand"] > had[cell["store"], spu]:
            found = f"{cell['on_hand']} {spu} are owed, customers wait for {had[cell['store'], spu]}"
            yield ("owed_to_somebody", cell["store"], found)
        elif mark and not place.startswith("+") and cell["on_hand"]:
            yield ("owed_to_somebody", cell["store"], f"{cell['on_hand']} {spu} are still set aside for {place}")


def promised_once(rows: Rows) -> Iterator[Broken]:
    """What is sold of what is to come is promised to nobody else."""
    for move in rows["inventory.ledger"]:
        if move["kind"] == "sales_issue":
            cells = dict(zip(move["spus"], move["on_hand"], strict=True))
            for cell, delta in cells.items():
                spu, _, place = cell.partition("|")
                if place == "+owed" and cells.get(f"{spu}|+incoming") != -delta:
                    yield ("promised_once", move["order_id"], f"{delta} {spu} are owed to it, by {cells}")


WITNESSES = (
    counted_in_turn,
    denied_is_denied,
    rushes_are_first_paid,
    pauses_are_kept,
    goods_to_come_wait,
    used_coupons_were_used,
    verified_on_the_click,
    sold_as_allotted,
    reversed_to_the_sale,
    gone_is_gone,
    owed_to_somebody,
    promised_once,
)
