"""`larder load`: real baskets become orders, robots see them through, the audit has the last word."""

import json
import logging
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from larder.amounts import amount
from larder.commands.numbers import ORDERS_MAX, RATE_MAX, SEED_MAX
from larder.load.baskets import read_baskets
from larder.load.display import Display, display_here
from larder.load.errors import FileError, LoadError
from larder.load.figures import Figures
from larder.load.mix import Adversaries, After, Back, Mix
from larder.load.own_parked import own_parked
from larder.load.parts import broker_name, database_name
from larder.load.play import Play
from larder.load.run import WINDOW_AT_A_RATE, WINDOW_MAX, WINDOW_MIN, Load, Options, refuse_far_hosts
from larder.load.sample import BASKETS, PRODUCTS, read_names
from larder.say import say_lines
from shared.settings import Settings, get_settings

INTERRUPTED = 130
SKIPPED_TOLD = 5
VIOLATIONS_TOLD = 20
_WINDOWS = f"{WINDOW_MIN} to {WINDOW_MAX:,}; {WINDOW_AT_A_RATE:,}"
_MIX = Mix()
_BACK = _MIX.back
_AFTER = _MIX.after
_ADVERSARIES = ",".join(f"{share.name}={share.default:g}" for share in fields(Adversaries))


def add_to(app: typer.Typer) -> None:
    """Adds load."""
    app.command()(load)


def load(
    orders: Annotated[
        int, typer.Option(min=1, max=ORDERS_MAX, help="How many orders; more than baskets plays the file again.")
    ],
    baskets: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Baskets to play, CSV or .gz; without it the sample.")
    ] = None,
    products: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of products: spu, name, category.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=RATE_MAX,
            help="Orders a second; without it as fast as the window has room.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEED_MAX, help="Decides which customer does what.")] = 1,
    window: Annotated[
        int | None,
        typer.Option(min=1, help=f"Most orders under way at once; else a fifth of them, {_WINDOWS} at a rate."),
    ] = None,
    unpaid_share: Annotated[
        float, typer.Option(help="Never pay; none if the payment window is over 60 s.")
    ] = _MIX.unpaid,
    cancel_share: Annotated[float, typer.Option(help="Cancel: at once, when payable, or while paying.")] = _MIX.cancel,
    declined_share: Annotated[
        float, typer.Option(help="First card declined; most then pay with another one.")
    ] = _MIX.declined,
    late_share: Annotated[
        float, typer.Option(help="The gateway times out and takes the money later; a second attempt pays.")
    ] = _MIX.late,
    twice_share: Annotated[float, typer.Option(help="The gateway takes the money twice.")] = _MIX.twice,
    short_share: Annotated[float, typer.Option(help="Want what no store has, and are rejected.")] = _MIX.short,
    cancel_paid_share: Annotated[
        float, typer.Option(help="Cancel when paid, before picking begins.")
    ] = _BACK.cancel_paid,
    cancel_picking_share: Annotated[
        float, typer.Option(help="Cancel while being picked; the picker goes on, and is told.")
    ] = _BACK.cancel_picking,
    cancel_packed_share: Annotated[float, typer.Option(help="Cancel when packed.")] = _BACK.cancel_packed,
    shortage_share: Annotated[
        float,
        typer.Option(
            help="A piece is not on the shelf: substituted, dropped, cancelled; or nobody calls the customer, if the "
            "shortage window is at most 60 s."
        ),
    ] = _BACK.shortage,
    intercept_share: Annotated[
        float, typer.Option(help="The courier is called back; for half of them while at the door already.")
    ] = _BACK.intercept,
    undeliverable_share: Annotated[
        float,
        typer.Option(
            help="Nobody at home: the goods come back whole, damaged, or fewer; or never, if the return window is at "
            "most 60 s."
        ),
    ] = _BACK.undeliverable,
    no_refund_share: Annotated[
        float, typer.Option(help="Cancel when paid, and the gateway refuses the refund.")
    ] = _BACK.no_refund,
    back_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Scales the seven shares above, so that together they are this share."),
    ] = None,
    refund_share: Annotated[
        float, typer.Option(help="Complain when delivered, keep the goods, and get money.")
    ] = _AFTER.refund,
    return_share: Annotated[
        float,
        typer.Option(help="Give a piece back, whole or damaged; or forget to, if the return window is at most 60 s."),
    ] = _AFTER.returned,
    exchange_share: Annotated[
        float, typer.Option(help="Get another piece for one that the courier takes along.")
    ] = _AFTER.exchange,
    replenish_share: Annotated[float, typer.Option(help="Get a piece that was missing.")] = _AFTER.replenish,
    rating_share: Annotated[float, typer.Option(help="Give one star, and get money for a piece.")] = _AFTER.rating,
    after_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Scales the five shares above, so that together they are this share."),
    ] = None,
    adversaries: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=SHARE,...",
            help="Shares of all orders that adversaries place: cancelling (few accounts order and cancel again and "
            "again), unpaid (few accounts never pay), device (many accounts on one device), stolen (accounts of "
            "customers, on another device and to another address), flood (many accounts at one address). "
            f"With --adversary-share alone {_ADVERSARIES}.",
        ),
    ] = None,
    adversary_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Scales these shares, so that together they are this share."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace stores and products that are there and differ.")
    ] = False,
    audit: Annotated[bool, typer.Option(help="End with the audit.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The last line is one line of JSON.")] = False,
) -> None:
    """Play baskets against the running stack. Exit code 1 if orders are stuck, a command of the load parked, or the
    audit finds violations."""
    quiet_clients()
    back = Back(
        cancel_paid_share,
        cancel_picking_share,
        cancel_packed_share,
        shortage_share,
        intercept_share,
        undeliverable_share,
        no_refund_share,
    )
    if back_share is not None:
        back = back.scaled(back_share)
    after = After(refund_share, return_share, exchange_share, replenish_share, rating_share)
    if after_share is not None:
        after = after.scaled(after_share)
    hostile = Adversaries.of(adversaries) if adversaries is not None else Adversaries.none()
    if adversary_share is not None:
        hostile = (hostile if adversaries is not None else Adversaries()).scaled(adversary_share)
    mix = Mix(
        *(unpaid_share, cancel_share, declined_share, late_share, twice_share, short_share),
        back=back,
        after=after,
        adversaries=hostile,
    )
    settings = get_settings()
    refuse_far_hosts(settings.bootstrap())
    options = Options(orders, seed, rate, window, mix, overwrite)
    names = read_names(products or PRODUCTS)
    with display_here() as display, open_play(baskets or BASKETS, orders, display) as play:
        load = Load(settings, options, play, names, display)
        code, told = play_and_audit(load, display, with_audit=audit)
    words = in_words(told, load.figures, settings.currency)
    if load.watch:
        words += f"\n{load.watch.in_words()}"
    say_lines(json.dumps(told) if as_json else words)
    raise typer.Exit(code)


