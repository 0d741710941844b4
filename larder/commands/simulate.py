"""`larder simulate`: evenings in memory, one for each seed, and the auditor after each."""

import json
import re
from typing import Annotated

import typer

from larder.say import say

SEEDS = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?")


def add_to(app: typer.Typer) -> None:
    """Adds simulate."""
    app.command()(simulate)


def simulate(
    seeds: Annotated[str, typer.Option(metavar="A..B", help="The seeds to play, both ends included.")] = "1..200",
    as_json: Annotated[bool, typer.Option("--json", help="The last line is one line of JSON.")] = False,
) -> None:
    """Play evenings in memory, under faults, and audit each. Exit code 1 on a violation."""
    # It loads all six services: only who simulates pays for that.
    from larder.simulation.simulate import Outcome
    from larder.simulation.simulate import simulate as play_all

    def tell(outcome: Outcome) -> None:
        for line in outcome.lines():
            say(line)

    report = play_all(read_seeds(seeds), tell)
    summary = report.summary()
    if as_json:
        say(json.dumps(summary))
    else:
        verdict = f"{report.violations} VIOLATIONS in {len(report.failed)} seeds" if report.failed else "nothing wrong"
        say(
            f"{report.seeds:,} seeds, {report.orders:,} orders, {report.messages:,} messages in {report.seconds:.1f} s "
            f"({summary['seeds_per_s']} seeds/s): {verdict}"
        )
    raise typer.Exit(1 if report.failed else 0)


def read_seeds(text: str) -> range:
    """The seeds of `A..B`, or of `A` alone."""
    match = SEEDS.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r}: give a range such as 1..200, or one seed", param_hint="--seeds")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise typer.BadParameter(f"{text!r}: the first seed comes after the last", param_hint="--seeds")
    return range(first, last + 1)
