"""Tickets: given what customer service works on, when a person, the order or a deadline speaks, then it ends once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.aftersales.decider import DECIDER, TicketMistake
from services.aftersales.pages import page_of
from services.aftersales.state import TICKET_ENDS, Call, Ticket, TicketPhase
from services.order.state import Phase
from shared.contracts import aftersales
from shared.runtime.table import IGNORED, NoCell, Refused
from tests.deciders.orders import ASKED, DELIVERED, at
from tests.deciders.scene import NOON, Scene
from tests.deciders.tickets import (
    AGENT,
    APPROVED,
    REJECTED,
    REOPENED,
    after,
    call,
    intercept,
    moved,
    raised,
    settled,
    ticket,
    told,
    window,
)

DROP = call("drop")
SUBSTITUTE = call("substitute", ("plum", 2, "apple"))
CANCEL = call("cancel")
OPENED_BY_THE_SAGA: list[aftersales.TicketKind] = ["shortage", "missing_goods", "refund_failed"]


def opened(kind: aftersales.TicketKind, by: str = "") -> aftersales.TicketOpened:
    """What everybody hears."""
    return aftersales.TicketOpened(order_id="o-1", ticket_id="t-1", kind=kind, by=by)


def ended(kind: aftersales.TicketKind, phase: Any, note: str, by: str = "") -> aftersales.TicketEnded:
    """What everybody hears at last."""
    return aftersales.TicketEnded(order_id="o-1", ticket_id="t-1", kind=kind, phase=phase, note=note, by=by)


# -- intercept ---------------------------------------------------------------------------------------------------------


def test_intercept_asks_the_order_at_once() -> None:
    """It needs no approval: the order hears of it, and the ticket waits for what the order makes of it."""
    scene = Scene(DECIDER)
    asked = aftersales.InterceptAsked(order_id="o-1", ticket_id="t-1")
    assert told(scene, intercept(), AGENT) == [opened("intercept", AGENT), asked]
    assert ticket(scene) == Ticket(
        "t-1",
        "o-1",
        TicketPhase.DECIDING,
        "intercept",
        reason="wrong address",
        opened_at=NOON,
        opened_by=AGENT,
        deadline=NOON + timedelta(hours=4),
    )


@pytest.mark.parametrize(
    ("phase", "note"), [("resolved", "caught"), ("resolved", "too_late"), ("rejected", "not_in_delivery")]
)
def test_intercept_ends_as_the_order_says(phase: Any, note: str) -> None:
    """Caught, too late, or nothing to catch: the note says which."""
    scene = after(intercept())
    scene.later(7)
    assert told(scene, settled(phase, note)) == [ended("intercept", phase, note)]
    assert (ticket(scene).phase, ticket(scene).note, ticket(scene).ended_at) == (phase, note, scene.now)


def test_intercept_asked_twice_is_two_tickets() -> None:
    """Two people ask at once: the order settles each of them, whichever it carried out."""
    scene = after(intercept("t-1"), intercept("t-2"))
    assert window(scene).open_tickets == 2
    assert scene.says(settled("rejected", "intercept_under_way", "t-2"))
    assert scene.says(settled("resolved", "caught", "t-1"))
    assert (ticket(scene).phase, ticket(scene, "t-2").phase) == (TicketPhase.RESOLVED, TicketPhase.REJECTED)
    assert window(scene).open_tickets == 0


@pytest.mark.parametrize("before", [(), (settled("resolved", "caught"),)])
def test_intercept_under_the_same_id_refused(before: tuple[Any, ...]) -> None:
    """One id, one ticket: the order is asked once, also after the end."""
    scene = after(intercept(), *before)
    assert scene.when(intercept(), AGENT) == Refused("ticket_exists")


def test_intercept_under_the_id_of_another_orders_ticket_refused() -> None:
    """And that ticket stays what it is."""
    scene = after(raised("shortage"))
    assert scene.when(intercept(order_id="o-2"), AGENT) == Refused("ticket_exists")
    assert (ticket(scene).order_id, ticket(scene).kind) == ("o-1", "shortage")


# -- shortage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPENED_BY_THE_SAGA)
def test_raised_tickets_wait_for_a_person(kind: aftersales.TicketKind) -> None:
    """Everybody hears that it is there, and it says what it is about."""
    scene = Scene(DECIDER)
    assert told(scene, raised(kind)) == [opened(kind)]
    known = ticket(scene)
    assert (known.phase, known.opened_by, known.account) == (TicketPhase.OPEN, "", "a-1")
    assert (known.spus, known.quantities) == (("apple", "pear"), (3, 1))
    assert scene.when(raised(kind)) == IGNORED


def test_raised_under_the_id_of_another_orders_ticket_parks() -> None:
    """The saga numbers its tickets, so that cannot be."""
    scene = after(raised("shortage"))
    with pytest.raises(TicketMistake, match="t-1 of o-2"):
        scene.when(raised("shortage").model_copy(update={"order_id": "o-2"}))


def test_call_outcome_goes_to_the_order() -> None:
    """Substitute, drop or cancel: the order hears it, and the ticket keeps who said what."""
    chosen = aftersales.SubstituteChosen(
        order_id="o-1", ticket_id="t-1", substitute_spus=("plum",), substitutes=(2,), instead_of=("apple",)
    )
    for said, event in (
        (SUBSTITUTE, chosen),
        (DROP, aftersales.DropChosen(order_id="o-1", ticket_id="t-1")),
        (CANCEL, aftersales.CancelChosen(order_id="o-1", ticket_id="t-1")),
    ):
        scene = after(raised("shortage"))
        assert told(scene, said, AGENT) == [event, moved("shortage", "deciding", "RecordCall")]
        assert ticket(scene).phase is TicketPhase.DECIDING
        expected = Call(said.outcome, AGENT, NOON, said.substitute_spus, said.substitutes, said.instead_of)
        assert ticket(scene).call == expected


@pytest.mark.parametrize(
    "substitutes",
    [
        (("plum", 4, "apple"),),
        (("plum", 1, "bread"),),
        (("plum", 2, "apple"), ("grape", 2, "apple")),
    ],
)
def test_substitutes_beside_what_is_short_refused(substitutes: tuple[tuple[str, int, str], ...]) -> None:
    """More pieces than are short, or for something that is not: told at once, and the call can be made again."""
    scene = after(raised("shortage"))
    outcome = scene.when(call("substitute", *substitutes), AGENT)
    assert isinstance(outcome, Refused)
    assert outcome.code == "substitutes_do_not_fit"
    assert substitutes[0][2] in outcome.detail
    assert ticket(scene).phase is TicketPhase.OPEN


def test_outcome_that_cannot_be_opens_the_call_again() -> None:
    """The note says why; another outcome is taken then, and takes the note away."""
    scene = after(raised("shortage"), SUBSTITUTE)
    assert told(scene, REOPENED) == [moved("shortage", "open", "ReopenCall", by="", note="substitute_short")]
    assert (ticket(scene).phase, ticket(scene).note) == (TicketPhase.OPEN, "substitute_short")
    assert window(scene).open_tickets == 1
    assert told(scene, DROP, AGENT) == [
        aftersales.DropChosen(order_id="o-1", ticket_id="t-1"),
        moved("shortage", "deciding", "RecordCall"),
    ]
    assert ticket(scene).note == ""


@pytest.mark.parametrize("second", [SUBSTITUTE, DROP, CANCEL, call("substitute", ("plum", 9, "apple"))])
def test_second_outcome_refused(second: Any) -> None:
    """Two people called: the first is being carried out, and later on it is over."""
    scene = after(raised("shortage"), DROP)
    assert scene.when(second, AGENT) == Refused("ticket_not_open", getattr(scene.when(second), "detail", ""))
    scene.when(settled("resolved", "dropped"))
    outcome = scene.when(second, AGENT)
    assert isinstance(outcome, Refused)
    assert outcome.code == "ticket_closed"
    assert ticket(scene).call == Call("drop", AGENT, NOON)


def test_deadline_before_the_call() -> None:
    """Nobody called, the order dropped the lines: whoever calls now is told that it is over."""
    scene = after(raised("shortage"))
    assert told(scene, settled("resolved", "dropped")) == [ended("shortage", "resolved", "dropped")]
    assert scene.when(SUBSTITUTE, AGENT) == Refused("ticket_closed")


def test_deadline_while_the_outcome_is_on_its_way() -> None:
    """The deadline spoke first: the ticket ends as the order says, and what comes of the outcome is no news."""
    scene = after(raised("shortage"), CANCEL)
    assert told(scene, settled("resolved", "dropped")) == [ended("shortage", "resolved", "dropped")]
    for late in (settled("rejected", "too_late"), settled("resolved", "dropped"), REOPENED):
        assert scene.when(late) == IGNORED
    assert (ticket(scene).phase, ticket(scene).note) == (TicketPhase.RESOLVED, "dropped")
    assert window(scene).open_tickets == 0


def test_deadline_after_the_call_was_opened_again() -> None:
    """The substitute was gone, nobody called again: the deadline ends it."""
    scene = after(raised("shortage"), SUBSTITUTE, REOPENED)
    assert told(scene, settled("resolved", "dropped")) == [ended("shortage", "resolved", "dropped")]


# -- approval ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing_goods", "refund_failed"])
def test_people_end_what_waits_for_them(kind: aftersales.TicketKind) -> None:
    """Approved is resolved, rejected is rejected with the reason; the second is told that it is over. Of a refund that
    failed the order hears, once: it tries again."""
    scene = after(raised(kind))
    again = [aftersales.RefundApproved(order_id="o-1", ticket_id="t-1")] if kind == "refund_failed" else []
    assert told(scene, APPROVED, AGENT) == [ended(kind, "resolved", "approved", AGENT), *again]
    assert scene.when(REJECTED, AGENT) == Refused("ticket_closed")
    scene = after(raised(kind))
    assert told(scene, REJECTED, AGENT) == [ended(kind, "rejected", "found behind the shelf", AGENT)]
    assert scene.when(APPROVED, AGENT) == Refused("ticket_closed")
    assert window(scene).open_tickets == 0


@pytest.mark.parametrize("decision", [APPROVED, REJECTED])
def test_approval_of_what_needs_none_refused(decision: Any) -> None:
    """An intercept and a call go their way without."""
    for scene in (after(intercept()), after(raised("shortage")), after(raised("shortage"), DROP)):
        before = ticket(scene)
        assert scene.when(decision, AGENT) == Refused("ticket_needs_no_approval")
        assert ticket(scene) == before
    assert after(intercept(), settled("resolved", "caught")).when(decision, AGENT) == Refused("ticket_closed")


def test_outcome_of_a_call_that_nobody_asked_for_refused() -> None:
    """Only a shortage asks for a call."""
    for scene in (after(intercept()), after(raised("missing_goods")), after(raised("refund_failed"))):
        assert scene.when(DROP, AGENT) == Refused("ticket_not_a_call")


@pytest.mark.parametrize("command", [DROP, SUBSTITUTE, CANCEL, APPROVED, REJECTED])
def test_unknown_ticket_refused(command: Any) -> None:
    """One that does not exist, or is another order's."""
    assert Scene(DECIDER).when(command, AGENT) == Refused("ticket_unknown")
    scene = after(raised("shortage"), raised("missing_goods", "t-2"))
    for ticket_id in ("t-1", "t-2"):
        others = command.model_copy(update={"order_id": "o-2", "ticket_id": ticket_id})
        assert scene.when(others, AGENT) == Refused("ticket_unknown")
    assert {ticket(scene, t).phase for t in ("t-1", "t-2")} == {TicketPhase.OPEN}


