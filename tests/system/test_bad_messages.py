"""Whatever is put on a topic: parked alone with its reason, and the shard goes on at once."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.settings import SERVICES
from tests.system.driver import Stack, envelope, good, until
from tests.system.shop import Shop

PAY = {"order_id": "o-nobody", "method": "tok_ok", "expected_total": 5}
HOLD = {"order_id": "o-nobody", "store": "s-nowhere", "mode": "lock", "spus": ["apple"], "quantities": [1]}
LONG = os.urandom(6_000).hex()
"""Text that no index takes, however it is packed."""


def body(value: object) -> bytes:
    """A message's body."""
    return json.dumps(value).encode()


async def parked(stack: Stack, service: str, offset: int, topic: str) -> dict[str, Any] | None:
    """What `larder parked list` tells of one record."""
    listed = await stack.larder_json("parked", "list", "--service", service)
    rows = [row for row in listed if (row["topic"], row["kafka_offset"]) == (topic, offset)]
    assert len(rows) <= 1
    return rows[0] if rows else None


async def parks(
    stack: Stack, topic: str, value: bytes | None, headers: list[tuple[str, Any]], code: str
) -> dict[str, Any]:
    """Puts a record on a topic and waits until it is listed, with that code."""
    service = topic.split(".")[0] if topic.endswith("commands") else "order"
    sent = await stack.produce(topic, value, headers=headers)
    row = await until(lambda: parked(stack, service, sent.offset, topic), f"{topic}@{sent.offset} to park")
    assert row["code"] == code, row
    assert row["reason"]
    return row


@pytest.fixture
async def dropped(stack: Stack) -> AsyncIterator[None]:
    """Whatever a test leaves parked is dropped by an operator."""
    yield
    for row in await stack.larder_json("parked", "list"):
        told = await stack.larder("parked", "drop", row["id"])
        assert told.status == 0, told.err
    assert await stack.larder_json("parked", "list") == []


pytestmark = pytest.mark.usefixtures("dropped")


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        pytest.param(b"\xff\xfe no JSON", envelope("PayOrder"), "malformed", id="no JSON"),
        pytest.param(b"", envelope("PayOrder"), "malformed", id="empty"),
        pytest.param(None, envelope("PayOrder"), "malformed", id="tombstone"),
        pytest.param(None, [], "unknown_type", id="tombstone without headers"),
        pytest.param(os.urandom(1_000_000), envelope("PayOrder"), "malformed", id="1 MB of garbage"),
        pytest.param(os.urandom(1_000_000), [], "unknown_type", id="1 MB of garbage without headers"),
        pytest.param(b"[" * 500_000, envelope("PayOrder"), "malformed", id="deep"),
        pytest.param(body(PAY), [], "unknown_type", id="no headers at all"),
        pytest.param(body(PAY), envelope("PayThisOrder"), "unknown_type", id="unknown type"),
        pytest.param(body(PAY), envelope("StockHeld"), "unknown_type", id="a type of another topic"),
        pytest.param(body({"order_id": "o-nobody"}), envelope("PayOrder"), "malformed", id="missing fields"),
        pytest.param(body({**PAY, "expected_total": "5"}), envelope("PayOrder"), "malformed", id="wrong type"),
        pytest.param(body({**PAY, "expected_total": -5}), envelope("PayOrder"), "malformed", id="wrong value"),
        pytest.param(body({**PAY, "order_id": "a\x00b"}), envelope("PayOrder"), "malformed", id="NUL"),
        pytest.param(body([PAY]), envelope("PayOrder"), "malformed", id="a list"),
        pytest.param(b"NaN", envelope("PayOrder"), "malformed", id="NaN"),
        pytest.param(body(PAY), envelope("PayOrder", ce_id=LONG.encode()), "malformed", id="huge id"),
        pytest.param(body(PAY), envelope("PayOrder", ce_id=b"a\x00b"), "malformed", id="NUL in the id"),
        pytest.param(body(PAY), envelope("PayOrder", fingerprint=b"\x00"), "malformed", id="NUL in the fingerprint"),
        pytest.param(body(PAY), envelope("PayOrder", ce_actor=LONG.encode() * 20), "malformed", id="huge header"),
        pytest.param(body(PAY), envelope("PayOrder", ce_type=b"\xff"), "unknown_type", id="a type that is no text"),
        pytest.param(body(PAY), envelope("PayOrder", ce_type=None), "unknown_type", id="a type that is null"),
        pytest.param(body(PAY), envelope("PayOrder", link=b"one"), "unknown_type", id="a link that is no number"),
        pytest.param(body(PAY), envelope("PayOrder", link=b"-1"), "malformed", id="a link below zero"),
        pytest.param(body(PAY), envelope("PayOrder", link=b"1"), "malformed", id="a link of nobody"),
        pytest.param(b"{", envelope("PayOrder", surprise=None), "malformed", id="a null header"),
        pytest.param(
            b"{", envelope("PayOrder", **{"x\x00y": b"\x00"}), "malformed", id="a header with a NUL in its name"
        ),
        pytest.param(
            body({"order_id": "o-1", "account": "a", "store": "s", "spus": ["a"], "quantities": [1, 2]}),
            envelope("PlaceOrder"),
            "malformed",
            id="lines that do not match",
        ),
    ],
)
async def test_a_bad_record_parks_alone(
    shop: Shop, value: bytes | None, headers: list[tuple[str, Any]], code: str
) -> None:
    """It is listed with its reason, shown with its body, and the very next order is taken as if nothing had been."""
    sent = await shop.stack.produce("order.commands", value, headers=headers)
    order = good(await shop.place({shop.apple: 1}, wait=10))
    assert order["phase"] == "awaiting_payment"
    row = await until(lambda: parked(shop.stack, "order", sent.offset, "order.commands"), "the record to park")
    assert (row["code"], row["state"]) == (code, "parked")
    assert row["reason"]
    shown = await shop.stack.larder_json("parked", "show", row["id"])
    assert (shown["body"] is None) == (value is None)
    assert await shop.stack.ready()


