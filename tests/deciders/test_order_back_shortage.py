"""Short while picking: a call asks the customer, and every outcome of it, or none in time, leads on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order import inner
from services.order.goods import is_similar
from services.order.pages import _substitutes
from services.order.short import SHORTAGE_WINDOW
from services.order.state import Amendment, Lot, Paper, Phase, Product, Substitution
from services.order.store import _amendment_row
from shared.contracts import aftersales, inventory, logistics, payment
from shared.contracts import order as ordering
from shared.contracts.base import LINES_MAX, QUANTITY_MAX
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, NoCell, Refused
from tests.deciders.orders import (
    ALL_SHORT,
    BASKET,
    CALL,
    CANCEL,
    CLEARED,
    CLICK,
    DEDUCTED,
    DROP,
    HELD,
    NO_THANKS,
    NOBODY_CALLED,
    OAT,
    ON_THE_ROAD,
    ONE_SHORT,
    PACKED,
    PICKING,
    REVERSED,
    STOPPED,
    SUBSTITUTE_SHORT,
    SUBSTITUTED,
    TAKEN,
    TOTAL,
    UNDELIVERABLE,
    VERIFIED,
    WAY_TO,
    Shop,
    at,
    messages,
    only,
    order,
    refunded,
    shop,
    substitutes,
)
from tests.deciders.scene import NOON

MILK, BREAD = 129, 349
WINDOW = timedelta(seconds=600)
DROPPED = inventory.DropShort(order_id="o-1", store="s-1", spus=("milk",), missing=(1,))
MILK_BACK = payment.RefundPayment(
    order_id="o-1", refund=1, amount=MILK, reference="cap-1", reason="short", liable="store"
)
STOP = logistics.StopFulfilment(order_id="o-1", store="s-1")


def settled(note: str, ticket: str = CALL) -> aftersales.SettleTicket:
    """The call has come to its end."""
    return aftersales.SettleTicket(order_id="o-1", ticket_id=ticket, phase="resolved", note=note)


def reopened(note: str, ticket: str = CALL) -> aftersales.ReopenCall:
    """Somebody has to call again."""
    return aftersales.ReopenCall(order_id="o-1", ticket_id=ticket, note=note)


def picks(*lines: tuple[str, int]) -> logistics.AmendFulfilment:
    """The picker's new list."""
    return logistics.AmendFulfilment(
        order_id="o-1",
        store="s-1",
        spus=tuple(spu for spu, _ in lines),
        quantities=tuple(pieces for _, pieces in lines),
    )


def short_of(*lines: tuple[str, int]) -> logistics.PiecesShort:
    """The picker misses these."""
    return logistics.PiecesShort(
        order_id="o-1", store="s-1", spus=tuple(spu for spu, _ in lines), missing=tuple(n for _, n in lines)
    )


def short(*lines: tuple[str, int]) -> Shop:
    """A scene in which the picker has just missed these."""
    scene = at(Phase.PICKING)
    scene.says(short_of(*lines))
    return scene


# -- the call ----------------------------------------------------------------------------------------------------------


def test_customer_service_is_asked_to_call() -> None:
    """The page shows what is short, the ticket names it, and a deadline decides if nobody calls."""
    scene = at(Phase.PICKING)
    said = scene.says(ONE_SHORT)
    assert messages(said) == [
        aftersales.RaiseTicket(
            order_id="o-1",
            ticket_id=CALL,
            account="a-1",
            store="s-1",
            kind="shortage",
            spus=("milk",),
            quantities=(1,),
            reason="short",
        )
    ]
    assert only(SetTimer, said) == SetTimer("o-1", SHORTAGE_WINDOW, NOON + WINDOW)
    assert only(Paper, said).body == {"lines": [{"spu": "milk", "missing": 1}]}
    assert order(scene).phase is Phase.SHORT


