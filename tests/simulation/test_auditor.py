"""The auditor finds what is wrong in plain rows, names it, and shares no code with what it audits."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from larder.simulation import complaints, customers
from larder.simulation.clock import NOON
from larder.simulation.rows import rows_of
from larder.simulation.simulate import audit_evening
from larder.simulation.world import World
from shared.contracts.base import Slot
from shared.contracts.topics import SERVICES

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Spoil = Callable[[Rows], object]


@pytest.fixture(scope="module")
def clean() -> Rows:
    """The rows of the first evening with orders at every end, refunds, slots, holds, ways back and poison."""
    for seed in range(1354, 2354):
        rows = busy_evening(seed, (0.0, 0.0, 0.3, 0.8))
        wanted = (
            ("order.orders", {"closed", "cancelled", "rejected"}),
            ("inventory.holds", {"deducted", "released", "reversed", "taken_back"}),
            ("logistics.reservations", {"freed"}),
            ("logistics.fulfilments", {"stopped", "inspected"}),
            ("aftersales.tickets", {"resolved"}),
            ("risk.screenings", {"cleared", "restricted"}),
        )
        if all({row["phase"] for row in rows[table]} >= phases for table, phases in wanted) and (
            rows["gateway.refunds"]
            and rows["people.poison"]
            and rows["payment.contradictions"]
            and any(r["phase"] == "confirmed" for r in rows["payment.reports"])
            and any(is_amended(o) for o in rows["order.orders"])
            and any(e["deed"] == "unreachable" for e in rows["risk.endings"])
            and back_documents(rows)
            and claims(rows)
            and rows["risk.entered"]
            and by_the_newest_rules(rows)
            and rows["people.signals"] == [{"are_whole": True, "in_order": True}]
        ):
            return rows
    raise AssertionError("no evening has everything")


@pytest.fixture(scope="module")
def complained() -> Rows:
    """The rows of the first evening on which every kind of complaint came to something."""
    for seed in range(1, 100):
        rows = busy_evening(seed)
        kinds = {ticket["kind"] for ticket in rows["aftersales.tickets"] if ticket["phase"] == "resolved"}
        replacements = {o["phase"] for o in rows["order.orders"] if o["replacement"]}
        if (
            kinds >= {"refund_only", "return", "exchange", "replenishment"}
            and replacements >= {"closed", "cancelled"}
            and any(r["phase"] == "inspected" for r in rows["logistics.returns"])
        ):
            return rows
    raise AssertionError("no evening has every complaint")


def busy_evening(seed: int, complained: tuple[float, ...] = complaints.EVENINGS) -> Rows:
    """The rows of an evening of many orders, of which so many are complained about: it has all of it sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complaints, "EVENINGS", complained)
        patch.setattr(customers, "ORDERS", (200, 240))
        world = World(seed)
        world.run()
    return rows_of(world)


def broken_rules(rows: Rows) -> set[str]:
    """The names of the rules that are broken."""
    return {violation.rule for violation in audit_evening(rows)}


def order(rows: Rows, phase: str) -> Row:
    """Some order in a phase."""
    return some(rows, "order.orders", phase=phase)


def some(rows: Rows, table: str, **where: object) -> Row:
    """Some row of a table."""
    return next(row for row in rows[table] if all(row[c] == v for c, v in where.items()))


def without_movement(rows: Rows) -> None:
    rows["inventory.ledger"].remove(some(rows, "inventory.ledger", kind="sales_issue"))


def never_picked(rows: Rows) -> None:
    rows["order.timeline"] = [entry for entry in rows["order.timeline"] if entry["phase"] != "picking"]


def second_timeline_end(rows: Rows) -> None:
    closed = order(rows, "closed")
    entry = {"order_id": closed["order_id"], "at": None, "phase": "cancelled", "message": "StockReleased", "actor": ""}
    rows["order.timeline"].append(entry)


def twice_in_log(rows: Rows) -> None:
    told = rows["log.answers"][0]
    rows["log.answers"].append({**told, "id": "another"})


