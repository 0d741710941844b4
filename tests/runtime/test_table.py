"""Tables: a cell moves, refuses or ignores; a missing one is an error; an action cannot set the phase."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict

from services.order.state import Order, Phase
from shared.runtime.table import IGNORE, IGNORED, NoCell, Refused, Table, evolve, refuse, to


class Light(StrEnum):
    """A light."""

    RED = "red"
    GREEN = "green"


class Lamp(Struct, frozen=True):
    """A lamp."""

    phase: Light = Light.RED
    turns: int = 0
    seen: str = ""


class Go:
    """Turn green."""


class Stop:
    """Turn red."""


class Ask:
    """May I?"""

    detail = "no walking on the grass"


class Shout:
    """Nobody thought of this one."""


def turn(lamp: Lamp, message: object, facts: Any) -> Any:
    """Counts, and tries what it must not."""
    return {"turns": lamp.turns + 1, "phase": Light.RED, "seen": "by action"}, ["turned", facts]


LIGHTS = Table(
    "lights",
    {
        Light.RED: {Go: to(Light.GREEN, turn), Stop: IGNORE, Ask: refuse("light_red")},
        Light.GREEN: {Stop: to(Light.RED), Ask: IGNORE},
    },
)


def test_moves_to_the_target_of_the_cell() -> None:
    """The table sets the phase and the stamps, whatever the action says."""
    assert LIGHTS.move(Lamp(), Go(), "facts", seen="by stamp") == (
        Lamp(Light.GREEN, 1, "by stamp"),
        ["turned", "facts"],
    )


def test_moves_without_an_action() -> None:
    """A transition may have nothing to say."""
    assert LIGHTS.move(Lamp(Light.GREEN, 3), Stop(), None) == (Lamp(Light.RED, 3), ())


def test_refuses_with_the_message_s_own_words() -> None:
    """Code from the cell, detail from the message."""
    assert LIGHTS.move(Lamp(), Ask(), None) == Refused("light_red", "no walking on the grass")


def test_ignores_what_is_written_down_as_late() -> None:
    """Nothing changed, as expected."""
    assert LIGHTS.move(Lamp(), Stop(), None) == IGNORED


@pytest.mark.parametrize("phase", Light)
def test_raises_for_what_nobody_thought_of(phase: Light) -> None:
    """The error names table, message and phase."""
    with pytest.raises(NoCell, match=f"lights: no cell for Shout in phase {phase}"):
        LIGHTS.move(Lamp(phase), Shout(), None)


def test_subclasses_are_other_messages() -> None:
    """A cell is for one type: a more special message needs its own."""

    class GoFast(Go):
        """Faster."""

    with pytest.raises(NoCell):
        LIGHTS.move(Lamp(), GoFast(), None)


def test_allowed_names_what_would_be_carried_out() -> None:
    """Not what is refused, ignored or unthought of."""
    commands = {"go": Go, "stop": Stop, "ask": Ask, "shout": Shout}
    assert LIGHTS.allowed(Light.RED, commands) == ["go"]
    assert LIGHTS.allowed(Light.GREEN, commands) == ["stop"]


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(list(Phase)),
        "total": st.integers(),
        "reason": st.text(),
        "spus": st.tuples(st.text(), st.text()),
        "hold_mode": st.sampled_from([None, "lock", "on_payment"]),
        "attempt": st.integers(),
        "refunds": st.integers(),
    },
)


@given(CHANGES)
def test_evolve_changes_what_it_is_told_and_nothing_else(changes: dict[str, Any]) -> None:
    """The state before stays as it was."""
    order = Order("o-1", Phase.NEW, account="a-1", total=5, slot=None, reference="cap-1")
    before = asdict(order)
    assert asdict(evolve(order, changes)) == before | changes
    assert order == Order("o-1", Phase.NEW, account="a-1", total=5, slot=None, reference="cap-1")


def test_evolve_refuses_a_field_that_there_is_not() -> None:
    """A slip in an action raises, and the message parks."""
    with pytest.raises(TypeError):
        evolve(Lamp(), {"colour": "blue"})
    assert set(Lamp.__struct_fields__) == {"phase", "turns", "seen"}
