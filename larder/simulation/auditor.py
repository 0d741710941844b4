"""The auditor: what must be true of larder when everything has come to rest, told apart from how larder decides.

Works on plain rows by table (`database.table` -> dicts by column) and imports nothing of larder: if a decider and the
auditor agree, two people have thought of the rule. Rules about what stands in a service's own tables are in this file;
those about ways back in `ways_back`, those about what is told of money in `hearsay`, those about messages, links,
answers and timers in `wiring`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]


class Violation(NamedTuple):
    """A broken rule: its name, the id of what broke it (mostly an order), and what was found."""

    rule: str
    subject: str
    found: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.found}"


ENDS = frozenset({"closed", "cancelled", "rejected"})
NEWS = frozenset(
    {"MoneyUnasked", "PaymentRefunded", "PaymentRefundRefused", "TicketOpened", "TicketEnded", "InterceptAsked"}
    | {"ShortDropped", "GoodsTakenBack", "GoodsInspected", "RefundApproved"}
)
"""What may happen to an order anywhere, also when it has ended, without moving it."""
STAYS: Mapping[str, frozenset[str]] = {
    "short": frozenset({"SubstituteChosen"}),
    "stopping": frozenset({"PickingStarted", "FulfilmentPacked", "PiecesShort"}),
}
"""What may happen in one phase without moving the order."""
NEXT: Mapping[str, frozenset[str]] = {
    phase: frozenset(nexts.split())
    for phase, nexts in {
        "new": "screening reserving_slot",
        "reserving_slot": "screening rejected cancelled",
        "screening": "holding in_review rejected cancelled",
        "in_review": "holding rejected cancelled",
        "holding": "awaiting_payment rejected releasing",
        "awaiting_payment": "verifying releasing",
        "verifying": "paying awaiting_payment releasing",
        "paying": "deducting awaiting_payment paying_cancel_wanted",
        "paying_cancel_wanted": "refunding releasing",
        "deducting": "awaiting_picking refunding deducting_cancel_wanted",
        "deducting_cancel_wanted": "reversing refunding",
        "awaiting_picking": "picking stopping",
        "picking": "awaiting_shipment short stopping",
        "short": "picking substituting stopping",
        "substituting": "picking short",
        "awaiting_shipment": "in_delivery stopping",
        "stopping": "reversing in_delivery",
        "in_delivery": "delivered intercepting returning",
        "intercepting": "returning delivered",
        "returning": "refunding",
        "delivered": "closed",
        "releasing": "cancelled",
        "reversing": "refunding",
        "refunding": "cancelled",
        "closed": "",
        "cancelled": "",
        "rejected": "",
    }.items()
}
"""How one order's life may go on, as DESIGN §3 tells it."""
HOLDS: Mapping[str, frozenset[str | None]] = {
    "cancelled": frozenset({None, "released", "short", "lost", "reversed", "taken_back"}),
    "rejected": frozenset({None, "short"}),
    "closed": frozenset({"deducted"}),
}
"""What an ended order may still have on stock."""
FULFILMENTS: Mapping[str, frozenset[str | None]] = {
    "cancelled": frozenset({None, "stopped", "returning", "returned", "inspected"}),
    "rejected": frozenset({None}),
    "closed": frozenset({"delivered"}),
}
"""How far the store may have come with an ended order."""


def audit(rows: Rows) -> list[Violation]:
    """All rules about the services' own tables."""
    return [
        violation
        for rule in (stock, documents, holds, issues, lives, money, captures, slots, fulfilments, screenings, windows)
        for violation in rule(rows)
    ]


