"""Whatever is short, substituted or cancelled, in any order: the money, the picker's list and the issue add up.

The books here are kept piece by piece and share no code with the order's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.order.state import ENDS, Amendment, Order, Phase, Product
from shared.contracts import aftersales, inventory, logistics, payment
from shared.runtime.table import IGNORED, Moved
from tests.deciders.orders import (
    ASKED,
    BASKET,
    CANCEL,
    CLEARED,
    CLICK,
    DEDUCTED,
    DELIVERED,
    HELD,
    INTERCEPTED,
    NOBODY_CALLED,
    ON_THE_ROAD,
    OVERDUE,
    PACKED,
    PICKING,
    REVERSED,
    SHUT,
    STOPPED,
    SUBSTITUTE_SHORT,
    TAKEN,
    UNDELIVERABLE,
    VERIFIED,
    order,
    refunded,
    shop,
)

PRICES = {"apple": 100, "pear": 110, "plum": 90, "melon": 300, "quince": 115}
ORDERED = {"apple": 3, "pear": 2, "melon": 1}
TOTAL = sum(PRICES[spu] * pieces for spu, pieces in ORDERED.items())


class Evening:
    """One order in the store, with books of its own: pieces as (SPU, what was paid), and what was asked of others."""

    def __init__(self) -> None:
        self.scene = shop()
        self.scene.states.update({("product", spu): Product(price) for spu, price in PRICES.items()})
        self.pieces = [(spu, PRICES[spu]) for spu, pieces in ORDERED.items() for _ in range(pieces)]
        self.issued = Counter(ORDERED)
        self.picks = Counter(ORDERED)
        self.refunds: list[payment.RefundPayment] = []
        self.tickets: Counter[str] = Counter()
        self.amendment: Amendment | None = None
        basket = BASKET.model_copy(update={"spus": tuple(ORDERED), "quantities": tuple(ORDERED.values())})
        click = CLICK.model_copy(update={"expected_total": TOTAL})
        for message in (basket, CLEARED, HELD, click, VERIFIED, TAKEN.model_copy(update={"amount": TOTAL}), DEDUCTED):
            self.hears(message)
        self.hears(PICKING)

    @property
    def now(self) -> Order:
        """The order."""
        return order(self.scene)

    def hears(self, message: Any) -> list[object]:
        """A message comes; every book is kept, and what must always be true is looked at."""
        outcome = self.scene.when(message)
        said = list(outcome.said) if isinstance(outcome, Moved) else []
        assert isinstance(outcome, Moved) or outcome == IGNORED
        for item in said:
            if isinstance(item, payment.RefundPayment):
                self.refunds.append(item)
            elif isinstance(item, logistics.AmendFulfilment):
                self.picks = Counter(dict(zip(item.spus, item.quantities, strict=True)))
            elif isinstance(item, inventory.DropShort):
                self.issued -= counted(item.spus, item.missing)
            elif isinstance(item, Amendment):
                self.amendment = item
            elif isinstance(item, aftersales.RaiseTicket) and item.kind == "shortage":
                self.tickets[item.ticket_id] += 1
            elif isinstance(item, aftersales.SettleTicket):
                self.tickets[item.ticket_id] -= 1
            elif isinstance(item, aftersales.ReopenCall):
                assert self.tickets[item.ticket_id] == 1, "only an open call is made again"
        self.look()
        return said

    def look(self) -> None:
        """Must be true after every message."""
        state = self.now
        assert 0 <= state.given_back <= TOTAL
        assert state.given_back == sum(refund.amount for refund in self.refunds)
        assert [refund.refund for refund in self.refunds] == list(range(1, len(self.refunds) + 1))
        assert all(refund.amount > 0 and refund.reference == "cap-1" for refund in self.refunds)
        assert all(lot.quantity > 0 and lot.price > 0 for lot in state.lots)
        if self.amendment:  # what a restart would find
            kept = (self.amendment.lots, self.amendment.shortage, self.amendment.substitution)
            assert kept == (state.lots, state.shortage, state.substitution)
        else:
            assert (state.lots, state.shortage, state.substitution) == ((), None, None)
        if state.phase in (Phase.PICKING, Phase.AWAITING_SHIPMENT, Phase.IN_DELIVERY, Phase.DELIVERED, Phase.CLOSED):
            held = Counter(spu for spu, _ in self.pieces)
            assert self.picks == held, "the picker's list is what was ordered, less what was dropped, plus substitutes"
            assert self.issued == held, "and so is what inventory has issued"
            assert TOTAL - state.given_back == sum(paid for _, paid in self.pieces)
            assert all(open_ == 0 for open_ in self.tickets.values()), "no call is left open"

    def drop(self, missing: Counter[str]) -> int:
        """Takes pieces off these books, the ones that came last first; answers with what was paid for them."""
        money = 0
        for spu in missing.elements():
            last = max(n for n, piece in enumerate(self.pieces) if piece[0] == spu)
            money += self.pieces.pop(last)[1]
        return money


def counted(spus: tuple[str, ...], pieces: tuple[int, ...]) -> Counter[str]:
    """Parallel lines as a count."""
    return Counter(dict(zip(spus, pieces, strict=True)))


def inspected(evening: Evening, data: st.DataObject) -> logistics.GoodsInspected:
    """Each piece comes back whole, damaged or not at all."""
    fates = {fate: Counter[str]() for fate in ("resellable", "damaged", "missing")}
    for spu, _ in evening.pieces:
        fates[data.draw(st.sampled_from(sorted(fates)))][spu] += 1
    lines = {f"{fate}_spus": tuple(pieces) for fate, pieces in fates.items()}
    counts = {fate: tuple(pieces.values()) for fate, pieces in fates.items()}
    return logistics.GoodsInspected(order_id="o-1", store="s-1", **lines, **counts)  # type: ignore[arg-type]


def play_shortage(evening: Evening, data: st.DataObject) -> None:
    """Some pieces are not there; whatever is said about it until the order leaves the phase."""
    have = Counter(spu for spu, _ in evening.pieces)
    missing = Counter({spu: data.draw(st.integers(0, n), label=f"missing {spu}") for spu, n in have.items()})
    missing += Counter()
    if not missing:
        return
    evening.hears(
        logistics.PiecesShort(order_id="o-1", store="s-1", spus=tuple(missing), missing=tuple(missing.values()))
    )
    call = f"t-o-1-{evening.now.tickets}"
    while evening.now.phase is Phase.SHORT:
        before = evening.now.given_back
        word = data.draw(
            st.sampled_from(["drop", "nobody", "substitute", "substitute", "stale", "no_thanks", "cancel"]),
            label="word",
        )
        event(word)
        if word == "substitute":
            play_substitutes(evening, data, missing, call)
        elif word in ("drop", "nobody"):
            money = evening.drop(missing) if missing != have else 0
            evening.hears(aftersales.DropChosen(order_id="o-1", ticket_id=call) if word == "drop" else NOBODY_CALLED)
            assert evening.now.given_back == before + money
            assert evening.now.phase is (Phase.PICKING if missing != have else Phase.STOPPING)
        elif word == "stale":
            state = evening.now
            evening.hears(aftersales.DropChosen(order_id="o-1", ticket_id="t-o-1-0"))
            assert evening.now == state
        else:
            evening.hears(aftersales.CancelChosen(order_id="o-1", ticket_id=call) if word == "no_thanks" else CANCEL)


def play_substitutes(evening: Evening, data: st.DataObject, missing: Counter[str], call: str) -> None:
    """The customer takes something else, sensible or not; inventory has it or not."""
    anything = st.tuples(st.sampled_from([*PRICES, "unknown"]), st.integers(1, 3), st.sampled_from(sorted(ORDERED)))
    sensible = st.tuples(
        st.sampled_from(sorted(set(PRICES) - set(missing))), st.just(1), st.sampled_from(sorted(missing))
    )
    one = sensible if set(missing) < set(PRICES) and data.draw(st.booleans(), label="sensible") else anything
    chosen = data.draw(st.lists(one, min_size=1, max_size=3), label="substitutes")
    before, given_back = evening.now.lots, evening.now.given_back
    said = evening.hears(
        aftersales.SubstituteChosen(
            order_id="o-1",
            ticket_id=call,
            substitute_spus=tuple(spu for spu, _, _ in chosen),
            substitutes=tuple(n for _, n, _ in chosen),
            instead_of=tuple(spu for _, _, spu in chosen),
        )
    )
    if evening.now.phase is Phase.SHORT:
        event("unfit")
        assert [item for item in said if isinstance(item, aftersales.ReopenCall)]
        assert (evening.now.lots, evening.now.given_back) == (before, given_back)
        return
    (asked,) = (item for item in said if isinstance(item, inventory.SubstituteStock))
    assert counted(asked.spus, asked.missing) == missing
    for late in (NOBODY_CALLED, aftersales.DropChosen(order_id="o-1", ticket_id=call)):
        evening.hears(late)
    assert evening.now.phase is Phase.SUBSTITUTING
    if data.draw(st.booleans(), label="out of stock"):
        evening.hears(SUBSTITUTE_SHORT)
        assert (evening.now.phase, evening.now.lots, evening.now.given_back) == (Phase.SHORT, before, given_back)
        return
    event("substituted")
    paid = dict(evening.pieces)
    money = evening.drop(missing)
    for spu, n, instead_of in chosen:
        assert abs(PRICES[spu] - paid[instead_of]) * 100 <= 20 * paid[instead_of]
        evening.pieces += [(spu, paid[instead_of])] * n
        money -= n * paid[instead_of]
    evening.issued -= missing
    evening.issued += counted(asked.substitute_spus, asked.substitutes)
    evening.hears(inventory.StockSubstituted(order_id="o-1", documents=()))
    assert evening.now.given_back == given_back + money


def play_end(evening: Evening, data: st.DataObject) -> None:
    """The order goes on to one of its ends."""
    if evening.now.phase is Phase.PICKING:
        if data.draw(st.booleans(), label="cancel at the shelf"):
            evening.hears(CANCEL)
        else:
            evening.hears(PACKED)
            evening.hears(ON_THE_ROAD)
            road = {
                "delivered": (DELIVERED, SHUT),
                "intercepted": (ASKED, INTERCEPTED),
                "undeliverable": (UNDELIVERABLE,),
            }
            for message in road[data.draw(st.sampled_from(sorted(road)), label="road")]:
                if message is ASKED:
                    evening.tickets[ASKED.ticket_id] += 1
                evening.hears(message)
    if evening.now.phase is Phase.STOPPING:
        (reverse,) = (m for m in evening.hears(STOPPED) if isinstance(m, inventory.ReverseIssue))
        assert counted(reverse.short_spus, reverse.short) <= evening.issued
        evening.hears(REVERSED)
    if evening.now.phase is Phase.RETURNING:
        overdue = data.draw(st.booleans(), label="overdue")
        said = evening.hears(OVERDUE if overdue else inspected(evening, data))
        (command,) = (m for m in said if isinstance(m, inventory.TakeBack))
        back = counted(command.resellable_spus, command.resellable) + counted(command.damaged_spus, command.damaged)
        assert back + counted(command.missing_spus, command.missing) == evening.issued
        if overdue and data.draw(st.booleans(), label="late"):
            evening.hears(inspected(evening, data))
    if evening.now.phase is Phase.REFUNDING:
        last = evening.refunds[-1]
        evening.hears(refunded(last.refund, last.reason, amount=last.amount))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_money_list_and_issue_add_up(data: st.DataObject) -> None:
    """Refunds never exceed what was paid, no lot is negative, the picker's list is what was issued; at the end the
    customer has paid for just what he got."""
    evening = Evening()
    for _ in range(data.draw(st.integers(0, 4), label="shortages")):
        if evening.now.phase is Phase.PICKING:
            play_shortage(evening, data)
    play_end(evening, data)
    state = evening.now
    assert state.phase in ENDS
    event(state.phase)
    got = sum(paid for _, paid in evening.pieces) if state.phase is Phase.CLOSED else 0
    assert TOTAL - state.given_back == got
    assert not any(evening.tickets.values()), "every call and every intercept has its end"