def test_line_that_is_named_twice_is_short_of_the_sum() -> None:
    """The picker scanned the empty shelf twice: both pieces are dropped, and both are paid back."""
    scene = short(("milk", 1), ("milk", 1))
    said = scene.says(DROP)
    assert only(inventory.DropShort, said).missing == (2,)
    assert only(payment.RefundPayment, said).amount == 2 * MILK
    assert only(logistics.AmendFulfilment, said) == picks(("bread", 1))


# -- drop --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "note"), [(DROP, "dropped"), (NOBODY_CALLED, "nobody_called")])
def test_dropped_by_word_of_the_customer_or_by_the_deadline(word: Any, note: str) -> None:
    """Inventory corrects its books, the part is refunded, the picker gets the new list, the call is over."""
    scene = at(Phase.SHORT)
    said = scene.says(word)
    assert messages(said) == [DROPPED, MILK_BACK, picks(("milk", 1), ("bread", 1)), settled(note)]
    assert CancelTimer("o-1", SHORTAGE_WINDOW) in said
    after = order(scene)
    assert (after.phase, after.shortage, after.given_back) == (Phase.PICKING, None, MILK)
    assert after.lots == (Lot("milk", 1, MILK), Lot("bread", 1, BREAD))


def test_partial_refund_is_booked_wherever_the_order_is_by_then() -> None:
    """Nobody waits for it: it may be confirmed before the documents, after the delivery, or in between."""
    scene = at(Phase.SHORT)
    scene.says(DROP)
    documents = (
        inventory.Paper(number="IR-o-1", kind="issue_reversal", spus=("milk",), quantities=(1,)),
        inventory.Paper(number="AD-o-1~1", kind="adjustment", spus=("milk",), quantities=(-1,)),
    )
    said = scene.says(inventory.ShortDropped(order_id="o-1", documents=documents))
    assert [p.body["kind"] for p in said if isinstance(p, Paper)] == ["issue_reversal", "adjustment"]
    scene.says(PACKED)
    said = scene.says(refunded(1, "short", amount=MILK))
    assert only(Paper, said).body["amount"] == MILK
    assert (order(scene).phase, order(scene).refunded) == (Phase.AWAITING_SHIPMENT, MILK)


def test_whole_line_dropped() -> None:
    """It is off the list, and paid back piece by piece."""
    scene = short(("milk", 2))
    said = scene.says(DROP)
    assert only(logistics.AmendFulfilment, said) == picks(("bread", 1))
    assert only(payment.RefundPayment, said).amount == 2 * MILK


@pytest.mark.parametrize(("word", "note"), [(DROP, "dropped"), (NOBODY_CALLED, "nobody_called")])
def test_nothing_left_ends_the_order(word: Any, note: str) -> None:
    """An empty bag is not delivered: the work is stopped, everything goes back, and it is our fault."""
    scene = at(Phase.PICKING)
    scene.says(ALL_SHORT)
    said = scene.says(word)
    assert messages(said) == [STOP, settled(note)]
    assert CancelTimer("o-1", SHORTAGE_WINDOW) in said
    (reverse,) = messages(scene.says(STOPPED))
    assert reverse == inventory.ReverseIssue(order_id="o-1", store="s-1", short_spus=("milk", "bread"), short=(2, 1))
    refund = only(payment.RefundPayment, scene.says(REVERSED))
    assert (refund.amount, refund.reason, refund.liable) == (TOTAL, "short", "store")
    assert messages(scene.says(refunded(1, "short"))) == [
        ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason="short")
    ]


