"""A flash sale's crowd: who comes, when the door opens, and what is counted; against a larder of a few lines."""

import random
from collections import Counter

import msgspec
import pytest

from larder.load.errors import LoadError
from larder.load.figures import Figures
from larder.load.flash import AT_THE_DOOR_MAX, SALE_PRICE, Customer, Sale, crowd_of, refuse_small_crowd
from larder.load.mix import Tail
from larder.load.robots import Robots
from tests.load.test_robots import Record

SIZES = [(1, 1), (1, 2), (3, 4), (20, 20), (19, 20), (20, 25), (20, 120), (50, 57), (500, 1_500)]


def said(id_: bytes, type_: str, **body: object) -> Record:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"e"), ("ce_type", type_.encode())]
    return Record(id_, msgspec.json.encode(body), headers)


class Larder:
    """Sells the pieces of a sale, and says what of each order comes in which step; may be a larder that oversells."""

    def __init__(self, pieces: int, seed: int, *, oversells: int = 0, lapses: bool = False) -> None:
        self.left = pieces + oversells
        self._chance = random.Random(seed)
        self._lapses = lapses
        self._had: Counter[int] = Counter()
        self._next: dict[bytes, tuple[Customer, str]] = {}

    def order(self, id_: bytes, customer: Customer) -> None:
        self._next[id_] = (customer, "hold")

    @property
    def busy(self) -> bool:
        return bool(self._next)

    def step(self) -> list[Record]:
        """Any order goes one step on."""
        id_ = self._chance.choice(list(self._next))
        customer, step = self._next.pop(id_)
        steps = {
            "hold": self._hold,
            "pay": self._pay,
            "expire": self._expire,
            "leave": self._leave,
            "give_back": self._give_back,
        }
        events, then = steps[step](id_, customer)
        if then:
            self._next[id_] = (customer, then)
        return events

    def _hold(self, id_: bytes, customer: Customer) -> tuple[list[Record], str | None]:
        if not self.left:
            return [said(id_, "OrderRejected", reason="sold_out")], None
        then = {Tail.UNPAID: "expire", Tail.DECLINED_LEAVES: "leave"}.get(customer.tail, "pay")
        if self._lapses and self._chance.random() < 0.05:
            then = "expire"
        return [said(id_, "OrderPayable", total=SALE_PRICE)], then

    def _expire(self, id_: bytes, customer: Customer) -> tuple[list[Record], str | None]:
        return [said(id_, "OrderCancelled", reason="payment_expired")], None

    def _leave(self, id_: bytes, customer: Customer) -> tuple[list[Record], str | None]:
        return [said(id_, "OrderCancelled", reason="cancelled_by_customer")], None

    def _pay(self, id_: bytes, customer: Customer) -> tuple[list[Record], str | None]:
        if self._had[customer.number]:
            return self._leave(id_, customer)
        self._had[customer.number] += 1
        taken = said(id_, "PaymentTaken", amount=SALE_PRICE, reference="r")
        if self.left:
            self.left -= 1
            then = "give_back" if customer.tail is Tail.CANCELS_PAID else None
            return [taken, said(id_, "OrderPaid", total=SALE_PRICE), taken], then
        self._had[customer.number] -= 1
        return [taken, *self._money_back(id_), said(id_, "OrderCancelled", reason="sold_out")], None

    def _give_back(self, id_: bytes, customer: Customer) -> tuple[list[Record], str | None]:
        self.left += 1
        cancelled = said(id_, "OrderCancelled", reason="cancelled_by_customer")
        return [cancelled, *self._money_back(id_), cancelled], None

    def _money_back(self, id_: bytes) -> list[Record]:
        back = said(id_, "PaymentRefunded", amount=SALE_PRICE, refund=1)
        return [back, back]


def play(sale: Sale, larder: Larder) -> Sale:
    """The crowd comes, and all is heard until nothing happens any more."""
    sale.opened_at = now = 10.0
    placed = 0
    while True:
        while (coming := sale.next()) is not None:
            placed += 1
            id_ = b"o-%d" % placed
            sale.came(id_, *coming)
            larder.order(id_, coming[0])
        assert sale.inside <= AT_THE_DOOR_MAX
        if not larder.busy:
            return sale
        now += 0.01
        sale.hear(larder.step(), now)


@pytest.mark.parametrize(("pieces", "customers"), SIZES)
def test_there_is_always_a_buyer_for_every_piece(pieces, customers):
    """So many come as were asked for, and of them at least as many buy and keep as there are pieces."""
    for seed in range(20):
        crowd = list(crowd_of(pieces, customers, seed))
        assert len(crowd) == customers
        assert sum(customer.buys for customer in crowd) >= pieces
        buyers = [customer.number for customer in crowd if customer.buys]
        assert len(set(buyers)) == len(buyers)


