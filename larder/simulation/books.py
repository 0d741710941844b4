"""The simulation as a source of books: what `larder.audit` gathers from PostgreSQL, made of the rows of one evening.

An evening is judged at its end, when all has come to rest and nothing is swept: whatever is due then is late.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from larder.audit.catalogue import Catalogue, Promotion
from larder.audit.leftovers import answered_once, nothing_is_left
from larder.audit.life import BOOKS, ENDS, Life
from larder.audit.links import Kept, Outbox, links_are_even
from larder.audit.look import Counted, Look, Waiting, links_of
from larder.audit.owners import Decided, decided_by_its_shard
from larder.audit.parked import Parked, nothing_of_ours_parked
from larder.audit.phases import NEWS
from larder.audit.prices import claims_within_limit, refused_was_used_up
from larder.audit.report import Report
from larder.audit.rules import judge
from larder.audit.stock import (
    Allotment,
    Movement,
    Stock,
    allotments_are_cells,
    document_moved_once,
    places_are_reservations,
)
from larder.simulation.clock import NOON
from larder.simulation.rows import Row, Rows
from shared.contracts.topics import SERVICES

END = datetime.max.replace(tzinfo=UTC)
"""When an evening is judged: after everything."""
OWNED = {
    "order": {"order.orders": "order_id", "order.claims": "account"},
    "inventory": {"inventory.cells": "store", "inventory.holds": "store", "inventory.allotments": "store"},
    "risk": {"risk.screenings": "account", "risk.endings": "account", "risk.conducts": "subject"},
    "payment": {"payment.payments": "order_id", "payment.refunds": "order_id"},
    "logistics": {
        "logistics.fulfilments": "store",
        "logistics.reservations": "store",
        "logistics.slots": "store",
        "logistics.returns": "store",
    },
    "aftersales": {"aftersales.windows": "order_id", "aftersales.tickets": "order_id"},
}
"""Whose things are kept in a table: what the commands of its service are keyed by (DESIGN §2)."""

_OPENS = NOON - timedelta(hours=1)
"""Before an evening's first order."""

_encode = msgspec.json.Encoder().encode


def judge_evening(rows: Rows) -> Report:
    """Holds the rows of an evening against all rules of the audit."""
    report = Report()
    seen = _look(rows)
    nothing_is_left(seen, 0.0, report)
    links_are_even(seen, seen, report)
    report.hold(nothing_of_ours_parked, list(_parked(rows)))
    report.hold(answered_once, list(Counter(a["id"] for s in SERVICES for a in rows[f"{s}.answers"]).items()))
    shards = len(rows["order.progress"])
    for service in SERVICES:
        outbox = Outbox(service, report, is_swept=False)
        outbox.take([_kept(row) for row in rows[f"{service}.outbox"]])
        outbox.compare(seen)
        report.hold(decided_by_its_shard, list(_decided(rows, service)), service, shards)
    _judge_stock(rows, report)
    _judge_marketing(rows, report)
    for life in lives(rows):
        for rule, wrong in judge(life, report.checked, at_rest=True):
            report.add(rule, (life.order_id,), wrong)
    slots = [(slot["store"], slot["start"], slot["reserved"]) for slot in rows["logistics.slots"]]
    taken = Counter((r["store"], r["start"]) for r in rows["logistics.reservations"] if r["phase"] == "reserved")
    report.hold(places_are_reservations, slots, taken)
    return report


def lives(rows: Rows) -> list[Life]:
    """All lives, in order of their ids: their rows are those of `larder.audit.gather`, column by column."""
    found: dict[str, Life] = {}
    catalogue = catalogue_of(rows)
    for name, told in _SOURCES.items():
        make = BOOKS[name]._make
        for row in told(rows):
            order_id = row[0]
            life = found.get(order_id)
            if life is None:
                life = found[order_id] = Life(order_id, catalogue=catalogue)
            setattr(life, name, make(row))
    return [found[order_id] for order_id in sorted(found)]


def _sales_order_of(order_id: str) -> str:
    return order_id.partition("~")[0]


