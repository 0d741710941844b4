"""`larder audit`: does everything that the services and the gateway have written add up?"""

import json
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.table import Table

from larder.audit import WAIT_S, Report, audit
from larder.errors import EXIT_ERROR, tell
from larder.say import say
from shared.printable import printable
from shared.settings import get_settings

VIOLATED = 1
COULD_NOT_LOOK = 2
WAIT_MAX_S = 86_400
SHOWN = 50
"""Most violations, and most parked messages, that are shown to a reader; `--json` tells more."""


def add_to(app: typer.Typer) -> None:
    """Adds audit."""
    app.command(name="audit")(audit_command)


def audit_command(
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
    wait_s: Annotated[
        float,
        typer.Option(min=0, max=WAIT_MAX_S, help="How long to wait until nothing is on its way."),
    ] = WAIT_S,
) -> None:
    """Check the books of all services against each other. Stock, money, papers, phases and links; reads only. Exit code
    1: a violation was found; 2: the databases could not be read."""
    try:
        report = uvloop.run(audit(get_settings(), wait_s))
    except Exception as error:
        code = tell(error, "larder audit")
        raise typer.Exit(COULD_NOT_LOOK if code == EXIT_ERROR else code) from None
    if as_json:
        say(json.dumps(report.as_json()))
    else:
        show(report)
    raise typer.Exit(0 if report.is_clean else VIOLATED)


def show(report: Report) -> None:
    """Tells a person: a table on a terminal, else plain lines."""
    console = Console(highlight=False, markup=False, soft_wrap=True)

    def line(text: str) -> None:
        console.print(printable(text))

    if console.is_terminal:
        table = Table("rule", "held against", "violations", title=f"{report.orders:,} orders")
        violations = {rule: sum(v.rule == rule for v in report.violations) for rule in _rules(report)}
        for rule, count in violations.items():
            table.add_row(rule, f"{report.checked[rule]:,}", str(count) if count else "-")
        console.print(table)
    for violation in report.violations[:SHOWN]:
        line(f"VIOLATION {violation}")
    if len(report.violations) > SHOWN:
        line(f"... and {len(report.violations) - SHOWN + report.not_kept:,} more violations")
    for message in report.parked[:SHOWN]:
        line(f"parked {message.id}  {message.type or '?'}  {message.subject or '-'}  {message.code}")
    if report.parked_count > SHOWN:
        line(f"... and {report.parked_count - SHOWN:,} more parked messages")
    for still in in_flight(report):
        line(f"in flight: {still}")
    line(verdict(report))


def in_flight(report: Report) -> list[str]:
    """What was still under way, for a reader."""
    flight = report.in_flight
    told = [f"{count:,} orders {phase}" for phase, count in sorted(flight.orders.items())]
    told += [f"link {link}" for link in flight.links]
    counts = {
        "open effects": flight.effects,
        "due timers": flight.timers_due,
        "webhooks on their way": flight.webhooks,
        "captures that the gateway will make later": flight.pending_captures,
    }
    told += [f"{count:,} {what}" for what, count in counts.items() if count]
    if flight.unsettled:
        told.append(f"{len(flight.unsettled):,} orders that kept changing: {', '.join(flight.unsettled[:10])}")
    return told


def verdict(report: Report) -> str:
    """The last line."""
    found = len(report.violations) + report.not_kept
    words = f"{found:,} violations" if found != 1 else "1 violation"
    quiet = "" if report.in_flight.is_quiet else ", while things were moving"
    checks = f"{report.orders:,} orders, {sum(report.checked.values()):,} checks, {report.seconds:.1f} s{quiet}"
    parked = f", {report.parked_count:,} messages parked" if report.parked_count else ""
    return f"{'nothing wrong' if report.is_clean else words}: {checks}{parked}"


def _rules(report: Report) -> list[str]:
    return sorted({*report.checked, *(v.rule for v in report.violations)})
