"""Promotions on an order's way: what the customer saw is what is paid, or is asked anew; and free is free."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from services.order.promotions import Kind, Promotion
from services.order.state import Paper, Phase
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX
from shared.runtime.table import Moved
from tests.deciders import orders
from tests.deciders.orders import BASKET, CANCEL, SHUT, only
from tests.deciders.prices import promotion
from tests.deciders.scene import NOON
from tests.deciders.street import Street

MILK, BREAD = 129, 349
HALF = promotion(Kind.PERCENT, "half", value=50, spus=frozenset({"milk"}))
QUARTER = promotion(Kind.PERCENT, "quarter", value=25)
ALL_FREE = promotion(Kind.PERCENT, "free", value=100)
OFF = promotion(Kind.AMOUNT_OFF, "off", value=50, min_total=300)
BUNDLE = promotion(Kind.BUY_N_PAY_M, "bundle", n=3, m=2)
CODE = promotion(Kind.COUPON, "code", value=100, per_account=1)


def payable(*promotions: Promotion, coupons: tuple[str, ...] = (), **quantities: int) -> Street:
    """An order that can be paid."""
    street = Street(promotions)
    assert not street.places("o-1", *coupons, **quantities)
    street.rests()
    assert street.order("o-1").phase is Phase.AWAITING_PAYMENT
    return street


def click(street: Street, total: int | None = None) -> tuple[str, int]:
    """The customer clicks on what the order shows; where it stands then."""
    assert not street.clicks("o-1", total)
    street.rests()
    return street.stands("o-1")


def names(street: Street) -> list[str]:
    """The promotions in the order's price."""
    return [one.promotion for one in street.order("o-1").discounts.applied]


# -- the one rule, seen on an order ------------------------------------------------------------------------------------


def test_best_of_a_line_then_one_of_the_total_then_coupons() -> None:
    """Overlapping promotions in their documented order, each over what is left."""
    street = payable(QUARTER, HALF, BUNDLE, OFF, CODE, coupons=("code",), milk=3, bread=1)
    milk, bread = 3 * MILK - 194, BREAD - 87  # half of three; a quarter of one
    assert names(street) == ["half", "quarter", "off", "code"]
    assert street.order("o-1").total == milk + bread - 50 - 100
    assert sum(street.order("o-1").totals()) == street.order("o-1").total


def test_equal_promotions_apply_by_id_and_do_not_combine() -> None:
    """Two contradictory halves: the one whose id comes first, whichever was written first."""
    twin = replace(HALF, id="another")
    for written in ((HALF, twin), (twin, HALF)):
        street = payable(*written, milk=2)
        assert (names(street), street.order("o-1").total) == (["another"], MILK)


def test_minimum_is_of_what_is_left() -> None:
    """Half off the line comes first, and the rest is under the minimum."""
    assert names(payable(OFF, milk=3)) == ["off"]
    assert names(payable(OFF, HALF, milk=3)) == ["half"]


def test_amount_over_the_total_leaves_nothing_to_pay() -> None:
    """Never less than nothing; the second of two coupons then takes nothing off, and the order is told so."""
    most, second = promotion(Kind.COUPON, "most", value=MONEY_MAX), promotion(Kind.COUPON, "other", value=1)
    assert payable(most, coupons=("most",)).stands("o-1") == ("awaiting_payment", 0)
    assert Street([most, second]).places("o-1", "most", "other") == "coupon_does_not_apply"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, ""),
        ({"account": "a-1"}, ""),
        ({"account": "a-2"}, "coupon_unknown"),
        ({"ends_at": NOON}, "coupon_not_valid"),
        ({"starts_at": NOON + timedelta(seconds=1)}, "coupon_not_valid"),
        ({"stores": frozenset({"s-2"})}, "coupon_not_valid"),
        ({"spus": frozenset({"bread"})}, "coupon_does_not_apply"),
        ({"min_total": 2 * MILK + 1}, "coupon_does_not_apply"),
        ({"min_total": 2 * MILK}, ""),
        ({"value": 0}, "coupon_does_not_apply"),
    ],
)
def test_coupon_is_looked_at(changed: dict[str, Any], code: str) -> None:
    """Each reason has its code; nothing is placed without a coupon that was named."""
    street = Street([replace(CODE, **changed)])
    assert street.places("o-1", "code") == code
    assert bool(street.orders()) is not bool(code)


def test_coupon_that_there_is_not() -> None:
    """The name of an automatic promotion is no code either."""
    assert Street([HALF]).places("o-1", "half") == "coupon_unknown"


@pytest.mark.parametrize("expected", [MILK - 1, MILK + 1, 2 * MILK])
def test_expected_total_off_by_a_cent_is_refused(expected: int) -> None:
    """The total is the one after all discounts."""
    street = Street([HALF])
    basket = ordering.PlaceOrder(
        order_id="o-1", account="a-1", store="s-1", spus=("milk",), quantities=(2,), expected_total=expected
    )
    assert not isinstance(street.hears(basket), Moved)
    assert isinstance(street.hears(basket.model_copy(update={"expected_total": MILK})), Moved)


