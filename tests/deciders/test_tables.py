"""What must be true of every table and every message, whatever they are about."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from services.aftersales import inner as aftersales_inner
from services.aftersales.decider import TICKET
from services.aftersales.state import TicketPhase
from services.inventory.state import Phase as HoldPhase
from services.logistics import inner as logistics_inner
from services.logistics.decider import FULFILMENT, RETURN
from services.logistics.state import Phase as StorePhase
from services.logistics.state import ReturnPhase
from services.order import inner as order_inner
from services.order.decider import SALES_ORDER
from services.order.policy import CANCEL_POLICY, Policy
from services.order.state import ENDS as ORDER_ENDS
from services.order.state import RESTING, Order, Phase
from services.risk import inner as risk_inner
from services.risk.decider import SCREENING
from services.risk.state import Phase as ScreeningPhase
from shared.contracts import aftersales, logistics, risk
from shared.contracts import order as ordering
from shared.contracts.asyncapi import messages, sends
from shared.contracts.base import CommandAccepted, CommandRefused, Message, MessageParked
from shared.contracts.levels import LEVELS
from shared.contracts.topics import ALL_TOPICS, SERVICES, commands_of, events_of, levels_of
from shared.http.problems import CODES
from shared.runtime.table import Refuse, Table, To
from tests.deciders.everybody import (
    ALL_TABLES,
    DECIDERS,
    ENDS,
    HEARD_OUTSIDE,
    LEFT_AGAIN,
    NEVER,
    OF_EFFECTS,
    PEOPLE,
    READ_AS,
    TABLES,
    modules_of,
    register_codes,
    said_by,
)
from tests.deciders.orders import WAY_TO, at, order
from tests.deciders.scene import Scene

each_table = pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.name)
each_service = pytest.mark.parametrize("service", SERVICES)


def columns(service: str) -> set[type]:
    """The messages that a service's tables know."""
    return {message for table in TABLES[service] for _, message, _ in table.cells()}


def readings(service: str) -> set[type]:
    """Everything that may come to a service's tables."""
    decider = DECIDERS[service]
    arriving = [*decider.listens, *decider.timers.values()]
    return {
        *(read for message in arriving for read in READ_AS.get(message, (message,))),  # type: ignore[call-overload]
        *OF_EFFECTS.get(service, ()),
    }


def targets(table: Table) -> Mapping[StrEnum, set[StrEnum]]:
    """Where each phase leads to, itself apart."""
    found: dict[StrEnum, set[StrEnum]] = {phase: set() for phase in table.rows}
    for phase, _, cell in table.cells():
        if isinstance(cell, To) and cell.phase != phase:
            found[phase].add(cell.phase)
    return found


# -- messages ----------------------------------------------------------------------------------------------------------


@each_service
def test_every_message_listened_to_is_in_a_table(service: str) -> None:
    """A service that listens to a message decides it, as it is or as what it is read into."""
    assert readings(service) <= columns(service)


@each_service
def test_every_column_can_come(service: str) -> None:
    """No table speaks of a message that nobody sends it."""
    assert columns(service) <= readings(service)


@pytest.mark.parametrize("message", messages(), ids=lambda m: m.__name__)
def test_every_message_has_a_sender_and_a_listener(message: type[Message]) -> None:
    """Nobody waits for what is never said, and nothing is said to nobody."""
    if message in (CommandAccepted, CommandRefused, MessageParked):
        return  # said by the runtime, for every service
    if message in LEVELS:
        return  # told and followed beside what is decided (tests/runtime, tests/services)
    senders = {service for service in SERVICES if message in said_by(service)}
    listeners = {service for service in SERVICES if message in DECIDERS[service].listens}
    assert senders or message in PEOPLE, "nobody says it"
    assert listeners or message in HEARD_OUTSIDE, "nobody hears it"
    assert not (senders and message in PEOPLE), "a person's command said by a service"
    assert not (listeners and message in HEARD_OUTSIDE), "it has a listener by now: take it off the list"


@each_service
def test_commands_go_to_who_decides_them(service: str) -> None:
    """Commands travel on the topic of the one service that decides them, events on that of the one that says them."""
    for message in messages():
        if message.TOPIC == commands_of(service):
            assert [s for s in SERVICES if message in DECIDERS[s].listens] == [service], message
        if message.TOPIC == events_of(service):
            assert [s for s in SERVICES if message in said_by(s)] == [service], message
    assert all(m.TOPIC in ALL_TOPICS for m in DECIDERS[service].listens)


@each_service
def test_what_is_sent_is_what_the_document_says(service: str) -> None:
    """AsyncAPI draws from the topics' names what the deciders' source says as well."""
    told = {level for level in LEVELS if level.TOPIC == levels_of(service)}
    assert set(sends(service)) == said_by(service) | told | {CommandAccepted, CommandRefused, MessageParked}


