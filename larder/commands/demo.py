"""`larder demo`: the whole of larder in a minute, on an evening of real baskets."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from larder.amounts import amount
from larder.commands.console import link_for
from larder.commands.load import INTERRUPTED, open_play, play_and_audit, quiet_clients
from larder.commands.numbers import ORDERS_MAX, RATE_MAX
from larder.load.display import Display, Plain
from larder.load.evening import Evening
from larder.load.figures import Figures
from larder.load.play import Play
from larder.load.run import Load, Options, refuse_far_hosts
from larder.load.sample import BASKETS, read_names
from larder.say import say
from larder.stack.control import bring_down, bring_up
from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.state import supervisor_of
from shared.settings import SERVICES, Settings, get_settings, settings_without_stack

WINDOWS = {"LARDER_PAYMENT_WINDOW_S": "10", "LARDER_AFTER_SALES_WINDOW_S": "5", "LARDER_GATEWAY_TIMEOUT_S": "3"}
"""Short windows, so that an evening fits into a minute; what the user has set stays."""


def add_to(app: typer.Typer) -> None:
    """Adds demo."""
    app.command()(demo)


def demo(
    orders: Annotated[int, typer.Option(min=1, max=ORDERS_MAX, help="How many baskets are ordered.")] = 6_000,
    rate: Annotated[float, typer.Option(min=0.1, max=RATE_MAX, help="Orders a second.")] = 150,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up at the end, to look around in it.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stores and products that an earlier demo left and that differ.")
    ] = False,
    baskets: Annotated[Path, typer.Option(metavar="FILE", help="Other baskets than the sample.")] = BASKETS,
) -> None:
    """Play an evening of real baskets on a stack of its own. Robots buy, pick and deliver; the audit ends it."""
    home = Home.at(settings_without_stack().home)
    refuse_running(home)
    for name, value in WINDOWS.items():
        os.environ.setdefault(name, value)
    quiet_clients()
    code = 1
    play = open_play(baskets, orders, Plain(sys.stdout))  # what is wrong with the file is said before anything starts
    try:
        if kafka := settings_without_stack().kafka:
            refuse_far_hosts(kafka)
        say("larder: six services, a broker and a database come up; the first time that takes a little longer")
        bring_up(home, say)
        get_settings.cache_clear()
        code, lines = _evening(get_settings(), Options(orders, rate=rate, overwrite=overwrite), play)
        for line in lines:
            say(line)
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        play.close()
        if keep and supervisor_of(home):
            _tell_where(get_settings(), home)
        elif bring_down(home):
            say("the stack is down again; `larder demo --keep` leaves it up to look around in")
    raise typer.Exit(code)


def refuse_running(home: Home) -> None:
    """The demo has short windows of its own, and takes the stack down at the end: not somebody's who works with it."""
    running = supervisor_of(home)
    if running:
        raise StackError(
            f"larder is running already in {home.root} (pid {running.pid}), and the demo brings a stack of its own. "
            "Either `larder load --orders 1000` plays baskets against the running one; or `larder down`, then the demo "
            "again"
        )


def _evening(settings: Settings, options: Options, play: Play) -> tuple[int, list[str]]:
    names = read_names()
    live = Evening(names, settings.currency) if sys.stdout.isatty() else None
    display: Display = live or Plain(sys.stdout)
    with display:
        load = Load(settings, options, play, names, display, live.tell if live else None)
        code, told = play_and_audit(load, display, with_audit=True)
        stores = len(play.demand)
    return code, [] if code == INTERRUPTED else _summary(told, load.figures, settings, stores)


def _summary(told: dict[str, Any], figures: Figures, settings: Settings, stores: int) -> list[str]:
    waits, violations = told["place_to_payable_ms"], told["violations"]
    verdict = {
        None: "there was no audit",
        0: "the audit read six databases and the gateway's book, and found nothing wrong",
    }.get(violations, f"THE AUDIT FOUND {violations} VIOLATIONS (above)")
    if told["parked"]:
        verdict += f"; {told['parked']:,} OF THE ROBOTS' OWN COMMANDS PARKED"
    return [
        "",
        f"An evening at larder: {told['orders']:,} real baskets in {told['seconds']:.0f} s, {stores} stores",
        f"  {told['completed']:,} were paid, picked, packed, delivered and closed; {told['cancelled']:,} were "
        f"cancelled (unpaid, declined, or a mind was changed); {told['rejected']:,} were rejected",
        f"  {amount(figures.taken, settings.currency)} taken for {figures.pieces:,} pieces",
        f"  an order was ready to be paid after {waits['p50']} ms (half of them), {waits['p99']} ms (99 of 100)",
        f"  {told['broker']}, {told['database']}",
        f"  {verdict}",
        "",
    ]


def _tell_where(settings: Settings, home: Home) -> None:
    say(f"larder stays up in {home.root}; `larder down` stops it")
    for name in SERVICES:
        say(f"  {name:<11} http://{settings.host}:{settings.port(name)}/docs")
    say("  a token for them: larder token --role admin")
    say("The console, where people work; this link lets you in, once, within a minute (`larder console` prints more):")
    say(f"  {link_for(settings, 'admin', 'you')}")
