"""Goods that the customer has: given a delivered order, when aftersales or the store speaks of them, then stock and
money follow, once."""

from __future__ import annotations

from typing import Any

import pytest

from services.order.state import Owed, Paper, Phase
from shared.contracts import aftersales, inventory, logistics, payment
from shared.runtime.table import NoCell
from tests.deciders.orders import TOTAL, WAY_TO, at, messages, only, order, refunded
from tests.deciders.scene import NOON

TICKET: dict[str, Any] = {"order_id": "o-1", "ticket_id": "t-1"}
STORE: dict[str, Any] = {**TICKET, "store": "s-1"}
NOTHING: dict[str, Any] = dict.fromkeys(
    ("resellable_spus", "resellable", "damaged_spus", "damaged", "missing_spus", "missing"), ()
)


def asked(*new: tuple[str, int, str]) -> aftersales.TicketAsked:
    """May these, (SPU, what was paid, instead of what), replace others?"""
    return aftersales.TicketAsked(
        **TICKET,
        kind="exchange" if new else "return",
        spus=tuple(spu for spu, _, _ in new),
        prices=tuple(paid for _, paid, _ in new),
        instead_of=tuple(old for _, _, old in new),
    )


def inspected(*, exchange: bool, **lines: Any) -> logistics.ReturnInspected:
    """What the storekeeper found."""
    return logistics.ReturnInspected(**STORE, exchange=exchange, **{**NOTHING, **lines})


def taken(reason: str, **lines: Any) -> inventory.TakeReturn:
    """What inventory writes documents about."""
    return inventory.TakeReturn(order_id="o-1", store="s-1", reason=reason, **{**NOTHING, **lines})


def confirmed(note: str, **pieces: int) -> aftersales.ConfirmReturn:
    """What aftersales hears of it."""
    return aftersales.ConfirmReturn(**TICKET, spus=tuple(pieces), quantities=tuple(pieces.values()), note=note)


def money(amount: int, about: str = "o-1") -> aftersales.GoodsRefunded:
    """Aftersales wants so much to go back."""
    return aftersales.GoodsRefunded(
        **TICKET, about=about, kind="return", spus=("milk",), quantities=(1,), amount=amount, liable="courier"
    )


# -- may there be a ticket? --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [(), (("oat", 129, "milk"),), (("milk", 90, "milk"),)])
def test_ticket_about_delivered_goods_is_admitted(new: Any) -> None:
    """Similar prices, or the same goods at whatever they cost now."""
    assert messages(at(Phase.DELIVERED).says(asked(*new))) == [aftersales.AdmitTicket(**TICKET)]


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ((("oat", 129, "milk"), ("caviar", 349, "bread")), "replacement_unknown"),
        ((("champagne", 349, "bread"),), "replacement_price_differs"),
    ],
)
def test_ticket_with_goods_that_cannot_replace_others_is_turned_down(new: Any, code: str) -> None:
    """The note is the code that customer service is told."""
    said = messages(at(Phase.DELIVERED).says(asked(*new)))
    assert said == [aftersales.SettleTicket(**TICKET, phase="rejected", note=code)]


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p is not Phase.DELIVERED])
def test_ticket_about_goods_of_another_phase_is_turned_down(phase: Phase) -> None:
    """They are not the customer's yet, or nothing can be done about them any more."""
    scene = at(phase)
    note = "order_closed" if phase is Phase.CLOSED else "order_not_delivered"
    assert messages(scene.says(asked())) == [aftersales.SettleTicket(**TICKET, phase="rejected", note=note)]
    assert order(scene).phase is phase


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p is not Phase.DELIVERED])
def test_money_or_goods_of_an_order_that_is_not_delivered_parks(phase: Phase) -> None:
    """The window keeps it open as long as anything is to come: this cannot be."""
    for word in (
        money(1),
        aftersales.GoodsKept(**TICKET, spus=("milk",), quantities=(1,)),
        aftersales.ReturnApproved(**TICKET, spus=("milk",), quantities=(1,)),
        inspected(exchange=False, resellable_spus=("milk",), resellable=(1,)),
        logistics.ReturnOverdue(**STORE, exchange=False, collected=False, spus=("milk",), quantities=(1,)),
    ):
        with pytest.raises(NoCell):
            at(phase).when(word)


# -- goods -------------------------------------------------------------------------------------------------------------


def test_approved_return_is_announced() -> None:
    """The store expects the goods."""
    said = messages(at(Phase.DELIVERED).says(aftersales.ReturnApproved(**TICKET, spus=("milk",), quantities=(2,))))
    assert said == [logistics.AnnounceReturn(**STORE, spus=("milk",), quantities=(2,))]


def test_kept_goods_are_reported_damaged() -> None:
    """No stock moves."""
    said = messages(at(Phase.DELIVERED).says(aftersales.GoodsKept(**TICKET, spus=("milk",), quantities=(2,))))
    assert said == [taken("refund_only", damaged_spus=("milk",), damaged=(2,))]


