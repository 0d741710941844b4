"""Whatever was taken off, and whatever goes wrong: giving everything back gives back exactly what was paid.

Order, aftersales and payment are the real deciders, with the gateway's answers between; the store is canned. The books
compared are the gateway's: what it took, and what it gave back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.aftersales.goods import pieces_of
from services.aftersales.state import TICKET_ENDS, Ticket
from services.order.goods import list_of, lots_of
from services.order.promotions import Kind, Offers, Promotion
from services.order.state import ENDS, Phase, Product
from services.payment import inner
from services.payment.decider import DECIDER as PAYMENT
from services.payment.state import Payment
from shared.contracts import aftersales, inventory, logistics, payment, risk
from shared.contracts.base import Message
from shared.runtime.said import Effect
from shared.runtime.table import Key, Moved
from tests.deciders.chain import Chain
from tests.deciders.orders import (
    BASKET,
    CANCEL,
    CLICK,
    CUSTOMER,
    DELIVERED,
    NOBODY_CALLED,
    ON_THE_ROAD,
    PACKED,
    PICKING,
    UNDELIVERABLE,
    shop,
)
from tests.deciders.prices import CATEGORIES, SPUS, promotion, scopes
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import AGENT

KINDS: tuple[aftersales.GoodsKind, ...] = ("refund_only", "return", "exchange", "replenishment")
AUTOMATIC = [kind for kind in Kind if kind is not Kind.COUPON]
NEIGHBOURS = {"milk": ("oat", "soy"), "oat": ("milk", "soy"), "bread": ("roll",), "tea": ("roll",)}
"""What costs about as much."""


class Till(Chain):
    """A shop with a till: the customer's money, as the gateway knows it. `stubborn`: the gateway refuses refunds."""

    def __init__(self, unit: int, offers: Iterable[Promotion], coupons: Iterable[Promotion]) -> None:
        super().__init__(shop())
        ordinary = {"milk": 13 * unit, "oat": 14 * unit, "soy": 12 * unit, "bread": 35 * unit, "tea": 31 * unit}
        facts: dict[Key, Any] = {
            ("product", spu): Product(price, CATEGORIES.get(spu, "other")) for spu, price in ordinary.items()
        }
        self.sale.states.update(facts)
        self.sale.states["product", "roll"] = Product(33 * unit)
        self.sale.states["offers",] = Offers(offers)
        self.sale.states.update({("coupon", coupon.id): coupon for coupon in coupons})
        self.till = Scene(PAYMENT)
        self.taken = self.returned = 0
        self.stubborn = False

    def _store(self, m: Message) -> Iterable[Any]:
        order_id = m.subject
        if isinstance(m, payment.PaymentCommand):
            return self._pays(m)
        if isinstance(m, risk.ScreenOrder):
            return [risk.OrderCleared(order_id=order_id)]
        if isinstance(m, inventory.HoldStock) and order_id == "o-1":
            return [inventory.StockHeld(order_id=order_id, mode=m.mode)]
        if isinstance(m, inventory.VerifyStock):
            return [inventory.StockVerified(order_id=order_id)]
        if isinstance(m, inventory.DeductStock) and order_id == "o-1":
            sale = self.order()
            return [
                inventory.StockDeducted(order_id=order_id, document="SI", spus=sale.spus, quantities=sale.quantities)
            ]
        if isinstance(m, logistics.FulfilOrder | logistics.AmendFulfilment) and order_id == "o-1":
            return []
        if isinstance(m, inventory.SubstituteStock):
            if self.shelf == "there":
                return [inventory.StockSubstituted(order_id=order_id, documents=())]
            return [inventory.SubstituteShort(order_id=order_id, spus=m.substitute_spus, missing=m.substitutes)]
        return super()._store(m)

    def _pays(self, m: payment.PaymentCommand) -> list[Any]:
        """The payment service, and the gateway behind it."""
        told = self._till(m)
        for effect in [one for one in told if isinstance(one, Effect)]:
            told += self._till(self._gateway(effect))
        return [one for one in told if isinstance(one, Message)]

    def _till(self, m: Any) -> list[Any]:
        outcome = self.till.when(m)
        assert isinstance(outcome, Moved), (m, outcome)
        return list(outcome.said)

    def _gateway(self, effect: Effect) -> Any:
        a = effect.arguments
        assert a["amount"] > 0, "a gateway moves no nothing"
        if effect.kind == "charge":
            self.taken += a["amount"]
            return inner.GatewayTook(a["order_id"], a["key"], f"cap-{a['key']}", a["amount"], NOON)
        if self.stubborn:
            return inner.GatewayRefusedRefund(a["order_id"], a["refund"], "not_refundable")
        self.returned += a["amount"]
        return inner.GatewayRefunded(a["order_id"], a["refund"], f"ref-{a['key']}", a["amount"], NOON)

    def sells(self, quantities: dict[str, int], coupons: tuple[str, ...]) -> bool:
        """The customer orders and pays; False when the basket cannot be had with these coupons."""
        basket = BASKET.model_copy(
            update={"spus": tuple(quantities), "quantities": tuple(quantities.values()), "coupons": coupons}
        )
        self.hears(basket, CUSTOMER)
        if ("order", "o-1") not in self.sale.states or self.sale.states["order", "o-1"] is None:
            return False
        self.hears(CLICK.model_copy(update={"expected_total": self.order().total}), CUSTOMER)
        assert self.order().phase is Phase.AWAITING_PICKING
        assert self.order().total == self.taken
        return True

    def open_tickets(self) -> list[Ticket]:
        """Those that wait for a person."""
        return [ticket for ticket in self.tickets() if ticket.phase not in TICKET_ENDS]

    def free(self, order_id: str) -> dict[str, int]:
        """Pieces of an order that the customer has, and that are in no ticket."""
        return {spu: pieces for spu, pieces in pieces_of(self.window(order_id).goods).items() if pieces}

    def paid_for(self) -> int:
        """What was paid for all that the customer has or could have money for yet."""
        free = sum(good.quantity * good.price for window in self.windows() for good in window.goods)
        return free + sum(good.quantity * good.price for ticket in self.tickets() for good in ticket.claims)


