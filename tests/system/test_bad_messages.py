"""Whatever is put on a topic: parked alone with its reason, and the shard goes on at once."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.contracts.asyncapi import messages
from shared.settings import SERVICES
from tests.system.driver import Stack, envelope, good, until
from tests.system.shop import Shop

PAY = {"order_id": "o-nobody", "method": "tok_ok", "expected_total": 5}
HOLD = {"order_id": "o-nobody", "store": "s-nowhere", "mode": "lock", "spus": ["apple"], "quantities": [1]}
REFUND = {"refund": 1, "amount": 5, "reference": "cap_x", "reason": "", "liable": "store"}
LONG = os.urandom(6_000).hex()
"""Text that no index takes, however it is packed."""


KEYS = {message.TYPE: message.KEY for message in messages()}
"""The field of each message that its record is keyed by, an order's id up to `~`."""


def body(value: object) -> bytes:
    """A message's body."""
    return json.dumps(value).encode()


Headers = list[tuple[str, Any]]
Parked = dict[tuple[str, int], dict[str, Any]]
"""What is parked, by topic and offset."""


async def listed(stack: Stack, *services: str) -> Parked:
    """What is parked in these services, or in all."""
    rows = [row for service in services or SERVICES for row in await stack.parked(service)]
    return {(row["topic"], row["kafka_offset"]): row for row in rows}


async def parks(
    stack: Stack, topic: str, value: bytes | None, headers: Headers, code: str, key: str = "nobody"
) -> dict[str, Any]:
    """Puts a record on a topic and waits until it is listed, with that code."""
    sent = await stack.produce(topic, value, key=key, headers=headers)

    service = topic.removesuffix(".commands") if topic.endswith(".commands") else "order"

    async def there() -> dict[str, Any] | None:
        return (await listed(stack, service)).get((topic, sent.offset))

    row = await until(there, f"{topic}@{sent.offset} to park")
    assert row["code"] == code, row
    return row


@pytest.fixture
async def dropped(stack: Stack) -> AsyncIterator[None]:
    """Whatever a test leaves parked is dropped by an operator."""
    yield
    if rows := await listed(stack):
        told = await stack.larder("parked", "drop", *(row["id"] for row in rows.values()))
        assert told.status == 0, told.err


pytestmark = pytest.mark.usefixtures("dropped")

SPOILED: dict[str, tuple[bytes | None, Headers, str]] = {
    "no JSON": (b"\xff\xfe no JSON", envelope("PayOrder"), "malformed"),
    "empty": (b"", envelope("PayOrder"), "malformed"),
    "tombstone": (None, envelope("PayOrder"), "malformed"),
    "tombstone without headers": (None, [], "unknown_type"),
    "1 MB of garbage": (os.urandom(1_000_000), envelope("PayOrder"), "malformed"),
    "1 MB of garbage without headers": (os.urandom(1_000_000), [], "unknown_type"),
    "deep": (b"[" * 500_000, envelope("PayOrder"), "malformed"),
    "no headers at all": (body(PAY), [], "unknown_type"),
    "unknown type": (body(PAY), envelope("PayThisOrder"), "unknown_type"),
    "type of another topic": (body(PAY), envelope("StockHeld"), "unknown_type"),
    "missing fields": (body({"order_id": "o-nobody"}), envelope("PayOrder"), "malformed"),
    "wrong type": (body({**PAY, "expected_total": "5"}), envelope("PayOrder"), "malformed"),
    "wrong value": (body({**PAY, "expected_total": -5}), envelope("PayOrder"), "malformed"),
    "NUL": (body({**PAY, "order_id": "a\x00b"}), envelope("PayOrder"), "malformed"),
    "list": (body([PAY]), envelope("PayOrder"), "malformed"),
    "NaN": (b"NaN", envelope("PayOrder"), "malformed"),
    "lines that do not match": (
        body({"order_id": "o-1", "account": "a", "store": "s", "spus": ["a"], "quantities": [1, 2]}),
        envelope("PlaceOrder"),
        "malformed",
    ),
    "another key than its order's": (body(PAY), envelope("PayOrder"), "wrong_key"),
    "huge id": (body(PAY), envelope("PayOrder", ce_id=LONG.encode()), "malformed"),
    "NUL in the id": (body(PAY), envelope("PayOrder", ce_id=b"a\x00b"), "malformed"),
    "NUL in the fingerprint": (body(PAY), envelope("PayOrder", fingerprint=b"\x00"), "malformed"),
    "huge header": (body(PAY), envelope("PayOrder", ce_actor=LONG.encode() * 20), "malformed"),
    "type that is no text": (body(PAY), envelope("PayOrder", ce_type=b"\xff"), "unknown_type"),
    "type that is null": (body(PAY), envelope("PayOrder", ce_type=None), "unknown_type"),
    "link that is no number": (body(PAY), envelope("PayOrder", link=b"one"), "unknown_type"),
    "link below zero": (body(PAY), envelope("PayOrder", link=b"-1"), "malformed"),
    "link of nobody": (body(PAY), envelope("PayOrder", link=b"1"), "malformed"),
    "null header": (b"{", envelope("PayOrder", surprise=None), "malformed"),
    "NUL in the name of a header": (b"{", envelope("PayOrder", **{"x\x00y": b"\x00"}), "malformed"),
}
"""Records on order.commands, and the code with which each must park."""