def by(rows: Iterable[Row], column: str) -> dict[Any, list[Row]]:
    """Rows by the value of a column."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return found


def lines(row: Row, column: str = "quantities") -> dict[str, int]:
    """Pieces per SPU of parallel arrays, summed, without zeros."""
    pieces: Counter[str] = Counter()
    for spu, quantity in zip(row["spus"], row[column], strict=True):
        pieces[spu] += quantity
    return {spu: quantity for spu, quantity in pieces.items() if quantity}


# -- stock -------------------------------------------------------------------------------------------------------------


def stock(rows: Rows) -> Iterator[Violation]:
    """Per store and SPU, on hand and locked are the sums of the ledger, never below zero or past each other."""
    on_hand: Counter[tuple[str, str]] = Counter()
    locked: Counter[tuple[str, str]] = Counter()
    for move in rows["inventory.ledger"]:
        for spu, by_hand, by_lock in zip(move["spus"], move["on_hand"], move["locked"], strict=True):
            cell = (move["store"], spu)
            on_hand[cell] += by_hand
            locked[cell] += by_lock
            if not 0 <= locked[cell] <= on_hand[cell]:
                cause = f"{move['kind']} of {move['order_id'] or move['document']}"
                found = f"{cause} left {on_hand[cell]} on hand, {locked[cell]} locked"
                yield Violation("stock_never_negative", "/".join(cell), found)
    cells = {(row["store"], row["spu"]): row for row in rows["inventory.cells"]}
    for cell in sorted(on_hand.keys() | cells.keys()):
        row = cells.get(cell, {"on_hand": 0, "locked": 0})
        if (row["on_hand"], row["locked"]) != (on_hand[cell], locked[cell]):
            found = f"cell {row['on_hand']}/{row['locked']}, ledger {on_hand[cell]}/{locked[cell]} (on hand/locked)"
            yield Violation("stock_is_ledger", "/".join(cell), found)


SIGNS = {
    "sales_issue": -1,
    "issue_reversal": 1,
    "goods_receipt": 1,
    "return_receipt": 1,
    "adjustment": 1,
    "damage_report": 0,  # the goods left the stock with the issue
}


def documents(rows: Rows) -> Iterator[Violation]:
    """Every document has a number of its own and moved its lines once; every movement names a document or a hold."""
    moves = by((m for m in rows["inventory.ledger"] if m["document"]), "document")
    numbers: set[str] = set()
    for document in rows["inventory.documents"]:
        number = document["number"]
        if number in numbers:
            yield Violation("document_numbers", number, "written twice")
        numbers.add(number)
        moved: Counter[str] = Counter()
        for move in moves.get(number, ()):
            moved.update(lines(move, "on_hand"))
        sign = SIGNS[document["kind"]]
        expected = {spu: sign * quantity for spu, quantity in lines(document).items() if sign}
        if {spu: n for spu, n in moved.items() if n} != expected:
            yield Violation("document_moves_its_lines", number, f"lines {expected}, moved {dict(moved)}")
    for number in sorted(moves.keys() - numbers):
        yield Violation("movement_has_document", number, "moved stock, and there is no such document")
    for move in rows["inventory.ledger"]:
        if not move["document"] and (not move["order_id"] or any(move["on_hand"])):
            yield Violation("movement_has_document", str(move["order_id"]), f"{move['kind']} {lines(move, 'on_hand')}")


def holds(rows: Rows) -> Iterator[Violation]:
    """What an order has locked is what its hold says; no hold outlives its order."""
    locked: dict[str, Counter[str]] = defaultdict(Counter)
    for move in rows["inventory.ledger"]:
        if move["order_id"]:
            locked[move["order_id"]].update(lines(move, "locked"))
    orders = {row["order_id"]: row for row in rows["order.orders"]}
    found = {row["order_id"]: row for row in rows["inventory.holds"]}
    for order_id, hold in found.items():
        expected = lines(hold) if hold["phase"] == "locked" else {}
        left = {spu: n for spu, n in locked[order_id].items() if n}
        if left != expected:
            yield Violation("hold_is_ledger", order_id, f"hold {hold['phase']} {expected}, ledger locks {left}")
        if order_id not in orders:
            yield Violation("hold_outlives_order", order_id, f"hold {hold['phase']} of an order that nobody placed")
    for order_id, order in orders.items():
        phase = found[order_id]["phase"] if order_id in found else None
        if phase not in HOLDS.get(order["phase"], {phase}):
            yield Violation("hold_outlives_order", order_id, f"order {order['phase']}, hold {phase}")


def issues(rows: Rows) -> Iterator[Violation]:
    """A sales issue is for an order that there is, and so are its counter-documents; a delivered order has one."""
    issued = by((d for d in rows["inventory.documents"] if d["order_id"]), "order_id")
    for order in rows["order.orders"]:
        documents = issued.pop(order["order_id"], [])
        first = [d for d in documents if d["kind"] == "sales_issue"][:1]
        if order["phase"] == "closed" and not first:
            yield Violation("one_live_issue", order["order_id"], "closed without a sales issue")
        elif first and lines(first[0]) != lines(order):
            yield Violation("issue_has_lines", order["order_id"], f"issue {lines(first[0])}, order {lines(order)}")
        for document in documents:
            if document["kind"] in ("issue_reversal", "return_receipt") and (
                not first or document["reverses"] != first[0]["number"]
            ):
                yield Violation("one_live_issue", order["order_id"], f"{document['number']} reverses no issue of it")
            if document["store"] != order["store"]:
                yield Violation("one_live_issue", order["order_id"], f"{document['number']} of {document['store']}")
    for order_id in issued:
        yield Violation("one_live_issue", order_id, "documents of an order that nobody placed")


# -- lives -------------------------------------------------------------------------------------------------------------


def lives(rows: Rows) -> Iterator[Violation]:
    """Every order has come to exactly one end, by steps that may follow each other; after it only stray money moves."""
    timelines = by(rows["order.timeline"], "order_id")
    for order in rows["order.orders"]:
        order_id, entries = order["order_id"], timelines.pop(order["order_id"], [])
        before, ended = "new", False
        for entry in entries:
            phase, message = str(entry["phase"]), entry["message"]
            is_news = phase == before != "new" and (message in NEWS or message in STAYS.get(phase, ()))
            if message == "GoodsInspected" and is_news and phase not in ("refunding", "cancelled"):
                is_news = False
            if ended and not is_news:
                yield Violation("no_move_after_end", order_id, f"{message} moved it from {before} to {phase}")
            elif not is_news and phase not in NEXT[before]:
                yield Violation("life_in_order", order_id, f"{message} moved it from {before} to {phase}")
            if phase == "paying" != before and order["slot"] and entry["at"] >= order["slot"].start:
                yield Violation("slot_is_kept", order_id, f"paying at {entry['at']}, slot {order['slot'].start}")
            before, ended = phase, ended or phase in ENDS
        if before != order["phase"]:
            yield Violation("timeline_is_phase", order_id, f"timeline ends in {before}, order is {order['phase']}")
        if order["phase"] not in ENDS:
            yield Violation("every_order_ends", order_id, f"at rest in {order['phase']}")
        if order["phase"] in ENDS - {"closed"} and not order["reason"]:
            yield Violation("end_has_reason", order_id, f"{order['phase']} without a reason")
        if order["total"] != sum(q * p for q, p in zip(order["quantities"], order["prices"], strict=True)):
            yield Violation("total_is_lines", order_id, f"total {order['total']}")
    for order_id in timelines:
        yield Violation("timeline_is_phase", order_id, "a timeline of an order that is not there")


# -- money -------------------------------------------------------------------------------------------------------------


def money(rows: Rows) -> Iterator[Violation]:
    """What an order says it was paid and gave back is what the gateway's book says, and what its end allows."""
    taken: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for capture in rows["gateway.captures"]:
        taken[capture["order_id"]] += capture["amount"]
    for refund in rows["gateway.refunds"]:
        returned[refund["order_id"]] += refund["amount"]
    papers: dict[tuple[str, str], int] = defaultdict(int)
    for paper in rows["order.papers"]:
        if paper["kind"] in ("payment", "refund"):
            papers[paper["order_id"], paper["kind"]] += paper["body"]["amount"]
    orders = {row["order_id"]: row for row in rows["order.orders"]}
    for order_id, order in orders.items():
        told = (order["paid"], order["refunded"])
        if told != (taken[order_id], returned[order_id]):
            found = f"order says {told}, gateway {(taken[order_id], returned[order_id])} (captured, refunded)"
            yield Violation("money_is_gateways", order_id, found)
        if told != (papers[order_id, "payment"], papers[order_id, "refund"]):
            yield Violation("money_is_on_page", order_id, f"order says {told}, its papers otherwise")
        kept = taken[order_id] - returned[order_id]
        due = sum(owed[2] for owed in order["owed"]) + (
            sum(lot[1] * lot[2] for lot in order["lots"]) or order["total"]
        ) * (order["phase"] == "closed")
        if order["phase"] in ENDS and kept != due:
            found = f"{order['phase']} with {kept} kept, {due} due, of a total of {order['total']}"
            yield Violation("money_fits_end", order_id, found)
    for order_id in sorted((taken.keys() | returned.keys()) - orders.keys()):
        if taken[order_id] != returned[order_id]:
            found = f"{taken[order_id]} taken for an order that nobody placed, {returned[order_id]} given back"
            yield Violation("money_is_gateways", order_id, found)


