"""One canonical message of every contract, with all its fields, and the script that keeps them on disk.

    python -m tests.contracts.controls      writes tests/contracts/samples/<Message>.json

A sample on disk is what may be waiting in a log, an outbox or a table of parked messages. Written anew, it says that
the wire has changed: look at the difference, and decide whether yesterday's messages can still be read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import CommandAccepted, CommandRefused, Message, MessageParked, Slot
from tests.contracts.controls_back import CONTROLS_BACK
from tests.contracts.controls_levels import CONTROLS_LEVELS
from tests.contracts.controls_tickets import CONTROLS_TICKETS

SAMPLES = Path(__file__).parent / "samples"
AT = datetime(2026, 11, 22, 18, 30, 15, 250_000, tzinfo=UTC)
SLOT = Slot(start=AT.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2), end=AT + timedelta(hours=3))
DOOR = ordering.Delivery(
    lat=52.520008, lon=13.404954, address="Grocer's Lane 7, 3rd floor", phone="+49 30 555", note="ring ü"
)
EXCHANGE = logistics.Exchange(ticket_id="t-o-7f3a-1", about="o-7f3a", spus=("milk-1l",), quantities=(1,))

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
_ON_SALE = inventory.OnSale(spus=("milk-1l",), promotions=("tenth",))
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
    ordering.PlaceOrder(
        **_OF_ACCOUNT,
        **_LINES,
        delivery=DOOR,
        slot=SLOT,
        expected_total=607,
        device="d-1",
        coupons=("welcome",),
    ),
    ordering.PayOrder(**_ORDER, method="tok_ok", expected_total=607),
    ordering.CancelOrder(**_ORDER, reason="changed my mind"),
    ordering.ClaimPromotions(
        **_ORDER, account="a-1", claims=(ordering.Claim(promotion="welcome", units=1, limit=1),), dropped=("tenth",)
    ),
    ordering.ReturnPromotions(**_ORDER, account="a-1", promotions=("welcome",)),
    ordering.SettleClaim(**_ORDER, denied=("welcome",)),
    ordering.TellSale(promotion="tenth"),
    ordering.OrderPayable(**_OF_ACCOUNT, total=607, payable_until=AT),
    ordering.OrderPaid(**_OF_ACCOUNT, total=607),
    ordering.OrderDelivered(**_OF_ACCOUNT),
    ordering.OrderClosed(**_OF_ACCOUNT),
    ordering.OrderCancelled(**_OF_ACCOUNT, reason="payment_expired"),
    ordering.OrderRejected(**_OF_ACCOUNT, **_SHORT, reason="out_of_stock"),
    inventory.HoldStock(**_IN_STORE, **_LINES, mode="on_payment", on_sale=_ON_SALE, presale=("bread",)),
    inventory.VerifyStock(**_IN_STORE, on_sale=_ON_SALE),
    inventory.DeductStock(**_IN_STORE),
    inventory.ReleaseStock(**_IN_STORE),
    inventory.ReceiveGoods(**_REQUEST, **_LINES),
    inventory.AdjustStock(**_REQUEST, spus=("milk-1l", "bread"), deltas=(-2, 1), reason="counted"),
    inventory.SetAllotment(**_REQUEST, promotion="tenth", spu="milk-1l", quantity=500),
    inventory.ExpectGoods(**_REQUEST, **_LINES),
    inventory.AnnounceSale(store="s-mitte", promotion="tenth", ends_at=AT),
    inventory.StockHeld(**_ORDER, mode="on_payment", gone=("tenth",)),
    inventory.StockShort(**_ORDER, **_SHORT),
    inventory.StockVerified(**_ORDER, gone=("tenth",)),
    inventory.StockGone(**_ORDER, **_SHORT),
    inventory.StockDeducted(**_ORDER, **_LINES, document="SI-o-7f3a"),
    inventory.StockSoldOut(**_ORDER, **_SHORT),
    inventory.StockReleased(**_ORDER),
    inventory.GoodsReceived(store="s-mitte", document="GR-r-1", at=AT),
    inventory.StockAdjusted(store="s-mitte", document="AD-r-1", at=AT),
    risk.ScreenOrder(**_SCREENED, device="d-1", address="Grocer's Lane 7", total=607),
    risk.WithdrawScreening(**_SCREENED),
    risk.DecideReview(
        **_SCREENED,
        verdict="restrict",
        note="second look",
        block=("device", "address"),
        treatment="refer",
        until=AT,
    ),
    risk.ClaimReview(**_SCREENED),
    risk.ReleaseReview(**_SCREENED),
    risk.OrderCleared(**_ORDER, reason="review_cleared", rules=()),
    risk.OrderRestricted(**_ORDER, reason="rules_restricted", rules=("unpaid_orders",)),
    risk.OrderReferred(**_ORDER, reason="rules_referred", rules=("accounts_on_device", "declined_cards")),
    risk.OrderRefused(**_ORDER, reason="account_blocked", rules=()),
    risk.AccountsActed(shard=HOME, entries=(risk.Activity(**_SCREENED, deed="expired", at=AT),)),
    risk.OrdersSeen(
        shard=HOME,
        entries=(
            risk.Sighting(**_SCREENED, **_HASHED, about="account", subject="a-42", at=AT, total=607),
            risk.Sighting(**_SCREENED, **_HASHED, about="device", subject=_HASHED["device"], at=AT, total=607),
        ),
    ),
    risk.SignalsTold(
        shard=HOME,
        as_of=AT,
        entries=(
            risk.Conduct(
                about="account",
                subject="a-42",
                at=AT,
                counts=(risk.Count(signal="expiries", happenings=(_STAMP, _STAMP + 7)),),
                earlier=(risk.Earlier(order_id="o-7f3a", **_HASHED, at=AT, total=607, delivered=True),),
            ),
        ),
    ),
    payment.TakePayment(**_ORDER, attempt=1, amount=607, currency="EUR", method="tok_ok"),
    payment.RefundPayment(**_ORDER, refund=1, amount=607, reference="cap-1", reason="sold_out", liable="store"),
    payment.ReportMoney(**_ORDER, reference="cap-1", attempt_key="o-7f3a:1", amount=607, at=AT),
    payment.PaymentTaken(**_ORDER, attempt=1, amount=607, reference="cap-1", at=AT),
    payment.PaymentDeclined(**_ORDER, attempt=1, code="card_declined"),
    payment.PaymentGivenUp(**_ORDER, attempt=1),
    payment.MoneyUnasked(**_ORDER, amount=607, reference="cap-2", at=AT),
    payment.PaymentRefunded(
        **_ORDER, refund=1, amount=607, reference="ref-1", reason="sold_out", liable="store", at=AT
    ),
    logistics.ReserveSlot(**_IN_STORE, slot=SLOT),
    logistics.FreeSlot(**_IN_STORE),
    logistics.FulfilOrder(**_IN_STORE, **_LINES, slot=SLOT, delivery=DOOR, take_along=EXCHANGE),
    logistics.StartPicking(**_IN_STORE),
    logistics.ReportPacked(**_IN_STORE),
    logistics.HandOver(**_IN_STORE, courier="c-9"),
    logistics.ReportDelivered(**_IN_STORE),
    logistics.SetSlots(store="s-mitte", slots=(logistics.SlotPlaces(start=SLOT.start, end=SLOT.end, places=12),)),
    logistics.SlotReserved(**_IN_STORE),
    logistics.SlotRefused(**_IN_STORE, code="slot_full"),
    logistics.FulfilmentQueued(**_IN_STORE),
    logistics.PickingStarted(**_IN_STORE),
    logistics.PickingFinished(**_IN_STORE),
    logistics.FulfilmentPacked(**_IN_STORE),
    logistics.FulfilmentHandedOver(**_IN_STORE, courier="c-9"),
    logistics.FulfilmentDelivered(**_IN_STORE),
    logistics.SlotsSet(store="s-mitte", slots=1),
    aftersales.WindowShut(**_ORDER),
    *CONTROLS_BACK,
    *CONTROLS_TICKETS,
    *CONTROLS_LEVELS,
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
