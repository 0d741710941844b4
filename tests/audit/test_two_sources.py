"""One evening of the simulation, written into real databases by the services' own stores: both sources tell the same
lives of it, and what is broken in both is found in both."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import pytest

from larder.audit.books import Books
from larder.audit.gather import lives as lives_of_postgres
from larder.audit.life import BOOKS, Life
from larder.audit.quiet import look
from larder.audit.report import Report
from larder.audit.rules import LIFE_RULES
from larder.audit.run import judge_lives
from larder.audit.tables import judge_tables
from larder.simulation import complaints, customers, marketing, staff
from larder.simulation.books import judge_evening, lives
from larder.simulation.database import Database as InMemory
from larder.simulation.rows import Rows, rows_of
from larder.simulation.world import World as Evening
from shared.contracts.topics import SERVICES
from shared.runtime.commit import Commit
from shared.runtime.database import Database
from tests.audit.controls import NOON, World

pytestmark = pytest.mark.parts

ORDERS, COMPLAINED, STRICT = (120, 130), (0.7,), 1.0
ORDINARY, MARKETED = 507, 7
"""Evenings with one shard and no poison: one with every way back, complaints, and rules that speak, and one with all
that marketing can think of. Whose dice fall so is found by trying seeds; no log is lost in them, and no power."""
BOTH = pytest.mark.parametrize("played", [ORDINARY, MARKETED], ids=["ordinary", "marketed"], indirect=True)
IN_ORDER = ("timeline", "steps_back", "tickets", "returns")
"""Books whose entries come in an order; those of the others may come in any."""
SEQUENCED = "movement_has_paper"
"""Names rows of the ledger by numbers, which every source gives for itself."""


class Played(NamedTuple):
    """An evening at rest, and the commits that made it."""

    evening: Evening
    commits: list[tuple[str, Commit]]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Played:
    """Plays the one asked for."""
    commits: list[tuple[str, Commit]] = []
    save = InMemory.save

    def save_and_tell(self: InMemory, commit: Commit) -> None:
        save(self, commit)
        commits.append((self.decider.service, commit))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(customers, "ORDERS", ORDERS)
        patch.setattr(complaints, "EVENINGS", COMPLAINED)
        patch.setattr(staff, "STRICT", STRICT)
        patch.setattr(marketing, "MARKETED", float(request.param == MARKETED))
        patch.setattr(marketing, "SHARES", dict.fromkeys(marketing.SHARES, 1.0))
        patch.setattr(InMemory, "save", save_and_tell)
        evening = Evening(request.param)
        evening.run()
    return Played(evening, commits)


async def write(world: World, played: Played) -> None:
    """Every commit goes through the gate of its real database, in its turn; the gateway's book is copied."""
    await world.empty()
    databases = {}
    for service in SERVICES:
        parts = vars(import_module(f"services.{service}.store"))
        store = parts[f"{service.capitalize()}Store"]()
        databases[service] = Database(world.of[service], store, 1e9, 1e9)
    epochs: dict[tuple[str, int], int] = defaultdict(int)
    for service, commit in played.commits:
        shard = commit.progress.shard
        while epochs[service, shard] < commit.epoch:
            epochs[service, shard] = (await databases[service].claim(shard, "simulated")).epoch
        await databases[service].save(commit)
    book = played.evening.gateway.book
    for c in book.captures.values():
        await world.add("gateway", "captures", c.reference, c.key, c.order_id, c.amount, c.currency, c.at)
    for r in book.refunds.values():
        lines = (r.refund.capture, r.order_id, r.refund.amount, r.currency, r.refund.reason, r.at)
        await world.add("gateway", "refunds", r.refund.key, r.reference, *lines)
    rows = rows_of(played.evening)
    for p in rows["order.promotions"]:
        about = (p["kind"], p["body"], p["starts_at"], p["ends_at"], p["at"])
        await world.add("order", "promotions", p["id"], p["revision"], *about)
    for p in rows["order.promotion_revisions"]:
        await world.add("order", "promotion_revisions", p["id"], p["revision"], p["body"], p["at"])
    for spu, category in ((product["spu"], product["category"]) for product in rows["order.products"]):
        await world.add("order", "products", spu, spu, 1, category, NOON - timedelta(days=1))
    for rules in rows["risk.rule_sets"]:
        about = ("levels", "", "why", NOON, "risk_analyst:ra-1")
        await world.add("risk", "rule_sets", rules["version"], rules["rules"], *about)