def test_a_large_crowd_does_all_that_customers_do():
    """Of each twenty one declines and leaves, one never pays, one gives back, and one comes twice at once."""
    tails = Counter(customer.tail for customer in crowd_of(20, 400, 1))
    assert [tails[tail] for tail in (Tail.CANCELS_PAID, Tail.DECLINED_LEAVES, Tail.UNPAID, Tail.DECLINED)] == [20] * 4
    numbers = Counter(customer.number for customer in crowd_of(20, 400, 1))
    assert Counter(numbers.values()) == {1: 360, 2: 20}
    assert Tail.UNPAID not in {customer.tail for customer in crowd_of(20, 400, 1, with_unpaid=False)}


@pytest.mark.parametrize("lapses", [False, True])
@pytest.mark.parametrize(("pieces", "customers"), SIZES)
def test_an_exact_larder_sells_exactly_all(pieces, customers, lapses):
    """In whatever order things happen, with pieces given back to the last, and buyers whose window ended who come
    again: all pieces are sold and kept, and the money is right."""
    for seed in range(8):
        sale = play(Sale(pieces, customers, seed), Larder(pieces, seed, lapses=lapses))
        assert sale.faults() == []
        assert sale.waiting == 0
        assert sale.over_at is not None
        told = sale.summary(Figures())
        orders = told["paid"] + told["sold_out"] + told["given_back"] + sum(told["others"].values())
        assert (orders == customers) if not lapses else (orders >= customers)
        assert told["refunded"] >= told["given_back"]


@pytest.mark.parametrize("oversells", [1, -1])
def test_a_larder_that_sells_one_too_many_or_few_is_found_out(oversells):
    """The summary's verdict is not exact."""
    sale = play(Sale(20, 120, 1), Larder(20, 1, oversells=oversells))
    assert sale.faults() == [f"{20 + oversells} of 20 pieces are sold and kept"]


def test_money_that_is_not_back_is_found_out():
    """A customer without a piece has paid; one with a piece has paid half."""
    sale = Sale(1, 2, 1)
    sale.opened_at = 0.0
    for id_ in (b"o-1", b"o-2"):
        coming = sale.next()
        assert coming
        sale.came(id_, *coming)
    sale.hear([said(b"o-1", "PaymentTaken", amount=500, reference="r"), said(b"o-1", "OrderPaid", total=500)], 1.0)
    sale.hear([said(b"o-2", "PaymentTaken", amount=999, reference="r")], 1.0)
    sale.hear([said(b"o-2", "OrderCancelled", reason="sold_out")], 1.5)
    assert sale.faults() == ["order o-1 has paid 500, not 999", "order o-2 has paid 999, not 0"]
    assert (sale.sold_out_at, sale.over_at, sale.refunded) == (1.0, 1.5, 0)


def test_the_door_lets_in_so_many_and_keeps_the_last_for_what_comes_back():
    """While somebody inside may give a piece back, the last buyer waits; afterwards they come in."""
    sale = Sale(500, 10_000, 1)
    assert sale.next() is None  # not open yet
    sale.opened_at = 0.0
    inside = 0
    while (coming := sale.next()) is not None:
        inside += 1
        sale.came(b"o-%d" % inside, *coming)
    assert inside == AT_THE_DOOR_MAX

    seed = next(
        seed for seed in range(100) if next(iter(crowd_of(1, 2, seed, with_unpaid=False))).tail is Tail.CANCELS_PAID
    )
    sale = Sale(1, 2, seed, with_unpaid=False)
    sale.opened_at = 0.0
    giver = sale.next()
    assert giver
    sale.came(b"o-1", *giver)
    assert sale.next() is None
    sale.hear([said(b"o-1", "OrderPaid"), said(b"o-1", "OrderCancelled", reason="cancelled_by_customer")], 1.0)
    assert sale.next() is not None


def test_a_refused_order_has_heard_enough():
    """A second try that larder does not take at the sale's price is told at once."""
    sale = Sale(1, 1, 1)
    sale.opened_at = 0.0
    coming = sale.next()
    assert coming
    sale.came(b"o-1", coming[0]._replace(buys=False), 1)
    sale.hear([said(b"o-1", "CommandRefused", command="PlaceOrder", code="total_changed")], 1.0)
    assert (sale.waiting, sale.others["total_changed"]) == (0, 1)


def test_the_line_tells_how_a_sale_stands():
    """Before the crowd how the ordinary orders are, then the sale."""
    sale, figures = Sale(1, 1, 1), Figures()
    robots = Robots("r", figures, lambda topic, partition, wire: None, shards=1)
    assert "placed 0 of 7" in sale.standing(1.0, robots, figures, 7)
    play(sale, Larder(1, 1))
    assert "placed 0 of 7" in sale.standing(20.0, robots, figures, 7)
    sale.over_at = None
    line = sale.standing(12.0, robots, figures, 7)
    for part in ("2.0 s", "paid 1 of 1", "sold out 0", "refunded 0", "waiting 0", "all sold after 0.0"):
        assert part in line


def test_a_small_crowd_is_refused():
    """There is somebody for every piece."""
    refuse_small_crowd(5, 5)
    with pytest.raises(LoadError, match="needs a crowd"):
        refuse_small_crowd(5, None)
    with pytest.raises(LoadError, match="a crowd of 4 cannot buy 5 pieces"):
        refuse_small_crowd(5, 4)
