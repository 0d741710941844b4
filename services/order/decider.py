"""The saga: one order's life as a table.

Read it from top to bottom: an order's way forward, then back, then its ends; what holds in every phase stands above, in
`everywhere`. `reading` turns a wire message whose outcome depends on facts into one of two messages, so that every cell
has one target; `forward`, `short` and `back` hold what is said on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from services.order import back, claims, forward, goods_back, inner, sales, short
from services.order.forward import heard_by_risk
from services.order.policy import CANCEL_POLICY, REPLACEMENT_POLICY, Actor, Policy
from services.order.reading import needs, read
from services.order.replacing import REPLACEMENT_ORDER
from services.order.slots import SLOT_MISSED
from services.order.state import Order, Phase, TimelineEntry
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.runtime.decider import Context, Decider, Look
from shared.runtime.table import IGNORE, Cell, Ignored, Moved, Outcome, Refused, Table, To, evolve, refuse, to

__all__ = ["DECIDER", "REPLACEMENT_ORDER", "SALES_ORDER", "check_policy", "everywhere", "table_of", "ticket_leads_back"]

Rows = Mapping[StrEnum, Mapping[type, Cell]]


def _late(*messages: type) -> dict[type, Cell]:
    """Messages that come too late here, as expected."""
    return dict.fromkeys(messages, IGNORE)


_NOT_PAYABLE: dict[type, Cell] = {
    ordering.PayOrder: refuse("order_not_payable"),
}
_UNDER_WAY: dict[type, Cell] = {
    ordering.PayOrder: refuse("payment_under_way"),
    inner.PaymentExpired: IGNORE,  # expiry waits for the answer; when no money came, the window is looked at again
}
_PAID: dict[type, Cell] = {
    **_NOT_PAYABLE,
    inner.PaymentExpired: IGNORE,  # parked behind the payment, and replayed after it
}
_HELD: dict[type, Cell] = {
    inventory.StockLost: IGNORE,  # a count took the hold: inventory says so when it is asked next
}
_SETTLED: dict[type, Cell] = {
    inner.ShortageUnanswered: IGNORE,  # parked behind the word that settled the shortage, and replayed after it
}
_BEING_CANCELLED: dict[type, Cell] = {**_PAID, inner.CancelWanted: refuse("cancel_under_way")}
_TOO_LATE_FOR_STORE = _late(logistics.StopMissed, logistics.InterceptMissed)

PLACED_AGAIN = (
    inner.BasketPriced,
    inner.BasketPricedForSlot,
    inner.OutsideEveryArea,
    inner.UnknownStore,
    inner.StoreNotAccepting,
    inner.UnknownProduct,
    inner.QuantityTooLarge,
    inner.SlotOver,
    inner.PresaleNeedsSlot,
    inner.CouponUnknown,
    inner.CouponNotValid,
    inner.CouponUsed,
    inner.CouponUnfit,
    inner.TotalTooLarge,
    inner.PlacedAtOtherTotal,
)


def everywhere(rows: Rows) -> Rows:
    """Adds what holds in every phase of an order that there is, unless the phase says otherwise."""
    whole: dict[StrEnum, Mapping[type, Cell]] = {}
    for phase, cells in rows.items():
        if phase is Phase.NEW:
            whole[phase] = cells
            continue
        stays: dict[type, Cell] = {
            # Money that nobody waits for goes back, and a part that was refunded is booked, wherever the order is.
            payment.MoneyUnasked: to(phase, back.give_back),
            inner.StrayMoneyReturned: to(phase, back.book_refund),
            inner.StrayRefundRefused: to(phase, back.see_to_refund),
            aftersales.RefundApproved: to(phase, back.refund_again),
            # News for the page.
            aftersales.TicketOpened: to(phase, back.file_ticket),
            aftersales.TicketMoved: to(phase, back.file_ticket),
            aftersales.TicketEnded: to(phase, back.file_ticket),
            aftersales.TicketAsked: to(phase, goods_back.decline(aftersales.ORDER_NOT_DELIVERED)),
            inventory.ShortDropped: to(phase, back.file_documents),
            inventory.GoodsTakenBack: to(phase, back.file_documents),
            aftersales.InterceptAsked: to(phase, back.decline_intercept),
            inner.ClickedTooLate: refuse("slot_over"),
            inner.ClaimTooLate: IGNORE,  # the order was given up, and gives back what it claimed
            inner.SlotMissed: IGNORE,  # a timer that fires behind the word which carried the order on, or ended it
            # What came of a call after its deadline.
            **_late(aftersales.DropChosen, aftersales.SubstituteChosen, aftersales.CancelChosen, inner.OtherCall),
            inner.CancelRefused: refuse("cancel_not_allowed"),
            inner.CancelNeedsTicket: refuse("cancel_needs_ticket"),
            **dict.fromkeys(PLACED_AGAIN, refuse("order_exists")),
        }
        cancel = cells.get(inner.CancelWanted)
        if isinstance(cancel, To) and cancel.action:
            waits = cancel.phase is Phase.STOPPING
            stays[inner.CancelByTicket] = to(
                cancel.phase, (back.stop_by_ticket if waits else back.by_ticket)(cancel.action)
            )
        whole[phase] = {**stays, **cells}
    return whole


SALES_ORDER = Table(
    "sales order",
    everywhere(
        {
            Phase.NEW: {
                inner.BasketPriced: to(Phase.SCREENING, forward.place),
                inner.BasketPricedForSlot: to(Phase.RESERVING_SLOT, forward.place_in_slot),
                inner.OutsideEveryArea: refuse("outside_area"),
                inner.UnknownStore: refuse("store_unknown"),
                inner.StoreNotAccepting: refuse("store_not_accepting"),
                inner.UnknownProduct: refuse("product_unknown"),
                inner.QuantityTooLarge: refuse("quantity_too_large"),
                inner.SlotOver: refuse("slot_over"),
                inner.PresaleNeedsSlot: refuse("presale_needs_slot"),
                inner.CouponUnknown: refuse("coupon_unknown"),
                inner.CouponNotValid: refuse("coupon_not_valid"),
                inner.CouponUsed: refuse("coupon_used"),
                inner.CouponUnfit: refuse("coupon_does_not_apply"),
                inner.TotalTooLarge: refuse("total_too_large"),
                inner.PlacedAtOtherTotal: refuse("total_changed"),
                ordering.PayOrder: refuse("order_unknown"),
                ordering.CancelOrder: refuse("order_unknown"),
                aftersales.InterceptAsked: to(Phase.NEW, back.decline_unknown),
                aftersales.TicketAsked: to(Phase.NEW, back.decline_unknown),
                payment.MoneyUnasked: to(Phase.NEW, back.give_back_nobodys),
                # Payment keeps it, and raises the alarm: there is no order to write it down with.
                **_late(inner.StrayMoneyReturned, inner.StrayRefundRefused),
                **_late(aftersales.TicketOpened, aftersales.TicketMoved, aftersales.TicketEnded),
            },
            Phase.RESERVING_SLOT: {
                logistics.SlotReserved: to(Phase.SCREENING, forward.screen),
                logistics.SlotRefused: to(Phase.REJECTED, back.reject_without_slot),
                inner.CancelWanted: to(Phase.CANCELLED, back.cancel_unheld),
                **_NOT_PAYABLE,
            },
            Phase.SCREENING: {
                risk.OrderCleared: to(Phase.HOLDING, forward.hold_locked),
                inner.FirstPaidFirst: to(Phase.HOLDING, forward.hold_first_paid),
                risk.OrderRestricted: to(Phase.HOLDING, forward.hold_on_payment),
                risk.OrderReferred: to(Phase.IN_REVIEW, forward.await_review),
                risk.OrderRefused: to(Phase.REJECTED, back.reject),
                inner.SlotMissed: to(Phase.REJECTED, back.reject_missed),
                inner.CancelWanted: to(Phase.CANCELLED, back.cancel_in_review),
                **_NOT_PAYABLE,
            },
            Phase.IN_REVIEW: {
                risk.OrderCleared: to(Phase.HOLDING, forward.hold_locked),
                inner.FirstPaidFirst: to(Phase.HOLDING, forward.hold_first_paid),
                risk.OrderRestricted: to(Phase.HOLDING, forward.hold_on_payment),
                risk.OrderRefused: to(Phase.REJECTED, back.reject),
                inner.SlotMissed: to(Phase.REJECTED, back.reject_missed),
                inner.CancelWanted: to(Phase.CANCELLED, back.cancel_in_review),
                **_NOT_PAYABLE,
            },
            Phase.HOLDING: {
                inventory.StockHeld: to(Phase.AWAITING_PAYMENT, forward.open_payment),
                inner.HeldAtOtherTotal: to(Phase.AWAITING_PAYMENT, forward.open_payment_at_other_total),
                inventory.StockShort: to(Phase.REJECTED, back.reject_short),
                inner.FlashSoldOut: to(Phase.REJECTED, back.reject_flash_sold_out),
                inner.TotalOutgrown: to(Phase.RELEASING, back.release_outgrown),
                inner.SlotMissed: to(Phase.RELEASING, back.release_missed),
                inner.CancelWanted: to(Phase.RELEASING, back.release),
                **_NOT_PAYABLE,
            },
            Phase.AWAITING_PAYMENT: {
                ordering.PayOrder: to(Phase.VERIFYING, forward.verify),
                inner.PaidAtOtherTotal: refuse("total_changed"),
                inner.ClickedTooLarge: refuse("total_too_large"),
                inner.PaymentExpired: to(Phase.RELEASING, back.expire),
                inner.SlotMissed: to(Phase.RELEASING, back.release_missed),
                inventory.StockLost: to(Phase.RELEASING, back.release_lost),
                inner.CancelWanted: to(Phase.RELEASING, back.release),
            },
            Phase.VERIFYING: {
                inner.TotalHolds: to(Phase.PAYING, forward.take_payment),
                inner.TotalToClaim: to(Phase.VERIFYING, claims.claim),
                inner.ClaimGranted: to(Phase.PAYING, forward.take_payment),
                inner.TotalChanged: to(Phase.AWAITING_PAYMENT, forward.offer_new_total),
                inner.TotalOutgrown: to(Phase.RELEASING, back.release_outgrown),
                inventory.StockGone: to(Phase.RELEASING, back.release_gone),
                inner.SlotMissed: to(Phase.RELEASING, back.release_missed),
                inner.CancelWanted: to(Phase.RELEASING, back.release),
                **_UNDER_WAY,
                **_HELD,
            },
            Phase.PAYING: {
                payment.PaymentTaken: to(Phase.DEDUCTING, forward.deduct),
                payment.PaymentDeclined: to(Phase.AWAITING_PAYMENT, heard_by_risk(forward.offer_again, "declined")),
                payment.PaymentGivenUp: to(Phase.AWAITING_PAYMENT, forward.offer_again),
                inner.CancelWanted: to(Phase.PAYING_CANCEL_WANTED, back.keep_wish),
                **_UNDER_WAY,
                **_HELD,
            },
            Phase.PAYING_CANCEL_WANTED: {
                **_BEING_CANCELLED,
                **_UNDER_WAY,
                **_HELD,
                payment.PaymentTaken: to(Phase.REFUNDING, back.refund_as_wished),
                payment.PaymentDeclined: to(Phase.RELEASING, heard_by_risk(back.release_as_wished, "declined")),
                payment.PaymentGivenUp: to(Phase.RELEASING, back.release_as_wished),
            },
            Phase.DEDUCTING: {
                inventory.StockDeducted: to(Phase.AWAITING_PICKING, forward.fulfil),
                inventory.StockSoldOut: to(Phase.REFUNDING, back.refund_sold_out),
                inner.CancelWanted: to(Phase.DEDUCTING_CANCEL_WANTED, back.keep_wish),
                **_PAID,
                **_HELD,
            },
            Phase.DEDUCTING_CANCEL_WANTED: {
                inventory.StockDeducted: to(Phase.REVERSING, back.reverse_as_wished),
                inventory.StockSoldOut: to(Phase.REFUNDING, back.refund_sold_out_as_wished),
                **_BEING_CANCELLED,
                **_HELD,
            },
            Phase.AWAITING_PICKING: {
                logistics.PickingStarted: to(Phase.PICKING),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
                **_PAID,
            },
            Phase.PICKING: {
                logistics.FulfilmentPacked: to(Phase.AWAITING_SHIPMENT),
                logistics.PiecesShort: to(Phase.SHORT, short.ask_to_call),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
                **_PAID,
                **_SETTLED,
            },
            Phase.SHORT: {
                inner.ShortageSettled: to(Phase.PICKING, short.drop),
                inner.NothingLeft: to(Phase.STOPPING, short.stop_empty),
                inner.SubstituteFits: to(Phase.SUBSTITUTING, short.substitute),
                inner.SubstituteUnfit: to(Phase.SHORT, short.call_again_unfit),
                aftersales.CancelChosen: to(Phase.STOPPING, short.stop_unwanted),
                inner.CancelWanted: to(Phase.STOPPING, short.stop_unwanted),
                **_PAID,
            },
            Phase.SUBSTITUTING: {
                inventory.StockSubstituted: to(Phase.PICKING, short.amend),
                inventory.SubstituteShort: to(Phase.SHORT, short.call_again),
                **_PAID,
                **_SETTLED,
            },
            Phase.AWAITING_SHIPMENT: {
                logistics.FulfilmentHandedOver: to(Phase.IN_DELIVERY),
                inner.CancelWanted: to(Phase.STOPPING, back.stop),
                **_PAID,
            },
            Phase.IN_DELIVERY: {
                logistics.FulfilmentDelivered: to(Phase.DELIVERED, heard_by_risk(forward.open_window, "delivered")),
                aftersales.InterceptAsked: to(Phase.INTERCEPTING, back.intercept),
                logistics.DeliveryFailed: to(Phase.RETURNING, back.await_undelivered),
                logistics.StopMissed: IGNORE,
                **_PAID,
            },
            Phase.DELIVERED: {
                aftersales.WindowShut: to(Phase.CLOSED, forward.tell_closed),
                aftersales.InterceptAsked: to(Phase.DELIVERED, back.miss_intercept),
                aftersales.GoodsRefunded: to(Phase.DELIVERED, goods_back.refund),
                **goods_back.AFTER_DELIVERY,
                **_TOO_LATE_FOR_STORE,
                **_PAID,
            },
            Phase.STOPPING: {
                logistics.FulfilmentStopped: to(Phase.REVERSING, back.reverse_stopped),
                logistics.FulfilmentHandedOver: to(Phase.IN_DELIVERY, back.forget_wish),
                logistics.PickingStarted: to(Phase.STOPPING),
                logistics.FulfilmentPacked: to(Phase.STOPPING),
                logistics.PiecesShort: to(Phase.STOPPING, back.note_short),
                **_BEING_CANCELLED,
                **_SETTLED,
            },
            Phase.INTERCEPTING: {
                logistics.FulfilmentIntercepted: to(Phase.RETURNING, back.await_intercepted),
                logistics.FulfilmentDelivered: to(Phase.DELIVERED, heard_by_risk(back.deliver_too_late, "delivered")),
                logistics.DeliveryFailed: to(Phase.RETURNING, back.await_undelivered),
                aftersales.InterceptAsked: to(Phase.INTERCEPTING, back.decline_second_intercept),
                logistics.StopMissed: IGNORE,
                **_PAID,
            },
            Phase.RETURNING: {
                logistics.GoodsInspected: to(Phase.REFUNDING, back.take_back),
                inner.GoodsOverdue: to(Phase.REFUNDING, back.write_off),
                aftersales.InterceptAsked: to(Phase.RETURNING, back.decline_second_intercept),
                **_TOO_LATE_FOR_STORE,
                **_PAID,
            },
            Phase.RELEASING: {
                inventory.StockReleased: to(Phase.CANCELLED, back.tell_cancelled),
                **_BEING_CANCELLED,
                # What inventory said before it heard that the order wants out.
                **_late(inventory.StockHeld, inventory.StockShort, inventory.StockGone, inventory.StockLost),
                **_late(inner.TotalHolds, inner.TotalToClaim, inner.TotalChanged, inner.TotalOutgrown),
            },
            Phase.REVERSING: {
                inventory.IssueReversed: to(Phase.REFUNDING, back.refund_reversed),
                **_BEING_CANCELLED,
            },
            Phase.REFUNDING: {
                payment.PaymentRefunded: to(Phase.CANCELLED, back.tell_refunded),
                payment.PaymentRefundRefused: to(Phase.CANCELLED, back.tell_refund_failed),
                logistics.GoodsInspected: to(Phase.REFUNDING, back.take_back_late),
                # a wish while paying: the hold is given back while the money is
                **_late(inventory.StockReleased, inventory.StockLost),
                inner.GoodsOverdue: IGNORE,
                **_TOO_LATE_FOR_STORE,
                **_BEING_CANCELLED,
            },
            Phase.CLOSED: {
                aftersales.TicketAsked: to(Phase.CLOSED, goods_back.decline(aftersales.ORDER_CLOSED)),
                **_TOO_LATE_FOR_STORE,
                **_PAID,
            },
            Phase.CANCELLED: {
                logistics.GoodsInspected: to(Phase.CANCELLED, back.take_back_late),
                inner.GoodsOverdue: IGNORE,
                **_TOO_LATE_FOR_STORE,
                **_PAID,
                # Said before it was heard that the order wants out; and the hold, if the money was faster.
                **_late(
                    risk.OrderCleared,
                    risk.OrderRestricted,
                    risk.OrderReferred,
                    risk.OrderRefused,
                    logistics.SlotReserved,
                    logistics.SlotRefused,
                ),
                **_late(inventory.StockReleased, inventory.StockLost),
            },
            Phase.REJECTED: {
                # The slot was over before risk's word came.
                **_late(risk.OrderCleared, risk.OrderRestricted, risk.OrderReferred, risk.OrderRefused),
                **_PAID,
            },
        }
    ),
)


def table_of(order_id: str) -> Table:
    """The table of an order: a replacement order has its own."""
    return REPLACEMENT_ORDER if "~" in order_id else SALES_ORDER


def check_policy(policy: Mapping[Phase, Mapping[Actor, Policy]], table: Table = SALES_ORDER) -> None:
    """A policy that promises a way back from where there is none is a mistake in the policy; raises ValueError."""
    for phase, answers in policy.items():
        if Policy.ALLOWED in answers.values() and inner.CancelWanted not in table.rows[phase]:
            raise ValueError(f"the cancel policy allows a cancel in {phase}, but there is no way back from it")
        if table is SALES_ORDER and Policy.TICKET in answers.values() and not ticket_helps(phase, answers):
            raise ValueError(f"the cancel policy wants a ticket in {phase}, but none leads back from it")


def ticket_helps(phase: Phase, answers: Mapping[Actor, Policy]) -> bool:
    """Is there a ticket of customer service's that undoes an order in this phase, by this row of the policy?"""
    return ticket_leads_back(phase, answers) or inner.TicketFits in SALES_ORDER.rows[phase]