@asynccontextmanager
async def undone(world: World) -> AsyncIterator[Books]:
    """The books, in transactions that come to nothing."""
    transactions = [connection.transaction() for connection in world.of.values()]
    for transaction in transactions:
        await transaction.start()
    try:
        yield Books(world.of)
    finally:
        for transaction in transactions:
            await transaction.rollback()


def told(life: Life) -> Iterator[Any]:
    """What a life says, whatever its JSON looks like."""
    for book in BOOKS:
        row = getattr(life, book)
        for value in row or ():
            is_json = isinstance(value, str) and value.startswith(("[", "{"))
            read: Any = msgspec.json.decode(value) if is_json else value or None
            entries = isinstance(read, list) and read and isinstance(read[0], list)
            yield book, sorted(read, key=repr) if entries and book not in IN_ORDER else read or None


class Spoil(NamedTuple):
    """One row that is changed, or deleted where nothing is set: a table and which of its rows, in both sources."""

    rule: str
    table: str
    row: dict[str, Any]
    change: dict[str, Any]

    def in_memory(self, rows: Rows) -> None:
        """Breaks the evening's rows."""
        hit = [row for row in rows[self.table] if all(row[name] == value for name, value in self.row.items())]
        assert len(hit) == 1, hit
        if self.change:
            hit[0].update(self.change)
        else:
            rows[self.table] = [row for row in rows[self.table] if row is not hit[0]]

    async def in_database(self, world: World) -> None:
        """Breaks the database."""
        service, table = self.table.split(".")
        sets = ", ".join(f"{name} = {_quoted(value)}" for name, value in self.change.items())
        where = " and ".join(f"{name} = {_quoted(value)}" for name, value in self.row.items())
        what = f"update {table} set {sets}" if self.change else f"delete from {table}"
        assert (await world.of[service].execute(f"{what} where {where}")).endswith(" 1")


def _quoted(value: Any) -> str:
    return "null" if value is None else f"'{value}'"


