"""Claims and notes: given an open ticket, when somebody works on it, then nobody else decides meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.aftersales.pages import page_of
from services.aftersales.state import Note, TicketPhase
from shared.contracts import aftersales
from shared.runtime.table import Moved, Refused
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import APPROVED, REJECTED, after, call, intercept, raised, settled, ticket, told

ANNA, BEN = "customer_service:anna", "customer_service:ben"
CLAIM = aftersales.ClaimTicket(order_id="o-1", ticket_id="t-1")
RELEASE = aftersales.ReleaseTicket(order_id="o-1", ticket_id="t-1")
NOTE = aftersales.NoteTicket(order_id="o-1", ticket_id="t-1", text="calls back at six")
UNTIL = NOON + timedelta(seconds=600)


def annas(kind: Any = "missing_goods") -> Scene:
    """A ticket that Anna has claimed at noon."""
    scene = after(raised(kind))
    scene.says(CLAIM, ANNA)
    return scene


def test_claim_is_told_with_its_end() -> None:
    """To everybody: who has it, and until when."""
    scene = after(raised("missing_goods"))
    assert told(scene, CLAIM, ANNA) == [
        aftersales.TicketMoved(
            order_id="o-1",
            ticket_id="t-1",
            kind="missing_goods",
            phase="open",
            step="ClaimTicket",
            by=ANNA,
            claimed_by=ANNA,
            claimed_until=UNTIL,
        )
    ]
    assert (ticket(scene).claimed_by, ticket(scene).claimed_until) == (ANNA, UNTIL)


@pytest.mark.parametrize("command", [CLAIM, RELEASE, APPROVED, REJECTED], ids=lambda m: m.TYPE)
def test_others_are_refused_while_somebody_works_on_it(command: Any) -> None:
    """They are told who, and until when; a note may be left."""
    scene = annas()
    before = ticket(scene)
    outcome = scene.when(command, BEN)
    assert outcome == Refused("ticket_claimed", f"{ANNA} has it until 2026-11-22T12:10:00Z")
    assert ticket(scene) is before
    assert isinstance(scene.when(NOTE, BEN), Moved)


def test_call_of_another_is_refused_while_somebody_works_on_it() -> None:
    """Two people do not call the same customer."""
    scene = annas("shortage")
    outcome = scene.when(call("drop"), BEN)
    assert isinstance(outcome, Refused)
    assert outcome.code == "ticket_claimed"
    assert isinstance(scene.when(call("drop"), ANNA), Moved)


@pytest.mark.parametrize("command", [CLAIM, APPROVED, REJECTED], ids=lambda m: m.TYPE)
def test_claim_runs_out(command: Any) -> None:
    """A second before its end it holds, at its end it does not."""
    scene = annas()
    scene.later(599)
    assert isinstance(scene.when(command, BEN), Refused)
    scene.later(1)
    assert isinstance(scene.when(command, BEN), Moved)


def test_own_claim_is_prolonged() -> None:
    """From now on, as long as a new one."""
    scene = annas()
    scene.later(500)
    scene.says(CLAIM, ANNA)
    assert ticket(scene).claimed_until == UNTIL + timedelta(seconds=500)
    scene.later(599)
    assert isinstance(scene.when(CLAIM, BEN), Refused)


def test_released_ticket_is_anybodys() -> None:
    """Nobody has it, so nobody can release it."""
    scene = annas()
    scene.says(RELEASE, ANNA)
    assert (ticket(scene).claimed_by, ticket(scene).claimed_until) == ("", None)
    assert scene.when(RELEASE, ANNA) == Refused("ticket_not_claimed")
    assert isinstance(scene.when(CLAIM, BEN), Moved)


def test_release_of_a_claim_that_ran_out_refused() -> None:
    """Also by whoever had it."""
    scene = annas()
    scene.later(600)
    assert scene.when(RELEASE, ANNA) == Refused("ticket_not_claimed")


def test_end_ends_the_claim() -> None:
    """By a decision, and by the order's word, which waits for no claim."""
    for scene, word, sender in ((annas(), APPROVED, ANNA), (annas("shortage"), settled("resolved", "dropped"), "")):
        scene.says(word, sender)
        assert (ticket(scene).phase, ticket(scene).claimed_by) == (TicketPhase.RESOLVED, "")
        for command in (CLAIM, RELEASE, NOTE):
            for person in (ANNA, BEN):
                assert scene.when(command, person) == Refused("ticket_closed")


@pytest.mark.parametrize("command", [CLAIM, RELEASE, NOTE], ids=lambda m: m.TYPE)
def test_unknown_ticket_refused(command: Any) -> None:
    """One that does not exist, or is another order's."""
    assert after().when(command, ANNA) == Refused("ticket_unknown")
    others = command.model_copy(update={"order_id": "o-2"})
    assert annas().when(others, ANNA) == Refused("ticket_unknown")


def test_notes_are_kept_in_order() -> None:
    """With who wrote them and when, whoever that is."""
    scene = annas()
    scene.says(NOTE, ANNA)
    scene.later(60)
    scene.says(NOTE.model_copy(update={"text": "called"}), BEN)
    assert ticket(scene).notes == (Note(NOON, ANNA, "calls back at six"), Note(scene.now, BEN, "called"))


def test_page_offers_what_may_be_done() -> None:
    """A claim that has run out is nobody's, and cannot be released."""
    scene = annas()
    page = page_of(ticket(scene), NOON)
    assert (page.claimed_by, page.claimed_until) == (ANNA, UNTIL)
    assert page.allowed == ["approve", "reject", "claim", "note", "release"]
    page = page_of(ticket(scene), UNTIL)
    assert (page.claimed_by, page.claimed_until) == (None, None)
    assert page.allowed == ["approve", "reject", "claim", "note"]
    assert page_of(ticket(after(intercept())), NOON).allowed == ["claim", "note"]


def test_page_says_when_a_ticket_is_overdue() -> None:
    """Past its deadline and not ended."""
    scene = after(raised("missing_goods"))
    deadline = NOON + timedelta(hours=4)
    assert page_of(ticket(scene), deadline).overdue is False
    assert page_of(ticket(scene), deadline + timedelta(seconds=1)).overdue is True
    scene.says(APPROVED, ANNA)
    assert page_of(ticket(scene), deadline + timedelta(seconds=1)).overdue is False
