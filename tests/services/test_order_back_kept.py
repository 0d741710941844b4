"""The order service on a real database: an order that goes back is the same after a restart, whatever it carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.order.api import routes
from services.order.decider import DECIDER
from services.order.state import Order, Owed, Phase
from services.order.store import OrderStore
from shared.contracts import aftersales, inventory, logistics
from shared.contracts.base import Slot
from shared.runtime.envelope import from_outside, read
from tests.deciders.orders import (
    ALL_SHORT,
    ASKED,
    BASKET,
    CALL,
    CANCEL,
    CLEARED,
    CLICK,
    CUSTOMER,
    DEDUCTED,
    DOOR,
    DROP,
    HELD,
    IN_SLOT,
    INTERCEPTED,
    NOBODY_CALLED,
    OAT,
    ON_THE_ROAD,
    ONE_SHORT,
    PACKED,
    PICKING,
    REFUND_REFUSED,
    RESERVED,
    REVERSED,
    SHOP,
    STOPPED,
    STRAY,
    SUBSTITUTE_SHORT,
    SUBSTITUTED,
    TAKEN,
    TOTAL,
    UNDELIVERABLE,
    VERIFIED,
    refunded,
)
from tests.deciders.test_order_back_road import SOME_BACK
from tests.parts import RealParts
from tests.services.inside import Inside, as_kept, inside

pytestmark = pytest.mark.parts

AREA = {"type": "Polygon", "coordinates": [[[13.3, 52.4], [13.5, 52.4], [13.5, 52.6], [13.3, 52.6], [13.3, 52.4]]]}
PAID = (BASKET, CLEARED, HELD, CLICK, VERIFIED, TAKEN, DEDUCTED)


@pytest.fixture
async def service(parts: RealParts) -> AsyncIterator[Inside]:
    """An order service with an empty database, the small shop's products and its store."""
    async with inside(DECIDER, OrderStore(), routes, parts.fresh_database) as found:
        items = [
            {"spu": key[1], "name": key[1], "price": product.price}
            for key, product in SHOP.items()
            if key[0] == "product"
        ]
        assert (await found.ask("PUT", "/products", {"items": items})).status_code == 200
        assert (await found.ask("PUT", "/stores/s-1", {"name": "one", "area": AREA})).status_code == 200
        yield found


async def kept(service: Inside) -> Order | None:
    """The order as a worker that starts now would find it."""
    async with service.pool.acquire() as connection:
        key = ("order", "o-1")
        order: Order | None = (await OrderStore().load_many(connection, [key], datetime.now(UTC)))[key]
        return order


async def hears(service: Inside, *messages: Any) -> Order:
    """Messages come, one after the other; after each, what is kept is what is in memory. Timers are messages too."""
    for message in messages:
        if message is NOBODY_CALLED:
            await service.time_passes(100_000)
        else:
            await service.hear(message, CUSTOMER if message is CANCEL else "order:")
        remembered = as_kept(service._shard._cache["order", "o-1"])
        assert await kept(service) == remembered, type(message).__name__
    order = await kept(service)
    assert order
    return order


async def page(service: Inside, **caller: Any) -> dict[str, Any]:
    """The order's page."""
    answer = await service.ask("GET", "/orders/o-1", **caller)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_everything_that_an_order_carries_survives(service: Inside) -> None:
    """Slot, door, lots, shortage with its deadline, substitution, tickets, refunds: unchanged by save and load."""
    slot = Slot(start=datetime.now(UTC) + timedelta(hours=2), end=datetime.now(UTC) + timedelta(hours=3))
    basket = IN_SLOT.model_copy(update={"slot": slot, "delivery": DOOR, "device": "d-1"})
    order = await hears(service, basket, RESERVED, CLEARED, HELD, CLICK, VERIFIED, TAKEN, DEDUCTED, PICKING)
    assert (order.lots, order.shortage, order.substitution) == ((), None, None)
    order = await hears(service, ONE_SHORT)
    assert order.shortage
    assert order.shortage.until
    order = await hears(service, OAT)
    assert order.substitution
    order = await hears(service, SUBSTITUTE_SHORT, OAT, SUBSTITUTED)
    assert [lot.instead_of for lot in order.lots] == ["", "", "milk"]
    again = logistics.PiecesShort(order_id="o-1", store="s-1", spus=("oat",), missing=(1,))
    order = await hears(service, again, NOBODY_CALLED, STRAY, PACKED, ON_THE_ROAD)
    assert (order.phase, order.given_back, order.tickets, order.refunds) == (Phase.IN_DELIVERY, 129, 2, 2)
    order = await hears(service, ASKED)
    assert order.ticket_id == ASKED.ticket_id
    order = await hears(service, INTERCEPTED, SOME_BACK)
    assert (order.phase, order.reason, order.given_back) == (Phase.REFUNDING, "intercepted", TOTAL)
    order = await hears(service, refunded(order.closing_refund, amount=TOTAL - 129), refunded(1, amount=129))
    assert (order.phase, order.refunded) == (Phase.CANCELLED, TOTAL)


