"""Example data of the order's decider: a small shop, one basket, and what happens to it on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from services.order import inner
from services.order.decider import DECIDER
from services.order.promotions import NO_OFFERS
from services.order.state import Order, Phase, Product, StoreFact
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import Message, Slot
from shared.runtime.said import Record
from shared.runtime.table import Key, Outcome
from tests.deciders.scene import NOON, Scene

SHOP: dict[Key, Any] = {
    ("product", "milk"): Product(129),
    ("product", "bread"): Product(349),
    ("product", "oat"): Product(140),  # near enough to milk
    ("product", "soy"): Product(110),
    ("product", "champagne"): Product(3490),
    ("store", "s-1"): StoreFact(True),
    ("offers",): NO_OFFERS,
    ("rushes",): (),
    ("serving", "52.5", "13.4"): "s-1",
    ("within", "s-1", "52.5", "13.4"): True,
}
"""The facts that orders are decided on."""
TOTAL = 607
DOOR = ordering.Delivery(lat=52.5, lon=13.4, address="Lane 7", phone="555", note="ring twice")
SLOT = Slot(start=NOON + timedelta(hours=2), end=NOON + timedelta(hours=3))
BASKET = ordering.PlaceOrder(order_id="o-1", account="a-1", store="s-1", spus=("milk", "bread"), quantities=(2, 1))
IN_SLOT = BASKET.model_copy(update={"slot": SLOT})

RESERVED = logistics.SlotReserved(order_id="o-1", store="s-1")
NO_PLACE = logistics.SlotRefused(order_id="o-1", store="s-1", code="slot_full")
CLEARED = risk.OrderCleared(order_id="o-1")
RESTRICTED = risk.OrderRestricted(order_id="o-1")
REFERRED = risk.OrderReferred(order_id="o-1")
REFUSED = risk.OrderRefused(order_id="o-1")
HELD = inventory.StockHeld(order_id="o-1", mode="lock")
CHECKED = inventory.StockHeld(order_id="o-1", mode="on_payment")
HELD_FROM_SHELF = inventory.StockHeld(order_id="o-1", mode="on_payment", gone=("tenth",))
"""The flash sale `tenth` has no pieces left for it, and the shelf has."""
SHORT = inventory.StockShort(order_id="o-1", spus=("milk",), missing=(1,))
CLICK = ordering.PayOrder(order_id="o-1", method="tok_ok", expected_total=TOTAL)
CANCEL = ordering.CancelOrder(order_id="o-1", reason="changed my mind")
EXPIRED = inner.PaymentExpired("o-1")
VERIFIED = inventory.StockVerified(order_id="o-1")
GRANTED = ordering.SettleClaim(order_id="o-1")
GONE = inventory.StockGone(order_id="o-1", spus=("milk",), missing=(1,))
TAKEN = payment.PaymentTaken(order_id="o-1", attempt=1, amount=TOTAL, reference="cap-1", at=NOON)
DECLINED = payment.PaymentDeclined(order_id="o-1", attempt=1, code="card_declined")
GIVEN_UP = payment.PaymentGivenUp(order_id="o-1", attempt=1)
DEDUCTED = inventory.StockDeducted(order_id="o-1", document="SI-o-1", spus=("milk", "bread"), quantities=(2, 1))
SOLD_OUT = inventory.StockSoldOut(order_id="o-1", spus=("milk",), missing=(2,))
RELEASED = inventory.StockReleased(order_id="o-1")
REVERSED = inventory.IssueReversed(
    order_id="o-1",
    documents=(inventory.Paper(number="IR-o-1", kind="issue_reversal", spus=("milk", "bread"), quantities=(2, 1)),),
)
LOST = inventory.StockLost(order_id="o-1", spus=("milk",), missing=(1,))
PICKING = logistics.PickingStarted(order_id="o-1", store="s-1")
PACKED = logistics.FulfilmentPacked(order_id="o-1", store="s-1")
ON_THE_ROAD = logistics.FulfilmentHandedOver(order_id="o-1", store="s-1", courier="c-1")
DELIVERED = logistics.FulfilmentDelivered(order_id="o-1", store="s-1")
WINDOW = aftersales.OpenWindow(
    order_id="o-1", account="a-1", store="s-1", spus=("milk", "bread"), quantities=(2, 1), prices=(129, 349)
)
"""What aftersales hears when everything was delivered."""
SHUT = aftersales.WindowShut(order_id="o-1")
STRAY = payment.MoneyUnasked(order_id="o-1", amount=TOTAL, reference="cap-9", at=NOON)

STOPPED = logistics.FulfilmentStopped(order_id="o-1", store="s-1")
STOP_MISSED = logistics.StopMissed(order_id="o-1", store="s-1")
ASKED = aftersales.InterceptAsked(order_id="o-1", ticket_id="t-99")
INTERCEPTED = logistics.FulfilmentIntercepted(order_id="o-1", store="s-1")
INTERCEPT_MISSED = logistics.InterceptMissed(order_id="o-1", store="s-1")
UNDELIVERABLE = logistics.DeliveryFailed(order_id="o-1", store="s-1", reason="nobody at home")
OVERDUE = inner.GoodsOverdue("o-1")
ALL_BACK = logistics.GoodsInspected(
    order_id="o-1",
    store="s-1",
    resellable_spus=("milk", "bread"),
    resellable=(2, 1),
    damaged_spus=(),
    damaged=(),
    missing_spus=(),
    missing=(),
)
CALL = "t-o-1-1"
"""The ticket of the order's first shortage."""
ONE_SHORT = logistics.PiecesShort(order_id="o-1", store="s-1", spus=("milk",), missing=(1,))
ALL_SHORT = logistics.PiecesShort(order_id="o-1", store="s-1", spus=("milk", "bread"), missing=(2, 1))
NOBODY_CALLED = inner.ShortageUnanswered("o-1")
DROP = aftersales.DropChosen(order_id="o-1", ticket_id=CALL)
NO_THANKS = aftersales.CancelChosen(order_id="o-1", ticket_id=CALL)
SUBSTITUTE_SHORT = inventory.SubstituteShort(order_id="o-1", spus=("oat",), missing=(1,))
SUBSTITUTED = inventory.StockSubstituted(
    order_id="o-1",
    documents=(
        inventory.Paper(number="IR-o-1", kind="issue_reversal", spus=("milk",), quantities=(1,)),
        inventory.Paper(number="AD-o-1~1", kind="adjustment", spus=("milk",), quantities=(-1,)),
        inventory.Paper(number="SI-o-1~2", kind="sales_issue", spus=("oat",), quantities=(1,)),
    ),
)
REFUND_REFUSED = payment.PaymentRefundRefused(
    order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", code="charge_disputed"
)
CUSTOMER = "customer:a-1"


