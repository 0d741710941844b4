"""Levels on real tables and a real broker: what a store has is told, compacted by key, and heard by whoever follows."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.inventory import api as inventory_api
from services.inventory.decider import DECIDER as INVENTORY
from services.inventory.levels import STOCK_LEVELS
from services.inventory.store import InventoryStore
from services.logistics import api as logistics_api
from services.logistics.decider import DECIDER as LOGISTICS
from services.logistics.levels import SLOT_LEVELS
from services.logistics.store import LogisticsStore
from services.order import levels as order_levels
from services.order.levels import Left, Levels, Stock
from shared.contracts import inventory, logistics
from shared.contracts.base import Slot
from shared.contracts.levels import AllotmentLevel, StockLevel
from shared.contracts.topics import levels_of
from shared.runtime.envelope import Delivery
from shared.runtime.publisher import make_producer
from shared.service import Parts
from shared.settings import Settings
from shared.telling import Teller, Told
from tests.parts import RealParts
from tests.runtime.ground import until
from tests.services.inside import Inside, inside

PATIENCE_S = 30
AT = datetime(2026, 11, 22, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEXT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 2 * HOUR
_numbers = itertools.count(1)


def record(told: Told, topic: str = "inventory.levels") -> Delivery:
    """As it comes through the log."""
    return Delivery(topic, 0, 0, told.key.encode(), told.body, type=told.type)


def heard(*told: Told) -> Levels:
    """Levels that heard this."""
    levels = Levels()
    for one in told:
        levels.hear(record(one))
    return levels


def stock(spu: str, available: int, at: datetime = AT) -> Told:
    """A shelf's level."""
    level = StockLevel(store="s-1", spu=spu, available=available, incoming=0, at=at)
    return Told(level.TYPE, level.key, level.to_json())


def left(promotion: str, pieces: int) -> Told:
    """An allotment's level."""
    level = AllotmentLevel(store="s-1", spu="milk", promotion=promotion, left=pieces, at=AT)
    return Told(level.TYPE, level.key, level.to_json())


# -- hearing -----------------------------------------------------------------------------------------------------------


def test_newest_of_each_key_is_known() -> None:
    """Shelves and allotments of one SPU are apart; nothing is known of what nobody told."""
    levels = heard(stock("milk", 5), left("tenth", 3), left("half", 2), stock("milk", 4))
    assert levels.stock("s-1", "milk") == Stock(4, 0, AT)
    assert levels.left("s-1", "milk", "tenth") == Left(3, AT)
    assert levels.left("s-1", "milk", "half") == Left(2, AT)
    assert levels.stock("s-1", "bread") is levels.stock("s-2", "milk") is None


def test_read_again_from_the_beginning_nothing_goes_back() -> None:
    """After the broker was away, the log comes once more."""
    assert heard(stock("milk", 4, AT + HOUR), stock("milk", 5)).stock("s-1", "milk") == Stock(4, 0, AT + HOUR)


def test_tombstone_ends_one_level_only() -> None:
    """That of its key."""
    levels = heard(stock("milk", 5), left("tenth", 3), left("half", 2), Told("AllotmentLevel", "s-1|milk|tenth", None))
    assert levels.left("s-1", "milk", "tenth") is None
    assert levels.left("s-1", "milk", "half") == Left(2, AT)
    assert levels.stock("s-1", "milk") == Stock(5, 0, AT)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"store":"s-1","spu":"milk","available":-1}', b"\xff"])
def test_what_cannot_be_read_is_skipped(body: bytes) -> None:
    """Anybody may write to a topic; a kind from tomorrow is no mistake either."""
    levels = heard(stock("milk", 5), Told("StockLevel", "s-1|milk", body), Told("FromTomorrow", "x", body))
    assert levels.stock("s-1", "milk") == Stock(5, 0, AT)
    levels.hear(Delivery("inventory.levels", 0, 0, b"\xff", None))
    levels.hear(Delivery("inventory.levels", 0, 0, None, None))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one known longest goes."""
    monkeypatch.setattr(order_levels, "STOCK_MAX", 2)
    levels = heard(stock("milk", 1), stock("bread", 2), stock("milk", 3), stock("oat", 4))
    assert [levels.stock("s-1", spu) is None for spu in ("milk", "bread", "oat")] == [True, False, False]


async def test_broker_away_keeps_what_is_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And until when it was: nothing newer than that is claimed."""
    levels = heard(stock("milk", 5))
    levels.heard_at = AT
    parts: Any = SimpleNamespace(settings=Settings(home=tmp_path, kafka="127.0.0.1:1"))
    async with levels.following(parts):
        await until(lambda: "levels are not heard" in caplog.text, PATIENCE_S)
        assert levels.stock("s-1", "milk") == Stock(5, 0, AT)
        assert levels.heard_at == AT


