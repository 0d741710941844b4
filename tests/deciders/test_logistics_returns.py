"""Logistics: given goods that a customer is to give back, when they come or not, then the ticket hears of it once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.logistics import inner
from services.logistics.decider import DECIDER, RETURN, RETURN_DUE
from services.logistics.state import Found, Fulfilment, Phase, Return, ReturnPhase
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.decider import Windows
from shared.runtime.said import CancelTimer, SetTimer
from shared.runtime.table import IGNORED, Moved, NoCell, Refused
from tests.deciders.scene import NOON, Scene

DOOR = ordering.Delivery(lat=52.1, lon=13.1, address="Kastanienallee 1")
OF: dict[str, Any] = {"order_id": "o-1", "store": "s-1", "ticket_id": "t-1"}
NEW: dict[str, Any] = {"order_id": "o-1~r1", "store": "s-1"}
"""The replacement order that brings other goods for them."""
WINDOW_S = 3_600
GOODS: dict[str, Any] = {"spus": ("apple", "milk"), "quantities": (3, 1)}
ANNOUNCED, COLLECTED, BROUGHT = (
    logistics.AnnounceReturn(**OF, **GOODS, delivery=DOOR),
    logistics.CollectReturn(**OF, courier="c-1"),
    logistics.BringReturn(**OF),
)
DUE = inner.ReturnDue("t-1")
EXCHANGE = logistics.Exchange(ticket_id="t-1", about="o-1", **GOODS)
EXCHANGED = logistics.FulfilOrder(**NEW, spus=("oats",), quantities=(2,), delivery=DOOR, take_along=EXCHANGE)
STOPPED, INTERCEPTED = logistics.StopFulfilment(**NEW), logistics.InterceptDelivery(**NEW)
TO_THE_DOOR = [
    logistics.StartPicking(**NEW),
    logistics.ReportPicked(**NEW),
    logistics.ReportPacked(**NEW),
    logistics.HandOver(**NEW, courier="c-2"),
]
DELIVERED, UNDELIVERABLE = (
    logistics.ReportDelivered(**NEW),
    logistics.ReportUndeliverable(**NEW, reason="nobody at the door"),
)


def inspect(*lines: tuple[str, int, bool]) -> logistics.InspectReturn:
    spus, quantities, resellable = zip(*lines, strict=True) if lines else ((), (), ())
    return logistics.InspectReturn(**OF, spus=spus, quantities=quantities, resellable=resellable)


ALL_CAME = inspect(("apple", 3, True), ("milk", 1, True))
WAY_TO: dict[ReturnPhase, list[Any]] = {
    ReturnPhase.ANNOUNCED: [ANNOUNCED],
    ReturnPhase.COLLECTED: [ANNOUNCED, COLLECTED],
    ReturnPhase.RETURNED: [ANNOUNCED, COLLECTED, BROUGHT],
    ReturnPhase.INSPECTED: [ANNOUNCED, COLLECTED, BROUGHT, ALL_CAME],
    ReturnPhase.OVERDUE: [ANNOUNCED, DUE],
    ReturnPhase.CALLED_OFF: [EXCHANGED, STOPPED],
}
"""What has to come for each phase."""
PEOPLES = [COLLECTED, BROUGHT, ALL_CAME]


def stage() -> Scene:
    return Scene(DECIDER, windows=Windows(return_window_s=WINDOW_S))


def at(*messages: Any) -> Scene:
    """These have come before."""
    scene = stage()
    for message in messages:
        scene.says(message)
    return scene


def come_to(phase: ReturnPhase) -> Scene:
    """A return in this phase."""
    scene = at(*WAY_TO[phase])
    assert its(scene).phase is phase
    return scene


def its(scene: Scene) -> Return:
    state: Return = scene.states["return", "t-1"]
    return state


def timer(at: datetime = NOON) -> SetTimer:
    return SetTimer("t-1", RETURN_DUE, at + timedelta(seconds=WINDOW_S))


def told(event: type[logistics.ReturnAnnounced | logistics.ReturnBrought]) -> object:
    """What couriers and storekeepers hear."""
    return event(**OF, exchange=False)


def loaded_for(message: Any, scene: Scene) -> list[Any]:
    """The keys that deciding a message takes."""
    return list(DECIDER.needs(message, lambda key: scene.states.get(key)))


# -- announced ---------------------------------------------------------------------------------------------------------


def test_announced_with_a_window() -> None:
    """It is known by its ticket, and waits as long as the settings say."""
    scene = stage()
    assert scene.says(ANNOUNCED) == [told(logistics.ReturnAnnounced), timer()]
    assert its(scene) == Return(
        "t-1", "o-1", "s-1", ReturnPhase.ANNOUNCED, NOON, DOOR, False, ("apple", "milk"), (3, 1)
    )


def test_announced_without_an_address() -> None:
    """The order was fetched at the store, and so will be brought there."""
    assert its(at(ANNOUNCED.model_copy(update={"delivery": None}))).delivery is None


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p is not ReturnPhase.CALLED_OFF])
def test_ignored_when_announced_already(phase: ReturnPhase) -> None:
    """Whatever has become of it since."""
    scene = come_to(phase)
    assert scene.when(ANNOUNCED) == IGNORED
    assert scene.says(EXCHANGED) == [logistics.FulfilmentQueued(**NEW)]
    assert its(scene).phase is phase


def test_announced_again_when_the_exchange_was_called_off() -> None:
    """The ticket became a return: with its own pieces, and a window."""
    scene = come_to(ReturnPhase.CALLED_OFF)
    scene.later(60)
    again = logistics.AnnounceReturn(**OF, spus=("apple",), quantities=(2,), delivery=DOOR)
    assert scene.says(again) == [told(logistics.ReturnAnnounced), timer(scene.now)]
    assert its(scene) == Return("t-1", "o-1", "s-1", ReturnPhase.ANNOUNCED, NOON, DOOR, False, ("apple",), (2,))


# -- on its way --------------------------------------------------------------------------------------------------------


def test_collected_by_a_courier() -> None:
    """Who has a window from then on, however long the customer took."""
    scene = at(ANNOUNCED)
    scene.later(600)
    assert scene.says(COLLECTED) == [timer(scene.now)]
    assert (its(scene).phase, its(scene).courier, its(scene).collected_at) == (ReturnPhase.COLLECTED, "c-1", scene.now)


@pytest.mark.parametrize("before", [[ANNOUNCED], [ANNOUNCED, COLLECTED]])
def test_returned_by_customer_or_courier(before: list[Any]) -> None:
    """Nothing can be overdue any more."""
    scene = at(*before)
    assert scene.says(BROUGHT) == [CancelTimer("t-1", RETURN_DUE), told(logistics.ReturnBrought)]
    assert (its(scene).phase, its(scene).returned_at) == (ReturnPhase.RETURNED, NOON)


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in (ReturnPhase.OVERDUE, ReturnPhase.CALLED_OFF)])
def test_refused_at_the_wrong_time(phase: ReturnPhase) -> None:
    """The courier who comes twice, or the storekeeper who looks too early, is told what it would have taken."""
    codes = {COLLECTED: "return_not_announced", BROUGHT: "already_returned", ALL_CAME: "return_not_returned"}
    fitting: dict[ReturnPhase, list[Any]] = {
        ReturnPhase.ANNOUNCED: [COLLECTED, BROUGHT],
        ReturnPhase.COLLECTED: [BROUGHT],
        ReturnPhase.RETURNED: [ALL_CAME],
        ReturnPhase.INSPECTED: [],
    }
    for message in PEOPLES:
        code = "already_inspected" if (phase, message) == (ReturnPhase.INSPECTED, ALL_CAME) else codes[message]
        if message not in fitting[phase]:
            assert come_to(phase).when(message) == Refused(code)


@pytest.mark.parametrize("message", PEOPLES)
@pytest.mark.parametrize(
    ("phase", "code"),
    [(ReturnPhase.OVERDUE, "return_overdue"), (ReturnPhase.CALLED_OFF, "return_called_off")],
)
def test_refused_when_it_is_over(phase: ReturnPhase, code: str, message: Any) -> None:
    """Goods that come too late are the ticket's business."""
    assert come_to(phase).when(message) == Refused(code)