async def test_bad_records_park_alone(shop: Shop) -> None:
    """Each is listed with its reason and shown with its body; right behind each, an order is taken as ever."""
    stack = shop.stack
    sent = {}
    for name, (value, headers, _) in SPOILED.items():
        sent[name] = ("order.commands", (await stack.produce("order.commands", value, headers=headers)).offset)
        order = good(await shop.place({shop.milk: 1}, wait=10))
        assert order["phase"] == "awaiting_payment", name
    rows = {(row["topic"], row["kafka_offset"]): row for row in await stack.larder_json("parked", "list")}
    assert {name: rows[at]["code"] for name, at in sent.items()} == {name: code for name, (*_, code) in SPOILED.items()}
    assert set(rows) == set(sent.values())
    assert all(row["reason"] and row["state"] == "parked" for row in rows.values())
    told = await until(lambda: stack.consume("order.parked"), "order.parked to tell of them")
    assert {(m["topic"], m["offset"]): m["code"] for m in told}.items() >= {
        a: r["code"] for a, r in rows.items()
    }.items()
    assert all(m["reason"] for m in told)
    row = await stack.larder_json("parked", "show", rows[sent["no JSON"]]["id"])
    assert row["body"] == {"base64": "//4gbm8gSlNPTg=="}
    assert ["ce_type", "PayOrder"] in row["headers"]


SENSELESS: list[tuple[str, str, dict[str, Any], str]] = [
    *((f"{service}.commands", "OrderPizza", {}, "unknown_type") for service in SERVICES),
    ("inventory.events", "StockHeld", {"order_id": "o-nobody", "mode": "lock"}, "no_cell"),
    ("inventory.events", "StockHeld", {"order_id": "o-nobody"}, "malformed"),
    ("inventory.events", "StockHeld", {"order_id": "a\x00b", "mode": "lock"}, "malformed"),
    ("inventory.events", "StockHeld", {"order_id": LONG, "mode": "lock"}, "malformed"),
    ("risk.events", "OrderCleared", {"order_id": "o-nobody"}, "no_cell"),
    ("logistics.events", "FulfilmentDelivered", {"order_id": "o-nobody", "store": "s-1"}, "no_cell"),
    ("logistics.events", "FulfilmentDelivered", {"order_id": "o-nobody~r1", "store": "s-1"}, "no_cell"),
    ("logistics.events", "FulfilmentDelivered", {"order_id": "o-nobody~1", "store": "s-1"}, "malformed"),
    ("aftersales.events", "WindowShut", {"order_id": "o-nobody"}, "no_cell"),
    ("inventory.commands", "DeductStock", {"order_id": "o-nobody", "store": "s-1"}, "no_cell"),
    ("inventory.commands", "HoldStock", {**HOLD, "store": LONG}, "malformed"),
    ("inventory.commands", "HoldStock", {**HOLD, "store": ""}, "malformed"),
    ("inventory.commands", "HoldStock", {**HOLD, "order_id": "o-less", "quantities": [-1]}, "malformed"),
    ("inventory.commands", "HoldStock", {**HOLD, "order_id": "o-nul", "spus": ["a\x00b"]}, "malformed"),
    ("payment.commands", "RefundPayment", {"order_id": "o-nobody"}, "malformed"),
    ("payment.commands", "RefundPayment", {**REFUND, "order_id": "o-poor"}, "decider_raised"),
    ("risk.commands", "WithdrawScreening", {"order_id": "o-nobody", "account": "a-1"}, "no_cell"),
]
"""Topic, type, body, and the code with which it must park under its own key."""


