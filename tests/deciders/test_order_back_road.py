"""On the road: an order that is called back, cannot be delivered, comes back, comes late, or does not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.order.back import RETURN_WINDOW
from services.order.state import Paper, Phase
from shared.contracts import aftersales, inventory, logistics, payment
from shared.contracts import order as ordering
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, Moved
from tests.deciders.orders import (
    ALL_BACK,
    ASKED,
    BASKET,
    DELIVERED,
    INTERCEPT_MISSED,
    INTERCEPTED,
    OVERDUE,
    REFUND_REFUSED,
    SHUT,
    TOTAL,
    UNDELIVERABLE,
    WAY_TO,
    WINDOW,
    Shop,
    acted,
    activities,
    at,
    messages,
    only,
    order,
    refunded,
    shop,
)
from tests.deciders.scene import NOON

RETURN = timedelta(seconds=86_400)
SOME_BACK = logistics.GoodsInspected(
    order_id="o-1",
    store="s-1",
    resellable_spus=("milk",),
    resellable=(1,),
    damaged_spus=("bread",),
    damaged=(1,),
    missing_spus=("milk",),
    missing=(1,),
)
NONE_BACK = SOME_BACK.model_copy(
    update={
        "resellable_spus": (),
        "resellable": (),
        "damaged_spus": (),
        "damaged": (),
        "missing_spus": ("milk", "bread"),
        "missing": (2, 1),
    }
)


def settled(phase: Any, note: str) -> aftersales.SettleTicket:
    """The intercept has come to its end."""
    return aftersales.SettleTicket(order_id="o-1", ticket_id=ASKED.ticket_id, phase=phase, note=note)


def cancelled(reason: str) -> ordering.OrderCancelled:
    """How it ended."""
    return ordering.OrderCancelled(order_id="o-1", store="s-1", account="a-1", reason=reason)


def coming_back(*, called_back: bool) -> Shop:
    """A scene with the goods on their way back."""
    scene = at(Phase.IN_DELIVERY)
    for message in (ASKED, INTERCEPTED) if called_back else (UNDELIVERABLE,):
        scene.says(message)
    return scene


each_way_back = pytest.mark.parametrize(
    ("called_back", "reason"), [(True, "intercepted"), (False, "not_reachable")], ids=["intercepted", "undeliverable"]
)

# -- the intercept -----------------------------------------------------------------------------------------------------


def test_courier_is_called_back() -> None:
    """The ticket waits for the courier's answer."""
    scene = at(Phase.IN_DELIVERY)
    assert messages(scene.says(ASKED)) == [logistics.InterceptDelivery(order_id="o-1", store="s-1")]
    assert (order(scene).phase, order(scene).ticket_id) == (Phase.INTERCEPTING, ASKED.ticket_id)


def test_caught() -> None:
    """The ticket says so; the goods are expected back within the window."""
    scene = at(Phase.INTERCEPTING)
    said = scene.says(INTERCEPTED)
    assert messages(said) == [settled("resolved", "caught")]
    assert only(SetTimer, said) == SetTimer("o-1", RETURN_WINDOW, NOON + RETURN)
    assert (order(scene).phase, order(scene).ticket_id) == (Phase.RETURNING, "")


def test_too_late_when_the_customer_opened_the_door_first() -> None:
    """Delivered is delivered: the ticket offers a return, the window opens, and the order closes as any other."""
    scene = at(Phase.INTERCEPTING)
    said = scene.says(DELIVERED)
    assert messages(said) == [
        WINDOW,
        ordering.OrderDelivered(order_id="o-1", store="s-1", account="a-1"),
        settled("resolved", aftersales.TOO_LATE),
    ]
    assert (order(scene).phase, order(scene).ticket_id) == (Phase.DELIVERED, "")
    assert scene.when(INTERCEPT_MISSED) == IGNORED
    scene.says(SHUT)
    assert (order(scene).phase, order(scene).reason) == (Phase.CLOSED, "")


