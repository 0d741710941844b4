"""What an account may have only so often is counted by one writer, whatever its orders do at once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.order import inner
from services.order.promotions import Kind
from services.order.state import ENDS, Phase
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.runtime.table import IGNORED, NoCell
from tests.deciders.chain import handed_over
from tests.deciders.prices import promotion
from tests.deciders.scene import NOON
from tests.deciders.street import OVER, UNPAID, Street

WELCOME = promotion(Kind.COUPON, "welcome", value=50, per_account=1)
TWICE = promotion(Kind.PERCENT, "twice", value=10, per_account=2)
TENTH = promotion(Kind.FLASH, "tenth", value=99, per_account=3, spus=frozenset({"oat"}))
MILK = 129
FULL, LESS = 2 * MILK, 2 * MILK - 50


def clicked(*order_ids: str) -> Street:
    """Orders with the same coupon, on each of which the customer has clicked; inventory has answered each."""
    street = Street([WELCOME])
    for order_id in order_ids:
        assert not street.places(order_id, "welcome")
        street.rests()
    for order_id in order_ids:
        assert not street.clicks(order_id)
        street.arrives((order_id, "shop"))
        street.arrives(("shop", order_id))
    return street


def test_two_orders_clicked_at_once_are_one_discount() -> None:
    """Whichever the account hears first; the other comes back with the price without it, and pays that when it is
    confirmed."""
    for first, second in permutations(("o-1", "o-2")):
        street = clicked("o-1", "o-2")
        for order_id in (first, second):
            street.arrives((order_id, "account"))
        street.rests()
        assert street.stands(first) == ("awaiting_picking", LESS)
        assert street.stands(second) == ("awaiting_payment", FULL)
        assert street.takes(second) == []
        assert street.clicks(second, LESS) == "total_changed"
        assert street.clicks(second) == ""
        street.rests()
        assert street.stands(second) == ("awaiting_picking", FULL)
        assert street.takes(second) == [FULL]
        assert street.claims("welcome") == {first: 1}


def test_coupon_of_a_cancelled_order_can_be_used_again() -> None:
    """Given back when it ends before delivery: an order placed then may have it, one that was refused it may not."""
    street = clicked("o-1", "o-2")
    street.rests()
    assert street.places("o-3", "welcome") == "coupon_used"
    street.cancels("o-1")
    street.rests()
    assert (street.stands("o-1")[0], street.claims("welcome")) == ("cancelled", {})
    assert street.places("o-3", "welcome") == ""
    street.rests()
    for order_id in ("o-2", "o-3"):
        street.clicks(order_id)
        street.rests()
    assert (street.stands("o-2"), street.stands("o-3")) == (("awaiting_picking", FULL), ("awaiting_picking", LESS))


def test_coupon_of_a_delivered_order_is_used_for_good() -> None:
    """Delivered is delivered."""
    street = clicked("o-1")
    street.rests()
    for message in _road("o-1", delivered=True):
        street.hears(message)
    street.rests()
    assert street.claims("welcome") == {"o-1": 1}
    assert street.places("o-2", "welcome") == "coupon_used"


def test_coupon_of_an_undelivered_order_is_given_back() -> None:
    """Nobody was at home: the goods came back, and the coupon with them."""
    street = clicked("o-1")
    street.rests()
    for message in _road("o-1", delivered=False):
        street.hears(message)
    street.rests()
    assert (street.stands("o-1")[0], street.claims("welcome")) == ("cancelled", {})


@pytest.mark.parametrize("till", ["declined", "given_up"])
def test_order_without_money_keeps_its_claim_until_it_ends(till: str) -> None:
    """It may be paid yet, at the same price, and is counted once."""
    street = clicked("o-1")
    street.till = till
    street.rests()
    assert (street.stands("o-1"), street.claims("welcome")) == (("awaiting_payment", LESS), {"o-1": 1})
    street.clicks("o-1")
    street.rests()
    assert street.claims("welcome") == {"o-1": 1}
    street.hears(inner.PaymentExpired("o-1"))
    street.rests()
    assert (street.stands("o-1")[0], street.claims("welcome")) == ("cancelled", {})


def test_cancelled_while_the_account_counts() -> None:
    """The answer comes too late for the order, and what it claimed is given back on the same link."""
    for answer_first in (True, False):
        street = clicked("o-1")
        if answer_first:
            street.arrives(("o-1", "account"))
        street.cancels("o-1")
        street.rests()
        assert (street.stands("o-1")[0], street.claims("welcome")) == ("cancelled", {})


def test_late_answers_change_nothing() -> None:
    """A zombie's word to an order that has gone on, or is over."""
    street = clicked("o-1")
    street.rests()
    before = street.order("o-1")
    for late in (ordering.SettleClaim(order_id="o-1"), ordering.SettleClaim(order_id="o-1", denied=("welcome",))):
        assert street.scene.when(late) == IGNORED
    street.cancels("o-1")
    street.rests()
    assert street.scene.when(ordering.SettleClaim(order_id="o-1")) == IGNORED
    assert before.phase is Phase.AWAITING_PICKING