# -- inspected ---------------------------------------------------------------------------------------------------------


def test_inspected_line_by_line() -> None:
    """What can be sold again, what cannot, and what of the announced did not come."""
    scene = come_to(ReturnPhase.RETURNED)
    assert scene.says(inspect(("apple", 1, True), ("apple", 1, False))) == [
        logistics.ReturnInspected(
            **OF,
            exchange=False,
            resellable_spus=("apple",),
            resellable=(1,),
            damaged_spus=("apple",),
            damaged=(1,),
            missing_spus=("apple", "milk"),
            missing=(1, 1),
        )
    ]
    assert (its(scene).phase, its(scene).inspected_at) == (ReturnPhase.INSPECTED, NOON)
    assert its(scene).found == (
        ("apple", 1, Found.RESELLABLE),
        ("apple", 1, Found.DAMAGED),
        ("apple", 1, Found.MISSING),
        ("milk", 1, Found.MISSING),
    )


@pytest.mark.parametrize(
    ("looked", "code", "named"),
    [
        (inspect(("apple", 4, True)), "more_than_announced", "3 apple"),
        (inspect(("apple", 2, True), ("apple", 2, False)), "more_than_announced", "3 apple"),
        (inspect(("milk", 1, True), ("rye", 1, True)), "line_unknown", "rye"),
    ],
)
def test_refused_when_more_came_than_was_announced(looked: logistics.InspectReturn, code: str, named: str) -> None:
    """Nothing changes, and the storekeeper may look again."""
    scene = come_to(ReturnPhase.RETURNED)
    refused = scene.when(looked)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert named in refused.detail
    assert isinstance(scene.says(ALL_CAME)[0], logistics.ReturnInspected)


