"""Steps of an order by the table's columns: which message comes when the drawing shows one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.order import state as sale
from services.order.policy import CANCEL_POLICY, Actor, Policy
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts.base import MONEY_MAX
from shared.contracts.order import PayOrder
from shared.runtime.table import Moved
from tests.deciders import orders
from tests.deciders.orders import Shop, order, refunded

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
    sale.TotalOutgrown: OTHER_PRICE,
    sale.SlotMissed: sale.SlotMissed("o-1"),
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
    sale.CancelByTicket: orders.ASKED,
    aftersales.WindowShut: orders.SHUT,
}
"""The message that each column is read from."""


def play(scene: Shop, message: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of this column comes."""
    concrete = CONCRETE[message]
    if message is sale.TotalChanged:
        scene.states["product", "milk"] = sale.Product(1)
    if message is sale.TotalOutgrown:
        scene.states["product", "milk"] = sale.Product(MONEY_MAX)
    if message is sale.CancelByTicket:
        monkeypatch.setitem(CANCEL_POLICY, order(scene).phase, dict.fromkeys(Actor, Policy.TICKET))
    outcome = scene.when(concrete(scene) if isinstance(concrete, Callable) else concrete)  # type: ignore[arg-type]
    assert isinstance(outcome, Moved), (message, outcome)
