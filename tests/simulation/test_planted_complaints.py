"""Bugs planted in what comes after the delivery: the simulation finds each within a few evenings of complaints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from larder.simulation import complaints, customers, staff
from services.aftersales import decider as aftersales_decider
from services.aftersales import inner as aftersales_inner
from services.aftersales import reading, tickets
from services.aftersales.state import TicketPhase
from services.inventory import decider as inventory_decider
from services.inventory.state import Phase as HoldPhase
from services.logistics import inner as logistics_inner
from services.logistics import returns
from services.logistics.state import ReturnPhase
from services.order import goods_back, replacing, short
from services.order import inner as order_inner
from services.order.decider import SALES_ORDER
from services.order.state import Phase
from shared.contracts import aftersales, base, inventory, logistics, payment
from shared.runtime.table import IGNORE, Table, To, to
from tests.simulation.test_planted_bugs import SEEDS_MAX, first_failure

Plant = Callable[[pytest.MonkeyPatch], None]


def _without(patch: pytest.MonkeyPatch, table: Table, phase: Any, message: type, *forgotten: type) -> None:
    """A cell that says less."""
    cell = table.rows[phase][message]
    assert isinstance(cell, To)
    action = cell.action
    assert action is not None

    def forgetful(state: Any, m: Any, c: Any) -> Any:
        changes, said = action(state, m, c)
        return changes, [item for item in said if not isinstance(item, forgotten)]

    patch.setitem(table.rows[phase], message, to(cell.phase, forgetful))


def pieces_claimed_twice(patch: pytest.MonkeyPatch) -> None:
    """What a ticket claims stays free for the next one."""
    patch.setattr(aftersales_decider, "exchanged", lambda goods, back, away: goods)


def rejected_ticket_keeps_its_pieces(patch: pytest.MonkeyPatch) -> None:
    """Nobody may complain about them ever again."""
    ended = tickets._ended

    def grasping(state: Any, *arguments: Any, **more: Any) -> Any:
        changes, said = ended(state, *arguments, **more)
        return {**changes, "claims": state.claims}, said

    patch.setattr(tickets, "_ended", grasping)


def announced_pieces_refunded(patch: pytest.MonkeyPatch) -> None:
    """Money for what was to come back, and not for what came."""
    cells = aftersales_decider.TICKET.rows[TicketPhase.RETURNING]
    cell: Any = cells[aftersales_inner.GoodsCame]
    generous = to(cell.phase, lambda state, m, c: cell.action(state, replace(m, came=state.claims), c))
    patch.setitem(cells, aftersales_inner.GoodsCame, generous)


def refund_of_goods_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The ticket says that it was refunded, and nobody moves money."""
    _without(patch, SALES_ORDER, Phase.DELIVERED, aftersales.GoodsRefunded, payment.RefundPayment)


def refund_of_goods_sent_twice(patch: pytest.MonkeyPatch) -> None:
    """Two refunds for one decision."""
    refund = goods_back.refund

    def twice(order: Any, m: Any, c: Any) -> Any:
        changes, said = refund(order, m, c)
        command, *rest = list[Any](said)
        again = command.model_copy(update={"refund": command.refund + 1})
        return {**changes, "refunds": again.refund}, (command, again, *rest)

    patch.setitem(SALES_ORDER.rows[Phase.DELIVERED], aftersales.GoodsRefunded, to(Phase.DELIVERED, twice))


def kept_goods_not_reported(patch: pytest.MonkeyPatch) -> None:
    """Spoilt goods that stay with the customer are in no document."""
    _without(patch, aftersales_decider.TICKET, TicketPhase.OPEN, aftersales_inner.RefundWanted, aftersales.GoodsKept)


def returned_goods_not_taken_back(patch: pytest.MonkeyPatch) -> None:
    """They stand in a corner of the store."""
    _without(patch, SALES_ORDER, Phase.DELIVERED, order_inner.ReturnCame, inventory.TakeReturn)


def return_not_confirmed(patch: pytest.MonkeyPatch) -> None:
    """The ticket waits for ever."""
    _without(patch, SALES_ORDER, Phase.DELIVERED, order_inner.ReturnCame, aftersales.ConfirmReturn)