# -- on the click ------------------------------------------------------------------------------------------------------


def test_promotion_ended_before_the_click() -> None:
    """The order comes back with the new total, within the same window, and pays when that is confirmed."""
    street = payable(HALF, milk=2)
    until = street.order("o-1").payable_until
    street.writes(replace(HALF, ends_at=NOON))
    assert click(street) == ("awaiting_payment", 2 * MILK)
    assert (street.order("o-1").payable_until, street.takes("o-1")) == (until, [])
    assert street.clicks("o-1", MILK) == "total_changed"
    assert click(street) == ("awaiting_picking", 2 * MILK)


def test_promotion_ended_while_the_stock_was_verified() -> None:
    """What counts is when the answer comes: money has not moved yet."""
    street = payable(HALF, milk=2)
    street.clicks("o-1")
    street.arrives(("o-1", "shop"))
    street.scene.later(3600)
    street.rests()
    assert (street.stands("o-1"), street.takes("o-1")) == (("awaiting_payment", 2 * MILK), [])


def test_promotion_began_before_the_click() -> None:
    """A lower price is another price: the customer sees it first."""
    street = payable(milk=2)
    street.writes(HALF)
    assert click(street) == ("awaiting_payment", MILK)
    assert click(street) == ("awaiting_picking", MILK)


def test_promotion_changed_between() -> None:
    """The newest revision counts, and the order keeps which."""
    street = payable(HALF, milk=2)
    street.writes(replace(HALF, revision=2, value=40))
    assert click(street) == ("awaiting_payment", 2 * MILK - 103)
    assert [one.revision for one in street.order("o-1").discounts.applied] == [2]


def test_price_changed_back_and_forth() -> None:
    """Only the total that the order shows can be clicked on, and it is paid only if it is still true."""
    street = payable(HALF, milk=2)
    street.costs(milk=150)
    assert click(street) == ("awaiting_payment", 150)
    street.costs(milk=MILK)
    assert street.clicks("o-1", MILK) == "total_changed"
    assert click(street) == ("awaiting_payment", MILK)
    assert click(street) == ("awaiting_picking", MILK)
    assert street.takes("o-1") == [MILK]


def test_same_total_by_other_ways_stands_as_it_was() -> None:
    """One promotion ended and its twin began: the customer pays what he saw, for the reason that he saw."""
    street = payable(HALF, milk=2)
    street.writes(replace(HALF, ends_at=NOON), replace(HALF, id="twin"))
    assert click(street) == ("awaiting_picking", MILK)
    assert names(street) == ["half"]


def test_what_was_paid_for_each_piece_is_told_at_the_door() -> None:
    """A line at two prices a cent apart, the dearer pieces first: they come to what was paid."""
    street = payable(replace(OFF, min_total=0), milk=3, bread=1)
    click(street)
    for message in (orders.PICKING, orders.PACKED, orders.ON_THE_ROAD, orders.DELIVERED):
        street.hears(message)
    window = only(aftersales.OpenWindow, street.heard)
    lots = list(zip(window.spus, window.quantities, window.prices, strict=True))
    assert lots == [("milk", 1, 121), ("milk", 2, 120), ("bread", 1, 325)]
    assert sum(n * price for _, n, price in lots) == street.order("o-1").total == 3 * MILK + BREAD - 50


# -- nothing to pay ----------------------------------------------------------------------------------------------------


def papers(said: list[object], kind: str) -> list[object]:
    """What the order's page shows."""
    return [one for one in said if isinstance(one, Paper) and one.kind == kind]


def test_free_order_goes_the_way_of_any() -> None:
    """Clicked on, paid with nothing, delivered and closed; the page shows no payment of nothing."""
    street = payable(ALL_FREE, milk=2)
    assert street.stands("o-1") == ("awaiting_payment", 0)
    assert click(street) == ("awaiting_picking", 0)
    assert (street.takes("o-1"), street.order("o-1").paid) == ([0], 0)
    for message in (orders.PICKING, orders.PACKED, orders.ON_THE_ROAD, orders.DELIVERED, SHUT):
        street.hears(message)
    assert street.stands("o-1") == ("closed", 0)
    assert only(aftersales.OpenWindow, street.heard).prices == (0,)
    assert only(ordering.OrderClosed, street.heard)


def test_free_order_cancelled_after_its_payment() -> None:
    """Nothing is asked back and given back, the order ends, and it counts as a cancel after payment."""
    street = payable(ALL_FREE, milk=2)
    click(street)
    assert not street.cancels("o-1")
    street.rests()
    order = street.order("o-1")
    assert (order.phase, order.given_back, order.refunded, order.reference) == (Phase.CANCELLED, 0, 0, "cap-o-1")
    refund = only(payment.RefundPayment, street.heard)
    assert (refund.amount, refund.reference) == (0, "cap-o-1")