def test_undeliverable_meanwhile() -> None:
    """The courier comes back anyway: what the ticket wanted has come true, and the reason is the door's."""
    scene = at(Phase.INTERCEPTING)
    said = scene.says(UNDELIVERABLE)
    assert messages(said) == [settled("resolved", "caught")]
    assert only(SetTimer, said).name == RETURN_WINDOW
    assert (order(scene).phase, order(scene).reason) == (Phase.RETURNING, "not_reachable")
    assert scene.when(INTERCEPT_MISSED) == IGNORED


@pytest.mark.parametrize("phase", [Phase.INTERCEPTING, Phase.RETURNING])
def test_second_intercept_is_told_of_the_first(phase: Phase) -> None:
    """One courier, one call: the second ticket ends at once, the first one is still waited for."""
    scene = at(phase)
    before = order(scene)
    second = ASKED.model_copy(update={"ticket_id": "t-100"})
    (answer,) = messages(scene.says(second))
    assert answer == aftersales.SettleTicket(
        order_id="o-1", ticket_id="t-100", phase="rejected", note="under_way_already"
    )
    assert order(scene) == before


def test_intercept_after_the_delivery_offers_a_return() -> None:
    """Nothing was called back: the goods are the customer's."""
    scene = at(Phase.DELIVERED)
    assert messages(scene.says(ASKED)) == [settled("resolved", aftersales.TOO_LATE)]
    assert order(scene).phase is Phase.DELIVERED


@pytest.mark.parametrize(
    "phase", sorted(set(WAY_TO) - {Phase.IN_DELIVERY, Phase.INTERCEPTING, Phase.RETURNING, Phase.DELIVERED})
)
def test_intercept_at_the_wrong_time_ends_at_once(phase: Phase) -> None:
    """No courier has the goods: the ticket is told, the order stays as it is, and nothing parks."""
    scene = at(phase)
    before = order(scene)
    assert messages(scene.says(ASKED)) == [settled("rejected", "not_in_delivery")]
    assert order(scene) == before


def test_intercept_of_an_order_that_there_is_not() -> None:
    """Customer service mistyped the number: the ticket ends, no order comes of it, and the real one may still come."""
    scene = shop()
    outcome = scene.when(ASKED)
    assert isinstance(outcome, Moved)
    assert outcome.states == ()
    assert list(outcome.said) == [settled("rejected", "order_unknown")]
    scene.says(BASKET)
    assert order(scene).phase is Phase.SCREENING


# -- undeliverable -----------------------------------------------------------------------------------------------------


def test_undeliverable() -> None:
    """No ticket to tell; the goods are expected back."""
    scene = at(Phase.IN_DELIVERY)
    said = scene.says(UNDELIVERABLE)
    assert messages(said) == []
    assert only(SetTimer, said) == SetTimer("o-1", RETURN_WINDOW, NOON + RETURN)
    assert (order(scene).phase, order(scene).reason) == (Phase.RETURNING, "not_reachable")


# -- goods come back ---------------------------------------------------------------------------------------------------


@each_way_back
@pytest.mark.parametrize("inspected", [ALL_BACK, SOME_BACK, NONE_BACK], ids=["all", "some", "none"])
def test_refunded_in_full_whatever_came_back(
    called_back: bool, reason: str, inspected: logistics.GoodsInspected
) -> None:
    """Shelf, damage report or written off, as inspected; the customer gets everything, once."""
    scene = coming_back(called_back=called_back)
    said = scene.says(inspected)
    assert messages(said) == [
        inventory.TakeBack(
            order_id="o-1",
            store="s-1",
            resellable_spus=inspected.resellable_spus,
            resellable=inspected.resellable,
            damaged_spus=inspected.damaged_spus,
            damaged=inspected.damaged,
            missing_spus=inspected.missing_spus,
            missing=inspected.missing,
            reason=reason,
        ),
        payment.RefundPayment(
            order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", reason=reason, liable="customer"
        ),
    ]
    assert CancelTimer("o-1", RETURN_WINDOW) in said
    assert order(scene).phase is Phase.REFUNDING
    assert scene.when(OVERDUE) == IGNORED
    told = messages(scene.says(refunded(1, reason)))
    assert told[0] == cancelled(reason)
    assert (order(scene).phase, order(scene).reason) == (Phase.CANCELLED, reason)