def test_returned_goods_are_taken_and_told() -> None:
    """Both that can be sold and that cannot count as given back; what did not come is the customer's."""
    scene = at(Phase.DELIVERED)
    back = {"resellable_spus": ("milk", "bread"), "resellable": (1, 1), "damaged_spus": ("milk",), "damaged": (1,)}
    said = scene.says(inspected(exchange=False, **back, missing_spus=("bread",), missing=(3,)))
    assert messages(said) == [taken("return", **back), confirmed("returned", milk=2, bread=1)]
    lines = [{"spu": "milk", "quantity": 2}, {"spu": "bread", "quantity": 1}]
    assert only(Paper, said) == Paper("o-1", "returned", NOON, {"ticket_id": "t-1", "lines": lines})
    assert order(scene).tickets == 0


def test_return_of_nothing_takes_nothing() -> None:
    """The customer brought an empty bag, or nothing in time."""
    scene = at(Phase.DELIVERED)
    none = inspected(exchange=False, missing_spus=("milk",), missing=(2,))
    overdue = logistics.ReturnOverdue(**STORE, exchange=False, collected=False, spus=("milk",), quantities=(2,))
    for word, note in ((none, "nothing_came"), (overdue, "goods_overdue")):
        said = scene.says(word)
        assert messages(said) == [confirmed(note)]
        assert [m for m in said if isinstance(m, Paper)] == []


@pytest.mark.parametrize("exchange", [False, True])
def test_goods_that_the_courier_lost_are_written_off(exchange: bool) -> None:
    """They count as given back, and a person looks for them."""
    scene = at(Phase.DELIVERED)
    said = messages(
        scene.says(logistics.ReturnOverdue(**STORE, exchange=exchange, collected=True, spus=("milk",), quantities=(2,)))
    )
    assert said[0] == taken("goods_lost", missing_spus=("milk",), missing=(2,))
    assert said[-1] == confirmed("goods_lost", milk=2)
    search = only(aftersales.RaiseTicket, said)
    assert (search.ticket_id, search.kind, search.spus, search.quantities) == (
        "t-o-1-1",
        "missing_goods",
        ("milk",),
        (2,),
    )
    assert order(scene).tickets == 1


def test_exchanged_goods_that_did_not_come_are_written_off() -> None:
    """Others went out for them, so they are missing."""
    scene = at(Phase.DELIVERED)
    back = {"resellable_spus": ("milk",), "resellable": (1,), "missing_spus": ("milk",), "missing": (1,)}
    said = messages(scene.says(inspected(exchange=True, **back)))
    assert said[0] == taken("exchange", **back)
    assert said[-1] == confirmed("exchanged", milk=1)
    assert only(aftersales.RaiseTicket, said).quantities == (1,)
    said = messages(scene.says(inspected(exchange=True, resellable_spus=("milk",), resellable=(1,))))
    assert not [m for m in said if isinstance(m, aftersales.RaiseTicket)]


def test_documents_of_goods_back_are_papers() -> None:
    """Inventory has written them; the order goes nowhere."""
    scene = at(Phase.DELIVERED)
    document = inventory.Paper(number="RR-1", kind="return_receipt", spus=("milk",), quantities=(1,))
    said = scene.says(inventory.GoodsTakenBack(order_id="o-1", documents=(document,)))
    assert only(Paper, said).body["number"] == "RR-1"
    assert order(scene).phase is Phase.DELIVERED


# -- money -------------------------------------------------------------------------------------------------------------


def test_money_for_goods_goes_back_part_by_part() -> None:
    """Each under a number of its own, with its reason and liable party, on the page of the order it came with."""
    scene = at(Phase.DELIVERED)
    for number, (amount, about) in enumerate(((129, "o-1"), (349, "o-1~r1")), 1):
        said = scene.says(money(amount, about))
        assert messages(said) == [
            payment.RefundPayment(
                order_id="o-1", refund=number, amount=amount, reference="cap-1", reason="return", liable="courier"
            )
        ]
        paper = only(Paper, said)
        assert (paper.order_id, paper.kind, paper.body["amount"]) == (about, "compensated", amount)
    assert (order(scene).given_back, order(scene).refunds) == (478, 2)
    scene.says(refunded(2, reason="return", amount=349))
    assert (order(scene).phase, order(scene).refunded) == (Phase.DELIVERED, 349)


def test_more_money_than_was_paid_parks() -> None:
    """To the cent: a person has to look at it."""
    scene = at(Phase.DELIVERED)
    scene.says(money(TOTAL - 1))
    with pytest.raises(ValueError, match="refunds 2, and 1 is left"):
        scene.when(money(2))
    assert scene.says(money(1))
    with pytest.raises(ValueError, match="0 is left"):
        scene.when(money(1))


def test_refused_refund_for_goods_is_tried_again_as_it_was() -> None:
    """With the reason and whoever bears it."""
    scene = at(Phase.DELIVERED)
    scene.says(money(129))
    refusal = payment.PaymentRefundRefused(
        order_id="o-1",
        refund=1,
        amount=129,
        reference="cap-1",
        code="charge_disputed",
        reason="return",
        liable="courier",
    )
    ticket = only(aftersales.RaiseTicket, scene.says(refusal))
    assert ticket.kind == "refund_failed"
    assert order(scene).owed == (Owed(1, ticket.ticket_id, 129, "cap-1", "return", "courier"),)
    again = messages(scene.says(aftersales.RefundApproved(order_id="o-1", ticket_id=ticket.ticket_id)))
    assert again == [
        payment.RefundPayment(
            order_id="o-1", refund=2, amount=129, reference="cap-1", reason="return", liable="courier"
        )
    ]
    assert order(scene).given_back == 129