# -- looking -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def inventory_service(parts: RealParts) -> AsyncIterator[Inside]:
    """Inventory with an empty database."""
    async with inside(INVENTORY, InventoryStore(), inventory_api.routes, parts.fresh_database) as it:
        yield it


@pytest.fixture
async def logistics_service(parts: RealParts) -> AsyncIterator[Inside]:
    """Logistics with an empty database."""
    async with inside(LOGISTICS, LogisticsStore(), logistics_api.routes, parts.fresh_database) as it:
        yield it


async def receive(it: Inside, **lines: int) -> None:
    """Goods come in."""
    body = {"lines": [{"spu": spu, "quantity": quantity} for spu, quantity in lines.items()]}
    assert (await it.ask("POST", "/stores/s-1/goods-receipts", body)).status_code == 202


async def set_aside(it: Inside, **cells: int) -> None:
    """Cells that are no shelf's: of an allotment, of what is to come, of what is owed."""
    rows = [("s-1", f"milk|{name}", pieces) for name, pieces in cells.items()]
    await it.pool.executemany("insert into cells (store, spu, on_hand, locked) values ($1, $2, $3, 0)", rows)


@pytest.mark.parts
async def test_shelf_tells_what_nobody_holds_and_what_is_to_come(inventory_service: Inside) -> None:
    """Whichever of its cells a batch changed; what is owed is no level."""
    await receive(inventory_service, milk=9, bread=2)
    await inventory_service.hear(
        inventory.HoldStock(order_id="o-1", store="s-1", mode="lock", spus=("milk",), quantities=(4,))
    )
    keys = [key for commit in inventory_service.commits for key in STOCK_LEVELS.touched(commit.states)]
    assert set(keys) == {("cell", "s-1", "milk"), ("cell", "s-1", "bread")}
    await set_aside(inventory_service, **{"+incoming": 40, "+owed": 3})
    beside = [("cell", "s-1", "milk|+incoming"), ("cell", "s-1", "milk|+owed")]
    told = await STOCK_LEVELS.look(inventory_service.pool, [*keys, *beside])
    assert sorted(one.key for one in told) == ["s-1|bread", "s-1|milk"]
    levels = heard(*told)
    milk, bread = levels.stock("s-1", "milk"), levels.stock("s-1", "bread")
    assert milk
    assert bread
    assert (milk.available, milk.incoming, bread.available, bread.incoming) == (5, 40, 2, 0)
    assert abs(datetime.now(UTC) - milk.at) < timedelta(seconds=PATIENCE_S)
    assert [one.key for one in await STOCK_LEVELS.look(inventory_service.pool, beside)] == ["s-1|milk"]


@pytest.mark.parts
async def test_allotment_tells_what_is_left_until_nothing_is(inventory_service: Inside) -> None:
    """Then it is over, and forgotten."""
    await set_aside(inventory_service, tenth=2, half=0)
    keys = await STOCK_LEVELS.walk(inventory_service.pool, None, 10)
    assert keys == [("cell", "s-1", "milk|half"), ("cell", "s-1", "milk|tenth")]
    told = {one.key: one for one in await STOCK_LEVELS.look(inventory_service.pool, keys)}
    assert told["s-1|milk|half"].body is None
    levels = heard(left("half", 3), *told.values())
    assert levels.left("s-1", "milk", "half") is None
    tenth = levels.left("s-1", "milk", "tenth")
    assert tenth
    assert tenth.pieces == 2


@pytest.mark.parts
async def test_walk_comes_by_every_cell_once(inventory_service: Inside) -> None:
    """In portions, in the order of the table."""
    await receive(inventory_service, **{f"spu-{n:02}": 1 for n in range(25)})
    seen = list(await STOCK_LEVELS.walk(inventory_service.pool, None, 10))
    while more := await STOCK_LEVELS.walk(inventory_service.pool, seen[-1], 10):
        seen += more
    assert [key[2] for key in seen] == [f"spu-{n:02}" for n in range(25)]


def test_allotments_are_told_before_shelves() -> None:
    """A crowd looks at them, and they are few."""
    noted: dict[Any, None] = dict.fromkeys(("cell", "s-1", spu) for spu in ("a", "b", "milk|tenth", "c"))
    assert [key[2] for key in STOCK_LEVELS.first(noted, 3)] == ["milk|tenth", "a", "b"]
    assert [key[2] for key in STOCK_LEVELS.first(noted, 1)] == ["milk|tenth"]