@each_way_back
def test_risk_hears_of_a_door_that_nobody_opened_only(called_back: bool, reason: str) -> None:
    """Not reachable is the customer's own doing; an intercept is customer service's."""
    scene = coming_back(called_back=called_back)
    scene.says(ALL_BACK)
    said = scene.says(refunded(1, reason))
    assert messages(said) == [cancelled(reason)]
    assert activities(said) == [acted("ended" if called_back else "unreachable")]


@pytest.mark.parametrize("documents_first", [True, False])
def test_documents_stand_on_the_page_before_or_after_the_end(documents_first: bool) -> None:
    """Money and goods come over two links, in any order."""
    documents = (
        inventory.Paper(number="RR-o-1", kind="return_receipt", spus=("milk",), quantities=(1,)),
        inventory.Paper(number="DR-o-1", kind="damage_report", spus=("bread",), quantities=(1,)),
        inventory.Paper(number="DR-o-1~2", kind="damage_report", spus=("milk",), quantities=(1,)),
    )
    taken_back = inventory.GoodsTakenBack(order_id="o-1", documents=documents)
    scene = coming_back(called_back=False)
    scene.says(SOME_BACK)
    news = [taken_back, refunded(1, "not_reachable")]
    said = [scene.says(message) for message in (news if documents_first else reversed(news))]
    papers = [p.body["number"] for heard in said for p in heard if isinstance(p, Paper) and p.kind == "document"]
    assert papers == ["RR-o-1", "DR-o-1", "DR-o-1~2"]
    assert order(scene).phase is Phase.CANCELLED


# -- goods do not come back --------------------------------------------------------------------------------------------


@each_way_back
def test_written_off_when_nobody_brought_them_back_in_time(called_back: bool, reason: str) -> None:
    """A person looks for the goods, the books are closed, the customer is refunded all the same: the courier bears it.
    The order's own reason stays the one it was called back for."""
    scene = coming_back(called_back=called_back)
    said = scene.says(OVERDUE)
    assert messages(said) == [
        inventory.TakeBack(
            order_id="o-1",
            store="s-1",
            missing_spus=("milk", "bread"),
            missing=(2, 1),
            reason="goods_overdue",
        ),
        aftersales.RaiseTicket(
            order_id="o-1",
            ticket_id="t-o-1-1",
            account="a-1",
            store="s-1",
            kind="missing_goods",
            spus=("milk", "bread"),
            quantities=(2, 1),
            reason="goods_overdue",
        ),
        payment.RefundPayment(
            order_id="o-1", refund=1, amount=TOTAL, reference="cap-1", reason="goods_overdue", liable="courier"
        ),
    ]
    assert order(scene).phase is Phase.REFUNDING
    assert messages(scene.says(refunded(1, "goods_overdue")))[0] == cancelled(reason)


@pytest.mark.parametrize(
    "answer", [refunded(1, "goods_overdue"), REFUND_REFUSED, None], ids=["paid", "refused", "none"]
)
def test_goods_that_come_late_are_taken_in_and_move_no_money(answer: Any) -> None:
    """What came is restocked or reported damaged; what did not has been written off already, and is not again."""
    scene = coming_back(called_back=False)
    scene.says(OVERDUE)
    if answer is not None:
        scene.says(answer)
    before = order(scene)
    assert messages(scene.says(SOME_BACK)) == [
        inventory.TakeBack(
            order_id="o-1",
            store="s-1",
            resellable_spus=("milk",),
            resellable=(1,),
            damaged_spus=("bread",),
            damaged=(1,),
            reason="not_reachable",
        )
    ]
    assert order(scene) == before


@each_way_back
def test_deadline_after_the_goods_is_ignored_to_the_end(called_back: bool, reason: str) -> None:
    """Also when it had fired already while the goods were being inspected."""
    scene = coming_back(called_back=called_back)
    scene.says(ALL_BACK)
    scene.says(refunded(1, reason))
    assert order(scene).phase is Phase.CANCELLED
    assert scene.when(OVERDUE) == IGNORED
