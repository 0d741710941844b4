"""Order: given a slot that was good at placing, when it cannot be kept any more, then nobody pays for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order import inner
from services.order.slots import SLOT_MISSED
from services.order.state import Phase
from shared.contracts import inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.decider import Windows
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, Refused
from tests.deciders.orders import (
    CANCEL,
    CLEARED,
    CLICK,
    DECLINED,
    EXPIRED,
    HELD,
    IN_SLOT,
    REFERRED,
    REFUSED,
    RELEASED,
    RESERVED,
    RESTRICTED,
    SLOT,
    VERIFIED,
    Shop,
    at,
    messages,
    only,
    order,
    shop,
)
from tests.deciders.scene import NOON

FREED = logistics.FreeSlot(order_id="o-1", store="s-1")
RELEASE = inventory.ReleaseStock(order_id="o-1", store="s-1")
UNTIL_START_S = (SLOT.start - NOON).total_seconds()


def late(phase: Phase) -> Shop:
    """The order in this phase, at the moment from which on its slot cannot be kept."""
    scene = at(phase, in_slot=True)
    scene.later(UNTIL_START_S)
    return scene


def test_refused_at_placing_within_the_lead_time() -> None:
    """The store needs so long before the slot begins; a moment earlier it can be had."""
    for early_s, code in ((1, None), (0, "slot_over")):
        scene = shop()
        scene.windows = Windows(slot_lead_s=1800)
        scene.later(UNTIL_START_S - 1800 - early_s)
        outcome = scene.when(IN_SLOT)
        assert (outcome.code if isinstance(outcome, Refused) else None) == code


@pytest.mark.parametrize(("lead_s", "window_s"), [(0, 600), (0, 86_400), (3600, 86_400), (7000, 600)])
def test_payable_no_longer_than_the_slot_can_be_kept(lead_s: float, window_s: float) -> None:
    """The shorter of both, told to the customer and kept by the timer."""
    scene = shop()
    scene.windows = Windows(payment_window_s=window_s, slot_lead_s=lead_s)
    for message in (IN_SLOT, RESERVED, CLEARED):
        scene.when(message)
    said = scene.says(HELD)
    until = min(NOON + timedelta(seconds=window_s), SLOT.start - timedelta(seconds=lead_s))
    assert order(scene).payable_until == until
    assert only(ordering.OrderPayable, said).payable_until == until
    assert only(SetTimer, said).due_at == until


def test_cancelled_when_nobody_paid_while_the_slot_could_be_kept() -> None:
    """Stock and place go back, and the reason is the slot."""
    scene = late(Phase.AWAITING_PAYMENT)
    assert messages(scene.says(EXPIRED)) == [RELEASE, FREED]
    scene.when(RELEASED)
    assert (order(scene).phase, order(scene).reason) == (Phase.CANCELLED, "slot_over")


def test_cancelled_as_unpaid_when_the_slot_could_still_be_kept() -> None:
    """The payment window was the shorter one."""
    scene = at(Phase.AWAITING_PAYMENT, in_slot=True)
    scene.later(600)
    scene.when(EXPIRED)
    assert order(scene).reason == "payment_expired"


@pytest.mark.parametrize("ended", [(), (EXPIRED,), (EXPIRED, RELEASED)])
def test_click_refused_when_the_slot_is_over(ended: tuple[Any, ...]) -> None:
    """Whether or not the timer was faster, the customer learns why, and no money is asked for."""
    scene = late(Phase.AWAITING_PAYMENT)
    for message in ended:
        scene.when(message)
    outcome = scene.when(CLICK)
    assert isinstance(outcome, Refused)
    assert outcome.code == "slot_over"


def test_click_refused_as_not_payable_when_the_order_ended_otherwise() -> None:
    """The slot is not what ended it."""
    scene = at(Phase.AWAITING_PAYMENT, in_slot=True)
    scene.when(CANCEL)
    scene.later(UNTIL_START_S)
    outcome = scene.when(CLICK)
    assert isinstance(outcome, Refused)
    assert outcome.code == "order_not_payable"


def test_no_money_asked_when_the_slot_passed_behind_the_click() -> None:
    """Looking at the stock took too long."""
    scene = late(Phase.VERIFYING)
    said = scene.says(VERIFIED)
    assert messages(said) == [RELEASE, FREED]
    assert not any(isinstance(m, payment.TakePayment) for m in said)
    assert order(scene).reason == "slot_over"


def test_no_second_click_when_the_slot_passed_behind_the_first() -> None:
    """The card was declined, slowly: the order is offered again, and its timer ends it at once."""
    scene = late(Phase.PAYING)
    said = scene.says(DECLINED)
    assert only(SetTimer, said).due_at <= scene.now
    outcome = scene.when(CLICK)
    assert isinstance(outcome, Refused)
    assert outcome.code == "slot_over"


def test_released_when_the_stock_was_held_too_late() -> None:
    """Inventory was away for long."""
    scene = late(Phase.HOLDING)
    assert messages(scene.says(HELD)) == [RELEASE, FREED]
    assert order(scene).phase is Phase.RELEASING


@pytest.mark.parametrize("word", [CLEARED, RESTRICTED, REFERRED])
def test_rejected_when_risk_spoke_too_late(word: Any) -> None:
    """Nothing was held; the place goes back."""
    scene = late(Phase.SCREENING)
    said = messages(scene.says(word))
    assert FREED in said
    assert only(ordering.OrderRejected, said).reason == "slot_over"


@pytest.mark.parametrize("word", [CLEARED, RESTRICTED, inner.SlotMissed("o-1")])
def test_rejected_when_the_review_outlasts_the_slot(word: Any) -> None:
    """By the analyst's word or by the clock: nobody needs to look at it any more."""
    scene = late(Phase.IN_REVIEW)
    said = messages(scene.says(word))
    assert risk.WithdrawScreening(order_id="o-1", account="a-1") in said
    assert FREED in said
    assert only(ordering.OrderRejected, said).reason == "slot_over"
    assert order(scene).phase is Phase.REJECTED


