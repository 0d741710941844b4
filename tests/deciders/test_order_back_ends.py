"""Every phase has a way to an end, and every step of every way is one that the order really takes.

The drawings promise it of the table; here the messages are played.
"""

from __future__ import annotations

from typing import Any

import pytest

from larder.ways import way_to_end
from services.order import inner
from services.order.decider import SALES_ORDER
from services.order.state import ENDS, Phase
from shared.contracts import inventory
from shared.runtime.table import To
from tests.deciders import orders
from tests.deciders.orders import WAY_TO, at, order, shop
from tests.deciders.steps import play

OTHER_WAYS: dict[tuple[Phase, type], tuple[Any, ...]] = {
    (Phase.SHORT, inner.NothingLeft): (*WAY_TO[Phase.PICKING], orders.ALL_SHORT),
}
"""Steps that not every order in the phase takes, with the way of one that does."""

STEPS = [
    (phase, message, cell.phase)
    for phase, message, cell in SALES_ORDER.cells()
    if isinstance(cell, To) and cell.phase != phase
]


@pytest.mark.parametrize(
    ("phase", "message", "target"), STEPS, ids=[f"{phase}-{message.__name__}" for phase, message, _ in STEPS]
)
def test_every_step_leads_on_to_an_end(
    phase: Phase, message: type, target: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order takes the step that the table shows, and from there the shortest way to an end. At the end nothing is
    owed: what was paid is asked back, or delivered."""
    if phase is Phase.NEW:
        scene = shop()
    else:
        scene = shop(*OTHER_WAYS[phase, message]) if (phase, message) in OTHER_WAYS else at(phase)
    play(scene, message, monkeypatch)
    assert order(scene).phase is target
    for step in way_to_end(order(scene).phase) or ():
        play(scene, step.message, monkeypatch)
        assert order(scene).phase is step.phase
    after = order(scene)
    assert after.phase in ENDS
    if after.phase is not Phase.CLOSED:
        assert after.reason
        assert after.given_back == (after.total if after.reference else 0)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_shortest_way(phase: Phase) -> None:
    """As the page in docs shows it."""
    way = way_to_end(phase)
    assert way is not None
    assert bool(way) is (phase not in ENDS)


@pytest.mark.parametrize(
    ("phase", "answer"),
    [(Phase.RELEASING, inventory.StockReleased), (Phase.REVERSING, inventory.IssueReversed)],
)
def test_giving_stock_back_waits_for_one_answer(phase: Phase, answer: type) -> None:
    """A hold is released, an issue is reversed: the phase says which, and only its own answer leads on."""
    assert {m for p, m, _ in STEPS if p is phase} == {answer}


def test_every_way_is_played() -> None:
    """No phase is left out above."""
    assert {phase for phase, _, _ in STEPS} == set(Phase) - ENDS
