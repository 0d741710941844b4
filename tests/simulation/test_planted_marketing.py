"""Bugs planted where prices are made and counted: the rule that is there for each finds it within a few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from larder.simulation.simulate import Outcome, simulate
from services.inventory import decider as inventory_decider
from services.inventory import inner as inventory_inner
from services.inventory import issues, sources
from services.inventory.state import AllotmentPhase
from services.order import back, claims, forward, goods, pricing, reading, sales
from services.order import decider as order_decider
from services.order import inner as order_inner
from services.order.promotions import Rush
from services.order.state import ClaimKept, Phase, StoreFact
from shared.contracts import inventory, logistics
from shared.runtime.table import IGNORED, To, to
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


@found_by("claims_within_limit")
def claims_not_counted(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets it."""
    patch.setattr(claims, "_had", lambda look, m, one: 0)


@found_by("counted_in_turn")
def claims_counted_by_the_order(patch: pytest.MonkeyPatch) -> None:
    """What the order's shard read at placing is believed on the click, and written down from there."""

    def count(state: Any, message: Any, context: Any) -> Any:
        changes, said = forward.take_payment(state, message, context)
        asked, (basket, _) = claims.claim(state, message, context)
        kept = [ClaimKept(state.account, one.promotion, state.order_id, one.units) for one in claims.claims_of(state)]
        return {**changes, **asked}, (basket, *said, *kept)

    patch.setitem(order_decider.SALES_ORDER.rows[Phase.VERIFYING], order_inner.TotalToClaim, to(Phase.PAYING, count))


@found_by("claims_are_kept")
def claims_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Nobody counts what goes."""
    patch.setattr(reading, "must_claim", lambda order: False)


@found_by("claims_are_kept")
def coupon_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """A cancelled order keeps its coupons."""
    patch.setattr(back, "give_promotions_back", lambda order: ())


@found_by("claims_are_kept")
def coupon_given_back_although_delivered(patch: pytest.MonkeyPatch) -> None:
    """A delivered order gives its coupons back: they can be used again."""
    cells = order_decider.SALES_ORDER.rows[Phase.IN_DELIVERY]
    delivered: Any = cells[logistics.FulfilmentDelivered]

    def act(state: Any, message: Any, context: Any) -> Any:
        changes, said = delivered.action(state, message, context)
        return changes, (*said, *claims.give_promotions_back(state))

    patch.setitem(cells, logistics.FulfilmentDelivered, To(delivered.phase, act))


@found_by("claims_are_kept")
def dropped_claims_kept(patch: pytest.MonkeyPatch) -> None:
    """What comes into the price no more is not given back."""
    claim: Any = claims.claim

    def forgetful(*about: Any) -> Any:
        changes, (basket, command) = claim(*about)
        return changes, (basket, command.model_copy(update={"dropped": ()}))

    patch.setitem(
        order_decider.SALES_ORDER.rows[Phase.VERIFYING], order_inner.TotalToClaim, to(Phase.VERIFYING, forgetful)
    )


@found_by("denied_is_denied")
def denied_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What the account may not have comes into the price again and again: the total never rests."""
    at_prices_of_now = reading._at_prices_of_now
    patch.setattr(reading, "_at_prices_of_now", lambda *about: at_prices_of_now(*about)._replace(denied=()))


@found_by("price_is_promotions")
def coupons_of_others_taken(patch: pytest.MonkeyPatch) -> None:
    """A coupon is anybody's."""
    wrong_coupon = reading._wrong_coupon

    def lenient(m: Any, coupons: Any, *about: Any) -> Any:
        return wrong_coupon(m, [coupon and replace(coupon, account="") for coupon in coupons], *about)

    patch.setattr(reading, "_wrong_coupon", lenient)


# -- prices ------------------------------------------------------------------------------------------------------------


@found_by("verified_on_the_click")
def price_not_verified(patch: pytest.MonkeyPatch) -> None:
    """On the click nobody looks what it costs now."""

    def believe(state: Any, m: Any, look: Any, c: Any) -> Any:
        return order_inner.TotalToClaim() if claims.must_claim(state) else order_inner.TotalHolds()

    patch.setitem(reading._READERS, inventory.StockVerified, believe)


@found_by("price_is_promotions")
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


# -- flash sales -------------------------------------------------------------------------------------------------------