def open_play(file: Path, orders: int, display: Display) -> Play:
    """The baskets of a file, checked and ready."""
    skipped: list[str] = []
    play = Play.of(read_baskets(file, skipped), orders)
    for line in skipped[:SKIPPED_TOLD]:
        display.say(f"left out: {file}, {line}")
    if len(skipped) > SKIPPED_TOLD:
        display.say(f"left out: {len(skipped) - SKIPPED_TOLD} more")
    if not play.baskets:
        play.close()
        raise FileError(file, "holds no basket that can be ordered")
    return play


def play_and_audit(load: Load, display: Display, *, with_audit: bool) -> tuple[int, dict[str, Any]]:
    """Plays, audits; the exit code and the last line."""
    settings = load.settings
    database = uvloop.run(database_name(settings))
    violations: int | None = None
    parked: int | None = None
    code = 0
    try:
        uvloop.run(load.run())
        for line in load.stuck:
            display.say(line)
        if with_audit:
            violations = uvloop.run(count_violations(settings, display))
        parked = tell_parked(uvloop.run(own_parked(settings, load.run_id)), display)
        code = 1 if load.stuck or violations or parked else 0
    except KeyboardInterrupt:
        display.say(
            f"stopped: {len(load.robots.orders):,} orders are under way, and no robot looks after them any more"
        )
        code = INTERRUPTED
    tell_refusals(load, display)
    told = load.figures.summary(load.robots.placed, violations, broker_name(settings), database, parked)
    return code, told | ({"screening": load.watch.summary()} if load.watch else {})


def quiet_clients() -> None:
    """Kafka's clients log each try to reach a broker that is down; the load says itself when nothing moves."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


async def count_violations(settings: Settings, display: Display) -> int:
    """The audit's verdict, with every violation told."""
    from larder.audit import CannotLook, audit  # with all that it takes: only who audits loads it

    display.say("auditing: six databases and the gateway's book")
    try:
        report = await audit(settings)
    except CannotLook as error:
        raise LoadError(f"there is no audit: {error}") from None
    for violation in report.violations[:VIOLATIONS_TOLD]:
        display.say(f"violation: {violation}")
    violations = len(report.violations) + report.not_kept
    if violations > VIOLATIONS_TOLD:
        display.say(f"and {violations - VIOLATIONS_TOLD:,} more violations: `larder audit` lists them")
    if report.parked_count:
        display.say(f"{report.parked_count:,} messages are parked: `larder parked list`")
    return violations


def tell_parked(own: Counter[str], display: Display) -> int:
    """The load's own commands that nobody could handle; says how many."""
    for what, count in own.most_common():
        display.say(f"parked {count:,} times: {what}: `larder parked list` tells why")
    return own.total()


def tell_refusals(load: Load, display: Display) -> None:
    """Commands that larder refused, and ones that had to be sent again."""
    for what, count in load.robots.refused.most_common():
        display.say(f"refused {count:,} times: {what}")
    if load.robots.resends:
        display.say(f"{load.robots.resends:,} commands were sent again, since their event did not come in time")


def in_words(told: dict[str, Any], figures: Figures, currency: str) -> str:
    """The summary for people."""
    waits, violations = told["place_to_payable_ms"], told["violations"]
    verdict = {None: "no audit", 0: "the audit found nothing wrong"}.get(
        violations, f"THE AUDIT FOUND {violations} VIOLATIONS"
    )
    if told["parked"]:
        verdict += f"; {told['parked']:,} OF THE LOAD'S OWN COMMANDS PARKED"
    return (
        f"{told['orders']:,} orders in {told['seconds']:,} s: {told['completed']:,} completed, "
        f"{told['cancelled']:,} cancelled, {told['rejected']:,} rejected\n"
        f"{told['lives_per_s']:,} lives/s (middle 80% of ends); place to payable: p50 {waits['p50']} ms, "
        f"p99 {waits['p99']} ms\n"
        f"{amount(figures.taken, currency)} taken for {figures.pieces:,} pieces\n"
        f"{told['broker']}, {told['database']}\n"
        f"{verdict}"
    )