@pytest.mark.parts
async def test_slots_tell_places_left_until_there_are_none(logistics_service: Inside) -> None:
    """The next ones of the store, by start; full ones are left out, and a store without any is over."""
    slots = [{"start": (NEXT + n * HOUR).isoformat(), "end": (NEXT + (n + 1) * HOUR).isoformat()} for n in range(2)]
    body = {"slots": [{**slot, "places": n + 1} for n, slot in enumerate(slots)]}
    assert (await logistics_service.ask("PUT", "/stores/s-1/slots", body)).status_code in (200, 202)

    async def known() -> list[tuple[datetime, int]]:
        keys = {key for commit in logistics_service.commits for key in SLOT_LEVELS.touched(commit.states)}
        assert keys == {("slots", "s-1")} == set(await SLOT_LEVELS.walk(logistics_service.pool, None, 10))
        told = heard(*await SLOT_LEVELS.look(logistics_service.pool, sorted(keys)))
        return [(slot.start, slot.free) for slot in told.slots("s-1")]

    async def reserve(order_id: str, hour: int) -> None:
        slot = Slot(start=NEXT + hour * HOUR, end=NEXT + (hour + 1) * HOUR)
        await logistics_service.hear(logistics.ReserveSlot(order_id=order_id, store="s-1", slot=slot))

    assert await known() == [(NEXT, 1), (NEXT + HOUR, 2)]
    await reserve("o-1", 0)
    assert await known() == [(NEXT + HOUR, 2)]
    await reserve("o-2", 1)
    await reserve("o-3", 1)
    assert await known() == []


# -- telling and following, on a real broker ---------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def telling_to(settings: Settings, it: Inside) -> AsyncIterator[Teller]:
    """A teller of the cells of this inventory, to the real broker."""
    producer = make_producer(settings.bootstrap(), f"levels-{next(_numbers)}")
    parts: Any = SimpleNamespace(pool=it.pool, owned=lambda: {0: 1}, settings=settings)
    teller = Teller(STOCK_LEVELS, cast(Parts, parts), producer)
    task = asyncio.create_task(teller.run())
    try:
        yield teller
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.stop()


@contextlib.asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[Levels]:
    """An order service that has just started, once it has heard everything."""
    levels = Levels()
    assert levels.heard_at is None
    async with levels.following(cast(Any, SimpleNamespace(settings=settings))):
        await until(lambda: levels.heard_at is not None, PATIENCE_S)
        yield levels


@pytest.mark.parts
async def test_told_is_heard_also_after_a_restart(migrated: Settings, inventory_service: Inside) -> None:
    """Whoever starts reads all of it again, and knows when that is done; then it follows."""
    await receive(inventory_service, milk=9, bread=2)
    await set_aside(inventory_service, tenth=2)
    async with telling_to(migrated, inventory_service) as teller:
        await until(lambda: not teller.behind and bool(teller._epochs), PATIENCE_S)
        async with following(migrated) as first:
            assert first.left("s-1", "milk", "tenth") is not None
        async with following(migrated) as levels:
            milk, tenth, at = levels.stock("s-1", "milk"), levels.left("s-1", "milk", "tenth"), levels.heard_at
            assert milk
            assert tenth
            assert at
            assert (milk.available, tenth.pieces) == (9, 2)
            before = len(inventory_service.commits)
            await receive(inventory_service, milk=1)
            for commit in inventory_service.commits[before:]:
                teller.note(commit)
            await until(lambda: levels.stock("s-1", "milk") != milk, PATIENCE_S)
            known = levels.stock("s-1", "milk")
            assert known
            assert known.available == 10
            await until(lambda: (levels.heard_at or at) > at, PATIENCE_S)


@pytest.mark.parts
async def test_records_are_keyed_for_compaction(migrated: Settings, inventory_service: Inside) -> None:
    """The newest of each key is all that the topic has to keep: a shelf, and each allotment."""
    await receive(inventory_service, rice=9)
    rows = [("s-1", f"rice|{name}", 1) for name in ("tenth", "half")]
    await inventory_service.pool.executemany(
        "insert into cells (store, spu, on_hand, locked) values ($1, $2, $3, 0)", rows
    )
    async with telling_to(migrated, inventory_service) as teller:
        await until(lambda: not teller.behind and bool(teller._epochs), PATIENCE_S)
    consumer = AIOKafkaConsumer(bootstrap_servers=migrated.bootstrap(), auto_offset_reset="earliest")
    await consumer.start()
    try:
        tp = TopicPartition(levels_of("inventory"), 0)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        keys = [(await consumer.getone()).key for _ in range(end)]
    finally:
        await consumer.stop()
    assert {key for key in keys if key.startswith(b"s-1|rice")} == {b"s-1|rice", b"s-1|rice|tenth", b"s-1|rice|half"}
