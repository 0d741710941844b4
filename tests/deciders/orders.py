"""Example data of the order's decider: a small shop, one basket, and what happens to it on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from services.order.decider import DECIDER
from services.order.state import Order, PaymentExpired, Phase, Product, StoreFact
from shared.contracts.aftersales import WindowShut
from shared.contracts.base import Message, Slot
from shared.contracts.inventory import (
    IssueReversed,
    StockDeducted,
    StockGone,
    StockHeld,
    StockReleased,
    StockShort,
    StockSoldOut,
    StockVerified,
)
from shared.contracts.logistics import (
    FulfilmentDelivered,
    FulfilmentHandedOver,
    FulfilmentPacked,
    PickingStarted,
    SlotRefused,
    SlotReserved,
)
from shared.contracts.order import CancelOrder, Delivery, PayOrder, PlaceOrder
from shared.contracts.payment import MoneyUnasked, PaymentDeclined, PaymentGivenUp, PaymentRefunded, PaymentTaken
from shared.contracts.risk import OrderCleared, OrderReferred, OrderRefused, OrderRestricted
from shared.runtime.said import Record
from shared.runtime.table import Key
from tests.deciders.scene import NOON, Scene

SHOP: dict[Key, Any] = {
    ("product", "milk"): Product(129),
    ("product", "bread"): Product(349),
    ("store", "s-1"): StoreFact(True),
    ("serving", "52.5", "13.4"): "s-1",
    ("within", "s-1", "52.5", "13.4"): True,
}
"""The facts that orders are decided on."""
TOTAL = 607
DOOR = Delivery(lat=52.5, lon=13.4, address="Lane 7", phone="555", note="ring twice")
SLOT = Slot(start=NOON + timedelta(hours=2), end=NOON + timedelta(hours=3))
BASKET = PlaceOrder(order_id="o-1", account="a-1", store="s-1", spus=("milk", "bread"), quantities=(2, 1))
IN_SLOT = BASKET.model_copy(update={"slot": SLOT})

RESERVED = SlotReserved(order_id="o-1", store="s-1")
NO_PLACE = SlotRefused(order_id="o-1", store="s-1", code="slot_full")
CLEARED = OrderCleared(order_id="o-1")
RESTRICTED = OrderRestricted(order_id="o-1")
REFERRED = OrderReferred(order_id="o-1")
REFUSED = OrderRefused(order_id="o-1")
HELD = StockHeld(order_id="o-1", mode="lock")
CHECKED = StockHeld(order_id="o-1", mode="on_payment")
SHORT = StockShort(order_id="o-1", spus=("milk",), missing=(1,))
CLICK = PayOrder(order_id="o-1", method="tok_ok", expected_total=TOTAL)
CANCEL = CancelOrder(order_id="o-1", reason="changed my mind")
EXPIRED = PaymentExpired("o-1")
VERIFIED = StockVerified(order_id="o-1")
GONE = StockGone(order_id="o-1", spus=("milk",), missing=(1,))
TAKEN = PaymentTaken(order_id="o-1", attempt=1, amount=TOTAL, reference="cap-1", at=NOON)
DECLINED = PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
GIVEN_UP = PaymentGivenUp(order_id="o-1", attempt=1)
DEDUCTED = StockDeducted(order_id="o-1", document="SI-o-1", spus=("milk", "bread"), quantities=(2, 1))
SOLD_OUT = StockSoldOut(order_id="o-1", spus=("milk",), missing=(2,))
RELEASED = StockReleased(order_id="o-1")
REVERSED = IssueReversed(order_id="o-1", document="IR-o-1", spus=("milk", "bread"), quantities=(2, 1))
PICKING = PickingStarted(order_id="o-1", store="s-1")
PACKED = FulfilmentPacked(order_id="o-1", store="s-1")
ON_THE_ROAD = FulfilmentHandedOver(order_id="o-1", store="s-1", courier="c-1")
DELIVERED = FulfilmentDelivered(order_id="o-1", store="s-1")
SHUT = WindowShut(order_id="o-1")
STRAY = MoneyUnasked(order_id="o-1", amount=TOTAL, reference="cap-9", at=NOON)


def refunded(number: int, reason: str = "cancelled_by_customer", reference: str = "ref-1") -> PaymentRefunded:
    """The gateway gave money back."""
    return PaymentRefunded(
        order_id="o-1", refund=number, amount=TOTAL, reference=reference, reason=reason, liable="customer", at=NOON
    )


_PAYABLE = (BASKET, CLEARED, HELD)
_PAYING = (*_PAYABLE, CLICK, VERIFIED)
_PAID = (*_PAYING, TAKEN, DEDUCTED)
WAY_TO: Mapping[Phase, tuple[Any, ...]] = {
    Phase.RESERVING_SLOT: (IN_SLOT,),
    Phase.SCREENING: (BASKET,),
    Phase.IN_REVIEW: (BASKET, REFERRED),
    Phase.HOLDING: (BASKET, CLEARED),
    Phase.AWAITING_PAYMENT: _PAYABLE,
    Phase.VERIFYING: (*_PAYABLE, CLICK),
    Phase.PAYING: _PAYING,
    Phase.PAYING_CANCEL_WANTED: (*_PAYING, CANCEL),
    Phase.DEDUCTING: (*_PAYING, TAKEN),
    Phase.DEDUCTING_CANCEL_WANTED: (*_PAYING, TAKEN, CANCEL),
    Phase.AWAITING_PICKING: _PAID,
    Phase.PICKING: (*_PAID, PICKING),
    Phase.AWAITING_SHIPMENT: (*_PAID, PICKING, PACKED),
    Phase.IN_DELIVERY: (*_PAID, PICKING, PACKED, ON_THE_ROAD),
    Phase.DELIVERED: (*_PAID, PICKING, PACKED, ON_THE_ROAD, DELIVERED),
    Phase.CLOSED: (*_PAID, PICKING, PACKED, ON_THE_ROAD, DELIVERED, SHUT),
    Phase.RELEASING: (*_PAYABLE, CANCEL),
    Phase.REFUNDING: (*_PAYING, CANCEL, TAKEN),
    Phase.CANCELLED: (*_PAYABLE, CANCEL, RELEASED),
    Phase.REJECTED: (BASKET, REFUSED),
}
"""One way into each phase."""


def shop(*messages: Any, **prices: int) -> Scene:
    """A scene in the shop in which all this has happened; `prices` are other prices than usual."""
    scene = Scene(DECIDER, {**SHOP, **{("product", spu): Product(price) for spu, price in prices.items()}})
    for message in messages:
        scene.when(message)
    return scene


def at(phase: Phase, *, in_slot: bool = False) -> Scene:
    """A scene with the order in this phase, by the usual way; `in_slot` makes it an order for a slot."""
    way = WAY_TO[phase]
    if in_slot and phase is not Phase.RESERVING_SLOT:
        way = (IN_SLOT, RESERVED, *way[1:])
    scene = shop(*way)
    assert order(scene).phase is phase, order(scene).phase
    return scene


def order(scene: Scene) -> Order:
    """The order as it is now."""
    state = scene.states["order", "o-1"]
    assert isinstance(state, Order)
    return state


M = TypeVar("M")


def messages(said: Iterable[object]) -> list[Message]:
    """What others hear of it."""
    return [m for m in said if isinstance(m, Message)]


def only(kind: type[M], said: Iterable[object]) -> M:
    """The one thing of this kind that was said."""
    (found,) = (m for m in said if isinstance(m, kind))
    return found


def kept(said: Iterable[object]) -> list[Record]:
    """What was written down of it."""
    return [m for m in said if isinstance(m, Record)]