def expired_early(rows: Rows) -> None:
    closed = order(rows, "closed")
    entry = {
        "order_id": closed["order_id"],
        "at": closed["placed_at"],
        "phase": "releasing",
        "message": "PaymentExpired",
    }
    rows["order.timeline"].append(entry)


def without_issue(rows: Rows) -> None:
    rows["inventory.documents"].remove(some(rows, "inventory.documents", kind="sales_issue"))


def other_issue(rows: Rows) -> None:
    some(rows, "inventory.documents", kind="sales_issue").update(spus=("x",), quantities=(1,))


def other_id_in_log(rows: Rows) -> None:
    links = next(row["links"] for row in rows["log.partitions"] if row["links"])
    source, number, _ = links[0]
    links.append((source, number, "another"))


def unheard_command(rows: Rows) -> None:
    rows["people.sent"].append({"id": "unheard", "type": "PayOrder", "subject": "o-1", "at": None})


def nothing_parked(rows: Rows) -> None:
    for service in SERVICES:
        rows[f"{service}.parked"] = []


def document_of(rows: Rows, hold: str, kind: str) -> Row:
    """A document of some kind of an order whose hold is in a phase."""
    orders = {row["order_id"] for row in rows["inventory.holds"] if row["phase"] == hold}
    return next(d for d in rows["inventory.documents"] if d["order_id"] in orders and d["kind"] == kind)


def back_documents(rows: Rows) -> list[Row]:
    """What was written of goods that came back in time."""
    overdue = {entry["order_id"] for entry in rows["order.timeline"] if entry["message"] == "GoodsOverdue"}
    receipts = [d for d in rows["inventory.documents"] if d["kind"] == "return_receipt"]
    return [receipt for receipt in receipts if receipt["order_id"] not in overdue]


def by_the_newest_rules(rows: Rows) -> bool:
    """Some of them spoke."""
    versions = {s["seen"].rules_version for s in rows["risk.screenings"] if s["seen"].spoke}
    return bool(rows["risk.rule_sets"]) and rows["risk.rule_sets"][-1]["version"] in versions


def back_document(rows: Rows) -> Row:
    """One of them."""
    return back_documents(rows)[0]


def amended(rows: Rows) -> Row:
    """An order that was delivered with fewer pieces than were ordered, and some of its money back."""
    return next(o for o in rows["order.orders"] if is_amended(o))


def is_amended(o: Row) -> bool:
    """Such an order."""
    return bool(o["lots"] and o["phase"] == "closed" and o["given_back"] and not o["replacement"])


def late_click(rows: Rows) -> None:
    """An order's slot had begun when it was paid for."""
    paid = order(rows, "closed")
    entries = [e for e in rows["order.timeline"] if e["order_id"] == paid["order_id"] and e["phase"] == "paying"]
    paid["slot"] = Slot(start=entries[0]["at"], end=entries[0]["at"] + timedelta(hours=1))


def part_of_another_amount(rows: Rows) -> None:
    for refund in rows["payment.refunds"]:
        if refund["order_id"] == amended(rows)["order_id"] and refund["reason"] == "short":
            refund["amount"] = 1


def a_refund(rows: Rows) -> Row:
    """The refund of an order that was called off; of one that the gateway refuses, nothing stands."""
    called_off = {o["order_id"] for o in rows["order.orders"] if o["phase"] == "cancelled"}
    refunds = (r for r in rows["payment.refunds"] if r["phase"] == "refunded" and r["reason"] != "unasked_money")
    return next(r for r in refunds if r["order_id"] in called_off)


def without_ticket_paper(rows: Rows) -> None:
    saga = next(ticket for ticket in rows["aftersales.tickets"] if not ticket["opened_by"])
    papers = rows["order.papers"]
    rows["order.papers"] = [p for p in papers if p["body"].get("ticket_id") != saga["ticket_id"]]


def a_call(rows: Rows, **changes: object) -> None:
    some(rows, "aftersales.tickets", kind="shortage").update(changes)