def test_answer_to_an_order_that_never_was_is_parked() -> None:
    """Nobody claims for an order that there is not."""
    with pytest.raises(NoCell):
        Street().scene.when(ordering.SettleClaim(order_id="o-9"))


def test_asked_twice_it_is_counted_once() -> None:
    """And given back twice it is given back once."""
    street = clicked("o-1")
    (claim,) = (m for m in street.heard if isinstance(m, ordering.ClaimPromotions))
    for _ in range(2):
        (answer,) = (m for m in street.scene.says(claim) if isinstance(m, ordering.SettleClaim))
        assert (answer.denied, street.claims("welcome")) == ((), {"o-1": 1})
    back = ordering.ReturnPromotions(order_id="o-1", account="a-1", promotions=("welcome",))
    assert street.scene.says(back)
    assert street.scene.says(back) == []
    assert street.claims("welcome") == {}


def test_coupon_that_ended_before_the_click_is_in_no_price_and_claimed_by_nobody() -> None:
    """The order comes back with the new total, and the coupon waits for one that it is valid for."""
    street = Street([WELCOME])
    street.places("o-1", "welcome")
    street.rests()
    street.writes(replace(WELCOME, ends_at=NOON))
    street.clicks("o-1")
    street.rests()
    assert (street.stands("o-1"), street.claims("welcome")) == (("awaiting_payment", FULL), {})
    street.clicks("o-1")
    street.rests()
    assert (street.stands("o-1"), street.claims("welcome")) == (("awaiting_picking", FULL), {})


def test_coupon_that_ended_after_a_failed_payment_is_given_back_on_the_click() -> None:
    """Another order of the account may have it meanwhile, if it is valid again by then."""
    street = clicked("o-1")
    street.till = "declined"
    street.rests()
    street.writes(replace(WELCOME, ends_at=NOON))
    street.till = "taken"
    for _ in range(2):
        street.clicks("o-1")
        street.rests()
    assert (street.stands("o-1"), street.claims("welcome")) == (("awaiting_picking", FULL), {})


def test_all_of_the_claims_or_none() -> None:
    """Of two coupons one was used elsewhere: the order comes back without that one, and pays with the other."""
    street = clicked("o-1")
    street.rests()
    other = promotion(Kind.COUPON, "other", value=20, per_account=1)
    street.cancels("o-1")
    street.rests()
    street.writes(WELCOME, other)
    for order_id, coupons in (("o-2", ("welcome",)), ("o-3", ("welcome", "other"))):
        assert not street.places(order_id, *coupons)
        street.rests()
    for order_id in ("o-2", "o-3"):
        street.clicks(order_id)
        street.rests()
    assert street.stands("o-3") == ("awaiting_payment", FULL - 20)
    assert street.claims("other") == {}
    street.clicks("o-3")
    street.rests()
    assert street.stands("o-3") == ("awaiting_picking", FULL - 20)
    assert street.claims("other") == {"o-3": 1}


def test_promotion_with_a_limit_is_counted_by_orders() -> None:
    """Twice for an account; the third order is placed without it, and was told so in its price."""
    street = Street([TWICE])
    for order_id in ("o-1", "o-2", "o-3"):
        assert not street.places(order_id)
        street.rests()
        street.clicks(order_id)
        street.rests()
    assert [street.stands(f"o-{n}")[1] for n in (1, 2, 3)] == [FULL - 26, FULL - 26, FULL]
    assert street.order("o-3").discounts.denied == ("twice",)
    assert street.claims("twice") == {"o-1": 1, "o-2": 1}


def test_flash_sale_is_counted_by_pieces() -> None:
    """Three pieces for an account: two and two are two too many by one, so the second order has none of them."""
    street = Street([TENTH])
    for order_id in ("o-1", "o-2"):
        street.places(order_id, oat=2)
        street.rests()
    for order_id in ("o-1", "o-2"):
        street.clicks(order_id)
        street.rests()
    assert (street.stands("o-1"), street.stands("o-2")) == (("awaiting_picking", 198), ("awaiting_payment", 280))
    assert street.claims("tenth") == {"o-1": 2}
    street.places("o-3", oat=1)
    street.rests()
    street.clicks("o-3")
    street.rests()
    assert (street.stands("o-3"), street.claims("tenth")) == (("awaiting_picking", 99), {"o-1": 2, "o-3": 1})