@found_by("sold_as_allotted")
def sold_from_the_shelf_when_sold_out(patch: pytest.MonkeyPatch) -> None:
    """Who paid the sale's price gets pieces, wherever they are."""
    sold_from = sources._sold_from

    def generous(spu: str, promotion: str, shelf: Any, allotments: Any) -> tuple[str, int]:
        cell, there = sold_from(spu, promotion, shelf, allotments)
        return (cell, there) if there else (spu, shelf[spu].available)

    patch.setattr(sources, "_sold_from", generous)
    patch.setattr(sources, "_left_of", lambda spu, promotion, shelf, allotments: shelf[spu].available)


@found_by("nothing_of_ours_parked")
def deducted_without_a_look(patch: pytest.MonkeyPatch) -> None:
    """At deducting nobody looks whether the sale has pieces left."""
    sold_from = sources._sold_from
    patch.setattr(sources, "_sold_from", lambda *about: (sold_from(*about)[0], 1_000_000))


@found_by("reversed_to_the_sale")
def reversed_to_the_shelf(patch: pytest.MonkeyPatch) -> None:
    """What goes back while the sale is on is nobody's chance."""
    gone_back = sources.gone_back

    def elsewhere(about: Any, pieces: Any, short: Any, shelf: Any, allotments: Any) -> Any:
        over = {name: replace(one, phase=AllotmentPhase.OVER) for name, one in allotments.items()}
        return gone_back(about, pieces, short, shelf, over)._replace(told=())

    patch.setattr(issues, "gone_back", elsewhere)


@found_by("gone_is_gone")
def last_piece_kept(patch: pytest.MonkeyPatch) -> None:
    """The last piece of a sale is never sold."""
    left_of = sources._left_of
    patch.setattr(sources, "_left_of", lambda *about: left_of(*about) - 1)


@found_by("owed_to_somebody")
def left_over_stays(patch: pytest.MonkeyPatch) -> None:
    """What is left at the end of a sale stays where it is."""
    patch.setitem(
        inventory_decider.ALLOTMENT.rows[AllotmentPhase.OPEN], inventory_inner.SaleRunsOut, to(AllotmentPhase.OVER)
    )


@found_by("owed_to_somebody")
def end_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """The stores do not hear that a sale is on, nor until when."""
    patch.setattr(sales, "tell_sale", lambda *about: IGNORED)


@found_by("pieces_come_from_where")
def sold_at_sale_price_from_the_shelf(patch: pytest.MonkeyPatch) -> None:
    """Pieces that are set aside are not those that are sold."""
    patch.setattr(sources, "_sold_from", lambda spu, promotion, shelf, allotments: (spu, shelf[spu].available))


# -- goods that are still to come --------------------------------------------------------------------------------------


@found_by("promised_once")
def promised_to_everybody(patch: pytest.MonkeyPatch) -> None:
    """What is sold of what is to come is still to be had."""
    without_zeros = sources._without_zeros

    def generous(pieces: Any) -> dict[str, int]:
        return {name: n for name, n in without_zeros(pieces).items() if not name.endswith("|+incoming")}

    patch.setattr(sources, "_without_zeros", generous)


@found_by("nothing_of_ours_parked")
def taken_from_an_empty_shelf(patch: pytest.MonkeyPatch) -> None:
    """Goods that are to come are taken off the shelf like others."""
    taking = sources._taking

    def careless(hold: Any, about: Any, shelf: Any, allotments: Any) -> Any:
        lines = dict(zip(hold.spus, hold.quantities, strict=True))
        if not about.presale:
            return taking(hold, about, shelf, allotments)
        return inventory_inner.SourcedGoodsThere({spu: -quantity for spu, quantity in lines.items()}, {})

    patch.setattr(sources, "_taking", careless)


@found_by("owed_to_somebody")
def owed_to_cancelled_orders(patch: pytest.MonkeyPatch) -> None:
    """Whoever is not to get goods that are to come any more is still owed them."""
    gone_back = sources.gone_back

    def forgetful(about: Any, *more: Any) -> Any:
        return gone_back(about._replace(taken={} if about.presale else about.taken), *more)

    patch.setattr(issues, "gone_back", forgetful)


@found_by("goods_to_come_wait")
def slot_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """Goods that are to come can be had at once."""
    patch.setattr(reading, "_too_early", lambda presale, slot: "")


class _Found(Exception):
    """The rule has spoken."""


@pytest.mark.parametrize(("plant", "rule"), PLANTS)
def test_planted_bug_is_found_by_its_rule(plant: Plant, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this bug in it, larder breaks this rule within a bounded number of seeds."""

    def look(outcome: Outcome) -> None:
        if rule in {violation.rule for violation in outcome.violations}:
            raise _Found(outcome.seed)

    plant(monkeypatch)
    with pytest.raises(_Found):
        simulate(range(1, SEEDS_MAX + 1), look)