def nobody_was_short(rows: Rows) -> None:
    for entry in rows["order.timeline"]:
        if entry["message"] == "PiecesShort":
            entry["message"] = "x"


def never_reversed(rows: Rows) -> None:
    rows["inventory.documents"].remove(document_of(rows, "reversed", "issue_reversal"))


def inspected_more(rows: Rows) -> None:
    step = some(rows, "logistics.steps_back", entered="inspected")
    more = {"spus": "x", "quantities": 1, "found": "missing"}
    step.update({column: (*step[column], value) for column, value in more.items()})


def reviewed(rows: Rows, **changes: object) -> None:
    """A review is changed."""
    row = rows["risk.reviews"][0]
    row["review"] = replace(row["review"], **changes)


def claims(rows: Rows) -> list[Row]:
    """The claims of reviews that were decided by whoever had them."""
    decided = {a["subject"] for a in rows["risk.answers"] if a["accepted"] and sent(rows, a)["type"] == "DecideReview"}
    answers = [a for a in rows["risk.answers"] if a["accepted"] and a["subject"] in decided]
    return [sent(rows, a) for a in answers if sent(rows, a)["type"] == "ClaimReview"]


def a_claim(rows: Rows) -> Row:
    """One of them."""
    return claims(rows)[0]


def sent(rows: Rows, answer: Row) -> Row:
    """The command that was answered so."""
    return some(rows, "people.sent", id=answer["id"])


def seen_first(rows: Rows) -> list[Row]:
    """What was told of a first order."""
    return [some(rows, "log.activity", type="OrdersSeen")]