def test_nothing_left_after_a_second_shortage() -> None:
    """What was dropped before is paid back already: the end gives back the rest."""
    scene = at(Phase.SHORT)
    scene.says(DROP)
    scene.says(short_of(("milk", 1), ("bread", 1)))
    assert messages(scene.says(DROP.model_copy(update={"ticket_id": "t-o-1-2"}))) == [
        STOP,
        settled("dropped", "t-o-1-2"),
    ]
    (reverse,) = messages(scene.says(STOPPED))
    assert reverse == inventory.ReverseIssue(order_id="o-1", store="s-1", short_spus=("milk", "bread"), short=(1, 1))
    refund = only(payment.RefundPayment, scene.says(REVERSED))
    assert (refund.refund, refund.amount) == (2, TOTAL - MILK)
    assert order(scene).given_back == TOTAL


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_customer_who_wants_nothing_without_it_gets_all_money_back() -> None:
    """Said on the phone: the order is stopped; the shelf was wrong, so the store bears it and risk does not hear."""
    scene = at(Phase.SHORT)
    said = scene.says(NO_THANKS)
    assert messages(said) == [STOP, settled("cancelled")]
    assert CancelTimer("o-1", SHORTAGE_WINDOW) in said
    scene.says(STOPPED)
    refund = only(payment.RefundPayment, scene.says(REVERSED))
    assert (refund.amount, refund.reason, refund.liable) == (TOTAL, "short", "store")
    (told,) = messages(scene.says(refunded(1, "short")))
    assert told == ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason="short")


# -- substitutes -------------------------------------------------------------------------------------------------------


def test_substitute_that_fits_is_asked_of_inventory_first() -> None:
    """In a phase of its own, without a deadline: nothing is refunded, amended or settled before the answer."""
    scene = at(Phase.SHORT)
    said = scene.says(OAT)
    assert messages(said) == [
        inventory.SubstituteStock(
            order_id="o-1",
            store="s-1",
            spus=("milk",),
            missing=(1,),
            substitute_spus=("oat",),
            substitutes=(1,),
        )
    ]
    assert CancelTimer("o-1", SHORTAGE_WINDOW) in said
    assert order(scene).phase is Phase.SUBSTITUTING
    assert only(Amendment, said).substitution == order(scene).substitution


def test_substituted() -> None:
    """At the price that was paid: nothing is charged, nothing given back; both prices are written on the order."""
    scene = at(Phase.SUBSTITUTING)
    said = scene.says(SUBSTITUTED)
    assert messages(said) == [picks(("milk", 1), ("bread", 1), ("oat", 1)), settled("substituted")]
    assert [p.body["kind"] for p in said if isinstance(p, Paper)] == ["issue_reversal", "adjustment", "sales_issue"]
    after = order(scene)
    assert (after.phase, after.shortage, after.substitution, after.given_back) == (Phase.PICKING, None, None, 0)
    assert after.lots == (Lot("milk", 1, MILK), Lot("bread", 1, BREAD), Lot("oat", 1, MILK, "milk", 140))
    lots = _amendment_row(only(Amendment, said))[1]
    assert _substitutes(lots) == [{"spu": "oat", "quantity": 1, "instead_of": "milk", "price": 140, "paid": MILK}]


def test_what_nothing_replaces_is_dropped_and_refunded_once_the_substitutes_are_there() -> None:
    """Two cartons short, one replaced: the other is paid back, and not a moment before inventory said yes."""
    scene = short(("milk", 2), ("bread", 1))
    said = scene.says(OAT)
    (asked,) = messages(said)
    assert isinstance(asked, inventory.SubstituteStock)
    assert (asked.spus, asked.missing, asked.substitutes) == (("milk", "bread"), (2, 1), (1,))
    said = scene.says(SUBSTITUTED)
    assert only(payment.RefundPayment, said).amount == MILK + BREAD
    assert only(logistics.AmendFulfilment, said) == picks(("oat", 1))
    assert order(scene).given_back == TOTAL - MILK


def test_several_substitutes_for_one_line() -> None:
    """One oat, one soy, for two milk."""
    scene = short(("milk", 2))
    (asked,) = messages(scene.says(substitutes(("oat", 1, "milk"), ("soy", 1, "milk"))))
    assert isinstance(asked, inventory.SubstituteStock)
    assert (asked.substitute_spus, asked.substitutes) == (("oat", "soy"), (1, 1))
    said = scene.says(SUBSTITUTED)
    assert not [m for m in said if isinstance(m, payment.RefundPayment)]
    assert only(logistics.AmendFulfilment, said) == picks(("bread", 1), ("oat", 1), ("soy", 1))