def substitutes(*chosen: tuple[str, int, str], ticket_id: str = CALL) -> aftersales.SubstituteChosen:
    """The customer takes these: (SPU, pieces, instead of what)."""
    return aftersales.SubstituteChosen(
        order_id="o-1",
        ticket_id=ticket_id,
        substitute_spus=tuple(spu for spu, _, _ in chosen),
        substitutes=tuple(pieces for _, pieces, _ in chosen),
        instead_of=tuple(spu for _, _, spu in chosen),
    )


OAT = substitutes(("oat", 1, "milk"))
"""One carton of oat milk for the milk that was short."""


def refunded(
    number: int, reason: str = "cancelled_by_customer", reference: str = "ref-1", amount: int = TOTAL
) -> payment.PaymentRefunded:
    """The gateway gave money back."""
    return payment.PaymentRefunded(
        order_id="o-1", refund=number, amount=amount, reference=reference, reason=reason, liable="customer", at=NOON
    )


_PAYABLE = (BASKET, CLEARED, HELD)
_PAYING = (*_PAYABLE, CLICK, VERIFIED)
_PAID = (*_PAYING, TAKEN, DEDUCTED)
_ON_THE_ROAD = (*_PAID, PICKING, PACKED, ON_THE_ROAD)
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
    Phase.SHORT: (*_PAID, PICKING, ONE_SHORT),
    Phase.SUBSTITUTING: (*_PAID, PICKING, ONE_SHORT, OAT),
    Phase.AWAITING_SHIPMENT: (*_PAID, PICKING, PACKED),
    Phase.IN_DELIVERY: _ON_THE_ROAD,
    Phase.DELIVERED: (*_ON_THE_ROAD, DELIVERED),
    Phase.STOPPING: (*_PAID, CANCEL),
    Phase.INTERCEPTING: (*_ON_THE_ROAD, ASKED),
    Phase.RETURNING: (*_ON_THE_ROAD, UNDELIVERABLE),
    Phase.CLOSED: (*_ON_THE_ROAD, DELIVERED, SHUT),
    Phase.RELEASING: (*_PAYABLE, CANCEL),
    Phase.REVERSING: (*_PAID, CANCEL, STOPPED),
    Phase.REFUNDING: (*_PAYING, CANCEL, TAKEN),
    Phase.CANCELLED: (*_PAYABLE, CANCEL, RELEASED),
    Phase.REJECTED: (BASKET, REFUSED),
}
"""One way into each phase."""


class Shop(Scene):
    """A scene in which a wish to cancel comes from the order's customer, unless the test says otherwise."""

    def when(self, message: Any, actor: str = "") -> Outcome:
        """A message comes."""
        return super().when(message, actor or (CUSTOMER if isinstance(message, ordering.CancelOrder) else ""))


def shop(*messages: Any, **prices: int) -> Shop:
    """A scene in the shop in which all this has happened; `prices` are other prices than usual."""
    scene = Shop(DECIDER, {**SHOP, **{("product", spu): Product(price) for spu, price in prices.items()}})
    for message in messages:
        scene.when(message)
    return scene


def at(phase: Phase, *, in_slot: bool = False) -> Shop:
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


def activities(said: Iterable[object]) -> list[risk.Activity]:
    """What risk hears of it."""
    return [m for m in said if isinstance(m, risk.Activity)]


def heard(said: Iterable[object]) -> list[Message | risk.Activity]:
    """What others and risk hear of it."""
    return [m for m in said if isinstance(m, Message | risk.Activity)]


def acted(deed: risk.Deed) -> risk.Activity:
    """What risk hears of the order's account at noon."""
    return risk.Activity(account="a-1", order_id="o-1", deed=deed, at=NOON)


def only(kind: type[M], said: Iterable[object]) -> M:
    """The one thing of this kind that was said."""
    (found,) = (m for m in said if isinstance(m, kind))
    return found


def kept(said: Iterable[object]) -> list[Record]:
    """What was written down of it."""
    return [m for m in said if isinstance(m, Record)]
