"""Aftersales: given a delivered order, when its window passes and nothing is open, then the order may close."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.aftersales import inner
from services.aftersales.decider import DECIDER, WINDOW
from services.aftersales.state import Phase, Window
from shared.contracts import aftersales
from shared.runtime.decider import Windows
from shared.runtime.said import SetTimer
from shared.runtime.table import IGNORED, NoCell, Refused
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import AGENT, DELIVERED, after, call, intercept, raised, settled, ticket, told, window

PASSED = inner.WindowPassed("o-1")
SHUT = aftersales.WindowShut(order_id="o-1")


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
    assert scene.says(inner.WindowPassed("o-1")) == [aftersales.WindowShut(order_id="o-1")]
    assert scene.states["window", "o-1"].phase is Phase.SHUT


def test_ignored_when_opened_again() -> None:
    """An order is delivered once: a repeat neither prolongs the window nor opens it anew."""
    scene = Scene(DECIDER)
    scene.says(DELIVERED)
    opened = scene.states["window", "o-1"]
    scene.later(60)
    assert scene.when(DELIVERED) == IGNORED
    assert scene.states["window", "o-1"] == opened
    scene.says(inner.WindowPassed("o-1"))
    assert scene.when(DELIVERED) == IGNORED


def test_parked_when_a_window_passes_that_never_opened() -> None:
    """That cannot be: the message parks."""
    with pytest.raises(NoCell):
        Scene(DECIDER).when(inner.WindowPassed("o-9"))


def test_ticket_open_while_the_window_passes_keeps_it_from_shutting() -> None:
    """The order closes when the last ticket has ended, and hears of it once."""
    scene = after(DELIVERED, intercept("t-1"), raised("refund_failed", "t-2"))
    assert scene.says(PASSED) == []
    assert window(scene).phase is Phase.PASSED
    (first,) = told(scene, settled("rejected", "not_in_delivery", "t-1"))
    assert isinstance(first, aftersales.TicketEnded)
    ended, shut = told(scene, settled("resolved", "paid_by_hand", "t-2"))
    assert (type(ended), shut) == (aftersales.TicketEnded, SHUT)
    assert (window(scene).phase, window(scene).open_tickets) == (Phase.SHUT, 0)


def test_ticket_that_ended_in_time_keeps_nothing_open() -> None:
    """The window shuts when it passes, and not before."""
    scene = after(DELIVERED, intercept())
    assert SHUT not in scene.says(settled("rejected", "not_in_delivery"))
    assert window(scene).phase is Phase.OPEN
    assert scene.says(PASSED) == [SHUT]


def test_ticket_from_before_the_delivery_counts() -> None:
    """Called back too late: the goods are delivered, and the window waits for the ticket all the same."""
    scene = after(intercept())
    assert window(scene) == Window("o-1", open_tickets=1)
    scene.says(DELIVERED)
    assert (window(scene).phase, window(scene).open_tickets) == (Phase.OPEN, 1)
    assert scene.says(PASSED) == []
    assert told(scene, settled("resolved", "too_late"))[-1] == SHUT


def test_tickets_of_an_order_that_is_never_delivered_shut_nothing() -> None:
    """There is no window, so nobody hears of one."""
    scene = after(raised("shortage"), call("cancel"))
    (said,) = told(scene, settled("resolved", "cancelled"))
    assert isinstance(said, aftersales.TicketEnded)
    assert window(scene) == Window("o-1")


def test_ticket_opened_while_another_keeps_the_window_open() -> None:
    """The window is not shut yet, so customer service is heard; it shuts behind the last of them."""
    scene = after(DELIVERED, intercept("t-1"), PASSED)
    assert scene.says(intercept("t-2"), AGENT)
    assert SHUT not in scene.says(settled("rejected", "not_in_delivery", "t-1"))
    assert told(scene, settled("rejected", "not_in_delivery", "t-2"))[-1] == SHUT


def test_ticket_after_the_window_is_shut_refused() -> None:
    """Nothing can be done to a closed order any more; a ticket that there was is over as before."""
    scene = after(DELIVERED, intercept("t-1"), settled("rejected", "not_in_delivery", "t-1"), PASSED)
    assert scene.when(intercept("t-2"), AGENT) == Refused("order_closed")
    assert ("ticket", "t-2") not in scene.states
    assert scene.when(intercept("t-1"), AGENT) == Refused("ticket_exists")


def test_ticket_of_the_saga_after_the_window_is_shut_is_raised() -> None:
    """Money that came late and cannot go back is owed all the same; the window is not shut a second time."""
    scene = after(DELIVERED, PASSED)
    (opened,) = told(scene, raised("refund_failed"))
    assert isinstance(opened, aftersales.TicketOpened)
    (ended,) = told(scene, settled("resolved", "paid_by_hand"))
    assert isinstance(ended, aftersales.TicketEnded)
    assert (window(scene).phase, window(scene).open_tickets) == (Phase.SHUT, 0)
    assert ticket(scene).note == "paid_by_hand"