def test_one_substitute_named_twice_is_asked_for_as_the_sum() -> None:
    """Inventory gets each SPU once."""
    scene = short(("milk", 2))
    (asked,) = messages(scene.says(substitutes(("oat", 1, "milk"), ("oat", 1, "milk"))))
    assert isinstance(asked, inventory.SubstituteStock)
    assert (asked.substitute_spus, asked.substitutes) == (("oat",), (2,))


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        (substitutes(("champagne", 1, "milk")), "substitute_price_differs"),
        (substitutes(("gone", 1, "milk")), "substitute_unknown"),
        (substitutes(("oat", 2, "milk")), "more_than_missing"),
        (substitutes(("oat", 1, "milk"), ("soy", 1, "milk")), "more_than_missing"),
        (substitutes(("oat", 1, "bread")), "more_than_missing"),
        (substitutes(("oat", 1, "caviar")), "more_than_missing"),
        (substitutes(("milk", 1, "milk")), "substitute_is_short"),
        (substitutes(("oat", 1, "milk"), ("champagne", 1, "milk")), "more_than_missing"),
    ],
    ids=lambda v: v if isinstance(v, str) else "-".join(v.substitute_spus),
)
def test_substitute_that_cannot_be_needs_another_call(chosen: Any, why: str) -> None:
    """Nothing is asked of inventory, nothing changes, and the deadline stays."""
    scene = at(Phase.SHORT)
    before = order(scene)
    scene.later(60)
    said = scene.says(chosen)
    assert messages(said) == [reopened(why)]
    assert not [m for m in said if isinstance(m, SetTimer | CancelTimer | Amendment)]
    assert order(scene) == before
    assert only(inventory.DropShort, scene.says(NOBODY_CALLED)) == DROPPED


def largest(quantity: int) -> Shop:
    """A scene in which an order of as many lines as there may be is being picked."""
    scene = shop()
    spus = tuple(f"p-{n}" for n in range(LINES_MAX))
    scene.states |= {("product", spu): Product(100) for n in range(LINES_MAX) for spu in (f"p-{n}", f"q-{n}")}
    total = 100 * quantity * LINES_MAX
    basket = BASKET.model_copy(update={"spus": spus, "quantities": (quantity,) * LINES_MAX})
    click, taken = CLICK.model_copy(update={"expected_total": total}), TAKEN.model_copy(update={"amount": total})
    for message in (basket, CLEARED, HELD, click, VERIFIED, taken, DEDUCTED, PICKING):
        scene.says(message)
    return scene


def test_every_line_of_the_largest_order_replaced() -> None:
    """As many lines as before: the picker and the storekeeper can name each of them, on the wire as well."""
    scene = largest(2)
    lines = range(LINES_MAX)
    scene.says(short_of(*((f"p-{n}", 2) for n in lines)))
    (asked,) = messages(scene.says(substitutes(*((f"q-{n}", 2, f"p-{n}") for n in lines))))
    assert isinstance(asked, inventory.SubstituteStock)
    listed = only(logistics.AmendFulfilment, scene.says(SUBSTITUTED))
    assert len(listed.spus) == LINES_MAX
    everything = logistics.ReportPicked(order_id="o-1", store="s-1", spus=listed.spus, missing=listed.quantities)
    scene.says(short_of(*zip(everything.spus, everything.missing, strict=True)))
    ticket = CALL.replace("-1-1", "-1-2")
    assert messages(scene.says(DROP.model_copy(update={"ticket_id": ticket}))) == [STOP, settled("dropped", ticket)]
    logistics.InspectGoods(
        order_id="o-1",
        store="s-1",
        spus=listed.spus * 2,
        quantities=(1,) * 2 * LINES_MAX,
        resellable=(True,) * LINES_MAX + (False,) * LINES_MAX,
    )