@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_goes_on(stack: Stack, service: str) -> None:
    """What is no message at all parks in each of them."""
    await parks(stack, f"{service}.commands", b"garbage", [], "unknown_type")
    await parks(stack, f"{service}.commands", body({}), envelope("OrderPizza"), "unknown_type")
    assert await stack.ready()


@pytest.mark.parametrize(
    ("topic", "type_", "value", "code"),
    [
        ("inventory.events", "StockHeld", {"order_id": "o-nobody", "mode": "lock"}, "no_cell"),
        ("inventory.events", "StockHeld", {"order_id": "o-nobody"}, "malformed"),
        ("inventory.events", "StockHeld", {"order_id": "a\x00b", "mode": "lock"}, "malformed"),
        ("inventory.events", "StockHeld", {"order_id": LONG, "mode": "lock"}, "malformed"),
        ("risk.events", "OrderCleared", {"order_id": "o-nobody"}, "no_cell"),
        ("logistics.events", "FulfilmentDelivered", {"order_id": "o-nobody", "store": "s-1"}, "no_cell"),
        ("aftersales.events", "WindowShut", {"order_id": "o-nobody"}, "no_cell"),
        ("inventory.commands", "DeductStock", {"order_id": "o-nobody", "store": "s-1"}, "no_cell"),
        ("inventory.commands", "HoldStock", {**HOLD, "store": LONG}, "malformed"),
        ("inventory.commands", "HoldStock", {**HOLD, "store": ""}, "malformed"),
        ("inventory.commands", "HoldStock", {**HOLD, "quantities": [-1]}, "decider_raised"),
        ("inventory.commands", "HoldStock", {**HOLD, "spus": ["a\x00b"], "order_id": "o-nul"}, "unwritable"),
        ("payment.commands", "RefundPayment", {"order_id": "o-nobody"}, "malformed"),
        (
            "payment.commands",
            "RefundPayment",
            {"order_id": "o-no", "refund": 1, "amount": 5, "reference": "x", "reason": "", "liable": "store"},
            "decider_raised",
        ),
        ("risk.commands", "WithdrawScreening", {"order_id": "o-nobody", "account": "a-1"}, "no_cell"),
    ],
)
async def test_messages_about_orders_that_there_are_not(
    stack: Stack, topic: str, type_: str, value: dict[str, Any], code: str
) -> None:
    """A fact or a command about an order that does not exist, or that makes no sense, parks with its reason."""
    row = await parks(stack, topic, body(value), envelope(type_), code)
    assert row["message_type"] == type_
    assert await stack.ready()


