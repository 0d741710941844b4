"""What an account may have only so often: claimed by an order on the click, given back when it ends before delivery.

All claims of an account are counted by one writer, the shard of the account; its orders may be anywhere. The answer
goes back to the order in a message of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.order.state import ClaimKept, Claims, Order, basket_of
from shared.contracts import order as ordering
from shared.runtime.decider import Context, Look
from shared.runtime.table import Change, Key, Moved

NONE_HAD = Claims({})


def needs_of_account(m: ordering.AccountCommand) -> Iterable[Key]:
    """The counts of the promotions that the message names."""
    return [_key(m, promotion) for promotion in _named(m)]


def decide_for_account(m: ordering.ClaimPromotions | ordering.ReturnPromotions, look: Look, c: Context) -> Moved:
    """All of them or none; asked again it is the same answer."""
    if type(m) is ordering.ReturnPromotions:
        return _moved(m, dict.fromkeys(m.promotions, 0), look)
    assert type(m) is ordering.ClaimPromotions, "there are two"
    denied = tuple(one.promotion for one in m.claims if _had(look, m, one) + one.units > one.limit)
    granted = {} if denied else {one.promotion: one.units for one in m.claims}
    return _moved(
        m, {**dict.fromkeys(m.dropped, 0), **granted}, look, ordering.SettleClaim(order_id=m.order_id, denied=denied)
    )


def _had(look: Look, m: ordering.AccountCommand, one: ordering.Claim) -> int:
    return (look(_key(m, one.promotion)) or NONE_HAD).had(but_by=m.order_id)


def _moved(m: ordering.AccountCommand, units: dict[str, int], look: Look, *answer: object) -> Moved:
    states: list[tuple[Key, Claims]] = []
    kept: list[object] = []
    for promotion, now in units.items():
        key = _key(m, promotion)
        before: Claims = look(key) or NONE_HAD
        if before.units.get(m.order_id, 0) == now:
            continue
        after = {order_id: had for order_id, had in before.units.items() if order_id != m.order_id}
        states.append((key, Claims({**after, m.order_id: now} if now else after)))
        kept.append(ClaimKept(m.account, promotion, m.order_id, now))
    return Moved(tuple(states), (*kept, *answer))


def _key(m: ordering.AccountCommand, promotion: str) -> Key:
    return ("claims", m.account, promotion)


def _named(m: ordering.AccountCommand) -> Iterable[str]:
    if type(m) is ordering.ReturnPromotions:
        return m.promotions
    assert type(m) is ordering.ClaimPromotions, "there are two"
    return (*(one.promotion for one in m.claims), *m.dropped)


# -- what the order says -----------------------------------------------------------------------------------------------


def claims_of(order: Order) -> tuple[ordering.Claim, ...]:
    """What the order's price has in it that its account may have only so often."""
    applied = order.discounts.applied
    return tuple(ordering.Claim(promotion=a.promotion, units=a.units, limit=a.limit) for a in applied if a.limit)


def must_claim(order: Order) -> bool:
    """Has the account to be asked, or to be told that something is given back?"""
    return bool(order.discounts.claimed) or any(one.limit for one in order.discounts.applied)


def claim(order: Order, m: object, c: Context) -> Change:
    """The click: the account counts what it may have only so often, before money moves."""
    claims = claims_of(order)
    names = tuple(one.promotion for one in claims)
    dropped = tuple(name for name in order.discounts.claimed if name not in names)
    discounts = order.discounts._replace(claimed=names)
    command = ordering.ClaimPromotions(order_id=order.order_id, account=order.account, claims=claims, dropped=dropped)
    return {"discounts": discounts}, (basket_of(order, discounts=discounts), command)


def give_promotions_back(order: Order) -> tuple[object, ...]:
    """The order ends before its goods were delivered: its coupons can be used again."""
    claimed = order.discounts.claimed
    if not claimed:
        return ()
    return (ordering.ReturnPromotions(order_id=order.order_id, account=order.account, promotions=claimed),)
