"""Pieces and money are conserved: of one claim, and of a whole chain of tickets and replacement orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.aftersales import inner
from services.aftersales.goods import exchanged, matched, pieces_of, same_again, taken, worth
from services.aftersales.state import TICKET_ENDS, Good, Phase, Replacing, Ticket, TicketPhase
from shared.contracts import aftersales, payment
from tests.deciders.chain import TOTAL, Chain
from tests.deciders.tickets import AGENT

SPUS = ("milk", "bread", "oat")
goods = st.lists(
    st.builds(Good, st.sampled_from(SPUS), st.integers(1, 4), st.sampled_from([0, 100, 129])), max_size=6
).map(tuple)


def lots(*some: Iterable[Good]) -> Counter[tuple[str, int]]:
    """Pieces by SPU and price."""
    found: Counter[tuple[str, int]] = Counter()
    for one in some:
        for good in one:
            found[good.spu, good.price] += good.quantity
    return found


def some_of(data: st.DataObject, given: tuple[Good, ...]) -> dict[str, int]:
    """Not more of each SPU than there is."""
    return {spu: data.draw(st.integers(0, pieces), spu) for spu, pieces in pieces_of(given).items()}


@given(goods, st.data())
def test_taking_splits_and_loses_nothing(given: tuple[Good, ...], data: st.DataObject) -> None:
    """What was wanted, and the rest: together as before."""
    wanted = some_of(data, given)
    got, rest = taken(given, wanted)
    assert pieces_of(got) == {spu: pieces for spu, pieces in wanted.items() if pieces}
    assert lots(got, rest) == lots(given)
    assert worth(got) + worth(rest) == worth(given)
    assert all(good.quantity > 0 for good in (*got, *rest))


@given(goods, st.sampled_from(SPUS))
def test_taking_more_than_there_is_fails(given: tuple[Good, ...], spu: str) -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError, match="less than was claimed"):
        taken(given, {spu: pieces_of(given).get(spu, 0) + 1})


@given(goods, goods, st.data())
def test_exchanging_adds_and_takes_away(given: tuple[Good, ...], back: tuple[Good, ...], data: st.DataObject) -> None:
    """Just that, each lot once."""
    away = taken((*given, *back), some_of(data, (*given, *back)))[0]
    after = exchanged(given, back, away)
    assert lots(after, away) == lots(given, back)
    assert len(lots(after)) == len(after)
    with pytest.raises(ValueError, match="more is claimed"):
        exchanged(given, back, (*given, *back, Good("milk", 1, 100)))


@given(goods, st.data())
def test_matching_is_a_piece_for_a_piece(given: tuple[Good, ...], data: st.DataObject) -> None:
    """Every claimed piece has one that stands for it, at its price; named ones are what was named."""
    lines: list[tuple[str, int, str]] = []
    free = 0
    for spu, pieces in pieces_of(given).items():
        named = data.draw(st.integers(0, pieces), spu)
        lines += [("new", named, spu)] if named else []
        free += pieces - named
    lines += [("any", free, "")] if free else []
    found = matched(given, data.draw(st.permutations(lines)))
    assert found is not None
    assert stands_for(found) == lots(given)
    for spu, pieces, instead_of in lines:
        if instead_of:
            assert sum(x.quantity for x in found if (x.spu, x.instead_of) == (spu, instead_of)) == pieces
    assert stands_for(same_again(given)) == lots(given)
    assert matched(given, [*lines, ("more", 1, "")]) is None
    if lines:
        spu, pieces, instead_of = lines[0]
        assert matched(given, [(spu, pieces + 1, instead_of), *lines[1:]]) is None


def stands_for(lines: Iterable[Replacing]) -> Counter[tuple[str, int]]:
    """The pieces that are replaced."""
    return lots(Good(line.instead_of, line.quantity, line.price) for line in lines)


# -- a whole chain -----------------------------------------------------------------------------------------------------

KINDS = ("refund_only", "return", "exchange", "replenishment")
LESS = st.sampled_from([0, 0, 0, 0, -1, 1])
"""Mostly all pieces; sometimes more than there are, or fewer."""
AMOUNT = st.sampled_from([None, None, None, 1, 130, 400])
NEW = st.sampled_from(["", "", "", "milk", "oat", "soy", "champagne"])
"""The new goods; none: the same again."""
SHELF = st.sampled_from(["there", "there", "empty"])
ROAD = st.sampled_from(["delivered", "delivered", "undeliverable", "short", "short, undeliverable"])
BACK = st.sampled_from(["all", "some", "none", "lost"])
UNDER_WAY = (TicketPhase.HOLDING, TicketPhase.REPLACING, TicketPhase.RETURNING)


class Complaints(RuleBasedStateMachine):
    """Customers complain about a delivered order and its replacements, in any order, until everything is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.numbers = 0

    # What was sent, not what is left: each order's window as it was opened.
    def delivered(self, order_id: str) -> Counter[tuple[str, int]]:
        """What came with an order."""
        return lots(
            *(
                map(Good, m.spus, m.quantities, m.prices)
                for m in self.chain.all(aftersales.OpenWindow)
                if m.order_id == order_id
            )
        )

    def lines(self, data: st.DataObject, about: str) -> tuple[tuple[str, int], ...]:
        """Some of the goods of an order, or a piece more than there is."""
        there = {**pieces_of(Good(spu, n, 0) for (spu, _), n in self.delivered(about).items()), "caviar": 1}
        spus = data.draw(st.lists(st.sampled_from([*there]), min_size=1, max_size=2, unique=True))
        return tuple((spu, max(1, there[spu] - data.draw(LESS))) for spu in spus)

    def new(
        self, data: st.DataObject, kind: Any, lines: tuple[tuple[str, int], ...]
    ) -> tuple[tuple[str, int, str], ...]:
        """What is to go out for them."""
        spu = data.draw(NEW) if kind in ("exchange", "replenishment") and lines else ""
        return tuple((spu, pieces, old) for old, pieces in lines) if spu else ()

    @rule(data=st.data(), kind=st.sampled_from(KINDS), amount=AMOUNT)
    def opens(self, data: st.DataObject, kind: Any, amount: int | None) -> None:
        """A ticket about goods of any order of the chain."""
        about = data.draw(st.sampled_from(sorted(w.order_id for w in self.chain.windows())))
        lines = self.lines(data, about)
        self.numbers += 1
        self.chain.opens(kind, lines, f"t-{self.numbers}", about, amount=amount, new=self.new(data, kind, lines))

    @rule()
    def intercepts(self) -> None:
        """Too late, and so about everything that is left."""
        self.numbers += 1
        self.chain.hears(aftersales.OpenTicket(order_id="o-1", ticket_id=f"t-{self.numbers}", kind="intercept"), AGENT)

    @rule(stars=st.integers(1, 5))
    def rates(self, stars: int) -> None:
        """Perhaps a quality complaint."""
        self.chain.hears(aftersales.RateOrder(order_id="o-1", account="a-1", stars=stars), "customer:a-1")

    @precondition(lambda self: self.chain.tickets())
    @rule(
        data=st.data(),
        kind=st.sampled_from([None, None, None, None, *KINDS]),
        again=st.sampled_from([False, False, True]),
        amount=AMOUNT,
        shelf=SHELF,
        road=ROAD,
        back=BACK,
    )
    def approves(
        self, data: st.DataObject, kind: Any, again: bool, amount: int | None, shelf: str, road: str, back: str
    ) -> None:
        """A decision, about the ticket's pieces or others, and what the store makes of it."""
        ticket = self.some(data)
        lines = self.lines(data, ticket.order_id) if again and ticket.order_id in self.known() else ()
        self.chain.shelf, self.chain.road, self.chain.back = shelf, road, back
        new = self.new(data, kind or ticket.kind, lines)
        self.chain.approves(ticket.ticket_id, ticket.order_id, lines, kind=kind, amount=amount, new=new)

    @precondition(lambda self: self.chain.tickets())
    @rule(data=st.data())
    def rejects(self, data: st.DataObject) -> None:
        """No."""
        ticket = self.some(data)
        self.chain.hears(
            aftersales.RejectTicket(order_id=ticket.order_id, ticket_id=ticket.ticket_id, reason="no"), AGENT
        )

    @precondition(lambda self: self.open_windows())
    @rule(data=st.data())
    def passes(self, data: st.DataObject) -> None:
        """The time of a window is over."""
        self.chain.hears(inner.WindowPassed(data.draw(st.sampled_from(self.open_windows()))))

    def some(self, data: st.DataObject) -> Ticket:
        """Any ticket."""
        return data.draw(st.sampled_from(sorted(self.chain.tickets(), key=lambda ticket: ticket.ticket_id)))

    def known(self) -> set[str]:
        """The orders that were delivered."""
        return {window.order_id for window in self.chain.windows()}

    def open_windows(self) -> list[str]:
        """Whose time is not over."""
        return sorted(window.order_id for window in self.chain.windows() if window.phase is Phase.OPEN)

    @invariant()
    def every_piece_is_in_one_place(self) -> None:
        """What came with an order is free, or in one ticket."""
        for window in self.chain.windows():
            held = [ticket.held for ticket in self.chain.tickets() if ticket.order_id == window.order_id]
            assert lots(window.goods, *held) == self.delivered(window.order_id)

    @invariant()
    def money_never_exceeds_what_was_paid(self) -> None:
        """What was given back, and what could be yet: a piece that went out for another has taken its money along."""
        given_back = sum(m.amount for m in self.chain.all(aftersales.GoodsRefunded))
        if not self.chain.links():
            assert given_back == self.chain.order().given_back == self.chain.order().refunded
            assert given_back == sum(m.amount for m in self.chain.all(payment.RefundPayment))
        assert given_back == sum(ticket.refunded for ticket in self.chain.tickets())
        waiting = [
            ticket.claims
            for ticket in self.chain.tickets()
            if not (ticket.phase in UNDER_WAY and ticket.replacement in self.known())
        ]
        free = [window.goods for window in self.chain.windows()]
        assert given_back + sum(map(worth, (*waiting, *free))) <= TOTAL

    @invariant()
    def windows_count_what_keeps_them_open(self) -> None:
        """Open tickets; the sales order's also the windows of its replacements."""
        for window in self.chain.windows():
            tickets = [t for t in self.chain.tickets() if t.order_id == window.order_id and t.phase not in TICKET_ENDS]
            others = [w for w in self.chain.windows() if w.order_id != "o-1" and w.phase is not Phase.SHUT]
            assert window.open_tickets == len(tickets) + (len(others) if window.order_id == "o-1" else 0)

    @rule(slow=st.booleans())
    def hurries(self, slow: bool) -> None:
        """From now on everything arrives at once, or takes its time."""
        self.chain.slow = slow
        if not slow:
            self.chain.rests()

    @precondition(lambda self: self.chain.links())
    @rule(data=st.data(), messages=st.integers(1, 8))
    def arrives(self, data: st.DataObject, messages: int) -> None:
        """Some of what is under way."""
        for _ in range(messages):
            if links := self.chain.links():
                self.chain.arrives(data.draw(st.sampled_from(links)))

    def teardown(self) -> None:
        """People end what is open; then everything closes, the sales order last."""
        self.hurries(False)
        for ticket in self.chain.tickets():
            about, asked = ticket.order_id, ticket.ticket_id
            self.chain.hears(aftersales.RejectTicket(order_id=about, ticket_id=asked, reason="no"), AGENT)
            if ticket.kind == "missing_goods":
                self.chain.approves(asked, about)
        for order_id in self.open_windows():
            self.chain.hears(inner.WindowPassed(order_id))
        assert {window.phase for window in self.chain.windows()} == {Phase.SHUT}
        assert {self.chain.order(window.order_id).phase for window in self.chain.windows()} == {"closed"}
        shut = [m.order_id for m in self.chain.all(aftersales.WindowShut)]
        assert (len(shut), shut[-1]) == (len(set(shut)), "o-1")
        assert self.chain.opens("return", (("milk", 1),), "t-last") == "order_closed"
        self.every_piece_is_in_one_place()
        self.money_never_exceeds_what_was_paid()


Complaints.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
TestComplaints = Complaints.TestCase