SPOILS: list[tuple[str, Spoil]] = [
    ("total_is_lines", lambda rows: amended(rows).update(lots=(("spu-0", 1000, 1, "", 0),))),
    ("issued_is_wanted", lambda rows: document_of(rows, "deducted", "adjustment").update(kind="sales_issue")),
    ("issued_is_wanted", never_reversed),
    ("reversals_fit", lambda rows: rows["inventory.documents"].remove(document_of(rows, "deducted", "adjustment"))),
    ("reversals_fit", nobody_was_short),
    ("fulfilment_agrees", lambda rows: rows["logistics.pick_lists"][0].update(spus=("x",), quantities=(1,))),
    ("hold_is_fulfilment", lambda rows: some(rows, "inventory.holds", phase="taken_back").update(phase="reversed")),
    ("hold_is_fulfilment", lambda rows: some(rows, "logistics.fulfilments", phase="stopped").update(phase="packed")),
    ("returns_fit", lambda rows: rows["inventory.documents"].remove(back_document(rows))),
    ("inspected_is_taken_back", lambda rows: back_document(rows).update(kind="goods_receipt", order_id=None)),
    (
        "steps_back_are_phase",
        lambda rows: rows["logistics.steps_back"].remove(some(rows, "logistics.steps_back", entered="inspected")),
    ),
    ("steps_back_are_phase", inspected_more),
    ("refunds_fit_lines", part_of_another_amount),
    ("refund_is_end", lambda rows: a_refund(rows).update(amount=1)),
    (
        "refused_refund_has_ticket",
        lambda rows: order(rows, "closed").update(owed=((1, "t-1", 5, "cap-1", "short", "store"),)),
    ),
    ("waiting_order_holds", lambda rows: some(rows, "inventory.holds", phase="deducted").update(store="another")),
    ("refused_refund_has_ticket", lambda rows: a_call(rows, kind="refund_failed")),
    ("tickets_are_counted", lambda rows: a_call(rows, phase="deciding")),
    ("ticket_tells_truth", lambda rows: a_call(rows, note="too_late", order_id="o-nobody")),
    ("tickets_are_counted", lambda rows: rows["aftersales.windows"][0].update(open_tickets=3)),
    ("ticket_for_each", lambda rows: a_call(rows, kind="intercept")),
    ("ticket_is_on_page", without_ticket_paper),
    ("short_is_our_fault", lambda rows: some(rows, "order.orders", reason="payment_expired").update(reason="short")),
    ("ending_is_known", lambda rows: rows["risk.endings"].remove(some(rows, "risk.endings", deed="unreachable"))),
    ("ending_is_known", lambda rows: some(rows, "risk.endings", deed="ended").update(deed="cancelled")),
    ("ending_is_known", lambda rows: some(rows, "risk.endings", deed="delivered").update(account="a-nobody")),
    ("cells_are_ledger_sums", lambda rows: rows["inventory.cells"][0].update(on_hand=999)),
    ("stock_never_negative", lambda rows: rows["inventory.ledger"].sort(key=lambda m: min(m["on_hand"]))),
    ("document_moved_once", without_movement),
    ("document_moved_once", lambda rows: rows["inventory.documents"].append(rows["inventory.documents"][0])),
    (
        "movement_has_paper",
        lambda rows: rows["inventory.documents"].remove(some(rows, "inventory.documents", kind="sales_issue")),
    ),
    ("hold_is_its_moves", lambda rows: some(rows, "inventory.holds", phase="deducted").update(phase="locked")),
    ("no_hold_outlives_order", lambda rows: some(rows, "inventory.holds", phase="released").update(phase="checked")),
    ("issued_is_wanted", without_issue),
    ("reversals_fit", lambda rows: document_of(rows, "reversed", "issue_reversal").update(reverses="SI-of-another")),
    ("issued_is_wanted", other_issue),
    ("one_end", second_timeline_end),
    ("life_in_order", never_picked),
    ("slot_is_kept", late_click),
    ("timeline_is_phase", lambda rows: order(rows, "closed").update(phase="delivered")),
    ("every_order_ends", lambda rows: order(rows, "closed").update(phase="delivered")),
    ("end_has_reason", lambda rows: order(rows, "cancelled").update(reason="")),
    ("total_is_lines", lambda rows: order(rows, "closed").update(total=1)),
    ("order_is_journal", lambda rows: order(rows, "closed").update(paid=1)),
    ("order_is_papers", lambda rows: rows["order.papers"].remove(some(rows, "order.papers", kind="payment"))),
    ("money_of_phase", lambda rows: some(rows, "order.orders", phase="cancelled").update(paid=1)),
    ("journal_is_gateway", lambda rows: rows["gateway.refunds"].clear()),
    ("captures_made", lambda rows: rows["gateway.pending_captures"].append({"key": "o-1:1", "due_at": NOON})),
    ("accepted_is_there", lambda rows: some(rows, "order.answers", accepted=True).update(subject="o-lost")),
    ("waits_have_timers", lambda rows: some(rows, "aftersales.windows", phase="shut").update(phase="open")),
    ("phase_is_known", lambda rows: order(rows, "closed").update(phase="dreaming")),
    ("somebody_answers", lambda rows: order(rows, "closed").update(phase="holding")),
    ("journal_is_payment", lambda rows: rows["payment.journal"].pop()),
    ("papers_show_documents", without_issue),
    ("answered_once", lambda rows: rows["risk.answers"].append(rows["order.answers"][0])),
    ("journal_is_gateway", lambda rows: rows["payment.journal"].pop()),
    ("gateway_keeps_its_sums", lambda rows: rows["gateway.refunds"].extend(rows["gateway.refunds"] * 99)),
    ("refunds_done", lambda rows: some(rows, "payment.refunds", phase="refunded").update(phase="refused")),
    ("capture_belongs_to_one_order", lambda rows: rows["gateway.captures"][0].update(order_id="o-nobody")),
    ("capture_belongs_to_one_order", lambda rows: rows["gateway.captures"][0].update(key="another")),
    ("capture_belongs_to_one_order", lambda rows: rows["payment.payments"].append(
        {**next(p for p in rows["payment.payments"] if p["captures"]), "order_id": "o-another"})),
    ("lies_are_kept", lambda rows: rows["payment.contradictions"].pop()),
    ("lies_are_kept", lambda rows: rows["payment.contradictions"].append(rows["payment.contradictions"][0])),
    ("lies_are_kept", lambda rows: rows["people.untrue"].pop()),
    ("reports_looked_up", lambda rows: rows["payment.reports"][0].update(phase="asked")),
    ("attempts_over", lambda rows: rows["payment.payments"][0].update(phase="asking")),
    ("places_are_reservations", lambda rows: rows["logistics.slots"][0].update(reserved=77)),
    ("slot_agrees", lambda rows: some(rows, "logistics.reservations", phase="freed").update(phase="reserved")),
    ("fulfilment_agrees", lambda rows: rows["logistics.fulfilments"][0].update(phase="packed")),
    ("steps_in_order", lambda rows: some(rows, "logistics.fulfilments", phase="delivered").update(picking_at=None)),
    ("screening_agrees", lambda rows: rows["risk.screenings"][0].update(phase="in_review")),
    ("screening_agrees", lambda rows: order(rows, "closed").update(hold_mode="x")),
    ("screening_is_verdict", lambda rows: some(rows, "risk.screenings", phase="refused").update(phase="cleared")),
    ("verdict_has_cause", lambda rows: some(rows, "risk.screenings", phase="cleared").update(reason="account_blocked")),
    ("verdict_has_cause", lambda rows: rows["risk.rule_sets"][-1].update(rules='{"rules": {}, "levels": {}}')),
    ("claim_ends_with_review", lambda rows: reviewed(rows, claimed_by="ra-3")),
    ("review_claims_are_kept", lambda rows: a_claim(rows).update(actor="risk_analyst:ra-3")),
    ("blocks_are_entered", lambda rows: rows["risk.entered"].pop()),
    ("orders_are_seen_once", lambda rows: rows["log.activity"].extend(seen_first(rows))),
    ("conducts_are_counted", lambda rows: rows["risk.conducts"][0].update(at=1)),
    ("conducts_are_counted", lambda rows: rows["risk.conducts"][0].update(counts={})),
    ("window_agrees", lambda rows: some(rows, "aftersales.windows", phase="shut").update(phase="open")),
    ("links_are_even", lambda rows: rows["order.progress"][0]["received"].popitem()),
    ("outbox_is_whole", lambda rows: rows["order.outbox"].pop()),
    ("link_without_gap", lambda rows: [row["links"].pop(0) for row in rows["log.partitions"] if row["links"]]),
    ("link_numbers", other_id_in_log),
    ("log_is_read", lambda rows: [row.update(offsets={}) for row in rows["order.progress"]]),
    ("due_timers_fired", lambda rows: rows["risk.timers"].append({"subject": "o-1", "name": "review", "due_at": NOON})),
    ("effects_closed", lambda rows: rows["payment.effects"].append({"id": "o-1:1", "kind": "charge"})),
    ("answers_are_told", twice_in_log),
    ("answers_are_told", unheard_command),
    ("decided_by_its_shard", lambda rows: rows["inventory.cells"][0].update(written_by={0, 1})),
    ("decided_by_its_shard", lambda rows: rows["risk.screenings"][0].update(written_by={77})),
    ("nothing_of_ours_parked", lambda rows: rows["people.poison"].clear()),
    ("poison_parks_once", nothing_parked),
    ("parked_with_reason", lambda rows: [row.update(codes=("behind",)) for row in rows["people.poison"]]),
    ("priced_as_told", lambda rows: [row.update(price=7) for row in rows["people.prices"]]),
    ("never_early", expired_early),
    ("parked_is_told", lambda rows: rows["log.parked"].clear()),
    ("placed_as_asked", lambda rows: order(rows, "closed").update(account="somebody else")),
]  # fmt: skip
"""A rule, and how it gets broken."""