def _road(order_id: str, *, delivered: bool) -> list[Any]:
    about: dict[str, Any] = {"order_id": order_id, "store": "s-1"}
    way = [logistics.PickingStarted(**about), logistics.FulfilmentPacked(**about), handed_over(**about)]
    if delivered:
        return [*way, logistics.FulfilmentDelivered(**about)]
    nothing: dict[str, Any] = dict.fromkeys(("damaged_spus", "damaged", "missing_spus", "missing"), ())
    back = logistics.GoodsInspected(**about, resellable_spus=("milk",), resellable=(2,), **nothing)
    return [*way, logistics.DeliveryFailed(**about, reason="nobody at home"), back]


# -- whatever comes first ----------------------------------------------------------------------------------------------

LIMITS = {one.id: one.per_account for one in (WELCOME, TWICE, TENTH)}
IDS = ("o-1", "o-2", "o-3")


def look(street: Street) -> None:
    """Must be true at every moment."""
    used: Counter[str] = Counter()
    for order in street.orders().values():
        assert sum(order.totals()) == order.total
        assert not {one.promotion for one in order.discounts.applied} & set(order.discounts.denied)
        if order.phase in UNPAID | OVER:
            continue
        for one in order.discounts.applied:
            if one.limit:
                used[one.promotion] += one.units
                assert street.claims(one.promotion).get(order.order_id) == one.units, "paid for, and not claimed"
    for promotion_id, limit in LIMITS.items():
        assert used[promotion_id] <= sum(street.claims(promotion_id).values()) <= limit


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_limits_hold_whatever_comes_first(data: st.DataObject) -> None:
    """Orders are placed, clicked, cancelled, expire and are declined; promotions and prices change; and every message
    takes its time. In the end the account counts what its orders have, and nothing of those that are over."""
    promotions = {one.id: one for one in (WELCOME, TWICE, TENTH)}
    street = Street(promotions.values())
    shown: dict[str, int] = {}
    for _ in range(data.draw(st.integers(5, 40), label="steps")):
        order_id = data.draw(st.sampled_from(IDS), label="order")
        here = street.orders().get(order_id)
        step = data.draw(
            st.sampled_from(["go", "go", "go", "go", "click", "click", "cancel", "expire", "till", "stock", "change"])
        )
        if here is None:
            coupons = data.draw(st.sampled_from([(), ("welcome",)]), label="coupons")
            code = street.places(order_id, *coupons, milk=2, oat=data.draw(st.integers(1, 3), label="oat"))
            assert code in ("", "coupon_used", "coupon_not_valid")
        elif step == "go" and street.links():
            street.arrives(data.draw(st.sampled_from(street.links()), label="link"))
        elif step == "click":
            total = here.total
            if not street.clicks(order_id):
                shown[order_id] = total
        elif step == "cancel" and data.draw(st.booleans()):
            street.cancels(order_id)
        elif step == "expire" and here.payable_until:
            street.hears(inner.PaymentExpired(order_id))
        elif step == "till":
            street.till = data.draw(st.sampled_from(["taken", "declined", "given_up"]), label="till")
        elif step == "stock":
            street.stock = data.draw(st.sampled_from(["there", "there", "gone", "sold_out"]), label="stock")
            street.from_shelf = data.draw(st.sampled_from([(), ("tenth",)]), label="from shelf")
        elif step == "change":
            one = promotions[data.draw(st.sampled_from(sorted(promotions)), label="changed")]
            ends_at = data.draw(st.sampled_from([NOON, NOON + timedelta(hours=1)]), label="ends")
            promotions[one.id] = replace(one, revision=one.revision + 1, ends_at=ends_at)
            street.writes(*promotions.values())
            street.costs(milk=data.draw(st.sampled_from([129, 130])))
        look(street)
        for paid_id, amounts in ((one, street.takes(one)) for one in shown):
            assert not amounts or amounts[-1] == shown[paid_id], "no money but what was clicked on"
    street.rests()
    look(street)
    alive = {one: order for one, order in street.orders().items() if order.phase not in ENDS}
    for promotion_id in LIMITS:
        held = {one for one, order in alive.items() if promotion_id in order.discounts.claimed}
        assert set(street.claims(promotion_id)) <= held
    for order_id, order in alive.items():
        event(str(order.phase))
        code = street.cancels(order_id)
        assert not code, (code, order.phase)
    street.rests()
    assert {str(order.phase) for order in street.orders().values()} <= {"cancelled", "rejected"}
    assert not any(street.claims(promotion_id) for promotion_id in LIMITS)