def spoils(rows: Rows) -> Iterator[Spoil]:
    """Ways to break the evening."""

    def one(table: str, **row: Any) -> dict[str, Any]:
        return next(r for r in rows[table] if all(r[name] == value for name, value in row.items()))

    def of(table: str, column: str = "order_id", **row: Any) -> dict[str, Any]:
        return {column: str(one(table, **row)[column])}

    def only(table: str, order: dict[str, Any], **row: Any) -> bool:
        rows_ = [r for r in rows[table] if all(r[n] == v for n, v in {**order, **row}.items())]
        return len(rows_) == 1

    with_tickets = {ticket["order_id"] for ticket in rows["aftersales.tickets"]}
    closed, unreachable = (
        next(
            {"order_id": o["order_id"]}
            for o in rows["order.orders"]
            if o["phase"] == "closed" and not o["lots"] and o["order_id"] not in with_tickets
        ),
        next(of("order.orders", order_id=e["order_id"]) for e in rows["risk.endings"] if e["deed"] == "unreachable"),
    )
    taken_back = {hold["order_id"] for hold in rows["inventory.holds"] if hold["phase"] == "taken_back"}
    receipts = (d["order_id"] for d in rows["inventory.documents"] if d["kind"] == "return_receipt")
    back = {"order_id": next(order_id for order_id in receipts if order_id in taken_back)}
    amended, new = (
        next(
            {"order_id": o["order_id"]}
            for o in rows["order.orders"]
            if o["lots"]
            and o["phase"] == "closed"
            and bool(o["replacement"]) is is_replacement
            and (is_replacement or only("payment.refunds", {"order_id": o["order_id"]}, reason="short"))
        )
        for is_replacement in (False, True)
    )
    master = {"order_id": new["order_id"].partition("~")[0]}
    by_customer = {r["ticket_id"] for r in rows["logistics.returns"] if r["collected_at"] is None}
    returns = [t["ticket_id"] for t in rows["aftersales.tickets"] if (t["kind"], t["phase"]) == ("return", "resolved")]
    returned = {"ticket_id": next(ticket_id for ticket_id in returns if ticket_id in by_customer)}
    issue = {"number": f"SI-{closed['order_id']}"}
    picked = {**closed, "phase": "picking"}
    assert only("order.timeline", picked)
    yield Spoil("life_in_order", "order.timeline", picked, {})
    yield Spoil("one_end", "order.timeline", {**closed, "phase": "delivered"}, {"phase": "cancelled"})
    yield Spoil("timeline_is_phase", "order.orders", closed, {"phase": "delivered"})
    yield Spoil("end_has_reason", "order.orders", of("order.orders", phase="cancelled"), {"reason": ""})
    yield Spoil("total_is_lines", "order.orders", closed, {"total": 1})
    yield Spoil("money_of_phase", "order.orders", closed, {"paid": 1_000_000})
    yield Spoil(
        "no_hold_outlives_order", "inventory.holds", of("inventory.holds", phase="released"), {"phase": "locked"}
    )
    yield Spoil("hold_is_its_moves", "inventory.holds", closed, {"phase": "locked"})
    yield Spoil("hold_is_fulfilment", "inventory.holds", back, {"phase": "reversed"})
    yield Spoil("issued_is_wanted", "inventory.documents", issue, {})
    yield Spoil("papers_show_documents", "inventory.documents", issue, {"kind": "damage_report"})
    yield Spoil("reversals_fit", "inventory.documents", {**amended, "kind": "adjustment"}, {})
    yield Spoil("returns_fit", "inventory.documents", {**back, "kind": "return_receipt"}, {})
    yield Spoil("document_moved_once", "inventory.ledger", {**closed, "kind": "sales_issue"}, {})
    yield Spoil("movement_has_paper", "inventory.ledger", {**closed, "kind": "sales_issue"}, {"store": "elsewhere"})
    yield Spoil("journal_is_gateway", "payment.journal", {**closed, "kind": "captured"}, {})
    yield Spoil("attempts_over", "payment.payments", closed, {"phase": "asking"})
    yield Spoil("reports_looked_up", "payment.reports", of("payment.reports", "digest"), {"phase": "asked"})
    yield Spoil("refund_is_end", "payment.refunds", {**amended, "reason": "short"}, {"amount": 1})
    yield Spoil("gateway_keeps_its_sums", "gateway.refunds", of("gateway.refunds", "reference"), {"amount": 1_000_000})
    yield Spoil("capture_belongs_to_one_order", "gateway.captures", {**closed}, {"key": "another"})
    yield Spoil("steps_in_order", "logistics.fulfilments", closed, {"picking_at": None})
    yield Spoil("steps_back_are_phase", "logistics.steps_back", {**back, "entered": "returned"}, {})
    yield Spoil(
        "slot_agrees", "logistics.reservations", of("logistics.reservations", phase="freed"), {"phase": "reserved"}
    )
    yield Spoil("window_agrees", "aftersales.windows", closed, {"phase": "open"})
    yield Spoil("tickets_are_counted", "aftersales.windows", closed, {"open_tickets": 3})
    resolved = of("aftersales.tickets", "ticket_id", phase="resolved")
    yield Spoil("ticket_tells_truth", "aftersales.tickets", resolved, {"note": ""})
    yield Spoil("screening_agrees", "risk.screenings", closed, {"phase": "refused"})
    yield Spoil("screening_is_verdict", "risk.screenings", closed, {"phase": "withdrawn"})
    yield Spoil("verdict_has_cause", "risk.screenings", closed, {"reason": "account_blocked"})
    spoke = {"version": max(s["seen"].rules_version for s in rows["risk.screenings"] if s["seen"].spoke)}
    yield Spoil("verdict_has_cause", "risk.rule_sets", spoke, {"rules": '{"rules": {}, "levels": {}}'})
    yield Spoil("ending_is_known", "risk.endings", unreachable, {})
    yield Spoil("tickets_pay_what_was_paid", "aftersales.tickets", returned, {"refunded": 1_000_000})
    yield Spoil("closed_has_nothing_open", "logistics.returns", returned, {"phase": "collected"})
    yield Spoil("return_is_ticket", "logistics.returns", returned, {"phase": "overdue"})
    yield Spoil("returns_are_documents", "logistics.returns", returned, {})
    yield Spoil("replacement_moves_no_money", "order.orders", new, {"paid": 5})
    yield Spoil("replacement_has_master", "order.orders", master, {"phase": "cancelled"})
    yield Spoil("cells_are_ledger_sums", "inventory.cells", {**one_cell(rows)}, {"on_hand": 999})
    links = (row["first_link"] for row in rows["order.outbox"] if row["topic"] == "risk.commands")
    second = {"topic": "risk.commands", "first_link": next(link for link in links if link > 1)}
    yield Spoil("outbox_is_whole", "order.outbox", second, {})