# -- overdue -----------------------------------------------------------------------------------------------------------


def test_overdue_when_the_customer_keeps_them() -> None:
    """Nobody had them: nothing is lost."""
    scene = come_to(ReturnPhase.ANNOUNCED)
    assert scene.says(DUE) == [logistics.ReturnOverdue(**OF, exchange=False, collected=False, spus=(), quantities=())]
    assert (its(scene).phase, its(scene).overdue_at) == (ReturnPhase.OVERDUE, NOON)


def test_overdue_when_the_courier_does_not_come() -> None:
    """The customer has given them away: they are lost, piece by piece."""
    scene = come_to(ReturnPhase.COLLECTED)
    assert scene.says(DUE) == [logistics.ReturnOverdue(**OF, exchange=False, collected=True, **GOODS)]
    assert its(scene).phase is ReturnPhase.OVERDUE


@pytest.mark.parametrize("phase", [ReturnPhase.RETURNED, ReturnPhase.INSPECTED])
def test_not_overdue_when_they_came_at_the_last_moment(phase: ReturnPhase) -> None:
    """The timer was due already."""
    assert come_to(phase).when(DUE) == IGNORED


# -- an exchange -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slot", [None, Slot(start=NOON + timedelta(hours=1), end=NOON + timedelta(hours=2))])
def test_announced_with_the_fulfilment_that_takes_them_along(slot: Slot | None) -> None:
    """In one decision, also when it waits for its slot; until it is at the door, nothing is due."""
    scene = stage()
    said = scene.says(EXCHANGED.model_copy(update={"slot": slot}))
    assert not [item for item in said if isinstance(item, SetTimer) and item.name == RETURN_DUE]
    fulfilment: Fulfilment = scene.states["fulfilment", "o-1~r1"]
    assert fulfilment.take_along == "t-1"
    assert its(scene) == Return("t-1", "o-1", "s-1", ReturnPhase.ANNOUNCED, NOON, DOOR, True, ("apple", "milk"), (3, 1))


def test_collected_when_the_others_are_delivered() -> None:
    """By the courier who brought them, and now they are due at the store."""
    scene = at(EXCHANGED, *TO_THE_DOOR)
    scene.later(600)
    assert scene.says(DELIVERED) == [logistics.FulfilmentDelivered(**NEW), timer(scene.now)]
    assert (its(scene).phase, its(scene).courier, its(scene).collected_at) == (ReturnPhase.COLLECTED, "c-2", scene.now)
    assert scene.says(DUE) == [logistics.ReturnOverdue(**OF, exchange=True, collected=True, **GOODS)]


def test_an_exchange_ends_with_the_inspection() -> None:
    """Its event says that others went out for them."""
    (event,) = at(EXCHANGED, *TO_THE_DOOR, DELIVERED, BROUGHT).says(ALL_CAME)
    assert isinstance(event, logistics.ReturnInspected)
    assert (event.order_id, event.exchange, event.missing) == ("o-1", True, ())


@pytest.mark.parametrize("before", [TO_THE_DOOR[:n] for n in range(4)])
def test_called_off_when_the_fulfilment_is_stopped(before: list[Any]) -> None:
    """Nobody comes to take them along."""
    scene = at(EXCHANGED, *before)
    scene.says(STOPPED)
    assert (its(scene).phase, its(scene).called_off_at) == (ReturnPhase.CALLED_OFF, NOON)


@pytest.mark.parametrize("turned", [UNDELIVERABLE, INTERCEPTED])
def test_called_off_when_the_courier_turns_back(turned: Any) -> None:
    """At once, not only when the new goods are at the store again."""
    scene = at(EXCHANGED, *TO_THE_DOOR, turned)
    assert (its(scene).phase, its(scene).called_off_at) == (ReturnPhase.CALLED_OFF, NOON)


def test_nothing_moves_when_the_fulfilment_stays_where_it_is() -> None:
    """A stop or a call back that comes too late."""
    for before, message in ((TO_THE_DOOR, STOPPED), ([*TO_THE_DOOR, DELIVERED], INTERCEPTED)):
        scene = at(EXCHANGED, *before)
        phase = its(scene).phase
        scene.says(message)
        assert its(scene).phase is phase


