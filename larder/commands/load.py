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
from larder.load.catalogue import Names
from larder.load.display import Display, display_here
from larder.load.errors import FileError, LoadError
from larder.load.figures import Figures
from larder.load.flash import AT_THE_DOOR_MAX, CROWD_MAX, FAULTS_TOLD, Sale, refuse_small_crowd
from larder.load.flash_run import ORDERS as FLASH_ORDERS
from larder.load.flash_run import RATE as FLASH_RATE
from larder.load.flash_run import FlashLoad
from larder.load.hot import decisions_per_second
from larder.load.mix import WAIT_MAX_S, Adversaries, After, Back, Mix
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
HOT_CROWD = 10_000
"""So many orders of a piece one store's shard decides when it is measured alone."""
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
        int | None,
        typer.Option(
            min=1,
            max=ORDERS_MAX,
            help=f"How many orders; more than baskets plays the file again. With --flash: before the crowd comes, "
            f"{FLASH_ORDERS:,} unless given.",
        ),
    ] = None,
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
            help=f"Orders a second; without it as fast as the window has room, or with --flash {FLASH_RATE:g}.",
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
    promotions: Annotated[
        bool,
        typer.Option(
            "--promotions",
            help="Promotions of all kinds but flash are on during the load, one of them changes in the midst of it, "
            "and a share of the orders names a coupon.",
        ),
    ] = False,
    flash: Annotated[
        int | None,
        typer.Option(
            metavar="PIECES",
            min=1,
            max=CROWD_MAX,
            help="A flash sale of so many pieces of one product in the busiest store: first ordinary orders of that "
            "store at a steady rate, then a crowd beside them. Tells who got a piece, and how much longer ordinary "
            "orders wait until they are payable. Exit code 1 unless all pieces are sold, and to the cent.",
        ),
    ] = None,
    crowd: Annotated[
        int | None,
        typer.Option(
            metavar="CUSTOMERS",
            min=1,
            max=CROWD_MAX,
            help="How many want a piece, each in an order of its own; a few decline, never pay, come twice, or give "
            f"it back. At most {AT_THE_DOOR_MAX} of them are under way at once, the others wait at the door: chosen so "
            "that ordinary orders wait at most twice as long as without the crowd.",
        ),
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
    if crowd is not None and flash is None:
        raise LoadError("a crowd comes to a flash sale: --flash says of how many pieces")
    if flash is not None:
        refuse_small_crowd(flash, crowd)
        if adversaries is not None or adversary_share is not None:
            raise LoadError("a flash sale has a crowd of its own, and no adversaries: a load is with one or the other")
    elif orders is None:
        raise LoadError("how many orders? --orders says it; or --flash and --crowd, for a flash sale")
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
    options = Options(orders or FLASH_ORDERS, seed, rate, window, mix, overwrite, promotions)
    names = read_names(products or PRODUCTS)
    if flash is not None and crowd is not None:
        raise typer.Exit(_flash(settings, options, baskets or BASKETS, names, flash, crowd, audit, as_json))
    with display_here() as display, open_play(baskets or BASKETS, options.orders, display) as play:
        load = Load(settings, options, play, names, display)
        code, told = play_and_audit(load, display, with_audit=audit)
    words = in_words(told, load.figures, settings.currency)
    if load.watch:
        words += f"\n{load.watch.in_words()}"
    say_lines(json.dumps(told) if as_json else words)
    raise typer.Exit(code)


def _flash(
    settings: Settings,
    options: Options,
    baskets: Path,
    names: Names,
    pieces: int,
    customers: int,
    with_audit: bool,
    as_json: bool,
) -> int:
    """A load with a flash sale; the exit code."""
    unpaid = options.mix.unpaid > 0 and settings.payment_window_s <= WAIT_MAX_S
    sale = Sale(pieces, customers, options.seed, with_unpaid=unpaid)
    store = _busiest_store(baskets)
    most = options.orders + customers
    with display_here(sale.standing) as display, open_play(baskets, most, display, store=store) as play:
        load = FlashLoad(settings, options, play, names, display, sale)
        code, told = play_and_audit(load, display, with_audit=with_audit)
    display.say(f"measuring one store's shard alone, with a crowd of {HOT_CROWD:,}")
    hot = decisions_per_second(min(pieces, HOT_CROWD), HOT_CROWD)
    decided = {"holds": hot.holds, "verifications": hot.verifications, "deductions": hot.deductions}
    decisions = {step: round(per_s) for step, per_s in decided.items()}
    told = {**load.summary(), "decisions_per_s": decisions, "orders": told}
    for what in ("violations", "parked", "broker", "database"):
        told[what] = told["orders"].pop(what)
    del told["orders"]["place_to_payable_ms"]  # of both stretches together it says nothing
    for fault in load.sale.faults()[:FAULTS_TOLD]:
        display.say(f"not exact: {fault}")
    say_lines(json.dumps(told) if as_json else flash_in_words(told))
    return code or int(not told["exact"])


def _busiest_store(file: Path) -> str | None:
    """The store that most baskets of a file are of; None if there are none."""
    stores = Counter(basket.store for basket in read_baskets(file))
    return max(stores, key=stores.__getitem__, default=None)


def open_play(file: Path, orders: int, display: Display, *, store: str | None = None) -> Play:
    """The baskets of a file, or of one store in it, checked and ready."""
    skipped: list[str] = []
    play = Play.of(read_baskets(file, skipped), orders, store)
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
    told |= load.promotions_told()
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
    waits = told["place_to_payable_ms"]
    return (
        f"{told['orders']:,} orders in {told['seconds']:,} s: {told['completed']:,} completed, "
        f"{told['cancelled']:,} cancelled, {told['rejected']:,} rejected\n"
        f"{told['lives_per_s']:,} lives/s (middle 80% of ends); place to payable: p50 {waits['p50']} ms, "
        f"p99 {waits['p99']} ms\n"
        f"{amount(figures.taken, currency)} taken for {figures.pieces:,} pieces\n"
        f"{_promotions_in_words(told.get('promotions'), currency)}"
        f"{told['broker']}, {told['database']}\n"
        f"{_verdict(told)}"
    )


def _promotions_in_words(told: dict[str, Any] | None, currency: str) -> str:
    if told is None:
        return ""
    return (
        f"{told['orders']:,} paid orders had promotions: {amount(told['taken_off'], currency)} off; "
        f"{told['coupons']:,} orders named a coupon, {told['coupons_refused']:,} were refused; on the click "
        f"{told['confirmed']:,} customers took another total, {told['left']:,} left\n"
    )


def flash_in_words(told: dict[str, Any]) -> str:
    """The summary of a flash sale for people."""
    waits, orders = told["place_to_payable_ms"], told["orders"]
    others = ", ".join(f"{count:,} {reason}" for reason, count in told["others"].items())
    decisions = ", ".join(f"{per_s:,} {step}" for step, per_s in told["decisions_per_s"].items())
    return (
        f"{told['paid']:,} of {told['pieces']:,} pieces sold to a crowd of {told['crowd']:,}: all were sold after "
        f"{told['seconds_until_sold_out']} s, and the last of the crowd was told after {told['seconds']} s\n"
        f"{told['sold_out']:,} told sold out, {told['given_back']:,} gave their piece back, "
        f"{told['refunded']:,} got their money back in full; others: {others or 'none'}\n"
        f"{told['ended_per_s']:,} flash orders ended a second (middle 80% of ends); one store's shard alone, per "
        f"second of CPU: {decisions}\n"
        f"place to payable of ordinary orders, p99: {waits['without']} ms without the crowd, {waits['with']} ms with "
        f"it ({waits['ratio']} times)\n"
        f"{orders['orders']:,} ordinary orders: {orders['completed']:,} completed, {orders['cancelled']:,} cancelled, "
        f"{orders['rejected']:,} rejected\n"
        f"{told['broker']}, {told['database']}\n"
        f"{'exact' if told['exact'] else 'NOT EXACT'}; {_verdict(told)}"
    )


def _verdict(told: dict[str, Any]) -> str:
    violations = told["violations"]
    verdict = {None: "no audit", 0: "the audit found nothing wrong"}.get(
        violations, f"THE AUDIT FOUND {violations} VIOLATIONS"
    )
    if told["parked"]:
        verdict += f"; {told['parked']:,} OF THE LOAD'S OWN COMMANDS PARKED"
    return verdict
