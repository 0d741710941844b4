"""A customer wants her data gone: what is over is erased, what is open when it ends, and nothing comes back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from shared.settings import SERVICES
from tests.system.driver import Stack, envelope, good, refused, until
from tests.system.shop import Shop, block, lines
from tests.system.test_after_sales import AGENT, announced, decided, goods, inspection, opened, ticket_is

ACCOUNT = "Ann Ö/🛒 7"
MARK, OPEN = "secret-of-ann", "open-secret"
"""Stand in every text that tells of her: of what will be over, and of what stays open for a while."""


@pytest.fixture
async def ann(shop: Shop) -> AsyncIterator[Shop]:
    """The shop as Ann's, at whose orders a person looks first."""
    shop.account, shop.customer = ACCOUNT, f"customer:{ACCOUNT}"
    await block(shop, "refer", value=quote(ACCOUNT, safe=""))
    yield shop
    path = f"/blocklist/account/{quote(ACCOUNT, safe='')}"
    good(await shop.stack.ask("DELETE", "risk", path, by="risk_analyst"))


def told(shop: Shop, mark: str) -> dict[str, Any]:
    """What an order tells of her, each text marked with its name."""
    door = {**shop.door(), "address": f"{mark}-address", "phone": f"{mark}-phone", "note": f"{mark}-note"}
    return {"delivery": door, "device": f"{mark}-device"}


async def paid(shop: Shop, mark: str) -> dict[str, Any]:
    """An order that a person has looked at, and that is paid."""
    order = await shop.placed({shop.apple: 2, shop.milk: 1}, "in_review", **told(shop, mark))
    verdict = {"verdict": "clear", "note": f"{mark}-review"}
    good(await shop.stack.post("risk", f"/reviews/{order['order_id']}", verdict, by="risk_analyst"))
    order = await shop.until(order["order_id"], "awaiting_payment")
    good(await shop.pay(order))
    return await shop.until(order["order_id"], "awaiting_picking")


async def complained(shop: Shop) -> tuple[str, dict[str, Any]]:
    """An order that was delivered and complained about in every way, and is closed; and a ticket of it."""
    order_id = str((await paid(shop, MARK))["order_id"])
    await shop.deliver(order_id)
    returned = good(await opened(shop, order_id, "return", {shop.apple: 1}, reason=f"{MARK}-reason"))
    rating = {"order_id": order_id, "stars": 1, "text": f"{MARK}-rating"}
    good(await shop.stack.post("aftersales", "/ratings", rating, by=shop.customer))
    quality = await shop.ticket(order_id, "quality", "open")
    good(await decided(shop, quality, "note", {"text": f"{MARK}-noted"}))
    good(await decided(shop, quality, "reject", {"reason": f"{MARK}-rejected"}))
    good(await decided(shop, await ticket_is(shop, returned, "open"), "approve"))
    await announced(shop, returned)
    await goods(shop, returned, "goods-back", {}, "courier")
    await goods(shop, returned, "inspected", inspection((shop.apple, 1, True)), "storekeeper")
    await shop.until(order_id, "closed")
    return order_id, quality


async def undelivered(shop: Shop) -> str:
    """An order that nobody opened the door for."""
    order_id = str((await paid(shop, MARK))["order_id"])
    await shop.begin(order_id)
    await shop.pack(order_id)
    await shop.send_out(order_id)
    await shop.work(order_id, "undeliverable", {"reason": f"{MARK}-dog"}, by="courier")
    await shop.work(order_id, "goods-back", {}, by="courier")
    back = {"lines": [{**line, "resellable": True} for line in lines({shop.apple: 2, shop.milk: 1})]}
    await shop.work(order_id, "inspected", back, by="storekeeper")
    await shop.until(order_id, "cancelled")
    return order_id


async def parked(shop: Shop) -> None:
    """A message that cannot be read, with her address in it, which an operator drops."""
    body = json.dumps({"account": ACCOUNT, "delivery": {"address": f"{MARK}-parked"}}).encode()
    sent = await shop.stack.produce("order.commands", body, headers=envelope("PlaceOrder"))

    async def there() -> str | None:
        rows = await shop.stack.parked("order")
        return next((row["id"] for row in rows if row["kafka_offset"] == sent.offset), None)

    dropped = await shop.stack.larder("parked", "drop", await until(there, "the message to park"))
    assert dropped.status == 0, dropped.err


