"""Some orders of one account, all at once: who says something to whom is a link, and every link takes its time.

The order's decider is real, for the orders and for their account; inventory, risk, payment and logistics are canned,
and say what they are told to.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Any

from services.order.decider import DECIDER
from services.order.promotions import Kind, Offers, Promotion
from services.order.state import Claims, Order, Phase, Product
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts import order as ordering
from shared.contracts.base import Message
from shared.runtime.table import Key, Moved, Outcome, Refused
from tests.deciders.orders import DELIVERED, ON_THE_ROAD, PACKED, PICKING, SHOP, Shop
from tests.deciders.scene import NOON

Link = tuple[str, str]
ACCOUNT = "account"
UNPAID = frozenset({Phase.SCREENING, Phase.HOLDING, Phase.AWAITING_PAYMENT, Phase.VERIFYING, Phase.RELEASING})
"""Phases of an order from which no money was asked for at its price now, or is not any more."""
OVER = frozenset({Phase.CANCELLED, Phase.REJECTED})


class Street:
    """`o-1`, `o-2`, ... of account `a-1`. `stock` is what inventory says: `there`, `gone` when it is verified, or
    `sold_out` when it is deducted; `from_shelf` are the sales whose pieces are gone. `till` is what payment says:
    `taken`, `declined`, `given_up`."""

    def __init__(self, promotions: Iterable[Promotion] = (), **prices: int) -> None:
        products: dict[Key, Any] = {("product", spu): Product(price) for spu, price in prices.items()}
        self.scene = Shop(DECIDER, {**SHOP, **products})
        self.stock, self.till = "there", "taken"
        self.from_shelf: tuple[str, ...] = ()
        self.under_way: dict[Link, deque[Message]] = defaultdict(deque)
        self.heard: list[Message] = []
        self.writes(*promotions)

    # -- what people do ------------------------------------------------------------------------------------------------

    def writes(self, *promotions: Promotion) -> None:
        """These are the promotions there are."""
        self.scene.states["offers",] = Offers(p for p in promotions if p.kind is not Kind.COUPON)
        for p in promotions:
            if p.kind is Kind.COUPON:
                self.scene.states["coupon", p.id] = p

    def delivers_and_replaces(self, spu: str, paid: int) -> None:
        """`o-1`, paid and with milk, is delivered; then a piece of this goes out for a piece of its milk, for which so
        much was paid."""
        for message in (PICKING, PACKED, ON_THE_ROAD, DELIVERED):
            self.hears(message)
        self.hears(
            aftersales.ReplacementApproved(
                order_id="o-1~r1",
                ticket_id="t-1",
                about="o-1",
                kind="replenishment",
                spus=(spu,),
                quantities=(1,),
                instead_of=("milk",),
                prices=(paid,),
            )
        )

    def costs(self, **prices: int) -> None:
        """Prices change."""
        self.scene.states.update({("product", spu): Product(price) for spu, price in prices.items()})

    def places(self, order_id: str, *coupons: str, **quantities: int) -> str:
        """An order; answers with the code when it is refused. Risk clears it, and its stock is held."""
        lines = quantities or {"milk": 2}
        basket = ordering.PlaceOrder(
            order_id=order_id,
            account="a-1",
            store="s-1",
            spus=tuple(lines),
            quantities=tuple(lines.values()),
            coupons=coupons,
        )
        return self._asks(basket)

    def clicks(self, order_id: str, total: int | None = None) -> str:
        """The customer pays what the order shows, or another total."""
        shown = self.order(order_id).total if total is None else total
        return self._asks(ordering.PayOrder(order_id=order_id, method="tok_ok", expected_total=shown))

    def cancels(self, order_id: str) -> str:
        """The customer does not want it."""
        return self._asks(ordering.CancelOrder(order_id=order_id))

    def hears(self, message: Any, actor: str = "") -> Outcome:
        """A message, and what is said on its way."""
        outcome = self.scene.when(message, actor)
        for said in outcome.said if isinstance(outcome, Moved) else ():
            if isinstance(said, Message):
                self.heard.append(said)
                self.under_way[_said_by(message), _heard_by(said)].append(said)
        return outcome

    def _asks(self, message: Any) -> str:
        outcome = self.hears(message, "customer:a-1")
        return outcome.code if isinstance(outcome, Refused) else ""

    # -- what is under way ---------------------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        """Where something is under way."""
        return sorted(link for link, messages in self.under_way.items() if messages)

    def arrives(self, link: Link) -> None:
        """The next message of a link."""
        message = self.under_way[link].popleft()
        if link[1] == "shop":
            for answer in self._answers(message):
                self.under_way["shop", answer.subject].append(answer)
            return
        outcome = self.hears(message)
        assert not isinstance(outcome, Refused), (message, outcome)

    def rests(self) -> None:
        """Everything arrives."""
        while links := self.links():
            self.arrives(links[0])

    def _answers(self, m: Message) -> Iterable[Message]:
        order_id = m.subject
        match m:
            case risk.ScreenOrder():
                yield risk.OrderCleared(order_id=order_id)
            case inventory.HoldStock():
                yield inventory.StockHeld(order_id=order_id, mode=m.mode, gone=self._gone(m))
            case inventory.VerifyStock():
                if self.stock == "gone":
                    yield inventory.StockGone(order_id=order_id, spus=("milk",), missing=(1,))
                else:
                    yield inventory.StockVerified(order_id=order_id, gone=self._gone(m))
            case inventory.ReleaseStock():
                yield inventory.StockReleased(order_id=order_id)
            case inventory.DeductStock():
                sale = self.order(order_id)
                if self.stock == "sold_out":
                    yield inventory.StockSoldOut(order_id=order_id, spus=sale.spus, missing=sale.quantities)
                else:
                    yield inventory.StockDeducted(
                        order_id=order_id, document="SI", spus=sale.spus, quantities=sale.quantities
                    )
            case inventory.ReverseIssue():
                yield inventory.IssueReversed(order_id=order_id, documents=())
            case logistics.StopFulfilment():
                yield logistics.FulfilmentStopped(order_id=order_id, store="s-1")
            case payment.TakePayment():
                yield self._paid(m)
            case payment.RefundPayment():
                fields = m.model_dump(include={"order_id", "refund", "amount", "reference", "reason", "liable"})
                yield payment.PaymentRefunded(**fields, at=NOON)
            case _:
                pass

    def _gone(self, m: inventory.HoldStock | inventory.VerifyStock) -> tuple[str, ...] | None:
        asked = m.on_sale.promotions if m.on_sale else ()
        return tuple(sorted({one for one in asked if one in self.from_shelf})) or None

    def _paid(self, m: payment.TakePayment) -> Message:
        about: dict[str, Any] = {"order_id": m.order_id, "attempt": m.attempt}
        if self.till == "declined":
            return payment.PaymentDeclined(**about, code="card_declined")
        if self.till == "given_up":
            return payment.PaymentGivenUp(**about)
        return payment.PaymentTaken(**about, amount=m.amount, reference=f"cap-{m.order_id}", at=NOON)

    # -- what is known -------------------------------------------------------------------------------------------------

    def orders(self) -> Mapping[str, Order]:
        """The orders that there are."""
        return {key[1]: state for key, state in self.scene.states.items() if key[0] == "order" and state}

    def order(self, order_id: str) -> Order:
        """One of them."""
        return self.orders()[order_id]

    def stands(self, order_id: str) -> tuple[str, int]:
        """An order's phase and total."""
        return str(self.order(order_id).phase), self.order(order_id).total

    def claims(self, promotion: str) -> Mapping[str, int]:
        """What the account counts of a promotion."""
        state = self.scene.states.get(("claims", "a-1", promotion))
        return state.units if isinstance(state, Claims) else {}

    def takes(self, order_id: str) -> list[int]:
        """The amounts that were asked for an order."""
        return [m.amount for m in self.heard if isinstance(m, payment.TakePayment) and m.order_id == order_id]


def _said_by(message: Any) -> str:
    return ACCOUNT if isinstance(message, ordering.AccountCommand) else str(message.subject)


def _heard_by(message: Message) -> str:
    if isinstance(message, ordering.AccountCommand):
        return ACCOUNT
    return message.subject if type(message) in DECIDER.listens else "shop"
