"""The cancel policy is a file: what it says is what is answered, and a file that promises too much is no policy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import services.order
from larder.ways import cancel_policy, way_to_end
from services.order.decider import check_policy
from services.order.pages import allowed
from services.order.policy import CANCEL_POLICY, Actor, Policy, actor_of, read_policy
from services.order.state import ENDS, SALES_ONLY, Phase
from shared.contracts import aftersales, logistics
from shared.http.auth import Caller, Role
from shared.http.problems import CODES
from shared.runtime.table import Moved, Refused
from tests.deciders.everybody import register_codes
from tests.deciders.orders import ASKED, CANCEL, INTERCEPTED, ON_THE_ROAD, STOPPED, WAY_TO, Shop, at, messages, order
from tests.deciders.scene import Scene
from tests.deciders.steps import play

TEXT = Path(services.order.__file__).with_name("cancel_policy.toml").read_text()
FILE: dict[str, dict[str, str]] = tomllib.loads(TEXT)
SENDERS = {
    "customer": ("customer:a-1",),
    "customer_service": ("customer_service:", "admin:"),
    "system": ("picker:", "courier:", "storekeeper:", "risk_analyst:", ""),
}
GOES_ON = {"stopping", "releasing", "cancelled", "paying_cancel_wanted", "deducting_cancel_wanted"}
CUSTOMER, SERVICE, ADMIN = Caller(Role.CUSTOMER, "a-1"), Caller(Role.CUSTOMER_SERVICE), Caller(Role.ADMIN)
OTHERS = [Caller(role) for role in Role if role not in (Role.CUSTOMER, Role.CUSTOMER_SERVICE, Role.ADMIN)]
CANCELLABLE = {
    Phase.RESERVING_SLOT,
    Phase.SCREENING,
    Phase.IN_REVIEW,
    Phase.HOLDING,
    Phase.AWAITING_PAYMENT,
    Phase.VERIFYING,
    Phase.PAYING,
    Phase.DEDUCTING,
    Phase.AWAITING_PICKING,
    Phase.PICKING,
    Phase.SHORT,
    Phase.AWAITING_SHIPMENT,
}
ON_TICKET = (Phase.IN_DELIVERY, Phase.DELIVERED)
"""Where only customer service helps: by calling the courier back, or by a ticket about the goods."""
CELLS = [(phase, actor, word) for phase, row in FILE.items() for actor, word in row.items()]


@pytest.mark.parametrize(("phase", "actor", "word"), CELLS, ids=[f"{phase}-{actor}" for phase, actor, _ in CELLS])
def test_everybody_is_answered_as_the_file_says(phase: str, actor: str, word: str) -> None:
    """Allowed goes on, or is told that it goes on already; refused and ticket have a code each, and change nothing."""
    for sender in SENDERS[actor]:
        scene = at(Phase(phase))
        before = order(scene)
        outcome = Scene.when(scene, CANCEL, sender)
        if isinstance(outcome, Moved):
            assert word == "allowed"
            assert order(scene).phase in GOES_ON
            # Whoever wants out of an order that is short does so because of us.
            assert order(scene).reason == ("short" if phase == "short" else f"cancelled_by_{actor}")
            continue
        assert isinstance(outcome, Refused)
        assert (
            outcome.code
            in {
                "allowed": ("cancel_under_way",),
                "refused": ("cancel_not_allowed",),
                "ticket": ("cancel_needs_ticket",),
            }[word]
        )
        assert order(scene) is before


def test_file_speaks_of_every_phase_and_every_actor() -> None:
    """Once; and of nothing else."""
    assert set(FILE) == set(WAY_TO) == set(Phase) - {Phase.NEW}
    assert all(set(row) == set(SENDERS) == set(Actor) for row in FILE.values())


def test_everybody_who_can_have_a_token_is_an_actor() -> None:
    """Admins act as customer service does; workers and programs are the system."""
    known = {role: actor_of(Caller(role).actor) for role in Role}
    assert known == {role: actor_of(Caller(role, name="jo:m").actor) for role in Role}
    assert known.pop(Role.CUSTOMER) is Actor.CUSTOMER
    assert known.pop(Role.CUSTOMER_SERVICE) is known.pop(Role.ADMIN) is Actor.CUSTOMER_SERVICE
    assert set(known.values()) == {Actor.SYSTEM}


def test_codes_of_the_policy_are_409() -> None:
    """People are told that it is the wrong time, not that they did wrong."""
    register_codes()
    for code in ("cancel_not_allowed", "cancel_needs_ticket", "cancel_under_way"):
        assert CODES[code][0] == 409


def settled(phase: aftersales.TicketEnd, note: str) -> aftersales.SettleTicket:
    """The ticket has come to its end."""
    return aftersales.SettleTicket(order_id="o-1", ticket_id=ASKED.ticket_id, phase=phase, note=note)


# -- a file that cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["substituting", "in_delivery", "intercepting", "delivered", "returning", *ENDS])
@pytest.mark.parametrize("actor", Actor)
def test_policy_that_promises_what_the_table_cannot_do_is_no_policy(phase: str, actor: Actor) -> None:
    """The service does not start with it: said to whoever changed the file, and not to a customer."""
    policy = {p: dict(row) for p, row in CANCEL_POLICY.items()}
    policy[Phase(phase)][actor] = Policy.ALLOWED
    with pytest.raises(ValueError, match=f"allows a cancel in {phase}, but there is no way back"):
        check_policy(policy)


def test_policy_may_be_stricter_than_the_table() -> None:
    """Refused everywhere, or by ticket wherever a cancel is a way back: the table has a cell for that."""
    check_policy({phase: dict.fromkeys(Actor, Policy.REFUSED) for phase in CANCEL_POLICY})
    for phase in (*CANCELLABLE, *ON_TICKET):
        check_policy({**CANCEL_POLICY, phase: dict.fromkeys(Actor, Policy.TICKET)})


@pytest.mark.parametrize("phase", [p for p in WAY_TO if p not in {*CANCELLABLE, *ON_TICKET}])
@pytest.mark.parametrize("actor", Actor)
def test_policy_that_wants_a_ticket_where_none_leads_back_is_no_policy(phase: Phase, actor: Actor) -> None:
    """Nobody is sent to customer service for a ticket that it cannot open, or that ends with nothing done."""
    row = {**CANCEL_POLICY[phase], actor: Policy.TICKET}
    with pytest.raises(ValueError, match=f"wants a ticket in {phase}, but none leads back from it"):
        check_policy({**CANCEL_POLICY, phase: row})


def test_stricter_policy_is_answered_without_a_change_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paid orders only through customer service, from tomorrow on."""
    monkeypatch.setitem(CANCEL_POLICY, Phase.PICKING, {**CANCEL_POLICY[Phase.PICKING], Actor.CUSTOMER: Policy.REFUSED})
    outcome = at(Phase.PICKING).when(CANCEL)
    assert isinstance(outcome, Refused)
    assert outcome.code == "cancel_not_allowed"
    assert allowed(Phase.PICKING, Caller(Role.CUSTOMER, "a-1")) == []
    assert allowed(Phase.PICKING, Caller(Role.ADMIN)) == ["cancel"]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (TEXT.replace("[picking]", "[pikcing]"), "picking.*pikcing"),
        (TEXT + '\n[new]\ncustomer = "refused"\n', "look at.*new"),
        (TEXT.replace("[picking]\ncustomer = ", "[picking]\ncustommer = "), "customer.*in picking"),
        (TEXT.replace('[picking]\ncustomer = "allowed"\n', "[picking]\n"), "customer.*in picking"),
        (TEXT.replace("[picking]\n", '[picking]\ncourier = "allowed"\n'), "courier"),
        (TEXT.replace('[picking]\ncustomer = "allowed"', '[picking]\ncustomer = "perhaps"'), "perhaps"),
        (TEXT + '\n[picking]\ncustomer = "refused"\n', "picking"),
        ("", "every phase"),
        ("picking", ""),
    ],
    ids=["phase", "new", "typo", "missing", "extra", "word", "twice", "empty", "no toml"],
)
def test_broken_file_is_named(broken: str, why: str) -> None:
    """A ValueError that names the phase, the actor or the word."""
    assert broken != TEXT
    with pytest.raises(ValueError, match=f"(?s){why}"):
        read_policy(broken, set(Phase) - {Phase.NEW})


