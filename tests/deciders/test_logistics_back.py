"""Logistics: given work on an order, when it does not go the straight way, then whoever acts first wins, and the others
are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.logistics import inner
from services.logistics.decider import DECIDER, FULFILMENT, SLOT_BEGINS
from services.logistics.state import Found, Fulfilment, Phase, PickList, StepBack
from shared.contracts import logistics
from shared.contracts import order as ordering
from shared.contracts.base import Slot
from shared.runtime.said import CancelTimer
from shared.runtime.table import IGNORED, Moved, NoCell, Refused
from tests.deciders.scene import NOON, Scene

OF: dict[str, Any] = {"order_id": "o-1", "store": "s-1"}
DOOR = ordering.Delivery(lat=52.1, lon=13.1, address="Kastanienallee 1")
SLOT = Slot(start=NOON + timedelta(hours=1), end=NOON + timedelta(hours=2))
ORDER = logistics.FulfilOrder(**OF, spus=("apple", "milk"), quantities=(3, 1), delivery=DOOR)
STOP, INTERCEPT, BACK = (
    logistics.StopFulfilment(**OF),
    logistics.InterceptDelivery(**OF),
    logistics.BringGoodsBack(**OF),
)
UNDELIVERABLE = logistics.ReportUndeliverable(**OF, reason="nobody at the door")
PICK, PICKED, PACKED = logistics.StartPicking(**OF), logistics.ReportPicked(**OF), logistics.ReportPacked(**OF)
HANDED_OVER, DELIVERED = logistics.HandOver(**OF, courier="c-1"), logistics.ReportDelivered(**OF)


def short(**missing: int) -> logistics.ReportPicked:
    return logistics.ReportPicked(**OF, spus=tuple(missing), missing=tuple(missing.values()))


def amended(**lines: int) -> logistics.AmendFulfilment:
    return logistics.AmendFulfilment(**OF, spus=tuple(lines), quantities=tuple(lines.values()))


def inspect(*lines: tuple[str, int, bool]) -> logistics.InspectGoods:
    spus, quantities, resellable = zip(*lines, strict=True) if lines else ((), (), ())
    return logistics.InspectGoods(**OF, spus=spus, quantities=quantities, resellable=resellable)


ALL_BACK = inspect(("apple", 3, True), ("milk", 1, True))
WAY_TO: dict[Phase, list[Any]] = {
    Phase.WAITING_FOR_SLOT: [ORDER.model_copy(update={"slot": SLOT})],
    Phase.QUEUED: [ORDER],
    Phase.PICKING: [ORDER, PICK],
    Phase.SHORT: [ORDER, PICK, short(apple=1)],
    Phase.PICKED: [ORDER, PICK, PICKED],
    Phase.PACKED: [ORDER, PICK, PICKED, PACKED],
    Phase.ON_THE_ROAD: [ORDER, PICK, PICKED, PACKED, HANDED_OVER],
    Phase.DELIVERED: [ORDER, PICK, PICKED, PACKED, HANDED_OVER, DELIVERED],
    Phase.STOPPED: [ORDER, STOP],
    Phase.RETURNING: [ORDER, PICK, PICKED, PACKED, HANDED_OVER, UNDELIVERABLE],
    Phase.RETURNED: [ORDER, PICK, PICKED, PACKED, HANDED_OVER, UNDELIVERABLE, BACK],
    Phase.INSPECTED: [ORDER, PICK, PICKED, PACKED, HANDED_OVER, UNDELIVERABLE, BACK, ALL_BACK],
}
"""What has to come for each phase."""
IN_THE_STORE = [Phase.WAITING_FOR_SLOT, Phase.QUEUED, Phase.PICKING, Phase.SHORT, Phase.PICKED, Phase.PACKED]
OUT_OF_THE_STORE = [Phase.ON_THE_ROAD, Phase.DELIVERED, Phase.RETURNING, Phase.RETURNED, Phase.INSPECTED]
PEOPLES = [PICK, PICKED, short(apple=1), PACKED, HANDED_OVER, DELIVERED, UNDELIVERABLE, BACK, ALL_BACK]


def at(phase: Phase) -> Scene:
    """An order in this phase."""
    scene = Scene(DECIDER)
    for message in WAY_TO[phase]:
        scene.says(message)
    assert fulfilment(scene).phase is phase
    return scene


def fulfilment(scene: Scene) -> Fulfilment:
    state: Fulfilment = scene.states["fulfilment", "o-1"]
    return state


def pick_list(scene: Scene) -> PickList:
    state: PickList = scene.states["pick_list", "o-1"]
    return state


def step(entered: Phase, reason: str = "", actor: str = "", *lines: tuple[str, int, Found]) -> StepBack:
    spus, quantities, found = zip(*lines, strict=True) if lines else ((), (), ())
    return StepBack("o-1", NOON, entered, reason, actor, spus, quantities, found)


# -- short -------------------------------------------------------------------------------------------------------------


def test_short_when_pieces_are_missing() -> None:
    """The order hears which pieces, summed per SPU, and the picker waits."""
    scene = at(Phase.PICKING)
    report = logistics.ReportPicked(**OF, spus=("apple", "milk", "apple"), missing=(1, 1, 1))
    assert scene.says(report, "picker:") == [
        logistics.PiecesShort(**OF, spus=("apple", "milk"), missing=(2, 1)),
        step(Phase.SHORT, "", "picker:", ("apple", 2, Found.SHORT), ("milk", 1, Found.SHORT)),
    ]
    assert fulfilment(scene).phase is Phase.SHORT
    assert fulfilment(scene).picked_at is None


@pytest.mark.parametrize("message", [PICK, PICKED, short(apple=1), PACKED, HANDED_OVER])
def test_picker_waits_while_short(message: Any) -> None:
    """Somebody else decides what is to be done; the list that the picker has is wrong."""
    scene = at(Phase.SHORT)
    assert isinstance(scene.when(message), Refused)
    assert fulfilment(scene).phase is Phase.SHORT


def test_picker_goes_on_with_another_list() -> None:
    """The dropped pieces are off it, the substitutes on it; it goes to the same door."""
    scene = at(Phase.SHORT)
    assert scene.says(amended(apple=2, oats=1)) == []
    assert fulfilment(scene).phase is Phase.PICKING
    assert pick_list(scene) == PickList("o-1", ("apple", "oats"), (2, 1), DOOR)
    assert scene.says(PICKED) == [logistics.PickingFinished(**OF)]


def test_short_again_with_another_list() -> None:
    """What is missing now is compared with the list as it is now."""
    scene = at(Phase.SHORT)
    scene.says(amended(apple=2, oats=1))
    refused = scene.when(short(milk=1))
    assert isinstance(refused, Refused)
    assert refused.code == "line_unknown"
    assert scene.says(short(oats=1))[0] == logistics.PiecesShort(**OF, spus=("oats",), missing=(1,))


@pytest.mark.parametrize(
    ("report", "code", "named"),
    [
        (short(apple=4), "more_short_than_listed", "3 apple"),
        (logistics.ReportPicked(**OF, spus=("apple", "apple"), missing=(2, 2)), "more_short_than_listed", "3 apple"),
        (short(apple=1, rye=1), "line_unknown", "rye"),
    ],
)
def test_refused_when_the_list_has_not_so_much(report: logistics.ReportPicked, code: str, named: str) -> None:
    """More missing than was to be picked, or what nobody ordered: nothing changes, and the picker is told."""
    scene = at(Phase.PICKING)
    refused = scene.when(report)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert named in refused.detail
    assert fulfilment(scene).phase is Phase.PICKING


def test_parked_when_a_list_is_amended_out_of_turn() -> None:
    """Only a picker who waits gets another list."""
    for phase in set(WAY_TO) - {Phase.SHORT}:
        scene = at(phase)
        with pytest.raises(NoCell):
            scene.when(amended(apple=1))


# -- stop against picking, packing and hand-over -----------------------------------------------------------------------


@pytest.mark.parametrize("phase", IN_THE_STORE)
def test_stopped_when_the_goods_are_in_the_store(phase: Phase) -> None:
    """Whatever the picker has done a moment ago: the courier has not got it, so the stop wins."""
    scene = at(phase)
    said = scene.says(STOP)
    assert said[:2] == [logistics.FulfilmentStopped(**OF), step(Phase.STOPPED)]
    assert said[2:] == ([CancelTimer("o-1", SLOT_BEGINS)] if phase is Phase.WAITING_FOR_SLOT else [])
    assert fulfilment(scene).phase is Phase.STOPPED
    assert fulfilment(scene).called_off_at == NOON


@pytest.mark.parametrize("message", PEOPLES)
def test_people_are_told_that_it_is_stopped(message: Any) -> None:
    """The picker or courier who comes a moment too late leaves the goods where they are."""
    scene = at(Phase.STOPPED)
    assert scene.when(message) == Refused("fulfilment_stopped")
    elsewhere = scene.when(message.model_copy(update={"store": "s-2"}))
    assert isinstance(elsewhere, Refused)
    assert elsewhere.code == "wrong_store"


@pytest.mark.parametrize("phase", OUT_OF_THE_STORE)
def test_stop_is_missed_when_the_courier_has_it(phase: Phase) -> None:
    """The hand-over wins: the order is told, and the work goes on as it was."""
    scene = at(phase)
    before = fulfilment(scene)
    assert scene.says(STOP) == [logistics.StopMissed(**OF)]
    assert fulfilment(scene) == before


def test_stop_against_hand_over() -> None:
    """Both at the same moment: the first wins, the other is told, and the order hears of one outcome only."""
    scene = at(Phase.PACKED)
    assert scene.says(STOP)[0] == logistics.FulfilmentStopped(**OF)
    assert scene.when(HANDED_OVER) == Refused("fulfilment_stopped")
    scene = at(Phase.PACKED)
    assert scene.says(HANDED_OVER) == [logistics.FulfilmentHandedOver(**OF, courier="c-1")]
    assert scene.says(STOP) == [logistics.StopMissed(**OF)]
    assert scene.says(DELIVERED) == [logistics.FulfilmentDelivered(**OF)]


def test_stop_against_picked() -> None:
    """Picked or not, it is stopped; a picker who reports after it is told."""
    scene = at(Phase.PICKING)
    assert scene.says(STOP)[0] == logistics.FulfilmentStopped(**OF)
    assert scene.when(PICKED) == Refused("fulfilment_stopped")
    assert scene.when(short(apple=1)) == Refused("fulfilment_stopped")
    scene = at(Phase.PICKING)
    scene.says(PICKED)
    assert scene.says(STOP)[0] == logistics.FulfilmentStopped(**OF)


def test_a_stopped_order_does_not_wait_for_its_slot() -> None:
    """Should the timer have been due already, nobody is told to pick."""
    scene = at(Phase.WAITING_FOR_SLOT)
    scene.says(STOP)
    assert scene.when(inner.SlotBegins("o-1")) == IGNORED


def test_stopped_when_its_fulfilment_is_parked() -> None:
    """The order does not wait for what an operator has to look at, and a replay does not bring it to life."""
    scene = Scene(DECIDER)
    assert scene.says(STOP)[0] == logistics.FulfilmentStopped(**OF)
    assert scene.when(ORDER) == IGNORED
    assert scene.when(PICK) == Refused("fulfilment_stopped")


def test_parked_when_stopped_twice() -> None:
    """The order service asks once."""
    with pytest.raises(NoCell):
        at(Phase.STOPPED).when(STOP)


# -- intercept against delivered and undeliverable ---------------------------------------------------------------------


def test_intercepted_on_the_road() -> None:
    """The courier turns round, and cannot deliver any more."""
    scene = at(Phase.ON_THE_ROAD)
    assert scene.says(INTERCEPT) == [logistics.FulfilmentIntercepted(**OF), step(Phase.RETURNING, "intercepted")]
    assert scene.when(DELIVERED) == Refused("fulfilment_not_on_the_road")
    assert scene.when(UNDELIVERABLE) == Refused("fulfilment_not_on_the_road")
    assert fulfilment(scene).phase is Phase.RETURNING


@pytest.mark.parametrize("phase", [Phase.DELIVERED, Phase.RETURNING, Phase.RETURNED, Phase.INSPECTED])
def test_intercept_is_missed_when_it_is_too_late(phase: Phase) -> None:
    """The customer has the goods, or they are on their way back: that stays as it is."""
    scene = at(phase)
    before = fulfilment(scene)
    assert scene.says(INTERCEPT) == [logistics.InterceptMissed(**OF)]
    assert fulfilment(scene) == before


def test_undeliverable_against_intercept() -> None:
    """Whichever came first turned the courier round; the goods come back once."""
    scene = at(Phase.ON_THE_ROAD)
    assert scene.says(UNDELIVERABLE, "courier:") == [
        logistics.DeliveryFailed(**OF, reason="nobody at the door"),
        step(Phase.RETURNING, "nobody at the door", "courier:"),
    ]
    assert scene.says(INTERCEPT) == [logistics.InterceptMissed(**OF)]
    assert scene.when(UNDELIVERABLE) == Refused("fulfilment_not_on_the_road")


@pytest.mark.parametrize("phase", IN_THE_STORE)
def test_parked_when_called_back_before_it_left(phase: Phase) -> None:
    """The order service calls back what it was told is on the road."""
    with pytest.raises(NoCell):
        at(phase).when(INTERCEPT)


# -- goods that come back ----------------------------------------------------------------------------------------------


def test_returned_and_inspected() -> None:
    """Line by line: what can be sold again, what cannot, and what did not come back."""
    scene = at(Phase.RETURNING)
    assert scene.says(BACK, "courier:") == [step(Phase.RETURNED, "", "courier:")]
    looked = inspect(("apple", 1, True), ("apple", 1, False))
    assert scene.says(looked, "storekeeper:") == [
        logistics.GoodsInspected(
            **OF,
            resellable_spus=("apple",),
            resellable=(1,),
            damaged_spus=("apple",),
            damaged=(1,),
            missing_spus=("apple", "milk"),
            missing=(1, 1),
        ),
        step(
            Phase.INSPECTED,
            "",
            "storekeeper:",
            ("apple", 1, Found.RESELLABLE),
            ("apple", 1, Found.DAMAGED),
            ("apple", 1, Found.MISSING),
            ("milk", 1, Found.MISSING),
        ),
    ]
    assert fulfilment(scene).phase is Phase.INSPECTED
    assert fulfilment(scene).called_off_at == NOON


def test_inspected_when_nothing_came_back() -> None:
    """An empty bag: all of it is missing."""
    said = at(Phase.RETURNED).says(inspect())
    assert said[0] == logistics.GoodsInspected(
        **OF,
        resellable_spus=(),
        resellable=(),
        damaged_spus=(),
        damaged=(),
        missing_spus=("apple", "milk"),
        missing=(3, 1),
    )


def test_inspected_is_what_was_sent() -> None:
    """Dropped pieces were never sent, substitutes were: neither is missing, and only the latter may come back."""
    scene = at(Phase.SHORT)
    for message in (amended(apple=2, oats=1), PICKED, PACKED, HANDED_OVER, INTERCEPT, BACK):
        scene.says(message)
    refused = scene.when(ALL_BACK)
    assert isinstance(refused, Refused)
    assert refused.code == "line_unknown"
    event = scene.says(inspect(("apple", 2, True), ("oats", 1, False)))[0]
    assert isinstance(event, logistics.GoodsInspected)
    assert (event.damaged_spus, event.missing) == (("oats",), ())


@pytest.mark.parametrize(
    ("looked", "code", "named"),
    [
        (inspect(("apple", 4, True)), "more_than_sent", "3 apple"),
        (inspect(("apple", 2, True), ("apple", 2, False)), "more_than_sent", "3 apple"),
        (inspect(("milk", 1, True), ("rye", 1, True)), "line_unknown", "rye"),
    ],
)
def test_refused_when_more_came_back_than_was_sent(looked: logistics.InspectGoods, code: str, named: str) -> None:
    """Nothing changes, and the storekeeper may look again."""
    scene = at(Phase.RETURNED)
    refused = scene.when(looked)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert named in refused.detail
    assert isinstance(scene.says(ALL_BACK)[0], logistics.GoodsInspected)


def test_refused_when_inspected_twice() -> None:
    """Two storekeepers: the first one's word counts."""
    scene = at(Phase.INSPECTED)
    for again in (ALL_BACK, inspect()):
        assert scene.when(again) == Refused("already_inspected")


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in (Phase.RETURNED, Phase.INSPECTED, Phase.STOPPED)])
def test_refused_when_there_is_nothing_to_inspect(phase: Phase) -> None:
    """Only what the courier has brought back can be looked at."""
    assert at(phase).when(ALL_BACK) == Refused("fulfilment_not_returned")


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in (Phase.RETURNING, Phase.STOPPED)])
def test_refused_when_nothing_is_on_its_way_back(phase: Phase) -> None:
    """A courier brings back what was called back or could not be delivered, and once."""
    assert at(phase).when(BACK) == Refused("fulfilment_not_returning")