def test_only_the_order_tells_others_what_to_do() -> None:
    """The saga is one table to read: no other service sends commands."""
    for service in SERVICES:
        commands = {m.__name__ for m in said_by(service) if m.TOPIC.endswith(".commands")}
        assert not commands or service == "order", (service, commands)


def test_every_message_names_its_key_and_subject() -> None:
    """Key and subject are fields that every such message has; a level's key is several."""
    for message in messages():
        for name in (*message.KEY.split("|"), *message.SUBJECT.split("|")):
            assert name in message.model_fields, message
            assert message.model_fields[name].is_required(), message


# -- phases ------------------------------------------------------------------------------------------------------------


@each_table
def test_every_phase_is_a_row(table: Table) -> None:
    """A phase without a row would park everything."""
    (phase_type,) = {type(phase) for phase in table.rows}
    assert set(table.rows) == set(phase_type) - NEVER.get(table.name, set())


@each_table
def test_every_phase_can_be_reached(table: Table) -> None:
    """From `new`, by some way."""
    leads, reached, ahead = targets(table), set(), [next(iter(table.rows))]
    assert ahead[0] == "new"
    while ahead:
        phase = ahead.pop()
        if phase not in reached:
            reached.add(phase)
            ahead += leads[phase]
    assert reached == set(table.rows)


@each_table
def test_every_phase_has_a_way_to_an_end(table: Table) -> None:
    """Nothing waits for ever by design, and what is an end leads nowhere."""
    leads, ends = targets(table), ENDS[table.name]
    assert {phase for phase in table.rows if not leads[phase]} == ends - LEFT_AGAIN.get(table.name, set())
    ending = set(ends)
    while more := {phase for phase in table.rows if phase not in ending and leads[phase] & ending}:
        ending |= more
    assert ending == set(table.rows)


def test_deducted_goods_stay_deducted_unless_reversed() -> None:
    """The one phase of a hold that good orders rest in leads only back: the goods never left, or came from the road."""
    (hold,) = (t for t in ALL_TABLES if t.name == "hold")
    assert targets(hold)[HoldPhase.DEDUCTED] == {HoldPhase.REVERSED, HoldPhase.TAKEN_BACK}


CALLED: set[type] = {aftersales_inner.SubstituteWanted, aftersales_inner.DropWanted, aftersales_inner.CancelWanted}
DECIDED: set[type] = {
    aftersales_inner.Approved,
    aftersales_inner.RetryApproved,
    aftersales_inner.Denied,
    aftersales_inner.RefundWanted,
    aftersales_inner.ReturnWanted,
    aftersales_inner.ReplacementWanted,
}
AT_HAND: set[type] = {aftersales.ClaimTicket, aftersales.ReleaseTicket, aftersales.NoteTicket}
OFFERED: list[tuple[Table, StrEnum, set[type]]] = [
    (SALES_ORDER, Phase.IN_REVIEW, {order_inner.CancelWanted}),
    (SALES_ORDER, Phase.AWAITING_PAYMENT, {ordering.PayOrder, order_inner.CancelWanted}),
    (
        SCREENING,
        ScreeningPhase.IN_REVIEW,
        {
            risk_inner.ReviewCleared,
            risk_inner.ReviewRestricted,
            risk_inner.ReviewRefused,
            risk.ClaimReview,
            risk.ReleaseReview,
        },
    ),
    (TICKET, TicketPhase.OPEN, {*CALLED, *DECIDED, *AT_HAND}),
    (
        TICKET,
        TicketPhase.RESOLVED,
        {aftersales_inner.RefundWanted, aftersales_inner.ReturnWanted, aftersales_inner.ReplacementWanted},
    ),
    (FULFILMENT, StorePhase.QUEUED, {logistics.StartPicking}),
    (FULFILMENT, StorePhase.PICKING, {logistics.ReportPicked, logistics_inner.PiecesMissing}),
    (FULFILMENT, StorePhase.PICKED, {logistics.ReportPacked}),
    (FULFILMENT, StorePhase.PACKED, {logistics.HandOver}),
    (FULFILMENT, StorePhase.ON_THE_ROAD, {logistics.ReportDelivered, logistics.ReportUndeliverable}),
    (FULFILMENT, StorePhase.RETURNING, {logistics.BringGoodsBack}),
    (FULFILMENT, StorePhase.RETURNED, {logistics_inner.GoodsSorted}),
    (
        RETURN,
        ReturnPhase.ANNOUNCED,
        {logistics.CollectReturn, logistics_inner.CollectedAtDelivery, logistics.BringReturn},
    ),
    (RETURN, ReturnPhase.COLLECTED, {logistics.BringReturn}),
    (RETURN, ReturnPhase.RETURNED, {logistics_inner.GoodsSorted}),
]
"""Phases that wait for a person, and all that this person may do."""


