"""Ratings: given a delivered order, when its customer says what it was like, then it is kept once, and heard if bad."""

from __future__ import annotations

import pytest

from services.aftersales import inner
from services.aftersales.decider import DECIDER, complaint_of
from services.aftersales.state import Rating, TicketPhase
from services.aftersales.tickets import RATING_SHOWN
from shared.contracts import aftersales, risk
from shared.runtime.table import Refused
from tests.deciders.orders import WINDOW
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import AGENT, ticket, window

CUSTOMER = "customer:a-1"
COMPLAINT = complaint_of("o-1")
LOW = risk.Activity(account="a-1", order_id="o-1", deed="rated_low", at=NOON)


def rating(stars: int, text: str = "", account: str = "a-1") -> aftersales.RateOrder:
    """The customer's word."""
    return aftersales.RateOrder(order_id="o-1", account=account, stars=stars, text=text)


def delivered() -> Scene:
    """An order whose window is open."""
    scene = Scene(DECIDER)
    scene.says(WINDOW)
    return scene


@pytest.mark.parametrize("stars", [3, 4, 5])
def test_good_rating_is_kept_and_nobody_is_asked(stars: int) -> None:
    """Written down with its words."""
    scene = delivered()
    assert scene.says(rating(stars, "fine"), CUSTOMER) == [Rating("o-1", "a-1", NOON, stars, "fine")]
    assert (window(scene).stars, window(scene).open_tickets) == (stars, 0)


@pytest.mark.parametrize("stars", [1, 2])
def test_bad_rating_opens_a_complaint(stars: int) -> None:
    """By the customer, about the whole order; it claims no goods yet, and keeps the window open."""
    scene = delivered()
    said = scene.says(rating(stars, "sour milk"), CUSTOMER)
    assert said[0] == Rating("o-1", "a-1", NOON, stars, "sour milk")
    assert aftersales.TicketOpened(order_id="o-1", ticket_id=COMPLAINT, kind="quality", by=CUSTOMER) in said
    assert LOW in said
    complaint = ticket(scene, COMPLAINT)
    assert (complaint.phase, complaint.kind, complaint.reason) == (TicketPhase.OPEN, "quality", "sour milk")
    assert (complaint.opened_by, complaint.account, complaint.store) == (CUSTOMER, "a-1", "s-1")
    assert complaint.claims == ()
    assert (window(scene).stars, window(scene).open_tickets) == (stars, 1)
    assert len(window(scene).goods) == len(WINDOW.spus)


def test_long_rating_is_kept_whole_and_shown_in_part() -> None:
    """The ticket's reason has a bound of its own."""
    scene = delivered()
    text = "x" * aftersales.RATING_MAX
    (kept, *_) = scene.says(rating(1, text), CUSTOMER)
    assert kept == Rating("o-1", "a-1", NOON, 1, text)
    assert ticket(scene, COMPLAINT).reason == "x" * RATING_SHOWN


@pytest.mark.parametrize("first", [1, 5])
def test_second_rating_refused(first: int) -> None:
    """Once, good or bad, also after the complaint has ended."""
    scene = delivered()
    scene.says(rating(first), CUSTOMER)
    for stars in (1, 5):
        assert scene.when(rating(stars), CUSTOMER) == Refused("already_rated")
    if first == 1:
        scene.says(aftersales.RejectTicket(order_id="o-1", ticket_id=COMPLAINT, reason="no"), AGENT)
        assert scene.when(rating(1), CUSTOMER) == Refused("already_rated")
    assert window(scene).stars == first


def test_rating_of_another_customers_order_refused() -> None:
    """It is as unknown as none, before it is rated, after that, and when it is closed."""
    scene = delivered()
    other = rating(1, account="a-2")
    assert scene.when(other, "customer:a-2") == Refused("order_unknown")
    scene.says(rating(5), CUSTOMER)
    assert scene.when(other, "customer:a-2") == Refused("order_unknown")
    scene.says(inner.WindowPassed("o-1"))
    assert scene.when(other, "customer:a-2") == Refused("order_unknown")
    assert window(scene).stars == 5


def test_rating_before_the_delivery_refused() -> None:
    """There is nothing to say yet."""
    assert Scene(DECIDER).when(rating(5), CUSTOMER) == Refused("order_not_delivered")


def test_rating_after_the_window_refused() -> None:
    """The order is closed; while a ticket keeps it open, it is not."""
    scene = delivered()
    scene.says(inner.WindowPassed("o-1"))
    assert scene.when(rating(5), CUSTOMER) == Refused("order_closed")
    scene = delivered()
    scene.says(rating(2), CUSTOMER)
    scene.says(inner.WindowPassed("o-1"))
    assert scene.when(rating(5), CUSTOMER) == Refused("already_rated")


def test_bad_rating_beside_a_ticket_of_that_name_opens_none() -> None:
    """Somebody has chosen that id before: the ticket stays what it is, and the rating is kept."""
    scene = delivered()
    scene.says(
        aftersales.OpenTicket(order_id="o-1", ticket_id=COMPLAINT, kind="return", spus=("milk",), quantities=(1,)),
        AGENT,
    )
    before = ticket(scene, COMPLAINT)
    assert scene.says(rating(1), CUSTOMER) == [Rating("o-1", "a-1", NOON, 1, ""), LOW]
    assert ticket(scene, COMPLAINT) is before