async def test_refund_that_failed_is_tried_again_by_a_worker_that_knows_only_the_database(service: Inside) -> None:
    """What is owed, for which reason and under which ticket, survives; approved, it is asked for once, and booked."""
    approved = aftersales.RefundApproved(order_id="o-1", ticket_id="t-o-1-2")
    for message in (*PAID, PICKING, PACKED, ON_THE_ROAD, UNDELIVERABLE):
        await hears(service, message)
    await service.time_passes(100_000)
    await service.forget()
    order = await hears(service, REFUND_REFUSED)
    assert order.overdue
    assert order.owed == (Owed(1, "t-o-1-2", TOTAL, "cap-1", "goods_overdue", "courier"),)
    await service.forget()
    order = await hears(service, approved)
    assert order.owed == (Owed(2, "", TOTAL, "cap-1", "goods_overdue", "courier"),)
    await service.forget()
    order = await hears(service, refunded(2, "goods_overdue"))
    assert (order.phase, order.refunded, order.owed) == (Phase.CANCELLED, TOTAL, ())


async def test_restart_between_any_two_messages_changes_nothing(service: Inside) -> None:
    """A worker that knows only the database carries on as one that remembers."""
    for message in (*PAID, PICKING, ONE_SHORT, OAT, SUBSTITUTED, ALL_SHORT, CANCEL, STOPPED, REVERSED):
        await hears(service, message)
        await service.forget()
    order = await hears(service, refunded(1))
    assert (order.phase, order.given_back, order.reason) == (Phase.CANCELLED, TOTAL, "short")


async def test_short_before_a_restart_is_settled_after_it(service: Inside) -> None:
    """The deadline is in the database, and so is what it decides about."""
    await hears(service, *PAID, PICKING, ONE_SHORT)
    await service.forget()
    said = await service.time_passes(601)
    assert sorted(said) == ["AmendFulfilment", "DropShort", "RefundPayment", "SettleTicket"]
    await service.forget()
    assert await service.time_passes(1300) == []
    order = await hears(service, PACKED)
    assert (order.phase, order.given_back, order.shortage) == (Phase.AWAITING_SHIPMENT, 129, None)


async def test_goods_overdue_before_a_restart_are_written_off_after_it(service: Inside) -> None:
    """The return window outlives the worker."""
    await hears(service, *PAID, PICKING, PACKED, ON_THE_ROAD, UNDELIVERABLE)
    await service.forget()
    assert await service.time_passes(86_000) == []
    assert sorted(await service.time_passes(86_401)) == ["RaiseTicket", "RefundPayment", "TakeBack"]
    order = await hears(service, SOME_BACK, refunded(1))
    assert (order.phase, order.reason) == (Phase.CANCELLED, "not_reachable")


async def test_many_steps_in_one_commit_are_kept_as_the_last_says(service: Inside) -> None:
    """An order may be placed, paid, short and amended within one batch: one row each, the latest."""
    deliveries = []
    for n, message in enumerate((*PAID, PICKING, ONE_SHORT, DROP, PACKED)):
        headers = from_outside(
            id=f"batch-{n}",
            type=message.TYPE,
            source="test",
            subject="o-1",
            actor="order:",
            at=datetime.now(UTC),
        )
        deliveries.append(read(message.TOPIC, 0, n, b"o-1", message.to_json(), headers))
    await service._decide(deliveries)
    assert not service.commits[-1].parked
    order = await kept(service)
    assert order == as_kept(service._shard._cache["order", "o-1"])
    assert order
    assert (order.phase, order.given_back, len(order.lots)) == (Phase.AWAITING_SHIPMENT, 129, 2)