@pytest.mark.parametrize("word", [settled("resolved", "dropped"), REOPENED])
def test_parked_when_the_order_speaks_of_an_unknown_ticket(word: Any) -> None:
    """That cannot be: it is kept for a person to look at."""
    with pytest.raises(NoCell, match="phase new"):
        Scene(DECIDER).when(word)


def test_every_ticket_ends_once() -> None:
    """Whatever is said to an ended ticket, it stays as it is and nothing is said."""
    for scene in (after(raised("shortage"), settled("resolved", "dropped")), after(raised("refund_failed"), REJECTED)):
        before = ticket(scene)
        assert before.phase in TICKET_ENDS
        for word in (raised("shortage"), REOPENED, settled("resolved", "x"), settled("rejected", "x")):
            assert scene.when(word) == IGNORED
        for asked in (intercept(), DROP, SUBSTITUTE, CANCEL, APPROVED, REJECTED):
            assert isinstance(scene.when(asked, AGENT), Refused)
        assert ticket(scene) == before


# -- what the page says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said_by", [DELIVERED, ASKED], ids=["on the way", "delivered before"])
def test_ticket_that_came_too_late_says_so_and_offers_a_return(said_by: Any) -> None:
    """The order's own word, all the way to the ticket's page: the customer has the goods, a return is what is left."""
    sale = at(Phase.INTERCEPTING if said_by is DELIVERED else Phase.DELIVERED)
    (told,) = [m for m in sale.says(said_by) if isinstance(m, aftersales.SettleTicket)]
    scene = after(intercept(), told.model_copy(update={"ticket_id": "t-1"}))
    page = page_of(ticket(scene), NOON)
    assert (page.phase, page.note, page.offers, page.allowed) == ("resolved", "too_late", ["return"], ["approve"])


@pytest.mark.parametrize("settling", [settled("resolved", "caught"), settled("rejected", "not_in_delivery")])
def test_ticket_that_came_in_time_or_too_early_offers_nothing(settling: aftersales.SettleTicket) -> None:
    """There is nothing to return."""
    assert page_of(ticket(after(intercept(), settling)), NOON).offers == []


def test_words_of_a_person_offer_nothing() -> None:
    """Somebody rejects a ticket of another kind with that very word."""
    scene = after(raised("missing_goods"), REJECTED.model_copy(update={"reason": aftersales.TOO_LATE}))
    assert page_of(ticket(scene), NOON).offers == []