def lost_goods_not_written_off(patch: pytest.MonkeyPatch) -> None:
    """A courier lost them, and nobody is told."""
    _without(patch, SALES_ORDER, Phase.DELIVERED, order_inner.ReturnLost, inventory.TakeReturn)


def missing_old_goods_not_written_off(patch: pytest.MonkeyPatch) -> None:
    """Of an exchange, what the customer did not give back."""
    action = goods_back.take_exchanged

    def careless(order: Any, m: Any, c: Any) -> Any:
        return action(order, replace(m, missing={}), c)

    patch.setitem(SALES_ORDER.rows[Phase.DELIVERED], order_inner.OldGoodsCame, to(Phase.DELIVERED, careless))


def old_goods_not_awaited(patch: pytest.MonkeyPatch) -> None:
    """The exchange is over when the new goods are there."""
    read = reading.read

    def hasty(m: Any, ticket: Any, *others: Any) -> Any:
        if isinstance(m, aftersales.ConfirmReplacement):
            return (
                aftersales_inner.OldGoodsSettled("exchanged") if ticket.kind == "exchange" else read(m, ticket, *others)
            )
        return read(m, ticket, *others)

    patch.setattr(aftersales_decider, "read", hasty)
    cells = aftersales_decider.TICKET.rows[TicketPhase.REPLACING]
    patch.setitem(cells, aftersales_inner.OldGoodsSettled, to(TicketPhase.RESOLVED, tickets.end_exchanged))
    patch.setitem(aftersales_decider.TICKET.rows[TicketPhase.RESOLVED], aftersales_inner.OldGoodsSettled, IGNORE)


def old_goods_not_taken_along(patch: pytest.MonkeyPatch) -> None:
    """The courier forgets to ask for them."""
    patch.setitem(
        returns.RETURN.rows[ReturnPhase.ANNOUNCED], logistics_inner.CollectedAtDelivery, to(ReturnPhase.ANNOUNCED)
    )


def inspected_without_missing(patch: pytest.MonkeyPatch) -> None:
    """The store tells of what came only."""
    cells = returns.RETURN.rows[ReturnPhase.RETURNED]
    cell: Any = cells[logistics_inner.GoodsSorted]
    patch.setitem(
        cells,
        logistics_inner.GoodsSorted,
        to(cell.phase, lambda state, m, c: cell.action(state, m._replace(missing={}), c)),
    )


def failed_replacement_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """There is no stock of the new goods, and the ticket waits for them."""
    _without(patch, replacing.REPLACEMENT_ORDER, Phase.HOLDING, inventory.StockShort, aftersales.ReopenTicket)


def undelivered_replacement_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """Nobody was at home, and nobody chooses again."""
    _without(patch, replacing.REPLACEMENT_ORDER, Phase.RETURNING, logistics.GoodsInspected, aftersales.ReopenTicket)


def delivered_replacement_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """The ticket stays open."""
    _without(
        patch,
        replacing.REPLACEMENT_ORDER,
        Phase.IN_DELIVERY,
        logistics.FulfilmentDelivered,
        aftersales.ConfirmReplacement,
    )


def dropped_replacement_not_refunded(patch: pytest.MonkeyPatch) -> None:
    """The shelf had fewer of the new goods, and the customer gets neither those nor money."""
    go_without = short._go_without
    patch.setattr(
        short, "_go_without", lambda order, *rest: ({}, ()) if order.replacement else go_without(order, *rest)
    )


def dropped_replacement_refunded_again(patch: pytest.MonkeyPatch) -> None:
    """The ticket forgets which pieces it has paid for."""
    cells = aftersales_decider.TICKET.rows[TicketPhase.REPLACING]
    action = tickets.refund_dropped

    def forgetful(state: Any, m: Any, c: Any) -> Any:
        changes, said = action(state, m, c)
        return {"refunded": changes["refunded"]}, said

    patch.setitem(cells, aftersales_inner.NotReplaced, to(TicketPhase.REPLACING, forgetful))