# -- lives -------------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return _encode(value).decode()


def _cell(value: Any) -> Any:
    """As it stands in a column: lists are JSON."""
    return _text(value) if isinstance(value, tuple) else value


def _columns(table: str, *columns: str, timers_of: str = "") -> Callable[[Rows], Iterator[tuple[Any, ...]]]:
    """A row per order of a table that has one; the timers of a service stand beside it."""

    def told(rows: Rows) -> Iterator[tuple[Any, ...]]:
        timers = _timers(rows, timers_of) if timers_of else {}
        for row in rows[table]:
            beside = (timers.get(row["order_id"], ""),) if timers_of else ()
            yield *[_cell(row[column]) for column in columns], *beside

    return told


def _listed(table: str, *columns: str) -> Callable[[Rows], Iterator[tuple[Any, ...]]]:
    """A row per order of a table that has many, as a list of lists."""
    return lambda rows: (
        (order_id, _text([[row[column] for column in columns] for row in some]))
        for order_id, some in _by_order(rows[table]).items()
    )


def _by_order(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["order_id"] is not None:
            found[row["order_id"]].append(row)
    return found


def _timers(rows: Rows, service: str) -> dict[str, str]:
    """Names of the timers that run, by order."""
    found: dict[str, str] = {}
    for name, subject in sorted((timer["name"], timer["subject"]) for timer in rows[f"{service}.timers"]):
        found[subject] = f"{found[subject]} {name}" if subject in found else name
    return found


def _orders(rows: Rows) -> Iterator[tuple[Any, ...]]:
    timers = _timers(rows, "order")
    masters = {o["order_id"]: (o["phase"], o["phase_since"]) for o in rows["order.orders"]}
    compensated, replaced, dropped = Counter[str](), Counter[str](), Counter[str]()
    for paper in rows["order.papers"]:
        if paper["kind"] == "compensated":
            name, body = _sales_order_of(paper["order_id"]), paper["body"]
            compensated[name] += body["amount"]
            if body["kind"] in ("exchange", "replenishment"):
                replaced[name] += sum(line["quantity"] for line in body["lines"])
    for o in rows["order.orders"]:
        if o["replacement"]:
            dropped[o["replacement"].replaces] += sum(o["quantities"]) - sum(lot.quantity for lot in o["lots"])
    for o in rows["order.orders"]:
        yield (
            *(o["order_id"], "replacement" if o["replacement"] else "sales", o["phase"], o["account"], o["store"]),
            *(o["total"], o["hold_mode"], o["paid"]),
            *(o["refunded"], _text(o["spus"]), _text(o["quantities"]), o["slot"] and o["slot"].start),
            *(_text(o["prices"]), o["given_back"], o["reason"], _text(o["lots"]), o["closing_refund"]),
            *(_text(o["owed"]), o["overdue"], o["payable_until"], o["phase_since"], o["phase"] in ENDS, False),
            timers.get(o["order_id"], ""),
            o["replacement"] and _text(o["replacement"]),
            *(masters.get(o["replacement"].replaces, (None, None)) if o["replacement"] else (None, None)),
            *(compensated[o["order_id"]], replaced[o["order_id"]], dropped[o["order_id"]]),
            *(o["placed_at"], _discounts(o["discounts"]) if o["discounts"] else None),
            _text(o["presale"]) if o["presale"] else None,
        )


def _discounts(discounts: Any) -> str:
    return _text((*discounts[:-1], discounts.at.isoformat()))


def _timelines(rows: Rows) -> Iterator[tuple[Any, ...]]:
    for order_id, entries in _by_order(rows["order.timeline"]).items():
        paying = [e["at"] for e in entries if e["phase"] == "paying" and e["message"] not in NEWS]
        expired = [e["at"] for e in entries if e["message"] == "PaymentExpired"]
        holding = [e["at"] for e in entries if e["phase"] == "holding"]
        course = ",".join([f"{e['phase']} {e['message']}" for e in entries])
        yield order_id, course, max(paying, default=None), min(expired, default=None), min(holding, default=None)


def _accepted(rows: Rows) -> Iterator[tuple[str, str]]:
    commands: dict[str, str] = {}
    promotions = {row["id"] for row in rows["order.promotions"]}
    for answer in rows["order.answers"]:
        if answer["accepted"] and answer["subject"] not in promotions:
            commands[answer["subject"]] = min(answer["id"], commands.get(answer["subject"], answer["id"]))
    yield from commands.items()


def _moves(rows: Rows) -> Iterator[tuple[Any, ...]]:
    for order_id, moves in _by_order(rows["inventory.ledger"]).items():
        kinds = [move["kind"] for move in moves]
        issues = kinds.count("sales_issue") + kinds.count("replacement_issue")
        issued = [move for move in moves if move["kind"] in ("sales_issue", "replacement_issue")]
        beside = [(move["spus"], move["on_hand"]) for move in issued if any("|" in cell for cell in move["spus"])]
        yield (
            *(order_id, kinds.count("lock"), kinds.count("unlock"), issues, kinds.count("issue_reversal")),
            *(_text(beside) if beside else None, min((move["at"] for move in issued), default=None)),
        )


def _fulfilments(rows: Rows) -> Iterator[tuple[Any, ...]]:
    lists = {row["order_id"]: (_text(row["spus"]), _text(row["quantities"])) for row in rows["logistics.pick_lists"]}
    steps = ("queued_at", "picking_at", "picked_at", "packed_at", "handed_over_at", "delivered_at", "called_off_at")
    told = _columns("logistics.fulfilments", "order_id", "store", "phase", "slot_start", *steps, timers_of="logistics")
    for order_id, store, phase, *rest in told(rows):
        yield order_id, store, phase, *lists.get(order_id, (None, None)), *rest


def _windows(rows: Rows) -> Iterator[tuple[Any, ...]]:
    timers, replacing = _timers(rows, "aftersales"), Counter[str]()
    for w in rows["aftersales.windows"]:
        if "~" in w["order_id"] and w["phase"] in ("open", "passed"):
            replacing[_sales_order_of(w["order_id"])] += 1
    for w in rows["aftersales.windows"]:
        name = w["order_id"]
        yield (
            *(name, w["phase"], w["store"], w["account"], w["open_tickets"], w["shuts_at"], timers.get(name, "")),
            *(_text(w["goods"]), replacing[name]),
        )


def _returns(rows: Rows) -> Iterator[tuple[Any, ...]]:
    for order_id, some in _by_order(rows["logistics.returns"]).items():
        told = [
            [
                *(r["ticket_id"], r["phase"], r["exchange"], r["collected_at"] is not None),
                *(r["spus"], r["quantities"], r["found"]),
            ]
            for r in sorted(some, key=lambda r: str(r["ticket_id"]))
        ]
        yield order_id, _text(told)


def _tickets(rows: Rows) -> Iterator[tuple[Any, ...]]:
    columns = ("ticket_id", "kind", "phase", "note", "opened_by")
    about = ("claims", "settled", "refunded", "spus", "quantities")
    for order_id, some in _by_order(rows["aftersales.tickets"]).items():
        in_order = sorted(some, key=lambda ticket: str(ticket["ticket_id"]))
        told = [[*(t[c] for c in columns), t["ended_at"] is not None, *(t[c] for c in about)] for t in in_order]
        yield order_id, _text(told)


def _screenings(rows: Rows) -> Iterator[tuple[Any, ...]]:
    timers = _timers(rows, "risk")
    rules = {row["version"]: row["rules"] for row in rows["risk.rule_sets"]}
    for s in rows["risk.screenings"]:
        r, seen = s["review"], s["seen"]
        review = (r.due_at, r.decided_at, r.verdict, r.decided_by) if r else (None,) * 4
        claim = (r.claimed_by, r.claimed_until) if r else (None, None)
        spoke = (_text(seen.spoke), rules.get(seen.rules_version)) if seen.spoke else (None, None)
        about = (seen.verdict, r.reason if r else s["reason"], seen.score)
        yield (
            *(s["order_id"], s["phase"], s["account"], *review, timers.get(s["order_id"], ""), *claim, *about, *spoke),
            False,
        )


_SOURCES: dict[str, Callable[[Rows], Iterator[tuple[Any, ...]]]] = {
    "order": _orders,
    "timeline": _timelines,
    "papers": _listed("order.papers", "kind", "body"),
    "accepted": _accepted,
    "hold": _columns("inventory.holds", "order_id", "store", "phase", "mode", "spus", "quantities"),
    "claims": _listed("order.claims", "account", "promotion", "units"),
    "moves": _moves,
    "documents": _listed("inventory.documents", "number", "kind", "store", "reverses", "spus", "quantities", "reason"),
    "payment": _columns("payment.payments", "order_id", "phase", "captures", "attempts"),
    "refunds": _listed("payment.refunds", "number", "phase", "amount", "capture", "reason", "code", "liable"),
    "reports": _listed("payment.reports", "reference", "phase"),
    "journal": _listed("payment.journal", "kind", "reference", "amount"),
    "captured": _listed("gateway.captures", "reference", "amount", "key"),
    "given_back": _listed("gateway.refunds", "reference", "amount", "capture"),
    "fulfilment": _fulfilments,
    "steps_back": _listed("logistics.steps_back", "entered", "spus", "quantities", "found"),
    "returns": _returns,
    "reservation": _columns("logistics.reservations", "order_id", "store", "phase", "start"),
    "window": _windows,
    "tickets": _tickets,
    "screening": _screenings,
    "ending": _columns("risk.endings", "order_id", "account", "deed"),
}
"""Each book of a life, from its tables."""

# -- marketing ---------------------------------------------------------------------------------------------------------


class Known(Catalogue):
    """Here it is known to the microsecond what an order read, and how late a store may hear of a sale's end."""

    def just_written(self, at: datetime) -> tuple[Promotion, ...]:
        """Nothing is in doubt."""
        return ()

    def sells(self, id_: str, at: datetime) -> bool:
        """Whether the stores have heard of no end that has come."""
        known = [one for one in self.revisions.get(id_, ()) if one.written <= at]
        return bool(known) and all(at < one.ends_at for one in known)


def catalogue_of(rows: Rows) -> Catalogue:
    """What prices were made of. What is kept of rushes is their last word only: of all of them tell their witnesses."""
    revisions = [(row["id"], row["revision"], row["body"], row["at"]) for row in rows["order.promotion_revisions"]]
    return Known(revisions, [(row["spu"], row["category"], _OPENS) for row in rows["order.products"]])


def _judge_marketing(rows: Rows, report: Report) -> None:
    kinds: dict[str, str] = {}
    most: dict[str, int] = {}
    for row in rows["order.promotion_revisions"]:
        kinds[row["id"]], most[row["id"]] = row["kind"], max(row["per_account"], most.get(row["id"], 0))
    had = Counter[tuple[str, str]]()
    for claim in rows["order.claims"]:
        had[claim["account"], claim["promotion"]] += claim["units"]
    report.hold(claims_within_limit, [(*whose, units, most.get(whose[1])) for whose, units in had.items()])
    claimed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for claim in rows["order.claims_kept"]:
        claimed[claim["account"], claim["promotion"]].add(claim["order_id"])
    refused = [
        (o["order_id"], p, kinds[p] == "flash", most[p] > 0, bool(claimed[o["account"], p] - {o["order_id"]}))
        for o in rows["order.orders"]
        for p in (o["discounts"].denied if o["discounts"] else ())
    ]
    report.hold(refused_was_used_up, refused)
    cells = {(c["store"], c["spu"]): c["on_hand"] for c in rows["inventory.cells"] if _is_aside(c["spu"])}
    timed = {timer["subject"] for timer in rows["inventory.timers"] if timer["name"] == "sale_ends"}
    allotments = []
    for a in rows["inventory.allotments"]:
        about = [a[column] for column in ("store", "promotion", "phase", "spu", "quantity", "sold")]
        left = cells.pop((a["store"], f"{a['spu']}|{a['promotion']}"), 0)
        is_endless = a["ends_at"] is not None and f"{a['store']}/{a['promotion']}" not in timed
        allotments.append(Allotment._make((*about, left, is_endless)))
    for (store, cell), on_hand in cells.items():
        spu, _, promotion = cell.partition("|")
        allotments.append(Allotment(store, promotion, None, spu, None, None, on_hand))
    report.hold(allotments_are_cells, allotments)


def _is_aside(cell: str) -> bool:
    return "|" in cell and "|+" not in cell


# -- what is about no single order -------------------------------------------------------------------------------------


def _look(rows: Rows) -> Look:
    """What is still on its way, when nothing should be."""
    seen = Look(END)
    for service in SERVICES:
        for p in rows[f"{service}.progress"]:
            seen.shards[service, p["shard"]] = Counted(p["sent"], p["received"], p["acked"])
        for t in rows[f"{service}.timers"]:
            waiting = Waiting(service, f"{t['subject']}/{t['name']}", t["subject"], t["due_at"], t["name"])
            seen.timers.append(waiting)
        seen.effects += [Waiting(service, e["id"], "", NOON, e["kind"]) for e in rows[f"{service}.effects"]]
    seen.captures_due = [Waiting("gateway", p["key"], "", p["due_at"], "") for p in rows["gateway.pending_captures"]]
    seen.links = links_of(seen.shards)
    return seen


def _judge_stock(rows: Rows, report: Report) -> None:
    documents = {document["number"]: document for document in rows["inventory.documents"]}
    holds = {hold["order_id"]: hold for hold in rows["inventory.holds"]}
    stock = Stock(report)
    stock.take([_movement(seq, row, documents, holds) for seq, row in enumerate(rows["inventory.ledger"], 1)])
    stock.compare((cell["store"], cell["spu"], cell["on_hand"], cell["locked"]) for cell in rows["inventory.cells"])
    stock.end()
    written = Counter(d["number"] for d in rows["inventory.documents"] if d["kind"] != "damage_report")
    moved = Counter(m["document"] for m in rows["inventory.ledger"] if m["document"])
    report.hold(document_moved_once, [(number, written[number], moved[number]) for number in {**written, **moved}])


def _movement(seq: int, row: Row, documents: dict[str, Row], holds: dict[str, Row]) -> Movement:
    document, hold = documents.get(row["document"]), holds.get(row["order_id"])
    return Movement(
        *(row["store"], seq, row["kind"], row["order_id"], row["document"]),
        *(_cell(row[column]) for column in ("spus", "on_hand", "locked")),
        *(_cell(document and document[column]) for column in ("kind", "store", "order_id", "spus", "quantities")),
        *(_cell(hold and hold[column]) for column in ("mode", "store", "spus", "quantities")),
    )


def _kept(row: Row) -> Kept:
    """A row that says to hold another number of messages than it holds leaves a gap."""
    first, records = row["first_link"], row["records"]
    return Kept(row["shard"], row["topic"], row["kafka_partition"], first, first + records - 1)


def _decided(rows: Rows, service: str) -> Iterator[Decided]:
    for table, owner in OWNED[service].items():
        for row in rows[table]:
            whose = _sales_order_of(row[owner]) if owner == "order_id" else row[owner]
            for shard in row["written_by"]:
                yield shard, row.get("order_id") or row[owner], (whose,)


def _parked(rows: Rows) -> Iterator[Parked]:
    """What is parked now; all that was not planted is taken for one of ours."""
    planted = {place_of(row["service"], row) for row in rows["people.poison"]}
    for service in SERVICES:
        for row in rows[f"{service}.parked"]:
            if row["state"] == "parked":
                columns = [row[column] for column in ("subject", "topic", "message_type", "code", "reason")]
                yield Parked._make((f"{service}:{row['id']}", *columns, place_of(service, row) not in planted))


def place_of(service: str, row: Row) -> tuple[str, str, int, int]:
    """Where a service read what it parked."""
    return service, row["topic"], row["kafka_partition"], row["kafka_offset"]
