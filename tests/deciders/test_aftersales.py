"""Aftersales: given a delivered order, when its window passes, then the order may close."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.aftersales.decider import DECIDER, WINDOW
from services.aftersales.state import Phase, Window, WindowPassed
from shared.contracts.aftersales import OpenWindow, WindowShut
from shared.runtime.decider import Windows
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORED, NoCell
from tests.deciders.scene import NOON, Scene

DELIVERED = OpenWindow(order_id="o-1", account="a-1", store="s-1")


def test_opened_with_the_delivery() -> None:
    """The window opens for as long as the setting says, and nothing is said yet."""
    scene = Scene(DECIDER, windows=Windows(after_sales_window_s=3600))
    shuts_at = NOON + timedelta(hours=1)
    assert scene.says(DELIVERED) == [SetTimer("o-1", WINDOW, shuts_at)]
    assert scene.states["window", "o-1"] == Window("o-1", Phase.OPEN, "a-1", "s-1", shuts_at)


def test_shut_when_its_time_has_passed() -> None:
    """The order service hears of it, once."""
    scene = Scene(DECIDER)
    scene.says(DELIVERED)
    assert scene.says(WindowPassed("o-1")) == [WindowShut(order_id="o-1")]
    assert scene.states["window", "o-1"].phase is Phase.SHUT


def test_ignored_when_opened_again() -> None:
    """An order is delivered once: a repeat neither prolongs the window nor opens it anew."""
    scene = Scene(DECIDER)
    scene.says(DELIVERED)
    opened = scene.states["window", "o-1"]
    scene.later(60)
    assert scene.when(DELIVERED) == IGNORED
    assert scene.states["window", "o-1"] == opened
    scene.says(WindowPassed("o-1"))
    assert scene.when(DELIVERED) == IGNORED


def test_parked_when_a_window_passes_that_never_opened() -> None:
    """That cannot be: the message parks."""
    with pytest.raises(NoCell):
        Scene(DECIDER).when(WindowPassed("o-9"))