def on(kind: Kind, unit: int) -> st.SearchStrategy[Promotion]:
    """A promotion of about what goods cost, so that most baskets have one."""
    value = {
        Kind.PERCENT: st.sampled_from([1, 33, 50, 100]),
        Kind.FLASH: st.integers(0, 12 * unit),
    }.get(kind, st.integers(1, 60 * unit))
    return st.builds(promotion, st.just(kind), value=value, n=st.integers(2, 3), m=st.integers(0, 1), spus=scopes)


@st.composite
def tills(draw: st.DrawFn) -> Till:
    """A basket was sold, with promotions."""
    unit = draw(st.sampled_from([1, 10, 997]), label="unit")
    kinds = draw(st.lists(st.sampled_from(AUTOMATIC), max_size=3, unique=True), label="offers")
    offers = [replace(draw(on(kind, unit)), id=f"p-{n}") for n, kind in enumerate(kinds)]
    coupon = replace(draw(on(Kind.COUPON, unit)), id="c-1", per_account=1)
    till = Till(unit, offers, [coupon])
    quantities = {spu: draw(st.integers(1, 4), label=spu) for spu in draw(st.permutations(SPUS))[:3]}
    sold = draw(st.booleans(), label="coupon") and till.sells(quantities, ("c-1",))
    assert sold or till.sells(quantities, ())
    for one in till.order().discounts.applied:
        event(f"{one.kind} applied")
    event("free" if not till.taken else "paid")
    return till


def shorts(till: Till, data: st.DataObject) -> None:
    """The picker misses some; the customer takes others, goes without, or cannot be reached."""
    listed, pieces = list_of(lots_of(till.order()))
    have = dict(zip(listed, pieces, strict=True))
    missing = {spu: n for spu, m in have.items() if (n := data.draw(st.integers(0, m), label=f"missing {spu}"))}
    if not missing:
        return
    till.hears(logistics.PiecesShort(order_id="o-1", store="s-1", spus=tuple(missing), missing=tuple(missing.values())))
    call = f"t-o-1-{till.order().tickets}"
    chosen = []
    for spu, most in missing.items():
        others = [one for one in NEIGHBOURS.get(spu, ()) if one not in missing]
        if others and (n := data.draw(st.integers(0, most), label=f"instead of {spu}")):
            chosen.append((data.draw(st.sampled_from(others)), n, spu))
    till.shelf = data.draw(st.sampled_from(["there", "there", "empty"]), label="shelf")
    if chosen:
        till.hears(
            aftersales.RecordCall(
                order_id="o-1",
                ticket_id=call,
                outcome="substitute",
                substitute_spus=tuple(one[0] for one in chosen),
                substitutes=tuple(one[1] for one in chosen),
                instead_of=tuple(one[2] for one in chosen),
            ),
            AGENT,
        )
    event("substituted" if till.order().phase is Phase.PICKING else "not substituted")
    if till.order().phase is Phase.SHORT:
        word = data.draw(st.sampled_from(["drop", "cancel", "nobody"]), label="word")
        if word == "nobody":
            till.hears(NOBODY_CALLED)
        else:
            till.hears(aftersales.RecordCall(order_id="o-1", ticket_id=call, outcome=word), AGENT)  # type: ignore[arg-type]


