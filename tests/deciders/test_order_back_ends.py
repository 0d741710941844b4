"""Every phase has a way to an end, and every step of every way is one that the order really takes.

The drawings promise it of the table; here the messages are played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from larder.ways import way_to_end
from services.order import state as sale
from services.order.decider import SALES_ORDER
from services.order.state import ENDS, Phase
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts.order import PayOrder
from shared.runtime.table import Moved, To
from tests.deciders import orders
from tests.deciders.orders import WAY_TO, Shop, at, order, refunded, shop

OTHER_PRICE = orders.VERIFIED.model_copy()
"""Plays StockVerified after the price has changed."""
CONCRETE: dict[type, Any] = {
    sale.BasketPriced: orders.BASKET,
    sale.BasketPricedForSlot: orders.IN_SLOT,
    logistics.SlotReserved: orders.RESERVED,
    logistics.SlotRefused: orders.NO_PLACE,
    risk.OrderCleared: orders.CLEARED,
    risk.OrderRestricted: orders.RESTRICTED,
    risk.OrderReferred: orders.REFERRED,
    risk.OrderRefused: orders.REFUSED,
    inventory.StockHeld: orders.HELD,
    inventory.StockShort: orders.SHORT,
    inventory.StockGone: orders.GONE,
    inventory.StockLost: orders.LOST,
    inventory.StockDeducted: orders.DEDUCTED,
    inventory.StockSoldOut: orders.SOLD_OUT,
    inventory.StockReleased: orders.RELEASED,
    inventory.IssueReversed: orders.REVERSED,
    inventory.StockSubstituted: orders.SUBSTITUTED,
    inventory.SubstituteShort: orders.SUBSTITUTE_SHORT,
    PayOrder: orders.CLICK,
    sale.TotalHolds: orders.VERIFIED,
    sale.TotalChanged: OTHER_PRICE,
    sale.PaymentExpired: orders.EXPIRED,
    sale.CancelWanted: orders.CANCEL,
    payment.PaymentTaken: orders.TAKEN,
    payment.PaymentDeclined: orders.DECLINED,
    payment.PaymentGivenUp: orders.GIVEN_UP,
    payment.PaymentRefunded: lambda scene: refunded(order(scene).closing_refund),
    payment.PaymentRefundRefused: lambda scene: orders.REFUND_REFUSED.model_copy(
        update={"refund": order(scene).closing_refund}
    ),
    logistics.PickingStarted: orders.PICKING,
    logistics.PiecesShort: orders.ONE_SHORT,
    logistics.FulfilmentPacked: orders.PACKED,
    logistics.FulfilmentHandedOver: orders.ON_THE_ROAD,
    logistics.FulfilmentDelivered: orders.DELIVERED,
    logistics.FulfilmentStopped: orders.STOPPED,
    logistics.FulfilmentIntercepted: orders.INTERCEPTED,
    logistics.DeliveryFailed: orders.UNDELIVERABLE,
    logistics.GoodsInspected: orders.ALL_BACK,
    sale.GoodsOverdue: orders.OVERDUE,
    sale.ShortageSettled: orders.NOBODY_CALLED,
    sale.NothingLeft: orders.NOBODY_CALLED,
    sale.SubstituteFits: orders.OAT,
    aftersales.CancelChosen: orders.NO_THANKS,
    aftersales.InterceptAsked: orders.ASKED,
    aftersales.WindowShut: orders.SHUT,
}
"""The message that each column is read from."""
OTHER_WAYS: dict[tuple[Phase, type], tuple[Any, ...]] = {
    (Phase.SHORT, sale.NothingLeft): (*WAY_TO[Phase.PICKING], orders.ALL_SHORT),
    (Phase.RELEASING, inventory.IssueReversed): (*WAY_TO[Phase.STOPPING], orders.STOPPED),
}
"""Steps that not every order in the phase takes, with the way of one that does."""

STEPS = [
    (phase, message, cell.phase)
    for phase, message, cell in SALES_ORDER.cells()
    if isinstance(cell, To) and cell.phase != phase
]


def play(scene: Shop, message: type) -> None:
    """The message of this column comes."""
    concrete = CONCRETE[message]
    if message is sale.TotalChanged:
        scene.states["product", "milk"] = sale.Product(1)
    outcome = scene.when(concrete(scene) if isinstance(concrete, Callable) else concrete)  # type: ignore[arg-type]
    assert isinstance(outcome, Moved), (message, outcome)


@pytest.mark.parametrize(
    ("phase", "message", "target"), STEPS, ids=[f"{phase}-{message.__name__}" for phase, message, _ in STEPS]
)
def test_every_step_leads_on_to_an_end(phase: Phase, message: type, target: Phase) -> None:
    """The order takes the step that the table shows, and from there the shortest way to an end. At the end nothing is
    owed: what was paid is asked back, or delivered."""
    if phase is Phase.NEW:
        scene = shop()
    else:
        scene = shop(*OTHER_WAYS[phase, message]) if (phase, message) in OTHER_WAYS else at(phase)
    play(scene, message)
    assert order(scene).phase is target
    came_from_issue = message in (inventory.StockDeducted, logistics.FulfilmentStopped)
    if target is Phase.RELEASING and came_from_issue:
        play(scene, inventory.IssueReversed)
    for step in way_to_end(order(scene).phase) or ():
        play(scene, step.message)
        assert order(scene).phase is step.phase
    after = order(scene)
    assert after.phase in ENDS
    if after.phase is not Phase.CLOSED:
        assert after.reason
        assert after.given_back == (after.total if after.reference else 0)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_shortest_way(phase: Phase) -> None:
    """As the page in docs shows it."""
    way = way_to_end(phase)
    assert way is not None
    assert bool(way) is (phase not in ENDS)


def test_every_way_is_played() -> None:
    """No phase is left out above."""
    assert {phase for phase, _, _ in STEPS} == set(Phase) - ENDS
