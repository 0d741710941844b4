"""`larder risk replay`: decides past screenings again under other rules, and tells what that would have changed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larder.commands.parked_filter import instant
from larder.say import say
from larder.stack.errors import StackError
from larder.stack.migrate import connect
from shared.runtime.instants import read_every_instant
from shared.settings import get_settings

if TYPE_CHECKING:  # only who replays pays for loading risk
    from services.risk.rules import RuleSet
    from services.risk.trial import TrialPage

LISTED = 20
"""Most orders that are listed; `--json` has more."""

group = typer.Typer(help="What risk decides, and would decide.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Adds risk."""
    app.add_typer(group, name="risk")


@group.callback()
def _risk() -> None:
    """Its one command is named, too."""


@group.command()
def replay(
    since: Annotated[str, typer.Option("--since", help="Screenings from then on (ISO 8601; UTC).")],
    until: Annotated[str | None, typer.Option("--until", help="Before then (ISO 8601; UTC); left out: now.")] = None,
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="TOML like delivered_rules.toml; left out: today's rules."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Decide past screenings again under other rules, and tell what would have changed, and what became of these
    orders. Changes nothing. The blocklist stays as it was then; what risk has forgotten is counted, not decided."""
    start, end = instant("--since", since), instant("--until", until) or datetime.now(UTC)
    assert start is not None
    if end <= start:
        raise StackError("--until must be later than --since")
    tried = None if rules is None else read_file(rules)
    page = asyncio.run(_replay(start, end, tried))
    if as_json:
        told = {"since": start.isoformat(), "until": end.isoformat(), **page.model_dump(mode="json")}
        say(json.dumps(told))
        return
    for line in lines_of(page, start, end, str(rules) if rules else "today's rules"):
        say(line)


def read_file(file: Path) -> RuleSet:
    """The rules in a file; a StackError with the code of what is wrong with them."""
    from services.risk.rules import TEXT_MAX_BYTES, BadRules, read_rules

    with file.open("rb") as opened:
        text = opened.read(TEXT_MAX_BYTES + 1)
    try:
        return read_rules(text)
    except BadRules as wrong:
        raise StackError(f"{file}: {wrong.code}: {wrong}") from None


async def _replay(since: datetime, until: datetime, rules: RuleSet | None) -> TrialPage:
    connection = await connect(get_settings().dsn("risk"), "risk")
    try:
        await read_every_instant(connection)
        return await replayed(connection, since, until, rules)
    finally:
        await connection.close()


async def replayed(connection: Any, since: datetime, until: datetime, rules: RuleSet | None) -> TrialPage:
    """What these rules (None: today's) would have said of all screenings of this time."""
    from services.risk.rulebook import newest_of
    from services.risk.trial import Place, Trial, go_on

    trial = Trial(rules or (await newest_of(connection)).rules)
    await go_on(connection, trial, Place(since), until)
    return trial.page


def lines_of(page: TrialPage, since: datetime, until: datetime, rules: str) -> list[str]:
    """What came of it, for people."""
    return list(_lines(page, since, until, rules))


def _lines(page: TrialPage, since: datetime, until: datetime, rules: str) -> Iterator[str]:
    yield f"{page.screenings:,} screenings {since.isoformat()} .. {until.isoformat()}, decided again by {rules}"
    if page.without_facts or page.switched_off:
        yield f"not decided: {page.without_facts:,} whose facts are forgotten, {page.switched_off:,} while risk was off"
    yield ""
    yield f"{'':<10}{'before':>12}{'after':>12}"
    for verdict, before in page.by_verdict.before.items():
        yield f"{verdict:<10}{before:>12,}{page.by_verdict.after[verdict]:>12,}"
    yield ""
    yield f"{page.changed:,} would be treated otherwise"
    yield f"{page.good_customers:,} good customers (their orders were delivered) would be treated more strictly"
    ways: dict[tuple[str, str], Counter[str]] = {}
    for one in page.endings:
        ways.setdefault((one.before, one.after), Counter())[one.ending] += one.orders
    for (was, now), endings in ways.items():
        became = ", ".join(f"{ending} {count:,}" for ending, count in endings.most_common())
        yield f"  {was} -> {now}: {endings.total():,} ({became})"
    labels = page.labels
    if reviewed := labels.before.agree + labels.before.disagree:
        yield f"of {reviewed:,} that people decided, {labels.before.agree:,} agreed, and {labels.after.agree:,} would"
    if page.orders:
        yield ""
        yield f"the first {min(LISTED, len(page.orders))} that would be treated otherwise:"
    for order in page.orders[:LISTED]:
        by = f"  {', '.join(order.rules)}" if order.rules else ""
        yield f"  {order.order_id}  {order.account}  {order.before} -> {order.after}  {order.ending}{by}"
