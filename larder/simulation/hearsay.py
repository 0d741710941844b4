"""The auditor of what is told of money: it is believed only where the gateway says so too. Plain rows only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from larder.simulation.auditor import Rows, Violation


def audit_hearsay(rows: Rows) -> list[Violation]:
    """All rules about reports of money."""
    return [violation for rule in (belonging, contradictions) for violation in rule(rows)]


def belonging(rows: Rows) -> Iterator[Violation]:
    """A capture belongs to one order: the one that the gateway took it for, with its key and amount."""
    theirs = {c["reference"]: (c["order_id"], c["key"], c["amount"]) for c in rows["gateway.captures"]}
    owners: dict[str, str] = {}
    for payment in rows["payment.payments"]:
        order_id = payment["order_id"]
        for capture in payment["captures"]:
            known, told = (order_id, capture.key, capture.amount), theirs.get(capture.reference)
            if known != told:
                found = f"{capture.reference}: we know {known}, the gateway {told}"
                yield Violation("capture_of_one_order", order_id, found)
            if (owner := owners.setdefault(capture.reference, order_id)) != order_id:
                yield Violation("capture_of_one_order", order_id, f"{capture.reference} is {owner}'s as well")


def contradictions(rows: Rows) -> Iterator[Violation]:
    """Every lie is kept for a person, once for each reason, and so is money for an order that never was; the truth is
    none of them. No report is left without the gateway's word."""
    kept = Counter(
        ((c["order_id"], c["reference"], c["told"]["attempt_key"], c["told"]["amount"], c["told"]["at"]), c["why"])
        for c in rows["payment.contradictions"]
    )
    told = {(r["order_id"], r["reference"], r["key"], r["amount"], r["at"]) for r in rows["people.untrue"]}
    for one in sorted({one for one, _ in kept} ^ told):
        yield Violation("lies_are_kept", one[0], f"{one}: {'not kept' if one in told else 'kept, and it is true'}")
    for (one, why), times in kept.items():
        if times > 1:
            yield Violation("lies_are_kept", one[0], f"{one}: kept {times} times as {why}")
    for report in rows["payment.reports"]:
        if report["phase"] not in ("confirmed", "contradicted", "unknown"):
            yield Violation("reports_looked_up", report["order_id"], f"{report['reference']} is {report['phase']}")