def ticket_leads_back(phase: Phase, answers: Mapping[Actor, Policy], table: Table = SALES_ORDER) -> bool:
    """Would an intercept call an order in this phase back, by this row of the policy?"""
    cells = table.rows[phase]
    called_back = cells.get(aftersales.InterceptAsked)
    if isinstance(called_back, To) and called_back.phase is not phase:
        return True
    return inner.CancelByTicket in cells and Policy.TICKET in answers.values()


check_policy(CANCEL_POLICY)  # said at the start rather than to a customer
check_policy(REPLACEMENT_POLICY, REPLACEMENT_ORDER)

# -- the service -------------------------------------------------------------------------------------------------------


_NEWS = frozenset({aftersales.TicketOpened, aftersales.TicketMoved, aftersales.TicketEnded})
"""What happened to a ticket changes nothing of the order, but what its page shows."""


def decide(message: Any, look: Look, context: Context) -> Outcome:
    """One message for one order; or for an account, or about a flash sale."""
    kind = type(message)
    if kind is ordering.ClaimPromotions or kind is ordering.ReturnPromotions:
        return claims.decide_for_account(message, look, context)
    if kind is ordering.TellSale:
        return sales.tell_sale(message, look, context)
    key = ("order", message.order_id)
    order = look(key) or Order(message.order_id, Phase.NEW)
    heard, now = read(order, message, look, context), context.now
    answer = table_of(order.order_id).move(order, heard, context, when_changed={"changed_at": now}, phase_since=now)
    if isinstance(answer, Refused | Ignored):
        return answer
    moved, said = answer
    if moved.phase is Phase.NEW or type(message) in _NEWS:
        return Moved((), said)  # hearing of an order that there is not makes none, and news are told by their own paper
    if moved.phase is order.phase:
        # It has been here since before: stray money must not quiet the alarm of an order that waits too long.
        moved = evolve(moved, {"phase_since": order.phase_since})
    entry = TimelineEntry(message.order_id, context.now, moved.phase, type(message).__name__, context.actor)
    return Moved(((key, moved),), [*said, entry])


