"""What moves is not wrong: it is waited for, looked at again, and listed apart."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from larder.audit import run
from larder.audit.books import Books
from larder.audit.gather import lives
from larder.audit.look import Look
from larder.audit.quiet import look
from tests.audit.controls import NOON, ORDERS, Tale, World

pytestmark = pytest.mark.parts

BEHIND = '{"order/0 inventory.commands": 19}'
EVEN = '{"order/0 inventory.commands": 20}'


async def test_audit_waits_for_a_message_on_its_way(world: World):
    """A link that catches up within the wait leaves no trace in the verdict."""
    await world.break_("inventory", "update progress set received = $1", BEHIND)
    auditing = asyncio.create_task(world.audit(wait_s=30))
    await world.break_("inventory", "update progress set received = $1", EVEN)
    report = await auditing
    assert report.is_clean
    assert report.in_flight.is_quiet
    assert report.seconds < 20


async def test_link_that_moves_is_in_flight(world: World, monkeypatch: pytest.MonkeyPatch):
    """A receiver that is behind but gets on is no gap: its link is listed apart."""
    monkeypatch.setattr(run, "STILL_S", 0.0)
    await world.break_("inventory", "update progress set received = $1", '{"order/0 inventory.commands": 15}')

    async def look_after_a_while(books: Books) -> Look:
        await world.break_("inventory", "update progress set received = $1", BEHIND)
        return await look(books)

    monkeypatch.setattr(run, "look", look_after_a_while)
    report = await world.audit()
    assert report.is_clean
    assert report.in_flight.links == ["order/0 inventory.commands/0: 19 of 20"]


async def test_effect_under_way_excuses_its_order(world: World):
    """While the gateway is asked, it may know of money that we have not heard of yet."""
    await world.add("gateway", "captures", "cap_o-payable:1", "o-payable:1", "o-payable", 5, "EUR", NOON)
    arguments = json.dumps({"order_id": "o-payable", "key": "o-payable:1"})
    await world.add("payment", "effects", "o-payable:1", 0, "charge", arguments, datetime.now(UTC))
    report = await world.audit()
    assert report.is_clean
    assert report.in_flight.effects == 1


async def test_webhook_under_way_excuses_its_order(world: World):
    """Money that a webhook is about to tell of is in flight."""
    await world.add("gateway", "captures", "cap2_o-closed:1", "o-closed:1", "o-closed", 5, "EUR", NOON)
    now = datetime.now(UTC)
    await world.add("gateway", "webhooks", "evt_1", '{"data": {"order_id": "o-closed"}}', now, now)
    report = await world.audit()
    assert report.is_clean
    assert report.in_flight.webhooks == 1


async def test_money_that_comes_later_is_counted(world: World):
    """The gateway will take this money some day: nothing is wrong, and nobody waits for it."""
    await world.add("gateway", "pending_captures", "o-closed:2", datetime(2126, 1, 1, tzinfo=UTC))
    report = await world.audit(wait_s=30)
    assert report.is_clean
    assert report.in_flight.pending_captures == 1
    assert report.seconds < 20


async def test_order_that_comes_right_at_the_second_look_is_no_violation(world: World, monkeypatch: pytest.MonkeyPatch):
    """An order that moved while the books were read is read again."""
    await world.break_("inventory", "delete from holds where order_id = 'o-checked'")
    looks = 0

    async def look_and_repair(books: Books) -> Look:
        nonlocal looks
        looks += 1
        row = ("o-checked", "s-1", "checked", "on_payment", '["bread"]', "[4]", "")
        await world.add("inventory", "holds", *row)
        return await look(books)

    monkeypatch.setattr(run, "look", look_and_repair)
    # The repair comes after the snapshot of the second look began, and before its first query in inventory.
    report = await world.audit()
    assert report.is_clean
    assert report.in_flight.unsettled == []
    assert looks == 1


async def test_order_that_keeps_changing_is_listed_apart(world: World, monkeypatch: pytest.MonkeyPatch):
    """What looks different every time is neither right nor wrong."""
    monkeypatch.setattr(run, "SETTLE_PAUSE_S", 0.0)
    await world.break_("inventory", "update holds set quantities = '[40]' where order_id = 'o-checked'")

    pieces = iter(range(41, 100))

    async def look_and_change(books: Books) -> Look:
        held = f"[{next(pieces)}]"
        await world.break_("inventory", "update holds set quantities = $1 where order_id = 'o-checked'", held)
        return await look(books)

    monkeypatch.setattr(run, "look", look_and_change)
    report = await world.audit()
    assert report.is_clean
    assert report.in_flight.unsettled == ["o-checked"]
    assert not report.in_flight.is_quiet


async def test_bad_input_from_outside_is_listed_and_no_violation(world: World):
    """Garbage that was parked was treated as it should be."""
    codes = ("malformed", "unknown_type", "no_cell")
    for number, code in enumerate(codes, 1):
        row = (0, "", "order.commands", 0, number, "", "Gibberish", "[]", code, "no JSON", NOON)
        await world.add("order", "parked", *row)
    report = await world.audit()
    assert report.is_clean
    assert report.parked_count == 3
    assert [(message.id, message.code) for message in report.parked] == [
        (f"order:{number}", code) for number, code in enumerate(codes, 1)
    ]


async def test_replayed_messages_are_forgotten(world: World):
    """What was replayed or dropped is parked no more."""
    row = (0, "", "order.commands", 0, 1, "", "Gibberish", "[]", "decider_raised", "why", NOON)
    await world.add("order", "parked", *row)
    await world.break_("order", "update parked set state = 'dropped'")
    report = await world.audit()
    assert report.is_clean
    assert report.parked_count == 0


async def test_lives_come_whole_however_the_streams_are_cut(world: World, monkeypatch: pytest.MonkeyPatch):
    """An order's rows meet in one life, whether its streams are long or short and wherever a piece of one ends."""
    for number in range(20):
        await world.tell(Tale(f"o-more-{number}", "closed", {"milk": 1}))

    async def all_lives(fetched: int) -> list[object]:
        monkeypatch.setattr("larder.audit.gather.FETCHED", fetched)
        books = Books(world.of)
        async with books.snapshot():
            return [life async for batch in lives(books) for life in batch]

    whole = await all_lives(1_000)
    assert len(whole) == ORDERS + 20
    assert [await all_lives(fetched) for fetched in (1, 2, 3, 7)] == [whole] * 4