def captures(rows: Rows) -> Iterator[Violation]:
    """Our journal and payments know every capture and refund of the gateway once, and no more goes back than came."""
    known = Counter((j["kind"], j["order_id"], j["reference"], j["amount"]) for j in rows["payment.journal"])
    gateways = Counter(("captured", c["order_id"], c["reference"], c["amount"]) for c in rows["gateway.captures"])
    gateways.update(("refunded", r["order_id"], r["reference"], r["amount"]) for r in rows["gateway.refunds"])
    for entry in sorted(known.keys() | gateways.keys()):
        if known[entry] != gateways[entry]:
            kind, order_id, reference, amount = entry
            times = f"{known[entry]} times in our journal, {gateways[entry]} at the gateway"
            yield Violation("journal_is_gateways", order_id, f"{kind} {amount} as {reference}: {times}")
    returned: Counter[str] = Counter()
    for refund in rows["gateway.refunds"]:
        returned[refund["capture"]] += refund["amount"]
    for capture in rows["gateway.captures"]:
        if returned[capture["reference"]] > capture["amount"]:
            yield Violation(
                "refund_within_capture", capture["order_id"], f"{returned[capture['reference']]} of {capture}"
            )
    for pending in rows["gateway.pending_captures"]:
        yield Violation("attempts_over", pending["key"], "the gateway has yet to take the money")
    for payment in rows["payment.payments"]:
        if payment["phase"] in ("charging", "asking"):
            yield Violation("attempts_over", payment["order_id"], f"an attempt is still {payment['phase']}")


