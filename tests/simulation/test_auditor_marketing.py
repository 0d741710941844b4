"""The auditor on trial, where promotions, flash sales and goods to come are: what is spoiled is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from larder.audit.rules import AT_REST
from larder.simulation import customers, marketing
from larder.simulation.bargains import WITNESSES
from larder.simulation.clock import NOON
from larder.simulation.rows import Row, Rows, rows_of
from larder.simulation.world import World
from services.order.promotions import Rush
from tests.simulation.test_auditor import COMPLAINTS, SPOILS, broken_rules, order, some

LONG = timedelta(days=1)


EVENINGS = range(1, 17)


@pytest.fixture(scope="module")
def evenings() -> list[Rows]:
    """The rows of evenings with all of marketing; none has everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marketing, "MARKETED", 1.0)
        patch.setattr(marketing, "SHARES", dict.fromkeys(marketing.SHARES, 1.0))
        patch.setattr(customers, "ORDERS", (60, 80))
        return [rows_of(played(World(seed))) for seed in EVENINGS]


def played(world: World) -> World:
    world.run()
    return world


def priced_with(rows: Rows, kind: str) -> Row:
    """An order that was delivered, and had a promotion of this kind in its price."""
    return next(
        o
        for o in rows["order.orders"]
        if o["phase"] == "closed" and o["discounts"] and any(one.kind == kind for one in o["discounts"].applied)
    )


def flash_order(rows: Rows) -> Row:
    return priced_with(rows, "flash")


def coupon_order(rows: Rows) -> Row:
    return priced_with(rows, "coupon")


def coming_order(rows: Rows) -> Row:
    """An order that was delivered and waited for goods."""
    return next(o for o in rows["order.orders"] if o["phase"] == "closed" and o["presale"])


def locked_order(rows: Rows) -> Row:
    """An order whose stock was locked when it was cleared."""
    cleared = {e["order_id"] for e in rows["order.timeline"] if e["message"] == "OrderCleared"}
    return next(o for o in rows["order.orders"] if o["hold_mode"] == "lock" and o["order_id"] in cleared)


def a_claim(rows: Rows) -> Row:
    """A use of a promotion."""
    return next(iter(rows["order.claims"]))


def denied_order(rows: Rows) -> Row:
    """An order to which its account refused something on the click."""
    told = {told["order_id"] for told in rows["log.claims"] if told["denied"]}
    orders = (o for o in rows["order.orders"] if o["order_id"] in told and o["discounts"].denied)
    return next(o for o in orders if o["phase"] == "closed")


def sale_reversal(rows: Rows) -> Row:
    """Pieces that went back to a sale."""
    return next(
        move
        for move in rows["inventory.ledger"]
        if move["kind"] == "issue_reversal" and any("|flash" in cell for cell in move["spus"])
    )


def sold_out(rows: Rows) -> Row:
    """Somebody who was told that a sale is over, and whose stock is not locked."""
    locked = {o["order_id"] for o in rows["order.orders"] if o["hold_mode"] == "lock"}
    return next(told for told in rows["log.gone"] if told["gone"] and told["order_id"] not in locked)


# -- what is spoiled ---------------------------------------------------------------------------------------------------


def discount_forgotten(rows: Rows) -> None:
    priced = coupon_order(rows)
    priced["discounts"] = priced["discounts"]._replace(applied=priced["discounts"].applied[:-1])


def shelf_for_sale(rows: Rows) -> None:
    sold = flash_order(rows)
    move = some(rows, "inventory.ledger", order_id=sold["order_id"], kind="sales_issue")
    move["spus"] = tuple(cell.partition("|")[0] for cell in move["spus"])


def back_to_the_shelf(rows: Rows) -> None:
    move = sale_reversal(rows)
    move["spus"] = tuple(cell.partition("|")[0] for cell in move["spus"])
    for revision in rows["order.promotion_revisions"]:
        if revision["kind"] == "flash":  # it is on until next year
            body = json.loads(revision["body"])
            revision["body"] = json.dumps({**body, "ends_at": body["ends_at"].replace("2026", "2027")})


def refused_for_nothing(rows: Rows) -> None:
    priced = coupon_order(rows)
    rows["order.claims_kept"] = [c for c in rows["order.claims_kept"] if c["order_id"] == priced["order_id"]]
    priced["discounts"] = priced["discounts"]._replace(denied=(priced["discounts"].applied[-1].promotion,))


def more_than_allowed(rows: Rows) -> None:
    a_claim(rows)["units"] = 1_000


def counted_twice(rows: Rows) -> None:
    last: Any = dict(rows["order.claims_kept"][-1])
    rows["order.claims_kept"].append({**last, "order_id": "o-another", "units": 1_000})


def denied_comes_back(rows: Rows) -> None:
    refused = denied_order(rows)
    refused["discounts"] = refused["discounts"]._replace(denied=())