@pytest.mark.parametrize(
    ("spus", "quantities", "resellable"),
    [(("apple",), (1, 1), (True,)), (("apple",), (1,), ()), (("apple",), (0,), (True,)), (("apple",), (1.5,), (True,))],
)
def test_malformed_when_an_inspection_makes_no_sense(spus: Any, quantities: Any, resellable: Any) -> None:
    """Lines of one length, with pieces."""
    with pytest.raises(ValidationError):
        logistics.InspectGoods(**OF, spus=spus, quantities=quantities, resellable=resellable)


# -- always ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", PEOPLES)
def test_refused_when_nobody_knows_the_order(message: Any) -> None:
    """A store has work only on orders that it was given."""
    scene = Scene(DECIDER)
    assert scene.when(message) == Refused("fulfilment_unknown")


@pytest.mark.parametrize("phase", WAY_TO)
@pytest.mark.parametrize("message", PEOPLES)
def test_people_are_answered_in_every_phase(phase: Phase, message: Any) -> None:
    """Whatever they ask, and whoever was faster: a step or a code, never a parked command."""
    scene = at(phase)
    assert isinstance(scene.when(message), Moved | Refused)
    refused = at(phase).when(message.model_copy(update={"store": "s-2"}))
    assert isinstance(refused, Refused)
    assert refused.code == "wrong_store"