def spoils_of_marketing(rows: Rows) -> Iterator[Spoil]:
    """Ways to break an evening with promotions."""
    orders = {order["order_id"]: order for order in rows["order.orders"]}
    claim = next(c for c in rows["order.claims"] if orders[c["order_id"]]["phase"] == "closed")
    yield Spoil("claims_are_kept", "order.claims", {n: claim[n] for n in ("account", "promotion", "order_id")}, {})
    sale = next(a for a in rows["inventory.allotments"] if a["phase"] == "over" and a["sold"])
    whose = {name: sale[name] for name in ("store", "promotion")}
    yield Spoil(
        "allotments_are_cells", "inventory.allotments", whose, {"phase": "open", "quantity": sale["quantity"] + 1}
    )
    discounts = [order["discounts"] for order in orders.values() if order["discounts"]]
    revised = Counter(promotion["id"] for promotion in rows["order.promotion_revisions"])
    refused = {name for one in discounts for name in one.denied}
    named = {one.promotion for some in discounts for one in some.applied} - refused
    once = next(name for name in sorted(named) if revised[name] == 1)
    yield Spoil("price_is_promotions", "order.promotion_revisions", {"id": once}, {})


def one_cell(rows: Rows) -> dict[str, Any]:
    """Which cell a row is of."""
    cell = rows["inventory.cells"][0]
    return {"store": cell["store"], "spu": cell["spu"]}


def after_sales_rules() -> list[Any]:
    """The rules that only an evening of complaints has something for."""
    rare = "replaced_or_refunded"  # a shelf that has fewer of what is to replace something: no evening has all of it
    rules = [rule for rule in LIFE_RULES if rule.__module__.endswith("after_sales") or "replacement" in rule.__name__]
    return [rule for rule in rules if rule.__name__ != rare]


async def of_postgres(books: Books) -> Report:
    """The verdict on the real databases."""
    report = Report()
    seen = await look(books)
    tables = {str(service): judge_tables(books[service], service, 1, seen, report) for service in SERVICES}
    suspects = await judge_lives(books, seen, report, after=tables)
    for order_id, suspect in suspects.items():
        for rule, wrong in suspect.found:
            report.add(rule, (order_id,), wrong)
    return report


def named(report: Report) -> set[tuple[str, tuple[str, ...]]]:
    """Rules and ids, apart from what only the end of an evening can say."""
    found = {(v.rule, () if v.rule == SEQUENCED else v.ids) for v in report.violations}
    return {(rule, ids) for rule, ids in found if rule not in ("every_order_ends", "nothing_is_awaited")}


@BOTH
async def test_both_sources_tell_the_same_of_an_evening(world: World, played: Played) -> None:
    """Every life is the same, column by column; nothing is wrong; and whatever is broken in both is told by both, with
    the same ids."""
    await write(world, played)
    rows = rows_of(played.evening)
    async with undone(world) as books:
        real = [life async for batch in lives_of_postgres(books) for life in batch]
        assert (await of_postgres(books)).violations == []
    simulated = lives(rows)
    assert [life.order_id for life in real] == [life.order_id for life in simulated]
    for one, other in zip(real, simulated, strict=True):
        assert list(told(one)) == list(told(other)), one.order_id
    report = judge_evening(rows)
    assert report.violations == []
    told_of = {book for life in real for book in BOOKS if getattr(life, book)}
    if rows["order.claims"]:
        assert "claims" in told_of
    else:
        assert told_of == BOOKS.keys() - {"claims"}
        asked = {rule for rule, count in report.checked.items() if count}
        assert {rule.__name__ for rule in after_sales_rules()} <= asked
    for spoil in (spoils_of_marketing if rows["order.claims"] else spoils)(rows):
        broken: Any = copy.deepcopy(rows)
        spoil.in_memory(broken)
        async with undone(world) as books:
            await spoil.in_database(world)
            in_database = named(await of_postgres(books))
        in_memory = named(judge_evening(broken))
        assert spoil.rule in {rule for rule, _ in in_memory}, spoil
        assert in_database == in_memory, spoil
