"""The cancel policy is a file: what it says is what is answered, and a file that promises too much is no policy."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import services.order
from larder.ways import cancel_policy
from services.order.decider import check_policy
from services.order.pages import allowed
from services.order.policy import CANCEL_POLICY, Actor, Policy, actor_of, read_policy
from services.order.state import ENDS, Phase
from shared.http.auth import Caller, Role
from shared.http.problems import CODES
from shared.runtime.table import Moved, Refused
from tests.deciders.everybody import register_codes
from tests.deciders.orders import CANCEL, WAY_TO, at, order
from tests.deciders.scene import Scene

TEXT = Path(services.order.__file__).with_name("cancel_policy.toml").read_text()
FILE: dict[str, dict[str, str]] = tomllib.loads(TEXT)
SENDERS = {
    "customer": ("customer:a-1",),
    "customer_service": ("customer_service:", "admin:"),
    "system": ("picker:", "courier:", "storekeeper:", "risk_analyst:", ""),
}
GOES_ON = {"stopping", "releasing", "cancelled", "paying_cancel_wanted", "deducting_cancel_wanted"}
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
            assert order(scene).reason == f"cancelled_by_{actor}"
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
    assert known.pop(Role.CUSTOMER) is Actor.CUSTOMER
    assert known.pop(Role.CUSTOMER_SERVICE) is known.pop(Role.ADMIN) is Actor.CUSTOMER_SERVICE
    assert set(known.values()) == {Actor.SYSTEM}


def test_codes_of_the_policy_are_409() -> None:
    """People are told that it is the wrong time, not that they did wrong."""
    register_codes()
    for code in ("cancel_not_allowed", "cancel_needs_ticket", "cancel_under_way"):
        assert CODES[code][0] == 409


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
    """Refused or by ticket everywhere: the table has a cell for that in every phase."""
    for word in (Policy.REFUSED, Policy.TICKET):
        check_policy({phase: dict.fromkeys(Actor, word) for phase in CANCEL_POLICY})


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
        read_policy(broken)


# -- what a page offers ------------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("phase", WAY_TO)
def test_allowed_names_what_would_be_carried_out(phase: Phase) -> None:
    """For each role: no more than the table and the policy do, and no less."""
    cancel = ["cancel"] if phase in CANCELLABLE else []
    pay = ["pay"] if phase is Phase.AWAITING_PAYMENT else []
    intercept = ["intercept"] if phase is Phase.IN_DELIVERY else []
    assert allowed(phase, CUSTOMER) == [*pay, *cancel]
    for staff in (SERVICE, ADMIN):
        assert allowed(phase, staff) == [*pay, *cancel, *intercept]
    for other in OTHERS:
        assert allowed(phase, other) == []


@pytest.mark.parametrize("phase", WAY_TO)
@pytest.mark.parametrize("caller", [CUSTOMER, SERVICE, ADMIN], ids=lambda c: c.role)
def test_allowed_cancel_is_carried_out_and_another_is_not(phase: Phase, caller: Caller) -> None:
    """The page and the table never disagree."""
    outcome: Any = Scene.when(at(phase), CANCEL, caller.actor)
    assert isinstance(outcome, Moved) is ("cancel" in allowed(phase, caller))


# -- what the docs show ------------------------------------------------------------------------------------------------


def test_docs_show_the_policy() -> None:
    """A row for each phase: where it leads, or the code of the 409."""
    rows = {
        cells[1].strip(" *"): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in cancel_policy().splitlines() if line.startswith("| **"))
    }
    assert set(rows) == set(WAY_TO)
    assert rows["picking"] == ["→ **stopping**"] * 3
    assert rows["in_delivery"] == ["`cancel_needs_ticket`", "`cancel_needs_ticket`", "`cancel_not_allowed`"]
    assert rows["refunding"] == ["`cancel_under_way`"] * 3
    assert rows["closed"] == ["`cancel_not_allowed`"] * 3