def dropped_replacement_at_another_price(patch: pytest.MonkeyPatch) -> None:
    """Money for the dearest pieces of an SPU, whichever were dropped."""
    read = reading.read

    def careless(m: Any, ticket: Any, *others: Any) -> Any:
        found = read(m, ticket, *others)
        if isinstance(m, aftersales.DropReplacement):
            return replace(found, dropped=tuple(good._replace(price=good.price + 1) for good in found.dropped))
        return found

    patch.setattr(aftersales_decider, "read", careless)


def replacement_that_costs(patch: pytest.MonkeyPatch) -> None:
    """What goes out for other goods has a total."""
    cells = replacing.REPLACEMENT_ORDER.rows[Phase.NEW]

    def dear(order: Any, m: Any, c: Any) -> Any:
        changes, said = replacing.hold(order, m, c)
        return {**changes, "total": 100}, said

    patch.setitem(cells, order_inner.ReplacementFits, to(Phase.HOLDING, dear))


def replacement_beside_its_ticket(patch: pytest.MonkeyPatch) -> None:
    """Every replacement order of a sales order has the same number."""
    read_goods = reading._read_goods

    def same(m: Any, ticket: Any, window: Any, master: Any) -> Any:
        return read_goods(m, ticket, window, replace(master, replacements=0))

    patch.setattr(reading, "_read_goods", same)


def closed_before_its_replacements(patch: pytest.MonkeyPatch) -> None:
    """A sales order does not wait for the windows of its replacement orders."""
    patch.setattr(aftersales_decider, "_COUNTS", frozenset())


def returned_goods_end_the_hold(patch: pytest.MonkeyPatch) -> None:
    """A return of one piece takes the whole order back."""
    cells = inventory_decider.HOLD.rows[HoldPhase.DEDUCTED]
    cell: Any = cells[inventory.TakeReturn]
    patch.setitem(cells, inventory.TakeReturn, to(HoldPhase.TAKEN_BACK, cell.action))


def replacements_in_shards_of_their_own(patch: pytest.MonkeyPatch) -> None:
    """A replacement order is where its own id belongs, away from its sales order."""
    patch.setattr(base, "sales_order_of", lambda order_id: order_id)


def approved_kind_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A quality complaint that becomes a return stays one."""
    wanted = tickets._wanted
    patch.setattr(tickets, "_wanted", lambda state, m: {**wanted(state, m), "kind": state.kind, "claims": state.claims})


PLANTS: list[Plant] = [
    pieces_claimed_twice,
    rejected_ticket_keeps_its_pieces,
    announced_pieces_refunded,
    refund_of_goods_forgotten,
    refund_of_goods_sent_twice,
    kept_goods_not_reported,
    returned_goods_not_taken_back,
    return_not_confirmed,
    lost_goods_not_written_off,
    missing_old_goods_not_written_off,
    old_goods_not_awaited,
    old_goods_not_taken_along,
    inspected_without_missing,
    failed_replacement_told_to_nobody,
    undelivered_replacement_told_to_nobody,
    delivered_replacement_told_to_nobody,
    dropped_replacement_not_refunded,
    dropped_replacement_refunded_again,
    dropped_replacement_at_another_price,
    replacement_that_costs,
    replacement_beside_its_ticket,
    closed_before_its_replacements,
    returned_goods_end_the_hold,
    replacements_in_shards_of_their_own,
    approved_kind_forgotten,
]


@pytest.fixture(autouse=True)
def evenings_of_complaints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly everybody complains, of more orders than usual, and few rules keep anybody from it."""
    monkeypatch.setattr(complaints, "EVENINGS", (0.9,))
    monkeypatch.setattr(customers, "ORDERS", (14, 20))
    monkeypatch.setattr(staff, "STRICT", 0.0)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this bug in it, larder fails the audit within a bounded number of evenings."""
    plant(monkeypatch)
    assert first_failure(range(1, 2 * SEEDS_MAX + 1)) is not None, f"{plant.__name__}: {plant.__doc__}"


def test_evenings_of_complaints_are_clean() -> None:
    """Without a bug there is nothing to find in them."""
    assert first_failure(range(1, 2 * SEEDS_MAX + 1)) is None
