"""Messages that never leave the service: its timers, and what a message of others is read into where its outcome
depends on facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from services.order.pricing import Priced
from services.order.state import NO_DISCOUNTS, Discounts, Lot, Replacement, Substitution
from shared.contracts import order as ordering
from shared.contracts import payment, risk
from shared.contracts.base import Slot


class PaymentExpired(Struct, frozen=True):
    """The time to pay is over."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class ShortageUnanswered(Struct, frozen=True):
    """Nobody has called in time about the short lines."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class GoodsOverdue(Struct, frozen=True):
    """The goods should have been back at the store by now."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class SlotMissed(Struct, frozen=True):
    """The slot cannot be kept any more, and no money has moved: the timer of an order in review says so, and so does
    whatever would have carried the order on."""

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class BasketPriced(Struct, frozen=True, gc=False):
    """PlaceOrder, read with the catalogue: everything is known, and the total is what the customer expected."""

    order_id: str
    account: str
    store: str
    spus: tuple[str, ...]
    quantities: tuple[int, ...]
    prices: tuple[int, ...]
    total: int
    delivery: ordering.Delivery | None
    slot: Slot | None
    device: str | None
    discounts: Discounts = NO_DISCOUNTS
    presale: tuple[str, ...] = ()


class BasketPricedForSlot(BasketPriced, frozen=True):
    """The same, for an agreed hour."""


class Unplaceable(Struct, frozen=True):
    """PlaceOrder, read with the catalogue: it cannot be placed. `detail` names what is wrong, for the customer."""

    detail: str


class OutsideEveryArea(Unplaceable, frozen=True):
    """No store serves the delivery point, or not the store that was asked for."""


class UnknownStore(Unplaceable, frozen=True):
    """There is no such store."""


class StoreNotAccepting(Unplaceable, frozen=True):
    """The store takes no new orders."""


class UnknownProduct(Unplaceable, frozen=True):
    """An SPU that is not in the catalogue."""


class QuantityTooLarge(Unplaceable, frozen=True):
    """More pieces of one SPU than an order may hold, summed over its lines."""


class SlotOver(Unplaceable, frozen=True):
    """The slot cannot be kept any more (see `latest_for`), or ends before it starts."""


class PresaleNeedsSlot(Unplaceable, frozen=True):
    """A product that cannot be had yet is in the basket, and no slot was chosen, or one before its day."""


class CouponUnknown(Unplaceable, frozen=True):
    """There is no such coupon, or not for this account."""


class CouponNotValid(Unplaceable, frozen=True):
    """The coupon is not valid yet, or not any more."""


class CouponUsed(Unplaceable, frozen=True):
    """The account has used the coupon."""


class CouponUnfit(Unplaceable, frozen=True):
    """The coupon takes nothing off this basket."""


class TotalTooLarge(Unplaceable, frozen=True):
    """More money than one payment can take."""


class PlacedAtOtherTotal(Unplaceable, frozen=True):
    """The total is not the one that the customer expected."""


class PaidAtOtherTotal(Struct, frozen=True):
    """PayOrder with a total that this order never had: nothing happens before the customer has seen the right one."""

    detail: str


class ClickedTooLarge(Struct, frozen=True):
    """PayOrder, and at the prices of now the order costs more than one payment can take."""

    detail: str


class ClickedTooLate(Struct, frozen=True):
    """PayOrder for an order whose slot cannot be kept any more."""

    detail: str


class CancelWanted(Struct, frozen=True):
    """CancelOrder, and the cancel policy allows it here to this actor. `reason` is how the order will have ended."""

    reason: str


class CancelRefused:
    """CancelOrder, and the cancel policy refuses it here to this actor."""

    detail = "the cancel policy does not allow it in this phase"


class CancelNeedsTicket:
    """CancelOrder, and the cancel policy wants a ticket of customer service."""

    detail = "customer service can open a ticket"


class CancelByTicket(Struct, frozen=True):
    """InterceptAsked before the courier has the goods, where the cancel policy wants a ticket: this is the ticket."""

    ticket_id: str


class OtherCall:
    """What came of a call about an earlier shortage, which was settled without it: nobody waits for it any more."""


