"""Books of which an account's personal data was erased: nothing of a person is left, and everything adds up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from larder import erasing
from larder.erasing import Erasure, erase
from larder.stack.errors import StackError
from services.order.store import SWEEPS as ORDER_SWEEPS
from shared.runtime.sweep import LOCK
from shared.settings import SERVICES
from tests.audit.controls import NOON, TALES, Tale, World

pytestmark = pytest.mark.parts

ENDED = {tale.order_id for tale in TALES if tale.phase in ("closed", "cancelled", "rejected")}
DOOR = '{"lat":1.5,"lon":2.5,"address":"secret street","phone":"secret phone","note":"secret note"}'
SECRET = "secret"
PATIENCE_S = 20.0
PERSONAL = {
    "baskets": {"delivery", "device"},
    "pick_lists": {"delivery"},
    "returns": {"delivery"},
    "steps_back": {"reason"},
    "tickets": {"reason", "note", "notes"},
    "ticket_steps": {"note"},
    "ratings": {"text"},
    "papers": {"body"},
    "reviews": {"device", "address", "note"},
    "outbox": {"records"},
    "erasures": {"account", "at", "done_by", "erased"},
}
"""Columns that erasing may touch."""
Rows = dict[tuple[str, str], list[dict[str, Any]]]


@pytest.fixture
async def secrets(world: World) -> World:
    """The world, with a person's data wherever a service would write it."""
    for name in SERVICES:
        # What was sent, as it is packed: about an order that has ended, and about one that has not.
        await world.break_(name, "update outbox set records = $1", packed("o-closed", "o-picking"))
    await world.break_("order", "update baskets set delivery = $1, device = 'secret device'", DOOR)
    words = {"ticket_id": "t-x", "kind": "return", "phase": "rejected", "note": "secret words"}
    for order_id in ("o-closed", "o-delivered"):
        await world.add("order", "papers", order_id, "ticket", NOON, json.dumps(words))
    await world.break_("logistics", "update pick_lists set delivery = $1", DOOR)
    await world.break_("logistics", "update steps_back set reason = 'secret dog' where entered = 'returning'")
    for order_id, ended in (("o-closed", NOON), ("o-delivered", None)):
        times = (NOON, NOON, ended, None, None)
        lines = ("[]", "[]", None)
        row = (f"t-{order_id}", order_id, "s-1", "returned", NOON, DOOR, False, *lines, *times, "[]")
        await world.add("logistics", "returns", *row)
        ticket = (f"t-{order_id}-9", order_id, "rejected" if ended else "open", NOON, ended)
        await world.break_(
            "aftersales",
            """insert into tickets (ticket_id, order_id, phase, kind, account, store, spus, quantities, reason, note,
                opened_at, opened_by, ended_at, deadline, notes)
            values ($1, $2, $3, 'return', 'a-1', 's-1', '[]', '[]', 'secret reason', 'secret words', $4, 'admin:', $5,
                $4, '[["2026-11-22T12:00:00Z", "admin:", "secret note"]]')""",
            *ticket,
        )
        step = "insert into ticket_steps (ticket_id, at, phase, step, actor, note) values ($1, $2, 'x', $3, '', $4)"
        await world.break_("aftersales", step, ticket[0], NOON, "RejectTicket", "secret words")
    await world.add("aftersales", "ratings", "o-closed", "a-1", NOON, 1, "secret taste")
    await world.add("aftersales", "ratings", "o-delivered", "a-1", NOON, 1, "secret taste")
    await world.break_(
        "risk", "update reviews set device = 'secret device', address = 'secret street', note = 'secret'"
    )
    decided = ("o-refused", "a-1", 1, "secret device", "secret street", "r", NOON, NOON, "refuse", "secret", "", NOON)
    await world.add("risk", "reviews", *decided)
    return world


def packed(*order_ids: str) -> bytes:
    """Records of an outbox row: a message with a person's data about each of these orders, and one of another type."""
    fulfil = {"store": "s-1", "spus": ["apple"], "quantities": [1], "delivery": json.loads(DOOR)}
    payloads = [
        (b"s-1", "FulfilOrder", order_id.encode(), json.dumps({"order_id": order_id, **fulfil}).encode(), b"")
        for order_id in order_ids
    ]
    return msgspec.msgpack.encode(("order/0", NOON.isoformat(), [*payloads, (b"x", "Other", b"o-closed", b"{}", b"")]))


async def erased(world: World, account: str = "a-1") -> Erasure:
    """What the command does."""
    return await erase(world.settings, account, "somebody@here")


