"""Bugs planted where prices are made and counted: the rule that is there for each finds it within a few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from larder.simulation.simulate import Outcome, simulate
from services.order import back, claims, forward, goods, pricing, reading
from services.order import decider as order
from services.order.promotions import Promotion, Rush
from services.order.state import ClaimKept, Phase, StoreFact, TotalHolds, TotalToClaim
from shared.contracts.inventory import StockVerified
from shared.contracts.logistics import FulfilmentDelivered
from shared.runtime.table import To, to
from tests.simulation.test_planted_bugs import SEEDS_MAX

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTS: list[Any] = []


def found_by(rule: str) -> Callable[[Plant], Plant]:
    """Registers a bug, with the rule that must name it."""

    def register(plant: Plant) -> Plant:
        PLANTS.append(pytest.param(plant, rule, id=plant.__name__))
        return plant

    return register


# -- what an account may have only so often ----------------------------------------------------------------------------


@found_by("limits_are_kept")
def claims_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets it."""
    patch.setattr(claims, "_had", lambda look, m, one: 0)


@found_by("limits_are_kept")
def claims_counted_by_the_order(patch: pytest.MonkeyPatch) -> None:
    """What the order's shard read at placing is believed on the click, and written down from there."""

    def count(state: Any, message: Any, context: Any) -> Any:
        changes, said = forward.take_payment(state, message, context)
        asked, (basket, _) = claims.claim(state, message, context)
        kept = [ClaimKept(state.account, one.promotion, state.order_id, one.units) for one in claims.claims_of(state)]
        return {**changes, **asked}, (basket, *said, *kept)

    patch.setitem(order.SALES_ORDER.rows[Phase.VERIFYING], TotalToClaim, to(Phase.PAYING, count))


@found_by("claims_are_orders")
def claims_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Nobody counts what goes."""
    patch.setattr(reading, "must_claim", lambda order: False)


@found_by("claims_are_orders")
def coupon_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """A cancelled order keeps its coupons."""
    patch.setattr(back, "give_promotions_back", lambda order: ())


@found_by("claims_are_orders")
def coupon_given_back_although_delivered(patch: pytest.MonkeyPatch) -> None:
    """A delivered order gives its coupons back: they can be used again."""
    cells = order.SALES_ORDER.rows[Phase.IN_DELIVERY]
    delivered: Any = cells[FulfilmentDelivered]

    def act(state: Any, message: Any, context: Any) -> Any:
        changes, said = delivered.action(state, message, context)
        return changes, (*said, *claims.give_promotions_back(state))

    patch.setitem(cells, FulfilmentDelivered, To(delivered.phase, act))


@found_by("claims_are_orders")
def dropped_claims_kept(patch: pytest.MonkeyPatch) -> None:
    """What comes into the price no more is not given back."""
    claim = claims.claim

    def forgetful(*about: Any) -> Any:
        changes, (basket, command) = claim(*about)
        return changes, (basket, command.model_copy(update={"dropped": ()}))

    patch.setitem(order.SALES_ORDER.rows[Phase.VERIFYING], TotalToClaim, to(Phase.VERIFYING, forgetful))


@found_by("denied_is_denied")
def denied_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What the account may not have comes into the price again and again: the total never rests."""
    at_prices_of_now = reading._at_prices_of_now
    patch.setattr(reading, "_at_prices_of_now", lambda *about: at_prices_of_now(*about)._replace(denied=()))


@found_by("coupons_are_named")
def coupons_of_others_taken(patch: pytest.MonkeyPatch) -> None:
    """A coupon is anybody's."""
    wrong_coupon = reading._wrong_coupon

    def lenient(m: Any, coupons: Any, *about: Any) -> Any:
        return wrong_coupon(m, [coupon and replace(coupon, account="") for coupon in coupons], *about)

    patch.setattr(reading, "_wrong_coupon", lenient)


# -- prices ------------------------------------------------------------------------------------------------------------


@found_by("priced_by_promotions")
def price_not_verified(patch: pytest.MonkeyPatch) -> None:
    """On the click nobody looks what it costs now."""

    def believe(state: Any, m: Any, look: Any, c: Any) -> Any:
        return TotalToClaim() if claims.must_claim(state) else TotalHolds()

    patch.setitem(reading._READERS, StockVerified, believe)


@found_by("priced_by_promotions")
def spread_loses_a_cent(patch: pytest.MonkeyPatch) -> None:
    """Remainders are nobody's."""

    def rounded_down(amount: int, weights: Any) -> tuple[int, ...]:
        whole = sum(weights)
        return tuple(amount * weight // whole for weight in weights) if whole else (0,) * len(weights)

    patch.setattr(pricing, "spread", rounded_down)


@found_by("refunds_fit_lines")
def refunded_at_ordinary_price(patch: pytest.MonkeyPatch) -> None:
    """What is dropped is worth what it would have cost without promotions."""
    lots_of = goods.lots_of

    def ordinary(order: Any) -> Any:
        return lots_of(replace(order, discounts=order.discounts._replace(applied=())))

    for room in (goods, back, forward, reading):
        patch.setattr(room, "lots_of", ordinary)


# -- who is served first -----------------------------------------------------------------------------------------------


@found_by("rushes_are_first_paid")
def rush_ignored(patch: pytest.MonkeyPatch) -> None:
    """Goods are locked in a rush, too."""
    patch.setattr(Rush, "covers", lambda *about: False)


@found_by("pauses_are_kept")
def pause_ignored(patch: pytest.MonkeyPatch) -> None:
    """A paused store goes on taking orders."""
    patch.setattr("larder.simulation.shop.StoreFact", lambda accepting, paused_until: StoreFact(accepting))


class _Found(Exception):
    """The rule has spoken."""


@pytest.mark.parametrize(("plant", "rule"), PLANTS)
def test_planted_bug_is_found_by_its_rule(plant: Plant, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this bug in it, larder breaks this rule within a bounded number of seeds."""

    def look(outcome: Outcome) -> None:
        if rule in {violation.rule for violation in outcome.violations}:
            raise _Found(outcome.seed)

    plant(monkeypatch)
    with pytest.raises(_Found) as found:
        simulate(range(1, SEEDS_MAX + 1), look)
    print(f"{plant.__name__} is found by {rule} at seed {found.value}")