@pytest.mark.parametrize("message", [STOP, INTERCEPT, amended(apple=1)])
def test_parked_when_the_order_service_names_another_store(message: Any) -> None:
    """Another store may be another shard's."""
    scene = at(Phase.ON_THE_ROAD)
    with pytest.raises(NoCell, match="in store s-1"):
        scene.when(message.model_copy(update={"store": "s-2"}))


moves = st.sampled_from([*PEOPLES, STOP, INTERCEPT, amended(apple=2, oats=1), inspect(("apple", 1, True))])
OUTCOMES = (logistics.FulfilmentStopped, logistics.FulfilmentDelivered, logistics.GoodsInspected)


@given(st.lists(moves, max_size=25))
def test_one_outcome_only(messages: list[Any]) -> None:
    """Whoever acts in whatever order: an order is stopped, delivered or inspected, and then nothing of it moves."""
    scene = Scene(DECIDER)
    said = scene.says(ORDER)
    for message in messages:
        try:
            outcome = scene.when(message)
        except NoCell:
            continue
        said += outcome.said if isinstance(outcome, Moved) else ()
    outcomes = [item for item in said if isinstance(item, OUTCOMES)]
    assert len(outcomes) <= 1
    state = fulfilment(scene)
    ended = state.phase in (Phase.STOPPED, Phase.DELIVERED, Phase.INSPECTED)
    assert ended is bool(outcomes)
    assert (state.called_off_at is not None) is (ended and state.phase is not Phase.DELIVERED)


def test_every_phase_is_tested() -> None:
    """A new phase needs a way to it here."""
    assert {Phase.NEW, *WAY_TO} == set(FULFILMENT.rows)