async def rows_of(world: World) -> Rows:
    """Every row of every table of the services."""
    found: Rows = {}
    for name in SERVICES:
        tables = await world.of[name].fetch("select tablename from pg_tables where schemaname = 'public' order by 1")
        for (table,) in tables:
            rows = await world.of[name].fetch(f"select * from {table} t order by t::text")
            found[name, table] = [dict(row) for row in rows]
    return found


def orders_of(row: Mapping[str, Any]) -> str:
    """The order that a row is about; a ticket's name has it inside."""
    return str(row.get("order_id") or row.get("ticket_id") or "")


def secrets_in(rows: Rows) -> Iterator[tuple[str, str, str]]:
    """Where something of a person stands: the service, the table, and the row's order."""
    for (name, table), found in rows.items():
        for row in found:
            if any(SECRET in (v.decode("latin-1") if isinstance(v, bytes) else str(v)) for v in row.values()):
                yield name, table, orders_of(row)


async def test_nothing_of_a_person_is_left_and_the_books_add_up(
    secrets: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no table, of no order that has ended; of those that are open everything; and no number has changed."""
    monkeypatch.setattr(erasing, "SWEPT_AT_ONCE", 2)  # in portions, it is the same
    world = secrets
    before = await rows_of(world)
    report = await world.audit()
    done = await erased(world)
    after = await rows_of(world)

    assert done.orders == len(ENDED)
    assert {table for _, table, _ in secrets_in(before)} == PERSONAL.keys() - {"erasures"}
    left = {(table, order) for _, table, order in secrets_in(after) if table != "outbox"}
    assert left == {
        (table, order)
        for _, table, order in secrets_in(before)
        if table != "outbox" and not any(ended in order for ended in ENDED)
    }
    assert all(SECRET in str(row["delivery"]) for row in after["order", "baskets"] if row["order_id"] not in ENDED)
    for key, rows in before.items():
        kept = [{c: v for c, v in row.items() if c not in PERSONAL.get(key[1], ())} for row in rows]
        now = [{c: v for c, v in row.items() if c not in PERSONAL.get(key[1], ())} for row in after[key]]
        if key[1] != "erasures":
            assert sorted(map(str, now)) == sorted(map(str, kept)), key
    again = await world.audit()
    assert again.violations == report.violations
    assert again.checked == report.checked


async def test_what_is_erased_is_counted_and_recorded(secrets: World) -> None:
    """Rows by table, in each database; a second run finds nothing, and says when the first was."""
    world = secrets
    first = await erased(world)
    assert first.erased["order"] == {"baskets": len(ENDED), "papers": 1, "outbox": 4}
    assert first.erased["aftersales"] == {"tickets": 1, "ticket_steps": 1, "ratings": 1, "outbox": 2}
    assert first.erased["risk"] == {"reviews": 1}
    assert (first.before, first.rows > 0) == (None, True)
    assert {left.table: left.ids for left in first.left} == {
        "orders": [tale.order_id for tale in sorted(TALES, key=lambda t: t.order_id) if tale.order_id not in ENDED]
    }
    for name in SERVICES:
        (row,) = await world.of[name].fetch("select * from erasures")
        assert (row["account"], row["done_by"]) == ("a-1", "somebody@here")
        assert json.loads(row["erased"]) == {table: rows for table, rows in first.erased[name].items() if rows}
    second = await erased(world)
    assert second.rows == 0
    assert second.before == row["at"]


async def test_only_messages_of_what_has_ended_are_emptied(secrets: World) -> None:
    """The others of the same batch can be sent again as they were."""
    await erased(secrets)
    raw = await secrets.of["order"].fetchval("select records from outbox where topic = 'logistics.commands' limit 1")
    was = msgspec.msgpack.decode(packed("o-closed", "o-picking"))
    source, time, payloads = msgspec.msgpack.decode(raw)
    assert (source, time) == tuple(was[:2])
    bodies = [json.loads(payload[3]) for payload in payloads]
    ended, open_, other = [json.loads(payload[3]) for payload in was[2]]
    assert bodies == [{key: value for key, value in ended.items() if key != "delivery"}, open_, other]


async def test_an_order_waits_for_its_replacement(secrets: World) -> None:
    """They share the address: both are left whole, until both are over."""
    world = secrets
    await world.tell(Tale("o-closed~r1", "picking", {"apple": 1}))
    (orders,) = [left.ids for left in (await erased(world)).left if left.table == "orders"]
    assert "o-closed~r1" in orders
    assert "o-closed" in {order for _, table, order in secrets_in(await rows_of(world)) if table == "baskets"}
    await world.break_("order", "update orders set ended = true where order_id = 'o-closed~r1'")
    await erased(world)
    assert "o-closed" not in {order for _, table, order in secrets_in(await rows_of(world)) if table == "baskets"}


async def test_what_a_service_still_works_on_is_left(secrets: World) -> None:
    """Also of an order that has ended: goods may be on their way back after all."""
    world = secrets
    await world.break_(
        "logistics", "update fulfilments set called_off_at = null, phase = 'returning' where order_id = 'o-returned'"
    )
    done = await erased(world)
    assert [left.ids for left in done.left if left.table == "fulfilments"] == [["o-returned"]]
    assert ("logistics", "pick_lists", "o-returned") in set(secrets_in(await rows_of(world)))


async def test_parked_messages_go_when_they_are_settled(secrets: World) -> None:
    """By their order, or by the account in what nobody could read; one that is open waits for a person."""
    world = secrets
    ours = (
        ("o-closed", b'{"order_id": "o-closed", "note": "secret"}'),
        ("", b'{"account": "a-1", "delivery": "secret"}'),
        ("", b'secret "a-1" {'),
        ("", b'{"order_id": "o-closed~r9", "note": "secret"}'),
    )
    others = (
        ("o-picking", b'{"account": "a-1", "note": "of an open order"}'),
        ("", b'{"account": "a-12"}'),
        ("", b"[" * 100_000),
        ("", None),
    )
    sql = """insert into parked (shard, subject, topic, kafka_partition, kafka_offset, message_id, message_type,
        headers, body, code, reason, parked_at, state)
    values (0, $1, 't', 0, 0, 'm', 'T', '[]', $2, 'malformed', '', $3, $4)"""
    for subject, body in (*ours, *others):
        await world.break_("order", sql, subject, body, NOON, "dropped")
    await world.break_("risk", sql, *ours[1], NOON, "parked")
    done = await erased(world)
    assert done.erased["order"]["parked"] == len(ours)
    left = await world.of["order"].fetch("select subject, body from parked order by id")
    assert [tuple(row) for row in left] == list(others)
    (waits,) = [left.ids for left in done.left if left.table == "parked"]
    assert [name.partition(":")[0] for name in waits] == ["risk"]
    await world.break_("risk", "update parked set state = 'dropped'")
    assert not [left for left in (await erased(world)).left if left.table == "parked"]


async def test_what_is_on_its_way_is_waited_for(secrets: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could bring an address to where none is any more: nothing is erased before it is there."""
    monkeypatch.setattr(erasing, "WAIT_S", 0.2)
    world = secrets
    received = await world.of["risk"].fetchval("select received from progress")
    behind = json.dumps({link: number - 1 for link, number in json.loads(received).items()})
    await world.break_("risk", "update progress set received = $1", behind)
    before = await rows_of(world)
    with pytest.raises(StackError, match="what order/0 sent has not arrived at risk"):
        await erased(world)
    assert await rows_of(world) == before
    await world.break_("risk", "update progress set received = $1", received)
    assert (await erased(world)).rows > 0


async def test_a_sweep_under_way_is_let_finish(secrets: World) -> None:
    """Both would touch the same rows in another order, and one would have to give way."""
    book = secrets.of["order"]
    assert await book.fetchval("select pg_try_advisory_lock($1, hashtext($2))", LOCK, ORDER_SWEEPS[0].name)
    under_way = asyncio.create_task(erased(secrets))
    waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
    async with asyncio.timeout(PATIENCE_S):
        while not await book.fetchval(waits):
            assert not under_way.done()
    assert "o-closed" in {order for _, table, order in secrets_in(await rows_of(secrets)) if table == "baskets"}
    await book.execute("select pg_advisory_unlock_all()")
    assert (await under_way).rows > 0


@pytest.mark.parametrize("account", ["a-2", "A-1", "a-1/", "Ann Ö/🛒", "a-1' or true --", "%"])
async def test_an_account_that_nobody_has_heard_of(secrets: World, account: str) -> None:
    """One sentence, and nothing is recorded."""
    with pytest.raises(StackError, match="nobody has heard of the account"):
        await erased(secrets, account)
    assert await secrets.of["order"].fetchval("select count(*) from erasures") == 0


@pytest.mark.parametrize("account", ["", " a-1", "a\x00", "\u200b", "x" * 129])
async def test_what_is_no_account_is_told(secrets: World, account: str) -> None:
    """Before any database is asked."""
    with pytest.raises(StackError, match="is none that can order"):
        await erased(secrets, account)


async def test_any_text_that_orders_is_an_account(secrets: World) -> None:
    """Of another system, with blanks, slashes and pictures."""
    world = secrets
    await world.break_("order", "update orders set account = 'Ann Ö/🛒 7' where order_id = 'o-closed'")
    done = await erased(world, "Ann Ö/🛒 7")
    assert (done.orders, done.left) == (1, [])