def test_taken_along_by_the_next_replacement() -> None:
    """The first one could not be delivered: the ticket has another one sent."""
    second: dict[str, Any] = {"order_id": "o-1~r2", "store": "s-1"}
    scene = come_to(ReturnPhase.CALLED_OFF)
    scene.says(EXCHANGED.model_copy(update=second))
    assert (its(scene).phase, its(scene).exchange, its(scene).called_off_at) == (ReturnPhase.ANNOUNCED, True, None)
    for message in (*TO_THE_DOOR, DELIVERED):
        scene.says(message.model_copy(update=second))
    assert its(scene).phase is ReturnPhase.COLLECTED


@pytest.mark.parametrize("message", [COLLECTED, BROUGHT])
def test_refused_while_the_new_goods_are_not_there(message: Any) -> None:
    """The courier who brings them takes the old ones along, on the same visit."""
    scene = at(EXCHANGED)
    refused = scene.when(message)
    assert isinstance(refused, Refused)
    assert refused.code == "return_waits_for_delivery"


@pytest.mark.parametrize("message", [STOPPED, DELIVERED])
def test_nothing_changes_when_the_ticket_had_a_return_before(message: Any) -> None:
    """The way of goods that a courier has is their own."""
    scene = at(ANNOUNCED, COLLECTED, EXCHANGED, *(TO_THE_DOOR if message is DELIVERED else []))
    before = its(scene)
    scene.says(message)
    assert its(scene) == before


def test_not_announced_when_the_replacement_had_been_stopped() -> None:
    """Its fulfilment was parked, and is replayed: nobody goes there."""
    scene = at(STOPPED)
    assert scene.when(EXCHANGED) == IGNORED
    assert ("return", "t-1") not in scene.states


def test_ordinary_orders_load_nothing_more() -> None:
    """Nor do replacements that take nothing along."""
    for order_id in ("o-1", "o-1~r1"):
        names = {"order_id": order_id, "store": "s-1"}
        plain = EXCHANGED.model_copy(update={**names, "take_along": None})
        scene = at(plain)
        for message in (plain, *TO_THE_DOOR, DELIVERED, STOPPED):
            assert loaded_for(message.model_copy(update=names), scene) == [("fulfilment", order_id)]


# -- always ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", PEOPLES)
def test_refused_when_nobody_knows_the_ticket(message: Any) -> None:
    """A store waits only for goods that were announced to it."""
    assert stage().when(message) == Refused("return_unknown")


@pytest.mark.parametrize("phase", WAY_TO)
@pytest.mark.parametrize("message", PEOPLES)
def test_people_are_answered_in_every_phase(phase: ReturnPhase, message: Any) -> None:
    """A step or a code, never a parked command; and in another store the same code always."""
    assert isinstance(come_to(phase).when(message), Moved | Refused)
    refused = come_to(phase).when(message.model_copy(update={"store": "s-2"}))
    assert isinstance(refused, Refused)
    assert refused.code == "wrong_store"
    assert "s-1" in refused.detail


@pytest.mark.parametrize("message", [ANNOUNCED, EXCHANGED])
def test_parked_when_a_service_names_another_store(message: Any) -> None:
    """Another store may be another shard's."""
    scene = come_to(ReturnPhase.CALLED_OFF) if message is ANNOUNCED else come_to(ReturnPhase.ANNOUNCED)
    with pytest.raises(NoCell, match="in store s-1"):
        scene.when(message.model_copy(update={"store": "s-2"}))


moves = st.sampled_from(
    [*PEOPLES, ANNOUNCED, EXCHANGED, DUE, *TO_THE_DOOR, DELIVERED, UNDELIVERABLE, STOPPED, INTERCEPTED]
)


@given(st.sampled_from([ANNOUNCED, EXCHANGED]), st.lists(moves, max_size=25))
def test_one_outcome_only(first: Any, messages: list[Any]) -> None:
    """Whoever acts in whatever order: goods are inspected or overdue, and then nothing of them moves."""
    scene = stage()
    said = scene.says(first)
    for message in messages:
        try:
            outcome = scene.when(message)
        except NoCell:
            continue
        said += outcome.said if isinstance(outcome, Moved) else ()
    outcomes = [item for item in said if isinstance(item, logistics.ReturnInspected | logistics.ReturnOverdue)]
    state = its(scene)
    assert len(outcomes) == (state.phase in (ReturnPhase.INSPECTED, ReturnPhase.OVERDUE))
    fulfilment: Fulfilment | None = scene.states.get(("fulfilment", "o-1~r1"))
    if fulfilment and fulfilment.take_along and fulfilment.phase in (Phase.STOPPED, Phase.DELIVERED):
        assert state.phase is not ReturnPhase.ANNOUNCED or not state.exchange


def test_every_phase_is_tested() -> None:
    """A new phase needs a way to it here."""
    assert {ReturnPhase.NEW, *WAY_TO} == set(RETURN.rows)