async def test_page_tells_the_whole_story(service: Inside) -> None:
    """What is short, what came instead at which price, documents, tickets, refunds, and what may be done now."""
    await hears(service, *PAID, PICKING, ONE_SHORT)
    await hears(service, aftersales.TicketOpened(order_id="o-1", ticket_id=CALL, kind="shortage"))
    shown = await page(service, role="customer", account="a-1")
    assert shown["short"] == [{"spu": "milk", "missing": 1}]
    assert [(t["ticket_id"], t["kind"], t["phase"]) for t in shown["tickets"]] == [(CALL, "shortage", "open")]
    assert shown["allowed"] == ["cancel"]
    await hears(service, OAT, SUBSTITUTED)
    ended = aftersales.TicketEnded(
        order_id="o-1", ticket_id=CALL, kind="shortage", phase="resolved", note="substituted"
    )
    await hears(service, ended)
    shown = await page(service, role="customer_service")
    assert shown["substitutes"] == [{"spu": "oat", "quantity": 1, "instead_of": "milk", "price": 140, "paid": 129}]
    assert [(t["phase"], t["note"]) for t in shown["tickets"]] == [("resolved", "substituted")]
    assert [d["kind"] for d in shown["documents"]] == ["sales_issue", "issue_reversal", "adjustment", "sales_issue"]
    await hears(service, PACKED, ON_THE_ROAD)
    assert (await page(service, role="customer", account="a-1"))["allowed"] == []
    assert (await page(service, role="customer_service"))["allowed"] == ["intercept"]
    await hears(service, UNDELIVERABLE, SOME_BACK)
    document = inventory.Paper(number="RR-o-1", kind="return_receipt", spus=("milk",), quantities=(1,))
    await hears(service, inventory.GoodsTakenBack(order_id="o-1", documents=(document,)), refunded(1, "not_reachable"))
    shown = await page(service, role="customer", account="a-1")
    assert (shown["phase"], shown["reason"], shown["paid"], shown["refunded"]) == (
        "cancelled",
        "not_reachable",
        TOTAL,
        TOTAL,
    )
    assert [(r["amount"], r["reason"]) for r in shown["refunds"]] == [(TOTAL, "not_reachable")]
    assert shown["allowed"] == []
    assert [entry["phase"] for entry in shown["timeline"]][-4:] == ["returning", "refunding", "refunding", "cancelled"]


async def test_cancel_over_http_is_answered_by_the_policy(service: Inside) -> None:
    """202 with where the order went, or 409 with the policy's code."""
    await hears(service, *PAID, PICKING, PACKED)
    answer = await service.ask("POST", "/orders/o-1/cancel", {"reason": "late"}, role="customer", account="a-1")
    assert (answer.status_code, answer.json()["phase"]) == (202, "stopping")
    await hears(service, ON_THE_ROAD)
    answer = await service.ask("POST", "/orders/o-1/cancel", {}, role="customer", account="a-1")
    assert (answer.status_code, answer.json()["code"]) == (409, "cancel_needs_ticket")
    await hears(service, UNDELIVERABLE)
    answer = await service.ask("POST", "/orders/o-1/cancel", {}, role="customer_service")
    assert (answer.status_code, answer.json()["code"]) == (409, "cancel_not_allowed")


async def test_intercept_of_an_unknown_order_leaves_nothing_behind(service: Inside) -> None:
    """The ticket is told; no row, no timeline, and the order that comes by this name later is a new one."""
    opened = aftersales.TicketOpened(order_id="o-1", ticket_id=ASKED.ticket_id, kind="intercept")
    assert await service.hear(opened) == []
    assert await service.hear(ASKED) == ["SettleTicket"]
    assert not any(commit.parked for commit in service.commits)
    assert await kept(service) is None
    assert await service.pool.fetchval("select count(*) from timeline") == 0
    order = await hears(service, BASKET)
    assert order.phase is Phase.SCREENING


async def test_refused_refund_is_kept(service: Inside) -> None:
    """The order has ended, nothing is booked as refunded, and the ticket has its number."""
    await hears(service, *PAID, CANCEL, STOPPED, REVERSED)
    order = await hears(service, REFUND_REFUSED)
    assert (order.phase, order.refunded, order.given_back, order.tickets) == (Phase.CANCELLED, 0, TOTAL, 1)
    dropped = inventory.ShortDropped(order_id="o-1", documents=())
    assert (await hears(service, dropped)).phase is Phase.CANCELLED