def test_more_lines_than_an_order_may_have_need_another_call() -> None:
    """One piece of each line short, each replaced by something new: nobody could report on such a list. What is on the
    list already, or replaces a whole line, fits; so does going without."""
    scene = largest(2)
    lines = range(LINES_MAX)
    scene.says(short_of(*((f"p-{n}", 1) for n in lines[1:])))
    before = order(scene)
    for chosen in ([(f"q-{n}", 1, f"p-{n}") for n in lines[1:]], [("q-1", 1, "p-1")]):
        assert messages(scene.says(substitutes(*chosen))) == [reopened("too_many_lines")]
        assert order(scene) == before
    scene.says(substitutes(*((f"p-{0}", 1, f"p-{n}") for n in lines[1:])))
    assert order(scene).phase is Phase.SUBSTITUTING
    listed = only(logistics.AmendFulfilment, scene.says(SUBSTITUTED))
    assert dict(zip(listed.spus, listed.quantities, strict=True))["p-0"] == 2 + LINES_MAX - 1


def test_more_pieces_than_a_line_may_have_need_another_call() -> None:
    """Nobody could report them missing."""
    scene = largest(QUANTITY_MAX - 1)
    scene.says(short_of(("p-1", 2)))
    assert messages(scene.says(substitutes(("p-0", 2, "p-1")))) == [reopened("too_many_pieces")]
    scene.says(substitutes(("p-0", 1, "p-1")))
    assert order(scene).phase is Phase.SUBSTITUTING


@pytest.mark.parametrize(("price", "fits"), [(103, False), (104, True), (129, True), (154, True), (155, False)])
def test_similar_is_within_twenty_percent_of_what_was_paid(price: int, fits: bool) -> None:
    """Both ways: much dearer is our loss, much cheaper is the customer's."""
    scene = at(Phase.SHORT)
    scene.states["product", "oat"] = type(scene.states["product", "oat"])(price)
    scene.says(OAT)
    assert order(scene).phase is (Phase.SUBSTITUTING if fits else Phase.SHORT)


@pytest.mark.parametrize(("price", "similar"), [(79, False), (80, True), (100, True), (120, True), (121, False)])
def test_just_twenty_percent_is_similar(price: int, similar: bool) -> None:
    """The bound itself is within."""
    assert is_similar(price, 100, 20) is similar


def test_similar_to_what_was_paid_and_not_to_the_price_of_now() -> None:
    """Milk has doubled since: the customer's price is the one that he paid."""
    scene = at(Phase.SHORT)
    scene.states["product", "milk"] = type(scene.states["product", "oat"])(258)
    scene.says(OAT)
    assert order(scene).phase is Phase.SUBSTITUTING


def test_substitute_out_of_stock_needs_another_call_within_a_new_window() -> None:
    """Nothing was changed by inventory, nothing is refunded; the customer is asked again, and a deadline again."""
    scene = at(Phase.SUBSTITUTING)
    now = scene.later(590)
    said = scene.says(SUBSTITUTE_SHORT)
    assert messages(said) == [reopened("substitute_out_of_stock")]
    assert only(SetTimer, said) == SetTimer("o-1", SHORTAGE_WINDOW, now + WINDOW)
    after = order(scene)
    assert (after.phase, after.substitution, after.given_back, after.lots) == (Phase.SHORT, None, 0, ())
    assert after.shortage
    assert (after.shortage.ticket_id, after.shortage.until) == (CALL, now + WINDOW)
    assert only(Amendment, said) == Amendment("o-1", (), after.shortage, None)


@pytest.mark.parametrize("word", [DROP, NOBODY_CALLED, NO_THANKS, substitutes(("soy", 1, "milk")), CANCEL])
def test_every_outcome_is_open_again_after_a_substitute_was_out_of_stock(word: Any) -> None:
    """The second call is a call like the first."""
    scene = at(Phase.SUBSTITUTING)
    scene.says(SUBSTITUTE_SHORT)
    scene.says(word)
    assert order(scene).phase in (Phase.PICKING, Phase.STOPPING, Phase.SUBSTITUTING)