async def test_a_phase_that_does_not_expect_it(shop: Shop) -> None:
    """A fact at the wrong time parks and leaves the order as it is; the order then goes its way."""
    order = await shop.payable({shop.apple: 1})
    order_id = order["order_id"]
    wrong = {"order_id": order_id, "store": shop.store}
    await parks(shop.stack, "logistics.events", body(wrong), envelope("FulfilmentDelivered"), "no_cell")
    await parks(shop.stack, "inventory.commands", body(wrong), envelope("ReverseIssue"), "no_cell")
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
    assert await stack.larder_json("parked", "list") == []


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
    assert await shop.stack.larder_json("parked", "list") == []


async def test_an_operator_replays_what_can_be_handled_by_now(shop: Shop) -> None:
    """A message that came too early is handled when it is replayed; one that still cannot be, stays and is told."""
    stack, order_id = shop.stack, f"o-{uuid4().hex[:12]}"
    await stack.put("risk", f"/blocklist/account/{shop.account}", {"reason": "x", "treatment": "refer"})
    withdraw = body({"order_id": order_id, "account": shop.account})
    early = await parks(stack, "risk.commands", withdraw, envelope("WithdrawScreening"), "no_cell")
    hopeless = await parks(stack, "risk.commands", b"garbage", envelope("WithdrawScreening"), "malformed")
    place = {
        "order_id": order_id,
        "account": shop.account,
        "store": shop.store,
        "spus": [shop.apple],
        "quantities": [1],
    }
    await stack.produce("order.commands", body(place), key=order_id, headers=envelope("PlaceOrder"))

    async def in_review() -> bool:
        return (await stack.ask("GET", "risk", f"/reviews/{order_id}")).status_code == 200

    await until(in_review, "the order to be in review")
    assert (await stack.larder("parked", "replay", early["id"])).status == 0
    assert (await stack.get("risk", f"/reviews/{order_id}"))["verdict"] == "withdrawn"
    told = await asyncio.wait_for(stack.larder("parked", "replay", hopeless["id"]), 10)
    assert told.status == 1
    assert "Invalid JSON" in told.err
    assert await parked(stack, "risk", hopeless["kafka_offset"], "risk.commands")
    good(await shop.cancel(await shop.order(order_id)))
    await shop.until(order_id, "cancelled")


async def test_a_decider_that_raises_holds_back_one_order_only(shop: Shop) -> None:
    """What comes later about the same order parks behind it, everybody else goes on; an operator lets the rest go."""
    stack = shop.stack
    stuck, other = await shop.payable({shop.apple: 1}), await shop.payable({shop.apple: 1})
    refund = {
        "order_id": stuck["order_id"],
        "refund": 1,
        "amount": 5,
        "reference": "cap_x",
        "reason": "",
        "liable": "store",
    }
    first = await parks(stack, "payment.commands", body(refund), envelope("RefundPayment"), "decider_raised")
    good(await shop.pay(stuck))
    good(await shop.pay(other))
    await shop.until(other["order_id"], "awaiting_picking")

    async def behind() -> dict[str, Any] | None:
        rows = await stack.larder_json("parked", "list", "--service", "payment")
        return next((row for row in rows if row["code"] == "behind"), None)

    waiting = await until(behind, "the payment to park behind the refund")
    assert (waiting["subject"], waiting["message_type"]) == (stuck["order_id"], "TakePayment")
    assert (await shop.order(stuck["order_id"]))["phase"] == "paying"
    assert (await stack.larder("parked", "drop", first["id"])).status == 0
    assert (await stack.larder("parked", "replay", waiting["id"])).status == 0
    paid = await shop.until(stuck["order_id"], "awaiting_picking")
    assert [p["amount"] for p in paid["payments"]] == [paid["total"]]
