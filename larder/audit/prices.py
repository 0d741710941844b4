"""What an order cost, worked out again from the promotions as they were, and what its account had of them.

The rule of prices is that of DESIGN and ADR 12, said once more: a flash sale alone; the best promotion of each line;
one amount off the total; coupons by their names. An order says which promotions came into its price, at which instant,
and which were refused to it; all else is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from larder.audit.catalogue import Promotion
from larder.audit.life import CALLED_OFF, DEDUCTED, DEDUCTING, Life, listed
from larder.audit.report import Found

COUNTED = ("paying", "paying_cancel_wanted", *sorted(DEDUCTING | DEDUCTED))
"""Phases in which money was asked for, so that the account has counted what it may have only so often."""


class Line(NamedTuple):
    """Pieces of an SPU at their ordinary price; the category is None where nobody knows what it was."""

    spu: str
    quantity: int
    price: int
    category: str | None


class Off(NamedTuple):
    """What one promotion takes off each line, how many units of it that are, and of how many."""

    revision: int
    kind: str
    lines: tuple[int, ...]
    units: int
    limit: int


def price_is_promotions(life: Life) -> str | None:
    """What was taken off an order's lines is what the promotions in force at that instant take off, and no better one
    was passed over; where one was just being written, at least what was named is what it says."""
    order = life.order
    if order is None or life.is_replacement or not (order.discounts or life.catalogue.revisions):
        return None
    applied, coupons, denied, _, at_text = listed(order.discounts) or ((), (), (), (), None)
    at = datetime.fromisoformat(at_text) if at_text else order.placed_at
    if at is None:
        return "priced at no instant"
    goods = [(spu, life.catalogue.category(spu, at)) for spu in listed(order.spus)]
    automatic = life.catalogue.in_force(order.store, at, goods)
    if not (automatic or order.discounts):
        return ""  # most are like that
    named = {row[0]: Off(row[1], row[2], tuple(row[3]), *row[4:]) for row in applied}
    if both := named.keys() & set(denied):
        return f"{sorted(both)} were refused, and came into the price"
    columns = (goods, listed(order.quantities), listed(order.prices))
    lines = [Line(spu, quantity, price, category) for (spu, category), quantity, price in zip(*columns, strict=True)]
    if wrong := _named_badly(life, named, coupons, at, {line.spu: line for line in lines}):
        return wrong
    revisions = [found for id_, off in named.items() if (found := life.catalogue.revision(id_, off.revision))]
    in_force = [*automatic, *_coupons(life, coupons, at)]
    fresh = list(_concerning(life.catalogue.just_written(at), lines, order.store, coupons))
    if not any(line.category is None and p.categories for p in revisions for line in lines):
        due = worked_out(lines, revisions, denied)
        if due != named:
            return f"priced with {named}, by their rules it is {due}"
    if fresh or any(line.category is None and p.categories for p in in_force for line in lines):
        return ""
    due = worked_out(lines, in_force, denied)
    return "" if due == named else f"priced at {at} with {named}, in force was {due}"


def worked_out(lines: Sequence[Line], promotions: Sequence[Promotion], denied: Sequence[str]) -> dict[str, Off]:
    """What promotions in force (coupons: those that the order names) take off lines, by the one rule."""
    left = [line.quantity * line.price for line in lines]
    found: dict[str, Off] = {}
    allowed = [p for p in promotions if p.id not in denied]

    def take(p: Promotion, off: Mapping[int, int], units: int) -> None:
        before = found.get(p.id)
        had = before.lines if before else (0,) * len(lines)
        for n, amount in off.items():
            left[n] -= amount
        units = units + (before.units if before else 0) if p.kind == "flash" else 1
        total = tuple(amount + off.get(n, 0) for n, amount in enumerate(had))
        found[p.id] = Off(p.revision, p.kind, total, units, p.limit)

    # A flash sale stands alone, at the lowest price; the account may have it for all pieces that want it, or for none.
    sales = [p for p in allowed if p.kind == "flash"]
    alone: dict[int, Promotion] = {}
    while True:
        for n, line in enumerate(lines):
            offered = [p for p in sales if p.value < line.price and p.covers(line.spu, line.category)]
            if offered:
                alone[n] = min(offered, key=lambda p: (p.value, p.id))
        over = [p for p in sales if p.limit < sum(lines[n].quantity for n in alone if alone[n] is p) and p.limit]
        if not over:
            break
        alone, sales = {}, [p for p in sales if p not in over]
    for n, sale in alone.items():
        take(sale, {n: lines[n].quantity * (lines[n].price - sale.value)}, lines[n].quantity)
    rest = [n for n in range(len(lines)) if n not in alone]

    def scope(p: Promotion) -> list[int]:
        return [n for n in rest if p.covers(lines[n].spu, lines[n].category)]

    def reached(some: Iterable[Promotion]) -> list[tuple[Promotion, list[int], int]]:
        """Those whose scope costs enough at this step, with that."""
        costs = [(p, where, sum(left[n] for n in where)) for p in some for where in [scope(p)]]
        return [(p, where, cost) for p, where, cost in costs if cost >= p.min_total]

    # The best of each line; all of them look at what lines cost before.
    of_lines = reached(p for p in allowed if p.kind in ("percent", "buy_n_pay_m"))
    for n in rest:
        if best := _best((_off_line(lines[n], p), p) for p, where, _ in of_lines if n in where):
            take(best[1], {n: best[0]}, 1)
    # One amount off the total, then the coupons one after the other.
    coupons = sorted((p for p in allowed if p.kind == "coupon"), key=lambda p: p.id)
    for step in ([p for p in allowed if p.kind == "amount_off"], *([coupon] for coupon in coupons)):
        if best := _best((min(p.value, cost), p) for p, _, cost in reached(step)):
            where = scope(best[1])
            take(best[1], dict(zip(where, _shares(best[0], [left[n] for n in where]), strict=True)), 1)
    return found


def claims_are_kept(life: Life) -> str | None:
    """What an order's account may have only so often is counted for the orders that it paid with it, as often as it is
    in their prices, and for none that was called off."""
    order = life.order
    claims = listed(life.claims.claims) if life.claims else []
    if not claims and (order is None or order.discounts is None):
        return None
    had = {promotion: units for _, promotion, units in claims}
    if order is None or any(account != order.account for account, *_ in claims):
        return f"{claims} are claimed for an order of {order.account if order else 'nobody'}"
    applied, _, _, claimed, _ = listed(order.discounts) if order.discounts else ((), (), (), (), None)
    limited = {promotion: units for promotion, _, _, _, units, limit in applied if limit}
    if order.phase in COUNTED:
        return "" if had == limited else f"{order.phase} with {limited}, and claimed are {had}"
    if order.phase in CALLED_OFF:
        return f"{order.phase}, and still claimed are {had}" if had else ""
    return "" if had.keys() <= set(claimed) else f"claimed are {had}, and the order says {claimed}"


def claims_within_limit(rows: Iterable[tuple[str, str, int, int | None]]) -> Iterator[Found]:
    """An account, a promotion, the units that it had of it, and the most that any revision allows: no account has more,
    and so a coupon once."""
    for account, promotion, units, limit in rows:
        if limit is None or units > limit:
            yield (account, promotion), f"{units} claimed, at most {limit} can be had"


def refused_was_used_up(rows: Iterable[tuple[str, str, bool, bool, bool]]) -> Iterator[Found]:
    """An order, a promotion that was refused to it, whether that is a flash sale (its pieces may have been gone) or has
    a limit, and whether another order of the account may have had it: nothing was refused without such a cause."""
    for order_id, promotion, is_flash, is_limited, may_be_had in rows:
        if not (is_flash or (is_limited and may_be_had)):
            yield (order_id, promotion), "refused, and nobody else had it" if is_limited else "refused without a limit"


def paid_first_served_first(life: Life) -> str | None:
    """An order at the price of a flash sale, with goods that are still to come, or that was cleared in a rush, takes
    its stock when it is paid."""
    order = life.order
    if order is None or order.hold_mode != "lock" or life.is_replacement:
        return None
    if order.presale:
        return f"locked, with {order.presale} still to come"
    if order.discounts and order.phase in COUNTED and "flash" in (row[2] for row in listed(order.discounts)[0]):
        return "locked, at the price of a flash sale"
    cleared_at = life.timeline.holding_at if life.timeline and life.catalogue.rushes else None
    if cleared_at and life.catalogue.in_rush(order.store, listed(order.spus), cleared_at):
        return f"locked at {cleared_at}, in a rush"
    return ""


# -- parts of the rules ------------------------------------------------------------------------------------------------


def _coupons(life: Life, names: Sequence[str], at: datetime) -> Iterator[Promotion]:
    assert life.order is not None
    for name in names:
        coupon = life.catalogue.coupon(name, life.order.store, at)
        if coupon and coupon.account in ("", life.order.account):
            yield coupon


def _named_badly(
    life: Life, named: Mapping[str, Off], coupons: Sequence[str], at: datetime, lines: Mapping[str, Line]
) -> str:
    """What is wrong with the promotions that an order names, taken one by one; empty when nothing is."""
    assert life.order is not None
    for id_, off in named.items():
        revision = life.catalogue.revision(id_, off.revision)
        if revision is None or len(off.lines) != len(lines):
            return f"priced with revision {off.revision} of {id_}: {'of other lines' if revision else 'there is none'}"
        if not revision.is_on(life.order.store, at) or revision.account not in ("", life.order.account):
            return f"priced at {at} with {id_}, which was not in force for it"
        if revision.kind == "coupon" and id_ not in coupons:
            return f"priced with coupon {id_}, which it does not name"
    return ""


def _concerning(
    promotions: Iterable[Promotion], lines: Sequence[Line], store: str, coupons: Sequence[str]
) -> Iterator[Promotion]:
    """Those that may have to do with an order."""
    for p in promotions:
        if p.kind == "coupon":
            is_ours = p.id in coupons
        else:
            is_ours = any(line.category is None or p.covers(line.spu, line.category) for line in lines)
        if is_ours and (not p.stores or store in p.stores):
            yield p


def _off_line(line: Line, p: Promotion) -> int:
    """What a promotion of lines takes off one."""
    if p.kind == "percent":
        return (2 * line.quantity * line.price * p.value + 100) // 200  # half up
    return line.quantity // p.n * (p.n - p.m) * line.price


def _best(offs: Iterable[tuple[int, Promotion]]) -> tuple[int, Promotion] | None:
    """The one that takes most off; of equals the first by its name; none that takes nothing."""
    return min((one for one in offs if one[0] > 0), key=lambda one: (-one[0], one[1].id), default=None)


def _shares(amount: int, costs: Sequence[int]) -> list[int]:
    """An amount over lines by what they cost, each within a unit of its part; the largest remainders get the rest."""
    total = sum(costs)
    shares, short = zip(*(divmod(amount * cost, total) for cost in costs), strict=True)
    most = sorted(range(len(costs)), key=lambda n: (-short[n], n))[: amount - sum(shares)]
    return [share + (n in most) for n, share in enumerate(shares)]