# -- who comes first ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [NOBODY_CALLED, DROP, NO_THANKS, OAT])
def test_deadline_and_words_while_the_substitute_is_asked_for_are_ignored(late: Any) -> None:
    """The substitute's answer decides: no late answer finds an order that was refunded already."""
    scene = at(Phase.SUBSTITUTING)
    before = order(scene)
    assert scene.when(late) == IGNORED
    assert order(scene) is before


def test_wish_to_cancel_while_the_substitute_is_asked_for_is_refused() -> None:
    """By everybody; a moment later it may be said again."""
    for actor in ("customer:a-1", "customer_service:", "admin:"):
        outcome = at(Phase.SUBSTITUTING).when(CANCEL, actor)
        assert isinstance(outcome, Refused)
        assert outcome.code == "cancel_not_allowed"


@pytest.mark.parametrize("late", [DROP, NO_THANKS, OAT])
def test_words_after_the_deadline_are_ignored(late: Any) -> None:
    """The deadline was first: the order is picked without the short pieces."""
    scene = at(Phase.SHORT)
    scene.says(NOBODY_CALLED)
    before = order(scene)
    assert scene.when(late) == IGNORED
    assert order(scene) is before


@pytest.mark.parametrize("first", [DROP, NO_THANKS, CANCEL])
def test_deadline_after_a_word_is_ignored(first: Any) -> None:
    """Also if it had fired already when it was taken off."""
    scene = at(Phase.SHORT)
    scene.says(first)
    assert scene.when(NOBODY_CALLED) == IGNORED


@pytest.mark.parametrize(
    "phase", [p for p in WAY_TO if p not in {Phase.SHORT, Phase.PICKING, Phase.SUBSTITUTING, Phase.STOPPING}]
)
def test_parked_when_a_deadline_comes_that_nobody_set(phase: Phase) -> None:
    """The timer is taken off with the shortage. At most it is parked behind the word that settled it, and comes right
    after that; anywhere else somebody has to look at it."""
    with pytest.raises(NoCell):
        at(phase).when(NOBODY_CALLED)


@pytest.mark.parametrize("stale", [DROP, NO_THANKS, OAT])
def test_word_about_an_earlier_shortage_decides_nothing_about_a_later_one(stale: Any) -> None:
    """A deadline settled the first call while somebody was on the phone, and more is short since: that has a call of
    its own, which nobody has made yet."""
    scene = at(Phase.SHORT)
    scene.says(NOBODY_CALLED)
    scene.says(short_of(("milk", 1)))
    before = order(scene)
    assert before.shortage
    assert before.shortage.ticket_id == "t-o-1-2"
    assert scene.when(stale) == IGNORED
    assert order(scene) is before


# -- short again -------------------------------------------------------------------------------------------------------


def test_substitute_is_short_as_well() -> None:
    """It is dropped at the price that was paid for the milk."""
    scene = at(Phase.SUBSTITUTING)
    scene.says(SUBSTITUTED)
    said = scene.says(short_of(("oat", 1)))
    assert only(aftersales.RaiseTicket, said).ticket_id == "t-o-1-2"
    said = scene.says(NOBODY_CALLED)
    assert messages(said) == [
        inventory.DropShort(order_id="o-1", store="s-1", spus=("oat",), missing=(1,)),
        MILK_BACK,
        picks(("milk", 1), ("bread", 1)),
        settled("nobody_called", "t-o-1-2"),
    ]


def test_substitute_of_a_substitute() -> None:
    """Similar to what was paid in the first place; what it replaces is what was on the list."""
    scene = at(Phase.SUBSTITUTING)
    scene.says(SUBSTITUTED)
    scene.says(short_of(("oat", 1)))
    (asked,) = messages(scene.says(substitutes(("soy", 1, "oat"), ticket_id="t-o-1-2")))
    assert isinstance(asked, inventory.SubstituteStock)
    assert (asked.spus, asked.substitute_spus) == (("oat",), ("soy",))
    scene.says(SUBSTITUTED)
    assert order(scene).lots == (Lot("milk", 1, MILK), Lot("bread", 1, BREAD), Lot("soy", 1, MILK, "oat", 110))
    assert order(scene).given_back == 0