# -- after the delivery ------------------------------------------------------------------------------------------------


def replacement(rows: Rows, phase: str = "closed") -> Row:
    """Some replacement order in a phase."""
    return next(o for o in rows["order.orders"] if o["replacement"] and o["phase"] == phase)


def master(rows: Rows) -> Row:
    """The sales order of a replacement order that was delivered."""
    return some(rows, "order.orders", order_id=replacement(rows)["replacement"].replaces)


def resolved(rows: Rows, kind: str) -> Row:
    """Some ticket of a kind that came to something."""
    return some(rows, "aftersales.tickets", kind=kind, phase="resolved")


def of_order(rows: Rows, table: str, row: Row) -> Row:
    """The row of a table that is about the same order."""
    return some(rows, table, order_id=row["order_id"])


def again(rows: Rows, table: str, row: Row, **otherwise: object) -> None:
    """One more row, like this one but for that."""
    rows[table].append({**row, **otherwise})


def kept_at_the_window(rows: Rows) -> None:
    """A piece that a ticket has used up can be complained about once more."""
    ticket = resolved(rows, "refund_only")
    window = of_order(rows, "aftersales.windows", ticket)
    window["goods"] = (*window["goods"], *ticket["settled"])


def compensated_twice(rows: Rows) -> None:
    papers = rows["order.papers"]
    papers.append({**some(rows, "order.papers", kind="compensated")})