# -- what a page offers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", WAY_TO)
def test_allowed_names_what_would_be_carried_out(phase: Phase) -> None:
    """For each role: no more than the table and the policy do, and no less."""
    cancel = ["cancel"] if phase in CANCELLABLE else []
    pay = ["pay"] if phase is Phase.AWAITING_PAYMENT else []
    by_ticket = {Phase.IN_DELIVERY: ["intercept"], Phase.DELIVERED: ["ticket"]}.get(phase, [])
    assert allowed(phase, CUSTOMER) == [*pay, *cancel]
    for staff in (SERVICE, ADMIN):
        assert allowed(phase, staff) == [*pay, *cancel, *by_ticket]
    for other in OTHERS:
        assert allowed(phase, other) == []


@pytest.mark.parametrize("phase", WAY_TO)
@pytest.mark.parametrize("caller", [CUSTOMER, SERVICE, ADMIN], ids=lambda c: c.role)
def test_allowed_cancel_is_carried_out_and_another_is_not(phase: Phase, caller: Caller) -> None:
    """The page and the table never disagree."""
    outcome: Any = Scene.when(at(phase), CANCEL, caller.actor)
    assert isinstance(outcome, Moved) is ("cancel" in allowed(phase, caller))


# -- every cell leads somewhere ----------------------------------------------------------------------------------------