async def marks(stack: Stack, mark: str) -> dict[str, set[str]]:
    """Where a text with this mark stands: service and table, and the texts. In every column of every table."""
    found: dict[str, set[str]] = defaultdict(set)
    for service in SERVICES:
        connection = await asyncpg.connect(stack.settings.dsn(service))
        try:
            for (table,) in await connection.fetch("select tablename from pg_tables where schemaname = 'public'"):
                for row in await connection.fetch(f'select * from "{table}"'):
                    for value in row.values():
                        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                        if mark in text:
                            rest = (part[: len("-rejected")] for part in text.split(mark)[1:])
                            found[f"{service}.{table}"] |= {part.split('"')[0] for part in rest}
        finally:
            await connection.close()
    return found


async def pages(shop: Shop, *order_ids: str) -> list[Any]:
    """The numbers of orders, as people see them: lines, money, documents, payments."""
    found: list[Any] = []
    for order_id in order_ids:
        page = await shop.order(order_id)
        tickets = [{**ticket, "note": ""} for ticket in page["tickets"]]
        found += [{**page, "delivery": None, "tickets": tickets}]
        found += [await shop.stack.get("payment", f"/orders/{order_id}/payments", AGENT)]
        found += [await shop.stack.get("inventory", f"/documents?order={order_id}")]
    return found


async def test_a_customer_is_erased(ann: Shop) -> None:
    """With orders of every end, and one that is open: its data stays until it has ended, and then goes as well."""
    stack = ann.stack
    closed, quality = await complained(ann)
    cancelled = await undelivered(ann)
    withdrawn = await ann.placed({ann.apple: 1}, "in_review", **told(ann, MARK))
    good(await ann.cancel(withdrawn))
    await parked(ann)
    await ann.until(withdrawn["order_id"], "cancelled")
    open_id = str((await paid(ann, OPEN))["order_id"])

    before = await marks(stack, MARK)
    # In outboxes only for two minutes; of the youngest order it must be there.
    assert {"order.baskets", "order.papers", "order.parked", "order.outbox"} <= before.keys()
    assert {"logistics.pick_lists", "logistics.returns", "logistics.steps_back"} <= before.keys()
    assert {"aftersales.tickets", "aftersales.ticket_steps", "aftersales.ratings", "risk.reviews"} <= before.keys()
    numbers, kept = await pages(ann, closed, cancelled), await marks(stack, OPEN)
    assert kept.keys() >= {"order.baskets", "logistics.pick_lists", "risk.reviews"}

    ran = await stack.larder("customer", "erase", ACCOUNT, "--json")
    report = json.loads(ran.out)
    assert (ran.status, report["orders"], report["left"]) == (
        1,
        3,
        [{"service": "order", "table": "orders", "ids": [open_id]}],
    )
    assert ran.err == (f"larder: left whole, since not over: orders 1 ({open_id}); run it again when they have ended\n")
    assert await marks(stack, MARK) == {}
    left = await marks(stack, OPEN)
    assert {where: left[where] for where in kept if "outbox" not in where} == {
        where: texts for where, texts in kept.items() if "outbox" not in where
    }
    assert await pages(ann, closed, cancelled) == numbers

    # What comes later for what is over brings nothing back from the workers' memory.
    refused(await decided(ann, quality, "note", {"text": "late"}), 409, "ticket_closed")
    refused(await decided(ann, quality, "reject", {"reason": "late"}), 409, "ticket_closed")
    assert (await ann.cancel(await ann.order(closed))).status_code == 409
    late = {"verdict": "refuse", "note": "late"}
    refused(await stack.post("risk", f"/reviews/{closed}", late, by="risk_analyst"), 409, "review_not_open")
    assert await marks(stack, MARK) == {}

    await ann.deliver(open_id)
    await ann.until(open_id, "closed")
    ran = await stack.larder("customer", "erase", ACCOUNT)
    assert (ran.status, ran.err) == (0, "")
    assert await marks(stack, OPEN) == {}
    again = await stack.larder("customer", "erase", ACCOUNT)
    assert (again.status, "nothing was left to erase (erased before, 2" in again.out) == (0, True)
    assert (await stack.larder("audit")).status == 0


async def test_a_stranger_is_told_so(stack: Stack) -> None:
    """In one sentence, with exit code 1."""
    ran = await stack.larder("customer", "erase", "nobody/🛒")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "larder: nobody has heard of the account 'nobody/🛒': it has no orders\n"