def wrong_way(rows: Rows) -> None:
    entry = next(e for e in rows["order.timeline"] if "~" in e["order_id"] and e["phase"] == "deducting")
    entry["phase"] = "awaiting_payment"


def one_piece_more(rows: Rows) -> None:
    """A replacement order was to bring more than it brought, and nobody got money for that."""
    brought = replacement(rows)
    first, *rest = brought["quantities"]
    brought["quantities"] = (first + 1, *rest)


COMPLAINTS: list[tuple[str, Spoil]] = [
    ("pieces_claimed_once", kept_at_the_window),
    ("pieces_claimed_once", lambda rows: resolved(rows, "return").update(claims=resolved(rows, "return")["settled"])),
    ("tickets_pay_what_was_paid", lambda rows: resolved(rows, "refund_only").update(refunded=10**6)),
    ("tickets_pay_what_was_paid", compensated_twice),
    ("refunds_are_compensations", compensated_twice),
    (
        "refunds_are_compensations",
        lambda rows: some(rows, "payment.refunds", reason="return", phase="refunded").update(reason="short"),
    ),
    ("returns_are_documents", lambda rows: returned_good(rows, -1)),
    ("return_is_ticket", lambda rows: returned_good(rows, -1)),
    ("replaced_or_refunded", one_piece_more),
    ("returns_are_documents", lambda rows: rows["logistics.returns"].remove(found_return(rows))),
    ("replacement_moves_no_money", lambda rows: replacement(rows).update(paid=1)),
    ("replacement_has_master", lambda rows: master(rows).update(phase="cancelled")),
    ("replacement_has_master", lambda rows: replacement(rows).update(phase="delivered")),
    ("closed_has_nothing_open", lambda rows: found_return(rows).update(phase="collected")),
    ("nothing_is_awaited", lambda rows: found_return(rows).update(phase="returned")),
    ("nothing_is_awaited", lambda rows: resolved(rows, "exchange").update(phase="replacing")),
    ("tickets_are_counted", lambda rows: of_order(rows, "aftersales.windows", replacement(rows)).update(phase="open")),
    ("ticket_is_on_page", lambda rows: resolved(rows, "return").update(phase="rejected")),
    ("ticket_for_each", lambda rows: lost_return(rows)),
    ("life_in_order", wrong_way),
    (
        "issued_is_wanted",
        lambda rows: of_order(rows, "inventory.documents", replacement(rows)).update(kind="sales_issue"),
    ),
    (
        "window_agrees",
        lambda rows: rows["aftersales.windows"].remove(of_order(rows, "aftersales.windows", replacement(rows))),
    ),
    (
        "screening_agrees",
        lambda rows: again(rows, "risk.screenings", rows["risk.screenings"][0], **_of(replacement(rows))),
    ),
    (
        "decided_by_its_shard",
        lambda rows: some(rows, "aftersales.tickets", **_of(replaced(rows))).update(written_by={9}),
    ),
]


