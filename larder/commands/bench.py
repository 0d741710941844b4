"""`larder bench`: larder measured against another commit of itself, in turns."""

import json
import platform
import shlex
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from larder.bench.readings import machine
from larder.bench.report import read, report
from larder.bench.turn import SETTINGS, Plan, Turn, extra_options
from larder.bench.version import Version, commit_of, here, other
from larder.commands.load import INTERRUPTED
from larder.commands.numbers import ORDERS_MAX, RATE_MAX, SEED_MAX
from larder.load.errors import FileError
from larder.say import say, say_lines

RUNS_MAX = 100
RATES_MAX = 20
SHARDS_MAX = 1024
RATE_S_MAX = 3_600


def add_to(app: typer.Typer) -> None:
    """Adds bench."""
    app.command()(bench)


def bench(
    against: Annotated[
        str | None, typer.Option(metavar="REV", help="Another commit, measured in turns with this checkout.")
    ] = None,
    orders: Annotated[
        int, typer.Option(min=1, max=ORDERS_MAX, help="How many orders each turn plays as fast as it goes.")
    ] = 30_000,
    warm: Annotated[
        int | None,
        typer.Option(min=0, max=ORDERS_MAX, help="How many orders warm a turn up before; half as many unless given."),
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(metavar="RATE,...", help="Orders a second of further loads of each turn: 5,20,100,500."),
    ] = None,
    rate_s: Annotated[float, typer.Option(min=1, max=RATE_S_MAX, help="How long each rate lasts, in seconds.")] = 30,
    shards: Annotated[
        str, typer.Option(metavar="N,...", help="Shards of the stack (LARDER_SHARDS); several are measured in turns.")
    ] = "1",
    runs: Annotated[int, typer.Option(min=1, max=RUNS_MAX, help="How many turns each has.")] = 3,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX - RUNS_MAX, help="Of the first run; each has its own.")] = 1,
    audit: Annotated[bool, typer.Option(help="End everybody's first turn with the audit.")] = True,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all figures there, as JSON; `larder docs` reads docs/bench*.json."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The last line is one line of JSON.")] = False,
) -> None:
    """Measure this checkout, alone or in turns with another commit: full lives a second, CPU an order by process,
    batches, waiting at each rate, and what doing nothing takes. Every turn is a fresh stack on ports of its own, with
    the same orders for all. Exit code 1 if a stack does not come up, a load or its audit ends badly, or a part dies
    meanwhile: then nothing after it is measured."""
    wanted_rates = () if rates is None else tuple(sorted(_numbers(rates, "--rates", 0.01, RATE_MAX)))
    wanted_shards = [int(number) for number in _numbers(shards, "--shards", 1, SHARDS_MAX, whole=True)]
    if keep:
        _check_place(keep)
    plan = Plan(orders, orders // 2 if warm is None else warm, wanted_rates, rate_s)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to end in any way, nothing stays behind
    told: dict[str, Any] = {}
    code = 0
    try:
        with ExitStack() as stack:
            versions = _versions(against, stack)
            told = _begun(versions, plan)
            _take_turns(told["runs"], versions, wanted_shards, runs, plan, seed, with_audit=audit)
    except KeyboardInterrupt:
        code = INTERRUPTED
        say("stopped: what was begun is down and gone", err=True)
    finally:
        # Turns that were over before something went wrong took long enough: they are shown, but kept nowhere.
        if told.get("runs"):
            say_lines(report(told))
            if as_json:
                say(json.dumps(told))
    if keep and not code:
        keep.write_text(json.dumps(told, indent=1) + "\n")
    raise typer.Exit(code)


def _versions(against: str | None, stack: ExitStack) -> list[Version]:
    """The other one first: it is what this one is held against."""
    commit = commit_of(against) if against is not None else None
    this = here(_say)
    if commit is None:
        return [this]
    that = stack.enter_context(other(commit, _say))
    if that.name == this.name:
        this = Version(f"{this.name} again", this.commit, this.root, this.python)
    return [that, this]


def _begun(versions: list[Version], plan: Plan) -> dict[str, Any]:
    return {
        "command": shlex.join(["larder", *sys.argv[1:]]),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": machine(),
        "python": platform.python_version(),
        "settings": SETTINGS,
        "plan": asdict(plan),
        "versions": [{"name": version.name, "commit": version.commit} for version in versions],
        "runs": [],
    }


def _take_turns(
    done: list[dict[str, Any]],
    versions: list[Version],
    shards: list[int],
    runs: int,
    plan: Plan,
    seed: int,
    *,
    with_audit: bool,
) -> None:
    """Everybody once, then everybody once more in the other order: whatever gets slower or faster meanwhile does so for
    all. The figures of each turn are put into `done`."""
    options = extra_options(versions)
    contestants = [(version, number) for number in shards for version in versions]
    for run in range(runs):
        for version, number in contestants if run % 2 == 0 else reversed(contestants):
            title = (
                f"turn {len(done) + 1} of {runs * len(contestants)}: {version.name}, {number} shard{'s' * (number > 1)}"
            )
            began = time.monotonic()
            turn = Turn(version, number, options[version.name], lambda line, title=title: _say(f"{title}: {line}"))  # type: ignore[misc]
            figures = turn.take(plan, seed + run, audit=with_audit and run == 0)
            done.append({"version": version.name, "shards": number, **figures})
            fast = figures["loads"][0]
            _say(
                f"{title}: {fast['lives_per_s']:,.0f} lives/s, {sum(fast['cpu_us'].values()):,} µs of CPU an order; "
                f"took {time.monotonic() - began:.0f} s"
            )


def _check_place(keep: Path) -> None:
    """A bench may be kept where there is nothing yet, or an older one: nothing else is written over by it."""
    folder = keep.absolute().parent
    if not folder.is_dir():
        raise FileError(folder, "is no folder: make it first")
    if keep.exists():
        read(keep)


def _say(line: str) -> None:
    say(line, err=True)


def _numbers(text: str, option: str, least: float, most: float, *, whole: bool = False) -> list[float]:
    """Numbers with commas between them; what is none, or out of bounds, is refused."""
    numbers = []
    for word in text.split(","):
        try:
            number = float(word)
        except ValueError:
            number = float("nan")
        if not least <= number <= most or (whole and number != int(number)):
            kind = "whole numbers" if whole else "numbers"
            raise typer.BadParameter(
                f"{word.strip()[:40]!r} in {option} is none of the {kind} from {least:g} to {most:,}", param_hint=option
            )
        numbers.append(number)
    if len(numbers) > RATES_MAX or len(set(numbers)) != len(numbers):
        raise typer.BadParameter(f"at most {RATES_MAX} numbers, each once", param_hint=option)
    return numbers
