"""Draws the tables of the deciders: a grid and a state diagram for each in docs/tables, the cancel policy and the ways
to the end beside them, the console's chart, one order's life in README, and benches in docs/benchmarks.md.

The tables are the only truth; a test fails when a drawing on disk is not what the tables say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from larder.bench import report
from larder.chart import chart
from larder.ways import cancel_policy, ways_to_the_end
from services.aftersales.decider import AFTER_SALES, TICKET
from services.aftersales.decider import DECIDER as AFTERSALES
from services.inventory.decider import ALLOTMENT, HOLD, REQUEST
from services.inventory.decider import DECIDER as INVENTORY
from services.logistics.decider import DECIDER as LOGISTICS
from services.logistics.decider import FULFILMENT, RESERVATION, RETURN, SLOT
from services.order.decider import DECIDER as ORDER
from services.order.decider import SALES_ORDER
from services.order.replacing import REPLACEMENT_ORDER
from services.order.state import Phase
from services.payment.decider import DECIDER as MONEY
from services.payment.decider import PAYMENT, REFUND
from services.payment.reports import REPORT
from services.risk.decider import DECIDER as RISK
from services.risk.decider import ENDING, SCREENING
from shared.contracts import asyncapi
from shared.runtime.table import Refuse, Table, To

TABLES = (
    SALES_ORDER,
    REPLACEMENT_ORDER,
    SCREENING,
    HOLD,
    ALLOTMENT,
    REQUEST,
    PAYMENT,
    REFUND,
    REPORT,
    FULFILMENT,
    RETURN,
    SLOT,
    RESERVATION,
    AFTER_SALES,
    TICKET,
    ENDING,
)
LISTENS = {d.service: d.listens for d in (ORDER, INVENTORY, RISK, MONEY, LOGISTICS, AFTERSALES)}
"""What each service receives, for the AsyncAPI document."""

FORWARD = (
    Phase.SCREENING,
    Phase.HOLDING,
    Phase.AWAITING_PAYMENT,
    Phase.VERIFYING,
    Phase.PAYING,
    Phase.DEDUCTING,
    Phase.AWAITING_PICKING,
    Phase.PICKING,
    Phase.AWAITING_SHIPMENT,
    Phase.IN_DELIVERY,
    Phase.DELIVERED,
    Phase.CLOSED,
)
"""The way of a good order; the README's picture shows it whole, and the other phases as where it may go from there."""
LEFT_OUT = frozenset({Phase.NEW, Phase.RESERVING_SLOT, Phase.IN_REVIEW}) | {p for p in Phase if "cancel_wanted" in p}
"""What the picture leaves out: side-steps before the money, and wishes kept for a moment."""

BEGIN, END = "<!-- order's life: drawn by `larder docs` -->", "<!-- /order's life -->"
HEADER = "<!-- Drawn by `larder docs` from the table; do not edit. -->\n"


def file_name(table: Table) -> str:
    """Where a table is drawn."""
    return table.name.replace(" ", "-").replace("'", "") + ".md"


def page(table: Table) -> str:
    """A table's page: its diagram, then its grid."""
    return f"{HEADER}# {table.name.capitalize()}\n\n{diagram(table)}\n\n{grid(table)}\n"


def diagram(table: Table) -> str:
    """Every transition that leads to another phase, as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for source, target, messages in _moves(table):
        lines.append(f"    {source} --> {target}: {', '.join(messages)}")
    return "\n".join([*lines, "```"])


def grid(table: Table) -> str:
    """Phases as rows, messages as columns' entries: one list per phase, since forty columns fit no page."""
    lines = ["| phase | message | answer |", "| --- | --- | --- |"]
    for phase, cells in table.rows.items():
        for n, (message, cell) in enumerate(sorted(cells.items(), key=lambda item: _rank(item[1], item[0]))):
            lines.append(f"| {f'**{phase}**' if n == 0 else ''} | {_named(message)} | {_answer(phase, cell)} |")
    lines.append("\nA message that does not stand in a phase's rows is parked there.")
    return "\n".join(lines)


def life() -> str:
    """One order's life for the README: the way forward in full, and dotted where it may leave it."""
    lines = ["```mermaid", "flowchart LR"]
    for source, target, messages in _moves(SALES_ORDER):
        if source in FORWARD and target in FORWARD and FORWARD.index(target) == FORWARD.index(source) + 1:
            lines.append(f"    {source} -->|{' or '.join(messages)}| {target}")
    # One dotted line for all phases that lead to the same place, so that the picture stays one.
    exits: dict[StrEnum, list[str]] = {}
    for source, target, _ in _moves(SALES_ORDER):
        if LEFT_OUT.isdisjoint((source, target)) and not (source in FORWARD and target in FORWARD):
            exits.setdefault(target, []).append(source)
    lines += [f"    {' & '.join(sources)} -.-> {target}" for target, sources in exits.items()]
    return "\n".join([*lines, "```"])


def _moves(table: Table) -> Iterator[tuple[StrEnum, StrEnum, list[str]]]:
    edges: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for phase, message, cell in table.cells():
        if isinstance(cell, To) and cell.phase != phase:
            edges.setdefault((phase, cell.phase), []).append(message.__name__)
    for (source, target), messages in edges.items():
        yield source, target, messages


def _named(message: type) -> str:
    """With the service that says it or is to do it, if it is on the wire; what a service reads it into has no other."""
    package, _, owner = message.__module__.rpartition(".")
    return f"{owner}.{message.__name__}" if package == "shared.contracts" else message.__name__


def _answer(phase: StrEnum, cell: object) -> str:
    if isinstance(cell, To):
        action = f", {cell.action.__name__.replace('_', ' ')}" if cell.action else ""
        return (f"→ **{cell.phase}**" if cell.phase != phase else "stays") + action
    return f"refused: `{cell.code}`" if isinstance(cell, Refuse) else "ignored"


def _rank(cell: object, message: type) -> tuple[int, str]:
    return (0 if isinstance(cell, To) else 1 if isinstance(cell, Refuse) else 2, _named(message))


def drawings(root: Path) -> dict[Path, str]:
    """Every drawn file with what should stand in it."""
    drawn = {root / "docs" / "tables" / file_name(table): page(table) for table in TABLES}
    drawn[root / "docs" / "asyncapi.json"] = json.dumps(asyncapi.document(LISTENS), indent=2) + "\n"
    drawn[root / "docs" / "tables" / "cancel-policy.md"] = HEADER + cancel_policy()
    drawn[root / "docs" / "tables" / "ways-to-the-end.md"] = HEADER + ways_to_the_end()
    drawn[root / "services" / "console" / "templates" / "chart.svg"] = chart(_moves(SALES_ORDER))
    drawn |= report.drawings(root / "docs")
    readme = root / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    drawn[readme] = f"{before}{BEGIN}\n{life()}\n{END}{after}"
    return drawn