def found_return(rows: Rows) -> Row:
    """Goods that came back and were inspected, of an order that is closed."""
    closed = {o["order_id"] for o in rows["order.orders"] if o["phase"] == "closed"}
    return next(
        r
        for r in rows["logistics.returns"]
        if r["phase"] == "inspected"
        and r["order_id"] in closed
        and any(state != "missing" for _, _, state in r["found"])
    )


def returned_good(rows: Rows, more: int) -> None:
    """The store found fewer, or more, pieces than the documents say."""
    found = found_return(rows)
    (spu, pieces, state), *rest = sorted(found["found"], key=lambda line: line[2] == "missing")
    found["found"] = ((spu, pieces + more, state), *rest)


def lost_return(rows: Rows) -> None:
    """A courier had it, nobody has it, and nobody was asked to look."""
    found = found_return(rows)
    found.update(phase="overdue", collected_at=found["announced_at"])


def replaced(rows: Rows) -> Row:
    """An order with a ticket."""
    return rows["aftersales.tickets"][0]


def _of(row: Row) -> Row:
    return {"order_id": row["order_id"]}


def test_a_clean_evening_breaks_no_rule(clean: Rows, complained: Rows) -> None:
    """What the others spoil is clean to begin with."""
    assert broken_rules(clean) == broken_rules(complained) == set()


@pytest.mark.parametrize(("rule", "spoil"), SPOILS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(SPOILS)])
def test_a_broken_rule_is_named(clean: Rows, rule: str, spoil: Spoil) -> None:
    """Rows that were tampered with break the rule that is about them."""
    rows: Any = copy.deepcopy(clean)
    spoil(rows)
    assert rule in broken_rules(rows)


@pytest.mark.parametrize(("rule", "spoil"), COMPLAINTS, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(COMPLAINTS)])
def test_a_broken_rule_about_complaints_is_named(complained: Rows, rule: str, spoil: Spoil) -> None:
    """The same, of what comes after the delivery."""
    rows: Any = copy.deepcopy(complained)
    spoil(rows)
    assert rule in broken_rules(rows)


def test_violations_name_ids(clean: Rows) -> None:
    """A violation says which order or cell, and what was found."""
    rows: Any = copy.deepcopy(clean)
    order(rows, "closed")["paid"] = 1
    (violation,) = [v for v in audit_evening(rows) if v.rule == "order_is_journal"]
    assert violation.ids == (order(rows, "closed")["order_id"],)
    assert "the journal says" in str(violation)


def test_a_late_expiry_is_seen(clean: Rows) -> None:
    """A click that stood in the log in time, and was refused since the expiry went first, is a violation."""
    rows: Any = copy.deepcopy(clean)
    expired = order(rows, "closed")
    click = next(s for s in rows["people.sent"] if s["type"] == "PayOrder" and s["subject"] == expired["order_id"])
    answer = some(rows, "order.answers", id=click["id"])
    answer.update(accepted=False, code="order_not_payable")
    rows["order.timeline"].append(
        {"order_id": expired["order_id"], "phase": "releasing", "message": "PaymentExpired", "at": click["at"]}
    )
    expired["payable_until"] = click["at"]
    assert "paid_in_time" in broken_rules(rows)


def test_answers_say_the_same_in_table_and_event(clean: Rows) -> None:
    """An event that says accepted where the table says refused is a violation."""
    rows: Any = copy.deepcopy(clean)
    told = next(row for row in rows["log.answers"] if json.loads(row["body"])["command"] == "PlaceOrder")
    other = {**told, "accepted": not told["accepted"]}
    # It may stand in the log more than once.
    rows["log.answers"] = [other, *(row for row in rows["log.answers"] if row["id"] != told["id"])]
    assert "answers_are_told" in broken_rules(rows)