async def test_messages_about_orders_that_there_are_not(shop: Shop) -> None:
    """A fact or a command about an order that does not exist, or that makes no sense, parks; all services go on."""
    stack = shop.stack
    sent = {}
    for topic, type_, value, code in SENSELESS:
        key = value.get(KEYS.get(type_, ""), "nobody").partition("~")[0]
        sent[topic, (await stack.produce(topic, body(value), key=key, headers=envelope(type_))).offset] = code
    for service in SERVICES:
        garbage = await stack.produce(f"{service}.commands", b"garbage")
        sent[f"{service}.commands", garbage.offset] = "unknown_type"
    order = await shop.paid({shop.apple: 1})

    async def all_parked() -> Parked | None:
        rows = await listed(stack)
        return rows if len(rows) >= len(sent) else None

    rows = await until(all_parked, "all of them to park")
    assert {at: row["code"] for at, row in rows.items()} == sent
    await shop.deliver(order["order_id"])
    assert await stack.ready()


async def test_a_phase_that_does_not_expect_it(shop: Shop) -> None:
    """A fact at the wrong time parks and leaves the order as it is; the order then goes its way."""
    order = await shop.payable({shop.apple: 1})
    order_id = order["order_id"]
    wrong = {"order_id": order_id, "store": shop.store}
    delivered, reverse = envelope("FulfilmentDelivered"), envelope("ReverseIssue")
    await parks(shop.stack, "logistics.events", body(wrong), delivered, "no_cell", key=order_id)
    await parks(shop.stack, "inventory.commands", body(wrong), reverse, "no_cell", key=shop.store)
    assert await shop.order(order_id) == order
    good(await shop.pay(order))
    await shop.until(order_id, "awaiting_picking")


async def test_a_persons_command_on_the_topic_is_refused_with_a_code(shop: Shop) -> None:
    """What people ask for at the wrong time is answered, not parked; what they ask for in time is done."""
    stack = shop.stack
    order_id = f"o-{uuid4().hex[:12]}"
    place = {
        "order_id": order_id,
        "account": shop.account,
        "store": shop.store,
        "spus": [shop.apple, shop.apple],
        "quantities": [1, 2],
    }
    for _ in range(2):  # the second has another id, and is refused: the order exists
        await stack.produce("order.commands", body(place), key=order_id, headers=envelope("PlaceOrder"))

    async def there() -> bool:
        answer = await stack.ask("GET", "order", f"/orders/{order_id}")
        return answer.status_code == 200 and answer.json()["phase"] == "awaiting_payment"

    await until(there, "the order that was placed on the topic")
    order = await shop.order(order_id)
    assert order["lines"][0]["quantity"] == 3
    pay = body({"order_id": order_id, "method": "tok_ok", "expected_total": order["total"]})
    click = envelope("PayOrder")
    for _ in range(3):  # one click, told three times
        await stack.produce("order.commands", pay, key=order_id, headers=click)
    await stack.produce("order.commands", pay, key=order_id, headers=envelope("PayOrder"))
    paid = await shop.until(order_id, "awaiting_picking")
    assert (paid["paid"], len(paid["payments"])) == (order["total"], 1)
    assert await listed(stack) == {}


async def test_a_message_without_an_id_is_decided(shop: Shop) -> None:
    """Somebody who sends no id gets no protection from repeats, and no error either."""
    order_id = f"o-{uuid4().hex[:12]}"
    place = {
        "order_id": order_id,
        "account": shop.account,
        "store": shop.store,
        "spus": [shop.apple],
        "quantities": [1],
    }
    await shop.stack.produce("order.commands", body(place), key=order_id, headers=[("ce_type", b"PlaceOrder")])

    async def there() -> bool:
        answer = await shop.stack.ask("GET", "order", f"/orders/{order_id}")
        return answer.status_code == 200 and answer.json()["phase"] == "awaiting_payment"

    await until(there, "the order that was placed without an id")


async def test_a_number_ahead_of_its_link_is_dropped(shop: Shop) -> None:
    """Its sender would go back and send what is missing: it neither counts nor parks, and the link goes on."""
    order = await shop.payable({shop.apple: 1})
    gone = {"order_id": order["order_id"], "spus": [shop.apple], "missing": [1]}
    headers = envelope("StockGone", ce_source=b"inventory/0", link=b"999999999")
    await shop.stack.produce("inventory.events", body(gone), key=order["order_id"], headers=headers)
    headers = envelope("StockGone", ce_source=b"inventory/0", link=b"1")
    await shop.stack.produce("inventory.events", body(gone), key=order["order_id"], headers=headers)
    good(await shop.pay(order))
    await shop.until(order["order_id"], "awaiting_picking")
    assert await listed(shop.stack) == {}