@pytest.mark.parametrize("word", [CLEARED, RESTRICTED, REFERRED, REFUSED])
def test_ignored_when_risk_speaks_behind_the_slot_s_clock(word: Any) -> None:
    """The order has ended: its screening was withdrawn a moment before."""
    scene = late(Phase.IN_REVIEW)
    scene.when(inner.SlotMissed("o-1"))
    assert scene.when(word) == IGNORED


def test_review_has_the_slot_s_clock() -> None:
    """Set when a person begins to look, and gone when the order goes on or ends; without a slot there is none."""
    scene = shop(IN_SLOT, RESERVED)
    assert SetTimer("o-1", SLOT_MISSED, SLOT.start) in scene.says(REFERRED)
    assert CancelTimer("o-1", SLOT_MISSED) in scene.says(CLEARED)
    assert CancelTimer("o-1", SLOT_MISSED) in at(Phase.IN_REVIEW, in_slot=True).says(CANCEL)
    assert not any(isinstance(said, SetTimer) for said in at(Phase.SCREENING).says(REFERRED))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.NEW, Phase.RESERVING_SLOT)])
def test_paid_orders_keep_their_slot(phase: Phase) -> None:
    """The timer, fired late, moves only an order that is not paid and not being paid for."""
    scene = at(phase)
    scene.when(inner.SlotMissed("o-1"))
    ended = {Phase.SCREENING: Phase.REJECTED, Phase.IN_REVIEW: Phase.REJECTED}
    unpaid = dict.fromkeys((Phase.HOLDING, Phase.AWAITING_PAYMENT, Phase.VERIFYING), Phase.RELEASING)
    assert order(scene).phase is (ended | unpaid).get(phase, phase)