def complains(till: Till, data: st.DataObject) -> None:
    """A ticket about some of what the customer has, and what comes of it."""
    about = data.draw(st.sampled_from(sorted(w.order_id for w in till.windows())), label="about")
    there = till.free(about)
    if not there:
        return
    some = {spu: n for spu, most in there.items() if (n := data.draw(st.integers(0, most), label=spu))}
    kind = data.draw(st.sampled_from(KINDS), label="kind")
    till.shelf = data.draw(st.sampled_from(["there", "there", "empty"]), label="shelf")
    till.road = data.draw(st.sampled_from(["delivered", "delivered", "undeliverable", "short"]), label="road")
    till.back = data.draw(st.sampled_from(["all", "some", "none", "lost"]), label="back")
    new: tuple[tuple[str, int, str], ...] = ()
    if kind in ("exchange", "replenishment") and data.draw(st.booleans(), label="others"):
        new = tuple((NEIGHBOURS.get(spu, (spu,))[0], n, spu) for spu, n in some.items())
    ticket_id = f"t-{len(till.tickets())}"
    if not some or till.opens(kind, tuple(some.items()), ticket_id, about, new=new):
        return
    event(f"{kind} {till.back if kind == 'return' else till.road if kind != 'refund_only' else ''}")
    if data.draw(st.sampled_from([True, True, True, False]), label="approve"):
        till.approves(ticket_id, about)
    else:
        till.hears(aftersales.RejectTicket(order_id=about, ticket_id=ticket_id, reason="no"), AGENT)


def gives_all_back(till: Till, data: st.DataObject) -> None:
    """Everything that is open is decided, and every piece that is left is refunded, by some way."""
    till.stubborn = False
    till.back = "all"
    while open_ := till.open_tickets():
        for ticket in open_:
            if ticket.kind in KINDS and data.draw(st.booleans(), label="reject"):
                till.hears(
                    aftersales.RejectTicket(order_id=ticket.order_id, ticket_id=ticket.ticket_id, reason="no"), AGENT
                )
            else:
                code = till.approves(ticket.ticket_id, ticket.order_id, kind="return" if ticket.kind in KINDS else None)
                assert not code, (code, ticket)
    for window in till.windows():
        while there := till.free(window.order_id):
            spu = data.draw(st.sampled_from(sorted(there)), label="piece")
            ticket_id = f"t-{len(till.tickets())}"
            kind = data.draw(st.sampled_from(["refund_only", "return"]), label="by")
            assert not till.opens(kind, ((spu, 1),), ticket_id, window.order_id)  # type: ignore[arg-type]
            assert not till.approves(ticket_id, window.order_id)
    for ticket in till.open_tickets():  # goods that a person looked for
        assert not till.approves(ticket.ticket_id, ticket.order_id), ticket


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_giving_everything_back_gives_back_what_was_paid(data: st.DataObject) -> None:
    """Shortages, substitutes, cancels, refunds, returns, exchanges, replenishments, in any mixture, piece by piece."""
    till = data.draw(tills())
    total = till.taken
    till.hears(PICKING)
    till.stubborn = data.draw(st.sampled_from([False, False, False, True]), label="stubborn")
    for _ in range(data.draw(st.integers(0, 2), label="shortages")):
        if till.order().phase is Phase.PICKING:
            shorts(till, data)
    if till.order().phase is Phase.PICKING:
        road = data.draw(st.sampled_from(["cancel", "undeliverable", "delivered", "delivered", "delivered"]))
        event(road)
        if road == "cancel":
            till.hears(CANCEL, CUSTOMER)
        else:
            for message in (PACKED, ON_THE_ROAD, DELIVERED if road == "delivered" else UNDELIVERABLE):
                till.hears(message)
    if till.order().phase is Phase.RETURNING:
        nothing: dict[str, Any] = dict.fromkeys(("damaged_spus", "damaged", "missing_spus", "missing"), ())
        spus, pieces = list_of(lots_of(till.order()))
        till.hears(
            logistics.GoodsInspected(order_id="o-1", store="s-1", resellable_spus=spus, resellable=pieces, **nothing)
        )
    if till.order().phase is Phase.DELIVERED:
        assert till.order().given_back + till.paid_for() == total
        for _ in range(data.draw(st.integers(0, 5), label="complaints")):
            complains(till, data)
            assert till.order().given_back + till.paid_for() == total, "a piece is worth what was paid for it, once"
    gives_all_back(till, data)
    order = till.order()
    assert order.phase in (Phase.DELIVERED, *ENDS)
    assert (order.total, order.given_back, order.refunded, order.owed) == (total, total, total, ())
    assert till.returned == total
    state = till.till.states["payment", "o-1"]
    assert isinstance(state, Payment)
    assert [capture.remainder for capture in state.captures] == ([0] if total else [])
    asked = till.all(payment.RefundPayment)
    assert [m.refund for m in asked] == list(range(1, len(asked) + 1))
    assert len(till.all(payment.TakePayment)) == 1
