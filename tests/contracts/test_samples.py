"""The wire: what was written yesterday is read today, and written as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts import aftersales, inventory
from shared.contracts import order as ordering
from shared.contracts.asyncapi import messages
from shared.contracts.base import LINES_MAX, QUANTITY_MAX, Message
from shared.runtime.envelope import from_outside, read
from tests.contracts.controls import CONTROLS, SAMPLES

BY_TYPE = {message.TYPE: message for message in CONTROLS}
each_message = pytest.mark.parametrize("message", messages(), ids=lambda m: m.TYPE)


def sample(message: type[Message]) -> bytes:
    """What stands on disk."""
    return (SAMPLES / f"{message.TYPE}.json").read_bytes().rstrip(b"\n")


def test_every_message_has_a_sample() -> None:
    """And no sample is of a message that there is not (`python -m tests.contracts.controls`)."""
    assert {path.stem for path in SAMPLES.glob("*.json")} == {m.TYPE for m in messages()} == set(BY_TYPE)


@each_message
def test_sample_shows_every_field(message: type[Message]) -> None:
    """A field that the sample lacks could change on the wire unseen."""
    assert set(json.loads(sample(message))) == set(message.model_fields)


@each_message
def test_stored_sample_is_read_and_written_back(message: type[Message]) -> None:
    """Byte for byte. If this fails the wire has changed: decide, then write the samples anew."""
    stored = sample(message)
    found = message.from_json(stored)
    assert found.to_json() == stored
    assert found == BY_TYPE[message.TYPE]
    key, subject = (_of(json.loads(stored), fields) for fields in (message.KEY, message.SUBJECT))
    assert found.key == (key.partition("~")[0] if message.KEY == "order_id" else key)
    assert found.subject == subject


def _of(stored: dict[str, Any], fields: str) -> str:
    return "|".join(str(stored[field]) for field in fields.split("|"))


@each_message
def test_unknown_fields_are_ignored(message: type[Message]) -> None:
    """Changes are additive: tomorrow's message is read today, also inside its parts."""
    stored = json.loads(sample(message))

    def grown(node: Any) -> Any:
        if isinstance(node, dict):
            return {**{k: grown(v) for k, v in node.items()}, "from_tomorrow": {"a": [1]}}
        return [grown(v) for v in node] if isinstance(node, list) else node

    assert message.from_json(json.dumps(grown(stored)).encode()) == BY_TYPE[message.TYPE]


@each_message
def test_optional_fields_may_be_missing(message: type[Message]) -> None:
    """Yesterday's message, before they were there, is read today."""
    stored = json.loads(sample(message))
    required = {name for name, field in message.model_fields.items() if field.is_required()}
    least = {name: value for name, value in stored.items() if name in required}
    if message is ordering.PlaceOrder:
        least["store"] = "s-mitte"  # a store or a delivery point, one of them
    if message is aftersales.RecordCall:
        least["outcome"] = "drop"  # substitutes are named with the outcome `substitute` only
    message.from_json(json.dumps(least).encode())


@each_message
def test_what_is_no_message_is_told(message: type[Message]) -> None:
    """One kind of error for all that cannot be read."""
    for body in (b"", b"null", b"[]", b'"text"', b"{", b"{}", b"\xff", b'{"order_id":7}'):
        with pytest.raises(ValidationError):
            message.from_json(body)


@each_message
def test_messages_are_frozen(message: type[Message]) -> None:
    """What was said is not changed."""
    with pytest.raises(ValidationError):
        setattr(BY_TYPE[message.TYPE], message.KEY, "other")


# -- what people send --------------------------------------------------------------------------------------------------


def changed(message: type[Message], **fields: Any) -> bytes:
    """The sample with other fields."""
    return json.dumps({**json.loads(sample(message)), **fields}).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"spus": [], "quantities": []},
        {"spus": ["a"], "quantities": [1, 2]},
        {"spus": ["a"] * (LINES_MAX + 1), "quantities": [1] * (LINES_MAX + 1)},
        *({"spus": ["a"], "quantities": [q]} for q in (0, -1, 1.5, "1", True, None, QUANTITY_MAX + 1, 10**9)),
        {"store": None, "delivery": None},
        {"order_id": ""},
        {"order_id": "a" * 65},
        {"order_id": "a\x00"},
        {"order_id": "-a"},
        {"order_id": 7},
        {"account": " a"},
        {"account": "a\u202eb"},
        {"account": "a" * 129},
        {"device": "a\nb"},
        {"expected_total": -1},
        {"expected_total": 6.07},
        {"delivery": {"lat": 91, "lon": 0, "address": "x"}},
        {"delivery": {"lat": "NaN", "lon": 0, "address": "x"}},
        {"delivery": {"lat": 0, "lon": 0, "address": ""}},
        {"delivery": {"lat": 0, "lon": 0, "address": "a\x00"}},
        {"delivery": {"lat": 0, "lon": 0, "address": "x" * 501}},
        {"slot": {"start": "2026-11-22T18:00:00", "end": "2026-11-22T19:00:00"}},
        {"slot": {"start": "9999-12-31T23:59:59-23:59", "end": "9999-12-31T23:59:59-23:59"}},
        {"slot": {"start": "noon", "end": "one"}},
    ],
)
def test_basket_that_cannot_be_is_told(fields: dict[str, Any]) -> None:
    """Bounds hold on the topic as over HTTP: nobody checks again behind it."""
    with pytest.raises(ValidationError):
        ordering.PlaceOrder.from_json(changed(ordering.PlaceOrder, **fields))


@pytest.mark.parametrize("fields", [{"method": ""}, {"method": "x" * 201}, {"expected_total": None}])
def test_click_that_cannot_be_is_told(fields: dict[str, Any]) -> None:
    """A method and a total."""
    with pytest.raises(ValidationError):
        ordering.PayOrder.from_json(changed(ordering.PayOrder, **fields))


def test_storekeeper_s_lines_are_bounded() -> None:
    """As an order's, with other numbers."""
    with pytest.raises(ValidationError):
        inventory.ReceiveGoods.from_json(changed(inventory.ReceiveGoods, quantities=[1]))
    with pytest.raises(ValidationError):
        inventory.AdjustStock.from_json(changed(inventory.AdjustStock, deltas=[0.5, 1]))
    assert inventory.AdjustStock.from_json(changed(inventory.AdjustStock, deltas=[-1, 0])).deltas == (-1, 0)


# -- the envelope ------------------------------------------------------------------------------------------------------


def test_envelope_from_outside_is_read_back() -> None:
    """What HTTP and the load write is what the worker reads."""
    headers = from_outside(
        id="c-1",
        type="PayOrder",
        source="http",
        subject="o-1",
        actor="customer:a-1",
        at=datetime(2026, 11, 22, tzinfo=UTC),
        fingerprint="f",
        traceparent="00-abc",
    )
    found = read("order.commands", 0, 7, b"o-1", b"{}", headers)
    assert (found.topic, found.partition, found.offset, found.key, found.value) == (
        "order.commands",
        0,
        7,
        b"o-1",
        b"{}",
    )
    assert (found.id, found.type, found.source, found.subject) == ("c-1", "PayOrder", "http", "o-1")
    assert (found.link, found.actor, found.fingerprint, found.traceparent) == (0, "customer:a-1", "f", b"00-abc")
    assert found.fault == ""


def test_envelope_of_a_stranger_is_read_as_far_as_it_goes() -> None:
    """No headers at all: nothing is known, and nothing is raised."""
    found = read("order.commands", 0, 7, None, None, [])
    assert (found.id, found.type, found.link, found.actor) == ("", "", 0, "")