async def test_an_operator_replays_what_can_be_handled_by_now(shop: Shop) -> None:
    """A message that came too early is handled when it is replayed; one that still cannot be, stays and is told."""
    stack = shop.stack
    order_id = (await shop.paid({shop.apple: 1}))["order_id"]
    packed = body({"order_id": order_id, "store": shop.store})
    early = await parks(stack, "logistics.events", packed, envelope("FulfilmentPacked"), "no_cell", key=order_id)
    hopeless = await parks(stack, "order.commands", b"garbage", envelope("PayOrder"), "malformed")
    await shop.fulfilment(order_id, "queued")
    await shop.work(order_id, "start-picking")
    await shop.until(order_id, "picking")
    told = await stack.larder("parked", "replay", early["id"], hopeless["id"])
    assert told.status == 1
    assert f"{early['id']} is replayed" in told.out
    assert f"{hopeless['id']} was handled again, and parks as before: malformed" in told.err
    assert (await shop.order(order_id))["phase"] == "awaiting_shipment"
    # The store's own word comes too late now, and parks; then all is as if nobody had meddled.
    await shop.work(order_id, "picked")
    await shop.work(order_id, "packed")
    await shop.work(order_id, "handed-over", {"courier": "c-1"}, by="courier")
    await shop.until(order_id, "in_delivery")
    late = [row for row in (await listed(stack)).values() if row["id"] != hopeless["id"]]
    assert [(row["code"], row["message_type"]) for row in late] == [("no_cell", "FulfilmentPacked")]


async def test_admin_gives_up_over_http_what_cannot_be_handled(shop: Shop) -> None:
    """Without the command line: the service says what it parked, the worker drops it, and for whom and why is kept."""
    stack = shop.stack
    row = await parks(stack, "payment.commands", b"garbage", envelope("TakePayment"), "malformed")
    address = f"/parked/{row['id'].removeprefix('payment:')}"

    async def told() -> bool | None:
        operations = await stack.get("payment", "/operations")
        kinds = {(kind["code"], kind["message_type"]) for kind in operations["parked_kinds"]}
        owned = [shard["shard"] for shard in operations["shards"]]
        return True if ("malformed", "TakePayment") in kinds and owned == [0] else None

    await until(told, "/operations to tell of it, and of the shard")
    page = await stack.get("payment", address)
    assert (page["body"]["text"], page["headers"][0]["name"], page["asked"]) == ("garbage", "ce_specversion", None)
    good(await stack.post("payment", f"{address}/drop", {"reason": "a test's own"}, by="admin:jo"))

    async def dropped() -> dict[str, Any] | None:
        page: dict[str, Any] = await stack.get("payment", address)
        return page if page["state"] == "dropped" else None

    page = await until(dropped, "the worker to drop it")
    assert (page["closed_by"], page["closed_because"], page["asked"]) == ("admin:jo", "a test's own", None)


async def test_a_decider_that_raises_holds_back_one_order_only(shop: Shop) -> None:
    """What comes later about the same order parks behind it, everybody else goes on; an operator lets the rest go."""
    stack = shop.stack
    stuck, other = await shop.payable({shop.apple: 1}), await shop.payable({shop.apple: 1})
    refund = {**REFUND, "order_id": stuck["order_id"]}
    asked = envelope("RefundPayment")
    first = await parks(stack, "payment.commands", body(refund), asked, "decider_raised", key=stuck["order_id"])
    good(await shop.pay(stuck))
    good(await shop.pay(other))
    await shop.until(other["order_id"], "awaiting_picking")

    async def behind() -> dict[str, Any] | None:
        rows = (await listed(stack, "payment")).values()
        return next((row for row in rows if row["code"] == "behind"), None)

    waiting = await until(behind, "the payment to park behind the refund")
    assert (waiting["subject"], waiting["message_type"]) == (stuck["order_id"], "TakePayment")
    assert (await shop.order(stuck["order_id"]))["phase"] == "paying"
    assert (await stack.larder("parked", "drop", first["id"])).status == 0
    assert (await stack.larder("parked", "replay", waiting["id"])).status == 0
    paid = await shop.until(stuck["order_id"], "awaiting_picking")
    assert [p["amount"] for p in paid["payments"]] == [paid["total"]]