# -- the store's work, risk, aftersales --------------------------------------------------------------------------------


def slots(rows: Rows) -> Iterator[Violation]:
    """A slot's reserved places are its reservations; an order keeps its place only if a courier went out for it."""
    places = Counter((r["store"], r["start"]) for r in rows["logistics.reservations"] if r["phase"] == "reserved")
    for slot in rows["logistics.slots"]:
        taken = places.pop((slot["store"], slot["start"]), 0)
        if slot["reserved"] != taken:
            found = f"reserved {slot['reserved']}, reservations {taken}"
            yield Violation("slot_is_reservations", f"{slot['store']}/{slot['start']:%H:%M}", found)
    for store, start in places:
        yield Violation("slot_is_reservations", f"{store}/{start}", "places reserved in a slot that is not there")
    reservations = {row["order_id"]: row["phase"] for row in rows["logistics.reservations"]}
    on_the_road = {row["order_id"] for row in rows["logistics.fulfilments"] if row["handed_over_at"]}
    for order in rows["order.orders"]:
        phase = reservations.get(order["order_id"])
        expected = "reserved" if order["slot"] and order["order_id"] in on_the_road else None
        if order["phase"] in ENDS and (phase if phase == "reserved" else None) != expected:
            yield Violation("slot_fits_end", order["order_id"], f"order {order['phase']}, reservation {phase}")


