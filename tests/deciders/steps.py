"""Steps of an order by the table's columns: which message comes when the drawing shows one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from services.order import inner
from services.order import state as sale
from services.order.policy import CANCEL_POLICY, Actor, Policy
from services.order.promotions import Kind, Offers, Promotion, Rush
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import MONEY_MAX
from shared.runtime.table import Key, Moved
from tests.deciders import orders
from tests.deciders.orders import Shop, order, refunded
from tests.deciders.scene import NOON

OTHER_PRICE = orders.VERIFIED.model_copy()
"""Plays StockVerified after the price has changed."""
FLASH = Promotion("tenth", 1, Kind.FLASH, NOON, NOON + timedelta(hours=1), 99, spus=frozenset({"milk"}))
"""A flash sale of milk."""
FACTS: dict[type, dict[Key, Any]] = {
    inner.TotalChanged: {("product", "milk"): sale.Product(1)},
    inner.TotalOutgrown: {("product", "milk"): sale.Product(MONEY_MAX)},
    inner.FirstPaidFirst: {("rushes",): (Rush("evening", "", frozenset(), NOON, NOON + timedelta(hours=1)),)},
    inner.FlashSoldOut: {("offers",): Offers([FLASH])},
}
"""What has changed in the shop, where a message is read into this one for it."""
CONCRETE: dict[type, Any] = {
    inner.BasketPriced: orders.BASKET,
    inner.BasketPricedForSlot: orders.IN_SLOT,
    logistics.SlotReserved: orders.RESERVED,
    logistics.SlotRefused: orders.NO_PLACE,
    risk.OrderCleared: orders.CLEARED,
    inner.FirstPaidFirst: orders.CLEARED,
    risk.OrderRestricted: orders.RESTRICTED,
    risk.OrderReferred: orders.REFERRED,
    risk.OrderRefused: orders.REFUSED,
    inventory.StockHeld: orders.HELD,
    inner.HeldAtOtherTotal: orders.HELD_FROM_SHELF,
    inventory.StockShort: orders.SHORT,
    inner.FlashSoldOut: orders.SHORT,
    inventory.StockGone: orders.GONE,
    inventory.StockLost: orders.LOST,
    inventory.StockDeducted: orders.DEDUCTED,
    inventory.StockSoldOut: orders.SOLD_OUT,
    inventory.StockReleased: orders.RELEASED,
    inventory.IssueReversed: orders.REVERSED,
    inventory.StockSubstituted: orders.SUBSTITUTED,
    inventory.SubstituteShort: orders.SUBSTITUTE_SHORT,
    ordering.PayOrder: orders.CLICK,
    inner.TotalHolds: orders.VERIFIED,
    inner.ClaimGranted: orders.GRANTED,
    inner.TotalChanged: OTHER_PRICE,
    inner.TotalOutgrown: OTHER_PRICE,
    inner.SlotMissed: inner.SlotMissed("o-1"),
    inner.PaymentExpired: orders.EXPIRED,
    inner.CancelWanted: orders.CANCEL,
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
    inner.GoodsOverdue: orders.OVERDUE,
    inner.ShortageSettled: orders.NOBODY_CALLED,
    inner.NothingLeft: orders.NOBODY_CALLED,
    inner.SubstituteFits: orders.OAT,
    aftersales.CancelChosen: orders.NO_THANKS,
    aftersales.InterceptAsked: orders.ASKED,
    inner.CancelByTicket: orders.ASKED,
    aftersales.WindowShut: orders.SHUT,
}
"""The message that each column is read from."""


def play(scene: Shop, message: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of this column comes."""
    concrete = CONCRETE[message]
    scene.states.update(FACTS.get(message, {}))
    if message is inner.CancelByTicket:
        monkeypatch.setitem(CANCEL_POLICY, order(scene).phase, dict.fromkeys(Actor, Policy.TICKET))
    outcome = scene.when(concrete(scene) if isinstance(concrete, Callable) else concrete)  # type: ignore[arg-type]
    assert isinstance(outcome, Moved), (message, outcome)