MASTER_DATA = frozenset({"product", "store", "serving", "within", "offers", "coupon", "rushes", "sale"})

DECIDER = Decider(
    service="order",
    listens=(
        ordering.PlaceOrder,
        ordering.PayOrder,
        ordering.CancelOrder,
        ordering.ClaimPromotions,
        ordering.ReturnPromotions,
        ordering.SettleClaim,
        ordering.TellSale,
        risk.OrderCleared,
        risk.OrderRestricted,
        risk.OrderReferred,
        risk.OrderRefused,
        logistics.SlotReserved,
        logistics.SlotRefused,
        inventory.StockHeld,
        inventory.StockShort,
        inventory.StockVerified,
        inventory.StockGone,
        inventory.StockDeducted,
        inventory.StockSoldOut,
        inventory.StockReleased,
        inventory.StockLost,
        inventory.StockSubstituted,
        inventory.SubstituteShort,
        inventory.ShortDropped,
        inventory.IssueReversed,
        inventory.GoodsTakenBack,
        payment.PaymentTaken,
        payment.PaymentDeclined,
        payment.PaymentGivenUp,
        payment.PaymentRefunded,
        payment.PaymentRefundRefused,
        payment.MoneyUnasked,
        logistics.PickingStarted,
        logistics.PiecesShort,
        logistics.FulfilmentPacked,
        logistics.FulfilmentHandedOver,
        logistics.FulfilmentDelivered,
        logistics.FulfilmentStopped,
        logistics.StopMissed,
        logistics.FulfilmentIntercepted,
        logistics.InterceptMissed,
        logistics.DeliveryFailed,
        logistics.GoodsInspected,
        logistics.ReturnInspected,
        logistics.ReturnOverdue,
        aftersales.WindowShut,
        aftersales.TicketOpened,
        aftersales.TicketMoved,
        aftersales.TicketEnded,
        aftersales.TicketAsked,
        aftersales.GoodsKept,
        aftersales.GoodsRefunded,
        aftersales.ReturnApproved,
        aftersales.ReplacementApproved,
        aftersales.InterceptAsked,
        aftersales.RefundApproved,
        aftersales.SubstituteChosen,
        aftersales.DropChosen,
        aftersales.CancelChosen,
    ),
    needs=needs,
    decide=decide,
    timers={
        forward.PAYMENT_WINDOW: inner.PaymentExpired,
        short.SHORTAGE_WINDOW: inner.ShortageUnanswered,
        back.RETURN_WINDOW: inner.GoodsOverdue,
        SLOT_MISSED: inner.SlotMissed,
    },
    facts=MASTER_DATA | {"claims"},
    master_data=MASTER_DATA,
)