def test_substitute_that_is_on_the_list_already() -> None:
    """Bread for bread's neighbour: the picker's list has it once, the order knows what was paid for which."""
    scene = shop(bread=130)
    for message in at_picking(130):
        scene.says(message)
    scene.says(ONE_SHORT)
    scene.says(substitutes(("bread", 1, "milk")))
    said = scene.says(SUBSTITUTED)
    assert only(logistics.AmendFulfilment, said) == picks(("milk", 1), ("bread", 2))
    # One of them is short: the substitute goes first, at its own price.
    scene.says(short_of(("bread", 1)))
    said = scene.says(NOBODY_CALLED)
    assert only(payment.RefundPayment, said).amount == MILK
    assert only(logistics.AmendFulfilment, said) == picks(("milk", 1), ("bread", 1))


def test_pieces_that_were_paid_differently_are_not_substituted() -> None:
    """Nobody can say at which price: somebody calls again, and they can be dropped, each at its own price."""
    scene = shop(bread=130)
    for message in at_picking(130):
        scene.says(message)
    scene.says(ONE_SHORT)
    scene.says(substitutes(("bread", 1, "milk")))
    scene.says(SUBSTITUTED)
    scene.says(short_of(("bread", 2)))
    before = order(scene)
    said = scene.says(substitutes(("oat", 2, "bread"), ticket_id="t-o-1-2"))
    assert messages(said) == [reopened("substitute_price_differs", "t-o-1-2")]
    assert order(scene) == before
    assert only(payment.RefundPayment, scene.says(NOBODY_CALLED)).amount == MILK + 130


def at_picking(bread: int) -> tuple[Any, ...]:
    """The way to picking of an order whose bread costs this much."""
    total = 2 * MILK + bread
    return (
        BASKET,
        CLEARED,
        HELD,
        CLICK.model_copy(update={"expected_total": total}),
        VERIFIED,
        TAKEN.model_copy(update={"amount": total}),
        DEDUCTED,
        PICKING,
    )


def test_tickets_and_refunds_are_numbered_on() -> None:
    """Each shortage has its own ticket and its own refund."""
    scene = at(Phase.SHORT)
    first = only(payment.RefundPayment, scene.says(NOBODY_CALLED))
    second_call = only(aftersales.RaiseTicket, scene.says(short_of(("milk", 1))))
    second = only(payment.RefundPayment, scene.says(NOBODY_CALLED))
    assert (first.refund, second.refund, second_call.ticket_id) == (1, 2, "t-o-1-2")


def test_amended_order_goes_its_way() -> None:
    """Packed, handed over, and if it comes back, the rest of the money goes back: what was dropped went back before."""
    scene = at(Phase.SUBSTITUTING)
    scene.says(SUBSTITUTED)
    scene.says(short_of(("bread", 1)))
    scene.says(NOBODY_CALLED)
    for message in (PACKED, ON_THE_ROAD):
        scene.says(message)
    scene.says(UNDELIVERABLE)
    said = scene.says(inner.GoodsOverdue("o-1"))
    refund = only(payment.RefundPayment, said)
    assert (refund.refund, refund.amount) == (2, TOTAL - BREAD)
    missing = only(aftersales.RaiseTicket, said)
    assert dict(zip(missing.spus, missing.quantities, strict=True)) == {"milk": 1, "oat": 1}


def test_substitution_is_kept_until_inventory_has_answered() -> None:
    """What the order will be, and the money that goes back then."""
    scene = at(Phase.SUBSTITUTING)
    kept = order(scene).substitution
    assert kept == Substitution((Lot("milk", 1, MILK), Lot("bread", 1, BREAD), Lot("oat", 1, MILK, "milk", 140)), 0)