EVERY_CELL = [(phase, actor, word) for phase in WAY_TO for actor in Actor for word in Policy]
CALLERS = {Actor.CUSTOMER: CUSTOMER, Actor.CUSTOMER_SERVICE: SERVICE, Actor.SYSTEM: OTHERS[0]}


@pytest.mark.parametrize(("phase", "actor", "word"), EVERY_CELL, ids=lambda v: str(v))
def test_every_cell_that_the_file_may_have_leads_somewhere(
    phase: Phase, actor: Actor, word: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Today's word, or another one tomorrow: either the service does not start with it, or the answer, its code and
    what the page offers agree, and whoever is told of a way finds it."""
    row = {**CANCEL_POLICY[phase], actor: word}
    try:
        check_policy({**CANCEL_POLICY, phase: row})
    except ValueError:
        assert CANCEL_POLICY[phase][actor] is not word, "today's file is a policy"
        return
    monkeypatch.setitem(CANCEL_POLICY, phase, row)
    scene, caller = at(phase), CALLERS[actor]
    outcome = Scene.when(scene, CANCEL, caller.actor)
    assert isinstance(outcome, Moved) >= ("cancel" in allowed(phase, caller)), "offered, and not carried out"
    if isinstance(outcome, Moved):
        assert word is Policy.ALLOWED
        assert actor is Actor.SYSTEM or "cancel" in allowed(phase, caller)
        assert ended(scene, monkeypatch) is Phase.CANCELLED
        return
    assert isinstance(outcome, Refused)
    if word is Policy.ALLOWED:
        assert outcome.code == "cancel_under_way"
        assert ended(scene, monkeypatch) is Phase.CANCELLED
    elif word is Policy.REFUSED:
        assert outcome.code == "cancel_not_allowed"
    else:
        assert outcome.code == "cancel_needs_ticket"
        if phase is Phase.DELIVERED:
            assert "ticket" in allowed(phase, SERVICE)
            asked = aftersales.TicketAsked(order_id="o-1", ticket_id="t-1", kind="return")
            assert messages(scene.says(asked)) == [aftersales.AdmitTicket(order_id="o-1", ticket_id="t-1")]
            return
        assert "intercept" in allowed(phase, SERVICE)
        scene.says(ASKED)
        assert ended(scene, monkeypatch) is Phase.CANCELLED


def ended(scene: Shop, monkeypatch: pytest.MonkeyPatch) -> Phase:
    """The end that the order comes to by the shortest way; a courier who is called back turns round."""
    if order(scene).phase is Phase.INTERCEPTING:
        scene.says(INTERCEPTED)
    for step in way_to_end(order(scene).phase) or ():
        play(scene, step.message, monkeypatch)
    return order(scene).phase


TICKET_PHASES = [p for p in WAY_TO if p in CANCELLABLE]


@pytest.mark.parametrize("in_slot", [False, True])
@pytest.mark.parametrize("phase", TICKET_PHASES)
def test_ticket_cancels_where_the_policy_wants_one(
    phase: Phase, in_slot: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same way back as a cancel of customer service's, and the ticket hears of its end once, when it is sure."""
    by_hand = at(phase, in_slot=in_slot)
    said = messages(Scene.when(by_hand, CANCEL, SERVICE.actor).said)  # type: ignore[union-attr]
    monkeypatch.setitem(CANCEL_POLICY, phase, dict.fromkeys(Actor, Policy.TICKET))
    scene = at(phase, in_slot=in_slot)
    heard = messages(scene.says(ASKED))
    assert [m for m in heard if m != settled("resolved", "cancelled")] == said
    assert order(scene).phase is order(by_hand).phase
    assert order(scene).reason == order(by_hand).reason
    stopping = order(scene).phase is Phase.STOPPING
    assert heard.count(settled("resolved", "cancelled")) == (0 if stopping else 1)
    if stopping:
        assert messages(scene.says(STOPPED)).count(settled("resolved", "cancelled")) == 1
    assert order(scene).ticket_id == ""
    assert ended(scene, monkeypatch) is Phase.CANCELLED


def test_ticket_is_told_when_the_courier_was_faster_than_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was cancelled: customer service may call the courier back now, with another ticket."""
    monkeypatch.setitem(CANCEL_POLICY, Phase.AWAITING_SHIPMENT, dict.fromkeys(Actor, Policy.TICKET))
    scene = at(Phase.AWAITING_SHIPMENT)
    assert messages(scene.says(ASKED)) == [logistics.StopFulfilment(order_id="o-1", store="s-1")]
    assert messages(scene.says(ON_THE_ROAD)) == [settled("rejected", "handed_over")]
    assert (order(scene).phase, order(scene).reason, order(scene).ticket_id) == (Phase.IN_DELIVERY, "", "")
    assert messages(scene.says(ASKED)) == [logistics.InterceptDelivery(order_id="o-1", store="s-1")]


def test_ticket_cancels_nothing_where_the_policy_wants_none() -> None:
    """Customer service has a cancel of its own there."""
    scene = at(Phase.AWAITING_SHIPMENT)
    assert "intercept" not in allowed(Phase.AWAITING_SHIPMENT, SERVICE)
    assert messages(scene.says(ASKED)) == [settled("rejected", "not_in_delivery")]


# -- what the docs show ------------------------------------------------------------------------------------------------


def test_docs_show_the_policy() -> None:
    """A row for each phase: where it leads, or the code of the 409."""
    sales, replacement = (
        {
            cells[1].strip(" *"): [cell.strip() for cell in cells[2:-1]]
            for cells in (line.split("|") for line in part.splitlines() if line.startswith("| **"))
        }
        for part in cancel_policy().split("## Replacement orders")
    )
    rows = sales
    assert set(rows) == set(WAY_TO)
    assert rows["picking"] == ["→ **stopping**"] * 3
    assert rows["in_delivery"] == ["`cancel_needs_ticket`", "`cancel_needs_ticket`", "`cancel_not_allowed`"]
    assert rows["refunding"] == ["`cancel_under_way`"] * 3
    assert rows["delivered"] == rows["in_delivery"]
    assert rows["intercepting"] == ["`cancel_not_allowed`"] * 3
    assert rows["closed"] == ["`cancel_not_allowed`"] * 3
    assert set(replacement) == set(WAY_TO) - SALES_ONLY
    assert replacement["picking"] == ["`cancel_needs_ticket`", "→ **stopping**", "→ **stopping**"]