def fulfilments(rows: Rows) -> Iterator[Violation]:
    """What was closed was delivered, not before its slot; what was called off, the store has stopped, or gets back."""
    found = {row["order_id"]: row for row in rows["logistics.fulfilments"]}
    pick_lists = by(rows["logistics.pick_lists"], "order_id")
    for order in rows["order.orders"]:
        order_id, work = order["order_id"], found.pop(order["order_id"], None)
        phase = work["phase"] if work else None
        if order["phase"] in ENDS and phase not in FULFILMENTS[order["phase"]]:
            yield Violation("fulfilment_fits_end", order_id, f"order {order['phase']}, fulfilment {phase}")
        if work is None:
            continue
        if len(pick_lists[order_id]) != 1:
            yield Violation("pick_list_has_lines", order_id, f"{len(pick_lists[order_id])} pick lists")
        times = [
            work[step]
            for step in ("queued_at", "picking_at", "picked_at", "packed_at", "handed_over_at", "delivered_at")
        ]
        done = [time for time in times if time is not None]
        if done != sorted(done) or (phase == "delivered" and len(done) < len(times)):
            yield Violation("steps_in_order", order_id, f"{phase}: {[str(time) for time in times]}")
        if (work["delivered_at"] is not None) != (phase == "delivered"):
            yield Violation("steps_in_order", order_id, f"{phase}, delivered at {work['delivered_at']}")
        if work["slot_start"] and work["queued_at"] and work["queued_at"] < work["slot_start"]:
            yield Violation("steps_in_order", order_id, f"queued at {work['queued_at']}, slot {work['slot_start']}")
    for order_id in found:
        yield Violation("fulfilment_fits_end", order_id, "the store worked on an order that nobody placed")


def screenings(rows: Rows) -> Iterator[Violation]:
    """No review is open; nobody who was refused got through, and only who was cleared has stock locked."""
    verdicts = {row["order_id"]: row["phase"] for row in rows["risk.screenings"]}
    for order_id, verdict in verdicts.items():
        if verdict == "in_review":
            yield Violation("reviews_end", order_id, "still in review")
    for order in rows["order.orders"]:
        verdict, mode = verdicts.get(order["order_id"]), order["hold_mode"]
        expected = {"cleared": "lock", "restricted": "on_payment"}.get(str(verdict))
        if mode is not None and mode != expected:
            yield Violation("mode_is_verdict", order["order_id"], f"screening {verdict}, hold mode {mode}")
        ended_first = order["reason"] == "slot_over"  # its slot began before risk's word came
        refused = verdict == "refused" and order["phase"] == "rejected" and not ended_first
        if (order["reason"] == "refused_by_risk") != refused:
            yield Violation("mode_is_verdict", order["order_id"], f"screening {verdict}, order {order['phase']}")


def windows(rows: Rows) -> Iterator[Violation]:
    """An order is closed when its after-sales window is shut, and not before."""
    found = {row["order_id"]: row for row in rows["aftersales.windows"]}
    for order in rows["order.orders"]:
        window = found.pop(order["order_id"], None)
        phase = window["phase"] if window and window["phase"] != "new" else None  # new: it has tickets only
        if order["phase"] in ENDS and phase != ("shut" if order["phase"] == "closed" else None):
            yield Violation("window_fits_end", order["order_id"], f"order {order['phase']}, window {window}")
        if window and order["phase"] == "closed" and order["phase_since"] < window["shuts_at"]:
            yield Violation("window_fits_end", order["order_id"], f"closed before {window['shuts_at']}")
    for order_id, window in found.items():
        if window["phase"] != "new":
            yield Violation("window_fits_end", order_id, "a window of an order that nobody placed")