def nobody_had_it(rows: Rows) -> None:
    some(rows, "order.answers", code="coupon_used")
    rows["order.claims_kept"] = []


def gone_too_early(rows: Rows) -> None:
    told = sold_out(rows)
    sale = told["gone"][0]
    store = some(rows, "order.orders", order_id=told["order_id"])["store"]
    spus = {s for t in rows["log.on_sale"] if t["order_id"] == told["order_id"] for s in t["spus"]}
    rows["inventory.ledger"] += [
        {"store": store, "at": NOON, "kind": "allot", "order_id": None, "spus": (f"{spu}|{sale}",), "on_hand": (999,)}
        | {"document": None, "locked": (0,)}
        for spu in spus
    ]


def never_set_aside(rows: Rows) -> None:
    flash_order(rows)
    rows["people.sent"] = [sent for sent in rows["people.sent"] if sent["type"] != "SetAllotment"]


def set_aside_for_ever(rows: Rows) -> None:
    cell = next(c for c in rows["inventory.cells"] if "|flash" in c["spu"])
    cell["on_hand"] = 7


def owed_for_ever(rows: Rows) -> None:
    cell = next(c for c in rows["inventory.cells"] if c["spu"].endswith("|+owed"))
    cell["on_hand"] = 1_000


def promised_twice(rows: Rows) -> None:
    issues = (move for move in rows["inventory.ledger"] if move["kind"] == "sales_issue")
    move = next(move for move in issues if any("|+incoming" in cell for cell in move["spus"]))
    kept = [n for n, cell in enumerate(move["spus"]) if "|+incoming" not in cell]
    for column in ("spus", "on_hand", "locked"):
        move[column] = tuple(move[column][n] for n in kept)


def always_in_rush(rows: Rows) -> None:
    locked_order(rows)
    rows["people.rushes"] = [{"at": NOON, "rushes": (Rush("always", "", frozenset(), NOON - LONG, NOON + LONG),)}]


def always_paused(rows: Rows) -> None:
    store = order(rows, "cancelled")["store"]
    rows["people.pauses"] = [{"at": NOON, "store": store, "until": NOON + LONG}]


MARKETING: list[tuple[str, Callable[[Rows], object]]] = [
    ("price_is_promotions", discount_forgotten),
    ("claims_are_kept", lambda rows: rows["order.claims"].remove(a_claim(rows))),
    ("claims_are_kept", lambda rows: rows["order.claims"].append({**a_claim(rows), "order_id": "o-nobody"})),
    ("claims_within_limit", more_than_allowed),
    ("refused_was_used_up", refused_for_nothing),
    ("pieces_come_from_where", shelf_for_sale),
    ("paid_first_served_first", lambda rows: coming_order(rows).update(hold_mode="lock")),
    ("allotments_are_cells", lambda rows: rows["inventory.allotments"][0].update(sold=-1)),
    ("counted_in_turn", counted_twice),
    ("denied_is_denied", denied_comes_back),
    ("rushes_are_first_paid", always_in_rush),
    ("pauses_are_kept", always_paused),
    ("goods_to_come_wait", lambda rows: coming_order(rows).update(presale=())),
    ("goods_to_come_wait", lambda rows: coming_order(rows).update(slot=None)),
    ("used_coupons_were_used", nobody_had_it),
    ("verified_on_the_click", lambda rows: rows["people.prices"].append({**rows["people.prices"][0], "price": 7})),
    ("sold_as_allotted", never_set_aside),
    ("reversed_to_the_sale", back_to_the_shelf),
    ("gone_is_gone", gone_too_early),
    ("owed_to_somebody", set_aside_for_ever),
    ("owed_to_somebody", owed_for_ever),
    ("promised_once", promised_twice),
]


def test_clean_evenings_break_no_rule(evenings: list[Rows]) -> None:
    """What the others spoil is clean to begin with."""
    assert set().union(*map(broken_rules, evenings)) == set()


@pytest.mark.parametrize(("rule", "spoil"), MARKETING, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(MARKETING)])
def test_a_broken_rule_is_named(evenings: list[Rows], rule: str, spoil: Callable[[Rows], object]) -> None:
    """Rows that were tampered with break the rule that is about them, on the first evening where that is a fault: what
    goes back of a sale that an evening ended early may lie on the shelf."""
    for clean in evenings:
        rows: Any = copy.deepcopy(clean)
        try:
            spoil(rows)
        except StopIteration:
            continue
        if rule in broken_rules(rows):
            return
    raise AssertionError("on no evening it is seen")


def test_every_rule_is_broken_here() -> None:
    """None is named that nothing breaks: no rule about orders, no witness of marketing."""
    broken = {rule for rule, _ in (*SPOILS, *COMPLAINTS, *MARKETING)}
    assert {rule.__name__ for rule in (*AT_REST, *WITNESSES)} <= broken