class ShortageSettled(Struct, frozen=True):
    """The short pieces are dropped, by word of the customer or because nobody called in time; something is left."""

    lots: tuple[Lot, ...]
    given_up: int
    gone: tuple[Lot, ...]
    note: str


class NothingLeft(Struct, frozen=True):
    """The short pieces are dropped, and nothing is left of the order."""

    note: str


class SubstituteFits(Struct, frozen=True):
    """SubstituteChosen: the substitutes are known, similar in price, and no more than what is missing."""

    substitution: Substitution
    spus: tuple[str, ...]
    quantities: tuple[int, ...]


class SubstituteUnfit(Struct, frozen=True):
    """SubstituteChosen, and it cannot be: `code` says why. Somebody has to call again."""

    code: str


class FirstPaidFirst(Struct, frozen=True):
    """OrderCleared, and a flash sale, goods that are still to come, or a rush make it first paid, first served."""

    cleared: risk.OrderCleared


class FlashSoldOut(Struct, frozen=True):
    """StockShort, and a flash sale of what is short is on: it is sold out."""

    spus: tuple[str, ...]
    missing: tuple[int, ...]


class Repriced(Struct, frozen=True):
    """StockHeld or StockVerified, read with the catalogue: what the order costs now. The total is that of `priced`."""

    priced: Priced
    denied: tuple[str, ...] = ()


class HeldAtOtherTotal(Repriced, frozen=True):
    """StockHeld, and an allotment had no pieces left: some lines are at their ordinary price again."""


class TotalHolds(Struct, frozen=True):
    """StockVerified, read with the catalogue: the total is still the one that was clicked on, and nothing is in it that
    the account may have only so often."""


class TotalToClaim(Struct, frozen=True):
    """The same, and the account has to be asked for what it may have only so often, or told what is given back."""


class ClaimGranted(Struct, frozen=True):
    """SettleClaim: the account may have it all."""


class ClaimTooLate(Struct, frozen=True):
    """SettleClaim, and the order does not wait for it any more."""


class TotalOutgrown(Struct, frozen=True):
    """StockVerified, read with the catalogue: since the click the total became more than one payment can take."""


class TotalChanged(Repriced, frozen=True):
    """StockVerified or SettleClaim, read with the catalogue: prices or promotions have changed since the click."""


class StrayRefundRefused(Struct, frozen=True):
    """PaymentRefundRefused for a refund that no phase waits for."""

    refund: int
    amount: int
    reference: str
    code: str
    reason: str = ""
    liable: payment.Liable = "store"


class StrayMoneyReturned(Struct, frozen=True):
    """PaymentRefunded for a refund that no phase waits for: of a part, or of money that came unasked."""

    refund: int
    amount: int
    reference: str
    reason: str
    liable: str
    at: datetime


class TicketFits(Struct, frozen=True):
    """TicketAsked, read with the catalogue: there may be such a ticket."""

    ticket_id: str


class TicketUnfit(Struct, frozen=True):
    """TicketAsked, and the replacing goods cannot be: `code` says why."""

    ticket_id: str
    code: str


class ReplacementFits(Struct, frozen=True):
    """ReplacementApproved, read with the catalogue and the sales order: the order that goes out."""

    account: str
    store: str
    delivery: ordering.Delivery | None
    lots: tuple[Lot, ...]
    replacement: Replacement


class ReplacementUnfit(Struct, frozen=True):
    """ReplacementApproved, and it cannot be: `code` says why."""

    about: str
    ticket_id: str
    code: str


class ReturnCame(Struct, frozen=True):
    """ReturnInspected of a return: pieces per SPU."""

    ticket_id: str
    resellable: Mapping[str, int]
    damaged: Mapping[str, int]


class OldGoodsCame(ReturnCame, frozen=True):
    """ReturnInspected of an exchange: what did not come is missing, since others went out for it."""

    missing: Mapping[str, int]


class ReturnForgotten(Struct, frozen=True):
    """ReturnOverdue, and the customer has the goods."""

    ticket_id: str


class ReturnLost(Struct, frozen=True):
    """ReturnOverdue, and a courier had the goods."""

    ticket_id: str
    pieces: Mapping[str, int]
