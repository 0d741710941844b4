"""More than one shard: each decides what is its own, and whoever tells the wrong one is told so."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from shared.contracts.topics import partition_for
from tests.system.conftest import running
from tests.system.driver import Stack, envelope, good, until
from tests.system.shop import Shop

SHARDS = 2
PIECES = 5


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    """A stack of two shards, instead of the one that the other tests share."""
    async with running(shards=SHARDS) as stack:
        yield stack


async def parked_at(stack: Stack, service: str, place: tuple[int, int]) -> dict[str, Any]:
    """What is parked of one record, once it is."""

    async def there() -> dict[str, Any] | None:
        rows = await stack.parked(service)
        return next((row for row in rows if (row["kafka_partition"], row["kafka_offset"]) == place), None)

    return await until(there, f"{place} of {service}.commands to park")


async def answer_code(stack: Stack, service: str, id_: bytes) -> str:
    """How a command was refused."""
    connection = await asyncpg.connect(stack.settings.dsn(service))
    try:
        code: str = await connection.fetchval("select code from answers where id = $1", id_.decode())
    finally:
        await connection.close()
    return code


async def test_told_to_the_wrong_shard_it_parks_and_changes_nothing(stack: Stack) -> None:
    """Goods, a count and a hold: on another shard's partition, under another store's key, or under none. Nothing of the
    stock moves, the sender is answered, and a replay changes nothing either; sent as it should be, it is done."""
    shop = await Shop(stack).open()
    await shop.payable({shop.apple: 3})
    home, before = partition_for(shop.store, SHARDS), await shop.stock(shop.apple)
    astray = [
        ("wrong_partition", shop.store, 1 - home),
        ("wrong_key", "another-store", home),
        ("wrong_key", None, home),
    ]
    lines = {"store": shop.store, "spus": [shop.apple]}
    bodies: dict[str, dict[str, Any]] = {
        "ReceiveGoods": {**lines, "quantities": [PIECES]},
        "AdjustStock": {**lines, "deltas": [-PIECES], "reason": "counted"},
        "HoldStock": {**lines, "quantities": [PIECES], "order_id": "o-astray", "mode": "lock"},
    }
    rows = []
    for type_, fields in bodies.items():
        for code, key, partition in astray:
            id_ = uuid4().hex.encode()
            value = json.dumps({"request_id": f"r-{id_.decode()}", **fields}).encode()
            headers = envelope(type_, ce_id=id_)
            sent = await stack.produce("inventory.commands", value, key=key, headers=headers, partition=partition)
            row = await parked_at(stack, "inventory", (sent.partition, sent.offset))
            assert (row["code"], row["message_type"]) == (code, type_), row
            assert repr(shop.store) in row["reason"]
            assert await answer_code(stack, "inventory", id_) == "parked"
            rows.append(row)
    assert await shop.stock(shop.apple) == before
    ids = [row["id"] for row in rows]
    replayed = await stack.larder("parked", "replay", *ids)
    assert replayed.status == 1
    assert replayed.err.count("parks as before: wrong_") == len(ids)
    assert await shop.stock(shop.apple) == before
    value = json.dumps({"request_id": f"r-{uuid4().hex}", **bodies["ReceiveGoods"]}).encode()
    await stack.produce("inventory.commands", value, key=shop.store, headers=envelope("ReceiveGoods"))
    await shop.stock_is(shop.apple, before[0] + PIECES, before[1])
    assert (await stack.larder("parked", "drop", *ids)).status == 0


async def test_whoever_knows_the_keys_finds_the_right_shard(stack: Stack) -> None:
    """Orders over HTTP in stores of both shards, and a load's robots: all of it is done, nothing parks, the audit is
    clean."""
    shops: dict[int, Shop] = {}
    while len(shops) < SHARDS:  # the names of stores are made up
        shop = Shop(stack)
        shops.setdefault(partition_for(shop.store, SHARDS), shop)
    for shop in shops.values():
        await shop.open()
        order = good(await shop.pay(await shop.payable({shop.apple: 1})))
        await shop.until(order["order_id"], "awaiting_picking")
        await shop.deliver(order["order_id"])
    told = await stack.larder_json("load", "--orders", 40, "--seed", 1)
    assert (told["orders"], told["violations"]) == (40, 0)
    assert await stack.larder_json("parked", "list") == []
    audit = await stack.larder("audit", "--json")
    assert audit.status == 0, audit.out + audit.err
