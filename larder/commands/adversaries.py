"""`larder adversaries`: what screening takes from adversaries, and what it costs customers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from larder.commands.load import open_play, play_and_audit, quiet_clients
from larder.commands.numbers import ORDERS_MAX, RATE_MAX, SEED_MAX
from larder.load.compare import SCREENINGS, Desk, Outcome, draw, table
from larder.load.display import display_here
from larder.load.errors import FileError
from larder.load.mix import Adversaries, Mix
from larder.load.run import Load, Options, refuse_far_hosts
from larder.load.sample import BASKETS, read_names
from larder.say import say, say_lines
from shared.settings import get_settings


def add_to(app: typer.Typer) -> None:
    """Adds adversaries."""
    app.command()(adversaries)


def adversaries(
    orders: Annotated[int, typer.Option(min=1, max=ORDERS_MAX, help="How many orders, under each screening.")] = 6_000,
    rate: Annotated[
        float, typer.Option(min=0.01, max=RATE_MAX, help="Orders a second: signals need time to be counted.")
    ] = 60,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Decides who does what: the same each time.")] = 1,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Of all orders, those that adversaries place.")
    ] = Adversaries().together,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw a picture there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The last line is one line of JSON.")] = False,
) -> None:
    """Play the same evening with adversaries under four screenings: without rules, with risk switched off, with the
    delivered rules, and with stricter ones. Rules and switch are put back at the end. Exit code 1 if a load had
    violations, stuck orders, or commands that parked."""
    quiet_clients()
    settings = get_settings()
    refuse_far_hosts(settings.bootstrap())
    if svg is not None and not svg.absolute().parent.is_dir():
        raise FileError(svg, "cannot be written: there is no such directory")
    options = Options(orders, seed, rate, mix=Mix(adversaries=Adversaries().scaled(share)))
    outcomes: list[Outcome] = []
    worst = 0
    names = read_names()
    with Desk(settings) as desk, desk.kept():
        for screening in SCREENINGS:
            desk.set(screening)
            say(f"-- {screening.name}", err=True)
            with display_here() as display, open_play(BASKETS, orders, display) as play:
                code, told = play_and_audit(Load(settings, options, play, names, display), display, with_audit=True)
            worst = max(worst, code)
            if code > 1:
                break
            outcomes.append(Outcome(screening.name, told))
    if svg is not None and outcomes:
        draw(outcomes, svg)
    say_lines(table(outcomes))
    if as_json:
        say(json.dumps(dict(outcomes)))
    raise typer.Exit(worst)