def test_nothing_paid_or_back_needs_no_paper() -> None:
    """Payments and refunds of nothing are not shown, and risk hears of a cancel after payment all the same."""
    scene = orders.shop(BASKET, orders.CLEARED, orders.HELD)
    scene.states["offers",] = Street([ALL_FREE]).scene.states["offers",]
    scene.when(orders.CLICK)
    scene.when(orders.VERIFIED)
    scene.when(orders.CLICK.model_copy(update={"expected_total": 0}))
    scene.when(orders.VERIFIED)
    assert papers(scene.says(orders.TAKEN.model_copy(update={"amount": 0})), "payment") == []
    for message in (orders.DEDUCTED, CANCEL, orders.STOPPED, orders.REVERSED):
        said = scene.says(message)
    assert only(payment.RefundPayment, said).amount == 0
    said = scene.says(orders.refunded(1, amount=0))
    assert papers(said, "refund") == []
    assert only(risk.Activity, said).deed == "cancelled_after_payment"
    assert orders.order(scene).phase is Phase.CANCELLED


def test_rest_of_nothing_is_asked_back_when_all_that_was_paid_is_dropped() -> None:
    """The free milk is left when the bread is short; the order is called off, and its end waits for no money."""
    street = payable(replace(ALL_FREE, spus=frozenset({"milk"})), milk=1, bread=1)
    assert click(street) == ("awaiting_picking", BREAD)
    short = logistics.PiecesShort(order_id="o-1", store="s-1", spus=("bread",), missing=(1,))
    for message in (orders.PICKING, short, orders.NOBODY_CALLED):
        street.hears(message)
    street.rests()
    assert street.order("o-1").refunded == BREAD
    street.cancels("o-1")
    street.rests()
    assert street.order("o-1").phase is Phase.CANCELLED
    assert [m.amount for m in street.heard if isinstance(m, payment.RefundPayment)] == [BREAD, 0]


def test_coupon_of_a_free_order_is_claimed_like_any() -> None:
    """It costs nothing, and is one order's."""
    street = payable(replace(CODE, value=MONEY_MAX), coupons=("code",), milk=2)
    assert click(street) == ("awaiting_picking", 0)
    assert only(ordering.ClaimPromotions, street.heard).claims[0].promotion == "code"
    street.cancels("o-1")
    street.rests()
    assert only(ordering.ReturnPromotions, street.heard).promotions == ("code",)


def test_substitute_of_a_discounted_piece_costs_about_what_that_does_without() -> None:
    """Half the price was paid for the milk: oat milk is near enough to milk, not to half of it, and carries the half.
    A second substitute is near enough to the first."""
    street = payable(HALF, milk=2)
    click(street)
    street.hears(orders.PICKING)
    for n, (old, new) in enumerate((("milk", "oat"), ("oat", "soy")), 1):
        street.hears(logistics.PiecesShort(order_id="o-1", store="s-1", spus=(old,), missing=(1,)))
        street.costs(soy=150)
        street.hears(orders.substitutes((new, 1, old), ticket_id=f"t-o-1-{n}"))
        assert street.order("o-1").phase is Phase.SUBSTITUTING
        street.hears(orders.SUBSTITUTED)
    lots = [(lot.spu, lot.quantity, lot.price) for lot in street.order("o-1").lots]
    assert lots == [("milk", 1, 65), ("soy", 1, 64)]


def test_order_takes_no_more_lots_than_can_be_told() -> None:
    """Lines at two prices and a substitute for each: somebody calls again, rather than that nobody hears of the
    delivery."""
    spus = [f"spu-{n}" for n in range(199)]
    street = Street([promotion(Kind.AMOUNT_OFF, "off", value=2 * 199)], **dict.fromkeys((*spus, "oat"), 100))
    assert not street.places("o-1", **dict.fromkeys(spus, 3))
    street.rests()
    click(street)
    street.hears(orders.PICKING)
    street.hears(logistics.PiecesShort(order_id="o-1", store="s-1", spus=tuple(spus), missing=(1,) * 199))
    street.hears(orders.substitutes(*(("oat", 1, spu) for spu in spus)))
    assert street.order("o-1").phase is Phase.SHORT


def test_replacement_of_a_free_piece_moves_no_money() -> None:
    """It can be held and sent like any."""
    street = payable(ALL_FREE, milk=2)
    click(street)
    street.delivers_and_replaces("oat", 0)
    assert only(inventory.HoldStock, [m for m in street.heard if m.subject == "o-1~r1"]).spus == ("oat",)
    assert street.order("o-1~r1").phase is Phase.HOLDING
