"""One canonical message of every contract, with all its fields, and the script that keeps them on disk.

    python -m tests.contracts.controls      writes tests/contracts/samples/<Message>.json

A sample on disk is what may be waiting in a log, an outbox or a table of parked messages. Written anew, it says that
the wire has changed: look at the difference, and decide whether yesterday's messages can still be read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.contracts.aftersales import WindowShut
from shared.contracts.base import CommandAccepted, CommandRefused, Message, MessageParked, Slot
from shared.contracts.inventory import (
    AdjustStock,
    AnnounceSale,
    DeductStock,
    ExpectGoods,
    GoodsReceived,
    HoldStock,
    OnSale,
    ReceiveGoods,
    ReleaseStock,
    SetAllotment,
    StockAdjusted,
    StockDeducted,
    StockGone,
    StockHeld,
    StockReleased,
    StockShort,
    StockSoldOut,
    StockVerified,
    VerifyStock,
)
from shared.contracts.logistics import (
    Exchange,
    FreeSlot,
    FulfilmentDelivered,
    FulfilmentHandedOver,
    FulfilmentPacked,
    FulfilmentQueued,
    FulfilOrder,
    HandOver,
    PickingFinished,
    PickingStarted,
    ReportDelivered,
    ReportPacked,
    ReserveSlot,
    SetSlots,
    SlotPlaces,
    SlotRefused,
    SlotReserved,
    SlotsSet,
    StartPicking,
)
from shared.contracts.order import (
    CancelOrder,
    Delivery,
    OrderCancelled,
    OrderClosed,
    OrderDelivered,
    OrderPaid,
    OrderPayable,
    OrderRejected,
    PayOrder,
    PlaceOrder,
)
from shared.contracts.payment import (
    MoneyUnasked,
    PaymentDeclined,
    PaymentGivenUp,
    PaymentRefunded,
    PaymentTaken,
    RefundPayment,
    ReportMoney,
    TakePayment,
)
from shared.contracts.risk import (
    AccountsActed,
    Activity,
    ClaimReview,
    Conduct,
    Count,
    DecideReview,
    Earlier,
    OrderCleared,
    OrderReferred,
    OrderRefused,
    OrderRestricted,
    OrdersSeen,
    ReleaseReview,
    ScreenOrder,
    Sighting,
    SignalsTold,
    WithdrawScreening,
)
from tests.contracts.controls_back import CONTROLS_BACK
from tests.contracts.controls_tickets import CONTROLS_TICKETS

SAMPLES = Path(__file__).parent / "samples"
AT = datetime(2026, 11, 22, 18, 30, 15, 250_000, tzinfo=UTC)
SLOT = Slot(start=AT.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2), end=AT + timedelta(hours=3))
DOOR = Delivery(lat=52.520008, lon=13.404954, address="Grocer's Lane 7, 3rd floor", phone="+49 30 555", note="ring ü")
EXCHANGE = Exchange(ticket_id="t-o-7f3a-1", about="o-7f3a", spus=("milk-1l",), quantities=(1,))

_ORDER: dict[str, Any] = {"order_id": "o-7f3a"}
_IN_STORE: dict[str, Any] = {**_ORDER, "store": "s-mitte"}
_OF_ACCOUNT: dict[str, Any] = {**_IN_STORE, "account": "a-42"}
_SCREENED: dict[str, Any] = {**_ORDER, "account": "a-42"}
HOME = 2
"""The shard of account and device, of three."""
_STAMP = int(AT.timestamp() * 1000) << 20
_HASHED: dict[str, Any] = {"device": "0f" * 12, "address": "a9" * 12}
_LINES: dict[str, Any] = {"spus": ("milk-1l", "bread"), "quantities": (2, 1)}
_SHORT: dict[str, Any] = {"spus": ("milk-1l",), "missing": (1,)}
_ON_SALE = OnSale(spus=("milk-1l",), promotions=("tenth",))
_REQUEST: dict[str, Any] = {"request_id": "r-1", "store": "s-mitte"}
_ANSWER: dict[str, Any] = {"command_id": "c-1", "command": "PayOrder", "subject_id": "o-7f3a"}

CONTROLS: tuple[Message, ...] = (
    CommandAccepted(**_ANSWER),
    CommandRefused(**_ANSWER, code="total_changed"),
    MessageParked(
        subject_id="o-7f3a",
        code="no_cell",
        reason="sales order: no cell for WindowShut in phase picking",
        message_id="aftersales/0:order.events/0:7",
        message_type="WindowShut",
        topic="aftersales.events",
        partition=0,
        offset=41,
    ),
    PlaceOrder(
        **_OF_ACCOUNT,
        **_LINES,
        delivery=DOOR,
        slot=SLOT,
        expected_total=607,
        device="d-1",
    ),
    PayOrder(**_ORDER, method="tok_ok", expected_total=607),
    CancelOrder(**_ORDER, reason="changed my mind"),
    OrderPayable(**_OF_ACCOUNT, total=607, payable_until=AT),
    OrderPaid(**_OF_ACCOUNT, total=607),
    OrderDelivered(**_OF_ACCOUNT),
    OrderClosed(**_OF_ACCOUNT),
    OrderCancelled(**_OF_ACCOUNT, reason="payment_expired"),
    OrderRejected(**_OF_ACCOUNT, **_SHORT, reason="out_of_stock"),
    HoldStock(**_IN_STORE, **_LINES, mode="on_payment", on_sale=_ON_SALE, presale=("bread",)),
    VerifyStock(**_IN_STORE, on_sale=_ON_SALE),
    DeductStock(**_IN_STORE),
    ReleaseStock(**_IN_STORE),
    ReceiveGoods(**_REQUEST, **_LINES),
    AdjustStock(**_REQUEST, spus=("milk-1l", "bread"), deltas=(-2, 1), reason="counted"),
    SetAllotment(**_REQUEST, promotion="tenth", spu="milk-1l", quantity=500),
    ExpectGoods(**_REQUEST, **_LINES),
    AnnounceSale(store="s-mitte", promotion="tenth", ends_at=AT),
    StockHeld(**_ORDER, mode="on_payment", gone=("tenth",)),
    StockShort(**_ORDER, **_SHORT),
    StockVerified(**_ORDER, gone=("tenth",)),
    StockGone(**_ORDER, **_SHORT),
    StockDeducted(**_ORDER, **_LINES, document="SI-o-7f3a"),
    StockSoldOut(**_ORDER, **_SHORT),
    StockReleased(**_ORDER),
    GoodsReceived(store="s-mitte", document="GR-r-1", at=AT),
    StockAdjusted(store="s-mitte", document="AD-r-1", at=AT),
    ScreenOrder(**_SCREENED, device="d-1", address="Grocer's Lane 7", total=607),
    WithdrawScreening(**_SCREENED),
    DecideReview(
        **_SCREENED,
        verdict="restrict",
        note="second look",
        block=("device", "address"),
        treatment="refer",
        until=AT,
    ),
    ClaimReview(**_SCREENED),
    ReleaseReview(**_SCREENED),
    OrderCleared(**_ORDER, reason="review_cleared", rules=()),
    OrderRestricted(**_ORDER, reason="rules_restricted", rules=("unpaid_orders",)),
    OrderReferred(**_ORDER, reason="rules_referred", rules=("accounts_on_device", "declined_cards")),
    OrderRefused(**_ORDER, reason="account_blocked", rules=()),
    AccountsActed(shard=HOME, entries=(Activity(**_SCREENED, deed="expired", at=AT),)),
    OrdersSeen(
        shard=HOME,
        entries=(
            Sighting(**_SCREENED, **_HASHED, about="account", subject="a-42", at=AT, total=607),
            Sighting(**_SCREENED, **_HASHED, about="device", subject=_HASHED["device"], at=AT, total=607),
        ),
    ),
    SignalsTold(
        shard=HOME,
        as_of=AT,
        entries=(
            Conduct(
                about="account",
                subject="a-42",
                at=AT,
                counts=(Count(signal="expiries", happenings=(_STAMP, _STAMP + 7)),),
                earlier=(Earlier(order_id="o-7f3a", **_HASHED, at=AT, total=607, delivered=True),),
            ),
        ),
    ),
    TakePayment(**_ORDER, attempt=1, amount=607, currency="EUR", method="tok_ok"),
    RefundPayment(**_ORDER, refund=1, amount=607, reference="cap-1", reason="sold_out", liable="store"),
    ReportMoney(**_ORDER, reference="cap-1", attempt_key="o-7f3a:1", amount=607, at=AT),
    PaymentTaken(**_ORDER, attempt=1, amount=607, reference="cap-1", at=AT),
    PaymentDeclined(**_ORDER, attempt=1, code="card_declined"),
    PaymentGivenUp(**_ORDER, attempt=1),
    MoneyUnasked(**_ORDER, amount=607, reference="cap-2", at=AT),
    PaymentRefunded(**_ORDER, refund=1, amount=607, reference="ref-1", reason="sold_out", liable="store", at=AT),
    ReserveSlot(**_IN_STORE, slot=SLOT),
    FreeSlot(**_IN_STORE),
    FulfilOrder(**_IN_STORE, **_LINES, slot=SLOT, delivery=DOOR, take_along=EXCHANGE),
    StartPicking(**_IN_STORE),
    ReportPacked(**_IN_STORE),
    HandOver(**_IN_STORE, courier="c-9"),
    ReportDelivered(**_IN_STORE),
    SetSlots(store="s-mitte", slots=(SlotPlaces(start=SLOT.start, end=SLOT.end, places=12),)),
    SlotReserved(**_IN_STORE),
    SlotRefused(**_IN_STORE, code="slot_full"),
    FulfilmentQueued(**_IN_STORE),
    PickingStarted(**_IN_STORE),
    PickingFinished(**_IN_STORE),
    FulfilmentPacked(**_IN_STORE),
    FulfilmentHandedOver(**_IN_STORE, courier="c-9"),
    FulfilmentDelivered(**_IN_STORE),
    SlotsSet(store="s-mitte", slots=1),
    WindowShut(**_ORDER),
    *CONTROLS_BACK,
    *CONTROLS_TICKETS,
)


def write() -> None:
    """Puts the samples on disk, one line each, and takes away those of messages that are no more."""
    SAMPLES.mkdir(exist_ok=True)
    names = {f"{message.TYPE}.json" for message in CONTROLS}
    for old in SAMPLES.glob("*.json"):
        if old.name not in names:
            old.unlink()
    for message in CONTROLS:
        (SAMPLES / f"{message.TYPE}.json").write_bytes(message.to_json() + b"\n")


if __name__ == "__main__":
    write()