@pytest.mark.parametrize(
    ("table", "phase", "commands"), OFFERED, ids=lambda v: str(v) if isinstance(v, StrEnum) else ""
)
def test_every_phase_that_waits_for_a_person_offers_something(
    table: Table, phase: StrEnum, commands: set[type]
) -> None:
    """Just the right commands are carried out there."""
    people = {read for message in PEOPLE for read in READ_AS.get(message, (message,))}
    offered = {m for m, cell in table.rows[phase].items() if isinstance(cell, To) and m in people}
    assert offered == commands


@pytest.mark.parametrize("phase", [p for p in Phase if p not in {Phase.NEW, *ORDER_ENDS}])
def test_customer_is_refused_rather_than_parked(phase: Phase) -> None:
    """Whatever a customer asks of an order there is, the table has an answer to."""
    for command in (ordering.PayOrder, order_inner.CancelRefused, order_inner.CancelNeedsTicket):
        SALES_ORDER.cell(phase, command)
    if Policy.ALLOWED in CANCEL_POLICY[phase].values():
        SALES_ORDER.cell(phase, order_inner.CancelWanted)


def test_phases_that_rest_are_told_from_those_that_wait_for_a_service() -> None:
    """What waits for a service moves by a service's word; the alarm rests where a person or a timer decides."""
    waiting = set(Phase) - RESTING - {Phase.NEW}
    theirs = {m for m in DECIDERS["order"].listens if m not in PEOPLE}
    theirs |= {read for m in theirs for read in READ_AS.get(m, ())}
    for phase in waiting:
        assert any(isinstance(c, To) and c.phase != phase and m in theirs for m, c in SALES_ORDER.rows[phase].items())


# -- cells -------------------------------------------------------------------------------------------------------------


@each_service
def test_actions_never_set_the_phase(service: str) -> None:
    """The table does: no decider writes the word as a field's name. Messages may have such a field: a ticket's end."""
    said = {message.__name__ for message in messages()}
    sources = [inspect.getsource(m) for m in modules_of(service) if not m.__name__.endswith(".papers")]
    tree = [node for source in sources for node in ast.walk(ast.parse(source))]
    calls = [n for n in tree if isinstance(n, ast.Call) and ast.unparse(n.func).split(".")[-1] in said]
    of_messages = {id(keyword) for call in calls for keyword in call.keywords}
    for node in tree:
        names = [node.arg] if isinstance(node, ast.keyword) and id(node) not in of_messages else []
        if isinstance(node, ast.Dict):
            names = [key.value for key in node.keys if isinstance(key, ast.Constant)]  # type: ignore[misc]
        assert "phase" not in names, f"services/{service}, line {node.lineno} of a module"  # type: ignore[attr-defined]


@pytest.mark.parametrize("phase", WAY_TO)
def test_actions_change_only_fields_that_there_are(phase: Phase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every action on the way to every phase: its changes are fields of an order, and the phase is none of them."""
    seen = []
    real = Table.move

    def move(table: Table, state: object, message: object, facts: object, **stamps: Any) -> object:
        cell = table.cell(state.phase, type(message))  # type: ignore[attr-defined]
        if isinstance(cell, To) and cell.action:
            seen.append(set(cell.action(state, message, facts)[0]))
        return real(table, state, message, facts, **stamps)

    monkeypatch.setattr(Table, "move", move)
    at(phase)
    assert seen
    assert set().union(*seen) <= set(Order.__struct_fields__) - {"phase", "phase_since", "order_id"}


@each_service
def test_only_people_are_refused(service: str) -> None:
    """A service cannot act on a refusal: what comes from one moves, is ignored or parks."""
    people = {read for message in PEOPLE for read in READ_AS.get(message, (message,))}
    for table in TABLES[service]:
        for phase, message, cell in table.cells():
            if isinstance(cell, Refuse):
                assert message in people, (phase, message)


@each_service
def test_every_refusal_has_words(service: str) -> None:
    """Each code that a table refuses with is one that HTTP has a status and a title for."""
    register_codes()
    codes = {cell.code for table in TABLES[service] for _, _, cell in table.cells() if isinstance(cell, Refuse)}
    assert codes <= set(CODES)


@pytest.mark.parametrize("end", sorted(ORDER_ENDS))
def test_an_ended_order_is_never_revived(end: Phase) -> None:
    """Money may come and go; nothing leads out."""
    assert all(cell.phase is end for cell in SALES_ORDER.rows[end].values() if isinstance(cell, To))


def test_scene_shows_only_what_was_asked_for() -> None:
    """The stage of these tests is as strict as a shard: the order's decider needs nothing that it does not name."""
    for phase in WAY_TO:
        scene = at(phase)
        assert isinstance(scene, Scene)
        assert order(scene).phase is phase
